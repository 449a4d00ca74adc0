//! Maintenance: who is watched and not touched, and until when.
//!
//! A register for each name, of which the newest version wins (last writer wins, the order being that of terms and
//! of requests within one, no clock's). What a person ended early stays as a mark until it would have ended by
//! itself, so that a healer that was away cannot bring it back.

use crate::id::{BootId, MemberName};
use crate::message::{Hold, HoldVersion, Holds as Told};
use crate::out::Out;
use crate::time::Instant;
use std::time::Duration;

/// More holds than a person types, those that were ended early included.
const HOLDS_MAX: usize = 256;
/// A hold for longer is a slip; `monitor hold` again prolongs it.
const HOLD_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// The leader that a person spoke to: its term's number, and its boot.
pub(super) type Said = (u64, BootId);

/// What ends so soon has ended for the leader already, by as much as its word of it was on its way.
const NEARLY_OVER: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    /// `None`: everyone.
    name: Option<MemberName>,
    until: Instant,
    reason: String,
    version: HoldVersion,
    /// A person ended it before its time.
    resumed: bool,
    /// When it ends is known. What the volume says is older by the time that this healer was away.
    dated: bool,
}

impl Held {
    fn tell(&self, now: Instant) -> Hold {
        Hold {
            name: self.name.clone(),
            left_ms: u64::try_from(self.until.since(now).as_millis()).unwrap_or(u64::MAX),
            reason: self.reason.clone(),
            version: self.version,
        }
    }

    fn same(&self, other: &Self) -> bool {
        self.reason == other.reason
            && self.version == other.version
            && self.resumed == other.resumed
    }
}

/// All holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holds(Vec<Held>);

impl Holds {
    pub(super) fn covers(&self, name: Option<&MemberName>) -> bool {
        self.active()
            .any(|held| held.name.is_none() || held.name.as_ref() == name)
    }

    fn active(&self) -> impl Iterator<Item = &Held> {
        self.0.iter().filter(|held| !held.resumed)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(|held| held.until).min()
    }

    fn next_version(&self, (term, boot): Said) -> HoldVersion {
        let newest = self.0.iter().map(|held| held.version).max();
        let newest = newest.unwrap_or_default();
        HoldVersion {
            term: newest.term.max(term),
            count: newest.count.saturating_add(1),
            boot,
        }
    }

    pub(super) fn hold(
        &mut self,
        now: Instant,
        said: Said,
        name: Option<MemberName>,
        span: Duration,
        reason: &str,
    ) -> bool {
        let version = self.next_version(said);
        // A second hold prolongs the first and never shortens it: that is what `resume` is for.
        let before = self.active().find(|held| held.name == name);
        let until = (now + span.min(HOLD_MAX)).max(before.map_or(now, |held| held.until));
        self.0.retain(|held| held.name != name);
        if self.0.len() >= HOLDS_MAX {
            return false;
        }
        self.0.push(Held {
            name,
            until,
            reason: reason.chars().take(200).collect(),
            version,
            resumed: false,
            dated: true,
        });
        true
    }

    /// Ends those of these names; of none: all. How many.
    pub(super) fn resume(&mut self, said: Said, names: &[MemberName]) -> usize {
        let version = self.next_version(said);
        let mut ended = 0;
        for held in self.0.iter_mut().filter(|held| !held.resumed) {
            if names.is_empty() || held.name.as_ref().is_some_and(|name| names.contains(name)) {
                (held.resumed, held.version) = (true, version);
                ended += 1;
            }
        }
        ended
    }

    pub(super) fn expire(&mut self, now: Instant, out: &mut Out) -> bool {
        let before = self.0.len();
        self.0.retain(|held| {
            let over = now >= held.until;
            if over && !held.resumed {
                let whom = held
                    .name
                    .as_ref()
                    .map_or_else(|| "everyone".to_owned(), ToString::to_string);
                let text = format!("The hold on {whom} is over ({})", held.reason);
                out.info("hold_ended", held.name.as_ref(), text);
            }
            !over
        });
        self.0.len() != before
    }

    pub(crate) fn list(&self, now: Instant) -> Vec<Hold> {
        self.active().map(|held| held.tell(now)).collect()
    }

    /// Those that a person ended before their time.
    pub(crate) fn resumed(&self, now: Instant) -> Vec<Hold> {
        let resumed = self.0.iter().filter(|held| held.resumed);
        resumed.map(|held| held.tell(now)).collect()
    }

    /// What a leader that says `told` seems not to know.
    pub(crate) fn unknown_to(&self, now: Instant, told: &Told) -> Option<Told> {
        let older = |held: &&Held| {
            let said = told.held.iter().chain(&told.resumed);
            let said = said.filter(|hold| hold.name == held.name);
            let lasts = held.until.since(now) > NEARLY_OVER;
            let ours = held.dated && held.version != HoldVersion::default();
            ours && lasts && said.map(|hold| hold.version).max() < Some(held.version)
        };
        let (resumed, held): (Vec<&Held>, Vec<&Held>) =
            self.0.iter().filter(older).partition(|held| held.resumed);
        let tell = |all: Vec<&Held>| all.iter().map(|held| held.tell(now)).collect();
        (!held.is_empty() || !resumed.is_empty()).then(|| Told {
            held: tell(held),
            resumed: tell(resumed),
        })
    }

    /// What the volume says.
    pub(super) fn load(&mut self, now: Instant, told: &Told) {
        self.0 = read(now, told).collect();
        for held in &mut self.0 {
            held.dated = false;
        }
    }

    /// This healer was away for so long before its life began.
    pub(super) fn age(&mut self, away: Duration) {
        for held in self.0.iter_mut().filter(|held| !held.dated) {
            held.until = held.until - away;
            held.dated = true;
        }
    }

    /// What another healer reports to the leader. Whether anything changed.
    pub(super) fn unite(&mut self, now: Instant, told: &Told) -> bool {
        let mut changed = false;
        for held in read(now, told) {
            let Some(own) = self.0.iter_mut().find(|own| own.name == held.name) else {
                if self.0.len() < HOLDS_MAX {
                    self.0.push(held);
                    changed = true;
                }
                continue;
            };
            let until = own.until.max(held.until);
            // Promised under different leaders, both: each person counts on the own time.
            let both = !own.resumed && !held.resumed && own.version.boot != held.version.boot;
            if held.version > own.version {
                *own = held;
                changed = true;
            }
            if both && own.until != until {
                own.until = until;
                // Else those who have it of this version would keep the shorter time.
                own.version.count = own.version.count.saturating_add(1);
                changed = true;
            }
        }
        changed
    }

    /// What the leader says: its word is the last on every version that it knows. Whether anything changed.
    pub(super) fn adopt(&mut self, now: Instant, told: &Told) -> bool {
        let mut after: Vec<Held> = read(now, told).collect();
        for own in &self.0 {
            let room = after.len() < HOLDS_MAX;
            match after.iter_mut().find(|held| held.name == own.name) {
                Some(held) if held.version < own.version => *held = own.clone(),
                Some(_) => {}
                // A leader of before versions tells of all that there is.
                None if own.version == HoldVersion::default() => {}
                None if room => after.push(own.clone()),
                None => {}
            }
        }
        after.sort_by(|a, b| a.name.cmp(&b.name));
        let before = std::mem::replace(&mut self.0, after);
        let as_before = |held: &Held| {
            before
                .iter()
                .any(|own| own.name == held.name && own.same(held))
        };
        before.len() != self.0.len() || !self.0.iter().all(as_before)
    }
}

fn read(now: Instant, told: &Told) -> impl Iterator<Item = Held> {
    let held = told.held.iter().map(|hold| (hold, false));
    let resumed = told.resumed.iter().map(|hold| (hold, true));
    held.chain(resumed)
        .take(HOLDS_MAX)
        .map(move |(hold, resumed)| Held {
            name: hold.name.clone(),
            until: now + Duration::from_millis(hold.left_ms).min(HOLD_MAX),
            reason: hold.reason.chars().take(200).collect(),
            version: hold.version,
            resumed,
            dated: true,
        })
}
