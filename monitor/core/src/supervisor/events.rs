//! What the engine's events change at once. What they cannot tell is asked for.

use super::patient::{Life, SIGKILL, SIGSTOP};
use super::{CONTAINERS_MAX, Exit, Patient, STOP_CONFIRMED, STOP_FOLLOWS, Supervisor};
use crate::engine::{EngineEvent, EventKind};
use crate::id::ContainerId;
use crate::message::{IncidentOutcome, RestartReason};
use crate::out::Out;
use crate::time::Instant;

impl Supervisor {
    pub(crate) fn event(&mut self, now: Instant, event: &EngineEvent, out: &mut Out) {
        self.engine_seen = self.engine_seen.max(event.at);
        self.mark += 1;
        let id = event.container.clone();
        if event.kind == EventKind::Destroy {
            self.forget(now, &id, out);
            return;
        }
        if !self.patients.contains_key(&id) && self.patients.len() >= CONTAINERS_MAX {
            return;
        }
        let mut patient = self
            .patients
            .remove(&id)
            .unwrap_or_else(|| Patient::unknown(id.clone(), event.name.clone()));
        patient.mark = self.mark;
        patient.fresh = false;
        patient.look_at = None;
        patient.contradictions = 0;
        self.apply(now, &mut patient, &event.kind, out);
        self.patients.insert(id.clone(), patient);
        self.dirty.insert(id.clone());
        if event.kind == EventKind::Start {
            self.started(now, &id);
        }
    }

    fn apply(&mut self, now: Instant, patient: &mut Patient, kind: &EventKind, out: &mut Out) {
        match kind {
            EventKind::Kill { signal } => self.killed(now, patient, *signal, out),
            EventKind::Die { exit_code } => self.died(now, patient, *exit_code, out),
            EventKind::Stop => self.stopped(now, patient, out),
            EventKind::Start => self.restarted(now, patient),
            EventKind::Oom => patient.life.oom = true,
            EventKind::Pause => patient.paused_since = Some(now),
            EventKind::Unpause => patient.paused_since = None,
            EventKind::Health(health) => patient.info.health = Some(*health),
            EventKind::Create
            | EventKind::Rename
            | EventKind::Disconnect { .. }
            | EventKind::Connect { .. }
            | EventKind::Destroy => {}
        }
    }

    fn killed(&mut self, now: Instant, patient: &mut Patient, signal: i32, out: &mut Out) {
        if !patient.is_up() || patient.exit.is_some() || patient.running_since.is_none() {
            // Only what runs is signalled: its start was missed, and this belongs to the life that
            // the next look will show.
            patient.life = Life {
                early: true,
                ..Life::default()
            };
        }
        patient.life.signalled = true;
        if signal == SIGSTOP {
            patient.stuck_since.get_or_insert(now);
        }
        if signal == patient.info.stop_signal {
            let own = patient
                .ticket
                .as_mut()
                .is_some_and(|ticket| ticket.take_own_kill(now));
            let announced = patient.announced.take().is_some_and(|until| now < until);
            patient.life.excused |= announced;
            if !own && !announced {
                patient.begin_stopping(now);
                self.refuse(now, patient, "somebody is stopping it", out);
            }
        }
        if signal == SIGKILL {
            patient.life.killed = true;
        }
    }

    fn died(&mut self, now: Instant, patient: &mut Patient, code: i64, out: &mut Out) {
        patient.running_since = None;
        patient.life.early = false;
        patient.info.exit_code = code;
        if let Some(name) = &patient.info.member {
            self.ended.push(name.clone());
        }
        let own = patient.in_force();
        if !own && patient.ticket.as_ref().is_some_and(|t| t.ordered.is_some()) {
            let note = Some(("failed", format!("it went down again, exit code {code}")));
            self.close(now, patient, IncidentOutcome::Failed, note, out);
        }
        let young = now.since(self.stream_since) < patient.info.stop_timeout;
        patient.exit = Some(if !own && (patient.is_stopping(now) || young) {
            Exit::AwaitingStop {
                until: now + STOP_FOLLOWS,
                died: now,
            }
        } else {
            super::exit::witnessed(patient, now)
        });
    }

    fn stopped(&mut self, now: Instant, patient: &mut Patient, out: &mut Out) {
        patient.life.stopping = None;
        patient.intensity.clear();
        patient.exit = Some(Exit::StopSeen {
            check: now + STOP_CONFIRMED,
        });
        self.refuse(now, patient, "somebody stopped it", out);
    }

    /// A person's will came up while a healing was under way.
    fn refuse(&mut self, now: Instant, patient: &mut Patient, why: &str, out: &mut Out) {
        let Some(ticket) = &patient.ticket else {
            return;
        };
        if ticket.ordered.is_some() {
            let note = Some(("refused", why.to_owned()));
            self.close(now, patient, IncidentOutcome::Refused, note, out);
        } else {
            patient.ticket = None;
        }
    }

    fn restarted(&mut self, now: Instant, patient: &mut Patient) {
        let died = match &patient.exit {
            Some(Exit::Witnessed { at, .. }) | Some(Exit::AwaitingStop { died: at, .. }) => {
                Some(*at)
            }
            _ => None,
        };
        let reason = match patient.exit.take() {
            // A person started it in quarantine, or a healer that knew of none: it has its chance, and
            // the count stays, for the next death within the window.
            Some(exit) if exit.was_death() && patient.intensity.quarantined.is_some() => {
                patient.intensity.quarantined = None;
                patient.intensity.count(now);
                self.unsaved = true;
                RestartReason::Requested
            }
            Some(exit) if exit.was_death() => {
                patient.intensity.count(now);
                self.unsaved = true;
                super::exit::reason(patient)
            }
            Some(Exit::Stopped | Exit::StopSeen { .. }) => {
                patient.intensity.clear();
                self.unsaved = true;
                RestartReason::Ended
            }
            _ => RestartReason::Ended,
        };
        // What was heard before this start belongs to the life before.
        patient.life.early = false;
        let by_engine = patient.ticket.as_ref().is_none_or(|t| t.ordered.is_none());
        patient.begin_life(now);
        if let Some(at) = died
            && by_engine
            && self.mandate.leads
            && patient.care.is_some()
        {
            patient.ticket = Some(super::find::by_engine(reason, at, now));
        }
    }

    /// Those that share its network lost theirs.
    fn started(&mut self, now: Instant, owner: &ContainerId) {
        let mode = format!("container:{owner}");
        let title = self
            .patients
            .get(owner)
            .map(|p| p.info.name.clone())
            .unwrap_or_default();
        let children = self
            .patients
            .values_mut()
            .filter(|p| p.info.network_mode == mode);
        for child in children {
            if child.is_up() && child.suspicion.is_none() {
                child.suspicion = Some(super::patient::Suspicion {
                    reason: RestartReason::NetworkOwnerRestarted,
                    evidence: format!("{title}, whose network it shares, was started anew"),
                    first_sign: now,
                    ripe: now + STOP_FOLLOWS,
                });
            }
            self.dirty.insert(child.info.id.clone());
        }
    }
}
