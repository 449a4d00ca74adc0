//! The simulator's command line: seeds, scenarios, replays.

use anyhow::{Context, Result, bail};
use clap::Parser;
use planaria_sim::{Plan, Report, SCENARIOS, find, replay, run_seed, shrink};
use std::path::Path;
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
    /// Only this plan: a file, or the JSON itself, as a shrunk failure prints it.
    #[arg(long, conflicts_with_all = ["scenario", "seed"])]
    plan: Option<String>,
    /// Make the plan of a failing seed (or `--plan`) as small as it can be and still fail.
    #[arg(long)]
    shrink: bool,
    /// Only this story (`--list` names them).
    #[arg(long)]
    scenario: Option<String>,
    /// Replay what a monitor recorded, and say whether its effects are those of its day.
    #[arg(long, conflicts_with_all = ["scenario", "seed", "plan"])]
    recording: Option<std::path::PathBuf>,
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
    if let Some(file) = &options.recording {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("--recording {}", file.display()))?;
        let replayed = replay(&text).with_context(|| file.display().to_string())?;
        match replayed.differs {
            None => println!("{} inputs replayed to the same effects", replayed.inputs),
            Some(line) => println!(
                "{} inputs replayed; from line {line} on the effects are others than recorded",
                replayed.inputs
            ),
        }
        return Ok(replayed.differs.is_none());
    }
    let one = match (&options.plan, options.seed) {
        (Some(plan), _) => Some(read_plan(plan)?.run(options.trace, None)),
        (None, Some(seed)) => Some(run_seed(seed, options.trace, None)),
        (None, None) => None,
    };
    if let Some(report) = one {
        tell(&report);
        println!(
            "seed {}: {:.0} s simulated, {} events, {} deeds of healers, hash {:016x}",
            report.seed,
            report.time.as_secs_f64(),
            report.events,
            report.deeds,
            report.hash
        );
        if options.shrink {
            tell_shrunk(&report)?;
        }
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

fn read_plan(plan: &str) -> Result<Plan> {
    if plan.trim_start().starts_with('{') {
        return serde_json::from_str(plan).context("--plan is no plan");
    }
    let text = std::fs::read_to_string(Path::new(plan))
        .with_context(|| format!("--plan {plan}: neither JSON nor a file that can be read"))?;
    serde_json::from_str(&text).with_context(|| format!("{plan}: no plan"))
}

/// Makes the plan of a failure small and prints it with the line that replays it.
fn tell_shrunk(report: &Report) -> Result<()> {
    let Some(first) = report.violations.first() else {
        return Ok(());
    };
    let Some(small) = shrink(&report.plan, first, None) else {
        bail!("the plan alone does not break {:?} again", first.rule);
    };
    println!(
        "smallest that still breaks {:?} ({} acts of {}, {} runs):",
        first.rule,
        small.plan.acts.len(),
        report.plan.acts.len(),
        small.runs
    );
    for planned in &small.plan.acts {
        println!("  {:>9.3} s {:?}", planned.at as f64 / 1e9, planned.act);
    }
    for violation in &small.report.violations {
        println!("  BROKEN {violation}");
    }
    let json = serde_json::to_string(&small.plan)?;
    println!("  replay: cargo run --release -p planaria-sim -- --trace --plan '{json}'");
    Ok(())
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
                        broken.push(report);
                    }
                    stop.fetch_or(options.fail_fast, Ordering::Relaxed);
                }
            });
        }
    });
    let took = began.elapsed().as_secs_f64();
    let ran = next.load(Ordering::Relaxed).min(end) - options.from;
    let simulated = simulated.into_inner().unwrap_or_default().as_secs_f64();
    let mut broken: Vec<Report> = broken.into_inner().unwrap_or_default();
    broken.sort_by_key(|report| report.seed);
    // One is enough to look at; the others are shrunk by `--seed N --shrink`.
    if let Some(report) = broken.first()
        && let Err(error) = tell_shrunk(report)
    {
        println!("  not made smaller: {error:#}");
    }
    println!(
        "{ran} seeds in {took:.1} s ({:.0} a second, {:.0} events a second, {:.1} h simulated), {} broken",
        ran as f64 / took,
        events.load(Ordering::Relaxed) as f64 / took,
        simulated / 3600.0,
        broken.len()
    );
    broken.is_empty()
}
