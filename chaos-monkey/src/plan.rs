//! The choice: which fault hits whom. Pure and seeded: the same seed and scene give the same choice.

use crate::dice::Dice;
use crate::fault::{Dose, Fault};
use crate::target::{self, Candidate, Policy, Scene, Sifted, Wish};
use std::time::Duration;

/// What set an attack off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The timer.
    Timer,
    /// SIGUSR1.
    Signal,
    /// `chaos-monkey attack`.
    Command,
    /// A signed request over the broker.
    Request,
}

impl Trigger {
    /// Somebody asked for it now: the minimum age does not count.
    #[must_use]
    pub fn is_asked(self) -> bool {
        self != Self::Timer
    }

    /// For log and ledger.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Timer => "timer",
            Self::Signal => "SIGUSR1",
            Self::Command => "command",
            Self::Request => "request",
        }
    }
}

/// What somebody wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What set it off.
    pub trigger: Trigger,
    /// Faults to draw from; never empty.
    pub faults: Vec<Fault>,
    /// Whom.
    pub wish: Wish,
    /// How much.
    pub dose: Dose,
    /// All that the wish means, at once, instead of one of them: as a power cut does. How many may be sick
    /// at once is not looked at then, for somebody asked for exactly this.
    pub everyone: bool,
}

/// What will be done.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The fault.
    pub fault: Fault,
    /// The victim.
    pub victim: Candidate,
    /// Who else could have been, and who could not.
    pub sifted: Sifted,
}

/// Why nothing is done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Declined {
    /// Healing is under way, or somebody asked for peace.
    #[error("{0}")]
    Hold(String),
    /// Nobody is fit. Changes nothing; the text names each and why.
    #[error("no container is fit for {fault} (excluded: {excluded})")]
    NobodyFit {
        /// The fault that was drawn.
        fault: Fault,
        /// Each of ours with its reason.
        excluded: String,
    },
    /// All at once would leave nothing.
    #[error("{0} is done to one container at a time, never to all of them at once")]
    OneAtATime(Fault),
    /// The order names no fault.
    #[error("CHAOS_FAULTS names no fault")]
    NoFault,
}

/// Chooses for the attack with this number.
///
/// # Errors
/// [`Declined`] where nothing should be done now.
pub fn choose(
    seed: u64,
    number: u64,
    order: &Order,
    scene: &Scene,
    policy: &Policy,
) -> Result<Choice, Declined> {
    if let Some(why) = target::hold(scene, policy) {
        return Err(Declined::Hold(why));
    }
    let mut dice = Dice::of(seed, number);
    let fault = *dice.pick(&order.faults).ok_or(Declined::NoFault)?;
    let wish = match (&order.wish, fault.part()) {
        (Wish::Anyone, Some(part)) => Wish::Part(part),
        (wish, _) => wish.clone(),
    };
    let mut sifted = target::sift(scene, policy, &wish, order.trigger.is_asked());
    target::sift_for(&mut sifted, fault, &order.dose, scene, policy);
    match dice.pick(&sifted.fit).cloned() {
        Some(victim) => Ok(Choice {
            fault,
            victim,
            sifted,
        }),
        None => Err(Declined::NobodyFit {
            fault,
            excluded: sifted.excluded_text(),
        }),
    }
}

/// Chooses all that are fit, for an order that means everyone.
///
/// # Errors
/// [`Declined`] where nothing should be done now.
pub fn choose_everyone(
    seed: u64,
    number: u64,
    order: &Order,
    scene: &Scene,
    policy: &Policy,
) -> Result<Vec<Choice>, Declined> {
    let all = Policy {
        max_percent: 100,
        ..policy.clone()
    };
    let first = choose(seed, number, order, scene, &all)?;
    if first.fault.spares_the_others() {
        return Err(Declined::OneAtATime(first.fault));
    }
    let one = |victim: &Candidate| Choice {
        fault: first.fault,
        victim: victim.clone(),
        sifted: first.sifted.clone(),
    };
    let mut chosen: Vec<Choice> = first.sifted.fit.iter().map(one).collect();
    target::spare_a_healer(scene, &mut chosen, |choice| &choice.victim);
    Ok(chosen)
}

/// The pause before the timer's attack with this number: `CHAOS_INTERVAL` give or take a fifth, so
/// that attacks do not fall into step with anything periodic.
#[must_use]
pub fn pause(seed: u64, number: u64, interval: Duration) -> Duration {
    // A stream of its own: how long the pause is must not change whom the attack hits.
    let throw = Dice::of(!seed, number).below(401);
    let permille = 800 + u32::try_from(throw).unwrap_or(0);
    interval.saturating_mul(permille) / 1000
}

/// The pause before the timer's attack with this number, anywhere between two bounds.
#[must_use]
pub fn pause_between(seed: u64, number: u64, min: Duration, max: Duration) -> Duration {
    let span = max.saturating_sub(min);
    let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    min + Duration::from_millis(Dice::of(!seed, number).below(ms.saturating_add(1)))
}

/// A seed where nobody gave one: short enough to be typed again.
#[must_use]
pub fn draw_seed() -> u64 {
    u64::from(rand::random::<u32>() % 1_000_000)
}

/// A short name that tells attacks apart: of six hex digits, so that a person can say it.
#[must_use]
pub fn attack_id(boot: u64, number: u64) -> String {
    format!("{:06x}", Dice::of(boot, number).below(1 << 24))
}

/// A seed for what one attack does by chance, from its id.
#[must_use]
pub fn attack_seed(id: &str) -> u64 {
    u64::from_str_radix(id, 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::tests::{policy, scene};

    fn order(faults: &[Fault]) -> Order {
        Order {
            trigger: Trigger::Signal,
            faults: faults.to_vec(),
            wish: Wish::Anyone,
            dose: Dose::default(),
            everyone: false,
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_whatever_order_the_engine_lists() {
        let faults = [Fault::Kill, Fault::Pause, Fault::Hang];
        let plan = |mut scene: Scene, turn: bool| -> Vec<(String, Fault)> {
            if turn {
                scene.candidates.reverse();
            }
            (1..50)
                .map(|number| {
                    let choice = choose(7, number, &order(&faults), &scene, &policy()).unwrap();
                    (choice.victim.name, choice.fault)
                })
                .collect()
        };
        assert_eq!(plan(scene(), false), plan(scene(), true));
    }

    #[test]
    fn other_seeds_give_other_plans_and_everybody_has_a_turn() {
        let victims = |seed| -> Vec<String> {
            (1..200)
                .map(|number| {
                    choose(seed, number, &order(&[Fault::Kill]), &scene(), &policy())
                        .unwrap()
                        .victim
                        .name
                })
                .collect()
        };
        assert_ne!(victims(1), victims(2));
        let seen: std::collections::BTreeSet<String> = victims(1).into_iter().collect();
        assert_eq!(
            seen.len(),
            target::sift(&scene(), &policy(), &Wish::Anyone, true)
                .fit
                .len()
        );
    }

    #[test]
    fn a_leader_kill_hits_the_leader() {
        let choice = choose(3, 1, &order(&[Fault::LeaderKill]), &scene(), &policy()).unwrap();
        assert_eq!(choice.victim.name, "healer-3");
    }

    #[test]
    fn nobody_fit_says_who_and_why() {
        let order = Order {
            wish: Wish::Named("chaos_monkey".to_owned()),
            ..order(&[Fault::Kill])
        };
        let declined = choose(3, 1, &order, &scene(), &policy()).unwrap_err();
        assert_eq!(
            declined.to_string(),
            "no container is fit for kill (excluded: chaos_monkey: the monkey itself)"
        );
    }

    #[test]
    fn everyone_is_all_that_are_fit_and_nobody_else() {
        let everyone = |pattern: &str| Order {
            wish: Wish::parse(pattern).unwrap(),
            everyone: true,
            ..order(&[Fault::Kill])
        };
        let names = |pattern: &str| -> Vec<String> {
            let chosen = choose_everyone(3, 1, &everyone(pattern), &scene(), &policy()).unwrap();
            chosen.into_iter().map(|it| it.victim.name).collect()
        };
        assert_eq!(names("re2:worker-.*"), ["worker-1", "worker-2"]);
        // One that heals is left, whatever is asked for.
        let healers = scene()
            .candidates
            .iter()
            .filter(|it| it.name.starts_with("healer-"))
            .count();
        assert_eq!(names("re2:healer-.*").len(), healers - 1);
        let mut sick = scene();
        sick.under_attack.push("worker-1".to_owned());
        let order = everyone("re2:worker-.*");
        let declined = choose_everyone(3, 1, &order, &sick, &policy()).unwrap_err();
        assert!(matches!(declined, Declined::Hold(_)), "{declined}");
    }

    #[test]
    fn what_spares_the_others_is_never_done_to_everyone() {
        let order = Order {
            wish: Wish::parse("re2:worker-.*").unwrap(),
            everyone: true,
            dose: Dose {
                path: Some("/srv".to_owned()),
                ..Dose::default()
            },
            ..order(&[Fault::BitRot])
        };
        let declined = choose_everyone(3, 1, &order, &scene(), &policy()).unwrap_err();
        assert_eq!(declined, Declined::OneAtATime(Fault::BitRot));
        assert!(choose(3, 1, &order, &scene(), &policy()).is_ok());
    }

    #[test]
    fn pauses_stay_between_their_bounds_and_use_them() {
        let (min, max) = (Duration::from_secs(5), Duration::from_secs(60));
        let all: Vec<Duration> = (0..500)
            .map(|number| pause_between(9, number, min, max))
            .collect();
        assert!(all.iter().all(|it| (min..=max).contains(it)));
        assert!(all.iter().any(|it| it.as_secs() < 10) && all.iter().any(|it| it.as_secs() > 55));
        assert_eq!(
            pause_between(9, 3, min, max),
            all[3],
            "the same seed, the same pause"
        );
    }

    #[test]
    fn pauses_stay_within_a_fifth() {
        let interval = Duration::from_secs(30);
        for number in 0..1000 {
            let pause = pause(9, number, interval);
            assert!((24..=36).contains(&pause.as_secs()), "{pause:?}");
        }
    }
}
