//! Single operations on a channel, each with a time-out: a broker that stands still holds nobody up.

use super::{BrokerError, EXCHANGE, TOKEN_QUEUE, short};
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, Consumer};
use std::time::Duration;

/// A publish or a declaration that takes longer means that the broker stands still.
pub(super) const OPERATION_TIMEOUT: Duration = Duration::from_secs(2);
/// A message that waited longer is history: a late heartbeat must not count as fresh.
const MESSAGE_TTL_MS: i32 = 5_000;
/// Persistent, as AMQP numbers it: the journal and the token outlive the broker.
const PERSISTENT: u8 = 2;

/// Within [`OPERATION_TIMEOUT`], or it failed.
pub(super) async fn timed<T>(
    what: &'static str,
    work: impl Future<Output = Result<T, BrokerError>>,
) -> Result<T, BrokerError> {
    match tokio::time::timeout(OPERATION_TIMEOUT, work).await {
        Ok(result) => result,
        Err(_) => Err(BrokerError::Failed {
            what,
            reason: "no answer in time".into(),
        }),
    }
}

/// Publishes on [`EXCHANGE`]; done when it has left.
pub(super) async fn publish(
    channel: &Channel,
    key: &str,
    payload: &[u8],
    persistent: bool,
) -> Result<(), BrokerError> {
    let mut properties = BasicProperties::default()
        .with_app_id(short("planaria"))
        .with_content_type(short("application/json"));
    if persistent {
        properties = properties.with_delivery_mode(PERSISTENT);
    }
    let publishing = async {
        channel
            .basic_publish(
                short(EXCHANGE),
                short(key),
                BasicPublishOptions::default(),
                payload,
                properties,
            )
            .await
            .map_err(BrokerError::failed("publishing"))
    };
    timed("publishing", publishing).await.map(drop)
}

/// Puts a token into the queue; where there is one already, its length limit of 1 refuses the second. With a
/// confirm, on a channel of its own: what is not confirmed a broker that is killed forgets, also minutes later
/// (measured on 4.0.5; `record-broker` of the simulator's tests).
pub(super) async fn seed(connection: &Connection) -> Result<(), BrokerError> {
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let publishing = async {
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let confirm = channel
            .basic_publish(
                short(""),
                short(TOKEN_QUEUE),
                BasicPublishOptions::default(),
                b"token",
                properties,
            )
            .await?;
        confirm.await?;
        channel.close(200, short("the token is there")).await
    };
    let publishing = async {
        publishing
            .await
            .map_err(BrokerError::failed("publishing the token"))
    };
    timed("publishing the token", publishing).await
}

/// No message grows old in a queue of ours, and no queue long.
pub(super) fn queue_arguments(length: i32) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert(short("x-message-ttl"), AMQPValue::LongInt(MESSAGE_TTL_MS));
    arguments.insert(short("x-max-length"), AMQPValue::LongInt(length));
    arguments.insert(
        short("x-overflow"),
        AMQPValue::LongString("drop-head".into()),
    );
    arguments
}

/// Declares, binds and consumes a queue that lives and dies with this connection.
pub(super) async fn queue_of_ours(
    channel: &Channel,
    queue: &str,
    length: i32,
    keys: &[&str],
) -> Result<Consumer, BrokerError> {
    let arguments = queue_arguments(length);
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(short(queue), options, arguments)
        .await
        .map_err(BrokerError::failed("declaring a queue"))?;
    for key in keys {
        channel
            .queue_bind(
                short(queue),
                short(EXCHANGE),
                short(key),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .map_err(BrokerError::failed("binding a queue"))?;
    }
    let options = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    channel
        .basic_consume(short(queue), short(""), options, FieldTable::default())
        .await
        .map_err(BrokerError::failed("consuming a queue"))
}
