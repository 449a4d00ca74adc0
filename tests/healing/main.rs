//! What the group heals and what it leaves alone, on real containers, each claim by its name. Most
//! patients are the tests' own; the stack beside them is only its healers and its broker.

mod all;
mod down;
mod engine;
mod frozen;
mod ladder;
mod network;
mod order;
mod permissions;
mod probe;
mod quarantine;
mod why;

use anyhow::{Result, ensure};
use planaria_e2e::docker::{docker, inspect};
use planaria_e2e::stack::Stack;

/// A verb of `monitor`, asked in a container of the stack.
fn monitor(container: &str, arguments: &[&str]) -> Result<String> {
    let mut command = vec!["exec", container, "/monitor"];
    command.extend(arguments);
    docker(&command)
}

/// Every healer of the stack, by its full name.
fn healers(stack: &Stack) -> Vec<String> {
    (1..=stack.settings().healers)
        .map(|number| stack.name(&format!("healer-{number}")))
        .collect()
}

fn is_running(container: &str) -> Result<()> {
    let state = &inspect(container)?["State"];
    ensure!(
        state["Status"] == "running",
        "{container} is {}, exit code {}",
        state["Status"],
        state["ExitCode"]
    );
    Ok(())
}
