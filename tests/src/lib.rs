//! End to end: real containers, a real broker, real clients.
