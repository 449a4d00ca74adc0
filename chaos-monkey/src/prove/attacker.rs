//! One attack after the other for a set time, chosen by the seed: every role has its turn.

use super::script::Script;
use super::{ENDS, Options, ProveError};
use crate::dice::Dice;
use crate::engine::Engine;
use crate::fault::{Dose, Fault};
use crate::ledger::Ledger;
use crate::management::ManagementError;
use crate::monkey::{Monkey, NoAttack, Outfit};
use crate::plan::{Order, Trigger};
use crate::target::{Part, Policy, Selector, Wish};
use bollard::Docker;
use planaria_core::settings::Settings;
use planaria_core::status::Status;
use planaria_monitor::ask;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks whether the next attack may be made.
const TRY_EVERY: Duration = Duration::from_millis(500);
/// Rest for the system between two attacks, so that the store has met its debts: with three nodes and
/// two copies to a write, two nodes may not be sick at once.
const REST: Duration = Duration::from_millis(1500);

/// The role of the store's nodes in the generated stack.
const STORE: &str = "storage";

/// Whom something of the menu hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    /// Anybody.
    Anyone,
    /// Who plays a part.
    Part(Part),
    /// All nodes of the store at the same moment: a power cut. What was acknowledged is on disk then or lost.
    WholeStore,
}

impl Whom {
    fn wish(self) -> Wish {
        match self {
            Self::Anyone => Wish::Anyone,
            Self::Part(part) => Wish::Part(part),
            Self::WholeStore => Wish::Matching(Selector::Group(STORE.to_owned())),
        }
    }
}

/// What can happen: the weight, the fault, whom. Weights follow what happens most in real stacks.
/// Not `corrupt`: plain HTTP carries no check of its own, so a client's answer may be spoilt on its way.
/// Not `bit-rot`: a write counts with two copies, and the next attack may take the node that has the other one
/// before the store has read, found and mended the rotten one: no store promises to live through both.
/// Not `rm`: it is for somebody to ask for, and no container of the stack has the label that allows it.
const MENU: &[(u64, Fault, Whom)] = &[
    (6, Fault::Kill, Whom::Anyone),
    (2, Fault::Kill, Whom::WholeStore),
    (2, Fault::Term, Whom::Anyone),
    (2, Fault::Pause, Whom::Anyone),
    (2, Fault::Hang, Whom::Anyone),
    (2, Fault::Stop, Whom::Anyone),
    (1, Fault::Restart, Whom::Anyone),
    (2, Fault::LeaderKill, Whom::Part(Part::Leader)),
    (1, Fault::Pause, Whom::Part(Part::Leader)),
    (1, Fault::BrokerKill, Whom::Part(Part::Broker)),
    (1, Fault::BrokerPause, Whom::Part(Part::Broker)),
    (1, Fault::Disconnect, Whom::Anyone),
    (2, Fault::Partition, Whom::Anyone),
    (1, Fault::Reject, Whom::Anyone),
    (1, Fault::Latency, Whom::Anyone),
    (1, Fault::Loss, Whom::Anyone),
    (1, Fault::Rate, Whom::Anyone),
    (1, Fault::Cpu, Whom::Anyone),
];
/// What only the monkey ends, it ends after so many seconds, so that more attacks fit into a proof.
const SHORT_S: u64 = 8;

/// The order of the attack with this number.
#[must_use]
pub fn order(seed: u64, number: u64) -> Order {
    let mut dice = Dice::of(seed ^ 0x0a77_ac4e, number);
    let all: u64 = MENU.iter().map(|(weight, ..)| weight).sum();
    let mut left = dice.below(all);
    let mut chosen = (Fault::Kill, Whom::Anyone);
    for (weight, fault, whom) in MENU {
        chosen = (*fault, *whom);
        if left < *weight {
            break;
        }
        left -= weight;
    }
    Order {
        trigger: Trigger::Command,
        faults: vec![chosen.0],
        wish: chosen.1.wish(),
        dose: Dose {
            for_s: (!chosen.0.about().heals).then_some(SHORT_S),
            ..Dose::default()
        },
        everyone: chosen.1 == Whom::WholeStore,
    }
}

/// What was attacked.
#[derive(Clone, Debug, Default)]
pub struct Attacked {
    /// Ids of the project's containers before and after: no attack may have been on another.
    pub members: Vec<String>,
    /// Whether somebody ended the proof early.
    pub broken_off: bool,
}

/// Makes the attacks.
pub struct Attacker {
    engine: Docker,
    monkey: Monkey<Docker>,
    group: Arc<Mutex<Option<Status>>>,
    project: String,
    script: Script,
}

impl Attacker {
    /// Opens the ledger in the report's folder.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub async fn new(engine: &Docker, options: &Options) -> Result<Self, ProveError> {
        let mut policy = Policy::new(&Settings::default())
            .map_err(|error| ProveError::Engine(error.to_string()))?;
        policy.project = Some(options.project.clone());
        let group = Arc::new(Mutex::new(None));
        let told = Arc::clone(&group);
        let mut monkey = Monkey::new(Outfit {
            engine: engine.clone(),
            policy,
            seed: options.seed,
            boot: rand::random(),
            ledger: Ledger::open(&options.folder)?,
            helper_image: options.image.clone(),
            management: Err(ManagementError::Unknown),
            group: Box::new(move || told.lock().unwrap_or_else(PoisonError::into_inner).clone()),
            tell: Box::new(|_, _| {}),
        });
        // What an earlier proof in this folder left behind.
        monkey.recover(&options.folder).await?;
        Ok(Self {
            engine: engine.clone(),
            monkey,
            group,
            project: options.project.clone(),
            script: options.script.clone(),
        })
    }

    /// Attacks until the time is over or somebody interrupts, then undoes what is still open.
    pub async fn run(&mut self, time: Duration) -> Attacked {
        let until = Instant::now() + time;
        let mut attacked = Attacked {
            members: self.members().await,
            broken_off: false,
        };
        let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
        let mut last_reason = String::new();
        let start = Instant::now();
        while Instant::now() < until && !attacked.broken_off {
            let Some((not_before, order)) = self.script.order(self.monkey.number()) else {
                break;
            };
            tokio::select! {
                () = tokio::time::sleep_until(until.min(start + not_before)) => {}
                _ = &mut interrupt => { attacked.broken_off = true; continue }
            }
            *self.group.lock().unwrap_or_else(PoisonError::into_inner) = self.status().await;
            let sent = if order.everyone {
                self.monkey
                    .attack_everyone(&order, Instant::now())
                    .await
                    .map(drop)
            } else {
                self.monkey
                    .attack_quietly(&order, Instant::now())
                    .await
                    .map(drop)
            };
            let pause = match sent {
                Ok(()) => {
                    last_reason.clear();
                    tokio::select! {
                        () = all_ended(&mut self.monkey) => REST,
                        () = tokio::time::sleep_until(until) => Duration::ZERO,
                        _ = &mut interrupt => { attacked.broken_off = true; Duration::ZERO }
                    }
                }
                Err(why) => {
                    let text = why.to_string();
                    if text != last_reason {
                        tracing::info!(event = "proof_waits", "Not yet: {text}");
                        last_reason = text;
                    }
                    // Nobody is fit for this one (the broker's rest, say): the next one of the plan.
                    if matches!(
                        &why,
                        NoAttack::Declined(crate::plan::Declined::NobodyFit { .. })
                    ) {
                        self.monkey.skip();
                    }
                    TRY_EVERY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = &mut interrupt => attacked.broken_off = true,
            }
        }
        self.monkey.undo_all(ENDS).await;
        attacked.members.extend(self.members().await);
        attacked
    }

    async fn members(&self) -> Vec<String> {
        let listed = self.engine.list().await.unwrap_or_default();
        listed
            .into_iter()
            .filter(|it| it.is_of(&self.project))
            .map(|it| it.id)
            .collect()
    }

    /// What a healer says, a leader's word first.
    async fn status(&self) -> Option<Status> {
        let healers = super::witness::healers(&self.engine, &self.project).await;
        let addresses: Vec<String> = healers.into_iter().map(|(_, address)| address).collect();
        ask::any_status(&addresses).await
    }
}

/// Waits until no attack is under way.
async fn all_ended(monkey: &mut Monkey<Docker>) {
    while monkey.is_busy() {
        monkey.ended().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_attacks_and_each_has_its_turn() {
        let plan = |seed| {
            (1..400)
                .map(|number| order(seed, number))
                .collect::<Vec<_>>()
        };
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
        for (_, fault, whom) in MENU {
            let due = |it: &Order| it.faults == [*fault] && it.wish == whom.wish();
            assert!(plan(1).iter().any(due), "{fault} {whom:?}");
            assert!(
                !fault.spares_the_others() && !fault.only_asked_for(),
                "{fault} is for a person to ask for"
            );
        }
    }
}
