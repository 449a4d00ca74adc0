//! An engine beside the machine's own, containers in it, and watchers over them.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Far beyond anything that is waited for, even on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
pub(crate) const IMAGE: &str = "debian:trixie-slim";

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A second engine must have a bridge of its own, or it takes the first one's away. The shell ends with
/// this process, however that ends, and tidies up.
const KEEPER: &str = r#"
dir=$1 bridge=$2 address=$3 tcp=$4
ip link add "$bridge" type bridge && ip address add "$address.1/24" dev "$bridge" && ip link set "$bridge" up
echo '{}' >"$dir/daemon.json"
dockerd --config-file "$dir/daemon.json" --data-root "$dir/root" --exec-root "$dir/exec" --pidfile "$dir/pid" --host "unix://$dir/sock" $tcp \
    --bridge "$bridge" --iptables=false --ip-masq=false --default-address-pool "base=$address.0/16,size=24" >"$dir/log" 2>&1 &
daemon=$!
cat >/dev/null
docker --host "unix://$dir/sock" ps --all --quiet | xargs --no-run-if-empty docker --host "unix://$dir/sock" rm --force --volumes >/dev/null 2>&1
kill "$daemon"; wait "$daemon"
ip link delete "$bridge"
umount "$dir"/exec/netns/*
rm --recursive --force "$dir"
"#;

pub(crate) struct Engine {
    pub(crate) dir: PathBuf,
    /// The host's address on the engine's bridge.
    pub(crate) gateway: String,
    keeper: Mutex<Child>,
}

/// The engine that all tests share; each has containers and a label of its own.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::start(&[]))
}

impl Engine {
    /// Starts one, with the test's image in it.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = std::process::id() % 10_000;
        let dir = std::env::temp_dir().join(format!("watch-engine-{id}-{number}"));
        std::fs::create_dir_all(&dir).unwrap();
        let net = format!("10.{}.{}", 220 + number % 16, id % 250);
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&dir)
            .arg(format!("wt{id}x{number}"))
            .arg(&net)
            .arg(arguments.join(" "))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let engine = Self {
            dir,
            gateway: format!("{net}.1"),
            keeper: Mutex::new(keeper),
        };
        let log = engine.dir.join("log");
        wait(&format!("an engine of our own ({})", log.display()), || {
            engine.try_docker(&["version"]).status.success()
        });
        let load = format!(
            "docker --host unix:///var/run/docker.sock save {IMAGE} | docker --host {} load",
            engine.host()
        );
        let loaded = Command::new("sh").args(["-c", &load]).output().unwrap();
        assert!(
            loaded.status.success(),
            "{loaded:?}; scripts/base-image makes {IMAGE}"
        );
        engine
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}/sock", self.dir.display())
    }

    pub(crate) fn try_docker(&self, arguments: &[&str]) -> Output {
        Command::new("docker")
            .args(["--host", &self.host()])
            .args(arguments)
            .output()
            .unwrap()
    }

    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let output = self.try_docker(arguments);
        assert!(
            output.status.success(),
            "docker {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(crate) fn inspect(&self, container: &str) -> Value {
        let text = self.docker(&["inspect", container]);
        let mut found: Vec<Value> = serde_json::from_str(&text).unwrap();
        found.remove(0)
    }

    pub(crate) fn state(&self, container: &str) -> Value {
        self.inspect(container)["State"].clone()
    }

    pub(crate) fn runs(&self, container: &str) -> bool {
        self.state(container)["Status"] == "running"
    }

    pub(crate) fn started(&self, container: &str) -> String {
        self.state(container)["StartedAt"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// It runs in another life than that.
    pub(crate) fn wait_for_new_life(&self, container: &str, old: &str) {
        wait(&format!("{container} runs again"), || {
            self.runs(container) && self.started(container) != old
        });
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let mut keeper = self.keeper.lock().unwrap();
        drop(keeper.stdin.take());
        let _ = keeper.wait();
    }
}

pub(crate) fn wait(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// One test's containers: a label that no other test has, and names of their own.
pub(crate) struct World {
    pub(crate) engine: &'static Engine,
    pub(crate) label: String,
    made: Mutex<Vec<String>>,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new(test: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self {
            engine: engine(),
            label: format!("watch-{test}-{number}"),
            made: Mutex::default(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn name(&self, short: &str) -> String {
        format!("{}-{short}", self.label)
    }

    /// `docker run`, labelled for this test's watcher.
    pub(crate) fn run(&self, short: &str, options: &[&str], command: &[&str]) -> String {
        let mark = format!("{}=true", self.label);
        let options = [&["--label", &mark], options].concat();
        self.run_unmarked(short, &options, command)
    }

    /// `docker run`, not labelled for anybody.
    pub(crate) fn run_unmarked(&self, short: &str, options: &[&str], command: &[&str]) -> String {
        let name = self.name(short);
        self.made.lock().unwrap().push(name.clone());
        let head = [
            "run",
            "--detach",
            "--label",
            "planaria.test=watch",
            "--name",
            &name,
        ];
        self.engine
            .docker(&[&head[..], options, &[IMAGE], command].concat());
        name
    }

    /// A program that obeys SIGTERM, for as long as nobody ends it.
    pub(crate) fn sleeper(&self, short: &str, options: &[&str]) -> String {
        let options = [&["--init"], options].concat();
        self.run(short, &options, &["sleep", "infinity"])
    }

    /// One that counts its starts (see [`World::starts`]), then runs this.
    pub(crate) fn counted(&self, short: &str, command: &str) -> String {
        let volume = format!("{}:/starts", self.folder.path().display());
        let program = format!("echo started >>/starts/{short}; {command}");
        self.run(
            short,
            &["--init", "--volume", &volume],
            &["sh", "-c", &program],
        )
    }

    /// A folder of this world for `--volume`, as `/state`.
    pub(crate) fn state_volume(&self) -> String {
        let folder = self.folder.path().join("state");
        std::fs::create_dir_all(&folder).unwrap();
        format!("{}:/state", folder.display())
    }

    /// How often a counted one was started. The engine's own memory of events is too short for that.
    pub(crate) fn starts(&self, short: &str) -> usize {
        let path = self.folder.path().join(short);
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .lines()
            .count()
    }

    /// One whose check fails once `/t/sick` is there.
    pub(crate) fn checked(&self, short: &str, options: &[&str]) -> String {
        let check = [
            "--tmpfs",
            "/t",
            "--health-cmd",
            "test ! -f /t/sick || { echo feeling sick; false; }",
            "--health-interval",
            "1s",
            "--health-retries",
            "2",
        ];
        let name = self.sleeper(short, &[&check[..], options].concat());
        wait(&format!("{name} is healthy"), || {
            self.engine.state(&name)["Health"]["Status"] == "healthy"
        });
        name
    }

    pub(crate) fn sicken(&self, container: &str) {
        self.engine.docker(&["exec", container, "touch", "/t/sick"]);
    }

    /// Watches this test's containers from the host.
    pub(crate) fn watcher(&self, env: &[(&str, &str)]) -> Watcher {
        self.watcher_with(&[], env)
    }

    pub(crate) fn watcher_with(&self, arguments: &[&str], env: &[(&str, &str)]) -> Watcher {
        let mut all = vec![("AUTOHEAL_CONTAINER_LABEL", self.label.as_str())];
        all.extend_from_slice(env);
        let watcher = Watcher::start(&self.engine.host(), arguments, &all);
        watcher.wait_for_line("Watching ");
        watcher
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for name in self.made.lock().unwrap().iter() {
            let _ = self
                .engine
                .try_docker(&["rm", "--force", "--volumes", name]);
        }
    }
}

/// `monitor watch` as a process of this machine; killed when dropped.
pub(crate) struct Watcher {
    child: Mutex<Child>,
    pub(crate) port: u16,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Watcher {
    pub(crate) fn start(host: &str, arguments: &[&str], env: &[(&str, &str)]) -> Self {
        let port = free_port();
        let mut child = Command::new(env!("CARGO_BIN_EXE_monitor"))
            .arg("watch")
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("PLANARIA_CONFIG", "/dev/null")
            .env("PLANARIA_CONTAINER_NAME", "watch-test")
            .env("PLANARIA_HEALTH_ADDR", format!("127.0.0.1:{port}"))
            .env("PLANARIA_PAUSE_GRACE", "1s")
            .env("DOCKER_HOST", host)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let out: Box<dyn Read + Send> = Box::new(child.stdout.take().unwrap());
        let err: Box<dyn Read + Send> = Box::new(child.stderr.take().unwrap());
        for stream in [out, err] {
            let lines = Arc::clone(&lines);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    lines.lock().unwrap().push(line);
                }
            });
        }
        Self {
            child: Mutex::new(child),
            port,
            lines,
        }
    }

    pub(crate) fn log(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    pub(crate) fn said(&self, wanted: &str) -> bool {
        self.lines
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains(wanted))
    }

    pub(crate) fn wait_for_line(&self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.said(wanted) {
            assert!(
                Instant::now() < deadline,
                "it never said {wanted:?}:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// One of its pages.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.get("/status")).unwrap()
    }

    pub(crate) fn ended(&self) -> Option<i32> {
        let ended = self.child.lock().unwrap().try_wait().unwrap();
        ended.map(|status| status.code().unwrap_or(-1))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        let _ = child.kill();
        let _ = child.wait();
        if std::thread::panicking() {
            eprintln!("--- the watcher said:\n{}", self.log());
        }
    }
}

/// Takes what is posted to it.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bodies);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let mut length = 0;
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok() && line.trim() != "" {
                    let lower = line.to_ascii_lowercase();
                    if let Some(text) = lower.strip_prefix("content-length:") {
                        length = text.trim().parse().unwrap_or(0);
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                if reader.read_exact(&mut body).is_ok()
                    && let Ok(value) = serde_json::from_slice(&body)
                {
                    kept.lock().unwrap().push(value);
                }
                let _ = reader
                    .get_mut()
                    .write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
            }
        });
        Self { port, bodies }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    pub(crate) fn all(&self) -> Vec<Value> {
        self.bodies.lock().unwrap().clone()
    }

    /// The first message that fits.
    pub(crate) fn wait_for(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        wait(
            &format!("a message: {what}; got {:?}", self.all().len()),
            || self.all().iter().any(&fits),
        );
        self.all().into_iter().find(|body| fits(body)).unwrap()
    }
}
