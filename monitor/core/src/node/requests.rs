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

/// A request that awaits its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) until: Instant,
    /// Not passed on yet: no leader is known.
    waiting: Option<Verb>,
}

fn key(verb: &Verb) -> &'static str {
    match verb {
        Verb::Heal { .. } => "request.heal",
        Verb::Hold { .. } => "request.hold",
        Verb::Resume { .. } => "request.resume",
        Verb::Release { .. } => "request.release",
        Verb::Elect => "request.elect",
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
            self.out.push(Effect::Answer { id, outcome });
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
                self.answered(&id, outcome);
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
        // Members' own queues are bound to `control.#`, those who watch the group to `report.#`.
        for key in ["control.result", "report.result"] {
            self.out.publish(
                key,
                Body::Result {
                    id: id.clone(),
                    outcome: outcome.clone(),
                },
            );
        }
    }

    fn execute(&mut self, now: Instant, verb: &Verb) -> Outcome {
        if *verb == Verb::Elect {
            return self.elect();
        }
        match &mut self.supervisor {
            Some(supervisor) => supervisor.request(now, verb),
            None => Outcome {
                accepted: false,
                text: "this member has no engine; ask a healer".to_owned(),
            },
        }
    }

    fn elect(&mut self) -> Outcome {
        let others = self.election.peers().iter().any(|name| {
            self.detector
                .members
                .get(name)
                .is_some_and(|peer| peer.beat.healer && !peer.over())
        });
        if !others {
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
