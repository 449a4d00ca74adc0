//! The example experiments, run by the original (`chaos run`) and by us: the same verdict on each.

use anyhow::{Context, Result, ensure};
use planaria_e2e::stack::{PROJECT, Stack};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Status and deviation of one run.
fn verdict(command: &mut Command, journal: &Path) -> Result<(Value, Value)> {
    let output = command.output()?;
    let text = std::fs::read(journal).with_context(|| {
        format!(
            "no journal: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    })?;
    let journal: Value = serde_json::from_slice(&text)?;
    Ok((journal["status"].clone(), journal["deviated"].clone()))
}

#[test]
#[ignore = "make test-all: five experiments twice, two minutes"]
fn the_original_and_ours_give_the_same_verdict_on_every_example() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let ours = stack.root().join("target/docker/bin/chaos-monkey");
    let original = stack.root().join("target/clients/bin/chaos");
    let folder = tempfile::tempdir()?;
    let path = format!(
        "{}:{}",
        ours.parent().context("no folder")?.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let with = |program: &Path| {
        let mut command = Command::new(program);
        command
            .current_dir(folder.path())
            .env("PATH", &path)
            .env_remove("PLANARIA_COMPOSE_FILE")
            .env_remove("PLANARIA_CONFIG")
            .env("PROJECT", PROJECT)
            .env("WORKER", stack.name("worker-1"))
            .env(
                "WORKER_URL",
                format!(
                    "http://127.0.0.1:{}/",
                    stack.settings().worker_port_base + 1
                ),
            );
        command
    };
    let mut files: Vec<_> = std::fs::read_dir(stack.root().join("chaos-monkey/examples"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    ensure!(files.len() >= 5, "where are the examples?");
    for file in files {
        let name = file
            .file_name()
            .context("no name")?
            .to_string_lossy()
            .into_owned();
        let (theirs, own) = (
            folder.path().join("theirs.json"),
            folder.path().join("own.json"),
        );
        stack.settled()?;
        let first = verdict(
            with(&original)
                .arg("--no-version-check")
                .arg("run")
                .arg("--journal-path")
                .arg(&theirs)
                .arg(&file),
            &theirs,
        )?;
        stack.settled()?;
        let second = verdict(
            with(&ours)
                .arg("experiment")
                .arg("--journal")
                .arg(&own)
                .arg(&file),
            &own,
        )?;
        ensure!(
            first == second,
            "{name}: chaos run says {first:?}, chaos-monkey {second:?}"
        );
        println!("{name}: {first:?} from both");
        std::fs::remove_file(&theirs)?;
        std::fs::remove_file(&own)?;
    }
    Ok(())
}
