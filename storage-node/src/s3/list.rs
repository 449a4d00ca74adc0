//! Listings of objects.

use super::get::failed;
use super::{Front, convert, errors};
use crate::meta::StoreError;
use planaria_storage_core::listing::{self, Line, Page, Query};
use planaria_storage_core::{BucketRecord, ObjectRecord, keys};
use s3s::dto::{
    CommonPrefix, EncodingType, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
    ListObjectsV2Output, Object, ObjectStorageClass,
};
use s3s::{S3Response, S3Result, s3_error};

/// How many keys a page has at most, as S3 has it.
const MAX_KEYS: i32 = 1000;
/// What a continuation token begins with: the rest is the key to go on behind.
const TOKEN: &str = "1-";

/// Either of the two listings, in their common terms.
struct Listed {
    contents: Vec<Object>,
    prefixes: Vec<CommonPrefix>,
    next: Option<String>,
    encoding: Option<EncodingType>,
}

impl Front {
    pub(super) async fn list_v2(
        &self,
        input: ListObjectsV2Input,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let after = match &input.continuation_token {
            Some(token) => token_key(token)?,
            None => input.start_after.clone().unwrap_or_default(),
        };
        let max_keys = page_size(input.max_keys)?;
        let url = wants_url(input.encoding_type.as_ref())?;
        let listed = self
            .list(
                &input.bucket,
                input.prefix.as_deref(),
                input.delimiter.as_deref(),
                after,
                max_keys,
                (url, input.fetch_owner == Some(true)),
            )
            .await?;
        let count = listed.contents.len() + listed.prefixes.len();
        let encode =
            |text: Option<String>| text.map(|t| if url { convert::url_encode(&t) } else { t });
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(encode(input.prefix).unwrap_or_default()),
            delimiter: encode(input.delimiter),
            start_after: encode(input.start_after),
            max_keys: Some(max_keys),
            key_count: i32::try_from(count).ok(),
            continuation_token: input.continuation_token,
            is_truncated: Some(listed.next.is_some()),
            next_continuation_token: listed.next.map(|key| key_token(&key)),
            contents: Some(listed.contents),
            common_prefixes: Some(listed.prefixes),
            encoding_type: listed.encoding,
            ..ListObjectsV2Output::default()
        }))
    }

    pub(super) async fn list_v1(
        &self,
        input: ListObjectsInput,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let max_keys = page_size(input.max_keys)?;
        let url = wants_url(input.encoding_type.as_ref())?;
        let after = input.marker.clone().unwrap_or_default();
        let listed = self
            .list(
                &input.bucket,
                input.prefix.as_deref(),
                input.delimiter.as_deref(),
                after,
                max_keys,
                (url, true),
            )
            .await?;
        let encode =
            |text: Option<String>| text.map(|t| if url { convert::url_encode(&t) } else { t });
        Ok(S3Response::new(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: Some(encode(input.prefix).unwrap_or_default()),
            marker: Some(encode(input.marker).unwrap_or_default()),
            delimiter: encode(input.delimiter),
            max_keys: Some(max_keys),
            is_truncated: Some(listed.next.is_some()),
            next_marker: encode(listed.next),
            contents: Some(listed.contents),
            common_prefixes: Some(listed.prefixes),
            encoding_type: listed.encoding,
            ..ListObjectsOutput::default()
        }))
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: Option<&str>,
        delimiter: Option<&str>,
        after: String,
        max_keys: i32,
        (url, owner): (bool, bool),
    ) -> S3Result<Listed> {
        let view = self.meta.read().await.map_err(errors::meta)?;
        if super::get::read::<BucketRecord>(&view, &keys::bucket(bucket))?.is_none() {
            return Err(s3_error!(NoSuchBucket, "there is no such bucket"));
        }
        let query = Query {
            prefix: prefix.unwrap_or_default().to_owned(),
            delimiter: delimiter.unwrap_or_default().to_owned(),
            after,
            limit: usize::try_from(max_keys).unwrap_or(0),
        };
        let bucket = bucket.to_owned();
        let page = tokio::task::spawn_blocking(move || listing::objects(&view, &bucket, &query))
            .await
            .map_err(s3s::S3Error::internal_error)?
            .map_err(|e| failed(StoreError::from(e)))?;
        Ok(listed(page, url, owner))
    }
}

fn listed(page: Page<ObjectRecord>, url: bool, owner: bool) -> Listed {
    let encode = |text: String| {
        if url {
            convert::url_encode(&text)
        } else {
            text
        }
    };
    let mut out = Listed {
        contents: Vec::new(),
        prefixes: Vec::new(),
        next: page.next,
        encoding: url.then(|| EncodingType::from_static(EncodingType::URL)),
    };
    for line in page.lines {
        match line {
            Line::Key(key, object) => out.contents.push(Object {
                key: Some(encode(key)),
                e_tag: Some(convert::etag(&object.etag)),
                size: i64::try_from(object.size).ok(),
                last_modified: Some(convert::timestamp(object.modified_ms)),
                storage_class: Some(ObjectStorageClass::from_static(
                    ObjectStorageClass::STANDARD,
                )),
                owner: owner.then(convert::owner),
                ..Object::default()
            }),
            Line::Prefix(prefix) => {
                out.prefixes.push(CommonPrefix {
                    prefix: Some(encode(prefix)),
                });
            }
        }
    }
    out
}

pub(super) fn page_size(asked: Option<i32>) -> S3Result<i32> {
    match asked {
        None => Ok(MAX_KEYS),
        Some(n) if n < 0 => Err(s3_error!(InvalidArgument, "a page has no negative size")),
        Some(n) => Ok(n.min(MAX_KEYS)),
    }
}

pub(super) fn wants_url(encoding: Option<&EncodingType>) -> S3Result<bool> {
    match encoding.map(EncodingType::as_str) {
        None => Ok(false),
        Some(EncodingType::URL) => Ok(true),
        Some(_) => Err(s3_error!(InvalidArgument, "the only encoding-type is url")),
    }
}

fn key_token(key: &str) -> String {
    let hex: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{TOKEN}{hex}")
}

fn token_key(token: &str) -> S3Result<String> {
    let wrong = || s3_error!(InvalidArgument, "this continuation token is none of ours");
    let hex = token
        .strip_prefix(TOKEN)
        .filter(|hex| hex.is_ascii())
        .ok_or_else(wrong)?;
    let bytes: Option<Vec<u8>> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok())
        .collect();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_a_forged_one_refused() {
        assert_eq!(token_key(&key_token("a/ü")).unwrap(), "a/ü");
        for bad in ["", "1-f", "1-zz", "2-00", "1-ff", "1-é"] {
            assert!(token_key(bad).is_err(), "{bad}");
        }
    }
}
