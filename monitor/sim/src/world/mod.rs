//! The world: one heap of events, one source of randomness, one clock.

pub(crate) mod acts;
mod calls;
mod driver;
mod engine;
mod flows;
pub(crate) mod queries;
mod wire;

use crate::broker::{Broker, ConnId, Op};
use crate::check::{Ledger, Rule};
use crate::clock::{EPOCH, MS, S};
use crate::container::{Cont, Kind, Spec, Then};
use crate::plan::Planned;
use crate::recording::Recorder;
use crate::sabotage::Sabotage;
use crate::trace::Trace;
pub use acts::{Act, Point};
pub(crate) use calls::{Call, Reply, verb};
pub(crate) use driver::Proc;
pub(crate) use engine::{EngineModel, STOP_BELIEVED};
use planaria_core::id::MemberName;
use planaria_core::input::Input;
use planaria_core::message::Envelope;
use planaria_core::settings::Settings;
use planaria_core::status::Saved;
use planaria_core::time::Instant;
pub(crate) use queries::member;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// What stands in the world before anything happens.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The containers, in the order in which they are made.
    pub containers: Vec<Spec>,
    /// The settings that every monitor has.
    pub settings: Settings,
    /// Healers are `monitor watch` alone: no broker, no group.
    pub solo: bool,
    /// A rule that is broken on purpose.
    pub sabotage: Option<Sabotage>,
    /// A rule that every core breaks by itself.
    #[cfg(feature = "sabotage")]
    pub core: Option<planaria_core::Sabotage>,
    /// Keep the story as text.
    pub trace: bool,
    /// Record what this process is told, as a monitor with a `STATE_DIR` does.
    pub record: Option<String>,
}

impl Stage {
    /// The default stack, small: three healers, a broker, two members and two plain containers.
    #[must_use]
    pub fn standard() -> Self {
        Self::of(3, 2, 2)
    }

    /// A stack with so many healers, members and plain containers.
    #[must_use]
    pub fn of(healers: usize, members: usize, plain: usize) -> Self {
        let named = |prefix: &str, kind, count| {
            (1..=count)
                .map(|n| Spec::new(&format!("{prefix}-{n}"), kind))
                .collect::<Vec<_>>()
        };
        let mut containers = vec![Spec::new("rabbitmq", Kind::Broker)];
        containers.extend(named("healer", Kind::Healer, healers));
        containers.extend(named("worker", Kind::Member, members));
        containers.extend(named("plain", Kind::Plain, plain));
        Self {
            containers,
            settings: Settings::default(),
            solo: false,
            sabotage: None,
            #[cfg(feature = "sabotage")]
            core: None,
            trace: false,
            record: None,
        }
    }

    /// One `monitor watch` and one plain container, no broker.
    #[must_use]
    pub fn solo() -> Self {
        let mut stage = Self::of(1, 0, 2);
        stage.containers.retain(|spec| spec.kind != Kind::Broker);
        for spec in &mut stage.containers {
            spec.grouped = false;
        }
        stage.solo = true;
        stage
    }

    /// Changes how one container is made.
    #[must_use]
    pub fn with(mut self, name: &str, change: impl FnOnce(&mut Spec)) -> Self {
        if let Some(spec) = self.containers.iter_mut().find(|spec| spec.name == name) {
            change(spec);
        }
        self
    }
}

/// Something that reaches a process.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// An input that comes straight from its driver.
    Input(Box<Input>),
    /// Something that came through a connection to the broker.
    FromBroker(ConnId, Box<Input>),
    /// That connection is gone.
    LinkDown(ConnId, &'static str),
    /// The engine's word on what a call expects: the driver decides whether to make it.
    Checked(Box<Call>, Result<(), planaria_core::engine::EngineError>),
    /// The engine's answer to a call.
    Replied(Box<Reply>),
}

/// What the future holds.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Deadline {
        proc: usize,
        life: u64,
        turn: u64,
    },
    Work {
        proc: usize,
        life: u64,
        work: Work,
    },
    Thaw {
        proc: usize,
        life: u64,
    },
    Exit {
        proc: usize,
        life: u64,
        code: i64,
    },
    ToBroker(Op),
    Connect {
        proc: usize,
        life: u64,
    },
    Handshake {
        proc: usize,
        life: u64,
    },
    Connected {
        proc: usize,
        life: u64,
    },
    Reap {
        conn: ConnId,
        since: u64,
    },
    GiveUp {
        proc: usize,
        life: u64,
        conn: ConnId,
    },
    Datagram {
        to: MemberName,
        envelope: Box<Envelope>,
    },
    Stream {
        proc: usize,
        life: u64,
    },
    CallArrives(Box<Call>),
    CallMade(Box<Call>),
    StartDone {
        cont: usize,
    },
    StartFails {
        cont: usize,
    },
    StartAgain {
        cont: usize,
        life: u64,
    },
    DieDone {
        cont: usize,
        life: u64,
        code: i64,
        oom: bool,
    },
    StopGrace {
        cont: usize,
        life: u64,
    },
    StopDone {
        cont: usize,
        life: u64,
    },
    After {
        cont: usize,
        then: Then,
    },
    Check {
        cont: usize,
        life: u64,
    },
    EngineBack,
    Act(Act),
    Sample,
}

struct Due {
    at: u64,
    number: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// How often the standing invariants are looked at.
const SAMPLE_EVERY: u64 = 200 * MS;

/// A run that makes more events than this in one simulated second spins.
const EVENTS_PER_SECOND: u64 = 200_000;

/// The world.
pub struct World {
    pub(crate) now: u64,
    pub(crate) rng: SmallRng,
    pub(crate) stage: Stage,
    pub(crate) conts: Vec<Cont>,
    pub(crate) procs: Vec<Option<Proc>>,
    /// What healers keep across their own restarts, by name.
    pub(crate) volumes: BTreeMap<String, Saved>,
    pub(crate) broker: Broker,
    pub(crate) engine: EngineModel,
    pub(crate) cut_broker: BTreeSet<String>,
    /// Datagrams from the first to the second do not arrive.
    pub(crate) cut_direct: BTreeSet<(String, String)>,
    /// Of a thousand datagrams so many are lost.
    pub(crate) datagram_loss: u32,
    pub(crate) ledger: Ledger,
    pub(crate) trace: Trace,
    /// When something last kept a healer from seeing and dating every start for itself.
    pub(crate) disturbed: Option<u64>,
    /// When a process lost its connection to the broker last, or ended.
    pub(crate) links_lost: BTreeMap<(usize, u64), u64>,
    /// Callers that wait for a start under way: container, process, answer.
    pub(crate) waiters: Vec<(usize, usize, Reply)>,
    /// What is thrown at it, where that is to be written down.
    pub(crate) script: Option<Vec<Planned>>,
    /// What the process that is recorded was told since its last boot.
    pub(crate) recorder: Recorder,
    heap: BinaryHeap<Reverse<Due>>,
    scheduled: u64,
    handled: u64,
    second: (u64, u64),
}

impl World {
    /// Builds the stage; nothing runs yet.
    #[must_use]
    pub fn new(seed: u64, stage: Stage) -> Self {
        let mut world = Self {
            now: 0,
            rng: SmallRng::seed_from_u64(seed),
            conts: Vec::new(),
            procs: Vec::new(),
            volumes: BTreeMap::new(),
            broker: Broker::default(),
            engine: EngineModel::default(),
            cut_broker: BTreeSet::new(),
            cut_direct: BTreeSet::new(),
            datagram_loss: 0,
            ledger: Ledger::default(),
            trace: Trace::new(stage.trace),
            disturbed: None,
            links_lost: BTreeMap::new(),
            waiters: Vec::new(),
            script: None,
            recorder: Recorder::default(),
            heap: BinaryHeap::new(),
            scheduled: 0,
            handled: 0,
            second: (0, 0),
            stage,
        };
        for spec in world.stage.containers.clone() {
            let cont = world.make(&spec);
            let at = world.rng.random_range(10 * MS..1500 * MS);
            let name = world.conts[cont].facts.name.clone();
            world.at(at, Event::Act(Act::Start(name)));
        }
        world.at(SAMPLE_EVERY, Event::Sample);
        world
    }

    /// The monotonic clock as processes read it.
    pub(crate) fn instant(&self) -> Instant {
        Instant(EPOCH + self.now)
    }

    pub(crate) fn at(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        self.heap.push(Reverse(Due {
            at: at.max(self.now),
            number: self.scheduled,
            event,
        }));
    }

    /// What is to come, in no order.
    pub(crate) fn future(&self) -> impl Iterator<Item = &Event> {
        self.heap.iter().map(|Reverse(due)| &due.event)
    }

    pub(crate) fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now.saturating_add(delay), event);
    }

    /// A span drawn at random.
    pub(crate) fn draw(&mut self, from: u64, to: u64) -> u64 {
        self.rng.random_range(from..=to.max(from))
    }

    /// True so often in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        self.rng.random_range(0..1000) < per_mille
    }

    /// Runs until a time; everything due by then has happened.
    pub(crate) fn run_to(&mut self, until: u64) {
        while let Some(Reverse(due)) = self.heap.peek() {
            if due.at > until || self.ledger.stopped() {
                break;
            }
            self.step();
        }
        self.now = self.now.max(until);
    }

    /// Handles the next event; false where there is none.
    pub(crate) fn step(&mut self) -> bool {
        let Some(Reverse(due)) = self.heap.pop() else {
            return false;
        };
        self.now = due.at;
        self.handled += 1;
        let second = self.now / S;
        if self.second.0 == second {
            self.second.1 += 1;
            if self.second.1 > EVENTS_PER_SECOND {
                self.violate(Rule::Spins, || {
                    format!("more than {EVENTS_PER_SECOND} events in one second")
                });
                self.ledger.stop();
            }
        } else {
            self.second = (second, 0);
        }
        self.handle(due.event);
        true
    }

    /// How many events were handled.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.handled
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deadline { proc, life, turn } => self.deadline(proc, life, turn),
            Event::Work { proc, life, work } => self.work(proc, life, work),
            Event::Thaw { proc, life } => self.thaw(proc, life),
            Event::Exit { proc, life, code } => self.process_ends(proc, life, code, false),
            Event::ToBroker(op) => self.reaches_broker(op),
            Event::Connect { proc, life } => self.connect(proc, life),
            Event::Handshake { proc, life } => self.handshake(proc, life),
            Event::Connected { proc, life } => self.connected(proc, life),
            Event::Reap { conn, since } => self.reap(conn, since),
            Event::GiveUp { proc, life, conn } => self.give_up(proc, life, conn),
            Event::Datagram { to, envelope } => self.datagram(&to, &envelope),
            Event::Stream { proc, life } => self.stream_stands(proc, life),
            Event::CallArrives(call) => self.call_arrives(*call),
            Event::CallMade(call) => self.call_made(&call),
            Event::StartDone { cont } => self.start_done(cont),
            Event::StartFails { cont } => self.start_fails(cont),
            Event::StartAgain { cont, life } => self.start_again(cont, life),
            Event::DieDone {
                cont,
                life,
                code,
                oom,
            } => self.die_done(cont, life, code, oom),
            Event::StopGrace { cont, life } => self.stop_grace(cont, life),
            Event::StopDone { cont, life } => self.stop_done(cont, life),
            Event::After { cont, then } => self.after_stop(cont, then),
            Event::Check { cont, life } => self.health_check(cont, life),
            Event::EngineBack => self.engine_back(),
            Event::Act(act) => self.act(act),
            Event::Sample => {
                self.sample();
                self.after(SAMPLE_EVERY, Event::Sample);
            }
        }
    }
}
