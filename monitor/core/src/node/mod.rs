//! The state machine of one member, where detector, election and supervisor meet.
//!
//! ```text
//!            ┌─ election ──── who leads, until when force is allowed ──┐
//!  Input ──▶ ├─ detector ──── who is silent (leader only) ─────────────┼─▶ supervisor ──▶ Effects
//!            └─ requests ──── what people ask ─────────────────────────┘   (healers only)
//! ```
//!
//! Each part has its own deadline; [`Node::next_deadline`] is the earliest. Work is done where a deadline
//! is due or something decisive came in, so that an idle member costs nearly nothing.

mod beat;
mod config;
mod fence;
mod messages;
mod orders;
mod requests;
mod view;

pub use crate::detector::detection_bound;
pub use config::{Autoheal, NodeConfig, Role};

use crate::detector::{Detector, Finding};
use crate::effect::Effect;
use crate::election::Election;
use crate::id::{BootId, MemberName, RequestId, Term};
use crate::input::Input;
use crate::message::{Beat, Body, Fence, Heartbeat, Holds};
use crate::out::Out;
use crate::sabotage::Sabotage;
use crate::status::{BrokerState, Saved};
use crate::supervisor::{Ended, Mandate, Supervisor};
use crate::time::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// Version of [`Saved`] that is written and read.
const SAVED_VERSION: u32 = 1;
/// A deadline missed by more than this means that we were frozen.
const FROZEN: Duration = Duration::from_secs(1);
/// For so long after the loss of an office its deaths are still its former holder's.
const LED_LATELY: Duration = Duration::from_secs(5);
/// Each lower healer waits so much longer before it takes a start on itself.
const GUARDIAN_STEP: Duration = Duration::from_secs(2);
/// The broker may be forced after its handshakes failed for so long (rule 2).
const BROKER_HUNG: Duration = Duration::from_secs(30);

/// One member.
#[derive(Debug)]
pub struct Node {
    config: NodeConfig,
    boot: BootId,
    booted: Instant,
    now: Instant,
    deadline: Option<Instant>,
    out: Out,
    detector: Detector,
    election: Election,
    supervisor: Option<Supervisor>,
    broker: BrokerState,
    heartbeat_due: Option<Instant>,
    /// The office whose consequences were drawn.
    office: Option<Term>,
    /// When it was lost or given up.
    left_office: Option<Instant>,
    /// The newest beat of a leader that was believed.
    last_beat: Option<(Instant, Beat)>,
    /// When the leader was told last of what its beat does not have.
    told: Option<Instant>,
    /// Requests of this member's own people that are not answered yet.
    asked: BTreeMap<RequestId, requests::Asked>,
    /// Probes made for others: nonce of ours, who asked, its nonce, until when.
    relayed: BTreeMap<u64, (MemberName, u64, Instant)>,
    /// What people were promised and the group has not in writing yet.
    promised: Vec<requests::Promise>,
    saved_term: u64,
    /// Lives that a person declared dead.
    fences: Vec<Fence>,
    /// This very life is one of them.
    fenced: bool,
    /// The age of this process's oldest pulse, as the driver told it last.
    pulse_age_ms: u64,
    /// Between two heartbeats, as the leader asks at this size of the group.
    interval: Duration,
    /// Heartbeats that this boot sent.
    beats_sent: u64,
    /// What is known of hosts that are not this member's, and of orders between them.
    hosts: orders::Hosts,
    heartbeats: u64,
    alive: usize,
    ending: bool,
    /// Another watcher of this host acts while this is false.
    on_duty: bool,
}

impl Node {
    /// A member that just booted. `saved`: what an earlier life of it left on its volume.
    #[must_use]
    pub fn new(
        config: NodeConfig,
        boot: BootId,
        saved: Option<Saved>,
        seed: u64,
        now: Instant,
    ) -> Self {
        let saved = saved
            .filter(|saved| saved.version == SAVED_VERSION)
            .unwrap_or_default();
        let election = Election::new(&config, boot, saved.term, now);
        let supervisor = (config.role != Role::Member).then(|| {
            let (held, resumed) = (saved.holds, saved.resumed);
            let same_boot = saved.host_boot.is_some() && saved.host_boot == config.host_boot;
            let away = (same_boot && now >= saved.at).then(|| now.since(saved.at));
            let mut supervisor = Supervisor::new(&config, boot, saved.engine_time, now);
            supervisor.load(now, &saved.records, &Holds { held, resumed }, away);
            supervisor
        });
        let broker = if config.role == Role::Solo {
            BrokerState::None
        } else {
            BrokerState::Down
        };
        let mut node = Self {
            detector: Detector::new(&config, now),
            election,
            supervisor,
            boot,
            booted: now,
            now,
            deadline: None,
            out: Out::new(seed).with_past(saved.incidents, saved.alerts),
            broker,
            heartbeat_due: None,
            office: None,
            left_office: None,
            last_beat: None,
            told: None,
            asked: BTreeMap::new(),
            relayed: BTreeMap::new(),
            promised: Vec::new(),
            saved_term: saved.term,
            fences: saved.fences,
            fenced: false,
            pulse_age_ms: 0,
            interval: config.heartbeat_interval,
            beats_sent: 0,
            hosts: orders::Hosts::default(),
            heartbeats: 0,
            alive: 0,
            ending: false,
            on_duty: true,
            config,
        };
        node.deadline = node.earliest(now);
        node
    }

    /// Takes one input at a time and gives what is to be done, in order.
    pub fn handle(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let now = now.max(self.now);
        self.now = now;
        let late = self.deadline.is_some_and(|at| now.since(at) > FROZEN);
        // The lease stands before anything else: who wakes from a freeze acts on nothing.
        self.election.check_lease(now, &mut self.out);
        if late {
            self.election.woken(now);
            if let Some(supervisor) = &mut self.supervisor {
                supervisor.distrust(now, &mut self.out);
            }
        }
        self.input(now, input);
        if !self.ending {
            self.timers(now);
        }
        self.settle(now);
        self.deadline = self.earliest(now);
        self.out.take()
    }

    /// When [`Input::Tick`] is due at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.config.broken(Sabotage::Spin) {
            return Some(self.now);
        }
        self.deadline
    }

    fn earliest(&self, now: Instant) -> Option<Instant> {
        if self.ending {
            return None;
        }
        let supervisor = self.supervisor.as_ref().and_then(Supervisor::deadline);
        let hung = self
            .election
            .handshake_failing_since()
            .map(|at| at + BROKER_HUNG)
            .filter(|at| *at > now);
        [
            self.heartbeat_due,
            self.detector.deadline(),
            self.election.deadline(now),
            supervisor,
            hung,
            self.asked.values().map(|asked| asked.until).min(),
            self.promised.iter().map(requests::Promise::until).min(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Tick => {}
            Input::BrokerConnected => {
                self.broker = BrokerState::Connected;
                self.heartbeat_due = Some(now);
                if self.config.role == Role::Member && self.config.broken(Sabotage::MemberSpeaks) {
                    let (number, boot) = (1, self.boot);
                    let term = Term { number, boot };
                    self.out.publish("control.resign", Body::Resign { term });
                }
                self.election.broker_connected(now, &mut self.out);
            }
            Input::BrokerDisconnected { .. } => {
                self.broker = BrokerState::Down;
                self.heartbeat_due = None;
                self.hosts.disconnected();
                self.election.broker_disconnected(now, &mut self.out);
            }
            Input::BrokerHandshakeFailed => self.election.handshake_failed(now),
            Input::Message(envelope) => self.message(now, envelope),
            Input::Direct(envelope) => self.datagram(now, envelope),
            Input::Unroutable { member, boot } => self.detector.unroutable(&member, boot),
            Input::TokenGranted { channel } => {
                self.election.token_granted(now, channel, &mut self.out);
            }
            Input::TokenLost { channel } => self.election.token_lost(now, channel, &mut self.out),
            Input::BeatReturned { channel, number } => {
                if let Some(sent) = self.election.beat_returned(channel, number) {
                    self.detector.beat_returned(sent);
                    if let Some(supervisor) = &mut self.supervisor {
                        supervisor.beat_returned(sent);
                    }
                    self.keep_promises(sent);
                }
            }
            Input::HeartbeatsBound => {
                if self.election.holds_token() {
                    self.detector.activate(now);
                }
            }
            Input::EngineConnected { .. }
            | Input::EngineDisconnected { .. }
            | Input::Engine(_)
            | Input::EngineReply { .. } => self.engine(now, input),
            Input::Request { id, verb } => self.request(now, id, verb),
            Input::Vitals {
                unix_ms,
                pulse_age_ms,
            } => {
                self.out.set_wall(now, unix_ms);
                self.pulse_age_ms = pulse_age_ms;
            }
            Input::LastWords(words) => {
                self.out
                    .publish("report.last_words", Body::LastWords(words));
            }
            Input::Duty { on } => self.on_duty = on,
            Input::Shutdown => self.shutdown(now),
        }
    }

    fn engine(&mut self, now: Instant, input: Input) {
        let Some(supervisor) = &mut self.supervisor else {
            return;
        };
        match input {
            Input::EngineConnected { host, since } => {
                supervisor.engine_connected(now, host, since, &mut self.out);
                self.election.engine(now, true);
            }
            Input::EngineDisconnected { .. } => {
                supervisor.engine_disconnected();
                self.election.engine(now, false);
            }
            Input::Engine(event) => supervisor.event(now, &event, &mut self.out),
            Input::EngineReply { call, result } => {
                supervisor.reply(now, call, result, &mut self.out);
                self.election.local = supervisor.healers();
            }
            _ => {}
        }
        for ended in std::mem::take(&mut supervisor.ended) {
            let Ended {
                name,
                container,
                incarnation,
            } = ended;
            if self.election.holds_token() {
                if self.detector.hears_elsewhere(&name, &container) {
                    // Two containers bear the name, and the other one is listened to.
                    continue;
                }
                let boot = self.detector.members.get(&name).map(|peer| peer.boot);
                let certificate = Body::Death {
                    name: name.clone(),
                    incarnation,
                    boot,
                };
                self.out.publish("control.death", certificate);
            }
            self.detector.ended(&name, now);
            self.election.member_ended(now, &name);
        }
    }

    fn shutdown(&mut self, now: Instant) {
        if self.ending {
            return;
        }
        self.election.resign_now(now, &mut self.out);
        if self.broker == BrokerState::Connected {
            self.out.publish("report.leave", Body::Leave);
        }
        self.ending = true;
        self.out.push(Effect::Bye);
    }

    fn timers(&mut self, now: Instant) {
        if self.heartbeat_due.is_some_and(|at| now >= at) {
            let wait = self.out.jitter(self.interval);
            self.heartbeat_due = Some(now + wait);
            let beat = self.heartbeat(now);
            let key = format!("heartbeat.{}", self.config.name);
            self.out.publish(key, Body::Heartbeat(beat));
            self.report_host(now);
        }
        self.election.others_fit =
            self.election.holds_token()
                && self.detector.members.iter().any(|(name, peer)| {
                    *name != self.config.name && peer.beat.healer && !peer.over()
                });
        let quiet = self.supervisor.as_ref().is_none_or(Supervisor::is_quiet);
        self.election.tick(now, quiet, &mut self.out);
        for finding in self.detector.sweep(now, &mut self.out) {
            self.found(now, finding);
        }
        self.pass_requests_on(now);
        self.expire_requests(now);
        self.break_promises(now);
    }

    fn heartbeat(&mut self, now: Instant) -> Heartbeat {
        self.beats_sent += 1;
        let supervisor = self.supervisor.as_ref();
        Heartbeat {
            host: supervisor.and_then(|s| s.host.clone()),
            container: self.config.container.clone(),
            candidate: self.config.role == Role::Healer && !self.fenced,
            healer: supervisor.is_some_and(|s| s.connected) && !self.fenced,
            pulse_age_ms: self.pulse_age_ms,
            up_s: now.since(self.booted).as_secs(),
            number: self.beats_sent,
            unix_ms: self.out.unix_ms(now).unwrap_or(0),
        }
    }

    fn found(&mut self, now: Instant, finding: Finding) {
        let Some(supervisor) = &mut self.supervisor else {
            return;
        };
        match finding {
            Finding::Suspected(name) => supervisor.suspected(&name),
            Finding::Hung {
                name,
                silence,
                evidence,
            } => {
                let elsewhere = self.hung_elsewhere(now, &name, &evidence);
                let Some(supervisor) = self.supervisor.as_mut().filter(|_| !elsewhere) else {
                    return;
                };
                self.out.info(
                    "member_declared_dead",
                    Some(&name),
                    format!("Peer {name} declared DEAD: {evidence}"),
                );
                supervisor.suspect(now, &name, silence, false, evidence);
            }
        }
    }

    /// Draws the consequences of what changed, lets the supervisor act, and sends the leader's beat.
    fn settle(&mut self, now: Instant) {
        self.note_office(now);
        let mandate = self.mandate(now);
        if let Some(supervisor) = &mut self.supervisor {
            supervisor.mandate(mandate);
            supervisor.run(now, &self.detector, &mut self.out);
        }
        self.tend_host(now);
        self.send_beat(now);
        self.obey_fence(now);
        self.save(now);
    }

    fn note_office(&mut self, now: Instant) {
        let office = self.election.office.as_ref().map(|office| office.term);
        if office == self.office {
            return;
        }
        let retaken = self.office.is_some() && self.election.holds_token();
        if self.office.is_some() && office.is_none() {
            self.left_office = Some(now);
        }
        self.office = office;
        if office.is_none() {
            self.detector.deactivate();
            return;
        }
        if !retaken {
            self.detector.deactivate();
        }
        if let Some((_, beat)) = &self.last_beat {
            self.detector.adopt(&beat.members, now);
        }
    }

    fn mandate(&self, now: Instant) -> Mandate {
        if self.ending || self.fenced || !self.on_duty {
            return Mandate::default();
        }
        if self.config.role == Role::Solo {
            return Mandate {
                leads: true,
                start_at: Some(self.booted),
                force_until: Some(Instant(u64::MAX)),
                ..Mandate::default()
            };
        }
        let hung = self
            .election
            .handshake_failing_since()
            .is_some_and(|at| now.since(at) >= BROKER_HUNG);
        if let Some(office) = &self.election.office {
            return Mandate {
                leads: true,
                since: office.since,
                beats: office.channel.is_some(),
                start_at: Some(office.since),
                force_until: self.election.force_until(now),
                term: office.term.number,
                broker_force: hung && office.channel.is_none(),
                step: Duration::ZERO,
            };
        }
        let Some(supervisor) = &self.supervisor else {
            return Mandate::default();
        };
        let step = GUARDIAN_STEP * supervisor.healers_above().min(16);
        let start_at = if self.leads_elsewhere(supervisor) {
            self.booted + step
        } else {
            self.election.unattended_from() + step
        };
        // Who led a moment ago goes on without a gap: the others do not know yet.
        let led = self
            .left_office
            .is_some_and(|at| now.since(at) < LED_LATELY);
        Mandate {
            start_at: Some(start_at),
            step: if led { Duration::ZERO } else { step },
            ..Mandate::default()
        }
    }

    /// The leader is on another host: starts on this one are its highest healer's.
    pub(super) fn leads_elsewhere(&self, supervisor: &Supervisor) -> bool {
        let leader = self.election.leader.as_ref();
        let host = leader
            .zip(self.last_beat.as_ref())
            .and_then(|(leader, (_, beat))| {
                let view = beat.members.iter().find(|m| m.name == leader.name)?;
                view.host.as_ref()
            });
        match (host, &supervisor.host) {
            (Some(theirs), Some(ours)) => theirs != ours,
            _ => false,
        }
    }

    fn save(&mut self, now: Instant) {
        let term = self.election.seen;
        let Some(supervisor) = &mut self.supervisor else {
            return;
        };
        if !supervisor.unsaved && !self.out.unsaved && term == self.saved_term {
            return;
        }
        supervisor.unsaved = false;
        self.out.unsaved = false;
        self.saved_term = term;
        self.out.push(Effect::Save(Saved {
            version: SAVED_VERSION,
            term,
            records: supervisor.records(now),
            holds: supervisor.holds.list(now),
            resumed: supervisor.holds.resumed(now),
            fences: self.fences.clone(),
            at: now,
            host_boot: self.config.host_boot.clone(),
            engine_time: supervisor.engine_time(now),
            incidents: self.out.incidents.iter().cloned().collect(),
            alerts: self.out.alerts.iter().cloned().collect(),
        }));
    }
}
