//! Where each record lies: one letter for its kind, then its name.
//!
//! Bucket names hold no NUL, and keys with a NUL are refused by the S3 front, so that a NUL can
//! end a name and the order of the store is the order of S3 listings (by UTF-8 bytes).

use crate::{ChunkId, DiskId, UploadId};

/// Buckets.
pub const BUCKET: u8 = b'B';
/// Objects.
pub const OBJECT: u8 = b'O';
/// Open uploads.
pub const UPLOAD: u8 = b'U';
/// Parts of open uploads.
pub const PART: u8 = b'P';
/// Chunks.
pub const CHUNK: u8 = b'C';
/// Chunks that lack copies: the owed list.
pub const OWED: u8 = b'W';
/// Chunks that nobody names, not yet condemned.
pub const UNNAMED: u8 = b'Z';
/// Condemned chunks.
pub const CONDEMNED: u8 = b'X';
/// Sessions.
pub const SESSION: u8 = b'S';
/// Remembered answers.
pub const ANSWER: u8 = b'R';
/// What a bucket was told: versioning, tags.
pub const SETTINGS: u8 = b'G';
/// What an object's record has no room for: its version, tags, checksum.
pub const ATTRIBUTES: u8 = b'A';
/// Versions that are not the current one, and delete markers.
pub const VERSION: u8 = b'V';
/// Access keys.
pub const ACCESS: u8 = b'K';
/// Copies that their disk may remove: they were more than wanted.
pub const SURPLUS: u8 = b'Y';
/// The disks that vote, and other single values.
pub const SINGLE: u8 = b'M';

/// The key of a bucket.
#[must_use]
pub fn bucket(name: &str) -> Vec<u8> {
    join(BUCKET, &[name.as_bytes()])
}

/// The key of an object; with an empty key, where the bucket's objects begin.
#[must_use]
pub fn object(bucket: &str, key: &str) -> Vec<u8> {
    join(OBJECT, &[bucket.as_bytes(), &[0], key.as_bytes()])
}

/// The key of a bucket's settings.
#[must_use]
pub fn settings(bucket: &str) -> Vec<u8> {
    join(SETTINGS, &[bucket.as_bytes()])
}

/// The key of an object's attributes.
#[must_use]
pub fn attributes(bucket: &str, key: &str) -> Vec<u8> {
    join(ATTRIBUTES, &[bucket.as_bytes(), &[0], key.as_bytes()])
}

/// The key of an upload's attributes.
#[must_use]
pub fn upload_attributes(upload: UploadId) -> Vec<u8> {
    // No bucket begins with NUL.
    join(ATTRIBUTES, &[&[0], &upload.0.to_be_bytes()])
}

/// Where the versions in a bucket begin whose keys begin with this.
#[must_use]
pub fn versions_from(bucket: &str, key: &str) -> Vec<u8> {
    join(VERSION, &[bucket.as_bytes(), &[0], key.as_bytes()])
}

/// Where the versions under a key begin.
#[must_use]
pub fn versions(bucket: &str, key: &str) -> Vec<u8> {
    join(VERSION, &[bucket.as_bytes(), &[0], key.as_bytes(), &[0]])
}

/// The key of a version: the newest of a key comes first.
#[must_use]
pub fn version(bucket: &str, key: &str, order: u64) -> Vec<u8> {
    let mut place = versions(bucket, key);
    place.extend_from_slice(&(!order).to_be_bytes());
    place
}

/// The key of an access key.
#[must_use]
pub fn access(id: &str) -> Vec<u8> {
    join(ACCESS, &[id.as_bytes()])
}

/// The key of a surplus copy; without a disk, where those of the chunk begin.
#[must_use]
pub fn surplus(id: &ChunkId, disk: Option<DiskId>) -> Vec<u8> {
    let disk = disk.map(|disk| disk.0.to_be_bytes());
    join(SURPLUS, &[&id.0, disk.as_ref().map_or(&[], |d| &d[..])])
}

/// Where the uploads under a key begin.
#[must_use]
pub fn uploads(bucket: &str, key: &str) -> Vec<u8> {
    join(UPLOAD, &[bucket.as_bytes(), &[0], key.as_bytes()])
}

/// The key of an upload.
#[must_use]
pub fn upload(bucket: &str, key: &str, upload: UploadId) -> Vec<u8> {
    join(
        UPLOAD,
        &[
            bucket.as_bytes(),
            &[0],
            key.as_bytes(),
            &[0],
            &upload.0.to_be_bytes(),
        ],
    )
}

/// The key of a part.
#[must_use]
pub fn part(upload: UploadId, number: u16) -> Vec<u8> {
    join(PART, &[&upload.0.to_be_bytes(), &number.to_be_bytes()])
}

/// The key of a chunk in one of its lists.
#[must_use]
pub fn chunk(kind: u8, id: &ChunkId) -> Vec<u8> {
    join(kind, &[&id.0])
}

/// The key of a session.
#[must_use]
pub fn session(session: u64) -> Vec<u8> {
    join(SESSION, &[&session.to_be_bytes()])
}

/// The key of a remembered answer.
#[must_use]
pub fn answer(session: u64, number: u64) -> Vec<u8> {
    join(ANSWER, &[&session.to_be_bytes(), &number.to_be_bytes()])
}

/// The key of a single value.
#[must_use]
pub fn single(name: &str) -> Vec<u8> {
    join(SINGLE, &[name.as_bytes()])
}

/// The chunk that a key of a chunk list names; none for any other key.
#[must_use]
pub fn chunk_of(kind: u8, key: &[u8]) -> Option<ChunkId> {
    let (first, rest) = key.split_first()?;
    if *first != kind {
        return None;
    }
    Some(ChunkId(rest.try_into().ok()?))
}

fn join(kind: u8, pieces: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + pieces.iter().map(|piece| piece.len()).sum::<usize>());
    key.push(kind);
    for piece in pieces {
        key.extend_from_slice(piece);
    }
    key
}
