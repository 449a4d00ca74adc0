//! Reading and writing the metadata, whoever leads.

mod reads;

use super::machine::{StoreError, View};
use super::{NodeInfo, Raft, Reader};
use crate::peer::{Answer, Ask, Fault, Lane, Peers};
use bytes::Bytes;
use openraft::RaftMetrics;
use openraft::error::{ClientWriteError, RaftError};
use planaria_storage_core::{Command, DiskId, Refusal, Reply, Request};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long a write is held and retried inside: longer than a leader change takes.
const WRITE_PATIENCE: Duration = Duration::from_secs(15);
/// How long a read may take in all, waiting behind others included: longer than a leader change,
/// and shorter than what clients have patience for. Then they are told to try again.
const READ_PATIENCE: Duration = Duration::from_secs(8);
/// How long one try to write may take.
const TRY: Duration = Duration::from_secs(4);
/// Rest between tries.
const REST: Duration = Duration::from_millis(50);
/// How many reads may wait for one round.
const WAITING_READS: usize = 4096;

/// Why the metadata could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetaError {
    /// No leader, or no majority behind it. A write may or may not have taken place.
    #[error("no quorum: {0}")]
    NoQuorum(String),
    /// The store of this node.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state machine refused: nothing was changed.
    #[error(transparent)]
    Refused(Refusal),
}

struct Session {
    id: u64,
    next: u64,
    open: BTreeSet<u64>,
}

/// The metadata.
#[derive(Clone)]
pub struct Meta(Arc<Inner>);

struct Inner {
    raft: Raft,
    reader: Reader,
    peers: Peers,
    disk: DiskId,
    /// The last entry of the log at this start. A leader that was restarted in its own term has
    /// forgotten what is committed; all of it lies at or below this.
    start_index: u64,
    session: Mutex<Option<Session>>,
    opening: tokio::sync::Mutex<()>,
    reads: mpsc::Sender<oneshot::Sender<Result<u64, String>>>,
    /// Whether this leader is giving up its office: what it sent would bind the others to it.
    resigning: AtomicBool,
}

/// Takes the request's number out of the open ones, also when its asker gives up.
struct Numbered<'m> {
    inner: &'m Inner,
    session: u64,
    number: u64,
    answered_below: u64,
}

impl Drop for Numbered<'_> {
    fn drop(&mut self) {
        if let Some(session) = &mut *self.inner.session()
            && session.id == self.session
        {
            session.open.remove(&self.number);
        }
    }
}

impl Meta {
    /// Starts the round of reads. `start_index` is the last index of the log at this start.
    #[must_use]
    pub fn new(raft: Raft, reader: Reader, peers: Peers, disk: DiskId, start_index: u64) -> Self {
        let (reads, waiting) = mpsc::channel(WAITING_READS);
        let meta = Self(Arc::new(Inner {
            raft,
            reader,
            peers,
            disk,
            start_index,
            session: Mutex::new(None),
            opening: tokio::sync::Mutex::new(()),
            reads,
            resigning: AtomicBool::new(false),
        }));
        tokio::spawn(reads::rounds(Arc::downgrade(&meta.0), waiting));
        meta
    }

    /// The Raft group.
    #[must_use]
    pub fn raft(&self) -> &Raft {
        &self.0.raft
    }

    /// The connections to the other nodes.
    #[must_use]
    pub fn peers(&self) -> &Peers {
        &self.0.peers
    }

    /// The state machine's reader.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.0.reader
    }

    /// This node's disk.
    #[must_use]
    pub fn disk(&self) -> DiskId {
        self.0.disk
    }

    /// Raft's state now.
    #[must_use]
    pub fn metrics(&self) -> RaftMetrics<u64, NodeInfo> {
        self.0.raft.metrics().borrow().clone()
    }

    /// The store as of a moment after the call began: everything that was acknowledged by
    /// whatever node before is in it.
    ///
    /// # Errors
    /// [`MetaError`].
    pub async fn read(&self) -> Result<View, MetaError> {
        let no_quorum = |text: &str| MetaError::NoQuorum(text.to_owned());
        let end = Instant::now() + READ_PATIENCE;
        let (answer, answered) = oneshot::channel();
        let sent = self.0.reads.try_send(answer);
        sent.map_err(|_| no_quorum("too many reads wait"))?;
        let index = timeout_at(end, answered)
            .await
            .map_err(|_| no_quorum("no leader answered in time"))?
            .map_err(|_| no_quorum("this node is ending"))?
            .map_err(MetaError::NoQuorum)?;
        let mut applied = self.0.reader.watch();
        timeout_at(end, applied.wait_for(|applied| *applied >= index))
            .await
            .map_err(|_| no_quorum("this node did not catch up with the leader in time"))?
            .map_err(|_| no_quorum("this node is ending"))?;
        Ok(self.0.reader.view()?)
    }

    /// The store as this node has it, perhaps behind.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stale(&self) -> Result<View, StoreError> {
        self.0.reader.view()
    }

    /// Puts a command into the log and waits until it is applied. It takes place at most once,
    /// however often it has to be sent.
    ///
    /// # Errors
    /// [`MetaError::Refused`] with nothing changed, or [`MetaError::NoQuorum`] with an unknown
    /// end.
    pub async fn write(&self, command: Command) -> Result<Reply, MetaError> {
        let end = Instant::now() + WRITE_PATIENCE;
        let numbered = self.0.number(end).await?;
        let request = Request {
            session: numbered.session,
            number: numbered.number,
            answered_below: numbered.answered_below,
            command,
        };
        let reply = self.0.insist(&request, end).await;
        if matches!(reply, Ok(Reply::Refused(Refusal::SessionRetired))) {
            self.0.session().take();
        }
        match reply? {
            Reply::Refused(refusal) => Err(MetaError::Refused(refusal)),
            reply => Ok(reply),
        }
    }

    /// Puts a command into the log that is harmless when it is applied twice: no session.
    ///
    /// # Errors
    /// As [`Meta::write`].
    pub async fn report(&self, command: Command) -> Result<(), MetaError> {
        let request = Request {
            session: 0,
            number: 0,
            answered_below: 0,
            command,
        };
        let end = Instant::now() + WRITE_PATIENCE;
        self.0.insist(&request, end).await.map(drop)
    }

    /// Takes no requests as a leader, or takes them again.
    pub fn resign(&self, resigning: bool) {
        self.0.resigning.store(resigning, Ordering::Relaxed);
    }

    /// A leader's answer to another node's [`Ask::Write`].
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn write_as_leader(&self, request: Request) -> Result<Reply, Fault> {
        self.0.write_here(request).await
    }

    /// A leader's answer to another node's [`Ask::ReadIndex`].
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn read_index_as_leader(&self) -> Result<u64, Fault> {
        self.0.read_index_here().await
    }
}

impl Inner {
    fn session(&self) -> std::sync::MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn number(&self, end: Instant) -> Result<Numbered<'_>, MetaError> {
        loop {
            if let Some(session) = &mut *self.session() {
                let number = session.next;
                session.next += 1;
                session.open.insert(number);
                let answered_below = session.open.first().copied().unwrap_or(number);
                return Ok(Numbered {
                    inner: self,
                    session: session.id,
                    number,
                    answered_below,
                });
            }
            let one = timeout_at(end, self.opening.lock()).await;
            let _one =
                one.map_err(|_| MetaError::NoQuorum("no session was opened in time".to_owned()))?;
            if self.session().is_some() {
                continue;
            }
            let id = rand::random_range(1..=u64::MAX);
            let command = Command::OpenSession;
            let request = Request {
                session: id,
                number: 0,
                answered_below: 0,
                command,
            };
            self.insist(&request, end).await?;
            *self.session() = Some(Session {
                id,
                next: 1,
                open: BTreeSet::new(),
            });
        }
    }

    /// Sends the same request until it is answered. The session's memory makes that safe.
    async fn insist(&self, request: &Request, end: Instant) -> Result<Reply, MetaError> {
        loop {
            let tried = match self.leader() {
                Some((disk, _)) if disk == self.disk => self.write_here(request.clone()).await,
                Some((_, addr)) => self.write_there(&addr, request).await,
                None => Err(Fault::Unavailable("there is no leader".to_owned())),
            };
            match tried {
                Ok(reply) => return Ok(reply),
                Err(Fault::Refused(reason)) => return Err(MetaError::NoQuorum(reason)),
                Err(fault) if Instant::now() >= end => {
                    return Err(MetaError::NoQuorum(fault.to_string()));
                }
                Err(_) => sleep(REST).await,
            }
        }
    }

    async fn write_there(&self, addr: &str, request: &Request) -> Result<Reply, Fault> {
        let ask = Ask::Write(Box::new(request.clone()));
        match self
            .peers
            .ask(addr, Lane::Control, &ask, Bytes::new(), TRY)
            .await
        {
            Ok((Answer::Written(reply), _)) => Ok(reply),
            Ok(_) => Err(Fault::Refused("an odd answer".to_owned())),
            Err(error) => Err(Fault::Unavailable(error.to_string())),
        }
    }

    fn check_office(&self) -> Result<(), Fault> {
        if self.resigning.load(Ordering::Relaxed) {
            return Err(Fault::NotLeader(None));
        }
        Ok(())
    }

    async fn write_here(&self, request: Request) -> Result<Reply, Fault> {
        self.check_office()?;
        match timeout(TRY, self.raft.client_write(request)).await {
            Err(_) => Err(Fault::Unavailable("no majority in time".to_owned())),
            Ok(Ok(done)) => Ok(done.data),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                Err(Fault::NotLeader(forward.leader_id.map(DiskId)))
            }
            Ok(Err(error)) => Err(Fault::Unavailable(error.to_string())),
        }
    }

    /// The leader's disk and address, as far as this node knows.
    fn leader(&self) -> Option<(DiskId, String)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let leader = metrics.current_leader?;
        let node = metrics.membership_config.membership().get_node(&leader)?;
        Some((DiskId(leader), node.addr.clone()))
    }
}
