//! Bringing containers back: level-triggered reconciliation of what the engine shows with what should be.
//!
//! Every healer keeps the table of its engine's containers, and judges how each one ended, whether it
//! leads or not, so that a new leader acts at once. Orders are given only under a [`Mandate`].
//!
//! - [`policy`]: whose patient a container is, from its labels.
//! - `events`, `observe`: how the table is kept; `exit`: how an end is judged (rule 6).
//! - `find`, `act`, `order`: from a finding to a ticket to calls and their answers.
//! - `remote`: force across hosts.
//! - `probe`: questions from outside; `recreate`: making anew what is gone or beyond a start.
//! - [`intensity`]: back-off and quarantine; `records`: what outlives a leader; `requests`: what people ask.

mod act;
mod attacks;
mod engine;
mod events;
mod exit;
mod find;
mod holds;
mod intensity;
mod observe;
mod order;
mod patient;
mod policy;
mod probe;
mod records;
mod recreate;
mod remote;
mod requests;
mod ticket;

use crate::detector::Detector;
use crate::effect::HookTime;
use crate::id::{BootId, CallId, ContainerId, HostId, Incarnation, MemberName};
use crate::message::{IncidentOutcome, PatientRecord, Wanted};
use crate::node::NodeConfig;
use crate::out::Out;
use crate::time::Instant;
pub(crate) use holds::Holds;
pub(crate) use patient::{Exit, Patient};
pub(crate) use records::incarnation;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// More containers than one engine runs; a flood of events about invented ones stops here.
const CONTAINERS_MAX: usize = 4096;
/// Events are a hint, the list is the truth: it is asked for this often.
const LIST_EVERY: Duration = Duration::from_secs(30);
/// The driver's own deadline is 2 s; an answer that did not come by then never comes.
const CALL_LOST: Duration = Duration::from_secs(10);
/// After `die`, `stop` follows within 50 ms where it was a person's (measured); this is generous.
const STOP_FOLLOWS: Duration = Duration::from_secs(1);
/// An engine that goes down says `stop` for everyone: intent counts only if it still answers then.
const STOP_CONFIRMED: Duration = Duration::from_secs(5);
/// Added to the stop-timeout while *stopping*.
const STOPPING_SLACK: Duration = Duration::from_secs(2);
/// After an engine's return its own policies get so long before we do their work.
const RESTORE_GRACE: Duration = Duration::from_secs(10);
/// How long a dependency is waited for.
const DEPENDENCY_MAX: Duration = Duration::from_secs(30);
/// Between two looks at a container that the engine is restarting.
const RESTARTING_LOOK: Duration = Duration::from_secs(2);
/// From the announcement of a force in a beat to the kill: other healers must know whose signal it is.
const ANNOUNCE: Duration = Duration::from_millis(50);
/// From SIGKILL to `die`: more, and the process is stuck in the kernel.
const HARD_KILL_MAX: Duration = Duration::from_secs(5);
/// From an order to its effect being visible.
const SETTLE_MAX: Duration = Duration::from_secs(10);
/// From running to healthy and heard; a start period beyond that ends as failed, and is watched on.
const RECOVER_MAX: Duration = Duration::from_secs(90);
/// The whole group forces at most so many at once.
const FORCES_MAX: usize = 3;
/// Last words said, the process ends by itself within this, or is ended.
const LAST_WORDS_GRACE: Duration = Duration::from_secs(3);
/// A first process in state T is looked at again after this: a debugger stops it for moments.
const STUCK_GRACE: Duration = Duration::from_secs(2);

/// What this member may do right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mandate {
    /// It holds office (on any path).
    pub(crate) leads: bool,
    /// Since when.
    pub(crate) since: Instant,
    /// Its beats go out through the broker: what it writes in them is known to a successor.
    pub(crate) beats: bool,
    /// From when on it may start and unpause; `None`: not at all.
    pub(crate) start_at: Option<Instant>,
    /// Without a leader: how long each death is left to the healers above this one.
    pub(crate) step: Duration,
    /// Until when it may use force; `None`: not at all.
    pub(crate) force_until: Option<Instant>,
    /// The term it acts in; 0 without office.
    pub(crate) term: u64,
    /// The broker hangs, and this member is to force it.
    pub(crate) broker_force: bool,
}

/// A member's container ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) name: MemberName,
    pub(crate) container: ContainerId,
    /// Which life of it.
    pub(crate) incarnation: Incarnation,
}

/// What a call was about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    List { mark: u64 },
    History,
    Inspect { id: ContainerId, mark: u64 },
    Order { id: ContainerId },
    Probe { id: ContainerId },
    Recreate { id: ContainerId },
}

/// The table of one engine's containers, and the healings under way.
#[derive(Debug)]
pub(crate) struct Supervisor {
    config: NodeConfig,
    boot: BootId,
    pub(crate) host: Option<HostId>,
    pub(crate) connected: bool,
    stream_since: Instant,
    /// The engine answered a list since the stream began and since we were last frozen.
    trusted: bool,
    list_due: Option<Instant>,
    listing: Option<CallId>,
    /// How often the engine may still be asked for what it remembers.
    history_tries: u8,
    /// The engine's time when the volume was written to, where only that tells how long ago it was.
    saved_at: Option<i64>,
    /// The engine's time when the stream began.
    stream_at: i64,
    /// The engine's time as it was told last, and when.
    engine_clock: (Instant, i64),
    /// How far its clock is ahead of ours.
    engine_ahead: i64,
    past: BTreeMap<ContainerId, exit::Past>,
    before_gap: BTreeMap<ContainerId, exit::BeforeGap>,
    pub(crate) patients: BTreeMap<ContainerId, Patient>,
    project: Option<String>,
    calls: BTreeMap<CallId, (Instant, Asked)>,
    mark: u64,
    dirty: BTreeSet<ContainerId>,
    wakes: BTreeSet<(Instant, ContainerId)>,
    /// Of containers that were not seen yet.
    adopted: BTreeMap<ContainerId, PatientRecord>,
    /// Containers that are gone, and the names they had.
    gone: VecDeque<(ContainerId, String)>,
    /// Those of them that may be made anew, by name.
    removed: BTreeMap<String, recreate::Removed>,
    /// Those that are being made anew, by their old ids.
    recreating: BTreeMap<ContainerId, Patient>,
    /// Forces that are due here and are not this member's to use.
    pub(crate) wants: BTreeMap<ContainerId, Wanted>,
    pub(crate) wants_changed: bool,
    /// Orders to other hosts: since when, and their ids.
    remote: BTreeMap<ContainerId, (Instant, String)>,
    pub(crate) holds: Holds,
    /// Of the chaos monkey, as it tells of them.
    attacks: Vec<attacks::Attacked>,
    mandate: Mandate,
    /// When the newest beat of this office that came back was sent.
    written: Option<Instant>,
    incidents: u64,
    pub(crate) restarts_ordered: u64,
    /// Members whose containers ended, for the detector.
    pub(crate) ended: Vec<Ended>,
    /// Something to be kept on the volume changed.
    pub(crate) unsaved: bool,
    /// A force is about to begin, or something was promised: the group must hear of it at once.
    pub(crate) announce: bool,
}

impl Supervisor {
    pub(crate) fn new(config: &NodeConfig, boot: BootId, saved_at: i64, now: Instant) -> Self {
        Self {
            config: config.clone(),
            boot,
            host: None,
            connected: false,
            stream_since: now,
            trusted: false,
            list_due: None,
            listing: None,
            history_tries: 0,
            saved_at: Some(saved_at).filter(|at| *at > 0),
            stream_at: 0,
            engine_clock: (now, saved_at),
            engine_ahead: i64::MIN,
            past: BTreeMap::new(),
            before_gap: BTreeMap::new(),
            patients: BTreeMap::new(),
            project: None,
            calls: BTreeMap::new(),
            mark: 0,
            dirty: BTreeSet::new(),
            wakes: BTreeSet::new(),
            adopted: BTreeMap::new(),
            gone: VecDeque::new(),
            removed: BTreeMap::new(),
            recreating: BTreeMap::new(),
            wants: BTreeMap::new(),
            wants_changed: false,
            remote: BTreeMap::new(),
            holds: Holds::default(),
            attacks: Vec::new(),
            mandate: Mandate::default(),
            written: None,
            incidents: 0,
            restarts_ordered: 0,
            ended: Vec::new(),
            unsaved: false,
            announce: false,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let wake = self.wakes.first().map(|(at, _)| *at);
        let lost = self.calls.values().map(|(at, _)| *at + CALL_LOST).min();
        let hold = self.holds.deadline();
        let list = self
            .list_due
            .filter(|_| self.connected && self.listing.is_none());
        let anew = self.recreate_deadline().filter(|_| self.trusted);
        let undo = self.undo_deadline().filter(|_| self.trusted);
        [wake.filter(|_| self.trusted), lost, list, hold, anew, undo]
            .into_iter()
            .flatten()
            .min()
    }

    /// The mandate changed: what waits for one is looked at again.
    pub(crate) fn mandate(&mut self, mandate: Mandate) {
        let old = std::mem::replace(&mut self.mandate, mandate);
        let gained = !old.leads && mandate.leads
            || old.force_until.is_none() && mandate.force_until.is_some()
            || old.broker_force != mandate.broker_force
            || old.leads && !mandate.leads;
        if old.since != mandate.since {
            self.written = None;
            self.forget_silence();
        }
        if gained {
            self.dirty_all();
        }
    }

    /// Silence is evidence within the office that listened to it: another one hears for itself first.
    fn forget_silence(&mut self) {
        for patient in self.patients.values_mut() {
            let silence = patient
                .suspicion
                .as_ref()
                .is_some_and(|s| s.reason == crate::message::RestartReason::Hung);
            if silence && !patient.in_force() {
                patient.suspicion = None;
                self.dirty.insert(patient.info.id.clone());
            }
        }
    }

    /// A beat came back that was sent then: what it carried outlives this leader.
    pub(crate) fn beat_returned(&mut self, sent: Instant) {
        self.written = self.written.max(Some(sent));
        let untold = |patient: &&Patient| patient.intensity.untold().is_some();
        let untold = self.patients.values().filter(untold);
        self.dirty
            .extend(untold.map(|patient| patient.info.id.clone()));
    }

    /// An attempt that left no `start` event behind, and must not be repeated for ever: only its author
    /// knows of it, and a successor must.
    fn count_failure(&mut self, now: Instant, patient: &mut Patient) {
        patient.intensity.count(now, self.engine_time(now));
        self.unsaved = true;
        self.announce = true;
    }

    fn dirty_all(&mut self) {
        self.dirty.extend(self.patients.keys().cloned());
    }

    /// Does what is due and what changed.
    pub(crate) fn run(&mut self, now: Instant, ears: &Detector, out: &mut Out) {
        self.tick_engine(now, out);
        if self.holds.expire(now, out) {
            self.unsaved = true;
            self.dirty_all();
        }
        if !self.trusted {
            self.dirty.retain(|id| self.patients.contains_key(id));
            return;
        }
        self.recreate_due(now, out);
        self.undo_due(now, out);
        while let Some((at, id)) = self.wakes.first().cloned() {
            if at > now {
                break;
            }
            self.wakes.remove(&(at, id.clone()));
            self.dirty.insert(id);
        }
        let mut due: Vec<(u8, ContainerId)> = std::mem::take(&mut self.dirty)
            .into_iter()
            .map(|id| (self.class(&id), id))
            .collect();
        due.sort();
        for (_, id) in due {
            self.step(now, &id, ears, out);
        }
    }

    /// Broker first, then healers, then everybody.
    fn class(&self, id: &ContainerId) -> u8 {
        match self.patients.get(id).and_then(|p| p.care.as_ref()) {
            Some(care) if care.broker => 0,
            Some(care) if care.healer => 1,
            _ => 2,
        }
    }

    fn step(&mut self, now: Instant, id: &ContainerId, ears: &Detector, out: &mut Out) {
        let Some(mut patient) = self.patients.remove(id) else {
            return;
        };
        if let Some(at) = patient.wake.take() {
            self.wakes.remove(&(at, id.clone()));
        }
        self.reconcile(now, &mut patient, ears, out);
        if let Some(at) = patient.wake {
            self.wakes.insert((at, id.clone()));
        }
        self.patients.insert(id.clone(), patient);
    }

    fn by_member(&self, name: &MemberName) -> Option<ContainerId> {
        self.patients
            .values()
            .filter(|p| p.info.member.as_ref() == Some(name))
            .max_by_key(|p| (p.care.is_some(), p.is_up()))
            .map(|p| p.info.id.clone())
    }

    /// Something was heard that concerns this member: look at its container again.
    pub(crate) fn suspected(&mut self, name: &MemberName) {
        if let Some(id) = self.by_member(name) {
            if let Some(patient) = self.patients.get_mut(&id) {
                patient.fresh = false;
                patient.look_at = None;
            }
            self.dirty.insert(id);
        }
    }

    /// It was heard: whatever was suspected by silence is refuted.
    pub(crate) fn heard(&mut self, name: &MemberName) {
        if let Some(id) = self.by_member(name)
            && let Some(patient) = self.patients.get_mut(&id)
        {
            let refuted = patient
                .suspicion
                .as_ref()
                .is_some_and(|s| s.reason == crate::message::RestartReason::Hung);
            if refuted && patient.in_force() {
                patient.refuted = true;
            } else if refuted {
                patient.suspicion = None;
            }
            self.dirty.insert(id);
        }
    }

    /// A second witness says that this running member is as good as dead.
    pub(crate) fn suspect(
        &mut self,
        now: Instant,
        name: &MemberName,
        silence: Duration,
        last_words: bool,
        evidence: String,
    ) {
        use crate::message::RestartReason::{Apoptosis, Hung};
        let Some(id) = self.by_member(name) else {
            return;
        };
        if let Some(patient) = self.patients.get_mut(&id).filter(|p| p.is_up()) {
            patient.suspicion = Some(patient::Suspicion {
                reason: if last_words { Apoptosis } else { Hung },
                evidence,
                first_sign: now - silence,
                ripe: if last_words {
                    now + LAST_WORDS_GRACE
                } else {
                    now
                },
            });
            self.dirty.insert(id);
        }
    }

    /// As [`Self::suspect`], where nothing is held against it yet.
    pub(crate) fn suspect_once(
        &mut self,
        now: Instant,
        name: &MemberName,
        silence: Duration,
        evidence: String,
    ) {
        let open = self
            .of_member(name)
            .is_some_and(|p| p.suspicion.is_none() && p.ticket.is_none());
        if open {
            self.suspect(now, name, silence, false, evidence);
        }
    }

    /// Nothing that was ordered awaits its answer or effect.
    pub(crate) fn is_quiet(&self) -> bool {
        self.patients
            .values()
            .chain(self.recreating.values())
            .filter_map(|p| p.ticket.as_ref())
            .all(|ticket| !ticket.in_flight())
    }

    fn forces(&self) -> usize {
        self.patients.values().filter(|p| p.in_force()).count()
    }

    /// Healers on this host that labels name, besides what this member is.
    pub(crate) fn healers(&self) -> Vec<MemberName> {
        let mut names: Vec<MemberName> = self
            .patients
            .values()
            .filter(|p| p.care.as_ref().is_some_and(|care| care.healer))
            .filter_map(Patient::name)
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Running healers on this host that rank above this one.
    pub(crate) fn healers_above(&self) -> u32 {
        let above = self.patients.values().filter(|p| {
            p.is_running()
                && p.care.as_ref().is_some_and(|care| care.healer)
                && p.name()
                    .is_some_and(|name| self.config.compare(&name, &self.config.name).is_gt())
        });
        u32::try_from(above.count()).unwrap_or(u32::MAX)
    }

    /// Ends a ticket with its incident.
    fn close(
        &mut self,
        now: Instant,
        patient: &mut Patient,
        outcome: IncidentOutcome,
        note: Option<(&str, String)>,
        out: &mut Out,
    ) {
        let Some(ticket) = patient.ticket.take() else {
            return;
        };
        self.incidents += 1;
        let name = patient.name();
        let title = name
            .as_ref()
            .map_or_else(|| patient.info.name.clone(), ToString::to_string);
        let mut incident = ticket.close(
            format!("{}-{}", self.boot, self.incidents),
            title.clone(),
            patient.info.id.clone(),
            self.config.name.clone(),
            outcome,
            now,
        );
        let why = note.as_ref().map(|(_, text)| text.clone());
        if let Some((key, text)) = note {
            incident.notes.insert(key.to_owned(), text);
        }
        if let Some(attack) = self.attack_on(now, &patient.info.id, ticket.incarnation.as_ref()) {
            incident
                .notes
                .insert("attack".to_owned(), attack.to_owned());
        }
        incident.at_ms = out.unix_ms(now).map(|ms| {
            let ago = u64::try_from(now.since(ticket.verdict).as_millis()).unwrap_or(u64::MAX);
            ms.saturating_sub(ago)
        });
        let total = now.since(ticket.first_sign).as_secs_f64();
        let restarts = patient.intensity.within(now, self.config.restart_window);
        incident.restarts = u32::try_from(restarts).unwrap_or(u32::MAX);
        let url = patient
            .care
            .as_ref()
            .and_then(|care| care.webhook.as_deref());
        out.hook(HookTime::After, url, &incident);
        let text = match outcome {
            IncidentOutcome::Healed => {
                format!("Peer {title} came back after {total:.1} s (restart {restarts})")
            }
            IncidentOutcome::HealedByEngine => format!(
                "Peer {title} came back after {total:.1} s by Docker's own policy (restart {restarts})"
            ),
            _ => format!(
                "Healing of {title} ended as {outcome:?} after {total:.1} s{}",
                why.map(|why| format!(": {why}")).unwrap_or_default()
            ),
        };
        out.info("healing_ended", name.as_ref(), text);
        out.incident(incident);
    }
}
