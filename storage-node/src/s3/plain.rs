//! The same operations for the line protocol: no XML, no headers.

use super::receive::Expected;
use super::{Front, Gate, convert, errors};
use crate::data::Placing;
use bytes::Bytes;
use planaria_storage_core::listing::{self, Line, Query};
use planaria_storage_core::{
    Attributes, BucketRecord, Command, Condition, Data, ObjectHeaders, ObjectRecord, Tags, keys,
};
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3Result, s3_error};

/// How many keys a listing has at most.
const MAX_LISTED: usize = 1000;

impl Front {
    /// Puts an object from a stream of `length` bytes; answers its entity tag.
    ///
    /// # Errors
    /// S3's.
    pub async fn push(
        &self,
        bucket: &str,
        key: &str,
        body: StreamingBlob,
        length: u64,
    ) -> S3Result<String> {
        convert::key(key)?;
        self.bucket_seems_to_exist(bucket).await?;
        let expected = Expected {
            length: i64::try_from(length).ok(),
            ..Expected::default()
        };
        let received = self.receive(Some(body), expected, true).await?;
        let etag = convert::hex(&received.md5);
        let data = match received.inline {
            Some(bytes) => Data::Inline(bytes),
            None => Data::Chunks(received.placings.iter().map(Placing::chunk).collect()),
        };
        let object = ObjectRecord {
            size: received.size,
            etag: etag.clone(),
            modified_ms: convert::now_ms(),
            headers: ObjectHeaders::default(),
            data,
        };
        let copies = self.data.copies();
        self.name(&received.placings, |stored| Command::Put {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            object: object.clone(),
            attributes: Attributes::default(),
            stored,
            copies,
            condition: Condition::Always,
        })
        .await?;
        Ok(etag)
    }

    /// The length of an object and its bytes.
    ///
    /// # Errors
    /// S3's.
    pub async fn pull(&self, bucket: &str, key: &str) -> S3Result<(u64, StreamingBlob)> {
        let found = self.find(bucket, key, None).await?;
        let size = found.object.size;
        let body = self.body(found.view, &found.object, 0, size).await?;
        Ok((size, body))
    }

    /// The first keys of a bucket that begin with a prefix: length and key on each line.
    ///
    /// # Errors
    /// S3's.
    pub async fn lines(&self, bucket: &str, prefix: &str) -> S3Result<String> {
        let view = self.meta.read().await.map_err(errors::meta)?;
        if super::get::read::<BucketRecord>(&view, &keys::bucket(bucket))?.is_none() {
            return Err(s3_error!(NoSuchBucket, "there is no such bucket"));
        }
        let query = Query {
            prefix: prefix.to_owned(),
            limit: MAX_LISTED,
            ..Query::default()
        };
        let bucket = bucket.to_owned();
        let page = tokio::task::spawn_blocking(move || listing::objects(&view, &bucket, &query));
        let page = page
            .await
            .map_err(S3Error::internal_error)?
            .map_err(|e| super::get::failed(e.into()))?;
        let mut lines = String::new();
        for line in page.lines {
            if let Line::Key(key, object) = line {
                lines.push_str(&format!("{} {}\n", object.size, convert::url_encode(&key)));
            }
        }
        Ok(lines)
    }

    /// The tags of an object.
    ///
    /// # Errors
    /// S3's.
    pub async fn tags(&self, bucket: &str, key: &str) -> S3Result<Tags> {
        Ok(self.find(bucket, key, None).await?.attributes.tags)
    }

    /// Deletes an object; none there is no error.
    ///
    /// # Errors
    /// S3's.
    pub async fn remove(&self, bucket: &str, key: &str) -> S3Result<()> {
        convert::key(key)?;
        let command = Command::Delete {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            version: None,
            now_ms: convert::now_ms(),
            condition: Condition::Always,
        };
        self.meta
            .write(command)
            .await
            .map(drop)
            .map_err(errors::meta)
    }
}

/// A body that comes piece by piece from elsewhere.
pub fn body(
    mut pieces: tokio::sync::mpsc::Receiver<Result<Bytes, std::io::Error>>,
) -> StreamingBlob {
    StreamingBlob::wrap(futures::stream::poll_fn(move |context| {
        pieces.poll_recv(context)
    }))
}

impl Gate {
    /// The secret of an access key.
    ///
    /// # Errors
    /// S3's.
    pub async fn secret(&self, id: &str) -> S3Result<String> {
        use s3s::auth::S3Auth;
        Ok(self.get_secret_key(id).await?.expose().to_owned())
    }

    /// Whether a key may do this, in S3's words.
    ///
    /// # Errors
    /// S3's.
    pub async fn allows(&self, id: &str, operation: &str, bucket: &str) -> S3Result<bool> {
        if self.is_first(id) {
            return Ok(true);
        }
        let key = self.key(id).await?;
        Ok(key.is_some_and(|key| super::auth::may(&key, operation, Some(bucket))))
    }
}
