//! Where the parts of a member put what they want done, and what is remembered of it for people.

use crate::effect::{Effect, HookTime, Level, LogLine};
use crate::engine::EngineCall;
use crate::id::{CallId, MemberName};
use crate::message::{Alert, Body, Incident, Severity};
use crate::status::INCIDENTS_KEPT;
use crate::time::Instant;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::time::Duration;

/// A beat may be lost; three in a row are a broken connection, after which older ones come in turn.
const TOLD_IN_BEATS: u8 = 3;
/// New incidents in one beat.
const UNTOLD_MAX: usize = 8;

/// Collects effects. Also the only source of chance, seeded from outside.
#[derive(Debug)]
pub(crate) struct Out {
    effects: Vec<Effect>,
    next_call: u64,
    rng: SmallRng,
    pub(crate) alerts: VecDeque<Alert>,
    pub(crate) incidents: VecDeque<Incident>,
    /// An incident or an alert came since these were kept.
    pub(crate) unsaved: bool,
    /// Those that the next beats tell of, and in how many beats.
    untold: VecDeque<(u8, Incident)>,
    /// The wall clock, as the driver told it last; for people only.
    wall: Option<(Instant, u64)>,
}

impl Out {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            effects: Vec::new(),
            next_call: 0,
            rng: SmallRng::seed_from_u64(seed),
            alerts: VecDeque::new(),
            incidents: VecDeque::new(),
            unsaved: false,
            untold: VecDeque::new(),
            wall: None,
        }
    }

    /// With what an earlier life of this member remembered.
    pub(crate) fn with_past(mut self, incidents: Vec<Incident>, alerts: Vec<Alert>) -> Self {
        self.incidents
            .extend(incidents.into_iter().take(INCIDENTS_KEPT));
        self.alerts.extend(alerts.into_iter().take(INCIDENTS_KEPT));
        self
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
        self.unsaved = true;
        self.publish(format!("alert.{kind}"), Body::Alert(alert));
    }

    /// Publishes the story of a healing.
    pub(crate) fn incident(&mut self, incident: Incident) {
        keep(&mut self.incidents, incident.clone());
        self.unsaved = true;
        self.tell(incident.clone());
        self.publish("report.incident", Body::Incident(Box::new(incident)));
    }

    fn tell(&mut self, incident: Incident) {
        self.untold.push_back((TOLD_IN_BEATS, incident));
        if self.untold.len() > UNTOLD_MAX {
            self.untold.pop_front();
        }
    }

    /// Somebody else's story, so that it is known here too when whoever acted is gone. `tell`: it came
    /// from its author, and this member's beats are to repeat it.
    /// Whether it is news.
    pub(crate) fn heard_incident(&mut self, incident: &Incident, tell: bool) -> bool {
        if self.incidents.iter().any(|known| known.id == incident.id) {
            return false;
        }
        // In order of their times where these are known; clocks differ, and people can live with that.
        let at = self
            .incidents
            .iter()
            .position(|known| known.at_ms <= incident.at_ms)
            .unwrap_or(self.incidents.len());
        self.incidents.insert(at, incident.clone());
        self.incidents.truncate(INCIDENTS_KEPT);
        self.unsaved = true;
        if tell {
            self.tell(incident.clone());
        }
        true
    }

    /// What the beat of this number tells of: what is new, and one that is older, in turn, for whoever
    /// came later.
    pub(crate) fn incidents_for_beat(&mut self, number: u64) -> Vec<Incident> {
        let mut told: Vec<Incident> = Vec::new();
        for (left, incident) in &mut self.untold {
            *left -= 1;
            told.push(incident.clone());
        }
        self.untold.retain(|(left, _)| *left > 0);
        let kept = self.incidents.len() as u64;
        let turn = number
            .checked_rem(kept)
            .and_then(|at| usize::try_from(at).ok());
        if let Some(older) = turn.and_then(|at| self.incidents.get(at))
            && told.iter().all(|incident| incident.id != older.id)
        {
            told.push(older.clone());
        }
        told
    }

    /// The driver read the wall clock.
    pub(crate) fn set_wall(&mut self, now: Instant, unix_ms: u64) {
        self.wall = Some((now, unix_ms));
    }

    /// The wall clock now, in milliseconds since 1970, where it was ever told.
    pub(crate) fn unix_ms(&self, now: Instant) -> Option<u64> {
        let (at, ms) = self.wall?;
        let since = u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX);
        Some(ms.saturating_add(since))
    }

    /// A hook of a healing.
    pub(crate) fn hook(&mut self, when: HookTime, url: Option<&str>, incident: &Incident) {
        self.push(Effect::Hook {
            when,
            url: url.map(str::to_owned),
            incident: Box::new(incident.clone()),
        });
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
