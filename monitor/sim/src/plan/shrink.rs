//! A failing plan made small: fewer acts, fewer containers, less time, as long as it breaks the same rule.

use super::throw::BROKER;
use super::{Plan, Report};
use crate::check::{Rule, Violation};
use crate::clock::{MS, S};
use crate::sabotage::Sabotage;

/// Runs at most: a few seconds' work.
const RUNS_MAX: usize = 1500;

/// Without an act all later delays are drawn anew: so many worlds are tried before one is called healthy.
const WORLDS: u64 = 3;

/// Between two acts this is kept.
const GAP_MIN: u64 = 100 * MS;

/// A plan that still breaks the rule, and what it took to find it.
#[derive(Debug)]
pub struct Shrunk {
    /// The smallest that was found.
    pub plan: Plan,
    /// How it ends.
    pub report: Report,
    /// How many runs it took.
    pub runs: usize,
}

/// Makes a plan small that breaks a rule in this way; `None`: it does not break it.
#[must_use]
pub fn shrink(plan: &Plan, broken: &Violation, sabotage: Option<Sabotage>) -> Option<Shrunk> {
    let mut search = Search {
        broken: kind(broken),
        sabotage,
        runs: 0,
        best: plan.clone(),
    };
    search.best = search.broken(plan)?;
    loop {
        let size = search.size();
        search.drop_acts();
        search.drop_containers();
        search.shorten();
        if search.size() == size || search.runs >= RUNS_MAX {
            break;
        }
    }
    let report = search.best.run(false, sabotage);
    Some(Shrunk {
        plan: search.best,
        report,
        runs: search.runs,
    })
}

/// What is alike in two violations of one kind: the rule, and the words without names and numbers.
fn kind(violation: &Violation) -> (Rule, String) {
    let words = violation.text.split(' ').filter(|word| {
        !word.contains(|c: char| c.is_ascii_digit() || c.is_ascii_uppercase() || c == '[')
    });
    (violation.rule, words.collect::<Vec<_>>().join(" "))
}

struct Search {
    broken: (Rule, String),
    sabotage: Option<Sabotage>,
    runs: usize,
    best: Plan,
}

impl Search {
    fn size(&self) -> (usize, usize, u64) {
        let Plan {
            acts,
            stage,
            mended_at,
            ..
        } = &self.best;
        (acts.len(), stage.len(), *mended_at)
    }

    /// The plan, with a seed under which it breaks the rule.
    fn broken(&mut self, plan: &Plan) -> Option<Plan> {
        for offset in 0..WORLDS {
            if self.runs >= RUNS_MAX {
                return None;
            }
            self.runs += 1;
            let mut plan = plan.clone();
            plan.seed = plan.seed.wrapping_add(offset);
            let report = plan.run(false, self.sabotage);
            if report.violations.iter().any(|v| kind(v) == self.broken) {
                return Some(plan);
            }
        }
        None
    }

    /// Takes a smaller plan where it breaks the rule as well.
    fn try_plan(&mut self, plan: &Plan) -> bool {
        let found = self.broken(plan);
        let better = found.is_some();
        if let Some(plan) = found {
            self.best = plan;
        }
        better
    }

    /// Leaves out half of the acts, a quarter, an eighth, down to single ones.
    fn drop_acts(&mut self) {
        let mut size = self.best.acts.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < self.best.acts.len() {
                let mut plan = self.best.clone();
                let to = (from + size).min(plan.acts.len());
                plan.acts.drain(from..to);
                if !self.try_plan(&plan) {
                    from += size;
                }
            }
            size /= 2;
        }
    }

    fn drop_containers(&mut self) {
        for name in self.best.stage.clone() {
            if name == BROKER {
                // Without it there is no group, and another story.
                continue;
            }
            let mut plan = self.best.clone();
            plan.stage.retain(|other| *other != name);
            if plan.stage.iter().any(|name| name.starts_with("healer")) {
                self.try_plan(&plan);
            }
        }
    }

    /// Halves the time before the first act, between acts, and after the last.
    fn shorten(&mut self) {
        for index in 0..=self.best.acts.len() {
            loop {
                let acts = &self.best.acts;
                let before = match index {
                    0 => 0,
                    _ => acts[index - 1].at,
                };
                let at = acts.get(index).map_or(self.best.mended_at, |act| act.at);
                let gap = at.saturating_sub(before);
                let floor = if index == 0 { 2 * S } else { GAP_MIN };
                if gap <= floor {
                    break;
                }
                let cut = gap / 2;
                let mut plan = self.best.clone();
                for act in &mut plan.acts[index..] {
                    act.at -= cut;
                }
                plan.mended_at = plan.mended_at.saturating_sub(cut);
                if !self.try_plan(&plan) {
                    break;
                }
            }
        }
    }
}
