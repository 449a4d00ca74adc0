//! The engine itself goes and comes: a host that is updated, a daemon that is restarted.

use anyhow::{Context, Result, ensure};
use planaria_e2e::docker::run;
use planaria_e2e::patience::{SOON, always, eventually};
use planaria_e2e::second::SecondEngine;
use planaria_e2e::stack::Stack;
use serde_json::Value;
use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

const PROJECT: &str = "planaria-test-second";
const CONFIG: &str = "tests/second.ini";
const IMAGES: [&str; 7] = [
    "planaria/chaos-monkey",
    "planaria/console",
    "planaria/monitor",
    "planaria/plain",
    "planaria/rabbitmq",
    "planaria/storage-node",
    "planaria/worker",
];
/// Longer than a healer's patience, its back-off and a heartbeat's absence together.
const QUIET: Duration = Duration::from_secs(15);

#[test]
fn everything_comes_back_once_with_its_engine_and_what_was_stopped_stays_stopped() -> Result<()> {
    let mut engine = SecondEngine::start(&IMAGES, false)?;
    let here = Stack::new()?;
    up(&engine, &here)?;
    let stopped = "ps-worker-1";
    engine.docker(&["stop", "--time", "3", stopped])?;
    // Docker's own policy does not bring this one back: that is left to the healers.
    engine.docker(&[
        "run",
        "--detach",
        "--name",
        "ps-own",
        "--label",
        "planaria.enable=true",
        "--label",
        "planaria.group=planaria-second",
        "--label",
        "planaria.policy=always",
        "--restart",
        "no",
        "planaria/plain",
    ])?;
    let before = lives(&engine)?;
    engine.down()?;
    engine.up()?;
    eventually(
        "all are back but the one that was stopped",
        2 * SOON,
        || {
            for (name, life) in lives(&engine)? {
                if name == stopped {
                    continue;
                }
                ensure!(life.well, "{name} is not well");
                ensure!(
                    before
                        .get(&name)
                        .is_some_and(|old| old.started != life.started),
                    "{name} never ended: the engine was not really down"
                );
            }
            Ok(())
        },
    )?;
    let after = lives(&engine)?;
    always("each has this one new life", QUIET, || {
        let now = lives(&engine)?;
        ensure!(now == after, "before {after:?}, now {now:?}");
        Ok(())
    })?;
    ensure!(!after[stopped].running, "{stopped} was started");
    Ok(())
}

fn up(engine: &SecondEngine, here: &Stack) -> Result<()> {
    let file = here.root().join("target").join(PROJECT);
    run(engine
        .command("scripts/up")
        .current_dir(here.root())
        .env("STACK_PROJECT", PROJECT)
        .env("STACK_FILE", file.join("docker-compose.yml"))
        .env("PLANARIA_CONFIG", here.root().join(CONFIG))
        .env("SKIP_BUILD", "1")
        .env("KEEP", "1")
        // The tests' own variable is none of the program's.
        .env_remove("PLANARIA_COMPOSE_FILE"))
    .map(drop)
}

#[derive(Debug, PartialEq, Eq)]
struct Life {
    started: String,
    running: bool,
    /// Running, and healthy where it has a check.
    well: bool,
}

/// Every container of the engine by its name.
fn lives(engine: &SecondEngine) -> Result<HashMap<String, Life>> {
    let ids = engine.docker(&["ps", "--all", "--quiet"])?;
    let mut inspect = Command::new("docker");
    inspect.env("DOCKER_HOST", engine.host()).arg("inspect");
    let all: Vec<Value> = serde_json::from_str(&run(inspect.args(ids.lines()))?)?;
    let life = |facts: &Value| {
        let state = &facts["State"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let name = text(&facts["Name"]).context("a container without a name")?;
        let running = state["Status"] == "running";
        let health = state["Health"]["Status"].as_str().unwrap_or("healthy");
        let life = Life {
            started: text(&state["StartedAt"]).context("never started")?,
            running,
            well: running && health == "healthy",
        };
        Ok((name.trim_start_matches('/').to_owned(), life))
    };
    all.iter().map(life).collect()
}
