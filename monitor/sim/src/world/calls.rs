//! Calls of healers to the engine: check, then call, and nothing in between that could hold the world.

use super::{Event, Point, Work, World};
use crate::check::Rule;
use crate::clock::{EPOCH, MS, S};
use crate::container::{Will, freeze};
use crate::sabotage::Sabotage;
use planaria_core::engine::{
    ContainerState, EngineCall, EngineError, EngineReply, EventKind, Expectation,
};
use planaria_core::id::{CallId, ContainerId};
use planaria_core::time::Instant;

/// The client's deadline for one call.
pub(crate) const DEADLINE: u64 = 2 * S;

/// One call on its way.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) proc: usize,
    pub(crate) life: u64,
    pub(crate) id: CallId,
    pub(crate) request: EngineCall,
    pub(crate) not_after: Option<Instant>,
    /// When the state machine wanted it.
    pub(crate) wanted_at: u64,
    /// When the engine said that the expectation holds.
    pub(crate) checked_at: u64,
    /// The container's life then.
    pub(crate) checked_life: u64,
}

/// An answer on its way back.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) life: u64,
    pub(crate) call: CallId,
    pub(crate) result: Result<EngineReply, EngineError>,
}

impl Call {
    pub(crate) fn new(
        proc: usize,
        life: u64,
        id: CallId,
        request: EngineCall,
        not_after: Option<Instant>,
    ) -> Self {
        Self {
            proc,
            life,
            id,
            request,
            not_after,
            wanted_at: 0,
            checked_at: 0,
            checked_life: 0,
        }
    }

    /// Whom it would change, and what must hold; `None` for questions.
    pub(crate) fn change(&self) -> Option<(&ContainerId, &Expectation)> {
        match &self.request {
            EngineCall::Ping
            | EngineCall::List
            | EngineCall::Inspect(_)
            | EngineCall::Probe { .. }
            | EngineCall::History { .. } => None,
            EngineCall::Start { container, expect }
            | EngineCall::Recreate {
                container, expect, ..
            }
            | EngineCall::Kill {
                container, expect, ..
            }
            | EngineCall::Unpause { container, expect }
            | EngineCall::Connect {
                container, expect, ..
            } => Some((container, expect)),
        }
    }

    /// It changes what runs.
    pub(crate) fn is_force(&self) -> bool {
        matches!(
            self.request,
            EngineCall::Kill { .. } | EngineCall::Connect { .. } | EngineCall::Recreate { .. }
        )
    }

    /// It is a signal that ends that container.
    pub(crate) fn ends(&self, id: &ContainerId) -> bool {
        match &self.request {
            EngineCall::Kill {
                container, signal, ..
            } => container == id && !matches!(signal, 18 | 19),
            _ => false,
        }
    }

    fn reply(&self, result: Result<EngineReply, EngineError>) -> Reply {
        Reply {
            life: self.life,
            call: self.id,
            result,
        }
    }
}

impl World {
    pub(crate) fn by_id(&self, id: &ContainerId) -> Option<usize> {
        self.conts
            .iter()
            .position(|cont| !cont.removed && cont.facts.id == *id)
    }

    /// The same, also of one that is no more.
    pub(crate) fn ever_by_id(&self, id: &ContainerId) -> Option<usize> {
        self.conts.iter().position(|cont| cont.facts.id == *id)
    }

    /// A state machine wants something of the engine.
    pub(crate) fn call(&mut self, mut call: Call) {
        call.wanted_at = self.now;
        self.check_wanted(&call);
        let Some(proc) = self.proc_mut(call.proc, call.life) else {
            return;
        };
        proc.pending.insert(call.id);
        if self.engine.down {
            self.fail(
                call.proc,
                call.life,
                call.id,
                EngineError::Unreachable {
                    reason: "no such file or directory".into(),
                },
            );
            return;
        }
        let late = Work::Replied(Box::new(call.reply(Err(EngineError::TimedOut))));
        self.after(
            DEADLINE,
            Event::Work {
                proc: call.proc,
                life: call.life,
                work: late,
            },
        );
        let delay = self.draw(MS / 5, 3 * MS) + self.engine_delay();
        self.after(delay, Event::CallArrives(Box::new(call)));
    }

    fn engine_delay(&mut self) -> u64 {
        match self.engine.slow {
            0 => 0,
            slow => self.draw(0, slow),
        }
    }

    /// A question, or the check before a change, is at the engine.
    pub(crate) fn call_arrives(&mut self, mut call: Call) {
        if self.engine.down {
            return;
        }
        let delay = self.draw(MS / 5, 2 * MS);
        let change = call.change().map(|(id, expect)| {
            let verdict = match &call.request {
                EngineCall::Recreate { container, .. } if self.by_id(container).is_none() => Ok(()),
                _ => self.expectation(id, expect),
            };
            (self.by_id(id), verdict)
        });
        let work = if let Some((target, verdict)) = change {
            call.checked_at = self.now;
            call.checked_life = target.map_or(0, |index| self.conts[index].life);
            Work::Checked(Box::new(call.clone()), verdict)
        } else {
            let result = self.question(&call.request);
            Work::Replied(Box::new(call.reply(result)))
        };
        self.after(
            delay,
            Event::Work {
                proc: call.proc,
                life: call.life,
                work,
            },
        );
    }

    fn expectation(&self, id: &ContainerId, expect: &Expectation) -> Result<(), EngineError> {
        let Some(index) = self.by_id(id) else {
            return Err(EngineError::Gone);
        };
        let facts = &self.conts[index].facts;
        let started = expect.started_at == facts.started_at;
        let finished = expect.finished_at.is_none() || expect.finished_at == facts.finished_at;
        let careless = self.stage.sabotage == Some(Sabotage::CarelessCalls);
        let named = expect.name.as_ref().is_none_or(|name| *name == facts.name);
        let same = started && finished && named;
        if same && expect.states.contains(&facts.state) || careless {
            return Ok(());
        }
        Err(EngineError::Stale {
            found: format!("{:?} since {:?}", facts.state, facts.started_at),
        })
    }

    fn question(&mut self, request: &EngineCall) -> Result<EngineReply, EngineError> {
        if self.engine.refuse > 0 && self.chance(self.engine.refuse) {
            return Err(EngineError::Refused {
                status: 500,
                message: "internal error".into(),
            });
        }
        Ok(match request {
            EngineCall::List => EngineReply::Containers(
                self.conts
                    .iter()
                    .filter(|cont| !cont.removed)
                    .map(|cont| cont.facts.clone())
                    .collect(),
            ),
            EngineCall::Inspect(id) => EngineReply::Container(
                self.by_id(id)
                    .map(|index| Box::new(self.conts[index].facts.clone())),
            ),
            EngineCall::History { since } => EngineReply::History(
                self.engine
                    .ring
                    .iter()
                    .flatten()
                    .filter(|event| event.at >= *since)
                    .cloned()
                    .collect(),
            ),
            EngineCall::Probe { container, .. } => {
                // The port is the kernel's: what is frozen is connected to, and does not answer in time.
                let answers = self
                    .by_id(container)
                    .map(|index| &self.conts[index])
                    .is_some_and(|cont| cont.lives() && cont.freeze == 0 && !cont.nature.sick);
                EngineReply::Probed((!answers).then(|| "no answer within 2 s".to_owned()))
            }
            EngineCall::Ping
            | EngineCall::Recreate { .. }
            | EngineCall::Start { .. }
            | EngineCall::Kill { .. }
            | EngineCall::Unpause { .. }
            | EngineCall::Connect { .. } => EngineReply::Done,
        })
    }

    /// The driver has the engine's word: last look at the clock, then the call.
    pub(crate) fn call_checked(&mut self, call: Call, verdict: Result<(), EngineError>) {
        let waits = self
            .proc(call.proc, call.life)
            .is_some_and(|proc| proc.pending.contains(&call.id));
        if !waits {
            return;
        }
        let late = call.not_after.is_some_and(|at| EPOCH + self.now > at.0);
        let refused = match verdict {
            Err(error) => Some(error),
            Ok(()) if late => Some(EngineError::Late),
            Ok(()) => None,
        };
        if let Some(error) = refused {
            let reply = call.reply(Err(error));
            self.replied(call.proc, reply);
            return;
        }
        // From here on nothing can call it back: not the end of the caller, not its freeze.
        let window = match self.engine.window {
            0 => 0,
            window => self.draw(0, window),
        };
        let delay = self.draw(MS / 10, MS) + window + self.engine_delay();
        self.after(delay, Event::CallMade(Box::new(call)));
    }

    /// The call takes effect, whoever is in that container by now.
    pub(crate) fn call_made(&mut self, call: &Call) {
        if self.engine.down {
            return;
        }
        let Some((id, _)) = call.change() else {
            return;
        };
        if let EngineCall::Recreate {
            container, name, ..
        } = &call.request
        {
            self.make_anew(call, container, name);
            return;
        }
        let Some(index) = self.by_id(id) else {
            self.reply(call.proc, call.reply(Err(EngineError::Gone)));
            return;
        };
        if self.engine.refuse > 0 && self.chance(self.engine.refuse) {
            if self.conts[index].truth.died {
                let now = self.now;
                self.conts[index].truth.refused.push(now);
            }
            self.reply(
                call.proc,
                call.reply(Err(EngineError::Refused {
                    status: 500,
                    message: "internal error".into(),
                })),
            );
            return;
        }
        self.trace.note(self.now, "call", index, || {
            format!(
                "{} calls {} on {}",
                self.conts[call.proc].facts.name,
                verb(&call.request),
                self.conts[index].facts.name
            )
        });
        self.check_made(call, index);
        self.passes(call.proc, call.life, Point::CallMade);
        let reply = match &call.request {
            EngineCall::Start { .. } => {
                let reply = call.reply(Ok(EngineReply::Done));
                self.begin_start(index, Some((call.proc, reply)));
                return;
            }
            EngineCall::Kill { signal, .. } => {
                self.engine_kill(index, *signal).map(|()| EngineReply::Done)
            }
            EngineCall::Unpause { .. } => self.unpause(index).map(|()| EngineReply::Done),
            EngineCall::Connect { attachment, .. } => {
                let cont = &mut self.conts[index];
                if !cont
                    .facts
                    .networks
                    .iter()
                    .any(|known| known.network == attachment.network)
                {
                    cont.facts.networks.push(attachment.clone());
                    let network = attachment.network.clone();
                    let name = cont.facts.name.clone();
                    self.emit(index, EventKind::Connect { network });
                    self.set_cut(&name, false);
                    self.judge(index);
                }
                Ok(EngineReply::Done)
            }
            _ => {
                self.violate(Rule::Incarnation, || {
                    "a question was made a call".to_owned()
                });
                return;
            }
        };
        let reply = call.reply(reply);
        self.reply(call.proc, reply);
    }

    /// A healer makes anew what was removed: the engine's own book says whether the name is free.
    fn make_anew(&mut self, call: &Call, old: &ContainerId, name: &str) {
        self.trace.note(self.now, "call", call.proc, || {
            format!("{} makes {name} anew", self.conts[call.proc].facts.name)
        });
        if self.find(name).is_some() {
            let found = format!("a new {name}");
            self.reply(call.proc, call.reply(Err(EngineError::Stale { found })));
            return;
        }
        let Some(old) = self.ever_by_id(old) else {
            return;
        };
        self.check_made_anew(call, old);
        self.passes(call.proc, call.life, Point::CallMade);
        let spec = self.spec_of(old);
        let new = self.make(&spec);
        self.conts[new].truth.will = Will::Run;
        self.emit(new, EventKind::Create);
        let made = EngineReply::Recreated(self.conts[new].facts.id.clone());
        self.begin_start(new, Some((call.proc, call.reply(Ok(made)))));
    }

    pub(crate) fn unpause(&mut self, index: usize) -> Result<(), EngineError> {
        if self.conts[index].facts.state != ContainerState::Paused {
            return Err(EngineError::Refused {
                status: 500,
                message: "container is not paused".into(),
            });
        }
        self.set_freeze(index, freeze::PAUSED, false);
        self.emit(index, EventKind::Unpause);
        Ok(())
    }

    /// An answer goes back to a process.
    pub(crate) fn reply(&mut self, to: usize, reply: Reply) {
        let delay = self.draw(MS / 5, 2 * MS);
        let life = reply.life;
        self.after(
            delay,
            Event::Work {
                proc: to,
                life,
                work: Work::Replied(Box::new(reply)),
            },
        );
    }
}

pub(crate) fn verb(request: &EngineCall) -> String {
    match request {
        EngineCall::Ping => "ping".into(),
        EngineCall::List => "list".into(),
        EngineCall::Inspect(_) => "inspect".into(),
        EngineCall::History { .. } => "history".into(),
        EngineCall::Probe { .. } => "probe".into(),
        EngineCall::Recreate { .. } => "recreate".into(),
        EngineCall::Start { .. } => "start".into(),
        EngineCall::Kill { signal, .. } => format!("kill -{signal}"),
        EngineCall::Unpause { .. } => "unpause".into(),
        EngineCall::Connect { attachment, .. } => format!("connect {}", attachment.network),
    }
}
