//! The report of a proof: every attack joined with what the healers did about it, spreads per fault,
//! the checks; as JSON, EDN and one HTML page.

use super::attacker::Attacked;
use super::load::{Books, Second};
use super::script::Script;
use super::stats::Spread;
use super::verdict::Check;
use super::witness::{Claim, Happened, Notes};
use super::{Options, page};
use crate::fault::Fault;
use crate::ledger::{Event, Story};
use planaria_core::message::Incident;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// An incident may be told so much later than its attack ended.
const TOLD_WITHIN_MS: u64 = 90_000;

/// One attack from beginning to end; times in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The attack's id.
    pub id: String,
    /// What.
    pub fault: Fault,
    /// Whom.
    pub target: String,
    /// From the start of the proof.
    pub at_ms: u64,
    /// Until its end, from the start of the proof.
    pub end_ms: Option<u64>,
    /// It was proven to have taken effect.
    pub injected: bool,
    /// From the death or the first missed sign until the verdict.
    pub detect_ms: Option<u64>,
    /// From the verdict until the order.
    pub order_ms: Option<u64>,
    /// From the order until it ran.
    pub start_ms: Option<u64>,
    /// From running until healthy and heard.
    pub healthy_ms: Option<u64>,
    /// From the injection until it ran, as the monkey saw it.
    pub running_ms: Option<u64>,
    /// From the injection until it was well again, as the monkey saw it.
    pub well_ms: Option<u64>,
    /// Who healed it, and why.
    pub healed_by: Option<String>,
    /// How it ended, in a sentence.
    pub end: String,
}

/// Spreads of one fault.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PerFault {
    /// Attacks that took effect.
    pub attacks: usize,
    /// Until the verdict (mean time to detection and its like).
    pub detect: Option<Spread>,
    /// Until well again (mean time to recovery and its like).
    pub recover: Option<Spread>,
}

/// The whole report.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Its layout.
    pub version: u32,
    /// Every check holds.
    pub holds: bool,
    /// The seed.
    pub seed: u64,
    /// The attacks were those of an earlier run, not the seed's.
    pub replayed: bool,
    /// For how long attacks were made, in seconds.
    pub attacks_for_s: u64,
    /// The Compose project.
    pub project: String,
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// How long it took after the last attack until everything was well.
    pub quiet_ms: u64,
    /// Somebody ended it early.
    pub broken_off: bool,
    /// What must hold.
    pub checks: Vec<Check>,
    /// Every attack.
    pub attacks: Vec<Row>,
    /// Spreads per fault.
    pub faults: BTreeMap<Fault, PerFault>,
    /// Answered requests by kind.
    pub done: BTreeMap<&'static str, u64>,
    /// Unanswered requests by kind.
    pub failed: BTreeMap<&'static str, u64>,
    /// Bytes acknowledged.
    pub bytes: u64,
    /// Load by second.
    pub seconds: BTreeMap<u64, Second>,
    /// Leaders as they changed: milliseconds from the start, name, term.
    pub leaders: Vec<(u64, String, u64)>,
    #[serde(skip)]
    edn: String,
    #[serde(skip)]
    events: Vec<Happened>,
    #[serde(skip)]
    claims: Vec<Claim>,
}

impl Proof {
    /// Joins everything.
    #[must_use]
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        options: &Options,
        began_ms: u64,
        quiet_ms: u64,
        checks: Vec<Check>,
        stories: Vec<Story>,
        notes: &Notes,
        books: Books,
        attacked: &Attacked,
    ) -> Self {
        let stories: Vec<Story> = stories
            .into_iter()
            .filter(|story| story.at_ms >= began_ms)
            .collect();
        let attacks = join(&stories, notes, began_ms);
        Self {
            version: 1,
            holds: checks.iter().all(|check| check.holds) && !attacked.broken_off,
            seed: options.seed,
            replayed: matches!(options.script, Script::Steps(_)),
            attacks_for_s: options.attacks_for.as_secs(),
            project: options.project.clone(),
            began_ms,
            quiet_ms,
            broken_off: attacked.broken_off,
            checks,
            faults: per_fault(&attacks),
            attacks,
            done: books.tally.done,
            failed: books.tally.failed,
            bytes: books.tally.bytes,
            seconds: books.tally.seconds,
            leaders: notes.leaders.clone(),
            edn: books.history.edn(),
            events: notes.events.clone(),
            claims: notes.claims.clone(),
        }
    }

    /// Writes `report.json`, `report.html`, `history.edn` and `events.json`.
    ///
    /// # Errors
    /// Where the folder does not take them.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        let json = serde_json::to_vec_pretty(self)?;
        std::fs::write(folder.join("report.json"), json)?;
        std::fs::write(folder.join("report.html"), page::page(self))?;
        std::fs::write(folder.join("history.edn"), &self.edn)?;
        let seen = serde_json::json!({ "events": self.events, "claims": self.claims });
        std::fs::write(folder.join("events.json"), serde_json::to_vec(&seen)?)
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for check in &self.checks {
            let mark = if check.holds { "holds " } else { "BROKEN" };
            out += &format!("{mark}  {} ({})\n", check.what, check.seen);
        }
        out.push('\n');
        for (fault, sums) in &self.faults {
            let spread = |name: &str, spread: &Option<Spread>| {
                spread.map_or(String::new(), |it| {
                    format!(
                        ", {name} median {} ms, p95 {} ms, max {} ms",
                        it.median, it.p95, it.max
                    )
                })
            };
            out += &format!(
                "{fault}: {} attacks{}{}\n",
                sums.attacks,
                spread("detected", &sums.detect),
                spread("well again", &sums.recover)
            );
        }
        if self.broken_off {
            out += "\nIt was ended early, so nothing is proven.\n";
        }
        out
    }
}

fn join(stories: &[Story], notes: &Notes, began_ms: u64) -> Vec<Row> {
    let mut told: Vec<&(u64, Incident)> = notes.incidents.values().collect();
    told.sort_by_key(|(at, _)| *at);
    let mut used = BTreeSet::new();
    let mut rows = Vec::new();
    for story in stories {
        let from = story.injected_ms.unwrap_or(story.at_ms);
        // By time alone: the proof's attacks are not told, and the attack that an incident names is an earlier one of
        // somebody else's.
        let fits = |(at, incident): &&&(u64, Incident)| {
            incident.container.as_str() == story.attack.container
                && (from..from + TOLD_WITHIN_MS).contains(at)
                && !used.contains(&incident.id)
        };
        let incident = told.iter().find(fits).map(|(_, incident)| incident);
        used.extend(incident.map(|incident| incident.id.clone()));
        rows.push(row(story, incident, began_ms));
    }
    rows
}

fn row(story: &Story, incident: Option<&Incident>, began_ms: u64) -> Row {
    let attack = &story.attack;
    let (running_ms, well_ms) = match story.end {
        Some(Event::Healed {
            running_ms,
            after_ms,
        }) => (Some(running_ms), Some(after_ms)),
        _ => (None, None),
    };
    let at_ms = story.at_ms.saturating_sub(began_ms);
    let from = story
        .injected_ms
        .unwrap_or(story.at_ms)
        .saturating_sub(began_ms);
    Row {
        id: attack.id.clone(),
        fault: attack.fault,
        target: attack.target.clone(),
        at_ms,
        end_ms: well_ms
            .map(|ms| from + ms)
            .or_else(|| story.end_ms.map(|ms| ms.saturating_sub(began_ms))),
        injected: story.injected,
        detect_ms: incident.and_then(|it| it.detect_ms),
        order_ms: incident.and_then(|it| it.order_ms),
        start_ms: incident.and_then(|it| it.start_ms),
        healthy_ms: incident.and_then(|it| it.healthy_ms),
        running_ms,
        well_ms,
        healed_by: incident.map(|it| format!("{} ({})", it.by, it.evidence)),
        end: crate::report::end_text(story),
    }
}

fn per_fault(rows: &[Row]) -> BTreeMap<Fault, PerFault> {
    let mut faults: BTreeMap<Fault, PerFault> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.injected) {
        faults.entry(row.fault).or_default().attacks += 1;
    }
    for (fault, sums) in &mut faults {
        let of = |pick: fn(&Row) -> Option<u64>| {
            Spread::of(
                rows.iter()
                    .filter(|row| row.injected && row.fault == *fault)
                    .filter_map(pick)
                    .collect(),
            )
        };
        sums.detect = of(|row| row.detect_ms);
        sums.recover = of(|row| row.well_ms);
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::story;

    /// SIGUSR1 on the same container a few minutes before: its id is on what the proof's own attack led to.
    #[test]
    fn an_incident_that_names_an_earlier_attack_is_joined_all_the_same() {
        let incident: Incident = serde_json::from_value(serde_json::json!({
            "id": "9-1", "name": "worker-1", "container": "c0ffee", "reason": "killed",
            "evidence": "it died", "by": "healer-1", "term": 1, "outcome": "healed",
            "notes": {"attack": "other"},
        }))
        .unwrap();
        let notes = Notes {
            incidents: [("9-1".to_owned(), (2000, incident))].into(),
            ..Notes::default()
        };
        let mut one = story(Fault::Kill, None);
        one.injected_ms = Some(1000);
        let mut later = story(Fault::Kill, None);
        later.injected_ms = Some(1500);
        let rows = join(&[one, later], &notes, 0);
        assert_eq!(rows[0].healed_by.as_deref(), Some("healer-1 (it died)"));
        assert_eq!(rows[1].healed_by, None, "each incident is told once");
    }
}
