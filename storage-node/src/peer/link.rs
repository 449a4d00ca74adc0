//! One connection to another node, made when somebody asks, and made again when it broke.
//!
//! A connection can be dead without a word: the other side's address was taken away, or a cut that
//! is over left the kernel waiting for its next try. So a connection on which a question stands
//! and nothing is heard is given up; who answers says at least every second that it is there.

use super::client::{Peers, Question};
use super::frame::{Direction, Frame};
use super::handshake;
use super::message::Answer;
use bytes::Bytes;
use planaria_storage_core::decode;
use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

/// How long to try to connect. A killed container's address answers nothing at all.
const CONNECT: Duration = Duration::from_secs(1);
/// After a failed try, how long to fail at once instead of trying again.
const REST: Duration = Duration::from_millis(200);
/// Who answers says at least so often that it is there, while it was asked lately.
pub(super) const ALIVE: Duration = Duration::from_secs(1);
/// A connection on which a question stands and nothing is heard for so long is dead: three
/// signs of life are missing.
const SILENCE: Duration = Duration::from_secs(3);
/// How often it is looked whether it is.
const LOOK: Duration = Duration::from_millis(500);
/// How long the kernel may wait for the other side's acknowledgement, and how long a connection
/// on which nothing moves may go unproven. Its own patience would be a quarter of an hour.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// What the kernel has to do with a connection between nodes: send at once, and give up in time.
pub(super) fn tune(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    stream.set_nodelay(true)?;
    let socket = stream.as_fd();
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, UNACKNOWLEDGED)?;
    sockopt::set_tcp_keepintvl(socket, UNACKNOWLEDGED)?;
    let patience = u32::try_from(UNACKNOWLEDGED.as_millis()).map_err(io::Error::other)?;
    sockopt::set_tcp_user_timeout(socket, patience)?;
    Ok(())
}

/// Runs until nobody can ask any more.
pub(super) async fn run(peers: Peers, addr: String, mut questions: mpsc::Receiver<Question>) {
    let mut said = false;
    while let Some(first) = questions.recv().await {
        match timeout(CONNECT, connect(&peers, &addr)).await {
            Ok(Ok((stream, greeted))) => {
                said = false;
                converse(&peers, &addr, stream, greeted, first, &mut questions).await;
            }
            Ok(Err(error)) => {
                // Said once, not at each try.
                if handshake::is_other_version(&error) && !said {
                    said = true;
                    tracing::warn!(event = "peer_version_refused", addr, %error, "no common version with {addr}: {error}");
                }
                refuse(first, &mut questions, &error.to_string()).await;
            }
            Err(_) => refuse(first, &mut questions, "no connection in time").await,
        }
    }
}

async fn connect(peers: &Peers, addr: &str) -> io::Result<(TcpStream, handshake::Greeted)> {
    let mut stream = TcpStream::connect(addr).await?;
    tune(&stream)?;
    let card = peers.card();
    let greeted = handshake::ask(&mut stream, peers.secret(), &card).await?;
    peers.admit(&greeted.card).map_err(io::Error::other)?;
    peers.note(addr, &greeted.card);
    Ok((stream, greeted))
}

/// Answers everything that comes within the rest after a failure, so that callers go on at once
/// to another node.
async fn refuse(first: Question, questions: &mut mpsc::Receiver<Question>, reason: &str) {
    let _ = first.answer.send(Err(reason.to_owned()));
    let end = Instant::now() + REST;
    while let Ok(Some(question)) = tokio::time::timeout_at(end, questions.recv()).await {
        let _ = question.answer.send(Err(reason.to_owned()));
    }
}

type Asker = oneshot::Sender<Result<(Answer, Bytes), String>>;

/// What stands on one connection.
#[derive(Default)]
struct Standing {
    askers: HashMap<u64, Asker>,
    last: u64,
    /// Since when something was asked and nothing heard. Askers that gave up do not change it.
    unheard: Option<Instant>,
    /// How many bytes were sent, and how many the other side has said that it has.
    sent: u64,
    taken: u64,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Standing>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A question's number.
    fn ask(&self, asker: Asker, length: usize) -> u64 {
        let mut standing = self.lock();
        standing.sent += length as u64;
        // Who gave up waiting is forgotten here: a peer that never answers holds nothing.
        standing.askers.retain(|_, asker| !asker.is_closed());
        standing.unheard.get_or_insert_with(Instant::now);
        standing.last += 1;
        let number = standing.last;
        standing.askers.insert(number, asker);
        number
    }

    fn hear(&self, number: u64) -> Option<Asker> {
        let mut standing = self.lock();
        let asker = standing.askers.remove(&number);
        standing.unheard = (!standing.askers.is_empty()).then(Instant::now);
        asker
    }

    /// A sign of life, and how many bytes the other side has. It counts when more of them came than
    /// before, or all of them: otherwise what is asked does not arrive there.
    fn sign_of_life(&self, taken: u64) {
        let mut standing = self.lock();
        if taken > standing.taken || taken == standing.sent {
            standing.taken = taken;
            standing.unheard = (!standing.askers.is_empty()).then(Instant::now);
        }
    }

    /// Ends when the other side has been silent for too long.
    async fn silence(&self) {
        let dead = || {
            let unheard = self.lock().unheard;
            unheard.is_some_and(|since| since.elapsed() > SILENCE)
        };
        while !dead() {
            sleep(LOOK).await;
        }
    }
}

async fn converse(
    peers: &Peers,
    addr: &str,
    stream: TcpStream,
    greeted: handshake::Greeted,
    first: Question,
    questions: &mut mpsc::Receiver<Question>,
) {
    let handshake::Greeted {
        card,
        sending,
        receiving,
    } = greeted;
    let (input, output) = stream.into_split();
    let shared = Shared::default();
    let (listener, from, heard) = (peers.clone(), addr.to_owned(), shared.clone());
    let mut listening = tokio::spawn(async move {
        let note = || listener.note(&from, &card);
        let _ = listen(input, receiving, &heard, note).await;
    });
    let reason = tokio::select! {
        _ = &mut listening => "the connection broke",
        _ = speak(output, sending, &shared, first, questions) => "the connection broke",
        () = shared.silence() => {
            tracing::info!(event = "peer_link_silent", addr, "a connection to {addr} is silent; making a new one");
            "the connection fell silent"
        }
    };
    listening.abort();
    let left = std::mem::take(&mut shared.lock().askers);
    for (_, asker) in left {
        let _ = asker.send(Err(reason.to_owned()));
    }
}

async fn listen(
    input: OwnedReadHalf,
    mut receiving: Direction,
    shared: &Shared,
    note: impl Fn(),
) -> io::Result<()> {
    let mut input = tokio::io::BufReader::new(input);
    loop {
        let frame = receiving.read(&mut input).await?;
        note();
        if frame.request == 0 {
            let taken = frame.head.as_slice().try_into().map_err(io::Error::other)?;
            shared.sign_of_life(u64::from_be_bytes(taken));
        } else if let Some(asker) = shared.hear(frame.request) {
            let answer = decode::<Answer>(&frame.head).map_err(|e| e.to_string());
            let _ = asker.send(answer.map(|answer| (answer, frame.blob)));
        }
    }
}

async fn speak(
    mut output: OwnedWriteHalf,
    mut sending: Direction,
    shared: &Shared,
    first: Question,
    questions: &mut mpsc::Receiver<Question>,
) -> io::Result<()> {
    let mut next = Some(first);
    while let Some(question) = next {
        let mut frame = Frame {
            request: 0,
            head: question.head,
            blob: question.blob,
            named: question.named,
        };
        frame.request = shared.ask(question.answer, frame.length());
        sending.write(&mut output, &frame).await?;
        next = questions.recv().await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::handshake::{Secret, tests::card};
    use super::super::{Ask, Lane, PeerError};
    use super::*;
    use planaria_storage_core::encode;
    use tokio::net::TcpListener;

    /// Greets who connects, and answers questions on the connections from the second on. The first
    /// takes everything and says nothing.
    async fn mute_at_first() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let mut mute = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut greeted = handshake::answer(&mut stream, &Secret::new("s"), &card(2))
                    .await
                    .unwrap();
                if mute.is_empty() {
                    mute.push(stream);
                    continue;
                }
                while let Ok(frame) = greeted.receiving.read(&mut stream).await {
                    let answer = Frame {
                        request: frame.request,
                        head: encode(&Answer::Done).unwrap(),
                        blob: Bytes::new(),
                        named: false,
                    };
                    greeted.sending.write(&mut stream, &answer).await.unwrap();
                }
            }
        });
        addr
    }

    /// A connection that takes questions and never says a word is given up for a new one, also
    /// when everybody who asked has lost patience before.
    #[tokio::test]
    async fn a_dead_connection_is_made_again() {
        let addr = mute_at_first().await;
        let peers = Peers::new(Secret::new("s"), card(1));
        let ask = |patience| {
            let (peers, addr) = (peers.clone(), addr.clone());
            async move {
                peers
                    .ask(
                        &addr,
                        Lane::Control,
                        &Ask::ReadIndex,
                        Bytes::new(),
                        patience,
                    )
                    .await
            }
        };
        let hasty = ask(Duration::from_millis(50)).await;
        assert!(matches!(hasty, Err(PeerError::Late(_))), "{hasty:?}");
        let broken = ask(Duration::from_secs(60)).await;
        assert!(
            matches!(broken, Err(PeerError::Unreachable { .. })),
            "{broken:?}"
        );
        let answered = ask(Duration::from_secs(60)).await;
        assert!(matches!(answered, Ok((Answer::Done, _))), "{answered:?}");
    }
}
