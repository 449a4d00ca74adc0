//! Asks a monitor for its `/status` over HTTP, for those that want more than their own monitor knows.

use planaria_core::status::Status;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A monitor answers within a millisecond; one that does not is not worth waiting for.
const WITHIN: Duration = Duration::from_secs(2);
/// A status of 200 members takes about 80 KB.
const ANSWER_MAX: u64 = 4 << 20;

/// The status of the monitor at `address` (`host:port`).
///
/// # Errors
/// Where nobody answers in time, or with something else.
pub async fn status(address: &str) -> io::Result<Status> {
    let answer = tokio::time::timeout(WITHIN, get(address, "/status")).await??;
    serde_json::from_slice(body(&answer)?).map_err(io::Error::other)
}

/// The first answer of several that know a leader, else the first answer.
pub async fn any_status(addresses: &[String]) -> Option<Status> {
    let mut first = None;
    for address in addresses {
        match status(address).await {
            Ok(status) if status.leader.is_some() => return Some(status),
            Ok(status) => first = first.or(Some(status)),
            Err(error) => tracing::debug!(event = "status_missing", "{address}: {error}"),
        }
    }
    first
}

/// HTTP/1.0, so that the answer comes in one piece and ends with the connection.
async fn get(address: &str, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let host = address.split(':').next().unwrap_or(address);
    stream
        .write_all(format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes())
        .await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
    Ok(answer)
}

fn body(answer: &[u8]) -> io::Result<&[u8]> {
    let wrong = || io::Error::other("this is no answer of a monitor");
    let good = answer.starts_with(b"HTTP/1.1 200") || answer.starts_with(b"HTTP/1.0 200");
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n");
    match (good, split) {
        (true, Some(at)) => answer.get(at + 4..).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_answer_has_a_body() {
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}").unwrap(), b"{}");
        for bad in [
            &b"HTTP/1.1 503 x\r\n\r\n{}"[..],
            b"HTTP/1.1 200 OK\r\n",
            b"",
            b"\r\n\r\n",
        ] {
            assert!(body(bad).is_err());
        }
    }
}
