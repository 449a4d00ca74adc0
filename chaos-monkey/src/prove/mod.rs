//! The whole proof: load on the store, faults at random, quiet, judgement, report.
//!
//! - [`s3`] and [`load`]: clients on all nodes; [`history`]: what they saw.
//! - [`attacker`]: one attack after the other, by the seed; [`witness`]: engine and healers from outside.
//! - [`judge`] and [`verdict`]: what must hold; [`report`] and [`page`]: JSON and one HTML file.
//!
//! It runs outside of the stack (`make prove`), where it reaches the store's published ports, the engine,
//! and the monitors by their containers' addresses.

pub mod attacker;
pub mod bystander;
pub mod evidence;
pub mod history;
pub mod judge;
pub mod load;
mod look;
pub mod page;
pub mod report;
pub mod s3;
pub mod script;
pub mod stats;
pub mod verdict;
pub mod witness;

use crate::dice::Dice;
use crate::ledger;
use attacker::Attacker;
use bollard::Docker;
use bystander::Bystander;
use load::{Shared, Worker};
use planaria_monitor::ask;
use report::Proof;
use s3::{Client, Keys};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tracing::info;
use witness::Witness;

/// Why attacks are undone when the time is over: nobody is blamed for not having healed them yet.
pub const ENDS: &str = "the time for attacks is over";
/// Clients on each node of the store.
const CLIENTS: u64 = 2;
/// Load before the first attack, so that there is something to lose.
const WARM_UP: Duration = Duration::from_secs(3);
/// How long everything may take to be well again at the end; quarantine and back-off are far below.
const QUIET_WITHIN: Duration = Duration::from_secs(120);
/// The load goes on for so long after the last attack.
const AFTERWARDS: Duration = Duration::from_secs(3);
/// One look at one object is tried for so long; a store that does not answer then has lost it.
const LOOK_WITHIN: Duration = Duration::from_secs(40);
/// Removing what the proof wrote takes no longer; the rest stays.
const SWEEP_WITHIN: Duration = Duration::from_secs(20);

/// What is to be proven, and on what.
#[derive(Clone)]
pub struct Options {
    /// The Compose project.
    pub project: String,
    /// `host:port` of each node of the store.
    pub nodes: Vec<String>,
    /// Its keys.
    pub keys: Keys,
    /// For how long attacks are made.
    pub attacks_for: Duration,
    /// The seed, of the load too.
    pub seed: u64,
    /// What is attacked when.
    pub script: script::Script,
    /// Where the report goes.
    pub folder: PathBuf,
    /// The image of helper containers and of the bystander.
    pub image: String,
}

impl Options {
    /// For attacks without load and judgement.
    #[must_use]
    pub fn attacks_only(
        project: String,
        folder: PathBuf,
        image: String,
        attacks_for: Duration,
    ) -> Self {
        Self {
            project,
            nodes: Vec::new(),
            keys: Keys {
                access: String::new(),
                secret: String::new(),
            },
            attacks_for,
            seed: 0,
            script: script::Script::Steps(Vec::new()),
            folder,
            image,
        }
    }
}

/// The proof could not be made; this says nothing about the stack.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// The stack is not well to begin with.
    #[error("the stack is not well before the first attack: {0}; see make status")]
    NotWell(String),
    /// The store does not take the bucket.
    #[error("the store on {node} cannot be used: {why}; see make s3-credentials")]
    Store {
        /// Which node.
        node: String,
        /// What it said.
        why: String,
    },
    /// The engine.
    #[error("the engine: {0}")]
    Engine(String),
    /// The folder of the report.
    #[error("{0}: {1}; give another one with --out")]
    Folder(PathBuf, std::io::Error),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerError),
}

/// Makes the proof and writes the report.
///
/// # Errors
/// Where it could not be made.
pub async fn prove(engine: &Docker, options: &Options) -> Result<Proof, ProveError> {
    std::fs::create_dir_all(&options.folder)
        .map_err(|error| ProveError::Folder(options.folder.clone(), error))?;
    settled(engine, &options.project, QUIET_WITHIN)
        .await
        .map_err(ProveError::NotWell)?;
    let clients: Vec<Client> = options
        .nodes
        .iter()
        .map(|node| Client::new(node, options.keys.clone()))
        .collect();
    look::bucket(&clients, &options.nodes).await?;
    let bystander = Bystander::start(engine, options).await?;
    let start = Instant::now();
    let began_ms = crate::clock::now_ms();
    let witness = Witness::start(engine, &options.project, start);
    let run = format!("{}-{began_ms:x}", options.seed);
    let shared = Arc::new(Shared::new(start, run));
    let workers = workers(&shared, options);
    tokio::time::sleep(WARM_UP).await;
    info!(
        event = "proof_attacks",
        "Attacks begin (seed {})", options.seed
    );
    let mut attacker = Attacker::new(engine, options).await?;
    let attacked = attacker.run(options.attacks_for).await;
    info!(
        event = "proof_quiet",
        "Attacks are over; waiting until everything is well"
    );
    let quiet = Instant::now();
    let at_the_end = settled(engine, &options.project, QUIET_WITHIN).await;
    let quiet_ms = u64::try_from(quiet.elapsed().as_millis()).unwrap_or(u64::MAX);
    tokio::time::sleep(AFTERWARDS).await;
    shared.stop.store(true, Ordering::Relaxed);
    for worker in workers {
        // A client that panicked shows as kinds that were never answered.
        drop(tokio::task::spawn_blocking(move || worker.join()).await);
    }
    let mut books = shared.books();
    info!(
        event = "proof_judging",
        "Reading back {} objects from every node",
        books.kept.len()
    );
    let final_looks = look::look_everywhere(&clients, &books.kept, &mut books.history, start).await;
    let findings = judge::judge(&books.history);
    let stories = ledger::read(&options.folder)?;
    let notes = witness.notes();
    drop(witness);
    let unwell = unwell(engine, &options.project).await;
    let (names, unwell) = unwell.map_err(ProveError::Engine)?;
    let same = bystander.is_the_same(engine).await;
    let checks = vec![
        verdict::everything_is_there(
            books.kept.len(),
            verdict::bytes(books.kept.iter().map(|kept| kept.value)),
            final_looks.count,
            &final_looks.wrong,
        ),
        verdict::linearizable(&findings),
        verdict::honest(&books.tally),
        verdict::healed(&stories),
        verdict::will_is_respected(&stories),
        verdict::one_leader(&notes, at_the_end),
        verdict::everything_runs(&unwell, names.len()),
        verdict::others_are_untouched(
            &options.project,
            &bystander.id,
            same,
            &stories,
            &notes.events,
            &attacked.members,
        ),
    ];
    bystander.remove(engine).await;
    if !checks.iter().all(|check| check.holds) {
        evidence::keep(engine, &options.project, began_ms, &options.folder).await;
    } else {
        look::sweep(&clients, &books, SWEEP_WITHIN).await;
    }
    let proof = Proof::new(
        options, began_ms, quiet_ms, checks, stories, &notes, books, &attacked,
    );
    proof
        .write(&options.folder)
        .map_err(|error| ProveError::Folder(options.folder.clone(), error))?;
    Ok(proof)
}

fn workers(shared: &Arc<Shared>, options: &Options) -> Vec<std::thread::JoinHandle<()>> {
    let mut workers = Vec::new();
    for (node, host) in options.nodes.iter().enumerate() {
        for client in 0..CLIENTS {
            let number = u64::try_from(node).unwrap_or(0) * CLIENTS + client;
            let dice = Dice::of(options.seed ^ 0x10ad, number);
            let worker = Worker::new(Arc::clone(shared), host, options.keys.clone(), node, dice);
            workers.push(std::thread::spawn(move || worker.run()));
        }
    }
    workers
}

/// Waits until everything is well and all healers name one leader, which says so too.
async fn settled(engine: &Docker, project: &str, within: Duration) -> Result<String, String> {
    let until = Instant::now() + within;
    loop {
        match look(engine, project).await {
            Ok(leader) => return Ok(leader),
            Err(why) if Instant::now() > until => return Err(why),
            Err(_) => tokio::time::sleep(Duration::from_millis(300)).await,
        }
    }
}

async fn look(engine: &Docker, project: &str) -> Result<String, String> {
    let (names, unwell) = unwell(engine, project).await?;
    if names.is_empty() {
        return Err(format!("project {project} has no containers"));
    }
    if !unwell.is_empty() {
        return Err(unwell.join("; "));
    }
    let healers = witness::healers(engine, project).await;
    let mut leaders = std::collections::BTreeSet::new();
    let mut force = 0;
    for (name, address) in &healers {
        let status = ask::status(address)
            .await
            .map_err(|error| format!("{name}: {error}"))?;
        let leader = status
            .leader
            .ok_or_else(|| format!("{name} knows no leader"))?;
        leaders.insert((leader.as_str().to_owned(), status.term));
        force += usize::from(status.may_force);
    }
    match leaders.pop_first() {
        None => Err("no healer runs".to_owned()),
        Some((leader, term)) if leaders.is_empty() && force == 1 => Ok(format!(
            "{leader} leads in term {term}, in the eyes of all {} healers",
            healers.len()
        )),
        Some((leader, _)) => Err(format!(
            "not one leader in everybody's eyes: {leader}, {leaders:?}; {force} may use force"
        )),
    }
}

/// Containers of the project that are not one-off commands, and what is wrong with some.
async fn unwell(engine: &Docker, project: &str) -> Result<(Vec<String>, Vec<String>), String> {
    use crate::engine::Engine;
    use crate::target::Life;
    let all = engine.list().await.map_err(|error| error.to_string())?;
    let mut names = Vec::new();
    let mut unwell = Vec::new();
    for container in all
        .iter()
        .filter(|it| it.is_of(project) && !it.is_one_off())
    {
        names.push(container.name.clone());
        if container.life != Life::Well {
            unwell.push(format!("{} is {}", container.name, container.life));
        }
    }
    Ok((names, unwell))
}
