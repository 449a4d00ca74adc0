//! What the core wants done, handed to whoever does it. Nothing here waits.

use super::{no_engine, spawn, state};
use crate::broker::{Command, Driver, Letter};
use crate::direct::Direct;
use crate::docker::Calls;
use crate::group::Config;
use crate::metrics::Metrics;
use crate::solo::Hooks;
use planaria_core::codec::Codec;
use planaria_core::effect::{Effect, Level, LogLine};
use planaria_core::engine::EngineCall;
use planaria_core::id::{BootId, CallId, MemberName, RequestId};
use planaria_core::input::Input;
use planaria_core::message::{Body, Envelope, Outcome};
use planaria_core::status::Saved;
use planaria_core::time::Instant;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, mpsc as std_mpsc};
use tokio::sync::{mpsc, oneshot};

/// People who wait for an answer at once; the health server takes no more connections either.
const WAITING_MAX: usize = 64;

/// The drivers, as the loop sees them.
pub(super) struct Outputs {
    cluster: String,
    name: MemberName,
    boot: BootId,
    /// Of this boot's messages; repeated and late ones are told by it.
    seq: u64,
    codec: Arc<Codec>,
    metrics: Arc<Metrics>,
    inputs: mpsc::Sender<Input>,
    state_dir: Option<PathBuf>,
    broker: Option<Driver>,
    direct: Option<Direct>,
    engine: Option<Calls>,
    hooks: Option<Hooks>,
    waiting: BTreeMap<RequestId, oneshot::Sender<Outcome>>,
}

impl Outputs {
    pub(super) fn new(
        config: &Config,
        codec: Arc<Codec>,
        metrics: Arc<Metrics>,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        Self {
            cluster: config.settings.cluster_name.clone(),
            name: config.name.clone(),
            boot: config.boot,
            seq: 0,
            codec,
            metrics,
            inputs,
            state_dir: config.settings.state_dir.clone(),
            broker: None,
            direct: None,
            engine: None,
            hooks: None,
            waiting: BTreeMap::new(),
        }
    }

    pub(super) fn with(
        mut self,
        broker: Option<Driver>,
        direct: Option<Direct>,
        engine: Option<Calls>,
    ) -> Self {
        self.broker = broker;
        self.direct = direct;
        self.engine = engine;
        self
    }

    pub(super) fn with_hooks(mut self, hooks: Option<Hooks>) -> Self {
        self.hooks = hooks;
        self
    }

    /// Notes who waits for the answer; false where too many do (the asker is told).
    pub(super) fn expect_answer(
        &mut self,
        id: RequestId,
        answer: oneshot::Sender<Outcome>,
    ) -> bool {
        self.waiting.retain(|_, waiting| !waiting.is_closed());
        if self.waiting.len() >= WAITING_MAX {
            let _ = answer.send(Outcome {
                accepted: false,
                text: format!("{WAITING_MAX} requests are under way already; try again"),
            });
            return false;
        }
        self.waiting.insert(id, answer);
        true
    }

    /// Tells `done` when all that was published so far has left; at once without a broker.
    pub(super) fn flush(&self, done: std_mpsc::SyncSender<()>) {
        match &self.broker {
            Some(broker) => broker.send(Command::Flush(done)),
            None => drop(done),
        }
    }

    /// Hands one effect on. True for [`Effect::Bye`].
    pub(super) fn apply(&mut self, effect: Effect) -> bool {
        match effect {
            Effect::Publish { key, body } => self.publish(key, body),
            Effect::PublishBeat { channel, body } => {
                if let Some(payload) = self.sign(body) {
                    self.command(Command::PublishBeat { channel, payload });
                }
            }
            Effect::ConsumeToken { priority } => self.command(Command::ConsumeToken { priority }),
            Effect::ReleaseToken { channel } => self.command(Command::ReleaseToken { channel }),
            Effect::RenewToken { channel } => self.command(Command::RenewToken { channel }),
            Effect::SeedToken => self.command(Command::SeedToken),
            Effect::BindHeartbeats => self.command(Command::BindHeartbeats),
            Effect::UnbindHeartbeats => self.command(Command::UnbindHeartbeats),
            Effect::Direct { to, body } => {
                if let Some(payload) = self.sign(body)
                    && let Some(direct) = &self.direct
                {
                    direct.send(to, payload);
                }
            }
            Effect::Engine {
                call,
                request,
                not_after,
            } => self.engine(call, request, not_after),
            Effect::Save(saved) => self.save(&saved),
            Effect::Answer { id, outcome } => {
                if let Some(waiting) = self.waiting.remove(&id) {
                    // Whoever asked may have gone meanwhile.
                    let _ = waiting.send(outcome);
                }
            }
            Effect::Mandatory { to, boot, body } => {
                if let Some(payload) = self.sign(body) {
                    self.command(Command::Mandatory(Letter { to, boot, payload }));
                }
            }
            Effect::ConsumeOrders { host, priority } => {
                self.command(Command::ConsumeOrders { host, priority });
            }
            // Not carried out by these drivers yet.
            Effect::Hook { .. } => {}
            Effect::Log(line) => log(&line),
            Effect::Bye => return true,
        }
        false
    }

    fn publish(&mut self, key: String, body: Body) {
        if let Body::Incident(incident) = &body {
            self.metrics.incident(incident);
        }
        match (&self.hooks, &body) {
            (Some(hooks), Body::Incident(incident)) => hooks.incident(incident),
            (Some(hooks), Body::Alert(alert)) => hooks.alert(alert),
            _ => {}
        }
        let keep = matches!(body, Body::Incident(_) | Body::Alert(_));
        if let Some(payload) = self.sign(body) {
            self.command(Command::Publish { key, payload, keep });
        }
    }

    fn command(&self, command: Command) {
        if let Some(broker) = &self.broker {
            broker.send(command);
        }
    }

    fn sign(&mut self, body: Body) -> Option<Vec<u8>> {
        self.seq += 1;
        let envelope = Envelope {
            cluster: self.cluster.clone(),
            from: self.name.clone(),
            boot: self.boot,
            seq: self.seq,
            body,
        };
        match self.codec.encode(&envelope) {
            Ok(payload) => Some(payload),
            Err(error) => {
                self.metrics.dropped("sign");
                tracing::debug!(event = "message_unsigned", "{error}");
                None
            }
        }
    }

    fn engine(&self, call: CallId, request: EngineCall, not_after: Option<Instant>) {
        let inputs = self.inputs.clone();
        let engine = self.engine.clone();
        #[cfg(feature = "fail-points")]
        let change = super::fail::is_change(&request);
        #[cfg(feature = "fail-points")]
        if change {
            super::fail::Point::OrderSent.pass();
        }
        // One task per call: check and call stay together, and a slow call holds nobody up.
        spawn(async move {
            let result = match engine {
                Some(engine) => engine.make(request, not_after).await,
                None => no_engine(),
            };
            #[cfg(feature = "fail-points")]
            if change {
                super::fail::Point::CallMade.pass();
            }
            // The loop is gone: nobody asks any more.
            let _ = inputs.send(Input::EngineReply { call, result }).await;
        });
    }

    fn save(&self, saved: &Saved) {
        if let Some(folder) = &self.state_dir
            && let Err(error) = state::save(folder, saved)
        {
            tracing::warn!(
                event = "state_unsaved",
                "{}: {error}; a restart of this monitor will forget what it knows",
                folder.display()
            );
        }
        #[cfg(feature = "fail-points")]
        if !saved.records.is_empty() {
            super::fail::Point::Saved.pass();
        }
    }
}

/// `event` must be a field, not a constant of the call site, so each level has one line.
fn log(line: &LogLine) {
    let LogLine {
        level,
        event,
        member,
        text,
    } = line;
    let member = member.as_ref().map(MemberName::as_str);
    match level {
        Level::Debug => tracing::debug!(event, member, "{text}"),
        Level::Info => tracing::info!(event, member, "{text}"),
        Level::Warn => tracing::warn!(event, member, "{text}"),
        Level::Error => tracing::error!(event, member, "{text}"),
    }
}
