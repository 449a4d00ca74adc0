//! `chaos-monkey run`: a member of the group that attacks it.

use super::{Exit, complain, engine_exit};
use planaria_chaos::bus::{Bus, Tellings};
use planaria_chaos::fault::Fault;
use planaria_chaos::identity;
use planaria_chaos::ledger::{Attack, Ledger};
use planaria_chaos::monkey::{self, Monkey, Outfit, Tell};
use planaria_chaos::plan::{self, Trigger};
use planaria_chaos::run::{CALLS_MAX, Call, Schedule};
use planaria_chaos::target::{Policy, Wish};
use planaria_monitor::codec::Codec;
use planaria_monitor::prometheus_client::metrics::counter::Counter;
use planaria_monitor::prometheus_client::metrics::family::Family;
use planaria_monitor::{Config, Monitor, Settings};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{error, info, warn};

/// `{fault="kill"}`.
type Labels = [(&'static str, &'static str); 1];

/// Caught from the first moment on: as PID 1 of its container it would else ignore them.
struct Signals {
    usr1: Signal,
    usr2: Signal,
    term: Signal,
    int: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    /// Turns signals into calls until the loop is gone.
    async fn forward(mut self, calls: mpsc::Sender<Call>) {
        loop {
            let call = tokio::select! {
                _ = self.usr1.recv() => Call::Attack {
                    trigger: Trigger::Signal,
                    fault: None,
                    wish: Wish::Anyone,
                    since: Instant::now(),
                    reply: None,
                },
                _ = self.usr2.recv() => Call::Peace,
                _ = self.term.recv() => Call::End,
                _ = self.int.recv() => Call::End,
            };
            if calls.send(call).await.is_err() {
                return;
            }
        }
    }
}

pub(super) fn run(settings: Settings) -> Exit {
    planaria_monitor::logging::init(&settings);
    match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(stay(settings)),
        Err(error) => {
            complain(&error);
            Exit::Failed
        }
    }
}

async fn stay(settings: Settings) -> Exit {
    let signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => {
            error!(event = "start_failed", "signals cannot be caught: {error}");
            return Exit::Failed;
        }
    };
    let faults = match monkey::faults(&settings.chaos_faults) {
        Ok(faults) if faults.is_empty() => vec![Fault::Kill],
        Ok(faults) => faults,
        Err(error) => {
            error!(event = "start_failed", "CHAOS_FAULTS: {error}");
            return Exit::Config;
        }
    };
    let monitor = match Config::from_settings(settings.clone()).map(Monitor::start) {
        Ok(Ok(monitor)) => monitor,
        Ok(Err(error)) => {
            error!(event = "start_failed", "{error}");
            return Exit::Failed;
        }
        Err(error) => {
            error!(event = "start_failed", "{error}");
            return Exit::Config;
        }
    };
    let seed = settings.chaos_seed.unwrap_or_else(plan::draw_seed);
    let (send, calls) = mpsc::channel(CALLS_MAX);
    let tell = match connect_bus(&settings, &monitor, send.clone()) {
        Ok(told) => count_attacks(&monitor, told),
        Err(exit) => return exit,
    };
    let monkey = match prepare(&settings, seed, &monitor, tell).await {
        Ok(monkey) => monkey,
        Err(exit) => return exit,
    };
    let schedule = Schedule {
        enabled: settings.chaos_enabled,
        interval: settings.chaos_interval,
        limit: settings.chaos_max_kills,
        faults,
        seed,
    };
    log_start(&schedule);
    tokio::spawn(signals.forward(send));
    planaria_chaos::run::run(monkey, schedule, calls, || monitor.pulse()).await;
    monitor.leave();
    Exit::Done
}

/// Starts the task that speaks with the broker.
fn connect_bus(
    settings: &Settings,
    monitor: &Monitor,
    calls: mpsc::Sender<Call>,
) -> Result<Tellings, Exit> {
    let keys = planaria_monitor::config::keys(settings).map_err(|error| {
        error!(event = "start_failed", "{error}");
        Exit::Config
    })?;
    let name = monitor.status().node;
    let codec = Codec::new(keys);
    let (bus, tellings) = Bus::new(settings.clone(), codec, name, rand::random(), calls);
    tokio::spawn(bus.run());
    Ok(tellings)
}

async fn prepare(
    settings: &Settings,
    seed: u64,
    monitor: &Monitor,
    tell: Tell,
) -> Result<Monkey<bollard::Docker>, Exit> {
    let engine = planaria_monitor::docker::connect(settings)
        .await
        .map_err(|error| {
            error!(event = "start_failed", "{error}");
            engine_exit(&error)
        })?;
    let mut policy = Policy::new(settings);
    identity::identify(&engine, &mut policy, identity::hostname().as_deref())
        .await
        .map_err(|error| {
            error!(event = "start_failed", "{error}");
            Exit::Unavailable
        })?;
    match &policy.project {
        Some(project) => info!(
            event = "targets_known",
            project, "Targets are the containers of project {project}"
        ),
        None => warn!(
            event = "targets_unknown",
            "This container belongs to no Compose project: only containers labelled planaria.chaos=true are targets"
        ),
    }
    let failed = |error: planaria_chaos::ledger::LedgerError| {
        error!(event = "start_failed", "{error}");
        Exit::Failed
    };
    let ledger = match &settings.state_dir {
        Some(dir) => Ledger::open(dir).map_err(failed)?,
        None => {
            warn!(
                event = "ledger_missing",
                "STATE_DIR is not set: a killed monkey leaves behind what it did"
            );
            Ledger::forgetful()
        }
    };
    let status = monitor.subscribe();
    let mut monkey = Monkey::new(Outfit {
        engine,
        policy,
        seed,
        boot: rand::random(),
        ledger,
        group: Box::new(move || Some((**status.borrow()).clone())),
        tell,
    });
    if let Some(dir) = &settings.state_dir {
        monkey.recover(dir).await.map_err(failed)?;
        monkey.remember(dir).map_err(failed)?;
    }
    Ok(monkey)
}

fn count_attacks(monitor: &Monitor, told: Tellings) -> Tell {
    let attacks = Family::<Labels, Counter>::default();
    let registered = attacks.clone();
    monitor.add_metrics(move |registry| {
        registry.register(
            "planaria_chaos_attacks",
            "Attacks that were begun, by fault",
            registered,
        );
    });
    Box::new(move |attack: &Attack| {
        attacks
            .get_or_create(&[("fault", attack.fault.name())])
            .inc();
        // Where the broker is away the journal misses it; the ledger does not.
        drop(told.try_send(attack.clone()));
    })
}

fn log_start(schedule: &Schedule) {
    let Schedule { interval, seed, .. } = schedule;
    if schedule.enabled {
        info!(
            event = "chaos_started",
            seed,
            "Attacks about every {} s (seed {seed}); SIGUSR1 for one now",
            interval.as_secs()
        );
    } else {
        info!(
            event = "chaos_started",
            seed, "No timer (CHAOS_ENABLED is false, seed {seed}); SIGUSR1 for one attack now"
        );
    }
}
