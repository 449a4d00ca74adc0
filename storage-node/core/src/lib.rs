//! The decisions of the storage node, without any input or output.
//!
//! A node cuts objects into chunks named by their BLAKE3 digest, puts each chunk on several disks,
//! and agrees with the others by Raft on what the objects are. This crate holds what must be the
//! same on every node and what must be easy to test: it opens no file and no socket, knows no
//! clock and no randomness.
//!
//! - [`ChunkId`], [`DiskId`]: the names of things.
//! - [`placement`]: which disks a chunk belongs on; [`Plan`]: which disks there are for it.
//! - [`merkle`]: telling where two sets of chunks differ.
//! - [`quorum`]: when enough disks have acknowledged.
//! - [`Command`], [`Reply`]: what a log entry says and what it answers.
//! - [`machine`]: the state machine over an ordered key-value [`Store`].
//! - [`listing`], [`history`]: S3 listings over the same store, of objects and of versions.
//!
//! ```
//! use planaria_storage_core::{ChunkId, DiskId, placement};
//!
//! let seats: Vec<placement::Seat> = (1..=4).map(|disk| DiskId(disk).into()).collect();
//! let chunk = ChunkId::of(b"some bytes");
//! let homes = placement::homes(&chunk, &seats, 3);
//! assert_eq!(homes.len(), 3);
//! ```

mod codec;
mod command;
pub mod history;
mod id;
pub mod keys;
mod layout;
pub mod listing;
pub mod machine;
pub mod merkle;
mod model;
pub mod placement;
pub mod quorum;
mod store;

pub use codec::{CodecError, decode, encode};
pub use command::{
    BucketChange, Command, Condition, Copies, CopySource, Refusal, Reply, Request, RoleChange,
};
pub use id::{ChunkId, DiskId, ParseChunkIdError, UploadId, VersionId};
pub use layout::{ChunkState, Layout, Members, Plan, Role};
pub use model::{
    AccessKey, Attributes, BucketRecord, BucketSettings, ChunkRecord, ChunkRef, Data, Grant,
    ObjectHeaders, ObjectRecord, PartRecord, Stored, Tags, UploadRecord, VersionRecord, Versioning,
};
pub use store::{MemoryStore, Store, StoreMut, Visit};
