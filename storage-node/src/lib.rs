//! An S3-compatible object store of a few small nodes.
