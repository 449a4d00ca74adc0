//! Chance that can be repeated: the same seed gives the same throws, in every version and on every machine.

/// SplitMix64 (Steele, Lea, Flood 2014), written out so that no library's change alters old plans.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice of one attack: its throws depend on the seed and its number, not on what happened before.
    #[must_use]
    pub fn of(seed: u64, number: u64) -> Self {
        let mut dice = Self(seed);
        let base = dice.throw();
        Self(base ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The next 64 random bits.
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`, 0 for a bound of 0. Its bias is below one in 2^32 for bounds below 2^32.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.throw()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// One of them; `None` where there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = self.below(u64::try_from(items.len()).unwrap_or(u64::MAX));
        items.get(usize::try_from(index).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_throws_of_seed_zero_are_the_published_ones() {
        // Reference values of SplitMix64 with state 0.
        let mut dice = Dice(0);
        assert_eq!(dice.throw(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(dice.throw(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn every_face_comes_up_and_none_beyond() {
        let mut seen = [0_u32; 6];
        for number in 0..6000 {
            let face = Dice::of(7, number).below(6);
            seen[usize::try_from(face).unwrap()] += 1;
        }
        assert!(
            seen.iter().all(|count| (800..1200).contains(count)),
            "{seen:?}"
        );
    }

    #[test]
    fn nothing_is_picked_from_nothing() {
        assert_eq!(Dice::of(1, 1).pick::<u8>(&[]), None);
    }
}
