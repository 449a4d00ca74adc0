//! What a node is told at its start.

use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest that a frame between nodes may be, and thereby the largest chunk and log entry.
pub const MAX_FRAME: usize = 24 << 20;
/// Objects up to this length live in the log entry itself: three small log records cost less than
/// three segment records and their manifest.
pub const INLINE_LIMIT: usize = 4096;

/// How far an acknowledged byte is from the platter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Chunks are not synced: no promise about them after a power loss. Raft's log and vote are
    /// synced all the same.
    Off,
    /// Chunks are synced before they are acknowledged.
    Data,
    /// The state machine is synced with every batch too.
    Full,
}

/// A node's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name under which the others know this node.
    pub name: String,
    /// Where everything is kept.
    pub data: PathBuf,
    /// Where S3 is served.
    pub s3: SocketAddr,
    /// Where the line protocol is served.
    pub line: SocketAddr,
    /// Where the other nodes are answered.
    pub peer: SocketAddr,
    /// The address under which the others reach this node's `peer`.
    pub advertise: String,
    /// The peer addresses of all initial nodes, this one's among them.
    pub peers: Vec<String>,
    /// Keys and the shared secret.
    pub secrets: Secrets,
    /// How many copies of each chunk are wanted.
    pub replication_factor: u8,
    /// On how many disks a chunk must be durable before a write is acknowledged.
    pub write_quorum: u8,
    /// How long a chunk is, in bytes.
    pub chunk_size: usize,
    /// The longest object, in bytes.
    pub max_object_size: u64,
    /// What is synced.
    pub fsync: Fsync,
    /// How long a disk may be away before its copies are made elsewhere.
    pub removal_grace: Duration,
}

/// The contents of `storage.json`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// The S3 access key.
    pub access_key: String,
    /// The S3 secret key.
    pub secret_key: String,
    /// What the nodes prove to each other, in hexadecimal.
    pub peer_secret: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The secrets' file.
    #[error("cannot read the storage secrets from {path}: {reason}")]
    Secrets {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A combination that cannot work.
    #[error("{0}")]
    Relation(String),
}

/// The least length of a shared secret, in hexadecimal digits: 128 bits.
const LEAST_SECRET: usize = 32;

impl Secrets {
    /// Reads `storage.json`.
    ///
    /// # Errors
    /// [`ConfigError::Secrets`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let wrong = |reason: String| ConfigError::Secrets {
            path: path.to_owned(),
            reason,
        };
        let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        let secrets: Self = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        if secrets.peer_secret.len() < LEAST_SECRET {
            return Err(wrong(format!(
                "peer_secret needs at least {LEAST_SECRET} digits"
            )));
        }
        if secrets.access_key.is_empty() || secrets.secret_key.is_empty() {
            return Err(wrong(
                "access_key and secret_key must not be empty".to_owned(),
            ));
        }
        Ok(secrets)
    }
}

impl Config {
    /// Checks the relations between the values.
    ///
    /// # Errors
    /// [`ConfigError::Relation`], with the mend.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: String| Err(ConfigError::Relation(text));
        if self.write_quorum == 0 || self.write_quorum > self.replication_factor {
            return wrong(format!(
                "WRITE_QUORUM is {}: it must lie between 1 and REPLICATION_FACTOR ({})",
                self.write_quorum, self.replication_factor
            ));
        }
        if !(4096..=MAX_FRAME / 2).contains(&self.chunk_size) {
            return wrong(format!(
                "CHUNK_SIZE is {} bytes: it must lie between 4 KiB and {} MiB",
                self.chunk_size,
                MAX_FRAME >> 21
            ));
        }
        if !self.peers.contains(&self.advertise) {
            return wrong(format!(
                "PLANARIA_STORAGE_PEERS does not name this node ({}); name every initial node",
                self.advertise
            ));
        }
        Ok(())
    }
}
