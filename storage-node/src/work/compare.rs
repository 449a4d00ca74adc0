//! Comparing the disk with the records, range by range.
//!
//! The digests of what lies on the disk are kept as it changes; those of what the records name
//! for this disk are made from the records. Only ranges whose digests differ are looked at chunk
//! by chunk. The node counts as in sync when all agree.

use super::context::{Context, PAGE, records, surplus_mark};
use super::report::Report;
use crate::meta::{MetaError, View};
use planaria_storage_core::keys;
use planaria_storage_core::merkle::Tree;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often it is looked whether a comparison is due.
const ROUND: Duration = Duration::from_millis(500);
/// How often the disk is compared without a reason.
const EVERY: Duration = Duration::from_secs(600);

/// Runs for ever.
pub async fn compare(context: Context) {
    let report = context.reports.of("compare", 0);
    let mut last: Option<Instant> = None;
    loop {
        let agreed = context.synced.compared.load(Ordering::Relaxed);
        if !agreed || last.is_none_or(|at| at.elapsed() >= EVERY) {
            let round = context.compare_once(&report).await;
            if matches!(round, Ok(true)) {
                last = Some(Instant::now());
                context.synced.compared.store(true, Ordering::Relaxed);
            }
            report.ended(&round.map(drop));
        }
        sleep(ROUND).await;
    }
}

impl Context {
    /// Answers whether nothing is left to be reported.
    async fn compare_once(&self, report: &Report) -> Result<bool, MetaError> {
        let view = self.meta.read().await?;
        self.plan(&view)?;
        let (context, busy) = (self.clone(), report.clone());
        let compared = tokio::task::spawn_blocking(move || context.differences(&view, &busy));
        let found = compared
            .await
            .map_err(|e| MetaError::NoQuorum(e.to_string()))??;
        if found.is_empty() {
            return Ok(true);
        }
        tracing::info!(
            event = "disk_compared",
            ranges = found.ranges,
            missing = found.lost.len(),
            found = found.placed.len(),
            surplus = found.surplus.len(),
            "compared the disk with the records"
        );
        self.report_lost(&found.lost).await?;
        self.report_placed(&found.placed).await?;
        self.remove(found.surplus).await?;
        Ok(false)
    }

    fn differences(&self, view: &View, report: &Report) -> Result<Differences, MetaError> {
        let here = self.here();
        let mut named = Tree::default();
        let mut from = vec![keys::CHUNK];
        let mut read = 0;
        loop {
            let page = records(view, &[keys::CHUNK], &from)?;
            for (id, record) in &page.found {
                if record.disks.contains(&here) && record.condemned.is_none() {
                    named.insert(id);
                }
            }
            read += page.found.len();
            report.busy(format!("{read} records"));
            let Some(next) = page.next else { break };
            from = next;
        }
        let mut found = Differences::default();
        for range in named.differing(&self.data.store().tree()) {
            self.look_into(view, range, &mut found)?;
        }
        Ok(found)
    }

    fn look_into(&self, view: &View, range: u8, found: &mut Differences) -> Result<(), MetaError> {
        let here = self.here();
        found.ranges += 1;
        let prefix = [keys::CHUNK, range];
        let mut from = prefix.to_vec();
        loop {
            let page = records(view, &prefix, &from)?;
            for (id, record) in page.found {
                let named = record.disks.contains(&here);
                // Asked now: what came since the records were read is no difference.
                match self.data.store().generation(&id) {
                    None if named && record.condemned.is_none() => found.lost.push(id),
                    Some(generation) if !named && record.condemned.is_none() => {
                        match surplus_mark(view, &id, here)? {
                            Some(mark) if generation <= mark => found.surplus.push((id, mark)),
                            _ => found.placed.push((id, generation)),
                        }
                    }
                    _ => {}
                }
            }
            if found.lost.len() + found.placed.len() > PAGE * PAGE {
                // The next comparison finds the rest.
                return Ok(());
            }
            match page.next {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }
}

#[derive(Default)]
struct Differences {
    ranges: usize,
    lost: Vec<planaria_storage_core::ChunkId>,
    placed: Vec<(planaria_storage_core::ChunkId, u64)>,
    surplus: Vec<(planaria_storage_core::ChunkId, u64)>,
}

impl Differences {
    fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.placed.is_empty() && self.surplus.is_empty()
    }
}
