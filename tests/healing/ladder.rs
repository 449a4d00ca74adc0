//! One finding after the other, and what each is answered with.

use crate::is_running;
use anyhow::{Result, ensure};
use planaria_e2e::docker::{docker, started_at, state};
use planaria_e2e::patience::{SOON, always, eventually};
use planaria_e2e::patients::{IMAGE, Patients};
use planaria_e2e::stack::Stack;
use std::time::Duration;

/// Eats all memory once it finds the file that tells it to; the next life does not find it.
const EATER: &str = "while [ ! -e /eat ]; do sleep 0.2; done; rm /eat; exec tail /dev/zero";
/// Ends with an error once it finds the file that tells it to.
const CRASHER: &str = "while [ ! -e /crash ]; do sleep 0.2; done; rm /crash; exit 3";

#[test]
fn an_oom_killed_container_is_started_and_a_childs_oom_is_no_death() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let mut patients = Patients::new();
    let name = "heal-oom";
    patients.run(name, &["--memory", "64m", IMAGE, "sh", "-c", EATER])?;
    eventually("it runs", SOON, || is_running(name))?;
    let events = stack.events()?;
    let started = started_at(name)?;
    // A child eats, and dies of it; the first process lives.
    let eaten = docker(&["exec", name, "sh", "-c", "tail /dev/zero"]);
    ensure!(eaten.is_err(), "nobody can eat all memory and end well");
    eventually("the engine tells of it", SOON, || {
        ensure!(events.count(name, "oom") > 0, "no oom event");
        Ok(())
    })?;
    always("it is left alone", Duration::from_secs(3), || {
        ensure!(started_at(name)? == started, "it was restarted");
        is_running(name)
    })?;
    docker(&["exec", name, "touch", "/eat"])?;
    eventually("it is started again", SOON, || {
        ensure!(started_at(name)? != started, "the same life");
        is_running(name)
    })?;
    ensure!(
        events.count(name, "start") == 1 && events.count(name, "die") == 1,
        "one death, one start: {:?}",
        events.all()
    );
    Ok(())
}

#[test]
fn what_docker_restarts_itself_is_not_restarted_twice() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let mut patients = Patients::new();
    let name = "heal-always";
    let events = stack.events()?;
    patients.run(name, &["--restart", "always", IMAGE, "sh", "-c", CRASHER])?;
    eventually("it runs", SOON, || is_running(name))?;
    // Docker's to restart: it ends by itself.
    docker(&["exec", name, "touch", "/crash"])?;
    starts(&events, name, 2)?;
    // Ours: `docker kill` has cancelled Docker's policy.
    docker(&["kill", name])?;
    starts(&events, name, 3)?;
    ensure!(
        events.count(name, "die") == 2 && events.count(name, "kill") == 1,
        "somebody else's hand: {:?}",
        events.all()
    );
    is_running(name)
}

/// Waits for so many starts, and sees that no further one follows.
fn starts(events: &planaria_e2e::docker::Events, name: &str, wanted: usize) -> Result<()> {
    eventually("it is started", SOON, || {
        let count = events.count(name, "start");
        ensure!(count >= wanted, "{count} starts of {wanted}");
        Ok(())
    })?;
    always("once", Duration::from_secs(4), || {
        let count = events.count(name, "start");
        ensure!(count == wanted, "{count} starts, not {wanted}");
        Ok(())
    })
}

#[test]
fn a_pause_is_ended_after_its_grace_and_the_pause_of_docker_commit_is_left_to_it() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let mut patients = Patients::new();
    let name = "heal-commit";
    patients.idle(name, &[])?;
    let events = stack.events()?;
    let started = started_at(name)?;
    // Data, so that the commit takes its time, and less than the grace: a healer that is too quick thaws
    // a moving disk.
    docker(&["exec", name, "sh", "-c", "head -c 30M /dev/urandom >/data"])?;
    let image = format!("{name}-copy");
    docker(&["commit", name, &image])?;
    docker(&["image", "rm", &image])?;
    eventually("the commit was told of", SOON, || {
        ensure!(events.count(name, "commit") == 1, "no commit event");
        Ok(())
    })?;
    let own: Vec<String> = events
        .all()
        .into_iter()
        .filter(|event| event.container == name && event.action != "top")
        .map(|event| event.action)
        .collect();
    ensure!(
        own == ["pause", "commit", "unpause"],
        "the commit alone thaws what it froze: {own:?}"
    );
    docker(&["pause", name])?;
    let grace = stack.settings().pause_grace;
    // A second less than the grace: the pause began a moment before the first look.
    always(
        "it stays paused",
        grace.saturating_sub(Duration::from_secs(1)),
        || {
            ensure!(state(name)? == "paused", "{}", state(name)?);
            Ok(())
        },
    )?;
    eventually("it is unpaused", SOON, || is_running(name))?;
    ensure!(started_at(name)? == started, "thawing was enough");
    Ok(())
}
