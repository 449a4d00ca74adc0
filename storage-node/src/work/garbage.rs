//! Garbage: chunks that nobody names are condemned by the leader, removed by each disk, and
//! their room is won back by compaction.

use super::context::record;
use super::report::Report;
use crate::data::Data;
use crate::meta::{Meta, MetaError, StoreError};
use openraft::ServerState;
use planaria_storage_core::machine::keys_with;
use planaria_storage_core::{ChunkId, Command, keys};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::sleep;

/// How often garbage is looked for. Room is won back this much later.
const ROUND: Duration = Duration::from_secs(5);
/// How many chunks go into one entry.
const PAGE: usize = 512;
/// After how many rounds the disk is searched for chunks that no record knows: what an upload
/// left behind that was never finished. One that is found in two searches, an hour apart, is
/// condemned; a part that is still being received then has to be sent again.
const SEARCH_EVERY: u64 = 720;
/// How many such are remembered from one search to the next.
const MAX_STRAYS: usize = 65_536;

/// Runs for ever.
pub async fn collect(meta: Meta, data: Data, report: Report) {
    let mut strays = BTreeSet::new();
    let mut round = 0_u64;
    loop {
        sleep(ROUND).await;
        round += 1;
        let worked = async {
            condemn(&meta).await?;
            reap(&meta, &data).await?;
            if round.is_multiple_of(SEARCH_EVERY) {
                strays = search(&meta, &data, &strays).await?;
            }
            Ok::<_, MetaError>(())
        };
        report.ended(&worked.await);
        loop {
            match data.store().compact().await {
                Ok(true) => report.busy("compacted a segment"),
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(event = "compaction_failed", %error, "cannot compact a segment");
                    break;
                }
            }
        }
    }
}

/// The leader condemns what nobody names. That it leads is no condition of safety: the entry is
/// judged when it is applied.
async fn condemn(meta: &Meta) -> Result<(), MetaError> {
    if meta.metrics().state != ServerState::Leader {
        return Ok(());
    }
    let found = {
        let view = meta.stale()?;
        keys_with(&view, &[keys::UNNAMED], &[], PAGE).map_err(StoreError::from)?
    };
    let chunks: Vec<ChunkId> = found
        .iter()
        .filter_map(|key| keys::chunk_of(keys::UNNAMED, key))
        .collect();
    if chunks.is_empty() {
        return Ok(());
    }
    meta.report(Command::Condemn { chunks }).await
}

/// Removes copies that are no younger than their condemnation, which this node has applied.
async fn reap(meta: &Meta, data: &Data) -> Result<(), MetaError> {
    let disk = meta.disk();
    let (mut reaped, mut removed) = (Vec::new(), Vec::new());
    {
        let view = meta.stale()?;
        let found = keys_with(&view, &[keys::CONDEMNED], &[], PAGE).map_err(StoreError::from)?;
        for id in found
            .iter()
            .filter_map(|key| keys::chunk_of(keys::CONDEMNED, key))
        {
            let Some(record) = record(&view, &id)? else {
                continue;
            };
            let Some(index) = record.condemned else {
                continue;
            };
            removed.push((id, index));
            if record.disks.contains(&disk) {
                reaped.push((id, index));
            }
        }
    }
    if let Err(error) = data.store().remove(removed).await {
        return Err(MetaError::NoQuorum(error.to_string()));
    }
    if reaped.is_empty() {
        return Ok(());
    }
    meta.report(Command::Reaped {
        disk,
        chunks: reaped,
    })
    .await
}

/// Condemns strays that were there in the search before too, and gives those of now.
async fn search(
    meta: &Meta,
    data: &Data,
    before: &BTreeSet<ChunkId>,
) -> Result<BTreeSet<ChunkId>, MetaError> {
    let view = meta.read().await?;
    let (store, before) = (data.store().clone(), before.clone());
    let searched = tokio::task::spawn_blocking(move || {
        let (mut now, mut old) = (BTreeSet::new(), Vec::new());
        for (id, _) in store.page(None, usize::MAX) {
            if record(&view, &id)?.is_some() {
                continue;
            }
            if before.contains(&id) {
                old.push(id);
            } else if now.len() < MAX_STRAYS {
                now.insert(id);
            }
        }
        Ok::<_, MetaError>((now, old))
    });
    let (now, old) = searched
        .await
        .map_err(|e| MetaError::NoQuorum(e.to_string()))??;
    for chunks in old.chunks(PAGE) {
        meta.report(Command::Condemn {
            chunks: chunks.to_vec(),
        })
        .await?;
    }
    Ok(now)
}
