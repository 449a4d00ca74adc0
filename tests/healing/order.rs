//! Dependencies order the starts that are due together.

use crate::{is_running, monitor};
use anyhow::{Context, Result, ensure};
use planaria_e2e::docker::docker;
use planaria_e2e::patience::{SOON, eventually};
use planaria_e2e::patients::Patients;
use planaria_e2e::stack::Stack;

/// From the one that needs nobody to the one that needs all.
const CHAIN: [&str; 4] = ["heal-disk", "heal-books", "heal-shop", "heal-door"];

#[test]
fn what_died_together_is_started_in_the_order_of_its_dependencies() -> Result<()> {
    let stack = Stack::new()?;
    let settled = stack.settled()?;
    let mut patients = Patients::new();
    for (at, name) in CHAIN.iter().enumerate().rev() {
        let needs = at
            .checked_sub(1)
            .map(|before| CHAIN[before])
            .unwrap_or_default();
        let label = format!("planaria.depends-on={needs}");
        patients.idle(name, &["--label", &label])?;
    }
    let events = stack.events()?;
    // On hold while they die, so that all the starts are due at one moment.
    let words = ["--for", "5m", "--reason", "all are to die first"];
    let mut hold = vec!["hold"];
    hold.extend(CHAIN);
    hold.extend(words);
    monitor(&settled.leader, &hold)?;
    let mut kill = vec!["kill"];
    kill.extend(CHAIN.iter().rev());
    docker(&kill)?;
    let mut resume = vec!["resume"];
    resume.extend(CHAIN);
    monitor(&settled.leader, &resume)?;
    eventually("all run again", SOON, || {
        CHAIN.iter().try_for_each(|name| is_running(name))
    })?;
    let started: Vec<String> = events
        .all()
        .into_iter()
        .filter(|event| event.action == "start")
        .map(|event| event.container)
        .collect();
    let place = |name: &str| {
        let at = started.iter().position(|other| other == name);
        at.with_context(|| format!("{name} was not started: {started:?}"))
    };
    for pair in CHAIN.windows(2) {
        ensure!(
            place(pair[0])? < place(pair[1])?,
            "{} came before {}: {started:?}",
            pair[1],
            pair[0]
        );
    }
    Ok(())
}
