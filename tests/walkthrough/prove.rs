//! The proof: load, faults at random, judgement. Its report says what did not hold.

use anyhow::{Context, Result, ensure};
use planaria_e2e::docker::run;
use planaria_e2e::stack::Stack;
use serde_json::Value;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Long enough for every role to have its turn now and then, short enough for every change.
const MINUTES: &str = "2";

#[test]
#[ignore = "make test-all: minutes"]
fn nothing_is_lost_while_everything_is_attacked() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let folder = tempfile::tempdir()?;
    // The date, so that each day tries another plan and a day's failure can be repeated.
    let day = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 86_400;
    let made = run(Command::new(stack.root().join("scripts/prove"))
        .env("SKIP_UP", "1")
        .env("MINUTES", MINUTES)
        .env("SEED", day.to_string())
        .env("OUT", folder.path()));
    let report: Value = serde_json::from_slice(
        &std::fs::read(folder.path().join("report.json")).context("no report was written")?,
    )?;
    let kept = stack.root().join("target/prove/newest");
    std::fs::create_dir_all(&kept)?;
    for file in ["report.html", "report.json", "history.edn", "events.json"] {
        std::fs::copy(folder.path().join(file), kept.join(file))?;
    }
    let broken: Vec<&Value> = report["checks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|it| it["holds"] != true)
        .collect();
    ensure!(
        broken.is_empty(),
        "seed {day}, see {}: {broken:#?}",
        kept.display()
    );
    made?;
    let attacks = report["attacks"].as_array().context("no attacks")?;
    ensure!(
        attacks.iter().filter(|it| it["injected"] == true).count() >= 3,
        "too few attacks: {attacks:#?}"
    );
    stack.settled().map(drop)
}

/// Builds that break one rule on purpose: the proof must be red, and there where the rule is.
fn bites(rule: &str) -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    run(Command::new(stack.root().join("scripts/prove-bites")).args(["run", rule]))?;
    stack.settled().map(drop)
}

#[test]
#[ignore = "make test-all: builds a sabotaged store, and minutes"]
fn the_proof_sees_a_store_that_answers_before_it_has_written() -> Result<()> {
    bites("ack-before-disk")
}

#[test]
#[ignore = "make test-all: builds sabotaged healers, and minutes"]
fn the_proof_sees_a_leader_that_goes_on_after_it_was_followed() -> Result<()> {
    bites("no-fence")
}
