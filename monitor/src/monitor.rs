//! What a program sees: [`Monitor`] and its [`Builder`].

use crate::apoptosis::{self, Apoptosis};
#[cfg(feature = "group")]
use crate::group::{Config, Group};
use crate::pulse::{Excuse, Pulse, Pulses};
use crate::watchdog;
use std::sync::Arc;
use std::time::Duration;

/// The same as the setting `PULSE_TIMEOUT`: far above a busy second, far below what a person calls hung.
const PULSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A pulse of a program's own runtime: a tenth of the default deadline is often enough.
#[cfg(feature = "tokio")]
const RUNTIME_PULSE_INTERVAL: Duration = Duration::from_millis(500);

/// Why no monitor was started; nothing runs then.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The system gives no thread or no descriptor.
    Threads(std::io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Threads(error) => write!(out, "the monitor's threads cannot be started: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Threads(error) => Some(error),
        }
    }
}

impl From<std::io::Error> for StartError {
    fn from(error: std::io::Error) -> Self {
        Self::Threads(error)
    }
}

/// What a monitor is to be; see [`Monitor::builder`].
#[derive(Debug)]
#[must_use = "nothing is watched before start()"]
pub struct Builder {
    pulse_timeout: Option<Duration>,
    exit_code: Option<u8>,
    #[cfg(feature = "group")]
    config: Option<Config>,
}

impl Builder {
    /// How late [`Monitor::pulse`] may be: longer than the longest time that the program may honestly be busy
    /// without a pulse. 10 s where nothing is said (with a configuration, its `PULSE_TIMEOUT`).
    pub fn pulse_timeout(mut self, timeout: Duration) -> Self {
        self.pulse_timeout = Some(timeout);
        self
    }

    /// The exit code that says apoptosis, instead of 70 (`EX_SOFTWARE`).
    pub fn apoptosis_exit_code(mut self, code: u8) -> Self {
        self.exit_code = Some(code);
        self
    }

    /// As a member of a group, with a health server, and so on: all that the configuration says.
    #[cfg(feature = "group")]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Starts the watchdog, and what the configuration adds to it, each on a thread of its own. Called from inside a
    /// tokio runtime (feature `tokio`), that runtime is judged as well, so that a blocked one is noticed.
    ///
    /// # Errors
    /// [`StartError`] where the system gives no threads.
    pub fn start(self) -> Result<Monitor, StartError> {
        #[cfg(feature = "group")]
        let config = self.config;
        #[cfg(feature = "group")]
        let (told_timeout, told_code) = (
            config.as_ref().map(|config| config.settings.pulse_timeout),
            config.as_ref().map(|config| config.exit_code),
        );
        #[cfg(not(feature = "group"))]
        let (told_timeout, told_code) = (None, None);
        let pulse_timeout = self.pulse_timeout.or(told_timeout).unwrap_or(PULSE_TIMEOUT);
        let exit_code = self.exit_code.or(told_code);
        let pulses = Arc::new(Pulses::default());
        let apoptosis = Arc::new(Apoptosis::new(exit_code.unwrap_or(apoptosis::EXIT_CODE)));
        #[cfg(feature = "group")]
        let group = config
            .map(|config| Group::start(config, &pulses, &apoptosis))
            .transpose()?;
        watchdog::start(&pulses, Arc::clone(&apoptosis))?;
        let monitor = Monitor {
            inner: Arc::new(Inner {
                main: pulses.register("main", "pulse", pulse_timeout),
                pulses,
                #[cfg(feature = "tokio")]
                pulse_timeout,
                #[cfg(feature = "group")]
                group,
                #[cfg(feature = "cli")]
                apoptosis,
            }),
        };
        #[cfg(feature = "tokio")]
        monitor.watch_runtime();
        Ok(monitor)
    }
}

/// A running monitor, on threads of its own. Clones are the same monitor; when the last one is dropped, the judging
/// ends.
#[derive(Clone)]
pub struct Monitor {
    inner: Arc<Inner>,
}

struct Inner {
    pulses: Arc<Pulses>,
    main: Pulse,
    #[cfg(feature = "tokio")]
    pulse_timeout: Duration,
    #[cfg(feature = "group")]
    group: Option<Group>,
    #[cfg(feature = "cli")]
    apoptosis: Arc<Apoptosis>,
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Monitor").finish_non_exhaustive()
    }
}

impl Monitor {
    /// A watchdog alone, unless the builder is told more. With every feature set it behaves the same.
    ///
    /// ```
    /// use planaria_monitor::Monitor;
    /// use std::time::Duration;
    ///
    /// let monitor = Monitor::builder()
    ///     .pulse_timeout(Duration::from_secs(5))
    ///     .start()?;
    /// for _job in 0..3 {
    ///     monitor.pulse(); // some nanoseconds
    /// }
    /// # Ok::<(), planaria_monitor::StartError>(())
    /// ```
    pub fn builder() -> Builder {
        Builder {
            pulse_timeout: None,
            exit_code: None,
            #[cfg(feature = "group")]
            config: None,
        }
    }

    /// I live: one relaxed store. The program is judged by it from the first call on.
    #[inline]
    pub fn pulse(&self) {
        self.inner.main.pulse();
    }

    /// Announces long work of the main task: see [`Pulse::expect`].
    ///
    /// ```
    /// # use planaria_monitor::Monitor;
    /// # use std::time::Duration;
    /// # let monitor = Monitor::builder().start()?;
    /// {
    ///     let _busy = monitor.expect(Duration::from_secs(300));
    ///     // five minutes of migration, without a pulse
    /// }
    /// monitor.pulse();
    /// # Ok::<(), planaria_monitor::StartError>(())
    /// ```
    #[must_use = "the excuse ends when the guard is dropped"]
    pub fn expect(&self, span: Duration) -> Excuse {
        self.inner.main.expect(span)
    }

    /// A pulse of its own for a task, with its own deadline; judged from its first pulse on, until the
    /// last clone is dropped.
    ///
    /// ```
    /// # use planaria_monitor::Monitor;
    /// # use std::time::Duration;
    /// # let monitor = Monitor::builder().start()?;
    /// let replicator = monitor.pulse_for("replicator", Duration::from_secs(30));
    /// std::thread::spawn(move || {
    ///     for _batch in 0..3 {
    ///         replicator.pulse();
    ///     }
    /// }); // the duty ends with the thread, which owns the pulse
    /// # Ok::<(), planaria_monitor::StartError>(())
    /// ```
    #[must_use = "a pulse that is dropped is judged no more"]
    pub fn pulse_for(&self, name: &str, deadline: Duration) -> Pulse {
        self.inner.pulses.register(name, "pulse", deadline)
    }

    #[cfg(feature = "group")]
    pub(crate) fn group(&self) -> Option<&Group> {
        self.inner.group.as_ref()
    }

    #[cfg(feature = "cli")]
    pub(crate) fn pulses(&self) -> &Arc<Pulses> {
        &self.inner.pulses
    }

    /// Tells a systemd above us that we are ready, and live.
    #[cfg(feature = "cli")]
    pub(crate) fn serve_systemd(&self) -> std::io::Result<()> {
        crate::service::start(Arc::downgrade(&self.inner.pulses))
    }

    #[cfg(feature = "cli")]
    pub(crate) fn apoptosis(&self) -> &Arc<Apoptosis> {
        &self.inner.apoptosis
    }

    #[cfg(feature = "tokio")]
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
