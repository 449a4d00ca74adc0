//! The channel that holds, or waits for, the token of leadership.
//!
//! Its own beat comes back on the very same channel: as long as it does, the broker still counts this
//! channel, and therefore the token, as ours. That is what the lease is measured by.

use super::operations::queue_of_ours;
use super::session::Ears;
use super::{BrokerError, TOKEN_QUEUE, short};
use futures::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Acker, Channel, Connection, Consumer};
use planaria_core::id::ChannelId;
use planaria_core::message::Body;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Beats that wait to be noticed; they come once a second.
const LOOP_QUEUE_MAX: i32 = 16;
/// The broker closes a channel in a millisecond, or it stands still.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What happens on a token channel.
pub(super) enum TokenEvent {
    Granted { channel: ChannelId, acker: Acker },
    Returned { channel: ChannelId, number: u64 },
    Lost { channel: ChannelId },
}

/// One token channel.
pub(super) struct Token {
    pub(super) id: ChannelId,
    channel: Channel,
    held: Option<Acker>,
    listener: JoinHandle<()>,
}

impl Token {
    /// Opens a channel; first its loop, so that no beat on it goes unheard, then the token queue.
    pub(super) async fn open(
        connection: &Connection,
        id: ChannelId,
        priority: i64,
        ears: &Ears,
        events: mpsc::Sender<TokenEvent>,
    ) -> Result<Self, BrokerError> {
        let channel = connection
            .create_channel()
            .await
            .map_err(BrokerError::failed("opening the token channel"))?;
        let queue = format!("planaria.member.{}.{}.loop-{}", ears.name, ears.boot, id.0);
        let beats = queue_of_ours(&channel, &queue, LOOP_QUEUE_MAX, &["control.beat"]).await?;
        channel
            .basic_qos(1, BasicQosOptions::default())
            .await
            .map_err(BrokerError::failed("limiting the token channel"))?;
        let mut arguments = FieldTable::default();
        arguments.insert(short("x-priority"), AMQPValue::LongLongInt(priority));
        let tokens = channel
            .basic_consume(
                short(TOKEN_QUEUE),
                short(""),
                BasicConsumeOptions::default(),
                arguments,
            )
            .await
            .map_err(BrokerError::failed("consuming the token queue"))?;
        let listener = tokio::spawn(listen(id, tokens, beats, ears.clone(), events));
        Ok(Self {
            id,
            channel,
            held: None,
            listener,
        })
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(super) fn holds(&self) -> bool {
        self.held.is_some()
    }

    pub(super) fn hold(&mut self, acker: Acker) {
        self.held = Some(acker);
    }

    /// Gives the token back and takes it again, so that the broker's patience starts anew.
    pub(super) async fn renew(&mut self) -> Result<(), BrokerError> {
        let Some(acker) = self.held.take() else {
            return Ok(());
        };
        let options = BasicNackOptions {
            requeue: true,
            ..BasicNackOptions::default()
        };
        acker
            .nack(options)
            .await
            .map(drop)
            .map_err(BrokerError::failed("renewing the token"))
    }

    /// Closes the channel: a token that it holds goes to the highest waiting candidate at once.
    pub(super) async fn close(self) {
        self.listener.abort();
        let closing = self.channel.close(200, short("token given up"));
        // A broker that stands still takes the channel with the connection.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn listen(
    id: ChannelId,
    mut tokens: Consumer,
    mut beats: Consumer,
    ears: Ears,
    events: mpsc::Sender<TokenEvent>,
) {
    loop {
        let event = tokio::select! {
            token = tokens.next() => match token {
                Some(Ok(delivery)) => Some(TokenEvent::Granted { channel: id, acker: delivery.acker }),
                Some(Err(_)) | None => break,
            },
            beat = beats.next() => match beat {
                Some(Ok(delivery)) => ears.read(&delivery).and_then(|envelope| {
                    let ours = envelope.from == ears.name && envelope.boot == ears.boot;
                    match envelope.body {
                        Body::Beat(beat) if ours => {
                            Some(TokenEvent::Returned { channel: id, number: beat.number })
                        }
                        _ => None,
                    }
                }),
                Some(Err(_)) | None => break,
            },
        };
        if let Some(event) = event
            && events.send(event).await.is_err()
        {
            return;
        }
    }
    // The session is gone otherwise, and with it whoever would want to know.
    let _ = events.send(TokenEvent::Lost { channel: id }).await;
}
