//! Up to which index a read must have applied: asked of the leader, one round for all that wait.

use super::{Inner, READ_PATIENCE, REST, TRY};
use crate::peer::{Answer, Ask, Fault, Lane};
use bytes::Bytes;
use openraft::ServerState;
use openraft::error::{CheckIsLeaderError, RaftError};
use planaria_storage_core::{Command, DiskId, Request};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

/// How long one try to read may take: a leader that is there answers in milliseconds, and another
/// may lead by now.
const READ_TRY: Duration = Duration::from_secs(1);

impl Inner {
    async fn read_index(&self) -> Result<u64, String> {
        let end = Instant::now() + READ_PATIENCE;
        loop {
            let tried = match self.leader() {
                Some((disk, _)) if disk == self.disk => self.read_index_here().await,
                Some((_, addr)) => self.read_index_there(&addr).await,
                None => Err(Fault::Unavailable("there is no leader".to_owned())),
            };
            match tried {
                Ok(index) => return Ok(index),
                Err(fault) if Instant::now() >= end => return Err(fault.to_string()),
                Err(_) => sleep(REST).await,
            }
        }
    }

    async fn read_index_there(&self, addr: &str) -> Result<u64, Fault> {
        match self
            .peers
            .ask(addr, Lane::Control, &Ask::ReadIndex, Bytes::new(), READ_TRY)
            .await
        {
            Ok((Answer::Index(index), _)) => Ok(index),
            Ok(_) => Err(Fault::Refused("an odd answer".to_owned())),
            Err(error) => Err(Fault::Unavailable(error.to_string())),
        }
    }

    /// The index up to which a read must have applied.
    ///
    /// openraft 0.9 lets a leader that was restarted go on in its own term without knowing what
    /// was committed before: its read index would be too low. So it is asked only once this node
    /// has applied an entry of its own term and all that its log held at its start; until then an
    /// empty entry is the barrier.
    pub(super) async fn read_index_here(&self) -> Result<u64, Fault> {
        self.check_office()?;
        let (settled, leads) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            let settled = metrics.last_applied.is_some_and(|last| {
                last.leader_id.term == metrics.current_term && last.index >= self.start_index
            });
            (settled, metrics.state == ServerState::Leader)
        };
        if !leads {
            return Err(Fault::NotLeader(None));
        }
        let unavailable = |text: String| Fault::Unavailable(text);
        if settled {
            return match timeout(READ_TRY, self.raft.get_read_log_id()).await {
                Err(_) => Err(unavailable("no majority in time".to_owned())),
                Ok(Ok((index, _))) => Ok(index.map_or(0, |id| id.index)),
                Ok(Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(forward)))) => {
                    Err(Fault::NotLeader(forward.leader_id.map(DiskId)))
                }
                Ok(Err(error)) => Err(unavailable(error.to_string())),
            };
        }
        let nothing = Request {
            session: 0,
            number: 0,
            answered_below: 0,
            command: Command::Nothing,
        };
        match timeout(TRY, self.raft.client_write(nothing)).await {
            Err(_) => Err(unavailable("no majority in time".to_owned())),
            Ok(Ok(done)) => Ok(done.log_id.index),
            Ok(Err(error)) => Err(unavailable(error.to_string())),
        }
    }
}

/// One round to the leader for all reads that wait.
pub(super) async fn rounds(
    inner: std::sync::Weak<Inner>,
    mut waiting: mpsc::Receiver<oneshot::Sender<Result<u64, String>>>,
) {
    while let Some(first) = waiting.recv().await {
        let mut batch = vec![first];
        while let Ok(next) = waiting.try_recv() {
            batch.push(next);
        }
        // Nothing is asked for those who gave up while the round before theirs took its time.
        batch.retain(|reader| !reader.is_closed());
        if batch.is_empty() {
            continue;
        }
        let Some(inner) = inner.upgrade() else { return };
        let index = inner.read_index().await;
        for answer in batch {
            let _ = answer.send(index.clone());
        }
    }
}
