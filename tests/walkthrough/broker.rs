//! Acceptance 7: the broker dies or freezes, and it alone is healed.

use anyhow::{Result, ensure};
use planaria_e2e::docker::{docker, ensure_well};
use planaria_e2e::patience::{SOON, eventually};
use planaria_e2e::stack::Stack;

#[test]
fn a_killed_broker_is_started_and_nobody_else_is_touched() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let broker = stack.name("rabbitmq");
    let events = stack.events()?;
    docker(&["kill", &broker])?;
    eventually("the broker is well again", 2 * SOON, || {
        ensure!(events.count(&broker, "start") == 1, "not started yet");
        ensure_well(&broker)
    })?;
    stack.settled()?;
    let touched: Vec<String> = events
        .all()
        .into_iter()
        .filter(|event| {
            event.container != broker && matches!(event.action.as_str(), "start" | "die" | "kill")
        })
        .map(|event| format!("{} {}", event.action, event.container))
        .collect();
    ensure!(touched.is_empty(), "its silence cost others: {touched:?}");
    Ok(())
}
