//! Driving one container's ticket: when an order may go out, and whether it had its effect.

use super::policy::{self, Action, Care};
use super::ticket::{KILL_EVENT, OwnKill, Phase, Plan, Ticket};
use super::{
    ANNOUNCE, DEPENDENCY_MAX, Exit, FORCES_MAX, HARD_KILL_MAX, Patient, SETTLE_MAX, Supervisor,
};
use crate::detector::Detector;
use crate::effect::HookTime;
use crate::engine::{ContainerState, EngineCall, Expectation};
use crate::message::{IncidentOutcome, RestartReason, Severity};
use crate::node::Role;
use crate::out::Out;
use crate::sabotage::Sabotage;
use crate::time::Instant;
use std::time::Duration;

/// A call that had to wait (for a dependency, for others' forces) is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Who would have to kill itself, and is alone, looks again after this whether it still is.
const ALONE_LOOK: Duration = Duration::from_secs(5);
/// Docker checks the health every 30 s where the image says nothing else; a check that succeeds is quick.
const RECHECK_MAX: Duration = Duration::from_secs(35);

impl Supervisor {
    pub(super) fn reconcile(
        &mut self,
        now: Instant,
        patient: &mut Patient,
        ears: &Detector,
        out: &mut Out,
    ) {
        self.expire(now, patient);
        self.tell_quarantine(now, patient, out);
        if patient.look_at.is_some_and(|at| now >= at) {
            patient.look_at = None;
            patient.fresh = false;
        }
        if !patient.fresh {
            self.look(now, patient, out);
            return;
        }
        if patient.ticket.as_ref().is_some_and(Ticket::is_recreating) {
            // Its old container goes through names and ends that mean nothing; the answer decides.
            return;
        }
        let Some(care) = patient.care.clone() else {
            patient.ticket = None;
            return;
        };
        self.probe(now, patient, &care, out);
        if patient.ticket.is_some() {
            self.follow(now, patient, &care, ears, out);
        }
        if patient.ticket.is_none() {
            patient.ticket = self.find(now, patient, &care, out);
            if !patient.fresh {
                self.look(now, patient, out);
            }
        }
        let due = patient
            .ticket
            .as_ref()
            .is_some_and(|ticket| ticket.phase == Phase::Due);
        if due && self.would_end_the_last_healer(now, patient, ears) {
            let why = patient.ticket.take().map(|ticket| ticket.evidence);
            let text = format!(
                "{} should be killed and started ({}), and is left alone: it is this healer, and no other one of this host is heard that would start it; start another healer, or restart it by hand",
                patient.info.name,
                why.unwrap_or_default()
            );
            patient.alert_once(Severity::High, "last_healer", text, out);
            patient.wake_at(now + ALONE_LOOK);
        } else if due {
            self.try_order(now, patient, &care, out);
        }
        let calling = |ticket: &Ticket| matches!(ticket.phase, Phase::Calling { .. });
        if patient.end_unseen && !patient.ticket.as_ref().is_some_and(calling) {
            // No order came of it: what was heard is looked at like everything else.
            patient.fresh = false;
            self.look(now, patient, out);
        }
    }

    /// It is this very healer that would be killed, and no other one is heard that would start it again.
    fn would_end_the_last_healer(&self, now: Instant, patient: &Patient, ears: &Detector) -> bool {
        let kills = |ticket: &Ticket| {
            matches!(ticket.plan, Plan::Force { .. }) && ticket.reason != RestartReason::Requested
        };
        let ordered = patient.granted.is_some_and(|until| now < until);
        patient.ticket.as_ref().is_some_and(kills)
            && !ordered
            && self.is_own(&patient.info)
            && !ears.hears_a_healer_besides(&self.config.name, self.host.as_ref())
    }

    fn look(&mut self, now: Instant, patient: &mut Patient, out: &mut Out) {
        match patient.look_at {
            Some(at) if now < at => patient.wake_at(at),
            _ => {
                patient.look_at = None;
                self.inspect(now, patient, out);
            }
        }
    }

    /// Looks whether what was ordered had its effect.
    fn follow(
        &mut self,
        now: Instant,
        patient: &mut Patient,
        care: &Care,
        ears: &Detector,
        out: &mut Out,
    ) {
        let Some(ticket) = patient.ticket.clone() else {
            return;
        };
        match ticket.phase {
            Phase::Due => self.still_due(now, patient, care, &ticket),
            Phase::Calling { .. } => {}
            Phase::Dying { .. } if self.is_held(patient, care) => {
                let note = Some(("refused", "it was put on hold".to_owned()));
                self.close(now, patient, IncidentOutcome::Refused, note, out);
            }
            Phase::Dying { .. }
                if patient.is_up() && patient.info.started_at != ticket.incarnation =>
            {
                self.was_brought_back(now, patient);
                self.recover(now, patient, ears, out);
            }
            Phase::Dying { until, hard } => {
                if patient.is_down() && patient.exit.is_some() {
                    match patient.exit {
                        Some(Exit::Stopped | Exit::StopSeen { .. }) => {
                            // The stream broke, and only a look told whose end it was.
                            let note = Some(("refused", "somebody stopped it".to_owned()));
                            self.close(now, patient, IncidentOutcome::Refused, note, out);
                        }
                        Some(Exit::AwaitingStop { .. }) => {}
                        _ => self.after_kill(now, patient, care, out),
                    }
                } else if now < until {
                    patient.wake_at(until);
                } else if hard {
                    let note = Some(("failed", "it does not die of SIGKILL".to_owned()));
                    self.count_failure(now, patient);
                    self.close(now, patient, IncidentOutcome::Failed, note, out);
                } else {
                    self.kill(now, patient, super::patient::SIGKILL, out);
                }
            }
            Phase::Settling { until } => {
                if self.took_effect(patient, &ticket) {
                    if let Some(ticket) = &mut patient.ticket {
                        ticket.running = Some(now);
                        ticket.phase = Phase::Recovering {
                            until: now + super::RECOVER_MAX,
                        };
                    }
                    self.recover(now, patient, ears, out);
                } else if now < until {
                    patient.wake_at(until);
                } else {
                    let note = Some(("failed", "the order had no effect".to_owned()));
                    self.count_failure(now, patient);
                    self.close(now, patient, IncidentOutcome::Failed, note, out);
                }
            }
            Phase::Recovering { .. } => self.recover(now, patient, ears, out),
        }
    }

    /// The life that was to be ended is over, and somebody else started the next one: it is only waited for.
    pub(super) fn was_brought_back(&self, now: Instant, patient: &mut Patient) {
        if let Some(ticket) = &mut patient.ticket {
            ticket.running = Some(now);
            ticket.phase = Phase::Recovering {
                until: now + super::RECOVER_MAX,
            };
        }
    }

    /// A ticket that waits is void once what it is about is no more.
    fn still_due(&mut self, now: Instant, patient: &mut Patient, care: &Care, ticket: &Ticket) {
        let same = ticket.incarnation == patient.info.started_at;
        let fits = match ticket.plan {
            Plan::Start => {
                patient.is_down() && matches!(patient.exit, Some(Exit::Witnessed { .. }))
            }
            Plan::Unpause => patient.info.state == ContainerState::Paused,
            Plan::Force { .. } | Plan::Continue | Plan::Connect(_) => {
                !patient.is_stopping(now)
                    && (patient.is_running() || patient.info.state == ContainerState::Restarting)
            }
            Plan::Recreate { .. } => patient.is_down(),
            Plan::Engine => true,
        };
        let healed = match ticket.reason {
            RestartReason::Unhealthy => patient.is_well(),
            RestartReason::Hung => patient.suspicion.is_none() && !self.mandate.broker_force,
            RestartReason::Disconnected => patient.cut_since.is_none(),
            RestartReason::StoppedInItsTracks => patient.stuck_since.is_none(),
            _ => false,
        };
        let may = if ticket.is_force() || matches!(ticket.plan, Plan::Recreate { .. }) {
            self.force_until(now, patient).is_some() || self.mandate.broker_force
        } else {
            self.mandate.start_at.is_some_and(|at| now >= at)
        };
        let void = !same || !fits || healed && ticket.is_force() || !may;
        if void || self.is_held(patient, care) {
            patient.ticket = None;
        }
    }

    fn took_effect(&self, patient: &Patient, ticket: &Ticket) -> bool {
        patient.is_running()
            && match &ticket.plan {
                Plan::Continue => patient.info.process_state != Some('T'),
                Plan::Connect(_) => patient.cut_since.is_none(),
                Plan::Start => patient.exit.is_none(),
                _ => true,
            }
    }

    /// Recovered means: running, healthy where it has a check, heard again where it is a member.
    fn recover(&mut self, now: Instant, patient: &mut Patient, ears: &Detector, out: &mut Out) {
        let Some(ticket) = &patient.ticket else {
            return;
        };
        let Phase::Recovering { until } = ticket.phase else {
            return;
        };
        let since = ticket.running.unwrap_or(now);
        let began = ticket.ordered.unwrap_or(since);
        let heard = ears.is_blind()
            || patient
                .info
                .member
                .as_ref()
                .is_none_or(|name| !ears.knows(name) || ears.heard_since(name, began));
        // Where it is probed from outside, healthy means that it answered once.
        let probed = patient
            .care
            .as_ref()
            .is_some_and(|care| care.probe.is_some());
        let answers = !probed || patient.probing.answered;
        // Where no new life began, a check may still say what it found before.
        let rechecked = now >= since + RECHECK_MAX || ticket.began_a_life();
        if !patient.is_running() {
            let note = Some(("failed", "it went down again".to_owned()));
            self.close(now, patient, IncidentOutcome::Failed, note, out);
        } else if patient.is_unhealthy() && !rechecked {
            patient.wake_at(since + RECHECK_MAX);
        } else if patient.is_unhealthy() {
            patient.waited_since = Some(since).filter(|_| !ticket.began_a_life());
            let note = Some(("failed", "it is unhealthy again".to_owned()));
            self.close(now, patient, IncidentOutcome::Failed, note, out);
        } else if patient.is_well() && answers && heard {
            let outcome = if ticket.plan == Plan::Engine {
                IncidentOutcome::HealedByEngine
            } else {
                IncidentOutcome::Healed
            };
            self.close(now, patient, outcome, None, out);
        } else if now >= until {
            let note = Some(("failed", "it runs but did not recover in time".to_owned()));
            self.close(now, patient, IncidentOutcome::Failed, note, out);
        } else {
            patient.wake_at(until);
        }
    }

    fn try_order(&mut self, now: Instant, patient: &mut Patient, care: &Care, out: &mut Out) {
        let Some(ticket) = patient.ticket.clone() else {
            return;
        };
        if now < ticket.not_before {
            patient.wake_at(ticket.not_before);
            return;
        }
        let fresh = ticket.ordered.is_none();
        let counts = fresh && !matches!(ticket.plan, Plan::Unpause | Plan::Continue | Plan::Engine);
        if counts && ticket.reason != RestartReason::Requested {
            let looping = patient.info.state == ContainerState::Restarting;
            if !looping && self.quarantine(now, patient, care, out) {
                return;
            }
        }
        if matches!(ticket.plan, Plan::Continue | Plan::Connect(_))
            && patient.looked < Some(ticket.verdict.max(ticket.not_before))
        {
            // As before a kill: what it rests on may be as old as a lost event, or as a hold.
            patient.fresh = false;
            patient.look_at = None;
            self.look(now, patient, out);
            return;
        }
        match ticket.plan {
            Plan::Start => {
                if fresh && self.waits_for_dependency(now, patient, care) {
                    patient.wake_at(now + LOOK_AGAIN);
                    return;
                }
                self.start(now, patient, out);
            }
            Plan::Unpause => {
                let container = patient.info.id.clone();
                let expect = expectation(patient, &[ContainerState::Paused]);
                self.call(
                    now,
                    patient,
                    EngineCall::Unpause { container, expect },
                    None,
                    out,
                );
            }
            Plan::Connect(attachment) => {
                let call = EngineCall::Connect {
                    container: patient.info.id.clone(),
                    attachment,
                    expect: expectation(patient, &[ContainerState::Running]),
                };
                let not_after = self.force_until(now, patient);
                self.call(now, patient, call, not_after, out);
            }
            Plan::Continue => {
                patient.continued = true;
                self.kill(now, patient, super::patient::SIGCONT, out);
            }
            Plan::Force { gentle } => self.force(now, patient, gentle, out),
            Plan::Recreate { network_of } => self.recreate(now, patient, network_of, out),
            Plan::Engine => {}
        }
    }

    /// Announces itself in a beat, then kills: other healers must not take the signal for a person's.
    fn force(&mut self, now: Instant, patient: &mut Patient, gentle: bool, out: &mut Out) {
        if self.forces() >= FORCES_MAX {
            patient.wake_at(now + LOOK_AGAIN);
            return;
        }
        let Some(ticket) = &mut patient.ticket else {
            return;
        };
        if !ticket.announced {
            // A healer without a group has nobody to tell.
            let wait = match self.config.role {
                Role::Solo => Duration::ZERO,
                _ => ANNOUNCE,
            };
            ticket.announced = true;
            ticket.not_before = now + wait;
            patient.wake_at(now + wait);
            self.announce = true;
            // The while is used for a last look of our own: what was known may be as old as a lost event.
            patient.fresh = false;
            patient.look_at = None;
            return;
        }
        let signal = if gentle {
            patient.info.stop_signal
        } else {
            super::patient::SIGKILL
        };
        self.kill(now, patient, signal, out);
    }

    fn kill(&mut self, now: Instant, patient: &mut Patient, signal: i32, out: &mut Out) {
        let broker =
            self.mandate.broker_force && patient.care.as_ref().is_some_and(|care| care.broker);
        let not_after = self.force_until(now, patient);
        if not_after.is_none() && !broker {
            // The lease ended in the middle of it: what follows is the successor's.
            patient.ticket = None;
            return;
        }
        let states = [ContainerState::Running, ContainerState::Restarting];
        let call = EngineCall::Kill {
            container: patient.info.id.clone(),
            signal,
            expect: expectation(patient, &states),
        };
        if let Some(ticket) = &mut patient.ticket {
            ticket.forced |= matches!(ticket.plan, Plan::Force { .. });
            if signal == patient.info.stop_signal {
                ticket.own_kill = Some(OwnKill::Ordered);
            }
        }
        self.call(now, patient, call, not_after, out);
    }

    fn start(&mut self, now: Instant, patient: &mut Patient, out: &mut Out) {
        let call = EngineCall::Start {
            container: patient.info.id.clone(),
            expect: Expectation {
                finished_at: patient.info.finished_at.clone(),
                ..expectation(
                    patient,
                    &[
                        ContainerState::Exited,
                        ContainerState::Dead,
                        ContainerState::Created,
                    ],
                )
            },
        };
        self.call(now, patient, call, None, out);
    }

    pub(super) fn call(
        &mut self,
        now: Instant,
        patient: &mut Patient,
        request: EngineCall,
        not_after: Option<Instant>,
        out: &mut Out,
    ) {
        let killing = matches!(request, EngineCall::Kill { .. });
        let unfenced = self.config.broken(Sabotage::NoFence);
        let request = if unfenced || self.config.broken(Sabotage::AnyIncarnation) {
            of_any_incarnation(request)
        } else {
            request
        };
        let call = self.order(now, patient, request, not_after, out);
        let term = self.mandate.term;
        let name = patient.name();
        let title = patient.info.name.clone();
        let Some(ticket) = &mut patient.ticket else {
            return;
        };
        ticket.phase = Phase::Calling { call, killing };
        ticket.term = term;
        if ticket.ordered.is_some() {
            return;
        }
        ticket.ordered = Some(now);
        self.restarts_ordered += 1;
        let known = name.as_ref().map_or(title, ToString::to_string);
        let (event, text) = match &ticket.plan {
            Plan::Unpause => (
                "unpause_ordered",
                format!("Node {known} is paused. Unpausing..."),
            ),
            Plan::Connect(attachment) => (
                "connect_ordered",
                format!(
                    "Node {known} is cut off from {}. Reconnecting...",
                    attachment.network
                ),
            ),
            Plan::Recreate { .. } => (
                "recreate_ordered",
                format!("Node {known} is GONE. Making it anew..."),
            ),
            Plan::Continue => (
                "continue_ordered",
                format!("Node {known} is stopped in its tracks. Continuing..."),
            ),
            _ => (
                "member_died",
                format!("Node {known} is DEAD. Restarting..."),
            ),
        };
        let evidence = ticket.evidence.clone();
        let own = self.config.name.clone();
        let id = format!("{}-{}", self.boot, self.incidents + 1);
        let mut story = ticket.story(id, known.clone(), patient.info.id.clone(), own, now);
        story.at_ms = out.unix_ms(now);
        let url = patient
            .care
            .as_ref()
            .and_then(|care| care.webhook.as_deref());
        out.hook(HookTime::Before, url, &story);
        out.info(event, name.as_ref(), text);
        out.log(
            crate::effect::Level::Debug,
            "restart_ticket_issued",
            name.as_ref(),
            format!("{known}: {evidence}"),
        );
    }

    /// Our kill had its effect: the start follows at once, whatever the count.
    pub(super) fn after_kill(
        &mut self,
        now: Instant,
        patient: &mut Patient,
        care: &Care,
        out: &mut Out,
    ) {
        if self.mandate.start_at.is_none_or(|at| now < at) {
            patient.ticket = None;
            return;
        }
        if care.action == Action::Stop {
            let why = patient.ticket.as_ref().map(|t| t.evidence.clone());
            let text = format!(
                "{} was ended and is left down, as its label says ({}); to start it: monitor heal {0}",
                patient.info.name,
                why.unwrap_or_default()
            );
            patient.alert_once(Severity::High, super::find::LEFT_DOWN, text, out);
            self.close(now, patient, IncidentOutcome::LeftDown, None, out);
            return;
        }
        let looping = patient
            .intensity
            .exceeded(now, care.limit, self.config.restart_window);
        let by_docker = patient
            .ticket
            .as_ref()
            .is_some_and(|t| t.reason == RestartReason::Failed);
        if looping && by_docker && self.quarantine(now, patient, care, out) {
            return;
        }
        let Some(ticket) = &mut patient.ticket else {
            return;
        };
        ticket.phase = Phase::Due;
        ticket.not_before = now;
        if let Some(owner) = ticket.then_recreate.clone() {
            let network_of = Some(owner);
            ticket.plan = Plan::Recreate {
                network_of: network_of.clone(),
            };
            self.recreate(now, patient, network_of, out);
            return;
        }
        ticket.plan = Plan::Start;
        self.start(now, patient, out);
    }

    /// Dependency orders starts that are due together, and no more than that.
    fn waits_for_dependency(&self, now: Instant, patient: &Patient, care: &Care) -> bool {
        let since = patient.due_since.unwrap_or(now);
        if now.since(since) >= DEPENDENCY_MAX {
            return false;
        }
        let owner = patient.info.network_mode.strip_prefix("container:");
        self.patients.values().any(|other| {
            let wanted = owner == Some(other.info.id.as_str())
                || care
                    .depends_on
                    .iter()
                    .any(|name| policy::is_called(&other.info, name));
            wanted && self.is_being_started(other)
        })
    }

    fn is_being_started(&self, other: &Patient) -> bool {
        let Some(care) = &other.care else {
            return false;
        };
        let dead = match &other.exit {
            Some(Exit::Witnessed { reason, .. }) => care.heal.covers(*reason),
            Some(Exit::AwaitingStop { .. }) => true,
            _ => false,
        };
        // Its end is a matter of milliseconds.
        let dying = other.exit.is_none() && other.life.killed;
        (dead || dying) && other.intensity.quarantined.is_none() && !self.is_held(other, care)
    }

    /// What an order's answer changes.
    pub(super) fn effect_expected(patient: &mut Patient, now: Instant, grace: Duration) {
        let Some(ticket) = &mut patient.ticket else {
            return;
        };
        if let Some(own) = &mut ticket.own_kill {
            *own = OwnKill::Answered {
                until: now + KILL_EVENT,
            };
        }
        ticket.phase = match &ticket.plan {
            Plan::Force { gentle } => {
                ticket.answered.get_or_insert(now);
                // A second kill of the same ticket is always the hard one.
                let hard = !gentle || ticket.attempts > 0;
                ticket.attempts += 1;
                Phase::Dying {
                    until: now + if hard { HARD_KILL_MAX } else { grace },
                    hard,
                }
            }
            _ => Phase::Settling {
                until: now + SETTLE_MAX,
            },
        };
    }
}

/// The same order, for whatever life it hits.
fn of_any_incarnation(mut request: EngineCall) -> EngineCall {
    match &mut request {
        EngineCall::Start { expect, .. }
        | EngineCall::Kill { expect, .. }
        | EngineCall::Unpause { expect, .. }
        | EngineCall::Connect { expect, .. }
        | EngineCall::Recreate { expect, .. } => {
            expect.started_at = None;
            expect.finished_at = None;
            expect.name = None;
        }
        _ => {}
    }
    request
}

pub(super) fn expectation(patient: &Patient, states: &[ContainerState]) -> Expectation {
    Expectation {
        started_at: patient.info.started_at.clone(),
        finished_at: None,
        name: Some(patient.info.name.clone()),
        states: states.to_vec(),
    }
}
