//! Telling where two sets of chunks differ without naming every chunk.
//!
//! ```text
//!            root
//!     ┌───────┼── 16 ──┐
//!   branch  branch   branch        each the sum of what is below it
//!   ┌─┴ 16 ┐
//! range  range …                   256: by the first byte of a chunk's name
//! ```
//! A chunk's name is a digest already, so that a range's digest is the sum of its chunks' names:
//! it is kept up to date with one addition for each chunk that comes or goes, and two sets are
//! the same when their roots are. This finds what was lost or forgotten; it is no defence against
//! somebody who makes up names.

use crate::ChunkId;
use serde::{Deserialize, Serialize};

/// How many ranges there are.
pub const RANGES: usize = 256;
const BRANCH: usize = 16;

/// The digest of a set of chunks: how many, and the sum of their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    count: u64,
    sum: [u64; 4],
}

impl Digest {
    fn of(id: &ChunkId) -> Self {
        let mut sum = [0; 4];
        for (slot, bytes) in sum.iter_mut().zip(id.0.as_chunks::<8>().0) {
            *slot = u64::from_be_bytes(*bytes);
        }
        Self { count: 1, sum }
    }

    fn add(&mut self, other: &Self) {
        self.count = self.count.wrapping_add(other.count);
        for (slot, more) in self.sum.iter_mut().zip(other.sum) {
            *slot = slot.wrapping_add(more);
        }
    }

    fn sub(&mut self, other: &Self) {
        self.count = self.count.wrapping_sub(other.count);
        for (slot, less) in self.sum.iter_mut().zip(other.sum) {
            *slot = slot.wrapping_sub(less);
        }
    }

    /// How many chunks.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:", self.count)?;
        self.sum
            .iter()
            .try_for_each(|part| write!(f, "{part:016x}"))
    }
}

/// The digests of a set of chunks, range by range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    ranges: Vec<Digest>,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            ranges: vec![Digest::default(); RANGES],
        }
    }
}

/// The range that a chunk lies in.
#[must_use]
pub fn range_of(id: &ChunkId) -> u8 {
    id.0[0]
}

impl Tree {
    /// Takes a chunk in that is not in the set.
    pub fn insert(&mut self, id: &ChunkId) {
        if let Some(range) = self.ranges.get_mut(usize::from(range_of(id))) {
            range.add(&Digest::of(id));
        }
    }

    /// Takes a chunk out that is in the set.
    pub fn remove(&mut self, id: &ChunkId) {
        if let Some(range) = self.ranges.get_mut(usize::from(range_of(id))) {
            range.sub(&Digest::of(id));
        }
    }

    /// The digest of the whole set.
    #[must_use]
    pub fn root(&self) -> Digest {
        sum(&self.ranges)
    }

    /// The ranges in which two sets differ, found from the root downwards.
    #[must_use]
    pub fn differing(&self, other: &Self) -> Vec<u8> {
        if self.root() == other.root() && self.ranges == other.ranges {
            return Vec::new();
        }
        let mut found = Vec::new();
        let branches = self.ranges.chunks(BRANCH).zip(other.ranges.chunks(BRANCH));
        for (branch, (ours, theirs)) in branches.enumerate() {
            if ours == theirs {
                continue;
            }
            for (leaf, (our, their)) in ours.iter().zip(theirs).enumerate() {
                if our != their {
                    found.extend(u8::try_from(branch * BRANCH + leaf));
                }
            }
        }
        found
    }
}

fn sum(digests: &[Digest]) -> Digest {
    let mut whole = Digest::default();
    for digest in digests {
        whole.add(digest);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn tree(chunks: &BTreeSet<u16>) -> Tree {
        let mut tree = Tree::default();
        for n in chunks {
            tree.insert(&name(*n));
        }
        tree
    }

    fn name(n: u16) -> ChunkId {
        ChunkId::of(&n.to_be_bytes())
    }

    proptest! {
        #[test]
        fn trees_differ_exactly_where_the_sets_do(
            ours in prop::collection::btree_set(any::<u16>(), 0..200),
            theirs in prop::collection::btree_set(any::<u16>(), 0..200),
        ) {
            let expected: BTreeSet<u8> = ours
                .symmetric_difference(&theirs)
                .map(|n| range_of(&name(*n)))
                .collect();
            let found: BTreeSet<u8> = tree(&ours).differing(&tree(&theirs)).into_iter().collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn what_comes_and_goes_leaves_nothing_behind(
            stays in prop::collection::btree_set(any::<u16>(), 0..100),
            goes in prop::collection::btree_set(any::<u16>(), 0..100),
        ) {
            let mut both = tree(&stays);
            for n in goes.difference(&stays) {
                both.insert(&name(*n));
            }
            for n in goes.difference(&stays) {
                both.remove(&name(*n));
            }
            prop_assert_eq!(both.root(), tree(&stays).root());
            prop_assert_eq!(both.root().count(), stays.len() as u64);
        }
    }
}
