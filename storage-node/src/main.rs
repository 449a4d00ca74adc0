//! The storage node's command line.

use clap::{Args, Parser, Subcommand};
use planaria_storage::config::{Config, Fsync, Secrets};
use planaria_storage::node::Node;
use planaria_storage::peer::{Answer, Ask, Card, Lane, NodeStatus, Peers, Secret};
use planaria_storage_core::DiskId;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// EX_CONFIG
const CONFIGURATION: u8 = 78;
/// EX_UNAVAILABLE
const UNAVAILABLE: u8 = 69;
/// How long `status` waits.
const PATIENCE: Duration = Duration::from_secs(3);

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
    Serve(Box<Serve>),
    /// Says how a node is.
    Status(Status),
}

#[derive(Args)]
struct Common {
    /// The file with access_key, secret_key and peer_secret.
    #[arg(
        long,
        env = "PLANARIA_STORAGE_SECRETS_FILE",
        default_value = "/run/planaria/storage.json"
    )]
    secrets_file: PathBuf,
}

#[derive(Args)]
struct Serve {
    #[command(flatten)]
    common: Common,
    /// The name under which the others know this node.
    #[arg(long, env = "CONTAINER_NAME")]
    name: String,
    /// Where everything is kept.
    #[arg(long, default_value = "/data")]
    data: PathBuf,
    /// Peer addresses of all initial nodes, this one's among them.
    #[arg(
        long,
        env = "PLANARIA_STORAGE_PEERS",
        value_delimiter = ',',
        required = true
    )]
    peers: Vec<String>,
    /// This node's own peer address; without it, the one that begins with its name.
    #[arg(long)]
    advertise: Option<String>,
    /// Where S3 is served.
    #[arg(long, default_value = "0.0.0.0:3900")]
    s3: SocketAddr,
    /// Where the line protocol is served.
    #[arg(long, default_value = "0.0.0.0:7000")]
    line: SocketAddr,
    /// Where the other nodes are answered.
    #[arg(long, default_value = "0.0.0.0:7100")]
    peer: SocketAddr,
}

#[derive(Args)]
struct Status {
    #[command(flatten)]
    common: Common,
    /// The node's peer address.
    #[arg(long, default_value = "127.0.0.1:7100")]
    addr: String,
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
        Verb::Serve(serve) => runtime.block_on(run(*serve)),
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
    let config = match configure(serve) {
        Ok(config) => config,
        Err(reason) => return fail(CONFIGURATION, &reason),
    };
    let stop = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut term), Ok(mut int)) = stop else {
        return fail(1, "cannot listen for signals");
    };
    let node = match Node::start(config).await {
        Ok(node) => node,
        Err(error) => return fail(1, &format!("{error:#}")),
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    node.stop().await;
    ExitCode::SUCCESS
}

fn configure(serve: Serve) -> Result<Config, String> {
    let secrets = Secrets::read(&serve.common.secrets_file).map_err(|e| e.to_string())?;
    let advertise = serve.advertise.or_else(|| {
        let start = format!("{}:", serve.name);
        serve
            .peers
            .iter()
            .find(|peer| peer.starts_with(&start))
            .cloned()
    });
    let Some(advertise) = advertise else {
        return Err(format!(
            "none of PLANARIA_STORAGE_PEERS begins with this node's name ({}); give --advertise",
            serve.name
        ));
    };
    let config = Config {
        name: serve.name,
        data: serve.data,
        s3: serve.s3,
        line: serve.line,
        peer: serve.peer,
        advertise,
        peers: serve.peers,
        secrets,
        replication_factor: 3,
        write_quorum: 2,
        chunk_size: 1 << 20,
        max_object_size: 50 << 30,
        fsync: Fsync::Data,
        removal_grace: Duration::from_secs(30),
    };
    config.check().map_err(|e| e.to_string())?;
    Ok(config)
}

async fn show(args: Status) -> ExitCode {
    let secrets = match Secrets::read(&args.common.secrets_file) {
        Ok(secrets) => secrets,
        Err(error) => return fail(CONFIGURATION, &error.to_string()),
    };
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
            &args.addr,
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
            Ok(text) => println!("{text}"),
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
    println!(
        "{}: {}, {sync}, disk {} (start {})",
        status.name, status.role, status.disk, status.boot
    );
    println!(
        "leader {} (term {}), applied {}, {} chunks owed",
        status.leader.as_deref().unwrap_or("none"),
        status.term,
        status.applied,
        status.owed
    );
    println!(
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
        println!(
            "  {} {} {votes}, {there}, disk {}",
            node.name, node.addr, node.disk
        );
    }
}
