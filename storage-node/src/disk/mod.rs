//! What lies on the disk: chunks in append-only segments.

pub mod files;
mod segment;
mod store;
mod writer;

pub use store::{ChunkError, ChunkStore, StoreOptions, Usage};
