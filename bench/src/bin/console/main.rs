//! What the console costs and how fast it is: 200 members and a day of history, through a real RabbitMQ.
//!
//! The group is made up here: a leader that beats, 200 members that say every 2 s that they live and answer
//! when they are asked for their numbers, and a journal of a day. The console is the program as it is shipped.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use planaria_bench::figures::{Spread, keep};
use planaria_console::store::{Store, metrics, now_ms};
use planaria_core::codec::{Codec, Key, Keys};
use planaria_core::id::{BootId, ContainerId, Incarnation, MemberName, Term};
use planaria_core::message::{
    Alert, AttackStage, AttackTold, Beat, Body, Envelope, Heartbeat, Incident, IncidentOutcome,
    KeyRole, MemberState, MemberView, RestartReason, Severity,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Measure the console.
#[derive(Parser)]
#[command(
    version,
    after_help = "scripts/bench console starts the broker that this needs."
)]
struct Options {
    /// The console's program, static as it is shipped.
    #[arg(long)]
    program: PathBuf,
    /// The broker, as ADDRESS:PORT.
    #[arg(long)]
    broker: String,
    /// The folder that scripts/setup fills.
    #[arg(long, default_value = ".secrets")]
    secrets: PathBuf,
    /// Members of the group.
    #[arg(long, default_value_t = MEMBERS)]
    members: u8,
    /// Events whose way to the page is measured, of each kind.
    #[arg(long, default_value_t = 40)]
    events: usize,
    /// How long processor time is measured, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// A Python with Selenium (scripts/browser makes one): how soon Chromium paints the page.
    #[arg(long)]
    browser: Option<PathBuf>,
}

/// The size that the limits are for.
const MEMBERS: u8 = 200;
/// Open pages.
const PAGES: usize = 200;
/// An incident every half minute of a day, and half as many attacks.
const INCIDENTS: u64 = 2880;
const ATTACKS: u64 = 1440;
const ALERTS: u64 = 200;
const DAY_MS: u64 = 86_400_000;
const CLUSTER: &str = "bench";
const EXCHANGE: &str = "control_exchange";
const PORT: u16 = 19_180;
/// Members are asked for their numbers here; all of 127.0.0.0/8 is this machine.
const HEALTH_PORT: u16 = 19_747;
const PATIENCE: Duration = Duration::from_secs(120);

/// The limits of the console, in the units of [`Figures`].
const RSS_MIB: f64 = 30.0;
const EVENT_MS: f64 = 150.0;
const PAGES_CPU_PERCENT: f64 = 20.0;
const WEIGHT_KB: f64 = 150.0;
const PAINT_MS: f64 = 200.0;
const TASK_MS: f64 = 50.0;
/// Loads of the page by a browser.
const LOADS: &str = "10";

#[derive(Serialize)]
struct Figures {
    members: u8,
    incidents: u64,
    rss_mib: f64,
    anonymous_mib: f64,
    rss_with_pages_mib: f64,
    cpu_alone_percent: f64,
    cpu_with_pages_percent: f64,
    cpu_with_pages_and_an_event_a_second_percent: f64,
    incident_to_page_ms: Spread,
    state_to_page_ms: Spread,
    weight_kb: f64,
    weight_compressed_kb: f64,
    page_ms: Spread,
    /// By bench/paint.py, where there was a browser.
    browser: Option<serde_json::Value>,
}

fn name(index: u8) -> Result<MemberName> {
    Ok(MemberName::new(format!("127.0.1.{index}"))?)
}

/// The made-up group.
struct Group {
    codec: Codec,
    channel: Channel,
    boot: BootId,
    seq: AtomicU64,
    members: Mutex<Vec<MemberView>>,
    incidents: Mutex<Vec<Incident>>,
}

impl Group {
    async fn new(options: &Options) -> Result<Arc<Self>> {
        let read = |name: &str| -> Result<String> {
            let path = options.secrets.join(name);
            std::fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        let mut keys = Keys::new();
        for (role, file) in [
            (KeyRole::Member, "member.key"),
            (KeyRole::Healer, "healer.key"),
            (KeyRole::Operator, "operator.key"),
        ] {
            let secret = read(&format!("volumes/keys_healer/{file}"))?;
            keys = keys.with(role, Key::new(secret.as_bytes())?);
        }
        // One that may say everything: it plays every part.
        let known: serde_json::Value = serde_json::from_str(&read("secrets.json")?)?;
        let password = known["admin_password"]
            .as_str()
            .context("no admin_password")?;
        let url = format!("amqp://admin:{password}@{}/%2f", options.broker);
        let connection = eventually("the broker", || {
            let url = url.clone();
            async move { Ok(Connection::connect(&url, ConnectionProperties::default()).await?) }
        })
        .await?;
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let members = (1..=options.members)
            .map(|index| {
                Ok(MemberView {
                    name: name(index)?,
                    state: MemberState::Alive,
                    incarnation: Incarnation::from("x"),
                    boot: None,
                    host: None,
                    last_heartbeat_ms: Some(500),
                    restarts: 0,
                    candidate: index <= 5,
                    healer: index <= 5,
                    why: String::new(),
                    held: false,
                    skew_ms: None,
                    pulse_age_ms: Some(40),
                })
            })
            .collect::<Result<_>>()?;
        Ok(Arc::new(Self {
            codec: Codec::new(keys),
            channel,
            boot: BootId(77),
            seq: AtomicU64::new(1),
            members: Mutex::new(members),
            incidents: Mutex::default(),
        }))
    }

    async fn say(&self, from: MemberName, key: &str, body: Body) -> Result<()> {
        let envelope = Envelope {
            cluster: CLUSTER.to_owned(),
            from,
            boot: self.boot,
            seq: self.seq.fetch_add(1, Ordering::Relaxed),
            body,
        };
        let bytes = self.codec.encode(&envelope)?;
        let properties = BasicProperties::default()
            .with_app_id("planaria".into())
            .with_content_type("application/json".into());
        let options = BasicPublishOptions::default();
        // Who confirms is not waited for: the console's own word is.
        // Whether the broker took it shows in what the console tells.
        drop(
            self.channel
                .basic_publish(EXCHANGE.into(), key.into(), options, &bytes, properties)
                .await?,
        );
        Ok(())
    }

    fn members(&self) -> Vec<MemberView> {
        self.members
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, index: usize, state: MemberState) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(member) = members.get_mut(index) {
            member.state = state;
        }
    }

    async fn beat(&self, number: u64) -> Result<()> {
        let beat = Beat {
            term: Term {
                number: 3,
                boot: self.boot,
            },
            number,
            token: true,
            ranks: (1..=5).map(name).collect::<Result<_>>()?,
            members: self.members(),
            records: Vec::new(),
            holds: Vec::new(),
            tickets: Vec::new(),
            fences: Vec::new(),
            incidents: Vec::new(),
            interval_ms: 0,
            unix_ms: now_ms(),
        };
        self.say(name(1)?, "control.beat", Body::Beat(Box::new(beat)))
            .await
    }

    /// `/status` as the leader would say it.
    fn status(&self) -> Result<String> {
        let incidents = self
            .incidents
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Ok(serde_json::json!({
            "cluster": CLUSTER, "node": name(1)?, "boot": self.boot, "leader": name(1)?, "leader_why": "the only one", "term": 3,
            "term_id": self.boot, "is_leader": true, "may_force": true, "members": self.members(), "broker": "connected",
            "docker": "connected", "held": [], "incidents": incidents, "alerts": [], "tickets": 0, "elections": 1,
            "restarts_ordered": 0, "heartbeats": 1, "local_health": 0, "blind": false,
        })
        .to_string())
    }

    fn incident(&self, id: &str, whom: u8, at_ms: u64) -> Result<Incident> {
        Ok(Incident {
            id: id.to_owned(),
            name: name(whom)?.to_string(),
            container: ContainerId::from("0123456789abcdef"),
            reason: RestartReason::Killed,
            evidence: "die after signal 9; the container was started by the leader".to_owned(),
            by: name(1)?,
            term: 3,
            detect_ms: Some(31),
            order_ms: Some(2),
            start_ms: Some(168),
            healthy_ms: Some(122),
            outcome: IncidentOutcome::Healed,
            action: "start".to_owned(),
            exit_code: Some(137),
            oom: false,
            restarts: 1,
            at_ms: Some(at_ms),
            notes: BTreeMap::new(),
        })
    }

    /// A day, into the journal.
    async fn tell_a_day(&self, members: u8) -> Result<()> {
        let now = now_ms();
        let whom = |index: u64| u8::try_from(index % u64::from(members)).unwrap_or(0) + 1;
        for index in 0..INCIDENTS {
            let at = now - DAY_MS + index * (DAY_MS / INCIDENTS);
            let incident = self.incident(&format!("day-{index}"), whom(index), at)?;
            self.say(
                name(1)?,
                "report.incident",
                Body::Incident(Box::new(incident)),
            )
            .await?;
        }
        for index in 0..ATTACKS {
            let at = now - DAY_MS + index * (DAY_MS / ATTACKS);
            for (stage, after) in [
                (AttackStage::Begun, 0),
                (AttackStage::Injected, 80),
                (AttackStage::Healed, 400),
            ] {
                let told = AttackTold {
                    id: format!("{index:06x}"),
                    request: None,
                    fault: "kill".to_owned(),
                    target: name(whom(index))?.to_string(),
                    stage,
                    text: "it is out, and back again".to_owned(),
                    at_ms: at + after,
                    within_ms: Some(30_000),
                };
                self.say(name(2)?, "chaos.attack", Body::Attack(Box::new(told)))
                    .await?;
            }
        }
        for index in 0..ALERTS {
            let alert = Alert {
                severity: Severity::Low,
                kind: format!("bench_{}", index % 10),
                name: Some(name(whom(index))?),
                text: "something that somebody should look at in the morning".to_owned(),
            };
            self.say(name(1)?, "alert.bench", Body::Alert(alert))
                .await?;
        }
        Ok(())
    }
}

/// Beats each second, and everyone's heartbeats spread over two.
async fn live(group: Arc<Group>, members: u8) {
    let mut number = 0;
    let mut ticks = tokio::time::interval(Duration::from_millis(2000 / u64::from(members.max(1))));
    let mut next_beat = Instant::now();
    for index in (1..=members).cycle() {
        ticks.tick().await;
        if Instant::now() >= next_beat {
            next_beat += Duration::from_secs(1);
            number += 1;
            drop(group.beat(number).await);
        }
        let Ok(from) = name(index) else { continue };
        let beat = Heartbeat {
            candidate: index <= 5,
            healer: index <= 5,
            pulse_age_ms: 40,
            up_s: number,
            number,
            unix_ms: now_ms(),
            ..Heartbeat::default()
        };
        let key = format!("heartbeat.{from}");
        drop(group.say(from, &key, Body::Heartbeat(beat)).await);
    }
}

/// Everyone's `/status` and `/metrics`.
async fn answer(group: Arc<Group>, listener: TcpListener) {
    // As long as a storage node's.
    let mut metrics: String = (0..120)
        .map(|index| format!("planaria_bench_numbers{{of=\"{index}\"}} {index}\n"))
        .collect();
    metrics.push_str(
        "planaria_chunks{state=\"stored\"} 1200\nplanaria_chunks{state=\"healthy\"} 1200\nplanaria_disk_free_bytes 900000000\n\
         planaria_disk_chunk_bytes 1000000\nplanaria_storage_in_sync 1\n# EOF\n",
    );
    let metrics = Arc::new(metrics);
    while let Ok((mut stream, _)) = listener.accept().await {
        let (group, metrics) = (Arc::clone(&group), Arc::clone(&metrics));
        tokio::spawn(async move {
            let mut request = [0_u8; 1024];
            let count = stream.read(&mut request).await.unwrap_or(0);
            let asked = String::from_utf8_lossy(&request[..count]).into_owned();
            let (kind, body) = if asked.starts_with("GET /status") {
                ("application/json", group.status().unwrap_or_default())
            } else {
                ("application/openmetrics-text", metrics.as_str().to_owned())
            };
            let text = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            // Who asked may have gone.
            drop(stream.write_all(text.as_bytes()).await);
        });
    }
}

/// The program under test, with a folder of its own.
struct Console {
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
    fn start(options: &Options, folder: &Path) -> Result<Self> {
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

    fn memory(&self, field: &str) -> Result<f64> {
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
    async fn cpu(&self, seconds: u64) -> Result<f64> {
        let (before, began) = (self.used()?, Instant::now());
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let used = Duration::from_nanos(self.used()?.saturating_sub(before));
        Ok(100.0 * used.as_secs_f64() / began.elapsed().as_secs_f64())
    }
}

async fn get(path: &str, headers: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", PORT)).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: console\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

async fn json(path: &str) -> Result<serde_json::Value> {
    let answer = get(path, "").await?;
    let text = String::from_utf8_lossy(&answer);
    let body = text.split_once("\r\n\r\n").context("no body")?.1;
    Ok(serde_json::from_str(body)?)
}

async fn eventually<T, F: Future<Output = Result<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() > end => {
                return Err(error.context(format!("in vain: {what}")));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// An open page; the sender gets each line with the time at which it was there.
async fn open(heard: Option<tokio::sync::mpsc::UnboundedSender<(Instant, String)>>) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", PORT)).await?;
    stream
        .write_all(b"GET /events?view=overview HTTP/1.1\r\nHost: console\r\n\r\n")
        .await?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(heard) = &heard
            && heard.send((Instant::now(), line)).is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}

/// How long after `happen` a line of the page's stream holds the text.
async fn until_shown(
    heard: &mut tokio::sync::mpsc::UnboundedReceiver<(Instant, String)>,
    since: Instant,
    fits: impl Fn(&str) -> bool,
) -> Result<Duration> {
    let look = async {
        while let Some((at, line)) = heard.recv().await {
            if at >= since && fits(&line) {
                return Some(at - since);
            }
        }
        None
    };
    tokio::time::timeout(Duration::from_secs(20), look)
        .await
        .context("it was never shown")?
        .context("the page was closed")
}

/// Numbers of a day, by the console's own way of keeping them.
async fn a_day_of_numbers(folder: &Path, members: u8) -> Result<()> {
    let store = Store::open(Some(folder))?;
    let now = now_ms() / 1000;
    let fine = metrics::SPANS[0].1;
    let moments = (fine..DAY_MS / 1000)
        .step_by(60)
        .chain((0..fine).step_by(10))
        .map(|ago| now - ago);
    for moment in moments {
        let values: Vec<(String, f64)> = (1..=members)
            .map(|index| (format!("latency_ms:127.0.1.{index}"), f64::from(index)))
            .collect();
        store
            .call(move |db| metrics::add(db, moment, &values))
            .await?;
    }
    Ok(())
}

fn main() -> Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(measure(&options))
}

async fn measure(options: &Options) -> Result<()> {
    let folder =
        std::env::temp_dir().join(format!("planaria-bench-console-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    a_day_of_numbers(&folder, options.members).await?;
    let group = Group::new(options).await?;
    group.tell_a_day(options.members).await?;
    let listener = TcpListener::bind(("0.0.0.0", HEALTH_PORT)).await?;
    tokio::spawn(answer(Arc::clone(&group), listener));
    tokio::spawn(live(Arc::clone(&group), options.members));
    let console = Console::start(options, &folder)?;
    let begun = Instant::now();
    eventually("everyone and the whole day on the page", || async {
        let (status, incidents) = (
            json("/api/v1/status").await?,
            json("/api/v1/incidents").await?,
        );
        let members = status["members"].as_array().map_or(0, Vec::len);
        ensure!(members >= usize::from(options.members), "{members} members");
        ensure!(
            incidents["total"].as_u64() >= Some(INCIDENTS),
            "{} incidents",
            incidents["total"]
        );
        Ok(())
    })
    .await?;
    println!(
        "{} members and a day ({INCIDENTS} incidents) read in {:.1} s",
        options.members,
        begun.elapsed().as_secs_f64()
    );

    let cpu_alone_percent = console.cpu(options.seconds).await?;
    let (rss_mib, anonymous_mib) = (console.memory("VmRSS")?, console.memory("RssAnon")?);
    let (incident_to_page_ms, state_to_page_ms) = latencies(options, &group).await?;
    let (weight_kb, weight_compressed_kb, page_ms) = weight().await?;

    let browser = options.browser.as_deref().map(paint).transpose()?;

    let pages: Vec<_> = (0..PAGES).map(|_| tokio::spawn(open(None))).collect();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let cpu_with_pages_percent = console.cpu(options.seconds).await?;
    let stirring = tokio::spawn(stir(Arc::clone(&group)));
    let cpu_stirred = console.cpu(options.seconds).await?;
    stirring.abort();
    let rss_with_pages_mib = console.memory("VmRSS")?;
    ensure!(
        pages.iter().all(|page| !page.is_finished()),
        "a page was refused or lost"
    );
    for page in pages {
        page.abort();
    }
    let figures = Figures {
        members: options.members,
        incidents: INCIDENTS,
        rss_mib,
        anonymous_mib,
        rss_with_pages_mib,
        cpu_alone_percent,
        cpu_with_pages_percent,
        cpu_with_pages_and_an_event_a_second_percent: cpu_stirred,
        incident_to_page_ms,
        state_to_page_ms,
        weight_kb,
        weight_compressed_kb,
        page_ms,
        browser,
    };
    report(&figures)?;
    Ok(())
}

/// An event a second: somebody is late, and well again.
async fn stir(group: Arc<Group>) {
    for round in 0_u64.. {
        let state = if round.is_multiple_of(2) {
            MemberState::Late
        } else {
            MemberState::Alive
        };
        group.set(7, state);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn latencies(options: &Options, group: &Group) -> Result<(Spread, Spread)> {
    let (send, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let page = tokio::spawn(open(Some(send)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut incidents, mut states) = (Vec::new(), Vec::new());
    for round in 0..options.events {
        // Not in step with the beat, nor with the redraw.
        tokio::time::sleep(Duration::from_millis(
            1300 + 37 * u64::try_from(round)? % 400,
        ))
        .await;
        let id = format!("now-{round}");
        let incident = group.incident(&id, 9, now_ms())?;
        let since = Instant::now();
        group
            .say(
                name(1)?,
                "report.incident",
                Body::Incident(Box::new(incident)),
            )
            .await?;
        let needle = format!("/incidents/{id}");
        incidents.push(until_shown(&mut heard, since, |line| line.contains(&needle)).await?);
        let (state, word) = if round % 2 == 0 {
            (MemberState::Suspect, "suspect")
        } else {
            (MemberState::Restarting, "restarting")
        };
        group.set(11, state);
        let since = Instant::now();
        group.beat(1_000_000 + u64::try_from(round)?).await?;
        let needle = format!("127.0.1.12, {word}");
        states.push(until_shown(&mut heard, since, |line| line.contains(&needle)).await?);
    }
    group.set(11, MemberState::Alive);
    page.abort();
    Ok((Spread::of(&incidents)?, Spread::of(&states)?))
}

/// What a browser loads first, in kilobytes, plain and as it is sent to one that takes it compressed; and how long
/// the page itself takes.
async fn weight() -> Result<(f64, f64, Spread)> {
    let mut sizes = [0.0, 0.0];
    for (size, headers) in sizes.iter_mut().zip(["", "Accept-Encoding: gzip\r\n"]) {
        for path in [
            "/",
            "/assets/app.css",
            "/assets/app.js",
            "/assets/theme.js",
            "/assets/icon.svg",
        ] {
            let bytes = u32::try_from(get(path, headers).await?.len())?;
            *size += f64::from(bytes) / 1000.0;
        }
    }
    let mut times = Vec::new();
    for _ in 0..40 {
        let since = Instant::now();
        get("/", "Accept: text/html\r\n").await?;
        times.push(since.elapsed());
    }
    Ok((sizes[0], sizes[1], Spread::of(&times)?))
}

/// What a real browser measures.
fn paint(python: &Path) -> Result<serde_json::Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("paint.py");
    let output = Command::new(python)
        .arg(script)
        .args([&format!("http://127.0.0.1:{PORT}/"), LOADS])
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn report(figures: &Figures) -> Result<()> {
    let line = |what: &str, value: f64, unit: &str, limit: f64| {
        println!(
            "{what:<52} {value:>8.1} {unit:<4} limit {limit:>6.0}   {:.2} of it",
            value / limit
        );
    };
    line(
        "resident, 200 members and a day",
        figures.rss_mib,
        "MiB",
        RSS_MIB,
    );
    line(
        "the same with 200 open pages",
        figures.rss_with_pages_mib,
        "MiB",
        RSS_MIB,
    );
    line(
        "incident to page, 95th percentile",
        figures.incident_to_page_ms.p95,
        "ms",
        EVENT_MS,
    );
    line(
        "change of state to page, 95th percentile",
        figures.state_to_page_ms.p95,
        "ms",
        EVENT_MS,
    );
    line(
        "processor alone",
        figures.cpu_alone_percent,
        "%",
        PAGES_CPU_PERCENT,
    );
    line(
        "processor with 200 open pages",
        figures.cpu_with_pages_percent,
        "%",
        PAGES_CPU_PERCENT,
    );
    line(
        "the same with an event a second",
        figures.cpu_with_pages_and_an_event_a_second_percent,
        "%",
        PAGES_CPU_PERCENT,
    );
    line(
        "a page with all that it loads",
        figures.weight_kb,
        "kB",
        WEIGHT_KB,
    );
    line(
        "the same as sent compressed",
        figures.weight_compressed_kb,
        "kB",
        WEIGHT_KB,
    );
    if let Some(browser) = &figures.browser {
        let ms = |what: &str| browser[what].as_f64().unwrap_or(f64::NAN);
        line(
            "first paint in Chromium, median",
            ms("first_paint_median"),
            "ms",
            PAINT_MS,
        );
        line(
            "longest task of a load and 2 s, median",
            ms("longest_task_median"),
            "ms",
            TASK_MS,
        );
    }
    println!(
        "incident to page, ms (median, p95, max)   {}",
        figures.incident_to_page_ms.columns()
    );
    println!(
        "state to page, ms                         {}",
        figures.state_to_page_ms.columns()
    );
    println!(
        "the page itself, ms                       {}",
        figures.page_ms.columns()
    );
    println!("figures: {}", keep("console", figures)?.display());
    Ok(())
}
