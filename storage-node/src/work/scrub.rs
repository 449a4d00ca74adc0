//! Reading every copy back, over and over: a rotten one is forgotten, and thereby owed.

use super::context::Context;
use super::report::Report;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How many chunks are read at a stretch.
const STRETCH: usize = 8;
/// How long it rests after each, on top of its tranquility: at 1 MiB a chunk about 4 MiB/s.
const REST: Duration = Duration::from_secs(2);

/// Runs for ever.
pub async fn scrub(context: Context) {
    let report = context.reports.of("scrub", 4);
    let mut after = None;
    let mut seen = 0_u64;
    loop {
        let asked = context.synced.scrub_now.notified();
        if timeout(REST, asked).await.is_ok() {
            whole(&context, &report).await;
            continue;
        }
        let page = context.data.store().page(after, STRETCH);
        after = page.last().map(|(id, _)| *id);
        if after.is_none() {
            if seen > 0 {
                context.synced.scrubs.fetch_add(1, Ordering::Relaxed);
            }
            seen = 0;
            context.synced.scrub_at.store(0, Ordering::Relaxed);
            report.idle();
            continue;
        }
        seen += page.len() as u64;
        context.synced.scrub_at.store(seen, Ordering::Relaxed);
        let all = context.data.store().usage().chunks;
        report.busy(format!("{seen} of {all} chunks"));
        report.calmly(read_back(&context, page)).await;
        report.idle();
    }
}

/// A person asked: everything, without rests.
async fn whole(context: &Context, report: &Report) {
    let mut after = None;
    let mut seen = 0;
    loop {
        let page = context.data.store().page(after, STRETCH);
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        seen += page.len();
        let all = context.data.store().usage().chunks;
        report.busy(format!("{seen} of {all} chunks, asked for"));
        read_back(context, page).await;
    }
    context.synced.scrubs.fetch_add(1, Ordering::Relaxed);
    tracing::info!(
        event = "scrub_done",
        chunks = seen,
        "read {seen} chunks back"
    );
    report.idle();
    // One that asked twice meanwhile has its answer.
    sleep(Duration::from_millis(1)).await;
}

async fn read_back(context: &Context, page: Vec<(planaria_storage_core::ChunkId, u64)>) {
    for (id, _) in page {
        // A rotten one reports itself.
        let _ = context.data.get_here(id).await;
        context.synced.scrubbed.fetch_add(1, Ordering::Relaxed);
    }
}
