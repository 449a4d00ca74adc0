//! Who was frozen acts on nothing when it wakes; a frozen broker is thawed.

use crate::{healers, monitor};
use anyhow::{Context, Result, ensure};
use planaria_e2e::docker::{Event, docker, ensure_well, started_at, state};
use planaria_e2e::patience::{SOON, always, eventually};
use planaria_e2e::stack::Stack;
use std::time::Duration;

/// Longer than the lease, the broker's patience and the heartbeat time-out together.
const FROZEN: Duration = Duration::from_secs(20);

#[test]
fn a_leader_frozen_for_20_s_acts_on_nothing_when_it_wakes() -> Result<()> {
    let stack = Stack::new()?;
    let before = stack.settled()?;
    let old = before.leader.clone();
    let (worker, plain) = (stack.name("worker-1"), stack.name("plain-1"));
    // Or the others would thaw it after `PAUSE_GRACE`.
    let words = ["hold", &old, "--for", "3m", "--reason", "a test freezes it"];
    monitor(&old, &words)?;
    let orders = |name: &str| -> Result<u64> {
        let status = stack.status_of(name)?;
        status["restarts_ordered"]
            .as_u64()
            .context("no restarts_ordered")
    };
    let given = orders(&old)?;
    let events = stack.events()?;
    docker(&["pause", &old])?;
    let began = std::time::Instant::now();
    // It hears of these only when it wakes.
    docker(&["kill", &worker, &plain])?;
    eventually("its successor heals what died meanwhile", SOON, || {
        ensure_well(&worker)?;
        ensure_well(&plain)
    })?;
    always(
        "it stays frozen",
        FROZEN.saturating_sub(began.elapsed()),
        || {
            ensure!(state(&old)? == "paused", "{old} is {}", state(&old)?);
            Ok(())
        },
    )?;
    docker(&["unpause", &old])?;
    eventually("it knows its successor", SOON, || {
        let status = stack.status_of(&old)?;
        let term = status["term"].as_u64().unwrap_or_default();
        ensure!(term > before.term, "it still sees term {term}");
        Ok(())
    })?;
    always("it acts on nothing", Duration::from_secs(5), || {
        let now = orders(&old)?;
        ensure!(now == given, "{old} gave {} orders", now - given);
        Ok(())
    })?;
    for name in [&worker, &plain] {
        let starts = events.count(name, "start");
        ensure!(starts == 1, "{name} was started {starts} times");
    }
    let others = touched(&events.all(), &[&worker, &plain]);
    ensure!(others.is_empty(), "others were touched: {others:?}");
    monitor(&old, &["resume", &old])?;
    stack.settled().map(drop)
}

#[test]
fn a_frozen_broker_is_healed_and_nobody_else_is_touched() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let broker = stack.name("rabbitmq");
    let started = started_at(&broker)?;
    let events = stack.events()?;
    docker(&["pause", &broker])?;
    eventually("it is thawed, and well", 2 * SOON, || ensure_well(&broker))?;
    stack.settled()?;
    ensure!(started_at(&broker)? == started, "thawing was enough");
    let others = touched(&events.all(), &[]);
    ensure!(others.is_empty(), "its silence cost others: {others:?}");
    Ok(())
}

#[test]
#[ignore = "a minute and more: make test-all"]
fn a_broker_that_hangs_is_forced_by_its_guardian_and_nobody_else_is_touched() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let broker = stack.name("rabbitmq");
    let started = started_at(&broker)?;
    let events = stack.events()?;
    // The program below the first process: the kernel goes on to take connections for it.
    let stop = "kill -STOP $(cat /proc/[0-9]*/stat | awk '$2 ~ /beam/ {print $1}')";
    docker(&["exec", &broker, "sh", "-c", stop])?;
    eventually("it was forced, and is well again", 3 * SOON, || {
        ensure!(started_at(&broker)? != started, "the same life");
        ensure_well(&broker)
    })?;
    stack.settled()?;
    let others = touched(&events.all(), &[&broker]);
    ensure!(others.is_empty(), "its silence cost others: {others:?}");
    ensure!(
        events.count(&broker, "start") == 1,
        "it was started {} times",
        events.count(&broker, "start")
    );
    ensure!(healers(&stack).len() >= 2, "a group of one proves little");
    Ok(())
}

/// What was killed, died or was started, but for these.
fn touched(events: &[Event], but: &[&str]) -> Vec<String> {
    events
        .iter()
        .filter(|event| !but.contains(&event.container.as_str()))
        .filter(|event| matches!(event.action.as_str(), "start" | "die" | "kill"))
        .map(|event| format!("{} {}", event.action, event.container))
        .collect()
}
