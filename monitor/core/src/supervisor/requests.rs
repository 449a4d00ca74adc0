//! What people ask of the leader.

use super::ticket::{Plan, Ticket};
use super::{Exit, Patient, Supervisor};
use crate::id::{ContainerId, MemberName};
use crate::message::{Outcome, RestartReason, Verb};
use crate::time::Instant;
use std::time::Duration;

fn yes(text: String) -> Outcome {
    Outcome {
        accepted: true,
        text,
    }
}

fn no(text: String) -> Outcome {
    Outcome {
        accepted: false,
        text,
    }
}

impl Supervisor {
    pub(crate) fn request(&mut self, now: Instant, verb: &Verb) -> Outcome {
        // What is promised to a person must not be lost with this leader: the group hears it at once.
        self.announce = true;
        match verb {
            Verb::Heal { name } => self.heal(now, name),
            Verb::Hold {
                names,
                for_s,
                reason,
            } => self.hold(now, names, *for_s, reason),
            Verb::Resume { names } => {
                let ended = self.holds.resume((self.mandate.term, self.boot), names);
                self.unsaved = true;
                self.dirty_all();
                yes(format!("{ended} holds ended"))
            }
            Verb::Release { name } => self.release(now, name),
            Verb::Elect => no("only a leader can hold an election".to_owned()),
            Verb::Fence { .. } => no("only a leader can fence".to_owned()),
            Verb::Attack { .. } => no("only the chaos monkey attacks".to_owned()),
        }
    }

    pub(super) fn find_named(&self, name: &MemberName) -> Option<ContainerId> {
        self.patients
            .values()
            .filter(|p| p.care.is_some())
            .find(|p| p.info.member.as_ref() == Some(name) || p.info.name == name.as_str())
            .map(|p| p.info.id.clone())
    }

    fn unknown(&self, name: &MemberName) -> Outcome {
        let known: Vec<String> = self
            .patients
            .values()
            .filter(|p| p.care.is_some())
            .filter_map(Patient::name)
            .map(|name| name.to_string())
            .collect();
        no(format!(
            "{name} is nobody's patient on this host; there are: {}",
            known.join(", ")
        ))
    }

    fn heal(&mut self, now: Instant, name: &MemberName) -> Outcome {
        let may_force = self.mandate.force_until.is_some();
        let engine = self.engine_time(now);
        let Some(id) = self.find_named(name) else {
            return self.unknown(name);
        };
        let Some(patient) = self.patients.get_mut(&id) else {
            return no(format!("{name} is gone"));
        };
        self.dirty.insert(id);
        let busy = patient
            .ticket
            .as_ref()
            .is_some_and(|ticket| ticket.ordered.is_some());
        if busy {
            return yes(format!("{name} is being healed already"));
        }
        let evidence = "a person asked".to_owned();
        if patient.is_down() {
            patient.intensity.clear(now, engine);
            patient.stopped = None;
            patient.ticket = None;
            patient.exit = Some(Exit::Witnessed {
                reason: RestartReason::Requested,
                at: now,
                evidence,
            });
            self.unsaved = true;
            return yes(format!("{name} will be started"));
        }
        if !may_force {
            return no(format!(
                "{name} runs, and without the token and its lease nothing that runs is forced; try again in a moment"
            ));
        }
        let plan = Plan::Force { gentle: true };
        let incarnation = patient.info.started_at.clone();
        let reason = RestartReason::Requested;
        patient.ticket = Some(Ticket::new(reason, evidence, plan, incarnation, now, now));
        yes(format!("{name} runs; it will be killed and started"))
    }

    fn hold(&mut self, now: Instant, names: &[MemberName], for_s: u64, reason: &str) -> Outcome {
        let span = Duration::from_secs(for_s);
        let said = (self.mandate.term, self.boot);
        let kept = if names.is_empty() {
            self.holds.hold(now, said, None, span, reason)
        } else {
            names
                .iter()
                .all(|name| self.holds.hold(now, said, Some(name.clone()), span, reason))
        };
        self.unsaved = true;
        self.dirty_all();
        if kept {
            let whom = if names.is_empty() {
                "everyone".to_owned()
            } else {
                let names: Vec<&str> = names.iter().map(MemberName::as_str).collect();
                names.join(", ")
            };
            yes(format!("{whom} held for {for_s} s"))
        } else {
            no("too many holds; end some by monitor resume".to_owned())
        }
    }

    fn release(&mut self, now: Instant, name: &MemberName) -> Outcome {
        let engine = self.engine_time(now);
        let Some(id) = self.find_named(name) else {
            return self.unknown(name);
        };
        let Some(patient) = self.patients.get_mut(&id) else {
            return no(format!("{name} is gone"));
        };
        if patient.intensity.quarantined.is_none() {
            return no(format!("{name} is not in quarantine"));
        }
        patient.intensity.clear(now, engine);
        self.unsaved = true;
        self.dirty.insert(id);
        yes(format!("{name} is released"))
    }
}
