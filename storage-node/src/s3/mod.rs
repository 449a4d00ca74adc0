//! The S3 front: what clients see.
//!
//! `s3s` reads requests, verifies signatures and writes XML; here is what they mean. What is not
//! here answers `NotImplemented`.

mod convert;
mod errors;
mod get;
mod list;
mod multipart;
mod ops;
mod put;
mod serve;

pub use serve::{Gate, serve};

use crate::data::Data;
use crate::meta::Meta;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// How many bodies are received at once on a node: each holds a few chunks in memory.
const MAX_UPLOADS: usize = 32;

/// What the S3 front works with.
#[derive(Clone)]
pub struct Front {
    meta: Meta,
    data: Data,
    chunk_size: usize,
    max_object_size: u64,
    uploads: Arc<Semaphore>,
}

impl Front {
    /// A front over the cluster's metadata and chunks.
    #[must_use]
    pub fn new(meta: Meta, data: Data, chunk_size: usize, max_object_size: u64) -> Self {
        let uploads = Arc::new(Semaphore::new(MAX_UPLOADS));
        Self {
            meta,
            data,
            chunk_size,
            max_object_size,
            uploads,
        }
    }
}
