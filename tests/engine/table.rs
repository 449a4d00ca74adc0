//! The acts of people, by the command line.

use crate::{LABEL, POLITE, STUBBORN, Subject, remove};
use anyhow::{Result, ensure};
use planaria_e2e::docker::{docker, inspect};
use planaria_e2e::patience::{SOON, eventually};
use planaria_e2e::patients::IMAGE;

#[test]
fn a_stop_is_a_kill_by_the_stop_signal_then_die_then_stop() -> Result<()> {
    let it = Subject::running("engine-stop", &[], POLITE)?;
    docker(&["stop", it.name])?;
    it.tells(&["kill 15", "die 0", "stop"])
}

#[test]
fn a_stop_of_who_ignores_it_is_silent_for_the_grace_and_then_kills() -> Result<()> {
    let it = Subject::running("engine-stubborn", &[], STUBBORN)?;
    docker(&["stop", "--time", "2", it.name])?;
    it.tells(&["kill 15", "kill 9", "die 137", "stop"])
}

#[test]
fn a_stop_of_the_dead_leaves_no_trace() -> Result<()> {
    let it = Subject::running("engine-dead", &[], POLITE)?;
    docker(&["kill", it.name])?;
    it.tells(&["kill 9", "die 137"])?;
    docker(&["stop", it.name])?;
    // The next act's event is what tells that none came before it.
    docker(&["rename", it.name, "engine-dead-too"])?;
    docker(&["rename", "engine-dead-too", it.name])?;
    it.tells(&["kill 9", "die 137", "rename", "rename"])
}

#[test]
fn a_restart_is_a_stop_until_its_start_comes() -> Result<()> {
    let it = Subject::running("engine-restart", &[], POLITE)?;
    docker(&["restart", it.name])?;
    it.tells(&["kill 15", "die 0", "stop", "start", "restart"])
}

#[test]
fn a_restart_of_the_dead_is_a_start() -> Result<()> {
    let it = Subject::running("engine-again", &[], POLITE)?;
    docker(&["kill", it.name])?;
    docker(&["restart", it.name])?;
    it.tells(&["kill 9", "die 137", "start", "restart"])
}

#[test]
fn a_kill_has_no_stop_and_may_end_with_zero() -> Result<()> {
    let it = Subject::running("engine-kill", &[], POLITE)?;
    docker(&["kill", it.name])?;
    it.tells(&["kill 9", "die 137"])?;
    docker(&["start", it.name])?;
    eventually("it set its trap again", SOON, || {
        let said = docker(&["logs", it.name])?;
        ensure!(said.lines().count() == 2, "{said}");
        Ok(())
    })?;
    docker(&["kill", "--signal=TERM", it.name])?;
    it.tells(&["kill 9", "die 137", "start", "kill 15", "die 0"])
}

#[test]
fn a_removal_by_force_has_no_stop() -> Result<()> {
    let it = Subject::running("engine-rm", &[], POLITE)?;
    docker(&["rm", "--force", it.name])?;
    it.tells(&["kill 9", "die 137", "destroy"])
}

#[test]
fn a_removal_of_the_dead_is_a_destroy_alone() -> Result<()> {
    let it = Subject::running("engine-gone", &[], POLITE)?;
    docker(&["kill", it.name])?;
    docker(&["rm", it.name])?;
    it.tells(&["kill 9", "die 137", "destroy"])
}

#[test]
fn what_is_only_made_was_never_started() -> Result<()> {
    let it = Subject::new("engine-made")?;
    docker(&["create", "--name", it.name, "--label", LABEL, IMAGE, "true"])?;
    it.tells(&["create"])?;
    let state = &inspect(it.name)?["State"];
    ensure!(state["Status"] == "created", "{state}");
    ensure!(state["StartedAt"] == "0001-01-01T00:00:00Z", "{state}");
    ensure!(state["Error"] == "", "{state}");
    Ok(())
}

#[test]
fn a_start_that_failed_is_told_from_what_was_never_started() -> Result<()> {
    let it = Subject::new("engine-failed")?;
    let run = ["run", "--detach", "--name", it.name, "--label", LABEL];
    let mut command = run.to_vec();
    command.extend([IMAGE, "/no/such/program"]);
    ensure!(docker(&command).is_err(), "there is no such program");
    let state = &inspect(it.name)?["State"];
    ensure!(state["Status"] == "created", "{state}");
    ensure!(state["Error"] != "", "{state}");
    Ok(())
}

#[test]
fn a_commit_pauses_and_thaws_again() -> Result<()> {
    let it = Subject::running("engine-commit", &[], POLITE)?;
    docker(&["commit", it.name, "engine-commit-copy"])?;
    docker(&["image", "rm", "engine-commit-copy"])?;
    it.tells(&["pause", "commit", "unpause"])
}

#[test]
fn a_stop_of_the_paused_thaws_it_on_its_way() -> Result<()> {
    let it = Subject::running("engine-paused", &[], POLITE)?;
    docker(&["pause", it.name])?;
    docker(&["stop", it.name])?;
    it.tells(&["pause", "kill 15", "unpause", "die 0", "stop"])
}

#[test]
fn a_childs_oom_is_told_without_a_death() -> Result<()> {
    let it = Subject::running("engine-oom", &["--memory", "64m"], POLITE)?;
    let eaten = docker(&["exec", it.name, "tail", "/dev/zero"]);
    ensure!(eaten.is_err(), "nobody can eat all memory and end well");
    eventually("the engine tells of it", SOON, || {
        let told = it.told();
        ensure!(told.iter().any(|event| event == "oom"), "{told:?}");
        Ok(())
    })?;
    let state = &inspect(it.name)?["State"];
    ensure!(state["Status"] == "running", "{state}");
    ensure!(state["OOMKilled"] == false, "{state}");
    let told = it.told();
    ensure!(told.iter().all(|event| event == "oom"), "{told:?}");
    Ok(())
}

#[test]
fn what_ends_by_itself_has_no_kill() -> Result<()> {
    let it = Subject::running("engine-exit", &[], "echo up; sleep 2; exit 3")?;
    it.tells(&["die 3"])?;
    remove(it.name);
    it.tells(&["die 3", "destroy"])
}
