//! Three real nodes on the loopback, and what is done to them.

mod client;
mod damage;
mod failure;
mod intruders;
mod nodes;
mod protocol;
mod reads;
