//! `chaos-monkey experiment`: a file in Chaos Toolkit's format is checked, run, and written down.

use super::{Exit, complain, say};
use planaria_chaos::experiment::{self, run};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    /// The experiment, JSON or YAML.
    file: PathBuf,
    /// Where the journal goes.
    #[arg(long, value_name = "FILE", default_value = "journal.json")]
    journal: PathBuf,
    /// Only say whether the file is right.
    #[arg(long)]
    check: bool,
}

pub(super) fn run(settings: &planaria_monitor::Settings, wanted: &Wanted) -> Exit {
    planaria_monitor::logging::init(settings);
    let experiment = match experiment::read(&wanted.file) {
        Ok(experiment) => experiment,
        Err(error) => {
            complain(&error);
            return Exit::Usage;
        }
    };
    if wanted.check {
        say(&format!("{} is a valid experiment", wanted.file.display()));
        return Exit::Done;
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&stop)) {
            complain(&format!("signals cannot be caught: {error}"));
            return Exit::Failed;
        }
    }
    let outcome = run::run(&experiment, &stop);
    let text = serde_json::to_vec_pretty(&outcome.journal).unwrap_or_default();
    if let Err(error) = std::fs::write(&wanted.journal, text) {
        complain(&format!("{}: {error}", wanted.journal.display()));
        return Exit::Failed;
    }
    let status = outcome.journal["status"].as_str().unwrap_or("unknown");
    let deviated = outcome.journal["deviated"] == true;
    say(&format!(
        "{status}, {}; the journal: {}",
        if deviated {
            "the steady state deviated"
        } else {
            "no deviation"
        },
        wanted.journal.display()
    ));
    if outcome.held {
        Exit::Done
    } else {
        Exit::Failed
    }
}
