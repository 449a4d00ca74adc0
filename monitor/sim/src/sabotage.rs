//! Rules broken on purpose, one world each: a checker that never bites proves nothing.

use crate::broker::ConnId;
use crate::check::Rule;
use crate::clock::{MS, S};
use crate::container::Kind;
use crate::world::World;
use planaria_core::effect::Effect;
use planaria_core::engine::{ContainerState, EngineCall, EventKind, Expectation};
use planaria_core::id::{BootId, CallId, Term};
use planaria_core::input::Input;
use planaria_core::message::Body;
use std::time::Duration;

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A healer that does not lead kills what hangs.
    ForceWithoutToken,
    /// The leader kills what is well.
    ForceOnTheWell,
    /// The leader's order names no incarnation.
    OrderWithoutIncarnation,
    /// Calls are made without a look at what they would hit, and some are belated.
    CarelessCalls,
    /// A pause is ended the moment it is seen.
    ThawAtOnce,
    /// What a person stopped is started.
    StartTheStopped,
    /// What dies during a stop is started at once.
    StartTheStopping,
    /// What is on hold is started.
    StartTheHeld,
    /// What was only created is started.
    StartTheCreated,
    /// Every death is answered by a start at once, without end.
    StartWithoutLimit,
    /// The broker gives everyone a token.
    TokenForAll,
    /// A leader claims another's term.
    ForgedTerm,
    /// A plain member says what only healers may.
    MemberGivesOrders,
    /// Nothing is ever started.
    HealsNobody,
}

impl Sabotage {
    /// All of them, each with the rule that must catch it.
    pub const ALL: &[(Self, Rule)] = &[
        (Self::ForceWithoutToken, Rule::Office),
        (Self::ForceOnTheWell, Rule::Evidence),
        (Self::OrderWithoutIncarnation, Rule::Incarnation),
        (Self::CarelessCalls, Rule::Incarnation),
        (Self::ThawAtOnce, Rule::Grace),
        (Self::StartTheStopped, Rule::Intent),
        (Self::StartTheStopping, Rule::Intent),
        (Self::StartTheHeld, Rule::Hold),
        (Self::StartTheCreated, Rule::Patients),
        (Self::StartWithoutLimit, Rule::Intensity),
        (Self::TokenForAll, Rule::OneForceUser),
        (Self::ForgedTerm, Rule::Terms),
        (Self::MemberGivesOrders, Rule::Permission),
        (Self::HealsNobody, Rule::Liveness),
    ];
}

/// Calls that no state machine made: their answers find nobody waiting.
const INJECTED: u64 = 1 << 60;

impl World {
    /// An effect that a sabotaged world swallows.
    pub(crate) fn suppressed(&self, effect: &Effect) -> bool {
        self.stage.sabotage == Some(Sabotage::HealsNobody)
            && matches!(
                effect,
                Effect::Engine {
                    request: EngineCall::Start { .. },
                    ..
                }
            )
    }

    /// A message that a sabotaged broker keeps to itself: everyone who has a token leads alone.
    pub(crate) fn swallowed(&self, conn: ConnId, input: &Input) -> bool {
        if self.stage.sabotage != Some(Sabotage::TokenForAll) || self.now < 15 * S {
            return false;
        }
        let owner = self.broker.conns.get(&conn).map(|client| client.owner.0);
        let own = owner.and_then(|index| self.conts[index].facts.member.as_ref());
        matches!(input, Input::Message(envelope) if Some(&envelope.from) != own)
    }

    /// What a sabotaged healer wants beside what its state machine wants.
    pub(crate) fn sabotage(&mut self, index: usize, input: &Input) -> Vec<Effect> {
        let Some(sabotage) = self.stage.sabotage else {
            return Vec::new();
        };
        let kind = self.conts[index].kind;
        if kind == Kind::Member && sabotage == Sabotage::MemberGivesOrders {
            return vec![Effect::Publish {
                key: "control.resign".into(),
                body: Body::Resign {
                    term: Term {
                        number: 1,
                        boot: BootId(1),
                    },
                },
            }];
        }
        if kind != Kind::Healer {
            return Vec::new();
        }
        if sabotage == Sabotage::TokenForAll {
            return self.token_for_all(index, input);
        }
        let leads = self.forcing() == [index];
        let effect = match (sabotage, input) {
            (Sabotage::ForceWithoutToken, Input::Engine(event))
                if !leads && event.kind == (EventKind::Kill { signal: 19 }) =>
            {
                self.order(&event.name, true)
            }
            (Sabotage::ForceOnTheWell, Input::Tick) if leads && self.now > 20 * S => {
                self.order("plain-1", true)
            }
            (Sabotage::OrderWithoutIncarnation, Input::Engine(event))
                if leads && event.kind == (EventKind::Kill { signal: 19 }) =>
            {
                self.order(&event.name, false)
            }
            (Sabotage::StartTheStopping | Sabotage::StartWithoutLimit, Input::Engine(event))
                if matches!(event.kind, EventKind::Die { .. }) =>
            {
                self.start_order(&event.name)
            }
            (Sabotage::CarelessCalls, Input::Engine(event))
                if leads && event.kind == EventKind::Start =>
            {
                self.belated_order(&event.name)
            }
            (Sabotage::ThawAtOnce, Input::Engine(event)) if event.kind == EventKind::Pause => {
                self.thaw_order(&event.name)
            }
            (Sabotage::StartTheCreated, Input::Engine(event))
                if event.kind == EventKind::Create =>
            {
                self.start_order(&event.name)
            }
            (Sabotage::StartTheHeld | Sabotage::StartTheStopped, Input::Tick) => {
                self.start_order("plain-1")
            }
            (Sabotage::ForgedTerm, Input::Message(_)) => Some(Effect::Publish {
                key: "control.coordinator".into(),
                body: Body::Coordinator {
                    term: Term {
                        number: 1,
                        boot: BootId(1),
                    },
                    token: true,
                    why: String::new(),
                },
            }),
            _ => None,
        };
        effect.into_iter().collect()
    }

    fn order(&self, name: &str, names_incarnation: bool) -> Option<Effect> {
        let cont = &self.conts[self.find(name)?];
        Some(Effect::Engine {
            call: CallId(INJECTED + self.now),
            request: EngineCall::Kill {
                container: cont.facts.id.clone(),
                signal: 9,
                expect: Expectation {
                    started_at: cont.facts.started_at.clone().filter(|_| names_incarnation),
                    finished_at: None,
                    name: None,
                    states: vec![cont.facts.state],
                },
            },
            not_after: Some(self.instant() + Duration::from_secs(1)),
        })
    }

    /// An order that was meant for the life before.
    fn belated_order(&self, name: &str) -> Option<Effect> {
        let mut order = self.order(name, true)?;
        if let Effect::Engine {
            request: EngineCall::Kill { expect, .. },
            ..
        } = &mut order
        {
            expect.started_at = Some("the life before".into());
        }
        Some(order)
    }

    fn thaw_order(&self, name: &str) -> Option<Effect> {
        let cont = &self.conts[self.find(name)?];
        Some(Effect::Engine {
            call: CallId(INJECTED + self.now),
            request: EngineCall::Unpause {
                container: cont.facts.id.clone(),
                expect: Expectation {
                    started_at: cont.facts.started_at.clone(),
                    finished_at: None,
                    name: None,
                    states: vec![ContainerState::Paused],
                },
            },
            not_after: None,
        })
    }

    fn start_order(&self, name: &str) -> Option<Effect> {
        let cont = &self.conts[self.find(name)?];
        let down = matches!(
            cont.facts.state,
            ContainerState::Exited | ContainerState::Created
        );
        down.then(|| Effect::Engine {
            call: CallId(INJECTED + self.now),
            request: EngineCall::Start {
                container: cont.facts.id.clone(),
                expect: Expectation {
                    started_at: cont.facts.started_at.clone(),
                    finished_at: cont.facts.finished_at.clone(),
                    name: None,
                    states: vec![ContainerState::Exited, ContainerState::Created],
                },
            },
            not_after: None,
        })
    }

    /// Every consumer of the token queue is told that it has the token.
    fn token_for_all(&mut self, index: usize, input: &Input) -> Vec<Effect> {
        if !matches!(input, Input::Tick) || self.now < 15 * S {
            return Vec::new();
        }
        let now = self.now;
        if let Some(proc) = self.procs[index].as_mut()
            && let Some(token) = &mut proc.token
            && token.granted.is_none()
        {
            token.granted = Some(now);
            let (channel, life, conn) = (token.id, proc.life, proc.conn());
            if let Some(conn) = conn {
                self.after(
                    MS,
                    crate::world::Event::Work {
                        proc: index,
                        life,
                        work: crate::world::Work::FromBroker(
                            conn,
                            Box::new(Input::TokenGranted { channel }),
                        ),
                    },
                );
            }
        }
        Vec::new()
    }
}
