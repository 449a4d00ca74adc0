//! The flight recorder: all that the core was told since its boot, so that a decision made in
//! production can be made once more at a desk.
//!
//! A recording is lines of JSON. The first is a [`Header`], each other a [`Record`]: when, what came in,
//! and a digest of what the core wanted done. It begins with the boot and stops at a bound: the core's
//! state cannot be written down, so a recording that began later could not be replayed. The recording of
//! the boot before is kept beside it.

#[cfg(feature = "cli")]
mod replay;

#[cfg(feature = "cli")]
pub(crate) use replay::{Replayed, Step, replay};

use planaria_core::effect::Effect;
use planaria_core::id::BootId;
use planaria_core::input::Input;
use planaria_core::node::{Node, NodeConfig};
use planaria_core::status::Saved;
use planaria_core::time::Instant;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The recording of this boot, in `STATE_DIR`.
const FILE: &str = "recording.jsonl";
/// The one of the boot before.
const FILE_BEFORE: &str = "recording.before.jsonl";
/// One recording takes so much and the one input that crosses it; two are kept, so 4 MiB in all.
const RECORDING_MAX: u64 = 2 << 20;
/// Between two flushes; a crash of the host loses what is in it.
const BUFFER: usize = 16 * 1024;
/// The layout of the lines.
const FORMAT: u32 = 1;

/// All that a core begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Beginning {
    pub(crate) config: NodeConfig,
    pub(crate) boot: BootId,
    pub(crate) saved: Option<Saved>,
    pub(crate) seed: u64,
    pub(crate) start: Instant,
}

impl Beginning {
    /// The core that begins so.
    pub(crate) fn node(self) -> Node {
        let Self {
            config,
            boot,
            saved,
            seed,
            start,
        } = self;
        Node::new(config, boot, saved, seed, start)
    }
}

/// The first line. `B` is a [`Beginning`] or a reference to one.
#[derive(Debug, Serialize, Deserialize)]
struct Header<B> {
    planaria_recording: u32,
    /// Of the program that made it: another one may well decide otherwise.
    version: String,
    beginning: B,
}

/// Each other line.
#[cfg(feature = "cli")]
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    at: Instant,
    input: Input,
    /// 16 hex digits, see [`digest`].
    effects: String,
}

/// FNV-1a of what is written: stable, needs no memory; an accident is to be noticed, not an attack.
struct Digest(u64);

impl Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a record says of effects: the hash of their JSON.
fn digest(effects: &[Effect]) -> io::Result<String> {
    let mut digest = Digest(0xcbf2_9ce4_8422_2325);
    serde_json::to_writer(&mut digest, effects)?;
    Ok(format!("{:016x}", digest.0))
}

/// Writes and counts.
struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.bytes = self.bytes.saturating_add(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes a recording to anything.
struct Recorder<W> {
    out: Counted<W>,
}

impl<W: Write> Recorder<W> {
    fn begin(out: W, beginning: &Beginning) -> io::Result<Self> {
        let mut out = Counted { out, bytes: 0 };
        let header = Header {
            planaria_recording: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            beginning,
        };
        serde_json::to_writer(&mut out, &header)?;
        out.write_all(b"\n")?;
        Ok(Self { out })
    }

    /// The first half of a [`Record`], before the core swallows the input; piece by piece, so that a
    /// list of all containers needs no second copy in memory.
    fn input(&mut self, at: Instant, input: &Input) -> io::Result<()> {
        write!(self.out, "{{\"at\":{},\"input\":", at.0)?;
        serde_json::to_writer(&mut self.out, input)?;
        Ok(())
    }

    /// The second half.
    fn effects(&mut self, effects: &[Effect]) -> io::Result<()> {
        let digest = digest(effects)?;
        writeln!(self.out, ",\"effects\":\"{digest}\"}}")
    }

    fn is_full(&self) -> bool {
        self.out.bytes >= RECORDING_MAX
    }
}

/// The recorder of the loop: it never fails, it only stops, and says so once.
pub(crate) struct Flight {
    path: PathBuf,
    recorder: Option<Recorder<BufWriter<File>>>,
}

impl Flight {
    /// Records nothing.
    pub(crate) fn none() -> Self {
        Self {
            path: PathBuf::new(),
            recorder: None,
        }
    }

    /// Keeps the recording of the boot before and begins a new one.
    pub(crate) fn start(folder: &Path, beginning: &Beginning) -> Self {
        let path = folder.join(FILE);
        // The first boot has none before it.
        let _ = std::fs::rename(&path, folder.join(FILE_BEFORE));
        let recorder = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|file| Recorder::begin(BufWriter::with_capacity(BUFFER, file), beginning));
        let mut flight = Self::none();
        flight.path = path;
        match recorder {
            Ok(recorder) => flight.recorder = Some(recorder),
            Err(error) => flight.stop(&error),
        }
        flight
    }

    /// Before the core is told.
    pub(crate) fn input(&mut self, at: Instant, input: &Input) {
        self.with(|recorder| recorder.input(at, input));
    }

    /// After it.
    pub(crate) fn effects(&mut self, effects: &[Effect]) {
        self.with(|recorder| recorder.effects(effects));
        if self.recorder.as_ref().is_some_and(Recorder::is_full) {
            self.flush();
            self.recorder = None;
            tracing::info!(
                event = "recording_full",
                "{}: the recording of this boot is full and stops here; the next boot begins a new one",
                self.path.display()
            );
        }
    }

    /// Hands what is buffered to the kernel.
    pub(crate) fn flush(&mut self) {
        self.with(|recorder| recorder.out.flush());
    }

    fn with(&mut self, work: impl FnOnce(&mut Recorder<BufWriter<File>>) -> io::Result<()>) {
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = work(recorder)
        {
            self.recorder = None;
            self.stop(&error);
        }
    }

    fn stop(&self, error: &io::Error) {
        tracing::warn!(
            event = "recording_stopped",
            "{}: {error}; what this monitor does cannot be replayed until its next boot",
            self.path.display()
        );
    }
}

#[cfg(test)]
mod tests;
