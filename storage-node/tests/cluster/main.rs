//! Three real nodes on the loopback, and what is done to them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod client;
mod damage;
mod failure;
mod intruders;
mod nodes;
mod protocol;
mod reads;
