//! The monkey's loop against an engine of our own, and (feature `engine-tests`) against Docker.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "engine-tests")]
mod docker;
mod engine;
mod monkey;
