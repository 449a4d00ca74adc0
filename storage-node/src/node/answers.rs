//! What a node answers to the others.

use super::status::status;
use crate::admin::Admins;
use crate::peer::{Answer, Ask, Card, Fault, Service};
use crate::work::{self, Cluster, Context};
use bytes::Bytes;
use futures::future::BoxFuture;
use planaria_storage_core::DiskId;

/// Answers the other nodes.
pub(super) struct Answers {
    pub(super) cluster: Cluster,
    pub(super) context: Context,
    pub(super) admins: Admins,
    pub(super) swept: u64,
}

impl Service for Answers {
    fn answer(&self, _from: Card, ask: Ask, blob: Bytes) -> BoxFuture<'_, (Answer, Bytes)> {
        Box::pin(async move {
            if let Ask::GetChunk(chunk) = ask {
                return match self.context.data.get_here(chunk).await {
                    Ok(bytes) => (Answer::Chunk, bytes),
                    Err(fault) => (Answer::Fault(fault), Bytes::new()),
                };
            }
            if let Ask::Admin(admin) = ask {
                return match self.admins.answer(admin).await {
                    Ok((text, blob)) => (Answer::Json(text), blob),
                    Err(fault) => (Answer::Fault(fault), Bytes::new()),
                };
            }
            let answer = self.small(ask, blob).await;
            (answer.unwrap_or_else(Answer::Fault), Bytes::new())
        })
    }
}

impl Answers {
    async fn small(&self, ask: Ask, blob: Bytes) -> Result<Answer, Fault> {
        let meta = &self.cluster.meta;
        Ok(match ask {
            Ask::Status => {
                let status = status(&self.cluster, &self.context, self.swept);
                Answer::Status(Box::new(status))
            }
            Ask::Found { cluster } => {
                self.cluster.adopt(cluster, true).map_err(Fault::Refused)?;
                Answer::Done
            }
            Ask::Join { disk, name, addr } => {
                self.cluster.take_in(disk, name, addr).await?;
                Answer::Done
            }
            Ask::Append(disk, request) => {
                self.for_raft(disk)?;
                Answer::Append(meta.raft().append_entries(request).await)
            }
            Ask::Vote(disk, request) => {
                self.for_raft(disk)?;
                Answer::Vote(meta.raft().vote(request).await)
            }
            Ask::Snapshot(disk, request) => {
                self.for_raft(disk)?;
                Answer::Snapshot(meta.raft().install_snapshot(request).await)
            }
            Ask::Stand(disk) => {
                self.for_raft(disk)?;
                self.context.stand().await?;
                Answer::Done
            }
            Ask::Write(request) => Answer::Written(meta.write_as_leader(*request).await?),
            Ask::ReadIndex => Answer::Index(meta.read_index_as_leader().await?),
            Ask::PutChunk { disk, chunk, again } => {
                self.for_us(disk)?;
                Answer::Stored(self.context.data.put_here(chunk, blob, again).await?)
            }
            Ask::Verify { disk, chunks } => {
                self.for_us(disk)?;
                Answer::Verified(work::verify(&self.context.data, chunks).await)
            }
            Ask::GetChunk(_) | Ask::Admin(_) => {
                return Err(Fault::Refused("asked elsewhere".to_owned()));
            }
        })
    }

    fn for_us(&self, disk: DiskId) -> Result<(), Fault> {
        if disk == self.cluster.meta.disk() {
            Ok(())
        } else {
            Err(Fault::OtherDisk)
        }
    }

    fn for_raft(&self, disk: DiskId) -> Result<(), Fault> {
        self.for_us(disk)?;
        self.cluster.note_vote().map_err(Fault::Unavailable)
    }
}
