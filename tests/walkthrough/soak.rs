//! The console through minutes of chaos: its memory stays, and it has all that the broker's journal has.

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};
use planaria_e2e::clients::get;
use planaria_e2e::docker::{docker, run};
use planaria_e2e::patience::{SOON, eventually};
use planaria_e2e::patients::{IMAGE, Patients};
use planaria_e2e::stack::Stack;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// For how long, where `SOAK_MINUTES` does not say.
const MINUTES: u64 = 15;
/// Open pages meanwhile.
const PAGES: usize = 10;
/// Between two attacks; most are healed within a second, and the monkey declines while somebody is sick.
const ATTACK_EVERY: Duration = Duration::from_secs(6);
/// What cannot be healed is left there for so long: it is in quarantine by then, and told of.
const LOOP_FOR: Duration = Duration::from_secs(75);
/// What a life of the console takes until its caches are full.
const WARM_UP: Duration = Duration::from_secs(60);
/// More than this between an early and a late third of a life is no noise of an allocator.
const GROWTH_MAX_KIB: u64 = 2048;

/// Somebody who is logged in.
struct Person {
    agent: ureq::Agent,
    base: String,
    password: String,
    session: Option<(String, String)>,
}

impl Person {
    fn new(base: &str, password: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            .build();
        Self {
            agent: agent.into(),
            base: base.to_owned(),
            password: password.trim().to_owned(),
            session: None,
        }
    }

    fn log_in(&self) -> Result<(String, String)> {
        let body = json!({"password": self.password}).to_string();
        let mut answer = self
            .agent
            .post(format!("{}/api/v1/login", self.base))
            .header("content-type", "application/json")
            .send(&body)?;
        let cookie = answer
            .headers()
            .get("set-cookie")
            .and_then(|cookie| cookie.to_str().ok()?.split(';').next())
            .context("no session")?
            .to_owned();
        let said: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
        Ok((cookie, said["csrf"].as_str().unwrap_or_default().to_owned()))
    }

    /// What the monkey says; an error where the console is away just now.
    fn attack(&mut self, fault: &str, target: &str) -> Result<(bool, String)> {
        if self.session.is_none() {
            self.session = Some(self.log_in()?);
        }
        let (cookie, csrf) = self.session.clone().context("no session")?;
        let mut answer = self
            .agent
            .post(format!("{}/api/v1/chaos/attack", self.base))
            .header("content-type", "application/json")
            .header("cookie", cookie)
            .header("x-planaria-csrf", csrf)
            .send(&json!({"fault": fault, "target": target}).to_string())?;
        if matches!(answer.status().as_u16(), 401 | 403) {
            self.session = None;
        }
        let said: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
        let text = said["text"].as_str().unwrap_or_default().to_owned();
        Ok((said["accepted"] == true, text))
    }
}

/// A page that is open, and comes back when it lost the console.
fn page(port: u16, stop: &AtomicBool, events: &AtomicU64) {
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
            thread::sleep(Duration::from_millis(500));
            continue;
        };
        // The console says something every 2 s at least.
        let quiet = stream.set_read_timeout(Some(Duration::from_secs(6)));
        let asked =
            stream.write_all(b"GET /events?view=overview HTTP/1.1\r\nHost: console\r\n\r\n");
        if quiet.is_err() || asked.is_err() {
            continue;
        }
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { break };
            events.fetch_add(
                u64::from(line.starts_with("event: regions")),
                Ordering::Relaxed,
            );
            if stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

/// Resident kibibytes of a life of the console, by its process.
fn resident(container: &str) -> Result<(u32, u64)> {
    let pid: u32 = docker(&["inspect", "--format", "{{.State.Pid}}", container])?
        .trim()
        .parse()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no resident size")?;
    Ok((pid, line.trim().trim_end_matches("kB").trim().parse()?))
}

/// What the journal has, read from its beginning by its own numbers.
#[derive(Default)]
struct Journal {
    incidents: BTreeSet<String>,
    alerts: BTreeSet<String>,
    attacks: BTreeSet<String>,
}

async fn journal(stack: &Stack) -> Result<Journal> {
    let path = stack.root().join(".secrets/operator.env");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let url = text
        .trim()
        .strip_prefix("PLANARIA_AMQP_URLS=")
        .context("no address")?;
    let here = format!("127.0.0.1:{}", stack.settings().amqp_port);
    let url = url.replace("rabbitmq:5672", &here);
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(200, BasicQosOptions::default()).await?;
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-stream-offset".into(),
        AMQPValue::LongString("first".into()),
    );
    let mut consumer = channel
        .basic_consume(
            "planaria.journal".into(),
            "".into(),
            BasicConsumeOptions::default(),
            arguments,
        )
        .await?;
    let mut journal = Journal::default();
    // A stream has no end; its present one is where nothing more comes for a while.
    while let Ok(Some(delivery)) =
        tokio::time::timeout(Duration::from_secs(3), consumer.next()).await
    {
        let delivery = delivery?;
        delivery.ack(BasicAckOptions::default()).await?;
        let outer: Value = serde_json::from_slice(&delivery.data)?;
        let message = &outer["message"];
        let (kind, body) = (message["body"]["type"].as_str(), &message["body"]["body"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match kind.unwrap_or_default() {
            "incident" => drop(journal.incidents.insert(text(&body["id"]))),
            "alert" => drop(
                journal
                    .alerts
                    .insert(format!("{}:{}", message["boot"], message["seq"])),
            ),
            "attack"
                if body["stage"] == "begun" && delivery.routing_key.as_str() == "chaos.attack" =>
            {
                journal.attacks.insert(text(&body["id"]));
            }
            _ => {}
        }
    }
    Ok(journal)
}

fn ask(base: &str, path: &str) -> Result<Value> {
    let (code, text) = get(&format!("{base}{path}"))?;
    ensure!(code == 200, "{path}: {code}");
    Ok(serde_json::from_str(&text)?)
}

/// All incidents that the console has, page by page.
fn kept(base: &str) -> Result<BTreeSet<String>> {
    let (mut ids, mut before) = (BTreeSet::new(), String::new());
    loop {
        let answer = ask(base, &format!("/api/v1/incidents?limit=1000{before}"))?;
        let page = answer["incidents"].as_array().context("no incidents")?;
        ids.extend(
            page.iter()
                .filter_map(|one| one["id"].as_str().map(str::to_owned)),
        );
        match page.last() {
            Some(last) if page.len() == 1000 => before = format!("&before_ms={}", last["at_ms"]),
            _ => return Ok(ids),
        }
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

#[test]
#[ignore = "make test-all: SOAK_MINUTES, 15 by default"]
fn minutes_of_chaos_leave_nothing_out_and_nothing_behind() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let minutes = std::env::var("SOAK_MINUTES").map_or(Ok(MINUTES), |text| text.parse())?;
    let port = stack.settings().console_port;
    let base = format!("http://127.0.0.1:{port}");
    let console = stack.name("console");
    let password = run(&mut Command::new(
        stack.root().join("scripts/console-password"),
    ))?;
    let mut person = Person::new(&base, &password);
    let (stop, events) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let pages: Vec<_> = (0..PAGES)
        .map(|_| {
            let (stop, events) = (Arc::clone(&stop), Arc::clone(&events));
            thread::spawn(move || page(port, &stop, &events))
        })
        .collect();

    let faults = [
        "kill",
        "term",
        "pause",
        "hang",
        "kill",
        "disconnect",
        "stop",
        "kill",
    ];
    let targets: Vec<String> = [
        "worker-1",
        "storage-node-1",
        "plain-1",
        "healer-1",
        "storage-node-2",
        "worker-2",
        "healer-2",
        "storage-node-3",
        "healer-3",
    ]
    .iter()
    .map(|short| stack.name(short))
    .collect();
    let (begun, time) = (Instant::now(), Duration::from_secs(60 * minutes));
    let mut lives: BTreeMap<u32, Vec<(Duration, u64)>> = BTreeMap::new();
    let (mut made, mut declined, mut round) = (0_u32, BTreeSet::new(), 0_usize);
    let mut console_killed = false;
    // Faults alone are healed without an alert; these are for the alerts that must be counted alike.
    let mut loops = [time / 8, time / 2].into_iter().enumerate().peekable();
    let mut looping: Option<(Instant, Patients)> = None;
    while begun.elapsed() < time {
        if let Some((number, _)) = loops.next_if(|(_, at)| begun.elapsed() > *at) {
            let mut patients = Patients::new();
            let name = stack.name(&format!("soak-loop-{number}"));
            patients.run(&name, &[IMAGE, "sh", "-c", "exit 3"])?;
            looping = Some((Instant::now(), patients));
        }
        looping.take_if(|(since, _)| since.elapsed() > LOOP_FOR);
        // Once it is killed itself: what is told meanwhile it must read afterwards.
        if !console_killed && begun.elapsed() > time / 4 {
            docker(&["kill", &console])?;
            console_killed = true;
        }
        let (fault, target) = (
            faults[round % faults.len()],
            &targets[round % targets.len()],
        );
        match person.attack(fault, target) {
            Ok((true, _)) => made += 1,
            Ok((false, why)) => drop(declined.insert(why)),
            // It may be the one that is down.
            Err(_) => person.session = None,
        }
        round += 1;
        let until = Instant::now() + ATTACK_EVERY;
        while Instant::now() < until {
            if let Ok((pid, kib)) = resident(&console) {
                lives.entry(pid).or_default().push((begun.elapsed(), kib));
            }
            thread::sleep(Duration::from_secs(1));
        }
    }
    drop(looping);
    stack.settled()?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let counts = eventually("the console has what the journal has", 2 * SOON, || {
        let journal = runtime.block_on(journal(&stack))?;
        let kept = kept(&base)?;
        let missing: Vec<&String> = journal.incidents.difference(&kept).collect();
        ensure!(
            missing.is_empty(),
            "incidents of the journal that the console lacks: {missing:?}"
        );
        let told = ask(&base, "/api/v1/alerts")?["told_by_healers"]
            .as_u64()
            .unwrap_or_default();
        let alerts = u64::try_from(journal.alerts.len())?;
        ensure!(
            told == alerts && alerts > 0,
            "the journal has {alerts} alerts, the console {told}"
        );
        let attacks = ask(&base, "/api/v1/chaos")?["attacks"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let open: Vec<&Value> = attacks
            .iter()
            .filter(|one| {
                one["overdue"] == true || one["stage"] == "begun" || one["stage"] == "injected"
            })
            .collect();
        ensure!(open.is_empty(), "attacks without an end: {open:?}");
        Ok((
            journal.incidents.len(),
            kept.len(),
            alerts,
            journal.attacks.len(),
        ))
    })?;
    stop.store(true, Ordering::Relaxed);
    for page in pages {
        if page.join().is_err() {
            bail!("a page's thread failed");
        }
    }

    let (pid, longest) = lives
        .iter()
        .max_by_key(|(_, samples)| samples.len())
        .context("the console was never seen to run")?;
    let born = longest.first().map_or(Duration::ZERO, |(at, _)| *at);
    let warm: Vec<u64> = longest
        .iter()
        .filter(|(at, _)| *at > born + WARM_UP)
        .map(|(_, kib)| *kib)
        .collect();
    ensure!(
        warm.len() >= 30,
        "only {} samples of one life: give it more minutes",
        warm.len()
    );
    let third = warm.len() / 3;
    let early = median(warm[..third].to_vec());
    let late = median(warm[warm.len() - third..].to_vec());
    let most = warm.iter().max().copied().unwrap_or(0);
    println!(
        "{minutes} min: {made} attacks made ({} in the journal), {} reasons to decline; incidents {} in the journal, {} kept; \
         {} alerts of healers in both; {} redraws on {PAGES} pages; process {pid}: {early} KiB early, {late} KiB late, {most} KiB at most",
        counts.3,
        declined.len(),
        counts.0,
        counts.1,
        counts.2,
        events.load(Ordering::Relaxed)
    );
    ensure!(made > 0, "no attack was made: {declined:?}");
    ensure!(
        late <= early + GROWTH_MAX_KIB,
        "the console grows: {early} KiB early, {late} KiB late"
    );
    Ok(())
}
