//! What people and accidents do. Everything by name; what cannot be done any more is not done.

use super::{Event, Work, World};
use crate::clock::{MS, S};
use crate::container::{Held, Kind, Spec, Then, Will, freeze};
use planaria_core::engine::{ContainerState, EventKind};
use planaria_core::id::{MemberName, RequestId};
use planaria_core::input::Input;
use planaria_core::message::{LastWords, Verb};
use serde::{Deserialize, Serialize};

/// One act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// `docker kill -s N`.
    Kill(String, i32),
    /// `docker stop`.
    Stop(String),
    /// `docker start`.
    Start(String),
    /// `docker restart`.
    Restart(String),
    /// `compose up --force-recreate`.
    Recreate(String),
    /// `docker rm -f`.
    Remove(String),
    /// `compose down` for one: stop, then remove.
    Down(String),
    /// `docker create` of one that was removed.
    Create(String),
    /// `docker pause`.
    Pause(String),
    /// `docker unpause`.
    Unpause(String),
    /// `docker commit`: a pause of 135 ms.
    Commit(String),
    /// A child is killed for memory, PID 1 lives.
    OomChild(String),
    /// PID 1 is killed for memory.
    Oom(String),
    /// The program ends by itself with this code.
    Crash(String, i64),
    /// The program hangs: it runs and does nothing.
    Hang(String),
    /// The watchdog finds a hang, says so and ends the process.
    Apoptosis(String),
    /// The health check fails from now on.
    Sicken(String),
    /// Whatever was wrong with the program is mended.
    Mend(String),
    /// The program ends so many milliseconds after each start; 0: no more.
    CrashLoop(String, u64),
    /// The next starts fail.
    FailStarts(String, u32),
    /// It is cut off from its networks (`docker network disconnect`).
    Disconnect(String),
    /// The host gives it no time.
    Deschedule(String),
    /// The host gives it time again.
    Reschedule(String),
    /// The way between it and the broker is cut.
    Cut(String),
    /// That way is mended.
    Join(String),
    /// Datagrams from the first to the second do not arrive.
    CutDirect(String, String),
    /// They arrive again.
    JoinDirect(String, String),
    /// Of a thousand datagrams so many are lost; some come late or twice.
    LoseDatagrams(u32),
    /// The broker's handshake hangs.
    WedgeBroker,
    /// The broker closes its connection.
    CloseConnection(String),
    /// The broker closes the channel on which it consumes the token queue.
    CloseChannel(String),
    /// The token is lost.
    LoseToken,
    /// The broker takes up to so many milliseconds longer for everything.
    SlowBroker(u64),
    /// The engine takes up to so many milliseconds longer for each call.
    SlowEngine(u64),
    /// Of a thousand calls so many are refused.
    Refuse(u32),
    /// Of a thousand events so many are lost on the way.
    LoseEvents(u32),
    /// Up to so many milliseconds pass between a check and its call.
    Window(u64),
    /// The event stream of this healer breaks.
    BreakStream(String),
    /// The engine goes down, with or without live-restore, for so many seconds.
    RestartEngine(bool, u64),
    /// The engine's process ends (part of the one above).
    EngineGone,
    /// The wall clock is set by so many seconds.
    SetClock(i64),
    /// A person asks, at this member's command line.
    Ask(String, Verb),
    /// A fail point: this process ends the moment after it did that.
    CrashAfter(String, Point),
}

/// Where a healer's process may be made to end: between two steps that only together are a healing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// It was given the token, and has told nobody.
    OfficeTaken,
    /// It asked the engine for a change, which has not begun.
    OrderSent,
    /// The engine took the call, and the answer finds nobody.
    CallMade,
    /// It wrote to its volume, and what follows from that is not done.
    Saved,
}

impl World {
    /// Does it now.
    pub(crate) fn act(&mut self, act: Act) {
        self.trace
            .note(self.now, "act", 0, || format!("ACT {act:?}"));
        match &act {
            Act::Kill(name, _)
            | Act::Stop(name)
            | Act::Start(name)
            | Act::Restart(name)
            | Act::Recreate(name)
            | Act::Remove(name)
            | Act::Down(name)
            | Act::Pause(name)
            | Act::Unpause(name)
            | Act::Commit(name)
            | Act::Disconnect(name) => {
                // These go through the engine.
                if !self.engine.down
                    && let Some(index) = self.find(name)
                {
                    self.engine_act(&act, index);
                }
            }
            Act::OomChild(name)
            | Act::Oom(name)
            | Act::Crash(name, _)
            | Act::Hang(name)
            | Act::Apoptosis(name)
            | Act::Sicken(name)
            | Act::Mend(name)
            | Act::CrashLoop(name, _)
            | Act::FailStarts(name, _)
            | Act::Deschedule(name)
            | Act::Reschedule(name)
            | Act::CrashAfter(name, _) => {
                if let Some(index) = self.find(name) {
                    self.program_act(&act, index);
                }
            }
            _ => self.outer_act(act),
        }
    }

    fn engine_act(&mut self, act: &Act, index: usize) {
        let running = self.conts[index].facts.state == ContainerState::Running;
        match act {
            Act::Kill(_, signal) => drop(self.engine_kill(index, *signal)),
            Act::Stop(_) => self.begin_stop(index, Then::Rest),
            Act::Down(_) => self.begin_stop(index, Then::Remove),
            Act::Restart(_) => self.begin_stop(index, Then::Restart),
            Act::Recreate(_) => self.begin_stop(index, Then::Recreate),
            Act::Remove(_) => self.remove(index),
            Act::Start(_) => {
                let cont = &mut self.conts[index];
                let runs = World::runs(cont.facts.state);
                if cont.truth.will != Will::Run {
                    if runs {
                        // A healer was faster: the engine tells of no start.
                        cont.truth.uncleared += cont.truth.attempts();
                    }
                    // Else nobody can tell this start from one by the engine's own policy.
                    if cont.truth.will == Will::Open && cont.truth.died {
                        // Stopping what was dead left no trace: to healers this is one more start after a
                        // death, and they count on.
                        cont.truth.uncleared += cont.truth.attempts() + 1;
                    }
                    cont.truth.died = false;
                    cont.truth.forget_restarts();
                }
                cont.truth.will = Will::Run;
                self.begin_start(index, None);
            }
            Act::Pause(_) if running => {
                self.set_freeze(index, freeze::PAUSED, true);
                self.emit(index, EventKind::Pause);
            }
            Act::Unpause(_) => drop(self.unpause(index)),
            Act::Commit(name) if running => {
                self.engine_act(&Act::Pause(name.clone()), index);
                self.after(135 * MS, Event::Act(Act::Unpause(name.clone())));
            }
            Act::Disconnect(name) if running => {
                let networks = std::mem::take(&mut self.conts[index].facts.networks);
                for attachment in networks {
                    self.emit(
                        index,
                        EventKind::Disconnect {
                            network: attachment.network,
                        },
                    );
                }
                self.set_cut(name, true);
                self.judge(index);
            }
            _ => {}
        }
    }

    fn program_act(&mut self, act: &Act, index: usize) {
        let life = self.conts[index].life;
        match act {
            Act::OomChild(_) if self.conts[index].lives() => self.emit(index, EventKind::Oom),
            Act::Oom(_) => self.process_ends(index, life, 137, true),
            Act::Crash(_, code) => self.process_ends(index, life, *code, false),
            Act::Hang(_) => self.set_freeze(index, freeze::HUNG, true),
            Act::Apoptosis(_) if self.conts[index].lives() => {
                let words = Input::LastWords(LastWords {
                    pulse: "main".into(),
                    late_ms: 10_000,
                    reason: "pulse".into(),
                });
                self.work(index, life, Work::Input(Box::new(words)));
                self.after(
                    5 * MS,
                    Event::Exit {
                        proc: index,
                        life,
                        code: 70,
                    },
                );
            }
            Act::Sicken(_) => {
                self.conts[index].nature.sick = true;
                self.judge(index);
            }
            Act::Mend(_) => {
                let cont = &mut self.conts[index];
                cont.nature.sick = false;
                cont.nature.crash_after = None;
                cont.nature.start_failures = 0;
                self.set_freeze(index, freeze::HUNG | freeze::DESCHEDULED, false);
                self.judge(index);
            }
            Act::CrashLoop(_, after) => {
                self.conts[index].nature.crash_after = (*after > 0).then_some(after * MS);
                if *after > 0 {
                    self.process_ends(index, life, 1, false);
                }
            }
            Act::FailStarts(_, count) => self.conts[index].nature.start_failures = *count,
            Act::Deschedule(_) => self.set_freeze(index, freeze::DESCHEDULED, true),
            Act::Reschedule(_) => self.set_freeze(index, freeze::DESCHEDULED, false),
            Act::CrashAfter(_, point) => {
                if let Some(proc) = self.proc_mut(index, life) {
                    proc.crash_after = Some(*point);
                }
            }
            _ => {}
        }
    }

    fn outer_act(&mut self, act: Act) {
        match act {
            Act::Create(name) if self.find(&name).is_none() => {
                let spec = self.stage.containers.iter().find(|spec| spec.name == name);
                let spec = spec
                    .cloned()
                    .unwrap_or_else(|| Spec::new(&name, Kind::Plain));
                let index = self.make(&spec);
                self.emit(index, EventKind::Create);
            }
            Act::Cut(name) => {
                self.set_cut(&name, true);
                self.judge_name(&name);
            }
            Act::Join(name) => {
                self.set_cut(&name, false);
                self.judge_name(&name);
            }
            Act::CutDirect(from, to) => {
                self.cut_direct.insert((from.clone(), to.clone()));
                self.judge_name(&from);
                self.judge_name(&to);
            }
            Act::JoinDirect(from, to) => {
                self.cut_direct.remove(&(from.clone(), to.clone()));
                self.judge_name(&from);
                self.judge_name(&to);
            }
            Act::LoseDatagrams(per_mille) => {
                self.datagram_loss = per_mille;
                for index in 0..self.conts.len() {
                    self.judge(index);
                }
            }
            Act::WedgeBroker if self.broker.ready_at.is_some() => {
                self.broker.wedged = true;
                if let Some(index) = self.broker_index() {
                    self.judge(index);
                }
                self.broker_freezes();
            }
            Act::CloseConnection(name) => {
                if let Some(index) = self.find(&name) {
                    let owner = (index, self.conts[index].life);
                    self.broker_closes(owner);
                }
            }
            Act::CloseChannel(name) => {
                if let Some(index) = self.find(&name) {
                    let owner = (index, self.conts[index].life);
                    let sent = self.broker.close_channel_of(owner);
                    self.deliver_all(sent);
                }
            }
            Act::LoseToken => self.broker.lose_token(),
            Act::SlowBroker(ms) => self.broker.slow_down(ms * MS, self.now),
            Act::SlowEngine(ms) => self.engine.slow = ms * MS,
            Act::Refuse(per_mille) => {
                self.disturbed = Some(self.now);
                self.engine.refuse = per_mille;
            }
            Act::LoseEvents(per_mille) => self.engine.lose = per_mille,
            Act::Window(ms) => self.engine.window = ms * MS,
            Act::BreakStream(name) => {
                if let Some(index) = self.find(&name) {
                    self.stream_breaks(index);
                }
            }
            Act::RestartEngine(live_restore, seconds) => {
                self.engine_stops(live_restore, seconds * S);
            }
            Act::EngineGone => self.engine_is_down(),
            Act::SetClock(seconds) => {
                self.disturbed = Some(self.now);
                self.engine.clock_set.push(self.now);
                self.engine.wall = seconds * i64::try_from(S).unwrap_or(i64::MAX);
            }
            Act::Ask(name, verb) => self.ask(&name, verb),
            _ => {}
        }
    }

    fn ask(&mut self, at: &str, verb: Verb) {
        let Some(index) = self.find(at) else {
            return;
        };
        let life = self.conts[index].life;
        if self.proc(index, life).is_none() {
            return;
        }
        let id = RequestId(format!("request-{}", self.ledger.next_request()));
        if let Verb::Heal { name } | Verb::Release { name } = &verb
            && let Some(target) = self.find(name.as_str())
        {
            self.conts[target].truth.asked = true;
            self.conts[target].truth.forget_restarts();
        }
        self.ledger.asked(self.now, id.clone(), verb.clone());
        self.work(
            index,
            life,
            Work::Input(Box::new(Input::Request { id, verb })),
        );
    }

    /// A person's request was answered: a hold counts from then.
    pub(crate) fn answered(
        &mut self,
        index: usize,
        id: &RequestId,
        outcome: planaria_core::message::Outcome,
    ) {
        let now = self.now;
        self.trace.note(now, "answer", index, || {
            format!(
                "{} answers {id:?}: {outcome:?}",
                self.conts[index].facts.name
            )
        });
        // Only an office with the token tells everybody of a hold, in its beats.
        // One that sleeps over its own succession hears of nothing.
        let mut known_to = self.forcing();
        known_to.retain(|proc| self.conts[*proc].freeze == 0);
        if outcome.accepted && !known_to.is_empty() {
            match self.ledger.question(id) {
                // The answer may be long on its way: its time runs since it was taken, after it was asked for.
                Some((asked, Verb::Hold { names, for_s, .. })) => {
                    let until = asked + for_s * S;
                    let held = Held {
                        since: now,
                        until,
                        known_to,
                    };
                    self.each_named(&names, |cont| cont.truth.holds.push(held.clone()));
                }
                Some((_, Verb::Resume { names })) => {
                    self.each_named(&names, |cont| cont.truth.holds.clear());
                }
                _ => {}
            }
        }
        self.ledger.answered(id.clone(), outcome);
    }

    fn each_named(
        &mut self,
        names: &[MemberName],
        mut change: impl FnMut(&mut crate::container::Cont),
    ) {
        for cont in &mut self.conts {
            if names.is_empty() || names.iter().any(|name| name.as_str() == cont.facts.name) {
                change(cont);
            }
        }
    }

    /// Notes whether something is wrong with it, its network included.
    pub(crate) fn judge(&mut self, index: usize) {
        let wedged = self.conts[index].kind == Kind::Broker && self.broker.wedged;
        let cut_off = wedged || self.cut_off(index);
        let now = self.now;
        self.conts[index].judge(now, cut_off);
    }

    fn judge_name(&mut self, name: &str) {
        if let Some(index) = self.find(name) {
            self.judge(index);
        }
    }

    /// Nobody can reach it: neither over the broker nor by datagram from any healer.
    fn cut_off(&self, index: usize) -> bool {
        let name = &self.conts[index].facts.name;
        if !self.cut_broker.contains(name) {
            return false;
        }
        // Where half of the datagrams are lost, two rounds of two probes may be too.
        self.datagram_loss > 0
            || self
                .conts
                .iter()
                .filter(|cont| {
                    cont.kind == Kind::Healer && cont.lives() && cont.facts.name != *name
                })
                .all(|healer| {
                    let other = &healer.facts.name;
                    self.cut_direct.contains(&(other.clone(), name.clone()))
                        || self.cut_direct.contains(&(name.clone(), other.clone()))
                })
    }
}
