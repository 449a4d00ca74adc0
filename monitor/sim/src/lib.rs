//! A seeded world that runs the very core of the containers through disasters.
//!
//! One heap of events, one source of randomness, one clock: the same seed gives the same story to the
//! last event. The processes in it are real [`planaria_core::node::Node`]s; broker, engine, network,
//! people and accidents are models, with the orders and delays that were measured on real ones.
//!
//! - [`World`]: what stands, what happens ([`Act`]), what a story asks.
//! - [`SCENARIOS`]: stories named as claims, one file and one test each.
//! - [`run_seed`]: disasters at random, then quiet, then everything must live again.
//! - [`Rule`]: the invariants; [`Sabotage`] breaks each on purpose, to show that the checker bites.
//!
//! ```no_run
//! let report = planaria_sim::run_seed(42, false, None);
//! assert!(report.violations.is_empty(), "{:?}", report.violations);
//! ```
//!
//! Not here: other hosts (one engine), TLS, the storage node, and how bytes are signed (the models hand
//! whole messages on; who may say what is still checked).

mod broker;
mod check;
pub mod clock;
mod container;
mod plan;
mod recording;
mod sabotage;
mod scenario;
mod trace;
mod world;

pub use check::{Deed, Ledger, Rule, Violation};
pub use container::{Kind, Spec};
pub use plan::{HEALS_WITHIN, Plan, Planned, Report, Shrunk, run_seed, shrink};
pub use recording::{Replayed, replay};
pub use sabotage::Sabotage;
pub use scenario::{SCENARIOS, Scenario, find};
pub use trace::Trace;
pub use world::{Act, Point, Stage, World};
