//! Bringing every chunk back to its number of copies.
//!
//! Each node fetches what it should have: the owed list in the state machine says which chunks
//! lack copies, placement says who is to hold them. What a node finds missing at its start, while
//! reading or while scrubbing, it reports, and it is owed from then on.

use super::cluster::Others;
use crate::data::Data;
use crate::meta::{Meta, MetaError, StoreError, View};
use futures::{StreamExt, stream};
use planaria_storage_core::machine::{keys_with, members, read};
use planaria_storage_core::{ChunkId, ChunkRecord, ChunkRef, Command, DiskId, keys, placement};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// How often the owed list is read.
const ROUND: Duration = Duration::from_millis(500);
/// How many records are read at once, and how many chunks go into one report.
const PAGE: usize = 512;
/// How many chunks are fetched at once: user traffic goes first.
const FETCHES: usize = 4;
/// How many owed chunks are looked at in one round.
const OWED_PER_ROUND: usize = 4096;
/// After how many rounds a few chunks are read back to verify them.
const SCRUB_EVERY: u64 = 4;
/// How many: about 4 MiB/s at 1 MiB a chunk.
const SCRUB_CHUNKS: usize = 8;

/// What the repair knows of how complete this node is.
#[derive(Debug, Default)]
pub struct Synced {
    /// The disk was compared with the state machine since its start.
    pub compared: AtomicBool,
}

/// The repair of one node.
pub struct Repair {
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
    /// Copies that were found missing here.
    pub lost: mpsc::Receiver<ChunkId>,
    /// How complete this node is.
    pub synced: Arc<Synced>,
}

impl Repair {
    /// Runs for ever.
    pub async fn run(mut self) {
        let mut before = BTreeSet::new();
        let mut scrubbed = None;
        let mut round = 0_u64;
        loop {
            sleep(ROUND).await;
            round += 1;
            let worked = self.round(&mut before, &mut scrubbed, round).await;
            if let Err(error) = worked {
                tracing::debug!(event = "repair_waits", %error, "the repair waits");
            }
        }
    }

    async fn round(
        &mut self,
        before: &mut BTreeSet<ChunkId>,
        scrubbed: &mut Option<ChunkId>,
        round: u64,
    ) -> Result<(), MetaError> {
        self.report_lost().await?;
        if !self.synced.compared.load(Ordering::Relaxed) {
            self.compare().await?;
            self.synced.compared.store(true, Ordering::Relaxed);
        }
        let view = self.meta.stale()?;
        let owed = owed(&view)?;
        // What was just written is owed for a moment while its last copy is still on the way:
        // only what was owed in the round before is fetched.
        let due: Vec<ChunkId> = owed.intersection(before).copied().collect();
        *before = owed;
        let mine = self.mine(&view, due)?;
        drop(view);
        if !mine.is_empty() {
            self.fetch(mine).await?;
        }
        if round.is_multiple_of(SCRUB_EVERY) {
            self.scrub(scrubbed).await;
        }
        Ok(())
    }

    async fn report_lost(&mut self) -> Result<(), MetaError> {
        let mut chunks = BTreeSet::new();
        while chunks.len() < PAGE
            && let Ok(chunk) = self.lost.try_recv()
        {
            if self.data.store().generation(&chunk).is_none() {
                chunks.insert(chunk);
            }
        }
        if chunks.is_empty() {
            return Ok(());
        }
        let chunks = chunks.into_iter().collect();
        self.meta
            .report(Command::Lost {
                disk: self.meta.disk(),
                chunks,
            })
            .await
    }

    /// Compares this disk with what the records say of it: once, after a start.
    async fn compare(&self) -> Result<(), MetaError> {
        let view = self.meta.read().await?;
        if !members(&view)
            .map_err(StoreError::from)?
            .contains(&self.meta.disk())
        {
            return Err(MetaError::NoQuorum(
                "this disk does not belong to the cluster yet".to_owned(),
            ));
        }
        let disk = self.meta.disk();
        let mut from = vec![keys::CHUNK];
        let (mut lost, mut placed) = (Vec::new(), Vec::new());
        loop {
            let page = keys_with(&view, &[keys::CHUNK], &from, PAGE).map_err(StoreError::from)?;
            for key in &page {
                let Some(id) = keys::chunk_of(keys::CHUNK, key) else {
                    continue;
                };
                let Some(record) = record(&view, &id)? else {
                    continue;
                };
                let named = record.disks.contains(&disk);
                match self.data.store().generation(&id) {
                    None if named => lost.push(id),
                    Some(generation) if !named => placed.push((id, generation)),
                    _ => {}
                }
            }
            let Some(last) = page.last() else { break };
            from.clone_from(last);
            from.push(0);
        }
        drop(view);
        if !lost.is_empty() || !placed.is_empty() {
            tracing::info!(
                event = "disk_compared",
                missing = lost.len(),
                found = placed.len(),
                "compared the disk with the records"
            );
        }
        for chunks in lost.chunks(PAGE) {
            self.meta
                .report(Command::Lost {
                    disk,
                    chunks: chunks.to_vec(),
                })
                .await?;
        }
        for chunks in placed.chunks(PAGE) {
            self.meta
                .report(Command::Placed {
                    disk,
                    chunks: chunks.to_vec(),
                })
                .await?;
        }
        Ok(())
    }

    /// Those of the owed chunks that this disk is to hold, given who is there.
    fn mine(
        &self,
        view: &View,
        due: Vec<ChunkId>,
    ) -> Result<Vec<(ChunkId, ChunkRecord)>, MetaError> {
        let here = self.meta.disk();
        let present: Vec<DiskId> = self
            .data
            .nodes()
            .into_iter()
            .filter(|(disk, node, votes)| {
                let near = || {
                    self.others
                        .get(&node.addr)
                        .is_some_and(|(_, ago)| ago < self.grace)
                };
                *votes && (*disk == here || near())
            })
            .map(|(disk, _, _)| disk)
            .collect();
        let mut mine = Vec::new();
        for id in due {
            let Some(record) = record(view, &id)? else {
                continue;
            };
            let homes = placement::homes(&id, &present, usize::from(record.copies));
            if homes.contains(&here) && !record.disks.contains(&here) {
                mine.push((id, record));
            }
        }
        // Those with the fewest copies first.
        mine.sort_by_key(|(_, record)| record.disks.len());
        Ok(mine)
    }

    async fn fetch(&self, mine: Vec<(ChunkId, ChunkRecord)>) -> Result<(), MetaError> {
        let count = mine.len();
        tracing::info!(
            event = "repair_begins",
            chunks = count,
            "Fetching what {} missed: {count} chunks",
            self.name
        );
        let mut done = stream::iter(mine.into_iter().map(|(id, record)| async move {
            let chunk = ChunkRef {
                id,
                len: record.len,
            };
            let bytes = self.data.read(chunk, Some(&record)).await.ok()?;
            let generation = self.data.put_here(id, bytes, false).await.ok()?;
            Some((id, generation))
        }))
        .buffer_unordered(FETCHES);
        let mut placed = Vec::new();
        let mut fetched = 0;
        while let Some(one) = done.next().await {
            placed.extend(one);
            if placed.len() == PAGE {
                fetched += placed.len();
                self.report_placed(std::mem::take(&mut placed)).await?;
            }
        }
        fetched += placed.len();
        self.report_placed(placed).await?;
        tracing::info!(
            event = "repair_done",
            fetched,
            wanted = count,
            "fetched {fetched} of {count} chunks"
        );
        Ok(())
    }

    async fn report_placed(&self, chunks: Vec<(ChunkId, u64)>) -> Result<(), MetaError> {
        if chunks.is_empty() {
            return Ok(());
        }
        self.meta
            .report(Command::Placed {
                disk: self.meta.disk(),
                chunks,
            })
            .await
    }

    /// Reads a few chunks back. A rotten one reports itself.
    async fn scrub(&self, after: &mut Option<ChunkId>) {
        let page = self.data.store().page(*after, SCRUB_CHUNKS);
        *after = page.last().map(|(id, _)| *id);
        for (id, _) in page {
            let _ = self.data.get_here(id).await;
        }
    }
}

/// The first of the chunks that lack copies.
///
/// # Errors
/// [`MetaError`].
pub fn owed(view: &View) -> Result<BTreeSet<ChunkId>, MetaError> {
    let found = keys_with(view, &[keys::OWED], &[], OWED_PER_ROUND).map_err(StoreError::from)?;
    Ok(found
        .iter()
        .filter_map(|key| keys::chunk_of(keys::OWED, key))
        .collect())
}

pub(super) fn record(view: &View, id: &ChunkId) -> Result<Option<ChunkRecord>, MetaError> {
    Ok(read(view, &keys::chunk(keys::CHUNK, id)).map_err(StoreError::from)?)
}
