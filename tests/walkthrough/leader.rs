//! Acceptance 3: a dead leader has a successor with a higher term, and is brought back itself.

use anyhow::{Result, ensure};
use planaria_e2e::docker::{docker, ensure_well, started_at};
use planaria_e2e::patience::{SOON, eventually};
use planaria_e2e::stack::Stack;

#[test]
fn killed_leader_is_succeeded_and_brought_back() -> Result<()> {
    let stack = Stack::new()?;
    let before = stack.settled()?;
    let started = started_at(&before.leader)?;
    docker(&["kill", &before.leader])?;
    eventually("the old leader's container runs again", SOON, || {
        ensure_well(&before.leader)?;
        ensure!(
            started_at(&before.leader)? != started,
            "{} was not started again",
            before.leader
        );
        Ok(())
    })?;
    let after = stack.settled()?;
    ensure!(
        after.term > before.term,
        "the term went from {} to {}",
        before.term,
        after.term
    );
    Ok(())
}

#[test]
fn all_healers_but_one_killed_at_once_are_all_back() -> Result<()> {
    let stack = Stack::new()?;
    let before = stack.settled()?;
    let others: Vec<String> = ["healer-3", "healer-2"]
        .map(|short| stack.name(short))
        .into();
    docker(&["kill", &others[0], &others[1]])?;
    let after = stack.settled()?;
    ensure!(
        after.term > before.term,
        "the term went from {} to {}",
        before.term,
        after.term
    );
    Ok(())
}

#[test]
fn a_request_reaches_the_leader_from_any_healer_and_from_no_other() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let worker = stack.name("worker-1");
    for short in ["healer-1", "healer-2", "healer-3"] {
        let healer = stack.name(short);
        let ask = |arguments: &[&str]| {
            let mut command = vec!["exec", &healer, "/monitor"];
            command.extend(arguments);
            docker(&command)
        };
        ask(&["hold", &worker, "--for", "5m", "--reason", "a test looks"])?;
        is_held(&stack, &worker, true)?;
        ask(&["resume", &worker])?;
        is_held(&stack, &worker, false)?;
    }
    let refused = docker(&[
        "exec", &worker, "/monitor", "hold", &worker, "--for", "30s", "--reason", "no right",
    ]);
    ensure!(
        refused.is_err_and(|error| error.to_string().contains("77")),
        "a worker could order a hold"
    );
    Ok(())
}

/// Waits until every healer says that the worker is held, or that it is not.
fn is_held(stack: &Stack, worker: &str, wanted: bool) -> Result<()> {
    eventually("every healer knows of the hold", SOON, || {
        for short in ["healer-1", "healer-2", "healer-3"] {
            let status = stack.status_of(&stack.name(short))?;
            let holds = status["held"].as_array().cloned().unwrap_or_default();
            let held = holds.iter().any(|hold| hold["name"] == worker);
            ensure!(held == wanted, "{short} says held = {holds:?}");
        }
        Ok(())
    })
}
