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
            Err(EngineError::Stale { found }) => {
                let note = Some(("refused", format!("it is another by now: {found}")));
                self.close(now, patient, IncidentOutcome::Refused, note, out);
                // What made it stale may not be visible yet: no new order in the same breath.
                patient.look_later(now + LOOK_AGAIN);
            }
            Err(EngineError::Gone) => {
                let note = Some(("refused", "it was removed".to_owned()));
                self.close(now, patient, IncidentOutcome::Refused, note, out);
            }
            Err(error @ EngineError::Refused { .. }) => {
                // No `start` event will count this attempt, and it must not be repeated for ever.
                patient.intensity.count(now);
                self.unsaved = true;
                let text = format!("{}: {error}", patient.info.name);
                patient.alert_once(Severity::Medium, "engine_refused", text, out);
                let note = Some(("failed", error.to_string()));
                self.close(now, patient, IncidentOutcome::Failed, note, out);
            }
        }
    }
}
