//! A disk that is written to without a pause, at the target's expense.

use super::disk::{remove, room};
use super::{MEBIBYTE, group_of, inside, read};
use crate::dice::Dice;
use crate::fault::IO_MEBIBYTES;
use crate::helper::{Deed, Task, lock};
use crate::plan::attack_seed;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One write, with a sync behind it: large enough to keep a disk busy, small enough to be stopped at once.
const BLOCK: usize = 1 << 20;
/// What writes past the page cache must be aligned to on any disk of today.
const ALIGN: usize = 4096;
/// In these the helper counts as the target: its writes, and the pages that they pass through.
const GROUPS: [&str; 2] = ["blkio", "memory"];
/// So much is certainly the fault and not the helper's own start.
const PROOF: u64 = 4 * MEBIBYTE;
/// A group's own count comes with the end of each write; where it does not come so soon, this kernel keeps none …
const COUNTED_WITHIN: Duration = Duration::from_millis(1500);
/// … and a disk that takes less than [`PROOF`] in this time is busy by itself.
const PROVEN_WITHIN: Duration = Duration::from_secs(4);
/// The folder where nothing is said, where there is one: the root of a container of ours is read-only.
const DATA: &str = "/data";

/// A disk that is written to without a pause.
pub struct Busy {
    attack: String,
    path: String,
    size: u64,
    /// The group that block devices count for.
    group: PathBuf,
    counted_before: u64,
    written_before: u64,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    broken: Arc<Mutex<Option<String>>>,
    writer: Option<JoinHandle<()>>,
}

impl Busy {
    /// Joins the target's control groups and begins to write.
    ///
    /// # Errors
    /// What the kernel or the file system refused.
    pub fn begin(task: &Task) -> Result<Self, String> {
        let path = folder(task);
        let opened = inside(&path)?;
        let wanted = u64::from(task.dose.mebibytes.unwrap_or(IO_MEBIBYTES)) * MEBIBYTE;
        // At most half of what is free: a disk that is full is another fault.
        let size = (room(&opened)? / 2).min(wanted) / MEBIBYTE * MEBIBYTE;
        if size == 0 {
            return Err(format!("{path} has no room for a file of 1 MiB"));
        }
        // Before the writer is made: a thread begins in the groups of its process.
        let mut joined = None;
        for group in GROUPS {
            let Ok(folder) = group_of(group) else {
                continue;
            };
            super::write(&folder.join("cgroup.procs"), "0")?;
            joined = joined.or(Some(folder));
        }
        let group = joined.ok_or("the target's control group is not found under /sys/fs/cgroup")?;
        let file = create(&opened, &name(&task.attack)).map_err(|error| match error {
            Errno::ROFS => format!("{path} of the target is read-only; --path says where to write"),
            error => format!("{path}: {error}"),
        })?;
        let mut busy = Self {
            attack: task.attack.clone(),
            path,
            size,
            counted_before: counted(&group),
            written_before: written(),
            group,
            stop: Arc::default(),
            written: Arc::default(),
            broken: Arc::default(),
            writer: None,
        };
        let (stop, written) = (Arc::clone(&busy.stop), Arc::clone(&busy.written));
        let (broken, seed) = (Arc::clone(&busy.broken), attack_seed(&task.attack));
        busy.writer = Some(std::thread::spawn(move || {
            if let Err(error) = keep_busy(&file, size, seed, &stop, &written) {
                *lock(&broken) = Some(error.to_string());
            }
        }));
        Ok(busy)
    }

    /// Removes the file, where it is there.
    ///
    /// # Errors
    /// What the file system said.
    pub fn clear(task: &Task) -> Result<(), String> {
        remove(&folder(task), &name(&task.attack))
    }
}

impl Deed for Busy {
    fn prove(&mut self) -> Result<String, String> {
        let begun = Instant::now();
        while begun.elapsed() < PROVEN_WITHIN {
            if let Some(why) = lock(&self.broken).clone() {
                return Err(format!("writing in {}: {why}", self.path));
            }
            let size = self.size / MEBIBYTE;
            let by_group = counted(&self.group).saturating_sub(self.counted_before);
            if by_group >= PROOF {
                return Ok(format!(
                    "{} MiB written by the target's group, a file of {size} MiB over and over",
                    by_group / MEBIBYTE
                ));
            }
            let by_process = written().saturating_sub(self.written_before);
            if by_process >= PROOF && begun.elapsed() > COUNTED_WITHIN {
                return Ok(format!(
                    "{} MiB sent to the disk from within the target's group, a file of {size} MiB over and over; this kernel does not count them by group",
                    by_process / MEBIBYTE
                ));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let done = self.written.load(Ordering::Relaxed) / MEBIBYTE;
        Err(format!(
            "{done} MiB were written in {}, and the kernel sent less than {} MiB to a disk: it may be in memory",
            self.path,
            PROOF / MEBIBYTE
        ))
    }

    fn revert(&mut self) -> Result<(), String> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            // It ends with its block; what it had to say is kept where the proof looks.
            drop(writer.join());
        }
        remove(&self.path, &name(&self.attack))
    }
}

fn folder(task: &Task) -> String {
    let given = task.dose.path.clone();
    given.unwrap_or_else(|| if inside(DATA).is_ok() { DATA } else { "/" }.to_owned())
}

fn name(attack: &str) -> String {
    format!(".planaria-busy-{attack}")
}

/// Past the page cache where the file system can: else the disk sees what the cache lets through.
fn create(folder: &OwnedFd, name: &str) -> Result<File, Errno> {
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let open = |more| rustix::fs::openat(folder, name, flags | more, Mode::RUSR | Mode::WUSR);
    match open(OFlags::DIRECT) {
        Err(Errno::INVAL) => open(OFlags::empty()),
        other => other,
    }
    .map(File::from)
}

/// Writes the file from end to end, again and again.
fn keep_busy(
    file: &File,
    size: u64,
    seed: u64,
    stop: &AtomicBool,
    written: &AtomicU64,
) -> std::io::Result<()> {
    let mut bytes = vec![0; BLOCK + ALIGN];
    // Bytes that no disk can make smaller.
    let mut dice = Dice::of(seed, 0);
    for word in bytes.chunks_exact_mut(8) {
        word.copy_from_slice(&dice.throw().to_ne_bytes());
    }
    let from = bytes.as_ptr().align_offset(ALIGN).min(ALIGN);
    let block = &bytes[from..from + BLOCK];
    let step = u64::try_from(BLOCK).unwrap_or(MEBIBYTE);
    let mut at = 0;
    while !stop.load(Ordering::Relaxed) {
        file.write_all_at(block, at)?;
        file.sync_data()?;
        written.fetch_add(step, Ordering::Relaxed);
        at = (at + step) % size;
    }
    Ok(())
}

/// Bytes that went to disks, as the kernel counts them for the group; 0 where it does not.
fn counted(group: &Path) -> u64 {
    let new = read(&group.join("io.stat")).map(|text| of_new_kind(&text));
    let old =
        || read(&group.join("blkio.throttle.io_service_bytes")).map(|text| of_old_kind(&text));
    new.or_else(|_| old()).unwrap_or(0)
}

/// `254:0 rbytes=1 wbytes=2 …`, a line for each disk.
fn of_new_kind(text: &str) -> u64 {
    text.split_whitespace()
        .filter_map(|word| word.strip_prefix("wbytes=")?.parse::<u64>().ok())
        .sum()
}

/// `254:0 Write 2`, a line for each disk and kind.
fn of_old_kind(text: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(" Write ")?.1.trim().parse::<u64>().ok())
        .sum()
}

/// Bytes that this process sent to disks; what stays in memory does not count.
fn written() -> u64 {
    let text = read(Path::new("/proc/self/io")).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("write_bytes:")?.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_a_groups_account_are_read() {
        let new = "254:0 rbytes=4096 wbytes=1048576 rios=1 wios=2 dbytes=0 dios=0\n7:0 rbytes=1\n8:0 wbytes=24\n";
        assert_eq!(of_new_kind(new), 1_048_600);
        let old =
            "254:0 Read 4096\n254:0 Write 1048576\n254:0 Sync 5\n8:0 Write 24\nTotal 1052677\n";
        assert_eq!(of_old_kind(old), 1_048_600);
        assert_eq!((of_new_kind(""), of_old_kind("Total 0\n")), (0, 0));
    }

    #[test]
    fn a_file_is_written_over_and_over_and_grows_no_further() {
        let folder = tempfile::tempdir().unwrap();
        let opened = OwnedFd::from(File::open(folder.path()).unwrap());
        let file = create(&opened, "busy").unwrap();
        let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
        let size = 2 * MEBIBYTE;
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| keep_busy(&file, size, 7, &stop, &written));
            while written.load(Ordering::Relaxed) < 3 * size && !writer.is_finished() {
                std::thread::sleep(Duration::from_millis(1));
            }
            stop.store(true, Ordering::Relaxed);
            writer.join().unwrap().unwrap();
        });
        assert_eq!(file.metadata().unwrap().len(), size);
        assert!(written.load(Ordering::Relaxed) >= 3 * size);
    }
}
