//! What must outlive a leader: intents, counts, quarantines, holds, forces in flight.

use super::{Exit, Patient, Supervisor};
use crate::id::{ContainerId, Incarnation, MemberName};
use crate::message::{Hold, MemberState, MemberView, PatientRecord, TicketView};
use crate::time::Instant;
use std::time::Duration;

/// A beat carries at most so many; they are of containers that had something happen to them.
const RECORDS_MAX: usize = 1000;
/// An announced signal comes within milliseconds; the next beat announces it again.
const ANNOUNCED_MAX: Duration = Duration::from_millis(1500);
/// A force lasts no longer than stop-timeout, hard kill and start together; beyond that it is forgotten.
const TICKET_MAX: Duration = Duration::from_secs(30);

impl Supervisor {
    pub(crate) fn records(&self, now: Instant) -> Vec<PatientRecord> {
        let window = self.config.restart_window;
        self.patients
            .values()
            .filter(|p| p.care.is_some())
            .map(|p| PatientRecord {
                container: p.info.id.clone(),
                name: p.info.name.clone(),
                stopped: p.stopped.clone().filter(|_| p.exit == Some(Exit::Stopped)),
                restarts_ms_ago: p.intensity.ago(now, window),
                quarantined_ms: p
                    .intensity
                    .quarantined
                    .map(|at| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX)),
            })
            .filter(|r| {
                r.stopped.is_some() || r.quarantined_ms.is_some() || !r.restarts_ms_ago.is_empty()
            })
            .take(RECORDS_MAX)
            .collect()
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
            .collect()
    }

    pub(crate) fn tickets_open(&self) -> u32 {
        let open = self.patients.values().filter(|p| p.ticket.is_some());
        u32::try_from(open.count()).unwrap_or(u32::MAX)
    }

    /// What a leader, or the volume, knows of containers and holds.
    pub(crate) fn adopt(
        &mut self,
        now: Instant,
        records: &[PatientRecord],
        holds: Option<&[Hold]>,
    ) {
        for record in records.iter().take(RECORDS_MAX) {
            let id = &record.container;
            let Some(mut patient) = self.patients.remove(id) else {
                if !self.trusted && self.adopted.len() < RECORDS_MAX {
                    self.adopted.insert(id.clone(), record.clone());
                }
                continue;
            };
            let before = (patient.exit.clone(), patient.intensity.quarantined);
            self.adopt_record(now, &mut patient, record);
            if before != (patient.exit.clone(), patient.intensity.quarantined) {
                self.unsaved = true;
                self.dirty.insert(id.clone());
            }
            self.patients.insert(id.clone(), patient);
        }
        if let Some(holds) = holds
            && self.holds.adopt(now, holds)
        {
            self.unsaved = true;
            self.dirty_all();
        }
    }

    /// The leader ended its quarantine within its own term: a person released it.
    pub(crate) fn released(&mut self, id: &ContainerId) {
        if let Some(patient) = self.patients.get_mut(id) {
            patient.intensity.clear();
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
        patient
            .intensity
            .adopt(now, &record.restarts_ms_ago, record.quarantined_ms);
    }

    /// Another leader's forces: their signals are no person's, and a successor waits them out.
    pub(crate) fn forces_elsewhere(&mut self, now: Instant, tickets: &[TicketView]) {
        for ticket in tickets {
            if let Some(patient) = self.patients.get_mut(&ticket.container) {
                let until = now + Duration::from_millis(ticket.left_ms).min(TICKET_MAX);
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
        })
    }

    fn state(&self, patient: &Patient, now: Instant) -> (MemberState, String) {
        let say = |text: &str| text.to_owned();
        let runs_well = patient.is_running()
            && patient.stuck_since.is_none()
            && patient.info.health != Some(crate::engine::Health::Unhealthy);
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
                () if patient.info.health == Some(crate::engine::Health::Unhealthy) => {
                    say("unhealthy")
                }
                () => String::new(),
            };
            return (state, why);
        }
        match &patient.exit {
            Some(Exit::Stopped | Exit::StopSeen { .. }) => {
                (MemberState::Left, say("stopped by a person"))
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
    let short: String = patient.info.id.as_str().chars().take(12).collect();
    let started = patient.info.started_at.as_deref().unwrap_or("never");
    Incarnation(format!("{short}@{started}"))
}
