//! Files that are there as a whole or not at all, and what to do when the disk lies.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// The exit code after a failed sync (EX_IOERR).
const EX_IOERR: i32 = 74;

/// Writes a file so that a crash leaves the old or the new one: a file beside it, synced, renamed
/// over it, and the directory synced.
///
/// # Errors
/// Those of the file system.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("partial");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_parent(path)
}

/// Makes a file's name durable.
///
/// # Errors
/// Those of the file system.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Ends the process. After a failed sync nobody knows what is on the disk, and the kernel may
/// have dropped the pages: a second try that succeeds would prove nothing. The next start reads
/// what is really there.
pub fn die(what: &str, error: &io::Error) -> ! {
    tracing::error!(event = "disk_failed", %error, "{what}: ending, so that the next start sees what the disk has");
    std::process::exit(EX_IOERR)
}

/// Free bytes for the user on the file system of this path.
///
/// # Errors
/// Those of the file system.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
