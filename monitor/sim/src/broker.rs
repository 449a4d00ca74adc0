//! The broker as far as the group can tell: connections, member queues, and the token.
//!
//! Measured on RabbitMQ 4.0.5: a closed connection frees its queues and hands the token to the highest
//! waiting consumer within milliseconds; a silent one is closed after two to three heartbeats; a higher
//! newcomer does not preempt; a broker that was killed gives the token out again when it is back.

use planaria_core::id::ChannelId;
use planaria_core::input::Input;
use planaria_core::message::{Body, Envelope};
use std::collections::BTreeMap;

/// A connection's number.
pub(crate) type ConnId = u64;

/// What a client asks of the broker.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Publish on the exchange; `beat` is the channel where the publisher waits for its own beat.
    Publish {
        conn: ConnId,
        key: String,
        envelope: Box<Envelope>,
        beat: Option<ChannelId>,
    },
    /// Consume the token queue with prefetch 1.
    Consume {
        conn: ConnId,
        channel: ChannelId,
        priority: i64,
    },
    /// Close a channel.
    Close { conn: ConnId, channel: ChannelId },
    /// Give the token back and take it again.
    Renew { conn: ConnId, channel: ChannelId },
    /// Publish a token.
    Seed { conn: ConnId },
    /// Declare and bind the queue of heartbeats.
    Bind { conn: ConnId },
    /// Delete it.
    Unbind { conn: ConnId },
    /// The client's socket is closed.
    Hangup { conn: ConnId },
}

impl Op {
    pub(crate) fn conn(&self) -> ConnId {
        match self {
            Self::Publish { conn, .. }
            | Self::Consume { conn, .. }
            | Self::Close { conn, .. }
            | Self::Renew { conn, .. }
            | Self::Seed { conn }
            | Self::Bind { conn }
            | Self::Unbind { conn }
            | Self::Hangup { conn } => *conn,
        }
    }
}

/// One client's connection.
#[derive(Debug)]
pub(crate) struct Conn {
    /// Whose: container index and life.
    pub(crate) owner: (usize, u64),
    /// It has the queue of heartbeats.
    pub(crate) heartbeats: bool,
    /// Nothing gets through in either direction.
    pub(crate) cut: bool,
    /// Since when nothing came from the client, where it is known to be unable to speak.
    pub(crate) silent_since: Option<u64>,
    /// What the client sent while cut.
    pub(crate) held_in: Vec<Op>,
    /// What was due to the client while cut.
    pub(crate) held_out: Vec<Input>,
    /// When the last thing of either direction arrives: TCP keeps order.
    pub(crate) last_in: u64,
    pub(crate) last_out: u64,
}

#[derive(Clone, Copy, Debug)]
struct Consumer {
    conn: ConnId,
    channel: ChannelId,
    priority: i64,
}

/// The broker's state. What it does is timed by the world.
#[derive(Debug, Default)]
pub(crate) struct Broker {
    /// From when on it accepts connections; `None`: its process is not there.
    pub(crate) ready_at: Option<u64>,
    /// Its handshake hangs although the container runs.
    pub(crate) wedged: bool,
    /// Everything it does takes up to so much longer, in nanoseconds.
    pub(crate) slow: u64,
    /// So slow it was until then.
    was_slow: (u64, u64),
    pub(crate) conns: BTreeMap<ConnId, Conn>,
    /// What arrived while it was frozen.
    pub(crate) held: Vec<Op>,
    next_conn: ConnId,
    tokens_ready: u32,
    consumers: Vec<Consumer>,
    /// The single active consumer, and whether it holds a token.
    active: Option<(Consumer, bool)>,
}

/// What the broker sends to a client in answer to an operation.
pub(crate) type Sent = Vec<(ConnId, Input)>;

impl Broker {
    pub(crate) fn connect(&mut self, owner: (usize, u64), now: u64) -> ConnId {
        self.next_conn += 1;
        self.conns.insert(
            self.next_conn,
            Conn {
                owner,
                heartbeats: false,
                cut: false,
                silent_since: None,
                held_in: Vec::new(),
                held_out: Vec::new(),
                last_in: now,
                last_out: now,
            },
        );
        self.next_conn
    }

    /// From now on everything takes up to so much longer.
    pub(crate) fn slow_down(&mut self, slow: u64, now: u64) {
        self.was_slow = (self.slowest_of_late(now), now);
        self.slow = slow;
    }

    /// What was written to it of late took up to so much longer.
    pub(crate) fn slowest_of_late(&self, now: u64) -> u64 {
        let (slow, until) = self.was_slow;
        // By then it has arrived.
        let still = now - until < 4 * slow;
        self.slow.max(if still { slow } else { 0 })
    }

    /// The process is gone: connections and queues with it, the token stays on disk.
    pub(crate) fn die(&mut self) {
        if self.active.is_some_and(|(_, holds)| holds) {
            self.tokens_ready = 1;
        }
        self.ready_at = None;
        self.wedged = false;
        self.conns.clear();
        self.held.clear();
        self.consumers.clear();
        self.active = None;
    }

    /// The token is gone from the disk.
    pub(crate) fn lose_token(&mut self) {
        self.tokens_ready = 0;
        if let Some((_, holds)) = &mut self.active {
            *holds = false;
        }
    }

    /// Closes one connection.
    pub(crate) fn drop_conn(&mut self, conn: ConnId) -> Sent {
        self.conns.remove(&conn);
        self.consumers.retain(|consumer| consumer.conn != conn);
        if self.active.is_some_and(|(active, _)| active.conn == conn) {
            self.vacate();
        }
        self.hand_out()
    }

    /// Closes the channel on which a client consumes the token queue, as `consumer_timeout` would.
    pub(crate) fn close_channel_of(&mut self, owner: (usize, u64)) -> Sent {
        let found = self
            .consumers
            .iter()
            .find(|consumer| {
                self.conns
                    .get(&consumer.conn)
                    .is_some_and(|conn| conn.owner == owner)
            })
            .copied();
        let Some(consumer) = found else {
            return Vec::new();
        };
        let mut sent = vec![(
            consumer.conn,
            Input::TokenLost {
                channel: consumer.channel,
            },
        )];
        sent.extend(self.close(consumer.conn, consumer.channel));
        sent
    }

    fn close(&mut self, conn: ConnId, channel: ChannelId) -> Sent {
        let same = |consumer: &Consumer| consumer.conn == conn && consumer.channel == channel;
        self.consumers.retain(|consumer| !same(consumer));
        if self.active.is_some_and(|(active, _)| same(&active)) {
            self.vacate();
        }
        self.hand_out()
    }

    fn vacate(&mut self) {
        if let Some((_, true)) = self.active.take() {
            // The length limit counts what is ready; a second token is dropped at the head.
            self.tokens_ready = 1;
        }
    }

    /// Sticky: the active consumer stays until it goes; then the highest priority, then the oldest.
    fn hand_out(&mut self) -> Sent {
        if self.active.is_none() {
            let mut best: Option<Consumer> = None;
            for consumer in &self.consumers {
                if best.is_none_or(|found| consumer.priority > found.priority) {
                    best = Some(*consumer);
                }
            }
            self.active = best.map(|consumer| (consumer, false));
        }
        match &mut self.active {
            Some((consumer, holds)) if !*holds && self.tokens_ready > 0 => {
                *holds = true;
                self.tokens_ready -= 1;
                vec![(
                    consumer.conn,
                    Input::TokenGranted {
                        channel: consumer.channel,
                    },
                )]
            }
            _ => Vec::new(),
        }
    }

    /// Does what a client asks, and says what goes to whom.
    pub(crate) fn apply(&mut self, op: Op) -> Sent {
        match op {
            Op::Publish {
                conn,
                key,
                envelope,
                beat,
            } => self.publish(conn, &key, &envelope, beat),
            Op::Consume {
                conn,
                channel,
                priority,
            } => {
                self.consumers.push(Consumer {
                    conn,
                    channel,
                    priority,
                });
                self.hand_out()
            }
            Op::Close { conn, channel } => self.close(conn, channel),
            Op::Renew { conn, channel } => {
                if let Some((active, holds)) = &mut self.active
                    && active.conn == conn
                    && active.channel == channel
                    && *holds
                {
                    *holds = false;
                    self.tokens_ready = 1;
                }
                self.hand_out()
            }
            Op::Seed { .. } => {
                // x-max-length 1 with reject-publish: a second one is refused.
                self.tokens_ready = 1;
                self.hand_out()
            }
            Op::Bind { conn } => {
                if let Some(client) = self.conns.get_mut(&conn) {
                    client.heartbeats = true;
                }
                vec![(conn, Input::HeartbeatsBound)]
            }
            Op::Unbind { conn } => {
                if let Some(client) = self.conns.get_mut(&conn) {
                    client.heartbeats = false;
                }
                Vec::new()
            }
            Op::Hangup { conn } => self.drop_conn(conn),
        }
    }

    fn publish(
        &self,
        from: ConnId,
        key: &str,
        envelope: &Envelope,
        beat: Option<ChannelId>,
    ) -> Sent {
        let to_all = key.starts_with("control.");
        let to_leader = ["heartbeat.", "report.", "request."]
            .iter()
            .any(|topic| key.starts_with(topic));
        let mut sent = Vec::new();
        for (conn, client) in &self.conns {
            if to_all || to_leader && client.heartbeats {
                sent.push((*conn, Input::Message(envelope.clone())));
            }
        }
        if let (Some(channel), Body::Beat(body)) = (beat, &envelope.body)
            && self
                .consumers
                .iter()
                .any(|c| c.conn == from && c.channel == channel)
        {
            sent.push((
                from,
                Input::BeatReturned {
                    channel,
                    number: body.number,
                },
            ));
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(sent: &Sent) -> Option<ConnId> {
        sent.iter()
            .find(|(_, input)| matches!(input, Input::TokenGranted { .. }))
            .map(|(conn, _)| *conn)
    }

    fn consume(broker: &mut Broker, conn: ConnId, priority: i64) -> Sent {
        broker.apply(Op::Consume {
            conn,
            channel: ChannelId(conn),
            priority,
        })
    }

    #[test]
    fn the_highest_waiting_gets_the_token_and_a_higher_newcomer_does_not_preempt() {
        let mut broker = Broker::default();
        let conns: Vec<_> = (0..3).map(|n| broker.connect((n, 1), 0)).collect();
        assert!(granted(&consume(&mut broker, conns[0], 1)).is_none());
        assert_eq!(
            granted(&broker.apply(Op::Seed { conn: conns[0] })),
            Some(conns[0])
        );
        assert!(granted(&consume(&mut broker, conns[1], 2)).is_none());
        assert!(granted(&consume(&mut broker, conns[2], 3)).is_none());
        assert_eq!(granted(&broker.drop_conn(conns[0])), Some(conns[2]));
    }

    #[test]
    fn a_renewal_comes_back_to_the_same_holder() {
        let mut broker = Broker::default();
        let low = broker.connect((0, 1), 0);
        let high = broker.connect((1, 1), 0);
        consume(&mut broker, low, 1);
        broker.apply(Op::Seed { conn: low });
        consume(&mut broker, high, 2);
        let sent = broker.apply(Op::Renew {
            conn: low,
            channel: ChannelId(low),
        });
        assert_eq!(granted(&sent), Some(low));
    }

    #[test]
    fn a_dead_broker_keeps_the_token() {
        let mut broker = Broker::default();
        let first = broker.connect((0, 1), 0);
        consume(&mut broker, first, 1);
        broker.apply(Op::Seed { conn: first });
        broker.die();
        let again = broker.connect((0, 1), 0);
        assert_eq!(granted(&consume(&mut broker, again, 1)), Some(again));
    }

    /// Plays a recorded story; says whom the model gives the token after each act.
    fn play(story: &str) -> Vec<String> {
        let mut broker = Broker::default();
        let mut clients: BTreeMap<String, ConnId> = BTreeMap::new();
        let seeder = broker.connect((0, 0), 0);
        let mut told = Vec::new();
        for act in story.split("; ") {
            let act = act.split(" ->").next().unwrap_or_default();
            let words: Vec<&str> = act.split(' ').collect();
            let client = words.get(1).copied().unwrap_or_default();
            let conn = clients.get(client).copied().unwrap_or_default();
            let channel = ChannelId(conn);
            let sent = match words[0] {
                "consume" => {
                    let conn = broker.connect((0, 0), 0);
                    clients.insert(client.to_owned(), conn);
                    consume(&mut broker, conn, words[2].parse().unwrap())
                }
                "seed" => broker.apply(Op::Seed { conn: seeder }),
                "renew" => broker.apply(Op::Renew { conn, channel }),
                "close" => broker.apply(Op::Close { conn, channel }),
                "hangup" => broker.apply(Op::Hangup { conn }),
                "die" => {
                    broker.die();
                    clients.clear();
                    Vec::new()
                }
                "lose" => {
                    broker.lose_token();
                    Vec::new()
                }
                other => panic!("{other} is no act"),
            };
            let by_name = |conn: ConnId| clients.iter().find(|(_, known)| **known == conn);
            let to = granted(&sent).and_then(by_name);
            let to = to.map_or(String::new(), |(name, _)| format!(" {name}"));
            told.push(format!("{act} ->{to}"));
        }
        told
    }

    #[test]
    fn the_simulated_broker_gives_the_token_to_whom_the_real_one_gave_it() {
        let recorded = include_str!("../tests/recordings/broker.txt");
        let mut compared = 0;
        for line in recorded.lines().filter(|line| !line.starts_with('#')) {
            let (name, story) = line.split_once(": ").expect("a story, a colon, acts");
            assert_eq!(play(story).join("; "), story, "{name}");
            compared += 1;
        }
        assert!(compared >= 11, "only {compared} stories are recorded");
    }
}
