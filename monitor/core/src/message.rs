//! What members say to each other. How it is signed and laid out in bytes: [`crate::codec`].
//!
//! Times in messages are spans or a sender's own counters, never a wall clock that anyone believes.

use crate::id::{BootId, ContainerId, HostId, Incarnation, MemberName, RequestId, Term};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

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
    /// The leader orders the healers of another host to force something (`heal.HOST`).
    Order(Box<Order>),
    /// What came of an order.
    OrderReport {
        /// Which.
        id: String,
        /// It was taken on; else why not.
        outcome: Outcome,
        /// The highest term that the executor saw.
        term: u64,
    },
    /// What a healer remembers of containers, told to a new leader: a death that only it witnessed, a
    /// person's will that only it saw.
    Records(Vec<PatientRecord>),
    /// To a leader whose beat does not know of these holds.
    Holds(Holds),
    /// What the first healer of a host that the leader cannot see tells of it.
    HostReport(Box<HostReport>),
    /// A death certificate (`control.death`): this very life is over. Another life ignores it.
    Death {
        /// Who.
        name: MemberName,
        /// Which life ended.
        incarnation: Incarnation,
        /// The boot in it, where it was heard.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot: Option<BootId>,
    },
    /// The story of one healing, for the journal.
    Incident(Box<Incident>),
    /// Something that needs a person's eye.
    Alert(Alert),
    /// What the chaos monkey does, did, or does not do.
    Attack(Box<AttackTold>),
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
    /// Grows by one with each heartbeat of this boot; an order quotes it.
    #[serde(default)]
    pub number: u64,
    /// The sender's wall clock in milliseconds since 1970, for a warning about skew only; 0: unknown.
    #[serde(default)]
    pub unix_ms: u64,
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
    /// Holds that a person ended early, so that nobody who was away brings them back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resumed: Vec<Hold>,
    /// Forces in flight: a successor waits these out.
    #[serde(default)]
    pub tickets: Vec<TicketView>,
    /// Lives that a person declared dead.
    #[serde(default)]
    pub fences: Vec<Fence>,
    /// Healings that ended, so that every healer can tell of them: the newest, and an older one in turn.
    #[serde(default)]
    pub incidents: Vec<Incident>,
    /// Heartbeats are to come so far apart at this size of the group, in milliseconds; 0: as configured.
    #[serde(default)]
    pub interval_ms: u64,
    /// The leader's wall clock in milliseconds since 1970, for people only; 0: unknown.
    #[serde(default)]
    pub unix_ms: u64,
}

/// A life that a person declared dead: nobody listens to it, and it acts on nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// Who.
    pub name: MemberName,
    /// Which life; the next one is free.
    pub boot: BootId,
    /// Why.
    pub reason: String,
}

/// An order to the healers of another host. It names everything that must hold, and they check it all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// To be quoted in the report.
    pub id: String,
    /// In which term.
    pub term: Term,
    /// The newest heartbeats of the host's healers that the leader heard: boot and number. The executor
    /// must be among them, with one not older than three.
    pub beats: Vec<(BootId, u64)>,
    /// Whom.
    pub container: ContainerId,
    /// `StartedAt` of the life that was judged.
    pub started_at: Option<String>,
    /// What.
    pub verb: OrderVerb,
    /// Why.
    pub reason: RestartReason,
    /// The evidence, in a sentence.
    pub evidence: String,
}

/// What can be ordered: closed, and no specification among it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderVerb {
    /// Kill and start.
    Force,
    /// Attach again to the networks that it had in this life.
    Reconnect,
    /// SIGCONT, once.
    Continue,
}

/// What a healer tells the leader of containers that the leader's engine does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// Which engine.
    pub host: HostId,
    /// Its patients.
    pub members: Vec<MemberView>,
    /// What it finds to be forced, and may not force without the leader's word.
    pub wanted: Vec<Wanted>,
}

/// A force that a healer without office holds to be due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Whom.
    pub container: ContainerId,
    /// `StartedAt` of the life that was judged.
    pub started_at: Option<String>,
    /// What.
    pub verb: OrderVerb,
    /// Why.
    pub reason: RestartReason,
    /// The evidence, in a sentence.
    pub evidence: String,
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
    /// It is on hold: by its label, or by a person.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// How far its wall clock is ahead of the leader's, in milliseconds, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skew_ms: Option<i64>,
    /// The age of its oldest pulse when it was heard last, in milliseconds, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pulse_age_ms: Option<u64>,
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
    /// This very end of it (`FinishedAt`) was witnessed as a death by whoever tells so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub died: Option<String>,
    /// How long ago its restarts within the window were, in milliseconds, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarts_ms_ago: Vec<u64>,
    /// The engine's time of each of them (nanoseconds since 1970), by which healers unite what they counted;
    /// negative where it was estimated by looking.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarts_at: Vec<i64>,
    /// In quarantine for so long, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined_ms: Option<u64>,
    /// People were told of a quarantine so long ago, in milliseconds: a successor tells who was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_ms: Option<u64>,
    /// A person's stop or release took its restarts back so long ago, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared_ms: Option<u64>,
    /// The engine's time of that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cleared_at: i64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands it over by reference"
)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl PatientRecord {
    /// One in which nothing is remembered yet.
    #[must_use]
    pub const fn of(container: ContainerId, name: String) -> Self {
        Self {
            container,
            name,
            stopped: None,
            died: None,
            restarts_ms_ago: Vec::new(),
            restarts_at: Vec::new(),
            quarantined_ms: None,
            told_ms: None,
            cleared_ms: None,
            cleared_at: 0,
        }
    }

    /// It was written down so long ago.
    pub(crate) fn age(&mut self, away: Duration) {
        let away = u64::try_from(away.as_millis()).unwrap_or(u64::MAX);
        for ago in &mut self.restarts_ms_ago {
            *ago = ago.saturating_add(away);
        }
        for ms in [
            &mut self.quarantined_ms,
            &mut self.told_ms,
            &mut self.cleared_ms,
        ] {
            *ms = ms.map(|ms| ms.saturating_add(away));
        }
    }
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
    /// The newer one of two for the same name counts.
    #[serde(default, skip_serializing_if = "HoldVersion::is_none")]
    pub version: HoldVersion,
}

/// Orders what people say of one name: by the term of the leader that they said it to, then by number, then by
/// which of two leaders of that number it was.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct HoldVersion {
    /// The leader's term; 0 for one without a group.
    pub term: u64,
    /// Grows with each thing said.
    pub count: u64,
    /// Whom it was said to.
    pub boot: BootId,
}

impl HoldVersion {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// All that is known of holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// Those in force.
    pub held: Vec<Hold>,
    /// Those that a person ended early, until they would have ended by themselves.
    #[serde(default)]
    pub resumed: Vec<Hold>,
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
    /// Declare this life of a member dead and forbid it to act; its container is killed and started.
    Fence {
        /// Whom.
        name: MemberName,
        /// Why.
        reason: String,
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
        /// Only say what would be done, or why nothing.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        dry_run: bool,
    },
}

/// How far an attack of the chaos monkey is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttackStage {
    /// It would be made; nothing was done.
    Foreseen,
    /// It is not made; the text says why.
    Declined,
    /// It is on its way.
    Begun,
    /// Its effect was measured.
    Injected,
    /// Others brought the victim back.
    Healed,
    /// The monkey took it back.
    Reverted,
    /// It did not take effect.
    Failed,
    /// The victim was removed meanwhile.
    Gone,
}

/// What became of an attack; the chaos monkey tells it, for the journal and for whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackTold {
    /// Its short name; empty where none was made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// The request that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// The fault's name; empty where none was chosen.
    pub fault: String,
    /// Whom; empty where nobody was chosen.
    pub target: String,
    /// How far it is.
    pub stage: AttackStage,
    /// One sentence for people.
    pub text: String,
    /// When, by the monkey's wall clock, in milliseconds since 1970.
    pub at_ms: u64,
    /// The monkey takes it back after so long where nobody heals it, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
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
    /// Its container was removed, and nothing took its name.
    Removed,
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
    /// Ended and left down, as its label `planaria.action=stop` says.
    LeftDown,
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
    /// What was done: `start`, `kill and start`, `unpause`, `connect`, `continue`, `recreate`,
    /// `wait for the engine`; empty where it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub action: String,
    /// The exit code of the end that began it, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// That end was for memory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub oom: bool,
    /// Restarts within the restart window, this one included.
    #[serde(default)]
    pub restarts: u32,
    /// When the verdict fell, by the wall clock of whoever acted (milliseconds since 1970), for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
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
            | Self::Order(_)
            | Self::OrderReport { .. }
            | Self::Records(_)
            | Self::Holds(_)
            | Self::HostReport(_)
            | Self::Death { .. }
            | Self::Incident(_)
            | Self::Alert(_) => KeyRole::Healer,
            Self::Request { .. } | Self::Attack(_) => KeyRole::Operator,
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
            Self::Attack(_) => "attack",
            Self::Result { .. } => "result",
            Self::Order(_) => "order",
            Self::OrderReport { .. } => "order_report",
            Self::Records(_) => "records",
            Self::Holds(_) => "holds",
            Self::HostReport(_) => "host_report",
            Self::Death { .. } => "death",
            Self::Incident(_) => "incident",
            Self::Alert(_) => "alert",
        }
    }
}
