//! Stacks of well-known kinds: adopted, each service killed and healed, one hung and healed, and the way back.
//! Five the solo way, one the group way, where the leader is killed too.

use crate::support::{repository, target};
use anyhow::{Context, Result, ensure};
use planaria_e2e::docker::{docker, inspect, log, run, started_at};
use planaria_e2e::patience::{SOON, eventually};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

const PROJECT: &str = "runadopt";
const WATCHER: &str = "planaria-watch";
const INSTALLER: &str = "planaria-install";

/// A stack in a folder of its own; taken down with its volumes, whatever comes of the test.
struct Stack {
    folder: tempfile::TempDir,
}

impl Stack {
    fn new(name: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let source = repository(&format!("tests/programs/stacks/{name}.yml"));
        std::fs::copy(source, folder.path().join("docker-compose.yml"))?;
        Ok(Self { folder })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Their file, and ours where it is given.
    fn compose(&self, adopted: bool, words: &[&str]) -> Result<String> {
        let mut command = Command::new("docker-compose");
        command.args(["--project-name", PROJECT, "--file"]);
        command.arg(self.file("docker-compose.yml"));
        if adopted {
            command
                .arg("--file")
                .arg(self.file("docker-compose.planaria.yml"));
        }
        run(command.args(words))
    }

    fn adopt(&self, options: &[&str]) -> Result<String> {
        let mut command = Command::new(target()?.join("debug/planaria-compose"));
        command.arg("adopt").arg(self.file("docker-compose.yml"));
        command.args(["--monitor-image", "planaria-test/monitor"]);
        run(command.args(options))
    }

    /// Writes the override.
    fn adopt_for_good(&self, options: &[&str]) -> Result<String> {
        let output = self.file("docker-compose.planaria.yml");
        let output = output.to_str().context("a strange folder")?;
        self.adopt(&[options, &["--output", output]].concat())
    }

    /// Service → container, of all that belong to the project.
    fn containers(&self) -> Result<Vec<(String, String)>> {
        let filter = format!("label=com.docker.compose.project={PROJECT}");
        let format = "{{.Label \"com.docker.compose.service\"}} {{.Names}}";
        let all = docker(&["ps", "--all", "--filter", &filter, "--format", format])?;
        let pairs = all.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs
            .map(|(service, name)| (service.to_owned(), name.to_owned()))
            .collect())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        for adopted in [true, false] {
            // The override may not have been written.
            let _ = self.compose(
                adopted,
                &["down", "--volumes", "--remove-orphans", "--timeout", "1"],
            );
        }
    }
}

fn runs(container: &str) -> Result<()> {
    let state = inspect(container)?["State"].clone();
    ensure!(
        state["Status"] == "running",
        "{container} is {}: {}",
        state["Status"],
        log(container)?
    );
    Ok(())
}

fn is_wrapped(container: &str) -> Result<bool> {
    let first = docker(&["exec", container, "cat", "/proc/1/comm"])?;
    Ok(first == "monitor")
}

/// What the first process of the container is there for: its first child.
fn hang(container: &str) -> Result<()> {
    docker(&[
        "exec",
        "--user",
        "0",
        container,
        "sh",
        "-c",
        "kill -STOP $(cut -d' ' -f1 /proc/1/task/1/children)",
    ])
    .map(drop)
}

/// Adopts, kills each that is to run on, hangs `hung`, and goes back.
fn adopted_killed_healed_and_back(name: &str, once: &[&str], hung: &str) -> Result<()> {
    let stack = Stack::new(name)?;
    let shown = stack.adopt(&["--solo", "--dry-run"])?;
    ensure!(shown.contains("+  planaria-watch:"), "{shown}");
    ensure!(
        !stack.file("docker-compose.planaria.yml").exists(),
        "a dry run writes nothing"
    );
    stack.adopt_for_good(&["--solo"])?;
    stack.compose(true, &["up", "--detach", "--timeout", "1"])?;
    let containers = stack.containers()?;
    let own = [WATCHER, INSTALLER];
    let of = |service: &str| {
        let found = containers.iter().find(|(name, _)| name == service);
        found
            .map(|(_, name)| name.clone())
            .with_context(|| format!("no {service}"))
    };
    let watcher = of(WATCHER)?;
    eventually("the watcher watches", SOON, || {
        ensure!(log(&watcher)?.contains("Watching"), "{}", log(&watcher)?);
        Ok(())
    })?;
    let patients: Vec<&(String, String)> = containers
        .iter()
        .filter(|(service, _)| {
            !own.contains(&service.as_str()) && !once.contains(&service.as_str())
        })
        .collect();
    let healed_by = || log(&watcher);
    for (service, container) in &patients {
        run_wrapped(service, container)?;
    }
    for (service, container) in &patients {
        killed_and_healed(service, container, &healed_by)?;
    }
    hung_and_healed(hung, &of(hung)?, &healed_by)?;
    back(&stack, once)
}

fn run_wrapped(service: &str, container: &str) -> Result<()> {
    eventually(&format!("{service} runs, wrapped"), SOON, || {
        runs(container)?;
        ensure!(is_wrapped(container)?, "{service} is not wrapped");
        Ok(())
    })
}

/// `healed_by` tells what those who should have healed it say.
fn killed_and_healed(
    service: &str,
    container: &str,
    healed_by: &impl Fn() -> Result<String>,
) -> Result<()> {
    let before = started_at(container)?;
    docker(&["kill", container])?;
    eventually(&format!("{service} was killed and is healed"), SOON, || {
        runs(container)?;
        ensure!(
            started_at(container)? != before,
            "it was not started again: {}",
            healed_by()?
        );
        Ok(())
    })
}

fn hung_and_healed(
    service: &str,
    container: &str,
    healed_by: &impl Fn() -> Result<String>,
) -> Result<()> {
    let before = started_at(container)?;
    eventually("it has a program to hang", SOON, || hang(container))?;
    eventually(&format!("{service} hung and is healed"), SOON, || {
        ensure!(
            started_at(container)? != before,
            "it was not started again: {}",
            healed_by()?
        );
        runs(container)
    })?;
    let said = log(container)?;
    ensure!(said.contains("Apoptosis"), "{said}");
    Ok(())
}

/// The way back: their file alone.
fn back(stack: &Stack, once: &[&str]) -> Result<()> {
    stack.compose(
        false,
        &["up", "--detach", "--remove-orphans", "--timeout", "1"],
    )?;
    for (service, container) in stack.containers()? {
        ensure!(!service.starts_with("planaria"), "{service} is left over");
        if !once.contains(&service.as_str()) {
            eventually(&format!("{service} is as it was"), SOON, || {
                runs(&container)?;
                ensure!(!is_wrapped(&container)?, "{service} is still wrapped");
                Ok(())
            })?;
            let mounts: Value = inspect(&container)?["Mounts"].clone();
            ensure!(!mounts.to_string().contains("planaria"), "{mounts}");
        }
    }
    Ok(())
}

/// What a healer says of the group.
fn status(healer: &str) -> Result<Value> {
    let text = docker(&["exec", healer, "/monitor", "status", "--json"])?;
    serde_json::from_str(&text).with_context(|| format!("{healer} answered {text:?}"))
}

/// The leader, once each of the healers names the same one and sees all of `members` alive.
fn leader(healers: &[String], members: &[String]) -> Result<String> {
    eventually(
        "a leader, and all alive in every healer's eyes",
        2 * SOON,
        || {
            let all: Vec<Value> = healers
                .iter()
                .map(|healer| status(healer))
                .collect::<Result<_>>()?;
            let leader = all[0]["leader"].as_str().context("nobody leads")?;
            for status in &all {
                ensure!(
                    status["leader"] == leader,
                    "{} is not {leader}",
                    status["leader"]
                );
                let seen = status["members"].as_array().context("no members")?;
                for member in members {
                    let found = seen.iter().find(|found| found["name"] == member.as_str());
                    let found =
                        found.with_context(|| format!("{member} is no member: {status}"))?;
                    let state = found["state"].as_str().unwrap_or_default();
                    ensure!(matches!(state, "alive" | "patient"), "{found}");
                    // The engine knows it too; that it beats is what makes it a member.
                    ensure!(found["last_heartbeat_ms"].is_number(), "{found}");
                }
            }
            Ok(leader.to_owned())
        },
    )
}

/// What is left in the project's name of `kind` (network, volume) that is ours.
fn left(kind: &str) -> Result<Vec<String>> {
    let filter = format!("label=com.docker.compose.project={PROJECT}");
    let all = docker(&[kind, "ls", "--filter", &filter, "--format", "{{.Name}}"])?;
    let ours = all.lines().filter(|name| name.contains("planaria"));
    Ok(ours.map(str::to_owned).collect())
}

#[test]
fn a_group_of_their_own_heals_even_its_leader() -> Result<()> {
    let stack = Stack::new("queue-workers")?;
    let way = ["--project", PROJECT];
    stack.adopt(&[&way[..], &["--dry-run"]].concat())?;
    let secrets = stack.file(".planaria");
    ensure!(!secrets.exists(), "a dry run draws no secrets");
    stack.adopt_for_good(&way)?;
    let drawn = std::fs::read(secrets.join("secrets.json"))?;
    stack.adopt_for_good(&way)?;
    ensure!(
        std::fs::read(secrets.join("secrets.json"))? == drawn,
        "drawn once"
    );
    stack.compose(true, &["up", "--detach", "--timeout", "1"])?;
    let containers = stack.containers()?;
    let theirs: Vec<(String, String)> = containers
        .iter()
        .filter(|(service, _)| !service.starts_with("planaria"))
        .cloned()
        .collect();
    ensure!(theirs.len() == 3, "{containers:?}");
    let healers: Vec<String> = (1..=3)
        .map(|index| format!("{PROJECT}-planaria-healer-{index}"))
        .collect();
    let mut members = healers.clone();
    members.extend(theirs.iter().map(|(_, name)| name.clone()));
    leader(&healers, &members)?;
    let healed_by = || {
        let logs: Result<Vec<String>> = healers.iter().map(|healer| log(healer)).collect();
        Ok(logs?.join("\n"))
    };
    for (service, container) in &theirs {
        run_wrapped(service, container)?;
        // By the one user who may read all, so that what is not there is not only hidden.
        let keys = docker(&["exec", "--user", "0", container, "ls", "/run/planaria"])?;
        ensure!(keys == "member.key", "{service} holds {keys}");
        killed_and_healed(service, container, &healed_by)?;
    }
    let broker = format!("{PROJECT}-planaria-rabbitmq");
    let first = leader(&healers, &members)?;
    killed_and_healed("the leader", &first, &healed_by)?;
    leader(&healers, &members)?;
    hung_and_healed("worker-b", &format!("{PROJECT}_worker-b_1"), &healed_by)?;
    killed_and_healed("the broker", &broker, &healed_by)?;
    leader(&healers, &members)?;

    back(&stack, &[])?;
    ensure!(left("network")?.is_empty(), "{:?}", left("network")?);
    let volumes = left("volume")?;
    let words: Vec<&str> = ["volume", "rm"]
        .into_iter()
        .chain(volumes.iter().map(String::as_str))
        .collect();
    docker(&words)?;
    std::fs::remove_dir_all(secrets)?;
    let folder: Result<Vec<_>, _> = std::fs::read_dir(stack.folder.path())?.collect();
    ensure!(
        folder?.len() == 2,
        "their file and the override are all there is"
    );
    Ok(())
}

#[test]
fn a_queue_and_its_workers() -> Result<()> {
    adopted_killed_healed_and_back("queue-workers", &[], "worker-b")
}

#[test]
fn one_network_for_several() -> Result<()> {
    adopted_killed_healed_and_back("shared-network", &[], "gateway")
}

#[test]
fn a_site_with_database_and_cache() -> Result<()> {
    adopted_killed_healed_and_back("web-database-cache", &[], "database")
}

#[test]
#[ignore = "make test-all: three of the five kinds are enough for each day"]
fn a_reverse_proxy() -> Result<()> {
    adopted_killed_healed_and_back("reverse-proxy", &[], "web")
}

#[test]
#[ignore = "make test-all: three of the five kinds are enough for each day"]
fn conditions_of_dependence() -> Result<()> {
    adopted_killed_healed_and_back("depends-conditions", &["prepare"], "web")
}
