//! How each member does, as the console itself hears and measures it: its heartbeats' rhythm, how fast it
//! answers, its pulse, its disk.

use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Intervals that are remembered per member: about eight minutes.
const INTERVALS_MAX: usize = 256;
/// Members that are remembered; the console shows no more.
const MEMBERS_MAX: usize = 1000;
/// Upper ends of the histogram's bars, in parts of the expected interval; the last bar has no end.
pub const BARS: [f64; 8] = [0.25, 0.5, 0.75, 0.95, 1.05, 1.25, 1.5, 2.0];

/// What a storage node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Storage {
    /// Chunks on its disk.
    pub chunks: u64,
    /// Chunks that lack copies, as this node sees the whole store.
    pub owed: u64,
    /// Bytes of chunks.
    pub bytes: u64,
    /// Free bytes.
    pub free: u64,
    /// It lacks nothing.
    pub in_sync: bool,
    /// Where it stands; copies lie in distinct zones first.
    pub zone: Option<String>,
    /// Buckets of the whole store.
    pub buckets: Option<u64>,
    /// How its scrub stands, where it tells.
    pub scrub: Option<Scrub>,
    /// Chunks of the whole store by their state (`healthy`, `degraded`, `lost`, `repairing`), as this node sees it.
    pub states: BTreeMap<String, u64>,
    /// Other numbers of it that are worth showing, by their metric's name.
    pub more: BTreeMap<String, f64>,
}

/// The reading back of a node's chunks, over and over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Scrub {
    /// Chunks that the round under way has read; 0 between two rounds.
    pub at: u64,
    /// Rounds that have ended since the node's start.
    pub rounds: u64,
    /// Chunks read since then.
    pub read: u64,
}

impl Storage {
    /// How far the round of its scrub is, in percent.
    #[must_use]
    pub fn scrub_percent(&self) -> Option<u64> {
        let at = self.scrub?.at.min(self.chunks);
        (self.chunks > 0).then(|| at.saturating_mul(100) / self.chunks)
    }

    /// How full its disk is, in percent, of what chunks and free space make up together.
    #[must_use]
    pub fn full_percent(&self) -> Option<u64> {
        let whole = self.bytes.saturating_add(self.free);
        (whole > 0).then(|| self.bytes.saturating_mul(100) / whole)
    }
}

/// One member.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Vital {
    /// How long its health server took for its metrics last time.
    pub latency_ms: Option<u64>,
    /// The age of its oldest pulse, as its last heartbeat said.
    pub pulse_age_ms: Option<u64>,
    /// How long it had been up then, in seconds.
    pub up_s: Option<u64>,
    /// How often it was restarted, as seen by its boots.
    pub boots: u32,
    /// The watchdog's last words, and when, in milliseconds since 1970.
    pub last_words: Option<(u64, String)>,
    /// Its part of the store.
    pub storage: Option<Storage>,
    /// Times between its last heartbeats, in milliseconds, oldest first.
    #[serde(skip)]
    pub intervals: VecDeque<u32>,
    #[serde(skip)]
    heard: Option<Duration>,
    #[serde(skip)]
    boot: u64,
}

impl Vital {
    /// A heartbeat came; `at` by the console's own clock that only goes on.
    pub fn heard(&mut self, at: Duration, boot: u64, pulse_age_ms: u64, up_s: u64) {
        if self.boot != boot {
            self.boots += u32::from(self.boot != 0);
            self.boot = boot;
            self.heard = None;
        }
        if let Some(before) = self.heard {
            if self.intervals.len() >= INTERVALS_MAX {
                self.intervals.pop_front();
            }
            let span = at.saturating_sub(before).as_millis();
            self.intervals
                .push_back(u32::try_from(span).unwrap_or(u32::MAX));
        }
        self.heard = Some(at);
        self.pulse_age_ms = Some(pulse_age_ms);
        self.up_s = Some(up_s);
    }

    /// How many intervals fall into each bar of [`BARS`], and beyond.
    #[must_use]
    pub fn histogram(&self, interval: Duration) -> [u32; BARS.len() + 1] {
        let mut bars = [0; BARS.len() + 1];
        let expected = interval.as_secs_f64() * 1000.0;
        for span in &self.intervals {
            let part = f64::from(*span) / expected.max(1.0);
            let at = BARS
                .iter()
                .position(|end| part <= *end)
                .unwrap_or(BARS.len());
            bars[at] += 1;
        }
        bars
    }

    /// The part of its heartbeats that came in time.
    #[must_use]
    pub fn on_time(&self, interval: Duration) -> Option<f64> {
        let all = u32::try_from(self.intervals.len())
            .ok()
            .filter(|all| *all > 0)?;
        let late: u32 = self.histogram(interval)[7..].iter().sum();
        Some(1.0 - f64::from(late) / f64::from(all))
    }
}

/// A score and its parts, each from 0 to 1. For ranking only: no verdict follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Heartbeats in time, and quick answers: 40 %.
    pub network: f64,
    /// Few restarts: 30 %.
    pub uptime: f64,
    /// Room on the disk, a young pulse: 20 %.
    pub resources: f64,
    /// It is where it should be, and lacks nothing: 10 %.
    pub trust: f64,
    /// Together.
    pub whole: f64,
}

impl Score {
    /// Of a member that has been restarted so often within the window, and is well or not.
    #[must_use]
    pub fn of(vital: &Vital, interval: Duration, restarts: u32, limit: u32, well: bool) -> Self {
        let slow = vital
            .latency_ms
            .map_or(0.0, |ms| (to_f64(ms) / 1000.0).min(1.0));
        let network =
            vital.on_time(interval).unwrap_or(1.0) * (1.0 - slow / 2.0) * f64::from(u8::from(well));
        let uptime = 1.0 - (f64::from(restarts) / f64::from(limit.max(1))).min(1.0);
        let full = vital
            .storage
            .as_ref()
            .and_then(Storage::full_percent)
            .map_or(0.0, |percent| to_f64(percent) / 100.0);
        let pulse = vital
            .pulse_age_ms
            .map_or(0.0, |ms| (to_f64(ms) / 10_000.0).min(1.0));
        let resources = 1.0 - full.max(pulse);
        let behind = vital
            .storage
            .as_ref()
            .is_some_and(|storage| !storage.in_sync);
        let trust = if !well || behind { 0.0 } else { 1.0 };
        Self {
            network,
            uptime,
            resources,
            trust,
            whole: 0.4 * network + 0.3 * uptime + 0.2 * resources + 0.1 * trust,
        }
    }
}

/// Of numbers that people read, to a few digits.
#[must_use]
pub fn to_f64(value: u64) -> f64 {
    u32::try_from(value).map_or(f64::from(u32::MAX), f64::from)
}

/// Everyone.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Vitals {
    /// By name.
    pub members: BTreeMap<String, Vital>,
}

impl Vitals {
    /// The entry of a member; `None` where too many are known already.
    pub fn of(&mut self, name: &str) -> Option<&mut Vital> {
        if !self.members.contains_key(name) && self.members.len() >= MEMBERS_MAX {
            return None;
        }
        Some(self.members.entry(name.to_owned()).or_default())
    }

    /// Forgets those that are no members any more.
    pub fn keep(&mut self, known: impl Fn(&str) -> bool) {
        self.members.retain(|name, _| known(name));
    }

    /// Chunks of the whole store in that state, by the node that sees most of them.
    #[must_use]
    pub fn chunks_in(&self, state: &str) -> u64 {
        self.members
            .values()
            .filter_map(|vital| vital.storage.as_ref()?.states.get(state).copied())
            .max()
            .unwrap_or(0)
    }

    /// Buckets, by the node that knows of most.
    #[must_use]
    pub fn buckets(&self) -> Option<u64> {
        self.members
            .values()
            .filter_map(|vital| vital.storage.as_ref()?.buckets)
            .max()
    }

    /// Chunks that lack copies: each node knows the whole store, so the highest number is the newest.
    #[must_use]
    pub fn owed(&self) -> u64 {
        self.members
            .values()
            .filter_map(|vital| Some(vital.storage.as_ref()?.owed))
            .max()
            .unwrap_or(0)
    }
}

/// Further numbers of a node, and the length of their names.
const MORE_MAX: usize = 24;
const NAME_MAX: usize = 100;

/// The states of chunks that the page shows.
pub const STATES: [&str; 4] = ["healthy", "degraded", "lost", "repairing"];

fn is_told(name: &str) -> bool {
    ["planaria_storage_", "planaria_scrub", "planaria_bucket"]
        .iter()
        .any(|start| name.starts_with(start))
}

/// Reads a member's `/metrics` (OpenMetrics text) as far as the page shows it.
#[must_use]
pub fn storage_of(text: &str) -> Option<Storage> {
    let mut storage = Storage::default();
    let mut found = false;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let Ok(number) = value.parse::<f64>() else {
            continue;
        };
        let whole = whole(number);
        match name {
            "planaria_chunks{state=\"stored\"}" => storage.chunks = whole,
            "planaria_repair_queue_chunks" => storage.owed = whole,
            "planaria_disk_chunk_bytes" => storage.bytes = whole,
            "planaria_disk_free_bytes" => storage.free = whole,
            "planaria_buckets" => storage.buckets = Some(whole),
            "planaria_scrub_at_chunks" => storage.scrub.get_or_insert_default().at = whole,
            "planaria_scrubs_total" => storage.scrub.get_or_insert_default().rounds = whole,
            "planaria_scrubbed_chunks_total" => storage.scrub.get_or_insert_default().read = whole,
            "planaria_storage_in_sync" => {
                found = true;
                storage.in_sync = number > 0.0;
            }
            _ if name.starts_with("planaria_chunks{state=\"") => {
                let state = name.split('"').nth(1).unwrap_or_default();
                if STATES.contains(&state) {
                    storage.states.insert(state.to_owned(), whole);
                }
            }
            _ if name.starts_with("planaria_storage_zone{zone=\"") && name.len() < NAME_MAX => {
                storage.zone = name.split('"').nth(1).map(str::to_owned);
            }
            // A few dozen at most; a hostile node cannot fill the page.
            _ if storage.more.len() < MORE_MAX && name.len() < NAME_MAX && is_told(name) => {
                storage.more.insert(name.to_owned(), number);
            }
            _ => {}
        }
    }
    found.then_some(storage)
}

fn whole(number: f64) -> u64 {
    // Numbers of a page, below 2^53; negative and odd ones become nothing.
    if number.is_finite() && number > 0.0 {
        format!("{number:.0}").parse().unwrap_or(u64::MAX)
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rhythm_is_a_histogram_and_a_new_life_begins_anew() {
        let mut vital = Vital::default();
        for second in [0, 2, 4, 6, 11] {
            vital.heard(Duration::from_secs(second), 1, 5, second);
        }
        let bars = vital.histogram(Duration::from_secs(2));
        assert_eq!((bars[4], bars[8]), (3, 1));
        assert_eq!(vital.on_time(Duration::from_secs(2)), Some(0.75));
        vital.heard(Duration::from_secs(60), 2, 5, 0);
        assert_eq!((vital.intervals.len(), vital.boots), (4, 1));
    }

    #[test]
    fn a_nodes_metrics_are_read_and_others_are_none() {
        let text = "# TYPE x gauge\nplanaria_chunks{state=\"stored\"} 12\nplanaria_repair_queue_chunks 3\n\
             planaria_disk_free_bytes 300\nplanaria_disk_chunk_bytes 100\nplanaria_storage_in_sync 1\nplanaria_storage_other 7\n\
             planaria_buckets 2\nplanaria_scrub_at_chunks 9\nplanaria_scrubs_total 4\nplanaria_scrubbed_chunks_total 57\n\
             planaria_chunks{state=\"degraded\"} 2\nplanaria_chunks{state=\"evil\"} 2\nplanaria_storage_zone{zone=\"east\"} 1\n# EOF";
        let storage = storage_of(text).unwrap();
        assert_eq!(
            (storage.chunks, storage.owed, storage.in_sync),
            (12, 3, true)
        );
        assert_eq!(storage.full_percent(), Some(25));
        assert_eq!(storage.more.len(), 1);
        assert_eq!(storage.buckets, Some(2));
        let scrub = Scrub {
            at: 9,
            rounds: 4,
            read: 57,
        };
        assert_eq!(
            (storage.scrub, storage.scrub_percent()),
            (Some(scrub), Some(75))
        );
        assert_eq!(storage.zone.as_deref(), Some("east"));
        assert_eq!(storage.states, BTreeMap::from([("degraded".to_owned(), 2)]));
        assert!(storage_of("planaria_up 1\n").is_none());
        assert!(storage_of("rubbish\n\n{} {} NaN -1").is_none());
    }

    #[test]
    fn the_score_has_its_weights() {
        let well = Score::of(&Vital::default(), Duration::from_secs(2), 0, 5, true);
        assert!((well.whole - 1.0).abs() < 1e-9);
        let out = Score::of(&Vital::default(), Duration::from_secs(2), 5, 5, false);
        assert!((out.whole - 0.2).abs() < 1e-9, "{out:?}");
    }
}
