//! The engine, through the command line that people use.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// Runs `docker` and gives what it printed.
///
/// # Errors
/// Where it exits with another code than zero, with what it said.
pub fn docker(arguments: &[&str]) -> Result<String> {
    run(Command::new("docker").args(arguments))
}

/// Runs a command and gives what it printed.
///
/// # Errors
/// Where it cannot be started or exits with another code than zero, with what it said.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{command:?} did not start"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{command:?} ended with {}: {said}",
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What the engine knows of a container.
///
/// # Errors
/// Where there is none of that name.
pub fn inspect(container: &str) -> Result<Value> {
    let all: Value =
        serde_json::from_str(&docker(&["inspect", "--type", "container", container])?)?;
    all.get(0)
        .cloned()
        .with_context(|| format!("{container} is not there"))
}

/// Its state word.
///
/// # Errors
/// Where there is none of that name.
pub fn state(container: &str) -> Result<String> {
    Ok(inspect(container)?["State"]["Status"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

/// When it was started last.
///
/// # Errors
/// Where there is none of that name.
pub fn started_at(container: &str) -> Result<String> {
    Ok(inspect(container)?["State"]["StartedAt"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

/// That it runs, and is healthy where it has a check.
///
/// # Errors
/// Where it does not, with how it stands.
pub fn ensure_well(container: &str) -> Result<()> {
    let facts = inspect(container)?;
    let state = &facts["State"];
    ensure!(
        state["Status"] == "running",
        "{container} is {}",
        state["Status"]
    );
    match state["Health"]["Status"].as_str() {
        None | Some("healthy") => Ok(()),
        Some(other) => bail!("{container} runs and is {other}"),
    }
}

/// The log of a container, both streams.
///
/// # Errors
/// Where there is none of that name.
pub fn log(container: &str) -> Result<String> {
    let output = Command::new("docker")
        .args(["logs", "--tail", "2000", container])
        .output()?;
    ensure!(output.status.success(), "no log of {container}");
    Ok(format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// One event of the engine, as it came.
#[derive(Clone, Debug)]
pub struct Event {
    /// The container's name.
    pub container: String,
    /// `start`, `die`, `kill`, …
    pub action: String,
    /// The exit code of a `die`.
    pub exit_code: Option<String>,
    /// The number of a `kill`'s signal.
    pub signal: Option<String>,
}

/// Everything that the engine told from the moment of its making on.
pub struct Events {
    seen: Arc<Mutex<Vec<Event>>>,
    listener: Child,
}

impl Events {
    /// Starts to listen to a project's containers, and returns once the engine streams.
    ///
    /// # Errors
    /// Where `docker events` cannot be started.
    pub fn listen(filter: &str) -> Result<Self> {
        Self::listen_to(Command::new("docker"), filter)
    }

    /// The same of another engine, as `command` reaches it.
    ///
    /// # Errors
    /// Where `docker events` cannot be started.
    pub fn listen_to(mut command: Command, filter: &str) -> Result<Self> {
        let mut ask = Command::new(command.get_program());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                ask.env(name, value);
            }
        }
        // `--since` of a moment ago: the stream then begins at a time and not when the process happens to be up.
        let since = run(ask.args(["system", "info", "--format", "{{.SystemTime}}"]))?;
        let mut listener = command
            .args([
                "events",
                "--format",
                "{{json .}}",
                "--filter",
                "type=container",
            ])
            .args(["--filter", filter, "--since", &since])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stream = listener
            .stdout
            .take()
            .context("docker events has no output")?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let Ok(event) = serde_json::from_str::<Value>(&line) else {
                    continue;
                };
                let attributes = &event["Actor"]["Attributes"];
                let text = |value: &Value| value.as_str().map(str::to_owned);
                sink.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Event {
                        container: text(&attributes["name"]).unwrap_or_default(),
                        action: text(&event["Action"]).unwrap_or_default(),
                        exit_code: text(&attributes["exitCode"]),
                        signal: text(&attributes["signal"]),
                    });
            }
        });
        Ok(Self { seen, listener })
    }

    /// All so far, health checks' own `exec` events left out.
    #[must_use]
    pub fn all(&self) -> Vec<Event> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter()
            .filter(|event| !event.action.starts_with("exec_"))
            .cloned()
            .collect()
    }

    /// How often this happened to that container so far.
    #[must_use]
    pub fn count(&self, container: &str, action: &str) -> usize {
        self.all()
            .iter()
            .filter(|event| event.container == container && event.action == action)
            .count()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // It may have ended by itself; either way there is nobody to tell.
        let _ = self.listener.kill();
        let _ = self.listener.wait();
    }
}
