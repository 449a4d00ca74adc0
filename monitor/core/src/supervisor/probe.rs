//! Probes from outside (label `planaria.probe`), for images without a health check: asked by whoever
//! would act on what they find, counted as Kubernetes counts them.

use super::policy::Care;
use super::{Asked, Patient, Supervisor};
use crate::engine::{EngineCall, EngineError, EngineReply, OutsideProbe};
use crate::id::{CallId, ContainerId};
use crate::out::Out;
use crate::time::Instant;
use std::time::Duration;

/// Failures in a row that make a container unhealthy: Kubernetes' `failureThreshold`.
const FAILURES: u32 = 3;
/// More failing at once than so many, and more than [`SICK_PERCENT`], is a finding about who asks.
const SICK_MAX: usize = 2;
const SICK_PERCENT: usize = 15;
/// An answer is awaited for so long, and never longer than the pause between two probes.
const PATIENCE: Duration = Duration::from_secs(2);

/// What probes found in this life of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Probing {
    due: Option<Instant>,
    pub(super) asking: Option<CallId>,
    failures: u32,
    /// It answered once.
    pub(super) answered: bool,
    /// It failed [`FAILURES`] times in a row, the last time for this reason.
    pub(super) failing: Option<String>,
}

pub(super) fn words(probe: &OutsideProbe) -> String {
    match probe {
        OutsideProbe::Tcp { port } => format!("tcp:{port}"),
        OutsideProbe::Http { port, path } => format!("http://:{port}{path}"),
    }
}

impl Supervisor {
    /// Asks the container, if that is due and this member's to do.
    pub(super) fn probe(
        &mut self,
        now: Instant,
        patient: &mut Patient,
        care: &Care,
        out: &mut Out,
    ) {
        let Some(probe) = &care.probe else {
            return;
        };
        let acts = self.mandate.leads || self.mandate.start_at.is_some_and(|at| now >= at);
        if !acts {
            patient.probing = Probing::default();
            return;
        }
        if !patient.is_running() || patient.probing.asking.is_some() {
            return;
        }
        let due = patient.probing.due.unwrap_or(now);
        if now < due {
            patient.wake_at(due);
            return;
        }
        let every = self.config.probe_interval;
        let request = EngineCall::Probe {
            container: patient.info.id.clone(),
            probe: probe.clone(),
            timeout: PATIENCE.min(every),
        };
        let id = patient.info.id.clone();
        let next = now + out.jitter(every);
        patient.probing.asking = Some(self.ask(now, request, Asked::Probe { id }, out));
        patient.probing.due = Some(next);
        patient.wake_at(next);
    }

    pub(super) fn probed(
        &mut self,
        now: Instant,
        id: &ContainerId,
        call: CallId,
        result: &Result<EngineReply, EngineError>,
    ) {
        let Some(patient) = self.patients.get_mut(id) else {
            return;
        };
        if patient.probing.asking != Some(call) {
            // Of a life that is over.
            return;
        }
        self.dirty.insert(id.clone());
        patient.probing.asking = None;
        match result {
            Ok(EngineReply::Probed(None)) => {
                patient.probing.failures = 0;
                patient.probing.answered = true;
                patient.probing.failing = None;
            }
            Ok(EngineReply::Probed(Some(why))) => {
                let period = patient
                    .care
                    .as_ref()
                    .map_or(Duration::ZERO, |c| c.start_period);
                let young = patient
                    .running_since
                    .is_none_or(|since| now.since(since) < period);
                if young && !patient.probing.answered {
                    return;
                }
                patient.probing.failures += 1;
                if patient.probing.failures >= FAILURES {
                    patient.probing.failing = Some(why.chars().take(200).collect());
                }
            }
            // The question was not asked: nothing follows.
            _ => {}
        }
    }

    /// Why it is unhealthy by probes; `None` where it is not, or where so many are that it is more likely
    /// the one who asks.
    pub(super) fn fails_probes(&self, patient: &Patient, care: &Care) -> Option<String> {
        let why = patient.probing.failing.as_ref()?;
        let probed = |p: &&Patient| p.care.as_ref().is_some_and(|c| c.probe.is_some());
        // This one is out of the table while it is looked at.
        let all = 1 + self.patients.values().filter(probed).count();
        let sick = 1 + self
            .patients
            .values()
            .filter(probed)
            .filter(|p| p.probing.failures > 0)
            .count();
        if sick > (all * SICK_PERCENT / 100).max(SICK_MAX) {
            return None;
        }
        let probe = care.probe.as_ref().map(words).unwrap_or_default();
        Some(format!(
            "failed {FAILURES} probes of {probe} in a row: {why}"
        ))
    }
}
