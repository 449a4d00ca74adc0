//! Memory that is counted for the target, up to the kernel's kill.

use super::{MEBIBYTE, group_of, processes, read, write};
use crate::fault::{self, Fault};
use crate::helper::{Deed, Line, Task, say};
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Room below the limit that is set for a kill: more than the helper itself takes (some 25 MiB, of which half
/// is its program), for the kernel weighs each process against the limit.
const HEADROOM: u64 = 48 * MEBIBYTE;
/// Memory that one helper takes at most, limit or not.
const EATEN_MAX: u64 = 4096 * MEBIBYTE;
/// An out-of-memory kill is waited for so long.
const KILL_WITHIN: Duration = Duration::from_secs(5);

/// Memory that is counted for the target.
pub struct Eater {
    fault: Fault,
    folder: PathBuf,
    /// A file that is nowhere but in memory: counted for the group, and not for the helper's own size, by
    /// which the kernel would choose it.
    hoard: File,
    eaten: u64,
    limit_before: Option<String>,
    kills_before: u64,
    preferred: Vec<(PathBuf, String)>,
}

impl Eater {
    /// Joins the target's control group and takes memory.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn begin(task: &Task) -> Result<Self, String> {
        let folder = group_of("memory")?;
        let hoard = rustix::fs::memfd_create("planaria-chaos", MemfdFlags::CLOEXEC)
            .map_err(|error| format!("a file in memory: {error}"))?;
        let mut eater = Self {
            fault: task.fault,
            hoard: File::from(hoard),
            eaten: 0,
            limit_before: None,
            kills_before: 0,
            preferred: Vec::new(),
            folder,
        };
        eater.kills_before = eater.kills();
        write(&eater.folder.join("cgroup.procs"), "0")?;
        let used = eater
            .number(&["memory.usage_in_bytes", "memory.current"])
            .ok_or("the group's memory cannot be read")?;
        let limit = eater
            .number(&["memory.limit_in_bytes", "memory.max"])
            .filter(|limit| *limit < 1 << 60);
        let wanted = u64::from(task.dose.mebibytes.unwrap_or(fault::MEMORY_MEBIBYTES)) * MEBIBYTE;
        if task.fault == Fault::Oom {
            eater.prefer_target()?;
            let lower = used + HEADROOM;
            eater.tighten(limit.map_or(lower, |limit| limit.min(lower)))?;
            return Ok(eater);
        }
        let room = limit.map_or(wanted, |limit| {
            limit.saturating_sub(used) * u64::from(task.dose.percent.unwrap_or(90)) / 100
        });
        eater.eat(room.min(wanted.max(MEBIBYTE)).min(EATEN_MAX))?;
        Ok(eater)
    }

    fn tighten(&mut self, limit: u64) -> Result<(), String> {
        let file = limit_file(&self.folder);
        let before = read(&self.folder.join(file))?;
        say(&Line::Saved {
            saved: before.clone(),
        });
        self.limit_before = Some(before);
        write(&self.folder.join(file), &limit.to_string())
    }

    /// Gives the target's group the limit that it had, in the kernel's words.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn restore(saved: Option<&str>) -> Result<(), String> {
        let Some(before) = saved else { return Ok(()) };
        // No limit at all reads as a number that no kernel takes back.
        let unlimited = before.parse::<u64>().is_ok_and(|limit| limit >= 1 << 60);
        if !unlimited && before != "max" && before.parse::<u64>().is_err() {
            return Err(format!("{before:?} is no saved limit"));
        }
        let folder = group_of("memory")?;
        write(
            &folder.join(limit_file(&folder)),
            if unlimited { "-1" } else { before },
        )
    }

    /// The kernel is to choose the target, not the helper. Anybody may raise that number, and take it back.
    fn prefer_target(&mut self) -> Result<(), String> {
        for number in processes()? {
            let file = PathBuf::from(format!("/proc/{number}/oom_score_adj"));
            if let Ok(before) = read(&file) {
                write(&file, "1000")?;
                self.preferred.push((file, before));
            }
        }
        Ok(())
    }

    fn eat(&mut self, bytes: u64) -> Result<(), String> {
        let piece = vec![1; usize::try_from(MEBIBYTE).unwrap_or(0)];
        for _ in 0..bytes / MEBIBYTE {
            // Written to, so that it is really there.
            self.hoard
                .write_all(&piece)
                .map_err(|error| format!("memory: {error}"))?;
            self.eaten += MEBIBYTE;
        }
        Ok(())
    }

    fn let_go(&mut self) -> Result<(), String> {
        self.eaten = 0;
        self.hoard
            .set_len(0)
            .map_err(|error| format!("memory: {error}"))
    }

    fn number(&self, files: &[&str]) -> Option<u64> {
        files
            .iter()
            .find_map(|file| read(&self.folder.join(file)).ok()?.parse().ok())
    }

    /// How often the kernel killed in this group.
    fn kills(&self) -> u64 {
        ["memory.oom_control", "memory.events"]
            .iter()
            .find_map(|file| {
                let text = read(&self.folder.join(file)).ok()?;
                let line = text
                    .lines()
                    .find_map(|line| line.strip_prefix("oom_kill "))?;
                line.trim().parse().ok()
            })
            .unwrap_or(0)
    }
}

impl Deed for Eater {
    fn prove(&mut self) -> Result<String, String> {
        if self.fault != Fault::Oom {
            return Ok(format!(
                "{} MiB are counted for the target",
                self.eaten / MEBIBYTE
            ));
        }
        let until = Instant::now() + KILL_WITHIN;
        let mut last = Ok(());
        while self.kills() == self.kills_before && Instant::now() < until {
            if self.eaten >= EATEN_MAX {
                break;
            }
            last = self.eat(MEBIBYTE);
        }
        // One kill is the fault; with the limit as it was the victim can come back.
        self.revert()?;
        if self.kills() > self.kills_before {
            Ok("the kernel killed a process of the target for memory".to_owned())
        } else {
            last.and(Err("the kernel killed nobody".to_owned()))
        }
    }

    fn revert(&mut self) -> Result<(), String> {
        self.let_go()?;
        for (file, before) in self.preferred.drain(..) {
            // Who was killed has no such file any more.
            write(&file, &before).ok();
        }
        Self::restore(self.limit_before.take().as_deref())
    }
}

fn limit_file(folder: &Path) -> &'static str {
    if folder.join("memory.max").exists() {
        "memory.max"
    } else {
        "memory.limit_in_bytes"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_limit_that_is_none_is_refused() {
        assert!(Eater::restore(Some("plenty")).is_err());
        assert!(Eater::restore(None).is_ok());
    }
}
