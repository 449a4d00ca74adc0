//! The storage node's command line.

mod verbs;

use clap::{Args, Parser, Subcommand};
use planaria_storage::config::Config;
use planaria_storage::monitor;
use planaria_storage::node::Node;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use verbs::{BucketVerb, CONFIGURATION, KeyVerb, LayoutVerb, Whom};

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
    Status {
        #[command(flatten)]
        whom: Whom,
    },
    /// Disks: zones, emptying, removing.
    Layout {
        #[command(flatten)]
        whom: Whom,
        #[command(subcommand)]
        verb: LayoutVerb,
    },
    /// Keys that clients sign with.
    Key {
        #[command(flatten)]
        whom: Whom,
        #[command(subcommand)]
        verb: KeyVerb,
    },
    /// Buckets.
    Bucket {
        #[command(flatten)]
        whom: Whom,
        #[command(subcommand)]
        verb: BucketVerb,
    },
    /// Reads every copy of a node back and repairs what is damaged.
    Scrub {
        #[command(flatten)]
        whom: Whom,
        /// Waits until everything was read.
        #[arg(long)]
        wait: bool,
    },
    /// Compares a node's disk with the records now; or makes a cluster of what one disk still has.
    Repair {
        #[command(flatten)]
        whom: Whom,
        /// This disk's name: it becomes the only member of a new cluster, with all that it knows.
        /// For when a majority of the disks is lost for good, and this node is stopped. What only
        /// the lost ones had is gone.
        #[arg(long, value_name = "DISK")]
        force_from: Option<String>,
    },
    /// Writes the whole metadata into a file; or begins a new cluster with that of a file.
    Snapshot {
        #[command(flatten)]
        whom: Whom,
        /// The file.
        file: PathBuf,
        /// Puts the file's metadata onto this stopped node, whose own was moved away, as the only
        /// member of a new cluster. The chunks here count again; the other nodes bring theirs when
        /// their `meta` directories and their `identity.json` are removed before they start.
        #[arg(long)]
        restore: bool,
    },
}

#[derive(Args)]
struct Serve {
    /// The configuration file; without it the usual places are tried. Settings also come from the
    /// environment (`PLANARIA_STORAGE_PEERS`, `PLANARIA_STORAGE_SECRETS_FILE`, …).
    #[arg(long, env = "PLANARIA_CONFIG")]
    config: Option<PathBuf>,
}

/// What glibc reads at a start: few heaps, and large buffers that go back at once. Without these
/// a node that took a few large uploads keeps what they needed.
const ALLOCATOR: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "2"),
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
];

/// Begins again with the allocator's settings, where nobody has set any. The process stays the
/// same one.
fn with_allocator() {
    use std::os::unix::process::CommandExt;
    if ALLOCATOR
        .iter()
        .any(|(name, _)| std::env::var_os(name).is_some())
    {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut words = std::env::args_os();
    let mut again = std::process::Command::new(program);
    if let Some(name) = words.next() {
        again.arg0(name);
    }
    // It comes back only when it cannot be done; then it goes without.
    let _ = again.args(words).envs(ALLOCATOR).exec();
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.verb, Verb::Serve(_)) {
        with_allocator();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("cannot start: {error}")),
    };
    let code = match cli.verb {
        Verb::Serve(serve) => runtime.block_on(run(serve)),
        Verb::Status { whom } => verbs::end(runtime.block_on(verbs::status(&whom))),
        Verb::Layout { whom, verb } => verbs::end(runtime.block_on(verbs::layout(&whom, verb))),
        Verb::Key { whom, verb } => verbs::end(runtime.block_on(verbs::key(&whom, verb))),
        Verb::Bucket { whom, verb } => verbs::end(runtime.block_on(verbs::bucket(&whom, verb))),
        Verb::Scrub { whom, wait } => verbs::end(runtime.block_on(verbs::scrub(&whom, wait))),
        Verb::Repair {
            whom,
            force_from: None,
        } => verbs::end(runtime.block_on(verbs::repair(&whom))),
        Verb::Repair {
            whom,
            force_from: Some(disk),
        } => verbs::end(verbs::force(&whom, &disk)),
        Verb::Snapshot {
            whom,
            file,
            restore: true,
        } => verbs::end(verbs::restore(&whom, &file)),
        Verb::Snapshot { whom, file, .. } => {
            verbs::end(runtime.block_on(verbs::snapshot(&whom, &file)))
        }
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
