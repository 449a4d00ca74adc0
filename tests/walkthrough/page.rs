//! The console as people and programs use it: a real Chromium, schemathesis, promtool.

use anyhow::{Context, Result, ensure};
use planaria_e2e::docker::{docker, run};
use planaria_e2e::stack::Stack;
use std::path::PathBuf;
use std::process::Command;

/// Requests per operation: enough for every kind of wrong input, and seconds on two cores.
const EXAMPLES: &str = "10";

struct Tools {
    folder: PathBuf,
    tests: PathBuf,
}

impl Tools {
    fn new(stack: &Stack) -> Result<Self> {
        run(&mut Command::new(stack.root().join("scripts/browser")))?;
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| stack.root().join("target"), PathBuf::from);
        Ok(Self {
            folder: target.join("browser/bin"),
            tests: stack.root().join("tests/console"),
        })
    }

    fn python(&self, script: &str) -> Command {
        let mut command = Command::new(self.folder.join("python"));
        command.arg(self.tests.join(script));
        command
    }
}

fn console(stack: &Stack) -> String {
    format!("http://127.0.0.1:{}", stack.settings().console_port)
}

#[test]
fn a_person_sees_it_break_acts_and_sees_it_heal() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let tools = Tools::new(&stack)?;
    let password = run(&mut Command::new(
        stack.root().join("scripts/console-password"),
    ))?;
    let pictures = tools.folder.join("../../console-pictures");
    let said = run(tools
        .python("page.py")
        .arg(console(&stack))
        .arg(password)
        .arg(stack.name(""))
        .arg(&pictures))?;
    println!("{said}");
    stack.settled()?;
    Ok(())
}

#[test]
fn the_api_is_what_its_document_says() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let tools = Tools::new(&stack)?;
    let document = format!("{}/api/v1/openapi.json", console(&stack));
    // Without a login nothing is done: what acts must refuse, whatever it is sent.
    let said = run(Command::new(tools.folder.join("schemathesis"))
        .current_dir(&tools.folder)
        .args(["run", &document, "--max-examples", EXAMPLES, "--phases", "examples,fuzzing", "--no-color"])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"]))?;
    println!("{}", said.lines().last().unwrap_or_default());
    Ok(())
}

#[test]
fn metrics_rules_and_dashboard_are_what_prometheus_and_grafana_read() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let tools = Tools::new(&stack)?;
    let prometheus = stack.root().join("docker/prometheus");
    let promtool = |words: &[&str]| {
        run(Command::new("promtool")
            .current_dir(&prometheus)
            .args(words))
    };
    promtool(&["check", "config", "prometheus.yml"])?;
    promtool(&["test", "rules", "rules-test.yml"])?;
    let dashboard: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(
        stack.root().join("docker/grafana/planaria.json"),
    )?)?;
    ensure!(
        dashboard["panels"]
            .as_array()
            .is_some_and(|panels| panels.len() > 10),
        "the dashboard has no panels"
    );
    let mut urls = vec![format!("{}/metrics", console(&stack))];
    for name in stack.monitors()? {
        let address = docker(&[
            "inspect",
            "--format",
            "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}",
            &name,
        ])?;
        let address = address
            .split_whitespace()
            .next()
            .with_context(|| format!("{name} has no address"))?
            .to_owned();
        urls.push(format!("http://{address}:9747/metrics"));
    }
    run(tools.python("metrics.py").args(&urls))?;
    Ok(())
}
