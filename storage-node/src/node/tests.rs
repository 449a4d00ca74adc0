//! Three nodes in one process, whose disks can be made to seem slow.

use super::*;
use crate::config::{Fsync, Secrets};
use std::path::Path;
use std::time::Instant;
use tokio::time::sleep;

/// A port that nobody listens on, below those that the kernel gives to whoever connects: one of
/// those may be taken while a node is restarted.
pub(super) fn port() -> u16 {
    loop {
        let port = rand::random_range(12_000..32_000);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub(super) fn config(n: usize, peers: &[u16], dir: &Path) -> Config {
    let at = |port: u16| ([127, 0, 0, 1], port).into();
    let addrs: Vec<String> = peers
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    Config {
        name: format!("node-{n}"),
        data: dir.join(n.to_string()),
        s3: at(0),
        line: at(0),
        peer: at(peers[n]),
        advertise: addrs[n].clone(),
        peers: addrs,
        secrets: Secrets {
            access_key: "a".to_owned(),
            secret_key: "s".to_owned(),
            peer_secret: "0".repeat(32),
        },
        replication_factor: 3,
        write_quorum: 2,
        replica_retries: 3,
        region: None,
        domain: None,
        chunk_size: 1 << 20,
        max_object_size: 1 << 30,
        fsync: Fsync::Off,
        removal_grace: Duration::from_secs(30),
    }
}

pub(super) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < end, "{what}: never");
        sleep(Duration::from_millis(50)).await;
    }
}

fn leader(nodes: &[Node]) -> Option<usize> {
    nodes.iter().position(|node| node.status().role == "leader")
}

/// The leader's disk hangs: another leads soon, and the one with the slow disk does not come back
/// to the office while it is slow, though it stays a member.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_is_slow_gives_up_its_office() {
    let dir = tempfile::tempdir().unwrap();
    let peers = [port(), port(), port()];
    let mut nodes = Vec::new();
    for n in 0..3 {
        nodes.push(Node::start(config(n, &peers, dir.path())).await.unwrap());
    }
    eventually("in sync", || nodes.iter().all(|node| node.status().in_sync)).await;
    let slow = leader(&nodes).unwrap();
    let pace = nodes[slow].context.data.store().pace().clone();
    pace.pretend(true);
    assert!(nodes[slow].status().disk_slow);
    eventually("another leads", || {
        leader(&nodes).is_some_and(|n| n != slow)
    })
    .await;
    let next = leader(&nodes).unwrap();
    // It takes writes, also through the one that has handed over.
    for n in [next, slow] {
        nodes[n]
            .cluster
            .meta
            .report(planaria_storage_core::Command::Nothing)
            .await
            .unwrap();
    }
    pace.pretend(false);
    assert!(!nodes[slow].status().disk_slow);
    for node in &nodes {
        node.stop().await;
    }
}
