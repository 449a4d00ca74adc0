//! Bodies in pieces of their own length (`aws-chunked`), made bearable.
//!
//! ```text
//! 400[;chunk-signature=…] CRLF · 0x400 bytes · CRLF · … · 0[;…] CRLF · trailers
//! ```
//! The protocol's crate keeps a whole piece in memory before it gives a byte of it, and some
//! clients send all of an object as one. A piece that is not signed is therefore cut into as many
//! as came over the wire; one that is signed cannot be cut, and may not be long.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use hyper::HeaderMap;
use std::collections::VecDeque;
use std::io;

/// The longest signed piece: clients send 64 KiB to 1 MiB.
const MAX_SIGNED: u64 = 4 << 20;
/// The longest line before a piece.
const MAX_HEAD: usize = 1024;

/// Whether a request's body comes in pieces.
pub(super) fn is_framed(headers: &HeaderMap) -> bool {
    let hash = headers.get("x-amz-content-sha256");
    hash.is_some_and(|hash| hash.as_bytes().starts_with(b"STREAMING-"))
}

/// The same body in pieces that are short.
pub(super) fn short<E>(
    body: impl Stream<Item = Result<Bytes, E>> + Send + Sync,
) -> impl Stream<Item = Result<Bytes, io::Error>> + Send + Sync
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let begun = (Box::pin(body), Framing::Head(Vec::new()), VecDeque::new());
    futures::stream::unfold(begun, |(mut body, mut framing, mut ready)| async move {
        loop {
            if let Some(piece) = ready.pop_front() {
                return Some((Ok(piece), (body, framing, ready)));
            }
            let taken = match body.next().await? {
                Ok(bytes) => framing.take(bytes, &mut ready),
                Err(error) => Err(io::Error::other(error)),
            };
            if let Err(error) = taken {
                ready.clear();
                return Some((Err(error), (body, framing, ready)));
            }
        }
    })
}

/// Where in a body we are.
enum Framing {
    /// In the line before a piece, of which this came.
    Head(Vec<u8>),
    /// In a piece: how much of it is left, and whether it is signed.
    Piece { left: u64, signed: bool },
    /// In the end of its line: how much of that came.
    End { seen: usize, signed: bool },
    /// Behind the last piece.
    Rest,
}

impl Framing {
    fn take(&mut self, mut bytes: Bytes, ready: &mut VecDeque<Bytes>) -> io::Result<()> {
        while !bytes.is_empty() {
            *self = match std::mem::replace(self, Self::Rest) {
                Self::Head(head) => head_of(head, &mut bytes, ready)?,
                Self::Piece { left, signed } => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX);
                    let piece = bytes.split_to(most.min(bytes.len()));
                    let left = left - piece.len() as u64;
                    if signed {
                        ready.push_back(piece);
                    } else {
                        ready.push_back(format!("{:x}\r\n", piece.len()).into());
                        ready.push_back(piece);
                        ready.push_back(Bytes::from_static(b"\r\n"));
                    }
                    if left > 0 {
                        Self::Piece { left, signed }
                    } else {
                        Self::End { seen: 0, signed }
                    }
                }
                Self::End { seen, signed } => {
                    let byte = bytes.split_to(1);
                    if byte[0] != b"\r\n"[seen] {
                        return Err(malformed("a piece of the body has another length"));
                    }
                    if signed {
                        ready.push_back(byte);
                    }
                    if seen == 0 {
                        Self::End { seen: 1, signed }
                    } else {
                        Self::Head(Vec::new())
                    }
                }
                Self::Rest => {
                    ready.push_back(bytes);
                    return Ok(());
                }
            };
        }
        Ok(())
    }
}

fn head_of(
    mut head: Vec<u8>,
    bytes: &mut Bytes,
    ready: &mut VecDeque<Bytes>,
) -> io::Result<Framing> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let line = bytes.split_to(end.map_or(bytes.len(), |end| end + 1));
    head.extend_from_slice(&line);
    if head.len() > MAX_HEAD {
        return Err(malformed("the line before a piece is too long"));
    }
    if end.is_none() {
        return Ok(Framing::Head(head));
    }
    let signed = head.contains(&b';');
    let digits = head.split(|byte| matches!(byte, b';' | b'\r')).next();
    let left = digits
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| malformed("the line before a piece has no length"))?;
    if signed && left > MAX_SIGNED {
        return Err(malformed("a signed piece of the body is longer than 4 MiB"));
    }
    if signed || left == 0 {
        ready.push_back(head.into());
    }
    Ok(if left == 0 {
        Framing::Rest
    } else {
        Framing::Piece { left, signed }
    })
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives the bytes in frames of this length, and what comes out of it.
    fn through(bytes: &[u8], frame: usize) -> Result<Vec<Bytes>, io::Error> {
        let frames: Vec<_> = bytes
            .chunks(frame)
            .map(|frame| Ok::<_, io::Error>(Bytes::copy_from_slice(frame)))
            .collect();
        let all = short(futures::stream::iter(frames)).collect::<Vec<_>>();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(all).into_iter().collect()
    }

    /// The body and the trailers of what is in pieces.
    fn decoded(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut body = Vec::new();
        let mut rest = bytes;
        loop {
            let end = rest.windows(2).position(|two| two == b"\r\n")?;
            let line = std::str::from_utf8(&rest[..end]).ok()?;
            let length = usize::from_str_radix(line.split(';').next()?, 16).ok()?;
            rest = &rest[end + 2..];
            if length == 0 {
                return Some((body, rest.to_vec()));
            }
            body.extend_from_slice(rest.get(..length)?);
            rest = rest.get(length..)?.strip_prefix(b"\r\n")?;
        }
    }

    #[test]
    fn one_long_piece_leaves_as_many_short_ones_with_the_same_bytes() {
        let long = vec![7; 1 << 20];
        let mut whole = b"100000\r\n".to_vec();
        whole.extend_from_slice(&long);
        whole.extend_from_slice(b"\r\n3\r\nend\r\n0\r\nx-amz-checksum-crc32: x\r\n\r\n");
        for frame in [1000, 65_536, 1 << 22] {
            let out = through(&whole, frame).unwrap();
            assert!(out.iter().all(|piece| piece.len() <= frame.max(1 << 20)));
            let (body, trailers) = decoded(&out.concat()).unwrap();
            assert!(body == [&long[..], b"end"].concat());
            assert_eq!(trailers, b"x-amz-checksum-crc32: x\r\n\r\n");
        }
        let first = through(&whole, 1000).unwrap();
        assert!(first.iter().all(|piece| piece.len() <= 1000));
    }

    #[test]
    fn what_is_signed_stays_as_it_is_and_may_not_be_long() {
        let signed = b"3;chunk-signature=00\r\nend\r\n0;chunk-signature=11\r\n\r\n";
        for frame in 1..signed.len() {
            assert_eq!(through(signed, frame).unwrap().concat(), signed);
        }
        assert!(through(b"400001;chunk-signature=00\r\n", 99).is_err());
        for bad in [
            &b"\r\n"[..],
            b"x\r\n",
            b"-1\r\n",
            b"3\r\nend,",
            b"3\r\nend\r,",
        ] {
            assert!(through(bad, 99).is_err(), "{bad:?}");
        }
        assert!(through(&[b'0'; 2000], 99).is_err());
    }

    /// Whatever comes, what leaves says the same, and no piece waits for its whole.
    #[test]
    fn damaged_framing_is_passed_on_as_it_is_or_refused() {
        let good = [
            b"3\r\nend\r\n10\r\n0123456789abcdef\r\n0\r\na: b\r\n\r\n".to_vec(),
            b"3;chunk-signature=00\r\nend\r\n0;chunk-signature=11\r\n\r\n".to_vec(),
        ];
        crate::fuzz::each(&good, |round, bytes| {
            let frame = usize::try_from(round % 23).unwrap() + 1;
            let Ok(out) = through(bytes, frame) else {
                return;
            };
            assert!(out.iter().all(|piece| piece.len() <= frame.max(MAX_HEAD)));
            if let Some(before) = decoded(bytes) {
                assert_eq!(decoded(&out.concat()), Some(before));
            }
        });
    }
}
