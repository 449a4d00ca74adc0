//! One process of the target stands still, the others go on.

use super::{processes, read};
use crate::helper::{Deed, Line, Task, say};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::{Duration, Instant};

/// One process stands still, the others go on.
pub struct Frozen {
    saved: String,
}

impl Frozen {
    /// Stops the youngest process of the target that is not its first.
    ///
    /// # Errors
    /// Where it has only one.
    pub fn begin(_task: &Task) -> Result<Self, String> {
        let chosen = processes()?.into_iter().rfind(|pid| *pid != 1);
        let number =
            chosen.ok_or("the target has only its first process; the fault hang stops that one")?;
        let began = began(number).ok_or("it ended meanwhile")?;
        let saved = format!("{number}={began}");
        say(&Line::Saved {
            saved: saved.clone(),
        });
        signal(number, Signal::STOP)?;
        Ok(Self { saved })
    }

    /// Lets it go on, where it is still the same one.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn thaw(saved: Option<&str>) -> Result<(), String> {
        let Some((number, at)) = saved.and_then(|saved| saved.split_once('=')) else {
            return Ok(());
        };
        let number: i32 = number
            .parse()
            .map_err(|_| format!("{number:?} is no process"))?;
        if began(number).is_some_and(|now| now == at) {
            signal(number, Signal::CONT)?;
        }
        Ok(())
    }
}

impl Deed for Frozen {
    fn prove(&mut self) -> Result<String, String> {
        let number = self.saved.split('=').next().unwrap_or_default();
        let until = Instant::now() + Duration::from_secs(1);
        loop {
            let stat = read(Path::new(&format!("/proc/{number}/stat")))?;
            let state = stat
                .rsplit_once(") ")
                .map(|(_, rest)| rest.chars().next().unwrap_or(' '));
            if state == Some('T') {
                let name = read(Path::new(&format!("/proc/{number}/comm"))).unwrap_or_default();
                return Ok(format!("process {number} ({name}) is stopped"));
            }
            if Instant::now() > until {
                return Err(format!("process {number} goes on"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn revert(&mut self) -> Result<(), String> {
        Self::thaw(Some(&self.saved))
    }
}

fn signal(number: i32, signal: Signal) -> Result<(), String> {
    let pid = Pid::from_raw(number).ok_or("0 is no process")?;
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(format!("process {number} cannot be signalled: {error}")),
    }
}

/// When a process began, in the kernel's ticks: tells it from a later one with the same number.
fn began(number: i32) -> Option<String> {
    let stat = read(Path::new(&format!("/proc/{number}/stat"))).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_and_is_none_is_refused() {
        assert!(Frozen::thaw(Some("x=1")).is_err());
        assert!(Frozen::thaw(None).is_ok());
    }
}
