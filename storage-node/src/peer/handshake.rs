//! Who is at the other end: both prove that they know the cluster's secret, and show their disk.
//!
//! ```text
//! asker ─▶ "PLNP" · version · nonce [32] · card
//! asker ◀─ "PLNP" · version · nonce [32] · card · proof("answerer", both nonces, both cards)
//! asker ─▶ proof("asker", both nonces, both cards)
//! asker ◀─ 1
//! ```
//! Each direction then has a key of its own, made from the secret and both nonces. Who is asked in
//! another version than its own says its own, and no more: both sides then know what is wrong.

use super::frame::Direction;
use planaria_storage_core::{DiskId, decode, encode};
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const MAGIC: &[u8; 4] = b"PLNP";
/// The version of all that is said between nodes, frames and messages too: 2 since who answers
/// gives signs of life, which a node of version 1 would take for a broken frame.
const VERSION: u8 = 2;
/// A card is a few numbers and a name.
const MAX_CARD: usize = 1024;
/// How long a handshake may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// What a node shows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its disk; zero for a tool that only asks.
    pub disk: DiskId,
    /// Its name.
    pub name: String,
    /// How often the disk was started.
    pub boot: u64,
    /// Drawn at each start: two with the same disk and count are a clone.
    pub start: u64,
    /// The cluster it belongs to.
    pub cluster: Option<u64>,
}

/// What all nodes of a cluster know.
#[derive(Clone)]
pub struct Secret(Arc<[u8; 32]>);

impl Secret {
    /// Makes the secret from the text in the secrets' file.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Arc::new(blake3::derive_key(
            "planaria 2026 storage peer secret",
            text.as_bytes(),
        )))
    }

    fn derive(&self, use_: &str, transcript: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(use_.as_bytes());
        hasher.update(&[0]);
        hasher.update(transcript);
        *hasher.finalize().as_bytes()
    }
}

/// An authenticated connection: who is there, and the two directions.
pub(super) struct Greeted {
    pub(super) card: Card,
    pub(super) sending: Direction,
    pub(super) receiving: Direction,
}

fn denied() -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        "the other side does not know the secret",
    )
}

/// Another version at the other end, or one that says none.
fn other_version(theirs: Option<u8>) -> io::Error {
    let theirs = theirs.map_or_else(
        || "closed without a word, as older releases do".to_owned(),
        |version| format!("speaks version {version}"),
    );
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!(
            "this node speaks version {VERSION} of the peer protocol, the other {theirs}; \
             run the same release on both"
        ),
    )
}

/// Whether it is the other node's version that keeps it away.
pub(super) fn is_other_version(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

/// Reads how a greeting begins.
async fn read_version<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<u8> {
    let mut start = [0; MAGIC.len() + 1];
    stream.read_exact(&mut start).await?;
    match start.split_last() {
        Some((version, magic)) if magic == MAGIC => Ok(*version),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not a storage node",
        )),
    }
}

/// The asker's side.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    secret: &Secret,
    card: &Card,
) -> io::Result<Greeted> {
    let nonce: [u8; 32] = rand::random();
    let mine = sized_card(card)?;
    stream
        .write_all(&[&MAGIC[..], &[VERSION], &nonce, &mine].concat())
        .await?;
    stream.flush().await?;
    match read_version(stream).await {
        Ok(VERSION) => {}
        Ok(theirs) => return Err(other_version(Some(theirs))),
        // A node of version 1 closes without a word, and over what it has not read.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
            ) =>
        {
            return Err(other_version(None));
        }
        Err(error) => return Err(error),
    }
    let mut their_nonce = [0; 32];
    stream.read_exact(&mut their_nonce).await?;
    let (theirs, card) = read_card(stream).await?;
    let transcript = [&nonce[..], &their_nonce, &mine, &theirs].concat();
    let mut proof = [0; 32];
    stream.read_exact(&mut proof).await?;
    if blake3::Hash::from_bytes(proof) != secret.derive("answerer", &transcript) {
        return Err(denied());
    }
    stream
        .write_all(&secret.derive("asker", &transcript))
        .await?;
    stream.flush().await?;
    if stream.read_u8().await? != 1 {
        return Err(denied());
    }
    Ok(Greeted {
        card,
        sending: Direction::new(secret.derive("asks", &transcript)),
        receiving: Direction::new(secret.derive("answers", &transcript)),
    })
}

/// The answerer's side.
pub(super) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    secret: &Secret,
    card: &Card,
) -> io::Result<Greeted> {
    let theirs = read_version(stream).await?;
    if theirs != VERSION {
        stream.write_all(&[&MAGIC[..], &[VERSION]].concat()).await?;
        stream.shutdown().await?;
        // What it sent is read: a connection closed over unread bytes may take our word with it.
        let mut rest = [0; 2 * MAX_CARD];
        while stream.read(&mut rest).await.is_ok_and(|length| length > 0) {}
        return Err(other_version(Some(theirs)));
    }
    let mut their_nonce = [0; 32];
    stream.read_exact(&mut their_nonce).await?;
    let (theirs, their_card) = read_card(stream).await?;
    let nonce: [u8; 32] = rand::random();
    let mine = sized_card(card)?;
    let transcript = [&their_nonce[..], &nonce, &theirs, &mine].concat();
    let proof = secret.derive("answerer", &transcript);
    stream
        .write_all(&[&MAGIC[..], &[VERSION], &nonce, &mine, &proof].concat())
        .await?;
    stream.flush().await?;
    let mut their_proof = [0; 32];
    stream.read_exact(&mut their_proof).await?;
    if blake3::Hash::from_bytes(their_proof) != secret.derive("asker", &transcript) {
        return Err(denied());
    }
    stream.write_u8(1).await?;
    stream.flush().await?;
    Ok(Greeted {
        card: their_card,
        sending: Direction::new(secret.derive("answers", &transcript)),
        receiving: Direction::new(secret.derive("asks", &transcript)),
    })
}

fn sized_card(card: &Card) -> io::Result<Vec<u8>> {
    let bytes = encode(card).map_err(io::Error::other)?;
    let len = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    Ok([&len.to_be_bytes()[..], &bytes].concat())
}

async fn read_card<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<(Vec<u8>, Card)> {
    let len = stream.read_u16().await?;
    if usize::from(len) > MAX_CARD {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a card is too long",
        ));
    }
    let mut bytes = vec![0; usize::from(len)];
    stream.read_exact(&mut bytes).await?;
    let card =
        decode(&bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
    Ok(([&len.to_be_bytes()[..], &bytes].concat(), card))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A node's card, also for the tests of links.
    pub(in crate::peer) fn card(disk: u64) -> Card {
        Card {
            disk: DiskId(disk),
            name: format!("node-{disk}"),
            boot: 1,
            start: 2,
            cluster: None,
        }
    }

    async fn meet(one: &str, two: &str) -> (io::Result<Greeted>, io::Result<Greeted>) {
        let (mut left, mut right) = tokio::io::duplex(4096);
        let (one, two) = (Secret::new(one), Secret::new(two));
        let asking = async move { ask(&mut left, &one, &card(1)).await };
        let answering = async move { answer(&mut right, &two, &card(2)).await };
        tokio::join!(asking, answering)
    }

    #[tokio::test]
    async fn who_knows_the_secret_sees_the_others_card() {
        let (asked, answered) = meet("s", "s").await;
        assert_eq!(asked.unwrap().card, card(2));
        assert_eq!(answered.unwrap().card, card(1));
    }

    /// Whoever speaks another version is told ours, and both know why nothing comes of it.
    #[tokio::test]
    async fn another_version_is_refused_by_both_with_the_reason() {
        for theirs in [0, VERSION - 1, VERSION + 1, 255] {
            let (mut left, mut right) = tokio::io::duplex(4096);
            let secret = Secret::new("s");
            let asked = async {
                let greeting = [&MAGIC[..], &[theirs], &[7; 40]].concat();
                left.write_all(&greeting).await.unwrap();
                let said = read_version(&mut left).await.unwrap();
                drop(left);
                said
            };
            let mine = card(2);
            let (said, answered) = tokio::join!(asked, answer(&mut right, &secret, &mine));
            assert_eq!(said, VERSION);
            let error = answered.err().unwrap();
            assert!(is_other_version(&error), "{error}");
            assert!(
                error
                    .to_string()
                    .contains(&format!("the other speaks version {theirs};"))
            );

            // And the other way about: who is asked is the one of another version.
            let (mut left, mut right) = tokio::io::duplex(4096);
            let answers = async {
                assert_eq!(read_version(&mut right).await.unwrap(), VERSION);
                right
                    .write_all(&[&MAGIC[..], &[theirs]].concat())
                    .await
                    .unwrap();
            };
            let mine = card(1);
            let (asked, ()) = tokio::join!(ask(&mut left, &secret, &mine), answers);
            let error = asked.err().unwrap();
            assert!(is_other_version(&error), "{error}");
            assert!(
                error
                    .to_string()
                    .contains(&format!("the other speaks version {theirs};"))
            );
        }
    }

    /// A node of version 1 closes the connection without an answer.
    #[tokio::test]
    async fn who_closes_without_a_word_may_be_older() {
        let (mut left, mut right) = tokio::io::duplex(4096);
        let closes = async move {
            read_version(&mut right).await.unwrap();
        };
        let (secret, mine) = (Secret::new("s"), card(1));
        let (asked, ()) = tokio::join!(ask(&mut left, &secret, &mine), closes);
        assert!(is_other_version(&asked.err().unwrap()));
    }

    #[tokio::test]
    async fn who_does_not_is_refused_by_both() {
        let (asked, answered) = meet("s", "t").await;
        assert!(asked.is_err());
        assert!(answered.is_err());
    }
}
