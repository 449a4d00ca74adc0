//! Programs that people want run after a restart, with the arguments they know.

use super::Evidence;
use super::variables::Script;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// A script that is not done by then is ended: they must not pile up.
const TIME_MAX: Duration = Duration::from_secs(300);

impl Script {
    fn line(&self) -> &str {
        match self {
            Self::PostRestart(line) | Self::PostAction(line) => line,
        }
    }

    /// The program and its arguments; as in docker-autoheal the line is split at blanks.
    pub(super) fn command(&self, found: &Evidence) -> Vec<String> {
        let mut words: Vec<String> = self.line().split_whitespace().map(str::to_owned).collect();
        let timeout = found.stop_timeout.to_string();
        match self {
            Self::PostRestart(_) => words.extend([
                format!("/{}", found.name),
                found.short_id().to_owned(),
                found.state.clone(),
                timeout,
            ]),
            Self::PostAction(_) => {
                words.extend([found.name.clone(), found.id.clone(), timeout]);
            }
        }
        words
    }
}

/// Runs it and says how it ended, where it did not end well.
pub(super) async fn run(script: Script, found: Evidence) {
    let words = script.command(&found);
    let Some((program, arguments)) = words.split_first() else {
        return;
    };
    let spawned = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let mend = if error.kind() == std::io::ErrorKind::NotFound {
                "; the file, or the interpreter that its first line names, is not in this image (see docs/operations.md, scripts)"
            } else {
                ""
            };
            tracing::warn!(event = "script_failed", "{program}: {error}{mend}");
            return;
        }
    };
    match tokio::time::timeout(TIME_MAX, child.wait()).await {
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(status)) => tracing::warn!(event = "script_failed", "{program}: {status}"),
        Ok(Err(error)) => tracing::warn!(event = "script_failed", "{program}: {error}"),
        // Dropped, and thereby ended.
        Err(_) => tracing::warn!(
            event = "script_failed",
            "{program}: not done within {} s, ended",
            TIME_MAX.as_secs()
        ),
    }
}
