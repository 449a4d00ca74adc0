//! Figures out of many measurements, and where they are kept.

use anyhow::{Context, Result};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// Milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Spread {
    /// How many measurements.
    pub count: usize,
    /// Half of them took no longer.
    pub median: f64,
    /// 95 of 100 took no longer (nearest rank).
    pub p95: f64,
    /// The longest.
    pub max: f64,
}

impl Spread {
    /// # Errors
    /// Where there is nothing to take a median of.
    pub fn of(times: &[Duration]) -> Result<Self> {
        let mut ms: Vec<f64> = times
            .iter()
            .map(|time| time.as_secs_f64() * 1000.0)
            .collect();
        ms.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let rank = (ms.len() * percent).div_ceil(100).saturating_sub(1);
            ms.get(rank).copied().context("nothing was measured")
        };
        Ok(Self {
            count: ms.len(),
            median: at(50)?,
            p95: at(95)?,
            max: at(100)?,
        })
    }

    /// Median, 95th percentile and maximum as three columns.
    #[must_use]
    pub fn columns(&self) -> String {
        format!("{:>8.0} {:>8.0} {:>8.0}", self.median, self.p95, self.max)
    }
}

/// Ours by theirs.
#[must_use]
pub fn ratio(ours: f64, theirs: f64) -> f64 {
    if theirs > 0.0 { ours / theirs } else { 0.0 }
}

/// Writes the results below `target/bench` and says where.
///
/// # Errors
/// Where the file cannot be written.
pub fn keep(name: &str, results: &impl Serialize) -> Result<PathBuf> {
    let folder =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let folder = folder.join("bench");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{name}.json"));
    std::fs::write(&path, format!("{:#}\n", serde_json::to_value(results)?))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measurements_that_were_made() {
        let times: Vec<Duration> = (1..=40).map(Duration::from_millis).collect();
        let spread = Spread::of(&times).ok();
        let spread = spread.map(|spread| (spread.median, spread.p95, spread.max));
        assert_eq!(spread, Some((20.0, 38.0, 40.0)));
        assert!(Spread::of(&[]).is_err());
    }
}
