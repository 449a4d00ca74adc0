//! A second engine beside the first, with its own data, socket and network: one that a test may stop. Its
//! published ports are not reached from the host; `docker exec` is.

use crate::docker::run;
use crate::patience::{SOON, eventually};
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Its own world of interfaces: in a shared one, an engine that starts a second time on its data deletes the
/// first engine's `docker0`, whatever bridge it is told to use.
const NAMESPACE: &str = "planaria-second";

/// A running `dockerd`, or one that was stopped and can be started again. Needs root.
pub struct SecondEngine {
    folder: TempDir,
    live_restore: bool,
    daemon: Option<Child>,
}

impl SecondEngine {
    /// Starts it empty, but for these images of the first engine.
    ///
    /// # Errors
    /// Where this user or machine cannot run a second one, with the daemon's own words.
    pub fn start(images: &[&str], live_restore: bool) -> Result<Self> {
        namespace()?;
        let folder = tempfile::Builder::new().prefix("second").tempdir()?;
        let mut engine = Self {
            folder,
            live_restore,
            daemon: None,
        };
        engine.up()?;
        for image in images {
            engine.load(image)?;
        }
        Ok(engine)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// For `DOCKER_HOST`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.path("sock").display())
    }

    /// Runs `docker` on it and gives what it printed.
    ///
    /// # Errors
    /// Where it exits with another code than zero, with what it said.
    pub fn docker(&self, arguments: &[&str]) -> Result<String> {
        run(self.command("docker").args(arguments))
    }

    /// A command whose engine is this one.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("DOCKER_HOST", self.host());
        command
    }

    /// Starts the daemon; containers that its memory says should run are its own business.
    ///
    /// # Errors
    /// Where it does not answer in time, with its last words.
    pub fn up(&mut self) -> Result<()> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))?;
        // What the first engine's file says would contradict these flags; only how it stores is shared.
        let driver = run(Command::new("docker").args(["info", "--format", "{{.Driver}}"]))?;
        let settings = serde_json::json!({ "storage-driver": driver });
        std::fs::write(self.path("daemon.json"), settings.to_string())?;
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{NAMESPACE}"))
            .args(["dockerd", "--config-file"])
            .arg(self.path("daemon.json"))
            .arg("--data-root")
            .arg(self.path("root"))
            .arg("--exec-root")
            .arg(self.path("exec"))
            .arg("--pidfile")
            .arg(self.path("pid"))
            .args(["--host", &self.host()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        if self.live_restore {
            command.arg("--live-restore");
        }
        self.daemon = Some(command.spawn().context("dockerd does not start")?);
        eventually("the second engine answers", SOON, || {
            self.docker(&["version", "--format", "{{.Server.Version}}"])
                .map(drop)
        })
        .with_context(|| self.last_words())
    }

    /// Ends the daemon as a host that goes down does: SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// Where it cannot be signalled.
    pub fn down(&mut self) -> Result<()> {
        let Some(mut daemon) = self.daemon.take() else {
            return Ok(());
        };
        run(Command::new("kill").arg(daemon.id().to_string()))?;
        eventually("the second engine ends", SOON, || {
            ensure!(daemon.try_wait()?.is_some(), "it still runs");
            Ok(())
        })
        .inspect_err(|_| {
            let _ = daemon.kill();
        })
    }

    fn load(&self, image: &str) -> Result<()> {
        let mut save = Command::new("docker")
            .args(["save", image])
            .stdout(Stdio::piped())
            .spawn()?;
        let archive = save.stdout.take().context("docker save has no output")?;
        let load = self
            .command("docker")
            .arg("load")
            .stdin(archive)
            .stdout(Stdio::null())
            .status()?;
        ensure!(
            save.wait()?.success() && load.success(),
            "{image} was not carried over"
        );
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(8).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for SecondEngine {
    fn drop(&mut self) {
        // Live-restore would leave its containers behind, with nobody to end them.
        if let Ok(all) = self.docker(&["ps", "--all", "--quiet"]) {
            for id in all.lines() {
                let _ = self.docker(&["rm", "--force", "--volumes", id]);
            }
        }
        let _ = self.down();
        let _ = run(Command::new("ip").args(["netns", "delete", NAMESPACE]));
        // What a killed daemon left mounted below its root would keep the folder.
        if let Ok(mounts) = std::fs::read_to_string("/proc/mounts") {
            let root = self.folder.path().display().to_string();
            let below = mounts
                .lines()
                .filter_map(|line| line.split(' ').nth(1))
                .filter(|place| place.starts_with(&root));
            for place in below.collect::<Vec<_>>().into_iter().rev() {
                let _ = run(Command::new("umount").args(["--lazy", place]));
            }
        }
    }
}

/// Made anew, with nothing but the loopback: what an interrupted run left is gone.
fn namespace() -> Result<()> {
    let ip = |arguments: &[&str]| run(Command::new("ip").args(arguments));
    // Nothing to delete is the rule.
    let _ = ip(&["netns", "delete", NAMESPACE]);
    ip(&["netns", "add", NAMESPACE])?;
    ip(&["-netns", NAMESPACE, "link", "set", "lo", "up"]).map(drop)
}
