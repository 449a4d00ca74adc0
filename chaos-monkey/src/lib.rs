//! The chaos monkey: breaks the stack on a timer or on a signal, proves that it did, and reports
//! whether the stack healed.
//!
//! What it does not do: heal. Whatever nobody healed in time, and whatever a killed monkey left behind,
//! it takes back by its ledger.
//!
//! - [`plan`] and [`target`] are pure: seed, scene and settings in, a choice or a reason out. The same
//!   seed gives the same plan.
//! - [`fault`] has one file per fault: how it is done, proven, undone.
//! - [`experiment`] runs files of the Chaos Toolkit; [`prove`] is the proof of the whole stack.
//! - [`helper`] is what runs in a container of its own inside the target's namespaces.
//! - [`ledger`] stands on disk before anything is done; [`report`] reads it.
//! - [`attack`] carries one out, [`monkey`] keeps them apart, [`run`] is the loop with timer and calls.
//! - [`bus`] obeys signed requests over the broker, and tells the journal of attacks.
//! - [`engine`] is all that is asked of Docker; tests put their own in its place. [`management`] is RabbitMQ.

pub mod attack;
pub mod bus;
pub mod clock;
pub mod dice;
pub mod engine;
pub mod experiment;
pub mod fault;
pub mod helper;
pub mod hours;
pub mod identity;
pub mod ledger;
pub mod management;
pub mod monkey;
mod percent;
pub mod plan;
pub mod prove;
pub mod report;
pub mod run;
pub mod target;
