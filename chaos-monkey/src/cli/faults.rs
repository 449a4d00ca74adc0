//! `chaos-monkey faults`: the catalogue, and how each fault is done on this machine.

use super::{Exit, complain, say, to_json};
use planaria_chaos::engine;
use planaria_chaos::fault::{Fault, HELPER_IMAGE};
use planaria_chaos::helper::probe::Probe;
use planaria_monitor::Settings;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Do not try out what this machine permits.
    #[arg(long)]
    no_probe: bool,
    /// The image of helper containers.
    #[arg(long, default_value = HELPER_IMAGE)]
    helper_image: String,
}

pub(super) fn run(settings: &Settings, wanted: &Wanted) -> Exit {
    let probe = if wanted.no_probe {
        None
    } else {
        probe(settings, &wanted.helper_image)
    };
    if wanted.json {
        let all: Vec<serde_json::Value> = Fault::ALL
            .iter()
            .map(|fault| json(*fault, probe.as_ref()))
            .collect();
        say(&to_json(
            &serde_json::json!({ "faults": all, "kernel": probe }),
        ));
        return Exit::Done;
    }
    for fault in Fault::ALL {
        let about = fault.about();
        let here = match probe.as_ref().map(|probe| probe.mechanism(fault)) {
            Some(Ok(mechanism)) => mechanism.to_owned(),
            Some(Err(lacks)) => format!("NOT POSSIBLE: {lacks}"),
            None => "not tried out".to_owned(),
        };
        say(&format!(
            "{}\n  what       {}\n  here       {here}\n  proof      {}\n  healed by  {}\n  undone     after {} s by the monkey, if nobody healed it\n",
            about.name,
            about.what,
            about.proof,
            about.healed_by,
            about.patience.as_secs()
        ));
    }
    Exit::Done
}

fn json(fault: Fault, probe: Option<&Probe>) -> serde_json::Value {
    let about = fault.about();
    let mechanism = probe.map(|probe| probe.mechanism(fault));
    serde_json::json!({
        "name": about.name, "what": about.what, "proof": about.proof, "undo": about.undo,
        "healed_by": about.healed_by, "patience_s": about.patience.as_secs(), "needs": about.needs,
        "possible": mechanism.map(|it| it.is_ok()),
        "mechanism": mechanism.and_then(Result::ok),
        "lacks": mechanism.and_then(Result::err),
    })
}

/// A helper tries it out; where there is no engine or no image the catalogue stands without it.
fn probe(settings: &Settings, image: &str) -> Option<Probe> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let found = runtime.block_on(async {
        let docker = planaria_monitor::docker::connect(settings)
            .await
            .map_err(|error| error.to_string())?;
        engine::probe(&docker, image)
            .await
            .map_err(|error| error.to_string())
    });
    found
        .map_err(|error| {
            complain(&format!(
                "what this machine permits was not tried out: {error}"
            ));
        })
        .ok()
}
