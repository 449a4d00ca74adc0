//! Snapshots: the whole table in one file, streamed in and out.
//!
//! ```text
//! "PLS1" · version u8 · 3 × 0 · length u32 of the head · head (log id, membership, name)
//! then for each record: key length u32 · value length u32 · key · value
//! then 2 × u32::MAX · BLAKE3 of all before it
//! ```

use super::SnapshotMeta;
use super::machine::{Inner, StoreError, View, read_state, redb};
use crate::config::MAX_FRAME;
use crate::disk::files;
use planaria_storage_core::{Store, decode, encode};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"PLS1\x01\0\0\0";
const END: u32 = u32::MAX;
const SUFFIX: &str = ".snapshot";
const EXPORT: &str = "export-";

/// Where a snapshot is received.
pub(super) fn incoming(dir: &Path) -> PathBuf {
    dir.join("incoming.partial")
}

/// What a snapshot would hold that was made now. All of it is synced first, so that the log may be purged
/// up to it.
///
/// Nothing is written: redb holds the same, durably. A file of the whole table every few thousand entries
/// would cost more than the entries, and the more the larger the table; it is made when a node is to be
/// sent one ([`current`]).
pub(super) fn mark(inner: &Inner) -> Result<SnapshotMeta, StoreError> {
    // What is applied meanwhile may not be synced, and is not in it.
    let meta = meta(&inner.view()?)?;
    inner.sync()?;
    Ok(meta)
}

/// A snapshot of everything applied, for a node that lacks what the log no longer has. The file has no
/// name any more, so that it goes when it was sent.
pub(super) fn current(inner: &Inner) -> Result<(SnapshotMeta, File), StoreError> {
    let (meta, path) = to_file(inner)?;
    let file = File::open(&path)?;
    fs::remove_file(&path)?;
    Ok((meta, file))
}

fn meta(view: &View) -> Result<SnapshotMeta, StoreError> {
    let (last_log_id, last_membership) = read_state(view)?;
    let index = last_log_id.map_or(0, |id| id.index);
    Ok(SnapshotMeta {
        last_log_id,
        last_membership,
        snapshot_id: index.to_string(),
    })
}

fn to_file(inner: &Inner) -> Result<(SnapshotMeta, PathBuf), StoreError> {
    let view = inner.view()?;
    let meta = meta(&view)?;
    let name = format!("{EXPORT}{:016x}.partial", rand::random::<u64>());
    let path = inner.dir.join(name);
    write(&view, &meta, &path)?;
    Ok((meta, path))
}

/// Writes a snapshot that is for no other node: its name ends as what a start sweeps away.
pub(super) fn export(inner: &Inner) -> Result<PathBuf, StoreError> {
    to_file(inner).map(|(_, path)| path)
}

/// The file of an export.
pub(super) fn exported(inner: &Inner, name: &str) -> Result<PathBuf, StoreError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if !name.starts_with(EXPORT) || name.contains("..") || !name.bytes().all(plain) {
        return Err(StoreError::Store(format!("{name:?} is no snapshot")));
    }
    Ok(inner.dir.join(name))
}

/// Removes the files of earlier versions, which kept their newest snapshot.
pub(super) fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.to_str().is_some_and(|name| name.ends_with(SUFFIX)) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
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

/// Reads a snapshot from its beginning, gives each record, and fails when its digest is wrong.
pub(super) fn read(mut file: &File, take: &mut Take<'_>) -> Result<(), StoreError> {
    file.seek(SeekFrom::Start(0))?;
    let mut input = BufReader::new(file);
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
