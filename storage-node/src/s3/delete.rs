//! Deleting: one key, or up to a thousand.

use super::{Front, convert, errors};
use crate::meta::MetaError;
use futures::{StreamExt, stream};
use planaria_storage_core::{Command, Condition, Refusal, Reply, VersionId};
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    Error,
};
use s3s::{S3Response, S3Result, s3_error};

/// How many keys one request may delete, as S3 has it.
const MAX_DELETE: usize = 1000;
/// How many of them are under way at once.
const DELETES_AT_ONCE: usize = 16;

impl Front {
    async fn delete_one(
        &self,
        bucket: &str,
        key: &str,
        version: Option<VersionId>,
        condition: Condition,
    ) -> Result<(Option<VersionId>, bool), MetaError> {
        let command = Command::Delete {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version,
            now_ms: convert::now_ms(),
            condition,
        };
        Ok(match self.meta.write(command).await? {
            Reply::Deleted { version, marker } => (version, marker),
            _ => (None, false),
        })
    }

    pub(super) async fn delete(
        &self,
        input: DeleteObjectInput,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        convert::key(&input.key)?;
        if input.if_match_size.is_some() || input.if_match_last_modified_time.is_some() {
            return Err(s3_error!(
                NotImplemented,
                "these conditions are not implemented"
            ));
        }
        let condition = convert::condition(input.if_match.as_ref(), None)?;
        let version = convert::version(input.version_id.as_deref())?;
        let (version, marker) = self
            .delete_one(&input.bucket, &input.key, version, condition)
            .await
            .map_err(errors::meta)?;
        Ok(S3Response::new(DeleteObjectOutput {
            delete_marker: marker.then_some(true),
            version_id: version.map(|version| version.to_string()),
            ..DeleteObjectOutput::default()
        }))
    }

    pub(super) async fn delete_many(
        &self,
        input: DeleteObjectsInput,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let objects = input.delete.objects;
        if objects.is_empty() || objects.len() > MAX_DELETE {
            return Err(s3_error!(
                MalformedXML,
                "1 to 1000 keys can be deleted at once"
            ));
        }
        self.bucket_exists(&input.bucket).await?;
        let bucket = &input.bucket;
        let mut results = stream::iter(objects.into_iter().map(|object| async move {
            let done = async {
                convert::key(&object.key)?;
                let condition = match &object.e_tag {
                    Some(etag) => Condition::Matches(etag.value().to_owned()),
                    None => Condition::Always,
                };
                let version = convert::version(object.version_id.as_deref())?;
                match self
                    .delete_one(bucket, &object.key, version, condition)
                    .await
                {
                    Err(MetaError::Refused(Refusal::NoSuchKey)) => Ok((None, false)),
                    other => other.map_err(errors::meta),
                }
            };
            let done: S3Result<_> = done.await;
            (object, done)
        }))
        .buffered(DELETES_AT_ONCE);
        let mut deleted = Vec::new();
        let mut errors_ = Vec::new();
        while let Some((object, done)) = results.next().await {
            let key = Some(object.key);
            match done {
                Ok((version, marker)) => {
                    let version = version.map(|version| version.to_string());
                    deleted.push(DeletedObject {
                        key,
                        delete_marker: marker.then_some(true),
                        delete_marker_version_id: version.filter(|_| marker),
                        version_id: object.version_id,
                    });
                }
                Err(error) => {
                    errors_.push(Error {
                        key,
                        code: Some(error.code().as_str().to_owned()),
                        message: error.message().map(str::to_owned),
                        version_id: object.version_id,
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
}
