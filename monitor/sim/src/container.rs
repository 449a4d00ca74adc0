//! A container of the simulated engine: what `inspect` shows, what it is made of, and what is true.

use crate::clock::S;
use planaria_core::engine::{Attachment, Container, ContainerState, Health, RestartPolicy};
use planaria_core::id::{ContainerId, MemberName};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The project that all containers of the world belong to.
pub(crate) const PROJECT: &str = "planaria";

/// What runs inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A candidate with access to the engine.
    Healer,
    /// A member that gives no orders.
    Member,
    /// A program that knows nothing of us.
    Plain,
    /// RabbitMQ.
    Broker,
}

/// Why a process does not run although it is there. Bits: one may be frozen for two reasons.
pub(crate) mod freeze {
    /// `docker pause`.
    pub(crate) const PAUSED: u8 = 1;
    /// SIGSTOP.
    pub(crate) const STOPPED: u8 = 2;
    /// It hangs by itself: nothing but its end mends it.
    pub(crate) const HUNG: u8 = 4;
    /// The host gives it no time.
    pub(crate) const DESCHEDULED: u8 = 8;
}

/// How a container is made.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// What runs inside.
    pub kind: Kind,
    /// Its own restart policy.
    pub policy: RestartPolicy,
    /// Labels beside those that every container of the world has.
    pub labels: Vec<(String, String)>,
    /// It has a health check.
    pub check: bool,
    /// It ignores its stop signal.
    pub stubborn: bool,
    /// It belongs to the group (else to `monitor watch` alone).
    pub grouped: bool,
}

impl Spec {
    /// As the generated compose file makes it.
    #[must_use]
    pub fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            policy: RestartPolicy::UnlessStopped,
            labels: Vec::new(),
            check: true,
            stubborn: false,
            grouped: true,
        }
    }
}

/// What a person last wanted of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Will {
    /// It should run (if its own policy says so).
    Run,
    /// It was stopped, and the engine said so at this time.
    Stopped(u64),
    /// Nobody could know: it was stopped while it was dead, or ended by itself where that is its right.
    Open,
}

/// A stop under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StopFlow {
    pub(crate) then: Then,
    pub(crate) since: u64,
    pub(crate) dead: bool,
}

/// What follows a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing: a person stopped it.
    Rest,
    /// `docker restart`.
    Restart,
    /// `compose up --force-recreate`.
    Recreate,
    /// `compose down`.
    Remove,
    /// The engine is going down.
    Daemon,
}

/// How the program inside behaves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Nature {
    pub(crate) stubborn: bool,
    /// It ends itself so long after each start.
    pub(crate) crash_after: Option<u64>,
    /// So many starts fail.
    pub(crate) start_failures: u32,
    /// Its health check fails although it runs.
    pub(crate) sick: bool,
    pub(crate) check: bool,
    pub(crate) failed_checks: u32,
}

/// What really happened, whatever anybody heard of it.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    pub(crate) will: Will,
    /// Something is wrong with it although it runs, since when.
    pub(crate) unwell: Option<u64>,
    /// When it was unwell last.
    pub(crate) unwell_until: Option<u64>,
    /// Since when it was never well for long enough to be noticed.
    pub(crate) ailing: Option<u64>,
    /// Its last end was a death without a stop.
    pub(crate) died: bool,
    /// Starts that followed a death without a stop.
    pub(crate) restarts: VecDeque<u64>,
    /// Starts that failed or were refused.
    pub(crate) refused: Vec<u64>,
    /// When an event about its ends or starts was lost, or came when nobody listened: healers may count too
    /// many or too few.
    pub(crate) lost: Option<u64>,
    /// Healings of it that failed without a start.
    pub(crate) failures: Vec<u64>,
    /// Starts and attempts that a person took back in a way that no healer could see.
    pub(crate) uncleared: usize,
    /// Who told people last that it is in quarantine.
    pub(crate) told: Option<Told>,
    /// Since when it is paused.
    pub(crate) paused_since: Option<u64>,
    /// It was paused before in this life: an order for that pause may still be under way.
    pub(crate) paused_before: bool,
    /// An event about a pause of this life was lost.
    pub(crate) pause_lost: bool,
    /// When a recreation renamed it.
    pub(crate) renamed: Option<u64>,
    /// When it was removed.
    pub(crate) removed_at: Option<u64>,
    /// An event about it was lost on the way to a healer, or came when nobody listened.
    pub(crate) tainted: bool,
    /// A person asked for it to be healed.
    pub(crate) asked: bool,
    /// What a person was promised.
    pub(crate) holds: Vec<Held>,
    /// When it died or was made and is down since.
    pub(crate) down_since: u64,
}

/// A hold that was promised. A second one prolongs the first, and whoever did not hear of it keeps to the first.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) since: u64,
    pub(crate) until: u64,
    /// Who knows it without having heard a beat: its author, and whoever led.
    pub(crate) known_to: Vec<usize>,
}

/// That people were told of a quarantine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// After which start.
    pub(crate) life: u64,
    pub(crate) at: u64,
    /// By which process.
    pub(crate) by: (usize, u64),
    /// It had a connection to write it down for others.
    pub(crate) linked: bool,
    /// It held the token: its beats told the others.
    pub(crate) led: bool,
}

impl Truth {
    /// How often it was brought back, or was tried to be.
    pub(crate) fn attempts(&self) -> usize {
        self.restarts.len() + self.refused.len()
    }

    /// A person stopped it, started it anew or released it.
    pub(crate) fn forget_restarts(&mut self) {
        self.restarts.clear();
        self.refused.clear();
        self.told = None;
    }
}

/// One container.
#[derive(Clone, Debug)]
pub(crate) struct Cont {
    pub(crate) facts: Container,
    pub(crate) kind: Kind,
    pub(crate) removed: bool,
    /// `rm -f` is under way.
    pub(crate) removing: bool,
    /// Grows with each start; 0: never started.
    pub(crate) life: u64,
    pub(crate) freeze: u8,
    /// A signal or stop came through the engine since the last start: its own policy is off.
    pub(crate) manual: bool,
    pub(crate) starting: bool,
    /// Its first process has ended, the engine has not said so yet.
    pub(crate) dying: bool,
    /// Docker's own back-off: how often in a row it restarted.
    pub(crate) in_a_row: u32,
    pub(crate) ran_since: u64,
    pub(crate) stop: Option<StopFlow>,
    pub(crate) pending_signals: Vec<i32>,
    pub(crate) nature: Nature,
    pub(crate) truth: Truth,
}

impl Cont {
    pub(crate) fn new(spec: &Spec, serial: u64, now: u64) -> Self {
        let member = matches!(spec.kind, Kind::Healer | Kind::Member)
            .then(|| MemberName::new(spec.name.clone()).ok())
            .flatten();
        Self {
            facts: Container {
                id: ContainerId(format!(
                    "{:016x}{:048x}",
                    serial.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                    serial
                )),
                name: spec.name.clone(),
                member,
                labels: labels(spec),
                state: ContainerState::Created,
                started_at: None,
                finished_at: None,
                exit_code: 0,
                oom_killed: false,
                error: String::new(),
                restart_policy: spec.policy,
                health: None,
                stop_signal: 15,
                stop_timeout: Duration::from_secs(10),
                network_mode: "planaria_default".into(),
                networks: vec![Attachment {
                    network: "planaria_default".into(),
                    aliases: vec![spec.name.clone()],
                    address: None,
                }],
                process_state: None,
            },
            kind: spec.kind,
            removed: false,
            removing: false,
            life: 0,
            freeze: 0,
            manual: false,
            starting: false,
            dying: false,
            in_a_row: 0,
            ran_since: now,
            stop: None,
            pending_signals: Vec::new(),
            nature: Nature {
                stubborn: spec.stubborn,
                check: spec.check,
                ..Nature::default()
            },
            truth: Truth {
                will: Will::Open,
                unwell: None,
                unwell_until: None,
                ailing: None,
                died: false,
                restarts: VecDeque::new(),
                refused: Vec::new(),
                lost: None,
                failures: Vec::new(),
                uncleared: 0,
                told: None,
                paused_since: None,
                paused_before: false,
                pause_lost: false,
                renamed: None,
                removed_at: None,
                tainted: false,
                asked: false,
                holds: Vec::new(),
                down_since: now,
            },
        }
    }

    /// Its first process exists.
    pub(crate) fn lives(&self) -> bool {
        !self.removed
            && !self.dying
            && matches!(
                self.facts.state,
                ContainerState::Running | ContainerState::Paused
            )
    }

    /// It runs, and nothing is wrong with it.
    pub(crate) fn well(&self) -> bool {
        self.lives()
            && self.facts.state == ContainerState::Running
            && self.freeze == 0
            && !self.nature.sick
            && !self.facts.networks.is_empty()
            && self.facts.health != Some(Health::Unhealthy)
    }

    /// Notes whether something is wrong although it runs.
    pub(crate) fn judge(&mut self, now: u64, cut_off: bool) {
        let unwell = self.lives() && (!self.well() || cut_off);
        match (unwell, self.truth.unwell) {
            (true, None) => {
                self.truth.unwell = Some(now);
                let moment = |until| now - until <= UNNOTICED;
                let before = self
                    .truth
                    .ailing
                    .filter(|_| self.truth.unwell_until.is_some_and(moment));
                self.truth.ailing = before.or(Some(now));
            }
            (false, Some(_)) => {
                self.truth.unwell = None;
                self.truth.unwell_until = Some(now);
            }
            _ => {}
        }
    }

    /// Starts that followed a death within a span before now.
    pub(crate) fn restarts_within(&self, now: u64, span: u64) -> usize {
        let since = now.saturating_sub(span);
        self.truth
            .restarts
            .iter()
            .filter(|at| **at >= since)
            .count()
    }

    /// Whether its own policy (`inherit`) wants it back after the end it had.
    pub(crate) fn policy_wants_it(&self) -> bool {
        match self.facts.restart_policy {
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
            // A kill, an OOM or a code other than zero is healed, a clean end is its right.
            RestartPolicy::No | RestartPolicy::OnFailure(_) => self.facts.exit_code != 0,
        }
    }
}

/// Nobody asks more often than this: the longest wait between two attempts to connect, and an attempt.
const UNNOTICED: u64 = S + S / 10;

/// How long after it was mended a force on a container is still explained by what was wrong.
pub(crate) const UNWELL_MEMORY: u64 = 10 * S;

fn labels(spec: &Spec) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = [
        ("com.docker.compose.project", PROJECT),
        ("com.docker.compose.service", spec.name.as_str()),
        ("com.docker.compose.oneoff", "False"),
        ("planaria.enable", "true"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    if spec.grouped {
        labels.insert("planaria.group".into(), PROJECT.into());
    }
    match spec.kind {
        Kind::Healer => {
            labels.insert("planaria.healer".into(), "true".into());
        }
        Kind::Broker => {
            labels.insert("planaria.role".into(), "broker".into());
        }
        Kind::Member | Kind::Plain => {}
    }
    labels.extend(spec.labels.iter().cloned());
    labels
}
