//! What the workers that look after chunks share.

use super::cluster::Others;
use super::report::Reports;
use crate::data::{Data, DataError};
use crate::meta::{Meta, MetaError, StoreError, View};
use planaria_storage_core::machine::{self, keys_with, read};
use planaria_storage_core::{ChunkId, ChunkRecord, Command, DiskId, Plan, keys};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;
use tokio::sync::Notify;

/// How many records are read at once, and how many chunks go into one report.
pub(super) const PAGE: usize = 512;

/// What the workers know of how complete this node is.
#[derive(Debug, Default)]
pub struct Synced {
    /// The digests of the disk and of the records agreed when they were last compared.
    pub compared: AtomicBool,
    /// How many copies are being fetched now.
    pub repairing: AtomicU64,
    /// How many chunks the scrub has read back since the start.
    pub scrubbed: AtomicU64,
    /// How many of this disk's chunks the round of the scrub that is under way has read.
    pub scrub_at: AtomicU64,
    /// How many whole scrubs have ended since the start.
    pub scrubs: AtomicU64,
    /// Asks for a scrub of everything without rests.
    pub scrub_now: Notify,
    /// Asks for the rebalance now.
    pub rebalance_now: Notify,
}

/// What each of them works with.
#[derive(Clone)]
pub struct Context {
    /// This node's name.
    pub name: String,
    /// The metadata.
    pub meta: Meta,
    /// The chunks.
    pub data: Data,
    /// What the others say.
    pub others: Others,
    /// How long a disk may be away before others take its place.
    pub grace: Duration,
    /// How complete this node is.
    pub synced: Arc<Synced>,
    /// Where the workers tell how they are.
    pub reports: Reports,
}

impl Context {
    pub(super) fn here(&self) -> DiskId {
        self.meta.disk()
    }

    /// Members and layout; an error while this disk does not belong to them.
    pub(super) fn plan(&self, view: &View) -> Result<Plan, MetaError> {
        let plan = machine::plan(view).map_err(StoreError::from)?;
        if plan.members.contains(&self.here()) {
            Ok(plan)
        } else {
            Err(MetaError::NoQuorum(
                "this disk does not belong to the cluster yet".to_owned(),
            ))
        }
    }

    pub(super) async fn report_placed(&self, chunks: &[(ChunkId, u64)]) -> Result<(), MetaError> {
        for chunks in chunks.chunks(PAGE) {
            let command = Command::Placed {
                disk: self.here(),
                chunks: chunks.to_vec(),
            };
            self.meta.report(command).await?;
        }
        Ok(())
    }

    pub(super) async fn report_lost(&self, chunks: &[ChunkId]) -> Result<(), MetaError> {
        for chunks in chunks.chunks(PAGE) {
            let command = Command::Lost {
                disk: self.here(),
                chunks: chunks.to_vec(),
            };
            self.meta.report(command).await?;
        }
        Ok(())
    }

    /// Removes copies that this disk was allowed to be rid of.
    pub(super) async fn remove(&self, chunks: Vec<(ChunkId, u64)>) -> Result<(), MetaError> {
        self.data
            .store()
            .remove(chunks)
            .await
            .map_err(|e| MetaError::NoQuorum(e.to_string()))
    }
}

/// The chunk of each key that begins with `prefix`, a page from `from` on, and its record.
pub(super) struct Records {
    pub(super) found: Vec<(ChunkId, ChunkRecord)>,
    /// Where the next page begins; none: this was the last.
    pub(super) next: Option<Vec<u8>>,
}

pub(super) fn records(view: &View, prefix: &[u8], from: &[u8]) -> Result<Records, MetaError> {
    let page = keys_with(view, prefix, from, PAGE).map_err(StoreError::from)?;
    let mut found = Vec::with_capacity(page.len());
    for key in &page {
        if let Some(id) = keys::chunk_of(prefix.first().copied().unwrap_or(0), key)
            && let Some(record) = record(view, &id)?
        {
            found.push((id, record));
        }
    }
    let next = page.last().filter(|_| page.len() == PAGE).map(|last| {
        let mut next = last.clone();
        next.push(0);
        next
    });
    Ok(Records { found, next })
}

pub(super) fn record(view: &View, id: &ChunkId) -> Result<Option<ChunkRecord>, MetaError> {
    Ok(read(view, &keys::chunk(keys::CHUNK, id)).map_err(StoreError::from)?)
}

/// The index up to which this disk was allowed to be rid of its copy.
pub(super) fn surplus_mark(
    view: &View,
    id: &ChunkId,
    disk: DiskId,
) -> Result<Option<u64>, MetaError> {
    Ok(read(view, &keys::surplus(id, Some(disk))).map_err(StoreError::from)?)
}

impl From<DataError> for MetaError {
    fn from(error: DataError) -> Self {
        Self::NoQuorum(error.to_string())
    }
}
