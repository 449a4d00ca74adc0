//! How nodes talk to each other: framed, mutually authenticated connections.

mod admin;
mod client;
mod frame;
mod handshake;
mod link;
mod message;
mod server;

pub use admin::Admin;
pub use client::{Lane, PeerError, Peers};
pub use handshake::{Card, Secret};
pub use message::{Answer, Ask, Fault, NodeLine, NodeStatus};
pub use server::{Service, serve};
