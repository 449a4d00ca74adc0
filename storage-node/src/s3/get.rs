//! Sending objects: chunk by chunk, each verified before it leaves.

use super::{Front, convert, errors};
use crate::data::Data;
use crate::meta::{MetaError, StoreError, View};
use bytes::Bytes;
use planaria_storage_core::{
    Attributes, BucketRecord, BucketSettings, ChunkRecord, ChunkRef, Data as ObjectData,
    ObjectRecord, VersionId, Versioning, keys, machine,
};
use s3s::dto::{
    Checksum, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Range,
    StreamingBlob,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How many chunks are read ahead of the client, where there is memory for it.
const AHEAD: usize = 2;
/// How long a client may not take what it asked for.
const UNREAD: Duration = Duration::from_secs(60);

/// An object that was found, and the store as of that moment.
pub(super) struct Found {
    pub(super) view: View,
    pub(super) object: ObjectRecord,
    pub(super) attributes: Attributes,
    /// Its version, where the bucket keeps or kept versions.
    pub(super) version: Option<VersionId>,
}

/// A chunk to send: where it is known to be, and which of its bytes are wanted.
struct Piece {
    chunk: ChunkRef,
    record: Option<ChunkRecord>,
    from: usize,
    to: usize,
}

impl Front {
    pub(super) async fn get(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        check_read_wishes(input.part_number, input.sse_customer_key.as_ref())?;
        let version = convert::version(input.version_id.as_deref())?;
        let Found {
            view,
            object,
            attributes,
            version,
        } = self.find(&input.bucket, &input.key, version).await?;
        convert::check_read(
            &object,
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
            input.if_modified_since.as_ref(),
            input.if_unmodified_since.as_ref(),
        )?;
        let (from, to) = span(input.range.as_ref(), object.size)?;
        let wanted = input.checksum_mode.is_some() && (from, to) == (0, object.size);
        let checksum = kept_checksum(&attributes, wanted);
        let body = self.body(view, &object, from, to).await?;
        let range = input
            .range
            .map(|_| format!("bytes {from}-{}/{}", to.saturating_sub(1), object.size));
        let headers = &object.headers;
        let or = |asked: Option<String>, kept: &Option<String>| asked.or_else(|| kept.clone());
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            body: Some(body),
            content_length: i64::try_from(to - from).ok(),
            content_range: range,
            content_type: or(input.response_content_type, &headers.content_type),
            content_encoding: or(input.response_content_encoding, &headers.content_encoding),
            content_disposition: or(
                input.response_content_disposition,
                &headers.content_disposition,
            ),
            content_language: or(input.response_content_language, &headers.content_language),
            cache_control: or(input.response_cache_control, &headers.cache_control),
            expires: convert::expires(headers),
            e_tag: Some(convert::etag(&object.etag)),
            last_modified: Some(convert::timestamp(object.modified_ms)),
            metadata: convert::metadata(headers),
            version_id: version.map(|version| version.to_string()),
            tag_count: tag_count(&attributes),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..GetObjectOutput::default()
        }))
    }

    pub(super) async fn head(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        check_read_wishes(input.part_number, input.sse_customer_key.as_ref())?;
        let version = convert::version(input.version_id.as_deref())?;
        let Found {
            object,
            attributes,
            version,
            ..
        } = self.find(&input.bucket, &input.key, version).await?;
        convert::check_read(
            &object,
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
            input.if_modified_since.as_ref(),
            input.if_unmodified_since.as_ref(),
        )?;
        let (from, to) = span(input.range.as_ref(), object.size)?;
        let wanted = input.checksum_mode.is_some() && (from, to) == (0, object.size);
        let checksum = kept_checksum(&attributes, wanted);
        let headers = &object.headers;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: i64::try_from(to - from).ok(),
            content_type: headers.content_type.clone(),
            content_encoding: headers.content_encoding.clone(),
            content_disposition: headers.content_disposition.clone(),
            content_language: headers.content_language.clone(),
            cache_control: headers.cache_control.clone(),
            expires: convert::expires(headers),
            e_tag: Some(convert::etag(&object.etag)),
            last_modified: Some(convert::timestamp(object.modified_ms)),
            metadata: convert::metadata(headers),
            version_id: version.map(|version| version.to_string()),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..HeadObjectOutput::default()
        }))
    }

    /// The bytes of an object from `from` to before `to`.
    pub(super) async fn body(
        &self,
        view: View,
        object: &ObjectRecord,
        from: u64,
        to: u64,
    ) -> S3Result<StreamingBlob> {
        match &object.data {
            ObjectData::Inline(bytes) => {
                let part = bytes.get(to_usize(from)..to_usize(to)).unwrap_or_default();
                let bytes = Bytes::copy_from_slice(part);
                Ok(StreamingBlob::wrap(futures::stream::iter([Ok::<
                    _,
                    io::Error,
                >(
                    bytes
                )])))
            }
            ObjectData::Chunks(chunks) => {
                let pieces = pieces(&view, chunks, from, to)?;
                drop(view);
                self.stream(pieces).await
            }
        }
    }

    /// Finds an object, the current one or a version of it.
    pub(super) async fn find(
        &self,
        bucket: &str,
        key: &str,
        version: Option<VersionId>,
    ) -> S3Result<Found> {
        convert::key(key)?;
        let view = self.meta.read().await.map_err(errors::meta)?;
        let found = machine::find(&view, (bucket, key), version)
            .map_err(|e| failed(StoreError::from(e)))?;
        let settings: BucketSettings = read(&view, &keys::settings(bucket))?.unwrap_or_default();
        match found {
            Ok((object, attributes)) => Ok(Found {
                version: (settings.versioning != Versioning::Off).then_some(attributes.version),
                view,
                object,
                attributes,
            }),
            Err(refusal) => {
                let there: Option<BucketRecord> = read(&view, &keys::bucket(bucket))?;
                Err(match there {
                    Some(_) => errors::meta(MetaError::Refused(refusal)),
                    None => s3_error!(NoSuchBucket, "there is no such bucket"),
                })
            }
        }
    }

    /// Streams chunks. The first is read before the answer begins, so that data that cannot be
    /// read is an error and not a broken success; a later failure breaks the connection.
    async fn stream(&self, mut pieces: VecDeque<Piece>) -> S3Result<StreamingBlob> {
        let Some(first) = pieces.pop_front() else {
            return Ok(StreamingBlob::wrap(futures::stream::empty::<
                Result<Bytes, io::Error>,
            >()));
        };
        // A budget of memory for all downloads: a chunk at least, more where there is room.
        let one = first.chunk.len as usize;
        let wanted = one * (pieces.len().min(AHEAD) + 1);
        let budget = |bytes| super::cost(bytes, super::READ_BUDGET_KIB);
        let reading = Arc::clone(&self.reading);
        let (part, most) = match Arc::clone(&reading).try_acquire_many_owned(budget(wanted)) {
            Ok(part) => (part, AHEAD),
            Err(_) => (super::place(&reading, budget(one)).await?, 0),
        };
        let first = fetch(&self.data, first)
            .await
            .map_err(|e| errors::data(&e))?;
        let (sender, mut receiver) = mpsc::channel(1);
        let data = self.data.clone();
        tokio::spawn(async move {
            let _part = part;
            let mut ahead: VecDeque<JoinHandle<_>> = VecDeque::new();
            let mut next = Ok(first);
            loop {
                let last = next.is_err();
                let sent = timeout(UNREAD, sender.send(next)).await;
                if last || !matches!(sent, Ok(Ok(()))) {
                    ahead.iter().for_each(JoinHandle::abort);
                    return;
                }
                while ahead.len() < most.max(1)
                    && let Some(piece) = pieces.pop_front()
                {
                    let data = data.clone();
                    ahead.push_back(tokio::spawn(async move { fetch(&data, piece).await }));
                }
                let Some(reading) = ahead.pop_front() else {
                    return;
                };
                next = match reading.await {
                    Ok(Ok(bytes)) => Ok(bytes),
                    Ok(Err(error)) => {
                        tracing::error!(event = "read_broken", %error, "a download was broken off");
                        Err(io::Error::other(error))
                    }
                    Err(error) => Err(io::Error::other(error)),
                };
            }
        });
        Ok(StreamingBlob::wrap(futures::stream::poll_fn(
            move |context| receiver.poll_recv(context),
        )))
    }
}

/// A part of S3 that this store does not have must not be dropped silently.
fn check_read_wishes(part: Option<i32>, customer_key: Option<&String>) -> S3Result<()> {
    if part.is_some() || customer_key.is_some() {
        return Err(s3_error!(
            NotImplemented,
            "part numbers and SSE-C are not implemented"
        ));
    }
    Ok(())
}

/// The checksum that was given with the object, for who wants to verify the whole of it.
fn kept_checksum(attributes: &Attributes, wanted: bool) -> Checksum {
    let mut checksum = Checksum::default();
    let Some((name, value)) = attributes.checksum.as_ref().filter(|_| wanted) else {
        return checksum;
    };
    let slot = match name.as_str() {
        "crc32" => &mut checksum.checksum_crc32,
        "crc32c" => &mut checksum.checksum_crc32c,
        "crc64nvme" => &mut checksum.checksum_crc64nvme,
        "sha1" => &mut checksum.checksum_sha1,
        "sha256" => &mut checksum.checksum_sha256,
        _ => return checksum,
    };
    *slot = Some(value.clone());
    checksum
}

fn tag_count(attributes: &Attributes) -> Option<i32> {
    i32::try_from(attributes.tags.len())
        .ok()
        .filter(|count| *count > 0)
}

async fn fetch(data: &Data, piece: Piece) -> Result<Bytes, crate::data::DataError> {
    let bytes = data.read(piece.chunk, piece.record.as_ref()).await?;
    if bytes.len() < piece.to {
        // The name is right and the length is not: the manifest is damaged.
        return Err(crate::data::DataError::NoCopy(piece.chunk.id));
    }
    Ok(bytes.slice(piece.from..piece.to))
}

/// The chunks that hold the bytes from `from` to before `to`.
fn pieces(view: &View, chunks: &[ChunkRef], from: u64, to: u64) -> S3Result<VecDeque<Piece>> {
    let mut pieces = VecDeque::new();
    let mut start = 0;
    for chunk in chunks {
        let end = start + u64::from(chunk.len);
        if start < to && end > from {
            let record = read(view, &keys::chunk(keys::CHUNK, &chunk.id))?;
            let first = to_usize(from.saturating_sub(start));
            let last = to_usize(to.min(end) - start);
            pieces.push_back(Piece {
                chunk: *chunk,
                record,
                from: first,
                to: last,
            });
        }
        start = end;
    }
    Ok(pieces)
}

pub(super) fn span(range: Option<&Range>, size: u64) -> S3Result<(u64, u64)> {
    let Some(range) = range else {
        return Ok((0, size));
    };
    let range = range
        .check(size)
        .map_err(|_| s3_error!(InvalidRange, "the range lies outside the object"))?;
    Ok((range.start, range.end))
}

fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

pub(super) fn read<T: serde::de::DeserializeOwned>(view: &View, key: &[u8]) -> S3Result<Option<T>> {
    machine::read(view, key).map_err(|e| failed(StoreError::from(e)))
}

pub(super) fn failed(error: StoreError) -> S3Error {
    errors::meta(error.into())
}
