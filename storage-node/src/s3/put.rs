//! Receiving bodies: cut into chunks, hashed, spread, and only then named.

use super::{Front, convert, errors};
use crate::config::INLINE_LIMIT;
use crate::data::{DataError, Placing};
use crate::meta::MetaError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use planaria_storage_core::{
    ChunkId, ChunkRecord, Command, Data, ObjectRecord, Refusal, Reply, Stored, keys, machine,
};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{
    Checksum, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, ETagCondition,
    MetadataDirective, PutObjectInput, PutObjectOutput, StreamingBlob,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, TrailingHeaders, s3_error};
use std::time::Duration;
use tokio::time::timeout;

/// How many chunks of one body are under way at once.
const IN_FLIGHT: usize = 4;
/// How long a body may stand still.
const IDLE: Duration = Duration::from_secs(60);
/// How often chunks that were condemned meanwhile are written again.
const REWRITES: usize = 4;

/// What a client says a body must be.
#[derive(Default)]
pub(super) struct Expected {
    pub(super) length: Option<i64>,
    pub(super) md5: Option<String>,
    pub(super) checksum: Checksum,
    pub(super) trailers: Option<TrailingHeaders>,
    pub(super) announced: Option<String>,
}

/// A body that was received, verified and made durable, but is named by nothing yet.
pub(super) struct Received {
    pub(super) size: u64,
    pub(super) md5: [u8; 16],
    pub(super) checksum: Checksum,
    pub(super) inline: Option<Vec<u8>>,
    pub(super) placings: Vec<Placing>,
}

struct Hashes {
    md5: Md5,
    more: ChecksumHasher,
}

impl Front {
    /// Receives a body. `may_inline`: a small one may stay in memory for the log entry.
    pub(super) async fn receive(
        &self,
        body: Option<StreamingBlob>,
        expected: Expected,
        may_inline: bool,
    ) -> S3Result<Received> {
        if self.data.store().is_full() {
            return Err(errors::data(&DataError::Full));
        }
        let _place = self
            .uploads
            .acquire()
            .await
            .map_err(S3Error::internal_error)?;
        let mut hashes = Some(Hashes {
            md5: Md5::new(),
            more: expected.hasher(),
        });
        let mut size = 0_u64;
        let mut buffer = BytesMut::new();
        let mut placings = Vec::new();
        let mut under_way: FuturesOrdered<BoxFuture<'_, Result<Placing, DataError>>> =
            FuturesOrdered::new();
        let mut body = body;
        let mut ended = body.is_none();
        while !ended || !buffer.is_empty() {
            while !ended && buffer.len() < self.chunk_size {
                match next(&mut body).await? {
                    Some(piece) => {
                        size += piece.len() as u64;
                        buffer.extend_from_slice(&piece);
                    }
                    None => ended = true,
                }
                if size > self.max_object_size {
                    return Err(s3_error!(EntityTooLarge, "larger than MAX_OBJECT_SIZE"));
                }
            }
            let cut = buffer.len().min(self.chunk_size);
            if cut == 0 {
                break;
            }
            let bytes = buffer.split_to(cut).freeze();
            let small = may_inline && ended && placings.is_empty() && under_way.is_empty();
            if small && buffer.is_empty() && bytes.len() <= INLINE_LIMIT {
                let hashes = hash(hashes.take(), bytes.clone()).await?;
                return expected.verify(size, hashes, Some(bytes.to_vec()), Vec::new());
            }
            hashes = Some(hash(hashes.take(), bytes.clone()).await?);
            under_way.push_back(Box::pin(self.data.write(bytes, false)));
            while under_way.len() >= IN_FLIGHT
                && let Some(placed) = under_way.next().await
            {
                placings.push(placed.map_err(|e| errors::data(&e))?);
            }
        }
        while let Some(placed) = under_way.next().await {
            placings.push(placed.map_err(|e| errors::data(&e))?);
        }
        self.data.last_call(&placings).await;
        let hashes = hash(hashes.take(), Bytes::new()).await?;
        let inline = (size == 0 && may_inline).then(Vec::new);
        expected.verify(size, hashes, inline, placings)
    }

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
        // A part of S3 that this store does not have must not be dropped silently.
        if input.sse_customer_key.is_some() || input.object_lock_mode.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "SSE-C and object lock are not implemented"
            ));
        }
        if input.tagging.is_some() || input.write_offset_bytes.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "tags and appends are not implemented"
            ));
        }
        let expected = Expected {
            length: input.content_length,
            md5: input.content_md5.take(),
            checksum: Checksum {
                checksum_crc32: input.checksum_crc32.take(),
                checksum_crc32c: input.checksum_crc32c.take(),
                checksum_crc64nvme: input.checksum_crc64nvme.take(),
                checksum_sha1: input.checksum_sha1.take(),
                checksum_sha256: input.checksum_sha256.take(),
                ..Checksum::default()
            },
            trailers,
            announced,
        };
        self.bucket_exists(&input.bucket).await?;
        let headers = convert::headers(convert::Said {
            content_type: input.content_type,
            content_encoding: input.content_encoding,
            content_disposition: input.content_disposition,
            content_language: input.content_language,
            cache_control: input.cache_control,
            expires: input.expires,
            metadata: input.metadata,
        })?;
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
        let copies = self.data.copies();
        self.name(&received.placings, |stored| Command::PutObject {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            object: object.clone(),
            stored,
            copies,
            condition: condition.clone(),
        })
        .await?;
        let checksum = received.checksum;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(convert::etag(&etag)),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..PutObjectOutput::default()
        }))
    }

    pub(super) async fn copy(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        // The crate has no field for these two: they are read from the request itself.
        let condition = convert::condition(
            header_condition(&request.headers, "if-match")?.as_ref(),
            header_condition(&request.headers, "if-none-match")?.as_ref(),
        )?;
        let input = request.input;
        convert::key(&input.key)?;
        let CopySource::Bucket {
            bucket,
            key,
            version_id: None,
        } = &input.copy_source
        else {
            return Err(s3_error!(
                NotImplemented,
                "only plain sources can be copied"
            ));
        };
        if input.copy_source_if_modified_since.is_some()
            || input.copy_source_if_unmodified_since.is_some()
            || input.tagging.is_some()
        {
            return Err(s3_error!(
                NotImplemented,
                "conditions by time and tags are not implemented"
            ));
        }
        let source_condition = convert::condition(
            input.copy_source_if_match.as_ref(),
            input.copy_source_if_none_match.as_ref(),
        )?;
        let replace = input
            .metadata_directive
            .as_ref()
            .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
        let same = **bucket == *input.bucket && **key == *input.key;
        if same && !replace {
            return Err(s3_error!(
                InvalidRequest,
                "a copy onto itself must replace the metadata"
            ));
        }
        let headers = if replace {
            Some(convert::headers(convert::Said {
                content_type: input.content_type,
                content_encoding: input.content_encoding,
                content_disposition: input.content_disposition,
                content_language: input.content_language,
                cache_control: input.cache_control,
                expires: input.expires,
                metadata: input.metadata,
            })?)
        } else {
            None
        };
        let command = Command::CopyObject {
            source: (bucket.to_string(), key.to_string()),
            target: (input.bucket, input.key),
            headers,
            now_ms: convert::now_ms(),
            source_condition,
            condition,
        };
        let reply = self.meta.write(command).await.map_err(errors::meta)?;
        let Reply::Object { etag, modified_ms } = reply else {
            return Err(s3_error!(InternalError, "an odd answer from the log"));
        };
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(CopyObjectResult {
                e_tag: Some(convert::etag(&etag)),
                last_modified: Some(convert::timestamp(modified_ms)),
                ..CopyObjectResult::default()
            }),
            ..CopyObjectOutput::default()
        }))
    }
}

fn header_condition(headers: &hyper::HeaderMap, name: &str) -> S3Result<Option<ETagCondition>> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    ETagCondition::parse_http_header(value.as_bytes())
        .map(Some)
        .map_err(|_| s3_error!(InvalidArgument, "a malformed condition"))
}

/// The checksum trailer that a request announces.
pub(super) fn announced(headers: &hyper::HeaderMap) -> Option<String> {
    let value = headers.get("x-amz-trailer")?.to_str().ok()?;
    Some(value.to_ascii_lowercase())
}

async fn next(body: &mut Option<StreamingBlob>) -> S3Result<Option<Bytes>> {
    let Some(stream) = body else { return Ok(None) };
    match timeout(IDLE, stream.next()).await {
        Err(_) => Err(s3_error!(
            RequestTimeout,
            "the body stood still for too long"
        )),
        Ok(None) => Ok(None),
        Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
        Ok(Some(Err(error))) => Err(broken_body(error.as_ref())),
    }
}

/// A body that broke off, or whose signature is wrong at its end.
fn broken_body(error: &(dyn std::error::Error + Send + Sync + 'static)) -> S3Error {
    let text = format!("{error:?} {error}");
    if text.contains("SignatureMismatch") {
        s3_error!(
            SignatureDoesNotMatch,
            "the signature of a piece of the body is wrong"
        )
    } else if text.to_ascii_lowercase().contains("mismatch") {
        let mut error = S3Error::with_message(
            s3s::S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()),
            "the body is not the one that was signed",
        );
        error.set_status_code(hyper::StatusCode::BAD_REQUEST);
        error
    } else {
        s3_error!(IncompleteBody, "the body broke off or is malformed")
    }
}

/// Hashes on a thread that may take its time.
async fn hash(hashes: Option<Hashes>, bytes: Bytes) -> S3Result<Hashes> {
    let Some(mut hashes) = hashes else {
        return Err(s3_error!(InternalError, "the hashes are gone"));
    };
    tokio::task::spawn_blocking(move || {
        hashes.md5.update(&bytes);
        hashes.more.update(&bytes);
        hashes
    })
    .await
    .map_err(S3Error::internal_error)
}

impl Expected {
    fn hasher(&self) -> ChecksumHasher {
        let trailer = self.announced.as_deref().unwrap_or("");
        let wants = |field: &Option<String>, name: &str| field.is_some() || trailer.contains(name);
        let given = &self.checksum;
        let mut hasher = ChecksumHasher::default();
        if wants(&given.checksum_crc32, "x-amz-checksum-crc32") {
            hasher.crc32 = Some(s3s::crypto::Crc32::new());
        }
        if wants(&given.checksum_crc32c, "x-amz-checksum-crc32c") {
            hasher.crc32c = Some(s3s::crypto::Crc32c::new());
        }
        if wants(&given.checksum_crc64nvme, "x-amz-checksum-crc64nvme") {
            hasher.crc64nvme = Some(s3s::crypto::Crc64Nvme::new());
        }
        if wants(&given.checksum_sha1, "x-amz-checksum-sha1") {
            hasher.sha1 = Some(s3s::crypto::Sha1::new());
        }
        if wants(&given.checksum_sha256, "x-amz-checksum-sha256") {
            hasher.sha256 = Some(s3s::crypto::Sha256::new());
        }
        hasher
    }

    /// Compares what came with what was said, in the header or in the trailer.
    fn verify(
        self,
        size: u64,
        hashes: Hashes,
        inline: Option<Vec<u8>>,
        placings: Vec<Placing>,
    ) -> S3Result<Received> {
        let md5: [u8; 16] = hashes.md5.finalize();
        if self
            .length
            .is_some_and(|length| u64::try_from(length) != Ok(size))
        {
            return Err(s3_error!(
                IncompleteBody,
                "the body has another length than it was said"
            ));
        }
        if let Some(said) = &self.md5 {
            let ours = STANDARD.encode(md5);
            if *said != ours {
                return Err(s3_error!(BadDigest, "Content-MD5 is not that of the body"));
            }
        }
        let found = hashes.more.finalize();
        let checksum = self.compare(found)?;
        Ok(Received {
            size,
            md5,
            checksum,
            inline,
            placings,
        })
    }

    /// The checksums that were said, in the header or in the trailer, and are right.
    fn compare(self, found: Checksum) -> S3Result<Checksum> {
        let trailers = self
            .trailers
            .as_ref()
            .and_then(TrailingHeaders::take)
            .unwrap_or_default();
        let said = |header: Option<String>, name: &str| {
            let trailer = trailers.get(name).and_then(|value| value.to_str().ok());
            header.or_else(|| trailer.map(str::to_owned))
        };
        let given = self.checksum;
        let mut checksum = Checksum::default();
        for (slot, header, name, ours) in [
            (
                &mut checksum.checksum_crc32,
                given.checksum_crc32,
                "x-amz-checksum-crc32",
                found.checksum_crc32,
            ),
            (
                &mut checksum.checksum_crc32c,
                given.checksum_crc32c,
                "x-amz-checksum-crc32c",
                found.checksum_crc32c,
            ),
            (
                &mut checksum.checksum_crc64nvme,
                given.checksum_crc64nvme,
                "x-amz-checksum-crc64nvme",
                found.checksum_crc64nvme,
            ),
            (
                &mut checksum.checksum_sha1,
                given.checksum_sha1,
                "x-amz-checksum-sha1",
                found.checksum_sha1,
            ),
            (
                &mut checksum.checksum_sha256,
                given.checksum_sha256,
                "x-amz-checksum-sha256",
                found.checksum_sha256,
            ),
        ] {
            let announced = self.announced.as_deref() == Some(name);
            match (said(header, name), ours) {
                (Some(said), Some(ours)) if said == ours => *slot = Some(ours),
                (Some(_), _) => {
                    return Err(s3_error!(BadDigest, "a checksum is not that of the body"));
                }
                (None, _) if announced => {
                    return Err(s3_error!(
                        InvalidRequest,
                        "an announced checksum did not come"
                    ));
                }
                (None, _) => {}
            }
        }
        Ok(checksum)
    }
}
