//! `chaos-monkey attack`: one attack, and what became of it.

use super::{Exit, complain, engine_exit, say};
use planaria_chaos::attack::End;
use planaria_chaos::bus::{self, Bus};
use planaria_chaos::engine::EngineError;
use planaria_chaos::fault::{Dose, Fault, HELPER_IMAGE, Way};
use planaria_chaos::identity;
use planaria_chaos::ledger::Ledger;
use planaria_chaos::management::Management;
use planaria_chaos::monkey::{self, Monkey, NoAttack, Outfit, Tell};
use planaria_chaos::plan::{self, Order, Trigger};
use planaria_chaos::target::{Policy, Wish};
use planaria_core::id::MemberName;
use planaria_core::message::KeyRole;
use planaria_monitor::codec::Codec;
use planaria_monitor::{Settings, ask};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    /// With this fault; else drawn from CHAOS_FAULTS.
    #[arg(long)]
    pub(super) fault: Option<Fault>,
    /// A container's name, re2:PATTERN, label:KEY=VALUE, group:ROLE, or leader, next-leader, follower, broker.
    #[arg(long, value_name = "NAME")]
    pub(super) target: Option<String>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// The plan's seed; the same seed gives the same choice.
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// The Compose project to attack; else the one that this container belongs to.
    #[arg(long)]
    project: Option<String>,
    /// For how long, where nobody heals it: 20, 20s, 2m.
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    time: Option<u64>,
    /// Of how many packets in a hundred (loss, corrupt, reorder); of one processor (cpu); of the room (disk-full).
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100))]
    percent: Option<u8>,
    /// By how many milliseconds (latency, jitter, reorder).
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    delay_ms: Option<u32>,
    /// Give or take so many milliseconds (latency, jitter).
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    jitter_ms: Option<u32>,
    /// How many kilobits a second pass (rate).
    #[arg(long, value_parser = clap::value_parser!(u32).range(8..))]
    kbit: Option<u32>,
    /// How many mebibytes (memory); the size of the file that is written over and over (io).
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    mebibytes: Option<u32>,
    /// Which way packets go that are hit: in, out, both.
    #[arg(long)]
    way: Option<Way>,
    /// Only packets to and from this container or address; may be given again.
    #[arg(long, value_name = "NAME|ADDRESS")]
    peer: Vec<String>,
    /// The folder inside the target that is filled (disk-full), written in (io), or whose files rot (bit-rot).
    #[arg(long, value_name = "FOLDER")]
    path: Option<String>,
    /// The image of helper containers.
    #[arg(long, default_value = HELPER_IMAGE)]
    helper_image: String,
    /// The file with http://USER:PASSWORD@HOST:15672 of RabbitMQ's management API (amqp-close); else management.url beside OPERATOR_SECRET_FILE.
    #[arg(long, value_name = "FILE")]
    management: Option<PathBuf>,
}

/// A command does not wait longer for a broker that is away.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// Nothing is broken for longer.
const TIME_MAX_S: u64 = 24 * 3600;

/// Seconds, or with a unit.
fn time(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        other => return Err(format!("{other:?} is no unit; there are s, m and h")),
    };
    let seconds = digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit));
    seconds
        .filter(|seconds| (1..=TIME_MAX_S).contains(seconds))
        .ok_or_else(|| format!("{text:?} is not between 1 s and 24 h"))
}

/// A container by its name has the addresses that the engine knows.
async fn peers(engine: &bollard::Docker, names: &[String]) -> Result<Vec<IpAddr>, String> {
    let mut all = Vec::new();
    for name in names {
        if let Ok(address) = name.parse() {
            all.push(address);
            continue;
        }
        let found = engine
            .inspect_container(
                name,
                None::<bollard::query_parameters::InspectContainerOptions>,
            )
            .await
            .map_err(|error| format!("--peer {name}: {error}"))?;
        let networks = found
            .network_settings
            .and_then(|it| it.networks)
            .unwrap_or_default();
        let before = all.len();
        all.extend(
            networks
                .into_values()
                .filter_map(|it| it.ip_address?.parse::<IpAddr>().ok()),
        );
        if all.len() == before {
            return Err(format!("--peer {name}: it has no address"));
        }
    }
    Ok(all)
}

/// Undoes what the ledger has open.
pub(super) fn revert(settings: &Settings) -> Exit {
    planaria_monitor::logging::init(settings);
    let Some(dir) = settings.state_dir.clone() else {
        complain(&"STATE_DIR is not set, so there is no ledger to read");
        return Exit::Config;
    };
    let work = async {
        let engine = match planaria_monitor::docker::connect(settings).await {
            Ok(engine) => engine,
            Err(error) => {
                complain(&error);
                return engine_exit(&error);
            }
        };
        let open = match Ledger::open(&dir) {
            Ok(ledger) => monkey::revert(&engine, ledger, &dir).await,
            Err(error) => Err(error),
        };
        match open {
            Ok(0) => Exit::Done,
            Ok(left) => {
                complain(&format!("{left} attacks could not be undone; try again"));
                Exit::Failed
            }
            Err(error) => {
                complain(&error);
                Exit::Failed
            }
        }
    };
    match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => {
            complain(&error);
            Exit::Failed
        }
    }
}

pub(super) fn attack(settings: &Settings, wanted: Wanted) -> Exit {
    planaria_monitor::logging::init(settings);
    match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(carry_out(settings, wanted)),
        Err(error) => {
            complain(&error);
            Exit::Failed
        }
    }
}

async fn carry_out(settings: &Settings, wanted: Wanted) -> Exit {
    let faults = match wanted.fault.map_or_else(
        || monkey::faults(&settings.chaos_faults),
        |fault| Ok(vec![fault]),
    ) {
        Ok(faults) => faults,
        Err(error) => {
            complain(&format!("CHAOS_FAULTS: {error}"));
            return Exit::Config;
        }
    };
    let engine = match planaria_monitor::docker::connect(settings).await {
        Ok(engine) => engine,
        Err(error) => {
            complain(&error);
            return engine_exit(&error);
        }
    };
    let wish = wanted
        .target
        .as_deref()
        .map_or(Ok(Wish::Anyone), Wish::parse);
    let (mut policy, wish) = match Policy::new(settings).and_then(|policy| Ok((policy, wish?))) {
        Ok(both) => both,
        Err(error) => {
            complain(&error);
            return Exit::Config;
        }
    };
    policy.project = wanted.project;
    if let Err(error) =
        identity::identify(&engine, &mut policy, identity::hostname().as_deref()).await
    {
        complain(&error);
        return Exit::Unavailable;
    }
    let peers = match peers(&engine, &wanted.peer).await {
        Ok(peers) => peers,
        Err(error) => {
            complain(&error);
            return Exit::Failed;
        }
    };
    let ledger = match settings
        .state_dir
        .as_deref()
        .map_or_else(|| Ok(Ledger::forgetful()), Ledger::open)
    {
        Ok(ledger) => ledger,
        Err(error) => {
            complain(&error);
            return Exit::Failed;
        }
    };
    let status = ask::any_status(&monitors(settings)).await;
    let (tell, told) = teller(settings);
    let mut monkey = Monkey::new(Outfit {
        engine,
        policy,
        seed: wanted
            .seed
            .or(settings.chaos_seed)
            .unwrap_or_else(plan::draw_seed),
        boot: rand::random(),
        ledger,
        helper_image: wanted.helper_image,
        management: Management::find(wanted.management.as_deref(), settings),
        group: Box::new(move || status.clone()),
        tell,
    });
    if let Some(dir) = &settings.state_dir
        && let Err(error) = monkey.remember(dir)
    {
        complain(&error);
        return Exit::Failed;
    }
    let order = Order {
        trigger: Trigger::Command,
        faults,
        wish,
        dose: Dose {
            for_s: wanted.time,
            percent: wanted.percent,
            delay_ms: wanted.delay_ms,
            jitter_ms: wanted.jitter_ms,
            kbit: wanted.kbit,
            mebibytes: wanted.mebibytes,
            way: wanted.way,
            peers,
            path: wanted.path,
        },
        everyone: false,
    };
    if wanted.dry_run {
        return preview(&mut monkey, &order).await;
    }
    let exit = really(&mut monkey, &order).await;
    // It has the other end of what is told.
    drop(monkey);
    if tokio::time::timeout(TOLD_WITHIN, told).await.is_err() {
        tracing::debug!(event = "attack_untold", "the broker takes no news");
    }
    exit
}

/// Tells the group of the attack, as the monkey that runs does of its own: so its incidents name it, and a `stop` is
/// taken back where this command is killed. Not without the operator key, which nobody outside the group has.
fn teller(settings: &Settings) -> (Tell, JoinHandle<()>) {
    let name = settings.container_name.clone().or_else(identity::hostname);
    let name = name.and_then(|name| MemberName::new(name).ok());
    let keys = planaria_monitor::config::keys(settings)
        .inspect_err(|error| tracing::warn!(event = "attack_untold", "{error}"))
        .ok()
        .filter(|keys| keys.holds(KeyRole::Operator) && !settings.amqp_urls.is_empty());
    let (Some(name), Some(keys)) = (name, keys) else {
        return (Box::new(|_, _| {}), tokio::spawn(async {}));
    };
    let (calls, _) = mpsc::channel(1);
    let (bus, tell) = Bus::new(
        settings.clone(),
        Codec::new(keys),
        name,
        rand::random(),
        calls,
    );
    let told = tokio::spawn(bus.only_tell());
    let tell: Tell = Box::new(move |attack, event| drop(tell.try_send(bus::told(attack, event))));
    (tell, told)
}

/// Where a monitor may answer: in this container, else the healers by the names of the default stack.
fn monitors(settings: &Settings) -> Vec<String> {
    let port = settings.health_addr.port();
    let healers =
        (1..=settings.healers).map(|i| format!("{}healer-{i}:{port}", settings.container_prefix));
    std::iter::once(format!("127.0.0.1:{port}"))
        .chain(healers)
        .collect()
}

async fn preview(monkey: &mut Monkey<bollard::Docker>, order: &Order) -> Exit {
    match monkey.choose(order).await {
        Ok(choice) => {
            say(&format!(
                "Would attack {} with {}, chosen of {} candidates (excluded: {})",
                choice.victim.name,
                choice.fault,
                choice.sifted.fit.len(),
                choice.sifted.excluded_text()
            ));
            Exit::Done
        }
        Err(error) => {
            complain(&error);
            refused(&error)
        }
    }
}

async fn really(monkey: &mut Monkey<bollard::Docker>, order: &Order) -> Exit {
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        complain(&"SIGTERM cannot be caught");
        return Exit::Failed;
    };
    // Caught from before the attack on: what was begun is not left behind.
    let sent = monkey.attack(order, Instant::now()).await;
    if let Err(error) = sent {
        return refused(&error);
    }
    let end = tokio::select! {
        end = monkey.ended() => end,
        _ = term.recv() => {
            monkey.undo_all("the command was ended").await;
            End::Reverted
        }
        _ = tokio::signal::ctrl_c() => {
            monkey.undo_all("the command was ended").await;
            End::Reverted
        }
    };
    match end {
        End::Healed => Exit::Done,
        // A stop looks like a person's will: that it was undone by the monkey is as it should be.
        End::Reverted if order.faults.iter().all(|fault| !fault.about().heals) => Exit::Done,
        End::Reverted | End::Failed | End::Gone | End::Open => Exit::Failed,
    }
}

fn refused(error: &NoAttack) -> Exit {
    match error {
        NoAttack::Engine(
            EngineError::Gone(_) | EngineError::Refused(_) | EngineError::Management(_),
        )
        | NoAttack::Declined(_) => Exit::Declined,
        _ => Exit::Unavailable,
    }
}
