//! `monitor watch`: a healer of a group, or alone.

use super::{config_error, exit};
use crate::docker;
use crate::group::Config;
use crate::logging;
use crate::monitor::Monitor;
use crate::solo::{Form, Target, Variables};
use crate::sys;
use clap::Args;
use planaria_core::settings::Settings;
use signal_hook::iterator::Signals;
use std::time::Duration;

/// After so long the first list is taken in; after so long more what comes only now and then has had its first time.
const SETTLED: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(30)];

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// As a healer of the group (AMQP_URLS and the keys must be set); else alone, with Docker only.
    #[arg(long)]
    group: bool,
    /// Order nothing; say of each finding what would be done, and why.
    #[arg(long)]
    dry_run: bool,
    /// The exit code that says apoptosis.
    #[arg(long, value_name = "N", default_value_t = crate::apoptosis::EXIT_CODE)]
    apoptosis_exit_code: u8,
}

pub(super) fn watch(mut settings: Settings, args: &WatchArgs) -> u8 {
    logging::init(&settings);
    if args.group && settings.amqp_urls.is_empty() {
        eprintln!(
            "monitor: watch --group needs a broker: set AMQP_URLS (amqp://USER:PASSWORD@HOST:5672/%2f), or leave --group out"
        );
        return exit::CONFIGURATION;
    }
    let variables = Variables::from_env();
    variables.complete(&mut settings);
    settings.dry_run |= args.dry_run;
    if let Err(error) = docker::look(&settings) {
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
        for note in &variables.notes {
            tracing::warn!(event = "variable_without_effect", "{note}");
        }
        if wait_for_start_period(variables.start_period, &mut signals) {
            return exit::OK;
        }
        alone(config, variables)
    };
    let monitor = match Monitor::start(config) {
        Ok(monitor) => monitor,
        Err(error) => {
            eprintln!("monitor: {error}");
            return exit::FAILURE;
        }
    };
    if let Err(error) = monitor.serve_systemd() {
        tracing::warn!(
            event = "service_manager_untold",
            "The service manager cannot be told that this lives: {error}"
        );
    }
    settle();
    signals.forever().next();
    monitor.leave();
    exit::OK
}

/// Reading the first list of a large host takes memory that is not needed again.
fn settle() {
    let settling = || {
        for span in SETTLED {
            std::thread::sleep(span);
            sys::give_back_memory();
        }
    };
    // Without the thread it goes on with what it has.
    let _ = std::thread::Builder::new()
        .name("settle".to_owned())
        .spawn(settling);
}

fn alone(config: Config, mut variables: Variables) -> Config {
    if let Some(url) = config.settings.webhook_url.clone() {
        let form = Form::Full;
        variables.targets.push(Target { url, form });
    }
    if config.settings.dry_run {
        tracing::warn!(
            event = "dry_run",
            "Dry run: nothing will be done, only said (DRY_RUN, --dry-run)"
        );
    }
    config.watching(variables)
}

/// `AUTOHEAL_START_PERIOD`: nothing is looked at for so long. True when a signal ended the wait.
fn wait_for_start_period(period: Duration, signals: &mut Signals) -> bool {
    if period.is_zero() {
        return false;
    }
    tracing::info!(
        event = "start_period",
        "Beginning in {} s (AUTOHEAL_START_PERIOD)",
        period.as_secs()
    );
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
