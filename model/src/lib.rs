//! Two small models of the group, explored completely: every order in which messages, faults and time
//! can fall, not a sample of them as in the simulator.
//!
//! - [`election`]: the token, leases and hand-overs of three members. At most one may use force.
//! - [`orders`]: what is done with that force. No container is forced twice at a time, nor in another
//!   life than the one that was judged.
//!
//! They are abstractions, written beside the core and not made of it: the core's state holds the time and
//! cannot be compared for equality. What ties them together is `tests/core.rs`, which walks a member of
//! the model and the core's own machine through the same inputs and compares when they allow force.
//!
//! Bounds, the same in both: three members; one of each fault ([`election::Budget`],
//! [`orders::Budget`]); time in ticks of one second, a `LEADER_BEAT_INTERVAL`, with any number of events
//! in any order within a tick.

pub mod election;
pub mod orders;
