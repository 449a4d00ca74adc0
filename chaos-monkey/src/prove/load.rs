//! The load: clients on all nodes that write, read and remove, and write down what they saw.

mod worker;

pub(super) mod meaning;

pub use worker::Worker;

use super::history::{self, History, Value};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The bucket of the proof.
pub const BUCKET: &str = "planaria-prove";
/// Requests about one hot key; then the next one takes its place. Judging a key is exponential in what
/// is under way at once, so its history is kept short.
const HOT_REQUESTS: u64 = 40;

/// What clients share.
pub struct Shared {
    /// When the proof began.
    pub start: Instant,
    /// The first part of every key, so that no earlier proof's objects are met.
    run: String,
    /// Set when the clients are to end.
    pub stop: AtomicBool,
    numbers: AtomicU64,
    processes: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    hot: BTreeMap<u64, Hot>,
    next_hot: u64,
    history: History,
    kept: Vec<Kept>,
    tally: Tally,
}

/// A key that all clients use.
#[derive(Clone, Debug)]
struct Hot {
    key: String,
    left: u64,
    /// What was there when somebody looked last, with its tag: for conditional writes.
    last: Option<(Value, String)>,
}

/// An object that was written once, acknowledged, and is never touched again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its key.
    pub key: String,
    /// What is to be there.
    pub value: Value,
}

/// Counts, per kind of request and per second.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tally {
    /// Answered as promised, by kind.
    pub done: BTreeMap<&'static str, u64>,
    /// Not answered, or answered "later", by kind.
    pub failed: BTreeMap<&'static str, u64>,
    /// Answers that the store should never give.
    pub wrong: Vec<String>,
    /// By second: answered, not answered, milliseconds of each answer.
    pub seconds: BTreeMap<u64, Second>,
    /// Bytes acknowledged.
    pub bytes: u64,
}

/// One second of load.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Second {
    /// Answered.
    pub done: u64,
    /// Not answered.
    pub failed: u64,
    /// How long each answer took, in milliseconds.
    pub ms: Vec<u64>,
}

/// What the clients wrote down.
pub struct Books {
    /// Every request about a hot key.
    pub history: History,
    /// Every object that must be there.
    pub kept: Vec<Kept>,
    /// Counts.
    pub tally: Tally,
}

impl Shared {
    /// At the beginning.
    #[must_use]
    pub fn new(start: Instant, run: String) -> Self {
        Self {
            start,
            run,
            stop: AtomicBool::new(false),
            numbers: AtomicU64::new(1),
            processes: AtomicU64::new(1),
            state: Mutex::new(State::default()),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn value(&self, length: u64) -> Value {
        history::value(self.numbers.fetch_add(1, Ordering::Relaxed), length)
    }

    fn process(&self) -> u64 {
        self.processes.fetch_add(1, Ordering::Relaxed)
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One of the keys that are hot now.
    fn hot(&self, slot: u64) -> Hot {
        self.with(|state| {
            let next = state.next_hot;
            let hot = state.hot.entry(slot).or_insert_with(|| Hot {
                key: format!("{}/hot/{next:06}", self.run),
                left: HOT_REQUESTS,
                last: None,
            });
            if hot.left == HOT_REQUESTS {
                state.next_hot = next + 1;
            }
            hot.left -= 1;
            let copy = hot.clone();
            if hot.left == 0 {
                state.hot.remove(&slot);
            }
            copy
        })
    }

    fn saw(&self, slot: u64, key: &str, value: Option<Value>, tag: Option<String>) {
        self.with(|state| {
            if let Some(hot) = state.hot.get_mut(&slot).filter(|hot| hot.key == key) {
                hot.last = value.zip(tag);
            }
        });
    }

    /// Ends the clients' work and takes what they wrote.
    #[must_use]
    pub fn books(&self) -> Books {
        self.with(|state| Books {
            history: std::mem::take(&mut state.history),
            kept: std::mem::take(&mut state.kept),
            tally: std::mem::take(&mut state.tally),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hot_key_is_used_up_and_followed_by_another() {
        let shared = Shared::new(Instant::now(), "run".to_owned());
        let keys: std::collections::BTreeSet<String> =
            (0..HOT_REQUESTS * 3).map(|_| shared.hot(1).key).collect();
        assert_eq!(keys.len(), 3);
        assert_ne!(shared.hot(0).key, shared.hot(1).key);
    }
}
