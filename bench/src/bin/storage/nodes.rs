//! The nodes under test, as processes on the loopback.

use crate::{ACCESS, Options, PATIENCE, SECRET};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Nodes {
    children: Vec<Option<Child>>,
    program: PathBuf,
    dir: PathBuf,
    fsync: String,
    first_port: u16,
}

impl Nodes {
    pub(crate) fn start(options: &Options, fsync: &str) -> Result<Self> {
        let dir = std::path::absolute(&options.data)?.join(fsync);
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir)?;
        let secrets = serde_json::json!({
            "access_key": ACCESS, "secret_key": SECRET,
            "peer_secret": "0123456789abcdef".repeat(4),
        });
        std::fs::write(dir.join("storage.json"), secrets.to_string())?;
        let mut nodes = Self {
            children: vec![None, None, None],
            program: std::path::absolute(&options.program)?,
            dir,
            fsync: fsync.to_owned(),
            first_port: 23_400 + u16::try_from(std::process::id() % 4000)?,
        };
        for n in 0..3 {
            nodes.run(n)?;
        }
        for n in 0..3 {
            nodes.in_sync(n)?;
        }
        Ok(nodes)
    }

    pub(crate) fn addr(&self, n: usize, which: u16) -> String {
        let n = u16::try_from(n).unwrap_or(0);
        format!("127.0.0.1:{}", self.first_port + n * 4 + which)
    }

    fn command(&self, n: usize) -> Command {
        let peers: Vec<String> = (0..3).map(|n| self.addr(n, 2)).collect();
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("CONTAINER_NAME", format!("node-{}", n + 1))
            .env("PLANARIA_STORAGE_PEERS", peers.join(","))
            .env(
                "PLANARIA_STORAGE_SECRETS_FILE",
                self.dir.join("storage.json"),
            )
            .env(
                "PLANARIA_STORAGE_DATA_DIR",
                self.dir.join(format!("data-{n}")),
            )
            .env("PLANARIA_S3_ADDR", self.addr(n, 0))
            .env("PLANARIA_LINE_ADDR", self.addr(n, 1))
            .env("PLANARIA_PEER_ADDR", self.addr(n, 2))
            .env("PLANARIA_HEALTH_ADDR", self.addr(n, 3))
            .env("PLANARIA_DIRECT_CHANNEL", "false")
            .env("PLANARIA_FSYNC", &self.fsync);
        command
    }

    pub(crate) fn run(&mut self, n: usize) -> Result<()> {
        let log = std::fs::File::create(self.dir.join(format!("log-{n}")))?;
        let child = self
            .command(n)
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be started", self.program.display()))?;
        *self.children.get_mut(n).context("no such node")? = Some(child);
        Ok(())
    }

    pub(crate) fn kill(&mut self, n: usize) -> Result<()> {
        if let Some(mut child) = self.children.get_mut(n).and_then(Option::take) {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    pub(crate) fn in_sync(&self, n: usize) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let output = self.command(n).args(["status", "--json"]).output()?;
            let status: serde_json::Value =
                serde_json::from_slice(&output.stdout).unwrap_or_default();
            if status["in_sync"] == true {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("node {n} is not in sync after {PATIENCE:?}")
    }

    /// Removes all that a stopped node has.
    pub(crate) fn wipe(&self, n: usize) -> Result<()> {
        Ok(std::fs::remove_dir_all(self.dir.join(format!("data-{n}")))?)
    }

    /// The bytes of the chunks on a node's disk.
    pub(crate) fn chunk_bytes(&self, n: usize) -> Result<u64> {
        let output = self.command(n).args(["status", "--json"]).output()?;
        let status: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        status["chunk_bytes"].as_u64().context("no chunk_bytes")
    }

    /// Resident memory of each node, in MiB.
    pub(crate) fn memory(&self) -> Result<Vec<f64>> {
        let mut all = Vec::new();
        for child in self.children.iter().flatten() {
            let text = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
            let kib: f64 = text
                .lines()
                .find_map(|line| line.strip_prefix("VmRSS:"))
                .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
                .context("no VmRSS")?;
            all.push(kib / 1024.0);
        }
        Ok(all)
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for n in 0..3 {
            let _ = self.kill(n);
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
