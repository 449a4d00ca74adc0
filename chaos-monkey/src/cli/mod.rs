//! Arguments, exit codes, and the short commands; `run` has its own file.

mod attack;
mod experiment;
mod faults;
mod prove;
mod replay;
mod run;

use clap::{Parser, Subcommand};
use planaria_chaos::ledger;
use planaria_chaos::report::Report;
use planaria_monitor::Settings;
use planaria_monitor::config::ConfigError;
use planaria_monitor::docker::DockerError;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Breaks the stack on a timer or on a signal, and reports whether it healed.
#[derive(Debug, Parser)]
#[command(name = "chaos-monkey", version, after_help = AFTER_HELP)]
struct Arguments {
    /// The configuration file; else PLANARIA_CONFIG, ./config.ini, the user's, /etc/planaria/config.ini.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Signals to a running monkey:
  SIGUSR1  one attack now, whether CHAOS_ENABLED or not
  SIGUSR2  undo everything, no more attacks by the timer
  SIGHUP   read the configuration anew
  SIGTERM  undo everything and end

Examples:
  docker kill --signal=SIGUSR1 chaos_monkey          one attack now
  chaos-monkey attack --fault kill --target worker-1 kill this one, wait until it is back
  chaos-monkey attack --target leader --dry-run      say whom it would hit
  chaos-monkey report --json                         what was attacked, what healed, how fast

Exit codes: 0 done (attack: healed), 1 failed (attack: not healed), 2 usage, 69 engine unreachable,
75 declined, try again later, 77 no permission, 78 configuration.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Stay and attack: by the timer if CHAOS_ENABLED, and on SIGUSR1.
    Run,
    /// One attack now; waits until the victim is back.
    Attack(attack::Wanted),
    /// Undo what a killed monkey left behind, by the ledger in STATE_DIR.
    Revert,
    /// Run an experiment of the Chaos Toolkit (JSON or YAML) and write its journal.
    Experiment(experiment::Wanted),
    /// The whole proof: load on the store, faults at random, then judgement and a report.
    Prove(prove::Wanted),
    /// The attacks of an earlier run once more, in their order and with their pauses.
    Replay(replay::Wanted),
    /// What there is to be done to a container, how it is proven and undone, and what this machine permits.
    Faults(faults::Wanted),
    /// Does one fault inside a target's namespaces; the monkey starts this in a container of its own.
    #[command(hide = true)]
    Helper {
        /// What to do, as JSON.
        task: String,
    },
    /// What was attacked, what healed, how fast. Reads the ledger in STATE_DIR.
    Report {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Why a command ends, as its exit code says it.
#[derive(Clone, Copy, Debug)]
enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Unavailable = 69,
    Declined = 75,
    Permission = 77,
    Config = 78,
}

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let exit = match arguments.command {
        Command::Helper { task } => helper(&task),
        command => match planaria_monitor::config::load(arguments.config.as_deref()) {
            Ok(settings) => with_settings(command, settings, arguments.config),
            Err(error) => config_error(&error),
        },
    };
    ExitCode::from(exit as u8)
}

fn config_error(error: &ConfigError) -> Exit {
    complain(error);
    match error {
        ConfigError::Unreadable {
            permission: true, ..
        } => Exit::Permission,
        _ => Exit::Config,
    }
}

/// Why the engine is not reached, as an exit code.
fn engine_exit(error: &DockerError) -> Exit {
    let text = error.to_string();
    if text.contains("ermission denied") {
        Exit::Permission
    } else {
        Exit::Unavailable
    }
}

fn with_settings(command: Command, settings: Settings, config: Option<PathBuf>) -> Exit {
    match command {
        Command::Run => run::run(settings, config),
        Command::Experiment(wanted) => experiment::run(&settings, &wanted),
        Command::Attack(wanted) => attack::attack(&settings, wanted),
        Command::Revert => attack::revert(&settings),
        Command::Prove(wanted) => prove::run(&settings, wanted),
        Command::Replay(wanted) => replay::run(&settings, wanted),
        Command::Report { json } => report(&settings, json),
        Command::Faults(wanted) => faults::run(&settings, &wanted),
        Command::Helper { task } => helper(&task),
    }
}

fn helper(task: &str) -> Exit {
    if task == "probe" {
        let probe = planaria_chaos::helper::probe::probe();
        say(&serde_json::to_string(&probe).unwrap_or_default());
        return Exit::Done;
    }
    match serde_json::from_str(task) {
        Ok(task) if planaria_chaos::helper::run(&task) => Exit::Done,
        Ok(_) => Exit::Failed,
        Err(error) => {
            complain(&format!("the task is not understood: {error}"));
            Exit::Usage
        }
    }
}

fn report(settings: &Settings, json: bool) -> Exit {
    let Some(dir) = &settings.state_dir else {
        complain(&"STATE_DIR is not set, so there is no ledger to read");
        return Exit::Config;
    };
    let report = match ledger::read(dir) {
        Ok(stories) => Report::new(stories),
        Err(error) => {
            complain(&error);
            return Exit::Failed;
        }
    };
    let text = if json {
        to_json(&report)
    } else {
        report.text()
    };
    say(text.trim_end());
    if report.healed {
        Exit::Done
    } else {
        Exit::Failed
    }
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

/// To standard output; a closed pipe is the reader's will.
fn say(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}

fn complain(error: &impl std::fmt::Display) {
    drop(writeln!(std::io::stderr(), "chaos-monkey: {error}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use planaria_chaos::fault::Fault;

    #[test]
    fn the_arguments_fit_together() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
        let parsed = Arguments::try_parse_from([
            "chaos-monkey",
            "attack",
            "--fault",
            "leader-kill",
            "--seed",
            "7",
        ])
        .unwrap();
        let Command::Attack(wanted) = parsed.command else {
            panic!("{parsed:?}");
        };
        assert_eq!(
            (wanted.fault, wanted.seed),
            (Some(Fault::LeaderKill), Some(7))
        );
        assert!(
            Arguments::try_parse_from(["chaos-monkey", "attack", "--fault", "nonsense"]).is_err()
        );
    }
}
