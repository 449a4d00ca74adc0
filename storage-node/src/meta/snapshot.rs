//! Snapshots: the whole table in one file, streamed in and out.
//!
//! ```text
//! "PLS1" · version u8 · 3 × 0 · length u32 of the head · head (log id, membership, name)
//! then for each record: key length u32 · value length u32 · key · value
//! then 2 × u32::MAX · BLAKE3 of all before it
//! ```

use super::SnapshotMeta;
use super::machine::{Inner, StoreError, TABLE, View, read_state, redb};
use crate::config::MAX_FRAME;
use crate::disk::files;
use planaria_storage_core::{Store, decode, encode};
use redb::ReadableDatabase;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

const MAGIC: &[u8; 8] = b"PLS1\x01\0\0\0";
const END: u32 = u32::MAX;
const SUFFIX: &str = ".snapshot";
const EXPORT: &str = "export-";

/// Where a snapshot is received.
pub(super) fn incoming(dir: &Path) -> PathBuf {
    dir.join("incoming.partial")
}

/// Writes a snapshot of everything applied. All that is in it is synced first, so that the log
/// may be purged up to it.
pub(super) fn build(inner: &Inner) -> Result<(SnapshotMeta, PathBuf), StoreError> {
    inner.sync()?;
    let transaction = inner.database.begin_read().map_err(redb)?;
    let view = View::of(transaction.open_table(TABLE).map_err(redb)?);
    let (last_log_id, last_membership) = read_state(&view)?;
    let snapshot_id = last_log_id.map_or_else(|| "0".to_owned(), |id| id.index.to_string());
    let meta = SnapshotMeta {
        last_log_id,
        last_membership,
        snapshot_id,
    };
    let beside = inner.dir.join("building.partial");
    write(&view, &meta, &beside)?;
    let path = keep(&inner.dir, &beside, &meta)?;
    *inner
        .snapshot
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = Some((meta.clone(), path.clone()));
    Ok((meta, path))
}

/// Writes a snapshot that is for no other node: its name ends as what a start sweeps away.
pub(super) fn export(inner: &Inner) -> Result<PathBuf, StoreError> {
    let transaction = inner.database.begin_read().map_err(redb)?;
    let view = View::of(transaction.open_table(TABLE).map_err(redb)?);
    let (last_log_id, last_membership) = read_state(&view)?;
    let meta = SnapshotMeta {
        last_log_id,
        last_membership,
        snapshot_id: "export".to_owned(),
    };
    let name = format!("{EXPORT}{:016x}.partial", rand::random::<u64>());
    let path = inner.dir.join(name);
    write(&view, &meta, &path)?;
    Ok(path)
}

/// The file of an export.
pub(super) fn exported(inner: &Inner, name: &str) -> Result<PathBuf, StoreError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if !name.starts_with(EXPORT) || name.contains("..") || !name.bytes().all(plain) {
        return Err(StoreError::Store(format!("{name:?} is no snapshot")));
    }
    Ok(inner.dir.join(name))
}

/// Takes the received snapshot as the current one. Raft hands back the file that it filled; its
/// contents count, wherever it lies.
pub(super) fn keep_received(
    dir: &Path,
    mut received: File,
    meta: &SnapshotMeta,
) -> Result<PathBuf, StoreError> {
    let beside = dir.join("installing.partial");
    received.seek(SeekFrom::Start(0))?;
    let mut copy = File::create(&beside)?;
    io::copy(&mut received, &mut copy)?;
    files::sync(&copy)?;
    read(&beside, &mut |_, _| Ok(()))?;
    keep(dir, &beside, meta)
}

fn keep(dir: &Path, from: &Path, meta: &SnapshotMeta) -> Result<PathBuf, StoreError> {
    let index = meta.last_log_id.map_or(0, |id| id.index);
    let path = dir.join(format!("{index:020}{SUFFIX}"));
    fs::rename(from, &path)?;
    files::sync_parent(&path)?;
    for old in all(dir)? {
        if old != path {
            fs::remove_file(old)?;
        }
    }
    Ok(path)
}

/// The newest snapshot of the directory whose head can be read.
pub(super) fn newest(dir: &Path) -> Result<Option<(SnapshotMeta, PathBuf)>, StoreError> {
    let mut paths = all(dir)?;
    paths.sort();
    for path in paths.into_iter().rev() {
        if let Ok(meta) = head(&path) {
            return Ok(Some((meta, path)));
        }
    }
    Ok(None)
}

fn all(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.to_str().is_some_and(|name| name.ends_with(SUFFIX)) {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn write(view: &View, meta: &SnapshotMeta, path: &Path) -> Result<(), StoreError> {
    let mut output = Hashing {
        file: BufWriter::new(File::create(path)?),
        hasher: blake3::Hasher::new(),
    };
    let head = encode(meta)?;
    output.put(MAGIC)?;
    output.put(&length(head.len())?)?;
    output.put(&head)?;
    let mut failure = Ok(());
    view.scan(&[], &mut |key, value| {
        failure = record(&mut output, key, value);
        if failure.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })
    .map_err(redb)?;
    failure?;
    output.put(&END.to_be_bytes())?;
    output.put(&END.to_be_bytes())?;
    let digest = output.hasher.finalize();
    output.file.write_all(digest.as_bytes())?;
    let file = output
        .file
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    Ok(files::sync(&file)?)
}

fn record(output: &mut Hashing, key: &[u8], value: &[u8]) -> io::Result<()> {
    output.put(&length(key.len())?)?;
    output.put(&length(value.len())?)?;
    output.put(key)?;
    output.put(value)
}

/// Called for each record of a snapshot.
type Take<'t> = dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 't;

/// Reads a snapshot, gives each record, and fails when its digest is wrong.
pub(super) fn read(path: &Path, take: &mut Take<'_>) -> Result<(), StoreError> {
    let mut input = BufReader::new(File::open(path)?);
    let mut hasher = blake3::Hasher::new();
    read_head(&mut input, &mut hasher)?;
    loop {
        let key = read_u32(&mut input, &mut hasher)?;
        let value = read_u32(&mut input, &mut hasher)?;
        if key == END && value == END {
            break;
        }
        let key = read_bytes(&mut input, &mut hasher, key)?;
        let value = read_bytes(&mut input, &mut hasher, value)?;
        take(&key, &value)?;
    }
    let mut digest = [0; 32];
    input.read_exact(&mut digest)?;
    if hasher.finalize() != digest {
        return Err(damaged("its digest is wrong"));
    }
    Ok(())
}

/// What a snapshot's file says of itself.
pub(super) fn head(path: &Path) -> Result<SnapshotMeta, StoreError> {
    read_head(
        &mut BufReader::new(File::open(path)?),
        &mut blake3::Hasher::new(),
    )
}

fn read_head(
    input: &mut impl Read,
    hasher: &mut blake3::Hasher,
) -> Result<SnapshotMeta, StoreError> {
    if read_bytes(input, hasher, 8)? != MAGIC {
        return Err(damaged("it does not begin like one of this version"));
    }
    let len = read_u32(input, hasher)?;
    Ok(decode(&read_bytes(input, hasher, len)?)?)
}

fn read_u32(input: &mut impl Read, hasher: &mut blake3::Hasher) -> Result<u32, StoreError> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    hasher.update(&bytes);
    Ok(u32::from_be_bytes(bytes))
}

fn read_bytes(
    input: &mut impl Read,
    hasher: &mut blake3::Hasher,
    len: u32,
) -> Result<Vec<u8>, StoreError> {
    // Nothing in the table came by a longer frame.
    if len as usize > MAX_FRAME {
        return Err(damaged("a record is impossibly long"));
    }
    let mut bytes = vec![0; len as usize];
    input.read_exact(&mut bytes)?;
    hasher.update(&bytes);
    Ok(bytes)
}

fn length(len: usize) -> io::Result<[u8; 4]> {
    u32::try_from(len)
        .map(u32::to_be_bytes)
        .map_err(io::Error::other)
}

pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Store(format!("the snapshot is damaged: {what}"))
}

struct Hashing {
    file: BufWriter<File>,
    hasher: blake3::Hasher,
}

impl Hashing {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.file.write_all(bytes)
    }
}
