//! Answering other nodes.

use super::client::Peers;
use super::frame::{Direction, Frame};
use super::handshake::{self, Card};
use super::link;
use super::message::{Answer, Ask, Fault};
use bytes::Bytes;
use futures::future::BoxFuture;
use planaria_storage_core::{decode, encode};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How many connections are served at once.
const MAX_CONNECTIONS: usize = 128;
/// How much of one connection is worked on at once, in units of [`cost`]: some sixty small
/// questions, or nine chunks. The next ones wait in the socket.
const MAX_WORK: usize = 64;
/// What a chunk costs of that, in whichever direction it goes.
const CHUNK_COST: u32 = 7;
/// How many answers may wait to be sent.
const ANSWERS: usize = 10;
/// How long after the last question the other side is told that this node is there. Longer than
/// any chunk may take on its way.
const ASKED_LATELY: Duration = Duration::from_secs(30);
/// How long one answer may take on its way: who does not take it is not waited for.
const SENDING: Duration = Duration::from_secs(30);
/// A connection that is silent for so long is closed; its other side makes a new one.
const IDLE: Duration = Duration::from_secs(120);
/// Rest after a failed accept: file descriptors may be exhausted.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// How often it is said that a node of another version asks: it tries several times a second.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// What answers questions.
pub trait Service: Send + Sync + 'static {
    /// Answers one question of an authenticated node.
    fn answer(&self, from: Card, ask: Ask, blob: Bytes) -> BoxFuture<'_, (Answer, Bytes)>;
}

/// Serves until `stop`.
pub async fn serve(
    listener: TcpListener,
    peers: Peers,
    service: Arc<dyn Service>,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let said: Arc<Mutex<Option<Instant>>> = Arc::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, from)) = accepted else {
            tokio::time::sleep(ACCEPT_REST).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (peers, service, stop) = (peers.clone(), Arc::clone(&service), stop.clone());
        let said = Arc::clone(&said);
        tokio::spawn(async move {
            let served = tokio::select! {
                served = connection(stream, &peers, service) => served,
                () = stop.cancelled() => Ok(()),
            };
            if let Err(error) = served
                && error.kind() != io::ErrorKind::UnexpectedEof
            {
                if handshake::is_other_version(&error) && is_due(&said) {
                    tracing::warn!(event = "peer_version_refused", %from, %error, "no common version with {from}: {error}");
                } else {
                    tracing::debug!(event = "peer_refused", %from, %error, "a peer connection ended");
                }
            }
            drop(place);
        });
    }
}

/// Whether it is time to say it again; if so, it counts as said.
fn is_due(said: &Mutex<Option<Instant>>) -> bool {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    let due = said.is_none_or(|at| at.elapsed() > SAY_AGAIN);
    if due {
        *said = Some(Instant::now());
    }
    due
}

async fn connection(
    mut stream: TcpStream,
    peers: &Peers,
    service: Arc<dyn Service>,
) -> io::Result<()> {
    link::tune(&stream)?;
    let card = peers.card();
    let greeting = handshake::answer(&mut stream, peers.secret(), &card);
    let greeted = timeout(handshake::DEADLINE, greeting)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no handshake in time"))??;
    if let Err(reason) = peers.admit(&greeted.card) {
        tracing::warn!(event = "peer_not_admitted", %reason, "a node was turned away");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    let handshake::Greeted {
        card,
        sending,
        mut receiving,
    } = greeted;
    let (input, output) = stream.into_split();
    let taken = Arc::new(AtomicU64::new(0));
    let mut input = tokio::io::BufReader::new(Counted {
        inner: input,
        taken: Arc::clone(&taken),
    });
    let (answers, waiting) = mpsc::channel::<Frame>(ANSWERS);
    let asked = Arc::new(Mutex::new(Instant::now()));
    let mut speaking = tokio::spawn(speak(output, sending, waiting, Arc::clone(&asked), taken));
    let work = Arc::new(Semaphore::new(MAX_WORK));
    let ended = loop {
        let read = tokio::select! {
            read = timeout(IDLE, receiving.read(&mut input)) => read,
            _ = &mut speaking => return Ok(()),
        };
        let frame = match read {
            Ok(Ok(frame)) => frame,
            Ok(Err(error)) => break Err(error),
            Err(_) => break Ok(()),
        };
        *asked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let ask = decode::<Ask>(&frame.head);
        let cost = ask.as_ref().map_or(1, |ask| cost(ask, &frame.blob));
        let Ok(permit) = Arc::clone(&work).acquire_many_owned(cost).await else {
            break Ok(());
        };
        let (service, card, answers) = (Arc::clone(&service), card.clone(), answers.clone());
        tokio::spawn(async move {
            let (answer, blob) = match ask {
                Ok(ask) => service.answer(card, ask, frame.blob).await,
                Err(error) => (
                    Answer::Fault(Fault::Refused(error.to_string())),
                    Bytes::new(),
                ),
            };
            let answer = Frame {
                request: frame.request,
                head: encode(&answer).unwrap_or_default(),
                named: matches!(answer, Answer::Chunk),
                blob,
            };
            let _ = answers.send(answer).await;
            drop(permit);
        });
    };
    speaking.abort();
    ended
}

/// Counts what comes.
struct Counted {
    inner: OwnedReadHalf,
    taken: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        let came = buffer.filled().len() - before;
        self.taken.fetch_add(came as u64, Ordering::Relaxed);
        read
    }
}

/// What a question costs of [`MAX_WORK`].
fn cost(ask: &Ask, blob: &Bytes) -> u32 {
    match ask {
        Ask::GetChunk(_) | Ask::Verify { .. } | Ask::Snapshot(..) | Ask::Admin(_) => CHUNK_COST,
        _ if blob.is_empty() => 1,
        _ => CHUNK_COST,
    }
}

/// Sends answers, and where there is none for a while a sign of life.
async fn speak(
    mut output: OwnedWriteHalf,
    mut sending: Direction,
    mut waiting: mpsc::Receiver<Frame>,
    asked: Arc<Mutex<Instant>>,
    taken: Arc<AtomicU64>,
) {
    loop {
        let frame = match timeout(link::ALIVE, waiting.recv()).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return,
            Err(_) => {
                let asked = *asked.lock().unwrap_or_else(PoisonError::into_inner);
                if asked.elapsed() > ASKED_LATELY {
                    continue;
                }
                sign_of_life(taken.load(Ordering::Relaxed))
            }
        };
        let sent = timeout(SENDING, sending.write(&mut output, &frame)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

/// An answer to nothing (questions are counted from one): it says how many bytes have come. Who
/// hears it knows by that whether the questions arrive.
fn sign_of_life(taken: u64) -> Frame {
    Frame {
        request: 0,
        head: taken.to_be_bytes().to_vec(),
        blob: Bytes::new(),
        named: false,
    }
}
