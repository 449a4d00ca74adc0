//! Median, 95th percentile and maximum.

use serde::Serialize;

/// Of some times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// How many.
    pub count: usize,
    /// Half took no longer.
    pub median: u64,
    /// 95 of 100 took no longer.
    pub p95: u64,
    /// None took longer.
    pub max: u64,
}

impl Spread {
    /// `None` where there is nothing to measure.
    #[must_use]
    pub fn of(mut times: Vec<u64>) -> Option<Self> {
        times.sort_unstable();
        Some(Self {
            count: times.len(),
            median: at(&times, 50)?,
            p95: at(&times, 95)?,
            max: *times.last()?,
        })
    }
}

/// The nearest rank.
fn at(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_the_nearest() {
        let spread = Spread::of((1..=100).rev().collect()).unwrap();
        assert_eq!(
            (spread.median, spread.p95, spread.max, spread.count),
            (50, 95, 100, 100)
        );
        let one = Spread::of(vec![7]).unwrap();
        assert_eq!((one.median, one.p95, one.max), (7, 7, 7));
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
