//! An S3-compatible object store of a few small nodes.
//!
//! Every node answers for all of them. Objects are cut into chunks that lie on several disks; what
//! the objects are is agreed on by Raft. The decisions are in `planaria-storage-core`; here are
//! the disk ([`disk`]), the other nodes ([`peer`]), the log ([`meta`]), the S3 front and the
//! workers that repair.

pub mod admin;
pub mod config;
pub mod data;
pub mod disk;
pub mod force;
#[cfg(test)]
mod fuzz;
pub mod identity;
pub mod line;
pub mod meta;
pub mod monitor;
pub mod node;
pub mod peer;
pub mod s3;
pub mod work;
