//! A crash loop ends, whoever leads, and a person ends its end.

use crate::{healers, is_running, monitor};
use anyhow::{Result, ensure};
use planaria_e2e::docker::{docker, log, state};
use planaria_e2e::patience::{SOON, always, eventually};
use planaria_e2e::patients::{IMAGE, Patients};
use planaria_e2e::stack::Stack;
use std::time::Duration;

const NAME: &str = "heal-loop";
/// Fails until it is mended.
const BROKEN: &str = "test -e /mended || exit 1; exec sleep infinity";

#[test]
fn a_crash_loop_is_quarantined_with_one_alert_whoever_leads_and_is_released_by_command()
-> Result<()> {
    let stack = Stack::new()?;
    let first = stack.settled()?;
    let mut patients = Patients::new();
    let events = stack.events()?;
    patients.run(NAME, &[IMAGE, "sh", "-c", BROKEN])?;
    restarts(&events, 2)?;
    // The one who counted so far is gone.
    docker(&["kill", &first.leader])?;
    let quarantined = |leader: &str| -> Result<()> {
        let status = stack.status_of(leader)?;
        let members = status["members"].as_array().cloned().unwrap_or_default();
        let state = members
            .iter()
            .find(|member| member["name"] == NAME)
            .map(|member| member["state"].clone());
        ensure!(
            state.as_ref().is_some_and(|state| state == "quarantined"),
            "{leader} says {state:?}"
        );
        Ok(())
    };
    let leader = || -> Result<String> {
        let status = stack.status_of(&stack.name("healer-1"))?;
        let leader = status["leader"].as_str().unwrap_or_default().to_owned();
        ensure!(!leader.is_empty(), "no leader yet");
        Ok(leader)
    };
    eventually("it is in quarantine", SOON, || quarantined(&leader()?))?;
    let limit = usize::try_from(stack.settings().restart_limit)?;
    restarts(&events, limit)?;
    // And the one who put it there.
    let second = leader()?;
    docker(&["kill", &second])?;
    eventually("its successor knows of it", SOON, || {
        let now = leader()?;
        ensure!(
            stack.status_of(&now)?["is_leader"] == true,
            "{now} does not lead"
        );
        quarantined(&now)
    })?;
    always("it stays down", Duration::from_secs(8), || {
        ensure!(state(NAME)? == "exited", "it is {}", state(NAME)?);
        Ok(())
    })?;
    let count = events.count(NAME, "start");
    ensure!(
        count == 1 + limit,
        "{count} starts: the first and {limit} restarts are all"
    );
    let mut alerts = 0;
    for healer in healers(&stack) {
        let said = format!("{NAME} was restarted {limit} times");
        alerts += log(&healer)?.matches(&said).count();
    }
    ensure!(alerts == 1, "{alerts} alerts where one is due");
    let folder = tempfile::tempdir()?;
    let mended = folder.path().join("mended");
    std::fs::write(&mended, "")?;
    let from = mended.display().to_string();
    docker(&["cp", &from, &format!("{NAME}:/mended")])?;
    monitor(&stack.name("healer-1"), &["release", NAME])?;
    eventually("it runs", SOON, || is_running(NAME))?;
    drop(patients);
    stack.settled().map(drop)
}

/// Waits for so many restarts after the first start.
fn restarts(events: &planaria_e2e::docker::Events, wanted: usize) -> Result<()> {
    eventually("it is restarted", SOON, || {
        let count = events.count(NAME, "start");
        ensure!(count > wanted, "{count} starts");
        Ok(())
    })
}
