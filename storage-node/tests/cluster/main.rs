//! Three real nodes on the loopback, and what is done to them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod client;
#[cfg(feature = "client-tests")]
mod clients;
mod cuts;
mod damage;
mod failure;
mod hostile;
mod intruders;
mod layout;
mod linear;
mod named;
mod nodes;
mod protocol;
mod reads;
#[cfg(feature = "soak-test")]
mod soak;
mod verbs;
mod versions;
