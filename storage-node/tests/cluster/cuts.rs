//! Networks that fall silent, and leaders that freeze: every request is answered, by the object or
//! by an error that clients try again, and what is whole again answers again.

use crate::nodes::{Node, Nodes};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

/// What stands before a node's peer port, and may hold what goes through it.
#[derive(Default)]
struct Road {
    /// Connections of an earlier age hold everything for ever, and stay open.
    age: AtomicU64,
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Held {
    to_node: bool,
    from_node: bool,
}

impl Road {
    /// Listens at the node's known address. The thread ends with the process.
    fn open(node: &Node) -> Arc<Self> {
        let road = Arc::new(Self::default());
        let listener = TcpListener::bind(&node.known_as).unwrap();
        let (shared, target) = (Arc::clone(&road), node.peer.clone());
        std::thread::spawn(move || {
            for inward in listener.incoming() {
                let Ok(inward) = inward else { continue };
                let Ok(outward) = TcpStream::connect(&target) else {
                    continue;
                };
                for (from, to, towards) in [(&inward, &outward, true), (&outward, &inward, false)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let road = Arc::clone(&shared);
                    let age = road.age.load(Ordering::SeqCst);
                    std::thread::spawn(move || road.carry(from, to, towards, age));
                }
            }
        });
        road
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, towards: bool, age: u64) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let mut held = self.held.lock().unwrap();
            while age != self.age.load(Ordering::SeqCst)
                || (if towards {
                    held.to_node
                } else {
                    held.from_node
                })
            {
                held = self.changed.wait(held).unwrap();
            }
            drop(held);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }

    /// All connections there are fall silent for ever; new ones work.
    fn age(&self) {
        self.age.fetch_add(1, Ordering::SeqCst);
    }

    fn hold(&self, held: Held) {
        *self.held.lock().unwrap() = held;
        self.changed.notify_all();
    }
}

fn with_roads() -> (Nodes, Vec<Arc<Road>>) {
    let mut roads = Vec::new();
    let nodes = Nodes::start_behind(3, |node| roads.push(Road::open(node)));
    (nodes, roads)
}

/// An address was taken away: connections stay open on both sides and carry nothing more.
#[test]
fn connections_that_fell_silent_are_made_again() {
    let (nodes, roads) = with_roads();
    nodes.client(0).make_bucket();
    nodes.client(0).put("key", b"value").ok();
    for round in 0..2 {
        for road in &roads {
            road.age();
        }
        for n in 0..3 {
            nodes.wait("an answer", || {
                let answer = nodes.client(n).get("key");
                assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
                answer.status == 200
            });
        }
        nodes.wait("a write", || {
            nodes.client(round).put("key", b"value").status == 200
        });
    }
    for n in 0..3 {
        nodes.wait_in_sync(n);
    }
}

/// A node hears and is not heard, or the other way round: the others go on, it answers too, and it
/// is one of them again when the cut is over.
#[test]
fn a_one_way_cut_is_answered_and_over_when_it_is_over() {
    let (nodes, roads) = with_roads();
    nodes.client(0).make_bucket();
    nodes.client(0).put("key", b"before").ok();
    let one_way = [
        Held {
            to_node: true,
            from_node: false,
        },
        Held {
            to_node: false,
            from_node: true,
        },
    ];
    for (round, held) in one_way.into_iter().enumerate() {
        // The leader in one round, a follower in the other.
        let cut = (nodes.leader() + round) % 3;
        roads[cut].hold(held);
        let value = format!("round {round}").into_bytes();
        let other = (cut + 1) % 3;
        nodes.wait("a write by the others", || {
            nodes.client(other).put("key", &value).status == 200
        });
        let answer = nodes.client(cut).get("key");
        assert!(
            answer.status == 503 || answer.body == value,
            "{} {}",
            answer.status,
            answer.text()
        );
        assert!(nodes.client((cut + 2) % 3).get("key").ok().body == value);
        roads[cut].hold(Held::default());
        nodes.wait("its answer", || nodes.client(cut).get("key").body == value);
    }
    for n in 0..3 {
        nodes.wait_in_sync(n);
    }
}

/// A leader that is frozen and thawed answers with what the others wrote meanwhile, or not at all.
#[test]
fn a_frozen_leader_is_replaced_and_never_answers_with_what_is_old() {
    let nodes = Nodes::start();
    nodes.client(0).make_bucket();
    for round in 0..2 {
        nodes.wait("a write", || {
            nodes.client(0).put("key", b"old").status == 200
        });
        let frozen = nodes.leader();
        nodes.signal(frozen, "STOP");
        let new = format!("new {round}").into_bytes();
        let others = [(frozen + 1) % 3, (frozen + 2) % 3];
        nodes.wait("a write by the others", || {
            let put = nodes.client(others[0]).put("key", &new);
            assert!(matches!(put.status, 200 | 503), "{}", put.text());
            put.status == 200
        });
        for n in others {
            assert!(nodes.client(n).get("key").ok().body == new, "node {n}");
        }
        let thawed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Asked while it is frozen: the answer comes after the thaw.
            let asked = scope.spawn(|| {
                let answer = nodes.client(frozen).get("key");
                assert!(thawed.load(Ordering::SeqCst));
                answer
            });
            std::thread::sleep(std::time::Duration::from_millis(200));
            thawed.store(true, Ordering::SeqCst);
            nodes.signal(frozen, "CONT");
            let answer = asked.join().unwrap();
            assert!(
                answer.status == 503 || answer.body == new,
                "{} {}",
                answer.status,
                answer.text()
            );
        });
        nodes.wait("its answer", || {
            let answer = nodes.client(frozen).get("key");
            assert!(
                answer.status == 503 || answer.body == new,
                "{}",
                answer.text()
            );
            answer.status == 200
        });
    }
}
