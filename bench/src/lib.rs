//! Benchmarks against floors and peers, as ratios in one run.
