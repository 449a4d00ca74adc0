//! `--last-lines`: what the program wrote last, kept for its post-mortem, while all of it goes on to our own outputs.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A longer line is cut, for the post-mortem only.
const LINE_MAX: usize = 300;
/// What is read at a time; a pipe holds as much.
const PIECE: usize = 64 * 1024;
const STACK: usize = 128 * 1024;
/// After the program's end its own children may hold the pipes for ever; what is in them by then is taken.
const DRAIN: Duration = Duration::from_millis(500);

/// The last lines, oldest first.
#[derive(Debug)]
pub(super) struct Tail {
    lines: Mutex<VecDeque<Vec<u8>>>,
    keep: usize,
    copying: AtomicUsize,
}

impl Tail {
    pub(super) fn new(keep: usize) -> Arc<Self> {
        Arc::new(Self {
            lines: Mutex::new(VecDeque::new()),
            keep,
            copying: AtomicUsize::new(0),
        })
    }

    fn push(&self, line: &[u8]) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        while lines.len() >= self.keep {
            lines.pop_front();
        }
        lines.push_back(line[..line.len().min(LINE_MAX)].to_vec());
    }

    /// The lines, with nothing in them that a terminal would obey.
    pub(super) fn lines(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| plain(line)).collect()
    }

    /// Copies the child's outputs from now on.
    pub(super) fn follow(self: &Arc<Self>, child: &mut Child) -> std::io::Result<()> {
        if let Some(from) = child.stdout.take() {
            self.copy("stdout", from, std::io::stdout())?;
        }
        if let Some(from) = child.stderr.take() {
            self.copy("stderr", from, std::io::stderr())?;
        }
        Ok(())
    }

    fn copy(
        self: &Arc<Self>,
        name: &str,
        mut from: impl Read + Send + 'static,
        mut to: impl Write + Send + 'static,
    ) -> std::io::Result<()> {
        let tail = Arc::clone(self);
        tail.copying.fetch_add(1, Ordering::SeqCst);
        let work = move || {
            let mut piece = vec![0; PIECE];
            let mut open = Vec::new();
            while let Ok(length @ 1..) = from.read(&mut piece) {
                // Nobody reads us: the program is to see that at its own next write.
                if to
                    .write_all(&piece[..length])
                    .and_then(|()| to.flush())
                    .is_err()
                {
                    break;
                }
                tail.split(&piece[..length], &mut open);
            }
            if !open.is_empty() {
                tail.push(&open);
            }
            tail.copying.fetch_sub(1, Ordering::SeqCst);
        };
        let started = std::thread::Builder::new()
            .name(name.into())
            .stack_size(STACK)
            .spawn(work);
        started.map(drop)
    }

    /// Cuts into lines; `open` is the one without an end yet.
    fn split(&self, piece: &[u8], open: &mut Vec<u8>) {
        let mut pieces = piece.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = pieces.next() {
            let room = LINE_MAX.saturating_sub(open.len());
            open.extend_from_slice(&part[..part.len().min(room)]);
            if pieces.peek().is_some() {
                self.push(open);
                open.clear();
            }
        }
    }

    /// Waits until all that the program wrote has gone on.
    pub(super) fn drain(&self) {
        let begin = Instant::now();
        while self.copying.load(Ordering::SeqCst) > 0 && begin.elapsed() < DRAIN {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Text without control characters.
pub(super) fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_long_ones_cut() {
        let tail = Tail::new(2);
        let mut open = Vec::new();
        tail.split(b"one\ntw", &mut open);
        tail.split(b"o\nthr\x1bee\nfour", &mut open);
        assert_eq!(tail.lines(), ["two", "thr ee"]);
        tail.split(&[b'x'; 5000], &mut open);
        tail.split(b"\n", &mut open);
        assert_eq!(tail.lines()[1].len(), LINE_MAX);
    }
}
