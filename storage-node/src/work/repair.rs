//! Bringing every chunk back to its number of copies.
//!
//! Each node fetches what it should have: the owed list in the state machine says which chunks
//! lack copies, placement says who is to hold them. What a node finds missing while reading or
//! while scrubbing, it reports, and it is owed from then on.

use super::context::{Context, PAGE, record, surplus_mark};
use super::report::Report;
use crate::meta::{MetaError, StoreError, View};
use futures::{StreamExt, stream};
use planaria_storage_core::machine::keys_with;
use planaria_storage_core::{ChunkId, ChunkRecord, ChunkRef, keys, placement};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// How often the owed list is read.
const ROUND: Duration = Duration::from_millis(500);
/// How many chunks are fetched at once: user traffic goes first.
const FETCHES: usize = 4;
/// How many owed chunks are looked at in one round.
const OWED_PER_ROUND: usize = 4096;

/// The repair of one node.
pub struct Repair {
    /// What it works with.
    pub context: Context,
    /// Copies that were found missing here.
    pub lost: mpsc::Receiver<ChunkId>,
}

impl Repair {
    /// Runs for ever.
    pub async fn run(mut self) {
        let report = self.context.reports.of("repair", 0);
        let mut before = BTreeSet::new();
        let mut from = vec![keys::OWED];
        loop {
            sleep(ROUND).await;
            let worked = self.round(&mut before, &mut from, &report).await;
            report.ended(&worked);
        }
    }

    async fn round(
        &mut self,
        before: &mut BTreeSet<ChunkId>,
        from: &mut Vec<u8>,
        report: &Report,
    ) -> Result<(), MetaError> {
        self.report_missing().await?;
        let view = self.context.meta.stale()?;
        let (owed, next) = owed(&view, from)?;
        // What was just written is owed for a moment while its last copy is still on the way:
        // only what was owed in the round before is fetched.
        let due: Vec<ChunkId> = owed.intersection(before).copied().collect();
        let whole = *from == [keys::OWED] && next.is_none();
        let seen_twice = due.len() == owed.len();
        // A list that is longer than a round is gone through piece by piece, each looked at twice.
        if !whole && seen_twice {
            *from = next.unwrap_or_else(|| vec![keys::OWED]);
        }
        *before = owed;
        let mine = self.context.mine(&view, due)?;
        drop(view);
        if mine.is_empty() {
            return Ok(());
        }
        self.context.fetch(mine, report).await
    }

    async fn report_missing(&mut self) -> Result<(), MetaError> {
        let mut chunks = BTreeSet::new();
        while chunks.len() < PAGE
            && let Ok(chunk) = self.lost.try_recv()
        {
            if self.context.data.store().generation(&chunk).is_none() {
                chunks.insert(chunk);
            }
        }
        let chunks: Vec<ChunkId> = chunks.into_iter().collect();
        let reported = self.context.report_lost(&chunks).await;
        if reported.is_err() {
            // The comparison finds them again.
            self.context.synced.compared.store(false, Ordering::Relaxed);
        }
        reported
    }
}

impl Context {
    /// Those of the owed chunks that this disk is to hold, given who is there.
    fn mine(
        &self,
        view: &View,
        due: Vec<ChunkId>,
    ) -> Result<Vec<(ChunkId, ChunkRecord)>, MetaError> {
        let mut mine = Vec::new();
        if due.is_empty() {
            return Ok(mine);
        }
        let here = self.here();
        let plan = self.plan(view)?;
        let seats = plan.seats();
        for id in due {
            let Some(record) = record(view, &id)? else {
                continue;
            };
            let homes = placement::homes(&id, &seats, usize::from(record.copies));
            if homes.contains(&here) && !record.disks.contains(&here) {
                mine.push((id, record));
            }
        }
        // Those with the fewest copies first.
        mine.sort_by_key(|(_, record)| record.disks.len());
        Ok(mine)
    }

    /// Whether a copy here was not given up since it was written.
    pub(super) fn counts_still(&self, id: &ChunkId, generation: u64) -> bool {
        let marked = self
            .meta
            .stale()
            .map_err(MetaError::from)
            .and_then(|view| surplus_mark(&view, id, self.here()));
        matches!(marked, Ok(mark) if mark.is_none_or(|mark| generation > mark))
    }

    /// Reports what is here already, and gives the rest.
    async fn missing_here(
        &self,
        mine: Vec<(ChunkId, ChunkRecord)>,
    ) -> Result<Vec<(ChunkId, ChunkRecord)>, MetaError> {
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for (id, record) in mine {
            let generation = self.data.store().generation(&id);
            match generation.filter(|generation| self.counts_still(&id, *generation)) {
                Some(generation) => there.push((id, generation)),
                None => missing.push((id, record)),
            }
        }
        self.report_placed(&there).await?;
        Ok(missing)
    }

    /// Fetches copies for this disk from whoever has them.
    pub(super) async fn fetch(
        &self,
        mine: Vec<(ChunkId, ChunkRecord)>,
        report: &Report,
    ) -> Result<(), MetaError> {
        let mine = self.missing_here(mine).await?;
        if mine.is_empty() {
            return Ok(());
        }
        let count = mine.len();
        tracing::info!(
            event = "repair_begins",
            chunks = count,
            "Fetching what {} missed: {count} chunks",
            self.name
        );
        let repairing = &self.synced.repairing;
        repairing.fetch_add(count as u64, Ordering::Relaxed);
        let mut done = stream::iter(mine.into_iter().map(|(id, record)| async move {
            let chunk = ChunkRef {
                id,
                len: record.len,
            };
            // One that is there was given up since: it has to be written again.
            let again = self.data.store().generation(&id).is_some();
            let bytes = self.data.read(chunk, Some(&record)).await.ok()?;
            let generation = self.data.put_here(id, bytes, again).await.ok()?;
            Some((id, generation))
        }))
        .buffer_unordered(FETCHES);
        let mut placed = Vec::new();
        let (mut looked, mut fetched) = (0, 0);
        let mut failure = None;
        while let Some(one) = done.next().await {
            repairing.fetch_sub(1, Ordering::Relaxed);
            looked += 1;
            fetched += usize::from(one.is_some());
            placed.extend(one);
            if placed.len() == PAGE && failure.is_none() {
                failure = self.report_placed(&std::mem::take(&mut placed)).await.err();
                report.busy(format!("{looked} of {count} chunks"));
            }
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.report_placed(&placed).await?;
        tracing::info!(
            event = "repair_done",
            fetched,
            wanted = count,
            "fetched {fetched} of {count} chunks"
        );
        if fetched < count {
            return Err(MetaError::NoQuorum(format!(
                "{} of {count} chunks could not be fetched",
                count - fetched
            )));
        }
        Ok(())
    }
}

/// A piece of the list of chunks that lack copies, and where the next piece begins.
fn owed(view: &View, from: &[u8]) -> Result<(BTreeSet<ChunkId>, Option<Vec<u8>>), MetaError> {
    let found = keys_with(view, &[keys::OWED], from, OWED_PER_ROUND).map_err(StoreError::from)?;
    let next = found
        .last()
        .filter(|_| found.len() == OWED_PER_ROUND)
        .map(|last| {
            let mut next = last.clone();
            next.push(0);
            next
        });
    let owed = found
        .iter()
        .filter_map(|key| keys::chunk_of(keys::OWED, key))
        .collect();
    Ok((owed, next))
}
