//! What members say to each other. How it is signed and laid out in bytes: [`crate::codec`].
//!
//! Times in messages are spans or a sender's own counters, never a wall clock that anyone believes.

use crate::id::{BootId, ContainerId, HostId, Incarnation, MemberName, RequestId, Term};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One signed message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Which cluster; others' messages are dropped.
    pub cluster: String,
    /// Who says it.
    pub from: MemberName,
    /// In which life.
    pub boot: BootId,
    /// Grows by one with each message of that boot: repeated and late ones are told by it.
    pub seq: u64,
    /// What is said.
    pub body: Body,
}

/// Everything that can be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "body", rename_all = "snake_case")]
pub enum Body {
    /// A member's unasked sign of life, to the leader.
    Heartbeat(Heartbeat),
    /// A member ends in order: no verdict by its silence. Says nothing of whether it should run.
    Leave,
    /// A watchdog's last message before it ends its process.
    LastWords(LastWords),
    /// The leader's beat, to everybody.
    Beat(Box<Beat>),
    /// A new leader announces itself.
    Coordinator {
        /// Its term.
        term: Term,
        /// Holds the token (else: elected on the direct path, without force).
        token: bool,
        /// Why there was an election, in a sentence.
        why: String,
    },
    /// A leader lays its office down in order: its successor need not wait for a lease.
    Resign {
        /// The term that ends.
        term: Term,
    },
    /// A higher candidate that is fit asks for the office.
    Challenge,
    /// Direct path: is anybody higher there?
    Election {
        /// The highest term that the asker knows.
        term: u64,
    },
    /// Direct path: yes, I am.
    Answer {
        /// The highest term that the answerer knows.
        term: u64,
    },
    /// Direct path: are you there?
    Probe {
        /// To be echoed.
        nonce: u64,
    },
    /// Direct path: I am.
    Ack {
        /// The asker's.
        nonce: u64,
    },
    /// Direct path: ask this member for me (SWIM's ping-req). Names a member, never an address.
    ProbeRequest {
        /// Whom.
        target: MemberName,
        /// To be echoed in [`Body::ProbeReport`].
        nonce: u64,
    },
    /// Direct path: it answered me.
    ProbeReport {
        /// Who.
        target: MemberName,
        /// In which life.
        boot: BootId,
        /// The asker's.
        nonce: u64,
    },
    /// A person asks something of the leader.
    Request {
        /// To be quoted in the result.
        id: RequestId,
        /// What.
        verb: Verb,
    },
    /// The answer to a request.
    Result {
        /// Which.
        id: RequestId,
        /// What came of it.
        outcome: Outcome,
    },
    /// The story of one healing, for the journal.
    Incident(Box<Incident>),
    /// Something that needs a person's eye.
    Alert(Alert),
}

/// A member's unasked sign of life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Its engine, where it knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// Its container, where it knows it (a prefix of at least 12 digits counts).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerId>,
    /// It stands for election.
    #[serde(default)]
    pub candidate: bool,
    /// It reaches its engine.
    #[serde(default)]
    pub healer: bool,
    /// The oldest of its pulses, in milliseconds.
    #[serde(default)]
    pub pulse_age_ms: u64,
    /// How long it has been up, in seconds.
    #[serde(default)]
    pub up_s: u64,
}

/// What a watchdog says before it ends its process: names and reasons only, stacks stay on stderr.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWords {
    /// The pulse that failed.
    pub pulse: String,
    /// By how much, in milliseconds.
    pub late_ms: u64,
    /// `pulse`, `probe` or `stopped`.
    pub reason: String,
}

/// The leader's beat: its sign of life, and what a successor must know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The leader's term.
    pub term: Term,
    /// Grows by one with each beat of the term.
    pub number: u64,
    /// It holds the token (else it uses no force).
    pub token: bool,
    /// Candidates, highest first.
    pub ranks: Vec<MemberName>,
    /// Everyone that is known.
    pub members: Vec<MemberView>,
    /// What is known of containers that a successor must not forget.
    #[serde(default)]
    pub records: Vec<PatientRecord>,
    /// What a person put on hold.
    #[serde(default)]
    pub holds: Vec<Hold>,
    /// Forces in flight: a successor waits these out.
    #[serde(default)]
    pub tickets: Vec<TicketView>,
}

/// Where a member stands in the eyes of the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// Heard for the first time, not yet for a whole interval.
    Joining,
    /// Heard in time.
    Alive,
    /// One or more heartbeats are missing.
    Late,
    /// So many are missing that witnesses are being asked.
    Suspect,
    /// Declared dead.
    Dead,
    /// Being brought back.
    Restarting,
    /// Not heard over the broker, but it answers probes: it lost its network, not its life.
    Isolated,
    /// Left down after too many restarts.
    Quarantined,
    /// Ended on purpose, or nobody saw how it ended.
    Left,
    /// Its container says that it should be here; it was never heard.
    Expected,
    /// A container without a monitor, watched through the engine.
    Patient,
}

/// A line of the member table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Who.
    pub name: MemberName,
    /// How it stands.
    pub state: MemberState,
    /// Which life; empty where none is known.
    pub incarnation: Incarnation,
    /// The boot behind it, where it was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootId>,
    /// Its engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// How long ago it was heard, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_ms: Option<u64>,
    /// Restarts within the restart window.
    #[serde(default)]
    pub restarts: u32,
    /// It stands for election.
    #[serde(default)]
    pub candidate: bool,
    /// It reaches its engine.
    #[serde(default)]
    pub healer: bool,
    /// Why it stands so, in a few words; empty where there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// What must not be forgotten about a container when a leader goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatientRecord {
    /// Whom it is about.
    pub container: ContainerId,
    /// Its name.
    pub name: String,
    /// A person stopped this very end of it (`FinishedAt`): it is left alone until it is started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// How long ago its restarts within the window were, in milliseconds, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarts_ms_ago: Vec<u64>,
    /// In quarantine for so long, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined_ms: Option<u64>,
}

/// Maintenance: watched and reported, not touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Whom; `None`: everyone.
    pub name: Option<MemberName>,
    /// For how much longer, in milliseconds.
    pub left_ms: u64,
    /// Why.
    pub reason: String,
}

/// A force in flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketView {
    /// Whom.
    pub container: ContainerId,
    /// Until when at most, in milliseconds from now.
    pub left_ms: u64,
    /// It is between our own kill and our own start.
    pub killing: bool,
}

/// What a person may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Verb {
    /// Bring it back now, whatever is known of a person's will or of back-off.
    Heal {
        /// Whom.
        name: MemberName,
    },
    /// Do not touch it for a while.
    Hold {
        /// Whom; empty: everyone.
        names: Vec<MemberName>,
        /// For how long, in seconds.
        for_s: u64,
        /// Why.
        reason: String,
    },
    /// End a hold early.
    Resume {
        /// Whom; empty: everyone.
        names: Vec<MemberName>,
    },
    /// Out of quarantine, with a clean count.
    Release {
        /// Whom.
        name: MemberName,
    },
    /// Hold an election now: the leader resigns.
    Elect,
    /// The chaos monkey is to attack now.
    Attack {
        /// With this fault; `None`: its own choice.
        fault: Option<String>,
        /// At this target; `None`: its own choice.
        target: Option<MemberName>,
    },
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// It was or will be done.
    pub accepted: bool,
    /// What was done, or why not and what would mend it.
    pub text: String,
}

/// Why a container was brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartReason {
    /// Killed by a signal from outside.
    Killed,
    /// Ended by itself with a code other than zero.
    Failed,
    /// Ended by itself with code zero where it should run.
    Ended,
    /// Killed for memory.
    OutOfMemory,
    /// Ended itself because it hung.
    Apoptosis,
    /// Its start failed.
    StartFailed,
    /// Its health check says unhealthy.
    Unhealthy,
    /// Silent, and a second witness confirmed.
    Hung,
    /// Its first process was stopped by a signal.
    StoppedInItsTracks,
    /// Paused for longer than the grace.
    Paused,
    /// Cut off from a network.
    Disconnected,
    /// The network that it shares was started anew.
    NetworkOwnerRestarted,
    /// A person asked.
    Requested,
    /// Found dead with a death nobody saw, but that the history of the engine shows.
    FoundDead,
}

/// How a healing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentOutcome {
    /// It runs, is healthy where it has a check, and is heard where it is a member.
    Healed,
    /// Docker's own policy brought it back before we had to.
    HealedByEngine,
    /// Nothing was done: it was another incarnation, or a person's will.
    Refused,
    /// It did not come back in time.
    Failed,
    /// Left down after too many restarts.
    Quarantined,
}

/// The story of one healing. Phases are milliseconds, each from the end of the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Unique: leader's boot and a number.
    pub id: String,
    /// Whom it is about.
    pub name: String,
    /// The container.
    pub container: ContainerId,
    /// Why.
    pub reason: RestartReason,
    /// The evidence, in a sentence.
    pub evidence: String,
    /// Who acted.
    pub by: MemberName,
    /// In which term (0: without office).
    pub term: u64,
    /// From the death or the first missed sign until the verdict, where it is known.
    pub detect_ms: Option<u64>,
    /// From the verdict until the order was given.
    pub order_ms: Option<u64>,
    /// From the order until it ran.
    pub start_ms: Option<u64>,
    /// From running until healthy (and heard, where it is a member).
    pub healthy_ms: Option<u64>,
    /// How it ended.
    pub outcome: IncidentOutcome,
    /// What else is worth knowing: why it was refused, the attack's id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, String>,
}

/// How much an alert matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Severity {
    /// For the morning.
    Low,
    /// For today.
    Medium,
    /// For now.
    High,
    /// Wake somebody.
    Critical,
}

/// Something that needs a person's eye.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// How much it matters.
    pub severity: Severity,
    /// The stable name: `quarantined`, `no_healer`, `unwitnessed`.
    pub kind: String,
    /// Whom it is about.
    pub name: Option<MemberName>,
    /// One sentence, with what to do.
    pub text: String,
}

/// Whose key signs a message, and who may therefore say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyRole {
    /// In every member.
    Member,
    /// In healers only.
    Healer,
    /// In healers, console and chaos monkey.
    Operator,
}

impl Body {
    /// The key that must sign this.
    #[must_use]
    pub fn key(&self) -> KeyRole {
        match self {
            Self::Heartbeat(_)
            | Self::Leave
            | Self::LastWords(_)
            | Self::Probe { .. }
            | Self::Ack { .. }
            | Self::ProbeRequest { .. }
            | Self::ProbeReport { .. } => KeyRole::Member,
            Self::Beat(_)
            | Self::Coordinator { .. }
            | Self::Resign { .. }
            | Self::Challenge
            | Self::Election { .. }
            | Self::Answer { .. }
            | Self::Result { .. }
            | Self::Incident(_)
            | Self::Alert(_) => KeyRole::Healer,
            Self::Request { .. } => KeyRole::Operator,
        }
    }

    /// The `type` as it stands in the message.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Heartbeat(_) => "heartbeat",
            Self::Leave => "leave",
            Self::LastWords(_) => "last_words",
            Self::Beat(_) => "beat",
            Self::Coordinator { .. } => "coordinator",
            Self::Resign { .. } => "resign",
            Self::Challenge => "challenge",
            Self::Election { .. } => "election",
            Self::Answer { .. } => "answer",
            Self::Probe { .. } => "probe",
            Self::Ack { .. } => "ack",
            Self::ProbeRequest { .. } => "probe_request",
            Self::ProbeReport { .. } => "probe_report",
            Self::Request { .. } => "request",
            Self::Result { .. } => "result",
            Self::Incident(_) => "incident",
            Self::Alert(_) => "alert",
        }
    }
}
