//! The monkey: takes orders, chooses, sends attacks on their way, and undoes them.

use crate::attack::{self, AGAIN_MAX, AGAIN_MIN, Again, Books, End, Errand};
use crate::clock;
use crate::engine::{self, Engine, EngineError, Found};
use crate::fault::{Fault, Undone};
use crate::ledger::{self, Attack, Event, Ledger, LedgerError};
use crate::management::Known;
use crate::plan::{self, Choice, Declined, Order};
use crate::target::{Policy, Scene};
use planaria_core::status::Status;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

/// How long an orderly end waits for attacks to be undone; Docker kills after 10 s.
const UNDO_WITHIN: Duration = Duration::from_secs(8);
/// Ages are asked for one container after the other; more than this would take seconds.
const AGES_MAX: usize = 200;
/// Open attacks that are tried again; more stand in the ledger for the next start.
const OPEN_MAX: usize = 32;

/// What our own monitor knows of the group; `None`: nothing.
pub type Group = Box<dyn Fn() -> Option<Status> + Send>;
/// Told of everything that happens to an attack, as the ledger is.
pub type Tell = Box<dyn Fn(&Attack, &Event) + Send + Sync>;

/// Why there was no attack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoAttack {
    /// By our own rules.
    #[error(transparent)]
    Declined(#[from] Declined),
    /// The engine was asked in vain. Nothing was changed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What is needed to make one.
pub struct Outfit<E> {
    /// The engine.
    pub engine: E,
    /// What may be hit.
    pub policy: Policy,
    /// The plan's seed.
    pub seed: u64,
    /// Random, so that ids of attacks differ between starts.
    pub boot: u64,
    /// Where attacks are written down.
    pub ledger: Ledger,
    /// The image of helper containers.
    pub helper_image: String,
    /// RabbitMQ's management API, or why it is not known.
    pub management: Known,
    /// What the group says.
    pub group: Group,
    /// Who wants to know of attacks.
    pub tell: Tell,
}

/// The monkey. Dropping it abandons attacks to the ledger; see [`Monkey::undo_all`].
pub struct Monkey<E> {
    engine: E,
    policy: Policy,
    seed: u64,
    boot: u64,
    books: Books,
    helper_image: String,
    management: Known,
    group: Group,
    number: u64,
    /// Attacks so far, for their ids: several may have one number.
    sent: u64,
    resting: BTreeMap<String, Instant>,
    under_way: BTreeMap<String, Attack>,
    /// Those that could not be taken back; each has an errand that tries it again.
    open: BTreeMap<String, Left>,
    errands: JoinSet<(Attack, End)>,
    stop: watch::Sender<Stop>,
}

/// An attack that only needs to be sent.
struct Prepared {
    attack: Attack,
    before: Found,
    choice: Choice,
}

/// An attack that could not be taken back.
struct Left {
    target: String,
    fault: Fault,
    /// Until the try that is on its way.
    pause: Duration,
}

/// What is to be undone before its time.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Everything, and why.
    all: Option<&'static str>,
    /// These attacks, by id.
    only: BTreeSet<String>,
}

impl Stop {
    /// Why that attack is to be undone now; `None`: it goes on.
    #[must_use]
    pub fn why(&self, id: &str) -> Option<&'static str> {
        let one = self.only.contains(id).then_some("a person undid it");
        self.all.or(one)
    }
}

impl<E: Engine> Monkey<E> {
    /// Makes one that has done nothing yet.
    #[must_use]
    pub fn new(outfit: Outfit<E>) -> Self {
        Self {
            engine: outfit.engine,
            policy: outfit.policy,
            seed: outfit.seed,
            boot: outfit.boot,
            books: Books {
                ledger: Arc::new(Mutex::new(outfit.ledger)),
                tell: Arc::new(outfit.tell),
            },
            helper_image: outfit.helper_image,
            management: outfit.management,
            group: outfit.group,
            number: 1,
            sent: 1,
            resting: BTreeMap::new(),
            under_way: BTreeMap::new(),
            open: BTreeMap::new(),
            errands: JoinSet::new(),
            stop: watch::channel(Stop::default()).0,
        }
    }

    /// Lets those rest that the ledger of `dir` says were hit a short while ago, by whichever monkey.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub fn remember(&mut self, dir: &Path) -> Result<(), LedgerError> {
        let (now, now_ms) = (Instant::now(), clock::now_ms());
        for story in ledger::read(dir)? {
            let ago = Duration::from_millis(now_ms.saturating_sub(story.at_ms));
            if let Some(left) = self.policy.cooldown.checked_sub(ago) {
                self.resting.insert(story.attack.target, now + left);
            }
        }
        Ok(())
    }

    /// Takes what was read anew of what may be hit; who we are stays.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = Policy {
            project: self.policy.project.take(),
            own_id: std::mem::take(&mut self.policy.own_id),
            own_name: self.policy.own_name.take(),
            ..policy
        };
    }

    /// The number that the next attack has in the plan.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Chooses without doing anything.
    ///
    /// # Errors
    /// [`NoAttack`], with the reason.
    pub async fn choose(&mut self, order: &Order) -> Result<Choice, NoAttack> {
        let scene = self.scene(order).await?;
        Ok(plan::choose(
            self.seed,
            self.number,
            order,
            &scene,
            &self.policy,
        )?)
    }

    /// What a choice looks at, as it is now.
    async fn scene(&mut self, order: &Order) -> Result<Scene, NoAttack> {
        let now = Instant::now();
        self.resting.retain(|_, until| *until > now);
        let mut candidates = self.engine.list().await?;
        if !order.trigger.is_asked() {
            for candidate in candidates.iter_mut().take(AGES_MAX) {
                // One that just went away is seen as down by its list entry or by the attack itself.
                candidate.age = self
                    .engine
                    .inspect(&candidate.id)
                    .await
                    .ok()
                    .and_then(|found| engine::age(&found));
            }
        }
        // One that was removed for good is sick no more; what rots in its volume is asked for by itself.
        let open = self.open.values().map(|left| &left.target);
        let open = open.filter(|name| candidates.iter().any(|it| it.name == **name));
        let under_attack = self.under_way.values().map(|attack| &attack.target);
        let under_attack = under_attack.chain(open).cloned().collect();
        let rotten = if order.faults.contains(&Fault::BitRot) {
            self.rotten()?
        } else {
            BTreeSet::new()
        };
        Ok(Scene {
            candidates,
            group: (self.group)(),
            under_attack,
            rotten,
            resting: self
                .resting
                .iter()
                .map(|(name, until)| (name.clone(), *until - now))
                .collect(),
        })
    }

    /// Whose files rot by the word of the ledger, whichever monkey did it, and by our own.
    fn rotten(&self) -> Result<BTreeSet<String>, NoAttack> {
        let stories = {
            let ledger = self.books.ledger.lock();
            ledger.unwrap_or_else(PoisonError::into_inner).stories()
        };
        let stories = stories.map_err(|error| Declined::Hold(error.to_string()))?;
        let written = stories
            .into_iter()
            .filter(|story| story.undo().is_some())
            .map(|story| (story.attack.fault, story.attack.target));
        let under_way = self.under_way.values();
        let under_way = under_way.map(|attack| (attack.fault, attack.target.clone()));
        let open = self.open.values();
        let open = open.map(|left| (left.fault, left.target.clone()));
        Ok(written
            .chain(under_way)
            .chain(open)
            .filter(|(fault, _)| *fault == Fault::BitRot)
            .map(|(_, target)| target)
            .collect())
    }

    /// Chooses and sends the attack on its way; returns what it is.
    ///
    /// # Errors
    /// [`NoAttack`], with the reason; it was logged.
    pub async fn attack(&mut self, order: &Order, since: Instant) -> Result<Attack, NoAttack> {
        let trigger = order.trigger.text();
        let sent = self.attack_quietly(order, since).await;
        if let Err(why) = &sent {
            info!(
                event = "attack_declined",
                trigger, "Attack declined ({trigger}): {why}"
            );
        }
        sent
    }

    /// The next number of the plan without an attack.
    pub fn skip(&mut self) {
        self.number += 1;
    }

    /// The same without a line in the log where nothing is done.
    ///
    /// # Errors
    /// [`NoAttack`], with the reason.
    pub async fn attack_quietly(
        &mut self,
        order: &Order,
        since: Instant,
    ) -> Result<Attack, NoAttack> {
        let choice = self.choose(order).await?;
        let prepared = self.prepare(order, choice).await?;
        let attack = self.send(prepared, since, None);
        self.number += 1;
        Ok(attack)
    }

    /// The same for all that the order means, at one moment and under one number of the plan.
    ///
    /// Everything that takes time comes before: all are looked at and written down, and only then is the
    /// first one hit.
    ///
    /// # Errors
    /// [`NoAttack`], with the reason, where there is nobody to hit; one that the engine lost meanwhile is
    /// left out.
    pub async fn attack_everyone(
        &mut self,
        order: &Order,
        since: Instant,
    ) -> Result<Vec<Attack>, NoAttack> {
        let scene = self.scene(order).await?;
        let choices = plan::choose_everyone(self.seed, self.number, order, &scene, &self.policy)?;
        let mut prepared = Vec::new();
        let mut lost = None;
        for choice in choices {
            match self.prepare(order, choice).await {
                Ok(one) => prepared.push(one),
                Err(why) => {
                    info!(event = "attack_declined", "One less: {why}");
                    lost = Some(why);
                }
            }
        }
        if let (true, Some(why)) = (prepared.is_empty(), lost) {
            return Err(why);
        }
        let together = Arc::new(Barrier::new(prepared.len()));
        let sent = prepared
            .into_iter()
            .map(|one| self.send(one, since, Some(Arc::clone(&together))))
            .collect();
        self.number += 1;
        Ok(sent)
    }

    /// Looks at what was chosen, and makes an attack of it. Nothing is changed yet.
    async fn prepare(&mut self, order: &Order, choice: Choice) -> Result<Prepared, NoAttack> {
        let before = self.engine.inspect(&choice.victim.id).await?;
        let attack = Attack {
            id: plan::attack_id(self.boot, self.sent),
            fault: choice.fault,
            target: choice.victim.name.clone(),
            container: choice.victim.id.clone(),
            started_at: before.started_at.clone(),
            trigger: order.trigger.text().to_owned(),
            wish: order.wish.to_string(),
            seed: self.seed,
            number: self.number,
            dose: order.dose.clone(),
            saved: choice
                .fault
                .prepare(&self.engine, &before, &self.helper_image, &self.management)
                .await?,
        };
        self.sent += 1;
        Ok(Prepared {
            attack,
            before,
            choice,
        })
    }

    /// Sends it on its way; `together`: those of one order wait there for each other.
    fn send(
        &mut self,
        prepared: Prepared,
        since: Instant,
        together: Option<Arc<Barrier>>,
    ) -> Attack {
        let Prepared {
            attack,
            before,
            choice,
        } = prepared;
        log_choice(&attack, &choice);
        self.resting
            .insert(attack.target.clone(), since + self.policy.cooldown);
        self.under_way.insert(attack.id.clone(), attack.clone());
        let errand = Errand {
            engine: self.engine.clone(),
            management: self.management.clone(),
            books: self.books.clone(),
            attack: attack.clone(),
            before,
            since,
            together,
            stop: self.stop.subscribe(),
        };
        self.errands.spawn(errand.run());
        attack
    }

    /// Whether an attack is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// Waits for the next attack to end; for ever where none is under way, and none is open.
    pub async fn ended(&mut self) -> End {
        self.next_end().await.1
    }

    /// The same with the attack's id, where it did not break off.
    async fn next_end(&mut self) -> (Option<String>, End) {
        match self.errands.join_next().await {
            None => std::future::pending().await,
            Some(Ok((attack, end))) => {
                let id = attack.id.clone();
                self.under_way.remove(&id);
                self.stop.send_if_modified(|stop| stop.only.remove(&id));
                let tried = self.open.remove(&id);
                if end == End::Open {
                    let pause = tried.map_or(AGAIN_MIN, |left| (left.pause * 2).min(AGAIN_MAX));
                    self.leave_open(attack, pause);
                }
                (Some(id), end)
            }
            Some(Err(error)) => {
                // It broke off by a bug of ours; the ledger still has it.
                warn!(event = "attack_lost", "An attack broke off: {error}");
                if self.errands.len() <= self.open.len() {
                    self.under_way.clear();
                }
                (None, End::Open)
            }
        }
    }

    /// It could not be taken back: it counts as under attack, and is tried again.
    fn leave_open(&mut self, attack: Attack, pause: Duration) {
        if self.open.len() >= OPEN_MAX || self.open.contains_key(&attack.id) {
            return;
        }
        let left = Left {
            target: attack.target.clone(),
            fault: attack.fault,
            pause,
        };
        self.open.insert(attack.id.clone(), left);
        let again = Again {
            engine: self.engine.clone(),
            books: self.books.clone(),
            attack,
            pause,
            stop: self.stop.subscribe(),
        };
        self.errands.spawn(again.run());
    }

    /// What is under way or open, by id, with whom it is on.
    fn unended(&self) -> impl Iterator<Item = (&String, &String)> {
        let under_way = self.under_way.iter();
        let under_way = under_way.map(|(id, attack)| (id, &attack.target));
        under_way.chain(self.open.iter().map(|(id, left)| (id, &left.target)))
    }

    /// Undoes what is under way or open on a target, without waiting for it; how many attacks that are.
    pub fn undo(&mut self, target: &str) -> usize {
        let ids: Vec<String> = self
            .unended()
            .filter(|(_, name)| *name == target)
            .map(|(id, _)| id.clone())
            .collect();
        let count = ids.len();
        if count > 0 {
            info!(
                event = "attacks_ending",
                "Undoing what is under way ({target}): a person asked"
            );
            self.stop.send_modify(|stop| stop.only.extend(ids));
        }
        count
    }

    /// Undoes everything under way and waits for it, for a bounded time. What is open is tried once more.
    pub async fn undo_all(&mut self, why: &'static str) {
        let names: Vec<&str> = self.unended().map(|(_, name)| name.as_str()).collect();
        if names.is_empty() {
            return;
        }
        info!(
            event = "attacks_ending",
            "Undoing what is under way ({}): {why}",
            names.join(", ")
        );
        let mut waited_for: BTreeSet<String> = self.unended().map(|(id, _)| id.clone()).collect();
        self.stop.send_modify(|stop| stop.all = Some(why));
        let all = async {
            while !waited_for.is_empty() && !self.errands.is_empty() {
                if let (Some(id), _) = self.next_end().await {
                    waited_for.remove(&id);
                }
            }
        };
        let in_time = tokio::time::timeout(UNDO_WITHIN, all).await.is_ok();
        if !in_time || !self.open.is_empty() {
            warn!(
                event = "undo_incomplete",
                "Not everything could be undone in time; the ledger keeps it"
            );
        }
        self.stop.send_modify(|stop| stop.all = None);
    }

    /// Undoes what a killed monkey left behind in the ledger of `dir`, and cuts the ledger; how many
    /// could not be undone, and are tried again.
    ///
    /// # Errors
    /// Where the ledger cannot be read or written.
    pub async fn recover(&mut self, dir: &Path) -> Result<usize, LedgerError> {
        let left = revert_open(&self.engine, &self.books, dir).await?;
        let count = left.len();
        for attack in left {
            self.leave_open(attack, AGAIN_MIN);
        }
        Ok(count)
    }
}

/// Undoes what the ledger of `dir` has open; how many could not be undone.
///
/// # Errors
/// Where the ledger cannot be read or written.
pub async fn revert<E: Engine>(
    engine: &E,
    ledger: Ledger,
    dir: &Path,
) -> Result<usize, LedgerError> {
    let nobody: Tell = Box::new(|_, _| {});
    let books = Books {
        ledger: Arc::new(Mutex::new(ledger)),
        tell: Arc::new(nobody),
    };
    let left = revert_open(engine, &books, dir).await?;
    Ok(left.len())
}

/// Those that could not be undone.
async fn revert_open<E: Engine>(
    engine: &E,
    books: &Books,
    dir: &Path,
) -> Result<Vec<Attack>, LedgerError> {
    let write = |id: &str, event| {
        let mut ledger = books.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.write(id, event)
    };
    let mut left = Vec::new();
    let stories = ledger::read(dir)?;
    for story in stories.into_iter().filter(|story| story.undo().is_some()) {
        let attack = story.attack;
        let event = match attack::undo(engine, &attack).await {
            Ok(Undone::Gone) => Event::Gone,
            Ok(Undone::Done | Undone::Nothing) => Event::Reverted {
                why: "its monkey was killed".to_owned(),
            },
            Err(error) => {
                warn!(
                    event = "attack_open",
                    attack = attack.id,
                    "Attack {} on {} cannot be undone yet: {error}",
                    attack.id,
                    attack.target
                );
                left.push(attack);
                continue;
            }
        };
        info!(
            event = "attack_reverted",
            attack = attack.id,
            target = attack.target,
            "Attack {} on {} was left behind by a killed monkey and is undone",
            attack.id,
            attack.target
        );
        (books.tell)(&attack, &event);
        write(&attack.id, event)?;
    }
    let mut ledger = books.ledger.lock().unwrap_or_else(PoisonError::into_inner);
    ledger.cut()?;
    Ok(left)
}

fn log_choice(attack: &Attack, choice: &Choice) {
    info!(
        event = "attack_begun",
        attack = attack.id,
        fault = attack.fault.name(),
        target = attack.target,
        trigger = attack.trigger,
        seed = attack.seed,
        number = attack.number,
        "Attack {} ({}, seed {}): {} {}, chosen of {} candidates (excluded: {})",
        attack.id,
        attack.trigger,
        attack.seed,
        attack.fault,
        attack.target,
        choice.sifted.fit.len(),
        choice.sifted.excluded_text()
    );
}

/// Faults to draw from cannot be these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotDrawn {
    /// There is none of that name.
    #[error(transparent)]
    NoSuchFault(#[from] crate::fault::NoSuchFault),
    /// It is not left to chance.
    #[error("{0} is never drawn, only done when it is asked for (chaos-monkey attack --fault {0})")]
    OnlyAskedFor(Fault),
}

/// Reads `CHAOS_FAULTS`.
///
/// # Errors
/// Names the first that is none, or is not drawn.
pub fn faults(names: &[String]) -> Result<Vec<Fault>, NotDrawn> {
    let drawn = |name: &String| {
        let fault: Fault = name.parse()?;
        if fault.only_asked_for() {
            return Err(NotDrawn::OnlyAskedFor(fault));
        }
        Ok(fault)
    };
    names.iter().map(drawn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_asked_for_is_never_drawn() {
        let read =
            |names: &[&str]| faults(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(
            read(&["kill", "bit-rot"]),
            Ok(vec![Fault::Kill, Fault::BitRot])
        );
        assert_eq!(
            read(&["kill", "rm"]),
            Err(NotDrawn::OnlyAskedFor(Fault::Rm))
        );
        assert!(matches!(read(&["nonsense"]), Err(NotDrawn::NoSuchFault(_))));
    }
}
