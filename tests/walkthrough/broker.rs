//! Acceptance 7: the broker dies or freezes, and it alone is healed.

use anyhow::{Context, Result, ensure};
use planaria_e2e::docker::{docker, ensure_well, started_at};
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

/// The broker's own list: the connection that has this container's name, by the ports at its ends.
fn connection(broker: &str, of: &str) -> Result<String> {
    let list = "list_connections --quiet --no-table-headers name client_properties";
    let words: Vec<&str> = list.split(' ').collect();
    let all = docker(&[&["exec", broker, "rabbitmqctl"], &words[..]].concat())?;
    let called = format!("{{\"connection_name\",\"{of} ");
    let line = all.lines().find(|line| line.contains(&called));
    let name = line.and_then(|line| line.split('\t').next());
    Ok(name
        .with_context(|| format!("no connection of {of} in:\n{all}"))?
        .to_owned())
}

#[test]
fn a_closed_amqp_connection_is_made_again() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let (broker, worker) = (stack.name("rabbitmq"), stack.name("worker-2"));
    let (monkey, life) = (stack.name("chaos_monkey"), started_at(&worker)?);
    let before = connection(&broker, &worker)?;
    // Its exit code says that it took effect, and that the worker was back in time.
    let attack = [
        "chaos-monkey",
        "attack",
        "--fault",
        "amqp-close",
        "--target",
    ];
    docker(&[&["exec", &monkey], &attack[..], &[&worker]].concat())?;
    let after = connection(&broker, &worker)?;
    ensure!(after != before, "still {before}");
    ensure!(
        started_at(&worker)? == life,
        "a lost connection is no reason to restart {worker}"
    );
    stack.settled()?;
    Ok(())
}
