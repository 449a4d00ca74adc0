//! `monitor why` tells a kill, a hang and a person's stop apart, whoever leads by then; what a monitor
//! was told in all that turmoil leads to the same decisions once more.

use crate::{healers, monitor};
use anyhow::{Context, Result, ensure};
use planaria_e2e::docker::{docker, ensure_well, started_at};
use planaria_e2e::patience::{SOON, eventually};
use planaria_e2e::stack::Stack;

#[test]
fn why_tells_a_kill_a_hang_and_a_stop_apart_also_after_the_leader_is_gone() -> Result<()> {
    let stack = Stack::new()?;
    let first = stack.settled()?;
    let worker = stack.name("worker-1");
    again(&worker, || docker(&["kill", &worker]).map(drop))?;
    stack.settled()?;
    again(&worker, || {
        let stop = "kill -STOP $(cat /run/nginx.pid)";
        docker(&["exec", &worker, "sh", "-c", stop]).map(drop)
    })?;
    stack.settled()?;
    let told = monitor(&first.leader, &["why", &worker])?;
    tells_both(&told)?;
    // Whoever healed it forgets what it knew.
    docker(&["kill", &first.leader])?;
    let second = stack.settled()?;
    docker(&["stop", &worker])?;
    for healer in healers(&stack) {
        eventually("the stop is known", SOON, || {
            let told = monitor(&healer, &["why", &worker])?;
            ensure!(told.contains("because a person stopped it at 20"), "{told}");
            Ok(())
        })?;
        let told = monitor(&healer, &["why", &worker])?;
        tells_both(&told)?;
    }
    docker(&["start", &worker])?;
    // Others than healers read no journal, and still tell what the healers remember.
    let told = monitor(&stack.name("console"), &["why", &worker])?;
    ensure!(told.contains("Now: "), "{told}");
    let settled = stack.settled()?;
    ensure!(settled.term >= second.term, "terms go up");
    replays(&stack)
}

/// Does it, and waits until the worker runs again.
fn again(worker: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = started_at(worker)?;
    act()?;
    eventually("it is healed", SOON, || {
        ensure!(started_at(worker)? != before, "the same life");
        ensure_well(worker)
    })
}

/// A sentence for each, with its own cause and its times.
fn tells_both(told: &str) -> Result<()> {
    let sentence = |cause: &str| {
        told.lines()
            .find(|line| line.contains(cause))
            .with_context(|| format!("nothing of {cause:?} in {told}"))
    };
    let (kill, hang) = (
        sentence("was killed by a signal from outside")?,
        sentence("hung and ended itself (apoptosis)")?,
    );
    for line in [kill, hang] {
        ensure!(line.contains(" ms until it ran"), "no times: {line}");
        ensure!(line.starts_with("At 20"), "no time of day: {line}");
    }
    let at = |line: &str| told.find(line).unwrap_or_default();
    ensure!(at(kill) < at(hang), "the later one stands later: {told}");
    Ok(())
}

/// Every healer's recording, this boot's and the one's before, taken in the middle of its life.
fn replays(stack: &Stack) -> Result<()> {
    let mut inputs = 0;
    for healer in healers(stack) {
        for file in ["recording.jsonl", "recording.before.jsonl"] {
            let path = format!("/state/{file}");
            let Ok(told) = monitor(&healer, &["replay", "--json", &path]) else {
                let told = monitor(&healer, &["replay", &path]);
                let reason = told
                    .err()
                    .map(|error| format!("{error:#}"))
                    .unwrap_or_default();
                // A healer that was never restarted has no boot before.
                ensure!(reason.contains("No such file"), "{healer} {file}: {reason}");
                continue;
            };
            let last = told.lines().last().context("it said nothing")?;
            let end: serde_json::Value = serde_json::from_str(last)?;
            ensure!(end["same"] == true, "{healer} {file}: {last}");
            inputs += end["inputs"].as_u64().unwrap_or_default();
        }
    }
    ensure!(inputs > 100, "only {inputs} inputs were recorded");
    Ok(())
}
