//! The invariants: each rule of safety, looked at where it could be broken.

use crate::clock::{EPOCH, MS, S, nanos, shown};
use crate::container::{Kind, Told, UNWELL_MEMORY, Will};
use crate::world::{Call, STOP_BELIEVED, World};
use planaria_core::engine::{ContainerState, EngineCall, RestartPolicy};
use planaria_core::id::{BootId, RequestId, Term};
use planaria_core::message::{Body, Incident, KeyRole, Outcome, Verb};
use std::collections::BTreeMap;

/// A rule that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// At most one member may use force.
    OneForceUser,
    /// Force needs the token, the lease, and a lease's wait after a predecessor that did not resign.
    Office,
    /// Evidence names an incarnation, and a call hits no other but in the window.
    Incarnation,
    /// What a person stopped stays stopped; what is being stopped is not touched.
    Intent,
    /// Ignorance is not death: no force on what is well.
    Evidence,
    /// A pause may be a commit's, a removal a deployment's: it is left alone for its grace.
    Grace,
    /// Only patients are touched.
    Patients,
    /// What is on hold is not touched.
    Hold,
    /// Healing is bounded.
    Intensity,
    /// People are told of each quarantine, and once.
    Told,
    /// One leader in a term, and terms grow.
    Terms,
    /// Nobody says what its key or its user may not say.
    Permission,
    /// After faults stop, everything comes back within a bound.
    Liveness,
    /// Time passes.
    Spins,
    /// Whatever goes in and comes out can be written down.
    Recording,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// When, in simulated nanoseconds.
    pub at: u64,
    /// What happened.
    pub text: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} at {} s: {}",
            self.rule,
            shown(self.at).trim(),
            self.text
        )
    }
}

/// A change that a healer made.
#[derive(Clone, Debug)]
pub struct Deed {
    /// When it took effect.
    pub at: u64,
    /// Who.
    pub by: String,
    /// On whom.
    pub name: String,
    /// What: `start`, `kill -9`, `unpause`, `connect NETWORK`.
    pub verb: String,
    /// It changes what runs.
    pub force: bool,
    /// It found nothing to do.
    pub idle: bool,
}

/// All that is kept of a run.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What healers did, oldest first.
    pub deeds: Vec<Deed>,
    /// What they should not have done.
    pub violations: Vec<Violation>,
    /// What was published for people, as (key, kind and text).
    pub alerts: Vec<(u64, String)>,
    /// With the time that each was asked.
    questions: BTreeMap<RequestId, (u64, Verb)>,
    answers: BTreeMap<RequestId, Outcome>,
    offices: BTreeMap<u64, BTreeMap<BootId, u64>>,
    highest: BTreeMap<BootId, u64>,
    last_resign: Option<u64>,
    requests: u64,
    stopped: bool,
}

/// More violations than these tell nothing new.
const VIOLATIONS_MAX: usize = 10;

impl Ledger {
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stopped
    }

    pub(crate) fn next_request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    pub(crate) fn asked(&mut self, now: u64, id: RequestId, verb: Verb) {
        self.questions.insert(id, (now, verb));
    }

    pub(crate) fn question(&self, id: &RequestId) -> Option<(u64, Verb)> {
        self.questions.get(id).cloned()
    }

    pub(crate) fn answered(&mut self, id: RequestId, outcome: Outcome) {
        self.answers.insert(id, outcome);
    }

    /// The answers to people's requests.
    pub fn answers(&self) -> impl Iterator<Item = &Outcome> {
        self.answers.values()
    }
}

/// What comes through the broker reaches everybody within this, in a world without faults.
const NEWS: u64 = 500 * MS;

/// A hold is handed on in milliseconds left, in a beat that may be old: it may end so much early.
const HOLD_SLACK: u64 = 3 * S;

/// An event of the engine is at its listeners within this.
const EVENT_DELAY: u64 = 10 * MS;

/// A connection that is lost within this took what was written last with it.
const TOLD_LOST: u64 = 10 * S;

/// A new leader tells when it has waited so long for what others remember: its announcement and their answer
/// are two messages, of two ways each.
const WAYS_TO_A_MEMORY: u64 = 4;

/// How failed healings begin that left no start behind and count all the same.
const COUNTED: [&str; 3] = [
    "the engine refused",
    "the order had no effect",
    "it does not die",
];

/// How long a hung broker must have hung before its host's guardian forces it, a little less.
const BROKER_PATIENCE: u64 = 29 * S;

/// What was removed may be made anew by the person who removed it: for so long nobody else does it.
const NAME_FREE: u64 = 60 * S;

/// The label that allows making anew.
const RECREATE: &str = "planaria.recreate";

fn within(times: &[u64], now: u64, span: u64) -> usize {
    let since = now.saturating_sub(span);
    times.iter().filter(|at| **at >= since).count()
}

impl World {
    pub(crate) fn violate(&mut self, rule: Rule, text: impl FnOnce() -> String) {
        if self.ledger.violations.len() >= VIOLATIONS_MAX {
            return;
        }
        let text = text();
        let at = self.now;
        self.trace.note(at, "violation", rule as usize, || {
            format!("VIOLATION {rule:?}: {text}")
        });
        self.ledger.violations.push(Violation { rule, at, text });
    }

    fn name(&self, index: usize) -> String {
        self.conts[index].facts.name.clone()
    }

    /// Looked at a few times a second: at most one member may use force.
    pub(crate) fn sample(&mut self) {
        let forcing = self.forcing();
        if forcing.len() > 1 && !self.stage.solo {
            let names: Vec<_> = forcing.iter().map(|index| self.name(*index)).collect();
            self.violate(Rule::OneForceUser, || {
                format!("{} may all use force", names.join(", "))
            });
        }
    }

    /// Who may use force now. A frozen process may think so: it acts on nothing before it looks again.
    pub(crate) fn forcing(&self) -> Vec<usize> {
        let now = self.instant();
        self.procs
            .iter()
            .enumerate()
            .filter(|(index, proc)| {
                self.conts[*index].kind == Kind::Healer
                    && proc.as_ref().is_some_and(|proc| proc.node.may_force(now))
            })
            .map(|(index, _)| index)
            .collect()
    }

    /// A state machine wants a change.
    pub(crate) fn check_wanted(&mut self, call: &Call) {
        let Some((id, expect)) = call.change() else {
            return;
        };
        let by = self.name(call.proc);
        if self.conts[call.proc].kind != Kind::Healer {
            self.violate(Rule::Permission, || {
                format!("{by} is no healer and calls the engine")
            });
        }
        let target = match &call.request {
            EngineCall::Recreate { .. } => self.ever_by_id(id),
            _ => self.by_id(id),
        };
        let Some(target) = target else {
            return;
        };
        let name = self.name(target);
        if expect.states.is_empty() || call.is_force() && expect.started_at.is_none() {
            self.violate(Rule::Incarnation, || {
                format!("{by} would change {name} without naming its incarnation")
            });
        }
        if call.is_force() {
            self.check_office(call, target, &by, &name);
            self.check_evidence(call, target, &by, &name);
        }
        self.check_stopping(call, target, &by, &name);
    }

    fn check_office(&mut self, call: &Call, target: usize, by: &str, name: &str) {
        if self.stage.solo {
            return;
        }
        if self.conts[target].kind == Kind::Broker {
            let truth = &self.conts[target].truth;
            let hung = truth.ailing.filter(|_| truth.unwell.is_some());
            if hung.is_some_and(|since| self.now - since >= BROKER_PATIENCE) {
                return;
            }
        }
        let forcing = self.forcing();
        if forcing != [call.proc] {
            let names: Vec<_> = forcing.iter().map(|index| self.name(*index)).collect();
            self.violate(Rule::Office, || {
                format!("{by} forces {name}, but those who may are: {names:?}")
            });
            return;
        }
        let now = EPOCH + self.now;
        let lease = nanos(self.stage.settings.lease);
        if call.not_after.is_none_or(|at| at.0 > now + lease) {
            self.violate(Rule::Office, || {
                format!("{by} forces {name} without the end of its lease as deadline")
            });
        }
        let granted = self
            .proc(call.proc, call.life)
            .and_then(|proc| proc.token)
            .and_then(|token| token.granted);
        let waited = granted.is_some_and(|at| self.now - at >= lease);
        let handed_over = granted
            .zip(self.ledger.last_resign)
            .is_some_and(|(granted, resigned)| resigned <= granted && granted - resigned < 10 * S);
        if !waited && !handed_over {
            self.violate(Rule::Office, || {
                format!("{by} forces {name} before its predecessor's lease is surely past")
            });
        }
    }

    fn check_evidence(&mut self, call: &Call, target: usize, by: &str, name: &str) {
        let limit = self.stage.settings.restart_limit as usize;
        let window = nanos(self.stage.settings.restart_window) + 10 * S;
        let now = self.now;
        let cont = &self.conts[target];
        let truth = &cont.truth;
        let recently = truth
            .unwell_until
            .is_some_and(|until| now - until <= UNWELL_MEMORY);
        let loops = cont.restarts_within(now, window) >= limit
            || cont.facts.state == ContainerState::Restarting;
        // Docker has just brought it back by its own policy, and the news of it is on its way: what is wanted
        // quotes the life before, and is refused.
        let just_back = cont.in_a_row > 0 && now - cont.ran_since <= EVENT_DELAY;
        let explained = truth.unwell.is_some() || recently || truth.asked || loops || just_back;
        if !explained && cont.lives() {
            let verb = crate::world::verb(&call.request);
            self.violate(Rule::Evidence, || {
                format!("{by} wants {verb} of {name}, which is well and was for long")
            });
        }
    }

    /// Between the stop signal and the `stop` event nothing is touched.
    fn check_stopping(&mut self, call: &Call, target: usize, by: &str, name: &str) {
        let Some(stop) = self.conts[target].stop else {
            return;
        };
        // What began while its stream was broken it can only guess from the history.
        let awake = self.proc(call.proc, call.life).is_some_and(|proc| {
            self.now - proc.awake_since > EVENT_DELAY
                && proc.stream
                && proc.stream_since < stop.since
        });
        let knows = awake && self.now - stop.since > EVENT_DELAY;
        if knows && !self.conts[target].truth.tainted && !self.conts[target].truth.asked {
            let verb = crate::world::verb(&call.request);
            self.violate(Rule::Intent, || {
                format!("{by} wants {verb} of {name}, which is just being stopped")
            });
        }
    }

    /// A call takes effect.
    pub(crate) fn check_made(&mut self, call: &Call, target: usize) {
        let by = self.name(call.proc);
        let name = self.name(target);
        let verb = crate::world::verb(&call.request);
        let cont = &self.conts[target];
        let idle = match call.request {
            EngineCall::Start { .. } => {
                World::runs(cont.facts.state) || cont.facts.state == ContainerState::Removing
            }
            EngineCall::Unpause { .. } => cont.facts.state != ContainerState::Paused,
            _ => false,
        };
        // What it hits now may be another life than the one that was checked: that is the window.
        let within_window = cont.life != call.checked_life;
        self.ledger.deeds.push(Deed {
            at: self.now,
            by: by.clone(),
            name: name.clone(),
            verb: verb.clone(),
            force: call.is_force(),
            idle,
        });
        if idle || within_window {
            return;
        }
        self.check_life(call, target, &by, &name, &verb);
        self.check_grace(call, target, &by, &name);
        self.check_patient(call, target, &by, &name, &verb);
        self.check_hold(call, target, &by, &name, &verb);
        if matches!(call.request, EngineCall::Start { .. }) {
            self.check_start(call, target, &by, &name);
        }
    }

    /// A healer makes anew what was removed.
    pub(crate) fn check_made_anew(&mut self, call: &Call, old: usize) {
        let by = self.name(call.proc);
        let name = self.name(old);
        self.ledger.deeds.push(Deed {
            at: self.now,
            by: by.clone(),
            name: name.clone(),
            verb: "recreate".to_owned(),
            force: true,
            idle: false,
        });
        let cont = &self.conts[old];
        let label = cont.facts.labels.get(RECREATE).map(String::as_str);
        let removed = cont.truth.removed_at.unwrap_or(self.now);
        let (died, tainted) = (cont.truth.died, cont.truth.tainted);
        if label != Some("true") {
            self.violate(Rule::Patients, || {
                format!("{by} makes {name} anew, whose labels do not allow it")
            });
        }
        if self.now - removed < NAME_FREE {
            self.violate(Rule::Grace, || {
                format!("{by} makes {name} anew while its name is still a person's to take")
            });
        }
        if !died && !tainted {
            self.violate(Rule::Intent, || {
                format!("{by} makes {name} anew, which was stopped before it was removed")
            });
        }
        self.check_hold(call, old, &by, &name, "recreate");
    }

    /// A force hits the life that was judged; that it became another one since the check is the window.
    fn check_life(&mut self, call: &Call, target: usize, by: &str, name: &str, verb: &str) {
        let judged = call.change().map(|(_, expect)| &expect.started_at);
        let other = judged.is_some_and(|judged| *judged != self.conts[target].facts.started_at);
        if call.is_force() && other {
            self.violate(Rule::Incarnation, || {
                format!("{by} makes {verb} of {name} in another life than the one it judged")
            });
        }
    }

    fn check_grace(&mut self, call: &Call, target: usize, by: &str, name: &str) {
        let grace = nanos(self.stage.settings.pause_grace);
        let truth = &self.conts[target].truth;
        let early = truth
            .paused_since
            .is_some_and(|since| self.now - since < grace);
        // The order for the pause before was out already, or its author just woke and has it all to hear.
        let since = truth.paused_since.unwrap_or(0);
        let awake = self
            .proc(call.proc, call.life)
            .is_none_or(|proc| proc.awake_since + EVENT_DELAY < call.wanted_at);
        let news = if truth.paused_before { EVENT_DELAY } else { 0 };
        let unaware = call.wanted_at < since + news || !awake || truth.pause_lost;
        let excused = unaware || truth.asked;
        if matches!(call.request, EngineCall::Unpause { .. }) && early && !excused {
            self.violate(Rule::Grace, || {
                format!("{by} thaws {name} before its grace is over")
            });
        }
    }

    fn check_patient(&mut self, call: &Call, target: usize, by: &str, name: &str, verb: &str) {
        let cont = &self.conts[target];
        let label = |key: &str| cont.facts.labels.get(key).map(String::as_str);
        let plain_created = cont.facts.state == ContainerState::Created
            && cont.facts.started_at.is_none()
            && cont.facts.error.is_empty();
        let foreign = label("planaria.enable") != Some("true")
            || label("com.docker.compose.project") != Some(crate::container::PROJECT)
            || label("com.docker.compose.oneoff") == Some("True")
            || label("planaria.policy") == Some("no");
        let renamed = cont
            .facts
            .name
            .split_once('_')
            .is_some_and(|(head, _)| cont.facts.id.as_str().starts_with(head));
        // The news of it must have had its time.
        let known = cont
            .truth
            .renamed
            .is_some_and(|at| call.wanted_at > at + EVENT_DELAY);
        let renamed = renamed && known && !cont.truth.tainted;
        if (plain_created || foreign || renamed) && !cont.truth.asked {
            self.violate(Rule::Patients, || {
                format!("{by} makes {verb} of {name}, which is nobody's patient")
            });
        }
    }

    fn check_hold(&mut self, call: &Call, target: usize, by: &str, name: &str, verb: &str) {
        let truth = &self.conts[target].truth;
        // It is promised in a beat: one that was away or cut off has had none since, and its own tell it nothing.
        let heard = |since: u64| {
            self.proc(call.proc, call.life).is_some_and(|proc| {
                let first = proc.others_heard.partition_point(|at| *at <= since);
                let first = proc.others_heard.get(first);
                first.is_some_and(|at| *at <= call.wanted_at)
            })
        };
        let held = truth.holds.iter().any(|held| {
            let there = heard(held.since) || held.known_to.contains(&call.proc) || self.stage.solo;
            let then = call.wanted_at > held.since + 2 * S;
            there && then && call.wanted_at + HOLD_SLACK < held.until
        });
        if held && !truth.asked {
            self.violate(Rule::Hold, || {
                format!("{by} makes {verb} of {name}, which is on hold")
            });
        }
    }

    fn check_start(&mut self, call: &Call, target: usize, by: &str, name: &str) {
        let limit = self.stage.settings.restart_limit as usize;
        let window = nanos(self.stage.settings.restart_window);
        let cont = &self.conts[target];
        let truth = &cont.truth;
        if truth.asked {
            return;
        }
        if let Will::Stopped(since) = truth.will
            && call.wanted_at > since + EVENT_DELAY
            && !truth.tainted
            && !self.engine_went_before_it_could_tell(call, since)
        {
            let at = shown(since);
            self.violate(Rule::Intent, || {
                format!(
                    "{by} starts {name}, which a person stopped at {} s",
                    at.trim()
                )
            });
            return;
        }
        let clean_end = matches!(
            cont.facts.restart_policy,
            RestartPolicy::No | RestartPolicy::OnFailure(_)
        ) && cont.facts.exit_code == 0
            && !cont.manual
            && cont.facts.started_at.is_some();
        if clean_end && cont.facts.error.is_empty() {
            self.violate(Rule::Intent, || {
                format!("{by} starts {name}, which ended cleanly and has no policy to run again")
            });
            return;
        }
        // Three seconds of slack: the start that is judged now takes effect later.
        // One that came since the clock was set cannot date what was before: it counts from then on.
        let came = self.conts[call.proc].ran_since;
        let set = self.engine.clock_set.iter().rfind(|at| came >= **at);
        let span = set.map_or(window - 3 * S, |at| (window - 3 * S).min(self.now - *at));
        let recent = cont.restarts_within(self.now, span);
        // The engine remembers no start that it refused: without the broker each healer knows its own.
        let attempts = recent + within(&truth.refused, self.now, window - 3 * S);
        let healers = self
            .stage
            .containers
            .iter()
            .filter(|spec| spec.kind == Kind::Healer)
            .count();
        // Two orders may be under way at once, where their author died over one of them.
        let newest = truth.restarts.back().copied().unwrap_or(0);
        let unaware = call.wanted_at <= newest + EVENT_DELAY;
        // One that was away counts only what it is told, and what the engine remembers is dated by its clock.
        let disturbed = self.disturbed.is_some_and(|at| self.now - at < window);
        let most = if disturbed { 2 * limit - 1 } else { limit };
        let broken = recent >= most && !unaware || attempts > limit * healers;
        let unheard = truth.lost.is_some_and(|at| self.now - at < window);
        if broken && truth.died && !unheard {
            self.violate(Rule::Intensity, || {
                format!("{by} starts {name} although it was restarted {recent} times of late and tried {attempts} times")
            });
        }
    }

    /// The engine went down before this healer, frozen until then, saw it answer after the stop: to it
    /// the stop may have been the engine's own.
    fn engine_went_before_it_could_tell(&self, call: &Call, stopped: u64) -> bool {
        let awake = self
            .proc(call.proc, call.life)
            .map_or(self.now, |proc| proc.awake_since);
        self.engine
            .went_down
            .is_some_and(|at| at > stopped && awake.max(stopped) + STOP_BELIEVED > at)
    }

    /// A message goes out through the broker.
    pub(crate) fn check_publish(&mut self, index: usize, key: &str, body: &Body) {
        let by = self.name(index);
        let healer = self.conts[index].kind == Kind::Healer;
        let topic = key.starts_with("heartbeat.") || key.starts_with("report.");
        if !healer && (!topic || body.key() != KeyRole::Member) {
            self.violate(Rule::Permission, || {
                format!("{by} is a plain member and says {} as {key}", body.kind())
            });
        }
        match body {
            Body::Beat(beat) => self.check_term(index, beat.term, beat.token, &by),
            Body::Coordinator { term, token, .. } => self.check_term(index, *term, *token, &by),
            Body::Resign { .. } => self.ledger.last_resign = Some(self.now),
            Body::Alert(alert) => {
                let now = self.now;
                let text = format!("{} {}", alert.kind, alert.text);
                self.trace.say(now, || format!("  {by} ALERT {text}"));
                if alert.kind == "quarantined"
                    && let Some(name) = &alert.name
                {
                    self.check_told(index, name.as_str(), &by);
                }
                self.ledger.alerts.push((now, text));
            }
            Body::Incident(incident) => {
                let now = self.now;
                self.trace
                    .say(now, || format!("  {by} incident {incident:?}"));
                self.note_failure(incident);
            }
            _ => {}
        }
    }

    /// The alert of a quarantine: nobody tells of it again, but who could not know that it was told.
    fn check_told(&mut self, index: usize, name: &str, by: &str) {
        let Some(target) = self.find(name) else {
            return;
        };
        let (now, life) = (self.now, self.conts[target].life);
        let linked = |world: &Self, (proc, life): (usize, u64)| {
            world
                .proc(proc, life)
                .is_some_and(|proc| proc.conn().is_some())
        };
        let teller = (
            index,
            self.procs[index].as_ref().map_or(0, |proc| proc.life),
        );
        let told = Told {
            life,
            at: now,
            by: teller,
            linked: linked(self, teller),
            led: self
                .proc(teller.0, teller.1)
                .and_then(|proc| proc.token)
                .is_some_and(|token| token.granted.is_some()),
        };
        let before = self.conts[target].truth.told;
        let before = before.filter(|before| before.life == life);
        if before.is_some_and(|before| before.by == teller && !before.linked) {
            // Told while its broker was away, and delivered now: it is still the word of one who reached nobody.
            return;
        }
        self.conts[target].truth.told = Some(told);
        let Some(before) = before else {
            return;
        };
        // What a teller wrote of it is lost with its connection.
        let lost = self
            .links_lost
            .get(&before.by)
            .is_some_and(|at| *at + S >= before.at && *at <= before.at + TOLD_LOST);
        // Who led nobody tells a leader that comes later, if it still can.
        let dumb =
            self.proc(before.by.0, before.by.1).is_none() || self.conts[before.by.0].freeze != 0;
        let lost = lost || !before.led && dumb;
        // And one that is cut off hears nothing of it.
        let deaf = self.procs[index]
            .as_ref()
            .is_none_or(|proc| proc.others_heard.last() < Some(&before.at))
            || self.cut_broker.contains(by)
            || self.cut_broker.contains(&self.name(before.by.0))
            || now - before.at < WAYS_TO_A_MEMORY * self.broker.slowest_of_late(now);
        let could_know = before.linked && told.linked && !lost && !deaf;
        if could_know && !self.stage.solo {
            let at = shown(before.at);
            self.violate(Rule::Told, || {
                format!(
                    "{by} tells of the quarantine of {name}, which was told at {} s",
                    at.trim()
                )
            });
        }
    }

    /// A healing that failed without a start counts as an attempt: it must not be repeated for ever.
    fn note_failure(&mut self, incident: &Incident) {
        let counted = incident
            .notes
            .get("failed")
            .is_some_and(|why| COUNTED.iter().any(|start| why.starts_with(start)));
        let now = self.now;
        if counted && let Some(target) = self.by_id(&incident.container) {
            self.conts[target].truth.failures.push(now);
        }
    }

    /// A datagram goes out.
    pub(crate) fn check_direct(&mut self, index: usize, body: &Body) {
        let by = self.name(index);
        if self.conts[index].kind != Kind::Healer && body.key() != KeyRole::Member {
            self.violate(Rule::Permission, || {
                format!("{by} is a plain member and sends {}", body.kind())
            });
        }
        if let Body::Coordinator { term, token, .. } = body {
            self.check_term(index, *term, *token, &by);
        }
    }

    fn check_term(&mut self, index: usize, term: Term, token: bool, by: &str) {
        let Some(boot) = self.procs[index].as_ref().map(|proc| proc.boot) else {
            return;
        };
        if term.boot != boot {
            self.violate(Rule::Terms, || {
                format!("{by} leads in a term that is not its own")
            });
        }
        let highest = self.ledger.highest.entry(boot).or_default();
        if term.number < *highest {
            let before = *highest;
            self.violate(Rule::Terms, || {
                format!("{by} leads in term {term} after it led in term {before}")
            });
            return;
        }
        *highest = term.number;
        if token {
            let now = self.now;
            let holders = self.ledger.offices.entry(term.number).or_default();
            holders.insert(boot, now);
            let recent = holders.values().filter(|at| now - **at < NEWS).count();
            if recent > 1 && self.forcing().len() > 1 {
                self.violate(Rule::Terms, || {
                    format!("two lead with the token in term {term}")
                });
            }
        }
    }
}
