//! A disk gives back other bytes than it was given.

use super::{About, Needs, Undo};
use std::time::Duration;

/// The role of those that keep chunks, in the generated stack.
pub(crate) const STORE: &str = "storage";
/// Where they keep them; `docs/storage.md` has the layout.
pub(crate) const CHUNKS: &str = "/data/chunks";

pub(super) const ABOUT: About = About {
    name: "bit-rot",
    what: "a few bytes are flipped in files under --path; a storage node's chunks where nothing is said",
    proof: "the files, read back, have other bytes",
    undo: Undo::Helper,
    needs: Needs::Processes,
    healed_by: "the monkey, after its time: bytes that are still the flipped ones; reads and scrubs of the store before that",
    heals: false,
    patience: Duration::from_secs(30),
};
