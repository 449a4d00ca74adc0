//! A node: everything put together, in the order in which it may start.

mod answers;
mod open;
#[cfg(test)]
mod power_tests;
mod status;
#[cfg(test)]
mod tests;

use crate::admin::Admins;
use crate::config::Config;
use crate::data::Data;
use crate::line::Desk;
use crate::meta::{Meta, Network, Raft};
use crate::peer::{Card, NodeStatus, Peers, Secret};
use crate::s3::{self, Durations, Front, Gate};
use crate::work::{self, Cluster, Context, Others, Repair, Reports};
use answers::Answers;
use anyhow::Context as _;
use open::{Opened, open};
use openraft::SnapshotPolicy;
use planaria_storage_core::machine::{MAX_BUCKETS, keys_with};
use planaria_storage_core::{ChunkId, Copies, keys};
use status::status;
use std::fs::File;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Raft's heartbeat, and the bounds of its election timeout, in milliseconds.
const HEARTBEAT_MS: u64 = 200;
pub(crate) const ELECTION_MS: (u64, u64) = (800, 1600);
/// After how many entries a snapshot is made, and how many it leaves in the log so that a node
/// that was away for a moment needs no snapshot.
const SNAPSHOT_EVERY: u64 = 5000;
const KEEP_ENTRIES: u64 = 1000;
/// How much of a snapshot travels at once.
const SNAPSHOT_PIECE: u64 = 2 << 20;
/// How many reports of missing copies may wait.
const LOST_QUEUE: usize = 4096;
/// How long requests under way may take after a SIGTERM.
const FAREWELL: Duration = Duration::from_secs(3);

/// A node that runs.
pub struct Node {
    cluster: Cluster,
    context: Context,
    durations: Durations,
    swept: u64,
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
            swept,
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
        let (start_index, log_pace) = (log.last_index(), log.pace());
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
            log_pace,
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
        let context = Context {
            name: config.name.clone(),
            meta: cluster.meta.clone(),
            data,
            others: cluster.others.clone(),
            grace: config.removal_grace,
            synced: Arc::default(),
            reports: Reports::default(),
        };
        let node = Self {
            cluster,
            context,
            durations: s3::durations(),
            swept,
            stop: CancellationToken::new(),
            servers: TaskTracker::new(),
            workers: Mutex::default(),
            _lock: lock,
        };
        node.serve(ports, &config);
        node.work(lost_queue);
        tracing::info!(event = "node_started", name = %config.name, %disk, s3 = %config.s3,
            peer = %config.peer, "storage node {} started", config.name);
        Ok(node)
    }

    fn serve(&self, ports: Ports, config: &Config) {
        let (cluster, context) = (self.cluster.clone(), self.context.clone());
        let (meta, peers) = (cluster.meta.clone(), cluster.peers.clone());
        let front = Front::new(
            meta,
            context.data.clone(),
            config.chunk_size,
            config.max_object_size,
        );
        let gate = Gate::new(
            self.cluster.meta.clone(),
            &config.secrets,
            config.region.clone(),
            config.domain.clone(),
        );
        let durations = self.durations.clone();
        let admins = Admins {
            context: context.clone(),
            cluster: cluster.clone(),
        };
        let service = Arc::new(Answers {
            cluster,
            context,
            admins,
            swept: self.swept,
        });
        let stop = || self.stop.clone();
        self.servers
            .spawn(crate::peer::serve(ports.peer, peers, service, stop()));
        let (about, who, swept) = (self.cluster.clone(), self.context.clone(), self.swept);
        let desk = Arc::new(Desk {
            front: front.clone(),
            gate: gate.clone(),
            status: Box::new(move || status(&about, &who, swept)),
        });
        self.servers
            .spawn(crate::line::serve(ports.line, desk, stop()));
        self.servers
            .spawn(s3::serve(ports.s3, front, gate, durations, stop()));
    }

    fn work(&self, lost: mpsc::Receiver<ChunkId>) {
        let context = || self.context.clone();
        let repair = Repair {
            context: context(),
            lost,
        };
        let garbage = self.context.reports.of("garbage", 0);
        let (meta, data) = (self.cluster.meta.clone(), self.context.data.clone());
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.spawn(self.cluster.clone().run());
        workers.spawn(repair.run());
        workers.spawn(work::collect(meta, data, garbage));
        workers.spawn(work::compare(context()));
        workers.spawn(work::presence(context()));
        workers.spawn(work::rebalance(context()));
        workers.spawn(work::scrub(context()));
        workers.spawn(work::office(context(), self.cluster.peers.clone()));
    }

    /// How this node is.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        status(&self.cluster, &self.context, self.swept)
    }

    /// How many chunks of this disk the scrub that is under way has read.
    #[must_use]
    pub fn scrub_at(&self) -> u64 {
        self.context.synced.scrub_at.load(Ordering::Relaxed)
    }

    /// How many buckets there are, as far as this node has applied; `None` where its records cannot be read.
    #[must_use]
    pub fn buckets(&self) -> Option<usize> {
        let view = self.cluster.meta.stale().ok()?;
        let found = keys_with(&view, &[keys::BUCKET], &[], MAX_BUCKETS).ok()?;
        Some(found.len())
    }

    /// How long S3 requests took.
    #[must_use]
    pub fn durations(&self) -> Durations {
        self.durations.clone()
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
