//! For programs beside the monitor (chaos monkey, console) that only publish.

use super::{Backoff, EXCHANGE, connect, short};
use futures::StreamExt;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel, Event};
use planaria_core::settings::Settings;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// What waits while the broker is away; more is refused, so that the caller knows.
const QUEUE_MAX: usize = 256;
/// A publish that takes longer means that the connection is worth nothing.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);
/// Persistent, as AMQP numbers it: the journal outlives the broker.
const PERSISTENT: u8 = 2;

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Too much waits already, or there is no broker at all; the message was dropped.
    #[error(
        "the broker is away and {QUEUE_MAX} messages wait for it already; this one was dropped"
    )]
    Full,
    /// No broker is configured.
    #[error("no broker is configured (AMQP_URLS)")]
    NoBroker,
}

/// Publishes on [`EXCHANGE`], reconnecting by itself for ever.
#[derive(Clone, Debug)]
pub struct Publisher {
    sender: Option<mpsc::Sender<(String, Vec<u8>)>>,
    connected: Arc<AtomicBool>,
}

impl Publisher {
    /// Starts a task on the current tokio runtime; it ends when the last clone is dropped.
    #[must_use]
    pub fn start(settings: &Settings, label: &str) -> Self {
        let connected = Arc::new(AtomicBool::new(false));
        if settings.amqp_urls.is_empty() {
            return Self {
                sender: None,
                connected,
            };
        }
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(run(
            settings.clone(),
            label.to_owned(),
            receiver,
            Arc::clone(&connected),
        ));
        Self {
            sender: Some(sender),
            connected,
        }
    }

    /// Hands over one message (signed by the caller, see [`crate::codec`]); returns at once.
    ///
    /// # Errors
    /// [`PublishError`]; the message was dropped.
    pub fn publish(&self, key: &str, payload: Vec<u8>) -> Result<(), PublishError> {
        let sender = self.sender.as_ref().ok_or(PublishError::NoBroker)?;
        sender
            .try_send((key.to_owned(), payload))
            .map_err(|_| PublishError::Full)
    }

    /// Whether the broker is reached now.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }
}

async fn run(
    settings: Settings,
    label: String,
    mut receiver: mpsc::Receiver<(String, Vec<u8>)>,
    connected: Arc<AtomicBool>,
) {
    let mut waiting: VecDeque<(String, Vec<u8>)> = VecDeque::new();
    let mut backoff = Backoff::new();
    for url in settings.amqp_urls.iter().cycle() {
        if receiver.is_closed() && receiver.is_empty() && waiting.is_empty() {
            return;
        }
        let connection = match connect(url, &settings, &label).await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(event = "publisher_away", "{error}");
                backoff.wait().await;
                continue;
            }
        };
        backoff = Backoff::new();
        if let Ok(channel) = connection.create_channel().await {
            connected.store(true, Ordering::Relaxed);
            let mut events = std::pin::pin!(connection.events_listener());
            // Looked for beside the messages, so that `connected` does not lie while nothing is sent.
            let lost = async {
                while let Some(event) = events.next().await {
                    if matches!(event, Event::Error(_)) {
                        return;
                    }
                }
            };
            let ended = tokio::select! {
                ended = drain(&channel, &mut receiver, &mut waiting) => ended,
                () = lost => false,
            };
            connected.store(false, Ordering::Relaxed);
            if ended {
                let _ = connection.close(200, short("bye")).await;
                return;
            }
        }
        backoff.wait().await;
    }
}

/// True when no more messages can come, false when the connection broke.
async fn drain(
    channel: &Channel,
    receiver: &mut mpsc::Receiver<(String, Vec<u8>)>,
    waiting: &mut VecDeque<(String, Vec<u8>)>,
) -> bool {
    loop {
        if waiting.is_empty() {
            match receiver.recv().await {
                Some(message) => waiting.push_back(message),
                None => return true,
            }
        }
        while let Some((key, payload)) = waiting.front() {
            let properties = BasicProperties::default()
                .with_delivery_mode(PERSISTENT)
                .with_app_id(short("planaria"))
                .with_content_type(short("application/json"));
            let publish = channel.basic_publish(
                short(EXCHANGE),
                short(key),
                BasicPublishOptions::default(),
                payload,
                properties,
            );
            match tokio::time::timeout(PUBLISH_TIMEOUT, publish).await {
                Ok(Ok(_)) => waiting.pop_front(),
                Ok(Err(_)) | Err(_) => return false,
            };
        }
    }
}
