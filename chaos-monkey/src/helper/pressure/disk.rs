//! A file that takes the room of a file system.

use super::{MEBIBYTE, inside};
use crate::helper::{Deed, Task};
use rustix::fs::{FallocateFlags, Mode, OFlags};
use std::fs::File;
use std::io::Write;

/// On a file system of more than [`BIG`] so much stays free: it may be the engine's own.
const FLOOR: u64 = 2048 * MEBIBYTE;
const BIG: u64 = 4096 * MEBIBYTE;

/// A file that takes the room of a file system.
pub struct Ballast {
    attack: String,
    path: String,
}

impl Ballast {
    /// Writes it.
    ///
    /// # Errors
    /// What the file system refused.
    pub fn begin(task: &Task) -> Result<Self, String> {
        let ballast = Self {
            attack: task.attack.clone(),
            path: task.dose.path.clone().unwrap_or_else(|| "/".to_owned()),
        };
        let folder = inside(&ballast.path)?;
        let share = u64::from(task.dose.percent.unwrap_or(100).min(100));
        let take = room(&folder)? * share / 100;
        if take == 0 {
            let (_, free) = space(&folder)?;
            return Err(format!(
                "{} has {} MiB free; on a disk of more than {} MiB, {} MiB stay free",
                ballast.path,
                free / MEBIBYTE,
                BIG / MEBIBYTE,
                FLOOR / MEBIBYTE
            ));
        }
        let failed = |error: rustix::io::Errno| format!("{}: {error}", ballast.path);
        let file = rustix::fs::openat(
            &folder,
            name(&ballast.attack),
            OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::RUSR,
        )
        .map_err(failed)?;
        if rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, take).is_err() {
            // No such call on this file system, or less room than it said: write until it is full.
            let mut file = File::from(file);
            let block = vec![0_u8; 1 << 16];
            let mut left = take;
            while left > 0 {
                let part = usize::try_from(left)
                    .unwrap_or(block.len())
                    .min(block.len());
                match file.write(&block[..part]) {
                    Ok(0) | Err(_) => break,
                    Ok(written) => {
                        left = left.saturating_sub(u64::try_from(written).unwrap_or(left));
                    }
                }
            }
        }
        Ok(ballast)
    }

    /// Removes it, where it is there.
    ///
    /// # Errors
    /// What the file system said.
    pub fn clear(task: &Task) -> Result<(), String> {
        let path = task.dose.path.clone().unwrap_or_else(|| "/".to_owned());
        remove(&path, &name(&task.attack))
    }
}

impl Deed for Ballast {
    fn prove(&mut self) -> Result<String, String> {
        let (_, free) = space(&inside(&self.path)?)?;
        Ok(format!("{} has {} MiB free", self.path, free / MEBIBYTE))
    }

    fn revert(&mut self) -> Result<(), String> {
        remove(&self.path, &name(&self.attack))
    }
}

fn name(attack: &str) -> String {
    format!(".planaria-ballast-{attack}")
}

/// Removes a file of ours from a folder of the target; fine where it is not there.
pub(super) fn remove(path: &str, name: &str) -> Result<(), String> {
    let folder = inside(path)?;
    match rustix::fs::unlinkat(&folder, name, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(format!("{name} in {path} cannot be removed: {error}")),
    }
}

/// What may be taken of a folder's file system.
pub(super) fn room(folder: &std::os::fd::OwnedFd) -> Result<u64, String> {
    let (total, free) = space(folder)?;
    let floor = if total > BIG { FLOOR } else { 0 };
    Ok(free.saturating_sub(floor))
}

fn space(folder: &std::os::fd::OwnedFd) -> Result<(u64, u64), String> {
    let stat = rustix::fs::fstatvfs(folder).map_err(|error| error.to_string())?;
    Ok((stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize))
}
