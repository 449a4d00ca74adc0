//! Between S3's types and the records.

use planaria_storage_core::{Condition, ObjectHeaders, ObjectRecord, VersionId};
use s3s::dto::{ETag, ETagCondition, Owner, Timestamp, TimestampFormat};
use s3s::{S3Result, s3_error};
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest key, in bytes, as S3 has it.
const MAX_KEY: usize = 1024;
/// How much user metadata an object may carry, in bytes, as S3 has it.
const MAX_METADATA: usize = 2048;

/// This node's clock in milliseconds since 1970: for people to read, never to decide by.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn timestamp(ms: u64) -> Timestamp {
    // Beyond what a clock can say: a damaged record must not panic.
    const LAST: u64 = 250_000_000_000_000;
    Timestamp::from(UNIX_EPOCH + Duration::from_millis(ms.min(LAST)))
}

/// A time in milliseconds since 1970.
pub(super) fn to_ms(time: &Timestamp) -> Option<u64> {
    let mut text = Vec::new();
    time.format(TimestampFormat::EpochSeconds, &mut text).ok()?;
    let text = String::from_utf8(text).ok()?;
    let seconds = text.split('.').next()?.parse::<u64>().ok()?;
    seconds.checked_mul(1000)
}

/// The version that a request names.
pub(super) fn version(text: Option<&str>) -> S3Result<Option<VersionId>> {
    text.map(str::parse)
        .transpose()
        .map_err(|_| s3_error!(InvalidArgument, "there is no such version"))
}

/// Whom everything belongs to.
pub(super) fn owner() -> Owner {
    Owner {
        display_name: Some("planaria".to_owned()),
        id: Some("planaria".to_owned()),
    }
}

pub(super) fn etag(text: &str) -> ETag {
    ETag::Strong(text.to_owned())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An MD5 from its hexadecimal form.
pub(super) fn md5_of(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    let mut md5 = [0; 16];
    for (slot, at) in md5.iter_mut().zip((0..32).step_by(2)) {
        *slot = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(md5)
}

/// The key that a request names. Keys with NUL would break the order of listings.
pub(super) fn key(key: &str) -> S3Result<&str> {
    if key.len() > MAX_KEY {
        return Err(s3_error!(KeyTooLongError, "a key has at most 1024 bytes"));
    }
    if key.is_empty() || key.contains('\0') {
        return Err(s3_error!(
            InvalidArgument,
            "a key must not be empty or hold NUL"
        ));
    }
    Ok(key)
}

/// The condition of a write.
pub(super) fn condition(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<Condition> {
    let value = |etag: &ETag| etag.value().to_owned();
    match (if_match, if_none_match) {
        (None, None) => Ok(Condition::Always),
        (Some(ETagCondition::Any), None) => Ok(Condition::Present),
        (Some(ETagCondition::ETag(etag)), None) => Ok(Condition::Matches(value(etag))),
        (None, Some(ETagCondition::Any)) => Ok(Condition::Absent),
        (None, Some(ETagCondition::ETag(etag))) => Ok(Condition::Differs(value(etag))),
        (Some(_), Some(_)) => Err(s3_error!(
            InvalidRequest,
            "If-Match and If-None-Match exclude each other"
        )),
    }
}

/// The conditions of a read.
pub(super) fn check_read(
    object: &ObjectRecord,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
    if_modified_since: Option<&Timestamp>,
    if_unmodified_since: Option<&Timestamp>,
) -> S3Result<()> {
    let is = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == object.etag,
    };
    // HTTP's dates have whole seconds.
    let modified = timestamp(object.modified_ms / 1000 * 1000);
    let failed = || s3_error!(PreconditionFailed, "the condition does not hold");
    match if_match {
        Some(condition) if !is(condition) => return Err(failed()),
        None if if_unmodified_since.is_some_and(|since| modified > *since) => return Err(failed()),
        _ => {}
    }
    let unchanged = match if_none_match {
        Some(condition) => is(condition),
        None => if_modified_since.is_some_and(|since| modified <= *since),
    };
    if unchanged {
        Err(s3_error!(NotModified))
    } else {
        Ok(())
    }
}

/// What a request says about an object beside its bytes: the inputs that have these fields have
/// them under the same names, and no trait.
macro_rules! said {
    ($input:ident) => {
        $crate::s3::convert::Said {
            content_type: $input.content_type,
            content_encoding: $input.content_encoding,
            content_disposition: $input.content_disposition,
            content_language: $input.content_language,
            cache_control: $input.cache_control,
            expires: $input.expires,
            metadata: $input.metadata,
        }
    };
}
pub(super) use said;

/// What a client says about an object, from the fields of whichever request.
pub(super) struct Said {
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) expires: Option<Timestamp>,
    pub(super) metadata: Option<HashMap<String, String>>,
}

pub(super) fn headers(said: Said) -> S3Result<ObjectHeaders> {
    let user: std::collections::BTreeMap<_, _> =
        said.metadata.unwrap_or_default().into_iter().collect();
    let size: usize = user
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size > MAX_METADATA {
        return Err(s3_error!(
            MetadataTooLarge,
            "user metadata has at most 2048 bytes"
        ));
    }
    Ok(ObjectHeaders {
        content_type: said.content_type,
        content_encoding: said
            .content_encoding
            .and_then(|encoding| without_chunked(&encoding)),
        content_disposition: said.content_disposition,
        content_language: said.content_language,
        cache_control: said.cache_control,
        expires: said.expires.and_then(|at| http_date(&at)),
        user,
    })
}

/// `aws-chunked` is how the body travelled, not what the object is.
fn without_chunked(encoding: &str) -> Option<String> {
    let left: Vec<&str> = encoding
        .split(',')
        .map(str::trim)
        .filter(|one| !one.is_empty() && !one.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    if left.is_empty() {
        None
    } else {
        Some(left.join(","))
    }
}

fn http_date(at: &Timestamp) -> Option<String> {
    let mut text = Vec::new();
    at.format(TimestampFormat::HttpDate, &mut text).ok()?;
    String::from_utf8(text).ok()
}

pub(super) fn expires(headers: &ObjectHeaders) -> Option<Timestamp> {
    Timestamp::parse(TimestampFormat::HttpDate, headers.expires.as_deref()?).ok()
}

pub(super) fn metadata(headers: &ObjectHeaders) -> Option<HashMap<String, String>> {
    if headers.user.is_empty() {
        return None;
    }
    Some(
        headers
            .user
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

/// Percent-encodes a key for a listing with `encoding-type=url`.
pub(super) fn url_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_travelling_encoding_is_not_kept() {
        assert_eq!(without_chunked("aws-chunked"), None);
        assert_eq!(
            without_chunked("aws-chunked, gzip"),
            Some("gzip".to_owned())
        );
    }

    #[test]
    fn a_time_is_read_back() {
        let ms = 1_700_000_000_000;
        assert_eq!(to_ms(&timestamp(ms)), Some(ms));
    }

    #[test]
    fn an_md5_is_read_and_anything_else_is_not() {
        assert_eq!(md5_of(&hex(&[7; 16])), Some([7; 16]));
        for bad in ["", "xx", &"g".repeat(32), &"é".repeat(16)] {
            assert_eq!(md5_of(bad), None);
        }
    }

    #[test]
    fn odd_keys_are_refused() {
        assert!(key("a/../b").is_ok());
        assert!(key("").is_err());
        assert!(key("a\0").is_err());
        assert!(key(&"k".repeat(1025)).is_err());
        assert_eq!(url_encode("a b/ü+"), "a%20b/%C3%BC%2B");
    }
}
