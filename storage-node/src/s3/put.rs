//! Putting objects: a body is received, and then named by one entry of the log.

use super::policy::wishes;
use super::receive::{announced, given};
use super::{Front, convert, errors, tags};
use crate::data::Placing;
use crate::meta::MetaError;
use planaria_storage_core::{
    Attributes, ChunkId, ChunkRecord, Command, Data, ObjectRecord, Refusal, Reply, Stored, keys,
    machine,
};
use s3s::dto::{Checksum, PutObjectInput, PutObjectOutput};
use s3s::{S3Request, S3Response, S3Result, s3_error};

/// How often chunks that were condemned meanwhile are written again.
const REWRITES: usize = 4;

impl Front {
    /// Names chunks by a command. Those that were condemned meanwhile are written again first.
    pub(super) async fn name(
        &self,
        placings: &[Placing],
        command: impl Fn(Vec<Stored>) -> Command,
    ) -> S3Result<Reply> {
        let mut stored: Vec<Stored> = placings.iter().map(Placing::stored).collect();
        for _ in 0..REWRITES {
            match self.meta.write(command(stored.clone())).await {
                Err(MetaError::Refused(Refusal::StaleChunks(stale))) => {
                    self.write_again(&stale, &mut stored).await?;
                }
                other => return other.map_err(errors::meta),
            }
        }
        Err(s3_error!(SlowDown, "the data has to be sent again"))
    }

    async fn write_again(&self, stale: &[ChunkId], stored: &mut [Stored]) -> S3Result<()> {
        let view = self.meta.stale().map_err(|e| errors::meta(e.into()))?;
        for id in stale {
            let Some(chunk) = stored.iter().find(|s| s.chunk.id == *id).map(|s| s.chunk) else {
                continue;
            };
            let record: Option<ChunkRecord> =
                machine::read(&view, &keys::chunk(keys::CHUNK, id))
                    .map_err(|e| errors::meta(crate::meta::StoreError::from(e).into()))?;
            let bytes = self
                .data
                .read(chunk, record.as_ref())
                .await
                .map_err(|e| errors::data(&e))?;
            let placing = self
                .data
                .write(bytes, true)
                .await
                .map_err(|e| errors::data(&e))?;
            for slot in stored.iter_mut().filter(|s| s.chunk.id == *id) {
                *slot = placing.stored();
            }
        }
        Ok(())
    }

    pub(super) async fn put(
        &self,
        request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let trailers = request.trailing_headers.clone();
        let announced = announced(&request.headers);
        let mut input = request.input;
        convert::key(&input.key)?;
        let condition = convert::condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        wishes!(input).check()?;
        if input.write_offset_bytes.is_some() {
            return Err(s3_error!(NotImplemented, "appends are not implemented"));
        }
        let tags = tags::from_header(input.tagging.as_deref())?;
        let expected = given!(input, trailers, announced);
        self.bucket_seems_to_exist(&input.bucket).await?;
        let headers = convert::headers(convert::said!(input))?;
        let received = self.receive(input.body.take(), expected, true).await?;
        let etag = convert::hex(&received.md5);
        let data = match received.inline {
            Some(bytes) => Data::Inline(bytes),
            None => Data::Chunks(received.placings.iter().map(Placing::chunk).collect()),
        };
        let object = ObjectRecord {
            size: received.size,
            etag: etag.clone(),
            modified_ms: convert::now_ms(),
            headers,
            data,
        };
        let attributes = Attributes {
            tags,
            checksum: said_checksum(&received.checksum),
            ..Attributes::default()
        };
        let copies = self.data.copies();
        let named = self.name(&received.placings, |stored| Command::Put {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            object: object.clone(),
            attributes: attributes.clone(),
            stored,
            copies,
            condition: condition.clone(),
        });
        let version = written_version(&named.await?);
        let checksum = received.checksum;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(convert::etag(&etag)),
            version_id: version,
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..PutObjectOutput::default()
        }))
    }
}

/// The version that was written, where the bucket keeps or kept versions.
pub(super) fn written_version(reply: &Reply) -> Option<String> {
    match reply {
        Reply::Written {
            version: Some(version),
            ..
        } => Some(version.to_string()),
        _ => None,
    }
}

/// The checksum that the client gave, to be kept.
fn said_checksum(checksum: &Checksum) -> Option<(String, String)> {
    [
        ("crc64nvme", &checksum.checksum_crc64nvme),
        ("crc32", &checksum.checksum_crc32),
        ("crc32c", &checksum.checksum_crc32c),
        ("sha256", &checksum.checksum_sha256),
        ("sha1", &checksum.checksum_sha1),
    ]
    .into_iter()
    .find_map(|(name, value)| Some((name.to_owned(), value.clone()?)))
}
