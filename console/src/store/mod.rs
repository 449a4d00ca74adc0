//! What must outlive the console: one SQLite file, used by one thread.
//!
//! Callers hand over closures ([`Store::call`]); nothing else opens the file. A file that SQLite finds
//! damaged is kept aside under another name and a new one is begun ([`Store::set_aside`] says so): the
//! broker's journal is then read again from its beginning.

pub mod alerts;
pub mod journal;
pub mod metrics;
pub mod people;
mod schema;

use rusqlite::{Connection, ErrorCode};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{oneshot, watch};

/// Jobs that wait for the disk; a caller waits when it is full.
const JOBS_MAX: usize = 1024;
/// SQLite needs little; the default of 2 MiB per thread would be half of what the console takes.
const STACK: usize = 512 * 1024;
/// Damaged files that are kept for a look; older ones are removed.
const ASIDE_MAX: usize = 3;
/// The file's name in `STATE_DIR`.
pub const FILE: &str = "console.db";

/// Why a job failed. What it wrote was rolled back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite's word.
    #[error("the console's database: {0}; see STATE_DIR and the space left there")]
    Database(#[from] rusqlite::Error),
    /// The thread is gone or full: the process ends.
    #[error("the console's database is not there any more")]
    Gone,
}

type Job = Box<dyn FnOnce(&mut Connection) -> Result<(), ErrorCode> + Send>;

/// A handle to the thread; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    jobs: SyncSender<Job>,
    aside: watch::Receiver<Option<PathBuf>>,
}

impl Store {
    /// Opens the file in `folder`, or a database in memory where there is none.
    ///
    /// # Errors
    /// Where the folder cannot be written, or no thread can be had.
    pub fn open(folder: Option<&Path>) -> Result<Self, StoreError> {
        let path = folder.map(|folder| folder.join(FILE));
        let (said, aside) = watch::channel(None);
        let connection = open_or_begin_anew(path.as_deref(), &said)?;
        let (jobs, waiting) = sync_channel::<Job>(JOBS_MAX);
        std::thread::Builder::new()
            .name("store".into())
            .stack_size(STACK)
            .spawn(move || serve(connection, path.as_deref(), &waiting, &said))
            .map_err(|_| StoreError::Gone)?;
        Ok(Self { jobs, aside })
    }

    /// Runs `work` on the database, in its turn.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = work(connection);
            let code = result
                .as_ref()
                .err()
                .and_then(rusqlite::Error::sqlite_error_code);
            // Whoever asked may have gone.
            let _ = answer.send(result);
            code.map_or(Ok(()), Err)
        });
        // The thread is never busy for long, and a full queue is worth a short wait of this one task.
        let mut job = Some(job);
        while let Some(waiting) = job.take() {
            match self.jobs.try_send(waiting) {
                Ok(()) => {}
                Err(std::sync::mpsc::TrySendError::Full(back)) => {
                    job = Some(back);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(std::sync::mpsc::TrySendError::Disconnected(_)) => {
                    return Err(StoreError::Gone);
                }
            }
        }
        Ok(answered.await.map_err(|_| StoreError::Gone)??)
    }

    /// Where the newest damaged file was put, as it happens.
    #[must_use]
    pub fn set_aside(&self) -> watch::Receiver<Option<PathBuf>> {
        self.aside.clone()
    }
}

fn serve(
    mut connection: Connection,
    path: Option<&Path>,
    jobs: &Receiver<Job>,
    said: &watch::Sender<Option<PathBuf>>,
) {
    while let Ok(job) = jobs.recv() {
        let Err(code) = job(&mut connection) else {
            continue;
        };
        if !is_damage(code) {
            continue;
        }
        // The old one stays open on the moved file until the new one takes its place; nothing uses it.
        match begin_anew(path, said) {
            Ok(fresh) => connection = fresh,
            Err(error) => {
                tracing::error!(event = "store_failed", "{error}");
                return;
            }
        }
    }
}

fn is_damage(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
}

fn open_or_begin_anew(
    path: Option<&Path>,
    said: &watch::Sender<Option<PathBuf>>,
) -> Result<Connection, StoreError> {
    match schema::open(path) {
        Ok(connection) => Ok(connection),
        Err(error) if error.sqlite_error_code().is_some_and(is_damage) => begin_anew(path, said),
        Err(error) => Err(error.into()),
    }
}

fn begin_anew(
    path: Option<&Path>,
    said: &watch::Sender<Option<PathBuf>>,
) -> Result<Connection, StoreError> {
    if let Some(path) = path {
        let aside = path.with_extension(format!("damaged-{}", now_ms()));
        for tail in ["", "-wal", "-shm"] {
            let from = with_tail(path, tail);
            // A file that is not there is no trouble; one that stays is found by the opening below.
            let _ = std::fs::rename(&from, with_tail(&aside, tail));
        }
        forget_old_ones(path);
        tracing::error!(
            event = "store_damaged",
            "The console's database was damaged and is kept as {}; a new one is begun from the journal",
            aside.display()
        );
        said.send_replace(Some(aside));
    }
    Ok(schema::open(path)?)
}

fn with_tail(path: &Path, tail: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(tail);
    name.into()
}

fn forget_old_ones(path: &Path) {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem()) else {
        return;
    };
    let start = format!("{}.damaged-", stem.to_string_lossy());
    let mut kept: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            name.is_some_and(|name| {
                name.starts_with(&start) && !name.ends_with("-wal") && !name.ends_with("-shm")
            })
        })
        .collect();
    kept.sort();
    let surplus = kept.len().saturating_sub(ASIDE_MAX);
    for old in kept.drain(..surplus) {
        for tail in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(with_tail(&old, tail));
        }
    }
}

/// Milliseconds since 1970 by this machine's clock, which may jump: for people only.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// SQLite's integers are signed.
#[must_use]
pub fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// And back.
#[must_use]
pub fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_written_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        for expected in [None, Some(7)] {
            let store = Store::open(Some(folder.path())).unwrap();
            let seen = store.call(|db| journal::position(db)).await.unwrap();
            assert_eq!(seen, expected);
            store.call(|db| journal::set_position(db, 7)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_damaged_file_is_kept_aside_and_a_new_one_begun() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join(FILE),
            b"this is no database at all, not even nearly",
        )
        .unwrap();
        let store = Store::open(Some(folder.path())).unwrap();
        let aside = store.set_aside().borrow().clone().unwrap();
        assert!(std::fs::read(aside).unwrap().starts_with(b"this is no"));
        assert_eq!(store.call(|db| journal::position(db)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn damage_that_shows_later_is_mended_too() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Some(folder.path())).unwrap();
        let broken = store
            .call(|_| -> rusqlite::Result<()> {
                let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
                Err(rusqlite::Error::SqliteFailure(code, None))
            })
            .await;
        assert!(broken.is_err());
        store.call(|db| journal::set_position(db, 3)).await.unwrap();
        assert!(store.set_aside().borrow().is_some());
        assert_eq!(
            store.call(|db| journal::position(db)).await.unwrap(),
            Some(3)
        );
    }

    #[test]
    fn only_a_few_damaged_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for at in 0..9 {
            std::fs::write(folder.path().join(format!("console.damaged-{at}")), b"x").unwrap();
        }
        forget_old_ones(&folder.path().join(FILE));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), ASIDE_MAX);
    }
}
