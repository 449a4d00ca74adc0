//! What happens to disks: torn, rotten, wiped.

use crate::client::bytes;
use crate::nodes::Nodes;
use std::io::Write;

fn append(path: &std::path::Path, garbage: &[u8]) {
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(garbage).unwrap();
}

fn flip(path: &std::path::Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn torn_tails_are_cut() {
    let mut nodes = Nodes::start();
    nodes.client(0).make_bucket();
    let body = bytes(300_000, 1);
    nodes.client(0).put("key", &body).ok();
    nodes.wait_in_sync(2);
    let disk = nodes.status(2).unwrap()["disk"].clone();
    nodes.kill(2);
    append(&nodes.segment(2), b"PLC1 half a record");
    append(&nodes.raft_log(2), b"PLJ1\x01\0\0\0 half a batch");
    nodes.run(2);
    nodes.wait_in_sync(2);
    assert_eq!(
        nodes.status(2).unwrap()["disk"],
        disk,
        "the disk is still itself"
    );
    assert!(nodes.client(2).get("key").ok().body == body);
}

/// A disk whose log is damaged below what it acknowledged has forgotten its votes: it must not
/// vote under its old name again. Its chunks are still good.
#[test]
fn a_rotten_log_makes_a_new_disk_that_keeps_its_chunks() {
    let mut nodes = Nodes::start();
    nodes.client(0).make_bucket();
    nodes.client(0).put("key", &bytes(300_000, 1)).ok();
    nodes.wait_in_sync(2);
    let disk = nodes.status(2).unwrap()["disk"].clone();
    nodes.kill(2);
    flip(&nodes.raft_log(2), 60);
    nodes.run(2);
    nodes.wait_in_sync(2);
    let status = nodes.status(2).unwrap();
    assert_ne!(status["disk"], disk);
    assert_eq!(status["chunks"], 1);
    assert_eq!(
        status["nodes"].as_array().unwrap().len(),
        3,
        "the old disk is gone"
    );
    assert!(!nodes.log(2).contains("Fetching"), "its chunks were kept");
}

#[test]
fn a_wiped_disk_joins_as_a_stranger_and_rebuilds_itself() {
    let mut nodes = Nodes::start();
    nodes.client(0).make_bucket();
    let body = bytes(5_000_000, 1);
    nodes.client(0).put("key", &body).ok();
    nodes.wait_in_sync(1);
    let before = nodes.status(1).unwrap();
    nodes.kill(1);
    nodes.wipe(1);
    nodes.run(1);
    nodes.wait_in_sync(1);
    let after = nodes.status(1).unwrap();
    assert_ne!(after["disk"], before["disk"]);
    assert_eq!(after["cluster"], before["cluster"]);
    assert_eq!(after["chunks"], before["chunks"]);
    let voters: Vec<_> = after["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| &n["disk"])
        .collect();
    assert_eq!(voters.len(), 3);
    assert!(
        !voters.contains(&&before["disk"]),
        "the old disk votes no more"
    );
    // The new disk is a full member: it carries the cluster with one other.
    nodes.kill(0);
    assert!(nodes.client(1).get("key").ok().body == body);
    nodes.client(1).put("key2", b"x").ok();
}

/// Two of three disks are lost: the two empty ones are a majority of the nodes, and must not
/// begin a new history over the third one's.
#[test]
fn a_lost_majority_is_not_founded_anew() {
    let mut nodes = Nodes::start();
    nodes.client(0).make_bucket();
    nodes.client(0).put("key", b"value").ok();
    nodes.wait_in_sync(2);
    let before = nodes.status(2).unwrap();
    for n in 0..3 {
        nodes.kill(n);
    }
    nodes.wipe(0);
    nodes.wipe(1);
    for n in 0..3 {
        nodes.run(n);
    }
    for n in 0..3 {
        nodes.wait("an answer", || nodes.status(n).is_some());
    }
    // It takes a founding about half a second when it is allowed: three is long.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(nodes.status(2).unwrap()["cluster"], before["cluster"]);
    for n in 0..2 {
        let status = nodes.status(n).unwrap();
        assert_eq!(
            (&status["voted"], &status["role"]),
            (&false.into(), &"starting".into())
        );
    }
}

#[test]
fn a_flipped_bit_is_read_around_and_healed() {
    let nodes = Nodes::start();
    nodes.client(0).make_bucket();
    let body = bytes(2_500_000, 1);
    nodes.client(0).put("key", &body).ok();
    nodes.wait_in_sync(0);
    // Within the first chunk's bytes, behind its header.
    flip_in_place(&nodes.segment(0), 64 + 1000);
    assert!(nodes.client(0).get("key").ok().body == body);
    nodes.wait("the repair", || nodes.log(0).contains("Fetching"));
    nodes.wait_in_sync(0);
    assert_eq!(nodes.status(0).unwrap()["chunks"], 3);
}

fn flip_in_place(path: &std::path::Path, at: u64) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}
