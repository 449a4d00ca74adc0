//! Hang detection for a program, and membership in a group that heals its members.
//!
//! A process that crashes is started again by anybody; one that hangs is not, because nothing ended. Here a watchdog on
//! a thread of its own judges the program's *pulses*. When one stays away for longer than its deadline, the process ends
//! itself (apoptosis): last words to standard error, exit code 70. Whoever restarts crashes restarts hangs then.
//!
//! ```
//! use planaria_monitor::Monitor;
//!
//! let monitor = Monitor::builder().start()?;
//! for _job in 0..3 {
//!     monitor.pulse(); // a relaxed store, some nanoseconds
//! }
//! # Ok::<(), planaria_monitor::StartError>(())
//! ```
//!
//! - [`Monitor::pulse_for`]: a pulse of its own for each task, with its own deadline.
//! - [`Monitor::expect`]: announced long work; the guard ends the excuse.
//! - Started inside a tokio runtime, that runtime is judged as well (feature `tokio`).
//!
//! # As a member of a group
//! With the feature `group` the same monitor beats over RabbitMQ, is seen by the healers, and serves `/livez`, `/readyz`,
//! `/metrics` and `/status`:
#![cfg_attr(feature = "group", doc = "```no_run")]
#![cfg_attr(not(feature = "group"), doc = "```ignore")]
//! use planaria_monitor::{Config, Monitor, config};
//!
//! let settings = config::load(None)?;
//! planaria_monitor::logging::init(&settings);
//! let monitor = Monitor::start(Config::from_settings(settings)?)?;
//! monitor.add_readiness("cache", || Ok(()));
//! loop {
//!     monitor.pulse();
//!     # break;
//! }
//! monitor.leave();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//! | feature | what it adds | crates |
//! |---|---|---|
//! | none (`default-features = false`) | the watchdog | 6 with this one |
//! | `tokio` | the pulse of a runtime | tokio |
//! | `group` | membership, health server, metrics | lapin, bollard, hyper, … |
//! | `cli` (default) | the program `monitor` | clap, … |
//!
//! Features only add: what one feature set does, a larger one does the same way. A program that is no Rust program uses
//! `monitor run -- PROGRAM` instead (`docs/run.md`).
//!
//! Map: `monitor`, `pulse` what a program sees · `watchdog`, `apoptosis` the self-judging · `group`, `runtime` the loop
//! around the core (`planaria_core::node`) · `recorder` its inputs, to be replayed · `broker`, `docker`, `direct` the three
//! ways out · `health` HTTP · `solo` what watch alone has · `init` the first process of a container · `cli` the command line.

mod apoptosis;
mod monitor;
mod pulse;
mod sys;
mod watchdog;

#[cfg(feature = "group")]
pub mod ask;
#[cfg(feature = "group")]
pub mod broker;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "group")]
pub mod config;
#[cfg(feature = "group")]
pub mod docker;
#[cfg(feature = "group")]
pub mod logging;

#[cfg(feature = "group")]
mod clock;
#[cfg(feature = "group")]
mod direct;
#[cfg(feature = "group")]
mod group;
#[cfg(feature = "group")]
mod health;
#[cfg(feature = "cli")]
mod http;
#[cfg(feature = "group")]
mod identity;
#[cfg(feature = "cli")]
mod init;
#[cfg(feature = "group")]
mod metrics;
#[cfg(feature = "group")]
mod recorder;
#[cfg(feature = "group")]
mod runtime;
#[cfg(feature = "cli")]
mod service;
#[cfg(feature = "group")]
mod solo;
#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "group")]
pub use group::Config;
pub use monitor::{Builder, Monitor, StartError};
#[cfg(feature = "group")]
pub use planaria_core::codec;
#[cfg(feature = "group")]
pub use planaria_core::settings::Settings;
#[cfg(feature = "group")]
pub use planaria_core::status::Status as StatusReport;
#[cfg(feature = "group")]
pub use prometheus_client;
pub use pulse::{Excuse, Pulse};
