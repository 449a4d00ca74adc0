//! Acceptance 5: one signal, one victim, healed.

use anyhow::{Context, Result, ensure};
use planaria_e2e::clients::Console;
use planaria_e2e::docker::{docker, log, started_at, state};
use planaria_e2e::patience::{SOON, eventually};
use planaria_e2e::patients::IMAGE;
use planaria_e2e::stack::{PROJECT, Stack};
use std::process::Command;

#[test]
fn one_signal_is_one_victim_named_in_the_log_and_healed() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let monkey = stack.name("chaos_monkey");
    let events = stack.events()?;
    let before = log(&monkey)?.len();
    docker(&["kill", "--signal=SIGUSR1", &monkey])?;
    let victim = eventually("a victim died", SOON, || {
        let died = events.all().into_iter().find(|event| event.action == "die");
        Ok(died.context("nobody died yet")?.container)
    })?;
    eventually("the monkey's log names it", SOON, || {
        let log = log(&monkey)?;
        ensure!(
            log[before.min(log.len())..].contains(&victim),
            "no {victim} in the new part of the log"
        );
        Ok(())
    })?;
    stack.settled()?;
    let victims: std::collections::BTreeSet<String> = events
        .all()
        .into_iter()
        .filter(|event| event.action == "die")
        .map(|event| event.container)
        .collect();
    ensure!(victims.len() == 1, "not one victim but {victims:?}");
    eventually("what was done about it names the attack", SOON, || {
        let text = docker(&["exec", &monkey, "/chaos-monkey", "report", "--json"])?;
        let report: serde_json::Value = serde_json::from_str(&text)?;
        let attacks = report["attacks"].as_array().context("no attacks")?;
        let id = attacks.last().and_then(|attack| attack["id"].as_str());
        let id = id.context("no id")?;
        let why = docker(&["exec", &stack.name("healer-1"), "/monitor", "why", &victim])?;
        ensure!(
            why.contains(&format!("attack {id} of the chaos monkey")),
            "{id} is not in: {why}"
        );
        Ok(())
    })?;
    ensure!(
        victim != monkey && victim != stack.name("rabbitmq"),
        "{victim} must not be attacked unasked"
    );
    Ok(())
}

/// One attack each 30 s.
const AN_HOUR_OF_PLANS: u64 = 120;

/// Acceptance 2 and 3 of the monkey: the same seed, the same plan; a dry run touches nothing; and a stack beside
/// ours, whose containers are named like ours, is never meant.
#[test]
fn an_hour_of_plans_is_repeatable_touches_nothing_and_means_no_bystander() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let beside = Beside::start(&stack)?;
    let ours = stack.containers()?;
    let events = stack.events()?;
    let plan = |seed: u64| {
        let output = Command::new(stack.root().join("target/docker/bin/chaos-monkey"))
            .args(["attack", "--dry-run", "--project", PROJECT])
            .args(["--fault", "kill", "--seed", &seed.to_string()])
            .env_remove("PLANARIA_COMPOSE_FILE")
            .env("PLANARIA_CONFIG", stack.config())
            .output()?;
        let said = String::from_utf8(output.stdout)?;
        let name = said
            .strip_prefix("Would attack ")
            .and_then(|rest| rest.split(' ').next())
            .with_context(|| format!("{said}{}", String::from_utf8_lossy(&output.stderr)))?;
        Ok::<_, anyhow::Error>(name.to_owned())
    };
    let mut meant = std::collections::BTreeSet::new();
    for seed in 1..=AN_HOUR_OF_PLANS {
        let name = plan(seed)?;
        ensure!(ours.contains(&name), "seed {seed} means {name}");
        ensure!(
            name != stack.name("chaos_monkey") && name != stack.name("rabbitmq"),
            "seed {seed} means {name} unasked"
        );
        if seed % 10 == 0 {
            let again = plan(seed)?;
            ensure!(again == name, "seed {seed} means {name}, then {again}");
        }
        meant.insert(name);
    }
    ensure!(
        meant.len() == ours.len() - 2,
        "not everybody has a turn: {meant:?}"
    );
    let touched: Vec<String> = events
        .all()
        .into_iter()
        .filter(|event| {
            !event.action.starts_with("exec_") && !event.action.starts_with("health_status")
        })
        .map(|event| format!("{} {}", event.action, event.container))
        .collect();
    ensure!(
        touched.is_empty(),
        "a dry run touched something: {touched:?}"
    );
    beside.is_untouched()
}

/// A stack of somebody else, whose containers are named like ours and say to be what ours are.
struct Beside {
    names: Vec<String>,
    started: Vec<String>,
}

impl Beside {
    fn start(stack: &Stack) -> Result<Self> {
        let mut beside = Self {
            names: Vec::new(),
            started: Vec::new(),
        };
        for (short, role) in [
            ("worker-1", "worker"),
            ("storage-node-1", "storage"),
            ("healer-1", "healer"),
        ] {
            let name = format!("{}-beside", stack.name(short));
            let labels = [
                format!("com.docker.compose.project={PROJECT}-beside"),
                format!("com.docker.compose.service={short}"),
                format!("planaria.role={role}"),
            ];
            let mut arguments = vec![
                "run",
                "--detach",
                "--init",
                "--network",
                "none",
                "--name",
                &name,
            ];
            for label in &labels {
                arguments.extend(["--label", label]);
            }
            arguments.extend([IMAGE, "sleep", "600"]);
            docker(&arguments)?;
            beside.started.push(started_at(&name)?);
            beside.names.push(name);
        }
        Ok(beside)
    }

    fn is_untouched(&self) -> Result<()> {
        for (name, started) in self.names.iter().zip(&self.started) {
            ensure!(started_at(name)? == *started, "{name} lives another life");
            let state = docker(&["inspect", "--format", "{{.State.Status}}", name])?;
            ensure!(state == "running", "{name} is {state}");
        }
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        for name in &self.names {
            // A name that is taken shows in the next run.
            drop(docker(&["rm", "--force", name]));
        }
    }
}

/// What the ledger said on the broker is the copy that outlives the monkey.
#[test]
fn a_stop_whose_monkey_is_gone_is_undone_by_the_leader() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let (monkey, victim) = (stack.name("chaos_monkey"), stack.name("plain-1"));
    let healer = stack.name("healer-1");
    let monitor =
        |arguments: &[&str]| docker(&[&["exec", &healer, "/monitor"], arguments].concat());
    let console = Console::log_in(&stack)?;
    // Nobody brings the monkey back, which would take back what it did.
    monitor(&["hold", &monkey, "--for", "5m", "--reason", "a test"])?;
    let before = started_at(&victim)?;
    let asked = format!(r#"{{"fault": "stop", "target": "{victim}"}}"#);
    let told = console.act("/api/v1/chaos/attack", &asked)?;
    eventually("it is stopped", SOON, || {
        ensure!(state(&victim)? == "exited", "it still runs; {told}");
        Ok(())
    })?;
    docker(&["kill", &monkey])?;
    let undone = eventually("the leader starts it again", SOON, || {
        let same = started_at(&victim)? == before;
        ensure!(state(&victim)? == "running" && !same, "it is still down");
        Ok(())
    });
    let alone = state(&monkey);
    monitor(&["resume", &monkey])?;
    docker(&["start", &monkey])?;
    undone?;
    ensure!(alone? == "exited", "the monkey itself was back");
    stack.settled()?;
    Ok(())
}
