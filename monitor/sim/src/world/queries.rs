//! What a story asks of the world, and how it moves on.

use super::{Act, Event, World};
use crate::check::{Deed, Rule, Violation};
use crate::clock::{S, nanos};
use crate::container::{Cont, Kind, Will};
use crate::plan::Planned;
use anyhow::{Context, Result, bail};
use planaria_core::engine::{ContainerState, EventKind};
use planaria_core::id::MemberName;
use planaria_core::message::{MemberState, Verb};
use planaria_core::status::Status;
use std::time::Duration;

/// Everything stands, is heard, and has a leader that may act within this, from nothing.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// Within so long a quarantine ends by itself; a container that was restarted too often may be in it.
const QUARANTINE_MEMORY: u64 = 20 * 60 * S;

impl World {
    /// Lets time pass.
    pub fn run_for(&mut self, span: Duration) {
        self.run_to(self.now + nanos(span));
    }

    /// Something happens now.
    pub fn happens(&mut self, act: Act) {
        self.write_down(self.now, false, &act);
        self.act(act);
    }

    /// Something will happen.
    pub fn later(&mut self, delay: Duration, act: Act) {
        self.write_down(self.now.saturating_add(nanos(delay)), true, &act);
        self.after(nanos(delay), Event::Act(act));
    }

    fn write_down(&mut self, at: u64, follows: bool, act: &Act) {
        if let Some(script) = &mut self.script {
            let act = act.clone();
            script.push(Planned { at, follows, act });
        }
    }

    /// Lets time pass until it is so; says how long it took.
    ///
    /// # Errors
    /// Where it is not so within the bound.
    pub fn until(
        &mut self,
        what: &str,
        bound: Duration,
        so: impl Fn(&Self) -> bool,
    ) -> Result<Duration> {
        let began = self.now;
        let end = began + nanos(bound);
        loop {
            if so(self) {
                return Ok(Duration::from_nanos(self.now - began));
            }
            if self.now >= end || self.ledger.stopped() {
                let names = self.unwell_names();
                bail!("not within {bound:?}: {what} (not as they should be: {names})");
            }
            // A step of time rather than of the heap: the stories' answers are in tens of milliseconds.
            self.run_to((self.now + 10_000_000).min(end));
        }
    }

    /// From nothing to a group that stands.
    ///
    /// # Errors
    /// Where it does not stand within a minute.
    pub fn settle(&mut self) -> Result<()> {
        self.until(
            "everything stands and somebody may act",
            SETTLES_WITHIN,
            |world| world.leader().is_some() && world.all_well(),
        )?;
        // Health of BACKOFF_RESET, a probe answered, a beat with the whole table.
        self.run_for(Duration::from_secs(15));
        self.ledger.deeds.clear();
        Ok(())
    }

    /// What was broken so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.ledger.violations
    }

    /// The simulated time.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    /// Who may use force (in a solo world: the one that watches).
    #[must_use]
    pub fn leader(&self) -> Option<String> {
        self.forcing()
            .first()
            .map(|index| self.conts[*index].facts.name.clone())
    }

    /// Everyone that holds an office, with or without the token.
    #[must_use]
    pub fn in_office(&self) -> Vec<String> {
        self.statuses()
            .filter(|status| status.is_leader)
            .map(|status| status.node.to_string())
            .collect()
    }

    /// What every living monitor says of itself.
    pub(crate) fn statuses(&self) -> impl Iterator<Item = Status> {
        let now = self.instant();
        self.procs
            .iter()
            .flatten()
            .map(move |proc| proc.node.status(now))
    }

    fn statuses_of_the_well(&self) -> impl Iterator<Item = Status> {
        let now = self.instant();
        self.procs
            .iter()
            .zip(&self.conts)
            .filter(|(_, cont)| cont.well())
            .filter_map(move |(proc, _)| Some(proc.as_ref()?.node.status(now)))
    }

    /// What one monitor says of itself.
    #[must_use]
    pub fn status(&self, name: &str) -> Option<Status> {
        let index = self.find(name)?;
        let now = self.instant();
        self.procs[index].as_ref().map(|proc| proc.node.status(now))
    }

    /// How the leader sees a container.
    #[must_use]
    pub fn seen(&self, name: &str) -> Option<MemberState> {
        let leader = self.leader()?;
        self.status(&leader)?
            .members
            .into_iter()
            .find(|view| view.name.as_str() == name)
            .map(|view| view.state)
    }

    /// Its first process exists.
    #[must_use]
    pub fn runs_now(&self, name: &str) -> bool {
        self.find(name)
            .is_some_and(|index| self.conts[index].lives())
    }

    /// It runs and nothing is wrong with it.
    #[must_use]
    pub fn is_well(&self, name: &str) -> bool {
        self.find(name)
            .is_some_and(|index| self.conts[index].well())
    }

    /// How often it was started.
    #[must_use]
    pub fn lives_of(&self, name: &str) -> u64 {
        self.find(name).map_or(0, |index| self.conts[index].life)
    }

    /// The engine's id of the container that has this name now.
    #[must_use]
    pub fn id_of(&self, name: &str) -> String {
        self.find(name)
            .map(|index| self.conts[index].facts.id.to_string())
            .unwrap_or_default()
    }

    /// The engine's word for its state.
    #[must_use]
    pub fn state_of(&self, name: &str) -> Option<ContainerState> {
        self.find(name).map(|index| self.conts[index].facts.state)
    }

    /// What healers did since the story began that was not idle.
    pub fn deeds(&self) -> impl Iterator<Item = &Deed> {
        self.ledger.deeds.iter().filter(|deed| !deed.idle)
    }

    /// What healers did to one container.
    pub fn deeds_on(&self, name: &str) -> Vec<&Deed> {
        self.deeds().filter(|deed| deed.name == name).collect()
    }

    /// Nobody did anything.
    ///
    /// # Errors
    /// Where somebody did.
    pub fn nobody_acted(&self) -> Result<()> {
        match self.deeds().next() {
            None => Ok(()),
            Some(deed) => bail!("{} made {} of {}", deed.by, deed.verb, deed.name),
        }
    }

    /// Just these were started by healers, each once, and nothing else was done.
    ///
    /// # Errors
    /// Where it was otherwise.
    pub fn only_started(&self, names: &[&str]) -> Result<()> {
        for deed in self.deeds() {
            if deed.verb != "start" || !names.contains(&deed.name.as_str()) {
                bail!("{} made {} of {}", deed.by, deed.verb, deed.name);
            }
        }
        for name in names {
            let count = self.deeds_on(name).len();
            if count != 1 {
                bail!("{name} was started {count} times by healers, not once");
            }
        }
        Ok(())
    }

    /// How many alerts of a kind there were.
    #[must_use]
    pub fn alerts(&self, kind: &str) -> usize {
        self.ledger
            .alerts
            .iter()
            .filter(|(_, text)| text.starts_with(kind))
            .count()
    }

    /// How often the engine said that it was started, as far as it remembers.
    #[must_use]
    pub fn starts_in_history(&self, name: &str) -> usize {
        self.engine
            .ring
            .iter()
            .flatten()
            .filter(|event| event.name == name && event.kind == EventKind::Start)
            .count()
    }

    /// What the engine said of a container, oldest first, in the words of its recordings: `kill-9`,
    /// `die-137`, `stop`, `start`, …; without its making and its health.
    #[must_use]
    pub fn told_of(&self, id: &str) -> Vec<String> {
        let told = self.engine.ring.iter().flatten();
        told.filter(|event| event.container.as_str() == id)
            .filter_map(|event| match &event.kind {
                EventKind::Kill { signal } => Some(format!("kill-{signal}")),
                EventKind::Die { exit_code } => Some(format!("die-{exit_code}")),
                EventKind::Start => Some("start".into()),
                EventKind::Stop => Some("stop".into()),
                EventKind::Pause => Some("pause".into()),
                EventKind::Unpause => Some("unpause".into()),
                EventKind::Destroy => Some("destroy".into()),
                EventKind::Oom => Some("oom".into()),
                _ => None,
            })
            .collect()
    }

    /// The recording of the process that [`Stage::record`](super::Stage::record) names, since its last boot.
    #[must_use]
    pub fn recording(&self) -> &str {
        self.recorder.text()
    }

    /// A healer that does not lead, the lowest of them.
    ///
    /// # Errors
    /// Where there is none.
    pub fn follower(&self) -> Result<String> {
        let leader = self.leader();
        self.conts
            .iter()
            .filter(|cont| cont.kind == Kind::Healer && cont.well())
            .map(|cont| cont.facts.name.clone())
            .find(|name| Some(name) != leader.as_ref())
            .context("no healer but the leader is well")
    }

    /// The leader.
    ///
    /// # Errors
    /// Where nobody may use force.
    pub fn the_leader(&self) -> Result<String> {
        self.leader().context("nobody may use force")
    }

    /// A person asks at this healer's command line.
    pub fn asks(&mut self, at: &str, verb: Verb) {
        self.happens(Act::Ask(at.to_owned(), verb));
    }

    /// Everything that should run runs and is heard, what was stopped is down.
    pub(crate) fn all_well(&self) -> bool {
        self.wrongs().is_empty()
    }

    fn unwell_names(&self) -> String {
        self.wrongs().join("; ")
    }

    /// What is not as it should be, in sentences.
    #[must_use]
    pub fn wrongs(&self) -> Vec<String> {
        let mut wrongs = Vec::new();
        let leader = self.leader();
        let table = match leader.as_deref() {
            Some(name) => self.status(name).map(|status| status.members),
            // Where the broker is in quarantine nobody leads, and each healer knows.
            None => self
                .statuses_of_the_well()
                .map(|s| s.members)
                .max_by_key(Vec::len),
        };
        let table = table.unwrap_or_default();
        let view = |name: &str| {
            table
                .iter()
                .find(|view| view.name.as_str() == name)
                .map(|view| view.state)
        };
        for (index, cont) in self.conts.iter().enumerate() {
            if cont.removed {
                continue;
            }
            let name = cont.facts.name.as_str();
            match cont.truth.will {
                Will::Stopped(_) if cont.lives() && !cont.truth.tainted => {
                    wrongs.push(format!("{name} runs although it was stopped"));
                }
                Will::Run if !cont.well() => {
                    let quarantined = view(name) == Some(MemberState::Quarantined)
                        && self.could_be_quarantined(cont);
                    if !quarantined && !self.unwitnessed(index) && !self.is_held(cont) {
                        let restarts = cont.restarts_within(self.now, QUARANTINE_MEMORY);
                        wrongs.push(format!(
                            "{name} is {:?}, was restarted {restarts} times and is seen as {:?}",
                            cont.facts.state,
                            view(name)
                        ));
                    }
                }
                Will::Run
                    if cont.facts.member.is_some()
                        && !self.stage.solo
                        && leader.is_some()
                        && view(name) != Some(MemberState::Alive) =>
                {
                    wrongs.push(format!("the leader sees {name} as {:?}", view(name)));
                }
                _ => {}
            }
        }
        wrongs
    }

    /// Its end is on its way and cannot be called back: a signal, or a healer's call to the engine.
    pub(crate) fn ends_soon(&self, index: usize) -> bool {
        let cont = &self.conts[index];
        self.future().any(|event| match event {
            Event::Exit { proc, life, .. } => *proc == index && *life == cont.life,
            Event::CallMade(call) => call.ends(&cont.facts.id),
            _ => false,
        })
    }

    /// In quarantine, as some healer says, and rightly: down, or hung and not forced any more.
    fn is_left_down(&self, index: usize) -> bool {
        let cont = &self.conts[index];
        let name = cont.facts.name.as_str();
        let said = self.statuses_of_the_well().any(|status| {
            status
                .members
                .iter()
                .any(|view| view.name.as_str() == name && view.state == MemberState::Quarantined)
        });
        let down = !cont.lives() || cont.truth.unwell.is_some();
        said && down && self.could_be_quarantined(cont)
    }

    fn is_held(&self, cont: &Cont) -> bool {
        cont.truth.holds.iter().any(|held| self.now < held.until)
    }

    fn could_be_quarantined(&self, cont: &Cont) -> bool {
        // A person's start of what Docker was restarting cannot be told from Docker's own.
        let starts = usize::try_from(cont.life).unwrap_or(usize::MAX);
        let restarts = cont.restarts_within(self.now, QUARANTINE_MEMORY)
            + cont.truth.failures.len()
            + cont.truth.refused.len()
            + cont.truth.uncleared;
        // Where a stop was not heard by all, some still count what was before it.
        let restarts = match cont.truth.lost {
            Some(_) => starts + cont.truth.failures.len() + cont.truth.refused.len(),
            None => restarts,
        };
        starts.max(restarts) >= self.stage.settings.restart_limit as usize
    }

    /// Nobody who lives now can know how it ended.
    fn unwitnessed(&self, index: usize) -> bool {
        let cont = &self.conts[index];
        if cont.lives() {
            return false;
        }
        let in_history = self.engine.ring.iter().flatten().any(|event| {
            event.container == cont.facts.id && matches!(event.kind, EventKind::Die { .. })
        });
        let witness = self.conts.iter().any(|healer| {
            healer.kind == Kind::Healer
                && healer.lives()
                && healer.ran_since < cont.truth.down_since
        });
        cont.truth.tainted || !in_history && !witness
    }

    /// After faults: one leader that all know, the highest that is fit, and nothing wrong.
    pub fn check_liveness(&mut self) {
        let mut wrongs = self.wrongs();
        // One that hangs (in quarantine, or held) knows of no successor.
        let offices: Vec<String> = self
            .statuses_of_the_well()
            .filter(|status| status.is_leader)
            .map(|status| status.node.to_string())
            .collect();
        let broker = self.broker_index();
        let healers = self
            .conts
            .iter()
            .any(|cont| cont.kind == Kind::Healer && cont.lives());
        let stranded = !healers
            || broker.is_some_and(|index| self.unwitnessed(index) || self.is_left_down(index));
        if stranded {
            // It waits for a person, and so does the token.
            wrongs.retain(|wrong| wrong.contains("although it was stopped"));
        } else if offices.len() != 1 {
            wrongs.push(format!("in office: {offices:?}"));
        }
        if !self.stage.solo && !stranded {
            let highest = self
                .conts
                .iter()
                .filter(|cont| cont.kind == Kind::Healer && cont.well())
                .filter_map(|cont| cont.facts.member.clone())
                .max_by(MemberName::natural_cmp);
            if highest.as_ref().map(MemberName::as_str) != self.leader().as_deref() {
                wrongs.push(format!(
                    "{:?} leads, not the highest that is fit, {highest:?}",
                    self.leader()
                ));
            }
            // One that hangs (in quarantine, or held) cannot be asked.
            let unaware: Vec<_> = self
                .statuses_of_the_well()
                .filter(|status| status.leader.as_ref() != highest.as_ref())
                .map(|status| format!("{} says {:?}", status.node, status.leader))
                .collect();
            wrongs.extend(unaware);
        }
        for wrong in wrongs {
            self.violate(Rule::Liveness, || wrong);
        }
    }
}

/// A member's name.
pub(crate) fn member(name: &str) -> MemberName {
    let Ok(name) = MemberName::new(name) else {
        unreachable!("the names of stories are names")
    };
    name
}
