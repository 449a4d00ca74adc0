//! What the engine really tells, act by act: the ground that the rules of intent stand on. Another
//! engine's habits are to be noticed here, before they are noticed by somebody's container.

mod api;
mod compose;
mod table;

use anyhow::{Result, ensure};
use planaria_e2e::docker::{Event, Events, docker};
use planaria_e2e::patience::{SOON, eventually};
use planaria_e2e::patients::IMAGE;

/// The label of all containers here: nobody's patients.
const LABEL: &str = "planaria.test=engine";

/// One container, and what the engine tells of it.
struct Subject {
    name: &'static str,
    events: Events,
}

impl Subject {
    /// A name that no other test uses, listened to from now on.
    fn new(name: &'static str) -> Result<Self> {
        remove(name);
        let events = Events::listen(&format!("container={name}"))?;
        Ok(Self { name, events })
    }

    /// Runs a shell with this script, and forgets what was told of its start.
    fn running(name: &'static str, options: &[&str], script: &str) -> Result<Self> {
        remove(name);
        let mut command = vec!["run", "--detach", "--name", name, "--label", LABEL];
        command.extend(options);
        command.extend([IMAGE, "sh", "-c", script]);
        docker(&command)?;
        // The shell has set its trap by the time it says so.
        eventually("the script is under way", SOON, || {
            ensure!(!docker(&["logs", name])?.is_empty(), "nothing said yet");
            Ok(())
        })?;
        Self::listening(name)
    }

    fn listening(name: &'static str) -> Result<Self> {
        let events = Events::listen(&format!("container={name}"))?;
        Ok(Self { name, events })
    }

    /// The events so far, short: `kill 15`, `die 0`, `stop`. Not those of somebody's looking (`top`): a stack
    /// beside this one may look at all containers of the host.
    fn told(&self) -> Vec<String> {
        let all = self.events.all();
        let acts = all.iter().filter(|event| event.action != "top");
        acts.map(short).collect()
    }

    /// Waits until exactly these were told, in this order.
    fn tells(&self, wanted: &[&str]) -> Result<()> {
        eventually("the engine tells", SOON, || {
            let told = self.told();
            ensure!(told == wanted, "{told:?} instead of {wanted:?}");
            Ok(())
        })
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        remove(self.name);
    }
}

fn short(event: &Event) -> String {
    match (&event.signal, &event.exit_code) {
        (Some(signal), _) => format!("{} {signal}", event.action),
        (_, Some(code)) => format!("{} {code}", event.action),
        _ => event.action.clone(),
    }
}

/// Whatever an interrupted run left; nothing is the rule.
fn remove(name: &str) {
    let _ = docker(&["rm", "--force", "--volumes", name]);
}

/// Ends by SIGTERM with 0; what it says, it says when its trap is set.
const POLITE: &str = "trap 'exit 0' TERM; echo up; while :; do sleep 1 & wait $!; done";

/// Ignores SIGTERM.
const STUBBORN: &str = "trap '' TERM; echo up; while :; do sleep 1; done";
