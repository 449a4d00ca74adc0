//! The event stream, with a ping beside it: the stream's body has no time-out of its own, and a
//! connection that died silently would look like a quiet engine.

use super::calls::{event_filters, refused, timestamp};
use super::{CALL_DEADLINE, Calls, error_chain, translate};
use crate::solo::WATCHER_LABEL;
use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::EventsOptionsBuilder;
use futures::{FutureExt, StreamExt};
use planaria_core::engine::EngineError;
use planaria_core::id::HostId;
use planaria_core::input::Input;
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// How often the engine is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// So many unanswered pings in a row end the stream: one may be a busy moment.
const PINGS_MISSED_MAX: u32 = 2;
/// Between attempts.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Watches the engine for ever: connects, streams, reconnects where it left off.
pub(crate) async fn watch(calls: Calls, host: Option<HostId>, inputs: Sender<Input>) {
    let mut since: Option<i64> = None;
    let mut delay = RETRY_MIN;
    let mut told = false;
    loop {
        match hello(&calls).await {
            Ok((id, now)) => {
                delay = RETRY_MIN;
                if std::mem::take(&mut told) || since.is_some() {
                    tracing::info!(event = "engine_back", "The Docker engine answers again");
                }
                let from = *since.get_or_insert(now);
                let connected = Input::EngineConnected {
                    host: host.clone().unwrap_or(id),
                    since: from,
                };
                if inputs.send(connected).await.is_err() {
                    return;
                }
                calls.forget(None);
                let (reason, newest) = stream(&calls, from, &inputs).await;
                calls.forget(None);
                since = Some(newest);
                tracing::warn!(
                    event = "engine_lost",
                    "The Docker engine is lost: {reason}; looking for it"
                );
                if inputs
                    .send(Input::EngineDisconnected { reason })
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Err(error) => {
                // Once per outage: the core needs the change, people need one line.
                if !told {
                    told = true;
                    let reason = error.to_string();
                    tracing::warn!(event = "engine_away", "{reason}; trying on");
                    if inputs
                        .send(Input::EngineDisconnected { reason })
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
            }
        }
        tokio::time::sleep(delay.mul_f64(rand::random_range(0.5..1.0))).await;
        delay = (delay * 2).min(RETRY_MAX);
    }
}

/// The engine's id and time.
async fn hello(calls: &Calls) -> Result<(HostId, i64), EngineError> {
    let info = tokio::time::timeout(CALL_DEADLINE, calls.docker().info())
        .await
        .map_err(|_| EngineError::TimedOut)?
        .map_err(|error| refused(&error))?;
    let now = info
        .system_time
        .as_deref()
        .and_then(translate::nanoseconds)
        .ok_or_else(|| EngineError::Unreachable {
            reason: "the engine does not tell its time".into(),
        })?;
    let id = info.id.filter(|id| !id.is_empty());
    Ok((HostId(id.unwrap_or_else(crate::identity::hostname)), now))
}

/// Streams until something breaks; says why, and up to when events were seen.
async fn stream(calls: &Calls, from: i64, inputs: &Sender<Input>) -> (String, i64) {
    let filters = event_filters();
    let options = EventsOptionsBuilder::new()
        .since(&timestamp(from))
        .filters(&filters)
        .build();
    let mut events = std::pin::pin!(calls.docker().events(Some(options)));
    let mut pings = tokio::time::interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut missed = 0;
    let mut newest = from;
    let mut ping = std::pin::pin!(futures::future::pending().right_future());
    loop {
        tokio::select! {
            message = events.next() => match message {
                Some(Ok(message)) => {
                    // The next life of the stream begins after this one.
                    newest = newest.max(message.time_nano.unwrap_or(0).saturating_add(1));
                    if is_of_a_watcher(&message) {
                        calls.wake_duty();
                    }
                    calls.forget(container_of(&message));
                    if let Some(event) = translate::event(message)
                        && inputs.send(Input::Engine(event)).await.is_err()
                    {
                        return ("the monitor ends".into(), newest);
                    }
                }
                Some(Err(error)) => return (error_chain(&error), newest),
                None => return ("the engine closed the event stream".into(), newest),
            },
            _ = pings.tick() => {
                let asked = tokio::time::timeout(CALL_DEADLINE, calls.docker().ping());
                ping.set(asked.left_future());
            }
            answer = &mut ping => {
                ping.set(futures::future::pending().right_future());
                missed = if matches!(answer, Ok(Ok(_))) { 0 } else { missed + 1 };
                if missed >= PINGS_MISSED_MAX {
                    return ("the engine does not answer pings".into(), newest);
                }
            }
        }
    }
}

/// Whom an event is about; a network's is about the container that joins or leaves it.
fn container_of(message: &EventMessage) -> Option<&str> {
    let actor = message.actor.as_ref()?;
    let joined = actor
        .attributes
        .as_ref()
        .and_then(|attributes| attributes.get("container"));
    match message.typ {
        Some(EventMessageTypeEnum::NETWORK) => joined.map(String::as_str),
        _ => actor.id.as_deref(),
    }
}

/// A container that runs a watcher: who of them acts may have changed.
fn is_of_a_watcher(message: &EventMessage) -> bool {
    let actor = message.actor.as_ref();
    actor
        .and_then(|actor| actor.attributes.as_ref())
        .is_some_and(|attributes| attributes.contains_key(WATCHER_LABEL))
}
