//! The story of a run: always as a hash (same seed, same hash), as text where somebody asked for it.

use crate::clock::shown;
use std::collections::VecDeque;

/// Lines kept: enough for the last minutes before a violation, bounded whatever a seed does.
const LINES_KEPT: usize = 20_000;

/// The hash's multiplier (FNV-1a, 64 bits).
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// What has happened so far.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    notes: u64,
    keep: bool,
    lines: VecDeque<String>,
}

impl Trace {
    /// With the text kept, or only its hash.
    #[must_use]
    pub fn new(keep: bool) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            notes: 0,
            keep,
            lines: VecDeque::new(),
        }
    }

    /// Adds a step: its kind and subject go into the hash, the text is made only where it is kept.
    pub fn note(&mut self, at: u64, kind: &str, subject: usize, text: impl FnOnce() -> String) {
        self.notes += 1;
        for byte in kind.bytes() {
            self.mix(u64::from(byte));
        }
        self.mix(at);
        self.mix(subject as u64);
        if self.keep {
            self.line(at, &text());
        }
    }

    /// Adds text that is not part of the hash.
    pub fn say(&mut self, at: u64, text: impl FnOnce() -> String) {
        if self.keep {
            self.line(at, &text());
        }
    }

    fn line(&mut self, at: u64, text: &str) {
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{} {text}", shown(at)));
    }

    fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(PRIME);
    }

    /// The hash of everything so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many steps there were.
    #[must_use]
    pub fn notes(&self) -> u64 {
        self.notes
    }

    /// The text, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}
