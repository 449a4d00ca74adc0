//! A leader whose disk is slow, or whom the others cannot ask though it reaches them, gives its
//! office to another, and a node for which that is so does not stand for it.
//!
//! This Raft knows no transfer: the leader takes no more requests and sends no more heartbeats,
//! waits until nobody is bound to it any more, and asks the fittest of the others to stand. Where
//! nobody wins, it goes on in its office.

use super::context::Context;
use crate::meta::MetaError;
use crate::node::ELECTION_MS;
use crate::peer::{Ask, Fault, Lane, PeerError, Peers};
use bytes::Bytes;
use openraft::ServerState;
use planaria_storage_core::DiskId;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often the disk is looked at.
const ROUND: Duration = Duration::from_millis(500);
/// A node that answered within this time can be asked to stand.
const THERE: Duration = Duration::from_secs(3);
/// So long after its last heartbeat Raft's members are bound to a leader.
const BOUND: Duration = Duration::from_millis(ELECTION_MS.1 + 200);
/// How long the successor may take to answer, and to win.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long after a slow write, or a cut, a node is not trusted with the office, and how long after a
/// hand-over that nobody won there is none.
const CALM: Duration = Duration::from_secs(30);

/// Runs for ever.
pub async fn office(context: Context, peers: Peers) {
    let report = context.reports.of("office", 0);
    let mut unfit_at: Option<Instant> = None;
    let mut tried_at: Option<Instant> = None;
    loop {
        sleep(ROUND).await;
        let unfit = context.unfit();
        if unfit.is_some() {
            unfit_at = Some(Instant::now());
        }
        let fit = unfit_at.is_none_or(|at| at.elapsed() >= CALM);
        // Where nobody is known to be better, this node in office is better than none.
        let successor = context.successor();
        let stands = fit || successor.is_none();
        context.meta.raft().runtime_config().elect(stands);
        let leads = context.meta.metrics().state == ServerState::Leader;
        let rested = tried_at.is_none_or(|at| at.elapsed() >= CALM);
        let due = unfit.filter(|_| leads && rested).zip(successor);
        let Some((reason, (disk, addr))) = due else {
            report.idle();
            continue;
        };
        tracing::warn!(event = "office_handed_over", successor = %disk, addr, reason,
            "{reason}: this node gives Raft's leadership to {addr}");
        report.busy(format!("handing over to {addr}"));
        let handed = context.hand_over(&peers, disk, &addr).await;
        // In office still: the next try has to rest.
        tried_at = handed.is_err().then(Instant::now);
        report.ended(&handed);
    }
}

impl Context {
    /// Why this node is not fit for the office.
    fn unfit(&self) -> Option<&'static str> {
        if self.data.is_slow() {
            return Some("this disk is slow");
        }
        self.cannot_be_asked()
            .then_some("the other nodes cannot ask this one")
    }

    /// Whether those who answer this node say that it does not answer them, and no majority is left
    /// that it can serve: in one direction the network is cut.
    fn cannot_be_asked(&self) -> bool {
        let here = self.here().to_string();
        let (mut voters, mut served, mut cut) = (1, 1, 0);
        for (disk, node, votes) in self.data.nodes() {
            if !votes || disk == self.here() {
                continue;
            }
            voters += 1;
            let said = self.others.get(&node.addr);
            let said = said.filter(|(status, ago)| status.disk_id == disk.0 && *ago < THERE);
            let ours = said
                .and_then(|(status, _)| status.nodes.into_iter().find(|line| line.disk == here));
            match ours {
                Some(line) if line.reachable => served += 1,
                Some(_) => cut += 1,
                None => {}
            }
        }
        cut > 0 && served * 2 <= voters
    }

    /// The voter that has applied most of those that answer and whose disk is well.
    fn successor(&self) -> Option<(DiskId, String)> {
        self.data
            .nodes()
            .into_iter()
            .filter(|(disk, _, votes)| *votes && *disk != self.here())
            .filter_map(|(disk, node, _)| {
                let (status, ago) = self.others.get(&node.addr)?;
                let fit = status.disk_id == disk.0 && ago < THERE && !status.disk_slow;
                fit.then_some((status.applied, disk, node.addr))
            })
            .max()
            .map(|(_, disk, addr)| (disk, addr))
    }

    async fn hand_over(&self, peers: &Peers, disk: DiskId, addr: &str) -> Result<(), MetaError> {
        let raft = self.meta.raft();
        self.meta.resign(true);
        raft.runtime_config().heartbeat(false);
        let asked = async {
            sleep(BOUND).await;
            let ask = Ask::Stand(disk);
            peers
                .ask(addr, Lane::Control, &ask, Bytes::new(), PATIENCE)
                .await?;
            let end = Instant::now() + PATIENCE;
            while self.meta.metrics().state == ServerState::Leader && Instant::now() < end {
                sleep(Duration::from_millis(50)).await;
            }
            Ok::<(), PeerError>(())
        };
        let asked = asked.await;
        self.meta.resign(false);
        raft.runtime_config().heartbeat(true);
        asked.map_err(|e| MetaError::NoQuorum(e.to_string()))?;
        if self.meta.metrics().state == ServerState::Leader {
            return Err(MetaError::NoQuorum(format!("{addr} was not elected")));
        }
        Ok(())
    }

    /// Stands for leadership, because the leader asked for it.
    ///
    /// # Errors
    /// When this node is no better.
    pub async fn stand(&self) -> Result<(), Fault> {
        if self.data.is_slow() {
            return Err(Fault::Unavailable("this disk is slow too".to_owned()));
        }
        let elected = self.meta.raft().trigger().elect().await;
        elected.map_err(|e| Fault::Unavailable(e.to_string()))
    }
}
