//! What a node does of itself: find its cluster, repair, rebalance, scrub, collect garbage.

mod cluster;
mod compare;
mod context;
mod garbage;
mod office;
mod presence;
mod rebalance;
mod repair;
mod report;
mod scrub;

pub use cluster::{Cluster, Others};
pub use compare::compare;
pub use context::{Context, Synced};
pub use garbage::collect;
pub use office::office;
pub use presence::presence;
pub use rebalance::{rebalance, verify};
pub use repair::Repair;
pub use report::{Report, Reports, Worker};
pub use scrub::scrub;
