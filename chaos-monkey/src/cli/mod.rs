//! Arguments, exit codes, and the short commands; `run` has its own file.

mod attack;
mod run;

use clap::{Parser, Subcommand};
use planaria_chaos::fault::Fault;
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
    Attack {
        /// With this fault; else drawn from CHAOS_FAULTS.
        #[arg(long)]
        fault: Option<Fault>,
        /// A container's name, or leader, next-leader, follower, broker.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        /// Say what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
        /// The plan's seed; the same seed gives the same choice.
        #[arg(long)]
        seed: Option<u64>,
        /// The Compose project to attack; else the one that this container belongs to.
        #[arg(long)]
        project: Option<String>,
    },
    /// What there is to be done to a container, how it is proven and undone.
    Faults {
        /// As JSON.
        #[arg(long)]
        json: bool,
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
    Unavailable = 69,
    Declined = 75,
    Permission = 77,
    Config = 78,
}

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let exit = match arguments.command {
        Command::Faults { json } => faults(json),
        command => match planaria_monitor::config::load(arguments.config.as_deref()) {
            Ok(settings) => with_settings(command, settings),
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

fn with_settings(command: Command, settings: Settings) -> Exit {
    match command {
        Command::Run => run::run(settings),
        Command::Attack {
            fault,
            target,
            dry_run,
            seed,
            project,
        } => attack::attack(
            &settings,
            attack::Wanted {
                fault,
                target,
                dry_run,
                seed,
                project,
            },
        ),
        Command::Report { json } => report(&settings, json),
        Command::Faults { json } => faults(json),
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

fn faults(json: bool) -> Exit {
    if json {
        let all: Vec<serde_json::Value> = Fault::ALL
            .iter()
            .map(|fault| {
                let about = fault.about();
                serde_json::json!({
                    "name": about.name, "what": about.what, "proof": about.proof, "undo": about.undo,
                    "healed_by": about.healed_by, "patience_s": about.patience.as_secs(),
                })
            })
            .collect();
        say(&to_json(&all));
        return Exit::Done;
    }
    for fault in Fault::ALL {
        let about = fault.about();
        say(&format!(
            "{}\n  what       {}\n  proof      {}\n  healed by  {}\n  undone     after {} s by the monkey, if nobody healed it\n",
            about.name,
            about.what,
            about.proof,
            about.healed_by,
            about.patience.as_secs()
        ));
    }
    Exit::Done
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
        assert!(matches!(
            parsed.command,
            Command::Attack {
                fault: Some(Fault::LeaderKill),
                seed: Some(7),
                ..
            }
        ));
        assert!(
            Arguments::try_parse_from(["chaos-monkey", "attack", "--fault", "nonsense"]).is_err()
        );
    }
}
