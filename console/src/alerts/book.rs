//! The book of alerts: conditions in, changes out. Pure; times are handed in.
//!
//! ```text
//!          holds for `settle`            its cause ended
//! pending ───────────────────▶ open ──────────────────────▶ over ──┐ (low, medium: at once;
//!    │                          │ a person                         │  else looked at, or an hour)
//!    │ explained by another     ▼                                  ▼
//!    └─▶ folded into it     acknowledged ──────────────────────▶ resolved
//! ```

use super::cause::Condition;
use super::{FOLDED_MAX, Folded, Record, State, cut};
use planaria_core::message::Severity;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What ended so lately still explains what shows now.
const EXPLAINS_FOR: Duration = Duration::from_secs(20);
/// What was opened so lately is folded when its cause shows.
const FOLDS_BACK: Duration = Duration::from_secs(20);
/// A cause must be gone for so long: what flickers is one alert.
const GONE_FOR: Duration = Duration::from_secs(3);
/// The same root again within this time is the same alert.
const AGAIN_WITHIN: Duration = Duration::from_secs(120);
/// What is over and grave waits so long for somebody to look.
const WAITS_FOR: Duration = Duration::from_secs(3600);
/// Alerts that are kept in memory; resolved ones go first.
pub const KEPT_MAX: usize = 200;
/// Conditions that are watched at once.
const PENDING_MAX: usize = 1000;
/// Who does what happens by itself.
const SELF: &str = "console";

/// A moment, by two clocks: one that only goes on, for decisions, and one for people.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Since the start of the process.
    pub mono: Duration,
    /// Milliseconds since 1970.
    pub wall_ms: u64,
}

/// What changed, for the store and the routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The alert as it is now.
    pub record: Record,
    /// What is worth telling; `None`: only to be kept.
    pub news: Option<News>,
}

/// What is worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It is new, came again, or became graver.
    Opened,
    /// It is over, or was resolved.
    Ended,
}

#[derive(Debug)]
struct Pending {
    since: Duration,
    gone: Option<Duration>,
    record: Option<u64>,
    /// The record that it was folded into.
    folded: Option<u64>,
}

/// All alerts that matter now.
#[derive(Debug, Default)]
pub struct Book {
    records: BTreeMap<u64, Record>,
    pending: BTreeMap<String, Pending>,
    /// When the cause of a record was last there, by this process' clock.
    seen: BTreeMap<u64, Duration>,
    silences: BTreeMap<String, u64>,
    last_id: u64,
}

impl Book {
    /// Goes on from what was kept.
    #[must_use]
    pub fn new(records: Vec<Record>, last_id: u64, silences: BTreeMap<String, u64>) -> Self {
        let mut book = Self {
            last_id,
            silences,
            ..Self::default()
        };
        for record in records {
            book.last_id = book.last_id.max(record.id);
            if record.active && record.state != State::Resolved {
                // Whether its cause still holds shows within the settling time.
                let pending = Pending {
                    since: Duration::ZERO,
                    gone: None,
                    record: Some(record.id),
                    folded: None,
                };
                book.pending.insert(record.root.clone(), pending);
            }
            book.records.insert(record.id, record);
        }
        book
    }

    /// Every alert that is kept: the gravest of those not resolved first, then the newest.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        let mut all: Vec<Record> = self.records.values().cloned().collect();
        all.sort_by_key(|record| {
            (
                record.state == State::Resolved,
                std::cmp::Reverse((
                    if record.state == State::Resolved {
                        Severity::Low
                    } else {
                        record.severity
                    },
                    record.opened_ms,
                )),
            )
        });
        all
    }

    /// Takes in what is wrong at this moment.
    pub fn observe(&mut self, now: Now, conditions: &[Condition]) -> Vec<Change> {
        let mut changes = Vec::new();
        let present: BTreeSet<&str> = conditions.iter().map(|one| one.root.as_str()).collect();
        for one in conditions {
            if !self.pending.contains_key(&one.root) && self.pending.len() >= PENDING_MAX {
                continue;
            }
            let pending = self.pending.entry(one.root.clone()).or_insert(Pending {
                since: now.mono,
                gone: None,
                record: None,
                folded: None,
            });
            pending.gone = None;
        }
        // Roots before what they explain, so that a cause and its symptoms in one moment are one alert.
        let mut order: Vec<&Condition> = conditions.iter().collect();
        order.sort_by_key(|one| !one.explained_by.is_empty());
        for one in order {
            changes.extend(self.weigh(now, one, &present));
        }
        changes.extend(self.endings(now, &present));
        changes
    }

    fn weigh(&mut self, now: Now, one: &Condition, present: &BTreeSet<&str>) -> Option<Change> {
        let pending = self.pending.get(&one.root)?;
        if let Some(id) = pending.record {
            self.seen.insert(id, now.mono);
            return self.graver(now, id, one);
        }
        // A cause that is itself still settling will take this in when it opens.
        let waits = one
            .explained_by
            .iter()
            .any(|root| present.contains(root.as_str()));
        if let Some(id) = self.explanation(now, one) {
            let first = self
                .pending
                .get_mut(&one.root)
                .is_some_and(|pending| pending.folded.replace(id) != Some(id));
            return if first { self.fold(now, id, one) } else { None };
        }
        if waits || now.mono.saturating_sub(self.pending.get(&one.root)?.since) < one.settle {
            return None;
        }
        let id = self.open(now, one);
        if let Some(pending) = self.pending.get_mut(&one.root) {
            pending.record = Some(id);
        }
        self.seen.insert(id, now.mono);
        self.fold_back(now, id, one)
    }

    /// The open alert, or the one just over, that explains this.
    fn explanation(&self, now: Now, one: &Condition) -> Option<u64> {
        let explains = |record: &&Record| {
            one.explained_by.contains(&record.root)
                && self
                    .seen
                    .get(&record.id)
                    .is_some_and(|seen| now.mono.saturating_sub(*seen) < EXPLAINS_FOR)
        };
        self.records
            .values()
            .rev()
            .find(explains)
            .map(|record| record.id)
    }

    fn fold(&mut self, now: Now, id: u64, one: &Condition) -> Option<Change> {
        let record = self.records.get_mut(&id)?;
        if record.members.iter().any(|member| member.root == one.root)
            || record.members.len() >= FOLDED_MAX
        {
            return None;
        }
        record.members.push(Folded {
            root: one.root.clone(),
            name: one.name.as_deref().map(cut),
            text: cut(&one.text),
            at_ms: now.wall_ms,
        });
        record.updated_ms = now.wall_ms;
        Some(Change {
            record: record.clone(),
            news: None,
        })
    }

    /// The same root again: the alert that is there, else a new one.
    fn open(&mut self, now: Now, one: &Condition) -> u64 {
        let again = self.records.values_mut().rev().find(|record| {
            let lately = now.wall_ms.abs_diff(record.updated_ms) < millis(AGAIN_WITHIN);
            record.root == one.root && (record.state != State::Resolved || lately)
        });
        if let Some(record) = again {
            record.count = record.count.saturating_add(1);
            record.active = true;
            record.ended_ms = None;
            record.severity = record.severity.max(one.severity);
            record.text = cut(&one.text);
            if record.state == State::Resolved {
                record.state = State::Open;
            }
            record.tell(now.wall_ms, SELF, "again", &one.text);
            return record.id;
        }
        self.last_id += 1;
        let mut record = Record {
            id: self.last_id,
            root: one.root.clone(),
            kind: one.kind.clone(),
            severity: one.severity,
            name: one.name.as_deref().map(cut),
            text: cut(&one.text),
            state: State::Open,
            active: true,
            opened_ms: now.wall_ms,
            updated_ms: now.wall_ms,
            ended_ms: None,
            count: 1,
            members: Vec::new(),
            history: Vec::new(),
            silenced_until_ms: self.silences.get(&one.root).copied(),
        };
        record.tell(now.wall_ms, SELF, "opened", &one.text);
        self.records.insert(record.id, record);
        self.last_id
    }

    /// What was opened just before its cause showed goes into it.
    fn fold_back(&mut self, now: Now, id: u64, cause: &Condition) -> Option<Change> {
        let folded: Vec<u64> = self
            .records
            .values()
            .filter(|record| {
                record.id != id
                    && record.state == State::Open
                    && is_symptom(&record.kind)
                    && is_cause(&cause.root)
                    && now.wall_ms.saturating_sub(record.opened_ms) < millis(FOLDS_BACK)
            })
            .map(|record| record.id)
            .collect();
        for other in folded {
            let Some(record) = self.records.remove(&other) else {
                continue;
            };
            if let Some(pending) = self.pending.get_mut(&record.root) {
                pending.record = None;
                pending.folded = Some(id);
            }
            if let Some(root) = self.records.get_mut(&id) {
                root.members.push(Folded {
                    root: record.root,
                    name: record.name,
                    text: record.text,
                    at_ms: record.opened_ms,
                });
            }
        }
        Some(Change {
            record: self.records.get(&id)?.clone(),
            news: Some(News::Opened),
        })
    }

    fn graver(&mut self, now: Now, id: u64, one: &Condition) -> Option<Change> {
        let record = self.records.get_mut(&id)?;
        if record.state == State::Resolved {
            // Somebody resolved it while its cause still holds: told again when it comes anew.
            return None;
        }
        let mut news = None;
        if !record.active {
            record.active = true;
            record.ended_ms = None;
            record.count = record.count.saturating_add(1);
            record.tell(now.wall_ms, SELF, "again", &one.text);
            news = Some(News::Opened);
        }
        if record.severity < one.severity {
            record.severity = one.severity;
            record.text = cut(&one.text);
            record.tell(now.wall_ms, SELF, "graver", &one.text);
            news = Some(News::Opened);
        }
        news.map(|news| Change {
            record: record.clone(),
            news: Some(news),
        })
    }

    fn endings(&mut self, now: Now, present: &BTreeSet<&str>) -> Vec<Change> {
        let mut ended = Vec::new();
        self.pending.retain(|root, pending| {
            if present.contains(root.as_str()) {
                return true;
            }
            let gone = *pending.gone.get_or_insert(now.mono);
            let over = now.mono.saturating_sub(gone) >= GONE_FOR || pending.record.is_none();
            if over {
                ended.extend(pending.record);
            }
            !over
        });
        let mut changes: Vec<Change> = ended
            .into_iter()
            .filter_map(|id| self.end(now, id))
            .collect();
        let waited: Vec<u64> = self
            .records
            .values()
            .filter(|record| {
                let since = record.ended_ms.unwrap_or(u64::MAX);
                record.state != State::Resolved
                    && !record.active
                    && now.wall_ms.saturating_sub(since) >= millis(WAITS_FOR)
            })
            .map(|record| record.id)
            .collect();
        for id in waited {
            if let Some(record) = self.records.get_mut(&id) {
                record.state = State::Resolved;
                record.tell(now.wall_ms, SELF, "resolved", "It was over for an hour.");
                changes.push(Change {
                    record: record.clone(),
                    news: None,
                });
            }
        }
        self.forget();
        changes
    }

    /// The cause of an alert is gone.
    pub fn end(&mut self, now: Now, id: u64) -> Option<Change> {
        let record = self.records.get_mut(&id)?;
        if !record.active {
            return None;
        }
        record.active = false;
        record.ended_ms = Some(now.wall_ms);
        record.tell(now.wall_ms, SELF, "ended", "Its cause is gone.");
        if record.severity < Severity::High || record.state == State::Acknowledged {
            record.state = State::Resolved;
        }
        Some(Change {
            record: record.clone(),
            news: Some(News::Ended),
        })
    }

    /// A person's act on an alert: `None` where there is none of that number.
    pub fn act(&mut self, now: Now, id: u64, who: &str, act: &Act) -> Option<Change> {
        let record = self.records.get_mut(&id)?;
        let mut news = None;
        match act {
            Act::Acknowledge => {
                record.state = if record.active {
                    State::Acknowledged
                } else {
                    State::Resolved
                };
                record.tell(now.wall_ms, who, "acknowledged", "");
            }
            Act::Resolve => {
                if record.state != State::Resolved {
                    news = Some(News::Ended);
                }
                record.state = State::Resolved;
                record.tell(now.wall_ms, who, "resolved", "");
                // Where its cause still holds it is told again only when it comes anew.
                record.active = false;
                record.ended_ms = record.ended_ms.or(Some(now.wall_ms));
            }
            Act::Note(text) => record.tell(now.wall_ms, who, "note", text),
            Act::Silence(until_ms) => {
                record.silenced_until_ms = (*until_ms > now.wall_ms).then_some(*until_ms);
                let said = match record.silenced_until_ms {
                    Some(_) => "silenced",
                    None => "unsilenced",
                };
                record.tell(now.wall_ms, who, said, "");
                let root = record.root.clone();
                match record.silenced_until_ms {
                    Some(until) => drop(self.silences.insert(root, until)),
                    None => drop(self.silences.remove(&root)),
                }
            }
        }
        Some(Change {
            record: record.clone(),
            news,
        })
    }

    fn forget(&mut self) {
        while self.records.len() > KEPT_MAX {
            let oldest = self
                .records
                .values()
                .min_by_key(|record| (record.state != State::Resolved, record.updated_ms))
                .map(|record| record.id);
            let Some(oldest) = oldest else { return };
            self.records.remove(&oldest);
            self.seen.remove(&oldest);
        }
        let records = &self.records;
        self.seen.retain(|id, _| records.contains_key(id));
    }
}

/// What a person does with an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// I have it in hand.
    Acknowledge,
    /// It is done with.
    Resolve,
    /// Something to remember.
    Note(String),
    /// Say nothing about this root until then (milliseconds since 1970; the past ends a silence).
    Silence(u64),
}

fn is_symptom(kind: &str) -> bool {
    matches!(
        kind,
        "member_dead"
            | "member_silent"
            | "member_slow"
            | "member_missing"
            | "no_leader"
            | "no_healer"
            | "latency"
            | "many_out"
    )
}

fn is_cause(root: &str) -> bool {
    [
        super::cause::BROKER,
        super::cause::ENGINE,
        super::cause::MANY,
    ]
    .contains(&root)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
