//! What a person asks at the command line.

use planaria_storage_core::{Grant, RoleChange, Versioning};
use serde::{Deserialize, Serialize};

/// A request of `storage-node`'s verbs. Any node takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Admin {
    /// The disks, and what was decided about them.
    Layout,
    /// Decides something about a node's disk.
    Assign {
        /// The node.
        node: String,
        /// What.
        change: RoleChange,
        /// Only says what would have to be copied.
        dry_run: bool,
    },
    /// Takes a node's disk out of the cluster.
    Remove {
        /// The node.
        node: String,
        /// Also when it still holds chunks.
        force: bool,
    },
    /// Makes a pair of keys.
    CreateKey {
        /// What people call it.
        name: String,
        /// What it may do; none: everything.
        grants: Option<Vec<Grant>>,
    },
    /// The pairs of keys, without the secrets.
    ListKeys,
    /// Takes a pair of keys away.
    DeleteKey {
        /// Its access key.
        id: String,
    },
    /// The buckets.
    ListBuckets,
    /// Makes a bucket.
    CreateBucket {
        /// Its name.
        name: String,
    },
    /// Removes an empty bucket.
    DeleteBucket {
        /// Its name.
        name: String,
    },
    /// Whether a bucket keeps versions.
    SetVersioning {
        /// Its name.
        name: String,
        /// Whether.
        versioning: Versioning,
    },
    /// Reads every copy of this node back, beginning now.
    Scrub,
    /// Compares disk and records, and looks for copies that lie in the wrong place, now.
    Repair,
    /// The metadata as of now, from this byte on.
    Snapshot {
        /// Which snapshot; none: a new one.
        name: Option<String>,
        /// Where to go on.
        offset: u64,
    },
}
