//! Copies: one entry of the log, whatever the length.

use super::policy::{Wishes, wishes};
use super::put::written_version;
use super::{Front, convert, errors, tags};
use planaria_storage_core::{self as core, Command, Reply, VersionId};
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, ETagCondition,
    MetadataDirective, TaggingDirective,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

impl Front {
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
        let (bucket, key, source_version) = source(&input.copy_source)?;
        let source_key = input.copy_source_sse_customer_key.as_ref();
        let wishes = wishes!(input);
        Wishes {
            customer_key: wishes.customer_key.or(source_key),
            ..wishes
        }
        .check()?;
        let replace_tags = input
            .tagging_directive
            .as_ref()
            .is_some_and(|directive| directive.as_str() == TaggingDirective::REPLACE);
        if input.tagging.is_some() && !replace_tags {
            return Err(s3_error!(
                InvalidArgument,
                "tags need x-amz-tagging-directive: REPLACE"
            ));
        }
        let tags = replace_tags
            .then(|| tags::from_header(input.tagging.as_deref()))
            .transpose()?;
        let source = core::CopySource {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version: source_version,
            condition: convert::condition(
                input.copy_source_if_match.as_ref(),
                input.copy_source_if_none_match.as_ref(),
            )?,
            modified_after_ms: input
                .copy_source_if_modified_since
                .as_ref()
                .and_then(convert::to_ms),
            unmodified_after_ms: input
                .copy_source_if_unmodified_since
                .as_ref()
                .and_then(convert::to_ms),
        };
        let replace = input
            .metadata_directive
            .as_ref()
            .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
        let same = bucket == input.bucket && key == input.key;
        if same && !replace && !replace_tags && source_version.is_none() {
            return Err(s3_error!(
                InvalidRequest,
                "a copy onto itself must replace the metadata"
            ));
        }
        let headers = if replace {
            Some(convert::headers(convert::said!(input))?)
        } else {
            None
        };
        let command = Command::Copy {
            source,
            target: (input.bucket, input.key),
            headers,
            tags,
            now_ms: convert::now_ms(),
            condition,
        };
        let reply = self.meta.write(command).await.map_err(errors::meta)?;
        let version_id = written_version(&reply);
        let Reply::Written {
            etag, modified_ms, ..
        } = reply
        else {
            return Err(s3_error!(InternalError, "an odd answer from the log"));
        };
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(CopyObjectResult {
                e_tag: Some(convert::etag(&etag)),
                last_modified: Some(convert::timestamp(modified_ms)),
                ..CopyObjectResult::default()
            }),
            version_id,
            copy_source_version_id: source_version.map(|version| version.to_string()),
            ..CopyObjectOutput::default()
        }))
    }
}

/// Bucket, key and version that are to be copied, whole or as a part.
pub(super) fn source(source: &CopySource) -> S3Result<(&str, &str, Option<VersionId>)> {
    match source {
        CopySource::Bucket {
            bucket,
            key,
            version_id,
        } => Ok((bucket, key, convert::version(version_id.as_deref())?)),
        _ => Err(s3_error!(
            NotImplemented,
            "only plain sources can be copied"
        )),
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
