//! What a person asks a running node at the command line.

mod show;

use clap::{Args, Subcommand};
use planaria_storage::config::{Config, Secrets};
use planaria_storage::peer::{
    Admin, Answer, Ask, Card, Lane, NodeStatus, PeerError, Peers, Secret,
};
use planaria_storage_core::{DiskId, Grant, RoleChange, Versioning};
use serde_json::Value;
use show::{print_layout, print_status, say};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// EX_CONFIG
pub(crate) const CONFIGURATION: u8 = 78;
/// EX_UNAVAILABLE
const UNAVAILABLE: u8 = 69;
/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long `status` waits.
const STATUS_PATIENCE: Duration = Duration::from_secs(3);
/// How often it is looked whether a scrub has ended.
const LOOK: Duration = Duration::from_millis(200);

/// Which node is asked.
#[derive(Args)]
pub(crate) struct Whom {
    /// The configuration file, for the secrets' file.
    #[arg(long, env = "PLANARIA_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// The node's peer address; without it, the one that is configured, on this machine.
    #[arg(long, global = true)]
    addr: Option<String>,
    /// Machine-readable.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
pub(crate) enum LayoutVerb {
    /// The disks, their zones, and what they hold.
    Show,
    /// Puts a node into a zone: copies lie in distinct zones first.
    Zone {
        /// The node.
        node: String,
        /// The zone; empty for none.
        zone: String,
        /// Only says what would be copied.
        #[arg(long)]
        dry_run: bool,
    },
    /// Empties a node: its copies are made elsewhere, nothing new is put there.
    Drain {
        /// The node.
        node: String,
        /// Only says what would be copied.
        #[arg(long)]
        dry_run: bool,
        /// Takes part again.
        #[arg(long)]
        undo: bool,
    },
    /// Takes an emptied node out of the cluster for good.
    Remove {
        /// The node.
        node: String,
        /// Also when it still holds chunks: what only it holds is lost.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum KeyVerb {
    /// Makes a pair of keys. The secret is shown now and never again.
    Create {
        /// What people call it.
        name: String,
        /// A bucket that it may read; more than once. Without any grant it may do everything.
        #[arg(long)]
        read: Vec<String>,
        /// A bucket that it may read and write; more than once.
        #[arg(long)]
        write: Vec<String>,
    },
    /// The pairs of keys.
    List,
    /// Takes a pair of keys away.
    Delete {
        /// Its access key.
        id: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum BucketVerb {
    /// The buckets.
    List,
    /// Makes a bucket.
    Create {
        /// Its name.
        name: String,
    },
    /// Removes an empty bucket.
    Delete {
        /// Its name.
        name: String,
    },
    /// Keeps what is overwritten and deleted from now on.
    Versioning {
        /// Its name.
        name: String,
        /// Keeps no more, but what there is.
        #[arg(long)]
        suspend: bool,
    },
}

/// Why a verb failed: an exit code and words for people.
pub(crate) struct Failure(u8, String);

type Done = Result<(), Failure>;

/// One node, and how to speak with it.
struct Line {
    peers: Peers,
    addr: String,
}

impl Whom {
    fn line(&self) -> Result<Line, Failure> {
        let configuration = |text: String| Failure(CONFIGURATION, text);
        let settings = planaria_monitor::config::load(self.config.as_deref())
            .map_err(|e| configuration(e.to_string()))?;
        let file = settings.storage_secrets_file.as_ref().ok_or_else(|| {
            configuration("STORAGE_SECRETS_FILE is not set: it names the file with the keys".into())
        })?;
        let secrets = Secrets::read(file).map_err(|e| configuration(e.to_string()))?;
        let addr = self
            .addr
            .clone()
            .unwrap_or_else(|| format!("127.0.0.1:{}", settings.peer_addr.port()));
        // A guest: no disk, no cluster.
        let card = Card {
            disk: DiskId(0),
            name: "command".to_owned(),
            boot: 0,
            start: 0,
            cluster: None,
        };
        let peers = Peers::new(Secret::new(&secrets.peer_secret), card);
        Ok(Line { peers, addr })
    }

    /// The configuration of this machine's own node, for what is done while it is stopped.
    fn own_config(&self) -> Result<Config, Failure> {
        let configuration = |text: String| Failure(CONFIGURATION, text);
        let settings = planaria_monitor::config::load(self.config.as_deref())
            .map_err(|e| configuration(e.to_string()))?;
        Config::from_settings(&settings).map_err(|e| configuration(e.to_string()))
    }
}

impl Line {
    async fn ask(&self, ask: &Ask, patience: Duration) -> Result<(Answer, bytes::Bytes), Failure> {
        let asked = self.peers.ask(
            &self.addr,
            Lane::Control,
            ask,
            bytes::Bytes::new(),
            patience,
        );
        asked.await.map_err(|error| match error {
            PeerError::Fault(fault) => Failure(1, fault.to_string()),
            other => Failure(UNAVAILABLE, format!("no answer from {other}")),
        })
    }

    async fn admin(&self, admin: Admin) -> Result<(Value, bytes::Bytes), Failure> {
        let (answer, blob) = self.ask(&Ask::Admin(admin), PATIENCE).await?;
        let Answer::Json(text) = answer else {
            return Err(Failure(1, "an odd answer".to_owned()));
        };
        let value = serde_json::from_str(&text).map_err(|e| Failure(1, e.to_string()))?;
        Ok((value, blob))
    }

    async fn status(&self) -> Result<NodeStatus, Failure> {
        match self.ask(&Ask::Status, STATUS_PATIENCE).await? {
            (Answer::Status(status), _) => Ok(*status),
            _ => Err(Failure(1, "an odd answer".to_owned())),
        }
    }
}

pub(crate) fn end(done: Done) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, text)) => {
            eprintln!("storage-node: {text}");
            ExitCode::from(code)
        }
    }
}

/// Prints as JSON, or as people read it.
fn show(whom: &Whom, value: &Value, people: impl FnOnce(&Value)) {
    if whom.json {
        say!("{value:#}");
    } else {
        people(value);
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

pub(crate) async fn status(whom: &Whom) -> Done {
    let status = whom.line()?.status().await?;
    let value = serde_json::to_value(&status).map_err(|e| Failure(1, e.to_string()))?;
    show(whom, &value, |_| print_status(&status));
    Ok(())
}

pub(crate) async fn layout(whom: &Whom, verb: LayoutVerb) -> Done {
    let line = whom.line()?;
    let (node, change, dry_run) = match verb {
        LayoutVerb::Show => {
            let (value, _) = line.admin(Admin::Layout).await?;
            show(whom, &value, print_layout);
            return Ok(());
        }
        LayoutVerb::Remove { node, force } => {
            let removed = Admin::Remove {
                node: node.clone(),
                force,
            };
            let (value, _) = line.admin(removed).await?;
            show(whom, &value, |_| {
                say!("{node} is out of the cluster; wipe its data before it joins again");
            });
            return Ok(());
        }
        LayoutVerb::Zone {
            node,
            zone,
            dry_run,
        } => (node, RoleChange::Zone(zone), dry_run),
        LayoutVerb::Drain {
            node,
            dry_run,
            undo,
        } => (node, RoleChange::Draining(!undo), dry_run),
    };
    let assign = Admin::Assign {
        node,
        change,
        dry_run,
    };
    let (value, _) = line.admin(assign).await?;
    show(whom, &value, |value| {
        if dry_run {
            say!(
                "{} copies, {} MiB would be made",
                value["copies"],
                value["bytes"].as_u64().unwrap_or(0) >> 20
            );
        } else {
            say!("decided; storage-node layout show says how far it is");
        }
    });
    Ok(())
}

pub(crate) async fn key(whom: &Whom, verb: KeyVerb) -> Done {
    let line = whom.line()?;
    let admin = match verb {
        KeyVerb::Create { name, read, write } => {
            let grant = |bucket: String, write| Grant { bucket, write };
            let grants: Vec<Grant> = read
                .into_iter()
                .map(|bucket| grant(bucket, false))
                .chain(write.into_iter().map(|bucket| grant(bucket, true)))
                .collect();
            let grants = Some(grants).filter(|grants| !grants.is_empty());
            Admin::CreateKey { name, grants }
        }
        KeyVerb::List => Admin::ListKeys,
        KeyVerb::Delete { id } => Admin::DeleteKey { id },
    };
    let (value, _) = line.admin(admin).await?;
    show(whom, &value, |value| {
        for key in value["keys"].as_array().into_iter().flatten() {
            say!("{} {}", text(key, "id"), text(key, "name"));
        }
        if value.get("secret_key").is_some() {
            say!("AWS_ACCESS_KEY_ID={}", text(value, "access_key"));
            say!("AWS_SECRET_ACCESS_KEY={}", text(value, "secret_key"));
        }
    });
    Ok(())
}

pub(crate) async fn bucket(whom: &Whom, verb: BucketVerb) -> Done {
    let admin = match verb {
        BucketVerb::List => Admin::ListBuckets,
        BucketVerb::Create { name } => Admin::CreateBucket { name },
        BucketVerb::Delete { name } => Admin::DeleteBucket { name },
        BucketVerb::Versioning { name, suspend } => Admin::SetVersioning {
            name,
            versioning: if suspend {
                Versioning::Suspended
            } else {
                Versioning::Enabled
            },
        },
    };
    let (value, _) = whom.line()?.admin(admin).await?;
    show(whom, &value, |value| {
        for bucket in value["buckets"].as_array().into_iter().flatten() {
            say!(
                "{} (versioning {})",
                text(bucket, "name"),
                text(bucket, "versioning")
            );
        }
    });
    Ok(())
}

/// Reads every copy of the node back, and waits for it if asked.
pub(crate) async fn scrub(whom: &Whom, wait: bool) -> Done {
    let line = whom.line()?;
    let (before, _) = line.admin(Admin::Scrub).await?;
    let before = before["scrubs"].as_u64().unwrap_or(0);
    let mut status = line.status().await?;
    while wait && status.scrubs <= before {
        tokio::time::sleep(LOOK).await;
        status = line.status().await?;
    }
    let value = serde_json::json!({
        "scrubs": status.scrubs, "scrubbed": status.scrubbed, "owed": status.owed,
    });
    show(whom, &value, |value| {
        say!(
            "{} chunks read back since the start, {} chunks of the cluster owed",
            value["scrubbed"],
            value["owed"]
        );
    });
    Ok(())
}

/// Compares disk and records, and looks for misplaced copies, now.
pub(crate) async fn repair(whom: &Whom) -> Done {
    let (value, _) = whom.line()?.admin(Admin::Repair).await?;
    show(whom, &value, |_| {
        say!("begun; storage-node status says how far it is");
    });
    Ok(())
}

/// Makes the disk of this machine the only member of a new cluster. The node must be stopped.
pub(crate) fn force(whom: &Whom, disk: &str) -> Done {
    let config = whom.own_config()?;
    let forced =
        planaria_storage::force::force(&config, disk).map_err(|e| Failure(1, format!("{e:#}")))?;
    alone(whom, &config.name, forced, "their data directories are")
}

/// Begins a new cluster on this machine with a snapshot's metadata. The node must be stopped.
pub(crate) fn restore(whom: &Whom, file: &std::path::Path) -> Done {
    let config = whom.own_config()?;
    let restored = planaria_storage::force::restore(&config, file)
        .map_err(|e| Failure(1, format!("{e:#}")))?;
    let rest = "identity.json and meta in their data directories are";
    alone(whom, &config.name, restored, rest)
}

fn alone(whom: &Whom, name: &str, cluster: u64, rest: &str) -> Done {
    let value = serde_json::json!({ "node": name, "cluster": format!("{cluster:016x}") });
    show(whom, &value, |_| {
        say!(
            "{name} is the only member of the new cluster {cluster:016x}. Start it; the others \
             join it when {rest} removed."
        );
    });
    Ok(())
}

/// Writes the whole metadata into a file.
pub(crate) async fn snapshot(whom: &Whom, file: &std::path::Path) -> Done {
    let failed = |e: std::io::Error| Failure(1, format!("{}: {e}", file.display()));
    let line = whom.line()?;
    let beside = file.with_extension("partial");
    let mut output = std::fs::File::create(&beside).map_err(failed)?;
    let (mut name, mut offset, mut length) = (None, 0, 1);
    while offset < length {
        let (value, piece) = line
            .admin(Admin::Snapshot {
                name: name.clone(),
                offset,
            })
            .await?;
        output.write_all(&piece).map_err(failed)?;
        offset += piece.len() as u64;
        length = value["length"].as_u64().unwrap_or(0);
        name = Some(text(&value, "name").to_owned());
        if piece.is_empty() && offset < length {
            return Err(Failure(1, "the snapshot ended early".to_owned()));
        }
    }
    output.sync_all().map_err(failed)?;
    std::fs::rename(&beside, file).map_err(failed)?;
    let value = serde_json::json!({ "file": file.display().to_string(), "length": length });
    show(whom, &value, |_| {
        say!("{length} bytes of metadata in {}", file.display());
    });
    Ok(())
}
