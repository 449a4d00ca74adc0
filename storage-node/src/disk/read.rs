//! Reading chunks back, each verified before it is given out.
//!
//! The name of a chunk is the BLAKE3 of its bytes, which proves them and takes its time. Who has once
//! been proved (or just written) is proved again by CRC-64/NVME, which sees what a disk does to bytes at
//! ten times the pace. It is kept in memory only: nothing on a disk is trusted that was not read and
//! hashed since the start, and the scrub hashes always.

use super::segment::HEADER;
use super::store::{ChunkError, ChunkStore};
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use planaria_storage_core::ChunkId;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

/// Buffers that are kept for the next read: as many as one download reads ahead, and a few.
const BUFFERS: usize = 6;

/// The quick proof of bytes that were proved by their name before.
pub(super) fn quick(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// Buffers of chunks that were sent. Fresh memory costs a page fault for each 4 KiB, which is more than
/// reading them from the page cache.
#[derive(Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// A buffer of that length; what is in it means nothing.
    fn take(&self, length: usize) -> Lent {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = kept.pop().unwrap_or_default();
        drop(kept);
        bytes.resize(length, 0);
        let home = self.clone();
        Lent { bytes, home }
    }
}

/// A buffer that goes back to where it came from.
struct Lent {
    bytes: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut kept = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < BUFFERS {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

impl ChunkStore {
    /// Reads a chunk and verifies it by its name. Blocks: to be called where that is allowed.
    ///
    /// # Errors
    /// [`ChunkError`]. A rotten copy is forgotten at once.
    pub fn get(&self, chunk: &ChunkId) -> Result<Bytes, ChunkError> {
        self.read(chunk, |_| None)
    }

    /// As [`ChunkStore::get`], where a copy that was verified by its name since the start is verified by
    /// CRC-64/NVME.
    ///
    /// # Errors
    /// [`ChunkError`].
    pub fn get_again(&self, chunk: &ChunkId) -> Result<Bytes, ChunkError> {
        self.read(chunk, |known| known)
    }

    fn read(
        &self,
        chunk: &ChunkId,
        trusted: impl Fn(Option<u64>) -> Option<u64>,
    ) -> Result<Bytes, ChunkError> {
        let (place, file) = self.shared.find(chunk).ok_or(ChunkError::Absent)?;
        let mut lent = self.shared.buffers.take(place.len as usize);
        let read = file.read_exact_at(&mut lent.bytes, place.at + HEADER);
        let right = || match trusted(place.quick) {
            Some(known) => quick(&lent.bytes) == known,
            None => chunk.names(&lent.bytes),
        };
        if read.is_ok() && right() {
            if place.quick.is_none() {
                self.shared.proved(chunk, &place, quick(&lent.bytes));
            }
            return Ok(Bytes::from_owner(lent));
        }
        tracing::warn!(event = "chunk_rotten", %chunk, "a copy is damaged; it will be repaired");
        self.shared.forget(chunk, |found| found.is_at(&place));
        Err(ChunkError::Rotten)
    }
}
