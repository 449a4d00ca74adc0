//! The storage node's command line.

use clap::{Args, Parser, Subcommand};
use planaria_storage::config::{Config, Secrets};
use planaria_storage::monitor;
use planaria_storage::node::Node;
use planaria_storage::peer::{Answer, Ask, Card, Lane, NodeStatus, Peers, Secret};
use planaria_storage_core::DiskId;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// EX_CONFIG
const CONFIGURATION: u8 = 78;
/// EX_UNAVAILABLE
const UNAVAILABLE: u8 = 69;
/// How long `status` waits.
const PATIENCE: Duration = Duration::from_secs(3);

/// Prints a line; a reader that has gone is no error of ours.
macro_rules! say {
    ($($piece:tt)*) => {{
        let _ = writeln!(std::io::stdout(), $($piece)*);
    }};
}

/// An S3-compatible object store of a few small nodes.
///
/// Exit codes: 0, 1 failure, 2 usage, 69 the node does not answer, 74 the disk failed,
/// 78 configuration.
#[derive(Parser)]
#[command(name = "storage-node", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs a node.
    Serve(Serve),
    /// Says how a node is.
    Status(Status),
}

#[derive(Args)]
struct Serve {
    /// The configuration file; without it the usual places are tried. Settings also come from the
    /// environment (`PLANARIA_STORAGE_PEERS`, `PLANARIA_STORAGE_SECRETS_FILE`, …).
    #[arg(long, env = "PLANARIA_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Args)]
struct Status {
    /// The configuration file, for the secrets' file.
    #[arg(long, env = "PLANARIA_CONFIG")]
    config: Option<PathBuf>,
    /// The node's peer address; without it, the one that is configured, on this machine.
    #[arg(long)]
    addr: Option<String>,
    /// Machine-readable.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("cannot start: {error}")),
    };
    let code = match cli.verb {
        Verb::Serve(serve) => runtime.block_on(run(serve)),
        Verb::Status(status) => runtime.block_on(show(status)),
    };
    // Blocking work that hangs in the disk must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

fn fail(code: u8, text: &str) -> ExitCode {
    eprintln!("storage-node: {text}");
    ExitCode::from(code)
}

async fn run(serve: Serve) -> ExitCode {
    let settings = match planaria_monitor::config::load(serve.config.as_deref()) {
        Ok(settings) => settings,
        Err(error) => return fail(CONFIGURATION, &error.to_string()),
    };
    planaria_monitor::logging::init(&settings);
    let config = match Config::from_settings(&settings) {
        Ok(config) => config,
        Err(error) => return fail(CONFIGURATION, &error.to_string()),
    };
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut term), Ok(mut int)) = signals else {
        return fail(1, "cannot listen for signals");
    };
    let node = match Node::start(config).await {
        Ok(node) => Arc::new(node),
        Err(error) => return fail(1, &format!("{error:#}")),
    };
    let monitor = match monitor::start(settings, &node) {
        Ok(monitor) => monitor,
        Err(error) => return fail(CONFIGURATION, &format!("{error:#}")),
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    monitor.leave();
    node.stop().await;
    ExitCode::SUCCESS
}

async fn show(args: Status) -> ExitCode {
    let settings = match planaria_monitor::config::load(args.config.as_deref()) {
        Ok(settings) => settings,
        Err(error) => return fail(CONFIGURATION, &error.to_string()),
    };
    let Some(file) = &settings.storage_secrets_file else {
        return fail(
            CONFIGURATION,
            "STORAGE_SECRETS_FILE is not set: it names the file with the keys",
        );
    };
    let secrets = match Secrets::read(file) {
        Ok(secrets) => secrets,
        Err(error) => return fail(CONFIGURATION, &error.to_string()),
    };
    let addr = args
        .addr
        .unwrap_or_else(|| format!("127.0.0.1:{}", settings.peer_addr.port()));
    let card = Card {
        disk: DiskId(0),
        name: "status".to_owned(),
        boot: 0,
        start: 0,
        cluster: None,
    };
    let peers = Peers::new(Secret::new(&secrets.peer_secret), card);
    let asked = peers
        .ask(
            &addr,
            Lane::Control,
            &Ask::Status,
            bytes::Bytes::new(),
            PATIENCE,
        )
        .await;
    let status = match asked {
        Ok((Answer::Status(status), _)) => status,
        Ok(_) => return fail(1, "an odd answer"),
        Err(error) => return fail(UNAVAILABLE, &format!("no answer from {error}")),
    };
    if args.json {
        match serde_json::to_string_pretty(&status) {
            Ok(text) => say!("{text}"),
            Err(error) => return fail(1, &error.to_string()),
        }
    } else {
        print(&status);
    }
    ExitCode::SUCCESS
}

fn print(status: &NodeStatus) {
    let sync = if status.in_sync {
        "in sync"
    } else {
        "not in sync"
    };
    say!(
        "{}: {}, {sync}, disk {} (start {})",
        status.name,
        status.role,
        status.disk,
        status.boot
    );
    say!(
        "leader {} (term {}), applied {}, {} chunks owed",
        status.leader.as_deref().unwrap_or("none"),
        status.term,
        status.applied,
        status.owed
    );
    say!(
        "{} chunks, {} MiB in segments of {} MiB, {} MiB free{}",
        status.chunks,
        status.chunk_bytes >> 20,
        status.segment_bytes >> 20,
        status.disk_free >> 20,
        if status.disk_full { ", FULL" } else { "" }
    );
    for node in &status.nodes {
        let votes = if node.voter { "votes" } else { "learns" };
        let there = if node.reachable {
            "reachable"
        } else {
            "not reachable"
        };
        say!(
            "  {} {} {votes}, {there}, disk {}",
            node.name,
            node.addr,
            node.disk
        );
    }
}
