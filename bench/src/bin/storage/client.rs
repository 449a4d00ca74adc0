//! A client that signs its requests, and many of them at once.

use crate::{ACCESS, MIB, SECRET};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;

/// A connection that signs its requests.
pub(crate) struct Client {
    addr: String,
    sender: SendRequest<Full<Bytes>>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(key: &[u8], text: &str) -> Result<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

/// Date and time as S3 wants them: civil-from-days, by Howard Hinnant's method.
fn stamp() -> Result<(String, String)> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let (days, rest) = (seconds / 86400, seconds % 86400);
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let date = format!("{year:04}{month:02}{day:02}");
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    Ok((date.clone(), format!("{date}T{h:02}{m:02}{s:02}Z")))
}

impl Client {
    pub(crate) async fn connect(addr: &str) -> Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self {
            addr: addr.to_owned(),
            sender,
        })
    }

    pub(crate) fn signed(
        &self,
        method: &str,
        path: &str,
        query: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>> {
        const PAYLOAD: &str = "UNSIGNED-PAYLOAD";
        let (date, time) = stamp()?;
        let names = "host;x-amz-content-sha256;x-amz-date";
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{}\nx-amz-content-sha256:{PAYLOAD}\nx-amz-date:{time}\n\n{names}\n{PAYLOAD}",
            self.addr
        );
        let scope = format!("{date}/us-east-1/s3/aws4_request");
        let text = format!(
            "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
            hex(&Sha256::digest(canonical.as_bytes()))
        );
        let mut key = format!("AWS4{SECRET}").into_bytes();
        for piece in [&date, "us-east-1", "s3", "aws4_request"] {
            key = hmac(&key, piece)?;
        }
        let signature = hex(&hmac(&key, &text)?);
        let question = if query.is_empty() { "" } else { "?" };
        Ok(Request::builder()
            .method(method)
            .uri(format!("{path}{question}{query}"))
            .header("host", &self.addr)
            .header("x-amz-date", time)
            .header("x-amz-content-sha256", PAYLOAD)
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, SignedHeaders={names}, Signature={signature}"),
            )
            .body(Full::new(body))?)
    }

    /// Sends, reads the whole answer, and gives its length.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<usize> {
        self.sender.ready().await?;
        let mut answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let mut length = 0;
        while let Some(frame) = answer.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
        ensure!(status.is_success(), "answered {status}");
        Ok(length)
    }

    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        query: &str,
        body: Bytes,
    ) -> Result<usize> {
        let request = self.signed(method, path, query, body)?;
        self.send(request).await
    }

    /// How long it takes until the first bytes of an object come. The rest is read too.
    pub(crate) async fn first_byte(&mut self, path: &str) -> Result<Duration> {
        let request = self.signed("GET", path, "", Bytes::new())?;
        self.sender.ready().await?;
        let sent = Instant::now();
        let mut answer = self.sender.send_request(request).await?;
        ensure!(answer.status().is_success(), "answered {}", answer.status());
        answer.frame().await.context("no body")??;
        let took = sent.elapsed();
        while let Some(frame) = answer.frame().await {
            frame?;
        }
        Ok(took)
    }
}

/// What many clients did in a time.
pub(crate) struct Did {
    pub(crate) times: Vec<Duration>,
    pub(crate) took: Duration,
}

/// Runs `clients` of them for the time, spread over the addresses. Each gets its own connection
/// and a number that no other request has.
pub(crate) async fn load(
    addrs: &[String],
    clients: usize,
    time: Duration,
    verb: Verb,
    next: &Arc<AtomicU64>,
) -> Result<Did> {
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for n in 0..clients {
        let addr = addrs.get(n % addrs.len()).context("no address")?;
        let mut client = Client::connect(addr).await?;
        let (verb, next) = (verb.clone(), Arc::clone(next));
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            while begun.elapsed() < time || times.is_empty() {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let request = verb.request(&client, number)?;
                let sent = Instant::now();
                let length = client.send(request).await?;
                times.push(sent.elapsed());
                ensure!(verb.expects(length), "an answer of {length} bytes");
            }
            anyhow::Ok(times)
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    times.sort();
    Ok(Did {
        times,
        took: begun.elapsed(),
    })
}

#[derive(Clone)]
pub(crate) enum Verb {
    Put {
        prefix: String,
        body: Vec<u8>,
    },
    Get {
        prefix: String,
        count: u64,
        length: usize,
    },
    List,
}

impl Verb {
    fn request(&self, client: &Client, number: u64) -> Result<Request<Full<Bytes>>> {
        match self {
            Self::Put { prefix, body } => {
                let mut body = body.clone();
                // No two bodies, and no two chunks of one, are the same.
                for (chunk, piece) in body.chunks_mut(MIB).enumerate() {
                    let mark = (number << 16 | chunk as u64).to_be_bytes();
                    piece
                        .iter_mut()
                        .zip(mark)
                        .for_each(|(slot, byte)| *slot = byte);
                }
                client.signed("PUT", &format!("/bench/{prefix}{number}"), "", body.into())
            }
            Self::Get { prefix, count, .. } => {
                let path = format!("/bench/{prefix}{}", number % count);
                client.signed("GET", &path, "", Bytes::new())
            }
            Self::List => client.signed("GET", "/bench", "list-type=2&prefix=small", Bytes::new()),
        }
    }

    fn expects(&self, length: usize) -> bool {
        match self {
            Self::Put { .. } => length == 0,
            Self::Get { length: full, .. } => length == *full,
            Self::List => length > 1000,
        }
    }
}
