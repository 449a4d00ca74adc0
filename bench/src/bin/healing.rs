//! How long from `kill` until it runs again, and until it answers: the group beside the least that anyone
//! can do, and beside a poller, in one run and in turn, so that the machine's mood strikes all alike.
//!
//! - *floor*: a bare loop that waits for the `die` event and calls `start`, on containers that differ in
//!   nothing from those of the stack but in having no group.
//! - *poller*: looks each 5 s for what has exited, and starts it, as healers without events do.

use anyhow::{Context, Result, ensure};
use bollard::Docker;
use bollard::query_parameters::{KillContainerOptions, ListContainersOptions};
use clap::Parser;
use futures::future::try_join_all;
use planaria_bench::events::{Listener, PATIENCE};
use planaria_bench::figures::{Spread, keep, ratio};
use serde::Serialize;
use std::collections::HashMap;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Kill containers of the bench's stack, and measure.
#[derive(Parser)]
#[command(
    version,
    after_help = "scripts/bench starts the stack that this measures."
)]
struct Options {
    /// How many kills of workers.
    #[arg(long, default_value_t = 40)]
    kills: usize,
    /// How many kills of the leader.
    #[arg(long, default_value_t = 6)]
    leaders: usize,
    /// How often five are killed at once.
    #[arg(long, default_value_t = 4)]
    bursts: usize,
    /// How many kills are left to the poller.
    #[arg(long, default_value_t = 4)]
    polled: usize,
    /// The stack's Compose project; its prefix is `pb-`.
    #[arg(long, default_value = "planaria-bench")]
    project: String,
}

const PREFIX: &str = "pb-";
const WORKERS: usize = 8;
/// worker-1 is one above.
const WORKER_PORT_BASE: u16 = 18280;
const FLOORS: usize = 5;
const FLOOR_PORT_BASE: u16 = 18320;
const POLLER_PORT_BASE: u16 = 18340;
const BURST: usize = 5;
/// As docker-autoheal's default.
const POLL_EVERY: Duration = Duration::from_secs(5);
/// Between two kills; each worker's turn comes after eight of these, which is longer than the bench's
/// `BACKOFF_RESET`.
const REST: Duration = Duration::from_millis(1200);
/// A leader is left alone for longer than the lease and the broker's patience together, and than its stop timeout: a
/// successor that has listened for less cannot tell a death from the end of a stop, and waits a second for its event.
const LEADER_REST: Duration = Duration::from_secs(13);

#[derive(Clone, Copy)]
struct Times {
    running: Duration,
    answering: Duration,
}

#[derive(Serialize)]
struct Both {
    running_ms: Spread,
    answering_ms: Spread,
}

impl Both {
    fn of(times: &[Times]) -> Result<Self> {
        let of =
            |pick: fn(&Times) -> Duration| Spread::of(&times.iter().map(pick).collect::<Vec<_>>());
        Ok(Self {
            running_ms: of(|times| times.running)?,
            answering_ms: of(|times| times.answering)?,
        })
    }
}

#[derive(Serialize)]
struct Figures {
    worker: Both,
    worker_floor: Both,
    worker_poller: Both,
    five_at_once: Both,
    five_at_once_floor: Both,
    leader: Leader,
    /// Worker by floor.
    median_ratio: f64,
    p95_ratio: f64,
    answering_ratio: f64,
    burst_ratio: f64,
    /// Kill of the leader until it runs, by the floor's median.
    leader_ratio: f64,
}

#[derive(Serialize)]
struct Leader {
    running_ms: Spread,
    /// From its `die` event until its successor gave the first order.
    successor_acts_ms: Spread,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let options = Options::parse();
    let docker = Docker::connect_with_defaults()?.negotiate_version().await?;
    let made = Made::start(&options.project)?;
    let loops = [
        tokio::spawn(floor(docker.clone())),
        tokio::spawn(poller(docker.clone())),
    ];
    let label = format!("com.docker.compose.project={}", options.project);
    let events = Listener::start(&docker, &label).await?;
    let bench = Bench { docker, events };
    let measured = bench.measure(&options).await;
    for task in loops {
        task.abort();
    }
    drop(made);
    let figures = measured?;
    report(&figures)?;
    Ok(())
}

/// The containers beside the stack; gone at the end.
struct Made(Vec<String>);

impl Made {
    fn start(project: &str) -> Result<Self> {
        let mut made = Self(Vec::new());
        for number in 1..=FLOORS {
            made.run(project, "floor", number, FLOOR_PORT_BASE)?;
        }
        made.run(project, "poller", 1, POLLER_PORT_BASE)?;
        Ok(made)
    }

    /// As Compose makes the workers, but for group, name and port.
    fn run(&mut self, project: &str, kind: &str, number: usize, base: u16) -> Result<()> {
        let name = format!("{PREFIX}{kind}-{number}");
        let port = base + u16::try_from(number)?;
        self.0.push(name.clone());
        let mut command = Command::new("docker");
        command
            .args(["run", "--detach", "--name", &name, "--hostname", &name])
            .args(["--network", &format!("{project}_default")])
            .args(["--label", &format!("com.docker.compose.project={project}")])
            .args(["--label", &format!("planaria.bench={kind}")])
            .args(["--publish", &format!("127.0.0.1:{port}:80")])
            .args(["--read-only", "--tmpfs", "/run", "--tmpfs", "/tmp"])
            .args(["--cap-drop", "ALL", "--cap-add", "CHOWN"])
            .args(["--cap-add", "NET_BIND_SERVICE", "--cap-add", "SETGID"])
            .args(["--cap-add", "SETUID", "--cap-add", "KILL"])
            .args(["--security-opt", "no-new-privileges:true"])
            .arg("planaria/worker");
        let output = command.output()?;
        ensure!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for name in &self.0 {
            // scripts/bench removes the whole project in the end.
            let _ = Command::new("docker")
                .args(["rm", "--force", name])
                .output();
        }
    }
}

/// The least that anyone can do: `die` → `start`.
async fn floor(docker: Docker) -> Result<()> {
    let listener = Listener::start(&docker, "planaria.bench=floor").await?;
    let all = (1..=FLOORS).map(|number| keep_up(&docker, &listener, number));
    try_join_all(all).await.map(drop)
}

async fn keep_up(docker: &Docker, listener: &Listener, number: usize) -> Result<()> {
    let name = format!("{PREFIX}floor-{number}");
    let mut since = Instant::now();
    loop {
        if listener.wait(&name, "die", since).await.is_ok() {
            docker.start_container(&name, None).await?;
        }
        since = Instant::now();
    }
}

/// A healer without events.
async fn poller(docker: Docker) -> Result<()> {
    let filters = HashMap::from([
        ("label".to_owned(), vec!["planaria.bench=poller".to_owned()]),
        ("status".to_owned(), vec!["exited".to_owned()]),
    ]);
    loop {
        tokio::time::sleep(POLL_EVERY).await;
        let options = ListContainersOptions {
            all: true,
            filters: Some(filters.clone()),
            ..ListContainersOptions::default()
        };
        for found in docker.list_containers(Some(options)).await? {
            let id = found.id.unwrap_or_default();
            docker.start_container(&id, None).await?;
        }
    }
}

struct Bench {
    docker: Docker,
    events: Listener,
}

impl Bench {
    async fn measure(&self, options: &Options) -> Result<Figures> {
        let (mut ours, mut floors, mut polled) = (Vec::new(), Vec::new(), Vec::new());
        for turn in 0..options.kills {
            let floor = self
                .kill("floor", turn % FLOORS + 1, FLOOR_PORT_BASE)
                .await?;
            tokio::time::sleep(REST / 2).await;
            let number = turn % WORKERS + 1;
            let worker = self.kill("worker", number, WORKER_PORT_BASE).await?;
            println!(
                "{:>3}/{} floor {:>5.0?} {:>5.0?}   worker-{number} {:>5.0?} {:>5.0?}",
                turn + 1,
                options.kills,
                floor.running,
                floor.answering,
                worker.running,
                worker.answering
            );
            floors.push(floor);
            ours.push(worker);
            tokio::time::sleep(REST / 2).await;
        }
        let (mut bursts, mut floor_bursts) = (Vec::new(), Vec::new());
        for turn in 0..options.bursts {
            floor_bursts.push(self.burst("floor", FLOOR_PORT_BASE).await?);
            tokio::time::sleep(4 * REST).await;
            bursts.push(self.burst("worker", WORKER_PORT_BASE).await?);
            println!("burst {}/{}", turn + 1, options.bursts);
            tokio::time::sleep(4 * REST).await;
        }
        let leader = self.leaders(options.leaders).await?;
        for _ in 0..options.polled {
            polled.push(self.kill("poller", 1, POLLER_PORT_BASE).await?);
        }
        let (worker, worker_floor) = (Both::of(&ours)?, Both::of(&floors)?);
        let (five, five_floor) = (Both::of(&bursts)?, Both::of(&floor_bursts)?);
        let by = |pick: fn(&Both) -> f64| ratio(pick(&worker), pick(&worker_floor));
        Ok(Figures {
            median_ratio: by(|both| both.running_ms.median),
            p95_ratio: by(|both| both.running_ms.p95),
            answering_ratio: by(|both| both.answering_ms.median),
            burst_ratio: ratio(five.running_ms.median, five_floor.running_ms.median),
            leader_ratio: ratio(leader.running_ms.median, worker_floor.running_ms.median),
            worker,
            worker_floor,
            worker_poller: Both::of(&polled)?,
            five_at_once: five,
            five_at_once_floor: five_floor,
            leader,
        })
    }

    async fn kill(&self, kind: &str, number: usize, base: u16) -> Result<Times> {
        let name = format!("{PREFIX}{kind}-{number}");
        let port = base + u16::try_from(number)?;
        let sent = Instant::now();
        self.docker.kill_container(&name, hard()).await?;
        self.events.wait(&name, "die", sent).await?;
        let running = self.events.wait(&name, "start", sent).await?.heard - sent;
        answers(port).await.with_context(|| name.clone())?;
        Ok(Times {
            running,
            answering: sent.elapsed(),
        })
    }

    /// Until the last of five runs, and answers.
    async fn burst(&self, kind: &str, base: u16) -> Result<Times> {
        let kills = (1..=BURST).map(|number| self.kill(kind, number, base));
        let times = try_join_all(kills).await?;
        let last = |pick: fn(&Times) -> Duration| times.iter().map(pick).max().unwrap_or_default();
        Ok(Times {
            running: last(|times| times.running),
            answering: last(|times| times.answering),
        })
    }

    async fn leaders(&self, kills: usize) -> Result<Leader> {
        let (mut running, mut acts) = (Vec::new(), Vec::new());
        for turn in 0..kills {
            tokio::time::sleep(LEADER_REST).await;
            let leader = leader()?;
            let sent = Instant::now();
            self.docker.kill_container(&leader, hard()).await?;
            let died = self.events.wait(&leader, "die", sent).await?;
            let started = self.events.wait(&leader, "start", sent).await?;
            running.push(started.heard - sent);
            let acted = first_order(&leader, died.engine_ns)?;
            acts.push(acted);
            println!(
                "{:>3}/{kills} {leader}: successor acts after {acted:.0?}, runs after {:.0?}",
                turn + 1,
                started.heard - sent
            );
        }
        Ok(Leader {
            running_ms: Spread::of(&running)?,
            successor_acts_ms: Spread::of(&acts)?,
        })
    }
}

fn hard() -> Option<KillContainerOptions> {
    Some(KillContainerOptions {
        signal: "SIGKILL".to_owned(),
    })
}

/// Until it answers 200.
async fn answers(port: u16) -> Result<()> {
    let ask = async {
        loop {
            if let Ok(true) = get(port).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ask)
        .await
        .context("it runs and does not answer")
}

async fn get(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    Ok(head.ends_with(b"200"))
}

fn docker(arguments: &[&str]) -> Result<String> {
    let output = Command::new("docker").args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "docker {arguments:?}: {said}");
    // The logs of `monitor` are on standard error or output, whichever; both are wanted.
    Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &said)
}

fn leader() -> Result<String> {
    let healer = format!("{PREFIX}healer-1");
    let status = docker(&["exec", &healer, "/monitor", "status", "--json"])?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    let leader = status["leader"].as_str().context("no leader")?;
    Ok(leader.to_owned())
}

/// When the first order about the old leader was given, by the time stamps of the healers' logs.
fn first_order(leader: &str, died_ns: i64) -> Result<Duration> {
    let died = u64::try_from(died_ns).context("no time in the event")?;
    let since = format!("{}.{:09}", died / 1_000_000_000, died % 1_000_000_000);
    let said = format!("Node {leader} is DEAD. Restarting...");
    let mut orders = Vec::new();
    for number in 1..=3 {
        let healer = format!("{PREFIX}healer-{number}");
        let log = docker(&["logs", "--timestamps", "--since", &since, &healer])?;
        let line = log.lines().find(|line| line.contains(&said));
        orders.extend(line.and_then(|line| line.split(' ').next()).and_then(nanos));
    }
    let first = orders.into_iter().min().context("nobody gave an order")?;
    // Of one day: it does not matter which.
    let of_day = died % 86_400_000_000_000;
    Ok(Duration::from_nanos(first.saturating_sub(of_day)))
}

/// `2026-11-21T16:07:35.123456789Z` → nanoseconds of that day.
fn nanos(stamp: &str) -> Option<u64> {
    let clock = stamp.split_once('T')?.1.strip_suffix('Z')?;
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut seconds = 0;
    for part in whole.split(':') {
        seconds = seconds * 60 + part.parse::<u64>().ok()?;
    }
    let fraction: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Some(seconds * 1_000_000_000 + fraction)
}

fn report(figures: &Figures) -> Result<()> {
    println!("\nmilliseconds                        median      p95      max");
    let rows = [
        ("worker, until it runs", &figures.worker.running_ms),
        ("  floor", &figures.worker_floor.running_ms),
        ("  poller, 5 s", &figures.worker_poller.running_ms),
        ("worker, until it answers", &figures.worker.answering_ms),
        ("  floor", &figures.worker_floor.answering_ms),
        ("  poller, 5 s", &figures.worker_poller.answering_ms),
        ("five at once, all run", &figures.five_at_once.running_ms),
        ("  floor", &figures.five_at_once_floor.running_ms),
        (
            "five at once, all answer",
            &figures.five_at_once.answering_ms,
        ),
        ("  floor", &figures.five_at_once_floor.answering_ms),
        ("leader, successor acts", &figures.leader.successor_acts_ms),
        ("leader, until it runs", &figures.leader.running_ms),
    ];
    for (name, spread) in rows {
        println!("{name:<33} {}", spread.columns());
    }
    println!(
        "\nby the floor: median {:.2}, p95 {:.2}, answering {:.2}, five at once {:.2}, leader {:.2}",
        figures.median_ratio,
        figures.p95_ratio,
        figures.answering_ratio,
        figures.burst_ratio,
        figures.leader_ratio
    );
    println!("kept in {}", keep("healing", figures)?.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::nanos;

    #[test]
    fn time_stamps_of_logs_become_nanoseconds_of_the_day() {
        assert_eq!(nanos("2026-11-21T00:01:02.5Z"), Some(62_500_000_000));
        assert_eq!(nanos("2026-11-21T01:00:00Z"), Some(3_600_000_000_000));
        assert_eq!(nanos("Node"), None);
    }
}
