//! Orders to this host from a leader on another one: a queue that the host's healers share.

use super::operations::queue_arguments;
use super::{BrokerError, EXCHANGE, short};
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer};
use planaria_core::id::HostId;

/// Orders of one leader for one host; an old one is void anyway.
const QUEUE_MAX: i32 = 256;

/// This healer's place at the queue. The broker gives the orders to the highest of them.
pub(super) struct Orders {
    channel: Channel,
    pub(super) consumer: Consumer,
}

impl Orders {
    /// The queue outlives its consumers (the next one takes what the last one left), its messages live for
    /// seconds: an order that waited is an order too late.
    pub(super) async fn open(
        connection: &Connection,
        host: &HostId,
        priority: i64,
    ) -> Result<Self, BrokerError> {
        let channel = connection
            .create_channel()
            .await
            .map_err(BrokerError::failed("opening a channel"))?;
        let queue = format!("planaria.heal.{host}");
        let mut arguments = queue_arguments(QUEUE_MAX);
        arguments.insert(short("x-single-active-consumer"), AMQPValue::Boolean(true));
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare(short(&queue), options, arguments)
            .await
            .map_err(BrokerError::failed("declaring the queue of orders"))?;
        channel
            .queue_bind(
                short(&queue),
                short(EXCHANGE),
                short(&format!("heal.{host}")),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .map_err(BrokerError::failed("binding the queue of orders"))?;
        let mut arguments = FieldTable::default();
        arguments.insert(short("x-priority"), AMQPValue::LongLongInt(priority));
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let consumer = channel
            .basic_consume(short(&queue), short(""), options, arguments)
            .await
            .map_err(BrokerError::failed("consuming the queue of orders"))?;
        Ok(Self { channel, consumer })
    }

    /// Leaves the place to the next one.
    pub(super) async fn close(self) {
        let closing = self.channel.close(200, short("another place"));
        // It goes with the connection at the latest.
        let _ = tokio::time::timeout(super::operations::OPERATION_TIMEOUT, closing).await;
    }
}
