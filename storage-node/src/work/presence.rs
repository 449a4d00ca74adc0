//! The leader places around disks that stay away, and drives what a change of the disks leaves
//! to be counted. That it leads is no condition of safety: entries are judged when applied.

use super::context::Context;
use crate::meta::{MetaError, StoreError};
use openraft::ServerState;
use planaria_storage_core::{Command, DiskId, Reply, RoleChange, machine};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often the leader looks.
const ROUND: Duration = Duration::from_millis(500);
/// A disk that answered within this time is there.
const THERE: Duration = Duration::from_secs(3);

/// Runs for ever.
pub async fn presence(context: Context) {
    let report = context.reports.of("presence", 0);
    // Silence counts from when this node began to lead: it may have asked nobody before.
    let mut leads_since: Option<Instant> = None;
    loop {
        sleep(ROUND).await;
        if context.meta.metrics().state != ServerState::Leader {
            leads_since = None;
            report.idle();
            continue;
        }
        let since = *leads_since.get_or_insert_with(Instant::now);
        let round = async {
            context.count().await?;
            context.look(since.elapsed()).await
        };
        report.ended(&round.await);
    }
}

impl Context {
    async fn count(&self) -> Result<(), MetaError> {
        let counted = {
            let view = self.meta.stale()?;
            machine::counts(&view).map_err(StoreError::from)?.is_some()
        };
        if counted {
            return Ok(());
        }
        while self.meta.write(Command::Recount).await? == Reply::More {}
        Ok(())
    }

    async fn look(&self, leading: Duration) -> Result<(), MetaError> {
        let plan = {
            let view = self.meta.stale()?;
            self.plan(&view)?
        };
        for (disk, node, votes) in self.data.nodes() {
            if !votes || disk == self.here() {
                continue;
            }
            let heard = self
                .others
                .get(&node.addr)
                .filter(|(status, _)| status.disk_id == disk.0);
            let away = plan.role(&disk).away;
            match heard {
                Some((status, ago)) if away && ago < THERE && status.compared => {
                    self.note(disk, &node.name, false).await?;
                }
                Some((_, ago)) if !away && ago.min(leading) >= self.grace => {
                    self.note(disk, &node.name, true).await?;
                }
                None if !away && leading >= self.grace => {
                    self.note(disk, &node.name, true).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn note(&self, disk: DiskId, name: &str, away: bool) -> Result<(), MetaError> {
        if away {
            tracing::warn!(event = "disk_away", %disk, peer = %name, "Peer {name} stays away, its chunks are made elsewhere");
        } else {
            tracing::info!(event = "disk_there", %disk, peer = %name, "Peer {name} counts again");
        }
        let change = RoleChange::Away(away);
        self.meta
            .write(Command::Assign { disk, change })
            .await
            .map(drop)
    }
}
