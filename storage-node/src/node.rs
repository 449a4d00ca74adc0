//! A node: everything put together, in the order in which it may start.

use crate::config::{Config, Fsync};
use crate::data::Data;
use crate::disk::{ChunkStore, StoreOptions, files};
use crate::identity::IdentityFile;
use crate::meta::{JournalError, LogStore, Meta, Network, Raft, Reader, StateMachine};
use crate::peer::{Answer, Ask, Card, Fault, NodeStatus, Peers, Secret, Service};
use crate::s3::Front;
use crate::work::{Cluster, Others, Repair, Synced, collect, owed};
use anyhow::Context;
use bytes::Bytes;
use futures::future::BoxFuture;
use openraft::{ServerState, SnapshotPolicy};
use planaria_storage_core::{ChunkId, Copies, DiskId};
use std::fs::File;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A segment is closed at this length: long enough to sync seldom, short enough to compact.
const SEGMENT_BYTES: u64 = 128 << 20;
/// Raft's heartbeat, and the bounds of its election timeout, in milliseconds.
const HEARTBEAT_MS: u64 = 200;
const ELECTION_MS: (u64, u64) = (800, 1600);
/// After how many entries a snapshot is made, and how many it leaves in the log so that a node
/// that was away for a moment needs no snapshot.
const SNAPSHOT_EVERY: u64 = 5000;
const KEEP_ENTRIES: u64 = 2000;
/// How much of a snapshot travels at once.
const SNAPSHOT_PIECE: u64 = 2 << 20;
/// How many reports of missing copies may wait.
const LOST_QUEUE: usize = 4096;
/// How long requests under way may take after a SIGTERM.
const FAREWELL: Duration = Duration::from_secs(3);
/// A node that answered within this time is reachable.
const REACHABLE: Duration = Duration::from_secs(4);

/// A node that runs.
pub struct Node {
    cluster: Cluster,
    data: Data,
    synced: Arc<Synced>,
    stop: CancellationToken,
    servers: TaskTracker,
    workers: Mutex<JoinSet<()>>,
    _lock: File,
}

struct Ports {
    peer: TcpListener,
    s3: TcpListener,
    line: TcpListener,
}

/// What the disk holds, opened and made sense of.
struct Opened {
    identity: IdentityFile,
    log: LogStore,
    machine: StateMachine,
    store: ChunkStore,
    lock: File,
}

impl Node {
    /// Opens the disk, binds the ports and starts everything.
    ///
    /// # Errors
    /// What is wrong with the disk, the ports or the configuration, for people.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        config.check()?;
        let options = config.clone();
        let opened = tokio::task::spawn_blocking(move || open(&options)).await??;
        let Opened {
            identity,
            log,
            machine,
            store,
            lock,
        } = opened;
        let disk = identity.get().disk;
        let card = Card {
            disk,
            name: config.name.clone(),
            boot: identity.get().boot,
            start: rand::random(),
            cluster: identity.get().cluster,
        };
        let peers = Peers::new(Secret::new(&config.secrets.peer_secret), card);
        let ports = Ports {
            peer: bind(config.peer, "peer").await?,
            s3: bind(config.s3, "S3").await?,
            line: bind(config.line, "line").await?,
        };
        let start_index = log.last_index();
        let reader = machine.reader();
        let network = Network {
            peers: peers.clone(),
        };
        let raft_config = Arc::new(raft_config()?);
        let raft = Raft::new(disk.0, raft_config, network, log, machine).await?;
        let meta = Meta::new(raft, reader, peers.clone(), disk, start_index);
        let copies = Copies {
            wanted: config.replication_factor,
            quorum: config.write_quorum,
        };
        let (lost, lost_queue) = mpsc::channel(LOST_QUEUE);
        let data = Data::new(
            meta.clone(),
            store,
            peers.clone(),
            copies,
            config.replica_retries,
            lost,
        );
        let cluster = Cluster {
            meta,
            peers,
            initial: config.peers.clone(),
            own: config.advertise.clone(),
            name: config.name.clone(),
            identity: Arc::new(Mutex::new(identity)),
            others: Others::default(),
            changing: Arc::default(),
        };
        let node = Self {
            cluster,
            data,
            synced: Arc::default(),
            stop: CancellationToken::new(),
            servers: TaskTracker::new(),
            workers: Mutex::default(),
            _lock: lock,
        };
        node.serve(ports, &config);
        node.work(&config, lost_queue);
        tracing::info!(event = "node_started", name = %config.name, %disk, s3 = %config.s3,
            peer = %config.peer, "storage node {} started", config.name);
        Ok(node)
    }

    fn serve(&self, ports: Ports, config: &Config) {
        let (cluster, data) = (self.cluster.clone(), self.data.clone());
        let (meta, peers) = (cluster.meta.clone(), cluster.peers.clone());
        let front = Front::new(
            meta,
            data.clone(),
            config.chunk_size,
            config.max_object_size,
        );
        let gate = crate::s3::Gate::new(&config.secrets, config.region.clone());
        let service = Arc::new(Answers {
            cluster,
            data,
            synced: Arc::clone(&self.synced),
        });
        let stop = || self.stop.clone();
        self.servers
            .spawn(crate::peer::serve(ports.peer, peers, service, stop()));
        self.servers.spawn(crate::line::serve(ports.line, stop()));
        self.servers
            .spawn(crate::s3::serve(ports.s3, front, gate, stop()));
    }

    fn work(&self, config: &Config, lost: mpsc::Receiver<ChunkId>) {
        let meta = self.cluster.meta.clone();
        let repair = Repair {
            name: config.name.clone(),
            meta: meta.clone(),
            data: self.data.clone(),
            others: self.cluster.others.clone(),
            grace: config.removal_grace,
            lost,
            synced: Arc::clone(&self.synced),
        };
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.spawn(self.cluster.clone().run());
        workers.spawn(repair.run());
        workers.spawn(collect(meta, self.data.clone()));
    }

    /// How this node is.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        status(&self.cluster, &self.data, &self.synced)
    }

    /// Whether the node can serve: there is a leader, and this node has applied what it knows of.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn ready(&self) -> Result<(), String> {
        let status = self.status();
        if status.role == "starting" || status.role == "learner" {
            return Err("the node does not belong to the cluster yet".to_owned());
        }
        if status.leader.is_none() {
            return Err("there is no leader".to_owned());
        }
        Ok(())
    }

    /// Stops: no new requests, those under way may end, then Raft.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .abort_all();
        self.servers.close();
        let _ = timeout(FAREWELL, self.servers.wait()).await;
        if timeout(FAREWELL, self.cluster.meta.raft().shutdown())
            .await
            .is_err()
        {
            tracing::warn!(
                event = "stop_late",
                "raft did not stop in time; its log is safe anyway"
            );
        }
        tracing::info!(event = "node_stopped", "storage node stopped");
    }
}

async fn bind(addr: std::net::SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr)
        .await
        .with_context(|| format!("cannot listen on {addr} for the {what} port; is it taken?"))
}

fn raft_config() -> anyhow::Result<openraft::Config> {
    let config = openraft::Config {
        cluster_name: "planaria-storage".to_owned(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_MS.0,
        election_timeout_max: ELECTION_MS.1,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_EVERY),
        max_in_snapshot_log_to_keep: KEEP_ENTRIES,
        snapshot_max_chunk_size: SNAPSHOT_PIECE,
        install_snapshot_timeout: 10_000,
        ..openraft::Config::default()
    };
    Ok(config.validate()?)
}

/// Opens what is on the disk. Where the metadata cannot be trusted under the disk's name, the
/// disk gets a new name: it joins again as a stranger, and keeps its chunks.
fn open(config: &Config) -> anyhow::Result<Opened> {
    let data = &config.data;
    std::fs::create_dir_all(data)
        .with_context(|| format!("cannot make the data directory {}", data.display()))?;
    let lock = File::create(data.join("lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .with_context(|| format!("another storage node uses {}", data.display()))?;
    let mut identity = IdentityFile::open(data)?;
    let meta = data.join("meta");
    std::fs::create_dir_all(&meta)?;
    files::sync_parent(&meta)?;
    let path = meta.join("raft.log");
    let log = match LogStore::open(&path) {
        Ok(log) if log.is_blank() != identity.get().voted => Some(log),
        Ok(_) => None,
        Err(JournalError::Rot(at)) => {
            tracing::error!(event = "raft_log_rotten", at, "raft's log is damaged");
            None
        }
        Err(error) => return Err(error.into()),
    };
    let log = match log {
        Some(log) => log,
        None => start_over(&mut identity, &meta, &path)?,
    };
    let machine = StateMachine::open(&meta, config.fsync)?;
    let options = StoreOptions {
        segment_bytes: SEGMENT_BYTES,
        sync: config.fsync != Fsync::Off,
    };
    let store = ChunkStore::open(&data.join("chunks"), options)?;
    Ok(Opened {
        identity,
        log,
        machine,
        store,
        lock,
    })
}

fn start_over(identity: &mut IdentityFile, meta: &Path, path: &Path) -> anyhow::Result<LogStore> {
    let old = identity.get().disk;
    // The new name first: a crash in between leaves a stranger with odd metadata, which is again
    // a reason to start over, and never the old name without its log.
    identity.renew()?;
    std::fs::remove_dir_all(meta)?;
    std::fs::create_dir_all(meta)?;
    files::sync_parent(meta)?;
    tracing::warn!(event = "disk_renamed", %old, new = %identity.get().disk,
        "the metadata of this disk is not what it was; it joins again as a new disk");
    Ok(LogStore::open(path)?)
}

/// Answers the other nodes.
struct Answers {
    cluster: Cluster,
    data: Data,
    synced: Arc<Synced>,
}

impl Service for Answers {
    fn answer(&self, _from: Card, ask: Ask, blob: Bytes) -> BoxFuture<'_, (Answer, Bytes)> {
        Box::pin(async move {
            if let Ask::GetChunk(chunk) = ask {
                return match self.data.get_here(chunk).await {
                    Ok(bytes) => (Answer::Chunk, bytes),
                    Err(fault) => (Answer::Fault(fault), Bytes::new()),
                };
            }
            let answer = self.small(ask, blob).await;
            (answer.unwrap_or_else(Answer::Fault), Bytes::new())
        })
    }
}

impl Answers {
    async fn small(&self, ask: Ask, blob: Bytes) -> Result<Answer, Fault> {
        let meta = &self.cluster.meta;
        Ok(match ask {
            Ask::Status => {
                Answer::Status(Box::new(status(&self.cluster, &self.data, &self.synced)))
            }
            Ask::Found { cluster } => {
                self.cluster.adopt(cluster, true).map_err(Fault::Refused)?;
                Answer::Done
            }
            Ask::Join { disk, name, addr } => {
                self.cluster.take_in(disk, name, addr).await?;
                Answer::Done
            }
            Ask::Append(disk, request) => {
                self.for_raft(disk)?;
                Answer::Append(meta.raft().append_entries(request).await)
            }
            Ask::Vote(disk, request) => {
                self.for_raft(disk)?;
                Answer::Vote(meta.raft().vote(request).await)
            }
            Ask::Snapshot(disk, request) => {
                self.for_raft(disk)?;
                Answer::Snapshot(meta.raft().install_snapshot(request).await)
            }
            Ask::Write(request) => Answer::Written(meta.write_as_leader(request).await?),
            Ask::ReadIndex => Answer::Index(meta.read_index_as_leader().await?),
            Ask::PutChunk { disk, chunk, again } => {
                self.for_us(disk)?;
                Answer::Stored(self.data.put_here(chunk, blob, again).await?)
            }
            Ask::GetChunk(_) => return Err(Fault::Refused("asked elsewhere".to_owned())),
        })
    }

    fn for_us(&self, disk: DiskId) -> Result<(), Fault> {
        if disk == self.cluster.meta.disk() {
            Ok(())
        } else {
            Err(Fault::OtherDisk)
        }
    }

    fn for_raft(&self, disk: DiskId) -> Result<(), Fault> {
        self.for_us(disk)?;
        self.cluster.note_vote().map_err(Fault::Unavailable)
    }
}

fn status(cluster: &Cluster, data: &Data, synced: &Synced) -> NodeStatus {
    let metrics = cluster.meta.metrics();
    let membership = metrics.membership_config.membership().clone();
    let (boot, cluster_id, voted) = {
        let file = cluster
            .identity
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        (file.get().boot, file.get().cluster, file.get().voted)
    };
    let reader: &Reader = cluster.meta.reader();
    let disk = cluster.meta.disk();
    let voter = membership.voter_ids().any(|id| id == disk.0);
    let role = match metrics.state {
        ServerState::Leader => "leader",
        ServerState::Candidate => "candidate",
        ServerState::Follower => "follower",
        ServerState::Learner if !voter && membership.get_node(&disk.0).is_none() => "starting",
        ServerState::Learner => "learner",
        ServerState::Shutdown => "stopping",
    };
    let applied = reader.applied();
    // As of the state machine now: what the repair last saw may be older than a change of disks.
    let owed = cluster
        .meta
        .stale()
        .map_err(Into::into)
        .and_then(|view| owed(&view));
    let known = owed.is_ok();
    let owed = owed.map_or(0, |owed| owed.len() as u64);
    let caught_up = metrics.last_log_index.unwrap_or(0) <= applied;
    let nodes = membership
        .nodes()
        .map(|(id, node)| crate::peer::NodeLine {
            name: node.name.clone(),
            disk: DiskId(*id).to_string(),
            addr: node.addr.clone(),
            voter: membership.voter_ids().any(|voter| voter == *id),
            reachable: *id == disk.0
                || cluster
                    .others
                    .get(&node.addr)
                    .is_some_and(|(_, ago)| ago < REACHABLE),
        })
        .collect();
    let leader = metrics
        .current_leader
        .and_then(|id| membership.get_node(&id));
    let mut status = NodeStatus {
        name: cluster.name.clone(),
        disk: disk.to_string(),
        disk_id: disk.0,
        boot,
        cluster: cluster_id.map(|id| format!("{id:016x}")),
        cluster_id,
        voted,
        role: role.to_owned(),
        leader: leader.map(|node| node.name.clone()),
        term: metrics.current_term,
        applied,
        in_sync: voter
            && metrics.current_leader.is_some()
            && caught_up
            && synced.compared.load(Ordering::Relaxed)
            && known
            && owed == 0,
        owed,
        disk_full: data.store().is_full(),
        disk_free: files::free_bytes(data.store().dir()).unwrap_or(0),
        nodes,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..NodeStatus::default()
    };
    status.set_usage(data.store().usage());
    status
}
