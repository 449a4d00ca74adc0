//! The metadata: one Raft group over all disks.

mod handle;
mod journal;
mod log;
mod machine;
mod network;
mod restore;
mod snapshot;
#[cfg(test)]
mod tests;

pub use handle::{Meta, MetaError};
pub use journal::JournalError;
pub use log::LogStore;
pub use machine::{Reader, StateMachine, StoreError, View};
pub use network::Network;
pub use restore::restore;

use planaria_storage_core::{Reply, Request};
use serde::{Deserialize, Serialize};

/// What Raft knows about a disk's node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The node's name.
    pub name: String,
    /// Where its peer port is reached.
    pub addr: String,
}

openraft::declare_raft_types!(
    /// The types of this Raft group.
    pub TypeConfig:
        D = Request,
        R = Reply,
        NodeId = u64,
        Node = NodeInfo,
        Entry = openraft::Entry<TypeConfig>,
        SnapshotData = tokio::fs::File,
);

/// The Raft group as this node sees it.
pub type Raft = openraft::Raft<TypeConfig>;

type LogId = openraft::LogId<u64>;
type Vote = openraft::Vote<u64>;
type Entry = openraft::Entry<TypeConfig>;
type StorageError = openraft::StorageError<u64>;
type StoredMembership = openraft::StoredMembership<u64, NodeInfo>;
type SnapshotMeta = openraft::SnapshotMeta<u64, NodeInfo>;
