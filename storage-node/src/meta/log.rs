//! Raft's log and vote: all of it in memory, and in the journal by a thread that syncs many
//! appends at once.

use super::journal::{Journal, JournalError, Record, push};
use super::{Entry, LogId, NodeInfo, StorageError, TypeConfig, Vote};
use crate::disk::{Pace, files};
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{
    CommittedLeaderId, EntryPayload, LogState, Membership, OptionalSend, RaftLogReader,
    StorageIOError,
};
use planaria_storage_core::DiskId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// How many jobs may wait for the thread.
const QUEUE: usize = 1024;
/// How much is synced at once, at most.
const BATCH_BYTES: usize = 8 << 20;
/// A purge rewrites the journal when it has grown to this length.
const REWRITE_BYTES: u64 = 8 << 20;
/// How many bytes of entries are sent to a follower at once: a frame must hold them.
const READ_BYTES: usize = 4 << 20;

#[derive(Default)]
struct State {
    vote: Option<Vote>,
    purged: Option<LogId>,
    committed: Option<LogId>,
    /// Each entry and the length of its record.
    entries: BTreeMap<u64, (Entry, usize)>,
}

struct Job {
    payload: Vec<u8>,
    done: Done,
}

enum Done {
    /// Nobody waits, and no sync is due for this alone.
    Hint,
    Flushed(LogFlushed<TypeConfig>),
    Saved(oneshot::Sender<()>),
    /// The journal may be written anew.
    Purged,
}

/// Raft's log and vote.
#[derive(Clone)]
pub struct LogStore {
    state: Arc<Mutex<State>>,
    jobs: SyncSender<Job>,
    pace: Pace,
}

impl LogStore {
    /// Opens the journal and replays it.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let (journal, records) = Journal::open(path)?;
        let mut state = State::default();
        for record in records {
            state.replay(record)?;
        }
        let state = Arc::new(Mutex::new(state));
        let (jobs, queue) = sync_channel(QUEUE);
        let pace = Pace::default();
        let (shared, paced) = (Arc::clone(&state), pace.clone());
        std::thread::Builder::new()
            .name("raft-log".to_owned())
            .spawn(move || write_jobs(journal, &queue, &shared, &paced))?;
        Ok(Self { state, jobs, pace })
    }

    /// How its thread gets on with the disk.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.pace.clone()
    }

    /// Appends the entry by which this disk is the only member from now on. All that its log
    /// holds comes before it, also what no majority is known to have.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn force_alone(path: &Path, disk: DiskId, node: NodeInfo) -> Result<(), JournalError> {
        let (mut journal, records) = Journal::open(path)?;
        let mut state = State::default();
        for record in records {
            state.replay(record)?;
        }
        let last = state.last();
        let seen = state.vote.map_or(0, |vote| vote.leader_id().term);
        let term = last.map_or(0, |id| id.leader_id.term).max(seen) + 1;
        let log_id = LogId::new(
            CommittedLeaderId::new(term, disk.0),
            last.map_or(0, |id| id.index + 1),
        );
        let alone = BTreeSet::from([disk.0]);
        let nodes = BTreeMap::from([(disk.0, node)]);
        let entry = Entry {
            log_id,
            payload: EntryPayload::Membership(Membership::new(vec![alone], nodes)),
        };
        let mut payload = Vec::new();
        push(&mut payload, &Record::Vote(Vote::new(term, disk.0)))?;
        push(&mut payload, &Record::Entry(Box::new(entry)))?;
        journal.append(&payload)?;
        Ok(())
    }

    /// A new log whose entries up to `start` are in the state machine, with this disk as the only
    /// member.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn begin(
        path: &Path,
        start: LogId,
        disk: DiskId,
        node: NodeInfo,
    ) -> Result<(), JournalError> {
        let (mut journal, _) = Journal::open(path)?;
        let mut payload = Vec::new();
        push(&mut payload, &Record::Purge(start))?;
        journal.append(&payload)?;
        drop(journal);
        Self::force_alone(path, disk, node)
    }

    /// Whether nothing was ever written: a disk that has neither voted nor learned.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        let state = self.lock();
        state.vote.is_none() && state.purged.is_none() && state.entries.is_empty()
    }

    /// The index of the last entry.
    #[must_use]
    pub fn last_index(&self) -> u64 {
        self.lock().last().map_or(0, |id| id.index)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, payload: Vec<u8>, done: Done) -> io::Result<()> {
        self.jobs
            .send(Job { payload, done })
            .map_err(|_| io::Error::other("the thread of raft's log ended"))
    }

    async fn save(&self, record: &Record) -> io::Result<()> {
        let mut payload = Vec::new();
        push(&mut payload, record).map_err(io::Error::other)?;
        let (done, saved) = oneshot::channel();
        self.send(payload, Done::Saved(done))?;
        saved.await.map_err(io::Error::other)
    }
}

impl State {
    fn last(&self) -> Option<LogId> {
        self.entries
            .last_key_value()
            .map(|(_, (entry, _))| entry.log_id)
            .or(self.purged)
    }

    fn replay(&mut self, record: Record) -> Result<(), JournalError> {
        match record {
            Record::Vote(vote) => self.vote = Some(vote),
            Record::Entry(entry) => {
                self.entries.split_off(&entry.log_id.index);
                let size = planaria_storage_core::encode(&entry)?.len();
                self.entries.insert(entry.log_id.index, (*entry, size));
            }
            Record::Truncate(from) => drop(self.entries.split_off(&from)),
            Record::Purge(upto) => {
                self.entries = self.entries.split_off(&(upto.index + 1));
                self.purged = Some(upto);
            }
            Record::Committed(committed) => self.committed = committed,
        }
        Ok(())
    }

    /// Everything, as a payload for a new journal.
    fn payload(&self) -> Result<Vec<u8>, planaria_storage_core::CodecError> {
        let mut payload = Vec::new();
        if let Some(vote) = self.vote {
            push(&mut payload, &Record::Vote(vote))?;
        }
        if let Some(purged) = self.purged {
            push(&mut payload, &Record::Purge(purged))?;
        }
        push(&mut payload, &Record::Committed(self.committed))?;
        for (entry, _) in self.entries.values() {
            push(&mut payload, &Record::Entry(Box::new(entry.clone())))?;
        }
        Ok(payload)
    }
}

/// A hint waits for the next job that is worth a sync: one for each commit would take as long as the commit.
///
/// A rewrite takes the state as it is, which may be ahead of the jobs that wait. Replaying those
/// again behind it leads to the same state, and none of them was acknowledged before.
fn write_jobs(mut journal: Journal, queue: &Receiver<Job>, state: &Mutex<State>, pace: &Pace) {
    let mut hint = Vec::new();
    while let Ok(first) = queue.recv() {
        let mut payload = std::mem::take(&mut hint);
        let mut dones = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            match job.done {
                // Only the newest counts.
                Done::Hint => hint = job.payload,
                done => {
                    payload.append(&mut hint);
                    payload.extend_from_slice(&job.payload);
                    dones.push(done);
                }
            }
            next = (payload.len() < BATCH_BYTES)
                .then(|| queue.try_recv().ok())
                .flatten();
        }
        if dones.is_empty() {
            // What is held back is what came last.
            continue;
        }
        if let Err(error) = pace.during(|| journal.append(&payload)) {
            files::die("cannot write raft's log", &error);
        }
        let purged = dones.iter().any(|done| matches!(done, Done::Purged));
        for done in dones {
            match done {
                Done::Flushed(callback) => callback.log_io_completed(Ok(())),
                Done::Saved(done) => drop(done.send(())),
                Done::Hint | Done::Purged => {}
            }
        }
        if purged && journal.len() >= REWRITE_BYTES {
            let all = state
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .payload();
            let written = all
                .map_err(io::Error::other)
                .and_then(|all| pace.during(|| journal.rewrite(&all)));
            if let Err(error) = written {
                files::die("cannot rewrite raft's log", &error);
            }
            hint.clear();
        }
    }
}

fn write_error(error: impl std::error::Error + 'static) -> StorageError {
    StorageIOError::write_logs(&error).into()
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        Ok(self
            .lock()
            .entries
            .range(range)
            .map(|(_, (entry, _))| entry.clone())
            .collect())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        let state = self.lock();
        let mut size = 0;
        let mut entries = Vec::new();
        for (entry, len) in state
            .entries
            .range((Bound::Included(start), Bound::Excluded(end)))
            .map(|(_, e)| e)
        {
            size += len;
            if size > READ_BYTES && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        Ok(entries)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let state = self.lock();
        Ok(LogState {
            last_purged_log_id: state.purged,
            last_log_id: state.last(),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        self.lock().vote = Some(*vote);
        self.save(&Record::Vote(*vote))
            .await
            .map_err(|e| StorageIOError::write_vote(&e).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.lock().vote)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.lock().committed = committed;
        let mut payload = Vec::new();
        push(&mut payload, &Record::Committed(committed)).map_err(write_error)?;
        // A hint: it travels with the next append, or is lost with a crash.
        self.send(payload, Done::Hint).map_err(write_error)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.lock().committed)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<TypeConfig>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut payload = Vec::new();
        {
            let mut state = self.lock();
            for entry in entries {
                let before = payload.len();
                push(&mut payload, &Record::Entry(Box::new(entry.clone()))).map_err(write_error)?;
                let size = payload.len() - before;
                state.entries.insert(entry.log_id.index, (entry, size));
            }
        }
        self.send(payload, Done::Flushed(callback))
            .map_err(write_error)
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        drop(self.lock().entries.split_off(&log_id.index));
        self.save(&Record::Truncate(log_id.index))
            .await
            .map_err(write_error)
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        {
            let mut state = self.lock();
            state.entries = state.entries.split_off(&(log_id.index + 1));
            state.purged = Some(log_id);
        }
        let mut payload = Vec::new();
        push(&mut payload, &Record::Purge(log_id)).map_err(write_error)?;
        self.send(payload, Done::Purged).map_err(write_error)
    }
}
