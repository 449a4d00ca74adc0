//! The command line of the chaos monkey.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
