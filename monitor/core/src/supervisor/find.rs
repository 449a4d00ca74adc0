//! From what a container shows to what is to be done for it.

use super::observe::missing;
use super::policy::{self, Action, Care, Heal};
use super::ticket::{Phase, Plan, Ticket};
use super::{Exit, Patient, RECOVER_MAX, RESTARTING_LOOK, STUCK_GRACE, Supervisor};
use crate::engine::{ContainerState, Health};
use crate::message::{IncidentOutcome, RestartReason, Severity};
use crate::out::Out;
use crate::time::Instant;
use std::time::Duration;

/// A broker that was started needs so long until its handshakes count.
const BROKER_BOOT: Duration = Duration::from_secs(30);

/// The engine itself brought it back; what remains is to see whether it recovers.
pub(super) fn by_engine(reason: RestartReason, died: Instant, now: Instant) -> Ticket {
    let evidence = "Docker's own restart policy acted".to_owned();
    let mut ticket = Ticket::new(reason, evidence, Plan::Engine, None, died, now);
    ticket.verdict = died;
    ticket.ordered = Some(died);
    ticket.running = Some(now);
    ticket.phase = Phase::Recovering {
        until: now + RECOVER_MAX,
    };
    ticket
}

impl Supervisor {
    /// A new ticket, where one is due and this member may act.
    pub(super) fn find(
        &mut self,
        now: Instant,
        patient: &mut Patient,
        care: &Care,
        out: &mut Out,
    ) -> Option<Ticket> {
        if self.is_held(patient, care) {
            return None;
        }
        let ticket = match patient.info.state {
            ContainerState::Exited | ContainerState::Dead | ContainerState::Created => {
                self.find_down(now, patient, care, out)
            }
            ContainerState::Restarting => {
                patient.look_again_at(now + RESTARTING_LOOK);
                self.find_looping(now, patient, care)
            }
            ContainerState::Paused => self.find_paused(now, patient, care),
            ContainerState::Running => self.find_running(now, patient, care),
            ContainerState::Removing => None,
        }?;
        if patient.quarantine(now, self.config.release_after, out) {
            patient.wake_at_release(self.config.release_after);
            return None;
        }
        if !self.is_allowed(now, patient, &ticket) {
            return None;
        }
        match care.action {
            Action::Restart => Some(ticket),
            Action::Notify => {
                let text = format!(
                    "{} needs healing ({}), and its label says notify only",
                    patient.info.name, ticket.evidence
                );
                patient.alert_once(Severity::Medium, "notify", text, out);
                None
            }
            Action::Watch => None,
        }
    }

    pub(super) fn is_held(&self, patient: &Patient, care: &Care) -> bool {
        care.held || self.holds.covers(patient.name().as_ref())
    }

    fn is_allowed(&self, now: Instant, patient: &mut Patient, ticket: &Ticket) -> bool {
        if ticket.is_force() || matches!(ticket.plan, Plan::Connect(_)) {
            let broker =
                self.mandate.broker_force && patient.care.as_ref().is_some_and(|care| care.broker);
            if let Some(until) = patient.blocked.filter(|until| now < *until) {
                patient.wake_at(until);
                return false;
            }
            return broker || self.mandate.leads && self.mandate.force_until.is_some();
        }
        match self.mandate.start_at {
            Some(at) if now >= at => true,
            Some(at) => {
                patient.wake_at(at);
                false
            }
            None => false,
        }
    }

    fn find_down(
        &mut self,
        now: Instant,
        patient: &mut Patient,
        care: &Care,
        out: &mut Out,
    ) -> Option<Ticket> {
        match patient.exit.clone()? {
            Exit::Witnessed {
                reason,
                at,
                evidence,
            } => {
                let asked = reason == RestartReason::Requested;
                if patient.info.started_at.is_none() && patient.info.error.is_empty() && !asked {
                    return None;
                }
                if !asked && !care.heal.covers(reason) {
                    return None;
                }
                patient.due_since.get_or_insert(now);
                let incarnation = patient.info.started_at.clone();
                let mut ticket = Ticket::new(reason, evidence, Plan::Start, incarnation, at, now);
                let wait = patient.intensity.backoff(&self.config);
                ticket.not_before = now + out.jitter(wait);
                Some(ticket)
            }
            Exit::StopSeen { check } => {
                if now >= check {
                    patient.fresh = false;
                } else {
                    patient.wake_at(check);
                }
                None
            }
            Exit::Unwitnessed => {
                let expected = care.heal != Heal::Nothing
                    && patient.info.started_at.is_some()
                    && care.heal.covers(super::exit::reason(patient));
                if self.mandate.leads && expected && care.action != Action::Watch {
                    let name = patient.info.name.clone();
                    let text = format!(
                        "{name} is down and nobody saw how it ended; if it should run: monitor heal {name}"
                    );
                    patient.alert_once(Severity::Low, "unwitnessed", text, out);
                }
                None
            }
            Exit::AwaitingStop { .. } | Exit::Stopped | Exit::Restoring { .. } => None,
        }
    }

    /// The engine restarts it again and again: one kill cancels its policy.
    fn find_looping(&mut self, now: Instant, patient: &mut Patient, care: &Care) -> Option<Ticket> {
        let window = self.config.restart_window;
        let looping = patient.intensity.exceeded(now, care.limit, window);
        (looping && patient.intensity.quarantined.is_none()).then(|| {
            let evidence = "Docker restarts it again and again".to_owned();
            let incarnation = patient.info.started_at.clone();
            let plan = Plan::Force { gentle: false };
            Ticket::new(RestartReason::Failed, evidence, plan, incarnation, now, now)
        })
    }

    fn find_paused(&mut self, now: Instant, patient: &mut Patient, care: &Care) -> Option<Ticket> {
        let since = patient.paused_since?;
        let at = since + self.config.pause_grace;
        if !care.unpause || care.heal == Heal::Nothing || patient.is_stopping(now) {
            return None;
        }
        if now < at {
            patient.wake_at(at);
            return None;
        }
        let evidence = format!("paused for {:.0} s", now.since(since).as_secs_f64());
        let incarnation = patient.info.started_at.clone();
        let mut ticket = Ticket::new(
            RestartReason::Paused,
            evidence,
            Plan::Unpause,
            incarnation,
            since,
            now,
        );
        ticket.not_before = now + patient.intensity.backoff(&self.config);
        Some(ticket)
    }

    fn find_running(&mut self, now: Instant, patient: &mut Patient, care: &Care) -> Option<Ticket> {
        self.settle(now, patient);
        if patient.is_stopping(now) || care.heal == Heal::Nothing {
            return None;
        }
        let incarnation = patient.info.started_at.clone();
        let not_before = now + patient.intensity.backoff(&self.config);
        let force = |reason, evidence, plan, sign| {
            let mut ticket = Ticket::new(reason, evidence, plan, incarnation, sign, now);
            ticket.not_before = not_before;
            Some(ticket)
        };
        if let Some(since) = patient.stuck_since
            && patient.info.process_state == Some('T')
        {
            if now < since + STUCK_GRACE {
                patient.look_again_at(since + STUCK_GRACE);
                return None;
            }
            let plan = if patient.continued {
                Plan::Force { gentle: false }
            } else {
                Plan::Continue
            };
            let evidence = "its first process is stopped (state T)".to_owned();
            return force(RestartReason::StoppedInItsTracks, evidence, plan, since);
        }
        if let Some(suspicion) = patient.suspicion.clone() {
            if now < suspicion.ripe {
                patient.wake_at(suspicion.ripe);
                return None;
            }
            let plan = Plan::Force { gentle: true };
            return force(
                suspicion.reason,
                suspicion.evidence,
                plan,
                suspicion.first_sign,
            );
        }
        if self.mandate.broker_force && care.broker {
            let up = patient.running_since.unwrap_or(now) + BROKER_BOOT;
            if now < up {
                patient.wake_at(up);
                return None;
            }
            let evidence = "AMQP handshakes fail although it runs".to_owned();
            let plan = Plan::Force { gentle: false };
            return force(RestartReason::Hung, evidence, plan, now);
        }
        if patient.info.health == Some(Health::Unhealthy) {
            let evidence = "Docker's health check says unhealthy".to_owned();
            let plan = Plan::Force { gentle: true };
            return force(RestartReason::Unhealthy, evidence, plan, now);
        }
        if let Some(since) = patient.cut_since
            && care.unpause
        {
            let at = since + self.config.pause_grace;
            if now < at {
                patient.wake_at(at);
                return None;
            }
            let attachment = missing(patient)?.clone();
            let evidence = format!("cut off from network {}", attachment.network);
            let plan = Plan::Connect(attachment);
            return force(RestartReason::Disconnected, evidence, plan, since);
        }
        None
    }

    /// Running, and not unhealthy, for `BACKOFF_RESET` ends a row of restarts.
    fn settle(&mut self, now: Instant, patient: &mut Patient) {
        let Some(since) = patient.running_since else {
            return;
        };
        let at = since + self.config.backoff_reset;
        if now < at {
            patient.wake_at(at);
        } else if policy::is_well(&patient.info) {
            patient.intensity.settle();
        }
    }

    /// One restart too many. Returns whether the ticket is to be given up.
    pub(super) fn quarantine(
        &mut self,
        now: Instant,
        patient: &mut Patient,
        care: &Care,
        out: &mut Out,
    ) -> bool {
        let window = self.config.restart_window;
        if !patient.intensity.exceeded(now, care.limit, window) {
            return false;
        }
        patient.intensity.quarantined = Some(now);
        self.unsaved = true;
        let count = patient.intensity.within(now, window);
        let text = format!(
            "{} was restarted {count} times in {} s and is left down for {} s; to try at once: monitor release {}",
            patient.info.name,
            window.as_secs(),
            self.config.release_after.as_secs(),
            patient.info.name
        );
        let name = patient.name();
        out.alert(Severity::Critical, "quarantined", name.as_ref(), text);
        self.close(now, patient, IncidentOutcome::Quarantined, None, out);
        patient.wake_at_release(self.config.release_after);
        true
    }
}

impl Patient {
    /// Asks for a look at that time; the earliest asked for wins.
    pub(super) fn wake_at(&mut self, at: Instant) {
        self.wake = Some(self.wake.map_or(at, |old| old.min(at)));
    }

    /// What is known is too old by then: it is to be inspected again.
    fn look_again_at(&mut self, at: Instant) {
        let at = self.look_at.map_or(at, |old| old.min(at));
        self.look_at = Some(at);
        self.wake_at(at);
    }

    fn wake_at_release(&mut self, after: Duration) {
        if let Some(since) = self.intensity.quarantined {
            self.wake_at(since + after);
        }
    }

    /// Still in quarantine. One that lasted long enough ends by itself.
    fn quarantine(&mut self, now: Instant, after: Duration, out: &mut Out) -> bool {
        let Some(since) = self.intensity.quarantined else {
            return false;
        };
        if now.since(since) < after {
            return true;
        }
        self.intensity.clear();
        let text = format!(
            "{} is released from quarantine: its time is over",
            self.info.name
        );
        out.info("quarantine_ended", self.name().as_ref(), text);
        false
    }

    pub(super) fn alert_once(
        &mut self,
        severity: Severity,
        kind: &'static str,
        text: String,
        out: &mut Out,
    ) {
        if self.alerted != Some(kind) {
            self.alerted = Some(kind);
            out.alert(severity, kind, self.name().as_ref(), text);
        }
    }
}
