//! One moment of the group, ready to be shown: HTML by region, and JSON.

use crate::page;
use planaria_core::id::MemberName;
use planaria_core::message::{Incident, MemberState};
use planaria_core::status::Status;
use serde::Serialize;
use std::collections::BTreeMap;

/// What is known, and how fresh it is.
#[derive(Clone, Debug, Serialize)]
pub struct Known {
    /// The group.
    #[serde(flatten)]
    pub status: Status,
    /// Whose words these are.
    pub source: MemberName,
    /// Nobody that leads was heard lately: what is shown is old.
    pub stale: bool,
    /// Since when, in milliseconds since 1970, where it is stale.
    pub stale_since_ms: Option<u64>,
}

/// The regions of the page, by the id of their element.
pub type Regions = BTreeMap<&'static str, String>;

/// A moment, rendered.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Grows by one with each moment of this console that looks different.
    pub seq: u64,
    /// The facts.
    pub known: Known,
    /// The HTML of each region.
    pub regions: Regions,
}

impl Snapshot {
    /// Renders a moment.
    #[must_use]
    pub fn new(seq: u64, known: Known) -> Self {
        let regions = page::regions(&known);
        Self {
            seq,
            known,
            regions,
        }
    }

    /// Renders the moment after this one.
    #[must_use]
    pub fn then(&self, known: Known) -> Self {
        let mut next = Self::new(self.seq, known);
        next.seq += u64::from(next.regions != self.regions);
        next
    }
}

/// How a light shines: what a person must do about it, not what exactly it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Light {
    /// Well.
    Good,
    /// On its way.
    Busy,
    /// Worth a look.
    Warn,
    /// Out.
    Bad,
    /// Off, by somebody's will or because nothing is known.
    Off,
}

impl Light {
    /// The light of a state.
    #[must_use]
    pub fn of(state: MemberState) -> Self {
        match state {
            MemberState::Alive | MemberState::Patient => Self::Good,
            MemberState::Joining | MemberState::Restarting => Self::Busy,
            MemberState::Late | MemberState::Suspect | MemberState::Isolated => Self::Warn,
            MemberState::Dead | MemberState::Quarantined => Self::Bad,
            MemberState::Left | MemberState::Expected => Self::Off,
        }
    }

    /// Its class in the style sheet.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Off => "off",
        }
    }
}

/// The state in a word.
#[must_use]
pub fn word(state: MemberState) -> &'static str {
    match state {
        MemberState::Joining => "joining",
        MemberState::Alive => "alive",
        MemberState::Late => "late",
        MemberState::Suspect => "suspect",
        MemberState::Dead => "dead",
        MemberState::Restarting => "restarting",
        MemberState::Isolated => "isolated",
        MemberState::Quarantined => "quarantined",
        MemberState::Left => "left",
        MemberState::Expected => "expected",
        MemberState::Patient => "watched",
    }
}

/// One sentence about the whole group, for screen readers and the head of the page. Changes only when
/// something worth saying does.
#[must_use]
pub fn sentence(known: &Known) -> String {
    let status = &known.status;
    if status.members.is_empty() {
        return "Nobody was heard yet.".to_owned();
    }
    let well = status
        .members
        .iter()
        .filter(|member| Light::of(member.state) == Light::Good)
        .count();
    let mut text = format!("{well} of {} are well", status.members.len());
    let troubled: Vec<String> = status
        .members
        .iter()
        .filter(|member| Light::of(member.state) != Light::Good)
        .map(|member| format!("{} is {}", member.name, word(member.state)))
        .collect();
    if !troubled.is_empty() {
        text = format!("{text}; {}", troubled.join(", "));
    }
    match &status.leader {
        Some(leader) => format!("{text}. {leader} leads term {}.", status.term),
        None => format!("{text}. Nobody leads."),
    }
}

/// How fast those that were healed came back, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The median time until running again.
    pub running: u64,
    /// The median time until healthy again, which waits for the next health check.
    pub healthy: u64,
    /// The longest time until healthy again.
    pub worst: u64,
}

/// How fast those that were healed came back; `None` where nothing had to be healed.
#[must_use]
pub fn recovery(status: &Status) -> Option<Recovery> {
    let sorted = |measure: fn(&Incident) -> u64| {
        let mut times: Vec<u64> = status
            .incidents
            .iter()
            .filter(|incident| page::incidents::is_healed(incident))
            .map(measure)
            .collect();
        times.sort_unstable();
        times
    };
    let (running, healthy) = (
        sorted(page::incidents::running),
        sorted(page::incidents::total),
    );
    let middle = running.len().checked_sub(1)? / 2;
    Some(Recovery {
        running: running.get(middle).copied()?,
        healthy: healthy.get(middle).copied()?,
        worst: healthy.last().copied()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::fixture;

    #[test]
    fn the_sentence_says_who_is_not_well() {
        let known = fixture::known();
        assert_eq!(
            sentence(&known),
            "7 of 12 are well; storage-node-2 is restarting, storage-node-3 is late, worker-1 is dead, \
             worker-2 is left, plain-2 is quarantined. healer-3 leads term 8."
        );
    }

    #[test]
    fn a_moment_that_looks_the_same_has_the_same_number() {
        let first = Snapshot::new(3, fixture::known());
        let mut known = fixture::known();
        known.status.heartbeats += 1;
        let second = first.then(known.clone());
        known.status.term += 1;
        assert_eq!((second.seq, second.then(known).seq), (3, 4));
    }

    #[test]
    fn recovery_counts_what_was_healed() {
        let known = fixture::known();
        let expected = Recovery {
            running: 201,
            healthy: 323,
            worst: 1434,
        };
        assert_eq!(recovery(&known.status), Some(expected));
        let mut none = known.status;
        none.incidents.clear();
        assert_eq!(recovery(&none), None);
    }
}
