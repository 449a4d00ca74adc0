//! Acceptance 2: what is killed comes back, with no hand on it.

use anyhow::{Result, ensure};
use planaria_e2e::clients::get;
use planaria_e2e::docker::{docker, ensure_well, log, started_at};
use planaria_e2e::patience::{SOON, eventually};
use planaria_e2e::stack::Stack;

fn kill_and_see(short: &str, port: u16) -> Result<()> {
    let stack = Stack::new()?;
    let settled = stack.settled()?;
    let name = stack.name(short);
    let before = started_at(&name)?;
    docker(&["kill", &name])?;
    eventually("it runs again and answers", SOON, || {
        ensure_well(&name)?;
        ensure!(started_at(&name)? != before, "{name} was not started again");
        let (status, page) = get(&format!("http://127.0.0.1:{port}/"))?;
        ensure!(status == 200 && page.contains("nginx"), "{status}: {page}");
        Ok(())
    })?;
    let line = format!("Node {name} is DEAD. Restarting...");
    eventually("the leader says so", SOON, || {
        ensure!(
            log(&settled.leader)?.contains(&line),
            "no {line:?} in the log of {}",
            settled.leader
        );
        Ok(())
    })
}

#[test]
fn killed_worker_is_back_and_answers() -> Result<()> {
    kill_and_see("worker-1", Stack::new()?.settings().worker_port_base + 1)
}

#[test]
fn killed_container_without_a_monitor_is_back_and_answers() -> Result<()> {
    kill_and_see("plain-1", Stack::new()?.settings().plain_port_base + 1)
}

#[test]
fn five_killed_at_once_are_all_back() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let names: Vec<String> = [
        "worker-1",
        "worker-2",
        "plain-1",
        "console",
        "storage-node-1",
    ]
    .map(|short| stack.name(short))
    .into();
    let mut command = vec!["kill"];
    command.extend(names.iter().map(String::as_str));
    docker(&command)?;
    stack.settled().map(drop)
}
