//! What a group at rest costs: memory and processor time of each part over two minutes, the price of a
//! pulse, and how long a hang lasts beyond the pulse's deadline.

use anyhow::{Context, Result, ensure};
use bollard::Docker;
use clap::Parser;
use planaria_bench::events::Listener;
use planaria_bench::figures::keep;
use planaria_monitor::{Config, Monitor};
use serde::Serialize;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Look at the bench's stack while nothing happens to it.
#[derive(Parser)]
#[command(
    version,
    after_help = "scripts/bench starts the stack that this measures."
)]
struct Options {
    /// For how long, in seconds.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// The stack's Compose project; its prefix is `pb-`.
    #[arg(long, default_value = "planaria-bench")]
    project: String,
}

const PREFIX: &str = "pb-";
/// One of each part; of healers the leader and another one.
const PARTS: [&str; 7] = [
    "healer-3",
    "healer-1",
    "worker-1",
    "storage-node-1",
    "console",
    "chaos_monkey",
    "rabbitmq",
];
/// Enough that the loop around them costs nothing.
const PULSES: u32 = 50_000_000;
/// `PULSE_TIMEOUT` of the bench's stack: the default.
const PULSE_TIMEOUT: Duration = Duration::from_secs(10);
const HANGS: usize = 3;

#[derive(Serialize)]
struct Part {
    name: String,
    /// Of the first process, which is the monitor where it wraps.
    rss_mib: f64,
    /// The same without the pages of the program file.
    anonymous_mib: f64,
    /// Of the first process alone, percent of a core.
    cpu_percent: f64,
    /// Of the whole container with its health checks, percent of a core.
    container_cpu_percent: f64,
}

#[derive(Serialize)]
struct Figures {
    seconds: u64,
    parts: Vec<Part>,
    pulse_ns: f64,
    /// From the stop of the program to the end of the container, less the pulse's deadline.
    hang_beyond_deadline_ms: Vec<f64>,
    monitor_bytes: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let pulse_ns = pulse()?;
    println!("pulse(): {pulse_ns:.1} ns");
    let parts = parts(&options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let hangs = runtime.block_on(hangs(&options))?;
    let figures = Figures {
        seconds: options.seconds,
        parts,
        pulse_ns,
        hang_beyond_deadline_ms: hangs,
        monitor_bytes: binary()?,
    };
    report(&figures)
}

/// One relaxed store, so they say.
fn pulse() -> Result<f64> {
    let settings = planaria_core::settings::Settings {
        container_name: Some("bench".to_owned()),
        amqp_urls: Vec::new(),
        health_addr: "127.0.0.1:0".parse()?,
        ..Default::default()
    };
    let monitor = Monitor::start(Config::from_settings(settings)?)?;
    let began = Instant::now();
    for _ in 0..PULSES {
        monitor.pulse();
    }
    Ok(began.elapsed().as_secs_f64() * 1e9 / f64::from(PULSES))
}

/// Where one container's accounts are kept.
struct Account {
    name: String,
    pid: String,
    id: String,
}

impl Account {
    fn of(part: &str) -> Result<Self> {
        let name = format!("{PREFIX}{part}");
        let facts = docker(&["inspect", "--format", "{{.State.Pid}} {{.Id}}", &name])?;
        let (pid, id) = facts.split_once(' ').context("no such container")?;
        Ok(Self {
            name,
            pid: pid.to_owned(),
            id: id.to_owned(),
        })
    }

    /// Nanoseconds on a processor: the first process's, and the whole container's.
    fn used(&self) -> Result<(u64, u64)> {
        let mut own = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let stat = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            own += stat
                .split(' ')
                .next()
                .and_then(|ns| ns.parse::<u64>().ok())
                .unwrap_or(0);
        }
        Ok((own, self.container()?))
    }

    fn container(&self) -> Result<u64> {
        let first = PathBuf::from(format!(
            "/sys/fs/cgroup/cpuacct/docker/{}/cpuacct.usage",
            self.id
        ));
        if let Ok(text) = std::fs::read_to_string(&first) {
            return Ok(text.trim().parse()?);
        }
        let cgroup = std::fs::read_to_string(format!("/proc/{}/cgroup", self.pid))?;
        let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"));
        let path = path.context("neither cgroup v1 nor v2")?;
        let stat = std::fs::read_to_string(format!("/sys/fs/cgroup{path}/cpu.stat"))?;
        let usec = stat
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        Ok(usec.context("no usage_usec")?.trim().parse::<u64>()? * 1000)
    }

    /// All of its resident memory, and what of it is no file's, in MiB.
    fn memory(&self) -> Result<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let kib = |key: &str| -> f64 {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.and_then(|kib| kib.parse().ok()).unwrap_or(0.0)
        };
        Ok((kib("VmRSS:") / 1024.0, kib("RssAnon:") / 1024.0))
    }
}

#[allow(clippy::cast_precision_loss, reason = "two minutes of nanoseconds fit")]
fn parts(options: &Options) -> Result<Vec<Part>> {
    let accounts: Vec<Account> = PARTS
        .iter()
        .map(|part| Account::of(part))
        .collect::<Result<_>>()?;
    let before: Vec<(u64, u64)> = accounts.iter().map(Account::used).collect::<Result<_>>()?;
    println!("Looking at a quiet stack for {} s.", options.seconds);
    let began = Instant::now();
    std::thread::sleep(Duration::from_secs(options.seconds));
    let span = began.elapsed().as_nanos() as f64;
    let mut parts = Vec::new();
    for (account, (own, all)) in accounts.iter().zip(before) {
        let (own_now, all_now) = account.used()?;
        let (rss_mib, anonymous_mib) = account.memory()?;
        let percent = |from: u64, to: u64| to.saturating_sub(from) as f64 / span * 100.0;
        parts.push(Part {
            name: account.name.clone(),
            rss_mib,
            anonymous_mib,
            cpu_percent: percent(own, own_now),
            container_cpu_percent: percent(all, all_now),
        });
    }
    Ok(parts)
}

async fn hangs(options: &Options) -> Result<Vec<f64>> {
    let docker_api = Docker::connect_with_defaults()?.negotiate_version().await?;
    let label = format!("com.docker.compose.project={}", options.project);
    let events = Listener::start(&docker_api, &label).await?;
    let mut beyond = Vec::new();
    for number in 1..=HANGS {
        let name = format!("{PREFIX}worker-{number}");
        let sent = Instant::now();
        docker(&[
            "exec",
            &name,
            "sh",
            "-c",
            "kill -STOP $(cat /run/nginx.pid)",
        ])?;
        let stopped = Instant::now();
        let died = events.wait(&name, "die", sent).await?;
        ensure!(
            died.exit_code.as_deref() == Some("70"),
            "{name} ended with {:?}",
            died.exit_code
        );
        // The signal went out somewhere in the call; its end is the later bound.
        let hung = died.heard - stopped;
        let over = hung.as_secs_f64() - PULSE_TIMEOUT.as_secs_f64();
        println!(
            "{name} hung for {:.0} ms beyond its deadline",
            over * 1000.0
        );
        beyond.push(over * 1000.0);
    }
    Ok(beyond)
}

/// The size of the sidecar's program.
fn binary() -> Result<u64> {
    let name = format!("{PREFIX}worker-1");
    let size = docker(&["exec", &name, "stat", "--format", "%s", "/monitor"])?;
    Ok(size.parse()?)
}

fn docker(arguments: &[&str]) -> Result<String> {
    let output = Command::new("docker").args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "docker {arguments:?}: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn report(figures: &Figures) -> Result<()> {
    println!(
        "\n{:<20} {:>9} {:>9} {:>9} {:>12}",
        "at rest", "RSS MiB", "anon MiB", "CPU %", "with checks"
    );
    for part in &figures.parts {
        println!(
            "{:<20} {:>9.1} {:>9.1} {:>9.3} {:>12.3}",
            part.name,
            part.rss_mib,
            part.anonymous_mib,
            part.cpu_percent,
            part.container_cpu_percent
        );
    }
    let megabytes = figures.monitor_bytes as f64 / 1e6;
    println!(
        "monitor: {megabytes:.2} MB; pulse(): {:.1} ns",
        figures.pulse_ns
    );
    println!("kept in {}", keep("footprint", figures)?.display());
    Ok(())
}
