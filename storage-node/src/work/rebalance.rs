//! Bringing copies to where they belong after the disks have changed, and being rid of the rest.
//!
//! ```text
//! this disk is a home of the chunk and has no copy ─▶ fetch it
//! this disk is none, and all homes have copies     ─▶ ask each home to read its copy back
//!                                                  ─▶ Surplus, under the layout of that moment
//!                                                  ─▶ applied: the copy here goes
//! ```

use super::context::{Context, PAGE, records, surplus_mark};
use super::report::Report;
use crate::meta::{MetaError, StoreError};
use crate::peer::{Answer, Ask, Lane};
use bytes::Bytes;
use planaria_storage_core::{ChunkId, Command, DiskId, Plan, keys, machine, placement};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How often it is looked whether the layout has changed.
const ROUND: Duration = Duration::from_secs(1);
/// How often all chunks are gone through without a reason.
const EVERY: Duration = Duration::from_secs(600);
/// How soon again, when something was left undone.
const AGAIN: Duration = Duration::from_secs(3);
/// How long a node may take to read a page of copies back.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many copies are asked about at once.
const VERIFIED_AT_ONCE: usize = 64;

/// What one walk through all chunks found to do.
#[derive(Default)]
struct Walk {
    moved: usize,
    removed: usize,
    left: usize,
}

/// Runs for ever.
pub async fn rebalance(context: Context) {
    let report = context.reports.of("rebalance", 1);
    let mut walked: Option<(u64, Instant, bool)> = None;
    loop {
        let _ = timeout(ROUND, context.synced.rebalance_now.notified()).await;
        let version = context
            .meta
            .stale()
            .map_err(MetaError::from)
            .and_then(|view| context.plan(&view));
        let version = match version {
            Ok(plan) => plan.layout.version,
            Err(error) => {
                report.failing(&error);
                continue;
            }
        };
        let due = walked.is_none_or(|(at, when, undone)| {
            at != version || when.elapsed() >= if undone { AGAIN } else { EVERY }
        });
        if !due {
            continue;
        }
        let walk = context.walk(&report).await;
        let undone = walk.as_ref().map_or(true, |walk| walk.left > 0);
        if let Ok(walk) = &walk
            && walk.moved + walk.removed > 0
        {
            tracing::info!(
                event = "rebalanced",
                moved = walk.moved,
                removed = walk.removed,
                left = walk.left,
                "took {} chunks over and let {} go",
                walk.moved,
                walk.removed
            );
        }
        walked = Some((version, Instant::now(), undone));
        report.ended(&walk.map(drop));
    }
}

impl Context {
    async fn walk(&self, report: &Report) -> Result<Walk, MetaError> {
        let mut walk = Walk::default();
        let mut from = vec![keys::CHUNK];
        loop {
            let next = report.calmly(self.page(&mut walk, &from, report)).await?;
            let Some(next) = next else { return Ok(walk) };
            from = next;
        }
    }

    async fn page(
        &self,
        walk: &mut Walk,
        from: &[u8],
        report: &Report,
    ) -> Result<Option<Vec<u8>>, MetaError> {
        let here = self.here();
        let view = self.meta.stale()?;
        let plan = self.plan(&view)?;
        let counted = machine::counts(&view).map_err(StoreError::from)?.is_some();
        let seats = plan.seats();
        let page = records(&view, &[keys::CHUNK], from)?;
        let (mut fetch, mut surplus) = (Vec::new(), Vec::new());
        for (id, record) in page.found {
            if record.condemned.is_some() || record.references == 0 {
                continue;
            }
            let homes = placement::homes(&id, &seats, usize::from(record.copies));
            match (homes.contains(&here), record.disks.contains(&here)) {
                // What is owed is the repair's to fetch.
                (true, false) if plan.missing(&record) > 0 => walk.left += 1,
                (true, false) => fetch.push((id, record)),
                (false, true) if homes.len() < plan.wanted(record.copies) => walk.left += 1,
                (false, true) if homes.iter().all(|home| record.disks.contains(home)) => {
                    surplus.push((id, homes));
                }
                (false, true) => walk.left += 1,
                _ => {}
            }
        }
        drop(view);
        if !fetch.is_empty() {
            let count = fetch.len();
            report.busy(format!("taking {count} chunks over"));
            self.fetch(fetch, report).await?;
            walk.moved += count;
        }
        if !surplus.is_empty() {
            let count = surplus.len();
            report.busy(format!("letting {count} chunks go"));
            let removed = if counted {
                self.let_go(&plan, surplus).await?
            } else {
                0
            };
            walk.removed += removed;
            walk.left += count - removed;
        }
        Ok(page.next)
    }

    /// Asks the homes for each chunk, and removes the copies here that the log lets go. Answers
    /// how many.
    async fn let_go(
        &self,
        plan: &Plan,
        surplus: Vec<(ChunkId, Vec<DiskId>)>,
    ) -> Result<usize, MetaError> {
        let mut removed = 0;
        for piece in surplus.chunks(VERIFIED_AT_ONCE) {
            let verified = self.verified(piece).await;
            let chunks: Vec<(ChunkId, Vec<DiskId>)> = piece
                .iter()
                .filter_map(|(id, homes)| {
                    let good = verified.get(id)?;
                    homes
                        .iter()
                        .all(|home| good.contains(home))
                        .then(|| (*id, homes.clone()))
                })
                .collect();
            if chunks.is_empty() {
                continue;
            }
            let ids: Vec<ChunkId> = chunks.iter().map(|(id, _)| *id).collect();
            let command = Command::Surplus {
                disk: self.here(),
                layout: plan.layout.version,
                chunks,
            };
            self.meta.write(command).await?;
            let view = self.meta.read().await?;
            let mut gone = Vec::new();
            for id in ids {
                if let Some(mark) = surplus_mark(&view, &id, self.here())? {
                    gone.push((id, mark));
                }
            }
            drop(view);
            removed += gone.len();
            self.remove(gone).await?;
        }
        Ok(removed)
    }

    /// Which disks have just read their copy of each chunk back.
    async fn verified(&self, piece: &[(ChunkId, Vec<DiskId>)]) -> BTreeMap<ChunkId, Vec<DiskId>> {
        let mut by_disk: BTreeMap<DiskId, Vec<ChunkId>> = BTreeMap::new();
        for (id, homes) in piece {
            for home in homes {
                by_disk.entry(*home).or_default().push(*id);
            }
        }
        let nodes = self.data.nodes();
        let mut verified: BTreeMap<ChunkId, Vec<DiskId>> = BTreeMap::new();
        for (disk, chunks) in by_disk {
            let Some((_, node, _)) = nodes.iter().find(|(id, _, _)| *id == disk) else {
                continue;
            };
            let ask = Ask::Verify { disk, chunks };
            let asked = self
                .meta
                .peers()
                .ask(&node.addr, Lane::Data, &ask, Bytes::new(), PATIENCE)
                .await;
            if let Ok((Answer::Verified(good), _)) = asked {
                for id in good {
                    verified.entry(id).or_default().push(disk);
                }
            }
        }
        verified
    }
}

/// Reads copies back for another node: those that are good.
pub async fn verify(data: &crate::data::Data, chunks: Vec<ChunkId>) -> Vec<ChunkId> {
    let mut good = Vec::new();
    for id in chunks.into_iter().take(PAGE) {
        if data.get_here(id).await.is_ok() {
            good.push(id);
        }
    }
    sleep(Duration::ZERO).await;
    good
}
