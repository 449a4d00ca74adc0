//! Answering other nodes.

use super::client::Peers;
use super::frame::Frame;
use super::handshake::{self, Card};
use super::message::{Answer, Ask, Fault};
use bytes::Bytes;
use futures::future::BoxFuture;
use planaria_storage_core::{decode, encode};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How many connections are served at once.
const MAX_CONNECTIONS: usize = 128;
/// How many questions of one connection are worked on at once; the next ones wait in the socket.
const MAX_WORK: usize = 32;
/// A connection that is silent for so long is closed; its other side makes a new one.
const IDLE: Duration = Duration::from_secs(120);
/// Rest after a failed accept: file descriptors may be exhausted.
const ACCEPT_REST: Duration = Duration::from_millis(100);

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
        tokio::spawn(async move {
            let served = tokio::select! {
                served = connection(stream, &peers, service) => served,
                () = stop.cancelled() => Ok(()),
            };
            if let Err(error) = served
                && error.kind() != io::ErrorKind::UnexpectedEof
            {
                tracing::debug!(event = "peer_refused", %from, %error, "a peer connection ended");
            }
            drop(place);
        });
    }
}

async fn connection(
    mut stream: TcpStream,
    peers: &Peers,
    service: Arc<dyn Service>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
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
        mut sending,
        mut receiving,
    } = greeted;
    let (input, mut output) = stream.into_split();
    let mut input = tokio::io::BufReader::new(input);
    let (answers, mut waiting) = mpsc::channel::<Frame>(MAX_WORK);
    let writing = tokio::spawn(async move {
        while let Some(frame) = waiting.recv().await {
            if sending.write(&mut output, &frame).await.is_err() {
                break;
            }
        }
    });
    let work = Arc::new(Semaphore::new(MAX_WORK));
    let ended = loop {
        let Ok(permit) = Arc::clone(&work).acquire_owned().await else {
            break Ok(());
        };
        let frame = match timeout(IDLE, receiving.read(&mut input)).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(error)) => break Err(error),
            Err(_) => break Ok(()),
        };
        let (service, card, answers) = (Arc::clone(&service), card.clone(), answers.clone());
        tokio::spawn(async move {
            let (answer, blob) = match decode::<Ask>(&frame.head) {
                Ok(ask) => service.answer(card, ask, frame.blob).await,
                Err(error) => (
                    Answer::Fault(Fault::Refused(error.to_string())),
                    Bytes::new(),
                ),
            };
            let head = encode(&answer).unwrap_or_default();
            let _ = answers
                .send(Frame {
                    request: frame.request,
                    head,
                    blob,
                })
                .await;
            drop(permit);
        });
    };
    writing.abort();
    ended
}
