//! What a container showed right before it was ended or started: the engine forgets the half of it then.

use crate::docker::nanoseconds;
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::LogsOptionsBuilder;
use futures::StreamExt;
use serde::Serialize;
use std::time::Duration;

/// So many lines of its output are told.
const LINES: usize = 20;
/// Some of those read may be of its next life already.
const LINES_READ: usize = 2 * LINES;
/// A line that is longer is cut.
const LINE_MAX: usize = 300;
/// No more is read of the log: a program may write one endless line.
const READ_MAX: usize = 64 * 1024;
/// The engine answers in milliseconds; a webhook need not wait longer.
const LOGS_WAIT: Duration = Duration::from_secs(5);
/// The last output of a health check that is told.
const HEALTH_MAX: usize = 500;
/// The engine's words about a start that failed.
const ERROR_MAX: usize = 500;

/// One container, as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Evidence {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image: String,
    /// The engine's word: `running`, `exited`.
    pub(crate) state: String,
    #[serde(skip)]
    pub(crate) started_at: String,
    #[serde(skip)]
    pub(crate) finished_at: Option<i64>,
    /// Of the first process, where it ended.
    pub(crate) exit_code: Option<i64>,
    pub(crate) oom_killed: bool,
    /// Why its last start failed; empty where it did not.
    pub(crate) error: String,
    /// Checks in a row that failed.
    pub(crate) health_failures: i64,
    /// What the last check wrote, and its exit code.
    pub(crate) health_output: String,
    pub(crate) health_exit_code: Option<i64>,
    /// The last lines of its output, oldest first.
    pub(crate) last_lines: Vec<String>,
    /// Where its own label wants the news sent.
    #[serde(skip)]
    pub(crate) webhook: Option<String>,
    /// Its last lines were asked for.
    #[serde(skip)]
    pub(crate) read: bool,
    /// The grace of its stop, in seconds.
    #[serde(skip)]
    pub(crate) stop_timeout: u64,
}

impl Evidence {
    /// From the engine's `inspect`.
    pub(crate) fn of(found: &ContainerInspectResponse) -> Option<Self> {
        let state = found.state.as_ref()?;
        let config = found.config.as_ref();
        let labels = config.and_then(|config| config.labels.as_ref());
        let label = |name: &str| labels.and_then(|labels| labels.get(name)).cloned();
        let word = state.status.map(|status| status.to_string());
        let ended = state.running != Some(true) && state.paused != Some(true);
        let health = state.health.as_ref();
        let check = health.and_then(|health| health.log.as_ref()?.last());
        let timeout = ["planaria.stop-timeout", "autoheal.stop.timeout"]
            .iter()
            .find_map(|name| label(name)?.trim_end_matches('s').parse().ok())
            .or_else(|| u64::try_from(config?.stop_timeout?).ok());
        Some(Self {
            id: found.id.clone()?,
            name: found
                .name
                .as_deref()
                .unwrap_or_default()
                .trim_start_matches('/')
                .to_owned(),
            image: config
                .and_then(|config| config.image.clone())
                .unwrap_or_default(),
            state: word.unwrap_or_default(),
            started_at: state.started_at.clone().unwrap_or_default(),
            finished_at: state
                .finished_at
                .as_deref()
                .filter(|_| ended)
                .and_then(nanoseconds),
            exit_code: state.exit_code.filter(|_| ended),
            oom_killed: state.oom_killed.unwrap_or(false),
            error: clean(state.error.as_deref().unwrap_or_default(), ERROR_MAX),
            health_failures: health.and_then(|h| h.failing_streak).unwrap_or(0),
            health_output: check
                .and_then(|check| check.output.as_deref())
                .map(|output| clean(output.trim(), HEALTH_MAX))
                .unwrap_or_default(),
            health_exit_code: check.and_then(|check| check.exit_code),
            last_lines: Vec::new(),
            webhook: label("planaria.webhook").filter(|url| !url.is_empty()),
            read: false,
            stop_timeout: timeout.unwrap_or(10),
        })
    }

    pub(crate) fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// Reads the last lines of its output, up to its end where it has one. What cannot be read is left out.
    pub(crate) async fn read_lines(&mut self, docker: &Docker) {
        let tail = LINES_READ.to_string();
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .tail(&tail)
            .build();
        let mut text = Vec::new();
        let read = async {
            let mut stream = std::pin::pin!(docker.logs(&self.id, Some(options)));
            while let Some(Ok(piece)) = stream.next().await {
                let bytes = match piece {
                    LogOutput::StdErr { message }
                    | LogOutput::StdOut { message }
                    | LogOutput::Console { message }
                    | LogOutput::StdIn { message } => message,
                };
                text.extend_from_slice(&bytes);
                if text.len() > READ_MAX {
                    break;
                }
            }
        };
        // Whatever came by then is told.
        let _ = tokio::time::timeout(LOGS_WAIT, read).await;
        self.read = true;
        self.last_lines = last_lines(&String::from_utf8_lossy(&text), self.finished_at);
    }
}

/// The last lines that were written before the end; each begins with its time.
fn last_lines(text: &str, end: Option<i64>) -> Vec<String> {
    let mut lines: Vec<String> = text
        .lines()
        .filter_map(|line| {
            let (time, rest) = line.split_once(' ').unwrap_or((line, ""));
            match (nanoseconds(time), end) {
                (Some(at), Some(end)) if at > end => None,
                (Some(_), _) => Some(clean(rest, LINE_MAX)),
                // The engine did not stamp it: told as it is.
                (None, _) => Some(clean(line, LINE_MAX)),
            }
        })
        .collect();
    let surplus = lines.len().saturating_sub(LINES);
    lines.drain(..surplus);
    lines
}

/// Without control characters, and not longer than that.
fn clean(text: &str, length: usize) -> String {
    let text: String = text
        .chars()
        .filter(|letter| !letter.is_control() || matches!(letter, '\n' | '\t'))
        .collect();
    match text.char_indices().nth(length) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_after_the_end_are_of_the_next_life() {
        let text = "2026-11-21T10:00:00.000000001Z last words\n2026-11-21T10:00:02Z hello again\n";
        let end = nanoseconds("2026-11-21T10:00:01Z");
        assert_eq!(last_lines(text, end), ["last words"]);
        assert_eq!(last_lines(text, None), ["last words", "hello again"]);
        let many: String = (0..50)
            .map(|line| format!("2026-11-21T10:00:00Z line {line}\n"))
            .collect();
        let kept = last_lines(&many, None);
        assert_eq!((kept.len(), kept[0].as_str()), (20, "line 30"));
    }

    #[test]
    fn hostile_output_is_cut_and_cleaned() {
        let line = format!("2026-11-21T10:00:00Z \u{1b}[31m{}", "x".repeat(5000));
        let lines = last_lines(&line, None);
        assert!(lines[0].starts_with("[31mxxx"));
        assert!(lines[0].chars().count() <= LINE_MAX + 1);
        assert_eq!(last_lines("\u{0}\u{7}", None), [""]);
    }
}
