//! The answer to an order: done, refused, too late, or unknown.

use super::ticket::{Phase, Plan};
use super::{Patient, Supervisor};
use crate::engine::EngineError;
use crate::id::CallId;
use crate::message::{IncidentOutcome, Severity};
use crate::out::Out;
use crate::time::Instant;
use std::time::Duration;

/// After an order that came too late for its incarnation.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl Supervisor {
    /// Nothing was done: a start is as due as before, and what was to be forced is judged anew.
    fn repeat(now: Instant, patient: &mut Patient) {
        match &mut patient.ticket {
            Some(ticket) if ticket.plan == Plan::Start => {
                ticket.phase = Phase::Due;
                ticket.not_before = now + LOOK_AGAIN;
            }
            ticket => *ticket = None,
        }
        patient.look_later(now + LOOK_AGAIN);
    }

    fn has_forced(patient: &Patient) -> bool {
        patient.ticket.as_ref().is_some_and(|ticket| ticket.forced)
    }

    pub(super) fn ordered(
        &mut self,
        now: Instant,
        patient: &mut Patient,
        call: CallId,
        result: Result<(), EngineError>,
        out: &mut Out,
    ) {
        let expected = patient
            .ticket
            .as_ref()
            .is_some_and(|t| matches!(t.phase, Phase::Calling { call: c, .. } if c == call));
        if !expected {
            // The event was faster than the answer, or the ticket ended meanwhile.
            return;
        }
        let grace = patient
            .care
            .as_ref()
            .map_or(Duration::ZERO, |care| care.stop_timeout);
        patient.fresh = false;
        patient.look_at = None;
        let taken = patient
            .ticket
            .as_mut()
            .and_then(|ticket| ticket.taken.take());
        if let Some(at) = taken
            && result.is_err()
        {
            // The signal that was heard meanwhile may have been a person's.
            patient.begin_stopping(at);
        }
        match result {
            Ok(()) => Self::effect_expected(patient, now, grace),
            Err(EngineError::TimedOut | EngineError::Unreachable { .. })
                if patient.is_running()
                    && patient
                        .ticket
                        .as_ref()
                        .is_some_and(|ticket| matches!(ticket.plan, Plan::Force { .. })) =>
            {
                // Nobody knows whether it was signalled: no second, harder signal on that ground. If it
                // ends, that is a death like any other; if it lives, it is judged anew.
                if std::mem::take(&mut patient.refuted) {
                    patient.suspicion = None;
                }
                let note = Some(("failed", "no answer from the engine in time".to_owned()));
                self.close(now, patient, IncidentOutcome::Failed, note, out);
                patient.look_later(now + LOOK_AGAIN);
            }
            // It may have been done: what is seen decides.
            Err(EngineError::TimedOut | EngineError::Unreachable { .. }) => {
                Self::effect_expected(patient, now, grace);
            }
            Err(EngineError::Late) => patient.ticket = None,
            Err(EngineError::NotMade { .. }) => Self::repeat(now, patient),
            Err(EngineError::Stale { found })
                if patient.end_unseen && !Self::has_forced(patient) =>
            {
                // Its end was taken as it was heard; now it is looked at.
                let text = format!("{} is not started: it is {found}", patient.info.name);
                out.info("start_not_made", patient.name().as_ref(), text);
                patient.ticket = None;
            }
            Err(EngineError::Stale { found }) => {
                let note = Some(("refused", format!("it is another by now: {found}")));
                self.close(now, patient, IncidentOutcome::Refused, note, out);
                // What made it stale may not be visible yet: no new order in the same breath.
                patient.look_later(now + LOOK_AGAIN);
            }
            Err(EngineError::Gone) if patient.end_unseen && !Self::has_forced(patient) => {
                patient.ticket = None;
            }
            Err(EngineError::Gone) => {
                let note = Some(("refused", "it was removed".to_owned()));
                self.close(now, patient, IncidentOutcome::Refused, note, out);
                patient.look_later(now + LOOK_AGAIN);
            }
            Err(error @ EngineError::Refused { .. }) => {
                // No `start` event will count this attempt, and it must not be repeated for ever.
                self.count_failure(now, patient);
                let text = format!("{}: {error}", patient.info.name);
                patient.alert_once(Severity::Medium, "engine_refused", text, out);
                let note = Some(("failed", error.to_string()));
                self.close(now, patient, IncidentOutcome::Failed, note, out);
            }
        }
    }
}
