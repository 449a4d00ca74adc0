//! The line protocol: for people with `nc`, and for the simplest question of all.

use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The longest line, in bytes.
const MAX_LINE: u64 = 1024;
/// How long a client may be silent.
const IDLE: Duration = Duration::from_secs(30);
/// How many clients are served at once.
const MAX_CONNECTIONS: usize = 64;
/// Rest after a failed accept: file descriptors may be exhausted.
const ACCEPT_REST: Duration = Duration::from_millis(100);

const HELP: &str =
    "NODE PING answers PONG; HELP this; QUIT ends. Everything else is served by S3.\n";

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_REST).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                // A client that breaks off is nothing to report.
                _ = talk(stream) => {}
                () = stop.cancelled() => {}
            }
            drop(place);
        });
    }
}

async fn talk(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (input, mut output) = stream.into_split();
    let mut input = BufReader::new(input);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut input).take(MAX_LINE);
        let Ok(read) = timeout(IDLE, bounded.read_until(b'\n', &mut line)).await else {
            return Ok(());
        };
        if read? == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            return output
                .write_all(b"ERR a line has at most 1024 bytes and an end\n")
                .await;
        }
        let Some(answer) = answer(&line) else {
            return Ok(());
        };
        output.write_all(answer.as_bytes()).await?;
    }
}

/// The answer to a line; none ends the conversation.
fn answer(line: &[u8]) -> Option<&'static str> {
    let Ok(line) = std::str::from_utf8(line) else {
        return Some("ERR not UTF-8\n");
    };
    let upper = line.trim().to_ascii_uppercase();
    let mut words = upper.split_whitespace();
    Some(match (words.next(), words.next(), words.next()) {
        (Some("NODE"), Some("PING"), None) => "PONG\n",
        (Some("HELP"), None, None) => HELP,
        (Some("QUIT"), None, None) => return None,
        (None, None, None) => "",
        (Some("NODE" | "TOPOLOGY" | "NETMAP" | "FILE"), Some(_), _) => {
            "ERR this needs authentication, which this port does not offer; use S3\n"
        }
        _ => "ERR not understood; try HELP\n",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ping_is_answered_and_the_rest_refused() {
        assert_eq!(answer(b"NODE PING\n"), Some("PONG\n"));
        assert_eq!(answer(b"node ping\r\n"), Some("PONG\n"));
        assert_eq!(answer(b"QUIT\n"), None);
        assert!(
            answer(b"FILE PULL x\n")
                .unwrap()
                .starts_with("ERR this needs")
        );
        for bad in [&b"NODE PING PING\n"[..], b"x\n", b"\xff\n", b"\0\n"] {
            assert!(answer(bad).unwrap().starts_with("ERR"), "{bad:?}");
        }
    }
}
