//! Mixed load with a kill a minute, for `SOAK_SECONDS` (three minutes, or as many as are asked
//! for): nothing that a client which tries again would show its user, memory that does not grow,
//! and everything as it was left.

use crate::client::{Answer, Client, bytes};
use crate::nodes::Nodes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

/// What SDKs do by themselves: five tries with growing rests, each at the next node.
fn patiently(clients: &[Client], turn: u64, ask: impl Fn(&Client) -> Answer) -> Answer {
    let mut last = None;
    for attempt in 0..5_u64 {
        let at = usize::try_from((turn + attempt) % clients.len() as u64).unwrap();
        let answer = ask(&clients[at]);
        if answer.status < 500 {
            return answer;
        }
        last = Some(answer);
        std::thread::sleep(Duration::from_millis(200 << attempt));
    }
    last.unwrap()
}

/// Resident memory of a node in KiB, if it runs.
fn memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn mixed_load_with_a_kill_a_minute() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(180, |text| text.parse().unwrap());
    let mut nodes = Nodes::start();
    nodes.client(0).make_bucket();
    let stop = AtomicBool::new(false);
    let done = AtomicU64::new(0);
    let mut highest = Vec::new();
    let left: Vec<BTreeMap<String, u64>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4_u64)
            .map(|lane| {
                let clients = [0, 1, 2].map(|n| nodes.client(n));
                let (stop, done) = (&stop, &done);
                scope.spawn(move || work(lane, &clients, stop, done))
            })
            .collect();
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut next_kill = Instant::now() + Duration::from_secs(30);
        let mut victim = 0;
        while Instant::now() < end && !workers.iter().any(ScopedJoinHandle::is_finished) {
            std::thread::sleep(Duration::from_secs(5));
            let now = (0..3).filter_map(|n| memory(nodes.pid(n))).max();
            highest.push(now.unwrap_or(0));
            if Instant::now() >= next_kill {
                nodes.kill(victim);
                std::thread::sleep(Duration::from_secs(2));
                nodes.run(victim);
                victim = (victim + 1) % 3;
                next_kill += Duration::from_secs(60);
            }
        }
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    println!(
        "{} operations; MiB every 5 s: {:?}",
        done.load(Ordering::Relaxed),
        highest.iter().map(|kib| kib >> 10).collect::<Vec<_>>()
    );
    for n in 0..3 {
        nodes.wait_in_sync(n);
    }
    for (at, (key, seed)) in left.iter().flatten().enumerate() {
        let answer = nodes.client(at % 3).get(key).ok();
        assert!(answer.body == body(*seed), "{key}");
    }
    let third = highest.len() / 3;
    let most = |part: &[u64]| part.iter().max().copied().unwrap_or(0);
    let (early, late) = (most(&highest[..third * 2]), most(&highest[third * 2..]));
    assert!(late <= early + early / 3, "{early} KiB, later {late} KiB");
    assert!(late < 160 << 10, "{late} KiB, in a build for debugging");
}

fn body(seed: u64) -> Vec<u8> {
    let size = match seed % 8 {
        0..=4 => 3000,
        5 | 6 => 150_000,
        _ => 2_500_000,
    };
    bytes(size, seed)
}

fn work(
    lane: u64,
    clients: &[Client],
    stop: &AtomicBool,
    done: &AtomicU64,
) -> BTreeMap<String, u64> {
    let mut kept = BTreeMap::new();
    let mut turn = lane << 32;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let key = format!("soak-{lane}-{}", turn % 40);
        let answer = match (kept.get(&key).copied(), turn % 3) {
            (Some(seed), 0) => {
                let answer = patiently(clients, turn, |client| client.get(&key));
                assert!(answer.status != 200 || answer.body == body(seed), "{key}");
                answer
            }
            (Some(_), 1) if turn.is_multiple_of(5) => {
                kept.remove(&key);
                let path = format!("/bucket/{key}");
                patiently(clients, turn, |client| {
                    client.send("DELETE", &path, "", &[], b"")
                })
            }
            _ => {
                kept.insert(key.clone(), turn);
                let body = body(turn);
                patiently(clients, turn, |client| client.put(&key, &body))
            }
        };
        assert!(
            answer.status < 300,
            "{key}: {} {}",
            answer.status,
            answer.text()
        );
        done.fetch_add(1, Ordering::Relaxed);
    }
    kept
}
