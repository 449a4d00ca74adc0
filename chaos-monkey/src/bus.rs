//! The broker as the monkey uses it: it obeys signed requests, and says of each attack that it is made.
//!
//! Both are a signed [`Body::Request`] with [`Verb::Attack`]: one that came by [`REQUESTED`] is asked
//! for, one that goes out by [`MADE`] is being made (with the attack's id), for the journal.
//! The monkey works without a broker too; what would have been said then is dropped.

use crate::fault::Fault;
use crate::ledger::Attack;
use crate::plan::Trigger;
use crate::run::Call;
use crate::target::Wish;
use futures::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, Consumer};
use planaria_core::id::{BootId, MemberName, RequestId};
use planaria_core::message::{Body, Envelope, Verb};
use planaria_core::settings::Settings;
use planaria_monitor::broker::{self, EXCHANGE};
use planaria_monitor::codec::{Codec, DecodeError};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// Attacks are asked for here.
pub const REQUESTED: &str = "request.attack";
/// Attacks are told here.
pub const MADE: &str = "chaos.attack";
/// Attacks that wait to be told.
const WAITING_MAX: usize = 16;
/// A request that waited longer for a monkey is not meant any more.
const REQUEST_TTL_MS: i32 = 5000;
/// Requests that wait; older ones go first.
const REQUESTS_MAX: i32 = 16;
/// Senders whose last number is remembered, against repeated messages.
const SENDERS_MAX: usize = 256;
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Where attacks to be told go in.
pub type Tellings = mpsc::Sender<Attack>;

/// The monkey's end of the broker.
pub struct Bus {
    settings: Settings,
    codec: Codec,
    name: MemberName,
    boot: BootId,
    seq: u64,
    seen: BTreeMap<BootId, u64>,
    calls: mpsc::Sender<Call>,
    tellings: mpsc::Receiver<Attack>,
}

impl Bus {
    /// Not connected yet; see [`Bus::run`].
    #[must_use]
    pub fn new(
        settings: Settings,
        codec: Codec,
        name: MemberName,
        boot: u64,
        calls: mpsc::Sender<Call>,
    ) -> (Self, Tellings) {
        let (tell, tellings) = mpsc::channel(WAITING_MAX);
        let (boot, seen) = (BootId(boot), BTreeMap::new());
        (
            Self {
                settings,
                codec,
                name,
                boot,
                seq: 0,
                seen,
                calls,
                tellings,
            },
            tell,
        )
    }

    /// Connects, listens and tells until the monkey is gone; reconnects by itself.
    pub async fn run(mut self) {
        let mut pause = RETRY_MIN;
        let urls = self.settings.amqp_urls.clone();
        for url in urls.iter().cycle() {
            match self.connect(url).await {
                Ok((connection, channel, consumer)) => {
                    pause = RETRY_MIN;
                    if self.serve(&channel, consumer).await {
                        // It goes anyway; the broker may not even hear it.
                        drop(connection.close(200, "bye".into()).await);
                        return;
                    }
                }
                Err(error) => debug!(event = "chaos_bus_away", "{error}"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
            if self.calls.is_closed() {
                return;
            }
        }
    }

    async fn connect(
        &self,
        url: &str,
    ) -> Result<(Connection, Channel, Consumer), Box<dyn std::error::Error + Send + Sync>> {
        let connection =
            broker::connect(url, &self.settings, &format!("{} attacks", self.name)).await?;
        let channel = connection.create_channel().await?;
        let queue = format!("planaria.chaos.{}.{}", self.name, self.boot);
        let mut limits = FieldTable::default();
        limits.insert("x-message-ttl".into(), AMQPValue::LongInt(REQUEST_TTL_MS));
        limits.insert("x-max-length".into(), AMQPValue::LongInt(REQUESTS_MAX));
        let own = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare(queue.as_str().into(), own, limits)
            .await?;
        let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
        channel
            .queue_bind(
                queue.as_str().into(),
                EXCHANGE.into(),
                REQUESTED.into(),
                bind,
                none.clone(),
            )
            .await?;
        let consume = BasicConsumeOptions::default();
        let consumer = channel
            .basic_consume(queue.as_str().into(), "".into(), consume, none)
            .await?;
        Ok((connection, channel, consumer))
    }

    /// True when the monkey is gone, false when the connection is.
    async fn serve(&mut self, channel: &Channel, mut consumer: Consumer) -> bool {
        loop {
            tokio::select! {
                delivery = consumer.next() => {
                    let Some(Ok(delivery)) = delivery else { return false };
                    if delivery.ack(BasicAckOptions::default()).await.is_err() {
                        return false;
                    }
                    let call = match self.codec.decode(&delivery.data) {
                        Ok(envelope) => self.obey(envelope),
                        Err(error) => { refuse(&error); None }
                    };
                    if let Some(call) = call && self.calls.send(call).await.is_err() {
                        return true;
                    }
                }
                attack = self.tellings.recv() => {
                    let Some(attack) = attack else { return true };
                    if self.tell(channel, &attack).await.is_err() {
                        return false;
                    }
                }
            }
        }
    }

    /// What a message that was checked asks for; `None`: nothing for us.
    fn obey(&mut self, envelope: Envelope) -> Option<Call> {
        let Body::Request {
            id,
            verb: Verb::Attack { fault, target },
        } = envelope.body
        else {
            return None;
        };
        if envelope.cluster != self.settings.cluster_name {
            return None;
        }
        if self
            .seen
            .get(&envelope.boot)
            .is_some_and(|last| *last >= envelope.seq)
        {
            warn!(
                event = "request_repeated",
                "A request of {} came a second time and is not obeyed", envelope.from
            );
            return None;
        }
        if self.seen.len() >= SENDERS_MAX {
            self.seen.clear();
        }
        self.seen.insert(envelope.boot, envelope.seq);
        let fault = match fault.map(|name| name.parse::<Fault>()).transpose() {
            Ok(fault) => fault,
            Err(error) => {
                info!(
                    event = "attack_declined",
                    trigger = "request",
                    "Attack declined (request {} of {}): {error}",
                    id.0,
                    envelope.from
                );
                return None;
            }
        };
        let wish = target.map_or(Wish::Anyone, |name| Wish::parse(name.as_str()));
        Some(Call::Attack {
            trigger: Trigger::Request,
            fault,
            wish,
            since: Instant::now(),
            reply: None,
        })
    }

    async fn tell(&mut self, channel: &Channel, attack: &Attack) -> Result<(), lapin::Error> {
        self.seq += 1;
        let body = Body::Request {
            id: RequestId(attack.id.clone()),
            verb: Verb::Attack {
                fault: Some(attack.fault.name().to_owned()),
                target: MemberName::new(attack.target.clone()).ok(),
            },
        };
        let envelope = Envelope {
            cluster: self.settings.cluster_name.clone(),
            from: self.name.clone(),
            boot: self.boot,
            seq: self.seq,
            body,
        };
        match self.codec.encode(&envelope) {
            Ok(bytes) => {
                let properties = BasicProperties::default()
                    .with_app_id("planaria".into())
                    .with_content_type("application/json".into());
                let options = BasicPublishOptions::default();
                channel
                    .basic_publish(EXCHANGE.into(), MADE.into(), options, &bytes, properties)
                    .await?
                    .await?;
            }
            // Without the operator key the journal hears nothing; the monkey works all the same.
            Err(error) => debug!(event = "attack_untold", "{error}"),
        }
        Ok(())
    }
}

fn refuse(error: &DecodeError) {
    warn!(
        event = "request_refused",
        "A request is not obeyed: {error}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use planaria_core::codec::{Key, Keys};
    use planaria_core::message::KeyRole;

    fn bus() -> Bus {
        let keys = Keys::new().with(KeyRole::Operator, Key::new(b"0123456789abcdef").unwrap());
        let name = MemberName::new("chaos_monkey").unwrap();
        let (calls, _) = mpsc::channel(1);
        Bus::new(Settings::default(), Codec::new(keys), name, 1, calls).0
    }

    fn request(seq: u64, fault: &str, cluster: &str) -> Envelope {
        Envelope {
            cluster: cluster.to_owned(),
            from: MemberName::new("healer-1").unwrap(),
            boot: BootId(9),
            seq,
            body: Body::Request {
                id: RequestId("r".to_owned()),
                verb: Verb::Attack {
                    fault: Some(fault.to_owned()),
                    target: MemberName::new("leader").ok(),
                },
            },
        }
    }

    #[test]
    fn a_request_is_obeyed_once() {
        let mut bus = bus();
        let call = bus.obey(request(3, "pause", "planaria"));
        assert!(matches!(
            call,
            Some(Call::Attack {
                fault: Some(Fault::Pause),
                wish: Wish::Part(crate::target::Part::Leader),
                ..
            })
        ));
        assert!(bus.obey(request(3, "pause", "planaria")).is_none());
        assert!(bus.obey(request(2, "pause", "planaria")).is_none());
        assert!(bus.obey(request(4, "pause", "planaria")).is_some());
    }

    #[test]
    fn what_is_not_understood_or_not_for_us_is_not_obeyed() {
        assert!(bus().obey(request(1, "sing", "planaria")).is_none());
        assert!(bus().obey(request(1, "kill", "other")).is_none());
    }
}
