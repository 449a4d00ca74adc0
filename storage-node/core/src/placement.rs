//! Which disks a chunk belongs on: rendezvous hashing, distinct zones first.
//!
//! Each pair of chunk and disk has a score. A chunk belongs on the best disk of each of the best
//! zones, and, where there are fewer zones than copies, on the best of the other disks. When a
//! disk comes or goes, or changes its zone, only chunks that rank it among their first move, and
//! no table has to be agreed on.

use crate::{ChunkId, DiskId};

/// A disk that may hold chunks, and the zone that it shares its fate with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seat {
    /// The disk.
    pub disk: DiskId,
    /// Its zone; all disks without a name for it share one.
    pub zone: String,
}

impl From<DiskId> for Seat {
    fn from(disk: DiskId) -> Self {
        Self {
            disk,
            zone: String::new(),
        }
    }
}

/// All disks in the order in which this chunk prefers them: its homes for `copies` copies first,
/// then the others by their score.
#[must_use]
pub fn ranking(chunk: &ChunkId, seats: &[Seat], copies: usize) -> Vec<DiskId> {
    let mut scored: Vec<(u64, &Seat)> = seats
        .iter()
        .map(|seat| (score(chunk, seat.disk), seat))
        .collect();
    scored.sort_unstable_by(|a, b| b.cmp(a));
    scored.dedup_by_key(|(_, seat)| seat.disk);
    let mut zones: Vec<&str> = Vec::new();
    let mut first = Vec::new();
    let mut rest = Vec::new();
    for (_, seat) in scored {
        if first.len() < copies && !zones.contains(&seat.zone.as_str()) {
            zones.push(&seat.zone);
            first.push(seat.disk);
        } else {
            rest.push(seat.disk);
        }
    }
    first.append(&mut rest);
    first
}

/// The disks that this chunk belongs on: the first `copies` of its ranking, fewer when there are
/// fewer disks.
#[must_use]
pub fn homes(chunk: &ChunkId, seats: &[Seat], copies: usize) -> Vec<DiskId> {
    let mut ranked = ranking(chunk, seats, copies);
    ranked.truncate(copies);
    ranked
}

fn score(chunk: &ChunkId, disk: DiskId) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&chunk.0);
    hasher.update(&disk.0.to_be_bytes());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn set(disks: &[DiskId]) -> BTreeSet<DiskId> {
        disks.iter().copied().collect()
    }

    /// Disks 1 to n, each in one of `zones` zones.
    fn seats() -> impl Strategy<Value = Vec<Seat>> {
        prop::collection::btree_map(1_u64.., 0_u8..5, 4..12).prop_map(|disks| {
            disks
                .into_iter()
                .map(|(disk, zone)| seat(disk, zone))
                .collect()
        })
    }

    fn seat(disk: u64, zone: u8) -> Seat {
        Seat {
            disk: DiskId(disk),
            zone: format!("z{zone}"),
        }
    }

    proptest! {
        #[test]
        fn order_and_repetition_of_the_disks_do_not_matter(
            bytes in any::<Vec<u8>>(),
            mut seats in seats(),
        ) {
            let chunk = ChunkId::of(&bytes);
            let straight = ranking(&chunk, &seats, 3);
            seats.reverse();
            seats.extend_from_within(..1);
            prop_assert_eq!(straight, ranking(&chunk, &seats, 3));
        }

        #[test]
        fn a_disk_that_goes_moves_only_its_own_copies(
            bytes in any::<Vec<u8>>(),
            all in seats(),
            gone in 0_usize..4,
        ) {
            let chunk = ChunkId::of(&bytes);
            let mut left = all.clone();
            let gone = left.remove(gone).disk;
            let before = set(&homes(&chunk, &all, 3));
            let after = set(&homes(&chunk, &left, 3));
            prop_assert_eq!(after.len(), 3);
            let moved = after.difference(&before).count();
            prop_assert_eq!(moved, usize::from(before.contains(&gone)));
        }

        #[test]
        fn a_disk_that_comes_takes_at_most_one_copy(
            bytes in any::<Vec<u8>>(),
            before in seats(),
            zone in 0_u8..6,
        ) {
            let chunk = ChunkId::of(&bytes);
            let mut after = before.clone();
            after.push(seat(0, zone));
            let old = set(&homes(&chunk, &before, 3));
            let new = set(&homes(&chunk, &after, 3));
            let moved: Vec<_> = new.difference(&old).copied().collect();
            prop_assert!(moved.len() <= 1, "{:?}", moved);
            prop_assert!(moved.is_empty() || moved == [DiskId(0)]);
        }

        #[test]
        fn copies_lie_in_as_many_zones_as_there_are(
            bytes in any::<Vec<u8>>(),
            seats in seats(),
            copies in 1_usize..5,
        ) {
            let zones: BTreeSet<&str> = seats.iter().map(|seat| seat.zone.as_str()).collect();
            let homes = set(&homes(&ChunkId::of(&bytes), &seats, copies));
            let used: BTreeSet<&str> = seats
                .iter()
                .filter(|seat| homes.contains(&seat.disk))
                .map(|seat| seat.zone.as_str())
                .collect();
            prop_assert_eq!(homes.len(), copies.min(seats.len()));
            prop_assert_eq!(used.len(), copies.min(zones.len()));
        }
    }

    #[test]
    fn chunks_are_spread_evenly() {
        let seats: Vec<Seat> = (1..=5).map(|disk| DiskId(disk).into()).collect();
        let mut load = BTreeMap::<DiskId, u32>::new();
        for n in 0..5000_u32 {
            for disk in homes(&ChunkId::of(&n.to_be_bytes()), &seats, 3) {
                *load.entry(disk).or_default() += 1;
            }
        }
        for (disk, count) in load {
            assert!(
                (2800..3200).contains(&count),
                "{disk} holds {count} of 15000"
            );
        }
    }

    #[test]
    fn fewer_disks_than_copies_hold_all_there_are() {
        let two = [DiskId(1).into(), DiskId(2).into()];
        assert_eq!(homes(&ChunkId::of(b"x"), &two, 3).len(), 2);
        assert!(homes(&ChunkId::of(b"x"), &[], 3).is_empty());
    }
}
