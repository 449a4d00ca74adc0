//! Tags of objects and buckets.

use super::{Front, convert, errors};
use planaria_storage_core::{BucketChange, BucketSettings, Command, Reply, Tags, VersionId, keys};
use s3s::dto::{
    DeleteBucketTaggingInput, DeleteBucketTaggingOutput, DeleteObjectTaggingInput,
    DeleteObjectTaggingOutput, GetBucketTaggingInput, GetBucketTaggingOutput,
    GetObjectTaggingInput, GetObjectTaggingOutput, PutBucketTaggingInput, PutBucketTaggingOutput,
    PutObjectTaggingInput, PutObjectTaggingOutput, Tag,
};
use s3s::{S3Response, S3Result, s3_error};

/// How many tags an object may have, as S3 has it.
const MAX_OBJECT_TAGS: usize = 10;
/// How many tags a bucket may have, as S3 has it.
const MAX_BUCKET_TAGS: usize = 50;
/// The longest name and value, in characters, as S3 has it.
const MAX_NAME: usize = 128;
const MAX_VALUE: usize = 256;

/// The tags of a request's body.
fn from_set(set: Vec<Tag>, limit: usize) -> S3Result<Tags> {
    let pairs = set
        .into_iter()
        .map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default()));
    checked(pairs, limit)
}

/// The tags of an `x-amz-tagging` header: an encoded query.
pub(super) fn from_header(header: Option<&str>) -> S3Result<Tags> {
    let pieces = header.unwrap_or_default().split('&');
    let pairs: Option<Vec<(String, String)>> = pieces
        .filter(|piece| !piece.is_empty())
        .map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            Some((decoded(name)?, decoded(value)?))
        })
        .collect();
    let pairs = pairs.ok_or_else(|| s3_error!(InvalidArgument, "malformed tags"))?;
    checked(pairs.into_iter(), MAX_OBJECT_TAGS)
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn checked(pairs: impl Iterator<Item = (String, String)>, limit: usize) -> S3Result<Tags> {
    let mut tags = Tags::new();
    for (name, value) in pairs {
        let (long, wide) = (name.chars().count(), value.chars().count());
        if name.is_empty() || long > MAX_NAME || wide > MAX_VALUE {
            return Err(s3_error!(
                InvalidTag,
                "a tag has a name of 1 to 128 characters and a value of at most 256"
            ));
        }
        if tags.insert(name, value).is_some() {
            return Err(s3_error!(InvalidTag, "a tag is named twice"));
        }
    }
    if tags.len() > limit {
        return Err(s3_error!(InvalidTag, "there are more than {limit} tags"));
    }
    Ok(tags)
}

fn to_set(tags: Tags) -> Vec<Tag> {
    tags.into_iter()
        .map(|(key, value)| Tag {
            key: Some(key),
            value: Some(value),
        })
        .collect()
}

impl Front {
    pub(super) async fn object_tags(
        &self,
        input: GetObjectTaggingInput,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let version = convert::version(input.version_id.as_deref())?;
        let found = self.find(&input.bucket, &input.key, version).await?;
        Ok(S3Response::new(GetObjectTaggingOutput {
            tag_set: to_set(found.attributes.tags),
            version_id: found.version.map(|version| version.to_string()),
        }))
    }

    pub(super) async fn tag_object(
        &self,
        input: PutObjectTaggingInput,
    ) -> S3Result<S3Response<PutObjectTaggingOutput>> {
        let tags = from_set(input.tagging.tag_set, MAX_OBJECT_TAGS)?;
        let version = convert::version(input.version_id.as_deref())?;
        let tagged = self
            .set_tags(input.bucket, input.key, version, tags)
            .await?;
        Ok(S3Response::new(PutObjectTaggingOutput {
            version_id: tagged.map(|version| version.to_string()),
        }))
    }

    pub(super) async fn untag_object(
        &self,
        input: DeleteObjectTaggingInput,
    ) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
        let version = convert::version(input.version_id.as_deref())?;
        let tagged = self
            .set_tags(input.bucket, input.key, version, Tags::new())
            .await?;
        Ok(S3Response::new(DeleteObjectTaggingOutput {
            version_id: tagged.map(|version| version.to_string()),
        }))
    }

    async fn set_tags(
        &self,
        bucket: String,
        key: String,
        version: Option<VersionId>,
        tags: Tags,
    ) -> S3Result<Option<VersionId>> {
        convert::key(&key)?;
        let command = Command::TagObject {
            bucket,
            key,
            version,
            tags,
        };
        match self.meta.write(command).await.map_err(errors::meta)? {
            Reply::Written { version, .. } => Ok(version),
            _ => Err(s3_error!(InternalError, "an odd answer from the log")),
        }
    }

    pub(super) async fn bucket_tags(
        &self,
        input: GetBucketTaggingInput,
    ) -> S3Result<S3Response<GetBucketTaggingOutput>> {
        let settings = self.settings(&input.bucket).await?;
        if settings.tags.is_empty() {
            return Err(s3_error!(NoSuchTagSet, "the bucket has no tags"));
        }
        let tag_set = to_set(settings.tags);
        Ok(S3Response::new(GetBucketTaggingOutput { tag_set }))
    }

    pub(super) async fn tag_bucket(
        &self,
        input: PutBucketTaggingInput,
    ) -> S3Result<S3Response<PutBucketTaggingOutput>> {
        let tags = from_set(input.tagging.tag_set, MAX_BUCKET_TAGS)?;
        self.set_bucket(input.bucket, BucketChange::Tags(tags))
            .await?;
        Ok(S3Response::new(PutBucketTaggingOutput::default()))
    }

    pub(super) async fn untag_bucket(
        &self,
        input: DeleteBucketTaggingInput,
    ) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
        self.set_bucket(input.bucket, BucketChange::Tags(Tags::new()))
            .await?;
        Ok(S3Response::new(DeleteBucketTaggingOutput::default()))
    }

    pub(super) async fn set_bucket(&self, bucket: String, change: BucketChange) -> S3Result<()> {
        let command = Command::SetBucket { bucket, change };
        self.meta
            .write(command)
            .await
            .map(drop)
            .map_err(errors::meta)
    }

    /// What a bucket was told.
    pub(super) async fn settings(&self, bucket: &str) -> S3Result<BucketSettings> {
        self.bucket_exists(bucket).await?;
        let view = self.meta.read().await.map_err(errors::meta)?;
        Ok(super::get::read(&view, &keys::settings(bucket))?.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_from_a_header_and_bad_ones_refused() {
        let tags = from_header(Some("a=1&b%20c=%C3%BC&d")).unwrap();
        assert_eq!(tags["b c"], "ü");
        assert_eq!(tags["d"], "");
        assert!(from_header(None).unwrap().is_empty());
        let long = format!("{}=1", "x".repeat(129));
        let many: Vec<String> = (0..11).map(|n| format!("k{n}=1")).collect();
        for bad in [
            "a=%2",
            "a=%zz",
            "a=%FF",
            "a=1&a=2",
            "=1",
            &long,
            &many.join("&"),
        ] {
            assert!(from_header(Some(bad)).is_err(), "{bad}");
        }
    }
}
