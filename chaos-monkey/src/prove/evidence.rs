//! What a person needs who asks why a check is broken: each container's log, and what its monitor says,
//! as files beside the report.

use super::witness;
use crate::engine::Engine;
use bollard::Docker;
use bollard::query_parameters::LogsOptionsBuilder;
use futures::StreamExt;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// The folder beside the report.
pub const FOLDER: &str = "evidence";
/// Of each log: a node that logs more than that in a proof says the same again and again.
const LOG_MAX: usize = 8 << 20;
/// One container's log, or one question to its monitor, takes no longer.
const WITHIN: Duration = Duration::from_secs(10);

/// Writes down what the project's containers say now. What cannot be had is missing: this is the
/// coroner, not the judge.
pub async fn keep(engine: &Docker, project: &str, began_ms: u64, report: &Path) {
    let folder = report.join(FOLDER);
    if let Err(error) = std::fs::create_dir_all(&folder) {
        tracing::warn!(event = "evidence_lost", "{}: {error}", folder.display());
        return;
    }
    for container in engine.list().await.unwrap_or_default() {
        if container.is_of(project) {
            let path = folder.join(format!("{}.log", container.name));
            if let Err(error) = log(engine, &container.id, began_ms, &path).await {
                tracing::warn!(event = "evidence_lost", "{}: {error}", path.display());
            }
        }
    }
    for (name, address) in witness::members(engine, project, None).await {
        for page in ["status", "metrics"] {
            let url = format!("http://{address}/{page}");
            let asked = tokio::task::spawn_blocking(move || ask(&url)).await;
            if let Ok(Some(text)) = asked {
                drop(std::fs::write(folder.join(format!("{name}.{page}")), text));
            }
        }
    }
}

fn ask(url: &str) -> Option<String> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(WITHIN))
        .build();
    let mut answer = ureq::Agent::from(config).get(url).call().ok()?;
    answer.body_mut().read_to_string().ok()
}

async fn log(engine: &Docker, id: &str, began_ms: u64, path: &Path) -> std::io::Result<()> {
    let since = i32::try_from(began_ms / 1000).unwrap_or(0);
    let options = LogsOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .since(since)
        .build();
    let mut stream = std::pin::pin!(engine.logs(id, Some(options)));
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut left = LOG_MAX;
    let copied = async {
        while let Some(Ok(part)) = stream.next().await {
            let bytes = part.into_bytes();
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                break;
            }
            file.write_all(&bytes)?;
        }
        file.flush()
    };
    tokio::time::timeout(WITHIN, copied).await?
}
