//! Members and layout, the counts, and counting anew after the disks have changed.
//!
//! ```text
//! members or roles change ─▶ the cursor goes to the first chunk, the counts to zero
//!                         ─▶ each Recount takes a page of chunks: forgets copies on disks that
//!                            are gone, writes the owed list, counts
//! a chunk before the cursor is counted as it changes, one behind it when the cursor comes by
//! ```
//! No entry reads more than a page, however many chunks there are.

use super::{CHUNKS_PAGE, Machine, MachineError, Outcome, keys_with, read, refused};
use crate::{
    ChunkId, ChunkRecord, ChunkState, DiskId, Layout, Members, Plan, Refusal, Reply, RoleChange,
    Store, StoreMut, keys,
};
use serde::{Deserialize, Serialize};

const MEMBERS: &str = "members";
const LAYOUT: &str = "layout";
const COUNTS: &str = "counts";
const CURSOR: &str = "recount";
const RETIRED: &str = "retired";
/// How many disks are remembered that were taken out.
const MAX_RETIRED: usize = 4096;

/// How many chunks are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Have all copies that they can have.
    pub healthy: u64,
    /// Lack copies.
    pub degraded: u64,
    /// Are on no known disk.
    pub lost: u64,
}

impl Counts {
    fn slot(&mut self, state: ChunkState) -> &mut u64 {
        match state {
            ChunkState::Healthy => &mut self.healthy,
            ChunkState::Degraded => &mut self.degraded,
            ChunkState::Lost => &mut self.lost,
        }
    }

    /// Chunks that lack copies.
    #[must_use]
    pub fn owed(&self) -> u64 {
        self.degraded + self.lost
    }
}

/// The disks of the cluster as of the last entry applied.
///
/// # Errors
/// [`MachineError`].
pub fn members<S: Store>(store: &S) -> Result<Members, MachineError<S::Error>> {
    Ok(read(store, &keys::single(MEMBERS))?.unwrap_or_default())
}

/// Members and layout as of the last entry applied.
///
/// # Errors
/// [`MachineError`].
pub fn plan<S: Store>(store: &S) -> Result<Plan, MachineError<S::Error>> {
    Ok(Plan {
        members: members(store)?,
        layout: read(store, &keys::single(LAYOUT))?.unwrap_or_default(),
    })
}

/// How many chunks are in which state; none while they are being counted.
///
/// # Errors
/// [`MachineError`].
pub fn counts<S: Store>(store: &S) -> Result<Option<Counts>, MachineError<S::Error>> {
    if cursor(store)?.is_some() {
        return Ok(None);
    }
    read(store, &keys::single(COUNTS))
}

/// The disks that were taken out by a person.
///
/// # Errors
/// [`MachineError`].
pub fn retired<S: Store>(store: &S) -> Result<Vec<DiskId>, MachineError<S::Error>> {
    Ok(read(store, &keys::single(RETIRED))?.unwrap_or_default())
}

fn cursor<S: Store>(store: &S) -> Result<Option<Vec<u8>>, MachineError<S::Error>> {
    read(store, &keys::single(CURSOR))
}

impl<S: StoreMut> Machine<'_, S> {
    pub(super) fn plan(&self) -> Result<Plan, MachineError<S::Error>> {
        plan(self.store)
    }

    pub(super) fn change_members(
        &mut self,
        members: &Members,
    ) -> Result<(), MachineError<S::Error>> {
        let mut plan = self.plan()?;
        if plan.members == *members {
            return Ok(());
        }
        self.write(&keys::single(MEMBERS), members)?;
        plan.layout.roles.retain(|disk, _| members.contains(disk));
        self.change_layout(plan.layout)
    }

    pub(super) fn assign(&mut self, disk: DiskId, change: &RoleChange) -> Outcome<S> {
        let mut plan = self.plan()?;
        if !plan.members.contains(&disk) {
            return refused(Refusal::NoSuchDisk);
        }
        let before = plan.role(&disk);
        let mut role = before.clone();
        match change {
            RoleChange::Zone(zone) => role.zone.clone_from(zone),
            RoleChange::Draining(draining) => role.draining = *draining,
            RoleChange::Away(away) => role.away = *away,
        }
        if role != before {
            plan.layout.roles.insert(disk, role);
            self.change_layout(plan.layout)?;
        }
        Ok(Reply::Done)
    }

    pub(super) fn retire_disk(&mut self, disk: DiskId) -> Outcome<S> {
        let mut retired = retired(self.store)?;
        if !retired.contains(&disk) {
            retired.push(disk);
            if retired.len() > MAX_RETIRED {
                retired.remove(0);
            }
            self.write(&keys::single(RETIRED), &retired)?;
        }
        Ok(Reply::Done)
    }

    fn change_layout(&mut self, mut layout: Layout) -> Result<(), MachineError<S::Error>> {
        layout.version = self.index;
        self.write(&keys::single(LAYOUT), &layout)?;
        self.begin_recount()?;
        self.recount().map(drop)
    }

    fn begin_recount(&mut self) -> Result<(), MachineError<S::Error>> {
        self.counts = None;
        self.write(&keys::single(COUNTS), &Counts::default())?;
        self.write(&keys::single(CURSOR), &vec![keys::CHUNK])
    }

    /// Takes the next page.
    pub(super) fn recount(&mut self) -> Outcome<S> {
        if self.read::<Counts>(&keys::single(COUNTS))?.is_none() {
            self.begin_recount()?;
        }
        let Some(from) = cursor(self.store)? else {
            return Ok(Reply::Done);
        };
        let plan = self.plan()?;
        let page = keys_with(self.store, &[keys::CHUNK], &from, CHUNKS_PAGE)?;
        for key in &page {
            let Some(id) = keys::chunk_of(keys::CHUNK, key) else {
                continue;
            };
            let Some(mut record) = self.record(&id)? else {
                continue;
            };
            record.disks.retain(|disk| plan.members.contains(disk));
            self.write(key, &record)?;
            self.list_owed(&id, &record, &plan)?;
            self.count(None, Some(&record), &plan)?;
            self.forget_if_gone(&id, &record, &plan)?;
        }
        match page.last() {
            Some(last) if page.len() == CHUNKS_PAGE => {
                let mut next = last.clone();
                next.push(0);
                self.write(&keys::single(CURSOR), &next)?;
                Ok(Reply::More)
            }
            _ => {
                self.erase(&keys::single(CURSOR))?;
                Ok(Reply::Done)
            }
        }
    }

    pub(super) fn list_owed(
        &mut self,
        id: &ChunkId,
        record: &ChunkRecord,
        plan: &Plan,
    ) -> Result<(), MachineError<S::Error>> {
        let owed = keys::chunk(keys::OWED, id);
        if plan.missing(record) > 0 {
            self.mark(&owed)
        } else {
            self.erase(&owed)
        }
    }

    /// Counts a change of a chunk, unless the cursor still comes by.
    pub(super) fn count_change(
        &mut self,
        id: &ChunkId,
        old: Option<&ChunkRecord>,
        new: Option<&ChunkRecord>,
        plan: &Plan,
    ) -> Result<(), MachineError<S::Error>> {
        let key = keys::chunk(keys::CHUNK, id);
        if cursor(self.store)?.is_some_and(|cursor| key >= cursor) {
            return Ok(());
        }
        self.count(old, new, plan)
    }

    fn count(
        &mut self,
        old: Option<&ChunkRecord>,
        new: Option<&ChunkRecord>,
        plan: &Plan,
    ) -> Result<(), MachineError<S::Error>> {
        let before = old.and_then(|record| plan.state(record));
        let after = new.and_then(|record| plan.state(record));
        if before == after {
            return Ok(());
        }
        let mut counts = match self.counts {
            Some(counts) => counts,
            None => match self.read(&keys::single(COUNTS))? {
                Some(counts) => counts,
                // A store of an older version: the first recount counts all.
                None => return Ok(()),
            },
        };
        if let Some(state) = before {
            let slot = counts.slot(state);
            *slot = slot.saturating_sub(1);
        }
        if let Some(state) = after {
            *counts.slot(state) += 1;
        }
        self.counts = Some(counts);
        Ok(())
    }

    /// Writes what was counted in this entry.
    pub(super) fn keep_counts(&mut self) -> Result<(), MachineError<S::Error>> {
        match self.counts.take() {
            Some(counts) => self.write(&keys::single(COUNTS), &counts),
            None => Ok(()),
        }
    }
}
