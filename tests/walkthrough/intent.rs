//! Acceptance 6: what a person does on purpose is left alone.

use anyhow::{Context, Result, ensure};
use planaria_e2e::docker::{docker, state};
use planaria_e2e::patience::{SOON, always, eventually};
use planaria_e2e::stack::Stack;
use std::process::Command;
use std::time::Duration;

/// How often each act is repeated: a few in `make test`, the twenty of the acceptance list in `make test-all`.
fn rounds() -> usize {
    std::env::var("E2E_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(3)
}

/// Every order that the healers gave, by their own logs.
fn orders(stack: &Stack) -> Result<u64> {
    let mut orders = 0;
    for short in ["healer-1", "healer-2", "healer-3"] {
        orders += stack.status_of(&stack.name(short))?["restarts_ordered"]
            .as_u64()
            .context("no restarts_ordered")?;
    }
    Ok(orders)
}

/// Keeps the machine busy while it lives, so that events are late and out of step.
struct Busy(Vec<std::process::Child>);

impl Busy {
    fn start() -> Result<Self> {
        let busy = || {
            Command::new("timeout")
                .args(["300", "sh", "-c", "while :; do :; done"])
                .spawn()
        };
        Ok(Self(vec![busy()?, busy()?]))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // `timeout` passes its end on to the loop; where it ended already there is nothing to do.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

#[test]
fn a_stopped_container_is_left_alone_and_comes_back_by_hand() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let worker = stack.name("worker-2");
    docker(&["stop", &worker])?;
    always("it stays stopped", Duration::from_secs(15), || {
        ensure!(
            state(&worker)? == "exited",
            "{worker} is {}",
            state(&worker)?
        );
        Ok(())
    })?;
    docker(&["start", &worker])?;
    stack.settled().map(drop)
}

#[test]
fn restart_stop_start_recreate_and_remove_make_no_healer_act() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let before = orders(&stack)?;
    let worker = stack.name("worker-2");
    let busy = Busy::start()?;
    for _ in 0..rounds() {
        docker(&["restart", &worker])?;
        docker(&["stop", &worker])?;
        docker(&["start", &worker])?;
        stack.compose(&[
            "up",
            "--detach",
            "--force-recreate",
            "--no-deps",
            "worker-2",
        ])?;
        docker(&["rm", "--force", &worker])?;
        stack.compose(&["up", "--detach", "--no-deps", "worker-2"])?;
    }
    drop(busy);
    stack.settled()?;
    let after = orders(&stack)?;
    ensure!(
        after == before,
        "the healers acted {} times",
        after - before
    );
    Ok(())
}

#[test]
fn a_held_container_is_left_alone_until_it_is_resumed() -> Result<()> {
    let stack = Stack::new()?;
    let settled = stack.settled()?;
    let worker = stack.name("worker-1");
    docker(&[
        "exec",
        &settled.leader,
        "/monitor",
        "hold",
        &worker,
        "--for",
        "10m",
        "--reason",
        "the test looks",
    ])?;
    docker(&["kill", &worker])?;
    always("it stays dead", Duration::from_secs(10), || {
        ensure!(
            state(&worker)? == "exited",
            "{worker} is {}",
            state(&worker)?
        );
        Ok(())
    })?;
    docker(&["exec", &settled.leader, "/monitor", "resume", &worker])?;
    eventually("it is brought back", SOON, || {
        ensure!(
            state(&worker)? == "running",
            "{worker} is {}",
            state(&worker)?
        );
        Ok(())
    })?;
    stack.settled().map(drop)
}
