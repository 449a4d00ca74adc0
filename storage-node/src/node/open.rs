//! Opening the disk at a start.

use crate::config::{Config, Fsync};
use crate::disk::{ChunkStore, StoreOptions, files};
use crate::identity::IdentityFile;
use crate::meta::{JournalError, LogStore, StateMachine};
use anyhow::Context as _;
use std::fs::File;
use std::path::Path;

/// What the disk holds, opened and made sense of.
pub(super) struct Opened {
    pub(super) identity: IdentityFile,
    pub(super) log: LogStore,
    pub(super) machine: StateMachine,
    pub(super) store: ChunkStore,
    pub(super) lock: File,
    /// How many half-written files were swept away.
    pub(super) swept: u64,
}

/// Opens what is on the disk. Where the metadata cannot be trusted under the disk's name, the
/// disk gets a new name: it joins again as a stranger, and keeps its chunks.
pub(super) fn open(config: &Config) -> anyhow::Result<Opened> {
    let data = &config.data;
    std::fs::create_dir_all(data)
        .with_context(|| format!("cannot make the data directory {}", data.display()))?;
    let lock = File::create(data.join("lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .with_context(|| format!("another storage node uses {}", data.display()))?;
    let meta = data.join("meta");
    std::fs::create_dir_all(&meta)?;
    let swept = files::sweep(data)? + files::sweep(&meta)?;
    let mut identity = IdentityFile::open(data)?;
    files::sync_parent(&meta)?;
    let path = meta.join("raft.log");
    let log = match LogStore::open(&path) {
        Ok(log) if log.is_blank() != identity.get().voted => Some(log),
        Ok(_) => None,
        Err(JournalError::Rot(at)) => {
            tracing::error!(event = "raft_log_rotten", at, "raft's log is damaged");
            None
        }
        Err(error) => return Err(error.into()),
    };
    let log = match log {
        Some(log) => log,
        None => start_over(&mut identity, &meta, &path)?,
    };
    let machine = StateMachine::open(&meta, config.fsync)?;
    let options = StoreOptions {
        sync: config.fsync != Fsync::Off,
        ..StoreOptions::default()
    };
    let store = ChunkStore::open(&data.join("chunks"), options)?;
    Ok(Opened {
        identity,
        log,
        machine,
        store,
        lock,
        swept,
    })
}

fn start_over(identity: &mut IdentityFile, meta: &Path, path: &Path) -> anyhow::Result<LogStore> {
    let old = identity.get().disk;
    // The new name first: a crash in between leaves a stranger with odd metadata, which is again
    // a reason to start over, and never the old name without its log.
    identity.renew()?;
    std::fs::remove_dir_all(meta)?;
    std::fs::create_dir_all(meta)?;
    files::sync_parent(meta)?;
    tracing::warn!(event = "disk_renamed", %old, new = %identity.get().disk,
        "the metadata of this disk is not what it was; it joins again as a new disk");
    Ok(LogStore::open(path)?)
}
