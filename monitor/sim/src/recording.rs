//! The flight recorder's format, so that what a container recorded can be replayed here, and what happened
//! here can be replayed by `monitor replay`.
//!
//! The first line is a header with all that the core began with, each other line an input with its time
//! and a digest of the effects.

use anyhow::{Context, Result, ensure};
use planaria_core::effect::Effect;
use planaria_core::id::BootId;
use planaria_core::input::Input;
use planaria_core::node::{Node, NodeConfig};
use planaria_core::status::Saved;
use planaria_core::time::Instant;
use serde::{Deserialize, Serialize};

/// The layout of the lines, as `monitor` writes it.
const FORMAT: u32 = 1;

/// All that a core begins with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Beginning {
    pub(crate) config: NodeConfig,
    pub(crate) boot: BootId,
    pub(crate) saved: Option<Saved>,
    pub(crate) seed: u64,
    pub(crate) start: Instant,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    planaria_recording: u32,
    version: String,
    beginning: Beginning,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    at: Instant,
    input: Input,
    effects: String,
}

/// FNV-1a over the effects' JSON, 16 hex digits.
fn digest(effects: &[Effect]) -> Result<String> {
    let text = serde_json::to_string(effects)?;
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Ok(format!("{hash:016x}"))
}

/// What one simulated process was told since its boot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    text: String,
}

impl Recorder {
    pub(crate) fn begin(&mut self, beginning: Beginning) -> Result<()> {
        let header = Header {
            planaria_recording: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            beginning,
        };
        self.text = serde_json::to_string(&header)?;
        self.text.push('\n');
        Ok(())
    }

    pub(crate) fn step(&mut self, at: Instant, input: Input, effects: &[Effect]) -> Result<()> {
        let effects = digest(effects)?;
        let record = Record { at, input, effects };
        self.text.push_str(&serde_json::to_string(&record)?);
        self.text.push('\n');
        Ok(())
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// What came of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// How many inputs there were.
    pub inputs: usize,
    /// The first line whose effects are others than recorded: the core was changed since, or it is not
    /// deterministic.
    pub differs: Option<usize>,
    /// A digest of all effects.
    pub effects: String,
}

/// Runs a recording through the core. A last line without an end is left out.
///
/// # Errors
/// Where the text is no recording of this layout, or time goes back in it.
pub fn replay(text: &str) -> Result<Replayed> {
    let mut lines = text.split_inclusive('\n').zip(1..);
    let (first, _) = lines.next().context("an empty file is no recording")?;
    let header: Header = serde_json::from_str(first).context("line 1 is no header")?;
    ensure!(
        header.planaria_recording == FORMAT,
        "its layout is {}, this program reads {FORMAT}",
        header.planaria_recording
    );
    let Beginning {
        config,
        boot,
        saved,
        seed,
        start,
    } = header.beginning;
    let mut node = Node::new(config, boot, saved, seed, start);
    let mut last = start;
    let mut replayed = Replayed {
        inputs: 0,
        differs: None,
        effects: String::new(),
    };
    for (text, line) in lines {
        if !text.ends_with('\n') {
            break;
        }
        let record: Record =
            serde_json::from_str(text).with_context(|| format!("line {line} is no record"))?;
        ensure!(record.at >= last, "line {line}: time goes back");
        last = record.at;
        let found = digest(&node.handle(record.at, record.input))?;
        if found != record.effects {
            replayed.differs.get_or_insert(line);
        }
        replayed.inputs += 1;
        replayed.effects.push_str(&found);
    }
    Ok(replayed)
}
