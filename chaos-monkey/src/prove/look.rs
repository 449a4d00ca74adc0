//! Looks at the store from outside: is it usable before, is everything there at the end, and the sweep
//! of what the proof wrote.

use super::history::{Entry, History, Op, Ret, Value};
use super::load::meaning::{Meaning, read};
use super::load::{BUCKET, Books, Kept};
use super::s3::{Ask, Client};
use super::{LOOK_WITHIN, ProveError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Looks at the same time.
const LOOKERS: usize = 8;
/// Missing objects that are named.
const NAMED_MAX: usize = 10;
/// When so many looks have shown nothing, the verdict stands, and the others are tried only once: a store that
/// lost thousands of objects is not waited for thousands of times.
const PATIENT_WITH: usize = 2 * NAMED_MAX;
/// Between two tries.
const TRY_EVERY: Duration = Duration::from_millis(200);

/// Why a look showed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// The store did not answer, however often it was asked.
    #[error("no answer in {tries} tries over {after_ms} ms, at last {last}")]
    Silent {
        /// How often it was asked.
        tries: u32,
        /// For how long.
        after_ms: u64,
        /// What came instead.
        last: String,
    },
    /// Other bytes.
    #[error("{0}")]
    Wrong(String),
}

/// What the last looks came to.
pub(super) struct Looks {
    pub(super) count: usize,
    pub(super) wrong: Vec<String>,
}

/// Makes the bucket through each node; a store that has just started may take a while.
pub(super) async fn bucket(clients: &[Client], nodes: &[String]) -> Result<(), ProveError> {
    let until = Instant::now() + LOOK_WITHIN;
    for (client, node) in clients.iter().zip(nodes) {
        loop {
            let asked = client.clone();
            let made = tokio::task::spawn_blocking(move || make_bucket(&asked)).await;
            match made {
                Ok(Ok(())) => break,
                Ok(Err(why)) if Instant::now() > until => {
                    return Err(ProveError::Store {
                        node: node.clone(),
                        why,
                    });
                }
                _ => tokio::time::sleep(Duration::from_millis(500)).await,
            }
        }
    }
    Ok(())
}

fn make_bucket(client: &Client) -> Result<(), String> {
    let path = format!("/{BUCKET}");
    let ask = Ask {
        method: "PUT",
        path: &path,
        ..Ask::default()
    };
    match client.ask(&ask) {
        Ok(answer) if matches!(answer.status, 200 | 409) => Ok(()),
        Ok(answer) => Err(format!("the store answered {}", answer.text())),
        Err(silence) => Err(format!("the store does not answer ({silence})")),
    }
}

/// Reads every kept object and every hot key from every node. What hot keys hold goes into the history.
pub(super) async fn look_everywhere(
    clients: &[Client],
    kept: &[Kept],
    history: &mut History,
    start: Instant,
) -> Looks {
    let mut work: Vec<(usize, String, Option<u64>)> = Vec::new();
    for (node, _) in clients.iter().enumerate() {
        work.extend(kept.iter().map(|it| (node, it.key.clone(), Some(it.value))));
        work.extend(history.0.keys().map(|key| (node, key.clone(), None)));
    }
    let count = work.len();
    let clients = clients.to_vec();
    let looked = tokio::task::spawn_blocking(move || {
        let (clients, work, silent) = (&clients, &work, &AtomicUsize::new(0));
        std::thread::scope(|scope| {
            // In turns: what one bad moment cost lies side by side, and one alone would wait for all of it.
            let threads: Vec<_> = (0..LOOKERS)
                .map(|first| {
                    scope.spawn(move || {
                        let mine = work.iter().skip(first).step_by(LOOKERS);
                        mine.map(|it| look_once(clients, it, start, silent))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|it| it.join().unwrap_or_default())
                .collect::<Vec<_>>()
        })
    })
    .await
    .unwrap_or_default();
    let mut wrong = Vec::new();
    let mut held = std::collections::BTreeMap::new();
    if looked.len() < count {
        wrong.push(format!("{} looks broke off", count - looked.len()));
    }
    // Above every process that the clients had: each look asks once.
    let mut process = u64::MAX / 2;
    for (node, key, expected, seen, asked_ns, at) in looked {
        match (seen, expected) {
            (Ok(value), Some(expected)) if value != Some(expected) => {
                wrong.push(format!("{key}: node {} has {value:?}", node + 1));
            }
            (Ok(_), Some(_)) => {}
            (Ok(value), None) => {
                let answer = Some((at, Ret::Value(value)));
                history.add(
                    &key,
                    Entry {
                        process,
                        node,
                        op: Op::Get,
                        asked_ns,
                        answer,
                    },
                );
                process += 1;
                if *held.entry(key.clone()).or_insert(value) != value {
                    wrong.push(format!(
                        "{key}: the nodes differ, node {} has {value:?}",
                        node + 1
                    ));
                }
            }
            (Err(trouble), _) => wrong.push(format!("{key}: node {}: {trouble}", node + 1)),
        }
    }
    let more = wrong.len().saturating_sub(NAMED_MAX);
    wrong.truncate(NAMED_MAX);
    if more > 0 {
        wrong.push(format!("and {more} more"));
    }
    Looks { count, wrong }
}

type Looked = (
    usize,
    String,
    Option<u64>,
    Result<Option<Value>, Trouble>,
    u64,
    u64,
);

fn look_once(
    clients: &[Client],
    work: &(usize, String, Option<u64>),
    start: Instant,
    silent: &AtomicUsize,
) -> Looked {
    let (node, key, expected) = work;
    let now = || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let begun = Instant::now();
    let mut client = clients.get(*node).cloned();
    let mut tries = 0;
    loop {
        let asked = now();
        tries += 1;
        let seen = match &client {
            Some(client) => look(client, key),
            None => Err(Meaning::Unknown("there is no such node".to_owned())),
        };
        let seen = match seen {
            Ok(value) => Ok(value),
            Err(Meaning::Wrong(text)) => Err(Trouble::Wrong(text)),
            Err(_)
                if begun.elapsed() < LOOK_WITHIN
                    && silent.load(Ordering::Relaxed) < PATIENT_WITH =>
            {
                std::thread::sleep(TRY_EVERY);
                // A connection that died on our side is no fault of the store's.
                client = client.map(|client| client.anew());
                continue;
            }
            Err(last) => {
                silent.fetch_add(1, Ordering::Relaxed);
                Err(Trouble::Silent {
                    tries,
                    after_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
                    last: match last {
                        Meaning::Unknown(why) => why,
                        other => format!("{other:?}"),
                    },
                })
            }
        };
        return (*node, key.clone(), *expected, seen, asked, now());
    }
}

/// Reads one object once, and says what is there; else what came instead.
fn look(client: &Client, key: &str) -> Result<Option<Value>, Meaning> {
    let path = format!("/{BUCKET}/{key}");
    let ask = Ask {
        method: "GET",
        path: &path,
        ..Ask::default()
    };
    match read(&client.ask(&ask), key, None) {
        Meaning::Answer(Ret::Value(value)) => Ok(value),
        other => Err(other),
    }
}

/// Removes what the proof wrote.
pub(super) async fn sweep(clients: &[Client], books: &Books, within: Duration) {
    let keys: Vec<String> = books
        .kept
        .iter()
        .map(|it| it.key.clone())
        .chain(books.history.0.keys().cloned())
        .collect();
    let clients = clients.to_vec();
    let until = Instant::now() + within;
    let swept = tokio::task::spawn_blocking(move || {
        let size = keys.len().div_ceil(LOOKERS).max(1);
        std::thread::scope(|scope| {
            for (part, client) in keys.chunks(size).zip(clients.iter().cycle()) {
                scope.spawn(move || {
                    for key in part.iter().take_while(|_| Instant::now() < until) {
                        remove(client, key);
                    }
                });
            }
        });
    });
    drop(swept.await);
}

/// Removes one object; that it may stay is nobody's harm.
fn remove(client: &Client, key: &str) {
    let path = format!("/{BUCKET}/{key}");
    let ask = Ask {
        method: "DELETE",
        path: &path,
        ..Ask::default()
    };
    drop(client.ask(&ask));
}
