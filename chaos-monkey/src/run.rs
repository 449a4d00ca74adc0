//! The monkey's loop: timer, calls from outside, and the ends of attacks.

use crate::engine::Engine;
use crate::fault::{Dose, Fault};
use crate::hours::Hours;
use crate::ledger::Attack;
use crate::monkey::{Monkey, NoAttack};
use crate::plan::{self, Choice, Order, Trigger};
use crate::target::{Policy, Wish};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::info;

/// How often the loop says to its watchdog that it turns; well below `PULSE_TIMEOUT`.
const PULSE_EVERY: Duration = Duration::from_secs(1);
/// Calls that may wait for the loop: a person does not send more signals than that in one engine call.
pub const CALLS_MAX: usize = 16;

/// What comes from outside.
#[derive(Debug)]
pub enum Call {
    /// Attack now.
    Attack {
        /// What set it off.
        trigger: Trigger,
        /// With this fault; `None`: drawn from the settings.
        fault: Option<Fault>,
        /// Whom.
        wish: Wish,
        /// When it was asked for.
        since: Instant,
        /// Who wants to know what became of it.
        reply: Option<oneshot::Sender<Result<Attack, NoAttack>>>,
    },
    /// Say what an attack would be, or why there would be none.
    Foresee {
        /// What is wanted, as above.
        fault: Option<Fault>,
        /// Whom.
        wish: Wish,
        /// Who wants to know.
        reply: oneshot::Sender<Result<Choice, NoAttack>>,
    },
    /// Undo what is under way on one target; the timer goes on.
    Undo {
        /// Whom.
        target: String,
        /// Told how many attacks that are.
        reply: oneshot::Sender<usize>,
    },
    /// Undo everything and attack no more by the timer.
    Peace,
    /// The configuration was read anew.
    Reload(Box<(Schedule, Policy)>),
    /// Undo everything and end.
    End,
}

/// When the timer attacks.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// `CHAOS_ENABLED`.
    pub enabled: bool,
    /// `CHAOS_INTERVAL`.
    pub interval: Duration,
    /// `CHAOS_INTERVAL_MIN` and `CHAOS_INTERVAL_MAX`, where both are set.
    pub between: Option<(Duration, Duration)>,
    /// `CHAOS_WINDOWS` and `CHAOS_EXCLUDED_DAYS`.
    pub hours: Hours,
    /// `CHAOS_MAX_KILLS`; 0: no limit.
    pub limit: u32,
    /// `CHAOS_FAULTS`; never empty.
    pub faults: Vec<Fault>,
    /// The plan's seed.
    pub seed: u64,
}

impl Schedule {
    /// When the timer attacks next; `None`: never.
    fn next(&self, number: u64, done: u32) -> Option<Instant> {
        let goes_on = self.enabled && (self.limit == 0 || done < self.limit);
        let pause = match self.between {
            Some((min, max)) => plan::pause_between(self.seed, number, min, max),
            None => plan::pause(self.seed, number, self.interval),
        };
        goes_on.then(|| Instant::now() + pause)
    }
}

/// Runs until [`Call::End`] or until nobody can call any more.
pub async fn run<E: Engine>(
    mut monkey: Monkey<E>,
    mut schedule: Schedule,
    mut calls: mpsc::Receiver<Call>,
    pulse: impl Fn(),
) {
    let mut by_timer = 0;
    let mut next = schedule.next(monkey.number(), by_timer);
    let mut pulses = tokio::time::interval(PULSE_EVERY);
    loop {
        tokio::select! {
            call = calls.recv() => match call {
                Some(Call::Attack { trigger, fault, wish, since, reply }) => {
                    let faults = fault.map_or_else(|| schedule.faults.clone(), |fault| vec![fault]);
                    let sent = monkey.attack(&Order { trigger, faults, wish, dose: Dose::default(), everyone: false }, since).await;
                    if let Some(reply) = reply {
                        // Who asked may have gone.
                        drop(reply.send(sent));
                    }
                }
                Some(Call::Foresee { fault, wish, reply }) => {
                    let faults = fault.map_or_else(|| schedule.faults.clone(), |fault| vec![fault]);
                    let order = Order { trigger: Trigger::Request, faults, wish, dose: Dose::default(), everyone: false };
                    drop(reply.send(monkey.choose(&order).await));
                }
                Some(Call::Undo { target, reply }) => drop(reply.send(monkey.undo(&target))),
                Some(Call::Peace) => {
                    schedule.enabled = false;
                    next = None;
                    monkey.undo_all("SIGUSR2").await;
                    info!(event = "chaos_stopped", "The timer is off until the monkey is started anew; SIGUSR1 still attacks");
                }
                Some(Call::Reload(new)) => {
                    let (reloaded, policy) = *new;
                    // A person who stopped the timer starts it again by a start, not by a reload.
                    schedule = Schedule { enabled: reloaded.enabled && schedule.enabled, seed: schedule.seed, ..reloaded };
                    monkey.set_policy(policy);
                    next = schedule.next(monkey.number(), by_timer);
                    info!(event = "chaos_reloaded", "The configuration was read anew");
                }
                Some(Call::End) | None => {
                    monkey.undo_all("the monkey ends").await;
                    return;
                }
            },
            () = at(next) => {
                if let Some(why) = schedule.hours.peace(crate::clock::now_ms()) {
                    info!(event = "attack_declined", trigger = "timer", "Attack declined (timer): {why}");
                    monkey.skip();
                    next = schedule.next(monkey.number(), by_timer);
                    continue;
                }
                let order = Order { trigger: Trigger::Timer, faults: schedule.faults.clone(), wish: Wish::Anyone, dose: Dose::default(), everyone: false };
                // What was declined was logged, and does not count.
                by_timer += u32::from(monkey.attack(&order, Instant::now()).await.is_ok());
                next = schedule.next(monkey.number(), by_timer);
                if next.is_none() {
                    info!(event = "chaos_limit_reached", "CHAOS_MAX_KILLS {} is reached: the timer is off", schedule.limit);
                }
            }
            _ = monkey.ended() => {}
            _ = pulses.tick() => pulse(),
        }
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
