//! What a node does of itself: find its cluster, repair, collect garbage, scrub.

mod cluster;
mod garbage;
mod repair;

pub use cluster::{Cluster, Others};
pub use garbage::collect;
pub use repair::{Repair, Synced, owed};
