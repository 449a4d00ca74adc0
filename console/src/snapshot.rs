//! One moment of the group, ready to be shown: HTML by region, and JSON.

use crate::alerts::{Record, cut};
use crate::page;
use crate::store::journal::Told;
use crate::vitals::Vitals;
use planaria_core::id::MemberName;
use planaria_core::message::{AttackStage, AttackTold, Incident, MemberState};
use planaria_core::status::Status;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

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

/// What the console itself keeps and measures.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// Alerts, gravest first; the resolved ones after them.
    pub alerts: Vec<Record>,
    /// Incidents, newest first, at most [`INCIDENTS_SHOWN`].
    pub incidents: Vec<Told>,
    /// Attacks, newest first.
    pub attacks: Vec<Attack>,
    /// How each member does.
    pub vitals: Vitals,
    /// How often a member says that it lives.
    pub interval: Duration,
    /// Restarts that are allowed in a window.
    pub restart_limit: u32,
}

/// Incidents that the page can show and filter.
pub const INCIDENTS_SHOWN: usize = 200;

/// An attack of the chaos monkey, or one that it declined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attack {
    /// When it was begun, in milliseconds since 1970.
    pub at_ms: u64,
    /// Its id, which the healers' events repeat; empty where it was declined.
    pub id: String,
    /// What was done.
    pub fault: String,
    /// To whom.
    pub target: String,
    /// How far it is.
    pub stage: AttackStage,
    /// What the monkey said last of it.
    pub text: String,
    /// When that was, in milliseconds since 1970.
    pub told_ms: u64,
    /// Until when the monkey takes it back at the latest, in milliseconds since 1970, where it is under way.
    pub until_ms: Option<u64>,
    /// Its end is overdue: the monkey went away, or could not tell.
    pub overdue: bool,
}

/// Attacks that the page shows.
pub const ATTACKS_SHOWN: usize = 40;
/// So long after its time an attack's end should have been told.
const OVERDUE_MS: u64 = 60_000;

impl Attack {
    /// Of its first word.
    #[must_use]
    pub fn of(told: &AttackTold) -> Self {
        let mut attack = Self {
            at_ms: told.at_ms,
            id: cut(&told.id),
            fault: cut(&told.fault),
            target: cut(&told.target),
            stage: told.stage,
            text: String::new(),
            told_ms: told.at_ms,
            until_ms: None,
            overdue: false,
        };
        attack.hear(told);
        attack
    }

    fn hear(&mut self, told: &AttackTold) {
        self.stage = told.stage;
        self.text = cut(&told.text);
        self.told_ms = told.at_ms;
        self.overdue = false;
        let within = told.within_ms.filter(|_| self.runs());
        self.until_ms = within.map(|within| told.at_ms.saturating_add(within));
    }

    /// It is under way.
    #[must_use]
    pub fn runs(&self) -> bool {
        matches!(self.stage, AttackStage::Begun | AttackStage::Injected) && !self.overdue
    }
}

/// Takes news of an attack into the list, newest first.
pub fn hear_attack(attacks: &mut Vec<Attack>, told: &AttackTold) {
    let known = attacks.iter_mut().find(|attack| {
        !attack.id.is_empty() && attack.id == told.id && told.stage != AttackStage::Begun
    });
    match known {
        // News may come in another order than it happened: what is over stays over.
        Some(attack) if told.at_ms >= attack.told_ms || attack.runs() => attack.hear(told),
        Some(_) => {}
        None => {
            let at = attacks.partition_point(|attack| attack.at_ms > told.at_ms);
            attacks.insert(at, Attack::of(told));
            attacks.truncate(ATTACKS_SHOWN);
        }
    }
}

/// Calls those overdue whose end should have been told by now.
pub fn age_attacks(attacks: &mut [Attack], now_ms: u64) {
    for attack in attacks.iter_mut().filter(|attack| attack.runs()) {
        let until = attack.until_ms.unwrap_or(attack.told_ms);
        attack.overdue = now_ms > until.saturating_add(OVERDUE_MS);
    }
}

/// A part of the page as it looks now.
#[derive(Clone, Debug)]
pub struct Region {
    /// Its HTML.
    pub html: Arc<str>,
    /// The same as a JSON string, made once for all browsers.
    pub json: Arc<str>,
    /// The moment since which it looks so.
    pub since: u64,
}

/// The regions of the page, by the id of their element.
pub type Regions = BTreeMap<&'static str, Region>;

/// A moment, rendered.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Grows by one with each moment of this console that looks different.
    pub seq: u64,
    /// The facts.
    pub known: Known,
    /// What the console adds.
    pub board: Arc<Board>,
    /// The HTML of each region.
    pub regions: Regions,
}

impl Snapshot {
    /// Renders a moment.
    #[must_use]
    pub fn new(seq: u64, known: Known, board: Arc<Board>) -> Self {
        let regions = page::regions(&known, &board)
            .into_iter()
            .map(|(name, html)| (name, region(seq, html)))
            .collect();
        Self {
            seq,
            known,
            board,
            regions,
        }
    }

    /// Renders the moment after this one.
    #[must_use]
    pub fn then(&self, known: Known, board: Arc<Board>) -> Self {
        let next = self.seq + 1;
        let mut seq = self.seq;
        let regions = page::regions(&known, &board)
            .into_iter()
            .map(|(name, html)| {
                let old = self.regions.get(name).filter(|old| *old.html == *html);
                let now = old.cloned().unwrap_or_else(|| {
                    seq = next;
                    region(next, html)
                });
                (name, now)
            })
            .collect();
        Self {
            seq,
            known,
            board,
            regions,
        }
    }
}

fn region(since: u64, html: String) -> Region {
    // A string always has a JSON form.
    let json = serde_json::to_string(&html).unwrap_or_default();
    Region {
        html: html.into(),
        json: json.into(),
        since,
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
pub fn recovery(board: &Board) -> Option<Recovery> {
    let sorted = |measure: fn(&Incident) -> u64| {
        let mut times: Vec<u64> = board
            .incidents
            .iter()
            .map(|told| &told.incident)
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

    fn told(id: &str, stage: AttackStage, at_ms: u64) -> AttackTold {
        AttackTold {
            id: id.to_owned(),
            request: None,
            fault: "pause".to_owned(),
            target: "worker-1".to_owned(),
            stage,
            text: format!("{stage:?}"),
            at_ms,
            within_ms: Some(30_000),
        }
    }

    #[test]
    fn an_attack_runs_until_its_end_is_told() {
        let mut attacks = Vec::new();
        hear_attack(&mut attacks, &told("a", AttackStage::Begun, 1000));
        hear_attack(&mut attacks, &told("b", AttackStage::Begun, 2000));
        hear_attack(&mut attacks, &told("a", AttackStage::Injected, 2500));
        assert_eq!(
            (attacks[1].runs(), attacks[1].until_ms),
            (true, Some(32_500))
        );
        hear_attack(&mut attacks, &told("a", AttackStage::Healed, 5000));
        hear_attack(&mut attacks, &told("", AttackStage::Declined, 6000));
        hear_attack(&mut attacks, &told("", AttackStage::Declined, 7000));
        let seen: Vec<(&str, bool)> = attacks
            .iter()
            .map(|attack| (attack.id.as_str(), attack.runs()))
            .collect();
        assert_eq!(seen, [("", false), ("", false), ("b", true), ("a", false)]);
        // An earlier word that comes late does not wake it again.
        hear_attack(&mut attacks, &told("a", AttackStage::Injected, 2400));
        assert_eq!(attacks[3].stage, AttackStage::Healed);
    }

    #[test]
    fn an_end_that_nobody_told_is_called_overdue() {
        let mut attacks = vec![Attack::of(&told("a", AttackStage::Begun, 1000))];
        age_attacks(&mut attacks, 80_000);
        assert!(attacks[0].runs());
        age_attacks(&mut attacks, 100_000);
        assert!(!attacks[0].runs() && attacks[0].overdue);
    }

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
        let board = Arc::new(Board::default());
        let first = Snapshot::new(3, fixture::known(), Arc::clone(&board));
        let mut known = fixture::known();
        known.status.heartbeats += 1;
        let second = first.then(known.clone(), Arc::clone(&board));
        known.status.term += 1;
        let third = second.then(known, board);
        assert_eq!((second.seq, third.seq), (3, 4));
        assert_eq!(
            (third.regions["facts"].since, third.regions["members"].since),
            (4, 3)
        );
    }

    #[test]
    fn recovery_counts_what_was_healed() {
        let board = fixture::board();
        let expected = Recovery {
            running: 201,
            healthy: 323,
            worst: 1434,
        };
        assert_eq!(recovery(&board), Some(expected));
        assert_eq!(recovery(&Board::default()), None);
    }
}
