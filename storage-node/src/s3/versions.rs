//! Versions: listing them, and whether a bucket keeps them.

use super::get::failed;
use super::list::{page_size, wants_url};
use super::{Front, convert, errors};
use crate::meta::StoreError;
use planaria_storage_core::history::{self, Line};
use planaria_storage_core::listing::Query;
use planaria_storage_core::{BucketChange, BucketRecord, Versioning, keys};
use s3s::dto::{
    BucketVersioningStatus, CommonPrefix, DeleteMarkerEntry, EncodingType,
    GetBucketVersioningInput, GetBucketVersioningOutput, ListObjectVersionsInput,
    ListObjectVersionsOutput, ObjectVersion, ObjectVersionStorageClass, PutBucketVersioningInput,
    PutBucketVersioningOutput,
};
use s3s::{S3Response, S3Result, s3_error};

impl Front {
    pub(super) async fn get_versioning(
        &self,
        input: GetBucketVersioningInput,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        let status = match self.settings(&input.bucket).await?.versioning {
            Versioning::Off => None,
            Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
            Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
        };
        Ok(S3Response::new(GetBucketVersioningOutput {
            status: status.map(BucketVersioningStatus::from_static),
            ..GetBucketVersioningOutput::default()
        }))
    }

    pub(super) async fn set_versioning(
        &self,
        input: PutBucketVersioningInput,
    ) -> S3Result<S3Response<PutBucketVersioningOutput>> {
        let asked = input.versioning_configuration;
        if asked
            .mfa_delete
            .is_some_and(|mfa| mfa.as_str() != "Disabled")
        {
            return Err(s3_error!(NotImplemented, "MFA is not implemented"));
        }
        let versioning = match asked.status.as_ref().map(BucketVersioningStatus::as_str) {
            Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
            Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
            _ => {
                return Err(s3_error!(
                    MalformedXML,
                    "the status is Enabled or Suspended"
                ));
            }
        };
        self.set_bucket(input.bucket, BucketChange::Versioning(versioning))
            .await?;
        Ok(S3Response::new(PutBucketVersioningOutput::default()))
    }

    pub(super) async fn versions(
        &self,
        input: ListObjectVersionsInput,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let max_keys = page_size(input.max_keys)?;
        let url = wants_url(input.encoding_type.as_ref())?;
        let marker = input
            .version_id_marker
            .as_deref()
            .filter(|version| !version.is_empty());
        let marker = convert::version(marker)?;
        if marker.is_some() && input.key_marker.as_deref().unwrap_or_default().is_empty() {
            return Err(s3_error!(
                InvalidArgument,
                "a version-id-marker needs a key-marker"
            ));
        }
        let query = Query {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: input.delimiter.clone().unwrap_or_default(),
            after: input.key_marker.clone().unwrap_or_default(),
            limit: usize::try_from(max_keys).unwrap_or(0),
        };
        let view = self.meta.read().await.map_err(errors::meta)?;
        if super::get::read::<BucketRecord>(&view, &keys::bucket(&input.bucket))?.is_none() {
            return Err(s3_error!(NoSuchBucket, "there is no such bucket"));
        }
        let bucket = input.bucket.clone();
        let listed =
            tokio::task::spawn_blocking(move || history::versions(&view, &bucket, &query, marker));
        let page = listed
            .await
            .map_err(s3s::S3Error::internal_error)?
            .map_err(|e| failed(StoreError::from(e)))?;
        let encode = |text: String| {
            if url {
                convert::url_encode(&text)
            } else {
                text
            }
        };
        let mut output = ListObjectVersionsOutput {
            name: Some(input.bucket),
            prefix: Some(encode(input.prefix.unwrap_or_default())),
            delimiter: input.delimiter.map(encode),
            key_marker: Some(encode(input.key_marker.unwrap_or_default())),
            version_id_marker: input.version_id_marker,
            max_keys: Some(max_keys),
            is_truncated: Some(page.next.is_some()),
            encoding_type: url.then(|| EncodingType::from_static(EncodingType::URL)),
            ..ListObjectVersionsOutput::default()
        };
        if let Some((key, version)) = page.next {
            output.next_key_marker = Some(encode(key));
            output.next_version_id_marker = version.map(|version| version.to_string());
        }
        let (mut versions, mut markers, mut prefixes) = (Vec::new(), Vec::new(), Vec::new());
        for line in page.lines {
            match line {
                Line::Prefix(prefix) => prefixes.push(CommonPrefix {
                    prefix: Some(encode(prefix)),
                }),
                Line::Version {
                    key,
                    latest,
                    record,
                } => {
                    let version = Some(record.attributes.version.to_string());
                    let last_modified = Some(convert::timestamp(record.modified_ms));
                    match record.object {
                        Some(object) => versions.push(ObjectVersion {
                            key: Some(encode(key)),
                            version_id: version,
                            is_latest: Some(latest),
                            last_modified,
                            e_tag: Some(convert::etag(&object.etag)),
                            size: i64::try_from(object.size).ok(),
                            storage_class: Some(ObjectVersionStorageClass::from_static(
                                ObjectVersionStorageClass::STANDARD,
                            )),
                            owner: Some(convert::owner()),
                            ..ObjectVersion::default()
                        }),
                        None => markers.push(DeleteMarkerEntry {
                            key: Some(encode(key)),
                            version_id: version,
                            is_latest: Some(latest),
                            last_modified,
                            owner: Some(convert::owner()),
                        }),
                    }
                }
            }
        }
        output.versions = Some(versions);
        output.delete_markers = Some(markers);
        output.common_prefixes = Some(prefixes);
        Ok(S3Response::new(output))
    }
}
