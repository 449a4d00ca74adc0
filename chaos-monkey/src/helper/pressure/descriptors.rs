//! No process of the target may open anything more.

use super::{processes, read};
use crate::helper::{Deed, Line, Task, say};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::path::Path;

/// No process of the target may open anything more.
pub struct Descriptors {
    saved: String,
}

impl Descriptors {
    /// Lowers each process's soft limit to what it has open.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn begin(_task: &Task) -> Result<Self, String> {
        let mut saved = String::new();
        let mut lowered = Vec::new();
        for number in processes()? {
            let Some(pid) = Pid::from_raw(number) else {
                continue;
            };
            let Ok(open) = std::fs::read_dir(format!("/proc/{number}/fd")).map(Iterator::count)
            else {
                continue;
            };
            let Ok(text) = read(Path::new(&format!("/proc/{number}/limits"))) else {
                continue;
            };
            let Some((soft, hard)) = limits(&text) else {
                continue;
            };
            saved += &format!("{number}={},{};", text_of(soft), text_of(hard));
            lowered.push((
                pid,
                Rlimit {
                    current: u64::try_from(open).ok(),
                    maximum: hard,
                },
            ));
        }
        say(&Line::Saved {
            saved: saved.clone(),
        });
        for (pid, limit) in lowered {
            prlimit(Some(pid), Resource::Nofile, limit)
                .map_err(|error| format!("limits of process {pid:?}: {error}"))?;
        }
        Ok(Self { saved })
    }

    /// Gives the limits back.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn restore(saved: Option<&str>) -> Result<(), String> {
        for entry in saved
            .unwrap_or_default()
            .split(';')
            .filter(|entry| !entry.is_empty())
        {
            let parsed = entry.split_once('=').and_then(|(pid, rest)| {
                let (soft, hard) = rest.split_once(',')?;
                let pid = Pid::from_raw(pid.parse().ok()?)?;
                Some((
                    pid,
                    Rlimit {
                        current: soft.parse().ok(),
                        maximum: hard.parse().ok(),
                    },
                ))
            });
            let Some((pid, limit)) = parsed else {
                return Err(format!("{entry:?} is no saved limit"));
            };
            match prlimit(Some(pid), Resource::Nofile, limit) {
                Ok(_) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(format!("limits of process {pid:?}: {error}")),
            }
        }
        Ok(())
    }
}

fn text_of(limit: Option<u64>) -> String {
    limit.map_or("unlimited".to_owned(), |limit| limit.to_string())
}

/// Soft and hard limit of open files from `/proc/PID/limits`.
fn limits(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    let mut fields = line.split_whitespace();
    let (soft, hard) = (fields.next()?, fields.next()?);
    Some((soft.parse().ok(), hard.parse().ok()))
}

impl Deed for Descriptors {
    fn prove(&mut self) -> Result<String, String> {
        let count = self
            .saved
            .split(';')
            .filter(|entry| !entry.is_empty())
            .count();
        let text = read(Path::new("/proc/1/limits"))?;
        match limits(&text) {
            Some((soft, hard)) if soft < hard || soft.is_some_and(|soft| soft < 1000) => {
                Ok(format!(
                    "{count} processes may open no more files than they have ({})",
                    text_of(soft)
                ))
            }
            _ => Err("the limits are as they were".to_owned()),
        }
    }

    fn revert(&mut self) -> Result<(), String> {
        Self::restore(Some(&self.saved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_from_the_kernels_table() {
        let text = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(limits(text), Some((Some(1024), Some(524_288))));
        assert_eq!(
            limits("Max open files unlimited unlimited files"),
            Some((None, None))
        );
        assert_eq!(limits(""), None);
    }

    #[test]
    fn a_saved_limit_that_is_none_is_refused() {
        assert!(Descriptors::restore(Some("nonsense")).is_err());
        assert!(Descriptors::restore(None).is_ok());
    }
}
