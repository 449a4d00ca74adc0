//! What happens to containers, in the order and with the delays that were measured (Engine 20.10).

use super::{Event, Reply, Work, World};
use crate::clock::{MS, S, nanos};
use crate::container::{Kind, Spec, StopFlow, Then, Will, freeze};
use planaria_core::engine::{ContainerState, EngineError, EngineReply, EventKind, RestartPolicy};
use planaria_core::input::Input;

/// Docker's own first delay before a restart; doubled each time.
const DOCKER_DELAY: u64 = 100 * MS;

/// Docker forgets its delays after so long a run.
const DOCKER_FORGETS: u64 = 10 * S;

/// A wrapped program that was asked to end has ended by then.
const LEAVE_AT_LATEST: u64 = 400 * MS;

impl World {
    /// Starts a container; the reply (if a process waits for one) comes when it is done.
    pub(crate) fn begin_start(&mut self, index: usize, reply: Option<(usize, Reply)>) {
        let cont = &mut self.conts[index];
        let answer = |result| (Some(result), 0);
        let (now_or_later, delay) = if cont.removed {
            answer(Err(EngineError::Gone))
        } else if cont.starting {
            (None, 0)
        } else {
            match cont.facts.state {
                // By Docker's own policy it is as good as running.
                ContainerState::Restarting if reply.is_none() => {
                    cont.starting = true;
                    (None, 1)
                }
                ContainerState::Running | ContainerState::Restarting => {
                    answer(Ok(EngineReply::Done))
                }
                ContainerState::Paused => answer(Err(EngineError::Refused {
                    status: 409,
                    message: "cannot start a paused container, try unpause instead".into(),
                })),
                ContainerState::Removing => answer(Err(EngineError::Refused {
                    status: 409,
                    message: "container is marked for removal".into(),
                })),
                ContainerState::Created | ContainerState::Exited | ContainerState::Dead => {
                    cont.starting = true;
                    (None, 1)
                }
            }
        };
        if let Some((to, mut reply)) = reply {
            match now_or_later {
                Some(result) => {
                    reply.result = result;
                    self.reply(to, reply);
                }
                None => self.waiters.push((index, to, reply)),
            }
        }
        if delay > 0 {
            let failing = self.conts[index].nature.start_failures > 0;
            let delay = self.draw(130 * MS, 170 * MS);
            self.after(
                delay,
                if failing {
                    Event::StartFails { cont: index }
                } else {
                    Event::StartDone { cont: index }
                },
            );
        }
    }

    fn answer_waiters(&mut self, index: usize, result: &Result<EngineReply, EngineError>) {
        let (due, rest) = std::mem::take(&mut self.waiters)
            .into_iter()
            .partition(|(cont, _, _)| *cont == index);
        self.waiters = rest;
        for (_, to, mut reply) in due {
            let made = matches!(reply.result, Ok(EngineReply::Recreated(_)));
            if made && result.is_err() && !self.engine.down {
                // What was made anew and does not start is removed again.
                self.destroy(index);
            }
            if !made || result.is_err() {
                reply.result = result.clone();
            }
            self.reply(to, reply);
        }
    }

    pub(crate) fn start_fails(&mut self, index: usize) {
        let now = self.now;
        let asked = self.waiters.iter().any(|(cont, _, _)| *cont == index);
        let cont = &mut self.conts[index];
        cont.starting = false;
        if cont.facts.state == ContainerState::Restarting {
            cont.facts.state = ContainerState::Exited;
        }
        cont.nature.start_failures = cont.nature.start_failures.saturating_sub(1);
        if cont.truth.died {
            // An attempt is an attempt; of Docker's own that fail there is no word to anybody.
            if asked {
                cont.truth.refused.push(now);
            }
        } else {
            // A person's own start failed, and the person was told.
            cont.truth.will = Will::Open;
        }
        cont.facts.error = "port is already allocated".into();
        cont.facts.exit_code = 128;
        self.trace.note(self.now, "start_fails", index, || {
            format!("engine: start of {} fails", self.conts[index].facts.name)
        });
        self.answer_waiters(
            index,
            &Err(EngineError::Refused {
                status: 500,
                message: "port is already allocated".into(),
            }),
        );
    }

    pub(crate) fn start_done(&mut self, index: usize) {
        let stamp = self.stamp();
        let (now, down) = (self.now, self.engine.down);
        let cont = &mut self.conts[index];
        cont.starting = false;
        if cont.removed || down || cont.removing {
            if down && !cont.truth.died {
                // The engine went in the middle of a person's start, and the person was told.
                cont.truth.will = Will::Open;
            }
            self.answer_waiters(index, &Err(EngineError::Gone));
            return;
        }
        if cont.truth.died {
            cont.truth.restarts.push_back(now);
            cont.truth.died = false;
        }
        if let Will::Stopped(_) = cont.truth.will {
            // Started by one who could not know: that was judged when it was asked for.
            cont.truth.will = Will::Open;
        }
        cont.life += 1;
        cont.freeze = 0;
        cont.manual = false;
        cont.dying = false;
        cont.ran_since = now;
        cont.pending_signals.clear();
        cont.facts.state = ContainerState::Running;
        cont.facts.started_at = Some(stamp);
        cont.facts.exit_code = 0;
        cont.facts.oom_killed = false;
        cont.facts.error.clear();
        cont.facts.process_state = Some('S');
        cont.truth.tainted = false;
        cont.truth.pause_lost = false;
        cont.truth.paused_before = false;
        cont.truth.asked = false;
        self.judge(index);
        self.emit(index, EventKind::Start);
        self.first_check(index);
        self.answer_waiters(index, &Ok(EngineReply::Done));
        let life = self.conts[index].life;
        match self.conts[index].kind {
            Kind::Broker => {
                let boot = self.draw(2500 * MS, 4500 * MS);
                self.broker.ready_at = Some(now + boot);
            }
            Kind::Healer | Kind::Member => self.boot(index),
            Kind::Plain => {}
        }
        if let Some(crash) = self.conts[index].nature.crash_after {
            self.after(
                crash,
                Event::Exit {
                    proc: index,
                    life,
                    code: 1,
                },
            );
        }
    }

    /// The first process ends by itself, if that life still runs.
    pub(crate) fn process_ends(&mut self, index: usize, life: u64, code: i64, oom: bool) {
        let cont = &self.conts[index];
        if cont.life != life || !cont.lives() {
            return;
        }
        self.process_ends_now(index, code);
        let delay = self.draw(15 * MS, 30 * MS);
        self.after(
            delay,
            Event::DieDone {
                cont: index,
                life,
                code,
                oom,
            },
        );
    }

    /// The process is gone; the engine does not know it yet.
    pub(crate) fn process_ends_now(&mut self, index: usize, code: i64) {
        self.trace.note(self.now, "ends", index, || {
            format!("{} ends with {code}", self.conts[index].facts.name)
        });
        self.conts[index].dying = true;
        self.unboot(index);
        if self.conts[index].kind == Kind::Broker {
            self.broker_dies();
        }
    }

    /// The engine has noticed an end.
    pub(crate) fn die_done(&mut self, index: usize, life: u64, code: i64, oom: bool) {
        let stamp = self.stamp();
        let now = self.now;
        let down = self.engine.down;
        let cont = &mut self.conts[index];
        if cont.life != life || !cont.dying {
            return;
        }
        cont.dying = false;
        cont.freeze = 0;
        cont.facts.state = if cont.removing {
            ContainerState::Removing
        } else {
            ContainerState::Exited
        };
        cont.facts.finished_at = Some(stamp);
        cont.facts.exit_code = code;
        cont.facts.oom_killed = oom;
        cont.facts.process_state = None;
        cont.truth.down_since = now;
        self.judge(index);
        let cont = &mut self.conts[index];
        let stopped = cont.stop.is_some();
        cont.truth.died = !stopped;
        if !stopped && !cont.policy_wants_it() {
            cont.truth.will = Will::Open;
        }
        if oom {
            self.emit(index, EventKind::Oom);
        }
        self.emit(index, EventKind::Die { exit_code: code });
        if down {
            self.conts[index].truth.tainted = true;
        }
        if let Some(stop) = &mut self.conts[index].stop {
            stop.dead = true;
            let delay = self.draw(10 * MS, 50 * MS);
            self.after(delay, Event::StopDone { cont: index, life });
        } else if !down {
            self.docker_policy(index);
        }
    }

    /// Docker's own restart policy, unless a signal came through the engine since the start.
    fn docker_policy(&mut self, index: usize) {
        let now = self.now;
        let cont = &mut self.conts[index];
        let wants = match cont.facts.restart_policy {
            RestartPolicy::No => false,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
            RestartPolicy::OnFailure(limit) => {
                cont.facts.exit_code != 0 && (limit == 0 || cont.in_a_row < limit)
            }
        };
        if now.saturating_sub(cont.ran_since) > DOCKER_FORGETS {
            cont.in_a_row = 0;
        }
        if !wants || cont.manual {
            return;
        }
        let delay = DOCKER_DELAY << cont.in_a_row.min(9);
        cont.in_a_row += 1;
        cont.facts.state = ContainerState::Restarting;
        let life = cont.life;
        self.after(delay, Event::StartAgain { cont: index, life });
    }

    pub(crate) fn start_again(&mut self, index: usize, life: u64) {
        let down = self.engine.down;
        let cont = &mut self.conts[index];
        if cont.life != life || cont.facts.state != ContainerState::Restarting {
            return;
        }
        if cont.manual || down {
            cont.facts.state = ContainerState::Exited;
            return;
        }
        self.begin_start(index, None);
    }

    /// A signal comes through the engine (`docker kill`, by a person or a healer).
    pub(crate) fn engine_kill(&mut self, index: usize, signal: i32) -> Result<(), EngineError> {
        let cont = &mut self.conts[index];
        match cont.facts.state {
            ContainerState::Restarting => {
                // No process to send it to, but Docker's own policy is off.
                cont.manual = true;
                cont.facts.state = ContainerState::Exited;
                return Ok(());
            }
            ContainerState::Running | ContainerState::Paused if !cont.removed => {}
            _ => {
                return Err(EngineError::Refused {
                    status: 409,
                    message: "container is not running".into(),
                });
            }
        }
        cont.manual = true;
        self.emit(index, EventKind::Kill { signal });
        if self.conts[index].freeze & freeze::PAUSED != 0 {
            self.set_freeze(index, freeze::PAUSED, false);
            self.emit(index, EventKind::Unpause);
        }
        self.signal(index, signal);
        Ok(())
    }

    /// A signal reaches the first process.
    fn signal(&mut self, index: usize, signal: i32) {
        let cont = &mut self.conts[index];
        if !cont.lives() {
            return;
        }
        let life = cont.life;
        match signal {
            9 => {
                let delay = self.draw(MS, 4 * MS);
                self.after(
                    delay,
                    Event::Exit {
                        proc: index,
                        life,
                        code: 137,
                    },
                );
            }
            18 => self.set_freeze(index, freeze::STOPPED, false),
            19 => self.set_freeze(index, freeze::STOPPED, true),
            _ if cont.freeze != 0 => cont.pending_signals.push(signal),
            6 => self.process_ends(index, life, 134, false),
            15 if !cont.nature.stubborn => self.asked_to_end(index),
            _ => {}
        }
    }

    fn asked_to_end(&mut self, index: usize) {
        let life = self.conts[index].life;
        let at_latest = match self.conts[index].kind {
            Kind::Healer | Kind::Member => {
                if let Some(proc) = self.procs[index].as_mut() {
                    proc.leaving = true;
                }
                self.work(index, life, Work::Input(Box::new(Input::Shutdown)));
                LEAVE_AT_LATEST
            }
            Kind::Broker => self.draw(300 * MS, 900 * MS),
            Kind::Plain => self.draw(30 * MS, 110 * MS),
        };
        self.after(
            at_latest,
            Event::Exit {
                proc: index,
                life,
                code: 0,
            },
        );
    }

    /// Freezes or thaws what runs inside, for one reason.
    pub(crate) fn set_freeze(&mut self, index: usize, bit: u8, on: bool) {
        let now = self.now;
        let cont = &mut self.conts[index];
        if !cont.lives() {
            return;
        }
        let before = cont.freeze;
        cont.freeze = if on { before | bit } else { before & !bit };
        if bit == freeze::PAUSED {
            cont.truth.paused_before |= !on;
            cont.truth.paused_since = on.then_some(now);
        }
        cont.facts.state = if cont.freeze & freeze::PAUSED != 0 {
            ContainerState::Paused
        } else {
            ContainerState::Running
        };
        cont.facts.process_state = Some(if cont.freeze & freeze::STOPPED != 0 {
            'T'
        } else {
            'S'
        });
        self.judge(index);
        let cont = &self.conts[index];
        let (after, life, kind) = (cont.freeze, cont.life, cont.kind);
        if (before == 0) == (after == 0) {
            return;
        }
        self.trace.note(now, "freeze", index, || {
            format!(
                "{} freeze {before} -> {after}",
                self.conts[index].facts.name
            )
        });
        if kind == Kind::Broker {
            if after == 0 {
                self.broker_thaws();
            } else {
                self.broker_freezes();
            }
        }
        let conn = self.procs[index]
            .as_ref()
            .and_then(super::driver::Proc::conn);
        if after == 0 {
            if let Some(conn) = conn {
                self.speaks_again(conn);
            }
            let signals = std::mem::take(&mut self.conts[index].pending_signals);
            self.after(0, Event::Thaw { proc: index, life });
            for signal in signals {
                self.signal(index, signal);
            }
        } else if let Some(conn) = conn {
            self.falls_silent(conn);
        }
    }

    /// `docker stop` and all that begins with it.
    pub(crate) fn begin_stop(&mut self, index: usize, then: Then) {
        let now = self.now;
        let cont = &mut self.conts[index];
        if cont.removed || cont.stop.is_some() {
            return;
        }
        if then != Then::Daemon {
            cont.manual = true;
        }
        if !Self::runs(cont.facts.state) || cont.facts.state == ContainerState::Restarting {
            // Stopping what is dead leaves no trace at all.
            if then != Then::Daemon {
                cont.facts.state = match cont.facts.state {
                    ContainerState::Restarting => ContainerState::Exited,
                    state => state,
                };
                if then == Then::Rest && cont.truth.will == Will::Run {
                    cont.truth.will = Will::Open;
                }
                self.after(MS, Event::After { cont: index, then });
            }
            return;
        }
        cont.stop = Some(StopFlow {
            then,
            since: now,
            dead: cont.dying,
        });
        let (life, signal, grace) = (
            cont.life,
            cont.facts.stop_signal,
            nanos(cont.facts.stop_timeout),
        );
        if cont.dying {
            // It is ending already: its `die` is still to come.
            if let Some(stop) = &mut cont.stop {
                stop.dead = false;
            }
        }
        self.emit(index, EventKind::Kill { signal });
        if self.conts[index].freeze & freeze::PAUSED != 0 {
            self.set_freeze(index, freeze::PAUSED, false);
            self.emit(index, EventKind::Unpause);
        }
        self.signal(index, signal);
        self.after(grace, Event::StopGrace { cont: index, life });
    }

    /// The stop's grace is over.
    pub(crate) fn stop_grace(&mut self, index: usize, life: u64) {
        let cont = &self.conts[index];
        if cont.life != life || cont.stop.is_none_or(|stop| stop.dead) || !cont.lives() {
            return;
        }
        self.emit(index, EventKind::Kill { signal: 9 });
        self.signal(index, 9);
    }

    /// The stop returns.
    pub(crate) fn stop_done(&mut self, index: usize, _life: u64) {
        let now = self.now;
        let Some(stop) = self.conts[index].stop.take() else {
            return;
        };
        self.emit(index, EventKind::Stop);
        // A person may have started it again before the stop returned.
        let down = !self.conts[index].lives() && !self.conts[index].starting;
        if stop.then != Then::Daemon && down {
            // Also within a restart: until its start comes it is stopped.
            self.conts[index].truth.will = Will::Stopped(now);
        }
        self.conts[index].truth.forget_restarts();
        self.conts[index].truth.uncleared = 0;
        self.after_stop(index, stop.then);
    }

    /// What comes after a stop, or at once where there was nothing to stop.
    pub(crate) fn after_stop(&mut self, index: usize, then: Then) {
        match then {
            Then::Rest | Then::Daemon => {}
            Then::Restart => {
                let delay = self.draw(150 * MS, 290 * MS);
                let name = self.conts[index].facts.name.clone();
                self.after(delay, Event::Act(super::Act::Start(name)));
            }
            Then::Remove => self.destroy(index),
            Then::Recreate => self.recreate(index),
        }
    }

    /// The old one is renamed and stands beside the new one for a moment.
    fn recreate(&mut self, index: usize) {
        let spec = self.spec_of(index);
        let cont = &mut self.conts[index];
        let short: String = cont.facts.id.as_str().chars().take(12).collect();
        cont.facts.name = format!("{short}_{}", spec.name);
        cont.truth.will = Will::Stopped(self.now);
        cont.truth.renamed = Some(self.now);
        self.emit(index, EventKind::Rename);
        let new = self.make(&spec);
        self.emit(new, EventKind::Create);
        let start = self.draw(50 * MS, 150 * MS);
        self.after(start, Event::Act(super::Act::Start(spec.name)));
        let old = self.conts[index].facts.name.clone();
        self.after(start + 300 * MS, Event::Act(super::Act::Remove(old)));
    }

    pub(crate) fn spec_of(&self, index: usize) -> Spec {
        let name = &self.conts[index].facts.name;
        let known = self.stage.containers.iter().find(|spec| spec.name == *name);
        known
            .cloned()
            .unwrap_or_else(|| Spec::new(name, self.conts[index].kind))
    }

    /// `docker rm` of what is dead.
    pub(crate) fn destroy(&mut self, index: usize) {
        if self.conts[index].removed {
            return;
        }
        self.conts[index].removed = true;
        self.conts[index].truth.removed_at = Some(self.now);
        self.emit(index, EventKind::Destroy);
    }

    /// `docker rm -f`.
    pub(crate) fn remove(&mut self, index: usize) {
        self.conts[index].truth.will = Will::Stopped(self.now);
        if self.conts[index].lives() {
            self.conts[index].manual = true;
            self.conts[index].removing = true;
            self.emit(index, EventKind::Kill { signal: 9 });
            let life = self.conts[index].life;
            self.process_ends(index, life, 137, false);
            self.after(
                80 * MS,
                Event::After {
                    cont: index,
                    then: Then::Remove,
                },
            );
        } else {
            self.destroy(index);
        }
    }
}
