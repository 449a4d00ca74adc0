//! Makes the decisions of a recording once more.

use super::exit;
use crate::recorder::{Replayed, Step, replay as run};
use clap::Args;
use serde_json::json;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// A recording of ours takes 2 MiB; what is much larger is none.
const FILE_MAX: u64 = 64 << 20;

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The recording: recording.jsonl or recording.before.jsonl of a monitor's STATE_DIR.
    file: PathBuf,
    /// Print JSON, one object for each input and one for the result.
    #[arg(long)]
    json: bool,
}

pub(super) fn replay(args: &ReplayArgs) -> u8 {
    let text = match read(&args.file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("monitor: {}: {error}", args.file.display());
            return exit::FAILURE;
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    // Whoever reads it may hang up; the result is in the exit code all the same.
    let result = run(&text, |step| {
        let _ = show(&mut out, &step, args.json);
    });
    let end = match &result {
        Ok(Replayed { inputs, torn }) if args.json => {
            json!({"inputs": inputs, "same": true, "torn": torn}).to_string()
        }
        Ok(Replayed { inputs, torn }) => {
            let torn = if *torn {
                "; its last line is cut off"
            } else {
                ""
            };
            format!("{inputs} inputs replayed to the same effects{torn}")
        }
        Err(error) if args.json => json!({"same": false, "error": error.to_string()}).to_string(),
        Err(_) => String::new(),
    };
    if !end.is_empty() {
        let _ = writeln!(out, "{end}");
    }
    let _ = out.flush();
    match result {
        Ok(_) => exit::OK,
        Err(error) => {
            eprintln!("monitor: {}: {error}", args.file.display());
            exit::FAILURE
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = File::open(path)?.take(FILE_MAX);
    file.read_to_string(&mut text)?;
    if file.limit() == 0 {
        return Err(io::Error::other("too large for a recording"));
    }
    Ok(text)
}

fn show(out: &mut impl Write, step: &Step, json: bool) -> io::Result<()> {
    let Step {
        line,
        after,
        input,
        effects,
    } = step;
    let seconds = after.as_secs_f64();
    if json {
        let step = json!({"line": line, "after_s": seconds, "input": input, "effects": effects});
        return writeln!(out, "{step}");
    }
    writeln!(
        out,
        "{line} +{seconds:.3} s {}",
        serde_json::to_string(input)?
    )?;
    for effect in effects {
        writeln!(out, "    {}", serde_json::to_string(effect)?)?;
    }
    Ok(())
}
