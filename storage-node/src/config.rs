//! What a node is told at its start.

pub use planaria_core::settings::Fsync;
use planaria_core::settings::Settings;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest that a frame between nodes may be, and thereby the largest chunk and log entry.
pub const MAX_FRAME: usize = 24 << 20;
/// Objects up to this length live in the log entry itself: three small log records cost less than
/// three segment records and their manifest.
pub const INLINE_LIMIT: usize = 4096;

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
    /// How often a further copy is tried before it is left to the repair.
    pub replica_retries: u32,
    /// The only region that requests may be signed for; none takes any.
    pub region: Option<String>,
    /// The domain before which buckets may stand in the host's name.
    pub domain: Option<String>,
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
    /// Takes what concerns storage from the settings, and reads the secrets.
    ///
    /// # Errors
    /// [`ConfigError`], with the mend.
    pub fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        let missing = |text: &str| ConfigError::Relation(text.to_owned());
        let name = settings.container_name.clone().ok_or_else(|| {
            missing("CONTAINER_NAME is not set: a storage node needs a name that stays")
        })?;
        let secrets = settings.storage_secrets_file.as_deref().ok_or_else(|| {
            missing("STORAGE_SECRETS_FILE is not set: it names the file with the keys")
        })?;
        let start = format!("{name}:");
        let own = settings
            .storage_peers
            .iter()
            .find(|peer| peer.starts_with(&start));
        let small = |n: u32| u8::try_from(n).unwrap_or(u8::MAX);
        let config = Self {
            data: settings.storage_data_dir.clone(),
            s3: settings.s3_addr,
            line: settings.line_addr,
            peer: settings.peer_addr,
            // Without names to find it by (a local trial), the peer port itself.
            advertise: own
                .cloned()
                .unwrap_or_else(|| settings.peer_addr.to_string()),
            peers: settings.storage_peers.clone(),
            secrets: Secrets::read(secrets)?,
            replication_factor: small(settings.replication_factor),
            write_quorum: small(settings.write_quorum),
            replica_retries: settings.replica_write_retries,
            region: settings.s3_region.clone(),
            domain: settings.s3_domain.clone(),
            chunk_size: usize::try_from(settings.chunk_size.0).unwrap_or(usize::MAX),
            max_object_size: settings.max_object_size.0,
            fsync: settings.fsync,
            removal_grace: settings.removal_grace_period,
            name,
        };
        config.check()?;
        Ok(config)
    }

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
                "STORAGE_PEERS does not name this node ({}); it must name every initial node",
                self.advertise
            ));
        }
        Ok(())
    }
}
