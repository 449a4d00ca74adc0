//! Replication, and what is left when nodes die.

use crate::client::bytes;
use crate::nodes::Nodes;

const MIB: usize = 1 << 20;

#[test]
fn basic_replication() {
    let nodes = Nodes::start();
    nodes.client(0).make_bucket();
    let body = bytes(3 * MIB + 17, 1);
    nodes.client(0).put("big", &body).ok();
    nodes.client(1).put("small", b"hello").ok();
    nodes.client(1).put("empty", b"").ok();
    for n in 0..3 {
        assert!(nodes.client(n).get("big").ok().body == body, "node {n}");
        assert_eq!(nodes.client(n).get("small").ok().body, b"hello");
        assert!(nodes.client(n).get("empty").ok().body.is_empty());
        nodes.wait_in_sync(n);
        assert_eq!(
            nodes.status(n).unwrap()["chunks"],
            4,
            "each chunk on each disk"
        );
    }
}

/// 50 MB in parts; a node dies meanwhile; the same bytes come from another node; the node that
/// was away has everything soon after its return.
#[test]
fn a_node_dies_while_50_mb_are_written_and_comes_back() {
    let mut nodes = Nodes::start();
    nodes.client(0).make_bucket();
    let body = bytes(50 * MIB, 2);
    let upload = nodes.client(0).create_upload("file");
    let mut etags = Vec::new();
    for (n, part) in body.chunks(8 * MIB).enumerate() {
        if n == 3 {
            nodes.kill(1);
        }
        etags.push(nodes.client(0).put_part("file", &upload, n + 1, part));
    }
    nodes.client(0).complete("file", &upload, &etags).ok();
    assert!(
        nodes.client(2).get("file").ok().body == body,
        "read during failure"
    );
    assert_ne!(
        nodes.status(0).unwrap()["owed"],
        0,
        "the dead node's copies are owed"
    );
    nodes.run(1);
    nodes.wait_in_sync(1);
    assert_eq!(
        nodes.status(1).unwrap()["chunks"],
        nodes.status(0).unwrap()["chunks"]
    );
    nodes.kill(0);
    assert!(
        nodes.client(1).get("file").ok().body == body,
        "from the one that was away"
    );
}

#[test]
fn without_a_majority_everything_is_refused_and_with_it_goes_on() {
    let mut nodes = Nodes::start();
    nodes.client(0).make_bucket();
    nodes.client(0).put("key", b"value").ok();
    nodes.kill(1);
    nodes.kill(2);
    let client = nodes.client(0);
    std::thread::scope(|scope| {
        let put = scope.spawn(|| nodes.client(0).put("key", b"other"));
        assert_eq!(client.get("key").status, 503);
        assert_eq!(put.join().unwrap().status, 503);
    });
    nodes.run(1);
    nodes.wait("a read", || nodes.client(0).get("key").status == 200);
    nodes.client(1).put("key", b"new").ok();
    assert_eq!(nodes.client(0).get("key").ok().body, b"new");
}

#[test]
fn all_are_killed_at_once_and_nothing_acknowledged_is_lost() {
    let mut nodes = Nodes::start();
    nodes.client(0).make_bucket();
    for key in 0..20_u64 {
        let body = bytes(if key % 2 == 0 { 100 } else { 200_000 }, key);
        nodes
            .client(usize::try_from(key % 3).unwrap())
            .put(&format!("k{key}"), &body)
            .ok();
    }
    for n in 0..3 {
        nodes.kill(n);
    }
    for n in 0..3 {
        nodes.run(n);
    }
    for n in 0..3 {
        nodes.wait_in_sync(n);
    }
    for key in 0..20_u64 {
        let body = bytes(if key % 2 == 0 { 100 } else { 200_000 }, key);
        assert!(
            nodes.client(1).get(&format!("k{key}")).ok().body == body,
            "k{key}"
        );
    }
}

#[test]
fn a_node_that_is_asked_to_end_does_so_in_order() {
    let mut nodes = Nodes::start();
    let leader = nodes.leader();
    assert_eq!(nodes.terminate(leader), Some(0));
    let other = (leader + 1) % 3;
    nodes.wait("another leader", || {
        nodes
            .client(other)
            .send("PUT", "/bucket", "", &[], b"")
            .status
            == 200
    });
}
