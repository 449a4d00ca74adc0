//! Containers that a test starts and removes.

use anyhow::{Context, Result, ensure};
use planaria_e2e::docker::docker;
use std::path::{Path, PathBuf};

/// The monitor's binary on this machine, as `scripts/test-programs` built it: mounted, it needs no image of ours.
pub(crate) fn monitor_binary() -> Result<PathBuf> {
    let path = target()?.join("docker/stage/programs/monitor");
    ensure!(
        path.is_file(),
        "{} is missing: use scripts/test-programs",
        path.display()
    );
    Ok(path)
}

/// The build folder: this test stands in `target/debug/deps`.
pub(crate) fn target() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.ancestors().nth(3).context("no build folder")?;
    Ok(folder.to_owned())
}

pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A container of this test; removed with it, whatever comes of it.
pub(crate) struct Container(&'static str);

impl Container {
    /// Runs `image` under the monitor: `options` are Docker's, `words` what follows `monitor run`.
    pub(crate) fn run(
        name: &'static str,
        options: &[&str],
        image: &str,
        words: &[&str],
    ) -> Result<Self> {
        let _ = docker(&["rm", "--force", name]);
        let mount = format!("{}:/monitor:ro", monitor_binary()?.display());
        let mut command = vec![
            "run",
            "--detach",
            "--name",
            name,
            "--label",
            "planaria.test=programs",
        ];
        command.extend(["--volume", &mount, "--entrypoint", "/monitor"]);
        command.extend(options);
        command.extend([image, "run"]);
        command.extend(words);
        let started = Self(name);
        docker(&command)?;
        Ok(started)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.0
    }

    /// Runs a shell line inside.
    pub(crate) fn shell(&self, line: &str) -> Result<String> {
        docker(&["exec", self.0, "sh", "-c", line])
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Removing is all that is left to do.
        let _ = docker(&["rm", "--force", "--volumes", self.0]);
    }
}
