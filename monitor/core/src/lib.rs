//! The decisions of Planaria as pure state machines: who is alive, who leads, who is brought back.
//!
//! Nothing here opens a socket, reads a clock or rolls a die. [`node::Node`] takes an
//! [`input::Input`] together with the time and returns [`effect::Effect`]s; a driver turns the world
//! into inputs and effects into calls. The same code therefore runs in the containers, in the seeded
//! simulator and in the model checker.
//!
//! - [`id`], [`time`]: identities, counters and the monotonic number that stands for time.
//! - [`settings`]: every key that a person can set.
//! - [`message`], [`codec`]: what members say to each other, and how it is signed.
//! - [`engine`]: what the container engine knows, in our words.
//! - [`input`], [`effect`]: all that goes in and all that comes out.
//! - [`node`]: the state machine of one member, where `detector`, `election` and `supervisor` meet.

#[cfg(feature = "group")]
pub mod codec;
#[cfg(feature = "group")]
mod detector;
#[cfg(feature = "group")]
pub mod effect;
#[cfg(feature = "group")]
mod election;
#[cfg(feature = "group")]
pub mod engine;
#[cfg(feature = "group")]
pub mod id;
#[cfg(feature = "group")]
pub mod input;
#[cfg(feature = "group")]
pub mod message;
#[cfg(feature = "group")]
pub mod node;
#[cfg(feature = "group")]
mod out;
#[cfg(feature = "group")]
mod sabotage;
#[cfg(feature = "group")]
pub mod settings;
#[cfg(feature = "group")]
pub mod status;
#[cfg(feature = "group")]
mod supervisor;
#[cfg(feature = "group")]
pub mod time;
pub mod watchdog;

#[cfg(feature = "sabotage")]
pub use sabotage::Sabotage;
