//! How a node is, in one look.

use crate::data::Data;
use crate::disk::files;
use crate::meta::Reader;
use crate::peer::NodeStatus;
use crate::work::{Cluster, Context, Synced};
use openraft::ServerState;
use planaria_storage_core::{DiskId, machine};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A node that answered within this time is reachable.
const REACHABLE: Duration = Duration::from_secs(4);

/// How this node is now. `swept` is how many half-written files its start removed.
pub(super) fn status(cluster: &Cluster, context: &Context, swept: u64) -> NodeStatus {
    let (data, synced): (&Data, &Synced) = (&context.data, &context.synced);
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
    let view = cluster.meta.stale().ok();
    let plan = view.as_ref().and_then(|view| machine::plan(view).ok());
    let plan = plan.unwrap_or_default();
    let counts = view.and_then(|view| machine::counts(&view).ok().flatten());
    let counted = counts.is_some();
    let counts = counts.unwrap_or_default();
    let load = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    let compared = synced.compared.load(Ordering::Relaxed);
    // While the members change, the records still count on who is about to go.
    let settled = membership.get_joint_config().len() == 1;
    let caught_up = settled && metrics.last_log_index.unwrap_or(0) <= applied;
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
            zone: plan.role(&DiskId(*id)).zone,
            draining: plan.role(&DiskId(*id)).draining,
            away: plan.role(&DiskId(*id)).away,
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
            && compared
            && counted
            && counts.owed() == 0,
        compared,
        digest: data.store().tree().root().to_string(),
        owed: counts.owed(),
        healthy: counts.healthy,
        degraded: counts.degraded,
        lost: counts.lost,
        repairing: load(&synced.repairing),
        layout: plan.layout.version,
        scrubs: load(&synced.scrubs),
        scrubbed: load(&synced.scrubbed),
        swept,
        workers: context.reports.list(),
        disk_full: data.store().is_full(),
        disk_slow: data.is_slow(),
        disk_free: files::free_bytes(data.store().dir()).unwrap_or(0),
        nodes,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..NodeStatus::default()
    };
    status.set_usage(data.store().usage());
    status
}
