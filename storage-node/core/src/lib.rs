//! The decisions of the storage node, without any input or output.
//!
//! A node cuts objects into chunks named by their BLAKE3 digest, puts each chunk on several disks,
//! and agrees with the others by Raft on what the objects are. This crate holds what must be the
//! same on every node and what must be easy to test: it opens no file and no socket, knows no
//! clock and no randomness.
//!
//! - [`ChunkId`], [`DiskId`]: the names of things.
//! - [`placement`]: which disks a chunk belongs on.
//! - [`quorum`]: when enough disks have acknowledged.
//! - [`Command`], [`Reply`]: what a log entry says and what it answers.
//! - [`machine`]: the state machine over an ordered key-value [`Store`].
//! - [`listing`]: S3 listings over the same store.
//!
//! ```
//! use planaria_storage_core::{ChunkId, DiskId, placement};
//!
//! let disks = [DiskId(1), DiskId(2), DiskId(3), DiskId(4)];
//! let chunk = ChunkId::of(b"some bytes");
//! let homes = placement::homes(&chunk, &disks, 3);
//! assert_eq!(homes.len(), 3);
//! ```

mod codec;
mod command;
mod id;
pub mod keys;
pub mod listing;
pub mod machine;
mod model;
pub mod placement;
pub mod quorum;
mod store;

pub use codec::{CodecError, decode, encode};
pub use command::{Command, Condition, Copies, Refusal, Reply, Request};
pub use id::{ChunkId, DiskId, ParseChunkIdError, UploadId};
pub use model::{
    BucketRecord, ChunkRecord, ChunkRef, Data, ObjectHeaders, ObjectRecord, PartRecord, Stored,
    UploadRecord,
};
pub use store::{MemoryStore, Store, StoreMut, Visit};
