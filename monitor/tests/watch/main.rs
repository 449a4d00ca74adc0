//! `monitor watch` on real containers of an engine of its own. Needs root and `dockerd`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers fail tests just as well

mod actions;
mod drop_in;
mod duty;
mod engine;
mod hooks;
mod ladder;
mod table;
mod world;
