//! The records that the state machine keeps.

use crate::{ChunkId, DiskId, VersionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketRecord {
    /// When it was made, in milliseconds since 1970, by the clock of the node that was asked.
    pub created_ms: u64,
}

/// A chunk of an object: its name and its length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRef {
    /// The digest of the bytes.
    pub id: ChunkId,
    /// How many bytes.
    pub len: u32,
}

/// A chunk as it was written for a manifest: which disks have acknowledged it, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The chunk.
    pub chunk: ChunkRef,
    /// The lowest generation among the copies: a disk stamps a copy with one more than the log
    /// index that it had applied when it wrote it. A copy from before a chunk was condemned is
    /// thereby told from one written after.
    pub generation: u64,
    /// The disks on which it is durable.
    pub disks: Vec<DiskId>,
}

/// The bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Data {
    /// Small enough to live in the log entry itself.
    Inline(#[serde(with = "as_bytes")] Vec<u8>),
    /// In chunks, in order.
    Chunks(Vec<ChunkRef>),
}

/// Bytes in one piece: the same form as a sequence of numbers, and much faster.
mod as_bytes {
    use serde::de::{Error, SeqAccess, Visitor};
    use serde::{Deserializer, Serializer};
    use std::fmt;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        from.deserialize_byte_buf(Bytes)
    }

    struct Bytes;

    impl<'de> Visitor<'de> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Vec<u8>, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = numbers.next_element()? {
                bytes.push(byte);
            }
            Ok(bytes)
        }
    }
}

/// What a client may say about an object beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectHeaders {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Expires`, as it was given.
    pub expires: Option<String>,
    /// The `x-amz-meta-…` headers.
    pub user: BTreeMap<String, String>,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Length in bytes.
    pub size: u64,
    /// The entity tag, without quotes: MD5 in hexadecimal, `-N` behind it for N parts.
    pub etag: String,
    /// When it was written, in milliseconds since 1970, by the clock of the node that was asked.
    pub modified_ms: u64,
    /// What the client said about it.
    pub headers: ObjectHeaders,
    /// Its bytes.
    pub data: Data,
}

/// An open multipart upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRecord {
    /// When it was opened, in milliseconds since 1970.
    pub created_ms: u64,
    /// What the finished object will carry.
    pub headers: ObjectHeaders,
}

/// A part of an open upload. It holds references to its chunks from its own entry on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// Length in bytes.
    pub size: u64,
    /// MD5 of the part, 16 bytes.
    pub md5: [u8; 16],
    /// When it was written, in milliseconds since 1970.
    pub modified_ms: u64,
    /// Its bytes.
    pub chunks: Vec<ChunkRef>,
}

/// Where a chunk is and who needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRecord {
    /// Length in bytes.
    pub len: u32,
    /// How many manifests and parts name it.
    pub references: u64,
    /// How many copies are wanted.
    pub copies: u8,
    /// The disks that acknowledged a durable copy and have not reported it lost; of a condemned
    /// chunk, those that have not yet said that they hold none.
    pub disks: Vec<DiskId>,
    /// Set to the log index at which it was condemned: nobody needed it then. Copies of that
    /// generation or older are being removed.
    pub condemned: Option<u64>,
}

/// Names and values that a client hangs onto something.
pub type Tags = BTreeMap<String, String>;

/// What an object's record has no room for. Objects that have none of it have no such record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Its version.
    pub version: VersionId,
    /// The log index at which it became the newest of its key: versions are sorted by it.
    pub order: u64,
    /// Its tags.
    pub tags: Tags,
    /// The checksum that the client gave and that was right: its header's name and its value.
    pub checksum: Option<(String, String)>,
}

/// A version that is not the current one, or a delete marker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// When it was written or deleted, in milliseconds since 1970.
    pub modified_ms: u64,
    /// The object; none for a delete marker.
    pub object: Option<ObjectRecord>,
    /// Version, order, tags.
    pub attributes: Attributes,
}

/// Whether a bucket keeps what is overwritten and deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Versioning {
    /// It does not and never did.
    #[default]
    Off,
    /// It does.
    Enabled,
    /// It did: the versions of that time stay, what is written now is the version `null`.
    Suspended,
}

/// What a bucket was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketSettings {
    /// Whether it keeps versions.
    pub versioning: Versioning,
    /// Its tags.
    pub tags: Tags,
}

/// What a key may do in one bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The bucket.
    pub bucket: String,
    /// Whether it may also write.
    pub write: bool,
}

/// A pair of keys that clients sign with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// What people call it.
    pub name: String,
    /// The secret key: signatures are verified with it, so that it is kept as it is.
    pub secret: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// What it may do; none: everything.
    pub grants: Option<Vec<Grant>>,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey")
            .field("name", &self.name)
            .field("grants", &self.grants)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decode, encode};

    /// Objects that were written before bytes were written in one piece are read as ever.
    #[test]
    fn bytes_in_one_piece_have_the_form_of_numbers_one_by_one() {
        #[derive(Serialize)]
        enum Before {
            Inline(Vec<u8>),
        }
        let bytes: Vec<u8> = (0..=255).collect();
        let before = encode(&Before::Inline(bytes.clone())).unwrap();
        assert_eq!(before, encode(&Data::Inline(bytes.clone())).unwrap());
        assert_eq!(decode::<Data>(&before).unwrap(), Data::Inline(bytes));
    }
}
