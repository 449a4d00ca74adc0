//! Linearizability of single keys while nodes are killed.
//!
//! Each key is a register. Clients write unique values and read; each operation has an interval.
//! The history is linearizable when there is an order of the operations that respects the
//! intervals and in which each read gives what was written last (Wing and Gong's search, with the
//! states seen before remembered). A write without a clear answer may have taken place at any
//! time after its call, or never.

use crate::nodes::Nodes;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Clone, Debug)]
struct Op {
    call: Duration,
    /// None: unknown, it may still take place.
    back: Option<Duration>,
    write: Option<u64>,
    /// What a read gave; 0 for nothing there.
    read: u64,
}

/// Whether there is an order that explains the history of one register, which begins at 0.
fn linearizable(ops: &[Op]) -> bool {
    assert!(ops.len() <= 128, "the search has one bit for each");
    let mut seen = HashSet::new();
    let mut todo = vec![(0_u128, 0_u64)];
    let must: u128 = ops
        .iter()
        .enumerate()
        .filter(|(_, op)| op.back.is_some())
        .fold(0, |bits, (n, _)| bits | 1 << n);
    while let Some((done, value)) = todo.pop() {
        if done & must == must {
            return true;
        }
        if !seen.insert((done, value)) {
            continue;
        }
        // Whatever has not returned before the first open return may come next.
        let first_back = ops
            .iter()
            .enumerate()
            .filter(|(n, _)| done & (1 << n) == 0)
            .filter_map(|(_, op)| op.back)
            .min();
        for (n, op) in ops.iter().enumerate() {
            if done & (1 << n) != 0 || first_back.is_some_and(|back| op.call > back) {
                continue;
            }
            match op.write {
                Some(written) => todo.push((done | 1 << n, written)),
                None if op.read == value => todo.push((done | 1 << n, value)),
                None => {}
            }
        }
    }
    false
}

fn op(call: u64, back: Option<u64>, write: Option<u64>, read: u64) -> Op {
    Op {
        call: Duration::from_millis(call),
        back: back.map(Duration::from_millis),
        write,
        read,
    }
}

#[test]
fn the_check_itself_tells_right_from_wrong() {
    let write = |call, back, value| op(call, back, Some(value), 0);
    let read = |call, back, value| op(call, Some(back), None, value);
    assert!(linearizable(&[write(0, Some(1), 7), read(2, 3, 7)]));
    assert!(
        !linearizable(&[write(0, Some(1), 7), read(2, 3, 0)]),
        "stale"
    );
    assert!(linearizable(&[
        write(0, Some(5), 7),
        read(2, 3, 0),
        read(4, 6, 7)
    ]));
    assert!(
        !linearizable(&[write(0, Some(9), 7), read(1, 2, 7), read(3, 4, 0)]),
        "back in time"
    );
    assert!(linearizable(&[
        write(0, None, 7),
        read(5, 6, 0),
        read(7, 8, 7)
    ]));
    assert!(!linearizable(&[read(5, 6, 9)]), "from nowhere");
}

const KEYS: u64 = 4;

#[test]
fn histories_of_concurrent_clients_with_node_kills_are_linearizable() {
    let mut nodes = Nodes::start();
    nodes.client(0).make_bucket();
    let begun = Instant::now();
    let stop = AtomicBool::new(false);
    let next = AtomicU64::new(1);
    let histories: Vec<(u64, Op)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..6_u64)
            .map(|lane| {
                let clients = [0, 1, 2].map(|n| nodes.client(n));
                let (stop, next) = (&stop, &next);
                scope.spawn(move || {
                    let mut history = Vec::new();
                    let mut turn = lane;
                    while !stop.load(Ordering::Relaxed) && history.len() < 60 {
                        turn += 1;
                        let key = (turn * 7 + lane) % KEYS;
                        let client = &clients[usize::try_from(turn % 3).unwrap()];
                        let name = format!("r{key}");
                        let call = begun.elapsed();
                        let (write, answer) = if turn.is_multiple_of(2) {
                            let value = next.fetch_add(1, Ordering::Relaxed);
                            let body = value.to_string();
                            (Some(value), client.put(&name, body.as_bytes()))
                        } else {
                            (None, client.get(&name))
                        };
                        let back = Some(begun.elapsed());
                        let op = |back, read| Op {
                            call,
                            back,
                            write,
                            read,
                        };
                        match (write, answer.status) {
                            (Some(_), 200) => history.push((key, op(back, 0))),
                            (Some(_), _) => history.push((key, op(None, 0))),
                            (None, 200) => {
                                let read = answer.text().parse().unwrap();
                                history.push((key, op(back, read)));
                            }
                            (None, 404) => history.push((key, op(back, 0))),
                            // A read without an answer says nothing.
                            (None, _) => {}
                        }
                        std::thread::sleep(Duration::from_millis(25));
                    }
                    history
                })
            })
            .collect();
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(600));
            let leader = nodes.leader();
            nodes.kill(leader);
            std::thread::sleep(Duration::from_millis(700));
            nodes.run(leader);
        }
        std::thread::sleep(Duration::from_millis(1500));
        stop.store(true, Ordering::Relaxed);
        let all = workers.into_iter().map(|w| w.join().unwrap());
        all.flatten().collect()
    });
    assert!(histories.len() > 40, "{} operations", histories.len());
    for key in 0..KEYS {
        let ops: Vec<Op> = histories
            .iter()
            .filter(|(of, _)| *of == key)
            .map(|(_, op)| op.clone())
            .collect();
        assert!(linearizable(&ops), "r{key}: {ops:#?}");
    }
}
