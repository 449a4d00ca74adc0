//! The monitor of Planaria: drivers around `planaria-core`, the crate for Rust programs, and the
//! command line `monitor`.
//!
//! Decisions are the core's (`planaria_core::node`); here the world is turned into its inputs and its
//! effects into calls. What a program needs is small:
//!
//! ```no_run
//! use planaria_monitor::{Config, Monitor, config};
//!
//! let settings = config::load(None)?;
//! planaria_monitor::logging::init(&settings);
//! let monitor = Monitor::start(Config::from_settings(settings)?)?;
//! loop {
//!     monitor.pulse(); // one relaxed atomic store; when it stays away, the watchdog ends the process
//!     # break;
//! }
//! monitor.leave();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Map: `monitor` what a program sees · `pulse`, `watchdog`, `apoptosis` the self-judging ·
//! `runtime` the loop around the core · `recorder` its inputs, to be replayed · [`broker`], [`docker`], `direct` the three ways out ·
//! `health` HTTP · `init` the first process of a container · [`cli`] the command line.

mod apoptosis;
pub mod ask;
pub mod broker;
pub mod cli;
pub mod config;
pub mod docker;
pub mod logging;

mod clock;
mod direct;
mod health;
mod http;
mod identity;
mod init;
mod metrics;
mod monitor;
mod pulse;
mod recorder;
mod runtime;
mod sys;
mod watchdog;

pub use monitor::{Config, Monitor, StartError};
pub use planaria_core::codec;
pub use planaria_core::settings::Settings;
pub use planaria_core::status::Status as StatusReport;
pub use prometheus_client;
pub use pulse::{Excuse, Pulse};
