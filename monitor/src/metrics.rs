//! What is counted, for Prometheus. Never a container id as a label: those grow without bound.

use planaria_core::message::{Incident, IncidentOutcome, MemberState, RestartReason};
use planaria_core::status::{BrokerState, EngineState, Status};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabel {
    state: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DependencyLabel {
    dependency: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RestartLabel {
    container: String,
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PhaseLabel {
    phase: &'static str,
}

type Seconds = Family<PhaseLabel, Histogram, fn() -> Histogram>;
type Calls = Family<OperationLabel, Histogram, fn() -> Histogram>;

/// 10 ms to 41 s: from Docker's own start time to a slow health check.
fn recovery_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 13))
}

/// 1 ms to 4 s: the client's deadline is 2 s.
fn call_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 13))
}

/// All metrics of one monitor.
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    members: Family<StateLabel, Gauge>,
    is_leader: Gauge,
    term: Gauge,
    healers: Gauge,
    held: Gauge,
    tickets: Family<StateLabel, Gauge>,
    elections: Counter,
    heartbeats: Counter,
    up: Family<DependencyLabel, Gauge>,
    pulse_age: Gauge<f64, AtomicU64>,
    restarts: Family<RestartLabel, Counter>,
    recovery: Seconds,
    engine: Calls,
    dropped: Family<OperationLabel, Counter>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("planaria")),
            members: Family::default(),
            is_leader: Gauge::default(),
            term: Gauge::default(),
            healers: Gauge::default(),
            held: Gauge::default(),
            tickets: Family::default(),
            elections: Counter::default(),
            heartbeats: Counter::default(),
            up: Family::default(),
            pulse_age: Gauge::default(),
            restarts: Family::default(),
            recovery: Family::new_with_constructor(recovery_buckets),
            engine: Family::new_with_constructor(call_buckets),
            dropped: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let to = &mut *registry;
        to.register(
            "build",
            "What runs here",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        to.register(
            "members",
            "Members by state, as the leader sees them",
            self.members.clone(),
        );
        to.register("is_leader", "1 on the leader", self.is_leader.clone());
        to.register(
            "term",
            "The leader's term, or the highest seen",
            self.term.clone(),
        );
        to.register("healers", "Healers that are heard", self.healers.clone());
        to.register("held", "Holds in force", self.held.clone());
        to.register("tickets", "Restart tickets by state", self.tickets.clone());
        to.register(
            "elections",
            "Elections that this process saw",
            self.elections.clone(),
        );
        to.register("heartbeats", "Heartbeats received", self.heartbeats.clone());
        to.register("up", "1 where a dependency is reached", self.up.clone());
        to.register(
            "pulse_age_seconds",
            "Age of the oldest pulse",
            self.pulse_age.clone(),
        );
        to.register("restarts", "Restarts ordered", self.restarts.clone());
        to.register(
            "recovery_seconds",
            "Time of a recovery by disjoint phase",
            self.recovery.clone(),
        );
        to.register(
            "docker_request_duration_seconds",
            "Time of calls to the engine",
            self.engine.clone(),
        );
        to.register(
            "dropped_messages",
            "Messages dropped: malformed, badly signed, or nowhere to go",
            self.dropped.clone(),
        );
    }

    /// The host program's own metrics go beside ours, without our prefix twice.
    pub(crate) fn add(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn engine_call(&self, operation: &'static str, took: Duration) {
        self.engine
            .get_or_create(&OperationLabel { operation })
            .observe(took.as_secs_f64());
    }

    pub(crate) fn dropped(&self, operation: &'static str) {
        self.dropped
            .get_or_create(&OperationLabel { operation })
            .inc();
    }

    /// A healing that this leader tells about.
    pub(crate) fn incident(&self, incident: &Incident) {
        let reason = serde_json::to_value(incident.reason).unwrap_or_default();
        let ordered = matches!(
            incident.outcome,
            IncidentOutcome::Healed | IncidentOutcome::Failed
        );
        // Thawed, reconnected or continued is not restarted.
        let gentle = matches!(
            incident.reason,
            RestartReason::Paused | RestartReason::Disconnected | RestartReason::StoppedInItsTracks
        );
        if ordered && !gentle {
            let label = RestartLabel {
                container: incident.name.clone(),
                reason: reason.as_str().unwrap_or("unknown").to_owned(),
            };
            self.restarts.get_or_create(&label).inc();
        }
        let phases = [
            ("detect", incident.detect_ms),
            ("order", incident.order_ms),
            ("start", incident.start_ms),
            ("healthy", incident.healthy_ms),
        ];
        for (phase, took) in phases {
            if let Some(took) = took {
                self.recovery
                    .get_or_create(&PhaseLabel { phase })
                    .observe(Duration::from_millis(took).as_secs_f64());
            }
        }
    }

    /// The page. Facts of the group are the leader's to tell, so that sums over members are true.
    pub(crate) fn render(&self, status: &Status, pulse_age: Duration) -> String {
        self.is_leader.set(i64::from(status.is_leader));
        self.term
            .set(i64::try_from(status.term).unwrap_or(i64::MAX));
        catch_up(&self.elections, status.elections);
        catch_up(&self.heartbeats, status.heartbeats);
        self.pulse_age.set(pulse_age.as_secs_f64());
        let up = |dependency, is: bool| {
            self.up
                .get_or_create(&DependencyLabel { dependency })
                .set(i64::from(is));
        };
        if status.broker != BrokerState::None {
            up("broker", status.broker == BrokerState::Connected);
        }
        if status.docker != EngineState::None {
            up("docker", status.docker == EngineState::Connected);
        }
        self.members.clear();
        self.tickets.clear();
        if status.is_leader {
            self.group(status);
        } else {
            self.healers.set(0);
            self.held.set(0);
        }
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing into a String cannot fail; a metric that cannot be written is left out.
        let _ = encode(&mut text, &registry);
        text
    }

    fn group(&self, status: &Status) {
        for member in &status.members {
            let state = state_name(member.state);
            self.members.get_or_create(&StateLabel { state }).inc();
        }
        let heard = |state| {
            matches!(
                state,
                MemberState::Alive | MemberState::Joining | MemberState::Late
            )
        };
        let healers = status
            .members
            .iter()
            .filter(|member| member.healer && heard(member.state))
            .count();
        self.healers.set(i64::try_from(healers).unwrap_or(i64::MAX));
        self.held
            .set(i64::try_from(status.held.len()).unwrap_or(i64::MAX));
        let state = "open".to_owned();
        self.tickets
            .get_or_create(&StateLabel { state })
            .set(i64::from(status.tickets));
    }
}

/// The name of a state as messages and `/status` write it.
pub(crate) fn state_name(state: MemberState) -> String {
    let value = serde_json::to_value(state).unwrap_or_default();
    value.as_str().unwrap_or("unknown").to_owned()
}

fn catch_up(counter: &Counter, total: u64) {
    let known = counter.inner().load(Ordering::Relaxed);
    counter.inc_by(total.saturating_sub(known));
}
