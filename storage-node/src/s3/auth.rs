//! Who is let in: the cluster's own pair of keys, and those of `storage-node key create`.

use crate::config::Secrets;
use crate::meta::Meta;
use planaria_storage_core::machine::read;
use planaria_storage_core::{AccessKey, keys};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::host::{S3Host, VirtualHost};
use s3s::path::S3Path;
use s3s::{S3Result, s3_error};
use std::sync::Arc;

/// How many bytes of a signature's access key are looked up at most.
const MAX_ID: usize = 128;

/// Who is let in.
#[derive(Clone)]
pub struct Gate {
    meta: Meta,
    access_key: Arc<str>,
    secret_key: SecretKey,
    region: Option<String>,
    domain: Option<String>,
}

impl Gate {
    /// Whoever signs with a pair of keys of the cluster, for the region if one is set. With a
    /// domain, buckets may stand in the host's name before it.
    #[must_use]
    pub fn new(
        meta: Meta,
        secrets: &Secrets,
        region: Option<String>,
        domain: Option<String>,
    ) -> Self {
        Self {
            meta,
            access_key: secrets.access_key.as_str().into(),
            secret_key: SecretKey::from(&*secrets.secret_key),
            region,
            domain: domain.map(|domain| domain.to_ascii_lowercase()),
        }
    }

    /// Whether this is the access key of the secrets' file.
    pub(super) fn is_first(&self, id: &str) -> bool {
        id == &*self.access_key
    }

    /// The pair of keys that was made under this name. A node that is behind asks once for what
    /// is agreed.
    pub(super) async fn key(&self, id: &str) -> S3Result<Option<AccessKey>> {
        if id.len() > MAX_ID {
            return Ok(None);
        }
        let place = keys::access(id);
        let view = self
            .meta
            .stale()
            .map_err(|e| super::errors::meta(e.into()))?;
        if let Some(key) = super::get::read(&view, &place)? {
            return Ok(Some(key));
        }
        drop(view);
        let view = self.meta.read().await.map_err(super::errors::meta)?;
        read(&view, &place).map_err(|e| super::get::failed(e.into()))
    }

    fn check_region(&self, context: &S3AccessContext<'_>) -> S3Result<()> {
        let Some(ours) = &self.region else {
            return Ok(());
        };
        let header = context
            .headers()
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let query = context.uri().query();
        match header
            .and_then(signed_region)
            .or_else(|| query.and_then(signed_region))
        {
            Some(theirs) if theirs != *ours => Err(s3_error!(
                AuthorizationHeaderMalformed,
                "the request is signed for another region; expecting {ours}"
            )),
            _ => Ok(()),
        }
    }
}

#[async_trait::async_trait]
impl S3Auth for Gate {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if self.is_first(access_key) {
            return Ok(self.secret_key.clone());
        }
        match self.key(access_key).await? {
            Some(key) => Ok(SecretKey::from(key.secret)),
            None => Err(s3_error!(InvalidAccessKeyId, "there is no such access key")),
        }
    }
}

#[async_trait::async_trait]
impl S3Access for Gate {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(credentials) = context.credentials() else {
            return Err(s3_error!(AccessDenied, "requests must be signed"));
        };
        self.check_region(context)?;
        if self.is_first(&credentials.access_key) {
            return Ok(());
        }
        let key = self.key(&credentials.access_key).await?;
        let operation = context.s3_op().name();
        let bucket = match context.s3_path() {
            S3Path::Root => None,
            S3Path::Bucket { bucket } | S3Path::Object { bucket, .. } => Some(&**bucket),
        };
        if !key.is_some_and(|key| may(&key, operation, bucket)) {
            return Err(s3_error!(AccessDenied, "this key has no right to do this"));
        }
        if let Some(source) = context.headers().get("x-amz-copy-source") {
            return self.check_source(source, &credentials.access_key).await;
        }
        Ok(())
    }
}

impl Gate {
    /// What is copied from another bucket has to be readable there.
    async fn check_source(&self, source: &hyper::http::HeaderValue, id: &str) -> S3Result<()> {
        let bucket = source
            .to_str()
            .ok()
            .and_then(|path| path.trim_start_matches('/').split('/').next());
        let key = self.key(id).await?;
        if key.is_some_and(|key| may(&key, "GetObject", bucket)) {
            Ok(())
        } else {
            Err(s3_error!(AccessDenied, "this key may not read the source"))
        }
    }
}

/// Whether a key may do this. Buckets themselves are made and removed only by keys without
/// grants.
pub(super) fn may(key: &AccessKey, operation: &str, bucket: Option<&str>) -> bool {
    let Some(grants) = &key.grants else {
        return true;
    };
    let Some(bucket) = bucket else {
        return false;
    };
    let reads = ["Get", "Head", "List"]
        .iter()
        .any(|verb| operation.starts_with(verb));
    let about_bucket = !reads && operation.contains("Bucket");
    grants
        .iter()
        .any(|grant| grant.bucket == bucket && (reads || grant.write) && !about_bucket)
}

/// The region in a credential: `Credential=KEY/DATE/REGION/…`, in a query with `%2F`.
fn signed_region(text: &str) -> Option<String> {
    let text = text.replace("%2F", "/").replace("%2f", "/");
    let (_, credential) = text.split_once("Credential=")?;
    credential.split('/').nth(2).map(str::to_owned)
}

impl S3Host for Gate {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let plain = VirtualHost::new(host);
        let Some(domain) = &self.domain else {
            return Ok(plain);
        };
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let bucket = name
            .len()
            .checked_sub(domain.len() + 1)
            .filter(|at| *at > 0 && name.is_char_boundary(*at))
            .map(|at| name.split_at(at))
            .filter(|(_, rest)| rest.starts_with('.') && rest[1..].eq_ignore_ascii_case(domain))
            .map(|(bucket, _)| bucket.to_ascii_lowercase());
        Ok(match bucket {
            Some(bucket) => plain.with_bucket(bucket),
            None => plain,
        })
    }
}

/// A pair of keys as tools expect them: 20 letters and digits, and 40.
#[must_use]
pub fn new_key() -> (String, String) {
    let draw = |alphabet: &[u8], count: usize| -> String {
        (0..count)
            .map(|_| char::from(alphabet[rand::random_range(0..alphabet.len())]))
            .collect()
    };
    let upper = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let all = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    (format!("PLA{}", draw(upper, 17)), draw(all, 40))
}

#[cfg(test)]
mod tests {
    use super::*;
    use planaria_storage_core::Grant;

    #[test]
    fn the_region_is_found_in_header_and_query() {
        let header = "AWS4-HMAC-SHA256 Credential=AK/20260101/eu-x/s3/aws4_request, Signed=1";
        assert_eq!(signed_region(header).as_deref(), Some("eu-x"));
        let query = "X-Amz-Credential=AK%2F20260101%2Feu-x%2Fs3%2Faws4_request&X-Amz-Date=1";
        assert_eq!(signed_region(query).as_deref(), Some("eu-x"));
        assert_eq!(signed_region("nothing"), None);
    }

    #[test]
    fn a_key_may_do_what_it_was_granted() {
        let key = |grants| AccessKey {
            name: "n".into(),
            secret: "s".into(),
            created_ms: 0,
            grants,
        };
        let grant = |write| {
            let bucket = "b".to_owned();
            key(Some(vec![Grant { bucket, write }]))
        };
        assert!(may(&key(None), "DeleteBucket", Some("x")));
        assert!(may(&key(None), "ListBuckets", None));
        for (operation, bucket, reader, writer) in [
            ("GetObject", Some("b"), true, true),
            ("ListObjectsV2", Some("b"), true, true),
            ("PutObject", Some("b"), false, true),
            ("DeleteObject", Some("b"), false, true),
            ("GetObject", Some("c"), false, false),
            ("ListBuckets", None, false, false),
            ("DeleteBucket", Some("b"), false, false),
            ("PutBucketVersioning", Some("b"), false, false),
        ] {
            assert_eq!(may(&grant(false), operation, bucket), reader, "{operation}");
            assert_eq!(may(&grant(true), operation, bucket), writer, "{operation}");
        }
    }
}
