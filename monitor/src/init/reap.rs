//! One place that waits for children: whoever else waited would lose to it, or steal from it.

use crate::sys;
use rustix::process::{Pid, WaitOptions, WaitStatus};
use std::collections::{HashMap, HashSet};
use std::io;
use std::process::{Child, Command};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Debug, Default)]
struct State {
    /// Children that somebody waits for, and how they ended.
    awaited: HashMap<i32, Option<WaitStatus>>,
    /// Started or named to us, and not reaped: such a number belongs to nobody else.
    living: HashSet<i32>,
}

/// Starts children and takes every end of any child, adopted ones included.
#[derive(Debug, Default)]
pub(super) struct Reaper {
    state: Mutex<State>,
    ended: Condvar,
}

impl Reaper {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a child. Under the lock, because the standard library waits for a child whose exec
    /// failed, and must find it. The handle is for its pipes only, never to be waited for.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<(i32, Child)> {
        let mut state = self.lock();
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        state.living.insert(pid);
        Ok((pid, child))
    }

    /// Notes a process that is, or will be, ours to reap.
    pub(super) fn know(&self, pid: i32) {
        self.lock().living.insert(pid);
    }

    pub(super) fn lives(&self, pid: i32) -> bool {
        self.lock().living.contains(&pid)
    }

    /// Sends a signal to one that is not reaped yet; false where it is.
    pub(super) fn kill(&self, pid: i32, signal: i32) -> bool {
        let state = self.lock();
        state.living.contains(&pid) && sys::kill(pid, signal)
    }

    /// Starts a child in a group of its own and waits for its end; kills the group when the time is over (`None`).
    pub(super) fn run(
        &self,
        command: &mut Command,
        within: Duration,
    ) -> io::Result<Option<WaitStatus>> {
        let pid = {
            let mut state = self.lock();
            let child = command.spawn()?;
            let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
            state.awaited.insert(pid, None);
            pid
        };
        let unfinished = |state: &mut State| state.awaited.get(&pid).is_some_and(Option::is_none);
        let (mut state, _) = self
            .ended
            .wait_timeout_while(self.lock(), within, unfinished)
            .unwrap_or_else(PoisonError::into_inner);
        let status = state.awaited.remove(&pid).flatten();
        if status.is_none() {
            // Still ours, not reaped: the number cannot have gone to another process.
            sys::kill_group(pid, libc::SIGKILL);
            sys::kill(pid, libc::SIGKILL);
        }
        Ok(status)
    }

    /// Takes everything that ended, stopped or went on.
    pub(super) fn reap(&self) -> Vec<(i32, WaitStatus)> {
        let mut state = self.lock();
        let options = WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
        let mut changes = Vec::new();
        while let Ok(Some((pid, status))) = rustix::process::wait(options) {
            let pid = Pid::as_raw(Some(pid));
            let ended = !status.stopped() && !status.continued();
            if ended {
                state.living.remove(&pid);
                if let Some(slot) = state.awaited.get_mut(&pid) {
                    *slot = Some(status);
                    self.ended.notify_all();
                }
            }
            changes.push((pid, status));
        }
        changes
    }
}
