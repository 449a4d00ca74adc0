//! `chaos-monkey run`: a member of the group that attacks it.

use super::{Exit, complain, engine_exit};
use planaria_chaos::bus::{self, Bus, Tellings};
use planaria_chaos::fault::Fault;
use planaria_chaos::hours::Hours;
use planaria_chaos::identity;
use planaria_chaos::ledger::{Attack, Event, Ledger};
use planaria_chaos::management::Management;
use planaria_chaos::monkey::{self, Monkey, Outfit, Tell};
use planaria_chaos::plan::{self, Trigger};
use planaria_chaos::run::{CALLS_MAX, Call, Schedule};
use planaria_chaos::target::{Policy, Wish};
use planaria_monitor::codec::Codec;
use planaria_monitor::prometheus_client::metrics::counter::Counter;
use planaria_monitor::prometheus_client::metrics::family::Family;
use planaria_monitor::{Config, Monitor, Settings};
use std::path::{Path, PathBuf};
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
    hup: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Turns signals into calls until the loop is gone.
    async fn forward(
        mut self,
        calls: mpsc::Sender<Call>,
        reload: impl Fn() -> Option<Call> + Send,
    ) {
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
                _ = self.hup.recv() => match reload() {
                    Some(call) => call,
                    None => continue,
                },
            };
            if calls.send(call).await.is_err() {
                return;
            }
        }
    }
}

pub(super) fn run(settings: Settings, config: Option<PathBuf>) -> Exit {
    planaria_monitor::logging::init(&settings);
    match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(stay(settings, config)),
        Err(error) => {
            complain(&error);
            Exit::Failed
        }
    }
}

async fn stay(settings: Settings, config: Option<PathBuf>) -> Exit {
    let signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(error) => {
            error!(event = "start_failed", "signals cannot be caught: {error}");
            return Exit::Failed;
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
    let schedule = match schedule(&settings, seed) {
        Ok(schedule) => schedule,
        Err(error) => {
            error!(event = "start_failed", "{error}");
            return Exit::Config;
        }
    };
    log_start(&schedule);
    tokio::spawn(signals.forward(send, move || reload(config.as_deref(), seed)));
    planaria_chaos::run::run(monkey, schedule, calls, || monitor.pulse()).await;
    monitor.leave();
    Exit::Done
}

/// When the timer attacks, by the settings.
fn schedule(settings: &Settings, seed: u64) -> Result<Schedule, String> {
    let mut faults =
        monkey::faults(&settings.chaos_faults).map_err(|error| format!("CHAOS_FAULTS: {error}"))?;
    if faults.is_empty() {
        faults.push(Fault::Kill);
    }
    let between = match (settings.chaos_interval_min, settings.chaos_interval_max) {
        (None, None) => None,
        (Some(min), Some(max)) if min <= max && !max.is_zero() => Some((min, max)),
        (Some(_), Some(_)) => {
            return Err("CHAOS_INTERVAL_MIN is greater than CHAOS_INTERVAL_MAX".to_owned());
        }
        _ => {
            return Err(
                "CHAOS_INTERVAL_MIN and CHAOS_INTERVAL_MAX belong together; set both or none"
                    .to_owned(),
            );
        }
    };
    Ok(Schedule {
        enabled: settings.chaos_enabled,
        interval: settings.chaos_interval,
        between,
        hours: Hours::parse(&settings.chaos_windows, &settings.chaos_excluded_days)?,
        limit: settings.chaos_max_kills,
        faults,
        seed,
    })
}

/// Reads the configuration anew; what is wrong with it is logged, and nothing changes.
fn reload(config: Option<&Path>, seed: u64) -> Option<Call> {
    let read = || {
        let settings = planaria_monitor::config::load(config).map_err(|error| error.to_string())?;
        let policy = Policy::new(&settings).map_err(|error| error.to_string())?;
        Ok::<_, String>((schedule(&settings, seed)?, policy))
    };
    match read() {
        Ok(new) => Some(Call::Reload(Box::new(new))),
        Err(error) => {
            warn!(
                event = "chaos_reload_failed",
                "The configuration is not taken: {error}"
            );
            None
        }
    }
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
    let mut policy = Policy::new(settings).map_err(|error| {
        error!(event = "start_failed", "{error}");
        Exit::Config
    })?;
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
        helper_image: planaria_chaos::fault::HELPER_IMAGE.to_owned(),
        management: Management::find(None, settings),
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
    Box::new(move |attack: &Attack, event: &Event| {
        if matches!(event, Event::Intended { .. }) {
            attacks
                .get_or_create(&[("fault", attack.fault.name())])
                .inc();
        }
        // Where the broker is away for long the journal misses it; the ledger does not.
        drop(told.try_send(bus::told(attack, event)));
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
