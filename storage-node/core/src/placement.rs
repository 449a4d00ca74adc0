//! Which disks a chunk belongs on: rendezvous hashing.
//!
//! Each pair of chunk and disk has a score; the chunk belongs on the disks of the highest scores.
//! When a disk comes or goes, only chunks that rank it among their first move, and no table has
//! to be agreed on.

use crate::{ChunkId, DiskId};

/// All disks in the order in which this chunk prefers them.
#[must_use]
pub fn ranking(chunk: &ChunkId, disks: &[DiskId]) -> Vec<DiskId> {
    let mut scored: Vec<(u64, DiskId)> = disks
        .iter()
        .map(|disk| (score(chunk, *disk), *disk))
        .collect();
    scored.sort_unstable_by(|a, b| b.cmp(a));
    scored.dedup();
    scored.into_iter().map(|(_, disk)| disk).collect()
}

/// The disks that this chunk belongs on: the first `copies` of its ranking, fewer when there are
/// fewer disks.
#[must_use]
pub fn homes(chunk: &ChunkId, disks: &[DiskId], copies: usize) -> Vec<DiskId> {
    let mut ranked = ranking(chunk, disks);
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

    proptest! {
        #[test]
        fn order_and_repetition_of_the_disks_do_not_matter(
            bytes in any::<Vec<u8>>(),
            mut ids in prop::collection::vec(any::<u64>(), 1..12),
        ) {
            let chunk = ChunkId::of(&bytes);
            let disks: Vec<_> = ids.iter().copied().map(DiskId).collect();
            ids.reverse();
            ids.extend_from_within(..1);
            let turned: Vec<_> = ids.into_iter().map(DiskId).collect();
            prop_assert_eq!(ranking(&chunk, &disks), ranking(&chunk, &turned));
        }

        #[test]
        fn a_disk_that_goes_moves_only_its_own_copies(
            bytes in any::<Vec<u8>>(),
            ids in prop::collection::btree_set(any::<u64>(), 4..12),
            gone in 0_usize..4,
        ) {
            let chunk = ChunkId::of(&bytes);
            let all: Vec<_> = ids.into_iter().map(DiskId).collect();
            let mut left = all.clone();
            let gone = left.remove(gone);
            let before = set(&homes(&chunk, &all, 3));
            let after = set(&homes(&chunk, &left, 3));
            prop_assert_eq!(after.len(), 3);
            let moved = after.difference(&before).count();
            prop_assert_eq!(moved, usize::from(before.contains(&gone)));
        }

        #[test]
        fn a_disk_that_comes_takes_at_most_one_copy(
            bytes in any::<Vec<u8>>(),
            ids in prop::collection::btree_set(1_u64.., 3..12),
        ) {
            let chunk = ChunkId::of(&bytes);
            let before: Vec<_> = ids.into_iter().map(DiskId).collect();
            let mut after = before.clone();
            after.push(DiskId(0));
            let old = set(&homes(&chunk, &before, 3));
            let new = set(&homes(&chunk, &after, 3));
            let moved: Vec<_> = new.difference(&old).copied().collect();
            prop_assert!(moved.is_empty() || moved == [DiskId(0)]);
        }
    }

    #[test]
    fn chunks_are_spread_evenly() {
        let disks: Vec<_> = (1..=5).map(DiskId).collect();
        let mut load = BTreeMap::<DiskId, u32>::new();
        for n in 0..5000_u32 {
            for disk in homes(&ChunkId::of(&n.to_be_bytes()), &disks, 3) {
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
        assert_eq!(
            homes(&ChunkId::of(b"x"), &[DiskId(1), DiskId(2)], 3).len(),
            2
        );
        assert!(homes(&ChunkId::of(b"x"), &[], 3).is_empty());
    }
}
