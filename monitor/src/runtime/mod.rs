//! The monitor's own thread: one single-threaded runtime, in it the loop around the core.

mod apply;
#[cfg(feature = "fail-points")]
mod fail;
mod state;

use crate::broker;
use crate::clock;
use crate::direct::Direct;
use crate::docker;
use crate::group::Config;
use crate::health;
use crate::health::Readiness;
use crate::identity;
use crate::metrics::Metrics;
use crate::pulse::{Pulse, Pulses};
use crate::recorder::{Beginning, Flight};
use crate::solo::{self, Duty, Hooks};
use apply::Outputs;
use planaria_core::codec::Codec;
use planaria_core::effect::Effect;
use planaria_core::engine::{EngineError, EngineReply};
use planaria_core::id::{HostId, RequestId};
use planaria_core::input::Input;
use planaria_core::message::{Body, Envelope, LastWords, Outcome, Verb};
use planaria_core::node::{Node, NodeConfig, Role};
use planaria_core::status::{BrokerState, Status};
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Inputs that wait for the loop. Drivers wait when it is full: the broker and the kernel buffer then.
const INPUTS_MAX: usize = 1024;
/// Orders of the program and of people that wait for the loop.
const CONTROLS_MAX: usize = 64;
/// How stale the shared status may be in what grows all the time; what a beat tells is shared with the beat.
const STATUS_INTERVAL: Duration = Duration::from_millis(250);
/// The loop says that it lives; half the watchdog's shortest sensible deadline.
const PULSE_INTERVAL: Duration = Duration::from_millis(500);
/// The runtime's thread parses messages of some 60 KB; nothing in it recurses deeply.
/// An unoptimised build has frames many times as large; what is not touched costs nothing.
const STACK: usize = 2 * 1024 * 1024;
/// Threads for name look-ups, which have no other form than blocking ones.
const BLOCKING_THREADS: usize = 4;
const BLOCKING_STACK: usize = 256 * 1024;

/// An order to the loop.
pub(crate) enum Control {
    /// A person asks, here.
    Request {
        id: RequestId,
        verb: Verb,
        answer: oneshot::Sender<Outcome>,
    },
    /// The watchdog is about to end the process.
    LastWords {
        words: LastWords,
        done: std_mpsc::SyncSender<()>,
    },
    /// Leave in order.
    Leave { done: std_mpsc::SyncSender<()> },
}

/// What the loop is made of.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) pulses: Arc<Pulses>,
}

/// What others hold of the loop.
pub(crate) struct Handle {
    pub(crate) status: watch::Receiver<Arc<Status>>,
    pub(crate) control: mpsc::Sender<Control>,
}

/// Ends the process when a task of ours panics: a monitor without one of its parts would be a silent
/// member that nobody can tell from a hung one.
struct Fuse;

impl Drop for Fuse {
    fn drop(&mut self) {
        if std::thread::panicking() {
            crate::sys::exit_now(i32::from(crate::apoptosis::EXIT_CODE));
        }
    }
}

/// A task that the monitor cannot do without.
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(async move {
        let _fuse = Fuse;
        work.await;
    });
}

/// Starts the thread.
pub(crate) fn start(parts: Parts) -> std::io::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_stack_size(BLOCKING_STACK)
        .thread_keep_alive(Duration::from_secs(1))
        .build()?;
    let (node, flight) = node(&parts.config);
    let has_broker = !parts.config.settings.amqp_urls.is_empty();
    let (status_out, status) = watch::channel(Arc::new(status(&node, has_broker)));
    let (control, controls) = mpsc::channel(CONTROLS_MAX);
    let handle = Handle {
        status,
        control: control.clone(),
    };
    std::thread::Builder::new()
        .name("planaria".into())
        .stack_size(STACK)
        .spawn(move || {
            let _fuse = Fuse;
            runtime.block_on(run(parts, node, flight, status_out, control, controls));
        })?;
    Ok(handle)
}

/// The core does not know whether a broker that is away is one at all.
fn status(node: &Node, has_broker: bool) -> Status {
    let mut status = node.status(clock::now());
    if !has_broker {
        status.broker = BrokerState::None;
    }
    status
}

/// The core, and the recorder of what it is told where there is a folder for that.
fn node(config: &Config) -> (Node, Flight) {
    let mut core = NodeConfig::from_settings(
        &config.settings,
        config.name.clone(),
        identity::container(),
        config.role,
    );
    core.host_boot = identity::host_boot();
    if let Some(label) = &config.solo.label {
        core.autoheal_label.clone_from(label);
    }
    core.autoheal.clone_from(&config.solo.autoheal);
    let folder = config.settings.state_dir.as_deref();
    let beginning = Beginning {
        config: core,
        boot: config.boot,
        saved: folder.and_then(state::load),
        seed: rand::random(),
        start: clock::now(),
    };
    let flight = folder.map_or_else(Flight::none, |folder| Flight::start(folder, &beginning));
    (beginning.node(), flight)
}

async fn run(
    parts: Parts,
    node: Node,
    flight: Flight,
    status: watch::Sender<Arc<Status>>,
    control: mpsc::Sender<Control>,
    controls: mpsc::Receiver<Control>,
) {
    let settings = &parts.config.settings;
    let codec = Arc::new(Codec::new(parts.config.keys.clone()));
    let (inputs_in, inputs) = mpsc::channel(INPUTS_MAX);
    spawn(health::serve(health::Server {
        addr: settings.health_addr,
        status: status.subscribe(),
        metrics: Arc::clone(&parts.metrics),
        readiness: Arc::clone(&parts.readiness),
        pulses: Arc::clone(&parts.pulses),
        codec: Arc::clone(&codec),
        cluster: settings.cluster_name.clone(),
        control,
    }));
    let outputs = outputs(&parts, &codec, &inputs_in);
    let pulse = parts
        .pulses
        .register("monitor", "pulse", settings.pulse_timeout);
    let driver = Loop {
        node,
        flight,
        outputs,
        pulse,
        pulses: Arc::clone(&parts.pulses),
        vitals_interval: settings.heartbeat_interval,
        status,
        stale: true,
        has_broker: !settings.amqp_urls.is_empty(),
        untold: parts.config.role == Role::Solo,
        leaving: None,
    };
    driver.run(inputs, controls).await;
}

/// Starts the drivers that the settings ask for.
fn outputs(parts: &Parts, codec: &Arc<Codec>, inputs: &mpsc::Sender<Input>) -> Outputs {
    let config = &parts.config;
    let settings = &config.settings;
    let in_group = config.role != Role::Solo && !settings.amqp_urls.is_empty();
    let broker = in_group.then(|| {
        broker::Driver::start(
            settings.clone(),
            config.name.clone(),
            config.boot,
            Arc::clone(codec),
            Arc::clone(&parts.metrics),
            inputs.clone(),
        )
    });
    let direct = (in_group && settings.direct_channel)
        .then(|| {
            Direct::start(
                settings.direct_addr,
                settings.cluster_name.clone(),
                Arc::clone(codec),
                Arc::clone(&parts.metrics),
                inputs.clone(),
            )
        })
        .flatten();
    let engine = matches!(config.role, Role::Healer | Role::Solo)
        .then(
            || match docker::Calls::new(settings, Arc::clone(&parts.metrics)) {
                Ok(calls) if config.role == Role::Solo => Some(alone(parts, calls, inputs)),
                Ok(calls) => Some((calls, None)),
                Err(error) => {
                    tracing::error!(event = "engine_unusable", "{error}");
                    None
                }
            },
        )
        .flatten();
    let (engine, hooks) = match engine {
        Some((calls, hooks)) => {
            let host = settings.host_id.clone().map(HostId);
            spawn(docker::watch(calls.clone(), host, inputs.clone()));
            (Some(calls), hooks)
        }
        None => (None, None),
    };
    Outputs::new(
        config,
        Arc::clone(codec),
        Arc::clone(&parts.metrics),
        inputs.clone(),
    )
    .with(broker, direct, engine)
    .with_hooks(hooks)
}

/// What a watcher has that is nobody's member: it tells others what it did, and shares its duty.
fn alone(
    parts: &Parts,
    calls: docker::Calls,
    inputs: &mpsc::Sender<Input>,
) -> (docker::Calls, Option<Hooks>) {
    let config = &parts.config;
    let docker = calls.docker().clone();
    let hooks = Hooks::start(
        config.solo.targets.clone(),
        config.solo.scripts.clone(),
        docker.clone(),
        Arc::clone(&parts.metrics),
    );
    let duty = Duty::default();
    let own = solo::Own {
        container: identity::container(),
        scope: solo::own_scope(
            &|name: &str| std::env::var(name).ok(),
            config.settings.dry_run,
        ),
        state_dir: config.settings.state_dir.clone(),
    };
    // Off until the first look has told; nothing is read from this queue before.
    let _ = inputs.try_send(Input::Duty { on: false });
    spawn(solo::stand(duty.clone(), own, docker, inputs.clone()));
    let calls = calls.with_hooks(hooks.clone()).with_duty(duty);
    (calls, Some(hooks))
}

/// The loop: one input at a time into the core, what comes out to the drivers.
struct Loop {
    node: Node,
    flight: Flight,
    outputs: Outputs,
    pulse: Pulse,
    pulses: Arc<Pulses>,
    /// Each heartbeat tells what was read last.
    vitals_interval: Duration,
    status: watch::Sender<Arc<Status>>,
    stale: bool,
    has_broker: bool,
    /// What is watched is still to be said: once, by a monitor that is alone.
    untold: bool,
    leaving: Option<std_mpsc::SyncSender<()>>,
}

impl Loop {
    async fn run(
        mut self,
        mut inputs: mpsc::Receiver<Input>,
        mut controls: mpsc::Receiver<Control>,
    ) {
        let mut pulses = tokio::time::interval(PULSE_INTERVAL);
        pulses.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut vitals = tokio::time::interval(self.vitals_interval);
        vitals.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut refresh = tokio::time::interval(STATUS_INTERVAL);
        refresh.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(input) = inputs.recv() => self.step(input),
                control = controls.recv() => match control {
                    Some(control) => self.control(control),
                    // The program dropped the monitor.
                    None => return,
                },
                () = until(self.node.next_deadline()) => self.step(Input::Tick),
                _ = pulses.tick() => {
                    self.pulse.pulse();
                    self.flight.flush();
                }
                _ = vitals.tick() => {
                    let told = self.vitals();
                    self.hand_over(told);
                }
                _ = refresh.tick(), if self.stale => self.share(),
            }
        }
    }

    fn share(&mut self) {
        self.stale = false;
        self.status
            .send_replace(Arc::new(status(&self.node, self.has_broker)));
    }

    fn vitals(&self) -> Input {
        let age = self.pulses.oldest().as_millis();
        Input::Vitals {
            unix_ms: clock::unix_ms(),
            pulse_age_ms: u64::try_from(age).unwrap_or(u64::MAX),
        }
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::Request { id, verb, answer } => {
                if self.outputs.expect_answer(id.clone(), answer) {
                    self.step(Input::Request { id, verb });
                }
            }
            Control::LastWords { words, done } => {
                self.step(Input::LastWords(words));
                self.outputs.flush(done);
            }
            Control::Leave { done } => {
                self.leaving = Some(done);
                self.step(Input::Shutdown);
            }
        }
    }

    fn step(&mut self, input: Input) {
        self.stale = true;
        let listed = match &input {
            Input::EngineReply {
                result: Ok(EngineReply::Containers(all)),
                ..
            } if self.untold => Some(all.len()),
            _ => None,
        };
        self.hand_over(input);
        if let Some(total) = listed {
            self.untold = false;
            tell(self.node.status(clock::now()).members.len(), total);
        }
    }

    fn hand_over(&mut self, input: Input) {
        let heard = matches!(&input, Input::Message(told) if matches!(told.body, Body::Beat(_)));
        let now = clock::now();
        // The process may end as soon as such effects are carried out.
        let last = matches!(input, Input::Shutdown | Input::LastWords(_));
        self.flight.input(now, &input);
        let effects = self.node.handle(now, input);
        self.flight.effects(&effects);
        if last {
            self.flight.flush();
        }
        let beats = |effect: &Effect| matches!(effect, Effect::PublishBeat { .. });
        // Where somebody changes, the leader beats at once: a page must not wait for the next refresh.
        if heard || effects.iter().any(beats) {
            self.share();
        }
        for effect in effects {
            if self.outputs.apply(effect)
                && let Some(done) = self.leaving.take()
            {
                self.outputs.flush(done);
            }
        }
    }
}

/// A label that was set on the wrong thing is the commonest mistake; so the count is said at once.
fn tell(watched: usize, total: usize) {
    if watched == 0 {
        tracing::warn!(
            event = "watching",
            "Watching 0 of {total} containers; label them autoheal=true (or planaria.enable=true), or set AUTOHEAL_CONTAINER_LABEL=all"
        );
    } else {
        tracing::info!(
            event = "watching",
            "Watching {watched} of {total} containers"
        );
    }
}

/// Sleeps until a point of the core's clock; for ever where there is none.
async fn until(deadline: Option<planaria_core::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep(deadline.since(clock::now())).await,
        None => std::future::pending().await,
    }
}

/// The answer of the engine's driver where there is no engine.
pub(crate) fn no_engine() -> Result<EngineReply, EngineError> {
    Err(EngineError::Unreachable {
        reason: "this member has no engine".into(),
    })
}

/// Whether a message belongs to this cluster.
pub(crate) fn is_ours(envelope: &Envelope, cluster: &str) -> bool {
    envelope.cluster == cluster
}
