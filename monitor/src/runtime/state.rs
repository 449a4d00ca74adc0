//! The file that outlives the process.

use planaria_core::status::Saved;
use std::path::{Path, PathBuf};

/// Its name in `STATE_DIR`.
const FILE: &str = "monitor.json";
/// A larger file is not ours: 200 containers take about 60 KB.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// What was saved, where something readable is there.
pub(super) fn load(folder: &Path) -> Option<Saved> {
    let path = folder.join(FILE);
    let length = std::fs::metadata(&path).ok()?.len();
    if length > FILE_MAX {
        tracing::warn!(
            event = "state_ignored",
            "{}: {length} bytes are no state of ours; begun anew",
            path.display()
        );
        return None;
    }
    let text = std::fs::read(&path).ok()?;
    match serde_json::from_slice(&text) {
        Ok(saved) => Some(saved),
        Err(error) => {
            tracing::warn!(
                event = "state_ignored",
                "{}: {error}; begun anew",
                path.display()
            );
            None
        }
    }
}

/// Writes it so that a crash leaves the old or the new one, never half of it.
pub(super) fn save(folder: &Path, saved: &Saved) -> Result<(), std::io::Error> {
    let text = serde_json::to_vec(saved).map_err(std::io::Error::other)?;
    let path: PathBuf = folder.join(FILE);
    // One name per process: two monitors on one volume do not write into each other's file.
    let fresh = folder.join(format!(".{FILE}.{}", std::process::id()));
    let write = || {
        let mut file = std::fs::File::create(&fresh)?;
        std::io::Write::write_all(&mut file, &text)?;
        file.sync_data()?;
        std::fs::rename(&fresh, &path)
    };
    write().inspect_err(|_| {
        let _ = std::fs::remove_file(&fresh);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(load(folder.path()), None);
        let saved = Saved {
            version: 1,
            term: 9,
            engine_time: 5,
            ..Saved::default()
        };
        save(folder.path(), &saved).unwrap();
        assert_eq!(load(folder.path()), Some(saved));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// As `STATE_DIR` had it before holds had versions.
    const GOLDEN: &str = r#"{"version":1,"term":9,"records":[],"holds":[{"name":"plain-1","left_ms":60000,"reason":"works"}],"fences":[],"engine_seen":5,"incidents":[],"alerts":[]}"#;

    #[test]
    fn what_an_earlier_release_kept_is_read_and_an_earlier_release_reads_ours() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), GOLDEN).unwrap();
        let saved = load(folder.path()).unwrap();
        assert_eq!(
            (saved.term, saved.engine_time, saved.holds.len()),
            (9, 5, 1)
        );
        let golden: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
        let ours = serde_json::to_value(&saved).unwrap();
        for (key, value) in golden.as_object().unwrap() {
            assert_eq!(ours.get(key), Some(value), "{key}");
        }
    }

    #[test]
    fn rubbish_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), b"{\"term\":").unwrap();
        assert_eq!(load(folder.path()), None);
        assert!(save(&folder.path().join("missing"), &Saved::default()).is_err());
    }
}
