//! The names of things: chunks, disks, uploads.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The name of a chunk: the BLAKE3 digest of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChunkId(pub [u8; 32]);

impl ChunkId {
    /// The name of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Whether these bytes are the ones that this name stands for.
    #[must_use]
    pub fn names(&self, bytes: &[u8]) -> bool {
        Self::of(bytes) == *self
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is no chunk's name: 64 lower-case hexadecimal digits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chunk is named by 64 lower-case hexadecimal digits")]
pub struct ParseChunkIdError;

impl FromStr for ChunkId {
    type Err = ParseChunkIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(ParseChunkIdError),
        };
        let bytes = text.as_bytes();
        if bytes.len() != 64 {
            return Err(ParseChunkIdError);
        }
        let mut id = [0; 32];
        for (slot, pair) in id.iter_mut().zip(bytes.chunks_exact(2)) {
            *slot = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(id))
    }
}

/// The identity of a disk, drawn at random when it is formatted; also its node's name in Raft.
/// A wiped disk is another disk, whatever its container is called.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct DiskId(pub u64);

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The identity of a multipart upload: the log index of the entry that opened it, so that it is
/// unique and ordered without any randomness in the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UploadId(pub u64);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for UploadId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

/// The identity of a version of an object: the log index of the entry that wrote it. Zero is the
/// version `null`, which objects have that were written while their bucket kept no versions.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct VersionId(pub u64);

impl VersionId {
    /// The version of what was written while no versions were kept.
    pub const NULL: Self = Self(0);
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("null"),
            index => write!(f, "{index:016x}"),
        }
    }
}

impl FromStr for VersionId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "null" {
            return Ok(Self::NULL);
        }
        u64::from_str_radix(text, 16).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_named_by_its_bytes() {
        let id = ChunkId::of(b"");
        assert_eq!(
            id.to_string(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
        assert!(id.names(b""));
        assert!(!id.names(b"x"));
    }

    #[test]
    fn a_version_is_read_back() {
        for version in [VersionId::NULL, VersionId(77)] {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        assert!("x".parse::<VersionId>().is_err());
    }

    #[test]
    fn a_name_is_read_back_and_anything_else_refused() {
        let id = ChunkId::of(b"planaria");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "af",
            &"g".repeat(64),
            &"A".repeat(64),
            &"0".repeat(65),
            "é",
        ] {
            assert_eq!(bad.parse::<ChunkId>(), Err(ParseChunkIdError), "{bad}");
        }
    }
}
