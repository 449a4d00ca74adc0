//! A process with a monitor in it: the real state machine, and a driver as simple as the real ones.

use super::{Call, Event, Point, Reply, Work, World};
use crate::broker::{ConnId, Op};
use crate::check::Rule;
use crate::clock::{EPOCH, MS};
use crate::container::Kind;
use crate::recording::Beginning;
use planaria_core::effect::Effect;
use planaria_core::engine::EngineError;
use planaria_core::id::{BootId, CallId, ChannelId};
use planaria_core::input::Input;
use planaria_core::message::{Body, Envelope};
use planaria_core::node::{Node, NodeConfig, Role};
use planaria_core::time::Instant;
use rand::Rng;
use std::collections::{BTreeSet, VecDeque};

/// What a frozen process finds waiting: sockets hold so much and no more.
const BACKLOG_MAX: usize = 10_000;

/// Incidents and alerts kept while the broker is away.
const BUFFER_MAX: usize = 100;

/// So many ticks at the same nanosecond are a state machine that does not let time pass.
const TICKS_MAX: u32 = 100;

/// The link of a process to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Down,
    Up(ConnId),
}

/// The channel on which the token queue is consumed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenChannel {
    pub(crate) id: ChannelId,
    pub(crate) granted: Option<u64>,
}

/// One process with a monitor.
pub(crate) struct Proc {
    pub(crate) life: u64,
    pub(crate) boot: BootId,
    pub(crate) node: Node,
    pub(crate) link: Link,
    /// Its handshake with the broker is under way, and nothing answers.
    pub(crate) shakes: bool,
    pub(crate) token: Option<TokenChannel>,
    pub(crate) stream: bool,
    /// Since when its event stream stands.
    pub(crate) stream_since: u64,
    /// Engine events in flight keep their order.
    pub(crate) last_event: u64,
    pub(crate) backlog: VecDeque<Work>,
    pub(crate) pending: BTreeSet<CallId>,
    /// When it could see and act again after a freeze or start.
    pub(crate) awake_since: u64,
    pub(crate) leaving: bool,
    /// When a leader's beats reached it, another one's: its own tell it nothing. Oldest first.
    pub(crate) others_heard: Vec<u64>,
    /// It ends once it has come here.
    pub(crate) crash_after: Option<Point>,
    seq: u64,
    channels: u64,
    turn: u64,
    armed: Option<Instant>,
    ticks: (u64, u32),
    buffer: VecDeque<(String, Body)>,
}

impl Proc {
    /// Its connection to the broker.
    pub(crate) fn conn(&self) -> Option<ConnId> {
        match self.link {
            Link::Up(conn) => Some(conn),
            Link::Down => None,
        }
    }
}

impl World {
    /// The process of a container, if it is that life's.
    pub(crate) fn proc(&self, index: usize, life: u64) -> Option<&Proc> {
        self.procs[index].as_ref().filter(|proc| proc.life == life)
    }

    pub(crate) fn proc_mut(&mut self, index: usize, life: u64) -> Option<&mut Proc> {
        self.procs[index].as_mut().filter(|proc| proc.life == life)
    }

    /// A container with a monitor was started: its process begins.
    pub(crate) fn boot(&mut self, index: usize) {
        let cont = &self.conts[index];
        let Some(name) = cont.facts.member.clone() else {
            return;
        };
        let role = match cont.kind {
            Kind::Healer if self.stage.solo => Role::Solo,
            Kind::Healer => Role::Healer,
            _ => Role::Member,
        };
        let id = cont.facts.id.clone();
        let life = cont.life;
        let saved = (cont.kind == Kind::Healer)
            .then(|| self.volumes.get(name.as_str()).cloned())
            .flatten();
        if cont.kind == Kind::Healer {
            self.disturbed = Some(self.now);
        }
        let boot = BootId(self.rng.random());
        let seed = self.rng.random();
        let mut config = NodeConfig::from_settings(&self.stage.settings, name, Some(id), role);
        config.host_boot = Some("the only one".to_owned());
        #[cfg(feature = "sabotage")]
        let config = NodeConfig {
            sabotage: self.stage.core,
            ..config
        };
        let now = self.instant();
        if self.is_recorded(index) {
            let beginning = Beginning {
                config: config.clone(),
                boot,
                saved: saved.clone(),
                seed,
                start: now,
            };
            if let Err(error) = self.recorder.begin(beginning) {
                self.violate(Rule::Recording, || error.to_string());
            }
        }
        self.procs[index] = Some(Proc {
            life,
            boot,
            node: Node::new(config, boot, saved, seed, now),
            link: Link::Down,
            shakes: false,
            token: None,
            stream: false,
            stream_since: self.now,
            last_event: self.now,
            backlog: VecDeque::new(),
            pending: BTreeSet::new(),
            awake_since: self.now,
            leaving: false,
            others_heard: Vec::new(),
            crash_after: None,
            seq: 0,
            channels: 0,
            turn: 0,
            armed: None,
            ticks: (0, 0),
            buffer: VecDeque::new(),
        });
        if role != Role::Solo {
            let delay = self.draw(5 * MS, 60 * MS);
            self.after(delay, Event::Connect { proc: index, life });
        }
        if role != Role::Member {
            let delay = self.draw(5 * MS, 50 * MS);
            self.after(delay, Event::Stream { proc: index, life });
        }
        self.rearm(index);
    }

    /// The process is gone, with its sockets.
    pub(crate) fn unboot(&mut self, index: usize) {
        let Some(proc) = self.procs[index].take() else {
            return;
        };
        self.links_lost.insert((index, proc.life), self.now);
        if let Link::Up(conn) = proc.link {
            self.hang_up(conn);
        }
    }

    /// Something reaches a process: now, or when it is thawed.
    pub(crate) fn work(&mut self, index: usize, life: u64, work: Work) {
        let frozen = self.conts[index].freeze != 0;
        let Some(proc) = self.proc_mut(index, life) else {
            return;
        };
        if frozen || !proc.backlog.is_empty() {
            if proc.backlog.len() < BACKLOG_MAX {
                proc.backlog.push_back(work);
            }
            return;
        }
        self.do_work(index, life, work);
    }

    /// A frozen process runs again: first perhaps its clock, then all that waited.
    pub(crate) fn thaw(&mut self, index: usize, life: u64) {
        if self.conts[index].freeze != 0 {
            return;
        }
        let now = self.now;
        let clock_first = self.chance(500);
        let Some(proc) = self.proc_mut(index, life) else {
            return;
        };
        proc.awake_since = now;
        proc.armed = None;
        if clock_first
            && proc
                .node
                .next_deadline()
                .is_some_and(|at| at.0 <= EPOCH + now)
        {
            self.feed(index, Input::Tick);
        }
        loop {
            let Some(proc) = self.proc_mut(index, life) else {
                return;
            };
            let Some(work) = proc.backlog.pop_front() else {
                break;
            };
            self.do_work(index, life, work);
        }
        self.rearm(index);
    }

    fn do_work(&mut self, index: usize, life: u64, work: Work) {
        match work {
            Work::Input(input) => self.feed(index, *input),
            Work::FromBroker(conn, input) => self.hears_broker(index, conn, *input),
            Work::LinkDown(conn, reason) => self.link_down(index, life, conn, reason),
            Work::Checked(call, verdict) => self.call_checked(*call, verdict),
            Work::Replied(reply) => self.replied(index, *reply),
        }
    }

    fn hears_broker(&mut self, index: usize, conn: ConnId, input: Input) {
        let now = self.now;
        let Some(proc) = self.procs[index].as_mut() else {
            return;
        };
        if proc.link != Link::Up(conn) {
            return;
        }
        match &input {
            Input::TokenGranted { channel } => match &mut proc.token {
                Some(token) if token.id == *channel => {
                    token.granted.get_or_insert(now);
                }
                _ => return,
            },
            Input::TokenLost { channel } => {
                if proc.token.is_none_or(|token| token.id != *channel) {
                    return;
                }
                proc.token = None;
            }
            Input::BeatReturned { channel, .. }
                if proc.token.is_none_or(|token| token.id != *channel) =>
            {
                return;
            }
            _ => {}
        }
        self.feed(index, input);
    }

    fn link_down(&mut self, index: usize, life: u64, conn: ConnId, reason: &'static str) {
        let Some(proc) = self.proc_mut(index, life) else {
            return;
        };
        if proc.link != Link::Up(conn) {
            return;
        }
        proc.link = Link::Down;
        proc.token = None;
        self.links_lost.insert((index, life), self.now);
        let retry = self.draw(50 * MS, 500 * MS);
        self.after(retry, Event::Connect { proc: index, life });
        self.feed(
            index,
            Input::BrokerDisconnected {
                reason: reason.into(),
            },
        );
    }

    pub(crate) fn replied(&mut self, index: usize, reply: Reply) {
        let Some(proc) = self.proc_mut(index, reply.life) else {
            return;
        };
        if proc.pending.remove(&reply.call) {
            self.feed(
                index,
                Input::EngineReply {
                    call: reply.call,
                    result: reply.result,
                },
            );
        }
    }

    pub(crate) fn deadline(&mut self, index: usize, life: u64, turn: u64) {
        if self.conts[index].freeze != 0 {
            return;
        }
        let now = self.now;
        let Some(proc) = self.proc_mut(index, life) else {
            return;
        };
        if proc.turn != turn {
            return;
        }
        proc.armed = None;
        proc.ticks = if proc.ticks.0 == now {
            (now, proc.ticks.1 + 1)
        } else {
            (now, 0)
        };
        if proc.ticks.1 > TICKS_MAX {
            self.violate(Rule::Spins, || {
                "next_deadline stays in the past however often Tick is sent".to_owned()
            });
            self.ledger.stop();
            return;
        }
        self.feed(index, Input::Tick);
    }

    /// Sends an input to the state machine and does what it wants.
    pub(crate) fn feed(&mut self, index: usize, input: Input) {
        let now = self.instant();
        let quiet = matches!(input, Input::Tick);
        let injected = self.sabotage(index, &input);
        let told = if self.stage.trace {
            brief(&input)
        } else {
            String::new()
        };
        let recorded = self.is_recorded(index).then(|| input.clone());
        let heard = match &input {
            Input::Message(envelope) if matches!(envelope.body, Body::Beat(_)) => {
                Some(envelope.boot)
            }
            _ => None,
        };
        let at = self.now;
        let Some(proc) = self.procs[index].as_mut() else {
            return;
        };
        if heard.is_some_and(|by| by != proc.boot) {
            proc.others_heard.push(at);
        }
        let effects = proc.node.handle(now, input);
        if let Some(input) = recorded
            && let Err(error) = self.recorder.step(now, input, &effects)
        {
            self.violate(Rule::Recording, || error.to_string());
        }
        if !quiet || !effects.is_empty() {
            let count = effects.len();
            let name = &self.conts[index].facts.name;
            self.trace.note(self.now, "node", index * 1000 + count, || {
                format!("  {name} <- {told} -> {}", told_effects(&effects))
            });
        }
        for effect in effects {
            if !self.suppressed(&effect) {
                self.perform(index, effect);
            }
        }
        for effect in injected {
            self.perform(index, effect);
        }
        self.rearm(index);
    }

    fn is_recorded(&self, index: usize) -> bool {
        self.stage.record.as_ref() == Some(&self.conts[index].facts.name)
    }

    pub(crate) fn rearm(&mut self, index: usize) {
        if self.conts[index].freeze != 0 {
            return;
        }
        let Some(proc) = self.procs[index].as_mut() else {
            return;
        };
        let next = proc.node.next_deadline();
        if next == proc.armed {
            return;
        }
        proc.armed = next;
        proc.turn += 1;
        let (life, turn) = (proc.life, proc.turn);
        if let Some(at) = next {
            self.at(
                at.0.saturating_sub(EPOCH),
                Event::Deadline {
                    proc: index,
                    life,
                    turn,
                },
            );
        }
    }

    fn envelope(&mut self, index: usize, body: Body) -> Option<Envelope> {
        let cluster = self.stage.settings.cluster_name.clone();
        let from = self.conts[index].facts.member.clone()?;
        let proc = self.procs[index].as_mut()?;
        proc.seq += 1;
        Some(Envelope {
            cluster,
            from,
            boot: proc.boot,
            seq: proc.seq,
            body,
        })
    }

    fn perform(&mut self, index: usize, effect: Effect) {
        let Some(proc) = self.procs[index].as_ref() else {
            return;
        };
        let (life, link) = (proc.life, proc.link);
        match effect {
            Effect::Publish { key, body } => self.publish(index, key, body),
            Effect::PublishBeat { channel, body } => {
                let holds = proc.token.is_some_and(|token| token.id == channel);
                self.check_publish(index, "control.beat", &body);
                if let (Link::Up(conn), true) = (link, holds)
                    && let Some(envelope) = self.envelope(index, body)
                {
                    self.tell_connection(Op::Publish {
                        conn,
                        key: "control.beat".into(),
                        envelope: Box::new(envelope),
                        beat: Some(channel),
                    });
                }
            }
            Effect::ConsumeToken { priority } => self.consume(index, priority),
            Effect::ReleaseToken { channel } => {
                if proc.token.is_some_and(|token| token.id == channel) {
                    self.close_token_channel(index);
                }
            }
            Effect::RenewToken { channel } => {
                if let Link::Up(conn) = link {
                    self.tell_connection(Op::Renew { conn, channel });
                }
            }
            Effect::SeedToken => self.tell_broker(index, |conn| Op::Seed { conn }),
            Effect::BindHeartbeats => {
                self.tell_broker(index, |conn| Op::Bind { conn });
                self.passes(index, life, Point::OfficeTaken);
            }
            Effect::UnbindHeartbeats => self.tell_broker(index, |conn| Op::Unbind { conn }),
            Effect::Direct { to, body } => {
                self.check_direct(index, &body);
                if let Some(envelope) = self.envelope(index, body) {
                    self.send_datagram(index, &to, &envelope);
                }
            }
            Effect::Engine {
                call,
                request,
                not_after,
            } => {
                let call = Call::new(index, life, call, request, not_after);
                let order = call.change().is_some();
                self.call(call);
                if order {
                    self.passes(index, life, Point::OrderSent);
                }
            }
            Effect::Save(saved) => {
                let name = self.conts[index].facts.name.clone();
                self.volumes.insert(name, saved);
                self.passes(index, life, Point::Saved);
            }
            Effect::Answer { id, outcome } => self.answered(index, &id, outcome),
            Effect::Mandatory { .. } | Effect::ConsumeOrders { .. } | Effect::Hook { .. } => {}
            Effect::Log(line) => {
                let now = self.now;
                let name = &self.conts[index].facts.name;
                self.trace.say(now, || {
                    format!("  {name} logs {}: {}", line.event, line.text)
                });
            }
            Effect::Bye => {
                if proc.leaving {
                    let delay = self.draw(MS, 20 * MS);
                    self.after(
                        delay,
                        Event::Exit {
                            proc: index,
                            life,
                            code: 0,
                        },
                    );
                }
            }
        }
    }

    /// A fail point: what else this step wanted is never done.
    pub(crate) fn passes(&mut self, index: usize, life: u64, point: Point) {
        let ends = |proc: &Proc| proc.crash_after == Some(point);
        if self.proc(index, life).is_some_and(ends) {
            self.process_ends(index, life, 134, false);
        }
    }

    fn publish(&mut self, index: usize, key: String, body: Body) {
        self.check_publish(index, &key, &body);
        let kept = matches!(body, Body::Incident(_) | Body::Alert(_));
        let Some(proc) = self.procs[index].as_mut() else {
            return;
        };
        match proc.link {
            Link::Up(conn) => {
                if let Some(envelope) = self.envelope(index, body) {
                    self.tell_connection(Op::Publish {
                        conn,
                        key,
                        envelope: Box::new(envelope),
                        beat: None,
                    });
                }
            }
            Link::Down if kept => {
                if proc.buffer.len() == BUFFER_MAX {
                    proc.buffer.pop_front();
                }
                proc.buffer.push_back((key, body));
            }
            Link::Down => {}
        }
    }

    fn tell_broker(&mut self, index: usize, op: impl FnOnce(ConnId) -> Op) {
        if let Some(Link::Up(conn)) = self.procs[index].as_ref().map(|proc| proc.link) {
            self.tell_connection(op(conn));
        }
    }

    /// A newer consumer replaces an older one that holds nothing.
    fn consume(&mut self, index: usize, priority: i64) {
        let Some(proc) = self.procs[index].as_mut() else {
            return;
        };
        let Link::Up(conn) = proc.link else {
            return;
        };
        let old = match proc.token {
            Some(token) if token.granted.is_some() => return,
            old => old,
        };
        proc.channels += 1;
        let channel = ChannelId(proc.channels);
        proc.token = Some(TokenChannel {
            id: channel,
            granted: None,
        });
        if let Some(old) = old {
            self.tell_connection(Op::Close {
                conn,
                channel: old.id,
            });
        }
        self.tell_connection(Op::Consume {
            conn,
            channel,
            priority,
        });
    }

    fn close_token_channel(&mut self, index: usize) {
        let Some(proc) = self.procs[index].as_mut() else {
            return;
        };
        if let (Link::Up(conn), Some(token)) = (proc.link, proc.token.take()) {
            self.tell_connection(Op::Close {
                conn,
                channel: token.id,
            });
        }
    }

    /// The connection stands: buffered incidents go out first thing.
    pub(crate) fn linked(&mut self, index: usize, conn: ConnId) {
        let Some(proc) = self.procs[index].as_mut() else {
            return;
        };
        proc.link = Link::Up(conn);
        proc.token = None;
        let buffer = std::mem::take(&mut proc.buffer);
        for (key, body) in buffer {
            self.publish(index, key, body);
        }
        self.feed(index, Input::BrokerConnected);
    }

    /// What a call failed by without the engine having been asked.
    pub(crate) fn fail(&mut self, index: usize, life: u64, call: CallId, error: EngineError) {
        let delay = self.draw(MS / 10, 2 * MS);
        self.after(
            delay,
            Event::Work {
                proc: index,
                life,
                work: Work::Replied(Box::new(Reply {
                    life,
                    call,
                    result: Err(error),
                })),
            },
        );
    }
}

/// How much of an input or effect a line of the story shows.
const SHOWN: usize = 220;

fn brief(thing: &impl std::fmt::Debug) -> String {
    format!("{thing:?}").chars().take(SHOWN).collect()
}

fn told_effects(effects: &[Effect]) -> String {
    let told: Vec<_> = effects
        .iter()
        .filter(|effect| !matches!(effect, Effect::Log(_) | Effect::Save(_)))
        .map(brief)
        .collect();
    told.join(" + ")
}
