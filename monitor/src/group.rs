//! A monitor that belongs to a group, or heals alone: what it is started with, and what it shows.

use crate::apoptosis::{self, Apoptosis};
use crate::clock;
use crate::config::{self, ConfigError};
use crate::health::Readiness;
use crate::identity;
use crate::metrics::Metrics;
use crate::monitor::{Monitor, StartError};
use crate::pulse::Pulses;
use crate::runtime::{self, Control};
use crate::solo::Variables;
use planaria_core::codec::Keys;
use planaria_core::id::{BootId, MemberName, RequestId};
use planaria_core::message::{KeyRole, LastWords, Outcome, Verb};
use planaria_core::node::{Node, NodeConfig, Role};
use planaria_core::settings::{ElectionCandidates, Settings};
use planaria_core::status::{BrokerState, Status};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How long an orderly leave may take; the broker needs a few milliseconds.
const LEAVE_WAIT: Duration = Duration::from_millis(500);

/// Longer than the core itself waits for a leader's answer.
const REQUEST_WAIT: Duration = Duration::from_secs(12);

/// What a monitor is started with.
#[derive(Debug)]
pub struct Config {
    pub(crate) settings: Settings,
    pub(crate) keys: Keys,
    pub(crate) name: MemberName,
    pub(crate) boot: BootId,
    pub(crate) role: Role,
    pub(crate) exit_code: u8,
    pub(crate) solo: Variables,
}

impl Config {
    /// A member of the group, as the settings describe it. Reads the secrets now, so that privileges
    /// may be dropped afterwards.
    ///
    /// # Errors
    /// A secret cannot be read, or there is no usable name.
    pub fn from_settings(settings: Settings) -> Result<Self, ConfigError> {
        let keys = config::keys(&settings)?;
        // The original way: whoever holds the healers' key heals, whatever else it does.
        let everyone = settings.election_candidates == ElectionCandidates::All;
        let heals = everyone && keys.holds(KeyRole::Healer);
        Ok(Self {
            keys,
            name: identity::name(&settings)?,
            boot: identity::boot(),
            role: if heals { Role::Healer } else { Role::Member },
            exit_code: apoptosis::EXIT_CODE,
            solo: Variables::default(),
            settings,
        })
    }

    /// As a healer: with the engine's socket, and a candidate.
    #[must_use]
    pub fn healer(mut self) -> Self {
        self.role = Role::Healer;
        self
    }

    /// Alone: heals by the engine only, without a group. `autoheal_label` as in docker-autoheal's
    /// `AUTOHEAL_CONTAINER_LABEL`; none is `autoheal`.
    #[must_use]
    pub fn solo(self, autoheal_label: Option<String>) -> Self {
        self.watching(Variables {
            label: autoheal_label,
            ..Variables::default()
        })
    }

    /// Alone, with all that docker-autoheal's variables ask for.
    pub(crate) fn watching(mut self, variables: Variables) -> Self {
        self.role = Role::Solo;
        self.solo = variables;
        self
    }

    /// The exit code that says apoptosis, instead of 70.
    #[must_use]
    pub fn apoptosis_exit_code(mut self, code: u8) -> Self {
        self.exit_code = code;
        self
    }
}

/// The part of a monitor that talks to others.
pub(crate) struct Group {
    status: watch::Receiver<Arc<Status>>,
    control: mpsc::Sender<Control>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

impl Group {
    /// Starts the thread of the drivers; last words go out through it.
    pub(crate) fn start(
        config: Config,
        pulses: &Arc<Pulses>,
        apoptosis: &Apoptosis,
    ) -> std::io::Result<Self> {
        let metrics = Arc::new(Metrics::new());
        let readiness = Arc::new(Readiness::default());
        let handle = runtime::start(runtime::Parts {
            config,
            metrics: Arc::clone(&metrics),
            readiness: Arc::clone(&readiness),
            pulses: Arc::clone(pulses),
        })?;
        let control = handle.control.clone();
        apoptosis.set_speaker(Box::new(move |words, done| {
            let words = LastWords {
                pulse: words.pulse.clone(),
                late_ms: words.late_ms,
                reason: words.reason.to_owned(),
            };
            // A full queue means that the loop hangs: the group will notice by silence.
            let _ = control.try_send(Control::LastWords { words, done });
        }));
        Ok(Self {
            status: handle.status,
            control: handle.control,
            metrics,
            readiness,
        })
    }
}

/// What a watchdog alone knows of a group: itself.
fn nobody() -> Status {
    let settings = Settings::default();
    let name = identity::name(&settings).unwrap_or_else(|_| MemberName::unnamed());
    let config = NodeConfig::from_settings(&settings, name, None, Role::Member);
    let now = clock::now();
    let mut status = Node::new(config, identity::boot(), None, 0, now).status(now);
    status.broker = BrokerState::None;
    status
}

impl Monitor {
    /// Starts a member of the group, or whatever else `config` says: watchdog, drivers, health server. A broker or
    /// an engine that is away is no error: they are looked for until they are there. The same as
    /// [`Monitor::builder`] with [`Builder::config`](crate::Builder::config).
    ///
    /// # Errors
    /// [`StartError`] where the system gives no threads.
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::builder().config(config).start()
    }

    /// Asks something of the leader in a person's name, as `monitor heal` and the like do. Needs the operator
    /// key where another member leads.
    pub async fn request(&self, verb: Verb) -> Outcome {
        let refused = |text: &str| Outcome {
            accepted: false,
            text: text.to_owned(),
        };
        let Some(group) = self.group() else {
            return refused("this monitor belongs to no group");
        };
        let id = RequestId(format!("{:016x}", rand::random::<u64>()));
        let (answer, outcome) = oneshot::channel();
        let control = Control::Request { id, verb, answer };
        if group.control.try_send(control).is_err() {
            return refused("the monitor is busy; try again");
        }
        match tokio::time::timeout(REQUEST_WAIT, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => refused("no leader answered in time; see `monitor status`"),
        }
    }

    /// What is known of the group: the same as `/status`, at most a quarter of a second old. A watchdog alone knows
    /// of nobody.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.group() {
            Some(group) => Status::clone(&group.status.borrow()),
            None => nobody(),
        }
    }

    /// Follows the status; for a watchdog alone it never changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Status>> {
        match self.group() {
            Some(group) => group.status.clone(),
            None => watch::channel(Arc::new(nobody())).1,
        }
    }

    /// Leaves in order (on SIGTERM): no verdict by silence follows, and a leader gives its office up.
    /// Returns when it is said, or after half a second; at once for a watchdog alone.
    pub fn leave(&self) {
        let Some(group) = self.group() else { return };
        let (done, said) = std::sync::mpsc::sync_channel(1);
        if group.control.try_send(Control::Leave { done }).is_ok() {
            // Nobody answers where the loop is gone; then there is nothing to wait for either.
            let _ = said.recv_timeout(LEAVE_WAIT);
        }
    }

    /// Adds the program's own metrics to `/metrics`; their names get the prefix `planaria_`. A watchdog alone has no
    /// such page.
    pub fn add_metrics(&self, register: impl FnOnce(&mut Registry)) {
        if let Some(group) = self.group() {
            group.metrics.add(register);
        }
    }

    /// Adds a condition to `/readyz`; an error is shown there with its name. A watchdog alone has no such page.
    pub fn add_readiness(
        &self,
        name: &str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        if let Some(group) = self.group() {
            group.readiness.add(name, check);
        }
    }
}
