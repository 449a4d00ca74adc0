//! What the console costs and how fast it is: 200 members and a day of history, through a real RabbitMQ.
//!
//! The group is made up here: a leader that beats, 200 members that say every 2 s that they live and answer
//! when they are asked for their numbers, and a journal of a day. The console is the program as it is shipped.

mod group;
mod page;
mod program;
mod report;

use anyhow::{Result, ensure};
use clap::Parser;
use group::{Group, answer, live, name, stir};
use page::{json, open, paint, until_shown, weight};
use planaria_bench::figures::Spread;
use planaria_console::store::{Store, metrics, now_ms};
use planaria_core::message::{Body, MemberState};
use program::Console;
use report::{Figures, report};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

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
/// An incident every half minute of a day.
const INCIDENTS: u64 = 2880;
const DAY_MS: u64 = 86_400_000;
const CLUSTER: &str = "bench";
const PORT: u16 = 19_180;
/// Members are asked for their numbers here; all of 127.0.0.0/8 is this machine.
const HEALTH_PORT: u16 = 19_747;
const PATIENCE: Duration = Duration::from_secs(120);

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
