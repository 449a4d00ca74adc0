//! What the container engine knows and what it can be asked, in our own words.
//!
//! No type of any client library appears here: the driver translates, the simulator speaks it natively.

use crate::id::{ContainerId, MemberName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The state word of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Its first process lives.
    Running,
    /// Frozen by `docker pause`.
    Paused,
    /// Dead, and the engine itself will start it after a delay.
    Restarting,
    /// On its way out.
    Removing,
    /// Its first process ended.
    Exited,
    /// The engine could not remove it.
    Dead,
}

/// The verdict of the image's own health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Within the start period.
    Starting,
    /// The last check passed.
    Healthy,
    /// As many checks in a row as `retries` says failed.
    Unhealthy,
}

/// The container's own restart policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    No,
    /// Always, also what a person stopped once the engine restarts.
    Always,
    /// Always but what a person stopped.
    UnlessStopped,
    /// After a non-zero exit, at most so many times (0: no limit).
    OnFailure(u32),
}

/// A network that a container is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The network's name.
    pub network: String,
    /// Names under which others on it find the container.
    pub aliases: Vec<String>,
    /// A fixed address, where one was configured.
    pub address: Option<String>,
}

/// All that the core wants to know of one container: the engine's `inspect` in brief.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The engine's id.
    pub id: ContainerId,
    /// Its name without the leading slash.
    pub name: String,
    /// `CONTAINER_NAME` in its environment, where there is one.
    pub member: Option<MemberName>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The state word.
    pub state: ContainerState,
    /// When it was started last; the engine's text, compared for equality only. `None`: never.
    pub started_at: Option<String>,
    /// When it ended last; the engine's text, compared for equality only. `None`: never.
    pub finished_at: Option<String>,
    /// The last exit code.
    pub exit_code: i64,
    /// The engine says that the first process was killed for memory.
    pub oom_killed: bool,
    /// Why the last start failed; empty where it did not.
    pub error: String,
    /// The container's own policy.
    pub restart_policy: RestartPolicy,
    /// `None` where it has no health check.
    pub health: Option<Health>,
    /// The signal by which it is stopped, without `SIG` prefix resolved: a number.
    pub stop_signal: i32,
    /// How long the engine waits between stop signal and SIGKILL.
    pub stop_timeout: Duration,
    /// `bridge`, `host`, `container:<id>`, a network's name.
    pub network_mode: String,
    /// Where it is attached.
    pub networks: Vec<Attachment>,
    /// The first process's state letter as the host shows it (`R S D T t Z`), where known.
    pub process_state: Option<char>,
}

/// One thing that happened, as the engine tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineEvent {
    /// The engine's own time in nanoseconds since 1970: for order and for people, never for a decision by clock.
    pub at: i64,
    /// Whom it happened to.
    pub container: ContainerId,
    /// The name it had.
    pub name: String,
    /// What happened.
    pub kind: EventKind,
}

/// What can happen to a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Made.
    Create,
    /// Its first process was started.
    Start,
    /// A signal was sent through the engine.
    Kill {
        /// Its number.
        signal: i32,
    },
    /// Its first process ended.
    Die {
        /// With this code.
        exit_code: i64,
    },
    /// Somebody called `stop` (or the engine is going down).
    Stop,
    /// Frozen.
    Pause,
    /// Thawed.
    Unpause,
    /// Some process in it was killed for memory; the first one may live.
    Oom,
    /// The health check's verdict changed.
    Health(Health),
    /// Removed.
    Destroy,
    /// Renamed; `name` is the new one.
    Rename,
    /// Cut off from a network.
    Disconnect {
        /// The network's name, where the event tells it.
        network: String,
    },
    /// Attached to a network.
    Connect {
        /// The network's name, where the event tells it.
        network: String,
    },
}

impl EventKind {
    /// About networks only; nothing begins or ends.
    pub(crate) const fn is_about_networks(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Disconnect { .. })
    }

    /// What was known of the life that runs still describes it, its name and its `StartedAt`.
    pub(crate) const fn is_within_a_life(&self) -> bool {
        !matches!(
            self,
            Self::Create | Self::Start | Self::Rename | Self::Destroy
        )
    }
}

/// A question to a container from outside (label `planaria.probe`), as a healer's driver asks it: through
/// the container's address, or inside its network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutsideProbe {
    /// A connection is taken.
    Tcp {
        /// Where.
        port: u16,
    },
    /// An HTTP GET is answered with a status from 200 to 399.
    Http {
        /// Where.
        port: u16,
        /// What, beginning with a slash.
        path: String,
    },
}

/// What must still be true at the last moment before a call, checked by the driver on the same
/// thread right before it (SAFETY: a call must never hit another incarnation than the one judged).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// `StartedAt` as it was judged.
    pub started_at: Option<String>,
    /// `FinishedAt` as it was judged; for a start only. `None` where the end was heard and not looked at:
    /// a life, which `started_at` names, ends once.
    pub finished_at: Option<String>,
    /// Its name as it was judged: a recreation renames what it replaces, and nothing else about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The state words under which the call may be made.
    pub states: Vec<ContainerState>,
}

/// A question or an order to the engine of this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineCall {
    /// Does it answer? Reply: [`EngineReply::Done`].
    Ping,
    /// All containers, each inspected. Reply: [`EngineReply::Containers`].
    List,
    /// One container. Reply: [`EngineReply::Container`] (`None`: no such container).
    Inspect(ContainerId),
    /// The events of all containers that the engine still remembers since a time of its own
    /// (nanoseconds since 1970). Reply: [`EngineReply::History`].
    History {
        /// From when.
        since: i64,
    },
    /// Ask a container from outside whether it answers. Reply: [`EngineReply::Probed`].
    Probe {
        /// Whom.
        container: ContainerId,
        /// How.
        probe: OutsideProbe,
        /// Within this.
        timeout: Duration,
    },
    /// Make a container anew, exactly as this healer remembers it (its specification never comes over the
    /// wire), and start it. The old one of that name, where it is still there, is dead by now and is put
    /// out of the way first, as Compose does it (`<id>_NAME`), and removed last.
    /// Reply: [`EngineReply::Recreated`].
    Recreate {
        /// The old one; it may be gone.
        container: ContainerId,
        /// The name.
        name: String,
        /// The container whose network it is to share from now on; `None`: as before.
        network_of: Option<ContainerId>,
        /// What must still hold of the old one where it is still there.
        expect: Expectation,
    },
    /// Start what is stopped. Reply: [`EngineReply::Done`].
    Start {
        /// Whom.
        container: ContainerId,
        /// What must still hold.
        expect: Expectation,
    },
    /// Send a signal to the first process. Reply: [`EngineReply::Done`].
    Kill {
        /// Whom.
        container: ContainerId,
        /// Its number.
        signal: i32,
        /// What must still hold.
        expect: Expectation,
    },
    /// Thaw. Reply: [`EngineReply::Done`].
    Unpause {
        /// Whom.
        container: ContainerId,
        /// What must still hold.
        expect: Expectation,
    },
    /// Attach to a network again. Reply: [`EngineReply::Done`].
    Connect {
        /// Whom.
        container: ContainerId,
        /// Where, with its aliases and address.
        attachment: Attachment,
        /// What must still hold.
        expect: Expectation,
    },
}

/// What the engine answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineReply {
    /// It did it (or it was so already).
    Done,
    /// All containers.
    Containers(Vec<Container>),
    /// One container, or none of that id.
    Container(Option<Box<Container>>),
    /// Past events, oldest first.
    History(Vec<EngineEvent>),
    /// What the probe found: `None` it answers, else why not.
    Probed(Option<String>),
    /// The id of the container that was made and started.
    Recreated(ContainerId),
}

/// Why a call to the engine did not do what it was to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EngineError {
    /// The expectation no longer held; nothing was done.
    #[error("it is another incarnation or state by now: {found}")]
    Stale {
        /// What was found instead.
        found: String,
    },
    /// The time by which the call had to be made had passed; nothing was done.
    #[error("too late to make the call")]
    Late,
    /// No such container; nothing was done.
    #[error("no such container")]
    Gone,
    /// The engine refused, with its reason.
    #[error("the engine refused ({status}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The engine's words.
        message: String,
    },
    /// No answer within the deadline: it may or may not have been done.
    #[error("no answer from the engine in time; the call may still take effect")]
    TimedOut,
    /// The engine cannot be reached.
    #[error("the engine cannot be reached: {reason}")]
    Unreachable {
        /// Why.
        reason: String,
    },
    /// The look right before the call got no answer, so that the call was not made; nothing was done.
    #[error("the look before it got no answer: {reason}")]
    NotMade {
        /// Why.
        reason: String,
    },
}
