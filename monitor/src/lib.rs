//! The monitor: drivers around planaria-core, the crate for Rust programs, and the command line.
