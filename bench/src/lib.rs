//! What the benchmarks share: the engine's events with the time of their arrival, spreads, results on disk.
//!
//! - [`events`]: one listener for all that a measurement waits for.
//! - [`figures`]: medians and percentiles, ratios, and where results are written.

pub mod events;
pub mod figures;
