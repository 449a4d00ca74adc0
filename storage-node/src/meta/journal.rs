//! The file of Raft's log: everything that Raft must not forget, one behind the other.
//!
//! ```text
//! batch header, 40 bytes: "PLJ1" · version u8 · 3 × 0 · length u64 · durable u64 · check [16]
//!                         check = BLAKE3 of the 24 bytes before it and the payload
//! payload: records, each length u32 and its encoded form
//! ```
//! `durable` is the offset below which everything was synced before this batch was written: each
//! batch is synced before the next begins. A bad batch with a good one behind it is therefore rot
//! (what was acknowledged is damaged); one with nothing good behind it is a torn tail.

use super::{Entry, LogId, Vote};
use crate::disk::files;
use planaria_storage_core::{CodecError, decode, encode};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 4] = b"PLJ1";
const VERSION: u8 = 1;
const HEADER: usize = 40;

/// What the journal remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Record {
    /// For whom this disk has voted.
    Vote(Vote),
    /// An entry; what lay at its index or behind it is gone.
    Entry(Box<Entry>),
    /// The entries from this index on are gone.
    Truncate(u64),
    /// The entries up to this one are in the state machine for good.
    Purge(LogId),
    /// Entries up to this one are known to be committed. A hint, not synced for itself.
    Committed(Option<LogId>),
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file system.
    #[error("raft's log: {0}")]
    Disk(#[from] io::Error),
    /// Something that was acknowledged is damaged: this disk can not vote any more.
    #[error("raft's log is damaged at byte {0}, before what was acknowledged")]
    Rot(u64),
    /// A record of another version or a damaged one under a good check.
    #[error("raft's log: {0}")]
    Codec(#[from] CodecError),
}

pub(super) struct Journal {
    path: PathBuf,
    file: File,
    end: u64,
}

impl Journal {
    /// Opens the journal, gives all its records, and cuts a torn tail.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Record>), JournalError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        files::sync_parent(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (records, at) = replay(&bytes)?;
        if at < bytes.len() {
            tracing::info!(
                event = "torn_tail_cut",
                bytes = bytes.len() - at,
                "cut what a crash left half-written of raft's log"
            );
            file.set_len(at as u64)?;
        }
        // What was read may be in memory only: the process that wrote it was killed before its
        // sync. Raft will say that this disk has it.
        files::sync(&file)?;
        file.seek(SeekFrom::Start(at as u64))?;
        Ok((
            Self {
                path: path.to_owned(),
                file,
                end: at as u64,
            },
            records,
        ))
    }

    /// Appends a batch and syncs it.
    pub(super) fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        let batch = batch(payload, self.end);
        self.file.write_all(&batch)?;
        files::sync(&self.file)?;
        self.end += batch.len() as u64;
        Ok(())
    }

    /// Writes the file anew with only these records, and puts it in the old one's place.
    pub(super) fn rewrite(&mut self, payload: &[u8]) -> io::Result<()> {
        let beside = self.path.with_extension("partial");
        let batch = batch(payload, 0);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&beside)?;
        file.write_all(&batch)?;
        files::sync(&file)?;
        std::fs::rename(&beside, &self.path)?;
        files::sync_parent(&self.path)?;
        self.file = file;
        self.end = batch.len() as u64;
        Ok(())
    }

    pub(super) fn len(&self) -> u64 {
        self.end
    }
}

/// All records of a journal, and where the last good batch ends.
fn replay(bytes: &[u8]) -> Result<(Vec<Record>, usize), JournalError> {
    let mut records = Vec::new();
    let mut at = 0;
    while let Some((payload, next)) = batch_at(bytes, at) {
        read_records(payload, &mut records)?;
        at = next;
    }
    if at < bytes.len() && good_batch_behind(bytes, at) {
        return Err(JournalError::Rot(at as u64));
    }
    Ok((records, at))
}

/// Adds a record to a payload.
pub(super) fn push(payload: &mut Vec<u8>, record: &Record) -> Result<(), CodecError> {
    let bytes = encode(record)?;
    let len = u32::try_from(bytes.len())
        .map_err(|_| CodecError::Malformed("a record of more than 4 GiB".to_owned()))?;
    payload.extend_from_slice(&len.to_be_bytes());
    payload.extend_from_slice(&bytes);
    Ok(())
}

fn batch(payload: &[u8], durable: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[VERSION, 0, 0, 0]);
    bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    bytes.extend_from_slice(&durable.to_be_bytes());
    let check = check(&bytes, payload);
    bytes.extend_from_slice(&check);
    bytes.extend_from_slice(payload);
    bytes
}

fn check(head: &[u8], payload: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(head);
    hasher.update(payload);
    let mut check = [0; 16];
    hasher.finalize_xof().fill(&mut check);
    check
}

/// The payload of the batch that begins here and where it ends, if it is a good one.
fn batch_at(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let (head, rest) = rest.split_at_checked(HEADER)?;
    if &head[..4] != MAGIC || head[4] != VERSION {
        return None;
    }
    let len = usize::try_from(u64::from_be_bytes(head[8..16].try_into().ok()?)).ok()?;
    let payload = rest.get(..len)?;
    (head[24..] == check(&head[..24], payload)).then_some((payload, at + HEADER + len))
}

fn good_batch_behind(bytes: &[u8], at: usize) -> bool {
    let rest = &bytes[at + 1..];
    rest.windows(4)
        .enumerate()
        .filter(|(_, four)| four == MAGIC)
        .any(|(n, _)| batch_at(bytes, at + 1 + n).is_some())
}

fn read_records(mut payload: &[u8], records: &mut Vec<Record>) -> Result<(), CodecError> {
    let short = || CodecError::Malformed("a record is cut short".to_owned());
    while !payload.is_empty() {
        let (len, rest) = payload.split_first_chunk::<4>().ok_or_else(short)?;
        let len = u32::from_be_bytes(*len) as usize;
        let (record, rest) = rest.split_at_checked(len).ok_or_else(short)?;
        records.push(decode(record)?);
        payload = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever a file holds, what is read from it is a beginning of what was written, or an error;
    /// and what is cut is no more than what was not yet synced.
    #[test]
    fn a_damaged_journal_gives_nothing_that_was_not_written() {
        let mut whole = Vec::new();
        let mut ends = vec![0];
        for n in 0..6 {
            whole.extend(batch(&payload(n), whole.len() as u64));
            ends.push(whole.len());
        }
        let written: Vec<Record> = (0..6).map(Record::Truncate).collect();
        crate::fuzz::each(std::slice::from_ref(&whole), |_, bytes| {
            let Ok((records, end)) = replay(bytes) else {
                return;
            };
            assert!(end <= bytes.len());
            // A good batch may stand twice, or be missing before where the file was cut; none is new.
            assert!(records.iter().all(|record| written.contains(record)));
            let same = bytes.iter().zip(&whole).take_while(|(a, b)| a == b).count();
            let untouched = ends.iter().filter(|end| **end <= same).count() - 1;
            assert!(records.len() >= untouched, "what is whole is read");
        });
    }

    fn payload(index: u64) -> Vec<u8> {
        let mut payload = Vec::new();
        push(&mut payload, &Record::Truncate(index)).unwrap();
        payload
    }

    fn written(batches: u64) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("raft.log");
        let (mut journal, _) = Journal::open(&path).unwrap();
        for n in 0..batches {
            journal.append(&payload(n)).unwrap();
        }
        (dir, path)
    }

    #[test]
    fn a_torn_tail_is_cut_wherever_it_was_torn() {
        let (_dir, path) = written(3);
        let whole = std::fs::read(&path).unwrap();
        let last = whole.len() / 3;
        for cut in 1..last {
            std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let (mut journal, records) = Journal::open(&path).unwrap();
            assert_eq!(records, [Record::Truncate(0), Record::Truncate(1)]);
            journal.append(&payload(9)).unwrap();
            assert_eq!(Journal::open(&path).unwrap().1.len(), 3);
        }
    }

    #[test]
    fn rot_below_what_was_acknowledged_is_not_a_torn_tail() {
        let (_dir, path) = written(3);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() / 3 + HEADER;
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::Rot(_))));
    }

    #[test]
    fn a_rewritten_journal_holds_only_what_it_was_given() {
        let (_dir, path) = written(3);
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.rewrite(&payload(7)).unwrap();
        journal.append(&payload(8)).unwrap();
        drop(journal);
        let (_, records) = Journal::open(&path).unwrap();
        assert_eq!(records, [Record::Truncate(7), Record::Truncate(8)]);
    }
}
