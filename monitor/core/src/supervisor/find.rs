//! From what a container shows to what is to be done for it.

use super::observe::missing;
use super::policy::{Action, Care, Heal};
use super::recreate::NetworkOwner;
use super::ticket::{Phase, Plan, Ticket};
use super::{Exit, Patient, RECOVER_MAX, RESTARTING_LOOK, STUCK_GRACE, Supervisor};
use crate::engine::{ContainerState, Health};
use crate::message::{IncidentOutcome, RestartReason, Severity};
use crate::node::Role;
use crate::out::Out;
use crate::sabotage::Sabotage;
use crate::time::Instant;
use std::time::Duration;

/// The alert about one whose label says stop.
pub(super) const LEFT_DOWN: &str = "left_down";
/// A broker that was started needs so long until its handshakes count.
const BROKER_BOOT: Duration = Duration::from_secs(30);
/// A beat comes back within milliseconds; people wait no longer than this for the group to know first.
const TELL_MAX: Duration = Duration::from_secs(3);
/// Without a leader: longer than an election.
const UNATTENDED_TELLS: Duration = Duration::from_secs(10);

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

/// The exit code of its last end, and whether that was for memory.
fn ended_with(patient: &Patient) -> Option<(i64, bool)> {
    let oom = patient.info.oom_killed || patient.life.oom && !patient.life.killed;
    patient.is_down().then_some((patient.info.exit_code, oom))
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
        self.wants.remove(&patient.info.id);
        if self.is_held(patient, care) || self.config.broken(Sabotage::HealNobody) {
            return None;
        }
        if care.only_running && patient.info.state != ContainerState::Running {
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
            ContainerState::Running => self.find_running(now, patient, care, out),
            ContainerState::Removing => None,
        }?;
        let engine = self.engine_time(now);
        let engine = self.mandate.leads.then_some(engine);
        if patient.quarantine(now, engine, self.config.release_after, out) {
            patient.wake_at_release(self.config.release_after);
            return None;
        }
        if !self.is_allowed(now, patient, &ticket) {
            if !self.mandate.leads && !self.config.dry_run && care.action == Action::Restart {
                self.want(patient, &ticket);
            }
            return None;
        }
        if self.config.dry_run {
            let text = format!(
                "Dry run: {} would be {} because: {}",
                patient.info.name,
                ticket.plan.would(care.action),
                ticket.evidence
            );
            patient.alert_once(Severity::Low, "dry_run", text, out);
            return None;
        }
        match care.action {
            Action::Restart => Some(ticket),
            Action::Stop if ticket.is_force() => Some(ticket),
            Action::Stop => {
                let text = format!(
                    "{} needs healing ({}), and is left as it is: its label says stop",
                    patient.info.name, ticket.evidence
                );
                patient.alert_once(Severity::Medium, LEFT_DOWN, text, out);
                None
            }
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
        !self.config.broken(Sabotage::IgnoreHold)
            && (care.held || self.holds.covers(patient.name().as_ref()))
    }

    fn is_allowed(&self, now: Instant, patient: &mut Patient, ticket: &Ticket) -> bool {
        if ticket.is_force() || matches!(ticket.plan, Plan::Connect(_) | Plan::Recreate { .. }) {
            let broker =
                self.mandate.broker_force && patient.care.as_ref().is_some_and(|care| care.broker);
            if let Some(until) = patient.blocked.filter(|until| now < *until) {
                patient.wake_at(until);
                return false;
            }
            let granted = patient.granted.is_some_and(|until| now < until);
            return broker || granted || self.mandate.leads && self.mandate.force_until.is_some();
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
                let asked =
                    reason == RestartReason::Requested || self.config.broken(Sabotage::HealCreated);
                if patient.info.started_at.is_none() && patient.info.error.is_empty() && !asked {
                    return None;
                }
                if !asked && !care.heal.covers(reason) {
                    return None;
                }
                if self.network_owner(patient) != NetworkOwner::Fine {
                    // A start would fail for ever.
                    return self.find_orphan(now, patient, care, out);
                }
                patient.due_since.get_or_insert(now);
                let incarnation = patient.info.started_at.clone();
                let mut ticket = Ticket::new(reason, evidence, Plan::Start, incarnation, at, now);
                ticket.exit = ended_with(patient);
                let wait = if self.config.broken(Sabotage::NoLimit) {
                    Duration::ZERO
                } else {
                    patient.intensity.backoff(&self.config)
                };
                // From the death on: a new leader does not begin the wait anew.
                // And healers that act without a leader do it one after the other, each time.
                ticket.not_before = now.max(at + out.jitter(wait).max(self.mandate.step));
                Some(ticket)
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
            Exit::AwaitingStop { .. }
            | Exit::StopSeen { .. }
            | Exit::Stopped
            | Exit::Restoring { .. } => None,
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

    fn find_running(
        &mut self,
        now: Instant,
        patient: &mut Patient,
        care: &Care,
        out: &mut Out,
    ) -> Option<Ticket> {
        self.settle(now, patient);
        if patient.is_stopping(now) || care.heal == Heal::Nothing {
            return None;
        }
        if self.network_owner(patient) != NetworkOwner::Fine {
            return self.find_orphan(now, patient, care, out);
        }
        let incarnation = patient.info.started_at.clone();
        // The wait for a check was one already.
        let from = patient.waited_since.unwrap_or(now);
        let not_before = now.max(from + patient.intensity.backoff(&self.config));
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
        if let Some(evidence) = self.fails_probes(patient, care) {
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
        } else if patient.is_well() {
            patient.waited_since = None;
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
        let exceeded = patient.intensity.exceeded(now, care.limit, window);
        if !exceeded || self.config.broken(Sabotage::NoLimit) {
            return false;
        }
        let untold = patient.intensity.quarantine(now, window);
        self.unsaved = true;
        // Whoever leads next must know of it before people are told: else they are told twice.
        self.announce = true;
        self.close(now, patient, IncidentOutcome::Quarantined, None, out);
        patient.wake_at_release(self.config.release_after);
        if untold {
            self.tell_quarantine(now, patient, out);
        }
        true
    }

    /// From when on it is this member that tells of a quarantine since then; `None`: it is another's.
    fn tells_at(&self, now: Instant, since: Instant) -> Option<Instant> {
        if self.config.role == Role::Solo {
            return Some(now);
        }
        if !self.mandate.beats {
            // Without a leader it is the highest healer's, if none comes for a while who tells.
            let from = self
                .mandate
                .start_at
                .filter(|_| self.mandate.step.is_zero())?;
            return Some(from.max(since) + UNATTENDED_TELLS);
        }
        // A new leader first hears what others remember.
        let office = self.mandate.since + TELL_MAX;
        let written = self.written.is_some_and(|sent| sent >= since);
        Some(if written {
            office
        } else {
            office.max(since + TELL_MAX)
        })
    }

    /// Tells people of a quarantine that nobody told of: once the group has it in writing, or where there
    /// is no group to know of it. Its successor tells of what a leader left untold.
    pub(super) fn tell_quarantine(&mut self, now: Instant, patient: &mut Patient, out: &mut Out) {
        let Some(since) = patient.intensity.untold() else {
            return;
        };
        match self.tells_at(now, since) {
            Some(at) if now >= at => {}
            Some(at) => return patient.wake_at(at),
            None => return,
        }
        patient.intensity.told = Some(now);
        self.unsaved = true;
        self.announce = true;
        let window = self.config.restart_window;
        let count = patient.intensity.within(since, window);
        let left = if patient.is_up() {
            "left as it is"
        } else {
            "left down"
        };
        let text = format!(
            "{} was restarted {count} times in {} s and is {left} for {} s; to try at once: monitor release {}",
            patient.info.name,
            window.as_secs(),
            self.config.release_after.as_secs(),
            patient.info.name
        );
        let name = patient.name();
        out.alert(Severity::Critical, "quarantined", name.as_ref(), text);
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

    /// Still in quarantine. One that lasted long enough ends by itself: for all where the leader says so
    /// (`engine`: its engine's time).
    fn quarantine(
        &mut self,
        now: Instant,
        engine: Option<i64>,
        after: Duration,
        out: &mut Out,
    ) -> bool {
        let Some(since) = self.intensity.quarantined else {
            return false;
        };
        if now.since(since) < after {
            return true;
        }
        match engine {
            Some(engine) => self.intensity.clear(now, engine),
            None => self.intensity.serve_out(),
        }
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
