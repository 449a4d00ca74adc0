//! The power of all three nodes goes at one moment, under load, and with it whatever no disk had
//! synced: see [`crate::disk::power`].

use super::tests::{config, eventually, port};
use super::*;
use crate::config::Fsync;
use crate::disk::power;
use bytes::Bytes;
use futures::StreamExt;
use planaria_storage_core::Command;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::time::sleep;

/// How many writes are acknowledged before the cut.
const WRITES: usize = 60;

/// Power cuts in a row: `POWER_ROUNDS`.
fn rounds() -> u64 {
    std::env::var("POWER_ROUNDS").map_or(2, |text| text.parse().unwrap())
}

fn body(n: usize) -> Bytes {
    let length = if n.is_multiple_of(3) { 700 } else { 70_000 };
    let mut seed = blake3::Hasher::new()
        .update(&n.to_be_bytes())
        .finalize_xof();
    let mut bytes = vec![0; length];
    seed.fill(&mut bytes);
    bytes.into()
}

fn front(node: &Node) -> Front {
    let (meta, data) = (node.cluster.meta.clone(), node.context.data.clone());
    Front::new(meta, data, 64 << 10, 1 << 30)
}

async fn start(peers: &[u16], dir: &Path, fsync: Fsync) -> Vec<Node> {
    let mut nodes = Vec::new();
    for n in 0..peers.len() {
        let mut config = config(n, peers, dir);
        config.fsync = fsync;
        nodes.push(Node::start(config).await.unwrap());
    }
    eventually("in sync", || nodes.iter().all(|node| node.status().in_sync)).await;
    nodes
}

async fn stop(nodes: Vec<Node>) {
    for node in &nodes {
        node.stop().await;
    }
}

/// Writes through all nodes, cuts the power in the middle of it, and gives what was acknowledged
/// before; what the disks then hold lies in `after`.
async fn cut_under_load(nodes: &[Node], before: &Path, after: &Path, seed: u64) -> Vec<usize> {
    let (next, done) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let acknowledged: Arc<Mutex<Vec<usize>>> = Arc::default();
    let mut writers = JoinSet::new();
    for lane in 0..6 {
        let front = front(&nodes[lane % nodes.len()]);
        let (next, done) = (Arc::clone(&next), Arc::clone(&done));
        let acknowledged = Arc::clone(&acknowledged);
        writers.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let (length, pieces) =
                    (body(n).len() as u64, vec![Ok::<_, std::io::Error>(body(n))]);
                let stream = s3s::dto::StreamingBlob::wrap(futures::stream::iter(pieces));
                let put = front.push("bucket", &n.to_string(), stream, length).await;
                if put.is_ok() {
                    acknowledged.lock().unwrap().push(n);
                }
            }
        });
    }
    eventually("writes", || acknowledged.lock().unwrap().len() >= WRITES).await;
    // Whatever is acknowledged by now was synced before; nothing is from here to the cut's end.
    let (before, after) = (before.to_owned(), after.to_owned());
    let all = tokio::task::spawn_blocking(move || {
        let mut known = power::hold();
        let all = acknowledged.lock().unwrap().clone();
        let mut rng = SmallRng::seed_from_u64(seed);
        known.cut(&before, &after, &mut rng).unwrap();
        all
    });
    let all = all.await.unwrap();
    done.store(true, Ordering::Relaxed);
    writers.shutdown().await;
    all
}

async fn lost(nodes: &[Node], acknowledged: &[usize]) -> Vec<usize> {
    let mut lost = Vec::new();
    for n in acknowledged {
        let front = front(&nodes[n % nodes.len()]);
        let mut found = Vec::new();
        if let Ok((_, mut pieces)) = front.pull("bucket", &n.to_string()).await {
            while let Some(Ok(piece)) = pieces.next().await {
                found.extend_from_slice(&piece);
            }
        }
        if found != body(*n) {
            lost.push(*n);
        }
    }
    lost
}

/// A hundred cuts in a row (`POWER_ROUNDS=100`) were seen to lose nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_power_cut_of_all_nodes_takes_nothing_that_was_acknowledged() {
    let peers = [port(), port(), port()];
    let mut dir = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..rounds() {
        let nodes = start(&peers, dir.path(), Fsync::Data).await;
        let missing = lost(&nodes, &acknowledged).await;
        assert!(
            missing.is_empty(),
            "round {round}: {missing:?} of {acknowledged:?}"
        );
        if round == 0 {
            let command = Command::CreateBucket {
                bucket: "bucket".to_owned(),
                now_ms: 0,
            };
            nodes[0].cluster.meta.write(command).await.unwrap();
        }
        let after = tempfile::tempdir().unwrap();
        acknowledged = cut_under_load(&nodes, dir.path(), after.path(), round).await;
        stop(nodes).await;
        dir = after;
    }
    let nodes = start(&peers, dir.path(), Fsync::Data).await;
    let missing = lost(&nodes, &acknowledged).await;
    assert!(missing.is_empty(), "{missing:?} of {acknowledged:?}");
    stop(nodes).await;
}

/// The cut does take what was not synced: with `FSYNC=off` chunks are lost, as it says.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn without_syncs_the_same_cut_does_take_some() {
    let peers = [port(), port(), port()];
    let dir = tempfile::tempdir().unwrap();
    let nodes = start(&peers, dir.path(), Fsync::Off).await;
    let command = Command::CreateBucket {
        bucket: "bucket".to_owned(),
        now_ms: 0,
    };
    nodes[0].cluster.meta.write(command).await.unwrap();
    let after = tempfile::tempdir().unwrap();
    let acknowledged = cut_under_load(&nodes, dir.path(), after.path(), 7).await;
    stop(nodes).await;
    let mut nodes = Vec::new();
    for n in 0..3 {
        let mut config = config(n, &peers, after.path());
        config.fsync = Fsync::Off;
        nodes.push(Node::start(config).await.unwrap());
    }
    eventually("a leader", || {
        nodes.iter().any(|node| node.status().role == "leader")
    })
    .await;
    let last = acknowledged.last().copied().unwrap();
    eventually("it answers", || {
        nodes.iter().all(|node| node.ready().is_ok())
    })
    .await;
    sleep(Duration::from_millis(500)).await;
    let missing = lost(&nodes, &acknowledged).await;
    assert!(
        !missing.is_empty(),
        "all of {} up to {last} are there",
        acknowledged.len()
    );
    stop(nodes).await;
}
