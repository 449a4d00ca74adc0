//! The command line.
use std::process::ExitCode;
/// Runs it.
#[must_use]
pub fn run() -> ExitCode {
    ExitCode::from(2)
}
