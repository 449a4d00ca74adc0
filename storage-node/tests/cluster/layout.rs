//! Disks that come, go, and stay away, under load.

use crate::client::bytes;
use crate::nodes::Nodes;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const OBJECTS: u64 = 48;

fn body(n: u64) -> Vec<u8> {
    bytes(60_000, n)
}

fn fill(nodes: &Nodes) {
    nodes.client(0).make_bucket();
    std::thread::scope(|scope| {
        for lane in 0..4 {
            scope.spawn(move || {
                for n in (lane..OBJECTS).step_by(4) {
                    nodes.client(0).put(&format!("k{n}"), &body(n)).ok();
                }
            });
        }
    });
}

/// How many chunks the nodes say that they have fetched.
fn fetched(nodes: &Nodes) -> u64 {
    (0..nodes.all.len())
        .flat_map(|n| {
            let log = nodes.log(n);
            let counts: Vec<u64> = log
                .split("\"fetched ")
                .chain(log.split(" fetched "))
                .skip(1)
                .filter_map(|rest| rest.split(' ').next()?.parse().ok())
                .collect();
            counts
        })
        .sum()
}

fn node(nodes: &Nodes, name: &str) -> Option<Value> {
    let layout = nodes.verb(0, &["layout", "show"]).ok()?;
    let found = layout["nodes"].as_array()?.iter();
    found.into_iter().find(|line| line["name"] == name).cloned()
}

fn copies(nodes: &Nodes, of: &[usize]) -> u64 {
    of.iter()
        .map(|n| {
            nodes
                .status(*n)
                .map_or(0, |status| status["chunks"].as_u64().unwrap())
        })
        .sum()
}

/// A fourth node is added, one of the first three is emptied and taken out, while clients write
/// and read: no request fails, and hardly more is copied than has to be.
#[test]
fn a_fourth_node_is_added_and_one_drained_and_removed_under_load() {
    let mut nodes = Nodes::start();
    fill(&nodes);
    nodes.wait_in_sync(0);
    let stop = AtomicBool::new(false);
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let clients = [nodes.client(0), nodes.client(1)];
        for (lane, client) in clients.into_iter().enumerate() {
            let (stop, done) = (&stop, &done);
            scope.spawn(move || {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    n += 1;
                    // In the log: the load's own chunks are not part of what is counted.
                    let key = format!("load-{lane}-{}", n % 7);
                    let value = format!("{n}").into_bytes();
                    client.put(&key, &value).ok();
                    assert_eq!(client.get(&key).ok().body, value);
                    let old = n % OBJECTS;
                    assert!(client.get(&format!("k{old}")).ok().body == body(old));
                    done.fetch_add(3, Ordering::Relaxed);
                }
            });
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            change(&mut nodes);
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    assert!(done.load(Ordering::Relaxed) > 10);
    // The removed one is gone for good, and everything is there.
    assert!(node(&nodes, "node-3").is_none());
    for n in 0..OBJECTS {
        assert!(nodes.client(3).get(&format!("k{n}")).ok().body == body(n));
    }
}

fn change(nodes: &mut Nodes) {
    let fourth = nodes.add();
    nodes.wait(
        "the fourth has its share and the others no more than theirs",
        || {
            // What is copied is told at the end of a round, which may be seconds after the copies are there.
            let share = nodes.status(3).and_then(|status| status["chunks"].as_u64());
            copies(nodes, &[0, 1, 2, 3]) == OBJECTS * 3
                && share.is_some_and(|share| share > 0 && fetched(nodes) >= share)
                && nodes
                    .status(0)
                    .is_some_and(|status| status["in_sync"] == true)
        },
    );
    let share = nodes.status(fourth).unwrap()["chunks"].as_u64().unwrap();
    let moved = fetched(nodes);
    assert!(
        moved * 10 <= share * 12,
        "{moved} chunks were copied for a share of {share}"
    );
    // What it holds is told by its own sign of life, which may be a second old.
    let held = std::cell::Cell::new(0);
    nodes.wait("a dry run tells how much is to be moved", || {
        let now = node(nodes, "node-3").and_then(|line| line["chunks"].as_u64());
        held.set(now.unwrap_or(0));
        let told = nodes.verb(0, &["layout", "drain", "node-3", "--dry-run"]);
        told.is_ok_and(|told| held.get() > 0 && told["copies"].as_u64() == Some(held.get()))
    });
    let held = held.get();
    let refused = nodes.verb(0, &["layout", "remove", "node-3"]).unwrap_err();
    assert!(refused.contains("drain it first"), "{refused}");
    nodes.verb(0, &["layout", "drain", "node-3"]).unwrap();
    nodes.wait("node-3 is empty", || {
        node(nodes, "node-3").is_some_and(|line| line["chunks"] == 0)
            && nodes.status(0).is_some_and(|status| status["owed"] == 0)
    });
    let drained = fetched(nodes) - moved;
    assert!(
        drained * 10 <= held * 12,
        "{drained} chunks were copied to empty a disk of {held}"
    );
    nodes.verb(0, &["layout", "remove", "node-3"]).unwrap();
    nodes.wait("three voters", || {
        nodes.status(1).is_some_and(|status| {
            status["nodes"].as_array().unwrap().len() == 3 && status["leader"].is_string()
        })
    });
    nodes.kill(2);
}

/// A disk that stays away: what it held is made elsewhere; when it is back, what is too much goes.
#[test]
fn what_an_absent_disk_held_is_made_elsewhere_and_the_surplus_goes() {
    let mut nodes = Nodes::start_with(4, &[("PLANARIA_REMOVAL_GRACE_PERIOD", "6s")]);
    fill(&nodes);
    nodes.wait_in_sync(0);
    let before = nodes.status(3).unwrap()["chunks"].as_u64().unwrap();
    assert!(before > 0);
    nodes.kill(3);
    nodes.wait("three copies on three disks", || {
        copies(&nodes, &[0, 1, 2]) == OBJECTS * 3 && nodes.status(0).unwrap()["owed"] == 0
    });
    nodes.run(3);
    // Three copies alone say little: as long as it holds none, the other three have them.
    nodes.wait("three copies on four disks, and its own there", || {
        copies(&nodes, &[0, 1, 2, 3]) == OBJECTS * 3
            && nodes
                .status(3)
                .is_some_and(|status| status["chunks"] == before)
    });
    for n in 0..4 {
        nodes.wait_in_sync(n);
    }
    for n in 0..OBJECTS {
        assert!(nodes.client(3).get(&format!("k{n}")).ok().body == body(n));
    }
}

/// Four nodes in two zones: no chunk has all its copies in one.
#[test]
fn copies_lie_in_distinct_zones() {
    let nodes = Nodes::start_with(4, &[("PLANARIA_REPLICATION_FACTOR", "2")]);
    for (name, zone) in [
        ("node-1", "east"),
        ("node-2", "east"),
        ("node-3", "west"),
        ("node-4", "west"),
    ] {
        nodes.verb(0, &["layout", "zone", name, zone]).unwrap();
    }
    fill(&nodes);
    let balanced = || copies(&nodes, &[0, 1]) == OBJECTS && copies(&nodes, &[2, 3]) == OBJECTS;
    nodes.wait("one copy in each zone", balanced);
}
