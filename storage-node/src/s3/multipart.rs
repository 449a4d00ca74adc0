//! Multipart uploads.

use super::get::{Found, failed, span};
use super::list::{page_size, wants_url};
use super::policy::wishes;
use super::put::written_version;
use super::receive::{Expected, Received, announced, given};
use super::{Front, convert, copy, errors, tags};
use crate::meta::StoreError;
use planaria_storage_core::listing::{self, Line, Query};
use planaria_storage_core::{
    BucketRecord, Command, PartRecord, Reply, UploadId, UploadRecord, keys,
};
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CommonPrefix,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CopyPartResult,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput, MultipartUpload, Part, Range,
    UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

/// The least length of a part that is not the last, as S3 has it.
const LEAST_PART: u64 = 5 << 20;
/// The most parts of an upload, as S3 has it.
const MAX_PARTS: usize = 10_000;

impl Front {
    pub(super) async fn create_upload(
        &self,
        input: CreateMultipartUploadInput,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        convert::key(&input.key)?;
        wishes!(input).check()?;
        let tags = tags::from_header(input.tagging.as_deref())?;
        let headers = convert::headers(convert::said!(input))?;
        let command = Command::OpenUpload {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            headers,
            tags,
            now_ms: convert::now_ms(),
        };
        let reply = self.meta.write(command).await.map_err(errors::meta)?;
        let Reply::Upload(upload) = reply else {
            return Err(s3_error!(InternalError, "an odd answer from the log"));
        };
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(upload.to_string()),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    pub(super) async fn put_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let trailers = request.trailing_headers.clone();
        let announced = announced(&request.headers);
        let input = request.input;
        let upload = upload_id(&input.upload_id)?;
        let number = part_number(input.part_number)?;
        if input.sse_customer_key.is_some() {
            return Err(s3_error!(NotImplemented, "SSE-C is not implemented"));
        }
        let expected = given!(input, trailers, announced);
        let received = self.receive(input.body, expected, false).await?;
        self.keep_part((&input.bucket, &input.key), upload, number, &received)
            .await?;
        let checksum = received.checksum;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(convert::etag(&convert::hex(&received.md5))),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..UploadPartOutput::default()
        }))
    }

    async fn keep_part(
        &self,
        (bucket, key): (&str, &str),
        upload: UploadId,
        number: u16,
        received: &Received,
    ) -> S3Result<u64> {
        let copies = self.data.copies();
        let now_ms = convert::now_ms();
        self.name(&received.placings, |stored| Command::PutPart {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            upload,
            number,
            size: received.size,
            md5: received.md5,
            stored,
            copies,
            now_ms,
        })
        .await?;
        Ok(now_ms)
    }

    /// A part that is a range of an object. Its bytes are read and written again: a range seldom
    /// begins where a chunk does.
    pub(super) async fn copy_part(
        &self,
        input: UploadPartCopyInput,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let upload = upload_id(&input.upload_id)?;
        let number = part_number(input.part_number)?;
        let (bucket, key, version) = copy::source(&input.copy_source)?;
        let Found { view, object, .. } = self.find(bucket, key, version).await?;
        let checked = convert::check_read(
            &object,
            input.copy_source_if_match.as_ref(),
            input.copy_source_if_none_match.as_ref(),
            input.copy_source_if_modified_since.as_ref(),
            input.copy_source_if_unmodified_since.as_ref(),
        );
        // For a copy there is no "not modified": the condition has failed.
        checked.map_err(|_| s3_error!(PreconditionFailed, "the condition does not hold"))?;
        let range = match input.copy_source_range.as_deref().map(Range::parse) {
            None => None,
            Some(Ok(range)) => Some(range),
            Some(Err(_)) => return Err(s3_error!(InvalidArgument, "a malformed range")),
        };
        let (from, to) = span(range.as_ref(), object.size)?;
        let body = self.body(view, &object, from, to).await?;
        let length = i64::try_from(to - from).ok();
        let expected = Expected {
            length,
            ..Expected::default()
        };
        let received = self.receive(Some(body), expected, false).await?;
        let at = self
            .keep_part((&input.bucket, &input.key), upload, number, &received)
            .await?;
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result: Some(CopyPartResult {
                e_tag: Some(convert::etag(&convert::hex(&received.md5))),
                last_modified: Some(convert::timestamp(at)),
                ..CopyPartResult::default()
            }),
            ..UploadPartCopyOutput::default()
        }))
    }

    pub(super) async fn complete_upload(
        &self,
        input: CompleteMultipartUploadInput,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let upload = upload_id(&input.upload_id)?;
        let condition = convert::condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let listed = input
            .multipart_upload
            .and_then(|upload| upload.parts)
            .unwrap_or_default();
        if listed.is_empty() || listed.len() > MAX_PARTS {
            return Err(s3_error!(MalformedXML, "an upload has 1 to 10,000 parts"));
        }
        let mut parts = Vec::with_capacity(listed.len());
        let mut whole = Md5::new();
        for part in listed {
            let wrong = || s3_error!(InvalidPart, "a part is missing or has another entity tag");
            let number = part_number(part.part_number.unwrap_or(0))?;
            let md5 = part
                .e_tag
                .as_ref()
                .and_then(|etag| convert::md5_of(etag.value()));
            let md5 = md5.ok_or_else(wrong)?;
            whole.update(&md5);
            parts.push((number, md5));
        }
        self.check_whole(upload, &parts).await?;
        let etag = format!("{}-{}", convert::hex(&whole.finalize()), parts.len());
        let command = Command::CompleteUpload {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            upload,
            parts,
            etag: etag.clone(),
            now_ms: convert::now_ms(),
            condition,
            least_part: LEAST_PART,
        };
        let reply = self.meta.write(command).await.map_err(errors::meta)?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            version_id: written_version(&reply),
            location: Some(format!("/{}/{}", input.bucket, input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(convert::etag(&etag)),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    /// Each part was held against the cap when it came; all of them together are now.
    async fn check_whole(&self, upload: UploadId, parts: &[(u16, [u8; 16])]) -> S3Result<()> {
        if parts.len() == 1 {
            return Ok(());
        }
        let view = self.meta.read().await.map_err(errors::meta)?;
        let mut size = 0_u64;
        for (number, _) in parts {
            // One that is missing is told by the state machine.
            let part: Option<PartRecord> = super::get::read(&view, &keys::part(upload, *number))?;
            size += part.map_or(0, |part| part.size);
        }
        if size > self.max_object_size {
            return Err(errors::too_large());
        }
        Ok(())
    }

    pub(super) async fn abort_upload(
        &self,
        input: AbortMultipartUploadInput,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let upload = upload_id(&input.upload_id)?;
        let command = Command::AbortUpload {
            bucket: input.bucket,
            key: input.key,
            upload,
        };
        self.meta.write(command).await.map_err(errors::meta)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    pub(super) async fn parts(
        &self,
        input: ListPartsInput,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let upload = upload_id(&input.upload_id)?;
        let max_parts = page_size(input.max_parts)?;
        let marker = input.part_number_marker.unwrap_or(0);
        let view = self.meta.read().await.map_err(errors::meta)?;
        let place = keys::upload(&input.bucket, &input.key, upload);
        if super::get::read::<UploadRecord>(&view, &place)?.is_none() {
            return Err(s3_error!(NoSuchUpload, "there is no such upload"));
        }
        let after = u16::try_from(marker.max(0)).unwrap_or(u16::MAX);
        let limit = usize::try_from(max_parts).unwrap_or(0);
        let (parts, more) =
            listing::parts(&view, upload, after, limit).map_err(|e| failed(StoreError::from(e)))?;
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            max_parts: Some(max_parts),
            part_number_marker: Some(marker),
            is_truncated: Some(more),
            next_part_number_marker: parts.last().map(|(number, _)| i32::from(*number)),
            parts: Some(
                parts
                    .into_iter()
                    .map(|(number, part)| Part {
                        part_number: Some(i32::from(number)),
                        e_tag: Some(convert::etag(&convert::hex(&part.md5))),
                        size: i64::try_from(part.size).ok(),
                        last_modified: Some(convert::timestamp(part.modified_ms)),
                        ..Part::default()
                    })
                    .collect(),
            ),
            ..ListPartsOutput::default()
        }))
    }

    pub(super) async fn uploads(
        &self,
        input: ListMultipartUploadsInput,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let max_uploads = page_size(input.max_uploads)?;
        let url = wants_url(input.encoding_type.as_ref())?;
        let encode = |text: String| {
            if url {
                convert::url_encode(&text)
            } else {
                text
            }
        };
        let view = self.meta.read().await.map_err(errors::meta)?;
        if super::get::read::<BucketRecord>(&view, &keys::bucket(&input.bucket))?.is_none() {
            return Err(s3_error!(NoSuchBucket, "there is no such bucket"));
        }
        let query = Query {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone().unwrap_or_default(),
            after: input.key_marker.clone().unwrap_or_default(),
            limit: usize::try_from(max_uploads).unwrap_or(0),
        };
        let page = listing::uploads(&view, &input.bucket, &query)
            .map_err(|e| failed(StoreError::from(e)))?;
        let mut uploads = Vec::new();
        let mut prefixes = Vec::new();
        for line in page.lines {
            match line {
                Line::Key(key, (id, record)) => uploads.push(MultipartUpload {
                    key: Some(encode(key)),
                    upload_id: Some(id.to_string()),
                    initiated: Some(convert::timestamp(record.created_ms)),
                    ..MultipartUpload::default()
                }),
                Line::Prefix(prefix) => {
                    prefixes.push(CommonPrefix {
                        prefix: Some(encode(prefix)),
                    });
                }
            }
        }
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            key_marker: input.key_marker,
            prefix: input.prefix,
            delimiter: input.delimiter,
            encoding_type: input.encoding_type,
            max_uploads: Some(max_uploads),
            is_truncated: Some(page.next.is_some()),
            next_key_marker: page.next.map(encode),
            uploads: Some(uploads),
            common_prefixes: Some(prefixes),
            ..ListMultipartUploadsOutput::default()
        }))
    }
}

fn upload_id(text: &str) -> S3Result<UploadId> {
    text.parse()
        .map_err(|_| s3_error!(NoSuchUpload, "there is no such upload"))
}

fn part_number(number: i32) -> S3Result<u16> {
    u16::try_from(number)
        .ok()
        .filter(|number| (1..=MAX_PARTS).contains(&usize::from(*number)))
        .ok_or_else(|| s3_error!(InvalidArgument, "a part's number lies between 1 and 10000"))
}
