//! The metadata of a file put back: the beginning of a new cluster.

use super::log::LogStore;
use super::machine::{StateMachine, StoreError};
use super::snapshot;
use super::{LogId, NodeInfo, SnapshotMeta};
use crate::config::Fsync;
use planaria_storage_core::DiskId;
use std::fs::File;
use std::path::Path;

/// How far above everything that is known the new log begins. Copies carry the index at which they
/// were written: one from after the snapshot must not look younger than what will be condemned.
const ROOM: u64 = 1 << 20;

/// Makes the store and the log in an empty directory: all that the snapshot holds, with this disk
/// as the only member from then on. `above` is the highest index that any copy here carries.
///
/// # Errors
/// [`StoreError`], also when the file is damaged; what was made is to be removed then.
pub fn restore(
    dir: &Path,
    file: &Path,
    disk: DiskId,
    node: NodeInfo,
    above: u64,
) -> Result<(), StoreError> {
    let head = snapshot::head(file)?;
    let last = head
        .last_log_id
        .ok_or_else(|| snapshot::damaged("it holds nothing"))?;
    let start = LogId::new(last.leader_id, last.index.max(above) + ROOM);
    let machine = StateMachine::open(dir, Fsync::Full)?;
    let meta = SnapshotMeta {
        last_log_id: Some(start),
        ..head
    };
    // The log begins behind it, so that who joins is given a snapshot.
    machine.0.install(&meta, &File::open(file)?)?;
    let begun = LogStore::begin(&dir.join("raft.log"), start, disk, node);
    begun.map_err(|e| StoreError::Store(e.to_string()))
}
