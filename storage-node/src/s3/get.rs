//! Sending objects: chunk by chunk, each verified before it leaves.

use super::{Front, convert, errors};
use crate::data::Data;
use crate::meta::{StoreError, View};
use bytes::Bytes;
use planaria_storage_core::{
    ChunkRecord, ChunkRef, Data as ObjectData, ObjectRecord, keys, machine,
};
use s3s::dto::{
    GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Range, StreamingBlob,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};
use std::collections::VecDeque;
use std::io;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How many chunks are read ahead of the client.
const AHEAD: usize = 2;

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
        if input.version_id.is_some() || input.part_number.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "versions and part numbers are not implemented"
            ));
        }
        let (view, object) = self.find(&input.bucket, &input.key).await?;
        convert::check_read(
            &object,
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
            input.if_modified_since.as_ref(),
            input.if_unmodified_since.as_ref(),
        )?;
        let (from, to) = span(input.range.as_ref(), object.size)?;
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
            ..GetObjectOutput::default()
        }))
    }

    pub(super) async fn head(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        if input.version_id.is_some() || input.part_number.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "versions and part numbers are not implemented"
            ));
        }
        let (_, object) = self.find(&input.bucket, &input.key).await?;
        convert::check_read(
            &object,
            input.if_match.as_ref(),
            input.if_none_match.as_ref(),
            input.if_modified_since.as_ref(),
            input.if_unmodified_since.as_ref(),
        )?;
        let (from, to) = span(input.range.as_ref(), object.size)?;
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

    pub(super) async fn find(&self, bucket: &str, key: &str) -> S3Result<(View, ObjectRecord)> {
        convert::key(key)?;
        let view = self.meta.read().await.map_err(errors::meta)?;
        if let Some(object) = read(&view, &keys::object(bucket, key))? {
            return Ok((view, object));
        }
        let there: Option<planaria_storage_core::BucketRecord> =
            read(&view, &keys::bucket(bucket))?;
        Err(match there {
            Some(_) => s3_error!(NoSuchKey, "there is no such object"),
            None => s3_error!(NoSuchBucket, "there is no such bucket"),
        })
    }

    /// Streams chunks. The first is read before the answer begins, so that data that cannot be
    /// read is an error and not a broken success; a later failure breaks the connection.
    async fn stream(&self, mut pieces: VecDeque<Piece>) -> S3Result<StreamingBlob> {
        let Some(first) = pieces.pop_front() else {
            return Ok(StreamingBlob::wrap(futures::stream::empty::<
                Result<Bytes, io::Error>,
            >()));
        };
        let first = fetch(&self.data, first)
            .await
            .map_err(|e| errors::data(&e))?;
        let (sender, mut receiver) = mpsc::channel(1);
        let data = self.data.clone();
        tokio::spawn(async move {
            if sender.send(Ok(first)).await.is_err() {
                return;
            }
            let mut ahead: VecDeque<JoinHandle<_>> = VecDeque::new();
            loop {
                while ahead.len() < AHEAD
                    && let Some(piece) = pieces.pop_front()
                {
                    let data = data.clone();
                    ahead.push_back(tokio::spawn(async move { fetch(&data, piece).await }));
                }
                let Some(next) = ahead.pop_front() else {
                    return;
                };
                let sent = match next.await {
                    Ok(Ok(bytes)) => sender.send(Ok(bytes)).await,
                    Ok(Err(error)) => {
                        tracing::error!(event = "read_broken", %error, "a download was broken off");
                        sender.send(Err(io::Error::other(error))).await
                    }
                    Err(error) => sender.send(Err(io::Error::other(error))).await,
                };
                if sent.is_err() {
                    ahead.iter().for_each(JoinHandle::abort);
                    return;
                }
            }
        });
        Ok(StreamingBlob::wrap(futures::stream::poll_fn(
            move |context| receiver.poll_recv(context),
        )))
    }
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
