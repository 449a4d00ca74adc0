//! Starting, stopping and asking nodes.

use crate::client::Client;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Generous: the machine may be busy with other things.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) s3: String,
    pub(crate) line: String,
    pub(crate) peer: String,
    /// Where the others reach `peer`.
    pub(crate) known_as: String,
    health: String,
    pub(crate) data: PathBuf,
    child: Option<Child>,
}

pub(crate) struct Nodes {
    pub(crate) all: Vec<Node>,
    settings: Vec<(&'static str, &'static str)>,
    dir: tempfile::TempDir,
}

/// Ports that nobody listens on, below those that the kernel gives to whoever connects: one of
/// those may be taken between here and the node's start. Nor are any given twice: a node that was killed
/// comes back to its own.
fn ports(count: usize) -> Vec<String> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap();
    let mut ports = Vec::new();
    while ports.len() < count {
        let port = rand::random_range(12_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && given.insert(port) {
            ports.push(format!("127.0.0.1:{port}"));
        }
    }
    ports
}

impl Nodes {
    /// Three empty nodes, running and in sync.
    pub(crate) fn start() -> Self {
        Self::start_with(3, &[])
    }

    /// As many empty nodes, with settings, running and in sync.
    pub(crate) fn start_with(count: usize, settings: &[(&'static str, &'static str)]) -> Self {
        let mut nodes = Self::prepare_all(count, settings);
        nodes.run_all();
        nodes
    }

    /// As many empty nodes, each of which the others know by another address than the one it
    /// listens on. `before` makes the way from there before any of them runs.
    pub(crate) fn start_behind(count: usize, mut before: impl FnMut(&Node)) -> Self {
        let mut nodes = Self::prepare_all(count, &[]);
        for (n, node) in nodes.all.iter_mut().enumerate() {
            // A node finds its own address among those of all by its name: the host in it.
            node.name = format!("127.0.0.{}", n + 2);
            let port = node.known_as.rsplit_once(':').unwrap().1.to_owned();
            node.known_as = format!("{}:{port}", node.name);
            before(node);
        }
        nodes.run_all();
        nodes
    }

    fn run_all(&mut self) {
        for n in 0..self.all.len() {
            self.run(n);
        }
        for n in 0..self.all.len() {
            self.wait_in_sync(n);
        }
    }

    fn prepare_all(count: usize, settings: &[(&'static str, &'static str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let secrets = serde_json::json!({
            "access_key": crate::client::ACCESS,
            "secret_key": crate::client::SECRET,
            "peer_secret": "0123456789abcdef".repeat(4),
        });
        std::fs::write(dir.path().join("storage.json"), secrets.to_string()).unwrap();
        let mut nodes = Self {
            all: Vec::new(),
            settings: settings.to_vec(),
            dir,
        };
        for _ in 0..count {
            nodes.prepare();
        }
        nodes
    }

    fn prepare(&mut self) {
        let n = self.all.len() + 1;
        let mut ports = ports(4).into_iter();
        let mut next = || ports.next().unwrap();
        let peer = next();
        self.all.push(Node {
            name: format!("node-{n}"),
            s3: next(),
            line: next(),
            known_as: peer.clone(),
            peer,
            health: next(),
            data: self.dir.path().join(format!("data-{n}")),
            child: None,
        });
    }

    /// One more empty node, running.
    pub(crate) fn add(&mut self) -> usize {
        self.prepare();
        let n = self.all.len() - 1;
        self.run(n);
        n
    }

    /// Runs a verb of `storage-node` against a node, and gives what it printed as JSON.
    pub(crate) fn verb(&self, n: usize, words: &[&str]) -> Result<Value, String> {
        let output = self.command(n).args(words).arg("--json").output().unwrap();
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// The process of a node.
    pub(crate) fn pid(&self, n: usize) -> u32 {
        self.all[n].child.as_ref().unwrap().id()
    }

    /// Sends a signal to a node's process.
    pub(crate) fn signal(&self, n: usize, name: &str) {
        let words = ["-s", name, &self.pid(n).to_string()];
        assert!(Command::new("kill").args(words).status().unwrap().success());
    }

    /// The text of a page of a node's health port.
    pub(crate) fn page(&self, n: usize, path: &str) -> String {
        let url = format!("http://{}{path}", self.all[n].health);
        let answer = ureq::get(&url).call();
        answer.map_or_else(
            |error| error.to_string(),
            |mut answer| answer.body_mut().read_to_string().unwrap_or_default(),
        )
    }

    fn command(&self, n: usize) -> Command {
        let peers: Vec<&str> = self.all.iter().map(|node| node.known_as.as_str()).collect();
        let node = &self.all[n];
        let mut command = Command::new(env!("CARGO_BIN_EXE_storage-node"));
        command
            .env_clear()
            .current_dir(self.dir.path())
            .env("CONTAINER_NAME", &node.name)
            .env("PLANARIA_STORAGE_PEERS", peers.join(","))
            .env(
                "PLANARIA_STORAGE_SECRETS_FILE",
                self.dir.path().join("storage.json"),
            )
            .env("PLANARIA_STORAGE_DATA_DIR", &node.data)
            .env("PLANARIA_S3_ADDR", &node.s3)
            .env("PLANARIA_LINE_ADDR", &node.line)
            .env("PLANARIA_PEER_ADDR", &node.peer)
            .env("PLANARIA_HEALTH_ADDR", &node.health)
            .env("PLANARIA_DIRECT_CHANNEL", "false")
            .envs(self.settings.iter().copied());
        command
    }

    /// Starts a node.
    pub(crate) fn run(&mut self, n: usize) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join(format!("log-{n}")))
            .unwrap();
        let child = self
            .command(n)
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.all[n].child = Some(child);
    }

    pub(crate) fn log(&self, n: usize) -> String {
        std::fs::read_to_string(self.dir.path().join(format!("log-{n}"))).unwrap_or_default()
    }

    /// Kills a node as `docker kill` does.
    pub(crate) fn kill(&mut self, n: usize) {
        if let Some(mut child) = self.all[n].child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks a node to end, and gives its exit code.
    pub(crate) fn terminate(&mut self, n: usize) -> Option<i32> {
        let mut child = self.all[n].child.take()?;
        let done = Command::new("kill")
            .arg(child.id().to_string())
            .status()
            .unwrap();
        assert!(done.success());
        child.wait().unwrap().code()
    }

    pub(crate) fn wipe(&self, n: usize) {
        std::fs::remove_dir_all(&self.all[n].data).unwrap();
    }

    pub(crate) fn client(&self, n: usize) -> Client {
        Client::new(&self.all[n].s3)
    }

    /// What `status --json` says, if the node answers.
    pub(crate) fn status(&self, n: usize) -> Option<Value> {
        let output = self.command(n).args(["status", "--json"]).output().unwrap();
        output
            .status
            .success()
            .then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Waits for something to become true.
    pub(crate) fn wait(&self, what: &str, condition: impl Fn() -> bool) {
        let end = Instant::now() + DEADLINE;
        while !condition() {
            if Instant::now() > end {
                let logs: Vec<String> = (0..self.all.len()).map(|n| self.log(n)).collect();
                panic!("{what}: never. Logs:\n{}", logs.join("\n----\n"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn wait_in_sync(&self, n: usize) {
        self.wait(&format!("node {n} in sync"), || {
            self.status(n)
                .is_some_and(|status| status["in_sync"] == true)
        });
    }

    /// Which node leads, as the first that answers knows.
    pub(crate) fn leader(&self) -> usize {
        let mut found = None;
        let end = Instant::now() + DEADLINE;
        while found.is_none() && Instant::now() < end {
            for n in 0..self.all.len() {
                let Some(status) = self.status(n) else {
                    continue;
                };
                if status["role"] == "leader" {
                    found = Some(n);
                }
            }
        }
        found.expect("no leader")
    }

    /// The newest segment of a node that holds anything.
    pub(crate) fn segment(&self, n: usize) -> PathBuf {
        self.segments(n).pop().expect("no segment")
    }

    /// The segments of a node that hold anything.
    pub(crate) fn segments(&self, n: usize) -> Vec<PathBuf> {
        let mut segments: Vec<PathBuf> = std::fs::read_dir(self.all[n].data.join("chunks"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.metadata().unwrap().len() > 0)
            .collect();
        segments.sort();
        segments
    }

    pub(crate) fn raft_log(&self, n: usize) -> PathBuf {
        self.all[n].data.join("meta/raft.log")
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for n in 0..self.all.len() {
            let panicked = self.log(n).contains("panicked at");
            self.kill(n);
            if panicked && !std::thread::panicking() {
                panic!("node {n} panicked:\n{}", self.log(n));
            }
        }
    }
}
