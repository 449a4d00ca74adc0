//! How long from `kill` until it runs again: the leader of a running stack against the floor.
//!
//! The floor is the least that anyone can do through the engine's API: a loop that waits for the `die`
//! event and calls `start`. Both are measured in one run, kill by kill in turn, from the moment the kill
//! is sent until the engine's `start` event is read, so that the machine's mood strikes both alike.

use anyhow::{Context, Result, bail};
use bollard::Docker;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptions, EventsOptions, InspectContainerOptions, KillContainerOptions,
    RemoveContainerOptions, StartContainerOptions,
};
use clap::Parser;
use futures::{Stream, StreamExt};
use serde::Serialize;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Kill containers of a running stack and a bare one in turn, and compare the times until they run again.
#[derive(Parser)]
#[command(version, after_help = "Example: make docker-compose-up && make bench")]
struct Options {
    /// How many kills of each kind.
    #[arg(long, default_value_t = 12)]
    kills: usize,
    /// The stack's containers to kill, in turn.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "plain-1,worker-1,worker-2"
    )]
    targets: Vec<String>,
    /// The image of the bare container.
    #[arg(long, default_value = "planaria/plain")]
    image: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The bare container's name.
const FLOOR: &str = "planaria-bench-floor";

/// Longer than `BACKOFF_RESET`'s default of 10 s per target: a kill must meet no delay left by the one before.
const TURN: Duration = Duration::from_secs(12);

/// Far more than any healing takes; past it the run is a failure, not a figure.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct Figures {
    kills: usize,
    floor_ms: Spread,
    leader_ms: Spread,
    /// Leader's median by the floor's median.
    median_ratio: f64,
    /// Leader's 95th percentile by the floor's 95th percentile.
    p95_ratio: f64,
}

#[derive(Serialize)]
struct Spread {
    median: f64,
    p95: f64,
    max: f64,
}

impl Spread {
    fn of(times: &[Duration]) -> Result<Self> {
        let mut ms: Vec<f64> = times
            .iter()
            .map(|time| time.as_secs_f64() * 1000.0)
            .collect();
        ms.sort_by(f64::total_cmp);
        // Nearest rank.
        let at = |percent: usize| {
            ms.get((ms.len() * percent).div_ceil(100).saturating_sub(1))
                .copied()
        };
        Ok(Self {
            median: at(50).context("nothing was measured")?,
            p95: at(95).context("nothing was measured")?,
            max: at(100).context("nothing was measured")?,
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    let docker = Docker::connect_with_defaults()?.negotiate_version().await?;
    for target in &options.targets {
        let facts = docker
            .inspect_container(target, None::<InspectContainerOptions>)
            .await;
        let facts = facts
            .with_context(|| format!("{target} is not there: `make docker-compose-up` first"))?;
        if facts.state.and_then(|state| state.running) != Some(true) {
            bail!("{target} does not run: `make status` tells why");
        }
    }
    let bare = ContainerCreateBody {
        image: Some(options.image.clone()),
        labels: Some(HashMap::from([(
            "com.docker.compose.project".to_owned(),
            "planaria-bench".to_owned(),
        )])),
        ..ContainerCreateBody::default()
    };
    let named = CreateContainerOptions {
        name: Some(FLOOR.to_owned()),
        ..CreateContainerOptions::default()
    };
    docker
        .create_container(Some(named), bare)
        .await
        .context("the bare container could not be made")?;
    let measured = measure(&docker, &options).await;
    let force = RemoveContainerOptions {
        force: true,
        v: true,
        ..RemoveContainerOptions::default()
    };
    docker.remove_container(FLOOR, Some(force)).await?;
    report(&options, &measured?)
}

async fn measure(docker: &Docker, options: &Options) -> Result<(Vec<Duration>, Vec<Duration>)> {
    docker
        .start_container(FLOOR, None::<StartContainerOptions>)
        .await?;
    let (mut floor, mut leader) = (Vec::new(), Vec::new());
    for (turn, target) in options
        .targets
        .iter()
        .cycle()
        .take(options.kills)
        .enumerate()
    {
        floor.push(kill(docker, FLOOR, true).await?);
        leader.push(kill(docker, target, false).await?);
        if !options.json {
            let times = (
                floor.last().copied().unwrap_or_default(),
                leader.last().copied().unwrap_or_default(),
            );
            println!(
                "{:>3}/{} floor {:>7.1?}   {target} {:>7.1?}",
                turn + 1,
                options.kills,
                times.0,
                times.1
            );
        }
        let share = u32::try_from(options.targets.len().max(1))?;
        tokio::time::sleep(TURN / share).await;
    }
    Ok((floor, leader))
}

/// Kills a container and gives the time until the engine says that it was started.
async fn kill(docker: &Docker, container: &str, start_it: bool) -> Result<Duration> {
    let filters = HashMap::from([
        ("container".to_owned(), vec![container.to_owned()]),
        (
            "event".to_owned(),
            vec!["die".to_owned(), "start".to_owned()],
        ),
    ]);
    let listen = EventsOptions {
        filters: Some(filters),
        ..EventsOptions::default()
    };
    let mut events = Box::pin(docker.events(Some(listen)));
    // The stream is lazy: it must have been polled once before the kill, or the first event is missed.
    let first = tokio::time::timeout(Duration::from_millis(200), events.next()).await;
    if let Ok(Some(event)) = first {
        bail!("{container} was not at rest: {:?}", event?.action);
    }
    let sent = Instant::now();
    docker
        .kill_container(
            container,
            Some(KillContainerOptions {
                signal: "SIGKILL".to_owned(),
            }),
        )
        .await?;
    wait(&mut events, "die")
        .await
        .with_context(|| format!("{container} did not die"))?;
    if start_it {
        docker
            .start_container(container, None::<StartContainerOptions>)
            .await?;
    }
    wait(&mut events, "start")
        .await
        .with_context(|| format!("{container} was not started"))?;
    Ok(sent.elapsed())
}

async fn wait<S>(events: &mut S, action: &str) -> Result<()>
where
    S: Stream<Item = Result<bollard::models::EventMessage, bollard::errors::Error>> + Unpin,
{
    let seen = async {
        while let Some(event) = events.next().await {
            if event?.action.as_deref() == Some(action) {
                return Ok(());
            }
        }
        bail!("the event stream ended")
    };
    tokio::time::timeout(PATIENCE, seen)
        .await
        .context("not in time")?
}

fn report(options: &Options, (floor, leader): &(Vec<Duration>, Vec<Duration>)) -> Result<()> {
    let (floor, leader) = (Spread::of(floor)?, Spread::of(leader)?);
    let figures = Figures {
        kills: options.kills,
        median_ratio: leader.median / floor.median,
        p95_ratio: leader.p95 / floor.p95,
        floor_ms: floor,
        leader_ms: leader,
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
        return Ok(());
    }
    for (name, spread) in [
        ("floor ", &figures.floor_ms),
        ("leader", &figures.leader_ms),
    ] {
        println!(
            "{name}  median {:.0} ms, p95 {:.0} ms, max {:.0} ms",
            spread.median, spread.p95, spread.max
        );
    }
    println!(
        "ratio   median {:.2}, p95 {:.2}",
        figures.median_ratio, figures.p95_ratio
    );
    Ok(())
}
