//! What one member is told about itself before it starts.

use crate::id::{ContainerId, MemberName};
use crate::settings::{ElectionCandidates, ElectionOrder, Settings};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::time::Duration;

/// What a member can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Says that it lives; acts on nobody.
    Member,
    /// Reaches its engine and stands for election.
    Healer,
    /// `monitor watch` alone: no broker, in office from the start, may use force.
    Solo,
}

/// The settings that decisions depend on. Spans are as in `config.ini`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeConfig {
    /// The cluster's name.
    pub cluster: String,
    /// This member.
    pub name: MemberName,
    /// Its own container, where it knows it.
    pub container: Option<ContainerId>,
    /// Which boot of the host it lives in, where it knows that: the core's time goes on within one.
    #[serde(default)]
    pub host_boot: Option<String>,
    /// What it can do.
    pub role: Role,
    /// How names compare in the election.
    pub order: ElectionOrder,
    /// Who stands in the election: with `all`, every container with a monitor counts as one that could.
    #[serde(default = "healers")]
    pub candidates: ElectionCandidates,
    /// Whether the direct channel may be used.
    pub direct: bool,
    /// Between two heartbeats.
    pub heartbeat_interval: Duration,
    /// So much silence makes a suspect.
    pub heartbeat_timeout: Duration,
    /// The same in heartbeats.
    pub dead_threshold: u32,
    /// Between two beats of the leader.
    pub leader_beat_interval: Duration,
    /// How long a returned beat allows force, from its sending.
    pub lease: Duration,
    /// How long a higher candidate is up before it asks for the office.
    pub stable_before_challenge: Duration,
    /// How long a candidate on the direct path waits for a leader.
    pub election_timeout: Duration,
    /// Between two probes of a member that never answered one.
    pub probe_interval: Duration,
    /// How long a pause or a disconnection is left alone.
    pub pause_grace: Duration,
    /// A clock that differs by more is worth a warning, and no more than that.
    #[serde(default)]
    pub clock_skew_warn: Duration,
    /// Restarts within the window; one more quarantines.
    pub restart_limit: u32,
    /// The window.
    pub restart_window: Duration,
    /// A quarantine ends by itself after so long.
    pub release_after: Duration,
    /// Wait before the second restart in a row.
    pub backoff_min: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// Running for so long ends the row.
    pub backoff_reset: Duration,
    /// The label that docker-autoheal looks for (`AUTOHEAL_CONTAINER_LABEL`); `all` takes every
    /// container that has a health check. Only for [`Role::Solo`].
    pub autoheal_label: String,
    /// The rest of what docker-autoheal's variables ask for. Only for [`Role::Solo`].
    #[serde(default)]
    pub autoheal: Autoheal,
    /// Nothing is ordered; each finding says what would be done, and why.
    #[serde(default)]
    pub dry_run: bool,
    /// A rule that is broken on purpose.
    #[cfg(feature = "sabotage")]
    #[serde(skip)]
    pub sabotage: Option<crate::Sabotage>,
}

/// What docker-autoheal's variables ask for, besides the label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Autoheal {
    /// Every container that has a health check (`AUTOHEAL_MONITOR_ALL`).
    pub all: bool,
    /// Names that are left alone (`AUTOHEAL_EXCLUDE_CONTAINERS`).
    pub exclude: Vec<String>,
    /// The grace where no label gives one (`AUTOHEAL_DEFAULT_STOP_TIMEOUT`); none takes the container's own.
    pub stop_timeout: Option<Duration>,
    /// Of the containers that autoheal's labels name only what runs is healed
    /// (`AUTOHEAL_ONLY_MONITOR_RUNNING`).
    pub only_running: bool,
}

/// What a recording from before that setting means.
fn healers() -> ElectionCandidates {
    ElectionCandidates::Healers
}

impl NodeConfig {
    /// Takes what decisions need from the settings.
    #[must_use]
    pub fn from_settings(
        settings: &Settings,
        name: MemberName,
        container: Option<ContainerId>,
        role: Role,
    ) -> Self {
        Self {
            cluster: settings.cluster_name.clone(),
            name,
            container,
            host_boot: None,
            role,
            order: settings.election_order,
            candidates: settings.election_candidates,
            direct: settings.direct_channel,
            heartbeat_interval: settings.heartbeat_interval,
            heartbeat_timeout: settings.heartbeat_timeout,
            dead_threshold: settings.dead_threshold,
            leader_beat_interval: settings.leader_beat_interval,
            lease: settings.lease,
            stable_before_challenge: settings.stable_before_challenge,
            election_timeout: settings.election_timeout,
            probe_interval: settings.probe_interval,
            pause_grace: settings.pause_grace,
            clock_skew_warn: settings.clock_skew_warn,
            restart_limit: settings.restart_limit,
            restart_window: settings.restart_window,
            release_after: settings.release_after,
            backoff_min: settings.backoff_min,
            backoff_max: settings.backoff_max,
            backoff_reset: settings.backoff_reset,
            autoheal_label: "autoheal".to_owned(),
            autoheal: Autoheal::default(),
            dry_run: settings.dry_run,
            #[cfg(feature = "sabotage")]
            sabotage: crate::Sabotage::built_in(),
        }
    }

    /// Which of two names ranks higher.
    #[must_use]
    pub fn compare(&self, left: &MemberName, right: &MemberName) -> Ordering {
        match self.order {
            ElectionOrder::Natural => left.natural_cmp(right),
            ElectionOrder::Lexicographic => left.as_str().cmp(right.as_str()),
        }
    }
}
