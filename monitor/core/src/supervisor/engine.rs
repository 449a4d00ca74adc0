//! The connection to the engine: questions, answers, and when they are to be believed.

use super::exit::BeforeGap;
use super::{Asked, CALL_LOST, CONTAINERS_MAX, Exit, LIST_EVERY, Patient, Supervisor};
use crate::engine::{EngineCall, EngineError, EngineReply};
use crate::id::{CallId, ContainerId, HostId};
use crate::out::Out;
use crate::time::Instant;
use std::collections::BTreeSet;
use std::time::Duration;

/// The engine is asked for all that it remembers (256 events, minutes at best), whatever its clock said
/// meanwhile: a clock that was set must not cut off the newest of them.
const ALL_IT_REMEMBERS: i64 = 1;
/// An engine that refuses to tell what it remembers is asked so often, then judged without.
const HISTORY_TRIES: u8 = 3;
/// After a question that the engine did not answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Calls that may await an answer; each container has at most two.
const CALLS_MAX: usize = 2 * CONTAINERS_MAX;

fn nanos(at: Instant) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

impl Supervisor {
    pub(crate) fn engine_connected(
        &mut self,
        now: Instant,
        host: HostId,
        since: i64,
        out: &mut Out,
    ) {
        if self.connected {
            self.engine_disconnected();
        }
        self.connected = true;
        self.host = Some(host);
        self.stream_since = now;
        self.trusted = false;
        if let Some(saved) = self.saved_at.take() {
            let away = since.saturating_sub(saved);
            self.age_adopted(Duration::from_nanos(u64::try_from(away).unwrap_or(0)));
        }
        self.stream_at = since;
        self.engine_clock = (now, since);
        self.engine_ahead = since.saturating_sub(nanos(now));
        self.history_tries = HISTORY_TRIES;
        self.ask_history(now, out);
    }

    /// What the volume kept is older by the time that this healer was away.
    pub(super) fn age_adopted(&mut self, away: Duration) {
        self.saved_at = None;
        self.holds.age(away);
        for record in self.adopted.values_mut() {
            record.age(away);
        }
    }

    /// The engine's clock, as far as can be told from its newest event: for what has none.
    pub(crate) fn engine_time(&self, now: Instant) -> i64 {
        let (then, engine) = self.engine_clock;
        engine.saturating_add(i64::try_from(now.since(then).as_nanos()).unwrap_or(0))
    }

    /// An event, or the stream's beginning, tells how far the engine's clock is ahead of ours: by that much
    /// at least, for it was a while on its way.
    pub(super) fn note_engine_time(&mut self, now: Instant, engine: i64) {
        self.engine_clock = (now, engine);
        let ahead = engine.saturating_sub(nanos(now));
        self.engine_ahead = self.engine_ahead.max(ahead);
    }

    /// The engine's clock is no further back than this, but where it was set back.
    pub(super) fn engine_time_at_least(&self, now: Instant) -> i64 {
        nanos(now).saturating_add(self.engine_ahead)
    }

    fn ask_history(&mut self, now: Instant, out: &mut Out) {
        self.history_tries -= 1;
        let since = ALL_IT_REMEMBERS;
        self.ask(now, EngineCall::History { since }, Asked::History, out);
    }

    /// The stream broke: what was waited for in it can't be waited for any more.
    pub(crate) fn engine_disconnected(&mut self) {
        self.connected = false;
        self.trusted = false;
        self.list_due = None;
        self.listing = None;
        self.calls.clear();
        self.recreating.clear();
        for (id, patient) in &mut self.patients {
            patient.asking = None;
            patient.probing.asking = None;
            patient.fresh = false;
            patient.known = false;
            // What went on meanwhile is not told: one that is found paused has its grace from then on.
            patient.paused_since = None;
            if matches!(patient.exit, Some(Exit::Witnessed { .. })) && !patient.end_unseen {
                patient.died_before_gap.clone_from(&patient.info.started_at);
            }
            let before = match &patient.exit {
                None if patient.life.ran => Some(BeforeGap::Running),
                Some(Exit::AwaitingStop { .. }) => Some(BeforeGap::Dying),
                Some(Exit::StopSeen { .. }) => Some(BeforeGap::Stopping),
                Some(Exit::Restoring { .. }) => Some(BeforeGap::Running),
                _ => None,
            };
            if let Some(before) = before {
                patient.exit = None;
                self.before_gap.insert(id.clone(), before);
            }
            // An order whose answer is lost: what it did is seen when the engine is back.
            if let Some(ticket) = &mut patient.ticket {
                ticket.lost();
            }
        }
    }

    /// We were frozen: what is remembered of the engine may be long past. Until it has answered once
    /// more nothing is ordered and no wait expires.
    pub(crate) fn distrust(&mut self, now: Instant, out: &mut Out) {
        if !self.connected {
            return;
        }
        if self.trusted {
            self.trusted = false;
            self.ask_list(now, out);
        }
    }

    pub(super) fn ask(
        &mut self,
        now: Instant,
        request: EngineCall,
        asked: Asked,
        out: &mut Out,
    ) -> CallId {
        let call = out.engine(request, None);
        if self.calls.len() < CALLS_MAX {
            self.calls.insert(call, (now, asked));
        }
        call
    }

    pub(super) fn ask_list(&mut self, now: Instant, out: &mut Out) {
        let mark = self.mark;
        let call = self.ask(now, EngineCall::List, Asked::List { mark }, out);
        self.listing = Some(call);
        self.list_due = None;
    }

    pub(super) fn inspect(&mut self, now: Instant, patient: &mut Patient, out: &mut Out) {
        // An end is worth a question of its own: what was asked before it will not be believed.
        let asked = patient
            .asking
            .is_some_and(|(_, mark)| mark == patient.mark || patient.exit.is_none());
        if asked || !self.connected {
            return;
        }
        let id = patient.info.id.clone();
        let asked = Asked::Inspect {
            id: id.clone(),
            mark: patient.mark,
        };
        let call = self.ask(now, EngineCall::Inspect(id), asked, out);
        patient.asking = Some((call, patient.mark));
    }

    pub(super) fn order(
        &mut self,
        now: Instant,
        patient: &Patient,
        request: EngineCall,
        not_after: Option<Instant>,
        out: &mut Out,
    ) -> CallId {
        let id = patient.info.id.clone();
        let asked = if matches!(request, EngineCall::Recreate { .. }) {
            Asked::Recreate { id }
        } else {
            Asked::Order { id }
        };
        let call = out.engine(request, not_after);
        self.calls.insert(call, (now, asked));
        call
    }

    pub(super) fn tick_engine(&mut self, now: Instant, out: &mut Out) {
        if self.list_due.is_some_and(|at| now >= at) && self.connected && self.listing.is_none() {
            if self.history_tries > 0 {
                self.list_due = None;
                self.ask_history(now, out);
            } else {
                self.ask_list(now, out);
            }
        }
        let lost: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, (at, _))| now.since(*at) >= CALL_LOST)
            .map(|(call, _)| *call)
            .collect();
        for call in lost {
            self.reply(now, call, Err(EngineError::TimedOut), out);
        }
    }

    /// An answer. One that nobody waits for any more is dropped.
    pub(crate) fn reply(
        &mut self,
        now: Instant,
        call: CallId,
        result: Result<EngineReply, EngineError>,
        out: &mut Out,
    ) {
        let Some((asked_at, asked)) = self.calls.remove(&call) else {
            return;
        };
        match asked {
            Asked::History => match result {
                Ok(EngineReply::History(events)) => {
                    self.history_tries = 0;
                    self.remember_past(&events);
                    self.ask_list(now, out);
                }
                // Without it a death cannot be told from a stop: it is worth a moment, but no more.
                _ if self.history_tries > 0 => self.list_due = Some(now + ASK_AGAIN),
                _ => self.ask_list(now, out),
            },
            Asked::List { mark } => self.listed(now, call, asked_at, mark, result, out),
            Asked::Inspect { id, mark } => self.inspected(now, &id, call, (asked_at, mark), result),
            Asked::Probe { id } => self.probed(now, &id, call, &result),
            Asked::Recreate { id } => self.recreated(now, &id, call, result, out),
            Asked::Order { id } => {
                if let Some(mut patient) = self.patients.remove(&id) {
                    self.ordered(now, &mut patient, call, result.map(|_| ()), out);
                    self.patients.insert(id.clone(), patient);
                    self.dirty.insert(id);
                }
            }
        }
    }

    fn listed(
        &mut self,
        now: Instant,
        call: CallId,
        asked_at: Instant,
        mark: u64,
        result: Result<EngineReply, EngineError>,
        out: &mut Out,
    ) {
        if self.listing != Some(call) {
            return;
        }
        self.listing = None;
        let Ok(EngineReply::Containers(containers)) = result else {
            // Ask again soon; until then nothing is believed that was not before.
            self.list_due = Some(now + ASK_AGAIN);
            return;
        };
        self.list_due = Some(now + out.jitter(LIST_EVERY));
        self.trusted = true;
        if self.project.is_none() {
            let own = containers.iter().find(|c| self.is_own(c));
            self.project = own.and_then(|c| c.labels.get(super::policy::PROJECT).cloned());
        }
        let present: BTreeSet<ContainerId> = containers.iter().map(|c| c.id.clone()).collect();
        for container in containers.into_iter().take(CONTAINERS_MAX) {
            let id = container.id.clone();
            self.observe(now, container, asked_at, mark);
            self.dirty.insert(id);
        }
        let gone: Vec<ContainerId> = self
            .patients
            .iter()
            .filter(|(id, patient)| patient.mark <= mark && !present.contains(*id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.forget(now, &id, out);
        }
        self.dirty_all();
        self.past.clear();
        self.before_gap.clear();
        self.adopted.clear();
    }

    /// We run in a container of this engine, and known to be so, not by a name alone.
    pub(super) fn lives_in_this_engine(&self) -> bool {
        let own = self.config.container.as_ref();
        own.is_some_and(|own| {
            self.patients
                .values()
                .any(|p| p.is_up() && p.info.id.is_called(own))
        })
    }

    pub(super) fn is_own(&self, container: &crate::engine::Container) -> bool {
        match &self.config.container {
            Some(own) => container.id.is_called(own),
            None => container.member.as_ref() == Some(&self.config.name),
        }
    }

    fn inspected(
        &mut self,
        now: Instant,
        id: &ContainerId,
        call: CallId,
        (asked_at, mark): (Instant, u64),
        result: Result<EngineReply, EngineError>,
    ) {
        let Some(patient) = self.patients.get_mut(id) else {
            return;
        };
        if patient.asking.is_some_and(|(asked, _)| asked == call) {
            patient.asking = None;
        }
        match result {
            Ok(EngineReply::Container(Some(container))) => {
                self.observe(now, *container, asked_at, mark);
                self.dirty.insert(id.clone());
            }
            Ok(EngineReply::Container(None)) | Err(EngineError::Gone) => {
                // `destroy` follows, or the next list tells; until then there is nothing to do to it.
                patient.fresh = true;
                patient.end_unseen = false;
                if !patient
                    .ticket
                    .as_ref()
                    .is_some_and(super::ticket::Ticket::is_recreating)
                {
                    patient.care = None;
                    patient.ticket = None;
                }
            }
            _ => self.again(id, now),
        }
    }

    /// Looks at it again in a while: the engine did not answer.
    fn again(&mut self, id: &ContainerId, now: Instant) {
        if let Some(patient) = self.patients.get_mut(id) {
            patient.fresh = false;
            if let Some(at) = patient.wake.take() {
                self.wakes.remove(&(at, id.clone()));
            }
            let at = now + ASK_AGAIN;
            patient.wake = Some(at);
            self.wakes.insert((at, id.clone()));
        }
    }

    /// It is gone for good.
    pub(super) fn forget(&mut self, now: Instant, id: &ContainerId, out: &mut Out) {
        self.wants.remove(id);
        if let Some(mut patient) = self.patients.remove(id) {
            if let Some(at) = patient.wake {
                self.wakes.remove(&(at, id.clone()));
            }
            if self.note_gone(now, &patient) {
                return;
            }
            let begun = patient.ticket.as_ref().is_some_and(|t| t.ordered.is_some());
            if begun {
                let note = Some(("refused", "it was removed".to_owned()));
                let outcome = crate::message::IncidentOutcome::Refused;
                self.close(now, &mut patient, outcome, note, out);
            }
        }
    }
}
