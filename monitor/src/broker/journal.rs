//! Reads the journal of incidents back: it outlives every monitor's memory.

use super::{BrokerError, JOURNAL_QUEUE, connect, short};
use futures::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use planaria_core::codec::Codec;
use planaria_core::message::{Body, Incident};
use planaria_core::settings::Settings;
use std::collections::VecDeque;
use std::time::Duration;

/// The broker sends what there is at once; silence for so long is the end of it.
const QUIET: Duration = Duration::from_millis(400);
/// All of it must be read within this; a journal of 50 MB takes about a second.
const READ_MAX: Duration = Duration::from_secs(10);
/// Messages under way at a time; a stream insists on a limit.
const PREFETCH: u16 = 500;
/// More about one container is told by nobody.
const INCIDENTS_MAX: usize = 200;

/// The incidents of one container since so many seconds ago, oldest first. What is not signed by a
/// healer of this cluster is passed over.
///
/// # Errors
/// [`BrokerError`]: no broker of the list is reached, or this user may not read the journal.
pub(crate) async fn read(
    settings: &Settings,
    codec: &Codec,
    name: &str,
    since: Duration,
) -> Result<Vec<Incident>, BrokerError> {
    let mut last = BrokerError::Address {
        reason: "no broker is configured".into(),
    };
    for url in &settings.amqp_urls {
        match connect(url, settings, "monitor why").await {
            Ok(connection) => {
                let reading = collect(&connection, settings, codec, name, since);
                let read = tokio::time::timeout(READ_MAX, reading).await;
                let _ = connection.close(200, short("read")).await;
                return read.unwrap_or_else(|_| {
                    Err(BrokerError::Failed {
                        what: "reading the journal",
                        reason: "it does not come to an end".into(),
                    })
                });
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn collect(
    connection: &lapin::Connection,
    settings: &Settings,
    codec: &Codec,
    name: &str,
    since: Duration,
) -> Result<Vec<Incident>, BrokerError> {
    let failed = BrokerError::failed;
    let channel = connection
        .create_channel()
        .await
        .map_err(failed("opening a channel"))?;
    channel
        .basic_qos(PREFETCH, BasicQosOptions::default())
        .await
        .map_err(failed("limiting the journal's channel"))?;
    let mut arguments = FieldTable::default();
    let from = AMQPValue::LongString(format!("{}s", since.as_secs().max(1)).into());
    arguments.insert(short("x-stream-offset"), from);
    let mut messages = channel
        .basic_consume(
            short(JOURNAL_QUEUE),
            short(""),
            BasicConsumeOptions::default(),
            arguments,
        )
        .await
        .map_err(failed("reading the journal"))?;
    let mut incidents = VecDeque::new();
    while let Ok(Some(message)) = tokio::time::timeout(QUIET, messages.next()).await {
        let message = message.map_err(failed("reading the journal"))?;
        if let Ok(envelope) = codec.decode(&message.data)
            && envelope.cluster == settings.cluster_name
            && let Body::Incident(incident) = envelope.body
            && incident.name == name
        {
            if incidents.len() >= INCIDENTS_MAX {
                incidents.pop_front();
            }
            incidents.push_back(*incident);
        }
        message
            .acker
            .ack(BasicAckOptions::default())
            .await
            .map_err(failed("reading the journal"))?;
    }
    Ok(incidents.into())
}
