//! What is attacked when: drawn by a seed, or taken from the ledger of an earlier run, to be played again or
//! made smaller.

use super::attacker;
use crate::fault::{Dose, Fault};
use crate::ledger::{self, LedgerError, Story};
use crate::plan::{Order, Trigger};
use crate::target::{Part, Selector, Wish};
use std::path::Path;
use std::time::Duration;

/// Where orders come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    /// Drawn one after the other.
    Seed(u64),
    /// These and no others, each not before its time.
    Steps(Vec<Step>),
}

/// One order of a script that was played before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Not earlier than this after the first one.
    pub at: Duration,
    /// What.
    pub order: Order,
}

impl Script {
    /// The order with this number (from 1), and how long after the beginning it is due; `None`: that was all.
    #[must_use]
    pub fn order(&self, number: u64) -> Option<(Duration, Order)> {
        match self {
            Self::Seed(seed) => Some((Duration::ZERO, attacker::order(*seed, number))),
            Self::Steps(steps) => {
                let step = steps.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
                Some((step.at, step.order.clone()))
            }
        }
    }

    /// The first so many orders, a line each, for people.
    #[must_use]
    pub fn text(&self, count: u64) -> String {
        let mut out = String::new();
        for number in 1..=count {
            let Some((at, order)) = self.order(number) else {
                break;
            };
            let faults: Vec<&str> = order.faults.iter().map(|it| it.name()).collect();
            let wish = order.wish.to_string();
            let whom = match (wish.as_str(), order.everyone) {
                ("", _) => "anybody".to_owned(),
                (wish, true) => format!("all of {wish}"),
                (wish, false) => wish.to_owned(),
            };
            let when = match self {
                Self::Seed(_) => String::new(),
                Self::Steps(_) => format!("{:>7.1} s  ", at.as_secs_f64()),
            };
            out += &format!("{number:>3}  {when}{} at {whom}\n", faults.join(" or "));
        }
        out
    }
}

/// The attacks in the ledger of `dir`, as steps.
///
/// # Errors
/// Where the ledger cannot be read.
pub fn read(dir: &Path) -> Result<Vec<Step>, LedgerError> {
    Ok(steps(&ledger::read(dir)?))
}

/// Those of them that were begun at that time or later, in milliseconds since 1970.
///
/// # Errors
/// Where the ledger cannot be read.
pub fn since(dir: &Path, at_ms: u64) -> Result<Vec<Step>, LedgerError> {
    let mut stories = ledger::read(dir)?;
    stories.retain(|story| story.at_ms >= at_ms);
    Ok(steps(&stories))
}

/// What was made under one number of one plan was made at once.
fn steps(stories: &[Story]) -> Vec<Step> {
    let Some(first) = stories.first() else {
        return Vec::new();
    };
    stories
        .chunk_by(|one, next| {
            (one.attack.seed, one.attack.number) == (next.attack.seed, next.attack.number)
        })
        .filter_map(|together| {
            let one = together.first()?;
            let attack = &one.attack;
            Some(Step {
                at: Duration::from_millis(one.at_ms.saturating_sub(first.at_ms)),
                order: Order {
                    trigger: Trigger::Command,
                    faults: vec![attack.fault],
                    wish: wish(together),
                    dose: attack.dose.clone(),
                    everyone: together.len() > 1,
                },
            })
        })
        .collect()
}

/// A part is played by whoever plays it then; anybody is the one who was hit.
fn wish(together: &[Story]) -> Wish {
    let part = together.first().and_then(|story| {
        let attack = &story.attack;
        Part::parse(&attack.wish).or_else(|| attack.fault.part())
    });
    let names: Vec<&str> = together
        .iter()
        .map(|story| story.attack.target.as_str())
        .collect();
    match (part, names.as_slice()) {
        (Some(part), _) => Wish::Part(part),
        (None, [name]) => Wish::Named((*name).to_owned()),
        (None, names) => {
            let each: Vec<String> = names.iter().map(|name| regex::escape(name)).collect();
            let pattern = format!("re2:{}", each.join("|"));
            pattern
                .parse::<Selector>()
                .map_or(Wish::Anyone, Wish::Matching)
        }
    }
}

/// Makes a failing script smaller: leaves parts out as long as it fails without them (Zeller's ddmin).
///
/// It asks and is told, so that whoever plays the scripts may take minutes over each.
#[derive(Clone, Debug)]
pub struct Shrinker<T> {
    /// The smallest that is known to fail.
    best: Vec<T>,
    /// Into so many parts it is cut now.
    parts: usize,
    /// The part that is left out next.
    next: usize,
}

impl<T: Clone> Shrinker<T> {
    /// Begins with what failed.
    #[must_use]
    pub fn new(failing: Vec<T>) -> Self {
        Self {
            best: failing,
            parts: 2,
            next: 0,
        }
    }

    /// The smallest that is known to fail.
    #[must_use]
    pub fn best(&self) -> &[T] {
        &self.best
    }

    /// What is to be tried next; `None`: nothing can be left out any more.
    #[must_use]
    pub fn candidate(&self) -> Option<Vec<T>> {
        let size = self.best.len().div_ceil(self.parts).max(1);
        if self.best.len() < 2 || self.next * size >= self.best.len() {
            return None;
        }
        let (from, to) = (self.next * size, (self.next + 1) * size);
        let kept = self
            .best
            .iter()
            .enumerate()
            .filter(|(index, _)| !(from..to).contains(index));
        Some(kept.map(|(_, one)| one.clone()).collect())
    }

    /// Whether the candidate failed too.
    pub fn told(&mut self, fails: bool) {
        let Some(candidate) = self.candidate() else {
            return;
        };
        if fails {
            self.best = candidate;
            self.parts = (self.parts - 1).max(2);
            self.next = 0;
            return;
        }
        self.next += 1;
        let size = self.best.len().div_ceil(self.parts).max(1);
        if self.next * size >= self.best.len() && size > 1 {
            self.parts = (self.parts * 2).min(self.best.len());
            self.next = 0;
        }
    }
}

/// A step that is all there is to a fault, for tests and for a person's own script.
#[must_use]
pub fn step(at: Duration, fault: Fault, target: &str) -> Step {
    Step {
        at,
        order: Order {
            trigger: Trigger::Command,
            faults: vec![fault],
            wish: Wish::Named(target.to_owned()),
            dose: Dose::default(),
            everyone: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(at_ms: u64, number: u64, fault: Fault, target: &str, wish: &str) -> Story {
        let mut story = ledger::tests::story(fault, None);
        story.at_ms = at_ms;
        story.attack.target = target.to_owned();
        story.attack.wish = wish.to_owned();
        story.attack.number = number;
        story
    }

    #[test]
    fn a_ledger_is_played_again_in_its_order_and_with_its_pauses() {
        let script = Script::Steps(steps(&[
            story(5000, 1, Fault::Kill, "worker-1", ""),
            story(9000, 2, Fault::Pause, "healer-3", "leader"),
            story(12_000, 3, Fault::Kill, "storage-node-1", "group:storage"),
            story(12_010, 3, Fault::Kill, "storage-node-2", "group:storage"),
            story(20_000, 5, Fault::LeaderKill, "healer-2", ""),
        ]));
        let order = |number| script.order(number).unwrap();
        assert_eq!(
            order(1),
            (
                Duration::ZERO,
                step(Duration::ZERO, Fault::Kill, "worker-1").order
            )
        );
        let (at, second) = order(2);
        assert_eq!((at.as_secs(), second.wish), (4, Wish::Part(Part::Leader)));
        let (at, third) = order(3);
        assert_eq!((at.as_secs(), third.everyone), (7, true));
        assert_eq!(
            third.wish.to_string(),
            r"re2:storage\-node\-1|storage\-node\-2"
        );
        assert_eq!(order(4).1.wish, Wish::Part(Part::Leader));
        assert_eq!(script.order(5), None);
        assert_eq!(script.order(0), None);
        assert!(
            script.text(9).contains("kill at all of re2:"),
            "{}",
            script.text(9)
        );
    }

    /// Plays the shrinker against a script that fails where all of `needed` are in it.
    fn shrunk(length: u32, needed: &[u32]) -> (Vec<u32>, usize) {
        let mut shrinker = Shrinker::new((0..length).collect());
        let mut tries = 0;
        while let Some(candidate) = shrinker.candidate() {
            tries += 1;
            assert!(tries < 1000, "it does not end");
            assert!(candidate.len() < shrinker.best().len());
            shrinker.told(needed.iter().all(|it| candidate.contains(it)));
        }
        (shrinker.best().to_vec(), tries)
    }

    #[test]
    fn only_what_is_needed_for_the_failure_is_left() {
        assert_eq!(shrunk(20, &[7]).0, [7]);
        assert_eq!(shrunk(20, &[3, 17]).0, [3, 17]);
        assert_eq!(shrunk(9, &[0, 4, 8]).0, [0, 4, 8]);
        assert_eq!(shrunk(1, &[0]).0, [0]);
        let everything: Vec<u32> = (0..6).collect();
        assert_eq!(shrunk(6, &everything).0, everything);
        // A proof takes minutes: one culprit among 32 is found in few.
        assert!(shrunk(32, &[13]).1 <= 16, "{}", shrunk(32, &[13]).1);
    }
}
