//! What the leader knows of one member by hearing it.

use super::Heard;
use crate::id::BootId;
use crate::message::{Heartbeat, MemberState, MemberView};
use crate::time::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// Lives that are over are told from new ones by remembering so many.
const LIVES_KEPT: usize = 4;

/// A round of probes that is under way.
#[derive(Clone, Debug)]
pub(super) struct Suspicion {
    pub(super) until: Instant,
    pub(super) nonce: u64,
    pub(super) relay: Option<crate::id::MemberName>,
    /// Rounds that failed before this one.
    pub(super) failed: u8,
    pub(super) answered: bool,
}

/// One member.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) boot: BootId,
    pub(crate) beat: Heartbeat,
    pub(crate) state: MemberState,
    /// When `state` was set.
    pub(crate) changed: Instant,
    /// Heard last by this very member; `None`: only adopted from a predecessor.
    pub(crate) heard: Option<Instant>,
    /// The same on the effective clock.
    pub(super) heard_clock: Duration,
    /// This life answered a probe.
    pub(super) acked: bool,
    pub(super) probed: Option<Instant>,
    pub(super) nonce: u64,
    pub(super) suspicion: Option<Suspicion>,
    /// The broker was asked for its queue in this silence.
    pub(super) asked_for: bool,
    /// Missed heartbeats that a log line told of.
    pub(super) told: u32,
    /// How far its wall clock is ahead of ours.
    pub(crate) skew_ms: Option<i64>,
    /// Heartbeats with a skewed clock since it was last well.
    pub(super) skewed: u8,
    seq: u64,
    lives: VecDeque<BootId>,
    /// This life was heard first then.
    life_since: Instant,
    /// It was told that an earlier life still speaks.
    doubled: bool,
}

/// Whether a line of a predecessor's table is about one that could be heard now.
pub(super) fn was_heard(view: &MemberView) -> bool {
    view.boot.is_some()
        && matches!(
            view.state,
            MemberState::Joining
                | MemberState::Alive
                | MemberState::Late
                | MemberState::Suspect
                | MemberState::Isolated
                | MemberState::Restarting
        )
}

impl Peer {
    pub(super) fn new(
        boot: BootId,
        seq: u64,
        beat: Heartbeat,
        now: Instant,
        clock: Duration,
    ) -> Self {
        Self {
            boot,
            beat,
            state: MemberState::Joining,
            changed: now,
            heard: Some(now),
            heard_clock: clock,
            acked: false,
            probed: None,
            nonce: 0,
            suspicion: None,
            asked_for: false,
            told: 0,
            skew_ms: None,
            skewed: 0,
            seq,
            lives: VecDeque::new(),
            life_since: now,
            doubled: false,
        }
    }

    pub(super) fn adopted(view: &MemberView, now: Instant, clock: Duration) -> Self {
        let beat = Heartbeat {
            host: view.host.clone(),
            candidate: view.candidate,
            healer: view.healer,
            ..Heartbeat::default()
        };
        let boot = view.boot.unwrap_or(BootId(0));
        Self {
            heard: None,
            state: MemberState::Joining,
            ..Self::new(boot, 0, beat, now, clock)
        }
    }

    /// Ended, as far as is known: nothing is expected of it.
    pub(crate) fn over(&self) -> bool {
        matches!(self.state, MemberState::Dead | MemberState::Left)
    }

    pub(super) fn set(&mut self, state: MemberState, now: Instant) {
        if self.state != state {
            self.state = state;
            self.changed = now;
        }
    }

    pub(super) fn end(&mut self, state: MemberState, now: Instant) {
        self.set(state, now);
        self.suspicion = None;
    }

    pub(super) fn hear(
        &mut self,
        now: Instant,
        boot: BootId,
        seq: u64,
        beat: Heartbeat,
        in_flight: Duration,
    ) -> Heard {
        let older = boot != self.boot && self.lives.contains(&boot);
        if boot == self.boot {
            let late = self.over() && now.since(self.changed) < in_flight;
            if (seq <= self.seq && self.heard.is_some()) || late {
                return Heard::Stale;
            }
        } else if older {
            // The newer one of two that bear the name is gone for longer than any message is on its way,
            // and the older one still speaks: it is the member.
            let outlived = self.over() && now.since(self.changed) >= in_flight;
            let late = now.since(self.life_since) < in_flight;
            if !outlived {
                return if late || std::mem::replace(&mut self.doubled, true) {
                    Heard::Stale
                } else {
                    Heard::Double
                };
            }
        }
        let new = boot != self.boot;
        let away = self.over().then(|| now.since(self.changed));
        if new {
            self.lives.retain(|life| *life != boot);
            self.lives.push_back(self.boot);
            if self.lives.len() > LIVES_KEPT {
                self.lives.pop_front();
            }
            self.boot = boot;
            self.life_since = now;
            self.doubled = false;
            self.acked = false;
            self.probed = None;
        }
        if new || self.over() {
            self.state = MemberState::Joining;
            self.changed = now;
        } else if !matches!(self.state, MemberState::Joining) {
            self.set(MemberState::Alive, now);
        }
        self.seq = seq;
        self.beat = beat;
        self.heard = Some(now);
        self.suspicion = None;
        self.told = 0;
        self.asked_for = false;
        if new || away.is_some() {
            Heard::New { away, older }
        } else {
            Heard::Again
        }
    }

    pub(super) fn acknowledge(&mut self, nonce: u64) {
        if nonce != self.nonce {
            return;
        }
        self.acked = true;
        if let Some(suspicion) = &mut self.suspicion
            && suspicion.nonce == nonce
        {
            suspicion.answered = true;
        }
    }

    pub(super) fn note_silence(
        &mut self,
        now: Instant,
        interval: Duration,
        silence: Duration,
        missed: u32,
    ) {
        if missed >= 1 && silence > interval.mul_f64(1.5) {
            self.set(MemberState::Late, now);
        } else if self.heard.is_some() && now.since(self.changed) >= interval {
            self.set(MemberState::Alive, now);
        }
    }
}
