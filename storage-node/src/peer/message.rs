//! What nodes ask of each other.

use super::admin::Admin;
use crate::disk::Usage;
use crate::meta::TypeConfig;
use crate::work::Worker;
use openraft::error::{InstallSnapshotError, RaftError};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use planaria_storage_core::{ChunkId, DiskId, Reply, Request};
use serde::{Deserialize, Serialize};

/// A question. What is meant for one disk names it: the address may belong to another by now.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// How are you?
    Status,
    /// Belong to this cluster: it is being founded.
    Found {
        /// The cluster's name.
        cluster: u64,
    },
    /// Take this disk in. For the leader.
    Join {
        /// The disk.
        disk: DiskId,
        /// Its node's name.
        name: String,
        /// Its node's peer address.
        addr: String,
    },
    /// Raft: entries.
    Append(DiskId, AppendEntriesRequest<TypeConfig>),
    /// Raft: a vote.
    Vote(DiskId, VoteRequest<u64>),
    /// Raft: a piece of a snapshot.
    Snapshot(DiskId, InstallSnapshotRequest<TypeConfig>),
    /// Stand for Raft's leadership: the leader, whose disk is slow, has fallen silent.
    Stand(DiskId),
    /// Put this into the log. For the leader.
    Write(Box<Request>),
    /// Up to which index must one have read? For the leader.
    ReadIndex,
    /// Keep this chunk (the frame's blob).
    PutChunk {
        /// The disk that is meant.
        disk: DiskId,
        /// The chunk.
        chunk: ChunkId,
        /// Write it even if a copy is there.
        again: bool,
    },
    /// Give this chunk.
    GetChunk(ChunkId),
    /// Which of these chunks can you read back?
    Verify {
        /// The disk that is meant.
        disk: DiskId,
        /// The chunks.
        chunks: Vec<ChunkId>,
    },
    /// What a person asks at the command line.
    Admin(Admin),
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Done.
    Done,
    /// It could not be done.
    Fault(Fault),
    /// To [`Ask::Status`].
    Status(Box<NodeStatus>),
    /// To [`Ask::Append`].
    Append(Result<AppendEntriesResponse<u64>, RaftError<u64>>),
    /// To [`Ask::Vote`].
    Vote(Result<VoteResponse<u64>, RaftError<u64>>),
    /// To [`Ask::Snapshot`].
    Snapshot(Result<InstallSnapshotResponse<u64>, RaftError<u64, InstallSnapshotError>>),
    /// To [`Ask::Write`].
    Written(Reply),
    /// To [`Ask::ReadIndex`].
    Index(u64),
    /// To [`Ask::PutChunk`]: durable, with this generation.
    Stored(u64),
    /// To [`Ask::GetChunk`]: the frame's blob.
    Chunk,
    /// To [`Ask::Verify`]: those that are good.
    Verified(Vec<ChunkId>),
    /// To [`Ask::Admin`]: JSON, and for a snapshot a piece of it as the frame's blob.
    Json(String),
}

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Another disk was meant.
    #[error("another disk is at this address")]
    OtherDisk,
    /// This node does not lead; who does, as far as it knows.
    #[error("this node does not lead")]
    NotLeader(Option<DiskId>),
    /// The node is not ready, or there is no quorum.
    #[error("not available: {0}")]
    Unavailable(String),
    /// There is no copy here.
    #[error("no copy here")]
    NoCopy,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The question makes no sense to this node.
    #[error("refused: {0}")]
    Refused(String),
}

/// How a node is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The node's name.
    pub name: String,
    /// Its disk, in hexadecimal.
    pub disk: String,
    /// The disk's number, as Raft has it.
    pub disk_id: u64,
    /// How often the disk was started.
    pub boot: u64,
    /// The cluster, in hexadecimal.
    pub cluster: Option<String>,
    /// The cluster's number.
    pub cluster_id: Option<u64>,
    /// Whether the disk has ever voted or learned.
    pub voted: bool,
    /// `leader`, `follower`, `candidate`, `learner`, or `starting`.
    pub role: String,
    /// The leader's name, if one is known.
    pub leader: Option<String>,
    /// Raft's term.
    pub term: u64,
    /// Index of the last entry applied.
    pub applied: u64,
    /// Whether the node has applied all that is committed, lacks no copy that it is named for,
    /// and nothing is owed to anybody.
    pub in_sync: bool,
    /// Whether the disk and the records agreed when they were last compared.
    pub compared: bool,
    /// The digest of the chunks on this disk.
    pub digest: String,
    /// Chunks that lack copies somewhere.
    pub owed: u64,
    /// Chunks of the cluster with all their copies, lacking some, and on no known disk.
    pub healthy: u64,
    /// See there.
    pub degraded: u64,
    /// See there.
    pub lost: u64,
    /// Copies that this node is fetching now.
    pub repairing: u64,
    /// The layout's version.
    pub layout: u64,
    /// How many whole scrubs have ended here since the start, and how many chunks they read.
    pub scrubs: u64,
    /// See there.
    pub scrubbed: u64,
    /// Whether the disk is too slow to take user data.
    pub disk_slow: bool,
    /// What an upload left half-written and the start swept, and torn tails that it cut.
    pub swept: u64,
    /// The background workers.
    pub workers: Vec<Worker>,
    /// Whether the disk refuses user data for want of room.
    pub disk_full: bool,
    /// Free bytes.
    pub disk_free: u64,
    /// What the disk holds.
    pub chunks: u64,
    /// Their bytes.
    pub chunk_bytes: u64,
    /// Bytes of the segment files.
    pub segment_bytes: u64,
    /// The nodes, as the log has them.
    pub nodes: Vec<NodeLine>,
    /// The version of the program.
    pub version: String,
}

/// One node in another's status.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NodeLine {
    /// Its name.
    pub name: String,
    /// Its disk.
    pub disk: String,
    /// Its address.
    pub addr: String,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it answered lately.
    pub reachable: bool,
    /// Its zone.
    pub zone: String,
    /// Whether it is to be emptied.
    pub draining: bool,
    /// Whether it is placed around, for it did not answer for long.
    pub away: bool,
}

impl NodeStatus {
    /// Takes over what the disk holds.
    pub fn set_usage(&mut self, usage: Usage) {
        self.chunks = usage.chunks;
        self.chunk_bytes = usage.bytes;
        self.segment_bytes = usage.segment_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use planaria_storage_core::{decode, encode};

    /// What comes from another version, or from a broken one, is an error and never a panic.
    #[test]
    fn noise_and_damaged_messages_are_refused() {
        let vote = VoteRequest {
            vote: openraft::Vote::new(3, 1),
            last_log_id: None,
        };
        let good = encode(&Ask::Vote(DiskId(9), vote)).unwrap();
        crate::fuzz::each(&[good], |_, bytes| {
            let _ = decode::<Ask>(bytes);
            let _ = decode::<Answer>(bytes);
            let noise = [&[1], bytes].concat();
            let _ = decode::<Ask>(&noise);
            let _ = decode::<Answer>(&noise);
        });
    }
}
