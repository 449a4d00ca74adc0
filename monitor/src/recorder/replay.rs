//! Runs a recording through the core once more.

use super::{Beginning, FORMAT, Header, Record, digest};
use planaria_core::effect::Effect;
use planaria_core::input::Input;
use planaria_core::time::Instant;

/// One input and what the core wants done about it now.
#[derive(Debug)]
pub(crate) struct Step {
    /// Its line in the recording, from 1.
    pub(crate) line: usize,
    /// Since the boot.
    pub(crate) after: std::time::Duration,
    pub(crate) input: Input,
    pub(crate) effects: Vec<Effect>,
}

/// What came of a replay without a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replayed {
    pub(crate) inputs: usize,
    /// The last line has no end (the monitor was killed as it wrote); it was left out.
    pub(crate) torn: bool,
}

/// Why a recording does not replay.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Mismatch {
    #[error("line 1 is no header of a recording: {0}")]
    NoHeader(String),
    #[error("line {line} is no record: {error}")]
    NoRecord {
        line: usize,
        error: serde_json::Error,
    },
    #[error("line {line}: time goes back")]
    TimeGoesBack { line: usize },
    #[error(
        "line {line}: the effects are others than recorded{}",
        if version == env!("CARGO_PKG_VERSION") { String::new() }
        else { format!(" (recorded by version {version}, this is {})", env!("CARGO_PKG_VERSION")) }
    )]
    Differs { line: usize, version: String },
}

/// Tells each step to `seen`, also the one that differs, and ends at the first difference.
///
/// # Errors
/// The first line that is not as it should be.
pub(crate) fn replay(text: &str, mut seen: impl FnMut(Step)) -> Result<Replayed, Mismatch> {
    let mut lines = text.split_inclusive('\n').zip(1..);
    let first = lines.next().map_or("", |(line, _)| line);
    let header: Header<Beginning> =
        serde_json::from_str(first).map_err(|error| Mismatch::NoHeader(error.to_string()))?;
    if header.planaria_recording != FORMAT {
        return Err(Mismatch::NoHeader(format!(
            "its layout is {}, this program reads {FORMAT}",
            header.planaria_recording
        )));
    }
    let start = header.beginning.start;
    let mut node = header.beginning.node();
    let mut replayed = Replayed {
        inputs: 0,
        torn: false,
    };
    let mut last = start;
    for (text, line) in lines {
        if !text.ends_with('\n') {
            replayed.torn = true;
            break;
        }
        let record: Record =
            serde_json::from_str(text).map_err(|error| Mismatch::NoRecord { line, error })?;
        let Record { at, input, effects } = record;
        last = in_order(last, at).ok_or(Mismatch::TimeGoesBack { line })?;
        let wanted = node.handle(at, input.clone());
        // Effects that cannot be written as JSON could not be recorded either.
        let same = digest(&wanted).is_ok_and(|digest| digest == effects);
        seen(Step {
            line,
            after: at.since(start),
            input,
            effects: wanted,
        });
        if !same {
            let version = header.version;
            return Err(Mismatch::Differs { line, version });
        }
        replayed.inputs += 1;
    }
    Ok(replayed)
}

fn in_order(last: Instant, at: Instant) -> Option<Instant> {
    (at >= last).then_some(at)
}
