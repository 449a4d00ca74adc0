//! `monitor run`: its options.

use super::config_error;
use crate::config;
use crate::group::Config;
use crate::init::{self, Duty, Kind, Options, Probe, Respawn, Rewrite, Signal, Timed, Timing};
use crate::logging;
use clap::Args;
use planaria_core::settings::{Settings, parse_duration};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A post-mortem has 4 KiB; more lines would not fit.
const LAST_LINES_MAX: u16 = 100;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Ask the program whether it lives and is ready: tcp:6379, http://:80/health, exec:program arguments,
    /// file-age:30s:/path. Repeatable. Times by the --probe-… options.
    #[arg(long, value_name = "PROBE", help_heading = "Probes")]
    probe: Vec<Probe>,
    /// A Kubernetes startup probe: the others wait for it. [initialDelaySeconds=0,periodSeconds=10,timeoutSeconds=1,
    /// failureThreshold=3,successThreshold=1,]PROBE. Repeatable.
    #[arg(long, value_name = "[TIMES,]PROBE", help_heading = "Probes")]
    startup: Vec<Timed>,
    /// A Kubernetes readiness probe: /readyz follows it. Repeatable.
    #[arg(long, value_name = "[TIMES,]PROBE", help_heading = "Probes")]
    readiness: Vec<Timed>,
    /// A Kubernetes liveness probe: the program is ended where it fails. Repeatable.
    #[arg(long, value_name = "[TIMES,]PROBE", help_heading = "Probes")]
    liveness: Vec<Timed>,
    /// Of --probe: between two questions.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration, help_heading = "Probes")]
    probe_interval: Duration,
    /// Of --probe: how long an answer may take.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration, help_heading = "Probes")]
    probe_timeout: Duration,
    /// Of --probe: so many failures in a row end the program.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Probes")]
    probe_failures: u32,
    /// Of --probe: failures before the first success do not count for so long.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration, help_heading = "Probes")]
    start_period: Duration,
    /// Run the program as this user: name, uid, name:group or uid:gid.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Variables for the program, in the format of docker run --env-file. Read before the user is changed. Repeatable.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// So long after TERM, INT or QUIT the program is killed; without it that is left to whoever stops us.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    grace: Option<Duration>,
    /// Pass signals on to the program's whole process group, and TERM to what is left of it at its end.
    #[arg(short = 'g', long)]
    group: bool,
    /// Pass a signal on under another number (TERM:QUIT, 15:3), or not at all (WINCH:0). Repeatable.
    #[arg(short = 'r', long, value_name = "FROM:TO")]
    rewrite: Vec<Rewrite>,
    /// The signal that we get, and pass on, when our own parent dies.
    #[arg(short = 'p', long, value_name = "SIGNAL")]
    parent_death_signal: Option<Signal>,
    /// Turn this exit code of the program into 0. Repeatable.
    #[arg(short = 'e', long, value_name = "CODE")]
    success_code: Vec<u8>,
    /// Start the program again: permanent (however it ended) or transient (unless it ended with 0), in OTP's words.
    #[arg(long, value_name = "KIND", num_args = 0..=1, require_equals = true, default_missing_value = "permanent")]
    respawn: Option<Kind>,
    /// With --respawn: more restarts than this within the window are the end; else RESTART_LIMIT.
    #[arg(long, value_name = "N", requires = "respawn")]
    respawn_limit: Option<u32>,
    /// With --respawn: the window; else RESTART_WINDOW.
    #[arg(long, value_name = "TIME", requires = "respawn", value_parser = parse_duration)]
    respawn_window: Option<Duration>,
    /// Keep the last lines of the program's output for its post-mortem. Its outputs are pipes then, which we copy.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=i64::from(LAST_LINES_MAX)))]
    last_lines: u16,
    /// How late a pulse (WATCHDOG=1 of sd_notify) may be, and how long the program may be stopped
    /// (SIGSTOP); else PULSE_TIMEOUT.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pulse_timeout: Option<Duration>,
    /// The exit code that says apoptosis.
    #[arg(long, value_name = "N", default_value_t = crate::apoptosis::EXIT_CODE)]
    apoptosis_exit_code: u8,
    /// The program and its arguments, after --.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl RunArgs {
    fn probes(&mut self) -> Vec<(Duty, Timed)> {
        let timing = Timing {
            initial_delay: Duration::ZERO,
            period: self.probe_interval,
            timeout: self.probe_timeout,
            failure_threshold: self.probe_failures,
            success_threshold: 1,
            start_period: self.start_period,
        };
        let both = self.probe.drain(..).map(|probe| Timed { probe, timing });
        let mut probes: Vec<_> = both.map(|timed| (Duty::Both, timed)).collect();
        for (duty, timed) in [
            (Duty::Startup, &mut self.startup),
            (Duty::Readiness, &mut self.readiness),
            (Duty::Liveness, &mut self.liveness),
        ] {
            probes.extend(timed.drain(..).map(|timed| (duty, timed)));
        }
        probes
    }

    fn options(mut self, settings: &Settings) -> Options {
        Options {
            probes: self.probes(),
            command: self.command,
            // The program's only: our own pulses keep the deadline of the settings.
            deadline: self.pulse_timeout.unwrap_or(settings.pulse_timeout),
            user: self.user,
            env_files: self.env_file,
            grace: self.grace,
            group: self.group,
            rewrites: self.rewrite,
            parent_death: self.parent_death_signal,
            successes: self.success_code,
            respawn: self.respawn.map(|kind| Respawn {
                kind,
                limit: self.respawn_limit.unwrap_or(settings.restart_limit),
                window: self.respawn_window.unwrap_or(settings.restart_window),
            }),
            last_lines: self.last_lines.into(),
        }
    }
}

pub(super) fn run(config: Option<&Path>, args: RunArgs) -> u8 {
    let mut settings = match config::load(config) {
        Ok(settings) => settings,
        Err(error) => return config_error(&error),
    };
    // We stand in / later.
    settings.state_dir = settings
        .state_dir
        .map(|folder| std::path::absolute(&folder).unwrap_or(folder));
    logging::init(&settings);
    let code = args.apoptosis_exit_code;
    let options = args.options(&settings);
    match Config::from_settings(settings) {
        Ok(config) => init::run(config.apoptosis_exit_code(code), &options),
        Err(error) => config_error(&error),
    }
}
