//! The state machine's store: one table of redb, which holds the core's records and how far the
//! log is applied, written in one transaction.

use super::snapshot;
use super::{Entry, LogId, SnapshotMeta, StorageError, StoredMembership, TypeConfig};
use crate::config::Fsync;
use crate::disk::files;
use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot, StorageIOError};
use planaria_storage_core::machine::{self, MachineError, Members};
use planaria_storage_core::{CodecError, DiskId, Reply, Store, StoreMut, Visit, decode, encode};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::watch;

pub(super) const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
/// The core's keys begin with a letter; these two do not.
const APPLIED: &[u8] = b"\0applied";
const MEMBERSHIP: &[u8] = b"\0membership";
/// After how many entries a commit is synced. Between two, a crash loses only what Raft's log
/// replays; it is never purged beyond what is synced here.
const SYNC_EVERY: u64 = 512;
/// How much of the tree redb may keep in memory.
const CACHE_BYTES: usize = 12 << 20;

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store on disk.
    #[error("the metadata store failed: {0}")]
    Store(String),
    /// A record in it.
    #[error("the metadata store is damaged: {0}")]
    Damaged(#[from] CodecError),
    /// The file system.
    #[error("the metadata store failed: {0}")]
    Disk(#[from] std::io::Error),
}

impl<E: std::fmt::Display> From<MachineError<E>> for StoreError {
    fn from(error: MachineError<E>) -> Self {
        match error {
            MachineError::Damaged(error) => Self::Damaged(error),
            other => Self::Store(other.to_string()),
        }
    }
}

/// redb has an error type for each act; here they are one.
pub(super) fn redb<E: Into<redb::Error>>(error: E) -> StoreError {
    StoreError::Store(error.into().to_string())
}

pub(super) struct Inner {
    pub(super) database: Database,
    pub(super) dir: PathBuf,
    fsync: Fsync,
    unsynced: AtomicU64,
    /// Raft has a mark up to which its log may be purged, so that a node may need a snapshot.
    marked: AtomicBool,
    applied: watch::Sender<u64>,
}

/// The state machine as Raft writes it.
#[derive(Clone)]
pub struct StateMachine(pub(super) Arc<Inner>);

/// The state machine as everybody else reads it.
#[derive(Clone)]
pub struct Reader(Arc<Inner>);

impl StateMachine {
    /// Opens the store, or makes an empty one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(dir: &Path, fsync: Fsync) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir)?;
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let path = dir.join("state.redb");
        #[cfg(not(test))]
        let database = builder.create(path).map_err(redb)?;
        #[cfg(test)]
        let database = builder
            .create_with_backend(crate::disk::power::InPlace::open(&path)?)
            .map_err(redb)?;
        files::sync_parent(&dir.join("state.redb"))?;
        let transaction = database.begin_write().map_err(redb)?;
        transaction.open_table(TABLE).map_err(redb)?;
        transaction.commit().map_err(redb)?;
        snapshot::sweep(dir)?;
        let inner = Inner {
            database,
            dir: dir.to_owned(),
            fsync,
            unsynced: AtomicU64::new(0),
            marked: AtomicBool::new(false),
            applied: watch::channel(0).0,
        };
        let applied = inner.state()?.0.map_or(0, |id| id.index);
        inner.applied.send_replace(applied);
        Ok(Self(Arc::new(inner)))
    }

    /// A reader of the same store.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader(Arc::clone(&self.0))
    }
}

impl Reader {
    /// Reads the store as of one moment.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn view(&self) -> Result<View, StoreError> {
        self.0.view()
    }

    /// Writes the whole store into a file beside it, for a person to take away.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn export(&self) -> Result<PathBuf, StoreError> {
        snapshot::export(&self.0)
    }

    /// The file of an earlier [`Reader::export`].
    ///
    /// # Errors
    /// When the name is not that of one.
    pub fn exported(&self, name: &str) -> Result<PathBuf, StoreError> {
        snapshot::exported(&self.0, name)
    }

    /// The index of the last entry applied.
    #[must_use]
    pub fn applied(&self) -> u64 {
        *self.0.applied.borrow()
    }

    /// Follows the index of the last entry applied.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.applied.subscribe()
    }

    /// The term of the last entry applied.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn applied_term(&self) -> Result<u64, StoreError> {
        Ok(self.0.state()?.0.map_or(0, |id| id.leader_id.term))
    }
}

/// The store as of one moment.
pub struct View(redb::ReadOnlyTable<&'static [u8], &'static [u8]>);

impl Store for View {
    type Error = redb::StorageError;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Self::Error> {
        Ok(self.0.get(key)?.map(|value| value.value().to_vec()))
    }

    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), Self::Error> {
        scan(&self.0, from, visit)
    }
}

struct Writing<'t>(Table<'t, &'static [u8], &'static [u8]>);

impl Store for Writing<'_> {
    type Error = redb::StorageError;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Self::Error> {
        Ok(self.0.get(key)?.map(|value| value.value().to_vec()))
    }

    fn scan(&self, from: &[u8], visit: &mut Visit<'_>) -> Result<(), Self::Error> {
        scan(&self.0, from, visit)
    }
}

impl StoreMut for Writing<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Self::Error> {
        self.0.insert(key, value).map(drop)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), Self::Error> {
        self.0.remove(key).map(drop)
    }
}

fn scan<T: ReadableTable<&'static [u8], &'static [u8]>>(
    table: &T,
    from: &[u8],
    visit: &mut Visit<'_>,
) -> Result<(), redb::StorageError> {
    for item in table.range(from..)? {
        let (key, value) = item?;
        if visit(key.value(), value.value()).is_break() {
            break;
        }
    }
    Ok(())
}

impl Inner {
    pub(super) fn view(&self) -> Result<View, StoreError> {
        let transaction = self.database.begin_read().map_err(redb)?;
        Ok(View(transaction.open_table(TABLE).map_err(redb)?))
    }

    fn state(&self) -> Result<(Option<LogId>, StoredMembership), StoreError> {
        read_state(&self.view()?)
    }

    fn apply(&self, entries: Vec<Entry>) -> Result<Vec<Reply>, StoreError> {
        let count = entries.len() as u64;
        let due = self.unsynced.fetch_add(count, Ordering::Relaxed) + count >= SYNC_EVERY;
        let durable = due || self.fsync == Fsync::Full;
        let mut transaction = self.database.begin_write().map_err(redb)?;
        if !durable {
            transaction
                .set_durability(Durability::None)
                .map_err(|e| StoreError::Store(e.to_string()))?;
        }
        let mut replies = Vec::with_capacity(entries.len());
        let mut last = None;
        {
            let mut table = Writing(transaction.open_table(TABLE).map_err(redb)?);
            for entry in entries {
                last = Some(entry.log_id);
                replies.push(apply_one(&mut table, entry)?);
            }
            if let Some(last) = last {
                table.put(APPLIED, &encode(&last)?).map_err(redb)?;
            }
        }
        transaction.commit().map_err(redb)?;
        if durable {
            self.unsynced.store(0, Ordering::Relaxed);
        }
        if let Some(last) = last {
            self.applied.send_replace(last.index);
        }
        Ok(replies)
    }

    /// Syncs all commits before this one.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(redb)?;
        transaction.commit().map_err(redb)?;
        self.unsynced.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Takes a snapshot in the place of everything, in one transaction: a damaged one changes nothing.
    pub(super) fn install(&self, meta: &SnapshotMeta, file: &File) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(redb)?;
        transaction.delete_table(TABLE).map_err(redb)?;
        {
            let mut table = Writing(transaction.open_table(TABLE).map_err(redb)?);
            snapshot::read(file, &mut |key, value| table.put(key, value).map_err(redb))?;
            // The header's word counts: it is what Raft has agreed to install.
            if let Some(last) = &meta.last_log_id {
                table.put(APPLIED, &encode(last)?).map_err(redb)?;
            }
            table
                .put(MEMBERSHIP, &encode(&meta.last_membership)?)
                .map_err(redb)?;
        }
        transaction.commit().map_err(redb)?;
        self.applied
            .send_replace(meta.last_log_id.map_or(0, |id| id.index));
        Ok(())
    }
}

pub(super) fn read_state<S: Store>(
    store: &S,
) -> Result<(Option<LogId>, StoredMembership), StoreError>
where
    S::Error: std::fmt::Display,
{
    let get = |key: &[u8]| store.get(key).map_err(|e| StoreError::Store(e.to_string()));
    let applied = get(APPLIED)?.map(|bytes| decode(&bytes)).transpose()?;
    let membership = get(MEMBERSHIP)?.map(|bytes| decode(&bytes)).transpose()?;
    Ok((applied, membership.unwrap_or_default()))
}

fn apply_one(table: &mut Writing<'_>, entry: Entry) -> Result<Reply, StoreError> {
    let index = entry.log_id.index;
    match entry.payload {
        EntryPayload::Blank => Ok(Reply::Done),
        EntryPayload::Normal(request) => Ok(machine::apply(table, index, &request)?),
        EntryPayload::Membership(membership) => {
            let voters: Vec<DiskId> = membership.voter_ids().map(DiskId).collect();
            let learners = membership.learner_ids().map(DiskId).collect();
            machine::set_members(table, index, &Members { voters, learners })?;
            let stored = StoredMembership::new(Some(entry.log_id), membership);
            table.put(MEMBERSHIP, &encode(&stored)?).map_err(redb)?;
            Ok(Reply::Done)
        }
    }
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(
    inner: &Arc<Inner>,
    work: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let inner = Arc::clone(inner);
    tokio::task::spawn_blocking(move || work(&inner))
        .await
        .map_err(|e| StoreError::Store(e.to_string()))?
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        blocking(&self.0, Inner::state)
            .await
            .map_err(|e| StorageIOError::read_state_machine(&e).into())
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Reply>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        blocking(&self.0, move |inner| inner.apply(entries))
            .await
            .map_err(|e| StorageIOError::write_state_machine(&e).into())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<tokio::fs::File>, StorageError> {
        let path = snapshot::incoming(&self.0.dir);
        let file = tokio::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .await
            .map_err(|e| StorageError::from(StorageIOError::write_snapshot(None, &e)))?;
        Ok(Box::new(file))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<tokio::fs::File>,
    ) -> Result<(), StorageError> {
        let failed = |e: StoreError| {
            StorageError::from(StorageIOError::write_snapshot(Some(meta.signature()), &e))
        };
        let received = snapshot.into_std().await;
        let meta_of = meta.clone();
        blocking(&self.0, move |inner| {
            inner.install(&meta_of, &received)?;
            inner.marked.store(true, Ordering::Relaxed);
            Ok(())
        })
        .await
        .map_err(failed)
    }

    /// At a start Raft asks too, for how far it is; nothing is sent then, and it asks for a mark where it
    /// needs one.
    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError> {
        if !self.0.marked.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (meta, file) = blocking(&self.0, snapshot::current)
            .await
            .map_err(|e| StorageError::from(StorageIOError::read_snapshot(None, &e)))?;
        let snapshot = Box::new(tokio::fs::File::from_std(file));
        Ok(Some(Snapshot { meta, snapshot }))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for StateMachine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError> {
        let failed = |e: StoreError| StorageError::from(StorageIOError::write_snapshot(None, &e));
        let marking = |inner: &Inner| {
            let meta = snapshot::mark(inner)?;
            inner.marked.store(true, Ordering::Relaxed);
            // Raft keeps the mark and looks at no data.
            Ok((meta, File::open("/dev/null")?))
        };
        let (meta, nothing) = blocking(&self.0, marking).await.map_err(failed)?;
        let snapshot = Box::new(tokio::fs::File::from_std(nothing));
        Ok(Snapshot { meta, snapshot })
    }
}
