//! The object store against floors that are measured in the same run: three nodes, the client and
//! all three copies on this machine and its one disk.
//!
//! Floors: one process that does the same hashes and three synced writes (for PUT), a bare hyper
//! server that sends from the page cache (for GET), one appended 4 KiB and `fdatasync` (for small
//! PUTs). Requests are signed with the payload left out of the signature.

mod client;
mod floors;
mod nodes;

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Parser;
use client::{Client, Did, Verb, load};
use floors::{Floors, floors};
use nodes::Nodes;
use planaria_bench::figures::{Spread, keep, ratio};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Measure the object store: three nodes on the loopback, floors in the same run.
#[derive(Parser)]
#[command(version, after_help = "Example: scripts/bench storage")]
struct Options {
    /// The program under test.
    #[arg(long, default_value = "target/release/storage-node")]
    program: PathBuf,
    /// How long each line takes, in seconds.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Where the nodes keep their data; it should be on a real disk.
    #[arg(long, default_value = "target/bench-storage")]
    data: PathBuf,
    /// How many objects a node misses before it comes back.
    #[arg(long, default_value_t = 1000)]
    missed: usize,
    /// Only with this FSYNC: `data` or `off`; without it with both.
    #[arg(long)]
    fsync: Option<String>,
    /// Only the lines whose name begins so, and nothing about memory and repair.
    #[arg(long)]
    only: Option<String>,
}

const ACCESS: &str = "AKIABENCH";
const SECRET: &str = "secret-for-the-benchmark";
const MIB: usize = 1 << 20;
const SMALL: usize = 4096;
/// Nothing takes so long; past it the run is a failure, not a figure.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Serialize)]
struct Line {
    name: String,
    per_second: f64,
    mib_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// What it is compared with, in the unit of `per_second`.
    floor: Option<f64>,
    ratio: Option<f64>,
}

#[derive(Serialize)]
struct Round {
    fsync: String,
    lines: Vec<Line>,
    idle_mib: Vec<f64>,
    loaded_mib: Vec<f64>,
    /// From its start, after the missed objects.
    back_in_sync_s: f64,
    /// Median time until the first bytes of 64 MiB, with nothing else to do.
    first_byte_ms: f64,
    /// What a node with an empty disk takes in, until it is in sync.
    rebuilt_mib_per_second: f64,
    rebuilt_ratio: f64,
}

fn line(name: &str, did: &Did, bytes: usize, floor: Option<f64>) -> Line {
    let per_second = did.times.len() as f64 / did.took.as_secs_f64();
    let at = |percent: usize| {
        let rank = (did.times.len() * percent).div_ceil(100).saturating_sub(1);
        did.times
            .get(rank)
            .map_or(0.0, |t| t.as_secs_f64() * 1000.0)
    };
    Line {
        name: name.to_owned(),
        per_second,
        mib_per_second: per_second * bytes as f64 / MIB as f64,
        p50_ms: at(50),
        p99_ms: at(99),
        floor,
        ratio: floor.map(|floor| ratio(per_second, floor)),
    }
}

async fn round(options: &Options, fsync: &str, floors: &Floors) -> Result<Round> {
    let mut nodes = Nodes::start(options, fsync)?;
    let addrs: Vec<String> = (0..3).map(|n| nodes.addr(n, 0)).collect();
    let first = addrs.first().context("no node")?.clone();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle_mib = nodes.memory()?;
    let mut maker = Client::connect(&first).await?;
    maker.ask("PUT", "/bench", "", Bytes::new()).await?;
    let time = Duration::from_secs(options.seconds);
    let mut lines = Vec::new();
    let wanted = |name: &str| {
        let only = options.only.as_deref();
        only.is_none_or(|only| name.starts_with(only))
    };
    for (name, size, clients) in [
        ("64 MiB", 64 * MIB, 1),
        ("64 MiB", 64 * MIB, 4),
        ("1 MiB", MIB, 1),
        ("1 MiB", MIB, 4),
        ("4 KiB", SMALL, 1),
        ("4 KiB", SMALL, 32),
    ] {
        let (putting, getting) = (
            format!("PUT {name} x{clients}"),
            format!("GET {name} x{clients}"),
        );
        if !wanted(&putting) && !wanted(&getting) {
            continue;
        }
        let prefix = format!("{}-{clients}-", size / 1024);
        let next = Arc::new(AtomicU64::new(0));
        let put = Verb::Put {
            prefix: prefix.clone(),
            body: vec![7; size],
        };
        let did = load(&addrs, clients, time, put, &next).await?;
        let floor = match size {
            SMALL if fsync == "data" && clients > 1 => Some(floors.syncs),
            SMALL | MIB => None,
            _ => Some(floors.put),
        };
        lines.push(line(&putting, &did, size, floor));
        let get = Verb::Get {
            prefix,
            count: next.load(Ordering::Relaxed),
            length: size,
        };
        let next = Arc::new(AtomicU64::new(0));
        let did = load(&addrs, clients, time, get, &next).await?;
        let floor = match (size, clients) {
            (SMALL, 32) => Some(floors.small_get),
            (SMALL | MIB, _) => None,
            (_, 1) => floors.get.first().copied(),
            _ => floors.get.last().copied(),
        };
        lines.push(line(&getting, &did, size, floor));
    }
    let loaded_mib = nodes.memory()?;
    let mut round = Round {
        fsync: fsync.to_owned(),
        lines,
        idle_mib,
        loaded_mib,
        back_in_sync_s: f64::NAN,
        first_byte_ms: f64::NAN,
        rebuilt_mib_per_second: f64::NAN,
        rebuilt_ratio: f64::NAN,
    };
    if options.only.is_some() {
        return Ok(round);
    }
    // A connection that was idle for so long is closed by the node.
    let mut client = Client::connect(&first).await?;
    let mut times = Vec::new();
    for _ in 0..20 {
        times.push(client.first_byte("/bench/65536-1-0").await?);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    round.first_byte_ms = Spread::of(&times)?.median;
    for n in 0..1000 {
        let path = format!("/bench/small{n:04}");
        client
            .ask("PUT", &path, "", Bytes::from_static(b"x"))
            .await?;
    }
    let next = Arc::new(AtomicU64::new(0));
    let did = load(&addrs[..1], 1, time, Verb::List, &next).await?;
    round.lines.push(line("LIST 1000 x1", &did, 0, None));
    nodes.kill(2)?;
    for n in 0..options.missed {
        let mut body = vec![9; 64 << 10];
        body.iter_mut()
            .zip(n.to_be_bytes())
            .for_each(|(slot, byte)| *slot = byte);
        let path = format!("/bench/missed{n}");
        client.ask("PUT", &path, "", body.into()).await?;
    }
    let begun = Instant::now();
    nodes.run(2)?;
    nodes.in_sync(2)?;
    round.back_in_sync_s = begun.elapsed().as_secs_f64();
    nodes.kill(2)?;
    nodes.wipe(2)?;
    let begun = Instant::now();
    nodes.run(2)?;
    nodes.in_sync(2)?;
    let took = begun.elapsed().as_secs_f64();
    round.rebuilt_mib_per_second = nodes.chunk_bytes(2)? as f64 / MIB as f64 / took;
    round.rebuilt_ratio = ratio(round.rebuilt_mib_per_second, floors.disk);
    Ok(round)
}

fn print(round: &Round) {
    let mut table = format!("\nFSYNC={}\n", round.fsync);
    table.push_str("                       /s    MiB/s   p50 ms   p99 ms    floor   ratio\n");
    for line in &round.lines {
        let optional = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.2}"));
        table.push_str(&format!(
            "{:<16} {:>9.1} {:>8.1} {:>8.2} {:>8.2} {:>8} {:>7}\n",
            line.name,
            line.per_second,
            line.mib_per_second,
            line.p50_ms,
            line.p99_ms,
            optional(line.floor),
            optional(line.ratio)
        ));
    }
    let all = |mib: &[f64]| {
        let mib: Vec<String> = mib.iter().map(|mib| format!("{mib:.0}")).collect();
        mib.join(", ")
    };
    table.push_str(&format!(
        "MiB of memory a node: {} idle, {} after the load; first byte of 64 MiB {:.2} ms;\n\
         back in sync {:.1} s after its start; an empty disk rebuilt at {:.0} MiB/s, {:.2} of the disk\n",
        all(&round.idle_mib),
        all(&round.loaded_mib),
        round.first_byte_ms,
        round.back_in_sync_s,
        round.rebuilt_mib_per_second,
        round.rebuilt_ratio
    ));
    println!("{table}");
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let time = Duration::from_secs(options.seconds);
    let floors = floors(&options.data.join("floors"), time).await?;
    println!(
        "floors: 64 MiB hashed and written three times {:.2}/s; bare GET 64 MiB {:.2}/s (1), {:.2}/s (4); \
         bare GET 4 KiB {:.0}/s (32); synced appends {:.0}/s; one synced copy {:.0} MiB/s",
        floors.put,
        floors.get.first().copied().unwrap_or(0.0),
        floors.get.last().copied().unwrap_or(0.0),
        floors.small_get,
        floors.syncs,
        floors.disk
    );
    let mut rounds = Vec::new();
    for fsync in ["data", "off"] {
        if options.fsync.as_deref().is_some_and(|only| only != fsync) {
            continue;
        }
        let round = round(&options, fsync, &floors).await?;
        print(&round);
        rounds.push(round);
    }
    let kept = keep("storage", &rounds)?;
    println!("kept in {}", kept.display());
    Ok(())
}
