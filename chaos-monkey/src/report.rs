//! What the ledger tells: which attacks there were, and whether and how fast each was healed.

use crate::clock;
use crate::fault::Fault;
use crate::ledger::{Event, Story};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The whole report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Each attack, oldest first.
    pub attacks: Vec<Story>,
    /// Sums per fault.
    pub faults: BTreeMap<Fault, Sums>,
    /// Every attack that took effect and should be healed by others was.
    pub healed: bool,
}

/// What came of the attacks with one fault.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sums {
    /// Attacks that took effect.
    pub injected: u64,
    /// Healed by others.
    pub healed: u64,
    /// Taken back by the monkey.
    pub reverted: u64,
    /// The mean time until healthy again, in milliseconds.
    pub mean_ms: Option<u64>,
    /// The longest.
    pub worst_ms: Option<u64>,
}

impl Report {
    /// Sums the stories up.
    #[must_use]
    pub fn new(attacks: Vec<Story>) -> Self {
        let mut faults: BTreeMap<Fault, Sums> = BTreeMap::new();
        let mut totals: BTreeMap<Fault, u64> = BTreeMap::new();
        let mut healed = true;
        for story in attacks.iter().filter(|story| story.injected) {
            let fault = story.attack.fault;
            let sums = faults.entry(fault).or_default();
            sums.injected += 1;
            match &story.end {
                Some(Event::Healed { after_ms, .. }) => {
                    sums.healed += 1;
                    let total = totals.entry(fault).or_default();
                    *total += after_ms;
                    sums.mean_ms = total.checked_div(sums.healed);
                    sums.worst_ms = sums.worst_ms.max(Some(*after_ms));
                }
                Some(Event::Reverted { .. }) => {
                    sums.reverted += 1;
                    // A stop looks like a person's will: that nobody heals it is right.
                    healed &= !fault.about().heals;
                }
                Some(_) => {}
                None => healed = false,
            }
        }
        Self {
            attacks,
            faults,
            healed,
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        if self.attacks.is_empty() {
            return "No attack stands in the ledger.\n".to_owned();
        }
        for story in &self.attacks {
            let attack = &story.attack;
            let _ = writeln!(
                out,
                "{}  {}  {:<11} {:<16} {}",
                clock::text(story.at_ms),
                attack.id,
                attack.fault.name(),
                attack.target,
                end_text(story)
            );
        }
        out.push('\n');
        for (fault, sums) in &self.faults {
            let _ = write!(
                out,
                "{fault}: {} attacks, {} healed, {} undone",
                sums.injected, sums.healed, sums.reverted
            );
            if let (Some(mean), Some(worst)) = (sums.mean_ms, sums.worst_ms) {
                let _ = write!(
                    out,
                    ", back after {} on average, {} at worst",
                    seconds(mean),
                    seconds(worst)
                );
            }
            out.push('\n');
        }
        out
    }
}

/// How an attack ended, in a sentence.
#[must_use]
pub fn end_text(story: &Story) -> String {
    match &story.end {
        Some(Event::Healed {
            running_ms,
            after_ms,
        }) => {
            format!(
                "back after {} (running after {})",
                seconds(*after_ms),
                seconds(*running_ms)
            )
        }
        Some(Event::Reverted { why }) => format!("undone: {why}"),
        Some(Event::Failed { why }) => format!("did not take effect: {why}"),
        Some(Event::Gone) => "its container is gone".to_owned(),
        Some(Event::Intended { .. } | Event::Found { .. } | Event::Injected { .. }) | None
            if story.injected =>
        {
            "under way".to_owned()
        }
        Some(Event::Intended { .. } | Event::Found { .. } | Event::Injected { .. }) | None => {
            "begun".to_owned()
        }
    }
}

/// `1.2 s`, and below a second `0.25 s`.
#[must_use]
pub fn seconds(ms: u64) -> String {
    let (whole, rest) = (ms / 1000, ms % 1000);
    if whole == 0 {
        format!("0.{:02} s", rest / 10)
    } else {
        format!("{whole}.{} s", rest / 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::story;

    #[test]
    fn means_and_worst_are_per_fault() {
        let healed = |after_ms| {
            Some(Event::Healed {
                running_ms: 100,
                after_ms,
            })
        };
        let report = Report::new(vec![
            story(Fault::Kill, healed(1000)),
            story(Fault::Kill, healed(2000)),
            story(Fault::Pause, healed(7)),
        ]);
        let kill = &report.faults[&Fault::Kill];
        assert_eq!(
            (kill.injected, kill.mean_ms, kill.worst_ms),
            (2, Some(1500), Some(2000))
        );
        assert!(report.healed);
        assert!(report.text().contains(
            "kill: 2 attacks, 2 healed, 0 undone, back after 1.5 s on average, 2.0 s at worst"
        ));
    }

    #[test]
    fn what_the_monkey_had_to_undo_was_not_healed_but_for_a_stop() {
        let reverted = || {
            Some(Event::Reverted {
                why: "patience".to_owned(),
            })
        };
        assert!(!Report::new(vec![story(Fault::Kill, reverted())]).healed);
        assert!(!Report::new(vec![story(Fault::Kill, None)]).healed);
        assert!(Report::new(vec![story(Fault::Stop, reverted())]).healed);
    }

    #[test]
    fn seconds_are_short() {
        assert_eq!(
            [seconds(254), seconds(1290), seconds(61_000)],
            ["0.25 s", "1.2 s", "61.0 s"]
        );
    }
}
