//! How records are written down: a version byte, then the postcard form.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version that this build writes. Older ones would be read here, each by its own branch.
const VERSION: u8 = 1;

/// A record that could not be written or read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// The record is of a version that this build does not know: a newer node wrote it.
    #[error("record of unknown version {0}: this node is older than the one that wrote it")]
    Version(u8),
    /// The record is empty, cut short or damaged.
    #[error("malformed record: {0}")]
    Malformed(String),
}

/// Writes a value with its version byte.
///
/// # Errors
/// [`CodecError::Malformed`] when the value has no postcard form (a map of unknown length).
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    postcard::to_extend(value, vec![VERSION]).map_err(|e| CodecError::Malformed(e.to_string()))
}

/// Reads a value that [`encode`] wrote. Bytes left over are an error: they are a damaged length.
///
/// # Errors
/// [`CodecError`] for anything that `encode` did not write.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let Some((version, body)) = bytes.split_first() else {
        return Err(CodecError::Malformed("empty".to_owned()));
    };
    if *version != VERSION {
        return Err(CodecError::Version(*version));
    }
    let (value, rest) =
        postcard::take_from_bytes(body).map_err(|e| CodecError::Malformed(e.to_string()))?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(CodecError::Malformed(format!(
            "{} bytes too many",
            rest.len()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let bytes = encode(&("key", 7_u64)).unwrap();
        assert_eq!(
            decode::<(String, u64)>(&bytes).unwrap(),
            ("key".to_owned(), 7)
        );
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let bytes = encode(&("key", 7_u64)).unwrap();
        assert_eq!(
            decode::<(String, u64)>(&[9, 1, 2]),
            Err(CodecError::Version(9))
        );
        assert!(decode::<(String, u64)>(&[]).is_err());
        assert!(decode::<(String, u64)>(&bytes[..bytes.len() - 1]).is_err());
        let mut long = bytes;
        long.push(0);
        assert!(decode::<(String, u64)>(&long).is_err());
    }
}
