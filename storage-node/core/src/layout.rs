//! Where chunks are to lie: who is there, in which zone, who is to be emptied.

use crate::placement::Seat;
use crate::{ChunkRecord, DiskId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was decided about one disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// The zone that it shares its fate with: copies lie in distinct zones first.
    pub zone: String,
    /// It is to be emptied: nothing new is placed here, and its copies are made elsewhere.
    pub draining: bool,
    /// It did not answer for `REMOVAL_GRACE_PERIOD`: it is placed around until it is back.
    pub away: bool,
}

/// What was decided about the disks. A disk without an entry has no zone and takes part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The log index of the last change, also of the members.
    pub version: u64,
    /// The decisions.
    pub roles: BTreeMap<DiskId, Role>,
}

/// The disks of the cluster, as the log has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// The disks that vote; chunks are placed on these.
    pub voters: Vec<DiskId>,
    /// The disks that only learn; copies that they already hold count for reading.
    pub learners: Vec<DiskId>,
}

impl Members {
    /// Whether this disk belongs to the cluster.
    #[must_use]
    pub fn contains(&self, disk: &DiskId) -> bool {
        self.voters.contains(disk) || self.learners.contains(disk)
    }
}

/// Members and layout together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Who belongs to the cluster.
    pub members: Members,
    /// What was decided about them.
    pub layout: Layout,
}

/// How a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChunkState {
    /// It has all the copies that it can have.
    Healthy,
    /// It lacks copies.
    Degraded,
    /// No disk of the cluster is known to hold it.
    Lost,
}

impl Plan {
    /// What was decided about a disk.
    #[must_use]
    pub fn role(&self, disk: &DiskId) -> Role {
        self.layout.roles.get(disk).cloned().unwrap_or_default()
    }

    fn is(&self, disk: &DiskId, what: impl Fn(&Role) -> bool) -> bool {
        self.layout.roles.get(disk).is_some_and(what)
    }

    /// Whether a copy on this disk counts: it votes, is there, and is not to be emptied.
    #[must_use]
    pub fn counts(&self, disk: &DiskId) -> bool {
        self.members.voters.contains(disk) && !self.is(disk, |role| role.draining || role.away)
    }

    /// The disks on which chunks are to lie now.
    #[must_use]
    pub fn seats(&self) -> Vec<Seat> {
        self.seats_of(Self::counts)
    }

    /// The disks on which chunks would lie if nobody were away.
    #[must_use]
    pub fn all_seats(&self) -> Vec<Seat> {
        self.seats_of(|plan, disk| !plan.is(disk, |role| role.draining))
    }

    fn seats_of(&self, which: impl Fn(&Self, &DiskId) -> bool) -> Vec<Seat> {
        self.members
            .voters
            .iter()
            .filter(|disk| which(self, disk))
            .map(|disk| Seat {
                disk: *disk,
                zone: self.role(disk).zone,
            })
            .collect()
    }

    /// How many copies there should be of what is wanted `copies` times. Who is away still
    /// counts here: what it alone held up is missing, also where nobody can take its place.
    #[must_use]
    pub fn wanted(&self, copies: u8) -> usize {
        usize::from(copies).min(self.all_seats().len())
    }

    /// How many copies of a chunk are missing.
    #[must_use]
    pub fn missing(&self, record: &ChunkRecord) -> usize {
        if record.references == 0 {
            return 0;
        }
        let held = record.disks.iter().filter(|disk| self.counts(disk)).count();
        self.wanted(record.copies).saturating_sub(held)
    }

    /// How a chunk is; none when nobody names it.
    #[must_use]
    pub fn state(&self, record: &ChunkRecord) -> Option<ChunkState> {
        if record.references == 0 {
            return None;
        }
        Some(if record.disks.is_empty() {
            ChunkState::Lost
        } else if self.missing(record) > 0 {
            ChunkState::Degraded
        } else {
            ChunkState::Healthy
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(roles: &[(u64, Role)]) -> Plan {
        Plan {
            members: Members {
                voters: (1..=4).map(DiskId).collect(),
                learners: vec![],
            },
            layout: Layout {
                version: 1,
                roles: roles
                    .iter()
                    .map(|(disk, role)| (DiskId(*disk), role.clone()))
                    .collect(),
            },
        }
    }

    fn record(disks: &[u64]) -> ChunkRecord {
        ChunkRecord {
            len: 1,
            references: 1,
            copies: 3,
            disks: disks.iter().copied().map(DiskId).collect(),
            condemned: None,
        }
    }

    fn away() -> Role {
        Role {
            away: true,
            ..Role::default()
        }
    }

    #[test]
    fn a_copy_on_a_disk_that_is_away_or_drained_is_missing() {
        let draining = Role {
            draining: true,
            ..Role::default()
        };
        for role in [away(), draining] {
            let plan = plan(&[(1, role)]);
            assert_eq!(plan.missing(&record(&[1, 2, 3])), 1);
            assert_eq!(plan.missing(&record(&[2, 3, 4])), 0);
            assert_eq!(plan.seats().len(), 3);
            assert_eq!(plan.state(&record(&[1])), Some(ChunkState::Degraded));
        }
        assert_eq!(plan(&[]).state(&record(&[])), Some(ChunkState::Lost));
    }

    #[test]
    fn what_nobody_can_take_over_is_still_missing() {
        let plan = plan(&[(1, away()), (2, away())]);
        assert_eq!(plan.wanted(3), 3);
        assert_eq!(plan.missing(&record(&[1, 3, 4])), 1);
    }
}
