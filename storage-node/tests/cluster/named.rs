//! The tests that its users named (with `basic_replication` in `failure`), and the worst of each.

use crate::client::bytes;
use crate::nodes::Nodes;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

fn fill(nodes: &Nodes, count: u64) {
    for n in 0..count {
        // Small ones live in the log, larger ones in chunks.
        let body = body(n);
        let client = nodes.client(usize::try_from(n % 2).unwrap());
        client.put(&format!("k{n}"), &body).ok();
    }
}

fn body(n: u64) -> Vec<u8> {
    bytes(if n.is_multiple_of(3) { 500 } else { 90_000 }, n)
}

#[test]
fn failure_detection() {
    let mut nodes = Nodes::start_with(3, &[("PLANARIA_REMOVAL_GRACE_PERIOD", "6s")]);
    nodes.client(0).make_bucket();
    fill(&nodes, 3);
    let one = |nodes: &Nodes, word: &str| -> bool {
        let status = nodes.status(0).unwrap();
        let lines = status["nodes"].as_array().unwrap();
        let line = lines.iter().find(|line| line["name"] == "node-3");
        line.is_some_and(|line| line[word] == true)
    };
    nodes.wait("reachable", || one(&nodes, "reachable"));
    nodes.kill(2);
    nodes.wait("seen as silent", || !one(&nodes, "reachable"));
    nodes.wait("told", || {
        nodes.log(0).contains("Peer node-3 does not answer")
    });
    nodes.wait("placed around", || one(&nodes, "away"));
    nodes.wait("owed", || nodes.status(0).unwrap()["owed"] == 2);
    nodes.run(2);
    nodes.wait("counted again", || {
        one(&nodes, "reachable") && !one(&nodes, "away")
    });
    nodes.wait("told", || nodes.log(0).contains("Peer node-3 came back"));
    nodes.wait_in_sync(0);
}

/// With one dead everything is read and written; with a second, its neighbour, dead too every
/// answer is the whole object or an error, never something short.
#[test]
fn read_during_failure() {
    let mut nodes = Nodes::start();
    nodes.client(0).make_bucket();
    fill(&nodes, 9);
    nodes.kill(1);
    for n in 0..9 {
        let answer = nodes.client(2).get(&format!("k{n}")).ok();
        assert!(answer.body == body(n), "k{n}");
    }
    nodes.client(0).put("new", &body(1)).ok();
    nodes.kill(2);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..4)
            .map(|n| {
                let client = nodes.client(0);
                scope.spawn(move || (n, client.get(&format!("k{n}"))))
            })
            .collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for (n, answer) in answers {
        match answer.status {
            200 => assert!(answer.body == body(n), "k{n} is not what was put"),
            503 => assert!(answer.text().contains("try again"), "{}", answer.text()),
            other => panic!("k{n}: {other} {}", answer.text()),
        }
    }
}

/// A node that missed 300 objects, overwritten and deleted ones among them, has the very chunks of
/// the others soon after its start.
#[test]
fn recovery_with_resync() {
    let mut nodes = Nodes::start();
    nodes.client(0).make_bucket();
    fill(&nodes, 6);
    nodes.wait_in_sync(2);
    nodes.kill(2);
    std::thread::scope(|scope| {
        for lane in 0..6_u64 {
            let nodes = &nodes;
            scope.spawn(move || {
                let client = nodes.client(usize::try_from(lane % 2).unwrap());
                for n in 0..50 {
                    let n = 6 + lane * 50 + n;
                    client.put(&format!("k{n}"), &body(n)).ok();
                }
            });
        }
    });
    for key in ["k1", "k7"] {
        let path = format!("/bucket/{key}");
        nodes.client(0).send("DELETE", &path, "", &[], b"").ok();
    }
    nodes.run(2);
    nodes.wait_in_sync(2);
    nodes.wait("the same chunks", || {
        let digest = |n| nodes.status(n).map(|status| status["digest"].clone());
        digest(0) == digest(2) && digest(1) == digest(2)
    });
    nodes.kill(0);
    nodes.wait("reads", || nodes.client(2).get("k0").status == 200);
    for n in [0, 2, 50, 155, 305] {
        let answer = nodes.client(2).get(&format!("k{n}")).ok();
        assert!(answer.body == body(n), "k{n}");
    }
    assert_eq!(nodes.client(2).get("k7").status, 404);
}

/// One replica of every chunk is damaged, on whichever disk: the scrub finds every one, and all
/// three copies of all are good again.
#[test]
fn a_flipped_bit_in_one_replica_of_every_chunk_is_found_and_healed() {
    let nodes = Nodes::start();
    nodes.client(0).make_bucket();
    let whole = bytes(5 << 20, 77);
    nodes.client(0).put("big", &whole).ok();
    fill(&nodes, 12);
    for n in 0..3 {
        nodes.wait_in_sync(n);
    }
    let chunks = nodes.status(0).unwrap()["chunks"].as_u64().unwrap();
    assert_eq!(chunks, 5 + 8);
    let flipped: u64 = (0..3).map(|n| flip_every_third(&nodes, n)).sum();
    assert_eq!(flipped, chunks);
    for n in 0..3 {
        nodes.verb(n, &["scrub", "--wait"]).unwrap();
    }
    let found = || -> usize {
        (0..3)
            .map(|n| nodes.log(n).matches("a copy is damaged").count())
            .sum()
    };
    assert_eq!(found() as u64, chunks);
    for n in 0..3 {
        nodes.wait_in_sync(n);
        nodes.wait("all copies", || {
            nodes.status(n).unwrap()["chunks"] == chunks
        });
        nodes.verb(n, &["scrub", "--wait"]).unwrap();
    }
    assert_eq!(found() as u64, chunks, "nothing is damaged any more");
    assert!(nodes.client(1).get("big").ok().body == whole);
}

/// Flips a bit in the bytes of those chunks whose name says that it is this node's turn.
fn flip_every_third(nodes: &Nodes, n: usize) -> u64 {
    use std::os::unix::fs::FileExt;
    const HEADER: usize = 64;
    let mut flipped = 0;
    for path in nodes.segments(n) {
        let content = std::fs::read(&path).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let mut at = 0;
        while content.get(at..at + 4) == Some(b"PLC1") {
            let len = u32::from_be_bytes(content[at + 8..at + 12].try_into().unwrap()) as usize;
            if usize::from(content[at + 20]) % 3 == n {
                let place = at + HEADER + len / 2;
                file.write_all_at(&[content[place] ^ 1], place as u64)
                    .unwrap();
                flipped += 1;
            }
            at += HEADER + len;
        }
    }
    flipped
}

/// All three are killed at once while six clients write through them: what was acknowledged is
/// there afterwards.
#[test]
fn a_power_cut_of_all_three_under_load_loses_nothing_acknowledged() {
    let mut nodes = Nodes::start();
    nodes.client(0).make_bucket();
    let stop = AtomicBool::new(false);
    let count = AtomicU64::new(0);
    let acknowledged: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..6_u64)
            .map(|lane| {
                let client = nodes.client(usize::try_from(lane % 3).unwrap());
                let (stop, count) = (&stop, &count);
                scope.spawn(move || {
                    let mut done = Vec::new();
                    for n in (lane * 1000)..(lane + 1) * 1000 {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        if client.put(&format!("k{n}"), &body(n)).status == 200 {
                            done.push(n);
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    done
                })
            })
            .collect();
        nodes.wait("forty writes", || count.load(Ordering::Relaxed) >= 40);
        for n in 0..3 {
            // The signal only: all within a millisecond.
            signal(nodes.pid(n));
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    for n in 0..3 {
        nodes.kill(n);
        nodes.run(n);
    }
    for n in 0..3 {
        nodes.wait_in_sync(n);
    }
    let acknowledged: Vec<u64> = acknowledged.into_iter().flatten().collect();
    assert!(acknowledged.len() >= 40, "{} writes", acknowledged.len());
    for (at, n) in acknowledged.iter().enumerate() {
        let answer = nodes.client(at % 3).get(&format!("k{n}")).ok();
        assert!(answer.body == body(*n), "k{n}");
    }
}

fn signal(pid: u32) {
    let done = std::process::Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status();
    assert!(done.unwrap().success());
}

/// A download whose copies are lost on the way breaks off: what came is told from the whole.
#[test]
fn a_download_that_cannot_be_finished_is_no_success() {
    let mut nodes = Nodes::start();
    nodes.client(0).make_bucket();
    let whole = bytes(6 << 20, 5);
    nodes.client(0).put("big", &whole).ok();
    for n in 0..3 {
        nodes.wait_in_sync(n);
    }
    nodes.kill(2);
    // Every copy but the first chunk's is damaged on both that are left.
    for n in 0..2 {
        damage_behind_the_first(&nodes, n, &whole[..1 << 20]);
    }
    let answer = nodes.client(0).get("big");
    assert!(
        matches!(answer.status, 598 | 503),
        "{} with {} bytes",
        answer.status,
        answer.body.len()
    );
    // The copies of the third disk bring all of it back.
    nodes.run(2);
    nodes.wait("the whole", || nodes.client(0).get("big").body == whole);
}

fn damage_behind_the_first(nodes: &Nodes, n: usize, first: &[u8]) {
    use std::os::unix::fs::FileExt;
    for path in nodes.segments(n) {
        let content = std::fs::read(&path).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let mut at = 0;
        while content.get(at..at + 4) == Some(b"PLC1") {
            let len = u32::from_be_bytes(content[at + 8..at + 12].try_into().unwrap()) as usize;
            let body = at + 64;
            if content[body..body + len] != *first && len > 0 {
                file.write_all_at(&[content[body] ^ 1], body as u64)
                    .unwrap();
            }
            at = body + len;
        }
    }
}
