//! The acts of Compose.

use crate::{LABEL, POLITE, short};
use anyhow::{Context, Result, ensure};
use planaria_e2e::docker::{Events, docker, inspect, run};
use planaria_e2e::patience::{SOON, eventually};
use planaria_e2e::patients::IMAGE;
use std::process::Command;
use tempfile::TempDir;

const PROJECT: &str = "engine-test";
const NAME: &str = "engine-worker-1";

/// A project of one service, taken down at the end.
struct Project(TempDir);

impl Project {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let script = POLITE.replace('$', "$$");
        let text = format!(
            "services:\n  worker-1:\n    image: {IMAGE}\n    container_name: {NAME}\n    \
             command: [\"sh\", \"-c\", {script:?}]\n    labels:\n      - {LABEL}\n      \
             - planaria.enable=true\n      - planaria.group=nobody\n    \
             environment:\n      CONTAINER_NAME: worker-1\n"
        );
        std::fs::write(folder.path().join("docker-compose.yml"), text)?;
        Ok(Self(folder))
    }

    fn compose(&self, arguments: &[&str]) -> Result<String> {
        let plugin = Command::new("docker").args(["compose", "version"]).output();
        let mut command = if plugin.is_ok_and(|output| output.status.success()) {
            let mut command = Command::new("docker");
            command.arg("compose");
            command
        } else {
            Command::new("docker-compose")
        };
        run(command
            .args(["--project-name", PROJECT])
            .args(arguments)
            .current_dir(self.0.path()))
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // The label's clean-up in the scripts is the last resort.
        let _ = self.compose(&["down", "--timeout", "1", "--remove-orphans"]);
    }
}

fn listen() -> Result<Events> {
    Events::listen(&format!("label=com.docker.compose.project={PROJECT}"))
}

fn count(events: &Events) -> usize {
    events.all().len()
}

/// One test for all of Compose: a project is slow to make.
#[test]
fn compose_recreates_under_another_name_and_copies_labels_into_one_offs() -> Result<()> {
    let project = Project::new()?;
    project.compose(&["up", "--no-start"])?;
    let state = &inspect(NAME)?["State"];
    ensure!(state["Status"] == "created", "{state}");
    ensure!(state["StartedAt"] == "0001-01-01T00:00:00Z", "{state}");
    project.compose(&["up", "--detach"])?;
    eventually("the script is under way", SOON, || {
        ensure!(!docker(&["logs", NAME])?.is_empty(), "nothing said yet");
        Ok(())
    })?;
    let old = id(NAME)?;
    let events = listen()?;
    project.compose(&["up", "--detach", "--force-recreate"])?;
    ensure!(id(NAME)? != old, "the same container");
    eventually("the old one is gone", SOON, || {
        let told = of(&events, "destroy");
        ensure!(!told.is_empty(), "{:?}", events.all());
        Ok(())
    })?;
    let acts: Vec<String> = events.all().iter().map(short).collect();
    let place = |act: &str| {
        let at = acts.iter().position(|other| other == act);
        at.with_context(|| format!("no {act} in {acts:?}"))
    };
    ensure!(
        place("kill 15")? < place("die 0")? && place("die 0")? < place("stop")?,
        "the old one is stopped: {acts:?}"
    );
    ensure!(
        place("create")? < place("start")? && place("stop")? < place("start")?,
        "the new one starts after it: {acts:?}"
    );
    // Compose v1 moves the old one aside and names it by its id; v2 makes the new one under such a name.
    let aside = events
        .all()
        .into_iter()
        .filter(|event| event.container.ends_with(&format!("_{NAME}")))
        .count();
    ensure!(aside > 0, "nobody was called <id>_{NAME}: {acts:?}");
    let before = count(&events);
    project.compose(&["run", "--detach", "--name", "engine-oneoff", "worker-1"])?;
    let labels = inspect("engine-oneoff")?["Config"]["Labels"].clone();
    ensure!(labels["planaria.enable"] == "true", "{labels}");
    ensure!(labels["com.docker.compose.oneoff"] == "True", "{labels}");
    let environment = inspect("engine-oneoff")?["Config"]["Env"].to_string();
    ensure!(
        environment.contains("CONTAINER_NAME=worker-1"),
        "{environment}"
    );
    ensure!(
        count(&events) > before,
        "a one-off is told of like any other"
    );
    docker(&["rm", "--force", "engine-oneoff"])?;
    down_of_the_dead(&project, &events)
}

/// `down` after `kill`: a bare destroy.
fn down_of_the_dead(project: &Project, events: &Events) -> Result<()> {
    docker(&["kill", NAME])?;
    eventually("it is dead", SOON, || {
        let last = events.all().last().map(short);
        ensure!(last.as_deref() == Some("die 137"), "{last:?}");
        Ok(())
    })?;
    let before = count(events);
    project.compose(&["down", "--timeout", "1"])?;
    eventually("it is removed", SOON, || {
        let after: Vec<String> = events.all()[before..].iter().map(short).collect();
        ensure!(after == ["destroy"], "{after:?}");
        Ok(())
    })
}

fn id(name: &str) -> Result<String> {
    Ok(inspect(name)?["Id"].as_str().unwrap_or_default().to_owned())
}

fn of(events: &Events, action: &str) -> Vec<String> {
    events
        .all()
        .into_iter()
        .filter(|event| event.action == action)
        .map(|event| event.container)
        .collect()
}
