//! Chunks: who names them, where they are, what is owed, what is garbage.
//!
//! ```text
//!            named by a manifest                    Condemn at index i
//!   absent ─────────────────────▶ named ──last release──▶ unnamed ──▶ condemned(i)
//!                                  ▲  ▲                      │            │ named again with a
//!                                  │  └──named again─────────┘            │ generation > i
//!                                  └──────────────────────────────────────┤
//!                                                   all copies reaped ─▶ absent, floor ≥ i
//! ```
//! No clock and no lease decides about garbage. Copies carry a generation (the index that their
//! disk had applied, plus one); a manifest may name a condemned or unknown chunk only by copies
//! that are younger than the condemnation, and only older copies are removed.

use super::{CONDEMNED_FLOOR, Machine, MachineError, Members, Outcome};
use crate::{
    ChunkId, ChunkRecord, ChunkRef, Copies, DiskId, Refusal, Reply, StoreMut, Stored, keys,
};
use std::collections::BTreeMap;

impl<S: StoreMut> Machine<'_, S> {
    /// Names chunks that were just written. Refuses as a whole, having changed nothing.
    pub(super) fn hold_new(
        &mut self,
        chunks: &[ChunkRef],
        stored: &[Stored],
        copies: Copies,
    ) -> Result<Result<(), Refusal>, MachineError<S::Error>> {
        let members = self.members()?;
        let floor = self.floor()?;
        let mut written: BTreeMap<ChunkId, (u64, Vec<DiskId>)> = BTreeMap::new();
        for copy in stored {
            let entry = written
                .entry(copy.chunk.id)
                .or_insert((copy.generation, Vec::new()));
            entry.0 = entry.0.min(copy.generation);
            add_disks(&mut entry.1, &copy.disks, &members);
        }
        let mut records = BTreeMap::new();
        let mut stale = Vec::new();
        for chunk in chunks {
            if records.contains_key(&chunk.id) {
                continue;
            }
            let record = self.record(&chunk.id)?;
            let younger_than = match &record {
                Some(record) if record.condemned.is_none() => None,
                Some(record) => record.condemned,
                None => Some(floor),
            };
            let (generation, disks) = written.remove(&chunk.id).unwrap_or_default();
            let mut record = record.unwrap_or_default();
            if younger_than.is_some() {
                record.disks.clear();
            }
            add_disks(&mut record.disks, &disks, &members);
            let quorum = usize::from(copies.quorum).min(members.voters.len());
            if younger_than.is_some_and(|index| generation <= index) || record.disks.len() < quorum
            {
                stale.push(chunk.id);
            }
            record.len = chunk.len;
            record.copies = record.copies.max(copies.wanted);
            record.condemned = None;
            records.insert(chunk.id, record);
        }
        if !stale.is_empty() {
            return Ok(Err(Refusal::StaleChunks(stale)));
        }
        for chunk in chunks {
            if let Some(record) = records.get_mut(&chunk.id) {
                record.references += 1;
            }
        }
        for (id, record) in records {
            self.erase(&keys::chunk(keys::UNNAMED, &id))?;
            self.erase(&keys::chunk(keys::CONDEMNED, &id))?;
            self.save(&id, &record, &members)?;
        }
        Ok(Ok(()))
    }

    /// Names chunks once more that something else names now.
    pub(super) fn hold_named(&mut self, chunks: &[ChunkRef]) -> Result<(), MachineError<S::Error>> {
        for chunk in chunks {
            let mut record = self.record(&chunk.id)?.unwrap_or_default();
            record.references += 1;
            self.write(&keys::chunk(keys::CHUNK, &chunk.id), &record)?;
        }
        Ok(())
    }

    /// Names chunks once less.
    pub(super) fn release(&mut self, chunks: &[ChunkRef]) -> Result<(), MachineError<S::Error>> {
        for chunk in chunks {
            let Some(mut record) = self.record(&chunk.id)? else {
                continue;
            };
            record.references = record.references.saturating_sub(1);
            self.write(&keys::chunk(keys::CHUNK, &chunk.id), &record)?;
            if record.references == 0 {
                self.erase(&keys::chunk(keys::OWED, &chunk.id))?;
                self.mark(&keys::chunk(keys::UNNAMED, &chunk.id))?;
            }
        }
        Ok(())
    }

    pub(super) fn placed(&mut self, disk: DiskId, chunks: &[(ChunkId, u64)]) -> Outcome<S> {
        let members = self.members()?;
        for (id, generation) in chunks {
            let Some(mut record) = self.record(id)? else {
                continue;
            };
            if record.condemned.is_some_and(|index| *generation <= index) {
                continue;
            }
            add_disks(&mut record.disks, &[disk], &members);
            self.save(id, &record, &members)?;
        }
        Ok(Reply::Done)
    }

    pub(super) fn lost(&mut self, disk: DiskId, chunks: &[ChunkId]) -> Outcome<S> {
        let members = self.members()?;
        for id in chunks {
            let Some(mut record) = self.record(id)? else {
                continue;
            };
            record.disks.retain(|holder| *holder != disk);
            self.save(id, &record, &members)?;
        }
        Ok(Reply::Done)
    }

    /// Every disk has to say that it holds no copy any more, also those that no record names: a
    /// copy may have arrived there after its manifest.
    pub(super) fn condemn(&mut self, chunks: &[ChunkId]) -> Outcome<S> {
        let members = self.members()?;
        for id in chunks {
            let mut record = self.record(id)?.unwrap_or_default();
            if record.references > 0 || record.condemned.is_some() {
                continue;
            }
            add_disks(&mut record.disks, &members.voters, &members);
            add_disks(&mut record.disks, &members.learners, &members);
            record.condemned = Some(self.index);
            self.erase(&keys::chunk(keys::UNNAMED, id))?;
            self.mark(&keys::chunk(keys::CONDEMNED, id))?;
            self.save(id, &record, &members)?;
        }
        Ok(Reply::Done)
    }

    pub(super) fn reaped(&mut self, disk: DiskId, chunks: &[(ChunkId, u64)]) -> Outcome<S> {
        let members = self.members()?;
        for (id, obeyed) in chunks {
            let Some(mut record) = self.record(id)? else {
                continue;
            };
            if record.condemned != Some(*obeyed) {
                continue;
            }
            record.disks.retain(|holder| *holder != disk);
            self.save(id, &record, &members)?;
            self.forget_if_gone(id, &record)?;
        }
        Ok(Reply::Done)
    }

    /// Takes copies on disks that are gone out of every record.
    pub(super) fn replace_disks(
        &mut self,
        members: &Members,
    ) -> Result<(), MachineError<S::Error>> {
        for key in self.keys_with(&[keys::CHUNK], usize::MAX)? {
            let Some(id) = keys::chunk_of(keys::CHUNK, &key) else {
                continue;
            };
            let Some(mut record) = self.record(&id)? else {
                continue;
            };
            record.disks.retain(|disk| members.contains(disk));
            self.save(&id, &record, members)?;
            self.forget_if_gone(&id, &record)?;
        }
        Ok(())
    }

    /// A condemned chunk without a copy left: its record goes, and no copy of its time counts
    /// any more for any chunk that has no record.
    fn forget_if_gone(
        &mut self,
        id: &ChunkId,
        record: &ChunkRecord,
    ) -> Result<(), MachineError<S::Error>> {
        let Some(index) = record.condemned else {
            return Ok(());
        };
        if !record.disks.is_empty() {
            return Ok(());
        }
        let floor = self.floor()?.max(index);
        self.write(&keys::single(CONDEMNED_FLOOR), &floor)?;
        self.erase(&keys::chunk(keys::CONDEMNED, id))?;
        self.erase(&keys::chunk(keys::CHUNK, id))
    }

    fn save(
        &mut self,
        id: &ChunkId,
        record: &ChunkRecord,
        members: &Members,
    ) -> Result<(), MachineError<S::Error>> {
        self.write(&keys::chunk(keys::CHUNK, id), record)?;
        let owed = keys::chunk(keys::OWED, id);
        if record.missing(&members.voters) > 0 {
            self.mark(&owed)
        } else {
            self.erase(&owed)
        }
    }

    fn record(&self, id: &ChunkId) -> Result<Option<ChunkRecord>, MachineError<S::Error>> {
        self.read(&keys::chunk(keys::CHUNK, id))
    }

    fn members(&self) -> Result<Members, MachineError<S::Error>> {
        super::members(self.store)
    }

    fn floor(&self) -> Result<u64, MachineError<S::Error>> {
        Ok(self.read(&keys::single(CONDEMNED_FLOOR))?.unwrap_or(0))
    }
}

fn add_disks(disks: &mut Vec<DiskId>, more: &[DiskId], members: &Members) {
    for disk in more {
        if members.contains(disk) && !disks.contains(disk) {
            disks.push(*disk);
        }
    }
}
