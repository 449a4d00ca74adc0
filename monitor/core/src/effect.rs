//! All that the state machine of one member can want done.

use crate::engine::EngineCall;
use crate::id::{BootId, CallId, ChannelId, HostId, MemberName, RequestId};
use crate::message::{Body, Incident, Outcome};
use crate::status::Saved;
use crate::time::Instant;
use serde::{Deserialize, Serialize};

/// One thing to be done by a driver. None of them waits for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Sign and publish on `control_exchange`; dropped (and counted) while the broker is away,
    /// but for incidents and alerts, which the driver keeps in a bounded buffer.
    Publish {
        /// The routing key.
        key: String,
        /// What to say.
        body: Body,
    },
    /// Sign and publish with the `mandatory` flag to that life's own queue, by the default exchange
    /// (evidence channel 3). Where it comes back, there is no such queue any more:
    /// [`crate::input::Input::Unroutable`]. Dropped while the broker is away.
    Mandatory {
        /// Whose queue.
        to: MemberName,
        /// Of which life: the queue's name ends in it.
        boot: BootId,
        /// What to say: always [`Body::Probe`], which is answered with a heartbeat.
        body: Body,
    },
    /// Consume the queue of orders of this host, with this `x-priority` (single active consumer, so that
    /// one healer of a host executes). A newer one replaces an older one.
    ConsumeOrders {
        /// This host: the queue is `planaria.heal.HOST`, bound to `heal.HOST`.
        host: HostId,
        /// Higher wins.
        priority: i64,
    },
    /// Sign and publish the leader's beat on the channel that holds the token, so that its return
    /// proves that very channel ([`crate::input::Input::BeatReturned`]).
    PublishBeat {
        /// The channel that holds the token.
        channel: ChannelId,
        /// What to say: always [`Body::Beat`].
        body: Body,
    },
    /// Open a channel and consume the token queue with prefetch 1 and this `x-priority`.
    /// A newer one replaces an older one that holds nothing.
    ConsumeToken {
        /// The rank; higher wins.
        priority: i64,
    },
    /// Close the channel: the token, if held, goes to the highest waiting candidate at once.
    ReleaseToken {
        /// The channel.
        channel: ChannelId,
    },
    /// Give the token back and take it again on the same channel, so that the broker's
    /// `consumer_timeout` never closes it (nack with requeue; it comes back within a millisecond).
    RenewToken {
        /// The channel.
        channel: ChannelId,
    },
    /// Publish one token: neither beat nor token was seen for long. The queue's length limit of 1
    /// makes a second one harmless.
    SeedToken,
    /// Declare, bind and consume the queue of heartbeats, reports and requests: who leads hears everyone.
    BindHeartbeats,
    /// Give that queue up.
    UnbindHeartbeats,
    /// Sign and send one datagram. The driver knows addresses, the core knows names.
    Direct {
        /// To whom.
        to: MemberName,
        /// What to say.
        body: Body,
    },
    /// Ask or order the engine; the answer is [`crate::input::Input::EngineReply`], always.
    Engine {
        /// To be quoted in the answer.
        call: CallId,
        /// What.
        request: EngineCall,
        /// The call must have been made by then (checked right before it on the same thread);
        /// for force this is the end of the lease. `None`: no such limit.
        not_after: Option<Instant>,
    },
    /// Keep this on the volume, atomically; nothing to do where there is none.
    Save(Saved),
    /// Answer a person's request that came in by [`crate::input::Input::Request`].
    Answer {
        /// Which.
        id: RequestId,
        /// What came of it.
        outcome: Outcome,
    },
    /// A healing began or ended: run what the settings and the container's `planaria.webhook` ask for.
    /// Nothing to do where neither asks for anything.
    Hook {
        /// Before the first order, or after the end.
        when: HookTime,
        /// The label's address; `None`: only what the settings name.
        url: Option<String>,
        /// The story so far; its `outcome` counts only after the end.
        incident: Box<Incident>,
    },
    /// Write a log line.
    Log(LogLine),
    /// Everything that an orderly end needs has been said; the driver may flush and end.
    Bye,
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookTime {
    /// The first order is given now.
    Before,
    /// It ended: healed, refused, failed or quarantined.
    After,
}

/// How grave a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For those who look for a fault in us.
    Debug,
    /// What happened.
    Info,
    /// Needs a look.
    Warn,
    /// Needs a person.
    Error,
}

/// One sentence for people, with a stable name for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// How grave.
    pub level: Level,
    /// The stable name, past tense: `member_died`, `leader_elected`.
    pub event: String,
    /// Whom it is about.
    pub member: Option<MemberName>,
    /// The sentence.
    pub text: String,
}
