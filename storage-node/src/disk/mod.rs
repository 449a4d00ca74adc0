//! What lies on the disk: chunks in append-only segments.

pub mod files;
mod pace;
#[cfg(test)]
pub(crate) mod power;
mod read;
#[cfg(feature = "sabotage-ack-before-disk")]
mod sabotage;
mod segment;
mod store;
mod writer;

pub use pace::Pace;
pub use store::{ChunkError, ChunkStore, StoreOptions, Usage};
