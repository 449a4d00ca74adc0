//! What the engine's events change at once. What they cannot tell is asked for.

use super::patient::{Life, SIGCONT, SIGKILL, SIGSTOP};
use super::ticket::Ticket;
use super::{CONTAINERS_MAX, Exit, Patient, STOP_CONFIRMED, STOP_FOLLOWS, Supervisor};
use crate::engine::{EngineEvent, EventKind, Health};
use crate::id::ContainerId;
use crate::message::{IncidentOutcome, RestartReason};
use crate::out::Out;
use crate::sabotage::Sabotage;
use crate::time::Instant;
use std::time::Duration;

/// An event is at its listeners within milliseconds (measured: 25 to 31), in nanoseconds.
const HEARD_LATE: i64 = 1_000_000_000;
/// After a signal that may end it: by then it is looked at, if it lives.
const KILL_LOOK: Duration = Duration::from_millis(500);

impl Supervisor {
    pub(crate) fn event(&mut self, now: Instant, event: &EngineEvent, out: &mut Out) {
        self.note_engine_time(now, event.at);
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
        if event.kind.is_about_networks() && patient.is_down() && patient.exit.is_some() {
            // What it is attached to matters again when it runs, and then it is looked at.
            self.patients.insert(id, patient);
            return;
        }
        patient.mark = self.mark;
        patient.fresh = false;
        patient.known &= event.kind.is_within_a_life();
        patient.look_at = None;
        patient.contradictions = 0;
        self.apply(now, &mut patient, event, out);
        self.patients.insert(id.clone(), patient);
        self.dirty.insert(id.clone());
        if event.kind == EventKind::Start {
            self.started(now, &id);
        }
    }

    fn apply(&mut self, now: Instant, patient: &mut Patient, event: &EngineEvent, out: &mut Out) {
        match &event.kind {
            EventKind::Kill { signal } => self.killed(now, patient, *signal, out),
            EventKind::Die { exit_code } => self.died(now, patient, *exit_code, event.at, out),
            EventKind::Stop => self.stopped(now, patient, event.at, out),
            EventKind::Start => self.restarted(now, patient, event.at),
            EventKind::Oom => patient.life.oom = true,
            EventKind::Pause => {
                patient.paused_since = Some(now);
                self.other_pause(now, patient, out);
            }
            EventKind::Unpause => patient.paused_since = None,
            EventKind::Health(health) => {
                if *health == Health::Healthy {
                    // The next sickness of this life is worth a word of its own.
                    patient.alerted = None;
                }
                patient.info.health = Some(*health);
            }
            EventKind::Create
            | EventKind::Rename
            | EventKind::Disconnect { .. }
            | EventKind::Connect { .. }
            | EventKind::Destroy => {}
        }
    }

    fn killed(&mut self, now: Instant, patient: &mut Patient, signal: i32, out: &mut Out) {
        let unseen = !patient.is_up() || patient.exit.is_some() || patient.running_since.is_none();
        if unseen && !patient.life.early {
            // Only what runs is signalled: its start was missed, and this belongs to the life that
            // the next look will show, as do those that follow.
            patient.life = Life {
                early: true,
                ..Life::default()
            };
        }
        patient.life.signalled = true;
        if signal == SIGSTOP {
            patient.stuck_since.get_or_insert(now);
        } else if signal != SIGCONT && !patient.life.early {
            // Most signals are followed by an end, which is looked at; a look in between would only be
            // in its way.
            patient.look_later(now + KILL_LOOK);
        }
        if signal == patient.info.stop_signal {
            let own = patient
                .ticket
                .as_mut()
                .is_some_and(|ticket| ticket.take_own_kill(now));
            let announced = patient.announced.take().is_some_and(|until| now < until);
            patient.life.excused |= announced;
            if announced {
                patient.life.excused_at = Some(now);
            }
            if !own && !announced {
                patient.begin_stopping(now);
                self.refuse(now, patient, "somebody is stopping it", out);
            }
        }
        if signal == SIGKILL {
            patient.life.killed = true;
        }
    }

    fn died(&mut self, now: Instant, patient: &mut Patient, code: i64, at: i64, out: &mut Out) {
        patient.running_since = None;
        patient.life.early = false;
        patient.info.exit_code = code;
        self.note_end(patient);
        let own = patient.in_force();
        if !own && patient.ticket.as_ref().is_some_and(|t| t.ordered.is_some()) {
            let note = Some(("failed", format!("it went down again, exit code {code}")));
            self.close(now, patient, IncidentOutcome::Failed, note, out);
        }
        let young = self.is_young(now, patient);
        let waits =
            (patient.is_stopping(now) || young) && !self.config.broken(Sabotage::StartStopping);
        patient.exit = Some(if !own && waits {
            Exit::AwaitingStop {
                until: now + STOP_FOLLOWS,
                died: now,
            }
        } else {
            super::exit::witnessed(patient, now)
        });
        if self.is_startable_unseen(now, patient, own, at) {
            patient.down_as_heard();
        }
    }

    /// This event stream may be too young to have shown the signal of a stop under way.
    fn is_young(&self, now: Instant, patient: &Patient) -> bool {
        now.since(self.stream_since) < patient.info.stop_timeout
    }

    /// What a look could add to this end is nothing that a start depends on: the life is known, the engine
    /// leaves it, and the start is due now. Its driver looks once more right before the call, as always.
    fn is_startable_unseen(&self, now: Instant, patient: &Patient, own: bool, at: i64) -> bool {
        let at_once = patient.intensity.backoff(&self.config).is_zero();
        let due = own || at_once && self.mandate.step.is_zero();
        // What it waits for may have died in the same moment, and its event be the next.
        let alone = patient
            .care
            .as_ref()
            .is_some_and(|care| care.depends_on.is_empty())
            && !patient.info.network_mode.starts_with("container:");
        // What was heard late, after a freeze or through a slow stream, may be long over.
        let young = self.engine_time_at_least(now).saturating_sub(at) < HEARD_LATE;
        self.trusted
            && young
            && patient.known
            && patient.seen_up.is_some_and(|seen| at > seen)
            && alone
            && matches!(patient.exit, Some(Exit::Witnessed { .. }))
            && patient.is_left_by_engine()
            && due
            && self.mandate.start_at.is_some_and(|at| now >= at)
    }

    fn stopped(&mut self, now: Instant, patient: &mut Patient, at: i64, out: &mut Out) {
        if self.config.broken(Sabotage::IgnoreStop) {
            patient.exit = Some(Exit::AwaitingStop {
                until: now + STOP_FOLLOWS,
                died: now,
            });
            return;
        }
        patient.life.stopping = None;
        patient.intensity.clear(now, at);
        patient.exit = Some(Exit::StopSeen {
            check: now + STOP_CONFIRMED,
        });
        self.refuse(now, patient, "somebody stopped it", out);
    }

    /// A pause that a ticket is about is over, whoever ended it, and this is another one with a grace of its
    /// own.
    fn other_pause(&mut self, now: Instant, patient: &mut Patient, out: &mut Out) {
        let about_pauses =
            |ticket: &super::ticket::Ticket| ticket.plan == super::ticket::Plan::Unpause;
        if patient.ticket.as_ref().is_some_and(about_pauses) {
            self.refuse(now, patient, "somebody paused it again", out);
        }
    }

    /// A person's will came up while a healing was under way.
    fn refuse(&mut self, now: Instant, patient: &mut Patient, why: &str, out: &mut Out) {
        let Some(ticket) = &patient.ticket else {
            return;
        };
        if ticket.ordered.is_some() || ticket.announced {
            // Others take this person's signal for the announced one until they are told.
            self.announce |= ticket.announced;
            let note = Some(("refused", why.to_owned()));
            self.close(now, patient, IncidentOutcome::Refused, note, out);
        } else {
            patient.ticket = None;
        }
    }

    fn restarted(&mut self, now: Instant, patient: &mut Patient, at: i64) {
        let died = match &patient.exit {
            Some(Exit::Witnessed { at: died, .. } | Exit::AwaitingStop { died, .. }) => Some(*died),
            _ => None,
        };
        let reason = match patient.exit.take() {
            // A person started it in quarantine, or a healer that knew of none: it has its chance, and
            // the count stays, for the next death within the window.
            Some(exit) if exit.was_death() && patient.intensity.quarantined.is_some() => {
                patient.intensity.give_a_chance();
                patient.intensity.count(now, at);
                self.unsaved = true;
                RestartReason::Requested
            }
            Some(exit) if exit.was_death() => {
                patient.intensity.count(now, at);
                self.unsaved = true;
                super::exit::reason(patient)
            }
            Some(Exit::Stopped | Exit::StopSeen { .. }) => {
                patient.intensity.clear(now, at);
                self.unsaved = true;
                RestartReason::Ended
            }
            _ => {
                patient.intensity.heard_after_all(now, at);
                RestartReason::Ended
            }
        };
        // What was heard before this start belongs to the life before.
        patient.life.early = false;
        let by_engine = patient.ticket.as_ref().is_none_or(|t| t.ordered.is_none());
        patient.begin_life(now);
        patient.start_heard = true;
        if patient.ticket.as_ref().is_some_and(Ticket::is_dying) {
            // While this healer slept, another one went on.
            self.was_brought_back(now, patient);
        }
        // The engine's word on the life before, until it is looked at.
        patient.info.oom_killed = false;
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
