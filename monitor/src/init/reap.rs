//! One place that waits for children: whoever else waited would lose to it, or steal from it.

use rustix::process::{Pid, WaitOptions, WaitStatus};
use std::collections::HashMap;
use std::io;
use std::process::Command;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Starts children and takes every end of any child, adopted ones included.
#[derive(Debug, Default)]
pub(super) struct Reaper {
    /// Children that somebody waits for, and how they ended.
    awaited: Mutex<HashMap<i32, Option<WaitStatus>>>,
    ended: Condvar,
}

impl Reaper {
    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Option<WaitStatus>>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a child. Under the lock, because the standard library waits for a child whose exec
    /// failed, and must find it.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<i32> {
        let _guard = self.lock();
        // Never waited for through this handle; dropping it does nothing.
        let child = command.spawn()?;
        i32::try_from(child.id()).map_err(io::Error::other)
    }

    /// Starts a child and waits for its end; kills it when the time is over (`None`).
    pub(super) fn run(
        &self,
        command: &mut Command,
        within: Duration,
    ) -> io::Result<Option<WaitStatus>> {
        let pid = {
            let mut awaited = self.lock();
            let child = command.spawn()?;
            let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
            awaited.insert(pid, None);
            pid
        };
        let unfinished = |awaited: &mut HashMap<i32, Option<WaitStatus>>| {
            awaited.get(&pid).is_some_and(Option::is_none)
        };
        let (mut awaited, _) = self
            .ended
            .wait_timeout_while(self.lock(), within, unfinished)
            .unwrap_or_else(PoisonError::into_inner);
        let status = awaited.remove(&pid).flatten();
        if status.is_none() {
            // Still ours, not reaped: the number cannot have gone to another process.
            crate::sys::kill(pid, libc::SIGKILL);
        }
        Ok(status)
    }

    /// Takes everything that ended, stopped or went on.
    pub(super) fn reap(&self) -> Vec<(i32, WaitStatus)> {
        let mut awaited = self.lock();
        let options = WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
        let mut changes = Vec::new();
        while let Ok(Some((pid, status))) = rustix::process::wait(options) {
            let pid = Pid::as_raw(Some(pid));
            let ended = !status.stopped() && !status.continued();
            if ended && let Some(slot) = awaited.get_mut(&pid) {
                *slot = Some(status);
                self.ended.notify_all();
            }
            changes.push((pid, status));
        }
        changes
    }
}
