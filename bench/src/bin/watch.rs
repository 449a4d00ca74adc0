//! `monitor watch` beside two others that heal the unhealthy: a listener that does nothing but restart what
//! the engine's events call unhealthy (the floor), and a poller that asks each five seconds, as
//! docker-autoheal does. All in one run, on this machine's engine, with a label of its own.

use anyhow::{Context, Result, ensure};
use bollard::Docker;
use bollard::query_parameters::{
    EventsOptionsBuilder, ListContainersOptionsBuilder, RestartContainerOptionsBuilder,
};
use clap::Parser;
use futures::StreamExt;
use serde_json::json;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::{sleep, timeout};

const IMAGE: &str = "debian:trixie-slim";
const LABEL: &str = "watch-bench";
/// As docker-autoheal's default.
const POLL: Duration = Duration::from_secs(5);
/// Far beyond any healing.
const PATIENCE: Duration = Duration::from_secs(60);
/// The kernel's clock ticks, in which it counts CPU time; 100 a second on every Linux that Docker runs on.
const TICKS: f64 = 100.0;
/// Before the figures count: lists, first health checks.
const WARM_UP: Duration = Duration::from_secs(20);

/// Cost when idle, and time from `unhealthy` to `start`.
#[derive(Parser)]
struct Arguments {
    /// The program to be measured (the sidecar profile is what people run).
    #[arg(long)]
    monitor: PathBuf,
    /// Containers that are watched while it idles.
    #[arg(long, default_value_t = 200)]
    containers: usize,
    /// How long its idling is measured.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Healings by each healer.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
}

/// Removes the bench's containers, however it ends.
struct Crowd;

impl Drop for Crowd {
    fn drop(&mut self) {
        let listed = Command::new("docker")
            .args(["ps", "--all", "--quiet", "--filter"])
            .arg(format!("label={LABEL}"))
            .output();
        let ids = listed.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
        for some in ids
            .unwrap_or_default()
            .lines()
            .collect::<Vec<_>>()
            .chunks(20)
        {
            let _ = Command::new("docker")
                .args(["rm", "--force", "--volumes"])
                .args(some)
                .stdout(Stdio::null())
                .status();
        }
    }
}

/// A watcher; ended when dropped.
struct Watcher(Child);

impl Watcher {
    fn start(program: &Path) -> Result<Self> {
        let child = Command::new(program)
            .arg("watch")
            .env_clear()
            .env("PLANARIA_CONFIG", "/dev/null")
            .env("PLANARIA_CONTAINER_NAME", LABEL)
            .env("PLANARIA_HEALTH_ADDR", "127.0.0.1:0")
            .env("PLANARIA_RESTART_LIMIT", "1000")
            .env("PLANARIA_BACKOFF_RESET", "1ms")
            .env("AUTOHEAL_CONTAINER_LABEL", LABEL)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| program.display().to_string())?;
        Ok(Self(child))
    }

    fn cpu_seconds(&self) -> Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let (_, rest) = text.rsplit_once(')').context("no stat line")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
        Ok((ticks(11).context("utime")? + ticks(12).context("stime")?) / TICKS)
    }

    fn rss_kib(&self) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.context("VmRSS")?.trim().trim_end_matches(" kB");
        Ok(number.trim().parse()?)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn docker(arguments: &[&str]) -> Result<String> {
    let output = Command::new("docker").args(arguments).output()?;
    ensure!(
        output.status.success(),
        "docker {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn run(name: &str, label: &str, options: &[&str]) -> Result<String> {
    let head = [
        "run",
        "--detach",
        "--init",
        "--network",
        "none",
        "--name",
        name,
        "--label",
        label,
    ];
    docker(&[&head[..], options, &[IMAGE, "sleep", "infinity"]].concat())
}

fn filters(pairs: &[(&str, &str)]) -> HashMap<String, Vec<String>> {
    let mut all: HashMap<String, Vec<String>> = HashMap::new();
    for (key, value) in pairs {
        all.entry((*key).to_owned())
            .or_default()
            .push((*value).to_owned());
    }
    all
}

async fn restart(docker: &Docker, id: &str) {
    let options = RestartContainerOptionsBuilder::new().t(10).build();
    // The next round tells when it failed.
    let _ = docker.restart_container(id, Some(options)).await;
}

/// The floor: an event, a restart.
async fn listen(docker: Docker, id: String) {
    let wanted = filters(&[("container", &id), ("event", "health_status")]);
    let options = EventsOptionsBuilder::new().filters(&wanted).build();
    let mut events = std::pin::pin!(docker.events(Some(options)));
    while let Some(Ok(event)) = events.next().await {
        if event.action.as_deref() == Some("health_status: unhealthy") {
            restart(&docker, &id).await;
        }
    }
}

/// A poller as docker-autoheal is one: each five seconds a list of the unhealthy, each of them restarted.
async fn poll(docker: Docker) {
    loop {
        let label = format!("{LABEL}=true");
        let wanted = filters(&[("health", "unhealthy"), ("label", &label)]);
        let options = ListContainersOptionsBuilder::new().filters(&wanted).build();
        for sick in docker
            .list_containers(Some(options))
            .await
            .unwrap_or_default()
        {
            if let Some(id) = sick.id {
                restart(&docker, &id).await;
            }
        }
        sleep(POLL).await;
    }
}

/// Makes it sick, and measures by the engine's own clock from `unhealthy` to `start`.
async fn heal_once(docker: &Docker, id: &str) -> Result<f64> {
    let wanted = filters(&[
        ("container", id),
        ("event", "health_status"),
        ("event", "start"),
    ]);
    let options = EventsOptionsBuilder::new().filters(&wanted).build();
    let mut events = std::pin::pin!(docker.events(Some(options)));
    let touch = async {
        sleep(Duration::from_millis(300)).await;
        let id = id.to_owned();
        tokio::task::spawn_blocking(move || crate::docker(&["exec", &id, "touch", "/t/sick"]))
            .await?
    };
    let watch = async {
        let mut sick = None;
        while let Some(event) = events.next().await {
            let event = event?;
            let at = event.time_nano.unwrap_or(0);
            match (event.action.as_deref(), sick) {
                (Some("health_status: unhealthy"), None) => sick = Some(at),
                (Some("start"), Some(from)) => return Ok((at - from) as f64 / 1e6),
                _ => {}
            }
        }
        anyhow::bail!("the event stream ended")
    };
    let (touched, took) = tokio::join!(touch, timeout(PATIENCE, watch));
    touched?;
    let took = took.context("it was not healed in time")??;
    // The next one begins from a healthy one.
    let healthy = async {
        loop {
            let found = docker.inspect_container(id, None).await?;
            let health = found.state.and_then(|state| state.health?.status);
            if health == Some(bollard::models::HealthStatusEnum::HEALTHY) {
                return anyhow::Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, healthy)
        .await
        .context("it stays sick")??;
    Ok(took)
}

async fn rounds(docker: &Docker, id: &str, count: usize) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(heal_once(docker, id).await?);
    }
    all.sort_by(f64::total_cmp);
    Ok(all)
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let docker = Docker::connect_with_socket_defaults()?
        .negotiate_version()
        .await?;
    drop(Crowd);
    let _crowd = Crowd;
    let mark = format!("{LABEL}=true");

    let sick = [
        "--tmpfs",
        "/t",
        "--health-cmd",
        "test ! -f /t/sick",
        "--health-interval",
        "1s",
        "--health-timeout",
        "5s",
        "--health-retries",
        "1",
    ];
    let patient = run("watch-bench-patient", &mark, &sick)?;
    sleep(Duration::from_secs(2)).await;
    let listener = tokio::spawn(listen(docker.clone(), patient.clone()));
    sleep(Duration::from_secs(1)).await;
    let floor = rounds(&docker, &patient, arguments.rounds).await?;
    listener.abort();
    let watcher = Watcher::start(&arguments.monitor)?;
    // Younger than the stop-timeout it could not know whose a death is.
    sleep(Duration::from_secs(12)).await;
    let watch = rounds(&docker, &patient, arguments.rounds).await?;
    drop(watcher);
    let poller = tokio::spawn(poll(docker.clone()));
    let polled = rounds(&docker, &patient, arguments.rounds.min(5)).await?;
    poller.abort();

    let idle = ["--health-cmd", "true", "--health-interval", "30s"];
    for number in 0..arguments.containers {
        run(&format!("watch-bench-{number}"), &mark, &idle)?;
    }
    let watcher = Watcher::start(&arguments.monitor)?;
    sleep(WARM_UP).await;
    let before = watcher.cpu_seconds()?;
    sleep(Duration::from_secs(arguments.seconds)).await;
    let cpu = (watcher.cpu_seconds()? - before) / arguments.seconds as f64 * 100.0;
    let rss = watcher.rss_kib()? as f64 / 1024.0;
    let report = json!({
        "unhealthy_to_start_ms": { "floor": floor, "watch": watch, "poller_5s": polled },
        "median_ms": { "floor": median(&floor), "watch": median(&watch), "poller_5s": median(&polled) },
        "watch_over_floor": median(&watch) / median(&floor),
        "poller_over_floor": median(&polled) / median(&floor),
        "idle": { "containers": arguments.containers, "seconds": arguments.seconds, "cpu_percent": cpu, "rss_mib": rss },
        "goals": { "watch_over_floor": 1.15, "cpu_percent": 0.1, "rss_mib": 5.0 },
    });
    println!("{report:#}");
    Ok(())
}
