//! How an end is judged: a death, a person's will, or nobody knows (rule 6).

use super::policy::{self, Heal};
use super::{Exit, Patient, RESTORE_GRACE, STOP_FOLLOWS, Supervisor};
use crate::engine::{EngineEvent, EventKind};
use crate::message::{PatientRecord, RestartReason};
use crate::sabotage::Sabotage;
use crate::time::Instant;
use std::collections::BTreeSet;
use std::time::Duration;

/// Exit code of a process that its own watchdog ended (`EX_SOFTWARE`).
const EXIT_APOPTOSIS: i64 = 70;
/// 128 + SIGKILL.
const EXIT_KILLED: i64 = 137;

/// How a container stood when the event stream broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BeforeGap {
    Running,
    /// `die` was heard, and `stop` might have followed.
    Dying,
    /// `stop` was heard moments before: an engine going down says so for everyone.
    Stopping,
}

/// What the engine's own memory shows of a container's last life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Past {
    died: bool,
    stopped: bool,
    signals: BTreeSet<i32>,
    oom: bool,
    /// Starts that followed a death without a stop, by the engine's time.
    pub(super) restarts: Vec<i64>,
}

/// Why it died, as far as the events and the engine's words tell.
pub(super) fn reason(patient: &Patient) -> RestartReason {
    let info = &patient.info;
    if let Some(suspicion) = &patient.suspicion {
        return suspicion.reason;
    }
    match info.exit_code {
        _ if info.oom_killed => RestartReason::OutOfMemory,
        EXIT_KILLED if patient.life.oom && !patient.life.killed => RestartReason::OutOfMemory,
        EXIT_APOPTOSIS => RestartReason::Apoptosis,
        _ if patient.life.killed || patient.life.stop_signal => RestartReason::Killed,
        EXIT_KILLED => RestartReason::Killed,
        0 => RestartReason::Ended,
        _ => RestartReason::Failed,
    }
}

/// A death that the live stream showed.
pub(super) fn witnessed(patient: &Patient, at: Instant) -> Exit {
    Exit::Witnessed {
        reason: reason(patient),
        at,
        evidence: format!("Docker event die, exit code {}", patient.info.exit_code),
    }
}

/// A death that the stream missed: the engine brings back only what died by itself.
pub(super) fn restarting(patient: &Patient, at: Instant) -> Exit {
    Exit::Witnessed {
        reason: reason(patient),
        at,
        evidence: format!(
            "the engine is restarting it, exit code {}",
            patient.info.exit_code
        ),
    }
}

impl Supervisor {
    /// What happened before the stream began. Only the last life of each container counts.
    pub(super) fn remember_past(&mut self, events: &[EngineEvent]) {
        // The stream may have broken before a list could use what was told the last time.
        for event in events {
            self.past.remove(&event.container);
        }
        for event in events {
            let past = self.past.entry(event.container.clone()).or_default();
            match event.kind {
                EventKind::Start => {
                    let mut restarts = std::mem::take(&mut past.restarts);
                    if past.died && !past.stopped {
                        restarts.push(event.at);
                    } else if past.stopped {
                        restarts.clear();
                    }
                    *past = Past {
                        restarts,
                        ..Past::default()
                    };
                }
                EventKind::Kill { signal } => {
                    past.signals.insert(signal);
                }
                EventKind::Oom => past.oom = true,
                EventKind::Die { .. } => past.died = true,
                EventKind::Stop => past.stopped = true,
                _ => {}
            }
        }
    }

    /// Restarts that nobody of us saw count too. The engine's own times are compared with each other only.
    pub(super) fn adopt_past(&self, now: Instant, patient: &mut Patient) {
        let Some(past) = self.past.get(&patient.info.id) else {
            return;
        };
        let mut told = PatientRecord::of(patient.info.id.clone(), String::new());
        for at in &past.restarts {
            let ago = self.stream_at.saturating_sub(*at) / 1_000_000;
            let Ok(ago) = u64::try_from(ago) else {
                continue;
            };
            if Duration::from_millis(ago) < self.config.restart_window {
                told.restarts_ms_ago.push(ago);
                told.restarts_at.push(*at);
            }
        }
        let engine = self.engine_time(now);
        patient.intensity.adopt_history(now, engine, &told);
    }

    /// The stream missed the signal of a stop that may be under way.
    pub(super) fn adopt_stop(&self, now: Instant, patient: &mut Patient) {
        let Some(past) = self.past.get(&patient.info.id) else {
            return;
        };
        let stopping = past.signals.contains(&patient.info.stop_signal) && !past.died;
        if stopping && patient.is_up() && !patient.life.stop_signal {
            patient.begin_stopping(now);
        }
    }

    /// Found stopped, and no live event said how.
    pub(super) fn judge_found(&mut self, now: Instant, patient: &mut Patient) -> Exit {
        let id = &patient.info.id;
        let info = &patient.info;
        let past = self.past.get(id).cloned().unwrap_or_default();
        let before = self.before_gap.get(id).copied();
        let always = patient
            .care
            .as_ref()
            .is_some_and(|care| care.heal == Heal::Always);
        let found = |evidence: &str| Exit::Witnessed {
            reason: RestartReason::FoundDead,
            at: now,
            evidence: evidence.to_owned(),
        };
        if past.stopped {
            self.unsaved = true;
            return Exit::Stopped;
        }
        if past.died {
            patient.life.killed |= past.signals.contains(&super::patient::SIGKILL);
            patient.life.oom |= past.oom;
            if past.signals.contains(&patient.info.stop_signal) || patient.life.stop_signal {
                return Exit::AwaitingStop {
                    until: now + STOP_FOLLOWS,
                    died: now,
                };
            }
            return Exit::Witnessed {
                reason: reason(patient),
                at: now,
                evidence: format!(
                    "the engine's history shows a death without a stop, exit code {}",
                    info.exit_code
                ),
            };
        }
        if !info.error.is_empty() {
            return Exit::Witnessed {
                reason: RestartReason::StartFailed,
                at: now,
                evidence: format!("its start failed: {}", info.error),
            };
        }
        if info.started_at.is_none() {
            if self.config.broken(Sabotage::HealCreated) {
                return found("it is down");
            }
            return Exit::Unwitnessed;
        }
        let killed =
            patient.life.killed && !patient.life.stop_signal && info.exit_code == EXIT_KILLED;
        if killed && before != Some(BeforeGap::Stopping) {
            return Exit::Witnessed {
                reason: RestartReason::Killed,
                at: now,
                evidence: "signal 9 was heard, and it is found killed".to_owned(),
            };
        }
        if before == Some(BeforeGap::Stopping) && self.lives_in_this_engine() {
            // An engine that stops its containers ends us with them: this stop was a person's.
            self.unsaved = true;
            return Exit::Stopped;
        }
        if before.is_some() && policy::engine_brings_back(info) {
            return Exit::Restoring {
                until: now + RESTORE_GRACE,
            };
        }
        if always {
            return found("found stopped, and its policy is always");
        }
        Exit::Unwitnessed
    }

    /// Lets waits expire. Only while the engine is trusted.
    pub(super) fn expire(&mut self, now: Instant, patient: &mut Patient) {
        match &patient.exit {
            Some(Exit::AwaitingStop { until, died }) => {
                if now >= *until {
                    let died = *died;
                    patient.life.stopping = None;
                    patient.exit = Some(witnessed(patient, died));
                    self.unsaved = true;
                } else {
                    patient.wake_at(*until);
                }
            }
            Some(Exit::Restoring { until }) => {
                if now >= *until {
                    patient.exit = Some(Exit::Witnessed {
                        reason: RestartReason::FoundDead,
                        at: now,
                        evidence: "its own policy was to bring it back when the engine returned, and did not".to_owned(),
                    });
                } else {
                    patient.wake_at(*until);
                }
            }
            // Also of one that is held: its intent must be known when the hold is over.
            Some(Exit::StopSeen { check }) if patient.care.is_some() => {
                let check = *check;
                if now >= check {
                    patient.fresh = false;
                } else {
                    patient.wake_at(check);
                }
            }
            _ => {}
        }
        if let Some(until) = patient.life.stopping {
            if now >= until {
                patient.life.stopping = None;
            } else {
                patient.wake_at(until);
            }
        }
    }
}
