//! One attack from its first line in the ledger to its end: write, do, prove, watch, undo.

use crate::engine::{Engine, EngineError, Found};
use crate::fault::{Fault, Looked, Needs, Progress, Saved, Undo, Undone};
use crate::ledger::{Attack, Event, Ledger};
use crate::management::Known;
use crate::monkey::{Stop, Tell};
use crate::report::seconds;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Barrier, watch};
use tokio::time::Instant;
use tracing::{info, warn};

/// How soon a fault must show; a stop waits up to 5 s for the program.
const TOOK_WITHIN: Duration = Duration::from_secs(7);
/// How often the engine is asked at first, so that short times are measured well …
const LOOK_OFTEN: Duration = Duration::from_millis(25);
/// … for so long …
const LOOK_OFTEN_FOR: Duration = Duration::from_secs(3);
/// … and afterwards.
const LOOK_SELDOM: Duration = Duration::from_millis(250);
/// RabbitMQ gathers the list of all its connections for each look, and has news of them each 5 s.
const LOOK_AT_BROKER: Duration = Duration::from_secs(1);
/// An undoing that the engine does not take is tried so often; then the attack is open.
const UNDO_TRIES: u32 = 5;
const UNDO_PAUSE: Duration = Duration::from_millis(500);
/// What is open is tried again so much later: soon enough that what rots meets a second fault seldom …
pub(crate) const AGAIN_MIN: Duration = Duration::from_secs(5);
/// … and each time twice as much later, up to this: a container may stay away for days.
pub(crate) const AGAIN_MAX: Duration = Duration::from_secs(300);

/// How an attack ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Others brought the victim back.
    Healed,
    /// The monkey took it back.
    Reverted,
    /// It did not take effect.
    Failed,
    /// The victim was removed meanwhile.
    Gone,
    /// It took effect and could not be taken back; it stands open in the ledger.
    Open,
}

/// The ledger, shared by the attacks under way.
pub type SharedLedger = Arc<Mutex<Ledger>>;

/// Where it is written what happens to attacks, and who is told.
#[derive(Clone)]
pub struct Books {
    /// The ledger.
    pub ledger: SharedLedger,
    /// Who wants to know.
    pub tell: Arc<Tell>,
}

/// Everything that one attack needs.
pub struct Errand<E> {
    /// The engine.
    pub engine: E,
    /// RabbitMQ's management API, or why it is not known.
    pub management: Known,
    /// Where it is written down.
    pub books: Books,
    /// What is done.
    pub attack: Attack,
    /// The victim as it was before.
    pub before: Found,
    /// When it was set off.
    pub since: Instant,
    /// Where those of one order wait for each other, so that all are hit at the same moment.
    pub together: Option<Arc<Barrier>>,
    /// Says when it is to be undone before its time.
    pub stop: watch::Receiver<Stop>,
}

impl<E: Engine> Errand<E> {
    /// Carries it out; the attack, with all that was found out about it, and its end.
    pub async fn run(mut self) -> (Attack, End) {
        let end = self.carry_out().await;
        (self.attack, end)
    }

    async fn carry_out(&mut self) -> End {
        let written = self.note(&Event::Intended {
            attack: self.attack.clone(),
        });
        // Also where it was not written: the others wait for everyone.
        if let Some(together) = &self.together {
            together.wait().await;
        }
        if !written {
            return End::Failed;
        }
        if let Err(why) = self.look().await {
            return self.failed(&why).await;
        }
        let begun = Instant::now();
        if let Err(error) = self.inject().await {
            return self.failed(&error.to_string()).await;
        }
        let (id, fault, target) = (
            self.attack.id.clone(),
            self.attack.fault,
            self.attack.target.clone(),
        );
        if let Err(why) = self.prove().await {
            return self.failed(&why).await;
        }
        self.note(&Event::Injected {
            after_ms: ms(self.since.elapsed()),
        });
        info!(
            event = "attack_injected",
            attack = id,
            fault = fault.name(),
            target,
            "Attack {id} took effect: {target} is out by {fault}, {} after the trigger",
            seconds(ms(self.since.elapsed()))
        );
        self.watch(begun).await
    }

    /// What is needed to undo it and takes a look of its own stands in the ledger before it is done, too.
    async fn look(&mut self) -> Result<(), String> {
        let found = self.attack.fault.look(&self.engine, &self.attack).await;
        let found = found.map_err(|error| match error {
            // A helper that could not look says why.
            EngineError::Refused(why) => why,
            other => other.to_string(),
        });
        let saved = match found? {
            None => return Ok(()),
            Some(Looked::Line(saved)) => saved,
            Some(Looked::File(text)) => {
                let ledger = self
                    .books
                    .ledger
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let kept = ledger.keep(&self.attack.id, &text);
                Saved::Removed {
                    file: kept.map_err(|error| error.to_string())?,
                }
            }
        };
        self.attack.saved = Some(saved.clone());
        if self.note(&Event::Found { saved }) {
            Ok(())
        } else {
            Err("what is needed to undo it could not be written down".to_owned())
        }
    }

    /// Does it. An engine that answered late may have done it: the proof decides.
    async fn inject(&self) -> Result<(), EngineError> {
        let (fault, management) = (self.attack.fault, &self.management);
        match fault.inject(&self.engine, management, &self.attack).await {
            Ok(()) | Err(EngineError::Slow) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn prove(&self) -> Result<(), String> {
        let until = Instant::now() + TOOK_WITHIN;
        let mut last = "nothing changed".to_owned();
        while Instant::now() < until {
            let fault = self.attack.fault;
            let management = &self.management;
            let took = fault.took(&self.engine, management, &self.attack, &self.before);
            match took.await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // Removed by somebody else meanwhile: it is out, but not by us.
                Err(error @ EngineError::Gone(_)) => return Err(error.to_string()),
                // A helper that could not do it says why.
                Err(EngineError::Refused(why)) if fault.about().undo == Undo::Helper => {
                    return Err(why);
                }
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(pause(self.attack.fault, Duration::ZERO)).await;
        }
        Err(format!("{last} within {} s", TOOK_WITHIN.as_secs()))
    }

    async fn watch(&mut self, begun: Instant) -> End {
        let fault = self.attack.fault;
        let target = self.attack.target.clone();
        // From the proof on: a helper takes its time to begin.
        let until = Instant::now() + fault.patience(&self.attack.dose);
        let mut running = None;
        loop {
            match fault
                .progress(&self.engine, &self.management, &self.attack, &self.before)
                .await
            {
                Ok(Progress::Back) => {
                    // Its helper may have left something where it was killed itself.
                    if fault.about().undo == Undo::Helper
                        && let Err(error) = undo(&self.engine, &self.attack).await
                    {
                        warn!(
                            event = "attack_open",
                            attack = self.attack.id,
                            "What is left of attack {} stands open in the ledger: {error}",
                            self.attack.id
                        );
                        return End::Open;
                    }
                    let after_ms = ms(begun.elapsed());
                    let running_ms = running.unwrap_or(after_ms);
                    self.note(&Event::Healed {
                        running_ms,
                        after_ms,
                    });
                    info!(
                        event = "attack_healed",
                        attack = self.attack.id,
                        target,
                        after_ms,
                        "{target} is back after {} (attack {}; running after {})",
                        seconds(after_ms),
                        self.attack.id,
                        seconds(running_ms)
                    );
                    return End::Healed;
                }
                Ok(Progress::Running) => running = running.or(Some(ms(begun.elapsed()))),
                Ok(Progress::Out) => running = None,
                Err(EngineError::Gone(_)) => {
                    warn!(
                        event = "attack_target_gone",
                        attack = self.attack.id,
                        target,
                        "{target} was removed while attack {} was under way",
                        self.attack.id
                    );
                    // Its helper is removed, and what is in a volume is looked for in its successor.
                    return self.undo("its container was removed").await;
                }
                Err(error) => {
                    tracing::debug!(event = "attack_unseen", "cannot look at {target}: {error}");
                }
            }
            let stop = self.stop.borrow_and_update().why(&self.attack.id);
            if let Some(why) = stop {
                return self.undo(why).await;
            }
            if Instant::now() >= until {
                let why = if fault.about().heals {
                    "nobody healed it in time"
                } else {
                    "its time is over"
                };
                return self.undo(why).await;
            }
            tokio::select! {
                () = tokio::time::sleep(pause(fault, begun.elapsed())) => {}
                // A closed channel means that the monkey is gone: the sleep above paces the loop then.
                Ok(()) = self.stop.changed() => {}
            }
        }
    }

    async fn undo(&self, why: &str) -> End {
        self.books.undo(&self.engine, &self.attack, why).await
    }

    /// It did not take effect, as far as is known; what may have been done all the same is undone.
    async fn failed(&self, why: &str) -> End {
        let (id, target) = (&self.attack.id, &self.attack.target);
        warn!(
            event = "attack_failed",
            attack = id,
            target,
            "Attack {id} on {target} did not take effect: {why}"
        );
        if let Err(error) = undo(&self.engine, &self.attack).await {
            warn!(
                event = "attack_open",
                attack = id,
                target,
                "Whether attack {id} left something behind is not known ({error}); it stands open in the ledger"
            );
            return End::Open;
        }
        self.note(&Event::Failed {
            why: why.to_owned(),
        });
        End::Failed
    }

    fn note(&self, event: &Event) -> bool {
        self.books.note(&self.attack, event)
    }
}

impl Books {
    /// Writes it down and tells it; false where the first failed.
    fn note(&self, attack: &Attack, event: &Event) -> bool {
        let written = {
            let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            ledger.write(&attack.id, event.clone())
        };
        match written {
            Ok(()) => {
                // A look is nobody's news: nothing was done.
                if !matches!(event, Event::Found { .. }) {
                    (self.tell)(attack, event);
                }
                true
            }
            Err(error) => {
                warn!(
                    event = "ledger_failed",
                    attack = attack.id,
                    "{error}; without it nothing is attacked"
                );
                false
            }
        }
    }

    async fn undo<E: Engine>(&self, engine: &E, attack: &Attack, why: &str) -> End {
        let (id, target) = (&attack.id, &attack.target);
        match undo(engine, attack).await {
            Ok(Undone::Gone) => {
                self.note(attack, &Event::Gone);
                End::Gone
            }
            Ok(Undone::Done | Undone::Nothing) => {
                let why = why.to_owned();
                info!(
                    event = "attack_reverted",
                    attack = id,
                    target,
                    "Attack {id} on {target} is undone: {why}"
                );
                self.note(attack, &Event::Reverted { why });
                End::Reverted
            }
            Err(error) => {
                warn!(
                    event = "attack_open",
                    attack = id,
                    target,
                    "Attack {id} on {target} cannot be undone now ({error}); it stands open in the ledger"
                );
                End::Open
            }
        }
    }
}

/// An attack that could not be taken back, on its way to the next try.
pub struct Again<E> {
    /// The engine.
    pub engine: E,
    /// Where it is written down.
    pub books: Books,
    /// What was done.
    pub attack: Attack,
    /// Until it is tried.
    pub pause: Duration,
    /// Says when it is to be tried before its time.
    pub stop: watch::Receiver<Stop>,
}

impl<E: Engine> Again<E> {
    /// Waits, and tries once more.
    pub async fn run(mut self) -> (Attack, End) {
        let until = Instant::now() + self.pause;
        let why = loop {
            tokio::select! {
                () = tokio::time::sleep_until(until) => break "it could not be undone earlier",
                Ok(()) = self.stop.changed() => {
                    let asked = self.stop.borrow_and_update().why(&self.attack.id);
                    if let Some(why) = asked {
                        break why;
                    }
                }
            }
        };
        let end = self.books.undo(&self.engine, &self.attack, why).await;
        (self.attack, end)
    }
}

/// Until the next look, so long after the attack.
fn pause(fault: Fault, after: Duration) -> Duration {
    match fault.about().needs {
        Needs::Management => LOOK_AT_BROKER,
        _ if after < LOOK_OFTEN_FOR => LOOK_OFTEN,
        _ => LOOK_SELDOM,
    }
}

/// Takes an attack back, with a few tries.
///
/// # Errors
/// The engine's last word.
pub async fn undo<E: Engine>(engine: &E, attack: &Attack) -> Result<Undone, EngineError> {
    let mut tries = 1;
    loop {
        match attack.fault.about().undo.run(engine, attack).await {
            Err(_) if tries < UNDO_TRIES => {
                tries += 1;
                tokio::time::sleep(UNDO_PAUSE).await;
            }
            result => return result,
        }
    }
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_is_asked_seldom() {
        for after in [0, 1, 60].map(Duration::from_secs) {
            assert_eq!(pause(Fault::AmqpClose, after), LOOK_AT_BROKER);
        }
        assert_eq!(pause(Fault::Kill, Duration::ZERO), LOOK_OFTEN);
        assert_eq!(pause(Fault::Kill, LOOK_OFTEN_FOR), LOOK_SELDOM);
    }
}
