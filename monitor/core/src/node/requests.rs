//! What people ask, through this member or another: done by the leader, passed on by everybody else.

use super::{Node, Role};
use crate::effect::Effect;
use crate::id::RequestId;
use crate::message::{Body, Outcome, Verb};
use crate::status::BrokerState;
use crate::time::Instant;
use std::time::Duration;

/// Requests that may await the leader's answer.
const ASKED_MAX: usize = 64;
/// A leader answers within milliseconds; an election within a lease or two.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// A beat comes back within milliseconds, and a leader without one for so long is none for much longer.
const CONFIRMED: Duration = Duration::from_secs(3);

/// A request that awaits its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) until: Instant,
    /// Not passed on yet: no leader is known.
    waiting: Option<Verb>,
}

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    /// To this member's own command line.
    Here,
    /// Through the broker.
    Elsewhere,
}

/// An answer that waits for the group to know what it promises.
#[derive(Debug)]
pub(super) struct Promise {
    at: Instant,
    id: RequestId,
    outcome: Outcome,
    asker: Asker,
}

impl Promise {
    pub(super) fn until(&self) -> Instant {
        self.at + CONFIRMED
    }
}

fn key(verb: &Verb) -> &'static str {
    match verb {
        Verb::Heal { .. } => "request.heal",
        Verb::Hold { .. } => "request.hold",
        Verb::Resume { .. } => "request.resume",
        Verb::Release { .. } => "request.release",
        Verb::Elect => "request.elect",
        Verb::Fence { .. } => "request.fence",
        Verb::Attack { .. } => "request.attack",
    }
}

impl Node {
    /// Through this member's own command line.
    pub(super) fn request(&mut self, now: Instant, id: RequestId, verb: Verb) {
        let connected = self.broker == BrokerState::Connected;
        let attack = matches!(verb, Verb::Attack { .. });
        // An office without the token cannot tell the others of a hold or a release.
        let leads = self.config.role == Role::Solo || self.election.holds_token();
        if leads && !attack {
            let outcome = self.execute(now, &verb);
            self.promise(now, id, &verb, outcome, Asker::Here);
            return;
        }
        if attack && connected {
            self.out.publish(
                key(&verb),
                Body::Request {
                    id: id.clone(),
                    verb,
                },
            );
            let outcome = Outcome {
                accepted: true,
                text: "the chaos monkey is asked; its log says what it does".to_owned(),
            };
            self.out.push(Effect::Answer { id, outcome });
            return;
        }
        if attack || self.asked.len() >= ASKED_MAX {
            let outcome = Outcome {
                accepted: false,
                text: "the broker is away; try again in a few seconds".to_owned(),
            };
            self.out.push(Effect::Answer { id, outcome });
            return;
        }
        let asked = Asked {
            until: now + ANSWER_PATIENCE,
            waiting: Some(verb),
        };
        self.asked.insert(id, asked);
        self.pass_requests_on(now);
    }

    /// What waited for a leader goes to it, or is done here where this member became it.
    pub(super) fn pass_requests_on(&mut self, now: Instant) {
        let waiting = self.asked.values().any(|asked| asked.waiting.is_some());
        let leads = self.election.holds_token();
        let connected = self.broker == BrokerState::Connected;
        let leader = self.election.valid_leader(now);
        let known = connected && leader.is_some_and(|leader| leader.token);
        if !waiting || !leads && !known {
            return;
        }
        let ids: Vec<RequestId> = self.asked.keys().cloned().collect();
        for id in ids {
            let asked = self.asked.get_mut(&id);
            let Some(verb) = asked.and_then(|asked| asked.waiting.take()) else {
                continue;
            };
            if leads {
                let outcome = self.execute(now, &verb);
                self.asked.remove(&id);
                self.promise(now, id, &verb, outcome, Asker::Here);
            } else {
                self.out.publish(key(&verb), Body::Request { id, verb });
            }
        }
    }

    /// Through the broker: only the leader does it.
    pub(super) fn asked_by_other(&mut self, now: Instant, id: &RequestId, verb: &Verb) {
        if !self.election.holds_token() || matches!(verb, Verb::Attack { .. }) {
            return;
        }
        let outcome = self.execute(now, verb);
        self.promise(now, id.clone(), verb, outcome, Asker::Elsewhere);
    }

    /// Answers at once, or, where the answer is a promise that must outlive this leader, when a beat that
    /// carries it has come back.
    fn promise(
        &mut self,
        now: Instant,
        id: RequestId,
        verb: &Verb,
        outcome: Outcome,
        asker: Asker,
    ) {
        let promise = Promise {
            at: now,
            id,
            outcome,
            asker,
        };
        let binds = matches!(
            verb,
            Verb::Hold { .. } | Verb::Resume { .. } | Verb::Release { .. }
        );
        let waits = binds && promise.outcome.accepted && self.election.holds_token();
        if waits && self.promised.len() < ASKED_MAX {
            self.promised.push(promise);
        } else {
            self.answer(promise);
        }
    }

    fn answer(&mut self, promise: Promise) {
        let Promise { id, outcome, .. } = promise;
        match promise.asker {
            Asker::Here => self.out.push(Effect::Answer { id, outcome }),
            Asker::Elsewhere => {
                // Members' own queues are bound to `control.#`, those who watch the group to `report.#`.
                for key in ["control.result", "report.result"] {
                    let (id, outcome) = (id.clone(), outcome.clone());
                    self.out.publish(key, Body::Result { id, outcome });
                }
            }
        }
    }

    /// A beat came back that was sent then.
    pub(super) fn keep_promises(&mut self, sent: Instant) {
        let promised = std::mem::take(&mut self.promised);
        let (kept, open) = promised.into_iter().partition(|promise| promise.at <= sent);
        self.promised = open;
        let kept: Vec<Promise> = kept;
        for promise in kept {
            self.answer(promise);
        }
    }

    /// No beat came back in time: whoever asked is not to rely on it.
    pub(super) fn break_promises(&mut self, now: Instant) {
        if self.promised.iter().all(|promise| now < promise.until()) {
            return;
        }
        let promised = std::mem::take(&mut self.promised);
        let (late, open) = promised
            .into_iter()
            .partition(|promise| now >= promise.until());
        self.promised = open;
        let late: Vec<Promise> = late;
        for mut promise in late {
            promise.outcome = Outcome {
                accepted: false,
                text: format!(
                    "{}, but the group has not confirmed that it knows; ask again",
                    promise.outcome.text
                ),
            };
            self.answer(promise);
        }
    }

    fn execute(&mut self, now: Instant, verb: &Verb) -> Outcome {
        match verb {
            Verb::Elect => return self.elect(),
            Verb::Fence { name, reason } => return self.fence(now, name, reason),
            _ => {}
        }
        match &mut self.supervisor {
            Some(supervisor) => supervisor.request(now, verb),
            None => Outcome {
                accepted: false,
                text: "this member has no engine; ask a healer".to_owned(),
            },
        }
    }

    /// Another candidate is heard that reaches its engine.
    pub(super) fn others_are_fit(&self) -> bool {
        self.election.peers().iter().any(|name| {
            self.detector
                .members
                .get(name)
                .is_some_and(|peer| peer.beat.healer && !peer.over())
        })
    }

    fn elect(&mut self) -> Outcome {
        if !self.others_are_fit() {
            return Outcome {
                accepted: false,
                text: "no other candidate is fit".to_owned(),
            };
        }
        let accepted = self.election.resign_soon("an election was asked for");
        Outcome {
            accepted,
            text: if accepted {
                format!("{} resigns", self.config.name)
            } else {
                "only the holder of the token can resign".to_owned()
            },
        }
    }

    pub(super) fn answered(&mut self, id: &RequestId, outcome: Outcome) {
        if self.asked.remove(id).is_some() {
            let id = id.clone();
            self.out.push(Effect::Answer { id, outcome });
        }
    }

    pub(super) fn expire_requests(&mut self, now: Instant) {
        if self.asked.is_empty() {
            return;
        }
        let late: Vec<RequestId> = self
            .asked
            .iter()
            .filter(|(_, asked)| now >= asked.until)
            .map(|(id, _)| id.clone())
            .collect();
        for id in late {
            let unsent = self.asked.remove(&id).and_then(|asked| asked.waiting);
            if let Some(verb @ Verb::Heal { .. }) = &unsent
                && self.supervisor.is_some()
            {
                // A start needs no leader.
                let outcome = self.execute(now, verb);
                self.out.push(Effect::Answer { id, outcome });
                continue;
            }
            let text = match unsent {
                Some(_) => "no leader is known; try again in a few seconds",
                None => "the leader did not answer; try again",
            };
            let outcome = Outcome {
                accepted: false,
                text: text.to_owned(),
            };
            self.out.push(Effect::Answer { id, outcome });
        }
    }
}
