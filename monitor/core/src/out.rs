//! Where the parts of a member put what they want done, and what is remembered of it for people.

use crate::effect::{Effect, Level, LogLine};
use crate::engine::EngineCall;
use crate::id::{CallId, MemberName};
use crate::message::{Alert, Body, Incident, Severity};
use crate::status::INCIDENTS_KEPT;
use crate::time::Instant;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::time::Duration;

/// Collects effects. Also the only source of chance, seeded from outside.
#[derive(Debug)]
pub(crate) struct Out {
    effects: Vec<Effect>,
    next_call: u64,
    rng: SmallRng,
    pub(crate) alerts: VecDeque<Alert>,
    pub(crate) incidents: VecDeque<Incident>,
}

impl Out {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            effects: Vec::new(),
            next_call: 0,
            rng: SmallRng::seed_from_u64(seed),
            alerts: VecDeque::new(),
            incidents: VecDeque::new(),
        }
    }

    pub(crate) fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(crate) fn publish(&mut self, key: impl Into<String>, body: Body) {
        self.push(Effect::Publish {
            key: key.into(),
            body,
        });
    }

    pub(crate) fn direct(&mut self, to: &MemberName, body: Body) {
        self.push(Effect::Direct {
            to: to.clone(),
            body,
        });
    }

    pub(crate) fn engine(&mut self, request: EngineCall, not_after: Option<Instant>) -> CallId {
        self.next_call += 1;
        let call = CallId(self.next_call);
        self.push(Effect::Engine {
            call,
            request,
            not_after,
        });
        call
    }

    pub(crate) fn log(
        &mut self,
        level: Level,
        event: &str,
        member: Option<&MemberName>,
        text: impl Into<String>,
    ) {
        self.push(Effect::Log(LogLine {
            level,
            event: event.to_owned(),
            member: member.cloned(),
            text: text.into(),
        }));
    }

    pub(crate) fn info(&mut self, event: &str, member: Option<&MemberName>, text: String) {
        self.log(Level::Info, event, member, text);
    }

    /// Raises an alert: to the group, to the log, and into `/status`.
    pub(crate) fn alert(
        &mut self,
        severity: Severity,
        kind: &str,
        name: Option<&MemberName>,
        text: String,
    ) {
        let level = match severity {
            Severity::Low | Severity::Medium => Level::Warn,
            Severity::High | Severity::Critical => Level::Error,
        };
        self.log(level, kind, name, text.clone());
        let alert = Alert {
            severity,
            kind: kind.to_owned(),
            name: name.cloned(),
            text,
        };
        keep(&mut self.alerts, alert.clone());
        self.publish(format!("alert.{kind}"), Body::Alert(alert));
    }

    /// Publishes the story of a healing.
    pub(crate) fn incident(&mut self, incident: Incident) {
        keep(&mut self.incidents, incident.clone());
        self.publish("report.incident", Body::Incident(Box::new(incident)));
    }

    /// Somewhere between nine and eleven tenths of a span, so that members do not act in step.
    pub(crate) fn jitter(&mut self, span: Duration) -> Duration {
        span.mul_f64(self.rng.random_range(0.9..1.1))
    }

    /// Anywhere from nothing to the span.
    pub(crate) fn fraction(&mut self, span: Duration) -> Duration {
        span.mul_f64(self.rng.random_range(0.0..1.0))
    }

    /// A number that nobody can guess from another (nonces of probes).
    pub(crate) fn nonce(&mut self) -> u64 {
        self.rng.random()
    }

    /// One of so many; `None` for none.
    pub(crate) fn choose(&mut self, count: usize) -> Option<usize> {
        (count > 0).then(|| self.rng.random_range(0..count))
    }
}

/// Keeps the newest first, a screenful.
pub(crate) fn keep<T>(list: &mut VecDeque<T>, item: T) {
    list.push_front(item);
    list.truncate(INCIDENTS_KEPT);
}
