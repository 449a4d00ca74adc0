//! `chaos-monkey replay`: the attacks of an earlier run once more, in their order and with their pauses.

use super::{Exit, complain, engine_exit, say};
use planaria_chaos::fault::HELPER_IMAGE;
use planaria_chaos::ledger::{self, Event};
use planaria_chaos::prove::attacker::Attacker;
use planaria_chaos::prove::script::{self, Script};
use planaria_chaos::prove::{ENDS, Options};
use planaria_chaos::report::Report;
use planaria_monitor::Settings;
use std::path::PathBuf;
use std::time::Duration;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    /// The folder with the ledger that is played: a proof's, or a copy of STATE_DIR.
    folder: PathBuf,
    /// The Compose project.
    #[arg(long, default_value = "planaria")]
    project: String,
    /// Only say what would be attacked when.
    #[arg(long)]
    dry_run: bool,
    /// Where the ledger of this run goes; not the folder that is played.
    #[arg(long, value_name = "FOLDER", default_value = "target/replay")]
    out: PathBuf,
    /// The image of helper containers.
    #[arg(long, default_value = HELPER_IMAGE)]
    helper_image: String,
}

/// An attack may be held up by the ones before it for so long in all.
const SPARE: Duration = Duration::from_secs(600);

pub(super) fn run(settings: &Settings, wanted: Wanted) -> Exit {
    planaria_monitor::logging::init(settings);
    let steps = match script::read(&wanted.folder) {
        Ok(steps) if steps.is_empty() => {
            complain(&format!(
                "there is no attack in {}",
                wanted.folder.join(ledger::FILE).display()
            ));
            return Exit::Usage;
        }
        Ok(steps) => steps,
        Err(error) => {
            complain(&error);
            return Exit::Failed;
        }
    };
    let last = steps.last().map_or(Duration::ZERO, |step| step.at);
    let script = Script::Steps(steps);
    if wanted.dry_run {
        say(script.text(u64::MAX).trim_end());
        return Exit::Done;
    }
    let options = Options {
        script,
        ..Options::attacks_only(
            wanted.project,
            wanted.out,
            wanted.helper_image,
            last + SPARE,
        )
    };
    match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(play(settings, &options)),
        Err(error) => {
            complain(&error);
            Exit::Failed
        }
    }
}

async fn play(settings: &Settings, options: &Options) -> Exit {
    let engine = match planaria_monitor::docker::connect(settings).await {
        Ok(engine) => engine,
        Err(error) => {
            complain(&error);
            return engine_exit(&error);
        }
    };
    let began_ms = planaria_chaos::clock::now_ms();
    let mut attacker = match Attacker::new(&engine, options).await {
        Ok(attacker) => attacker,
        Err(error) => {
            complain(&error);
            return Exit::Failed;
        }
    };
    let attacked = attacker.run(options.attacks_for).await;
    let stories = match ledger::read(&options.folder) {
        Ok(stories) => stories,
        Err(error) => {
            complain(&error);
            return Exit::Failed;
        }
    };
    let mut stories: Vec<_> = stories
        .into_iter()
        .filter(|story| story.at_ms >= began_ms)
        .collect();
    let report = Report::new(stories.clone());
    say(report.text().trim_end());
    // The last one may have had no time to be healed.
    stories.retain(|story| !matches!(&story.end, Some(Event::Reverted { why }) if why == ENDS));
    if Report::new(stories).healed && !attacked.broken_off {
        Exit::Done
    } else {
        Exit::Failed
    }
}
