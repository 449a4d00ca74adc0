//! The program `monitor` from outside: signals, exit codes, probes, hostile bytes.

mod cli;
mod health;
mod run;
mod support;
