//! What must outlive a leader: intents, counts, quarantines, holds, forces in flight.

use super::{Exit, Patient, Supervisor};
use crate::id::{ContainerId, Incarnation, MemberName};
use crate::message::{
    Holds, Incident, IncidentOutcome, MemberState, MemberView, PatientRecord, TicketView,
};
use crate::sabotage::Sabotage;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A beat carries at most so many; they are of containers that had something happen to them.
const RECORDS_MAX: usize = 1000;
/// An announced signal comes within milliseconds; the next beat announces it again.
const ANNOUNCED_MAX: Duration = Duration::from_millis(1500);
/// A leader is told of one death so often.
const DEATH_TOLD_MAX: u8 = 3;
/// A force lasts no longer than stop-timeout, hard kill and start together; beyond that it is forgotten.
const TICKET_MAX: Duration = Duration::from_secs(30);

impl Supervisor {
    pub(crate) fn records(&self, now: Instant) -> Vec<PatientRecord> {
        let window = self.config.restart_window;
        self.patients
            .values()
            .filter(|p| p.care.is_some())
            .map(|p| {
                let mut record = PatientRecord::of(p.info.id.clone(), p.info.name.clone());
                record.stopped = p.stopped.clone().filter(|_| p.exit == Some(Exit::Stopped));
                record.died = p.info.finished_at.clone().filter(|_| p.is_dead_for_sure());
                p.intensity.tell(now, window, &mut record);
                record
            })
            .filter(|r| {
                r.stopped.is_some()
                    || r.died.is_some()
                    || r.quarantined_ms.is_some()
                    || r.told_ms.is_some()
                    || r.cleared_ms.is_some()
                    || !r.restarts_ms_ago.is_empty()
            })
            .take(RECORDS_MAX)
            .collect()
    }

    /// Deaths of which this healer is a witness, and which a leader of this host that says `told` seems not to
    /// know. Each is told a few times: what it then does not take up it judges otherwise.
    pub(crate) fn deaths_unknown_to(
        &mut self,
        now: Instant,
        told: &[PatientRecord],
    ) -> Vec<PatientRecord> {
        let known: BTreeMap<&ContainerId, &Option<String>> = told
            .iter()
            .map(|record| (&record.container, &record.died))
            .collect();
        let unknown = |patient: &&Patient| {
            let died = known.get(&patient.info.id).copied().unwrap_or(&None);
            patient.care.is_some()
                && patient.is_dead_for_sure()
                && patient.info.finished_at.is_some()
                && *died != patient.info.finished_at
        };
        let unknown: BTreeSet<ContainerId> = self
            .patients
            .values()
            .filter(unknown)
            .filter(|patient| patient.death_told < DEATH_TOLD_MAX)
            .map(|patient| patient.info.id.clone())
            .collect();
        if unknown.is_empty() {
            return Vec::new();
        }
        let mut records = self.records(now);
        records.retain(|record| unknown.contains(&record.container));
        for record in &records {
            if let Some(patient) = self.patients.get_mut(&record.container) {
                patient.death_told += 1;
            }
        }
        records
    }

    pub(crate) fn tickets(&self, now: Instant) -> Vec<TicketView> {
        self.patients
            .values()
            .filter_map(|p| Some((p, p.ticket.as_ref()?)))
            .filter(|(_, ticket)| ticket.announced && ticket.is_force())
            .map(|(p, ticket)| {
                let grace = p.care.as_ref().map_or(Duration::ZERO, |c| c.stop_timeout);
                let left = (grace + super::HARD_KILL_MAX).min(TICKET_MAX);
                TicketView {
                    container: p.info.id.clone(),
                    left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
                    killing: ticket.is_about_to_kill(now),
                }
            })
            .chain(self.remote_tickets(now))
            .collect()
    }

    pub(crate) fn tickets_open(&self) -> u32 {
        let open = self.patients.values().filter(|p| p.ticket.is_some());
        u32::try_from(open.count()).unwrap_or(u32::MAX)
    }

    /// What a leader, or the volume, knows of containers.
    pub(crate) fn adopt(&mut self, now: Instant, records: &[PatientRecord]) {
        for record in records.iter().take(RECORDS_MAX) {
            let id = &record.container;
            let Some(mut patient) = self.patients.remove(id) else {
                if !self.trusted && self.adopted.len() < RECORDS_MAX {
                    self.adopted.insert(id.clone(), record.clone());
                }
                continue;
            };
            let before = patient.exit.clone();
            let bans = patient.intensity.bans();
            self.adopt_record(now, &mut patient, record);
            if before != patient.exit || bans != patient.intensity.bans() {
                self.unsaved = true;
                self.dirty.insert(id.clone());
            }
            self.patients.insert(id.clone(), patient);
        }
    }

    /// What the volume knows. `away`: since it was written; `None`: the engine's clock must tell.
    pub(crate) fn load(
        &mut self,
        now: Instant,
        records: &[PatientRecord],
        holds: &Holds,
        away: Option<Duration>,
    ) {
        self.adopt(now, records);
        self.holds.load(now, holds);
        if let Some(away) = away {
            self.age_adopted(away);
        }
        self.unsaved = false;
    }

    /// The leader's word on holds.
    pub(crate) fn adopt_holds(&mut self, now: Instant, told: &Holds) {
        let changed = self.holds.adopt(now, told);
        self.holds_changed(changed);
    }

    /// What another healer knows of holds, for the leader.
    pub(crate) fn unite_holds(&mut self, now: Instant, told: &Holds) {
        let changed = self.holds.unite(now, told);
        // Those that the reporter made promises for are to see it in a beat.
        self.announce |= changed;
        self.holds_changed(changed);
    }

    fn holds_changed(&mut self, changed: bool) {
        if changed {
            self.unsaved = true;
            self.dirty_all();
        }
    }

    /// The leader ended its quarantine within its own term: a person released it, or, where the leader still
    /// counts its restarts (`counted`), started it.
    pub(crate) fn released(&mut self, now: Instant, id: &ContainerId, counted: bool) {
        let engine = self.engine_time(now);
        if let Some(patient) = self.patients.get_mut(id) {
            if counted {
                patient.intensity.give_a_chance();
            } else {
                patient.intensity.clear(now, engine);
            }
            self.unsaved = true;
            self.dirty.insert(id.clone());
        }
    }

    pub(super) fn adopt_record(&self, now: Instant, patient: &mut Patient, record: &PatientRecord) {
        let stopped = record.stopped.is_some() && record.stopped == patient.info.finished_at;
        if stopped && patient.is_down() {
            patient.exit = Some(Exit::Stopped);
            patient.stopped.clone_from(&record.stopped);
            return;
        }
        let died = record.died.is_some() && record.died == patient.info.finished_at;
        let unknown = matches!(patient.exit, None | Some(Exit::Unwitnessed));
        if died && unknown && patient.is_down() && patient.info.started_at.is_some() {
            patient.exit = Some(Exit::Witnessed {
                reason: super::exit::reason(patient),
                at: now,
                evidence: format!(
                    "a healer witnessed that it died, exit code {}",
                    patient.info.exit_code
                ),
            });
        }
        let engine = self.engine_time(now);
        if self.config.broken(Sabotage::TellAgain) {
            let mut record = record.clone();
            record.told_ms = None;
            patient.intensity.adopt(now, engine, &record);
            return;
        }
        patient.intensity.adopt(now, engine, record);
    }

    /// Another leader's forces: their signals are no person's, and a successor waits them out.
    pub(crate) fn forces_elsewhere(&mut self, now: Instant, tickets: &[TicketView]) {
        for ticket in tickets {
            if let Some(patient) = self.patients.get_mut(&ticket.container) {
                let until = now + Duration::from_millis(ticket.left_ms).min(TICKET_MAX);
                if Self::renew_grant(now, patient) {
                    // It is this very healer that the order went to.
                    continue;
                }
                patient.blocked = Some(until);
                let life = &patient.life;
                if !ticket.killing {
                    // It was sent, and whoever listens has heard it.
                    patient.announced = None;
                } else if patient.is_up() && !life.stop_signal && !life.excused {
                    patient.announced = Some(until.min(now + ANNOUNCED_MAX));
                }
            }
        }
    }

    /// Another healer's force came to nothing: a stop signal that was taken for its own may have been a
    /// person's.
    pub(crate) fn force_ended(&mut self, incident: &Incident) {
        let nothing = matches!(
            incident.outcome,
            IncidentOutcome::Failed | IncidentOutcome::Refused
        );
        if let Some(patient) = self.patients.get_mut(&incident.container)
            && nothing
            && patient.is_up()
        {
            // Its signal may still be on the way here.
            patient.announced = None;
            if let Some(at) = patient.life.excused_at.take() {
                patient.begin_stopping(at);
                self.dirty.insert(incident.container.clone());
            }
        }
    }

    /// How containers stand that the detector knows nothing of, and what it cannot know of the others.
    pub(crate) fn view(&self, patient: &Patient, now: Instant) -> Option<MemberView> {
        let care = patient.care.as_ref()?;
        let (state, why) = self.state(patient, now);
        Some(MemberView {
            name: patient.name()?,
            state,
            incarnation: incarnation(patient),
            boot: None,
            host: self.host.clone(),
            last_heartbeat_ms: None,
            restarts: u32::try_from(patient.intensity.within(now, self.config.restart_window))
                .unwrap_or(u32::MAX),
            candidate: care.healer,
            healer: false,
            why,
            held: self.is_held(patient, care),
            skew_ms: None,
            pulse_age_ms: None,
        })
    }

    fn state(&self, patient: &Patient, now: Instant) -> (MemberState, String) {
        let say = |text: &str| text.to_owned();
        let runs_well =
            patient.is_running() && patient.stuck_since.is_none() && !patient.is_unhealthy();
        if patient.intensity.quarantined.is_some() && !runs_well {
            return (MemberState::Quarantined, say("restarted too often"));
        }
        if let Some(ticket) = &patient.ticket
            && ticket.running.is_none()
        {
            return (MemberState::Restarting, ticket.evidence.clone());
        }
        if patient.is_up() {
            let state = if patient.info.member.is_some() {
                MemberState::Expected
            } else {
                MemberState::Patient
            };
            let why = match () {
                () if patient.is_stopping(now) => say("being stopped"),
                () if patient.info.state == crate::engine::ContainerState::Paused => say("paused"),
                () if patient.is_unhealthy() => say("unhealthy"),
                () if patient.care.as_ref().is_some_and(|care| care.held) => {
                    say("held by its label")
                }
                () => String::new(),
            };
            return (state, why);
        }
        match &patient.exit {
            Some(Exit::Stopped | Exit::StopSeen { .. }) => {
                // The engine's own time, to the second; for people.
                let at = patient
                    .info
                    .finished_at
                    .as_deref()
                    .and_then(|at| at.get(..19));
                let at = at.map_or(String::new(), |at| format!(" at {at}Z"));
                (MemberState::Left, format!("stopped by a person{at}"))
            }
            Some(Exit::Unwitnessed) => (MemberState::Left, say("unwitnessed")),
            Some(Exit::Witnessed { evidence, .. }) => (MemberState::Dead, evidence.clone()),
            _ => (MemberState::Dead, String::new()),
        }
    }

    pub(crate) fn of_member(&self, name: &MemberName) -> Option<&Patient> {
        self.by_member(name).and_then(|id| self.patients.get(&id))
    }
}

pub(crate) fn incarnation(patient: &Patient) -> Incarnation {
    let id = patient.info.id.as_str();
    let short = id.get(..12).unwrap_or(id);
    let started = patient.info.started_at.as_deref().unwrap_or("never");
    Incarnation(format!("{short}@{started}"))
}
