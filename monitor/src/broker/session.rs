//! The monitor's own connection: one task, one connection at a time, every loss said to the core.

use super::mandatory::{Letter, Mandatory, queue_of};
use super::operations::{OPERATION_TIMEOUT, publish, queue_of_ours, seed, timed};
use super::orders::Orders;
use super::token::{Token, TokenEvent};
use super::{Backoff, BrokerError, Line, dial, short};
use crate::metrics::Metrics;
use crate::runtime::{is_ours, spawn};
use futures::StreamExt;
use lapin::message::Delivery;
use lapin::options::QueueDeleteOptions;
use lapin::{Channel, Connection, Consumer, Event};
use planaria_core::codec::Codec;
use planaria_core::id::{BootId, ChannelId, HostId, MemberName};
use planaria_core::input::Input;
use planaria_core::settings::Settings;
use std::collections::VecDeque;
use std::sync::{Arc, mpsc as std_mpsc};
use tokio::sync::mpsc;

/// Commands that wait for the connection; the loop never waits.
const COMMANDS_MAX: usize = 1024;
/// Incidents and alerts that are kept while the broker is away; the oldest go first.
const KEPT_MAX: usize = 256;
/// A stalled member costs the broker no more than this.
const OWN_QUEUE_MAX: i32 = 1_000;
/// The leader's: 10,000 members' heartbeats of one interval.
const HEARTBEATS_QUEUE_MAX: i32 = 10_000;

/// What the loop wants of the broker. Payloads are signed already.
pub(crate) enum Command {
    Publish {
        key: String,
        payload: Vec<u8>,
        /// An incident or an alert: kept while the broker is away.
        keep: bool,
    },
    PublishBeat {
        channel: ChannelId,
        payload: Vec<u8>,
    },
    ConsumeToken {
        priority: i64,
    },
    ReleaseToken {
        channel: ChannelId,
    },
    RenewToken {
        channel: ChannelId,
    },
    SeedToken,
    BindHeartbeats,
    UnbindHeartbeats,
    /// A question by way of a member's own queue.
    Mandatory(Letter),
    ConsumeOrders {
        host: HostId,
        priority: i64,
    },
    /// Answered when everything before it has left; at once while the broker is away.
    Flush(std_mpsc::SyncSender<()>),
}

/// The driver, as the loop sees it.
pub(crate) struct Driver {
    commands: mpsc::Sender<Command>,
    metrics: Arc<Metrics>,
}

impl Driver {
    /// Starts the task on the current runtime.
    pub(crate) fn start(
        settings: Settings,
        name: MemberName,
        boot: BootId,
        codec: Arc<Codec>,
        metrics: Arc<Metrics>,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        let (commands, waiting) = mpsc::channel(COMMANDS_MAX);
        let task = Task {
            ears: Ears {
                cluster: settings.cluster_name.clone(),
                name,
                boot,
                codec,
                metrics: Arc::clone(&metrics),
                inputs,
            },
            settings,
            commands: waiting,
            kept: Kept {
                queue: VecDeque::new(),
                metrics: Arc::clone(&metrics),
            },
            next_channel: 0,
        };
        spawn(task.run());
        Self { commands, metrics }
    }

    /// Hands a command over without waiting.
    pub(crate) fn send(&self, command: Command) {
        if self.commands.try_send(command).is_err() {
            self.metrics.dropped("broker_queue");
        }
    }
}

/// Checks what is heard and hands it to the loop.
#[derive(Clone)]
pub(super) struct Ears {
    cluster: String,
    pub(super) name: MemberName,
    pub(super) boot: BootId,
    codec: Arc<Codec>,
    metrics: Arc<Metrics>,
    pub(super) inputs: mpsc::Sender<Input>,
}

impl Ears {
    /// The message in a delivery, where it is one for us. The broker lets only healers write
    /// `control.…`, so a member without the healer key may believe what comes that way.
    pub(super) fn read(&self, delivery: &Delivery) -> Option<planaria_core::message::Envelope> {
        let key = delivery.routing_key.as_str();
        let decoded = if key.starts_with("control.") {
            self.codec.decode_relayed(&delivery.data)
        } else {
            self.codec.decode(&delivery.data)
        };
        match decoded {
            Ok(envelope) if is_ours(&envelope, &self.cluster) => Some(envelope),
            Ok(_) => {
                self.metrics.dropped("foreign");
                None
            }
            Err(error) => {
                self.metrics.dropped("decode");
                tracing::debug!(event = "message_dropped", key, "{error}");
                None
            }
        }
    }

    async fn hear(&self, delivery: &Delivery) {
        if let Some(envelope) = self.read(delivery) {
            self.say(Input::Message(envelope)).await;
        }
    }

    pub(super) async fn say(&self, input: Input) {
        // The loop is gone: nobody listens any more.
        let _ = self.inputs.send(input).await;
    }
}

struct Task {
    ears: Ears,
    settings: Settings,
    commands: mpsc::Receiver<Command>,
    kept: Kept,
    next_channel: u64,
}

/// Incidents and alerts that wait for the broker, oldest first.
struct Kept {
    queue: VecDeque<(String, Vec<u8>)>,
    metrics: Arc<Metrics>,
}

impl Kept {
    /// A command while there is no broker.
    fn away(&mut self, command: Command) {
        match command {
            Command::Publish {
                key,
                payload,
                keep: true,
            } => {
                if self.queue.len() >= KEPT_MAX {
                    self.queue.pop_front();
                    self.metrics.dropped("broker_kept");
                }
                self.queue.push_back((key, payload));
            }
            Command::Publish { .. } | Command::PublishBeat { .. } | Command::Mandatory(_) => {
                self.metrics.dropped("broker_away");
            }
            // Dropping the sender answers.
            Command::Flush(done) => drop(done),
            Command::ConsumeToken { .. }
            | Command::ReleaseToken { .. }
            | Command::RenewToken { .. }
            | Command::SeedToken
            | Command::BindHeartbeats
            | Command::UnbindHeartbeats
            | Command::ConsumeOrders { .. } => {}
        }
    }
}

/// One connection's life.
struct Session {
    connection: Connection,
    channel: Channel,
    own: Consumer,
    /// The leader's queue, on a channel of its own: an error there must not cost the connection.
    heartbeats: Option<(Channel, Consumer)>,
    token: Option<Token>,
    /// Made when the first question is asked.
    mandatory: Option<Mandatory>,
    orders: Option<Orders>,
    token_events: mpsc::Receiver<TokenEvent>,
    token_events_in: mpsc::Sender<TokenEvent>,
    line: Line,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.line.cut();
    }
}

impl Task {
    async fn run(mut self) {
        let urls = self.settings.amqp_urls.clone();
        let mut backoff = Backoff::new();
        let mut told: Option<String> = None;
        for url in urls.iter().cycle() {
            match self.open(url).await {
                Ok(mut session) => {
                    backoff = Backoff::new();
                    told = None;
                    tracing::info!(event = "broker_connected", "Broker connected");
                    self.ears.say(Input::BrokerConnected).await;
                    let reason = self.serve(&mut session).await;
                    drop(session);
                    tracing::warn!(event = "broker_lost", "Broker lost: {reason}");
                    self.ears.say(Input::BrokerDisconnected { reason }).await;
                }
                Err(error) => {
                    let reason = error.to_string();
                    // Hung and gone are different findings: the one ends what the other began.
                    self.ears
                        .say(match error {
                            BrokerError::Handshake { .. } => Input::BrokerHandshakeFailed,
                            _ => Input::BrokerDisconnected {
                                reason: reason.clone(),
                            },
                        })
                        .await;
                    if told.as_ref() != Some(&reason) {
                        tracing::warn!(event = "broker_away", "{reason}");
                        told = Some(reason);
                    }
                }
            }
            if self.ears.inputs.is_closed() {
                return;
            }
            self.idle(&mut backoff).await;
        }
    }

    /// Waits for the next attempt while commands come in and go nowhere.
    async fn idle(&mut self, backoff: &mut Backoff) {
        let mut wait = std::pin::pin!(backoff.wait());
        loop {
            tokio::select! {
                () = &mut wait => return,
                command = self.commands.recv() => match command {
                    Some(command) => self.kept.away(command),
                    None => return,
                }
            }
        }
    }

    async fn open(&mut self, url: &str) -> Result<Session, BrokerError> {
        let label = format!("{} {}", self.ears.name, self.ears.boot);
        let connecting = dial(url, &self.settings, &label);
        let (connection, line) = {
            let mut connecting = std::pin::pin!(connecting);
            loop {
                tokio::select! {
                    connection = &mut connecting => break connection?,
                    Some(command) = self.commands.recv() => self.kept.away(command),
                }
            }
        };
        let opening = async {
            let channel = connection
                .create_channel()
                .await
                .map_err(BrokerError::failed("opening a channel"))?;
            let queue = queue_of(&self.ears.name, self.ears.boot);
            let mut keys = vec!["control.#"];
            let keyring = self.ears.codec.keys();
            if keyring.holds(planaria_core::message::KeyRole::Healer) {
                // Every healer: who leads next must know what the monkey did to this one.
                keys.extend(["report.result", "chaos.attack"]);
            }
            let own = queue_of_ours(&channel, &queue, OWN_QUEUE_MAX, &keys).await?;
            Ok((channel, own))
        };
        let (channel, own) = tokio::time::timeout(OPERATION_TIMEOUT, opening)
            .await
            .unwrap_or_else(|_| {
                Err(BrokerError::Failed {
                    what: "declaring the member's queue",
                    reason: "no answer in time".into(),
                })
            })
            .inspect_err(|_| line.cut())?;
        let (token_events_in, token_events) = mpsc::channel(8);
        Ok(Session {
            connection,
            channel,
            own,
            heartbeats: None,
            token: None,
            mandatory: None,
            orders: None,
            token_events,
            token_events_in,
            line,
        })
    }

    /// Serves one connection until it breaks; says why.
    async fn serve(&mut self, session: &mut Session) -> String {
        let mut events = std::pin::pin!(session.connection.events_listener());
        loop {
            if let Some((key, payload)) = self.kept.queue.pop_front() {
                if let Err(error) = publish(&session.channel, &key, &payload, true).await {
                    self.kept.queue.push_front((key, payload));
                    return error.to_string();
                }
                continue;
            }
            let heartbeat = next_of(session.heartbeats.as_mut().map(|(_, consumer)| consumer));
            let order = next_of(session.orders.as_mut().map(|orders| &mut orders.consumer));
            tokio::select! {
                command = self.commands.recv() => {
                    let Some(command) = command else {
                        return "the monitor ends".into();
                    };
                    if let Err(error) = self.command(session, command).await {
                        return error.to_string();
                    }
                }
                delivery = session.own.next() => match delivery {
                    Some(Ok(delivery)) => self.ears.hear(&delivery).await,
                    Some(Err(error)) => return error.to_string(),
                    None => return "the member's queue is gone".into(),
                },
                delivery = heartbeat => match delivery {
                    Some(Ok(delivery)) => self.ears.hear(&delivery).await,
                    Some(Err(_)) | None => {
                        tracing::warn!(event = "heartbeats_lost", "the queue of heartbeats is gone");
                        session.heartbeats = None;
                        // Without it a leader is deaf: a new connection binds it anew.
                        return "the queue of heartbeats is gone".into();
                    }
                },
                delivery = order => match delivery {
                    Some(Ok(delivery)) => self.ears.hear(&delivery).await,
                    // Without it another leader's orders go to another healer here; a new connection asks anew.
                    Some(Err(_)) | None => return "the queue of orders is gone".into(),
                },
                Some(event) = session.token_events.recv() => {
                    if let Some(input) = token_input(session, event) {
                        self.ears.say(input).await;
                    }
                }
                event = events.next() => match event {
                    Some(Event::Error(error)) => return error.to_string(),
                    Some(Event::ConnectionBlocked(reason)) => {
                        tracing::warn!(event = "broker_blocked", "The broker blocks publishers: {reason}");
                    }
                    Some(Event::ConnectionUnblocked) => {
                        tracing::info!(event = "broker_unblocked", "The broker takes messages again");
                    }
                    Some(_) => {}
                    None => return "the connection is gone".into(),
                },
            }
        }
    }

    async fn command(
        &mut self,
        session: &mut Session,
        command: Command,
    ) -> Result<(), BrokerError> {
        match command {
            Command::Publish { key, payload, keep } => {
                let result = publish(&session.channel, &key, &payload, keep).await;
                if result.is_err() && keep {
                    self.kept.queue.push_front((key, payload));
                }
                result
            }
            Command::PublishBeat { channel, payload } => match &session.token {
                Some(token) if token.id == channel => {
                    publish(token.channel(), "control.beat", &payload, false).await
                }
                _ => Ok(()),
            },
            Command::ConsumeToken { priority } => {
                if session.token.as_ref().is_some_and(Token::holds) {
                    return Ok(());
                }
                if let Some(old) = session.token.take() {
                    old.close().await;
                }
                self.next_channel += 1;
                let id = ChannelId(self.next_channel);
                let events = session.token_events_in.clone();
                let opening = Token::open(&session.connection, id, priority, &self.ears, events);
                session.token = Some(timed("consuming the token queue", opening).await?);
                Ok(())
            }
            Command::ReleaseToken { channel } => {
                if session
                    .token
                    .as_ref()
                    .is_some_and(|token| token.id == channel)
                    && let Some(token) = session.token.take()
                {
                    token.close().await;
                    self.ears.say(Input::TokenLost { channel }).await;
                }
                Ok(())
            }
            Command::RenewToken { channel } => match &mut session.token {
                Some(token) if token.id == channel => {
                    timed("renewing the token", token.renew()).await
                }
                _ => Ok(()),
            },
            Command::SeedToken => seed(&session.connection).await,
            Command::BindHeartbeats => self.bind_heartbeats(session).await,
            Command::UnbindHeartbeats => {
                if let Some((channel, _)) = session.heartbeats.take() {
                    let queue = self.heartbeats_queue();
                    let delete = channel.queue_delete(short(&queue), QueueDeleteOptions::default());
                    // It goes with the connection at the latest.
                    let _ = tokio::time::timeout(OPERATION_TIMEOUT, delete).await;
                    let _ = tokio::time::timeout(
                        OPERATION_TIMEOUT,
                        channel.close(200, short("no leader any more")),
                    )
                    .await;
                }
                Ok(())
            }
            Command::Mandatory(letter) => self.ask(session, letter).await,
            Command::ConsumeOrders { host, priority } => {
                if let Some(old) = session.orders.take() {
                    old.close().await;
                }
                let opening = Orders::open(&session.connection, &host, priority);
                session.orders = Some(timed("consuming the queue of orders", opening).await?);
                Ok(())
            }
            Command::Flush(done) => {
                // Publishing waits for the socket, so what came before has left.
                let _ = done.try_send(());
                Ok(())
            }
        }
    }

    async fn ask(&self, session: &mut Session, letter: Letter) -> Result<(), BrokerError> {
        if session.mandatory.is_none() {
            let opening = Mandatory::open(&session.connection, self.ears.clone());
            session.mandatory = Some(timed("opening the channel of questions", opening).await?);
        }
        let taken = session.mandatory.as_ref().is_some_and(|it| it.send(letter));
        if !taken {
            // Its channel failed or it is slow: a question was lost, the next one finds a new channel.
            self.ears.metrics.dropped("mandatory");
            session.mandatory = None;
        }
        Ok(())
    }

    fn heartbeats_queue(&self) -> String {
        format!("planaria.heartbeats.{}", self.ears.boot)
    }

    async fn bind_heartbeats(&mut self, session: &mut Session) -> Result<(), BrokerError> {
        if session.heartbeats.is_none() {
            let queue = self.heartbeats_queue();
            let keys = ["heartbeat.#", "report.#", "request.#"];
            let binding = async {
                let channel = session
                    .connection
                    .create_channel()
                    .await
                    .map_err(BrokerError::failed("opening a channel"))?;
                let consumer = queue_of_ours(&channel, &queue, HEARTBEATS_QUEUE_MAX, &keys).await?;
                Ok((channel, consumer))
            };
            session.heartbeats = Some(timed("binding the heartbeats", binding).await?);
        }
        self.ears.say(Input::HeartbeatsBound).await;
        Ok(())
    }
}

/// What a token channel's event means to the core; stale ones mean nothing.
fn token_input(session: &mut Session, event: TokenEvent) -> Option<Input> {
    let current = session.token.as_mut()?;
    match event {
        TokenEvent::Granted { channel, acker } if channel == current.id => {
            current.hold(acker);
            Some(Input::TokenGranted { channel })
        }
        TokenEvent::Returned { channel, number } if channel == current.id => {
            Some(Input::BeatReturned { channel, number })
        }
        TokenEvent::Lost { channel } if channel == current.id => {
            session.token = None;
            Some(Input::TokenLost { channel })
        }
        TokenEvent::Granted { .. } | TokenEvent::Returned { .. } | TokenEvent::Lost { .. } => None,
    }
}

async fn next_of(consumer: Option<&mut Consumer>) -> Option<lapin::Result<Delivery>> {
    match consumer {
        Some(consumer) => consumer.next().await,
        None => std::future::pending().await,
    }
}
