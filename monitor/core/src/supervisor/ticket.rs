//! One healing under way. Every order belongs to a ticket, and every ticket ends with an incident.
//!
//! ```text
//!  Due ──▶ Calling(start) ──▶ Settling ──▶ Recovering ──▶ healed
//!   │                            ▲
//!   └────▶ Calling(kill) ──▶ Dying ──▶ Calling(start)        (force)
//! ```

use super::policy::Action;
use crate::engine::Attachment;
use crate::id::{CallId, ContainerId, MemberName};
use crate::message::{Incident, IncidentOutcome, RestartReason};
use crate::time::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    Start,
    Unpause,
    Connect(Attachment),
    /// SIGCONT for one that was stopped in its tracks.
    Continue,
    /// Kill, then start. `gentle`: the stop signal first.
    Force {
        gentle: bool,
    },
    /// Make it anew, on the network of that one.
    Recreate {
        network_of: Option<ContainerId>,
    },
    /// The engine itself is bringing it back.
    Engine,
}

impl Plan {
    /// The same for a person: "it would be …".
    pub(super) fn would(&self, action: Action) -> String {
        match (self, action) {
            (_, Action::Notify) => "reported, no more,".to_owned(),
            (_, Action::Watch) => "left alone".to_owned(),
            (Self::Force { .. }, Action::Stop) => "killed and left down".to_owned(),
            (_, Action::Stop) => "left as it is".to_owned(),
            (Self::Start, _) => "started".to_owned(),
            (Self::Unpause, _) => "unpaused".to_owned(),
            (Self::Connect(attachment), _) => format!("connected to {}", attachment.network),
            (Self::Continue, _) => "continued".to_owned(),
            (Self::Force { .. }, _) => "killed and started".to_owned(),
            (Self::Recreate { .. }, _) => "made anew".to_owned(),
            (Self::Engine, _) => "watched coming back".to_owned(),
        }
    }
}

/// Where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Due,
    Calling { call: CallId, killing: bool },
    Dying { until: Instant, hard: bool },
    Settling { until: Instant },
    Recovering { until: Instant },
}

/// Whose event is awaited: until then a stop signal is our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnKill {
    /// The engine has not answered yet.
    Ordered,
    /// It has: the event comes by then, or was lost.
    Answered { until: Instant },
}

/// The event of a kill comes before the engine's answer, or right behind it.
pub(super) const KILL_EVENT: Duration = Duration::from_millis(250);

/// One healing.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(super) reason: RestartReason,
    pub(super) evidence: String,
    pub(super) plan: Plan,
    pub(super) phase: Phase,
    /// `StartedAt` of the life that was judged.
    pub(super) incarnation: Option<String>,
    pub(super) first_sign: Instant,
    pub(super) verdict: Instant,
    pub(super) not_before: Instant,
    pub(super) ordered: Option<Instant>,
    pub(super) running: Option<Instant>,
    /// A kill with the stop signal was ordered, and its event is still to come.
    pub(super) own_kill: Option<OwnKill>,
    /// A stop signal was taken for ours before the engine answered.
    pub(super) taken: Option<Instant>,
    pub(super) term: u64,
    /// Kills of this ticket so far.
    pub(super) attempts: u32,
    /// When the engine answered the first of them.
    pub(super) answered: Option<Instant>,
    /// The group was told that a force begins.
    pub(super) announced: bool,
    /// It began with a kill.
    pub(super) forced: bool,
    /// After the kill it is made anew on the network of that one, not started.
    pub(super) then_recreate: Option<ContainerId>,
    /// Exit code of the end that began it, and whether that was for memory.
    pub(super) exit: Option<(i64, bool)>,
}

impl Ticket {
    pub(super) fn new(
        reason: RestartReason,
        evidence: String,
        plan: Plan,
        incarnation: Option<String>,
        first_sign: Instant,
        now: Instant,
    ) -> Self {
        Self {
            reason,
            evidence,
            plan,
            phase: Phase::Due,
            incarnation,
            first_sign,
            verdict: now,
            not_before: now,
            ordered: None,
            running: None,
            own_kill: None,
            taken: None,
            term: 0,
            attempts: 0,
            answered: None,
            announced: false,
            forced: false,
            then_recreate: None,
            exit: None,
        }
    }

    /// What it did, in a word or three.
    fn action(&self) -> &'static str {
        match &self.plan {
            Plan::Start | Plan::Force { .. } if self.forced => "kill and start",
            Plan::Start => "start",
            Plan::Force { .. } => "kill and start",
            Plan::Unpause => "unpause",
            Plan::Connect(_) => "connect",
            Plan::Continue => "continue",
            Plan::Recreate { .. } => "recreate",
            Plan::Engine => "wait for the engine",
        }
    }

    /// That very call is awaited.
    pub(super) fn is_call(&self, call: CallId) -> bool {
        matches!(self.phase, Phase::Calling { call: awaited, .. } if awaited == call)
    }

    /// The order to make it anew is out.
    pub(super) fn is_recreating(&self) -> bool {
        matches!(self.plan, Plan::Recreate { .. }) && matches!(self.phase, Phase::Calling { .. })
    }

    /// Between our own kill and our own start.
    pub(super) fn is_killing(&self) -> bool {
        matches!(self.plan, Plan::Force { .. })
            && matches!(
                self.phase,
                Phase::Dying { .. } | Phase::Calling { killing: true, .. }
            )
    }

    /// Its kill was taken, and the end is waited for.
    pub(super) fn is_dying(&self) -> bool {
        matches!(self.phase, Phase::Dying { .. })
    }

    /// The answer to what was ordered will never come.
    pub(super) fn lost(&mut self) {
        if let Phase::Calling { .. } = self.phase {
            self.phase = Phase::Due;
        }
    }

    /// Its first signal is still to come or just went out.
    pub(super) fn is_about_to_kill(&self, now: Instant) -> bool {
        let force = matches!(self.plan, Plan::Force { .. });
        self.announced
            && match self.phase {
                Phase::Due => force && self.attempts == 0,
                Phase::Calling { killing, .. } => force && killing && self.attempts == 0,
                Phase::Dying { .. } => self.answered.is_some_and(|at| now < at + KILL_EVENT),
                _ => false,
            }
    }

    /// Whether this stop signal is the one that we ordered.
    pub(super) fn take_own_kill(&mut self, now: Instant) -> bool {
        match self.own_kill.take() {
            Some(OwnKill::Ordered) => {
                self.taken = Some(now);
                true
            }
            Some(OwnKill::Answered { until }) => now < until,
            None => false,
        }
    }

    /// An order is out, or its effect is awaited.
    pub(super) fn in_flight(&self) -> bool {
        !matches!(self.phase, Phase::Due | Phase::Recovering { .. })
    }

    /// What it did began a new life, whose health is checked anew.
    pub(super) fn began_a_life(&self) -> bool {
        !matches!(self.plan, Plan::Unpause | Plan::Continue | Plan::Connect(_))
    }

    pub(super) fn is_force(&self) -> bool {
        matches!(self.plan, Plan::Force { .. } | Plan::Continue)
    }

    /// Its story so far; the outcome is still open.
    pub(super) fn story(
        &self,
        id: String,
        name: String,
        container: ContainerId,
        by: MemberName,
        now: Instant,
    ) -> Incident {
        self.close(id, name, container, by, IncidentOutcome::Failed, now)
    }

    /// Its story, as it ends now.
    pub(super) fn close(
        &self,
        id: String,
        name: String,
        container: ContainerId,
        by: MemberName,
        outcome: IncidentOutcome,
        now: Instant,
    ) -> Incident {
        let span = |from: Instant, to: Instant| ms(to.since(from));
        let ordered = self.ordered;
        Incident {
            id,
            name,
            container,
            reason: self.reason,
            evidence: self.evidence.clone(),
            by,
            term: self.term,
            detect_ms: Some(span(self.first_sign, self.verdict)),
            order_ms: ordered.map(|at| span(self.verdict, at)),
            start_ms: self
                .running
                .map(|at| span(ordered.unwrap_or(self.verdict), at)),
            healthy_ms: match outcome {
                IncidentOutcome::Healed | IncidentOutcome::HealedByEngine => {
                    self.running.map(|at| span(at, now))
                }
                _ => None,
            },
            outcome,
            action: self.action().to_owned(),
            exit_code: self.exit.map(|(code, _)| code),
            oom: self.exit.is_some_and(|(_, oom)| oom),
            restarts: 0,
            at_ms: None,
            notes: BTreeMap::new(),
        }
    }
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
