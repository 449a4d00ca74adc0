//! Pressure on one container: its memory, its disk, its descriptors, one of its processes.
//!
//! The helper shares the target's process namespace here: the target's first process is its `/proc/1`.

mod descriptors;
mod disk;
mod frozen;
mod memory;

pub use descriptors::Descriptors;
pub use disk::Ballast;
pub use frozen::Frozen;
pub use memory::Eater;

use std::path::Path;

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
