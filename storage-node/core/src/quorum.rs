//! When enough disks have acknowledged a write.

use crate::DiskId;
use std::collections::BTreeSet;

/// Where a write stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// More answers are needed and can still come.
    Open,
    /// Enough distinct disks have a durable copy.
    Reached,
    /// Not enough disks are left to ask.
    OutOfReach,
}

/// Counts the disks that acknowledged one chunk. A disk counts once however often it answers.
#[derive(Clone, Debug)]
pub struct Tally {
    needed: usize,
    asked: BTreeSet<DiskId>,
    acknowledged: BTreeSet<DiskId>,
    failed: BTreeSet<DiskId>,
}

impl Tally {
    /// Starts with the number of disks needed; none is asked yet.
    #[must_use]
    pub fn new(needed: usize) -> Self {
        Self {
            needed,
            asked: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            failed: BTreeSet::new(),
        }
    }

    /// This disk was asked.
    pub fn ask(&mut self, disk: DiskId) {
        self.asked.insert(disk);
    }

    /// This disk has a durable copy. A late success outweighs an earlier failure.
    pub fn acknowledge(&mut self, disk: DiskId) {
        self.asked.insert(disk);
        self.failed.remove(&disk);
        self.acknowledged.insert(disk);
    }

    /// This disk refused or did not answer. After an acknowledgement that means nothing: the
    /// copy is there.
    pub fn fail(&mut self, disk: DiskId) {
        if !self.acknowledged.contains(&disk) {
            self.asked.insert(disk);
            self.failed.insert(disk);
        }
    }

    /// Where the write stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.acknowledged.len() >= self.needed {
            Standing::Reached
        } else if self.asked.len() - self.failed.len() < self.needed {
            Standing::OutOfReach
        } else {
            Standing::Open
        }
    }

    /// The disks that have a durable copy.
    #[must_use]
    pub fn holders(&self) -> Vec<DiskId> {
        self.acknowledged.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Tally {
        let mut tally = Tally::new(2);
        for disk in 1..=3 {
            tally.ask(DiskId(disk));
        }
        tally
    }

    #[test]
    fn two_distinct_disks_are_a_quorum_of_two() {
        let mut tally = asked();
        tally.acknowledge(DiskId(1));
        tally.acknowledge(DiskId(1));
        assert_eq!(tally.standing(), Standing::Open);
        tally.acknowledge(DiskId(3));
        assert_eq!(tally.standing(), Standing::Reached);
        assert_eq!(tally.holders(), [DiskId(1), DiskId(3)]);
    }

    #[test]
    fn a_failure_leaves_the_quorum_within_reach_and_a_second_does_not() {
        let mut tally = asked();
        tally.fail(DiskId(1));
        assert_eq!(tally.standing(), Standing::Open);
        tally.fail(DiskId(2));
        assert_eq!(tally.standing(), Standing::OutOfReach);
        tally.ask(DiskId(4));
        assert_eq!(tally.standing(), Standing::Open);
    }

    #[test]
    fn an_acknowledgement_is_not_taken_back() {
        let mut tally = asked();
        tally.acknowledge(DiskId(1));
        tally.fail(DiskId(1));
        tally.fail(DiskId(2));
        tally.acknowledge(DiskId(2));
        assert_eq!(tally.standing(), Standing::Reached);
    }
}
