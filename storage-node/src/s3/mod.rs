//! The S3 front: what clients see.
//!
//! `s3s` reads requests, verifies signatures and writes XML; here is what they mean. What is not
//! here answers `NotImplemented`.

mod auth;
mod convert;
mod copy;
mod delete;
mod errors;
mod framing;
mod get;
mod list;
mod multipart;
mod ops;
mod plain;
mod policy;
mod put;
mod receive;
mod serve;
mod tags;
mod versions;

pub use auth::{Gate, new_key};
pub use convert::now_ms;
pub use plain::body;
pub use s3s::path::check_bucket_name;
pub use serve::{Durations, durations, serve};

use crate::data::Data;
use crate::meta::Meta;
use s3s::{S3Error, S3Result, s3_error};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How many bodies are received at once on a node: each gathers a chunk in memory.
const MAX_UPLOADS: usize = 24;
/// How many KiB of chunks are on their way from uploads to disks at once on a node.
const WRITE_BUDGET_KIB: usize = 16 << 10;
/// How many KiB downloads may hold at once on a node.
const READ_BUDGET_KIB: usize = 24 << 10;

/// How long a request waits for a place among them.
const ROOM_PATIENCE: Duration = Duration::from_secs(10);

/// What the S3 front works with.
#[derive(Clone)]
pub struct Front {
    meta: Meta,
    data: Data,
    chunk_size: usize,
    max_object_size: u64,
    uploads: Arc<Semaphore>,
    writing: Arc<Semaphore>,
    reading: Arc<Semaphore>,
}

/// What a number of bytes costs of a budget.
fn cost(bytes: usize, budget_kib: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024).clamp(1, budget_kib)).unwrap_or(u32::MAX)
}

/// Waits for room, and for no longer than a client would: who holds it may be standing still.
async fn place(room: &Arc<Semaphore>, many: u32) -> S3Result<OwnedSemaphorePermit> {
    match timeout(ROOM_PATIENCE, Arc::clone(room).acquire_many_owned(many)).await {
        Ok(place) => place.map_err(S3Error::internal_error),
        Err(_) => Err(s3_error!(
            SlowDown,
            "this node has as many bodies under way as it can hold; try again"
        )),
    }
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
            writing: Arc::new(Semaphore::new(WRITE_BUDGET_KIB)),
            reading: Arc::new(Semaphore::new(READ_BUDGET_KIB)),
        }
    }
}
