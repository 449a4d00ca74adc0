//! Maintenance: who is watched and not touched, and until when.

use crate::id::MemberName;
use crate::message::Hold;
use crate::out::Out;
use crate::time::Instant;
use std::time::Duration;

/// More holds than a person types.
const HOLDS_MAX: usize = 256;
/// A hold for longer is a slip; `monitor hold` again prolongs it.
const HOLD_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    /// `None`: everyone.
    name: Option<MemberName>,
    until: Instant,
    reason: String,
}

/// All holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holds(Vec<Held>);

impl Holds {
    pub(super) fn covers(&self, name: Option<&MemberName>) -> bool {
        self.0
            .iter()
            .any(|held| held.name.is_none() || held.name.as_ref() == name)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.iter().map(|held| held.until).min()
    }

    pub(super) fn hold(
        &mut self,
        now: Instant,
        name: Option<MemberName>,
        span: Duration,
        reason: &str,
    ) -> bool {
        // A second hold prolongs the first and never shortens it: that is what `resume` is for.
        let before = self.0.iter().find(|held| held.name == name);
        let until = (now + span.min(HOLD_MAX)).max(before.map_or(now, |held| held.until));
        self.0.retain(|held| held.name != name);
        if self.0.len() >= HOLDS_MAX {
            return false;
        }
        self.0.push(Held {
            name,
            until,
            reason: reason.chars().take(200).collect(),
        });
        true
    }

    /// Ends those of these names; of none: all. How many.
    pub(super) fn resume(&mut self, names: &[MemberName]) -> usize {
        let before = self.0.len();
        self.0.retain(|held| {
            !names.is_empty() && held.name.as_ref().is_none_or(|name| !names.contains(name))
        });
        before - self.0.len()
    }

    pub(super) fn expire(&mut self, now: Instant, out: &mut Out) -> bool {
        let before = self.0.len();
        self.0.retain(|held| {
            let over = now >= held.until;
            if over {
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
        self.0
            .iter()
            .map(|held| Hold {
                name: held.name.clone(),
                left_ms: u64::try_from(held.until.since(now).as_millis()).unwrap_or(u64::MAX),
                reason: held.reason.clone(),
            })
            .collect()
    }

    /// Takes over what the leader (or the volume) says. Whether the set changed.
    pub(super) fn adopt(&mut self, now: Instant, holds: &[Hold]) -> bool {
        let held: Vec<Held> = holds
            .iter()
            .take(HOLDS_MAX)
            .map(|hold| Held {
                name: hold.name.clone(),
                until: now + Duration::from_millis(hold.left_ms).min(HOLD_MAX),
                reason: hold.reason.clone(),
            })
            .collect();
        let same = held.len() == self.0.len()
            && held
                .iter()
                .zip(&self.0)
                .all(|(a, b)| a.name == b.name && a.reason == b.reason);
        self.0 = held;
        !same
    }
}
