//! Belonging: founding a cluster, joining one, taking others in, and knowing who answers.
//!
//! ```text
//! empty disk ─ all initial nodes answer, all are empty ─▶ the first by address founds
//!            ─ one of them has voted ───────────────────▶ ask to be taken in
//!            ─ otherwise ───────────────────────────────▶ wait: better late than over live data
//! taken in: learner ─ has what the log had when it asked ─▶ voter, and the disk that its name
//!           had before is removed, in one change
//! ```

use crate::identity::IdentityFile;
use crate::meta::{Meta, NodeInfo};
use crate::peer::{Answer, Ask, Fault, Lane, NodeStatus, Peers};
use bytes::Bytes;
use openraft::{ChangeMembers, ServerState};
use planaria_storage_core::{Command, DiskId, RoleChange, machine};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often the others are asked how they are.
const ROUND: Duration = Duration::from_millis(1000);
/// The same while this node belongs nowhere yet.
const EAGER_ROUND: Duration = Duration::from_millis(200);
/// How long such an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long being taken in may take: the whole metadata may have to come.
const JOIN_PATIENCE: Duration = Duration::from_secs(60);
/// How long the leader waits for a learner to catch up before it lets it ask again.
const CATCH_UP: Duration = Duration::from_secs(50);
/// How often the leader looks whether it has.
const LOOK: Duration = Duration::from_millis(50);
/// A disk that answered within this time is alive: its name is not given to another.
const ALIVE: Duration = Duration::from_secs(5);

/// What the others last said of themselves, by address.
#[derive(Clone, Default)]
pub struct Others(Arc<Mutex<BTreeMap<String, (NodeStatus, Instant)>>>);

impl Others {
    /// What the node at this address last said, and how long ago.
    #[must_use]
    pub fn get(&self, addr: &str) -> Option<(NodeStatus, Duration)> {
        let others = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        others
            .get(addr)
            .map(|(status, at)| (status.clone(), at.elapsed()))
    }

    fn set(&self, addr: &str, status: NodeStatus) {
        let mut others = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        others.insert(addr.to_owned(), (status, Instant::now()));
    }
}

/// This node's part in its cluster.
#[derive(Clone)]
pub struct Cluster {
    /// The metadata.
    pub meta: Meta,
    /// The connections.
    pub peers: Peers,
    /// The initial nodes' addresses.
    pub initial: Vec<String>,
    /// This node's own address among them.
    pub own: String,
    /// This node's name.
    pub name: String,
    /// This disk.
    pub identity: Arc<Mutex<IdentityFile>>,
    /// What the others say.
    pub others: Others,
    /// One change of the members at a time.
    pub changing: Arc<tokio::sync::Mutex<()>>,
}

impl Cluster {
    /// Runs for ever.
    pub async fn run(self) {
        let mut told = false;
        let mut silent = BTreeSet::new();
        loop {
            self.ask_all().await;
            self.tell(&mut silent);
            let belongs = self.belongs();
            if !belongs {
                if !told {
                    tracing::info!(event = "cluster_wanted", name = %self.name, "looking for the cluster");
                    told = true;
                }
                self.find().await;
            }
            sleep(if belongs { ROUND } else { EAGER_ROUND }).await;
        }
    }

    /// Whether Raft counts this disk as a voter.
    fn belongs(&self) -> bool {
        let metrics = self.meta.metrics();
        let disk = self.meta.disk().0;
        metrics
            .membership_config
            .membership()
            .voter_ids()
            .any(|id| id == disk)
    }

    async fn ask_all(&self) {
        let mut addrs: BTreeSet<String> = self.initial.iter().cloned().collect();
        let metrics = self.meta.metrics();
        addrs.extend(
            metrics
                .membership_config
                .membership()
                .nodes()
                .map(|(_, node)| node.addr.clone()),
        );
        addrs.remove(&self.own);
        let asks = addrs.iter().map(|addr| async move {
            let asked = self
                .peers
                .ask(addr, Lane::Control, &Ask::Status, Bytes::new(), PATIENCE);
            if let Ok((Answer::Status(status), _)) = asked.await {
                self.others.set(addr, *status);
            }
        });
        futures::future::join_all(asks).await;
    }

    /// Says once who has fallen silent, and once that it is back.
    fn tell(&self, silent: &mut BTreeSet<String>) {
        let metrics = self.meta.metrics();
        for (_, node) in metrics.membership_config.membership().nodes() {
            let Some((status, ago)) = self.others.get(&node.addr) else {
                continue;
            };
            let name = &node.name;
            if ago < ALIVE && silent.remove(name) {
                tracing::info!(event = "peer_back", peer = %name, start = status.boot, "Peer {name} came back (start {})", status.boot);
            } else if ago >= ALIVE && silent.insert(name.clone()) {
                let counts = self
                    .meta
                    .stale()
                    .ok()
                    .and_then(|view| machine::counts(&view).ok().flatten());
                let owed = counts.unwrap_or_default().owed();
                tracing::warn!(event = "peer_silent", peer = %name, owed, "Peer {name} does not answer, {owed} chunks owed");
            }
        }
    }

    async fn find(&self) {
        let mut answers = Vec::new();
        for addr in self.initial.iter().filter(|addr| **addr != self.own) {
            if let Some((status, ago)) = self.others.get(addr)
                && ago < PATIENCE + EAGER_ROUND
            {
                answers.push((addr.clone(), status));
            }
        }
        if let Some((_, status)) = answers.iter().find(|(_, status)| status.voted) {
            if let Some(cluster) = status.cluster_id {
                self.ask_in(cluster, &answers).await;
            }
            return;
        }
        let voted = self.identity().get().voted;
        let everybody = answers.len() + 1 == self.initial.len();
        let first = self.initial.iter().min() == Some(&self.own);
        if everybody && first && !voted {
            self.found(answers).await;
        }
    }

    async fn ask_in(&self, cluster: u64, answers: &[(String, NodeStatus)]) {
        if let Err(reason) = self.adopt(cluster, false) {
            tracing::error!(event = "join_refused", %reason, "cannot join");
            return;
        }
        let ask = Ask::Join {
            disk: self.meta.disk(),
            name: self.name.clone(),
            addr: self.own.clone(),
        };
        // The leader first: the others would only name it.
        let mut addrs: Vec<_> = answers.iter().filter(|(_, status)| status.voted).collect();
        addrs.sort_by_key(|(_, status)| status.role != "leader");
        for (addr, _) in addrs {
            match self
                .peers
                .ask(addr, Lane::Data, &ask, Bytes::new(), JOIN_PATIENCE)
                .await
            {
                Ok(_) => {
                    tracing::info!(event = "joined", disk = %self.meta.disk(), "taken into the cluster");
                    return;
                }
                Err(error) => tracing::debug!(event = "join_waits", %error, "not taken in yet"),
            }
        }
    }

    async fn found(&self, answers: Vec<(String, NodeStatus)>) {
        let cluster = rand::random_range(1..=u64::MAX);
        let mut members = BTreeMap::new();
        members.insert(
            self.meta.disk().0,
            NodeInfo {
                name: self.name.clone(),
                addr: self.own.clone(),
            },
        );
        for (addr, status) in answers {
            let ask = Ask::Found { cluster };
            let asked = self
                .peers
                .ask(&addr, Lane::Control, &ask, Bytes::new(), PATIENCE)
                .await;
            if let Err(error) = asked {
                tracing::warn!(event = "founding_waits", %error, "cannot found the cluster yet");
                return;
            }
            members.insert(
                status.disk_id,
                NodeInfo {
                    name: status.name,
                    addr,
                },
            );
        }
        let prepared = self.adopt(cluster, true).and_then(|()| self.note_vote());
        if let Err(reason) = prepared {
            tracing::error!(event = "founding_failed", %reason, "cannot found the cluster");
            return;
        }
        match self.meta.raft().initialize(members).await {
            Ok(()) => {
                tracing::info!(event = "cluster_founded", cluster = %format!("{cluster:016x}"), "founded the cluster");
            }
            Err(error) => {
                tracing::error!(event = "founding_failed", %error, "cannot found the cluster");
            }
        }
    }

    fn identity(&self) -> std::sync::MutexGuard<'_, IdentityFile> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Belongs to this cluster from now on. While a cluster is being founded, an empty disk may
    /// change its mind: the founder may have died half-way.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn adopt(&self, cluster: u64, founding: bool) -> Result<(), String> {
        let mut file = self.identity();
        let identity = file.get();
        let other = identity.cluster.is_some_and(|mine| mine != cluster);
        if other && (identity.voted || !founding) {
            return Err("this disk belongs to another cluster".to_owned());
        }
        if founding && identity.voted {
            return Err("this disk is not empty".to_owned());
        }
        file.set_cluster(cluster).map_err(|e| e.to_string())?;
        drop(file);
        let mut card = self.peers.card();
        card.cluster = Some(cluster);
        self.peers.set_card(card);
        Ok(())
    }

    /// Notes, before Raft's log holds anything, that it will.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn note_vote(&self) -> Result<(), String> {
        self.identity().set_voted().map_err(|e| e.to_string())
    }

    /// The leader takes a disk in: as a learner first, and as a voter when it has caught up. The
    /// disk that had its name before goes.
    ///
    /// # Errors
    /// [`Fault`]; to be asked again.
    pub async fn take_in(&self, disk: DiskId, name: String, addr: String) -> Result<(), Fault> {
        let unavailable = |text: String| Fault::Unavailable(text);
        let _one = self.changing.lock().await;
        let metrics = self.meta.metrics();
        if metrics.state != ServerState::Leader {
            return Err(Fault::NotLeader(metrics.current_leader.map(DiskId)));
        }
        // A leader that was restarted may lead nobody: without a majority nothing begins.
        self.meta.read_index_as_leader().await?;
        let membership = self.meta.metrics().membership_config.membership().clone();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        if voters.contains(&disk.0) {
            return Ok(());
        }
        let before: Vec<(u64, NodeInfo)> = membership
            .nodes()
            .filter(|(id, node)| **id != disk.0 && (node.name == name || node.addr == addr))
            .map(|(id, node)| (*id, node.clone()))
            .collect();
        for (id, node) in &before {
            let heard = self.peers.heard(&node.addr);
            if heard.is_some_and(|(card, ago)| card.disk == DiskId(*id) && ago < ALIVE) {
                return Err(Fault::Refused(format!(
                    "the name {name} is in use by a living disk"
                )));
            }
        }
        let raft = self.meta.raft();
        let strays: BTreeSet<u64> = before
            .iter()
            .map(|(id, _)| *id)
            .filter(|id| !voters.contains(id))
            .collect();
        if !strays.is_empty() {
            raft.change_membership(ChangeMembers::RemoveNodes(strays), false)
                .await
                .map_err(|e| unavailable(e.to_string()))?;
        }
        let view = self.meta.stale().map_err(|e| unavailable(e.to_string()))?;
        let known = machine::retired(&view).and_then(|gone| Ok((gone, machine::plan(&view)?)));
        let (gone, plan) = known.map_err(|e| unavailable(e.to_string()))?;
        drop(view);
        if gone.contains(&disk) {
            return Err(Fault::Refused(
                "this disk was taken out of the cluster; remove its data directory so that it \
                 comes back as a new one"
                    .to_owned(),
            ));
        }
        tracing::info!(event = "disk_joining", %disk, %name, "a disk joins as a learner");
        raft.add_learner(
            disk.0,
            NodeInfo {
                name: name.clone(),
                addr,
            },
            false,
        )
        .await
        .map_err(|e| unavailable(e.to_string()))?;
        self.wait_for(disk).await?;
        // A new disk under an old name stands where the old one stood.
        let zone = before
            .iter()
            .map(|(id, _)| plan.role(&DiskId(*id)).zone)
            .find(|zone| !zone.is_empty());
        if let Some(zone) = zone {
            let change = RoleChange::Zone(zone);
            let assigned = self.meta.write(Command::Assign { disk, change }).await;
            assigned.map_err(|e| unavailable(e.to_string()))?;
        }
        let mut next = voters;
        for (id, _) in &before {
            next.remove(id);
        }
        next.insert(disk.0);
        raft.change_membership(next, false)
            .await
            .map_err(|e| unavailable(e.to_string()))?;
        tracing::info!(event = "disk_joined", %disk, %name, "a disk has caught up and votes now");
        Ok(())
    }

    async fn wait_for(&self, disk: DiskId) -> Result<(), Fault> {
        let target = self.meta.metrics().last_log_index.unwrap_or(0);
        let end = Instant::now() + CATCH_UP;
        while Instant::now() < end {
            let metrics = self.meta.metrics();
            let matched = metrics
                .replication
                .as_ref()
                .ok_or(Fault::NotLeader(None))?
                .get(&disk.0)
                .copied()
                .flatten();
            if matched.is_some_and(|log_id| log_id.index >= target) {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        Err(Fault::Unavailable(
            "the disk is still catching up".to_owned(),
        ))
    }
}
