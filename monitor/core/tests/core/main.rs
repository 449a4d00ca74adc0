//! One member driven from outside: inputs in, effects out, against a small obedient engine and broker.
//!
//! Worlds with many members, delays and losses are the simulator's (`planaria-sim`); here each rule has
//! its plainest case.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attacks;
mod bench;
mod codec;
mod detection;
mod election;
mod fences;
mod fuzz;
mod healing;
mod hosts;
mod intent;
mod outside;
mod policies;
mod requests;
mod rows;
mod rules;
mod watch;
