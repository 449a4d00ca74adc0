//! The engine's own side: its event stream, its memory, its restarts.

use super::{Event, Work, World};
use crate::clock::{MS, S, WALL_EPOCH};
use crate::container::Cont;
use crate::container::{Kind, Spec, Then, Will};
use planaria_core::engine::{ContainerState, EngineEvent, EventKind, Health, RestartPolicy};
use planaria_core::id::HostId;
use planaria_core::input::Input;
use std::collections::VecDeque;

/// A stop that is followed by the engine's own end within this may have been the engine's.
pub(crate) const STOP_BELIEVED: u64 = 6 * S;

/// The engine remembers so many events, three of them for each health check.
const RING: usize = 256;

/// Between two health checks.
const CHECK_EVERY: u64 = 5 * S;

/// So many failed checks in a row are `unhealthy`.
const CHECK_RETRIES: u32 = 3;

/// The engine.
#[derive(Debug, Default)]
pub(crate) struct EngineModel {
    pub(crate) down: bool,
    /// When it went down last.
    pub(crate) went_down: Option<u64>,
    /// With live-restore containers live on without it.
    pub(crate) live_restore: bool,
    /// Grows with each of its restarts.
    pub(crate) session: u64,
    /// What it remembers; `None` is the noise of a health check.
    pub(crate) ring: VecDeque<Option<EngineEvent>>,
    /// Every call takes up to so much longer.
    pub(crate) slow: u64,
    /// Of a thousand calls so many are refused.
    pub(crate) refuse: u32,
    /// Of a thousand events so many do not reach a listener.
    pub(crate) lose: u32,
    /// Between a check and its call up to so much time passes.
    pub(crate) window: u64,
    /// When the wall clock was set last: what is dated before cannot be compared with what is dated after.
    pub(crate) clock_set: Vec<u64>,
    /// The wall clock was set by so much.
    pub(crate) wall: i64,
    serial: u64,
    stamp: i64,
}

impl EngineModel {
    /// A slow engine lets questions time out, and whoever believes a stop only when it still answers asks
    /// again and again.
    pub(crate) const fn slowest(&self) -> u64 {
        3 * self.slow
    }
}

impl World {
    /// The engine's wall clock; its stamps never repeat.
    fn wall(&mut self) -> i64 {
        let now = WALL_EPOCH + i64::try_from(self.now).unwrap_or(i64::MAX) + self.engine.wall;
        // Two stamps in one nanosecond do not happen on a real machine.
        self.engine.stamp = if now == self.engine.stamp {
            now + 1
        } else {
            now
        };
        self.engine.stamp
    }

    pub(crate) fn stamp(&mut self) -> String {
        self.wall().to_string()
    }

    /// Makes a container (`docker create`), without its event.
    pub(crate) fn make(&mut self, spec: &Spec) -> usize {
        self.engine.serial += 1;
        let serial = self.engine.serial;
        self.conts.push(Cont::new(spec, serial, self.now));
        self.procs.push(None);
        self.conts.len() - 1
    }

    /// The container of that name, as the engine would resolve it.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.conts
            .iter()
            .rposition(|cont| !cont.removed && cont.facts.name == name)
    }

    /// Something happened to a container: all listeners hear of it, in order, unless it is lost.
    pub(crate) fn emit(&mut self, index: usize, kind: EventKind) {
        if self.engine.down {
            return;
        }
        let event = EngineEvent {
            at: self.wall(),
            container: self.conts[index].facts.id.clone(),
            name: self.conts[index].facts.name.clone(),
            kind,
        };
        self.trace.note(self.now, "engine", index, || {
            format!("engine: {} {:?}", event.name, event.kind)
        });
        self.remember(Some(event.clone()));
        let tells_of_an_end = matches!(
            event.kind,
            EventKind::Kill { .. } | EventKind::Die { .. } | EventKind::Stop
        );
        let mut heard = false;
        for listener in 0..self.procs.len() {
            let listens = self.procs[listener]
                .as_ref()
                .is_some_and(|proc| proc.stream);
            if !listens {
                continue;
            }
            if self.engine.lose > 0 && self.chance(self.engine.lose) {
                let pause = matches!(event.kind, EventKind::Pause | EventKind::Unpause);
                self.conts[index].truth.tainted |= tells_of_an_end;
                self.conts[index].truth.pause_lost |= pause;
                if tells_of_an_end || event.kind == EventKind::Start {
                    self.conts[index].truth.lost = Some(self.now);
                }
                continue;
            }
            heard = true;
            let delay = self.draw(MS, 6 * MS);
            let now = self.now;
            let Some(proc) = self.procs[listener].as_mut() else {
                continue;
            };
            proc.last_event = proc.last_event.max(now + delay);
            let (at, life) = (proc.last_event, proc.life);
            self.at(
                at,
                Event::Work {
                    proc: listener,
                    life,
                    work: Work::Input(Box::new(Input::Engine(event.clone()))),
                },
            );
        }
        self.conts[index].truth.tainted |= tells_of_an_end && !heard;
        if !heard {
            self.conts[index].truth.lost = Some(self.now);
        }
    }

    fn remember(&mut self, event: Option<EngineEvent>) {
        if self.engine.ring.len() == RING {
            self.engine.ring.pop_front();
        }
        self.engine.ring.push_back(event);
    }

    /// A listener's stream is (again) there.
    pub(crate) fn stream_stands(&mut self, index: usize, life: u64) {
        if self.engine.down || self.conts[index].freeze != 0 {
            self.after(200 * MS, Event::Stream { proc: index, life });
            return;
        }
        let (now, since) = (self.now, self.wall());
        let Some(proc) = self.proc_mut(index, life) else {
            return;
        };
        if proc.stream {
            return;
        }
        proc.stream = true;
        proc.stream_since = now;
        self.work(
            index,
            life,
            Work::Input(Box::new(Input::EngineConnected {
                host: HostId::from("host-1"),
                since,
            })),
        );
    }

    /// A listener's stream breaks; its driver subscribes again.
    pub(crate) fn stream_breaks(&mut self, index: usize) {
        let Some(proc) = self.procs[index].as_mut() else {
            return;
        };
        if !proc.stream {
            return;
        }
        proc.stream = false;
        let (life, last) = (proc.life, proc.last_event);
        self.disturbed = Some(self.now);
        let end = Input::EngineDisconnected {
            reason: "end of the event stream".into(),
        };
        // The end of a stream is read behind what it carried.
        self.at(
            last,
            Event::Work {
                proc: index,
                life,
                work: Work::Input(Box::new(end)),
            },
        );
        let delay = self.draw(100 * MS, 500 * MS);
        self.after(delay, Event::Stream { proc: index, life });
    }

    /// `systemctl stop docker`: with live-restore the containers live on.
    pub(crate) fn engine_stops(&mut self, live_restore: bool, down_for: u64) {
        if self.engine.down {
            return;
        }
        self.engine.live_restore = live_restore;
        self.trace.note(self.now, "engine_stops", 0, || {
            format!("the engine goes down (live-restore {live_restore})")
        });
        if live_restore {
            self.engine_is_down();
        } else {
            for index in 0..self.conts.len() {
                if self.conts[index].lives() {
                    self.begin_stop(index, Then::Daemon);
                }
            }
            // Listeners hear kill, die and stop of everyone before the end of the stream.
            let delay = self.draw(300 * MS, 900 * MS);
            self.after(delay, Event::Act(super::Act::EngineGone));
        }
        let delay = down_for + S;
        self.after(delay, Event::EngineBack);
    }

    /// The process of the engine is gone.
    pub(crate) fn engine_is_down(&mut self) {
        if !self.engine.live_restore {
            for index in 0..self.conts.len() {
                if self.conts[index].lives() {
                    self.process_killed_silently(index);
                }
            }
        }
        for index in 0..self.procs.len() {
            self.stream_breaks(index);
        }
        let believed = STOP_BELIEVED + self.engine.slowest();
        for cont in &mut self.conts {
            // A stop is believed once the engine has answered for a while after it (rule 6).
            if matches!(cont.truth.will, Will::Stopped(at) if self.now - at < believed) {
                cont.truth.will = Will::Open;
            }
            // Whoever asked for a stop that it did not answer was told that it failed.
            if cont.stop.take().is_some() {
                cont.truth.will = Will::Open;
            }
        }
        self.engine.down = true;
        self.engine.went_down = Some(self.now);
        self.engine.session += 1;
        self.engine.ring.clear();
    }

    fn process_killed_silently(&mut self, index: usize) {
        let life = self.conts[index].life;
        self.process_ends_now(index, 137);
        self.die_done(index, life, 137, false);
        let stop = self.conts[index].stop.take();
        if stop.is_some_and(|stop| stop.then != Then::Daemon) {
            self.conts[index].truth.will = Will::Open;
        }
    }

    /// The engine is back: it starts what its own book says.
    pub(crate) fn engine_back(&mut self) {
        self.engine.down = false;
        self.trace.note(self.now, "engine_back", 0, || {
            "the engine is back".to_owned()
        });
        for index in 0..self.conts.len() {
            let cont = &self.conts[index];
            if cont.removed || cont.lives() || cont.starting || cont.facts.started_at.is_none() {
                continue;
            }
            let wants = match cont.facts.restart_policy {
                RestartPolicy::Always => true,
                RestartPolicy::UnlessStopped => !cont.manual,
                RestartPolicy::OnFailure(_) => !cont.manual && cont.facts.exit_code != 0,
                RestartPolicy::No => false,
            };
            // It is the engine's own doing, whatever a person wanted: `always` is started even so.
            if wants {
                if cont.facts.restart_policy == RestartPolicy::Always {
                    self.conts[index].truth.will = Will::Open;
                }
                self.begin_start(index, None);
            } else if self.conts[index].truth.will == Will::Run {
                // Nobody could witness it, and the engine has no record of it: it may stay down.
                self.conts[index].truth.tainted = true;
            }
        }
    }

    /// One round of the container's own health check.
    pub(crate) fn health_check(&mut self, index: usize, life: u64) {
        let cont = &self.conts[index];
        if cont.life != life || !cont.lives() {
            return;
        }
        let fine = cont.freeze == 0 && !cont.nature.sick && self.answers_check(index);
        if !self.engine.down {
            for _ in 0..3 {
                self.remember(None);
            }
            let cont = &mut self.conts[index];
            cont.nature.failed_checks = if fine {
                0
            } else {
                cont.nature.failed_checks + 1
            };
            let verdict = if fine {
                Some(Health::Healthy)
            } else if cont.nature.failed_checks >= CHECK_RETRIES {
                Some(Health::Unhealthy)
            } else {
                None
            };
            if let Some(verdict) = verdict
                && cont.facts.health != Some(verdict)
            {
                cont.facts.health = Some(verdict);
                self.emit(index, EventKind::Health(verdict));
            }
        }
        self.after(CHECK_EVERY, Event::Check { cont: index, life });
    }

    fn answers_check(&self, index: usize) -> bool {
        self.conts[index].kind != Kind::Broker
            || !self.broker.wedged && self.broker.ready_at.is_some_and(|at| at <= self.now)
    }

    /// The first check of a new life.
    pub(crate) fn first_check(&mut self, index: usize) {
        let cont = &mut self.conts[index];
        cont.nature.failed_checks = 0;
        cont.facts.health = cont.nature.check.then_some(Health::Starting);
        if cont.nature.check {
            let life = cont.life;
            self.after(S, Event::Check { cont: index, life });
        }
    }

    /// State words under which the engine says "running".
    pub(crate) fn runs(state: ContainerState) -> bool {
        matches!(
            state,
            ContainerState::Running | ContainerState::Paused | ContainerState::Restarting
        )
    }
}
