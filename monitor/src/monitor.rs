//! What a program sees: [`Config`], [`Monitor`].

use crate::apoptosis::{self, Apoptosis};
use crate::config::{self, ConfigError};
use crate::health::Readiness;
use crate::identity;
use crate::metrics::Metrics;
use crate::pulse::{Pulse, Pulses};
use crate::runtime::{self, Control};
use crate::watchdog;
use planaria_core::codec::Keys;
use planaria_core::id::{BootId, MemberName};
use planaria_core::node::Role;
use planaria_core::settings::Settings;
use planaria_core::status::Status;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long an orderly leave may take; the broker needs a few milliseconds.
const LEAVE_WAIT: Duration = Duration::from_millis(500);

/// A pulse of a program's own runtime: a tenth of the default deadline is often enough.
const RUNTIME_PULSE_INTERVAL: Duration = Duration::from_millis(500);

/// What a monitor is started with.
#[derive(Debug)]
pub struct Config {
    pub(crate) settings: Settings,
    pub(crate) keys: Keys,
    pub(crate) name: MemberName,
    pub(crate) boot: BootId,
    pub(crate) role: Role,
    pub(crate) exit_code: u8,
    pub(crate) autoheal_label: Option<String>,
}

impl Config {
    /// A member of the group, as the settings describe it. Reads the secrets now, so that privileges
    /// may be dropped afterwards.
    ///
    /// # Errors
    /// A secret cannot be read, or there is no usable name.
    pub fn from_settings(settings: Settings) -> Result<Self, ConfigError> {
        Ok(Self {
            keys: config::keys(&settings)?,
            name: identity::name(&settings)?,
            boot: identity::boot(),
            role: Role::Member,
            exit_code: apoptosis::EXIT_CODE,
            autoheal_label: None,
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
    pub fn solo(mut self, autoheal_label: Option<String>) -> Self {
        self.role = Role::Solo;
        self.autoheal_label = autoheal_label;
        self
    }

    /// The exit code that says apoptosis, instead of 70.
    #[must_use]
    pub fn apoptosis_exit_code(mut self, code: u8) -> Self {
        self.exit_code = code;
        self
    }
}

/// Why no monitor was started; nothing runs then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The system gives no thread or no descriptor.
    #[error("the monitor's threads cannot be started: {0}")]
    Threads(#[from] std::io::Error),
}

/// A running monitor: watchdog, membership, health server, each on a thread of ours, none on yours.
#[derive(Clone)]
pub struct Monitor {
    inner: Arc<Inner>,
}

struct Inner {
    pulses: Arc<Pulses>,
    main: Pulse,
    pulse_timeout: Duration,
    status: watch::Receiver<Arc<Status>>,
    control: mpsc::Sender<Control>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    apoptosis: Arc<Apoptosis>,
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Monitor").finish_non_exhaustive()
    }
}

impl Monitor {
    /// Starts the watchdog and the monitor's own thread. A broker or an engine that is away is no
    /// error: they are looked for until they are there. Called from inside a tokio runtime, that
    /// runtime is judged as well, so that a blocked one is noticed.
    ///
    /// # Errors
    /// [`StartError`] where the system gives no threads.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let pulses = Arc::new(Pulses::default());
        let pulse_timeout = config.settings.pulse_timeout;
        let apoptosis = Arc::new(Apoptosis::new(config.exit_code));
        let metrics = Arc::new(Metrics::new());
        let readiness = Arc::new(Readiness::default());
        let handle = runtime::start(runtime::Parts {
            config,
            metrics: Arc::clone(&metrics),
            readiness: Arc::clone(&readiness),
            pulses: Arc::clone(&pulses),
        })?;
        let control = handle.control.clone();
        apoptosis.set_speaker(Box::new(move |words, done| {
            // A full queue means that the loop hangs: the group will notice by silence.
            let _ = control.try_send(Control::LastWords { words, done });
        }));
        watchdog::start(&pulses, Arc::clone(&apoptosis))?;
        let monitor = Self {
            inner: Arc::new(Inner {
                main: pulses.register("main", "pulse", pulse_timeout),
                pulses,
                pulse_timeout,
                status: handle.status,
                control: handle.control,
                metrics,
                readiness,
                apoptosis,
            }),
        };
        monitor.watch_runtime();
        Ok(monitor)
    }

    /// I live: one relaxed store. The program is judged by it from the first call on.
    pub fn pulse(&self) {
        self.inner.main.pulse();
    }

    /// A pulse of its own for a task, with its own deadline; judged from its first pulse on, until the
    /// last clone is dropped.
    #[must_use]
    pub fn pulse_for(&self, name: &str, deadline: Duration) -> Pulse {
        self.inner.pulses.register(name, "pulse", deadline)
    }

    /// What is known of the group: the same as `/status`, at most a quarter of a second old.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::clone(&self.inner.status.borrow())
    }

    /// Follows the status.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Status>> {
        self.inner.status.clone()
    }

    /// Leaves in order (on SIGTERM): no verdict by silence follows, and a leader gives its office up.
    /// Returns when it is said, or after half a second.
    pub fn leave(&self) {
        let (done, said) = std::sync::mpsc::sync_channel(1);
        if self.inner.control.try_send(Control::Leave { done }).is_ok() {
            // Nobody answers where the loop is gone; then there is nothing to wait for either.
            let _ = said.recv_timeout(LEAVE_WAIT);
        }
    }

    /// Adds the program's own metrics to `/metrics`; their names get the prefix `planaria_`.
    pub fn add_metrics(&self, register: impl FnOnce(&mut Registry)) {
        self.inner.metrics.add(register);
    }

    /// Adds a condition to `/readyz`; an error is shown there with its name.
    pub fn add_readiness(
        &self,
        name: &str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.inner.readiness.add(name, check);
    }

    pub(crate) fn pulses(&self) -> &Arc<Pulses> {
        &self.inner.pulses
    }

    pub(crate) fn apoptosis(&self) -> &Arc<Apoptosis> {
        &self.inner.apoptosis
    }

    fn watch_runtime(&self) {
        let Ok(handle) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let pulse = self.pulse_for("runtime", self.inner.pulse_timeout);
        // The task owns the pulse: when the runtime ends, the duty ends with it.
        handle.spawn(async move {
            loop {
                pulse.pulse();
                tokio::time::sleep(RUNTIME_PULSE_INTERVAL).await;
            }
        });
    }
}
