//! The walkthrough of a person's first hour, on real containers. One at a time: each test breaks the
//! same stack and waits until it is whole again before it hands it on.

mod alone;
mod broker;
mod chaos;
mod console;
mod death;
mod experiments;
mod hang;
mod intent;
mod leader;
mod page;
mod prove;
mod soak;
mod store;
