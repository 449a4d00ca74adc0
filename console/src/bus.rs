//! What the console hears of the broker beside its monitor: the journal from where it left off, and
//! everyone's heartbeats.
//!
//! The healers' key is not held here. Their entries are believed by the routing key alone: the broker lets
//! only healers write `alert.…` and `report.incident` (topic permissions, see docs/threats.md). Attacks are
//! signed with the operator key and checked.

use crate::store::journal::Entry;
use crate::store::{Store, journal, now_ms};
use futures::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, Consumer};
use planaria_core::id::{BootId, MemberName, RequestId};
use planaria_core::message::{
    AttackStage, AttackTold, Body, Envelope, Heartbeat, LastWords, Outcome, Verb,
};
use planaria_core::settings::Settings;
use planaria_monitor::broker::{self, EXCHANGE, JOURNAL_QUEUE};
use planaria_monitor::codec::Codec;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Entries that are under way from the broker at once, and that are kept together.
const BATCH: u16 = 100;
/// A batch is closed when nothing more came for so long.
const BATCH_WAIT: Duration = Duration::from_millis(15);
/// Longer without the entry that was asked for: it is another stream.
const FIRST_WITHIN: Duration = Duration::from_secs(3);
/// The chaos monkey is asked here, and answers here.
const ATTACK: &str = "request.attack";
const ATTACK_ANSWER: &str = "chaos.answer";
/// The monkey answers within milliseconds; undoing everything takes it 8 s at most.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);
/// Requests that wait for a broker or for an answer.
const ASKED_MAX: usize = 16;
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Heartbeats that wait; older ones go first: they are only for the rhythm.
const HEARTBEATS_MAX: i32 = 2000;
const HEARTBEAT_TTL_MS: i32 = 5000;

/// What was heard.
#[derive(Debug)]
pub enum Heard {
    /// Entries of the journal that are new to the database, and kept there already.
    Entries(Vec<Entry>),
    /// The journal was cut before this console had read it all: entries are missing.
    Gap {
        /// The first that is missing.
        from: u64,
        /// The first that is there.
        to: u64,
    },
    /// A member's heartbeat.
    Heartbeat(MemberName, BootId, Heartbeat),
    /// A watchdog's last words.
    LastWords(MemberName, LastWords),
}

/// Something that a person asks of the chaos monkey.
pub struct Ask {
    verb: Verb,
    reply: oneshot::Sender<Outcome>,
}

/// Asks the chaos monkey and waits for its word; says why where none comes.
pub async fn ask(monkey: &mpsc::Sender<Ask>, verb: Verb) -> Outcome {
    let refused = |text: &str| Outcome {
        accepted: false,
        text: text.to_owned(),
    };
    let (reply, answer) = oneshot::channel();
    if monkey.try_send(Ask { verb, reply }).is_err() {
        return refused("The console asks the monkey too much at once; try again.");
    }
    match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => refused(
            "The broker went away before the monkey answered; what came of it is in its log.",
        ),
        Err(_) => refused("The monkey did not answer within 12 s; its log says what it does."),
    }
}

/// The console's end of the broker.
pub struct Bus {
    settings: Settings,
    codec: Codec,
    label: String,
    store: Store,
    heard: mpsc::Sender<Heard>,
    asked: mpsc::Receiver<Ask>,
    talk: Talk,
}

/// What is said, and who waits for its answer.
struct Talk {
    name: MemberName,
    boot: BootId,
    seq: u64,
    waiting: Mutex<BTreeMap<RequestId, oneshot::Sender<Outcome>>>,
}

impl Talk {
    fn waiting(&self) -> std::sync::MutexGuard<'_, BTreeMap<RequestId, oneshot::Sender<Outcome>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, id: &RequestId, outcome: Outcome) {
        if let Some(reply) = self.waiting().remove(id) {
            // Who asked may have gone.
            drop(reply.send(outcome));
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Bus {
    /// Not connected yet; see [`Bus::run`].
    #[must_use]
    pub fn new(
        settings: Settings,
        codec: Codec,
        name: &MemberName,
        store: Store,
    ) -> (Self, mpsc::Receiver<Heard>, mpsc::Sender<Ask>) {
        let (heard, hear) = mpsc::channel(256);
        let (ask, asked) = mpsc::channel(ASKED_MAX);
        let talk = Talk {
            name: name.clone(),
            boot: BootId(rand::random()),
            seq: 0,
            waiting: Mutex::default(),
        };
        let label = format!("{name}.{:08x}", rand::random::<u32>());
        (
            Self {
                settings,
                codec,
                label,
                store,
                heard,
                asked,
                talk,
            },
            hear,
            ask,
        )
    }

    /// Listens for ever; reconnects by itself.
    pub async fn run(mut self) {
        let mut pause = RETRY_MIN;
        let urls = self.settings.amqp_urls.clone();
        for url in urls.iter().cycle() {
            match broker::connect(url, &self.settings, &format!("{} page", self.label)).await {
                Ok(connection) => {
                    pause = RETRY_MIN;
                    if let Err(error) = self.listen(&connection).await {
                        tracing::debug!(event = "console_bus_lost", "{error}");
                    }
                    let _ = connection.close(200, ShortString::from("again")).await;
                }
                Err(error) => tracing::debug!(event = "console_bus_away", "{error}"),
            }
            if self.heard.is_closed() {
                return;
            }
            // Who asked before is told that nothing is known of it; who asks now, that nothing can be done.
            self.talk.waiting().clear();
            let away = tokio::time::sleep(pause);
            tokio::pin!(away);
            loop {
                tokio::select! {
                    () = &mut away => break,
                    Some(ask) = self.asked.recv() => drop(ask.reply.send(Outcome {
                        accepted: false,
                        text: "RabbitMQ is away: nobody can ask the monkey now.".to_owned(),
                    })),
                }
            }
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    async fn listen(&mut self, connection: &Connection) -> Result<(), Failure> {
        let beats = self.heartbeats(connection).await?;
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        // Taken out for the time of this connection, so that the rest can be shared.
        let (mut asked, mut seq) = (
            std::mem::replace(&mut self.asked, mpsc::channel(1).1),
            self.talk.seq,
        );
        let this = &*self;
        // Not one waits for the other: the first to fail ends all.
        let ended = tokio::select! {
            ended = this.journal(connection) => ended,
            ended = this.hear_beats(beats) => ended,
            ended = this.ask(&channel, &mut asked, &mut seq) => ended,
        };
        (self.asked, self.talk.seq) = (asked, seq);
        ended
    }

    /// Passes on to the monkey what people ask of it.
    async fn ask(
        &self,
        channel: &Channel,
        asked: &mut mpsc::Receiver<Ask>,
        seq: &mut u64,
    ) -> Result<(), Failure> {
        while let Some(Ask { verb, reply }) = asked.recv().await {
            *seq += 1;
            let id = RequestId(format!("{:016x}", rand::random::<u64>()));
            let envelope = Envelope {
                cluster: self.settings.cluster_name.clone(),
                from: self.talk.name.clone(),
                boot: self.talk.boot,
                seq: *seq,
                body: Body::Request {
                    id: id.clone(),
                    verb,
                },
            };
            {
                let mut waiting = self.talk.waiting();
                waiting.retain(|_, reply| !reply.is_closed());
                waiting.insert(id.clone(), reply);
            }
            let bytes = match self.codec.encode(&envelope) {
                Ok(bytes) => bytes,
                Err(error) => {
                    let text = error.to_string();
                    self.talk.answered(
                        &id,
                        Outcome {
                            accepted: false,
                            text,
                        },
                    );
                    continue;
                }
            };
            let properties = BasicProperties::default()
                .with_app_id("planaria".into())
                .with_content_type("application/json".into());
            let options = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let confirmed = channel
                .basic_publish(EXCHANGE.into(), ATTACK.into(), options, &bytes, properties)
                .await?
                .await?;
            if confirmed.take_message().is_some() {
                self.talk.answered(
                    &id,
                    Outcome {
                        accepted: false,
                        text: "No chaos monkey listens: is its container running?".to_owned(),
                    },
                );
            }
        }
        Err("the console is gone".into())
    }

    async fn heartbeats(&self, connection: &Connection) -> Result<Consumer, Failure> {
        let channel = connection.create_channel().await?;
        let queue = ShortString::from(format!("planaria.console.{}", self.label));
        let mut limits = FieldTable::default();
        limits.insert("x-message-ttl".into(), AMQPValue::LongInt(HEARTBEAT_TTL_MS));
        limits.insert("x-max-length".into(), AMQPValue::LongInt(HEARTBEATS_MAX));
        limits.insert(
            "x-overflow".into(),
            AMQPValue::LongString("drop-head".into()),
        );
        let own = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        channel.queue_declare(queue.clone(), own, limits).await?;
        for key in ["heartbeat.#", "report.last_words", ATTACK_ANSWER] {
            let (options, none) = (QueueBindOptions::default(), FieldTable::default());
            channel
                .queue_bind(queue.clone(), EXCHANGE.into(), key.into(), options, none)
                .await?;
        }
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        Ok(channel
            .basic_consume(queue, "".into(), options, FieldTable::default())
            .await?)
    }

    async fn hear_beats(&self, mut beats: Consumer) -> Result<(), Failure> {
        while let Some(delivery) = beats.next().await {
            let Ok(envelope) = self.codec.decode(&delivery?.data) else {
                continue;
            };
            if envelope.cluster != self.settings.cluster_name {
                continue;
            }
            let heard = match envelope.body {
                Body::Heartbeat(beat) => Heard::Heartbeat(envelope.from, envelope.boot, beat),
                Body::LastWords(words) => Heard::LastWords(envelope.from, words),
                Body::Attack(told) => {
                    self.monkey_said(*told);
                    continue;
                }
                _ => continue,
            };
            self.heard.send(heard).await?;
        }
        Err("the broker ended the consumer".into())
    }

    fn monkey_said(&self, told: AttackTold) {
        if let Some(request) = &told.request {
            let outcome = Outcome {
                accepted: told.stage != AttackStage::Declined,
                text: told.text,
            };
            self.talk.answered(request, outcome);
        }
    }

    /// Reads the journal from the last entry that is kept; that one again, to see that it is the same stream.
    async fn journal(&self, connection: &Connection) -> Result<(), Failure> {
        let channel = connection.create_channel().await?;
        channel.basic_qos(BATCH, BasicQosOptions::default()).await?;
        let next = self.store.call(|db| journal::position(db)).await?;
        let Some(last) = next.and_then(|next| next.checked_sub(1)) else {
            let consumer = consume(&channel, AMQPValue::LongString("first".into())).await?;
            return self.read(consumer).await;
        };
        let at = AMQPValue::LongLongInt(i64::try_from(last).unwrap_or(i64::MAX));
        let mut consumer = consume(&channel, at).await?;
        let first = tokio::time::timeout(FIRST_WITHIN, consumer.next()).await;
        if let Ok(Some(Ok(delivery))) = first
            && let Some(offset) = offset(&delivery)
            && (offset > last || self.is_known(&delivery).await?)
        {
            if offset > last {
                self.heard
                    .send(Heard::Gap {
                        from: last + 1,
                        to: offset,
                    })
                    .await?;
            }
            delivery.ack(BasicAckOptions::default()).await?;
            self.keep(vec![delivery]).await?;
            return self.read(consumer).await;
        }
        tracing::info!(
            event = "journal_anew",
            "The broker's journal is another one; it is read from its beginning"
        );
        let channel = connection.create_channel().await?;
        channel.basic_qos(BATCH, BasicQosOptions::default()).await?;
        let consumer = consume(&channel, AMQPValue::LongString("first".into())).await?;
        self.read(consumer).await
    }

    async fn is_known(&self, delivery: &Delivery) -> Result<bool, Failure> {
        let Some(entry) = self.entry(delivery) else {
            // What cannot be read is not kept, and so says nothing.
            return Ok(true);
        };
        let known = self
            .store
            .call(move |db| journal::one(db, &entry.key))
            .await?;
        Ok(known.is_some())
    }

    async fn read(&self, mut consumer: Consumer) -> Result<(), Failure> {
        while let Some(delivery) = consumer.next().await {
            let delivery = delivery?;
            delivery.ack(BasicAckOptions::default()).await?;
            let mut batch = vec![delivery];
            while batch.len() < usize::from(BATCH) {
                match tokio::time::timeout(BATCH_WAIT, consumer.next()).await {
                    Ok(Some(delivery)) => {
                        let delivery = delivery?;
                        delivery.ack(BasicAckOptions::default()).await?;
                        batch.push(delivery);
                    }
                    Ok(None) => return Err("the broker ended the journal".into()),
                    Err(_) => break,
                }
            }
            self.keep(batch).await?;
        }
        Err("the broker ended the journal".into())
    }

    async fn keep(&self, batch: Vec<Delivery>) -> Result<(), Failure> {
        let next = batch.iter().filter_map(offset).max().map(|last| last + 1);
        let entries: Vec<Entry> = batch
            .iter()
            .filter_map(|delivery| self.entry(delivery))
            .collect();
        let fresh = self
            .store
            .call(move |db| journal::keep(db, entries, next))
            .await?;
        if !fresh.is_empty() {
            self.heard.send(Heard::Entries(fresh)).await?;
        }
        Ok(())
    }

    fn entry(&self, delivery: &Delivery) -> Option<Entry> {
        let key = delivery.routing_key.as_str();
        if key == ATTACK_ANSWER {
            return None;
        }
        let decoded = if key == "report.incident" || key.starts_with("alert.") {
            self.codec.decode_relayed(&delivery.data)
        } else {
            self.codec.decode(&delivery.data)
        };
        match decoded {
            Ok(envelope) if envelope.cluster == self.settings.cluster_name => {
                entry(&envelope, told_at(delivery))
            }
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(event = "journal_entry_dropped", key, "{error}");
                None
            }
        }
    }
}

async fn consume(channel: &Channel, offset: AMQPValue) -> Result<Consumer, lapin::Error> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-stream-offset".into(), offset);
    channel
        .basic_consume(
            JOURNAL_QUEUE.into(),
            "".into(),
            BasicConsumeOptions::default(),
            arguments,
        )
        .await
}

fn offset(delivery: &Delivery) -> Option<u64> {
    let headers = delivery.properties.headers().as_ref()?;
    number(headers.inner().get("x-stream-offset")?)
}

fn number(value: &AMQPValue) -> Option<u64> {
    match value {
        AMQPValue::LongLongInt(value) => u64::try_from(*value).ok(),
        AMQPValue::LongInt(value) => u64::try_from(*value).ok(),
        AMQPValue::Timestamp(value) => Some(*value),
        _ => None,
    }
}

/// When the broker took it, where it notes that; else now.
fn told_at(delivery: &Delivery) -> u64 {
    let headers = delivery.properties.headers().as_ref();
    headers
        .and_then(|headers| number(headers.inner().get("timestamp_in_ms")?))
        .or_else(|| {
            delivery
                .properties
                .timestamp()
                .map(|seconds| seconds.saturating_mul(1000))
        })
        .unwrap_or_else(now_ms)
}

/// The entry of a message; `None` for what is no part of a journal.
fn entry(envelope: &Envelope, told_ms: u64) -> Option<Entry> {
    let numbered = || format!("{}:{}", envelope.boot, envelope.seq);
    let (key, kind, name, doc, at_ms) = match &envelope.body {
        Body::Incident(incident) => {
            // The teller's own time, where it says it: the broker may have been away when it was over.
            let doc = serde_json::to_value(incident).ok()?;
            let said = doc["at_ms"].as_u64().filter(|at| *at > 0);
            (
                incident.id.clone(),
                "incident",
                incident.name.clone(),
                doc.to_string(),
                said.unwrap_or(told_ms),
            )
        }
        Body::Alert(alert) => {
            let name = alert
                .name
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            (
                numbered(),
                "alert",
                name,
                serde_json::to_string(alert).ok()?,
                told_ms,
            )
        }
        Body::Attack(told) => (
            numbered(),
            "attack",
            told.target.clone(),
            serde_json::to_string(told).ok()?,
            told.at_ms,
        ),
        _ => return None,
    };
    Some(Entry {
        key,
        at_ms,
        kind: kind.to_owned(),
        name,
        doc,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::fixture;

    #[test]
    fn an_incident_is_known_by_its_id_and_is_kept_under_it() {
        let incident = fixture::known().status.incidents.remove(0);
        let envelope = Envelope {
            cluster: "planaria".to_owned(),
            from: MemberName::new("healer-1").unwrap(),
            boot: BootId(7),
            seq: 3,
            body: Body::Incident(Box::new(incident)),
        };
        let kept = entry(&envelope, 99).unwrap();
        assert_eq!(
            (kept.key.as_str(), kept.at_ms, kept.kind.as_str()),
            ("7", 99, "incident")
        );
        assert!(journal::incident(&kept).is_some());
        let other = Envelope {
            body: Body::Leave,
            ..envelope
        };
        assert!(entry(&other, 99).is_none());
    }
}
