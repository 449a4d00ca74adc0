//! For tests: what a disk holds after the power went. What was synced is there; of what was written
//! and not synced any part may be, sector by sector; a name is there once its directory was synced.

use rand::Rng;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 512;

/// Which file it is: the system gives the number of one that is gone to another, made later.
type Number = (u64, Option<SystemTime>);

fn number(file: &File) -> io::Result<Number> {
    let metadata = file.metadata()?;
    Ok((metadata.ino(), metadata.created().ok()))
}

#[derive(Default)]
pub(crate) struct Known {
    /// The length up to which a file was synced: files here only grow, or are cut.
    lengths: BTreeMap<Number, u64>,
    names: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    /// Of files that are written in place, all that was synced.
    whole: BTreeMap<Number, Vec<u8>>,
}

static KNOWN: Mutex<Known> = Mutex::new(Known {
    lengths: BTreeMap::new(),
    names: BTreeMap::new(),
    whole: BTreeMap::new(),
});

/// While this is held nothing becomes durable, and so nothing is acknowledged.
pub(crate) fn hold() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file was synced: what it held when that began counts.
pub(super) fn synced(file: &File, length: u64) -> io::Result<()> {
    let number = number(file)?;
    hold().lengths.insert(number, length);
    Ok(())
}

/// A directory was synced.
pub(super) fn names_synced(dir: &Path) -> io::Result<()> {
    let mut known = hold();
    let names: io::Result<_> = fs::read_dir(dir)?.map(|one| Ok(one?.path())).collect();
    known.names.insert(fs::canonicalize(dir)?, names?);
    Ok(())
}

impl Known {
    /// What lies in a directory after a power cut now, written into another one. That is on the
    /// disk from then on: a second cut takes nothing more of it.
    pub(crate) fn cut(&mut self, dir: &Path, to: &Path, rng: &mut SmallRng) -> io::Result<()> {
        fs::create_dir_all(to)?;
        let there = self.names.get(&fs::canonicalize(dir)?).cloned();
        let to = fs::canonicalize(to)?;
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let target = to.join(path.file_name().unwrap_or_default());
            if path.is_dir() {
                self.cut(&path, &target, rng)?;
            } else if there.as_ref().is_some_and(|names| names.contains(&path)) {
                let in_place = self.whole.contains_key(&number(&File::open(&path)?)?);
                let left = self.left(&path, rng)?;
                fs::write(&target, &left)?;
                let copy = number(&File::open(&target)?)?;
                self.lengths.insert(copy, left.len() as u64);
                if in_place {
                    self.whole.insert(copy, left);
                }
                names.insert(target);
            }
        }
        self.names.insert(to, names);
        Ok(())
    }

    fn left(&self, path: &Path, rng: &mut SmallRng) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let number = number(&file)?;
        let mut now = fs::read(path)?;
        let durable = match self.whole.get(&number) {
            Some(before) => {
                let mut before = before.clone();
                before.resize(now.len().max(before.len()), 0);
                before
            }
            None => {
                let length = self.lengths.get(&number).copied().unwrap_or(0);
                let length = usize::try_from(length).unwrap_or(usize::MAX).min(now.len());
                now.truncate(rng.random_range(length..=now.len()));
                let mut before = now[..length].to_vec();
                before.resize(now.len(), 0);
                before
            }
        };
        for (at, sector) in now.chunks_mut(SECTOR).enumerate() {
            let before = &durable[at * SECTOR..at * SECTOR + sector.len()];
            if rng.random() {
                sector.copy_from_slice(before);
            } else if !self.whole.contains_key(&number) {
                // What was synced of a file that grows is never written again.
                let kept = self.lengths.get(&number).copied().unwrap_or(0);
                let kept = usize::try_from(kept).unwrap_or(usize::MAX);
                let kept = kept.saturating_sub(at * SECTOR).min(sector.len());
                sector[..kept].copy_from_slice(&before[..kept]);
            }
        }
        Ok(now)
    }
}

/// The file of a store that writes in place.
#[derive(Debug)]
pub(crate) struct InPlace(File);

impl InPlace {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false);
        Ok(Self(options.open(path)?))
    }
}

impl redb::StorageBackend for InPlace {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut known = hold();
        let mut all = vec![0; usize::try_from(self.len()?).map_err(io::Error::other)?];
        self.0.read_exact_at(&mut all, 0)?;
        known.whole.insert(number(&self.0)?, all);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}
