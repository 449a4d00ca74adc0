//! The broker as the monkey uses it: it obeys signed requests, and tells what becomes of each attack.
//!
//! A signed [`Body::Request`] with [`Verb::Attack`] comes by [`REQUESTED`]; each is answered, with the reason
//! where nothing is done, by [`ANSWER`]. The story of each attack goes out by [`TOLD`], into the journal, and so
//! does what was declined. The monkey works without a broker too; of what would have been said then, the last few are kept.

use crate::clock;
use crate::experiment::known::Known;
use crate::fault::Fault;
use crate::ledger::{Attack, Event};
use crate::monkey::NoAttack;
use crate::plan::{Choice, Trigger};
use crate::report::seconds;
use crate::run::Call;
use crate::target::Wish;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, Consumer};
use planaria_core::id::{BootId, MemberName, RequestId};
use planaria_core::message::{AttackStage, AttackTold, Body, Envelope, Verb};
use planaria_core::settings::Settings;
use planaria_monitor::broker::{self, EXCHANGE};
use planaria_monitor::codec::{Codec, DecodeError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// Attacks are asked for here.
pub const REQUESTED: &str = "request.attack";
/// What becomes of attacks is told here, into the journal.
pub const TOLD: &str = "chaos.attack";
/// Requests are answered here.
pub const ANSWER: &str = "chaos.answer";
/// The fault's name that means: undo what is under way on the target; without one everything, as SIGUSR2 does.
pub const REVERT: &str = "revert";
/// The fault's name that means: run the experiment that the target names.
pub const EXPERIMENT: &str = "experiment";
/// No experiment of ours takes longer; the console calls one overdue a minute later.
const EXPERIMENT_MS: u64 = 240_000;
/// News that waits to be told: the stories of a dozen attacks.
const WAITING_MAX: usize = 64;
/// A request that waited longer for a monkey is not meant any more.
const REQUEST_TTL_MS: i32 = 5000;
/// Requests that wait; older ones go first.
const REQUESTS_MAX: i32 = 16;
/// Senders whose last number is remembered, against repeated messages.
const SENDERS_MAX: usize = 256;
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Where news to be told goes in.
pub type Tellings = mpsc::Sender<AttackTold>;

/// What the journal hears when this happens to an attack.
#[must_use]
pub fn told(attack: &Attack, event: &Event) -> AttackTold {
    let (target, fault) = (&attack.target, attack.fault);
    let (stage, text) = match event {
        Event::Intended { .. } | Event::Found { .. } => (
            AttackStage::Begun,
            format!("{fault} on {target}, set off by {}", attack.trigger),
        ),
        Event::Injected { after_ms } => (
            AttackStage::Injected,
            format!(
                "{target} is out by {fault}, {} after the trigger",
                seconds(*after_ms)
            ),
        ),
        Event::Failed { why } => (
            AttackStage::Failed,
            format!("{fault} on {target} did not take effect: {why}"),
        ),
        Event::Healed {
            running_ms,
            after_ms,
        } => (
            AttackStage::Healed,
            format!(
                "{target} is back after {} (running after {})",
                seconds(*after_ms),
                seconds(*running_ms)
            ),
        ),
        Event::Reverted { why } => (
            AttackStage::Reverted,
            format!("{fault} on {target} is undone: {why}"),
        ),
        Event::Gone => (AttackStage::Gone, format!("{target} was removed meanwhile")),
    };
    let within = fault.patience(&attack.dose);
    AttackTold {
        id: attack.id.clone(),
        request: None,
        fault: fault.name().to_owned(),
        target: target.clone(),
        stage,
        text,
        at_ms: clock::now_ms(),
        within_ms: Some(u64::try_from(within.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// What is done with a request: asked of the monkey's loop, whose answer is then told, or declined at once.
struct Obeyed {
    call: Option<Call>,
    /// A refusal is news: it was meant, not only looked at.
    meant: bool,
    answer: BoxFuture<'static, AttackTold>,
}

impl Obeyed {
    fn at_once(told: AttackTold) -> Self {
        Self {
            call: None,
            meant: false,
            answer: Box::pin(async { told }),
        }
    }
}

/// The monkey's end of the broker.
pub struct Bus {
    settings: Settings,
    codec: Codec,
    name: MemberName,
    boot: BootId,
    seq: u64,
    seen: BTreeMap<BootId, u64>,
    calls: mpsc::Sender<Call>,
    tellings: mpsc::Receiver<AttackTold>,
    /// What the bus itself has to tell goes the same way.
    tell: Tellings,
    /// The experiment under way, and what ends it early.
    experiment: Option<(String, Arc<AtomicBool>)>,
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
                tell: tell.clone(),
                experiment: None,
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

    /// Tells and obeys nothing: for an attack by hand. Ends when who has something to tell is gone and all is told,
    /// or cannot be told now.
    pub async fn only_tell(mut self) {
        // Our own end would keep the other one waiting for ever.
        self.tell = mpsc::channel(1).0;
        let mut pause = RETRY_MIN;
        let mut waiting = None;
        let urls = self.settings.amqp_urls.clone();
        for url in urls.iter().cycle() {
            match self.open(url).await {
                Ok((connection, channel)) => {
                    pause = RETRY_MIN;
                    loop {
                        waiting = match waiting.take() {
                            Some(told) => Some(told),
                            None => self.tellings.recv().await,
                        };
                        let Some(told) = &waiting else {
                            // Only then has the broker taken what was told.
                            drop(connection.close(200, "bye".into()).await);
                            return;
                        };
                        if self.tell(&channel, TOLD, told.clone()).await.is_err() {
                            break;
                        }
                        waiting = None;
                    }
                }
                Err(error) => debug!(event = "chaos_bus_away", "{error}"),
            }
            if self.tellings.is_closed() {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    async fn open(
        &self,
        url: &str,
    ) -> Result<(Connection, Channel), Box<dyn std::error::Error + Send + Sync>> {
        let label = format!("{} attacks", self.name);
        let connection = broker::connect(url, &self.settings, &label).await?;
        let channel = connection.create_channel().await?;
        Ok((connection, channel))
    }

    async fn connect(
        &self,
        url: &str,
    ) -> Result<(Connection, Channel, Consumer), Box<dyn std::error::Error + Send + Sync>> {
        let (connection, channel) = self.open(url).await?;
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
        let mut answers = FuturesUnordered::new();
        loop {
            let (key, told) = tokio::select! {
                delivery = consumer.next() => {
                    let Some(Ok(delivery)) = delivery else { return false };
                    if delivery.ack(BasicAckOptions::default()).await.is_err() {
                        return false;
                    }
                    let obeyed = match self.codec.decode(&delivery.data) {
                        Ok(envelope) => self.obey(envelope),
                        Err(error) => { refuse(&error); None }
                    };
                    let Some(obeyed) = obeyed else { continue };
                    let meant = obeyed.meant;
                    answers.push(async move { (meant, obeyed.answer.await) });
                    if let Some(call) = obeyed.call && self.calls.send(call).await.is_err() {
                        return true;
                    }
                    continue;
                }
                Some((meant, told)) = answers.next() => {
                    if meant && told.stage == AttackStage::Declined
                        && self.tell(channel, TOLD, told.clone()).await.is_err()
                    {
                        return false;
                    }
                    (ANSWER, told)
                }
                Some(told) = self.tellings.recv() => (TOLD, told),
                () = self.calls.closed() => return true,
            };
            if self.tell(channel, key, told).await.is_err() {
                return false;
            }
        }
    }

    /// What a message that was checked asks for; `None`: nothing for us.
    fn obey(&mut self, envelope: Envelope) -> Option<Obeyed> {
        let Body::Request {
            id,
            verb:
                Verb::Attack {
                    fault,
                    target,
                    dry_run,
                },
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
        let wanted = Wanted {
            request: id,
            fault: fault.unwrap_or_default(),
            target: target.map(|name| name.to_string()).unwrap_or_default(),
        };
        if let Some((name, stop)) = &self.experiment
            && wanted.fault == REVERT
            && (wanted.target.is_empty() || wanted.target == *name)
        {
            // Its rollbacks are played, and it tells how it ended.
            stop.store(true, Ordering::Relaxed);
            if wanted.target == *name {
                let told = wanted.told(AttackStage::Foreseen, format!("{name} is being ended"));
                return Some(Obeyed::at_once(told));
            }
        }
        if wanted.fault == EXPERIMENT {
            return Some(Obeyed::at_once(self.experiment(&wanted, dry_run)));
        }
        if wanted.fault == REVERT {
            info!(
                event = "revert_requested",
                "{} asks for {} to be undone (request {})",
                envelope.from,
                if wanted.target.is_empty() {
                    "all"
                } else {
                    &wanted.target
                },
                wanted.request.0
            );
            return Some(wanted.undo());
        }
        match wanted.parse() {
            Ok((fault, wish)) => Some(wanted.attack(fault, wish, dry_run)),
            Err(why) => {
                info!(
                    event = "attack_declined",
                    trigger = "request",
                    "Attack declined (request {} of {}): {why}",
                    wanted.request.0,
                    envelope.from
                );
                let told = wanted.told(AttackStage::Declined, why);
                Some(Obeyed {
                    meant: !dry_run,
                    ..Obeyed::at_once(told)
                })
            }
        }
    }

    /// Begins an experiment, or says why not; its end is told.
    fn experiment(&mut self, wanted: &Wanted, dry_run: bool) -> AttackTold {
        let own = self.name.as_str();
        let prefix = own.strip_suffix("chaos_monkey").unwrap_or_default();
        let known = match Known::find(&wanted.target, prefix) {
            Ok(known) => known,
            Err(error) => return wanted.told(AttackStage::Declined, error.to_string()),
        };
        // The one under way has the other handle.
        let running = self
            .experiment
            .as_ref()
            .filter(|(_, stop)| Arc::strong_count(stop) > 1);
        if let Some((name, _)) = running {
            let text = format!("the experiment {name} is still under way");
            return wanted.told(AttackStage::Declined, text);
        }
        if dry_run {
            let text = known.description().trim_end_matches('.').to_owned();
            return wanted.told(AttackStage::Foreseen, text);
        }
        let stop = Arc::new(AtomicBool::new(false));
        self.experiment = Some((wanted.target.clone(), Arc::clone(&stop)));
        let begun = AttackTold {
            id: format!("{:06x}", rand::random::<u32>() >> 8),
            within_ms: Some(EXPERIMENT_MS),
            ..wanted.told(
                AttackStage::Begun,
                known.description().trim_end_matches('.').to_owned(),
            )
        };
        info!(
            event = "experiment_begun",
            "Experiment {}: {}",
            wanted.target,
            known.description()
        );
        let (tell, story) = (self.tell.clone(), begun.clone());
        drop(tell.try_send(AttackTold {
            request: None,
            ..begun.clone()
        }));
        tokio::task::spawn_blocking(move || {
            let (held, text) = known.run(&stop);
            info!(event = "experiment_ended", held, "{text}");
            let stage = if held {
                AttackStage::Healed
            } else {
                AttackStage::Failed
            };
            drop(tell.try_send(AttackTold {
                request: None,
                stage,
                text,
                at_ms: clock::now_ms(),
                ..story
            }));
        });
        begun
    }

    async fn tell(
        &mut self,
        channel: &Channel,
        key: &str,
        told: AttackTold,
    ) -> Result<(), lapin::Error> {
        self.seq += 1;
        let envelope = Envelope {
            cluster: self.settings.cluster_name.clone(),
            from: self.name.clone(),
            boot: self.boot,
            seq: self.seq,
            body: Body::Attack(Box::new(told)),
        };
        match self.codec.encode(&envelope) {
            Ok(bytes) => {
                let properties = BasicProperties::default()
                    .with_app_id("planaria".into())
                    .with_content_type("application/json".into());
                let options = BasicPublishOptions::default();
                channel
                    .basic_publish(EXCHANGE.into(), key.into(), options, &bytes, properties)
                    .await?
                    .await?;
            }
            // Without the operator key the journal hears nothing; the monkey works all the same.
            Err(error) => debug!(event = "attack_untold", "{error}"),
        }
        Ok(())
    }
}

/// What a request asks for, in its own words.
struct Wanted {
    request: RequestId,
    fault: String,
    target: String,
}

impl Wanted {
    fn parse(&self) -> Result<(Option<Fault>, Wish), String> {
        let fault = (!self.fault.is_empty()).then(|| self.fault.parse::<Fault>());
        let fault = fault.transpose().map_err(|error| error.to_string())?;
        let wish = match self.target.as_str() {
            "" => Wish::Anyone,
            target => Wish::parse(target).map_err(|error| error.to_string())?,
        };
        Ok((fault, wish))
    }

    fn told(&self, stage: AttackStage, text: String) -> AttackTold {
        AttackTold {
            id: String::new(),
            request: Some(self.request.clone()),
            fault: self.fault.clone(),
            target: self.target.clone(),
            stage,
            text,
            at_ms: clock::now_ms(),
            within_ms: None,
        }
    }

    fn ended(&self) -> AttackTold {
        self.told(AttackStage::Declined, "the monkey ends".to_owned())
    }

    fn attack(self, fault: Option<Fault>, wish: Wish, dry_run: bool) -> Obeyed {
        if dry_run {
            let (reply, foreseen) = oneshot::channel::<Result<Choice, NoAttack>>();
            let answer = async move {
                match foreseen.await {
                    Ok(Ok(choice)) => AttackTold {
                        fault: choice.fault.name().to_owned(),
                        target: choice.victim.name.clone(),
                        ..self.told(
                            AttackStage::Foreseen,
                            format!(
                                "{} on {}, chosen of {}",
                                choice.fault,
                                choice.victim.name,
                                choice.sifted.fit.len()
                            ),
                        )
                    },
                    Ok(Err(why)) => self.told(AttackStage::Declined, why.to_string()),
                    Err(_) => self.ended(),
                }
            };
            return Obeyed {
                call: Some(Call::Foresee { fault, wish, reply }),
                meant: false,
                answer: Box::pin(answer),
            };
        }
        let (reply, sent) = oneshot::channel::<Result<Attack, NoAttack>>();
        let answer = async move {
            match sent.await {
                Ok(Ok(attack)) => {
                    let intended = Event::Intended {
                        attack: attack.clone(),
                    };
                    AttackTold {
                        request: Some(self.request),
                        ..told(&attack, &intended)
                    }
                }
                Ok(Err(why)) => self.told(AttackStage::Declined, why.to_string()),
                Err(_) => self.ended(),
            }
        };
        Obeyed {
            call: Some(Call::Attack {
                trigger: Trigger::Request,
                fault,
                wish,
                since: Instant::now(),
                reply: Some(reply),
            }),
            meant: true,
            answer: Box::pin(answer),
        }
    }

    fn undo(self) -> Obeyed {
        if self.target.is_empty() {
            let text = "everything under way is undone, and the timer is off until the monkey is started anew";
            let told = self.told(AttackStage::Foreseen, text.to_owned());
            return Obeyed {
                call: Some(Call::Peace),
                meant: false,
                answer: Box::pin(async { told }),
            };
        }
        let target = self.target.clone();
        let (reply, undone) = oneshot::channel();
        let answer = async move {
            match undone.await {
                Ok(0) => self.told(
                    AttackStage::Declined,
                    format!("nothing of the monkey is under way on {}", self.target),
                ),
                Ok(count) => self.told(
                    AttackStage::Foreseen,
                    format!("{count} on {} is being undone", self.target),
                ),
                Err(_) => self.ended(),
            }
        };
        Obeyed {
            call: Some(Call::Undo { target, reply }),
            meant: false,
            answer: Box::pin(answer),
        }
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
                    dry_run: false,
                },
            },
        }
    }

    #[test]
    fn a_request_is_obeyed_once() {
        let mut bus = bus();
        let call = bus.obey(request(3, "pause", "planaria")).unwrap().call;
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

    #[tokio::test]
    async fn who_only_tells_ends_with_who_has_something_to_tell() {
        let keys = Keys::new().with(KeyRole::Operator, Key::new(b"0123456789abcdef").unwrap());
        let name = MemberName::new("chaos_monkey").unwrap();
        let nobody = Settings {
            amqp_urls: vec!["amqp://a:b@127.0.0.1:1/%2f".to_owned()],
            ..Settings::default()
        };
        let (calls, _) = mpsc::channel(1);
        let (bus, tell) = Bus::new(nobody, Codec::new(keys), name, 1, calls);
        let task = tokio::spawn(bus.only_tell());
        tokio::time::sleep(RETRY_MIN / 2).await;
        assert!(!task.is_finished(), "it waits for the broker");
        drop(tell);
        let ended = tokio::time::timeout(RETRY_MAX, task).await;
        ended.expect("the command would hang").unwrap();
    }

    #[tokio::test]
    async fn what_was_done_is_undone_on_request() {
        let one = bus().obey(request(1, REVERT, "planaria")).unwrap();
        assert!(matches!(&one.call, Some(Call::Undo { target, .. }) if target == "leader"));
        // Nobody answers: the loop is gone.
        drop(one.call);
        assert_eq!(one.answer.await.stage, AttackStage::Declined);
        let mut all = request(1, REVERT, "planaria");
        if let Body::Request {
            verb: Verb::Attack { target, .. },
            ..
        } = &mut all.body
        {
            *target = None;
        }
        assert!(matches!(bus().obey(all).unwrap().call, Some(Call::Peace)));
    }

    #[tokio::test]
    async fn an_experiment_is_foreseen_by_what_it_does_and_an_unknown_one_declined() {
        let ask = |target: &str| {
            let mut envelope = request(1, EXPERIMENT, "planaria");
            if let Body::Request {
                verb:
                    Verb::Attack {
                        target: whom,
                        dry_run,
                        ..
                    },
                ..
            } = &mut envelope.body
            {
                (*whom, *dry_run) = (MemberName::new(target).ok(), true);
            }
            envelope
        };
        let told = bus().obey(ask("leader-is-replaced")).unwrap().answer.await;
        assert_eq!(told.stage, AttackStage::Foreseen);
        assert!(told.text.contains("Whoever leads"), "{}", told.text);
        let told = bus().obey(ask("nonsense")).unwrap().answer.await;
        assert_eq!(told.stage, AttackStage::Declined);
    }

    #[tokio::test]
    async fn what_is_not_understood_is_declined_with_its_reason() {
        let obeyed = bus().obey(request(1, "sing", "planaria")).unwrap();
        assert!(obeyed.call.is_none());
        let told = obeyed.answer.await;
        assert_eq!(told.stage, AttackStage::Declined);
        assert_eq!(told.request, Some(RequestId("r".to_owned())));
        assert!(told.text.contains("sing"), "{}", told.text);
        assert!(bus().obey(request(1, "kill", "other")).is_none());
    }

    #[tokio::test]
    async fn a_refusal_of_the_loop_reaches_who_asked() {
        use crate::plan::Declined;
        let obeyed = bus().obey(request(1, "pause", "planaria")).unwrap();
        let Some(Call::Attack {
            reply: Some(reply), ..
        }) = obeyed.call
        else {
            panic!("no attack was asked for");
        };
        let why = Declined::Hold("healer-2 is still starting".to_owned());
        reply.send(Err(why.into())).unwrap();
        let told = obeyed.answer.await;
        assert_eq!(
            (told.stage, told.text.as_str()),
            (AttackStage::Declined, "healer-2 is still starting")
        );
    }
}
