//! `monitor watch`: a healer of a group, or alone.

use super::{config_error, exit};
use crate::docker;
use crate::logging;
use crate::monitor::{Config, Monitor};
use clap::Args;
use planaria_core::settings::Settings;
use signal_hook::iterator::Signals;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// As a healer of the group (AMQP_URLS and the keys must be set); else alone, with Docker only.
    #[arg(long)]
    group: bool,
    /// The exit code that says apoptosis.
    #[arg(long, value_name = "N", default_value_t = crate::apoptosis::EXIT_CODE)]
    apoptosis_exit_code: u8,
}

/// docker-autoheal's variables that mean nothing here, and what is done instead.
const WITHOUT_EFFECT: [(&str, &str); 8] = [
    (
        "AUTOHEAL_INTERVAL",
        "events are heard at once, nothing is polled",
    ),
    (
        "AUTOHEAL_DEFAULT_STOP_TIMEOUT",
        "the container's own stop timeout counts (docker run --stop-timeout)",
    ),
    (
        "AUTOHEAL_ONLY_MONITOR_RUNNING",
        "the container's own policy says what is brought back",
    ),
    (
        "AUTOHEAL_EXCLUDE_CONTAINERS",
        "label them planaria.enable=false",
    ),
    ("AUTOHEAL_MONITOR_ALL", "use AUTOHEAL_CONTAINER_LABEL=all"),
    ("WEBHOOK_URL", "alerts go to the log and to /status"),
    ("APPRISE_URL", "alerts go to the log and to /status"),
    ("POST_RESTART_SCRIPT", "there are no hooks"),
];

pub(super) fn watch(mut settings: Settings, args: &WatchArgs) -> u8 {
    logging::init(&settings);
    if args.group && settings.amqp_urls.is_empty() {
        eprintln!(
            "monitor: watch --group needs a broker: set AMQP_URLS (amqp://USER:PASSWORD@HOST:5672/%2f), or leave --group out"
        );
        return exit::CONFIGURATION;
    }
    if settings.docker_host.is_none() {
        // docker-autoheal's name for it.
        settings.docker_host = variable("DOCKER_SOCK").map(|socket| {
            if socket.contains("://") {
                socket
            } else {
                format!("unix://{socket}")
            }
        });
    }
    if let Err(error) = docker::client(&settings) {
        eprintln!("monitor: {error}");
        return exit::UNAVAILABLE;
    }
    let config = match Config::from_settings(settings) {
        Ok(config) => config.apoptosis_exit_code(args.apoptosis_exit_code),
        Err(error) => return config_error(&error),
    };
    // Before anything else runs, so that an early SIGTERM ends in order.
    let ends = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT];
    let mut signals = match Signals::new(ends) {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("monitor: taking signals: {error}");
            return exit::FAILURE;
        }
    };
    let config = if args.group {
        config.healer()
    } else {
        if wait_for_start_period(&mut signals) {
            return exit::OK;
        }
        alone(config)
    };
    let monitor = match Monitor::start(config) {
        Ok(monitor) => monitor,
        Err(error) => {
            eprintln!("monitor: {error}");
            return exit::FAILURE;
        }
    };
    signals.forever().next();
    monitor.leave();
    exit::OK
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What docker-autoheal's users have set, honoured or answered.
fn alone(config: Config) -> Config {
    for (name, instead) in WITHOUT_EFFECT {
        if variable(name).is_some() {
            tracing::warn!(
                event = "variable_without_effect",
                "{name} has no effect: {instead}"
            );
        }
    }
    let label = variable("AUTOHEAL_CONTAINER_LABEL");
    config.solo(label)
}

/// `AUTOHEAL_START_PERIOD`: nothing is looked at for so long. True when a signal ended the wait.
fn wait_for_start_period(signals: &mut Signals) -> bool {
    let Some(text) = variable("AUTOHEAL_START_PERIOD") else {
        return false;
    };
    let Ok(period) = planaria_core::settings::parse_duration(&text) else {
        tracing::warn!(
            event = "variable_without_effect",
            "AUTOHEAL_START_PERIOD = {text:?} is no duration; beginning at once"
        );
        return false;
    };
    let step = Duration::from_millis(100);
    let mut left = period;
    while !left.is_zero() {
        if signals.pending().next().is_some() {
            return true;
        }
        std::thread::sleep(step.min(left));
        left = left.saturating_sub(step);
    }
    false
}
