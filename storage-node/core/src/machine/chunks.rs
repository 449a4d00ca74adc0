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

//!
//! A disk that holds more than is wanted asks to be rid of a copy, with the names of those whose
//! copies it has just seen verified. From that entry on its copies of that generation or older
//! count no more: one that a writer was told of just before is thereby not named.

use super::{CONDEMNED_FLOOR, Machine, MachineError, Outcome, refused};
use crate::{
    ChunkId, ChunkRecord, ChunkRef, Copies, DiskId, Plan, Refusal, Reply, StoreMut, Stored, keys,
};
use std::collections::BTreeMap;

/// More marks than a chunk can have: one for each disk.
const MAX_MARKS: usize = 4096;

impl<S: StoreMut> Machine<'_, S> {
    /// Names chunks that were just written. Refuses as a whole, having changed nothing.
    pub(super) fn hold_new(
        &mut self,
        chunks: &[ChunkRef],
        stored: &[Stored],
        copies: Copies,
    ) -> Result<Result<(), Refusal>, MachineError<S::Error>> {
        let plan = self.plan()?;
        let floor = self.floor()?;
        let mut written: BTreeMap<ChunkId, (u64, Vec<DiskId>)> = BTreeMap::new();
        for copy in stored {
            let entry = written
                .entry(copy.chunk.id)
                .or_insert((copy.generation, Vec::new()));
            entry.0 = entry.0.min(copy.generation);
            for disk in &copy.disks {
                if self.counts_still(&copy.chunk.id, *disk, copy.generation)? {
                    add_disks(&mut entry.1, &[*disk], &plan);
                }
            }
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
            record.disks.retain(|disk| plan.members.contains(disk));
            add_disks(&mut record.disks, &disks, &plan);
            let quorum = usize::from(copies.quorum).min(plan.members.voters.len());
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
            self.save(&id, &record, &plan)?;
        }
        Ok(Ok(()))
    }

    /// Names chunks once more that something else names now.
    pub(super) fn hold_named(&mut self, chunks: &[ChunkRef]) -> Result<(), MachineError<S::Error>> {
        if chunks.is_empty() {
            return Ok(());
        }
        let plan = self.plan()?;
        for chunk in chunks {
            let mut record = self.record(&chunk.id)?.unwrap_or_default();
            record.references += 1;
            self.save(&chunk.id, &record, &plan)?;
        }
        Ok(())
    }

    /// Names chunks once less.
    pub(super) fn release(&mut self, chunks: &[ChunkRef]) -> Result<(), MachineError<S::Error>> {
        if chunks.is_empty() {
            return Ok(());
        }
        let plan = self.plan()?;
        for chunk in chunks {
            let Some(mut record) = self.record(&chunk.id)? else {
                continue;
            };
            record.references = record.references.saturating_sub(1);
            self.save(&chunk.id, &record, &plan)?;
            if record.references == 0 {
                self.mark(&keys::chunk(keys::UNNAMED, &chunk.id))?;
            }
        }
        Ok(())
    }

    pub(super) fn placed(&mut self, disk: DiskId, chunks: &[(ChunkId, u64)]) -> Outcome<S> {
        let plan = self.plan()?;
        for (id, generation) in chunks {
            let Some(mut record) = self.record(id)? else {
                continue;
            };
            if record.condemned.is_some_and(|index| *generation <= index)
                || !self.counts_still(id, disk, *generation)?
            {
                continue;
            }
            add_disks(&mut record.disks, &[disk], &plan);
            self.erase(&keys::surplus(id, Some(disk)))?;
            self.save(id, &record, &plan)?;
        }
        Ok(Reply::Done)
    }

    pub(super) fn lost(&mut self, disk: DiskId, chunks: &[ChunkId]) -> Outcome<S> {
        let plan = self.plan()?;
        for id in chunks {
            let Some(mut record) = self.record(id)? else {
                continue;
            };
            record.disks.retain(|holder| *holder != disk);
            self.save(id, &record, &plan)?;
        }
        Ok(Reply::Done)
    }

    /// Every disk has to say that it holds no copy any more, also those that no record names: a
    /// copy may have arrived there after its manifest.
    pub(super) fn condemn(&mut self, chunks: &[ChunkId]) -> Outcome<S> {
        let plan = self.plan()?;
        for id in chunks {
            let mut record = self.record(id)?.unwrap_or_default();
            if record.references > 0 || record.condemned.is_some() {
                continue;
            }
            add_disks(&mut record.disks, &plan.members.voters, &plan);
            add_disks(&mut record.disks, &plan.members.learners, &plan);
            record.condemned = Some(self.index);
            self.erase(&keys::chunk(keys::UNNAMED, id))?;
            self.mark(&keys::chunk(keys::CONDEMNED, id))?;
            self.save(id, &record, &plan)?;
        }
        Ok(Reply::Done)
    }

    pub(super) fn reaped(&mut self, disk: DiskId, chunks: &[(ChunkId, u64)]) -> Outcome<S> {
        let plan = self.plan()?;
        for (id, obeyed) in chunks {
            let Some(mut record) = self.record(id)? else {
                continue;
            };
            if record.condemned != Some(*obeyed) {
                continue;
            }
            record.disks.retain(|holder| *holder != disk);
            self.save(id, &record, &plan)?;
            self.forget_if_gone(id, &record, &plan)?;
        }
        Ok(Reply::Done)
    }

    /// Takes a disk's copies out of the records, where enough others are left.
    pub(super) fn surplus(
        &mut self,
        disk: DiskId,
        layout: u64,
        chunks: &[(ChunkId, Vec<DiskId>)],
    ) -> Outcome<S> {
        let plan = self.plan()?;
        if plan.layout.version != layout {
            return refused(Refusal::LayoutChanged);
        }
        for (id, verified) in chunks {
            let Some(mut record) = self.record(id)? else {
                continue;
            };
            if record.condemned.is_some() || !record.disks.contains(&disk) {
                continue;
            }
            let others = record
                .disks
                .iter()
                .filter(|other| **other != disk && plan.counts(other) && verified.contains(other))
                .count();
            if others < plan.wanted(record.copies) {
                continue;
            }
            record.disks.retain(|holder| *holder != disk);
            self.write(&keys::surplus(id, Some(disk)), &self.index.clone())?;
            self.save(id, &record, &plan)?;
        }
        Ok(Reply::Done)
    }

    /// Whether a copy of this generation counts, or its disk was allowed to remove it.
    fn counts_still(
        &self,
        id: &ChunkId,
        disk: DiskId,
        generation: u64,
    ) -> Result<bool, MachineError<S::Error>> {
        let mark: Option<u64> = self.read(&keys::surplus(id, Some(disk)))?;
        Ok(mark.is_none_or(|index| generation > index))
    }

    /// A condemned chunk without a copy left: its record goes, and no copy of its time counts
    /// any more for any chunk that has no record.
    pub(super) fn forget_if_gone(
        &mut self,
        id: &ChunkId,
        record: &ChunkRecord,
        plan: &Plan,
    ) -> Result<(), MachineError<S::Error>> {
        let Some(index) = record.condemned else {
            return Ok(());
        };
        if !record.disks.is_empty() {
            return Ok(());
        }
        let floor = self.floor()?.max(index);
        self.write(&keys::single(CONDEMNED_FLOOR), &floor)?;
        for key in self.keys_with(&keys::surplus(id, None), MAX_MARKS)? {
            self.erase(&key)?;
        }
        self.erase(&keys::chunk(keys::CONDEMNED, id))?;
        self.erase(&keys::chunk(keys::CHUNK, id))?;
        self.count_change(id, Some(record), None, plan)
    }

    /// Writes a chunk's record, the owed list and the counts.
    fn save(
        &mut self,
        id: &ChunkId,
        record: &ChunkRecord,
        plan: &Plan,
    ) -> Result<(), MachineError<S::Error>> {
        let old = self.record(id)?;
        self.write(&keys::chunk(keys::CHUNK, id), record)?;
        self.list_owed(id, record, plan)?;
        self.count_change(id, old.as_ref(), Some(record), plan)
    }

    pub(super) fn record(
        &self,
        id: &ChunkId,
    ) -> Result<Option<ChunkRecord>, MachineError<S::Error>> {
        self.read(&keys::chunk(keys::CHUNK, id))
    }

    fn floor(&self) -> Result<u64, MachineError<S::Error>> {
        Ok(self.read(&keys::single(CONDEMNED_FLOOR))?.unwrap_or(0))
    }
}

fn add_disks(disks: &mut Vec<DiskId>, more: &[DiskId], plan: &Plan) {
    for disk in more {
        if plan.members.contains(disk) && !disks.contains(disk) {
            disks.push(*disk);
        }
    }
}
