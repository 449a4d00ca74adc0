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
    sync(&file)?;
    fs::rename(&beside, path)?;
    sync_parent(path)
}

/// Removes what a crash left half-written in a directory, and answers how much that was.
///
/// # Errors
/// Those of the file system.
pub fn sweep(dir: &Path) -> io::Result<u64> {
    let mut swept = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "partial") && path.is_file() {
            fs::remove_file(&path)?;
            tracing::info!(event = "partial_swept", path = %path.display(), "removed a half-written file");
            swept += 1;
        }
    }
    Ok(swept)
}

/// Makes what was written to a file durable.
///
/// # Errors
/// Those of the file system.
pub fn sync(file: &File) -> io::Result<()> {
    #[cfg(test)]
    let length = file.metadata()?.len();
    file.sync_data()?;
    #[cfg(test)]
    super::power::synced(file, length)?;
    Ok(())
}

/// Makes a file's name durable.
///
/// # Errors
/// Those of the file system.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => {
            File::open(parent)?.sync_all()?;
            #[cfg(test)]
            super::power::names_synced(parent)?;
            Ok(())
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_written_files_are_swept_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.partial", "b.partial", "raft.log", "partial"] {
            fs::write(dir.path().join(name), b"x").unwrap();
        }
        assert_eq!(sweep(dir.path()).unwrap(), 2);
        assert!(dir.path().join("raft.log").exists() && dir.path().join("partial").exists());
        assert_eq!(sweep(dir.path()).unwrap(), 0);
    }
}
