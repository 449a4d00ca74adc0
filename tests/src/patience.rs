//! Waiting for conditions.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// How often a condition is looked at: often enough not to add to a recovery that is measured, seldom
/// enough not to slow it down on two cores.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// For what takes the system seconds on a quiet machine; generous, because machines are shared.
pub const SOON: Duration = Duration::from_secs(90);

/// Looks until `condition` gives something.
///
/// # Errors
/// When `deadline` is over, with the last reason that the condition gave for not being met.
pub fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Result<T>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        match condition() {
            Ok(found) => return Ok(found),
            Err(reason) if start.elapsed() > deadline => {
                bail!("after {:?} still not: {what}: {reason:#}", start.elapsed())
            }
            Err(_) => std::thread::park_timeout(LOOK_EVERY),
        }
    }
}

/// Looks for all of `span` that `condition` goes on to hold.
///
/// # Errors
/// As soon as it does not, with its reason.
pub fn always(what: &str, span: Duration, mut condition: impl FnMut() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < span {
        condition().map_err(|reason| {
            reason.context(format!("after {:?} no longer: {what}", start.elapsed()))
        })?;
        std::thread::park_timeout(LOOK_EVERY);
    }
    Ok(())
}
