//! Asking other nodes.

use super::handshake::{Card, Secret};
use super::link;
use super::message::{Answer, Ask, Fault};
use bytes::Bytes;
use planaria_storage_core::{DiskId, encode};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

/// How many questions may wait on one connection.
const QUEUE: usize = 64;
/// How many connections there may be: two for each of a few dozen nodes.
const MAX_LINKS: usize = 128;
/// How many disks are remembered.
const MAX_DISKS: usize = 4096;

/// Which connection: a heartbeat must not wait behind a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Raft and everything small.
    Control,
    /// Chunks and snapshots.
    Data,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// No connection, or it broke. Whether the question arrived is unknown.
    #[error("{addr}: {reason}")]
    Unreachable {
        /// Who was asked.
        addr: String,
        /// What happened.
        reason: String,
    },
    /// No answer in time. Whether the question arrived is unknown.
    #[error("{0} did not answer in time")]
    Late(String),
    /// The other node's own word.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What somebody asks, on its way to a connection.
pub(super) struct Question {
    pub(super) head: Vec<u8>,
    pub(super) blob: Bytes,
    /// Whether the head names the blob by its digest.
    pub(super) named: bool,
    pub(super) answer: oneshot::Sender<Result<(Answer, Bytes), String>>,
}

type Links = Mutex<HashMap<(String, Lane), mpsc::Sender<Question>>>;
type Heard = Mutex<HashMap<String, (Card, Instant)>>;
/// Of each disk, the highest count of its starts that was seen, and which start that was.
type Starts = Mutex<HashMap<DiskId, (u64, u64)>>;

/// All connections to other nodes: made when needed, kept, made again when broken.
#[derive(Clone)]
pub struct Peers {
    secret: Secret,
    card: Arc<Mutex<Card>>,
    links: Arc<Links>,
    heard: Arc<Heard>,
    starts: Arc<Starts>,
}

impl Peers {
    /// No connection yet. The card is what this node shows.
    #[must_use]
    pub fn new(secret: Secret, card: Card) -> Self {
        Self {
            secret,
            card: Arc::new(Mutex::new(card)),
            links: Arc::default(),
            heard: Arc::default(),
            starts: Arc::default(),
        }
    }

    /// Shows another card on connections from now on.
    pub fn set_card(&self, card: Card) {
        *self.card.lock().unwrap_or_else(PoisonError::into_inner) = card;
    }

    /// The card that this node shows.
    #[must_use]
    pub fn card(&self) -> Card {
        self.card
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The secret that both sides prove.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Whether to talk to this node at all: not to one of another cluster, and not to a disk that
    /// was rolled back or cloned, for it has forgotten what it promised.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn admit(&self, card: &Card) -> Result<(), String> {
        if card.disk == DiskId(0) {
            return Ok(());
        }
        let mine = self.card();
        if let (Some(ours), Some(theirs)) = (mine.cluster, card.cluster)
            && ours != theirs
        {
            return Err(format!("{} belongs to another cluster", card.name));
        }
        if card.disk == mine.disk && card.start != mine.start {
            return Err(format!("{} is a clone of this disk", card.name));
        }
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        match starts.get(&card.disk) {
            Some((boot, start))
                if card.boot < *boot || (card.boot == *boot && card.start != *start) =>
            {
                Err(format!(
                    "the disk of {} was rolled back or cloned; remove its data directory so that \
                     it comes back as a new disk",
                    card.name
                ))
            }
            Some(_) => {
                starts.insert(card.disk, (card.boot, card.start));
                Ok(())
            }
            None if starts.len() < MAX_DISKS => {
                starts.insert(card.disk, (card.boot, card.start));
                Ok(())
            }
            None => Err("too many disks were seen".to_owned()),
        }
    }

    /// Who was last met at this address, and how long ago it last answered.
    #[must_use]
    pub fn heard(&self, addr: &str) -> Option<(Card, Duration)> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard
            .get(addr)
            .map(|(card, at)| (card.clone(), at.elapsed()))
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// [`PeerError`]; a fault that the other reports is one too.
    pub async fn ask(
        &self,
        addr: &str,
        lane: Lane,
        ask: &Ask,
        blob: Bytes,
        patience: Duration,
    ) -> Result<(Answer, Bytes), PeerError> {
        let unreachable = |reason: String| PeerError::Unreachable {
            addr: addr.to_owned(),
            reason,
        };
        let head = encode(ask).map_err(|e| unreachable(e.to_string()))?;
        let (answer, answered) = oneshot::channel();
        let question = Question {
            head,
            blob,
            named: matches!(ask, Ask::PutChunk { .. }),
            answer,
        };
        let asked = async {
            self.link(addr, lane)?
                .send(question)
                .await
                .map_err(|e| e.to_string())?;
            answered
                .await
                .map_err(|_| "the connection ended".to_owned())?
        };
        match timeout(patience, asked).await {
            Err(_) => Err(PeerError::Late(addr.to_owned())),
            Ok(Err(reason)) => Err(unreachable(reason)),
            Ok(Ok((Answer::Fault(fault), _))) => Err(fault.into()),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    fn link(&self, addr: &str, lane: Lane) -> Result<mpsc::Sender<Question>, String> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(&(addr.to_owned(), lane)) {
            return Ok(link.clone());
        }
        if links.len() >= MAX_LINKS {
            return Err("too many other nodes".to_owned());
        }
        let (sender, questions) = mpsc::channel(QUEUE);
        links.insert((addr.to_owned(), lane), sender.clone());
        tokio::spawn(link::run(self.clone(), addr.to_owned(), questions));
        Ok(sender)
    }

    pub(super) fn note(&self, addr: &str, card: &Card) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() < MAX_LINKS || heard.contains_key(addr) {
            heard.insert(addr.to_owned(), (card.clone(), Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(disk: u64, boot: u64, start: u64, cluster: Option<u64>) -> Card {
        Card {
            disk: DiskId(disk),
            name: "n".to_owned(),
            boot,
            start,
            cluster,
        }
    }

    #[test]
    fn a_disk_that_was_rolled_back_or_cloned_is_not_talked_to() {
        let peers = Peers::new(Secret::new("s"), card(1, 1, 1, Some(7)));
        assert!(peers.admit(&card(2, 3, 30, Some(7))).is_ok());
        assert!(peers.admit(&card(2, 3, 30, Some(7))).is_ok());
        assert!(
            peers.admit(&card(2, 3, 31, Some(7))).is_err(),
            "a second live start"
        );
        assert!(
            peers.admit(&card(2, 2, 20, Some(7))).is_err(),
            "an older start"
        );
        assert!(peers.admit(&card(2, 4, 40, Some(7))).is_ok());
        assert!(
            peers.admit(&card(1, 1, 2, Some(7))).is_err(),
            "our own clone"
        );
        assert!(
            peers.admit(&card(3, 1, 1, Some(8))).is_err(),
            "another cluster"
        );
        assert!(peers.admit(&card(3, 1, 1, None)).is_ok());
    }
}
