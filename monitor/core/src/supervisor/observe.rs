//! What a look at a container changes. An answer older than an event about it is not believed.

use super::policy;
use super::{CONTAINERS_MAX, Exit, Patient, Supervisor};
use crate::engine::{Attachment, Container, ContainerState};
use crate::time::Instant;
use std::time::Duration;

/// The engine contradicted itself (an event and a look): it is looked at again after a moment.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// After so many looks the engine is right, and the event was an old one.
const CONTRADICTIONS_MAX: u8 = 5;

impl Supervisor {
    pub(super) fn observe(&mut self, now: Instant, info: Container, asked: Instant, mark: u64) {
        let id = info.id.clone();
        let full = self.patients.len() >= CONTAINERS_MAX;
        let mut patient = match self.patients.remove(&id) {
            Some(patient) => patient,
            None if full => return,
            None => Patient::new(info.clone()),
        };
        self.name_taken(&info.name, &id);
        if patient.mark <= mark {
            self.look_at(now, &mut patient, info, asked);
        }
        self.patients.insert(id, patient);
    }

    fn look_at(&mut self, now: Instant, patient: &mut Patient, info: Container, asked: Instant) {
        let other_life = info.started_at != patient.info.started_at;
        // The stream was away for the end of a life and the beginning of the next.
        let start_heard = std::mem::take(&mut patient.start_heard);
        let unheard = other_life && !start_heard;
        let known = patient.is_dead_for_sure();
        patient.info = info;
        patient.fresh = true;
        patient.known = true;
        patient.end_unseen = false;
        patient.looked = Some(asked);
        patient.seen_up = patient.is_up().then(|| self.engine_time_at_least(now));
        patient.care = policy::care(&patient.info, &self.config, self.project.as_deref());
        self.adopt_past(now, patient);
        if let Some(record) = self.adopted.remove(&patient.info.id) {
            self.adopt_record(now, patient, &record);
        }
        if patient.is_up() || patient.info.state == ContainerState::Restarting {
            if unheard {
                // The signals may be of this life already; the evidence is of the one before.
                patient.forget_evidence();
            }
            self.see_up(now, patient, other_life);
            self.adopt_stop(now, patient);
        } else if patient.is_down() {
            self.judge_life_of_a_gap(now, patient);
            self.see_down(now, patient, asked);
            // A death that was witnessed must outlive the witness.
            self.unsaved |= patient.is_dead_for_sure() && !known;
        }
    }

    fn see_up(&mut self, now: Instant, patient: &mut Patient, other_life: bool) {
        let restarting = patient.info.state == ContainerState::Restarting;
        if let Some(exit) = &patient.exit
            && !restarting
        {
            if !other_life && exit.was_death() && patient.contradictions < CONTRADICTIONS_MAX {
                // `die` was heard and the engine shows the life that we know: it lags behind itself, or
                // the event is an old one and a `start` follows.
                patient.contradictions += 1;
                patient.look_later(now + LOOK_AGAIN);
                return;
            }
            if other_life && exit.was_death() {
                patient.intensity.count_unheard(now, self.engine_time(now));
                self.unsaved = true;
            } else if matches!(exit, Exit::Stopped | Exit::StopSeen { .. }) {
                patient.intensity.clear(now, self.engine_time(now));
                self.unsaved = true;
            }
            patient.begin_life(now);
        } else if other_life && !restarting && patient.running_since.is_none() {
            patient.begin_life(now);
        }
        patient.life.ran = true;
        if restarting {
            patient.running_since = None;
            if patient.exit.is_none() {
                // The engine's own word for a death without a stop, where the stream missed it.
                patient.exit = Some(super::exit::restarting(patient, now));
            }
            return;
        }
        patient.running_since.get_or_insert(now);
        if patient.info.state == ContainerState::Paused {
            patient.paused_since.get_or_insert(now);
        } else {
            patient.paused_since = None;
            self.see_networks(now, patient);
        }
        match patient.info.process_state {
            Some('T') => {
                patient.stuck_since.get_or_insert(now);
            }
            _ => {
                patient.stuck_since = None;
                patient.continued = false;
            }
        }
    }

    /// What it was attached to in this life is its home; what is missing there later is a cut.
    fn see_networks(&mut self, now: Instant, patient: &mut Patient) {
        let here: Vec<Attachment> = patient.info.networks.clone();
        for attachment in here {
            let known = patient
                .home
                .iter()
                .position(|home| home.network == attachment.network);
            match known {
                Some(at) => patient.home[at] = attachment,
                None => patient.home.push(attachment),
            }
        }
        if missing(patient).is_some() {
            patient.cut_since.get_or_insert(now);
        } else {
            patient.cut_since = None;
        }
    }

    /// It was started and ended again while the stream was away: how the life before ended says nothing.
    fn judge_life_of_a_gap(&mut self, now: Instant, patient: &mut Patient) {
        let other = |before: String| Some(before) != patient.info.started_at;
        if patient.died_before_gap.take().is_some_and(other) {
            if !self.past.contains_key(&patient.info.id) {
                patient.intensity.count_unheard(now, self.engine_time(now));
                self.unsaved = true;
            }
            patient.begin_life(now);
        }
    }

    fn see_down(&mut self, now: Instant, patient: &mut Patient, asked: Instant) {
        patient.running_since = None;
        patient.paused_since = None;
        match &patient.exit {
            None => {
                let exit = self.judge_found(now, patient);
                patient.exit = Some(exit);
                if patient.info.started_at.is_some() {
                    self.note_end(patient);
                }
                self.note_stop(patient);
            }
            Some(Exit::StopSeen { check }) if asked >= *check => {
                patient.exit = Some(Exit::Stopped);
                self.unsaved = true;
                self.note_stop(patient);
            }
            Some(Exit::Stopped) if patient.stopped != patient.info.finished_at => {
                // It was started and ended again, and nobody told us.
                patient.stopped = None;
                let exit = self.judge_found(now, patient);
                patient.exit = Some(exit);
                self.note_stop(patient);
            }
            Some(Exit::Unwitnessed) if !patient.info.error.is_empty() => {
                let exit = self.judge_found(now, patient);
                patient.exit = Some(exit);
            }
            _ => {}
        }
    }

    /// Its member ended, if it is one.
    pub(super) fn note_end(&mut self, patient: &Patient) {
        if let Some(name) = &patient.info.member {
            self.ended.push(super::Ended {
                name: name.clone(),
                container: patient.info.id.clone(),
                incarnation: super::incarnation(patient),
            });
        }
    }

    /// Writes the intent down: this very end was a person's will.
    fn note_stop(&mut self, patient: &mut Patient) {
        if patient.exit == Some(Exit::Stopped) {
            patient.stopped.clone_from(&patient.info.finished_at);
            self.unsaved = true;
        }
    }
}

/// A network of its home that it is cut off from.
pub(super) fn missing(patient: &Patient) -> Option<&Attachment> {
    patient.home.iter().find(|home| {
        !patient
            .info
            .networks
            .iter()
            .any(|here| here.network == home.network)
    })
}
