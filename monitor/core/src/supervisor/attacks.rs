//! What the chaos monkey tells of its attacks: incidents name the attack that they are about, and a stop that nobody
//! is left to take back is taken back.
//!
//! A `stop` looks like a person's, so nobody heals it; the monkey starts its victim again. Where it was killed
//! meanwhile and does not come back, what it published is the copy of its ledger that is left.

use super::{Exit, Patient, Supervisor};
use crate::id::{ContainerId, MemberName};
use crate::message::{AttackStage, AttackTold, RestartReason};
use crate::out::Out;
use crate::time::Instant;
use std::time::Duration;

/// More than are ever under way.
const ATTACKS_MAX: usize = 64;
/// An incident that ends so long after an attack is not about it.
const ABOUT: Duration = Duration::from_secs(600);
/// The monkey takes back what it did, or its next start does; for so much longer it is left to them.
const LEFT_TO_THE_MONKEY: Duration = Duration::from_secs(15);
/// A stop that the engine has not confirmed yet is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// No attack lasts longer.
const LASTS_MAX: Duration = Duration::from_secs(24 * 3600);
/// The fault that is undone here, in the monkey's word.
const STOP: &str = "stop";

/// An attack that was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attacked {
    id: String,
    at: Instant,
    /// The victim, and the life that it had then.
    container: ContainerId,
    life: Option<String>,
    /// A stop that is to be taken back then, unless its author does.
    undo_at: Option<Instant>,
}

impl Supervisor {
    /// The chaos monkey says what became of an attack.
    pub(crate) fn attacked(&mut self, now: Instant, told: &AttackTold) {
        self.attacks
            .retain(|attack| now.since(attack.at) < ABOUT || attack.undo_at.is_some());
        let known = self.attacks.iter().position(|attack| attack.id == told.id);
        let under_way = matches!(told.stage, AttackStage::Begun | AttackStage::Injected);
        match known {
            Some(known) if told.stage == AttackStage::Failed => {
                self.attacks.remove(known);
            }
            Some(known) if !under_way => {
                if let Some(attack) = self.attacks.get_mut(known) {
                    attack.undo_at = None;
                }
            }
            None if under_way && !told.id.is_empty() => self.note_attack(now, told),
            _ => {}
        }
    }

    fn note_attack(&mut self, now: Instant, told: &AttackTold) {
        let named = MemberName::new(told.target.as_str()).ok();
        let named = named.and_then(|name| self.find_named(&name));
        let Some(patient) = named.and_then(|id| self.patients.get(&id)) else {
            return;
        };
        let within = Duration::from_millis(told.within_ms.unwrap_or(0)).min(LASTS_MAX);
        if self.attacks.len() >= ATTACKS_MAX {
            self.attacks.remove(0);
        }
        self.attacks.push(Attacked {
            id: told.id.chars().take(64).collect(),
            at: now,
            container: patient.info.id.clone(),
            life: patient.info.started_at.clone(),
            undo_at: (told.fault == STOP).then(|| now + within + LEFT_TO_THE_MONKEY),
        });
    }

    /// The attack that an incident is about: one on this very life.
    pub(super) fn attack_on(
        &self,
        now: Instant,
        id: &ContainerId,
        life: Option<&String>,
    ) -> Option<&str> {
        let about = |attack: &&Attacked| {
            attack.container == *id
                && now.since(attack.at) < ABOUT
                && (life.is_none() || life == attack.life.as_ref())
        };
        let newest = self.attacks.iter().rev().find(about);
        newest.map(|attack| attack.id.as_str())
    }

    /// When the next stop is to be taken back, by whoever may start.
    pub(super) fn undo_deadline(&self) -> Option<Instant> {
        let from = self.mandate.start_at?;
        let due = self.attacks.iter().filter_map(|attack| attack.undo_at);
        due.min().map(|at| at.max(from))
    }

    /// Takes back the stops whose author is gone.
    pub(super) fn undo_due(&mut self, now: Instant, out: &mut Out) {
        if self.undo_deadline().is_none_or(|at| now < at) {
            return;
        }
        let due: Vec<Attacked> = self
            .attacks
            .iter_mut()
            .filter(|attack| attack.undo_at.is_some_and(|at| now >= at))
            .map(|attack| {
                let due = attack.clone();
                // Where it cannot be judged yet it is looked at again.
                attack.undo_at = Some(now + LOOK_AGAIN);
                due
            })
            .collect();
        for attack in due {
            let patient = self.patients.get_mut(&attack.container);
            let judged =
                |patient: &&mut Patient| !matches!(patient.exit, Some(Exit::StopSeen { .. }));
            if patient.as_ref().is_none_or(judged) {
                let same = |known: &&mut Attacked| known.id == attack.id;
                if let Some(known) = self.attacks.iter_mut().find(same) {
                    known.undo_at = None;
                }
            }
            let Some(patient) = patient else {
                continue;
            };
            // The very life that was attacked, and nobody started it since: then the stop was the monkey's.
            let stopped = matches!(patient.exit, Some(Exit::Stopped)) && patient.is_down();
            if !stopped || patient.info.started_at != attack.life {
                continue;
            }
            let title = patient.info.name.clone();
            out.info(
                "attack_undone",
                patient.name().as_ref(),
                format!(
                    "{title} was stopped by the chaos monkey (attack {}), which does not take it back: it is started",
                    attack.id
                ),
            );
            patient.stopped = None;
            patient.exit = Some(Exit::Witnessed {
                reason: RestartReason::Requested,
                at: now,
                evidence: format!("stopped by the chaos monkey, attack {}", attack.id),
            });
            self.unsaved = true;
            self.dirty.insert(attack.container);
        }
    }
}
