//! The line protocol: for people with `nc`, and for the simplest question of all.
//!
//! ```text
//! NODE PING                      PONG
//! AUTH                           NONCE <hex>
//! AUTH <access key> <proof>      OK          proof = HMAC-SHA256(secret key, nonce's hex), in hex
//! FILE PUSH <bucket> <key> <n>   then n bytes; OK <etag>
//! FILE PULL <bucket> <key>       OK <n>, then n bytes
//! ```
//! Lengths come first, so that any byte may be in a body; keys are percent-encoded. What goes
//! wrong after a length was announced ends the connection.

mod question;

use crate::peer::NodeStatus;
use crate::s3::{Front, Gate, body};
use bytes::Bytes;
use futures::StreamExt;
use question::{Line, Question, hex, proves, understand};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The longest line, in bytes: a key of 1,024 bytes, percent-encoded, and the rest.
const MAX_LINE: u64 = 4096;
/// How long a client may be silent, or not take what it asked for.
const IDLE: Duration = Duration::from_secs(30);
/// How many clients are served at once.
const MAX_CONNECTIONS: usize = 64;
/// How much of a body is read at once.
const PIECE: usize = 64 << 10;
/// Rest after a failed accept: file descriptors may be exhausted.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What the lines ask.
pub struct Desk {
    /// The objects.
    pub front: Front,
    /// Who is let in.
    pub gate: Gate,
    /// How the node is.
    pub status: Box<dyn Fn() -> NodeStatus + Send + Sync>,
}

/// Serves until `stop`.
pub async fn serve(listener: TcpListener, desk: Arc<Desk>, stop: CancellationToken) {
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
        let (stop, desk) = (stop.clone(), Arc::clone(&desk));
        tokio::spawn(async move {
            tokio::select! {
                // A client that breaks off is nothing to report.
                _ = talk(stream, &desk) => {}
                () = stop.cancelled() => {}
            }
            drop(place);
        });
    }
}

struct Talk {
    input: BufReader<OwnedReadHalf>,
    output: OwnedWriteHalf,
    nonce: Option<String>,
    key: Option<String>,
}

async fn talk(stream: TcpStream, desk: &Desk) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (input, output) = stream.into_split();
    let mut talk = Talk {
        input: BufReader::new(input),
        output,
        nonce: None,
        key: None,
    };
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut talk.input).take(MAX_LINE);
        let Ok(read) = timeout(IDLE, bounded.read_until(b'\n', &mut line)).await else {
            return Ok(());
        };
        if read? == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            return talk
                .say("ERR a line has at most 4096 bytes and an end\n")
                .await;
        }
        match understand(&line) {
            Line::Nothing => {}
            Line::Quit => return Ok(()),
            Line::Say(text) => talk.say(text).await?,
            Line::Nonce => {
                let nonce = hex(&rand::random::<[u8; 16]>());
                talk.say(&format!("NONCE {nonce}\n")).await?;
                talk.nonce = Some(nonce);
            }
            Line::Proof { id, proof } => talk.prove(desk, id, &proof).await?,
            Line::Ask(question) => talk.answer(desk, question).await?,
        }
    }
}

impl Talk {
    async fn say(&mut self, text: &str) -> io::Result<()> {
        self.send(text.as_bytes()).await
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(IDLE, self.output.write_all(bytes))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn prove(&mut self, desk: &Desk, id: String, proof: &str) -> io::Result<()> {
        // A nonce is good for one try.
        let nonce = self.nonce.take();
        let secret = desk.gate.secret(&id).await.ok();
        let proven = match (nonce, secret) {
            (Some(nonce), Some(secret)) => proves(&secret, &nonce, proof),
            _ => false,
        };
        if proven {
            self.key = Some(id);
            self.say("OK\n").await
        } else {
            self.key = None;
            self.say("ERR that proves nothing; ask AUTH for a new nonce\n")
                .await
        }
    }

    async fn answer(&mut self, desk: &Desk, question: Question) -> io::Result<()> {
        if let Err(text) = self.may(desk, &question).await {
            self.say(&format!("ERR {text}\n")).await?;
            return match question {
                // Its bytes are on the way, and would be taken for lines.
                Question::Push { .. } => Err(io::ErrorKind::PermissionDenied.into()),
                _ => Ok(()),
            };
        }
        let front = &desk.front;
        match question {
            Question::Info => {
                let status = (desk.status)();
                self.json(&status).await
            }
            Question::Walk => {
                let status = (desk.status)();
                let names: Vec<_> = status.nodes.iter().map(|node| &node.name).collect();
                let walk = serde_json::json!({
                    "ring": names, "leader": status.leader, "term": status.term,
                    "layout": status.layout, "asked": status.name,
                });
                self.json(&walk).await
            }
            Question::Netmap => {
                let status = (desk.status)();
                self.json(&status.nodes).await
            }
            Question::List { bucket, prefix } => {
                let listed = front.lines(&bucket, &prefix).await;
                self.whole(listed.map(String::into_bytes)).await
            }
            Question::Tags { bucket, key } => match front.tags(&bucket, &key).await {
                Ok(tags) => self.json(&tags).await,
                Err(error) => self.whole(Err(error)).await,
            },
            Question::Delete { bucket, key } => {
                let removed = front.remove(&bucket, &key).await;
                self.whole(removed.map(|()| Vec::new())).await
            }
            Question::Pull { bucket, key } => self.pull(front, &bucket, &key).await,
            Question::Push {
                bucket,
                key,
                length,
            } => self.push(front, &bucket, &key, length).await,
        }
    }

    async fn may(&self, desk: &Desk, question: &Question) -> Result<(), String> {
        let Some(id) = &self.key else {
            return Err("this needs authentication: AUTH; see HELP".to_owned());
        };
        let Some((operation, bucket)) = question.right() else {
            return Ok(());
        };
        match desk.gate.allows(id, operation, bucket).await {
            Ok(true) => Ok(()),
            Ok(false) => Err("this key has no right to do this".to_owned()),
            Err(error) => Err(words(&error)),
        }
    }

    async fn json(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        let text = serde_json::to_vec(value).map_err(io::Error::other)?;
        self.whole(Ok(text)).await
    }

    async fn whole(&mut self, answer: s3s::S3Result<Vec<u8>>) -> io::Result<()> {
        match answer {
            Ok(bytes) => {
                let mut all = format!("OK {}\n", bytes.len()).into_bytes();
                all.extend_from_slice(&bytes);
                self.send(&all).await
            }
            Err(error) => self.say(&format!("ERR {}\n", words(&error))).await,
        }
    }

    async fn pull(&mut self, front: &Front, bucket: &str, key: &str) -> io::Result<()> {
        let (length, mut body) = match front.pull(bucket, key).await {
            Ok(found) => found,
            Err(error) => return self.whole(Err(error)).await,
        };
        self.say(&format!("OK {length}\n")).await?;
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|e| io::Error::other(e.to_string()))?;
            self.send(&piece).await?;
        }
        Ok(())
    }

    async fn push(
        &mut self,
        front: &Front,
        bucket: &str,
        key: &str,
        length: u64,
    ) -> io::Result<()> {
        let (sender, pieces) = mpsc::channel(1);
        let input = &mut self.input;
        let feed = async move {
            let mut left = length;
            while left > 0 {
                let mut piece = vec![0; usize::try_from(left).unwrap_or(PIECE).min(PIECE)];
                let read = timeout(IDLE, input.read(&mut piece))
                    .await
                    .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
                if read == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
                piece.truncate(read);
                left -= read as u64;
                // Who no longer listens has refused; the rest is read all the same.
                let _ = sender.send(Ok(Bytes::from(piece))).await;
            }
            Ok(())
        };
        let keep = front.push(bucket, key, body(pieces), length);
        // When the connection breaks, what was received is too short, and is not kept.
        let (fed, kept) = tokio::join!(feed, keep);
        fed?;
        match kept {
            Ok(etag) => self.say(&format!("OK {etag}\n")).await,
            Err(error) => self.whole(Err(error)).await,
        }
    }
}

/// An error on one line.
fn words(error: &s3s::S3Error) -> String {
    let message = error.message().unwrap_or_default().replace('\n', " ");
    format!("{} {message}", error.code().as_str())
}
