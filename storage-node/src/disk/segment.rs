//! The form of a segment: records one behind the other.
//!
//! ```text
//! header, 64 bytes: "PLC1" · version u8 · kind u8 · 2 × 0 · length u32 · generation u64 · chunk [32] ·
//!                   4 × 0 · check [8]            numbers big-endian; check = BLAKE3 of the 56
//! payload: `length` bytes, whose BLAKE3 is the chunk's name
//! kind: 0 a copy; 1 a removal, without payload: copies of that generation or older, in this
//!       segment or an earlier one, are dead
//! ```

use planaria_storage_core::ChunkId;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Length of a record's header.
pub(super) const HEADER: u64 = 64;
const MAGIC: &[u8; 4] = b"PLC1";
const VERSION: u8 = 1;
/// How much is read at once when a good header is looked for behind a bad one.
const WINDOW: usize = 1 << 20;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) chunk: ChunkId,
    pub(super) len: u32,
    pub(super) generation: u64,
    pub(super) removal: bool,
}

impl Header {
    pub(super) fn to_bytes(self) -> [u8; HEADER as usize] {
        let mut bytes = [0; HEADER as usize];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = VERSION;
        bytes[5] = u8::from(self.removal);
        bytes[8..12].copy_from_slice(&self.len.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.generation.to_be_bytes());
        bytes[20..52].copy_from_slice(&self.chunk.0);
        let check = blake3::hash(&bytes[..56]);
        bytes[56..].copy_from_slice(&check.as_bytes()[..8]);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER as usize] = bytes.get(..HEADER as usize)?.try_into().ok()?;
        if &bytes[..4] != MAGIC || bytes[4] != VERSION || bytes[5] > 1 {
            return None;
        }
        let check = blake3::hash(&bytes[..56]);
        if bytes[56..] != check.as_bytes()[..8] {
            return None;
        }
        Some(Self {
            chunk: ChunkId(bytes[20..52].try_into().ok()?),
            len: u32::from_be_bytes(bytes[8..12].try_into().ok()?),
            generation: u64::from_be_bytes(bytes[12..20].try_into().ok()?),
            removal: bytes[5] == 1,
        })
    }

    /// Length of the record.
    pub(super) fn record(&self) -> u64 {
        HEADER + u64::from(self.len)
    }
}

/// What reading a segment from end to end found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Each good record and where it begins.
    pub(super) records: Vec<(u64, Header)>,
    /// Where the last good record ends.
    pub(super) end: u64,
    /// Stretches of bad bytes between good records.
    pub(super) holes: u64,
}

/// Reads a segment's headers. With `verify` the payloads are hashed too: a torn write can have a
/// good header and a bad payload.
pub(super) fn survey(file: &File, verify: bool) -> io::Result<Survey> {
    let length = file.metadata()?.len();
    let mut survey = Survey::default();
    let mut at = 0;
    while at < length {
        match good_record(file, at, length, verify)? {
            Some(header) => {
                if survey.end != at {
                    survey.holes += 1;
                }
                survey.records.push((at, header));
                at += header.record();
                survey.end = at;
            }
            None => match next_magic(file, at + 1, length)? {
                Some(next) => at = next,
                None => break,
            },
        }
    }
    Ok(survey)
}

fn good_record(file: &File, at: u64, length: u64, verify: bool) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER as usize];
    if at + HEADER > length {
        return Ok(None);
    }
    file.read_exact_at(&mut bytes, at)?;
    let Some(header) = Header::from_bytes(&bytes) else {
        return Ok(None);
    };
    if at + header.record() > length {
        return Ok(None);
    }
    if verify && !header.removal {
        let mut payload = vec![0; header.len as usize];
        file.read_exact_at(&mut payload, at + HEADER)?;
        if !header.chunk.names(&payload) {
            return Ok(None);
        }
    }
    Ok(Some(header))
}

fn next_magic(file: &File, from: u64, length: u64) -> io::Result<Option<u64>> {
    let mut window = vec![0; WINDOW];
    let mut at = from;
    while at + HEADER <= length {
        let want = usize::try_from(length - at).unwrap_or(WINDOW).min(WINDOW);
        file.read_exact_at(&mut window[..want], at)?;
        if let Some(hit) = window[..want].windows(4).position(|four| four == MAGIC) {
            return Ok(Some(at + hit as u64));
        }
        at += want as u64 - 3;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_header_is_read_back_and_a_flipped_bit_seen() {
        let header = Header {
            chunk: ChunkId::of(b"x"),
            len: 1,
            generation: 7,
            removal: true,
        };
        let bytes = header.to_bytes();
        assert_eq!(Header::from_bytes(&bytes), Some(header));
        for at in 0..bytes.len() {
            let mut bad = bytes;
            bad[at] ^= 1;
            assert_eq!(Header::from_bytes(&bad), None, "byte {at}");
        }
        assert_eq!(Header::from_bytes(&bytes[..63]), None);
    }

    /// The format as it is on disks today: a change of it must keep reading this.
    #[test]
    fn the_golden_header() {
        let header = Header {
            chunk: ChunkId([0xab; 32]),
            len: 0x0102,
            generation: 3,
            removal: false,
        };
        let hex: String = header
            .to_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert!(
            hex.starts_with("504c433101000000000001020000000000000003abab"),
            "{hex}"
        );
    }

    fn file(pieces: &[&[u8]]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        for piece in pieces {
            file.write_all(piece).unwrap();
        }
        file
    }

    fn record(bytes: &[u8]) -> Vec<u8> {
        let len = u32::try_from(bytes.len()).unwrap();
        let header = Header {
            chunk: ChunkId::of(bytes),
            len,
            generation: 1,
            removal: false,
        };
        [&header.to_bytes()[..], bytes].concat()
    }

    #[test]
    fn a_torn_tail_ends_the_segment() {
        let (one, two) = (record(b"one"), record(b"two"));
        for cut in 1..two.len() {
            let survey = survey(&file(&[&one, &two[..cut]]), true).unwrap();
            assert_eq!((survey.records.len(), survey.end), (1, one.len() as u64));
        }
    }

    /// Whatever a segment holds, a survey ends, and takes for a copy only what its name is of.
    #[test]
    fn a_damaged_segment_gives_no_copy_that_is_none() {
        let bodies: [&[u8]; 4] = [b"one", b"", b"the third of them", &[7; 300]];
        let whole: Vec<u8> = bodies.iter().flat_map(|body| record(body)).collect();
        let good: Vec<ChunkId> = bodies.iter().map(|body| ChunkId::of(body)).collect();
        let file = tempfile::tempfile().unwrap();
        crate::fuzz::each(std::slice::from_ref(&whole), |_, bytes| {
            file.set_len(0).unwrap();
            file.write_all_at(bytes, 0).unwrap();
            let found = survey(&file, true).unwrap();
            assert!(found.end <= bytes.len() as u64);
            let mut last = 0;
            for (at, header) in &found.records {
                assert!(*at >= last, "records do not overlap");
                last = at + header.record();
                assert!(good.contains(&header.chunk));
            }
            let same = bytes.iter().zip(&whole).take_while(|(a, b)| a == b).count();
            assert!(same < 67 || found.records.first().is_some_and(|(at, _)| *at == 0));
        });
    }

    #[test]
    fn rot_in_the_middle_is_stepped_over() {
        let (one, mut two, three) = (record(b"one"), record(b"two"), record(b"three"));
        two[70 - 6] ^= 1;
        let survey = survey(&file(&[&one, &two, &three]), true).unwrap();
        assert_eq!((survey.records.len(), survey.holes), (2, 1));
    }
}
