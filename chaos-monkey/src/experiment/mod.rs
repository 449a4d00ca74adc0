//! Experiments in Chaos Toolkit's format: read, checked, run, and written down as its journal.
//!
//! What differs from the original, on purpose: rollbacks are played always unless the file says
//! otherwise, and the steady state is looked at once more after them (`steady_states.final`).
//! Python providers and controls are not run; a file that has such activities is refused before anything
//! is done.
//!
//! - [`check`]: is the file right? All errors at once. [`values`]: configuration, secrets, `${…}`.
//! - [`provider`]: http and process. Our own faults are `process` activities that call `chaos-monkey`, so
//!   that the original runs the same files. [`tolerance`]: is a result within bounds?
//! - [`known`]: experiments by name, made for the monkey's own stack.
//! - [`run`]: the order of things, and the journal.

pub mod check;
pub mod known;
pub mod provider;
pub mod run;
pub mod tolerance;
pub mod values;

use serde_json::Value;
use std::path::Path;

/// No experiment is longer.
const FILE_MAX: u64 = 1 << 20;

/// Why a file is no experiment that can be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// It cannot be read.
    #[error("{0}: {1}")]
    Unreadable(String, std::io::Error),
    /// It is neither JSON nor YAML.
    #[error("{0}: {1}")]
    Syntax(String, String),
    /// All that is wrong with it.
    #[error("{file} is not a valid experiment:\n  {}", errors.join("\n  "))]
    Invalid {
        /// The file.
        file: String,
        /// One sentence each.
        errors: Vec<String>,
    },
}

/// Reads a file, JSON or YAML by its content.
///
/// # Errors
/// Where it cannot be read, is neither, or is not valid.
pub fn read(path: &Path) -> Result<Value, ExperimentError> {
    let file = path.display().to_string();
    let unreadable = |error| ExperimentError::Unreadable(file.clone(), error);
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > FILE_MAX {
        return Err(ExperimentError::Syntax(
            file,
            format!("{length} bytes are too many; {FILE_MAX} are allowed"),
        ));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let experiment: Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(&text)
            .map_err(|error| ExperimentError::Syntax(file.clone(), error.to_string()))?
    } else {
        serde_saphyr::from_str(&text)
            .map_err(|error| ExperimentError::Syntax(file.clone(), error.to_string()))?
    };
    let errors = check::check(&experiment);
    if errors.is_empty() {
        Ok(experiment)
    } else {
        Err(ExperimentError::Invalid { file, errors })
    }
}
