//! How long a disk has been at what it does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A write that takes so long makes the disk a slow one, until it is done.
const SLOW: Duration = Duration::from_secs(5);

/// Since when the one thread that writes a kind of file is at what it does now.
#[derive(Clone, Debug, Default)]
pub struct Pace(Arc<Mutex<Option<Instant>>>);

impl Pace {
    /// Notes the beginning of some work on the disk, and its end.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        self.set(Some(Instant::now()));
        let done = work();
        self.set(None);
        done
    }

    /// Whether what is under way takes too long.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() >= SLOW)
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Pretends that a write hangs since long, or is over.
    #[cfg(test)]
    pub(crate) fn pretend(&self, slow: bool) {
        self.set(slow.then(|| Instant::now().checked_sub(SLOW)).flatten());
    }
}
