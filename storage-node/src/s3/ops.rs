//! The operations, as `s3s` calls them.

use super::get::{failed, read};
use super::{Front, convert, errors};
use crate::meta::{MetaError, StoreError};
use futures::StreamExt;
use futures::stream;
use planaria_storage_core::machine::{MAX_BUCKETS, keys_with};
use planaria_storage_core::{BucketRecord, Command, Condition, Refusal, keys};
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};

/// How many keys one request may delete, as S3 has it.
const MAX_DELETE: usize = 1000;
/// How many of them are under way at once.
const DELETES_AT_ONCE: usize = 16;

impl Front {
    /// Answers early that a bucket is missing: before its body is received, not after.
    pub(super) async fn bucket_exists(&self, bucket: &str) -> S3Result<BucketRecord> {
        let view = self.meta.read().await.map_err(errors::meta)?;
        read(&view, &keys::bucket(bucket))?
            .ok_or_else(|| s3_error!(NoSuchBucket, "there is no such bucket"))
    }

    async fn delete_one(
        &self,
        bucket: &str,
        key: &str,
        condition: Condition,
    ) -> Result<(), MetaError> {
        let command = Command::DeleteObject {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            condition,
        };
        self.meta.write(command).await.map(drop)
    }

    async fn buckets(&self) -> S3Result<Vec<Bucket>> {
        let view = self.meta.read().await.map_err(errors::meta)?;
        let found = keys_with(&view, &[keys::BUCKET], &[], MAX_BUCKETS)
            .map_err(|e| failed(StoreError::from(e)))?;
        let mut buckets = Vec::new();
        for key in found {
            let Some(record) = read::<BucketRecord>(&view, &key)? else {
                continue;
            };
            buckets.push(Bucket {
                name: String::from_utf8(key[1..].to_vec()).ok(),
                creation_date: Some(convert::timestamp(record.created_ms)),
                ..Bucket::default()
            });
        }
        Ok(buckets)
    }
}

#[async_trait::async_trait]
impl S3 for Front {
    async fn create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let input = req.input;
        if input.object_lock_enabled_for_bucket == Some(true) {
            return Err(s3_error!(NotImplemented, "object lock is not implemented"));
        }
        let location = format!("/{}", input.bucket);
        let command = Command::CreateBucket {
            bucket: input.bucket,
            now_ms: convert::now_ms(),
        };
        self.meta.write(command).await.map_err(errors::meta)?;
        Ok(S3Response::new(CreateBucketOutput {
            location: Some(location),
        }))
    }

    async fn head_bucket(
        &self,
        req: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.bucket_exists(&req.input.bucket).await?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.bucket_exists(&req.input.bucket).await?;
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn delete_bucket(
        &self,
        req: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        let command = Command::DeleteBucket {
            bucket: req.input.bucket,
        };
        self.meta.write(command).await.map_err(errors::meta)?;
        Ok(S3Response::new(DeleteBucketOutput::default()))
    }

    async fn list_buckets(
        &self,
        _req: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let buckets = Some(self.buckets().await?);
        Ok(S3Response::new(ListBucketsOutput {
            buckets,
            ..ListBucketsOutput::default()
        }))
    }

    async fn put_object(
        &self,
        req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        self.put(req).await
    }

    async fn get_object(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        self.get(req).await
    }

    async fn head_object(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.head(req).await
    }

    async fn copy_object(
        &self,
        req: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        self.copy(req).await
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = req.input;
        convert::key(&input.key)?;
        if input.version_id.is_some()
            || input.if_match_size.is_some()
            || input.if_match_last_modified_time.is_some()
        {
            return Err(s3_error!(
                NotImplemented,
                "versions and these conditions are not implemented"
            ));
        }
        let condition = convert::condition(input.if_match.as_ref(), None)?;
        self.delete_one(&input.bucket, &input.key, condition)
            .await
            .map_err(errors::meta)?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = req.input;
        let objects = input.delete.objects;
        if objects.is_empty() || objects.len() > MAX_DELETE {
            return Err(s3_error!(
                MalformedXML,
                "1 to 1000 keys can be deleted at once"
            ));
        }
        if objects.iter().any(|object| object.version_id.is_some()) {
            return Err(s3_error!(NotImplemented, "versions are not implemented"));
        }
        self.bucket_exists(&input.bucket).await?;
        let bucket = &input.bucket;
        let mut results = stream::iter(objects.into_iter().map(|object| async move {
            let condition = match &object.e_tag {
                Some(etag) => Condition::Matches(etag.value().to_owned()),
                None => Condition::Always,
            };
            let done = self.delete_one(bucket, &object.key, condition).await;
            (object.key, done)
        }))
        .buffered(DELETES_AT_ONCE);
        let mut deleted = Vec::new();
        let mut errors_ = Vec::new();
        while let Some((key, done)) = results.next().await {
            match done {
                Ok(()) | Err(MetaError::Refused(Refusal::NoSuchKey)) => {
                    deleted.push(DeletedObject {
                        key: Some(key),
                        ..DeletedObject::default()
                    });
                }
                Err(error) => {
                    let error = errors::meta(error);
                    errors_.push(Error {
                        key: Some(key),
                        code: Some(error.code().as_str().to_owned()),
                        message: error.message().map(str::to_owned),
                        ..Error::default()
                    });
                }
            }
        }
        if input.delete.quiet == Some(true) {
            deleted.clear();
        }
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: Some(deleted),
            errors: Some(errors_),
            ..DeleteObjectsOutput::default()
        }))
    }

    async fn list_objects(
        &self,
        req: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        self.list_v1(req.input).await
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.list_v2(req.input).await
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.create_upload(req.input).await
    }

    async fn upload_part(
        &self,
        req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        self.put_part(req).await
    }

    async fn upload_part_copy(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        self.copy_part(req.input).await
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.complete_upload(req.input).await
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.abort_upload(req.input).await
    }

    async fn list_parts(
        &self,
        req: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        self.parts(req.input).await
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        self.uploads(req.input).await
    }
}
