//! The program `monitor` from outside: signals, exit codes, probes, hostile bytes.
#![allow(clippy::unwrap_used)] // helpers outside #[test] functions fail tests just as well

mod cli;
mod health;
mod notify;
mod run;
mod service;
mod support;
mod tini;
