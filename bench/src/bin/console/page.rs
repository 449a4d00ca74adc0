//! The page as browsers ask for it.

use crate::PORT;
use anyhow::{Context, Result, ensure};
use planaria_bench::figures::Spread;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Loads of the page by a browser.
const LOADS: &str = "10";

async fn get(path: &str, headers: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", PORT)).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: console\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

pub(crate) async fn json(path: &str) -> Result<serde_json::Value> {
    let answer = get(path, "").await?;
    let text = String::from_utf8_lossy(&answer);
    let body = text.split_once("\r\n\r\n").context("no body")?.1;
    Ok(serde_json::from_str(body)?)
}

/// An open page; the sender gets each line with the time at which it was there.
pub(crate) async fn open(
    heard: Option<tokio::sync::mpsc::UnboundedSender<(Instant, String)>>,
) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", PORT)).await?;
    stream
        .write_all(b"GET /events?view=overview HTTP/1.1\r\nHost: console\r\n\r\n")
        .await?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(heard) = &heard
            && heard.send((Instant::now(), line)).is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

/// How long after `happen` a line of the page's stream holds the text.
pub(crate) async fn until_shown(
    heard: &mut tokio::sync::mpsc::UnboundedReceiver<(Instant, String)>,
    since: Instant,
    fits: impl Fn(&str) -> bool,
) -> Result<Duration> {
    let look = async {
        while let Some((at, line)) = heard.recv().await {
            if at >= since && fits(&line) {
                return Some(at - since);
            }
        }
        None
    };
    tokio::time::timeout(Duration::from_secs(20), look)
        .await
        .context("it was never shown")?
        .context("the page was closed")
}

/// What a browser loads first, in kilobytes, plain and as it is sent to one that takes it compressed; and how long
/// the page itself takes.
pub(crate) async fn weight() -> Result<(f64, f64, Spread)> {
    let mut sizes = [0.0, 0.0];
    for (size, headers) in sizes.iter_mut().zip(["", "Accept-Encoding: gzip\r\n"]) {
        for path in [
            "/",
            "/assets/app.css",
            "/assets/app.js",
            "/assets/theme.js",
            "/assets/icon.svg",
        ] {
            let bytes = u32::try_from(get(path, headers).await?.len())?;
            *size += f64::from(bytes) / 1000.0;
        }
    }
    let mut times = Vec::new();
    for _ in 0..40 {
        let since = Instant::now();
        get("/", "Accept: text/html\r\n").await?;
        times.push(since.elapsed());
    }
    Ok((sizes[0], sizes[1], Spread::of(&times)?))
}

/// What a real browser measures.
pub(crate) fn paint(python: &Path) -> Result<serde_json::Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("paint.py");
    let output = Command::new(python)
        .arg(script)
        .args([&format!("http://127.0.0.1:{PORT}/"), LOADS])
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}
