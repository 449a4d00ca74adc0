//! What a member tells of itself and of the group, and what it keeps across its own restarts.

use crate::id::{BootId, MemberName};
use crate::message::{Alert, Fence, Hold, Incident, MemberView, PatientRecord};
use crate::time::Instant;
use serde::{Deserialize, Serialize};

/// Whether the broker is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokerState {
    /// Connected and consuming.
    Connected,
    /// Away.
    Down,
    /// None is configured (`monitor watch` alone).
    None,
}

/// Whether the engine is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineState {
    /// Its event stream stands.
    Connected,
    /// Configured, but away.
    Down,
    /// This member has none.
    None,
}

/// `/status` of any member. Fields may be added, never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The cluster's name.
    pub cluster: String,
    /// Who answers.
    pub node: MemberName,
    /// This life of it.
    pub boot: BootId,
    /// The leader, where one is known and was heard in time.
    pub leader: Option<MemberName>,
    /// Why it leads, in a sentence.
    #[serde(default)]
    pub leader_why: String,
    /// The leader's term, or the highest seen; 0: none yet.
    pub term: u64,
    /// The boot that holds the term.
    pub term_id: Option<BootId>,
    /// This member holds office.
    pub is_leader: bool,
    /// It holds the token and its lease runs: it may use force.
    pub may_force: bool,
    /// Everyone known, as the leader sees them.
    pub members: Vec<MemberView>,
    /// The broker.
    pub broker: BrokerState,
    /// The engine.
    pub docker: EngineState,
    /// What is on hold.
    pub held: Vec<Hold>,
    /// Lives that a person declared dead.
    #[serde(default)]
    pub fences: Vec<Fence>,
    /// The last incidents, newest first, at most [`INCIDENTS_KEPT`].
    pub incidents: Vec<Incident>,
    /// The last alerts, newest first, at most [`INCIDENTS_KEPT`].
    pub alerts: Vec<Alert>,
    /// Tickets in flight.
    pub tickets: u32,
    /// Elections that this boot saw.
    pub elections: u64,
    /// Restarts that this boot ordered.
    pub restarts_ordered: u64,
    /// Heartbeats that this boot received.
    pub heartbeats: u64,
    /// How slow this observer finds itself, 0 (fine) to 7 (see Lifeguard).
    pub local_health: u8,
    /// Its own beats do not come back: it judges nobody by silence.
    pub blind: bool,
}

/// How many incidents and alerts a member remembers for `/status`: a screenful.
pub const INCIDENTS_KEPT: usize = 50;

/// What a healer keeps on its volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Version of this layout.
    pub version: u32,
    /// The highest term seen.
    pub term: u64,
    /// What must not be forgotten of containers.
    pub records: Vec<PatientRecord>,
    /// What a person put on hold.
    pub holds: Vec<Hold>,
    /// Holds that a person ended early.
    #[serde(default)]
    pub resumed: Vec<Hold>,
    /// Lives that a person declared dead.
    #[serde(default)]
    pub fences: Vec<Fence>,
    /// When this was written: it tells how long ago that was, within the same boot of the host.
    #[serde(default)]
    pub at: Instant,
    /// Which boot that was; `None`: unknown.
    #[serde(default)]
    pub host_boot: Option<String>,
    /// The engine's time when this was written (nanoseconds since 1970).
    #[serde(rename = "engine_seen")]
    pub engine_time: i64,
    /// The last incidents, newest first, so that people can ask after a restart of the healer.
    #[serde(default)]
    pub incidents: Vec<Incident>,
    /// The last alerts, newest first.
    #[serde(default)]
    pub alerts: Vec<Alert>,
}
