//! Who is at the other end: both prove that they know the cluster's secret, and show their disk.
//!
//! ```text
//! asker ─▶ "PLNP" · version · nonce [32] · card
//! asker ◀─ nonce [32] · card · proof("answerer", both nonces, both cards)
//! asker ─▶ proof("asker", both nonces, both cards)
//! asker ◀─ 1
//! ```
//! Each direction then has a key of its own, made from the secret and both nonces.

use super::frame::Direction;
use planaria_storage_core::{DiskId, decode, encode};
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const MAGIC: &[u8; 5] = b"PLNP\x01";
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

/// The asker's side.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    secret: &Secret,
    card: &Card,
) -> io::Result<Greeted> {
    let nonce: [u8; 32] = rand::random();
    let mine = sized_card(card)?;
    stream
        .write_all(&[&MAGIC[..], &nonce, &mine].concat())
        .await?;
    stream.flush().await?;
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
    let mut magic = [0; 5];
    stream.read_exact(&mut magic).await?;
    if &magic != MAGIC {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not a node of this version of the protocol",
        ));
    }
    let mut their_nonce = [0; 32];
    stream.read_exact(&mut their_nonce).await?;
    let (theirs, their_card) = read_card(stream).await?;
    let nonce: [u8; 32] = rand::random();
    let mine = sized_card(card)?;
    let transcript = [&their_nonce[..], &nonce, &theirs, &mine].concat();
    let proof = secret.derive("answerer", &transcript);
    stream
        .write_all(&[&nonce[..], &mine, &proof].concat())
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

    #[tokio::test]
    async fn who_does_not_is_refused_by_both() {
        let (asked, answered) = meet("s", "t").await;
        assert!(asked.is_err());
        assert!(answered.is_err());
    }
}
