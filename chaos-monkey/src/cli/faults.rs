//! `chaos-monkey faults`: the catalogue, and how each fault is done on this machine.

use super::{Exit, complain, say, to_json};
use planaria_chaos::engine;
use planaria_chaos::fault::{Fault, HELPER_IMAGE, Needs, Undo};
use planaria_chaos::helper::probe::Probe;
use planaria_chaos::management::{Known, Management};
use planaria_monitor::Settings;
use std::path::PathBuf;

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
    /// The file with the address of RabbitMQ's management API; else management.url beside OPERATOR_SECRET_FILE.
    #[arg(long, value_name = "FILE")]
    management: Option<PathBuf>,
}

/// What was found here; nothing where nobody tried.
struct Here {
    kernel: Option<Probe>,
    management: Option<Known>,
}

impl Here {
    /// How a fault is done here, or what is missing; `None`: not tried out.
    fn mechanism(&self, fault: Fault) -> Option<Result<String, String>> {
        if fault.about().needs == Needs::Management {
            return self.management.as_ref().map(|known| match known {
                Ok(management) => Ok(format!("RabbitMQ's management API at {management}")),
                Err(why) => Err(why.to_string()),
            });
        }
        let kernel = self.kernel.as_ref()?;
        let mechanism = kernel.mechanism(fault);
        Some(mechanism.map(str::to_owned).map_err(str::to_owned))
    }
}

pub(super) fn run(settings: &Settings, wanted: &Wanted) -> Exit {
    let here = if wanted.no_probe {
        Here {
            kernel: None,
            management: None,
        }
    } else {
        let management = Management::find(wanted.management.as_deref(), settings);
        Here {
            kernel: probe(settings, &wanted.helper_image),
            management: Some(management.and_then(|it| it.check().map(|()| it))),
        }
    };
    if wanted.json {
        let all: Vec<serde_json::Value> =
            Fault::ALL.iter().map(|fault| json(*fault, &here)).collect();
        say(&to_json(
            &serde_json::json!({ "faults": all, "kernel": here.kernel }),
        ));
        return Exit::Done;
    }
    for fault in Fault::ALL {
        let about = fault.about();
        let how = match here.mechanism(fault) {
            Some(Ok(mechanism)) => mechanism,
            Some(Err(lacks)) => format!("NOT POSSIBLE: {lacks}"),
            None => "not tried out".to_owned(),
        };
        let undone = match about.undo {
            Undo::Nothing => "nothing is left of it".to_owned(),
            _ => format!(
                "after {} s by the monkey, if nobody healed it",
                about.patience.as_secs()
            ),
        };
        say(&format!(
            "{}\n  what       {}\n  here       {how}\n  proof      {}\n  healed by  {}\n  undone     {undone}\n",
            about.name, about.what, about.proof, about.healed_by,
        ));
    }
    Exit::Done
}

fn json(fault: Fault, here: &Here) -> serde_json::Value {
    let about = fault.about();
    let mechanism = here.mechanism(fault);
    serde_json::json!({
        "name": about.name, "what": about.what, "proof": about.proof, "undo": about.undo,
        "healed_by": about.healed_by, "patience_s": about.patience.as_secs(), "needs": about.needs,
        "possible": mechanism.as_ref().map(Result::is_ok),
        "mechanism": mechanism.as_ref().and_then(|it| it.as_ref().ok()),
        "lacks": mechanism.as_ref().and_then(|it| it.as_ref().err()),
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
