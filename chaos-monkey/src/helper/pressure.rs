//! Pressure on one container: its memory, its disk, its files, its descriptors, one of its processes.
//!
//! The helper shares the target's process namespace here: the target's first process is its `/proc/1`.

mod busy;
mod descriptors;
mod disk;
mod frozen;
mod memory;
mod rot;

pub use busy::Busy;
pub use descriptors::Descriptors;
pub use disk::Ballast;
pub use frozen::Frozen;
pub use memory::Eater;
pub use rot::Rot;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::path::{Path, PathBuf};

/// Where the helper sees the host's control groups.
pub const CGROUPS: &str = "/cgroup";
const MEBIBYTE: u64 = 1 << 20;

/// The target's processes, without ourselves, by number.
fn processes() -> Result<Vec<i32>, String> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let entries = std::fs::read_dir("/proc").map_err(|error| error.to_string())?;
    let mut all: Vec<i32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own)
        .collect();
    all.sort_unstable();
    Ok(all)
}

fn read(path: &Path) -> Result<String, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.trim().to_owned())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// A folder of the target, found the way that the target finds it: links cannot lead out of it.
fn inside(path: &str) -> Result<std::os::fd::OwnedFd, String> {
    let failed = |error: rustix::io::Errno| format!("{path} of the target: {error}");
    let root = rustix::fs::open(
        "/proc/1/root",
        OFlags::PATH | OFlags::DIRECTORY,
        Mode::empty(),
    )
    .map_err(failed)?;
    rustix::fs::openat2(
        &root,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT,
    )
    .map_err(failed)
}

/// The folder of the target's group for a controller; the same one for all of them in the newer kind of groups.
fn group_of(controller: &str) -> Result<PathBuf, String> {
    let text = read(Path::new("/proc/1/cgroup"))?;
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        let hierarchy = match controllers {
            "" => Path::new(CGROUPS).to_owned(),
            list if list.split(',').any(|name| name == controller) => {
                Path::new(CGROUPS).join(controller)
            }
            _ => continue,
        };
        let folder = hierarchy.join(path.trim_start_matches('/'));
        if folder.join("cgroup.procs").exists() && path.len() > 1 {
            return Ok(folder);
        }
    }
    Err(format!(
        "the target's {controller} group is not found under /sys/fs/cgroup"
    ))
}
