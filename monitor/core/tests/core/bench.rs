//! The harness: a node, an engine that obeys at once, and a broker loop that can be cut.

use planaria_core::effect::Effect;
use planaria_core::engine::{
    Container, ContainerState, EngineCall, EngineError, EngineEvent, EngineReply, EventKind,
    Health, RestartPolicy,
};
use planaria_core::id::{BootId, ChannelId, ContainerId, HostId, MemberName, Term};
use planaria_core::input::Input;
use planaria_core::message::{Beat, Body, Envelope, Heartbeat, Incident};
use planaria_core::node::{Node, NodeConfig, Role};
use planaria_core::settings::Settings;
use planaria_core::status::Saved;
use planaria_core::time::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub(crate) const CHANNEL: ChannelId = ChannelId(7);

pub(crate) fn name(text: &str) -> MemberName {
    MemberName::new(text).unwrap()
}

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) struct Bench {
    pub(crate) node: Node,
    pub(crate) now: Instant,
    pub(crate) containers: BTreeMap<String, Container>,
    pub(crate) history: Vec<EngineEvent>,
    /// The engine answers.
    pub(crate) answers: bool,
    /// So many times the engine refuses to tell its history.
    pub(crate) history_refusals: u32,
    /// A start ends in this error of the engine.
    pub(crate) start_error: Option<EngineError>,
    /// Nothing but SIGKILL ends a program.
    pub(crate) stubborn: bool,
    /// Making anew ends in this error of the engine.
    pub(crate) recreate_error: Option<EngineError>,
    /// Those that answer no probe from outside.
    pub(crate) deaf: Vec<String>,
    /// Names of containers that were made anew, by their old ids.
    old: BTreeMap<ContainerId, String>,
    /// A started container dies at once.
    pub(crate) crash_loop: bool,
    /// What the node publishes comes back to it.
    pub(crate) loops: bool,
    /// Members that send a heartbeat every interval while time passes.
    pub(crate) voices: BTreeMap<MemberName, BootId>,
    /// Those that answer probes.
    pub(crate) answering: Vec<MemberName>,
    pub(crate) log: Vec<(Instant, Effect)>,
    spoken: Instant,
    seq: u64,
    pub(crate) clock: i64,
}

pub(crate) fn container(title: &str) -> Container {
    Container {
        id: ContainerId(format!("{title:0<64}").replace('-', "0")),
        name: title.to_owned(),
        member: None,
        labels: BTreeMap::from([("planaria.enable".to_owned(), "true".to_owned())]),
        state: ContainerState::Running,
        started_at: Some("s1".to_owned()),
        finished_at: None,
        exit_code: 0,
        oom_killed: false,
        error: String::new(),
        restart_policy: RestartPolicy::UnlessStopped,
        health: None,
        stop_signal: 15,
        stop_timeout: seconds(10),
        network_mode: "bridge".to_owned(),
        networks: Vec::new(),
        process_state: Some('S'),
    }
}

impl Bench {
    pub(crate) fn new(role: Role) -> Self {
        Self::with(role, None, |_| {})
    }

    pub(crate) fn with(
        role: Role,
        saved: Option<Saved>,
        change: impl FnOnce(&mut NodeConfig),
    ) -> Self {
        let settings = Settings::default();
        let mut config = NodeConfig::from_settings(&settings, name("healer-2"), None, role);
        change(&mut config);
        let now = Instant(0) + seconds(1000);
        Self {
            node: Node::new(config, BootId(2), saved, 1, now),
            now,
            containers: BTreeMap::new(),
            history: Vec::new(),
            answers: true,
            history_refusals: 0,
            start_error: None,
            stubborn: false,
            recreate_error: None,
            deaf: Vec::new(),
            old: BTreeMap::new(),
            crash_loop: false,
            loops: true,
            voices: BTreeMap::new(),
            answering: Vec::new(),
            log: Vec::new(),
            spoken: now,
            seq: 0,
            clock: 1_000_000_000_000,
        }
    }

    /// A leader with token, lease and engine, its stream old enough to be trusted about kills.
    pub(crate) fn leader(containers: Vec<Container>) -> Self {
        let mut bench = Self::new(Role::Healer);
        bench.engine(containers);
        bench.office();
        bench.pass(seconds(15));
        assert!(bench.node.status(bench.now).may_force);
        bench.log.clear();
        bench
    }

    /// `monitor watch` alone.
    pub(crate) fn solo(containers: Vec<Container>) -> Self {
        let mut bench = Self::new(Role::Solo);
        bench.engine(containers);
        bench.pass(seconds(15));
        bench.log.clear();
        bench
    }

    pub(crate) fn engine(&mut self, containers: Vec<Container>) {
        for container in containers {
            self.containers.insert(container.name.clone(), container);
        }
        self.reconnect_engine();
    }

    /// The engine is the same as in another story.
    pub(crate) fn clock_of(&mut self, other: &Self) {
        self.clock = other.clock;
    }

    pub(crate) fn reconnect_engine(&mut self) {
        let since = self.clock;
        self.feed(Input::EngineConnected {
            host: HostId("host".to_owned()),
            since,
        });
    }

    pub(crate) fn lose_engine(&mut self) {
        self.feed(Input::EngineDisconnected {
            reason: "test".to_owned(),
        });
    }

    pub(crate) fn office(&mut self) {
        self.feed(Input::BrokerConnected);
        self.pass(seconds(4));
        assert!(
            self.log
                .iter()
                .any(|(_, e)| matches!(e, Effect::ConsumeToken { .. })),
            "a candidate asks for the token after a lease of silence"
        );
        self.feed(Input::TokenGranted { channel: CHANNEL });
        self.feed(Input::HeartbeatsBound);
    }

    pub(crate) fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        let mut steps = 0;
        while let Some(input) = inputs.pop_front() {
            steps += 1;
            assert!(steps < 1000, "question and answer without end: {input:?}");
            for effect in self.node.handle(self.now, input) {
                self.log.push((self.now, effect.clone()));
                self.obey(effect, &mut inputs);
            }
        }
    }

    fn obey(&mut self, effect: Effect, inputs: &mut VecDeque<Input>) {
        match effect {
            Effect::Engine { call, request, .. } if self.answers => {
                let mut events = Vec::new();
                let result = self.call(request, &mut events);
                inputs.push_back(Input::EngineReply { call, result });
                inputs.extend(events.into_iter().map(Input::Engine));
            }
            Effect::PublishBeat { channel, body } if self.loops => {
                let Body::Beat(beat) = body else {
                    panic!("not a beat")
                };
                let number = beat.number;
                inputs.push_back(Input::BeatReturned { channel, number });
            }
            Effect::Publish { key, body } if self.loops && key == "heartbeat.healer-2" => {
                let me = (name("healer-2"), BootId(2));
                inputs.push_back(Input::Message(self.envelope(me, body)));
            }
            Effect::Direct {
                to,
                body: Body::Probe { nonce },
            } if self.answering.contains(&to) => {
                let boot = self.voices.get(&to).copied().unwrap_or(BootId(0));
                inputs.push_back(Input::Direct(
                    self.envelope((to, boot), Body::Ack { nonce }),
                ));
            }
            _ => {}
        }
    }

    /// The engine, which is slow (`answers` is off), answers the newest call.
    pub(crate) fn answer(&mut self, reply: EngineReply) {
        let call = self
            .log
            .iter()
            .rev()
            .find_map(|(_, effect)| match effect {
                Effect::Engine { call, .. } => Some(*call),
                _ => None,
            })
            .expect("a call");
        self.feed(Input::EngineReply {
            call,
            result: Ok(reply),
        });
    }

    fn envelope(&mut self, (from, boot): (MemberName, BootId), body: Body) -> Envelope {
        self.seq += 1;
        Envelope {
            cluster: "planaria".to_owned(),
            from,
            boot,
            seq: self.seq,
            body,
        }
    }

    pub(crate) fn say(&mut self, from: &str, boot: u64, body: Body) {
        let envelope = self.envelope((name(from), BootId(boot)), body);
        self.feed(Input::Message(envelope));
    }

    pub(crate) fn send(&mut self, from: &str, boot: u64, body: Body) {
        let envelope = self.envelope((name(from), BootId(boot)), body);
        self.feed(Input::Direct(envelope));
    }

    pub(crate) fn beat_of(&mut self, from: &str, boot: u64, number: u64) -> Beat {
        let _ = from;
        Beat {
            term: Term {
                number,
                boot: BootId(boot),
            },
            number: 1,
            token: true,
            ranks: vec![name("healer-3"), name("healer-2"), name("healer-1")],
            members: Vec::new(),
            records: Vec::new(),
            holds: Vec::new(),
            resumed: Vec::new(),
            tickets: Vec::new(),
            fences: Vec::new(),
            incidents: Vec::new(),
            interval_ms: 0,
            unix_ms: 0,
        }
    }

    /// Lets time pass, deadline by deadline.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(
                steps < 100_000,
                "the node asks for the same moment again and again"
            );
            let voice = self.spoken + seconds(1);
            let next = self.node.next_deadline().unwrap_or(end).min(voice).min(end);
            self.now = self.now.max(next);
            if self.now >= voice {
                self.spoken = self.now;
                let voices: Vec<_> = self.voices.clone().into_iter().collect();
                for (from, boot) in voices {
                    let beat = Heartbeat {
                        candidate: from.as_str().starts_with("healer"),
                        healer: from.as_str().starts_with("healer"),
                        ..Heartbeat::default()
                    };
                    let envelope = self.envelope((from, boot), Body::Heartbeat(beat));
                    self.feed(Input::Message(envelope));
                }
            }
            self.feed(Input::Tick);
            if self.now >= end {
                return;
            }
        }
    }

    pub(crate) fn event(&mut self, title: &str, kind: EventKind) {
        let event = self.make_event(title, kind);
        self.feed(Input::Engine(event));
    }

    pub(crate) fn make_event(&mut self, title: &str, kind: EventKind) -> EngineEvent {
        self.clock += 1_000_000;
        let event = EngineEvent {
            at: self.clock,
            container: self.containers[title].id.clone(),
            name: title.to_owned(),
            kind,
        };
        self.history.push(event.clone());
        event
    }

    pub(crate) fn edit(&mut self, title: &str, change: impl FnOnce(&mut Container)) {
        change(self.containers.get_mut(title).unwrap());
    }

    /// It ended, as the engine sees it; nobody is told.
    pub(crate) fn end(&mut self, title: &str, code: i64) {
        self.clock += 1_000_000;
        let finished = format!("f{}", self.clock);
        self.edit(title, |c| {
            c.state = ContainerState::Exited;
            c.exit_code = code;
            c.finished_at = Some(finished);
        });
    }

    pub(crate) fn begin(&mut self, title: &str) {
        self.clock += 1_000_000;
        let started = format!("s{}", self.clock);
        self.edit(title, |c| {
            c.state = ContainerState::Running;
            c.started_at = Some(started);
            c.process_state = Some('S');
            c.health = c.health.map(|_| Health::Healthy);
        });
    }

    /// `docker kill`.
    pub(crate) fn kill(&mut self, title: &str) {
        self.event(title, EventKind::Kill { signal: 9 });
        self.end(title, 137);
        self.event(title, EventKind::Die { exit_code: 137 });
    }

    /// `docker stop` of a program that obeys.
    pub(crate) fn stop(&mut self, title: &str) {
        self.event(title, EventKind::Kill { signal: 15 });
        self.pass(millis(80));
        self.end(title, 0);
        self.event(title, EventKind::Die { exit_code: 0 });
        self.pass(millis(40));
        self.event(title, EventKind::Stop);
    }

    fn call(
        &mut self,
        request: EngineCall,
        events: &mut Vec<EngineEvent>,
    ) -> Result<EngineReply, EngineError> {
        match request {
            EngineCall::Ping => Ok(EngineReply::Done),
            EngineCall::List => Ok(EngineReply::Containers(
                self.containers.values().cloned().collect(),
            )),
            EngineCall::Inspect(id) => Ok(EngineReply::Container(
                self.containers
                    .values()
                    .find(|c| c.id == id)
                    .map(|c| Box::new(c.clone())),
            )),
            EngineCall::History { .. } if self.history_refusals > 0 => {
                self.history_refusals -= 1;
                Err(EngineError::Refused {
                    status: 500,
                    message: "internal error".to_owned(),
                })
            }
            EngineCall::History { since } => Ok(EngineReply::History(
                self.history
                    .iter()
                    .filter(|event| event.at >= since)
                    .cloned()
                    .collect(),
            )),
            EngineCall::Probe { container, .. } => {
                let title = self.title(&container);
                let deaf = self.deaf.contains(&title);
                Ok(EngineReply::Probed(
                    deaf.then(|| "connection refused".to_owned()),
                ))
            }
            EngineCall::Recreate {
                container,
                name,
                network_of,
                ..
            } => {
                if let Some(error) = &self.recreate_error {
                    return Err(error.clone());
                }
                let mut anew = self
                    .containers
                    .remove(&name)
                    .unwrap_or_else(|| self::container(&name));
                self.clock += 1_000_000;
                self.old.insert(container.clone(), name.clone());
                anew.id = ContainerId(format!("{:0>64}", self.clock));
                anew.state = ContainerState::Running;
                anew.started_at = Some(format!("s{}", self.clock));
                anew.finished_at = None;
                if let Some(owner) = network_of {
                    anew.network_mode = format!("container:{owner}");
                }
                let id = anew.id.clone();
                self.containers.insert(name.clone(), anew);
                events.push(self.make_event(&name, EventKind::Create));
                events.push(self.make_event(&name, EventKind::Start));
                events.push(EngineEvent {
                    at: self.clock,
                    container,
                    name: name.clone(),
                    kind: EventKind::Destroy,
                });
                Ok(EngineReply::Recreated(id))
            }
            EngineCall::Start { container, .. } => {
                if !self.containers.values().any(|c| c.id == container) {
                    return Err(EngineError::Gone);
                }
                if let Some(error) = &self.start_error {
                    return Err(error.clone());
                }
                let title = self.title(&container);
                self.begin(&title);
                events.push(self.make_event(&title, EventKind::Start));
                if self.crash_loop {
                    self.end(&title, 1);
                    events.push(self.make_event(&title, EventKind::Die { exit_code: 1 }));
                }
                Ok(EngineReply::Done)
            }
            EngineCall::Kill {
                container, signal, ..
            } => {
                let title = self.title(&container);
                events.push(self.make_event(&title, EventKind::Kill { signal }));
                if signal == 18 {
                    self.edit(&title, |c| c.process_state = Some('S'));
                } else if signal == 9 || !self.stubborn {
                    self.end(&title, 137);
                    events.push(self.make_event(&title, EventKind::Die { exit_code: 137 }));
                }
                Ok(EngineReply::Done)
            }
            EngineCall::Unpause { container, .. } => {
                let title = self.title(&container);
                self.edit(&title, |c| c.state = ContainerState::Running);
                events.push(self.make_event(&title, EventKind::Unpause));
                Ok(EngineReply::Done)
            }
            EngineCall::Connect {
                container,
                attachment,
                ..
            } => {
                let title = self.title(&container);
                let network = attachment.network.clone();
                self.edit(&title, |c| c.networks.push(attachment));
                events.push(self.make_event(&title, EventKind::Connect { network }));
                Ok(EngineReply::Done)
            }
        }
    }

    fn title(&self, id: &ContainerId) -> String {
        let known = self.containers.values().find(|c| c.id == *id);
        known.map_or_else(|| self.old[id].clone(), |c| c.name.clone())
    }

    /// Orders (not questions) given since the log was cleared, as words.
    pub(crate) fn orders(&self) -> Vec<String> {
        self.log
            .iter()
            .filter_map(|(_, effect)| match effect {
                Effect::Engine { request, .. } => Some(request),
                _ => None,
            })
            .filter_map(|request| match request {
                EngineCall::Start { container, .. } => {
                    Some(format!("start {}", self.title(container)))
                }
                EngineCall::Kill {
                    container, signal, ..
                } => Some(format!("kill {signal} {}", self.title(container))),
                EngineCall::Recreate { name, .. } => Some(format!("recreate {name}")),
                EngineCall::Unpause { container, .. } => {
                    Some(format!("unpause {}", self.title(container)))
                }
                EngineCall::Connect { container, .. } => {
                    Some(format!("connect {}", self.title(container)))
                }
                _ => None,
            })
            .collect()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.log
            .iter()
            .filter_map(|(_, effect)| match effect {
                Effect::Log(line) => Some(line.text.clone()),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn said(&self, wanted: &str) -> bool {
        self.lines().iter().any(|line| line.contains(wanted))
    }

    pub(crate) fn incidents(&self) -> Vec<Incident> {
        self.log
            .iter()
            .filter_map(|(_, effect)| match effect {
                Effect::Publish {
                    body: Body::Incident(incident),
                    ..
                } => Some((**incident).clone()),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn alerts(&self, kind: &str) -> usize {
        self.log
            .iter()
            .filter(|(_, effect)| {
                matches!(effect, Effect::Publish { body: Body::Alert(alert), .. } if alert.kind == kind)
            })
            .count()
    }

    pub(crate) fn has(&self, wanted: impl Fn(&Effect) -> bool) -> bool {
        self.log.iter().any(|(_, effect)| wanted(effect))
    }

    pub(crate) fn last_beat(&self) -> Beat {
        self.log
            .iter()
            .rev()
            .find_map(|(_, effect)| match effect {
                Effect::PublishBeat {
                    body: Body::Beat(beat),
                    ..
                } => Some((**beat).clone()),
                _ => None,
            })
            .expect("a beat")
    }

    pub(crate) fn state(&self, title: &str) -> planaria_core::message::MemberState {
        self.node
            .status(self.now)
            .members
            .iter()
            .find(|member| member.name == name(title))
            .unwrap_or_else(|| panic!("{title} is not in the table"))
            .state
    }
}
