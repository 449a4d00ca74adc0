//! Who this disk is.
//!
//! A disk gets a random name when it is formatted, and that name is its name in Raft. A wiped
//! disk is thereby a stranger: it cannot vote again on what its predecessor has voted on.

use crate::disk::files;
use planaria_storage_core::DiskId;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

const FILE: &str = "identity.json";

/// What `identity.json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Version of this file.
    pub version: u32,
    /// The disk's name.
    pub disk: DiskId,
    /// Counts the starts. A disk that comes back with a lower count was rolled back.
    pub boot: u64,
    /// The cluster that it belongs to, once it does.
    pub cluster: Option<u64>,
    /// Whether Raft's log has ever held anything. If so and it is gone, this is another disk.
    pub voted: bool,
}

/// The identity and where it is kept.
#[derive(Debug)]
pub struct IdentityFile {
    path: PathBuf,
    identity: Identity,
}

impl IdentityFile {
    /// Reads the identity and counts this start, or formats the disk.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is damaged: then a person decides.
    pub fn open(data: &Path) -> io::Result<Self> {
        let path = data.join(FILE);
        let identity = match std::fs::read(&path) {
            Ok(bytes) => {
                let mut identity: Identity = serde_json::from_slice(&bytes).map_err(|e| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!(
                            "{} is damaged ({e}); restore it, or remove the node's whole data \
                             directory so that it comes back as a new disk",
                            path.display()
                        ),
                    )
                })?;
                identity.boot += 1;
                identity
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Identity {
                version: 1,
                disk: random_disk(),
                boot: 1,
                cluster: None,
                voted: false,
            },
            Err(e) => return Err(e),
        };
        let file = Self { path, identity };
        file.save()?;
        Ok(file)
    }

    /// The identity.
    #[must_use]
    pub fn get(&self) -> &Identity {
        &self.identity
    }

    /// Joins a cluster.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_cluster(&mut self, cluster: u64) -> io::Result<()> {
        self.identity.cluster = Some(cluster);
        self.save()
    }

    /// Notes that Raft's log holds something from now on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_voted(&mut self) -> io::Result<()> {
        if self.identity.voted {
            return Ok(());
        }
        self.identity.voted = true;
        self.save()
    }

    /// Becomes another disk: the metadata under the old name cannot be trusted any more. Its
    /// cluster stays: the chunks are still good there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn renew(&mut self) -> io::Result<()> {
        self.identity.disk = random_disk();
        self.identity.boot = 1;
        self.identity.voted = false;
        self.save()
    }

    fn save(&self) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(&self.identity).map_err(io::Error::other)?;
        files::replace(&self.path, &bytes)
    }
}

/// Zero is no disk's name: it marks a missing one in answers.
fn random_disk() -> DiskId {
    DiskId(rand::random_range(1..=u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_keeps_its_name_and_counts_its_starts() {
        let dir = tempfile::tempdir().unwrap();
        let first = IdentityFile::open(dir.path()).unwrap().get().clone();
        let second = IdentityFile::open(dir.path()).unwrap().get().clone();
        assert_eq!(first.disk, second.disk);
        assert_eq!((first.boot, second.boot), (1, 2));
    }

    #[test]
    fn a_wiped_disk_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = IdentityFile::open(dir.path()).unwrap();
        let first = file.get().disk;
        std::fs::remove_file(dir.path().join(FILE)).unwrap();
        assert_ne!(IdentityFile::open(dir.path()).unwrap().get().disk, first);
        file.renew().unwrap();
        assert_ne!(file.get().disk, first);
    }

    #[test]
    fn a_damaged_identity_is_not_replaced_silently() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), b"{").unwrap();
        let error = IdentityFile::open(dir.path()).unwrap_err();
        assert!(
            error.to_string().contains("identity.json is damaged"),
            "{error}"
        );
    }
}
