//! Acceptance 5: one signal, one victim, healed.

use anyhow::{Context, Result, ensure};
use planaria_e2e::docker::{docker, log};
use planaria_e2e::patience::{SOON, eventually};
use planaria_e2e::stack::Stack;

#[test]
fn one_signal_is_one_victim_named_in_the_log_and_healed() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let monkey = stack.name("chaos_monkey");
    let events = stack.events()?;
    let before = log(&monkey)?.len();
    docker(&["kill", "--signal=SIGUSR1", &monkey])?;
    let victim = eventually("a victim died", SOON, || {
        let died = events.all().into_iter().find(|event| event.action == "die");
        Ok(died.context("nobody died yet")?.container)
    })?;
    eventually("the monkey's log names it", SOON, || {
        let log = log(&monkey)?;
        ensure!(
            log[before.min(log.len())..].contains(&victim),
            "no {victim} in the new part of the log"
        );
        Ok(())
    })?;
    stack.settled()?;
    let victims: std::collections::BTreeSet<String> = events
        .all()
        .into_iter()
        .filter(|event| event.action == "die")
        .map(|event| event.container)
        .collect();
    ensure!(victims.len() == 1, "not one victim but {victims:?}");
    ensure!(
        victim != monkey && victim != stack.name("rabbitmq"),
        "{victim} must not be attacked unasked"
    );
    Ok(())
}
