//! Asks every member that is heard for its numbers, a few at a time, and measures how long that takes.

use crate::snapshot::Snapshot;
use crate::vitals::{Storage, storage_of};
use planaria_core::message::MemberState;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Between two questions to the same member.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// Beyond this it is not slow but silent.
const WITHIN: Duration = Duration::from_secs(3);
/// A member's numbers take a few kilobytes.
const ANSWER_MAX: u64 = 512 * 1024;
/// Members that are asked: the others show on their own pages.
const MEMBERS_MAX: usize = 500;

/// What one member answered.
#[derive(Clone, Debug)]
pub struct Scraped {
    /// Who.
    pub name: String,
    /// How long it took; nothing where no answer came.
    pub latency_ms: Option<u64>,
    /// Where it is a storage node.
    pub storage: Option<Storage>,
}

/// Asks for ever, evenly spread over the interval; `port` is that of the health servers.
pub async fn run(snapshots: watch::Receiver<Arc<Snapshot>>, port: u16, out: mpsc::Sender<Scraped>) {
    loop {
        let begun = Instant::now();
        let names: Vec<String> = snapshots
            .borrow()
            .known
            .status
            .members
            .iter()
            .filter(|member| {
                !matches!(
                    member.state,
                    MemberState::Patient | MemberState::Left | MemberState::Dead
                )
            })
            .map(|member| member.name.to_string())
            .take(MEMBERS_MAX)
            .collect();
        let share = ASK_EVERY / u32::try_from(names.len().max(1)).unwrap_or(u32::MAX);
        for (index, name) in names.into_iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let scraped = ask(name, port).await;
            if out.send(scraped).await.is_err() {
                return;
            }
            tokio::time::sleep_until(begun + share * (index + 1)).await;
        }
        tokio::time::sleep_until(begun + ASK_EVERY).await;
    }
}

async fn ask(name: String, port: u16) -> Scraped {
    let begun = Instant::now();
    let answer = tokio::time::timeout(WITHIN, get(&name, port)).await;
    let latency = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    match answer {
        Ok(Ok(text)) => Scraped {
            storage: storage_of(&text),
            latency_ms: Some(latency),
            name,
        },
        Ok(Err(_)) | Err(_) => Scraped {
            name,
            latency_ms: None,
            storage: None,
        },
    }
}

async fn get(name: &str, port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((name, port)).await?;
    stream
        .write_all(format!("GET /metrics HTTP/1.0\r\nHost: {name}\r\n\r\n").as_bytes())
        .await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
