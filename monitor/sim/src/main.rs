//! The simulator's command line: seeds, scenarios, replays.

use anyhow::{Context, Result, bail};
use clap::Parser;
use planaria_sim::{Report, SCENARIOS, find, run_seed};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Runs the very core of the containers through simulated disasters.
///
/// Exit codes: 0 all held, 1 something was broken, 2 usage.
#[derive(Debug, Parser)]
#[command(name = "planaria-sim", version)]
struct Options {
    /// How many seeds to run.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Only this seed.
    #[arg(long, conflicts_with = "scenario")]
    seed: Option<u64>,
    /// Only this story (`--list` names them).
    #[arg(long)]
    scenario: Option<String>,
    /// Print the whole story.
    #[arg(long)]
    trace: bool,
    /// Name the stories with their claims, and end.
    #[arg(long)]
    list: bool,
    /// How many seeds to run at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Stop at the first seed that breaks something.
    #[arg(long)]
    fail_fast: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("planaria-sim: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<bool> {
    if options.list {
        for (name, scenario) in SCENARIOS {
            println!("{name}\n    {}", scenario.claim);
        }
        return Ok(true);
    }
    if let Some(name) = &options.scenario {
        return scenario(name, options);
    }
    if let Some(seed) = options.seed {
        let report = run_seed(seed, options.trace, None);
        tell(&report);
        println!(
            "seed {seed}: {:.0} s simulated, {} events, {} deeds of healers, hash {:016x}",
            report.time.as_secs_f64(),
            report.events,
            report.deeds,
            report.hash
        );
        return Ok(report.violations.is_empty());
    }
    if options.jobs == 0 {
        bail!("--jobs must be at least 1");
    }
    Ok(many(options))
}

fn scenario(name: &str, options: &Options) -> Result<bool> {
    let scenario = find(name).with_context(|| format!("no story {name}; --list names them"))?;
    let (report, told) = scenario.run(options.from, options.trace);
    tell(&report);
    match &told {
        Ok(()) => println!("{name}: {}", scenario.claim),
        Err(error) => println!("{name} does NOT hold: {error:#}"),
    }
    Ok(told.is_ok() && report.violations.is_empty())
}

fn tell(report: &Report) {
    for line in &report.story {
        println!("{line}");
    }
    for violation in &report.violations {
        println!("BROKEN {violation}");
    }
}

/// All seeds, on some threads; what breaks is printed with its replay.
fn many(options: &Options) -> bool {
    let next = AtomicU64::new(options.from);
    let end = options.from.saturating_add(options.seeds);
    let stop = AtomicBool::new(false);
    let events = AtomicU64::new(0);
    let simulated = Mutex::new(Duration::ZERO);
    let broken = Mutex::new(Vec::new());
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let report = run_seed(seed, false, None);
                    events.fetch_add(report.events, Ordering::Relaxed);
                    if let Ok(mut simulated) = simulated.lock() {
                        *simulated += report.time;
                    }
                    if report.violations.is_empty() {
                        continue;
                    }
                    for violation in &report.violations {
                        println!("seed {seed}: BROKEN {violation}");
                    }
                    println!(
                        "  replay: cargo run --release -p planaria-sim -- --seed {seed} --trace"
                    );
                    if let Ok(mut broken) = broken.lock() {
                        broken.push(seed);
                    }
                    stop.fetch_or(options.fail_fast, Ordering::Relaxed);
                }
            });
        }
    });
    let took = began.elapsed().as_secs_f64();
    let ran = next.load(Ordering::Relaxed).min(end) - options.from;
    let simulated = simulated.into_inner().unwrap_or_default().as_secs_f64();
    let broken = broken.into_inner().unwrap_or_default();
    println!(
        "{ran} seeds in {took:.1} s ({:.0} a second, {:.0} events a second, {:.1} h simulated), {} broken",
        ran as f64 / took,
        events.load(Ordering::Relaxed) as f64 / took,
        simulated / 3600.0,
        broken.len()
    );
    broken.is_empty()
}
