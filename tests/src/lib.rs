//! What the end-to-end tests share: real containers through the `docker` command line, a deadline that
//! waits for conditions, and the stack under test.
//!
//! `scripts/test-stack run …` starts that stack (its own project, prefix and ports, see
//! `tests/config.ini`), runs the tests, shows the containers' logs where one fails, and removes all.
//!
//! - [`patience`]: wait for a condition, never for a time.
//! - [`docker`]: one command, its answer; what the engine's events told meanwhile.
//! - [`patients`]: containers of a test's own for the stack to heal.
//! - [`second`]: a second engine, which a test may stop.
//! - [`stack`]: the containers by name, their ports, their status.
//! - [`clients`]: HTTP and the S3 client that people have.

pub mod clients;
pub mod docker;
mod events;
pub mod patience;
pub mod patients;
pub mod second;
pub mod stack;
