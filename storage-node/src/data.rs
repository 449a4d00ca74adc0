//! Chunks across disks: written to enough of them, read from any of them.

use crate::disk::{ChunkError, ChunkStore, Pace};
use crate::meta::{Meta, NodeInfo, StoreError};
use crate::peer::{Answer, Ask, Fault, Lane, PeerError, Peers};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use planaria_storage_core::quorum::{Standing, Tally};
use planaria_storage_core::{
    ChunkId, ChunkRecord, ChunkRef, Copies, DiskId, Plan, Stored, machine, placement,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long a disk may take for one chunk.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a read waits for one disk before it asks the next one beside it.
const HEDGE: Duration = Duration::from_millis(400);
/// Rest before the first repetition; it grows with each.
const RETRY_REST: Duration = Duration::from_millis(30);
/// How many chunks may be under way to slow disks after their quorum was reached. Beyond that
/// the copy is left to the repair: a hung node must not hold memory here.
const MAX_STRAGGLERS: usize = 8;
/// How long a finished upload waits for its last copies, so that they are not owed for nothing.
const LAST_CALL: Duration = Duration::from_millis(60);
/// A node that was heard within this time is asked before one that was not.
const FRESH: Duration = Duration::from_secs(3);

/// Why a chunk could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Too few disks acknowledged.
    #[error("only {got} of {needed} disks could store a chunk: {last}")]
    Quorum {
        /// Disks that did.
        got: usize,
        /// Disks that must.
        needed: usize,
        /// The last refusal.
        last: String,
    },
    /// The metadata of this node.
    #[error("{0}")]
    Metadata(String),
    /// The disks are full.
    #[error("the disks are full")]
    Full,
    /// No disk of the cluster could give a good copy now. It may be there again later.
    #[error("no copy of chunk {0} can be read now")]
    NoCopy(ChunkId),
}

/// A chunk that is durable on a quorum, and perhaps on more by now.
#[derive(Clone, Debug)]
pub struct Placing {
    chunk: ChunkRef,
    wanted: usize,
    copies: Arc<Mutex<Vec<(DiskId, u64)>>>,
}

impl Placing {
    fn add(&self, disk: DiskId, generation: u64) {
        self.copies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((disk, generation));
    }

    fn count(&self) -> usize {
        self.copies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// The chunk.
    #[must_use]
    pub fn chunk(&self) -> ChunkRef {
        self.chunk
    }

    /// Where it is by now.
    #[must_use]
    pub fn stored(&self) -> Stored {
        let copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        Stored {
            chunk: self.chunk,
            generation: copies
                .iter()
                .map(|(_, generation)| *generation)
                .min()
                .unwrap_or(0),
            disks: copies.iter().map(|(disk, _)| *disk).collect(),
        }
    }
}

/// The chunks of the whole cluster.
#[derive(Clone)]
pub struct Data {
    meta: Meta,
    store: ChunkStore,
    peers: Peers,
    copies: Copies,
    retries: u32,
    stragglers: Arc<Semaphore>,
    lost: mpsc::Sender<ChunkId>,
    log_pace: Pace,
}

impl Data {
    /// `retries` says how often a disk that could not be reached is tried again for a chunk;
    /// `lost` takes the names of copies that this disk should have and has not; `log_pace` is that
    /// of Raft's log on the same disk.
    #[must_use]
    pub fn new(
        meta: Meta,
        store: ChunkStore,
        peers: Peers,
        copies: Copies,
        retries: u32,
        lost: mpsc::Sender<ChunkId>,
        log_pace: Pace,
    ) -> Self {
        let stragglers = Arc::new(Semaphore::new(MAX_STRAGGLERS));
        Self {
            meta,
            store,
            peers,
            copies,
            retries,
            stragglers,
            lost,
            log_pace,
        }
    }

    /// How often chunks are kept.
    #[must_use]
    pub fn copies(&self) -> Copies {
        self.copies
    }

    /// This disk's store.
    #[must_use]
    pub fn store(&self) -> &ChunkStore {
        &self.store
    }

    /// Whether this disk is slow: a write of a chunk or of Raft's log takes too long.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.store.pace().is_slow() || self.log_pace.is_slow()
    }

    /// The disks as the log has them, up to what this node has applied.
    ///
    /// # Errors
    /// [`DataError::Metadata`].
    pub fn plan(&self) -> Result<Plan, DataError> {
        let failed = |e: StoreError| DataError::Metadata(e.to_string());
        let view = self.meta.stale().map_err(failed)?;
        machine::plan(&view).map_err(|e| failed(e.into()))
    }

    /// The nodes, as Raft knows them: disk, node, whether it votes.
    #[must_use]
    pub fn nodes(&self) -> Vec<(DiskId, NodeInfo, bool)> {
        let metrics = self.meta.raft().metrics();
        let metrics = metrics.borrow();
        let membership = metrics.membership_config.membership();
        let voters: Vec<u64> = membership.voter_ids().collect();
        membership
            .nodes()
            .map(|(id, node)| (DiskId(*id), node.clone(), voters.contains(id)))
            .collect()
    }

    /// Writes a chunk to the disks that it belongs on, and to others where those fail, and
    /// answers when enough have it durably. `again` asks for new copies even where one is.
    ///
    /// # Errors
    /// [`DataError`].
    pub async fn write(&self, bytes: Bytes, again: bool) -> Result<Placing, DataError> {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let chunk = ChunkRef {
            id: ChunkId::of(&bytes),
            len,
        };
        let nodes = self.nodes();
        let plan = self.plan()?;
        let voters = plan.members.voters.len();
        let needed = usize::from(self.copies.quorum).min(voters).max(1);
        let seats = plan.seats();
        let wanted = plan.wanted(self.copies.wanted).max(needed);
        let homes = seats.len().min(wanted);
        let mut ranking = placement::ranking(&chunk.id, &seats, wanted);
        // Who is away or to be emptied comes last: better there than nowhere.
        for disk in &plan.members.voters {
            if !ranking.contains(disk) {
                ranking.push(*disk);
            }
        }
        let mut ranking = ranking.into_iter();
        let placing = Placing {
            chunk,
            wanted: homes,
            copies: Arc::default(),
        };
        let mut tally = Tally::new(needed);
        let mut work = JoinSet::new();
        for disk in ranking.by_ref().take(homes.max(needed)) {
            tally.ask(disk);
            self.start(&mut work, &nodes, disk, &placing, &bytes, again);
        }
        let mut full = 0;
        let mut last = "no disk is known".to_owned();
        while tally.standing() == Standing::Open {
            match work.join_next().await {
                Some(Ok((disk, Ok(())))) => tally.acknowledge(disk),
                Some(Ok((disk, Err(fault)))) => {
                    full += usize::from(fault == Fault::Full);
                    last = format!("disk {disk}: {fault}");
                    if let Some(next) = ranking.next() {
                        tally.ask(next);
                        self.start(&mut work, &nodes, next, &placing, &bytes, again);
                    }
                    tally.fail(disk);
                }
                Some(Err(error)) => last = error.to_string(),
                None => break,
            }
        }
        if tally.standing() != Standing::Reached {
            let got = tally.holders().len();
            return Err(if full > 0 {
                DataError::Full
            } else {
                DataError::Quorum { got, needed, last }
            });
        }
        if let Ok(permit) = Arc::clone(&self.stragglers).try_acquire_owned() {
            tokio::spawn(async move {
                while work.join_next().await.is_some() {}
                drop(permit);
            });
        }
        Ok(placing)
    }

    fn start(
        &self,
        work: &mut JoinSet<(DiskId, Result<(), Fault>)>,
        nodes: &[(DiskId, NodeInfo, bool)],
        disk: DiskId,
        placing: &Placing,
        bytes: &Bytes,
        again: bool,
    ) {
        let addr = nodes
            .iter()
            .find(|(id, _, _)| *id == disk)
            .map(|(_, node, _)| node.addr.clone());
        let (data, placing, bytes) = (self.clone(), placing.clone(), bytes.clone());
        work.spawn(async move {
            let id = placing.chunk.id;
            let put = if disk == data.meta.disk() {
                data.put_here(id, bytes, again).await
            } else {
                data.put_there(&addr.unwrap_or_default(), disk, id, bytes, again)
                    .await
            };
            (disk, put.map(|generation| placing.add(disk, generation)))
        });
    }

    /// Writes a chunk to this disk. The generation is one more than what is applied here: a copy
    /// written after a condemnation was applied is thereby younger than it.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn put_here(&self, chunk: ChunkId, bytes: Bytes, again: bool) -> Result<u64, Fault> {
        let generation = self.meta.reader().applied() + 1;
        match self.store.put(chunk, bytes, generation, again).await {
            Ok(generation) => Ok(generation),
            Err(ChunkError::Full) => Err(Fault::Full),
            Err(error) => Err(Fault::Unavailable(error.to_string())),
        }
    }

    async fn put_there(
        &self,
        addr: &str,
        disk: DiskId,
        chunk: ChunkId,
        bytes: Bytes,
        again: bool,
    ) -> Result<u64, Fault> {
        let ask = Ask::PutChunk { disk, chunk, again };
        let mut tries = 0;
        loop {
            let asked = self
                .peers
                .ask(addr, Lane::Data, &ask, bytes.clone(), PATIENCE);
            match asked.await {
                Ok((Answer::Stored(generation), _)) => return Ok(generation),
                Ok(_) => return Err(Fault::Refused("an odd answer".to_owned())),
                Err(PeerError::Unreachable { .. } | PeerError::Fault(Fault::Unavailable(_)))
                    if tries < self.retries && self.is_fresh(addr) =>
                {
                    tries += 1;
                    sleep(RETRY_REST * tries).await;
                }
                Err(PeerError::Fault(fault)) => return Err(fault),
                Err(error) => return Err(Fault::Unavailable(error.to_string())),
            }
        }
    }

    /// Waits a little for the last copies of chunks that were just written.
    pub async fn last_call(&self, placings: &[Placing]) {
        let all = async {
            while placings
                .iter()
                .any(|placing| placing.count() < placing.wanted)
            {
                sleep(Duration::from_millis(2)).await;
            }
        };
        let _ = timeout(LAST_CALL, all).await;
    }

    /// Reads a chunk from this disk, verified by its name. A missing copy is reported for repair.
    ///
    /// # Errors
    /// [`Fault::NoCopy`].
    pub async fn get_here(&self, chunk: ChunkId) -> Result<Bytes, Fault> {
        self.read_here(chunk, ChunkStore::get).await
    }

    async fn read_here(
        &self,
        chunk: ChunkId,
        get: impl Fn(&ChunkStore, &ChunkId) -> Result<Bytes, ChunkError> + Send + 'static,
    ) -> Result<Bytes, Fault> {
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || get(&store, &chunk)).await;
        match read {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(ChunkError::Absent | ChunkError::Rotten)) => {
                self.report_lost(chunk);
                Err(Fault::NoCopy)
            }
            Ok(Err(error)) => Err(Fault::Unavailable(error.to_string())),
            Err(error) => Err(Fault::Unavailable(error.to_string())),
        }
    }

    fn report_lost(&self, chunk: ChunkId) {
        // A full queue means that the repair has enough to do; the scrub finds the rest.
        let _ = self.lost.try_send(chunk);
    }

    /// Reads a chunk from wherever a good copy is: here, on the disks that the record names, on
    /// any other. Slow disks are overtaken.
    ///
    /// # Errors
    /// [`DataError::NoCopy`] after all were asked.
    pub async fn read(
        &self,
        chunk: ChunkRef,
        record: Option<&ChunkRecord>,
    ) -> Result<Bytes, DataError> {
        // A disk that hangs is overtaken like any other.
        if self.store.generation(&chunk.id).is_some()
            && let Ok(Ok(bytes)) =
                timeout(HEDGE, self.read_here(chunk.id, ChunkStore::get_again)).await
        {
            return Ok(bytes);
        }
        if record.is_some_and(|record| record.disks.contains(&self.meta.disk())) {
            self.report_lost(chunk.id);
        }
        let mut others = self.candidates(record).into_iter();
        let mut asked: FuturesUnordered<BoxFuture<'_, Option<Bytes>>> = FuturesUnordered::new();
        loop {
            match others.next() {
                Some(addr) => asked.push(Box::pin(self.get_there(addr, chunk.id))),
                None if asked.is_empty() => return Err(DataError::NoCopy(chunk.id)),
                None => {}
            }
            let pause = if others.len() == 0 { PATIENCE } else { HEDGE };
            if let Ok(Some(Some(bytes))) = timeout(pause, asked.next()).await {
                return Ok(bytes);
            }
        }
    }

    async fn get_there(&self, addr: String, chunk: ChunkId) -> Option<Bytes> {
        let ask = Ask::GetChunk(chunk);
        match self
            .peers
            .ask(&addr, Lane::Data, &ask, Bytes::new(), PATIENCE)
            .await
        {
            Ok((Answer::Chunk, bytes)) if chunk.names(&bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Whether a node was heard lately: one that was not is not waited for.
    fn is_fresh(&self, addr: &str) -> bool {
        self.peers.heard(addr).is_some_and(|(_, ago)| ago < FRESH)
    }

    /// The other nodes' addresses, the most promising first.
    fn candidates(&self, record: Option<&ChunkRecord>) -> Vec<String> {
        let mut rated: Vec<(bool, bool, String)> = self
            .nodes()
            .into_iter()
            .filter(|(disk, _, _)| *disk != self.meta.disk())
            .map(|(disk, node, _)| {
                let named = record.is_some_and(|record| record.disks.contains(&disk));
                let silent = !self.is_fresh(&node.addr);
                (silent, !named, node.addr)
            })
            .collect();
        rated.sort();
        rated.into_iter().map(|(_, _, addr)| addr).collect()
    }
}
