//! Acceptance 4: what hangs ends itself, or is ended, and is healed once.

use anyhow::{Result, ensure};
use planaria_e2e::docker::{docker, ensure_well, started_at};
use planaria_e2e::patience::{SOON, eventually};
use planaria_e2e::stack::Stack;

#[test]
fn a_stopped_child_ends_by_apoptosis_and_is_healed_once() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let worker = stack.name("worker-1");
    let events = stack.events()?;
    docker(&[
        "exec",
        &worker,
        "sh",
        "-c",
        "kill -STOP $(cat /run/nginx.pid)",
    ])?;
    eventually("it ended with the code of apoptosis", SOON, || {
        let died = events
            .all()
            .into_iter()
            .find(|event| event.container == worker && event.action == "die");
        ensure!(
            died.as_ref()
                .is_some_and(|event| event.exit_code.as_deref() == Some("70")),
            "so far: {died:?}"
        );
        Ok(())
    })?;
    stack.settled()?;
    let starts = events.count(&worker, "start");
    ensure!(starts == 1, "{worker} was started {starts} times");
    Ok(())
}

#[test]
fn a_stopped_first_process_is_found_and_healed() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let worker = stack.name("worker-2");
    docker(&["kill", "--signal=STOP", &worker])?;
    eventually("it is found, and answers again", 2 * SOON, || {
        ensure_well(&worker)?;
        stack.status_of(&worker).map(drop)
    })?;
    stack.settled().map(drop)
}

#[test]
fn a_paused_container_is_unpaused_after_its_grace() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let worker = stack.name("plain-1");
    let started = started_at(&worker)?;
    docker(&["pause", &worker])?;
    eventually("it runs again", SOON, || ensure_well(&worker))?;
    ensure!(
        started_at(&worker)? == started,
        "{worker} was restarted where thawing was enough"
    );
    stack.settled().map(drop)
}
