//! Frames on a connection.
//!
//! ```text
//! length u32 (of all that follows) · request u64 · head length u32 · head · blob · seal [16]
//! ```
//! The seal is the keyed BLAKE3 of the frame's number on its side of the connection and of all
//! before the seal: a frame that was changed, repeated, left out or sent back is seen. Where the
//! highest bit of the head's length is set, the blob is a chunk whose name both sides know from
//! sealed heads: who takes it verifies it by that, and the seal leaves it out. Frames are not
//! encrypted: between hosts the network has to do that.

use crate::config::MAX_FRAME;
use bytes::Bytes;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const SEAL: usize = 16;
const FIXED: usize = 12 + SEAL;
/// In the head's length: the seal leaves the blob out.
const NAMED: u32 = 1 << 31;

/// One message: the request that it belongs to, its encoded head, and bytes that travel as they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) request: u64,
    pub(super) head: Vec<u8>,
    pub(super) blob: Bytes,
    /// Whether the blob is a chunk that the other side will verify by its name.
    pub(super) named: bool,
}

impl Frame {
    /// How many bytes it is on the wire.
    pub(super) fn length(&self) -> usize {
        4 + FIXED + self.head.len() + self.blob.len()
    }
}

/// One direction of a connection: its key and how many frames went.
pub(super) struct Direction {
    key: [u8; 32],
    count: u64,
}

impl Direction {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, count: 0 }
    }

    fn seal(&mut self, pieces: &[&[u8]]) -> [u8; SEAL] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&self.count.to_be_bytes());
        self.count += 1;
        for piece in pieces {
            hasher.update(piece);
        }
        let mut seal = [0; SEAL];
        hasher.finalize_xof().fill(&mut seal);
        seal
    }

    pub(super) async fn write<W: AsyncWrite + Unpin>(
        &mut self,
        output: &mut W,
        frame: &Frame,
    ) -> io::Result<()> {
        let length = FIXED + frame.head.len() + frame.blob.len();
        if length > MAX_FRAME {
            return Err(io::Error::other("a frame is too long to send"));
        }
        let too_long = |_| io::Error::other("a frame is too long to send");
        let mut start = Vec::with_capacity(16 + frame.head.len());
        start.extend_from_slice(&u32::try_from(length).map_err(too_long)?.to_be_bytes());
        start.extend_from_slice(&frame.request.to_be_bytes());
        let head = u32::try_from(frame.head.len()).map_err(too_long)?;
        let named = if frame.named { NAMED } else { 0 };
        start.extend_from_slice(&(head | named).to_be_bytes());
        start.extend_from_slice(&frame.head);
        let sealed: &[u8] = if frame.named { &[] } else { &frame.blob };
        let seal = self.seal(&[&start, sealed]);
        output.write_all(&start).await?;
        output.write_all(&frame.blob).await?;
        output.write_all(&seal).await?;
        output.flush().await
    }

    pub(super) async fn read<R: AsyncRead + Unpin>(&mut self, input: &mut R) -> io::Result<Frame> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut first = [0; 4];
        input.read_exact(&mut first).await?;
        let length = u32::from_be_bytes(first) as usize;
        if !(FIXED..=MAX_FRAME).contains(&length) {
            return Err(bad("a frame of impossible length"));
        }
        let mut body = vec![0; length];
        input.read_exact(&mut body).await?;
        let seal = body.split_off(length - SEAL);
        let (fixed, rest) = body.split_at(12);
        let request = u64::from_be_bytes(fixed[..8].try_into().map_err(|_| bad("short frame"))?);
        let head = u32::from_be_bytes(fixed[8..].try_into().map_err(|_| bad("short frame"))?);
        let named = head & NAMED != 0;
        let head = (head & !NAMED) as usize;
        if head > rest.len() {
            return Err(bad("a frame's head is longer than the frame"));
        }
        let end = 12 + head;
        let sealed = if named { end } else { body.len() };
        let right = self.seal(&[&first, &body[..sealed]]);
        if blake3::Hash::from_bytes(pad(&right)) != blake3::Hash::from_bytes(pad_slice(&seal)) {
            return Err(bad("a frame with a wrong seal"));
        }
        let body = Bytes::from(body);
        Ok(Frame {
            request,
            head: body[12..end].to_vec(),
            blob: body.slice(end..),
            named,
        })
    }
}

/// `blake3::Hash` compares in constant time; a seal is half as long.
fn pad(seal: &[u8; SEAL]) -> [u8; 32] {
    pad_slice(seal)
}

fn pad_slice(seal: &[u8]) -> [u8; 32] {
    let mut padded = [0; 32];
    padded[..seal.len().min(32)].copy_from_slice(&seal[..seal.len().min(32)]);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sent(frames: &[Frame]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut direction = Direction::new([1; 32]);
        for frame in frames {
            direction.write(&mut out, frame).await.unwrap();
        }
        out
    }

    fn frame(n: u64) -> Frame {
        Frame {
            request: n,
            head: vec![1, 2, 3],
            blob: Bytes::from_static(b"blob"),
            named: false,
        }
    }

    #[tokio::test]
    async fn a_frame_is_read_back() {
        let bytes = sent(&[frame(1), frame(2)]).await;
        let mut input = &bytes[..];
        let mut direction = Direction::new([1; 32]);
        assert_eq!(direction.read(&mut input).await.unwrap(), frame(1));
        assert_eq!(direction.read(&mut input).await.unwrap(), frame(2));
    }

    #[tokio::test]
    async fn a_changed_repeated_or_foreign_frame_is_refused() {
        let bytes = sent(&[frame(1)]).await;
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let read = Direction::new([1; 32]).read(&mut &bad[..]).await;
            assert!(read.is_err(), "byte {at}");
        }
        assert!(Direction::new([2; 32]).read(&mut &bytes[..]).await.is_err());
        let twice = [bytes.clone(), bytes].concat();
        let mut input = &twice[..];
        let mut direction = Direction::new([1; 32]);
        assert!(direction.read(&mut input).await.is_ok());
        assert!(direction.read(&mut input).await.is_err());
    }

    /// Of a frame with a chunk everything but the chunk itself is sealed.
    #[tokio::test]
    async fn a_chunk_is_left_to_its_name() {
        let mut chunk = frame(1);
        chunk.named = true;
        let bytes = sent(&[chunk]).await;
        let blob = bytes.windows(4).position(|four| four == b"blob").unwrap();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let read = Direction::new([1; 32]).read(&mut &bad[..]).await;
            assert_eq!(read.is_ok(), (blob..blob + 4).contains(&at), "byte {at}");
        }
    }

    /// Whatever comes on a connection, nothing is taken that was not sent, and no length is believed.
    #[test]
    fn damaged_frames_are_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.unwrap();
        let mut chunk = frame(2);
        chunk.named = true;
        let whole = runtime.block_on(sent(&[frame(1), chunk, frame(3)]));
        crate::fuzz::each(&[whole], |_, bytes| {
            let mut direction = Direction::new([1; 32]);
            let mut input = bytes;
            for n in 1.. {
                match runtime.block_on(direction.read(&mut input)) {
                    Ok(frame) => assert!(frame.request == n && frame.head == [1, 2, 3]),
                    Err(_) => return,
                }
            }
        });
    }
}
