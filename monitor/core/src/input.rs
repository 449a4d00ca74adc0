//! All that can come into the state machine of one member.

use crate::engine::{EngineError, EngineEvent, EngineReply};
use crate::id::{BootId, CallId, ChannelId, HostId, MemberName, RequestId};
use crate::message::{Envelope, LastWords, Verb};
use serde::{Deserialize, Serialize};

/// One thing that happened. Serializable, so that a recording can be replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Nothing but time passed: the deadline of `Node::next_deadline` was reached.
    Tick,
    /// The broker is reached; this member's own queue is declared, bound to `control.#` and consumed.
    BrokerConnected,
    /// The connection to the broker is gone, or could not be made.
    BrokerDisconnected {
        /// Why, for people.
        reason: String,
    },
    /// A TCP connection to the broker stands but the AMQP handshake fails: it hangs rather than is gone.
    BrokerHandshakeFailed,
    /// A message whose signature was verified came through the broker.
    Message(Envelope),
    /// A mandatory message could not be routed: the member's queue is gone, so is its connection.
    Unroutable {
        /// The member to whom it was addressed.
        member: MemberName,
        /// The life of it whose queue is gone.
        boot: BootId,
    },
    /// The broker handed this candidate the token, on this channel.
    TokenGranted {
        /// The channel that holds it.
        channel: ChannelId,
    },
    /// The channel that consumed the token queue is closed: token or not, it is held no more.
    TokenLost {
        /// The channel.
        channel: ChannelId,
    },
    /// The leader's own beat came back on the very channel that holds the token.
    BeatReturned {
        /// The channel.
        channel: ChannelId,
        /// The beat's number, see [`crate::message::Beat::number`].
        number: u64,
    },
    /// The queue for heartbeats is declared, bound and consumed: everyone is heard from now on.
    HeartbeatsBound,
    /// A datagram whose signature was verified.
    Direct(Envelope),
    /// The engine answers, and its event stream stands.
    EngineConnected {
        /// Which engine.
        host: HostId,
        /// The engine's time at which the stream began (nanoseconds since 1970).
        since: i64,
    },
    /// The engine is away or its event stream broke.
    EngineDisconnected {
        /// Why, for people.
        reason: String,
    },
    /// Something happened to a container of this host.
    Engine(EngineEvent),
    /// The answer to [`crate::effect::Effect::Engine`].
    EngineReply {
        /// Which call.
        call: CallId,
        /// What came of it.
        result: Result<EngineReply, EngineError>,
    },
    /// A person asks, through this member's own command line.
    Request {
        /// To be quoted in the answer.
        id: RequestId,
        /// What is asked.
        verb: Verb,
    },
    /// What only the driver can read: told at start, before each heartbeat or so, and whenever it likes.
    Vitals {
        /// The wall clock in milliseconds since 1970. Carried in messages and compared for a warning;
        /// no decision depends on it.
        unix_ms: u64,
        /// The age of the oldest pulse of this process, in milliseconds.
        pulse_age_ms: u64,
    },
    /// The watchdog's finding about this very process, right before it ends.
    LastWords(LastWords),
    /// Whether a watcher that is alone is on duty, or stands by for another of this host.
    Duty {
        /// It acts.
        on: bool,
    },
    /// This member is to end in order (SIGTERM): say so and give up office.
    Shutdown,
}
