//! The state machine: what each log entry does to the store.
//!
//! Deterministic: the same entries at the same indices give the same store on every node. An
//! entry is refused as a whole or done as a whole; a refusal is an answer, not an error.
//!
//! ```text
//! Request ─▶ session known? ─no─▶ SessionRetired
//!              │ yes
//!              ├─ answered before? ─yes─▶ the same answer again
//!              └─ no ─▶ objects / uploads / chunks ─▶ Reply, remembered
//! ```

mod access;
mod chunks;
#[cfg(test)]
mod disk_tests;
mod layout;
mod objects;
mod sessions;
#[cfg(test)]
mod tests;
mod uploads;
#[cfg(test)]
mod version_tests;
mod versions;

pub use crate::layout::Members;
pub use layout::{Counts, counts, members, plan, retired};
pub use versions::find;

use crate::{CodecError, Command, Refusal, Reply, Request, Store, StoreMut, codec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ops::ControlFlow;

/// How many buckets there may be: each is one small record, and listing them has no pages.
pub const MAX_BUCKETS: usize = 1000;
/// How many access keys there may be.
pub const MAX_KEYS: usize = 1000;
/// How many chunks one entry looks at when all have to be looked at.
const CHUNKS_PAGE: usize = 2048;
/// How many sessions are remembered. Each start of a node opens one; the one that was silent
/// longest is retired first.
pub const MAX_SESSIONS: usize = 64;
/// How many answers are forgotten per entry at most, so that no entry takes long.
const MAX_FORGET: usize = 256;

const CONDEMNED_FLOOR: &str = "condemned-floor";

/// The store failed, or holds what no state machine wrote.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError<E> {
    /// The medium.
    #[error("the metadata store failed: {0}")]
    Store(E),
    /// A record that cannot be read.
    #[error("the metadata store is damaged: {0}")]
    Damaged(#[from] CodecError),
}

/// Applies one entry.
///
/// # Errors
/// [`MachineError`]; the caller must not go on with a store that is half written.
pub fn apply<S: StoreMut>(
    store: &mut S,
    index: u64,
    request: &Request,
) -> Result<Reply, MachineError<S::Error>> {
    let mut machine = Machine::new(store, index);
    let reply = machine.with_session(request)?;
    machine.keep_counts()?;
    Ok(reply)
}

/// Takes over a change of the cluster's disks, and begins to count anew. [`Command::Recount`]
/// goes on with it.
///
/// # Errors
/// [`MachineError`].
pub fn set_members<S: StoreMut>(
    store: &mut S,
    index: u64,
    members: &Members,
) -> Result<(), MachineError<S::Error>> {
    let mut machine = Machine::new(store, index);
    machine.change_members(members)?;
    machine.keep_counts()
}

/// Reads a record.
///
/// # Errors
/// [`MachineError`].
pub fn read<T: DeserializeOwned, S: Store>(
    store: &S,
    key: &[u8],
) -> Result<Option<T>, MachineError<S::Error>> {
    let Some(bytes) = store.get(key).map_err(MachineError::Store)? else {
        return Ok(None);
    };
    Ok(Some(codec::decode(&bytes)?))
}

/// Collects up to `limit` keys that begin with `prefix`, from `from` on.
///
/// # Errors
/// [`MachineError`].
pub fn keys_with<S: Store>(
    store: &S,
    prefix: &[u8],
    from: &[u8],
    limit: usize,
) -> Result<Vec<Vec<u8>>, MachineError<S::Error>> {
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    let from = if from < prefix { prefix } else { from };
    store
        .scan(from, &mut |key, _| {
            if !key.starts_with(prefix) {
                return ControlFlow::Break(());
            }
            found.push(key.to_vec());
            if found.len() == limit {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .map_err(MachineError::Store)?;
    Ok(found)
}

struct Machine<'s, S> {
    store: &'s mut S,
    index: u64,
    /// What was counted in this entry and is not written yet.
    counts: Option<Counts>,
}

type Outcome<S> = Result<Reply, MachineError<<S as Store>::Error>>;

fn refused<E>(refusal: Refusal) -> Result<Reply, MachineError<E>> {
    Ok(Reply::Refused(refusal))
}

impl<'s, S: StoreMut> Machine<'s, S> {
    fn new(store: &'s mut S, index: u64) -> Self {
        Self {
            store,
            index,
            counts: None,
        }
    }

    fn run(&mut self, command: &Command) -> Outcome<S> {
        match command {
            Command::Nothing | Command::OpenSession => Ok(Reply::Done),
            Command::CreateBucket { bucket, now_ms } => self.create_bucket(bucket, *now_ms),
            Command::DeleteBucket { bucket } => self.delete_bucket(bucket),
            Command::PutObject { .. } | Command::Put { .. } => self.put_object(command),
            Command::CopyObject { .. } | Command::Copy { .. } => self.copy_object(command),
            Command::DeleteObject {
                bucket,
                key,
                condition,
            } => self.delete_object((bucket, key), None, 0, condition),
            Command::Delete {
                bucket,
                key,
                version,
                now_ms,
                condition,
            } => self.delete_object((bucket, key), *version, *now_ms, condition),
            Command::CreateUpload {
                bucket,
                key,
                headers,
                now_ms,
            } => self.create_upload((bucket, key), headers, None, *now_ms),
            Command::OpenUpload {
                bucket,
                key,
                headers,
                tags,
                now_ms,
            } => self.create_upload((bucket, key), headers, Some(tags), *now_ms),
            Command::TagObject {
                bucket,
                key,
                version,
                tags,
            } => self.tag_object((bucket, key), *version, tags),
            Command::SetBucket { bucket, change } => self.set_bucket(bucket, change),
            Command::PutKey { id, key } => self.put_key(id, key),
            Command::DeleteKey { id } => self.delete_key(id),
            Command::Assign { disk, change } => self.assign(*disk, change),
            Command::Retire { disk } => self.retire_disk(*disk),
            Command::Recount => self.recount(),
            Command::Surplus {
                disk,
                layout,
                chunks,
            } => self.surplus(*disk, *layout, chunks),
            Command::PutPart { .. } => self.put_part(command),
            Command::CompleteUpload { .. } => self.complete_upload(command),
            Command::AbortUpload {
                bucket,
                key,
                upload,
            } => self.abort_upload(bucket, key, *upload),
            Command::Placed { disk, chunks } => self.placed(*disk, chunks),
            Command::Lost { disk, chunks } => self.lost(*disk, chunks),
            Command::Condemn { chunks } => self.condemn(chunks),
            Command::Reaped { disk, chunks } => self.reaped(*disk, chunks),
        }
    }

    fn read<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, MachineError<S::Error>> {
        read(self.store, key)
    }

    fn write<T: Serialize>(&mut self, key: &[u8], value: &T) -> Result<(), MachineError<S::Error>> {
        let bytes = codec::encode(value)?;
        self.store.put(key, &bytes).map_err(MachineError::Store)
    }

    fn mark(&mut self, key: &[u8]) -> Result<(), MachineError<S::Error>> {
        self.store.put(key, &[]).map_err(MachineError::Store)
    }

    fn erase(&mut self, key: &[u8]) -> Result<(), MachineError<S::Error>> {
        self.store.delete(key).map_err(MachineError::Store)
    }

    fn has(&self, key: &[u8]) -> Result<bool, MachineError<S::Error>> {
        Ok(self.store.get(key).map_err(MachineError::Store)?.is_some())
    }

    fn keys_with(
        &self,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, MachineError<S::Error>> {
        keys_with(self.store, prefix, prefix, limit)
    }
}
