//! The program under test.

use crate::{CLUSTER, HEALTH_PORT, Options, PORT};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// It runs with a folder of its own.
pub(crate) struct Console {
    child: Child,
    folder: PathBuf,
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Console {
    pub(crate) fn start(options: &Options, folder: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(options.secrets.join("operator.env"))?;
        let url = text
            .trim()
            .strip_prefix("PLANARIA_AMQP_URLS=")
            .context("no address")?;
        let keys = options
            .secrets
            .join("volumes/keys_operator")
            .canonicalize()?;
        let log = std::fs::File::create(folder.join("log"))?;
        let child = Command::new(&options.program)
            .args(["--listen", &format!("127.0.0.1:{PORT}")])
            .env_clear()
            .env("CONTAINER_NAME", "console")
            .env("PLANARIA_CLUSTER_NAME", CLUSTER)
            .env(
                "PLANARIA_AMQP_URLS",
                url.replace("rabbitmq:5672", &options.broker),
            )
            .env("PLANARIA_MEMBER_SECRET_FILE", keys.join("member.key"))
            .env("PLANARIA_OPERATOR_SECRET_FILE", keys.join("operator.key"))
            .env("PLANARIA_CONSOLE_LOGIN_FILE", keys.join("console.login"))
            .env("PLANARIA_STATE_DIR", folder)
            .env("PLANARIA_HEALTH_ADDR", format!("127.0.0.2:{HEALTH_PORT}"))
            .env("PLANARIA_DIRECT_CHANNEL", "false")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be started", options.program.display()))?;
        Ok(Self {
            child,
            folder: folder.to_owned(),
        })
    }

    pub(crate) fn memory(&self, field: &str) -> Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib: f64 = text
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .with_context(|| format!("no {field}"))?;
        Ok(kib / 1024.0)
    }

    /// Nanoseconds on a processor so far, of all threads.
    fn used(&self) -> Result<u64> {
        let mut all = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let stat = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            all += stat
                .split(' ')
                .next()
                .and_then(|ns| ns.parse::<u64>().ok())
                .unwrap_or(0);
        }
        Ok(all)
    }

    /// Percent of a core over a while.
    pub(crate) async fn cpu(&self, seconds: u64) -> Result<f64> {
        let (before, began) = (self.used()?, Instant::now());
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let used = Duration::from_nanos(self.used()?.saturating_sub(before));
        Ok(100.0 * used.as_secs_f64() / began.elapsed().as_secs_f64())
    }
}
