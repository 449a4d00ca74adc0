//! The decisions of the storage node: chunks, manifests, placement, quorum, repair.
