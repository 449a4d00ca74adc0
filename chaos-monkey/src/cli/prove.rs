//! `chaos-monkey prove`: the whole proof, and its verdict as exit code.

use super::{Exit, complain, engine_exit, say, to_json};
use planaria_chaos::plan;
use planaria_chaos::prove::s3::Keys;
use planaria_chaos::prove::script::{self, Script, Shrinker, Step};
use planaria_chaos::prove::{Options, ProveError, prove};
use planaria_monitor::Settings;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    /// For how long attacks are made, in minutes; parts of one are fine.
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// The seed; the same seed gives the same plan. None draws one.
    #[arg(long)]
    seed: Option<u64>,
    /// The Compose project.
    #[arg(long, default_value = "planaria")]
    project: String,
    /// host:port of a node of the store; may be given again. Else the published ports of config.ini.
    #[arg(long, value_name = "HOST:PORT")]
    node: Vec<String>,
    /// Where the report goes: report.html, report.json, history.edn, the ledger.
    #[arg(long, value_name = "FOLDER", default_value = "target/prove")]
    out: PathBuf,
    /// Only print what the seed would attack, in which order; nothing is touched.
    #[arg(long, conflicts_with_all = ["replay", "shrink"])]
    dry_run: bool,
    /// Attack what the ledger in that folder says, in its order and with its pauses, instead of by the seed.
    #[arg(long, value_name = "FOLDER")]
    replay: Option<PathBuf>,
    /// Where something is broken: leave attacks out and prove again, up to so many times, for the fewest
    /// that break it.
    #[arg(long, value_name = "TRIES", default_value_t = 0)]
    shrink: u32,
    /// The verdict as JSON.
    #[arg(long)]
    json: bool,
    /// The image of helper containers.
    #[arg(long, default_value = "planaria/chaos-monkey")]
    helper_image: String,
}

/// Orders that a dry run shows: more than ten minutes have.
const SHOWN: u64 = 60;

/// Longer than this is a soak test, and its history does not fit into memory.
const MINUTES_MAX: f64 = 120.0;

pub(super) fn run(settings: &Settings, wanted: Wanted) -> Exit {
    planaria_monitor::logging::init(settings);
    if !(wanted.minutes > 0.0 && wanted.minutes <= MINUTES_MAX) {
        complain(&format!(
            "--minutes {} is not between 0 and {MINUTES_MAX}",
            wanted.minutes
        ));
        return Exit::Usage;
    }
    let seed = wanted.seed.unwrap_or_else(plan::draw_seed);
    if wanted.dry_run {
        say(&format!("Seed {seed}:"));
        say(Script::Seed(seed).text(SHOWN).trim_end());
        return Exit::Done;
    }
    let script = match wanted.replay.as_deref().map(script::read).transpose() {
        Ok(None) => Script::Seed(seed),
        Ok(Some(steps)) if steps.is_empty() => {
            complain(&"--replay: there is no attack in the ledger of that folder");
            return Exit::Usage;
        }
        Ok(Some(steps)) => Script::Steps(steps),
        Err(error) => {
            complain(&error);
            return Exit::Usage;
        }
    };
    let key = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let (Some(access), Some(secret)) = (key("AWS_ACCESS_KEY_ID"), key("AWS_SECRET_ACCESS_KEY"))
    else {
        complain(
            &"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set; make prove sets them, make s3-credentials prints them",
        );
        return Exit::Config;
    };
    let nodes = if wanted.node.is_empty() {
        let port = |node: u32| u32::from(settings.s3_port_base) + node;
        (1..=settings.storage_nodes)
            .map(|node| format!("127.0.0.1:{}", port(node)))
            .collect()
    } else {
        wanted.node
    };
    let options = Options {
        project: wanted.project,
        nodes,
        keys: Keys { access, secret },
        attacks_for: Duration::from_secs_f64(wanted.minutes * 60.0),
        seed,
        script,
        folder: wanted.out,
        image: wanted.helper_image,
    };
    match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(go(settings, &options, wanted.json, wanted.shrink)),
        Err(error) => {
            complain(&error);
            Exit::Failed
        }
    }
}

async fn go(settings: &Settings, options: &Options, json: bool, tries: u32) -> Exit {
    let engine = match planaria_monitor::docker::connect(settings).await {
        Ok(engine) => engine,
        Err(error) => {
            complain(&error);
            return engine_exit(&error);
        }
    };
    match prove(&engine, options).await {
        Ok(proof) => {
            if json {
                say(&to_json(&proof));
            } else {
                say(&proof.text());
                let word = if proof.holds {
                    "Everything holds"
                } else {
                    "It does NOT hold"
                };
                say(&format!(
                    "{word} (seed {}). The report: {}",
                    proof.seed,
                    options.folder.join("report.html").display()
                ));
            }
            if proof.holds {
                return Exit::Done;
            }
            if tries > 0 && !proof.broken_off {
                match script::since(&options.folder, proof.began_ms) {
                    Ok(steps) => shrink(&engine, options, steps, tries).await,
                    Err(error) => complain(&error),
                }
            }
            Exit::Failed
        }
        Err(error) => {
            complain(&error);
            match error {
                ProveError::NotWell(_) | ProveError::Store { .. } | ProveError::Engine(_) => {
                    Exit::Unavailable
                }
                _ => Exit::Failed,
            }
        }
    }
}

/// Proves again with fewer and fewer attacks, and says which are left.
async fn shrink(engine: &bollard::Docker, options: &Options, failing: Vec<Step>, tries: u32) {
    let mut shrinker = Shrinker::new(failing);
    for number in 1..=tries {
        let Some(candidate) = shrinker.candidate() else {
            break;
        };
        say(&format!(
            "Try {number}: {} of {} attacks.",
            candidate.len(),
            shrinker.best().len()
        ));
        let smaller = Options {
            script: Script::Steps(candidate),
            folder: options.folder.join(format!("shrink-{number}")),
            ..options.clone()
        };
        match prove(engine, &smaller).await {
            Ok(proof) if proof.broken_off => break,
            Ok(proof) => shrinker.told(!proof.holds),
            // The stack is not well any more: nothing more can be learned from it.
            Err(error) => {
                complain(&error);
                break;
            }
        }
    }
    say(&format!(
        "The fewest attacks that broke it ({}):",
        shrinker.best().len()
    ));
    say(Script::Steps(shrinker.best().to_vec())
        .text(u64::MAX)
        .trim_end());
    say(&format!(
        "Again: chaos-monkey prove --replay {}",
        newest(&options.folder, tries).display()
    ));
}

/// The folder of the last proof that failed: its ledger has the smallest script that is known to fail.
fn newest(folder: &Path, tries: u32) -> PathBuf {
    let failed = |path: &PathBuf| {
        let text = std::fs::read(path.join("report.json")).unwrap_or_default();
        serde_json::from_slice::<serde_json::Value>(&text).is_ok_and(|it| it["holds"] == false)
    };
    (1..=tries)
        .rev()
        .map(|number| folder.join(format!("shrink-{number}")))
        .find(failed)
        .unwrap_or_else(|| folder.to_owned())
}
