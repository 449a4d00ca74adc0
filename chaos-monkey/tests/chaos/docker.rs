//! Every fault on a real container, by the real program: is it there, measured from inside, and is it
//! gone after its time, after SIGTERM to the monkey, and after `kill -9` of the monkey and the next start?

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Generous: a loaded machine with two cores.
const STUCK: Duration = Duration::from_secs(60);
/// Longer than any test: the ending under test ends it, not its time.
const LONG: &str = "120";
const IMAGE: &str = "planaria-test-chaos";

fn docker(arguments: &[&str]) -> Output {
    Command::new("docker")
        .args(arguments)
        .output()
        .expect("docker is needed for these tests")
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The image of targets and helpers: this build's program, and what it needs.
fn image() -> &'static str {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let context = tempfile::tempdir().unwrap();
        let program = context.path().join("chaos-monkey");
        std::fs::copy(env!("CARGO_BIN_EXE_chaos-monkey"), &program).unwrap();
        let recipe = "FROM debian:trixie-slim\n\
            RUN apt-get update --quiet && DEBIAN_FRONTEND=noninteractive apt-get install --yes \
            --no-install-recommends iproute2 iptables iputils-ping && rm --recursive /var/lib/apt/lists/*\n\
            COPY chaos-monkey /chaos-monkey\n";
        std::fs::write(context.path().join("Dockerfile"), recipe).unwrap();
        let path = context.path().to_str().unwrap();
        let built = docker(&["build", "--force-rm", "--tag", IMAGE, path]);
        assert!(built.status.success(), "{}", text(&built));
    });
    IMAGE
}

/// A container that is removed at the end, also when the test fails.
struct Target {
    name: String,
    project: String,
}

impl Target {
    fn start(what: &str, more: &[&str]) -> Self {
        let name = format!("planaria-test-chaos-{what}-{}", std::process::id());
        let project = format!("planaria-test-{what}");
        let label = format!("com.docker.compose.project={project}");
        let mut arguments = vec!["run", "--detach", "--init", "--name", &name];
        arguments.extend(["--label", &label, "--label", "planaria.test=chaos"]);
        arguments.extend(more);
        arguments.extend([image(), "sleep", "600"]);
        let output = docker(&arguments);
        assert!(output.status.success(), "{}", text(&output));
        Self { name, project }
    }

    fn inside(&self, script: &str) -> (bool, String) {
        let output = docker(&["exec", &self.name, "bash", "-c", script]);
        (output.status.success(), text(&output))
    }

    fn inspect(&self, format: &str) -> String {
        text(&docker(&["inspect", "--format", format, &self.name]))
            .trim()
            .to_owned()
    }

    fn gateway(&self) -> Ipv4Addr {
        let format = "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}";
        self.inspect(format).parse().unwrap()
    }

    /// `ping` to the gateway. One whose own packets come back with other bytes may wait for ever: it reads the
    /// time of sending from them.
    fn ping(&self, options: &str) -> String {
        self.inside(&format!("timeout 20 ping {options} {}", self.gateway()))
            .1
    }

    /// Percent lost and mean round trip in milliseconds, of that many echoes.
    fn echoes(&self, count: u32) -> (f64, f64) {
        let said = self.ping(&format!("-q -n -c {count} -i 0.02 -W 1"));
        let lost = said
            .split('%')
            .next()
            .and_then(|it| it.rsplit(' ').next()?.parse().ok());
        let mean = said
            .split(" = ")
            .nth(1)
            .and_then(|it| it.split('/').nth(1)?.parse().ok());
        (
            lost.unwrap_or_else(|| panic!("{said}")),
            mean.unwrap_or(0.0),
        )
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let label = format!("label=planaria.chaos.target={}", self.name);
        let helpers = text(&docker(&["ps", "--all", "--quiet", "--filter", &label]));
        for id in helpers.split_whitespace().chain([self.name.as_str()]) {
            docker(&["rm", "--force", id]);
        }
    }
}

/// The monkey at work.
struct Monkey {
    child: Child,
    state: tempfile::TempDir,
}

fn program(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos-monkey"));
    command
        .env("PLANARIA_STATE_DIR", state)
        .env("PLANARIA_HEALERS", "1");
    command.stdout(Stdio::inherit()).stderr(Stdio::inherit());
    command
}

impl Monkey {
    fn attack(fault: &str, target: &Target, dose: &[&str]) -> Self {
        let state = tempfile::tempdir().unwrap();
        let child = program(state.path())
            .args([
                "attack",
                "--fault",
                fault,
                "--target",
                &target.name,
                "--project",
                &target.project,
            ])
            .args(["--helper-image", image()])
            .args(dose)
            .spawn()
            .unwrap();
        Self { child, state }
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// An attack whose effect is seen. Where the engine was too slow for it the monkey says so, takes back what it
    /// did and ends; then it is asked again, as a person would.
    fn seen(fault: &str, target: &Target, dose: &[&str], there: impl Fn(&Target) -> bool) -> Self {
        for _ in 0..3 {
            let mut monkey = Self::attack(fault, target, dose);
            let until = Instant::now() + STUCK;
            while monkey.child.try_wait().unwrap().is_none() {
                if there(target) {
                    return monkey;
                }
                assert!(Instant::now() < until, "never: {fault} is there");
                std::thread::sleep(Duration::from_millis(100));
            }
            println!("The attack was given up; once more.");
        }
        panic!("{fault} was given up three times");
    }

    /// Its exit code.
    fn ended(&mut self) -> Option<i32> {
        let until = Instant::now() + STUCK;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "the monkey does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Monkey {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + STUCK;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The three endings. `there`: whether the fault is there, measured from inside.
fn endings(fault: &str, target: &Target, dose: &[&str], there: impl Fn(&Target) -> bool) {
    until(&format!("{fault} is not there before it is done"), || {
        !there(target)
    });
    let with = |time: &'static str| [dose, &["--for", time]].concat();

    let mut monkey = Monkey::seen(fault, target, &with("6s"), &there);
    monkey.ended();
    until(&format!("{fault} is gone after its time"), || {
        !there(target)
    });

    let mut monkey = Monkey::seen(fault, target, &with(LONG), &there);
    monkey.signal("-TERM");
    monkey.ended();
    until(&format!("{fault} is gone after SIGTERM"), || !there(target));

    let mut monkey = Monkey::seen(fault, target, &with(LONG), &there);
    monkey.signal("-KILL");
    monkey.ended();
    assert!(
        there(target),
        "{fault} ended with its monkey, so that the next start has nothing to do"
    );
    let undone = program(monkey.state.path()).arg("revert").status().unwrap();
    assert!(undone.success());
    until(&format!("{fault} is gone after the next start"), || {
        !there(target)
    });
    let left = text(&docker(&[
        "ps",
        "--all",
        "--quiet",
        "--filter",
        &format!("label=planaria.chaos.target={}", target.name),
    ]));
    assert_eq!(left.trim(), "", "a helper is left behind");
}

#[test]
fn kill() {
    let target = Target::start("kill", &[]);
    endings("kill", &target, &[], |it| {
        it.inspect("{{.State.Running}}") == "false"
    });
}

#[test]
fn nobody_heals_it_and_the_exit_code_says_so() {
    let target = Target::start("alone", &[]);
    let mut monkey = Monkey::attack("kill", &target, &["--for", "3s"]);
    assert_eq!(monkey.ended(), Some(1));
    assert_eq!(target.inspect("{{.State.Running}}"), "true", "it is undone");
}

#[test]
fn term() {
    let target = Target::start("term", &[]);
    endings("term", &target, &[], |it| {
        it.inspect("{{.State.Running}}") == "false"
    });
}

#[test]
fn stop() {
    let target = Target::start("stop", &[]);
    endings("stop", &target, &[], |it| {
        it.inspect("{{.State.Running}}") == "false"
    });
}

#[test]
fn pause() {
    let target = Target::start("pause", &[]);
    endings("pause", &target, &[], |it| {
        it.inspect("{{.State.Paused}}") == "true"
    });
}

fn is_removed(target: &Target) -> bool {
    !docker(&["inspect", &target.name]).status.success()
}

#[test]
fn rm() {
    let more = ["--label", "planaria.recreate=true", "--volume", "/books"];
    let target = Target::start(
        "rm",
        &[&more[..], &["--env", "A=1", "--hostname", "shop"]].concat(),
    );
    assert!(target.inside("echo kept >/books/page").0);
    let seen = "{{.Config.Env}} {{.Config.Cmd}} {{.Config.Hostname}} {{.Config.Labels}} {{.HostConfig.Init}}";
    let (first, made) = (target.inspect("{{.Id}}"), target.inspect(seen));
    endings("rm", &target, &[], is_removed);
    assert_ne!(target.inspect("{{.Id}}"), first);
    assert_eq!(target.inspect(seen), made, "it is as it was");
    assert_eq!(target.inside("cat /books/page").1.trim(), "kept");
}

/// Half of it, left by an earlier try, is made anew whole; what somebody else created in its place is left alone.
#[test]
fn what_is_made_anew_has_all_of_its_networks() {
    let network = format!("planaria-test-chaos-rm-{}", std::process::id());
    let create = ["network", "create", "--label", "planaria.test=chaos"];
    assert!(
        docker(&[&create[..], &[&network]].concat())
            .status
            .success()
    );
    let target = Target::start("half", &["--label", "planaria.recreate=true"]);
    let connect = ["network", "connect", &network, &target.name];
    assert!(docker(&connect).status.success());
    let networks = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}";
    let before = target.inspect(networks);
    let mut monkey = Monkey::seen("rm", &target, &["--for", LONG], is_removed);
    monkey.signal("-KILL");
    monkey.ended();
    let stories = planaria_chaos::ledger::read(monkey.state.path()).unwrap();
    let aside = format!("planaria-chaos-{}-anew", stories.last().unwrap().attack.id);
    for name in [&aside, &target.name] {
        let half = ["create", "--name", name, image(), "sleep", "600"];
        assert!(docker(&half).status.success());
    }
    let revert = || program(monkey.state.path()).arg("revert").status().unwrap();
    assert!(!revert().success());
    assert_eq!(
        target.inspect("{{.State.Status}}"),
        "created",
        "it is another's"
    );
    assert!(docker(&["rm", &target.name]).status.success());
    assert!(revert().success());
    assert_eq!(target.inspect("{{.State.Running}}"), "true");
    assert_eq!(target.inspect(networks), before);
    assert!(
        !docker(&["inspect", &aside]).status.success(),
        "half of it is left"
    );
    drop(target);
    docker(&["network", "rm", &network]);
}

#[test]
fn what_nobody_would_make_anew_is_not_removed() {
    let target = Target::start("kept", &[]);
    let before = target.inspect("{{.Id}} {{.State.StartedAt}}");
    let mut monkey = Monkey::attack("rm", &target, &[]);
    assert_eq!(monkey.ended(), Some(75), "declined");
    assert_eq!(target.inspect("{{.Id}} {{.State.StartedAt}}"), before);
}

/// Whoever makes it anew heals it; the monkey then has nothing to do.
#[test]
fn what_another_made_anew_is_left_to_them() {
    let target = Target::start("anew", &["--label", "planaria.recreate=true"]);
    let mut monkey = Monkey::seen("rm", &target, &["--for", LONG], is_removed);
    let new = [
        "run",
        "--detach",
        "--init",
        "--name",
        &target.name,
        image(),
        "sleep",
        "599",
    ];
    assert!(docker(&new).status.success());
    assert_eq!(monkey.ended(), Some(0));
    assert_eq!(target.inspect("{{.Config.Cmd}}"), "[sleep 599]");
    let left = std::fs::read_dir(monkey.state.path()).unwrap().count();
    assert_eq!(left, 1, "the ledger alone is left");
}

#[test]
fn restart() {
    let target = Target::start("restart", &[]);
    let before = target.inspect("{{.State.StartedAt}}");
    let mut monkey = Monkey::attack("restart", &target, &[]);
    assert_eq!(monkey.ended(), Some(0), "it came back");
    assert_ne!(target.inspect("{{.State.StartedAt}}"), before);
    assert_eq!(target.inspect("{{.State.Running}}"), "true");
}

/// The state of the process with that name, as `ps` gives it.
fn state(target: &Target, name: &str) -> String {
    let all = text(&docker(&["top", &target.name, "-eo", "pid,stat,comm"]));
    all.lines()
        .map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>())
        .find(|row| row.get(1).is_some_and(|it| it.contains(name)))
        .and_then(|row| row.first().map(|state| (*state).to_owned()))
        .unwrap_or_default()
}

#[test]
fn hang() {
    let target = Target::start("hang", &[]);
    endings("hang", &target, &[], |it| {
        state(it, "init").starts_with('T')
    });
}

#[test]
fn freeze() {
    let target = Target::start("freeze", &[]);
    endings("freeze", &target, &[], |it| {
        state(it, "sleep").starts_with('T')
    });
}

#[test]
fn disconnect() {
    let target = Target::start("disconnect", &[]);
    endings("disconnect", &target, &[], |it| {
        !it.inside("ls /sys/class/net").1.contains("eth")
    });
}

#[test]
fn latency() {
    let target = Target::start("latency", &[]);
    endings("latency", &target, &["--delay-ms", "120"], |it| {
        let (_, mean) = it.echoes(5);
        mean > 100.0
    });
}

#[test]
fn jitter() {
    let target = Target::start("jitter", &[]);
    endings(
        "jitter",
        &target,
        &["--delay-ms", "100", "--jitter-ms", "80"],
        |it| {
            let said = it.ping("-q -n -c 20 -i 0.02 -W 1");
            let deviation = said.split('/').next_back().and_then(|it| {
                it.trim()
                    .trim_end_matches(" ms")
                    .split(' ')
                    .next()?
                    .parse::<f64>()
                    .ok()
            });
            deviation.is_some_and(|it| it > 15.0) && it.echoes(10).1 > 50.0
        },
    );
}

#[test]
fn loss() {
    let target = Target::start("loss", &[]);
    endings("loss", &target, &["--percent", "50"], |it| {
        (20.0..80.0).contains(&it.echoes(60).0)
    });
}

/// Seconds that 120 kB take from the target to us.
fn seconds(target: &Target, listener: &TcpListener) -> f64 {
    let port = listener.local_addr().unwrap().port();
    let script = format!(
        "exec 3<>/dev/tcp/{}/{port} && head -c 120000 /dev/zero >&3 && read -r -n 1 -u 3",
        target.gateway()
    );
    std::thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let began = Instant::now();
            let mut all = vec![0; 120_000];
            let came = std::io::Read::read_exact(&mut stream, &mut all).is_ok();
            drop(std::io::Write::write_all(&mut stream, b"1"));
            if came {
                began.elapsed().as_secs_f64()
            } else {
                f64::MAX
            }
        });
        target.inside(&script);
        server.join().unwrap()
    })
}

#[test]
fn rate() {
    let target = Target::start("rate", &[]);
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    // 120 kB at 512 kbit/s take 1.9 s.
    endings("rate", &target, &["--kbit", "512"], |it| {
        seconds(it, &listener) > 1.2
    });
}

#[test]
fn corrupt() {
    let target = Target::start("corrupt", &[]);
    endings("corrupt", &target, &["--percent", "50"], |it| {
        it.ping("-n -c 30 -i 0.02 -W 1 -p 55")
            .contains("wrong data byte")
    });
}

#[test]
fn reorder() {
    let target = Target::start("reorder", &[]);
    endings(
        "reorder",
        &target,
        &["--percent", "40", "--delay-ms", "60"],
        |it| {
            let said = it.ping("-n -c 40 -i 0.01 -W 1");
            let numbers: Vec<u32> = said
                .lines()
                .filter_map(|line| {
                    line.split("icmp_seq=")
                        .nth(1)?
                        .split(' ')
                        .next()?
                        .parse()
                        .ok()
                })
                .collect();
            !numbers.is_sorted()
        },
    );
}

/// How a connection from the target ends: `Some(true)` made, `Some(false)` refused, `None` silence.
fn connects(target: &Target, listener: &TcpListener) -> Option<bool> {
    let port = listener.local_addr().unwrap().port();
    let script = format!(
        "timeout 2 bash -c 'exec 3<>/dev/tcp/{}/{port}'; echo code $?",
        target.gateway()
    );
    let said = target.inside(&script).1;
    if said.contains("code 124") {
        None
    } else {
        Some(said.contains("code 0"))
    }
}

#[test]
fn partition_is_silent_and_reject_is_not() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let target = Target::start("partition", &[]);
    endings("partition", &target, &[], |it| {
        connects(it, &listener).is_none()
    });
    endings("reject", &target, &[], |it| {
        connects(it, &listener) == Some(false)
    });
}

#[test]
fn one_way_and_one_peer() {
    let target = Target::start("oneway", &[]);
    let other = Target::start("oneway-other", &[]);
    let peer = other.inspect("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
    let hears = |from: &Target, to: &str| from.inside(&format!("ping -q -c 2 -i 0.1 -W 1 {to}")).0;
    let gateway = target.gateway().to_string();
    // Only from that peer, by its name, and only what comes in.
    let dose = ["--peer", &other.name, "--way", "in", "--for", LONG];
    let mut monkey = Monkey::attack("partition", &target, &dose);
    until("the peer is cut off", || !hears(&target, &peer));
    assert!(hears(&target, &gateway), "only the peer is cut off");
    monkey.signal("-TERM");
    monkey.ended();
    until("the peer is back", || hears(&target, &peer));
}

#[test]
fn dns() {
    let network = format!("planaria-test-chaos-dns-{}", std::process::id());
    assert!(
        docker(&[
            "network",
            "create",
            "--label",
            "planaria.test=chaos",
            &network
        ])
        .status
        .success()
    );
    let target = Target::start("dns", &["--network", &network, "--network-alias", "wombat"]);
    endings("dns", &target, &[], |it| {
        !it.inside("timeout 1 getent hosts wombat").0
    });
    drop(target);
    docker(&["network", "rm", &network]);
}

#[test]
fn cpu() {
    let target = Target::start("cpu", &[]);
    endings("cpu", &target, &["--percent", "5"], |it| {
        let quota = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null";
        it.inside(quota).1.starts_with("5000")
    });
}

/// Bytes that the kernel counts for the target.
fn memory(target: &Target) -> u64 {
    let files =
        "cat /sys/fs/cgroup/memory/memory.usage_in_bytes /sys/fs/cgroup/memory.current 2>/dev/null";
    target
        .inside(files)
        .1
        .lines()
        .next()
        .and_then(|it| it.parse().ok())
        .unwrap_or(0)
}

#[test]
fn memory_runs_short() {
    let target = Target::start("memory", &[]);
    endings("memory", &target, &["--mebibytes", "48"], |it| {
        memory(it) > 48 << 20
    });
}

#[test]
fn oom() {
    let target = Target::start("oom", &[]);
    let limit =
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null";
    let before = target.inside(limit).1;
    let mut monkey = Monkey::attack("oom", &target, &["--for", "6s"]);
    until("the kernel killed", || {
        target.inspect("{{.State.Running}} {{.State.OOMKilled}}") == "false true"
    });
    monkey.ended();
    until("started again, with the limit that it had", || {
        target.inspect("{{.State.Running}}") == "true" && target.inside(limit).1 == before
    });
}

#[test]
fn disk_full() {
    let target = Target::start("disk", &["--tmpfs", "/data:size=16m"]);
    endings("disk-full", &target, &["--path", "/data"], |it| {
        !it.inside("head -c 2000000 /dev/zero >/data/x; code=$?; rm -f /data/x; exit $code")
            .0
    });
}

/// Processes that the kernel counts for the target's disk, and whether its file is written to now.
fn busy(target: &Target, folder: &str) -> (usize, bool) {
    let procs = "cat /sys/fs/cgroup/blkio/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null";
    let stamp = format!("stat --format %y {folder}/.planaria-busy-* 2>/dev/null");
    let said = target
        .inside(&format!(
            "{stamp}; echo -; sleep 0.4; {stamp}; echo -; {procs}"
        ))
        .1;
    let parts: Vec<&str> = said.split("-\n").collect();
    let [first, second, procs] = parts[..] else {
        panic!("{said}");
    };
    (procs.lines().count(), !first.is_empty() && first != second)
}

#[test]
fn io() {
    let target = Target::start("io", &[]);
    let (alone, _) = busy(&target, "");
    endings("io", &target, &["--mebibytes", "8"], |it| {
        let (processes, written) = busy(it, "");
        processes > alone && written
    });
    let left = target.inside("ls -A / | grep --count planaria-busy").1;
    assert_eq!(left.trim(), "0", "the file is left behind");
    // What is in memory is no disk, and it is said.
    let memory = Target::start("io-memory", &["--tmpfs", "/data:size=64m"]);
    let mut monkey = Monkey::attack("io", &memory, &[]);
    assert_eq!(monkey.ended(), Some(1));
    let left = memory.inside("ls -A /data").1;
    assert_eq!(left.trim(), "");
}

/// A folder with two files, and the digest of both.
const STORE: &str = "mkdir -p /data/chunks/a && head -c 300000 /dev/urandom >/data/chunks/0.segment \
    && head -c 5000 /dev/zero >/data/chunks/a/1.segment";

fn digest(target: &Target) -> String {
    let (fine, said) =
        target.inside("cat /data/chunks/0.segment /data/chunks/a/1.segment | sha256sum");
    assert!(fine, "{said}");
    said
}

#[test]
fn bit_rot() {
    let target = Target::start("rot", &["--label", "planaria.role=storage"]);
    assert!(target.inside(STORE).0);
    let before = digest(&target);
    endings("bit-rot", &target, &[], |it| digest(it) != before);
    // Another folder, when it is named; and nothing where there is nothing.
    let elsewhere = "mkdir /srv/x && echo 0123456789abcdef >/srv/x/file && sha256sum /srv/x/file";
    let there = target.inside(elsewhere).1;
    endings("bit-rot", &target, &["--path", "/srv/x"], |it| {
        it.inside("sha256sum /srv/x/file").1 != there
    });
    let mut monkey = Monkey::attack("bit-rot", &target, &["--path", "/srv/nothing"]);
    assert_eq!(monkey.ended(), Some(1));
    assert_eq!(digest(&target), before);
}

/// What the target mended, wrote anew or removed meanwhile is its own.
#[test]
fn rot_that_was_healed_is_left_alone() {
    let target = Target::start("healed", &["--label", "planaria.role=storage"]);
    assert!(target.inside(STORE).0);
    let before = digest(&target);
    let mut monkey = Monkey::seen("bit-rot", &target, &["--for", LONG], |it| {
        digest(it) != before
    });
    let anew = "head -c 300000 /dev/zero | tr '\\0' x >/data/chunks/0.segment \
        && rm /data/chunks/a/1.segment && head -c 5000 /dev/zero | tr '\\0' y >/data/chunks/a/1.segment";
    assert!(target.inside(anew).0);
    let healed = digest(&target);
    monkey.signal("-TERM");
    monkey.ended();
    assert_eq!(digest(&target), healed);
}

/// The files outlive the life in which they rotted, and so does their mending.
#[test]
fn rot_is_mended_in_the_next_life_too() {
    let target = Target::start("again", &["--label", "planaria.role=storage"]);
    assert!(target.inside(STORE).0);
    let before = digest(&target);
    let mut monkey = Monkey::seen("bit-rot", &target, &["--for", LONG], |it| {
        digest(it) != before
    });
    monkey.signal("-KILL");
    monkey.ended();
    assert!(
        docker(&["restart", "--timeout", "0", &target.name])
            .status
            .success()
    );
    assert_ne!(digest(&target), before);
    assert!(
        program(monkey.state.path())
            .arg("revert")
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(digest(&target), before);
}

/// In a volume they outlive the container too.
#[test]
fn rot_in_a_volume_is_mended_in_the_next_container_of_that_name() {
    let volume = format!("planaria-test-chaos-volume-{}", std::process::id());
    let mount = format!("{volume}:/data");
    let more = ["--label", "planaria.role=storage", "--volume", &mount];
    let target = Target::start("volume", &more);
    assert!(target.inside(STORE).0);
    let before = digest(&target);
    let mut monkey = Monkey::seen("bit-rot", &target, &["--for", LONG], |it| {
        digest(it) != before
    });
    assert!(docker(&["rm", "--force", &target.name]).status.success());
    assert_eq!(monkey.ended(), Some(1), "it stays open");
    let filter = format!("label=planaria.chaos.target={}", target.name);
    let helpers = text(&docker(&["ps", "--all", "--quiet", "--filter", &filter]));
    assert_eq!(helpers.trim(), "", "a helper is left behind");
    let revert = || program(monkey.state.path()).arg("revert").status().unwrap();
    assert!(!revert().success(), "nobody has the volume");
    std::mem::forget(target);
    let target = Target::start("volume", &more);
    assert_ne!(digest(&target), before);
    assert!(revert().success());
    assert_eq!(digest(&target), before);
    drop(target);
    docker(&["volume", "rm", &volume]);
}

#[test]
fn descriptors() {
    let target = Target::start("fd", &["--ulimit", "nofile=2048:4096"]);
    endings("descriptors", &target, &[], |it| {
        !it.inside("grep --quiet 'open files *2048 *4096' /proc/1/limits")
            .0
    });
}

/// The helper itself is killed: rules end by the kernel's clock at the latest, and the monkey clears them.
#[test]
fn a_killed_helper_leaves_nothing_behind() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let target = Target::start("helper", &[]);
    let mut monkey = Monkey::attack("partition", &target, &["--for", LONG]);
    until("cut off", || connects(&target, &listener).is_none());
    let filter = format!("label=planaria.chaos.target={}", target.name);
    let helper = text(&docker(&["ps", "--quiet", "--filter", &filter]));
    assert!(
        docker(&["kill", "--signal=KILL", helper.trim()])
            .status
            .success()
    );
    monkey.signal("-TERM");
    monkey.ended();
    until("no longer cut off", || {
        connects(&target, &listener) == Some(true)
    });
}
