//! What a healer knows of one container of its engine.

use super::intensity::Intensity;
use super::policy::Care;
use super::probe::Probing;
use super::ticket::Ticket;
use crate::engine::{Attachment, Container, ContainerState, Health, RestartPolicy};
use crate::id::{CallId, ContainerId, MemberName};
use crate::message::RestartReason;
use crate::time::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// Signals by number (Linux, all architectures that Docker runs on).
pub(super) const SIGKILL: i32 = 9;
pub(super) const SIGCONT: i32 = 18;
pub(super) const SIGSTOP: i32 = 19;

/// What the event stream showed of the life that began with the last start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    /// A kill with the stop signal was heard: somebody is stopping it, until then.
    pub(super) stopping: Option<Instant>,
    pub(super) stop_signal: bool,
    pub(super) killed: bool,
    /// Any signal by the API: it cancels Docker's policy for the next death.
    pub(super) signalled: bool,
    pub(super) oom: bool,
    /// The leader's own signal was heard: any further stop signal is a person's.
    pub(super) excused: bool,
    /// When: if that signal was never sent, the one that was heard was a person's after all.
    pub(super) excused_at: Option<Instant>,
    /// It was seen running in this life.
    pub(super) ran: bool,
    /// A signal was heard before its start was known: the look that shows it changes nothing here.
    pub(super) early: bool,
}

/// How a life ended, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// `die` was heard, and `stop` may follow.
    AwaitingStop { until: Instant, died: Instant },
    /// `stop` was heard; it is a person's will if the engine still answers then.
    StopSeen { check: Instant },
    /// A person's will; `FinishedAt` is in the record.
    Stopped,
    /// A death, and there is a witness.
    Witnessed {
        reason: RestartReason,
        at: Instant,
        evidence: String,
    },
    /// The engine went down with it; its own policy should bring it back until then.
    Restoring { until: Instant },
    /// Nobody saw how it ended.
    Unwitnessed,
}

impl Exit {
    /// Whether a start after it counts as a restart.
    pub(super) fn was_death(&self) -> bool {
        matches!(self, Self::AwaitingStop { .. } | Self::Witnessed { .. })
    }
}

/// Why something that runs may be forced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suspicion {
    pub(super) reason: RestartReason,
    pub(super) evidence: String,
    pub(super) first_sign: Instant,
    /// Not before: it may end by itself.
    pub(super) ripe: Instant,
}

/// One container.
#[derive(Clone, Debug)]
pub(crate) struct Patient {
    pub(crate) info: Container,
    /// `None`: nobody's patient, known only because it may become one or others depend on it.
    pub(crate) care: Option<Care>,
    /// The number of the newest event about it: an answer to an older question is not believed.
    pub(super) mark: u64,
    /// `info` is newer than every event.
    pub(super) fresh: bool,
    /// `info` shows the life that runs, or ran last: no `start` came since.
    pub(super) known: bool,
    /// A `start` was heard since the newest look.
    pub(super) start_heard: bool,
    /// Its end was heard, and taken as it was heard: `FinishedAt` is not known yet.
    pub(super) end_unseen: bool,
    /// The engine's time, or a little before it, when the newest look showed it up: what ended before then
    /// was another life.
    pub(super) seen_up: Option<i64>,
    /// When the newest look that was believed was asked for.
    pub(super) looked: Option<Instant>,
    /// The look that is awaited, and the newest event before it.
    pub(super) asking: Option<(CallId, u64)>,
    /// Looks in a row that contradicted an event.
    pub(super) contradictions: u8,
    pub(super) life: Life,
    pub(crate) exit: Option<Exit>,
    /// `StartedAt` of the life whose death was witnessed before the stream broke, until it is looked at.
    pub(super) died_before_gap: Option<String>,
    /// How often the leader was told of this death.
    pub(super) death_told: u8,
    /// `FinishedAt` of the end that was a person's will.
    pub(super) stopped: Option<String>,
    pub(super) running_since: Option<Instant>,
    pub(super) paused_since: Option<Instant>,
    pub(super) stuck_since: Option<Instant>,
    pub(super) continued: bool,
    /// Where it was attached in this life, and since when something is missing.
    pub(super) home: Vec<Attachment>,
    pub(super) cut_since: Option<Instant>,
    pub(super) suspicion: Option<Suspicion>,
    pub(super) probing: Probing,
    /// Since when the container whose network it shares is gone.
    pub(super) orphan_since: Option<Instant>,
    /// It was heard while a force on it was in flight.
    pub(super) refuted: bool,
    pub(crate) intensity: Intensity,
    pub(crate) ticket: Option<Ticket>,
    /// A start is due since then: the escape from waiting for a dependency.
    pub(super) due_since: Option<Instant>,
    /// What was done without a new life did not help, and since then it was waited for.
    pub(super) waited_since: Option<Instant>,
    /// A predecessor's force may still be in flight until then.
    pub(super) blocked: Option<Instant>,
    /// The leader, on another host, ordered a force here: allowed until then.
    pub(super) granted: Option<Instant>,
    /// The leader announced its own kill: its signal opens no *stopping* here until then.
    pub(super) announced: Option<Instant>,
    pub(super) wake: Option<Instant>,
    /// What is known of it is too old by then: look at it again.
    pub(super) look_at: Option<Instant>,
    /// An alert of this kind was raised for this very state.
    pub(super) alerted: Option<&'static str>,
}

impl Patient {
    pub(super) fn new(info: Container) -> Self {
        Self {
            info,
            care: None,
            mark: 0,
            fresh: false,
            known: false,
            start_heard: false,
            end_unseen: false,
            seen_up: None,
            looked: None,
            asking: None,
            contradictions: 0,
            life: Life::default(),
            exit: None,
            died_before_gap: None,
            death_told: 0,
            stopped: None,
            running_since: None,
            paused_since: None,
            stuck_since: None,
            continued: false,
            home: Vec::new(),
            cut_since: None,
            suspicion: None,
            probing: Probing::default(),
            orphan_since: None,
            refuted: false,
            intensity: Intensity::default(),
            ticket: None,
            due_since: None,
            waited_since: None,
            blocked: None,
            granted: None,
            announced: None,
            wake: None,
            look_at: None,
            alerted: None,
        }
    }

    /// One that an event told of before it could be looked at.
    pub(super) fn unknown(id: ContainerId, name: String) -> Self {
        Self::new(Container {
            id,
            member: None,
            name,
            labels: BTreeMap::new(),
            state: ContainerState::Created,
            started_at: None,
            finished_at: None,
            exit_code: 0,
            oom_killed: false,
            error: String::new(),
            restart_policy: RestartPolicy::No,
            health: None,
            stop_signal: 15,
            stop_timeout: Duration::from_secs(10),
            network_mode: String::new(),
            networks: Vec::new(),
            process_state: None,
        })
    }

    pub(crate) fn name(&self) -> Option<MemberName> {
        super::policy::title(&self.info)
    }

    pub(super) fn is_running(&self) -> bool {
        self.info.state == ContainerState::Running
    }

    /// Its end was witnessed as a death, and the engine shows that very end.
    pub(super) fn is_dead_for_sure(&self) -> bool {
        let seen = self.fresh && !self.end_unseen;
        seen && self.is_down() && matches!(self.exit, Some(Exit::Witnessed { .. }))
    }

    /// A check from inside or outside says that it is sick.
    pub(super) fn is_unhealthy(&self) -> bool {
        self.info.health == Some(Health::Unhealthy) || self.probing.failing.is_some()
    }

    /// Neither unhealthy nor on its way to a verdict.
    pub(super) fn is_well(&self) -> bool {
        super::policy::is_well(&self.info) && self.probing.failing.is_none()
    }

    /// Its first process is there, thawed or not.
    pub(super) fn is_up(&self) -> bool {
        matches!(
            self.info.state,
            ContainerState::Running | ContainerState::Paused
        )
    }

    pub(super) fn is_down(&self) -> bool {
        matches!(
            self.info.state,
            ContainerState::Exited | ContainerState::Dead | ContainerState::Created
        )
    }

    /// A new life: what was held against the old one is over.
    pub(super) fn begin_life(&mut self, now: Instant) {
        let before = std::mem::take(&mut self.life);
        self.life = if before.early {
            before
        } else {
            Life::default()
        };
        self.life.ran = true;
        self.life.early = false;
        self.exit = None;
        self.died_before_gap = None;
        self.death_told = 0;
        self.stopped = None;
        self.running_since = Some(now);
        self.due_since = None;
        self.announced = None;
        self.granted = None;
        self.forget_evidence();
    }

    /// What was held against the life before, this one need not answer for.
    pub(super) fn forget_evidence(&mut self) {
        self.paused_since = None;
        self.stuck_since = None;
        self.continued = false;
        self.home.clear();
        self.cut_since = None;
        self.suspicion = None;
        self.probing = Probing::default();
        self.orphan_since = None;
        self.waited_since = None;
        self.alerted = None;
    }

    /// Takes its end as it was heard, without a look.
    pub(super) fn down_as_heard(&mut self) {
        self.info.state = ContainerState::Exited;
        self.info.finished_at = None;
        self.info.oom_killed = false;
        self.info.process_state = None;
        self.fresh = true;
        self.end_unseen = true;
    }

    /// The engine itself will not bring it back: nothing in its policy, or a signal that came through the
    /// engine, which is a person's word to it.
    pub(super) fn is_left_by_engine(&self) -> bool {
        self.life.signalled || !super::policy::engine_brings_back(&self.info)
    }

    /// What is known is not enough: it is to be looked at again then.
    pub(super) fn look_later(&mut self, at: Instant) {
        self.fresh = false;
        self.look_at = Some(at);
        self.wake_at(at);
    }

    /// The stop signal was sent by somebody else than us.
    pub(super) fn begin_stopping(&mut self, now: Instant) {
        let own = self.care.as_ref().map(|care| care.stop_timeout);
        let grace = own.unwrap_or_default().max(self.info.stop_timeout);
        self.life.stop_signal = true;
        // An older signal that is understood late must not shorten what a younger one began.
        let until = now + grace + super::STOPPING_SLACK;
        self.life.stopping = self.life.stopping.max(Some(until));
    }

    /// Somebody is stopping it right now.
    pub(super) fn is_stopping(&self, now: Instant) -> bool {
        self.life.stopping.is_some_and(|until| now < until)
    }

    pub(super) fn in_force(&self) -> bool {
        self.ticket.as_ref().is_some_and(Ticket::is_killing)
    }
}
