//! The records that the state machine keeps.

use crate::{ChunkId, DiskId};
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
    Inline(Vec<u8>),
    /// In chunks, in order.
    Chunks(Vec<ChunkRef>),
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

impl ChunkRecord {
    /// How many copies are missing, given the disks that vote now.
    #[must_use]
    pub fn missing(&self, voters: &[DiskId]) -> usize {
        if self.references == 0 {
            return 0;
        }
        let held = self
            .disks
            .iter()
            .filter(|disk| voters.contains(disk))
            .count();
        usize::from(self.copies)
            .min(voters.len())
            .saturating_sub(held)
    }
}
