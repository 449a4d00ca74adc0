//! Making a container anew, only where its label `planaria.recreate` allows it: one that was removed and
//! did not come back, and one that shares the network of a container that is no more.
//!
//! Docker fixes `network_mode: service:X` to the id that X has when the container is made. After X was
//! made anew, a start of the child fails for ever, and one that still runs has no network.

use super::policy::{self, Action, Care, Heal};
use super::ticket::{Phase, Plan, Ticket};
use super::{Exit, Patient, SETTLE_MAX, Supervisor};
use crate::engine::{ContainerState, EngineCall, EngineError, EngineReply, Expectation};
use crate::id::{CallId, ContainerId};
use crate::message::{IncidentOutcome, RestartReason, Severity};
use crate::out::Out;
use crate::time::Instant;
use std::time::Duration;

/// Whoever removed it may be making it anew by hand: so long the name is left to them.
const NAME_FREE: Duration = Duration::from_secs(60);
/// Compose makes owner and child anew one after the other: so long an orphan is left to it.
pub(super) const ORPHAN_GRACE: Duration = Duration::from_secs(10);
/// Containers that are gone whose names are remembered.
const GONE_MAX: usize = 256;

/// Where the network is that a container shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NetworkOwner {
    /// It has its own, or the owner is there.
    Fine,
    /// The owner is no more; this is the one that took its place, where that is known and runs.
    Gone(Option<ContainerId>),
}

/// A container that was removed and may be made anew.
#[derive(Clone, Debug)]
pub(super) struct Removed {
    patient: Patient,
    due: Instant,
}

fn may_recreate(patient: &Patient) -> bool {
    patient.care.as_ref().is_some_and(|care| {
        care.recreate && care.heal != Heal::Nothing && care.action == Action::Restart && !care.held
    })
}

impl Supervisor {
    pub(super) fn network_owner(&self, patient: &Patient) -> NetworkOwner {
        let Some(owner) = patient.info.network_mode.strip_prefix("container:") else {
            return NetworkOwner::Fine;
        };
        let here = self.patients.keys().any(|id| id.as_str() == owner) || !self.trusted;
        if here {
            return NetworkOwner::Fine;
        }
        let name = self
            .gone
            .iter()
            .rev()
            .find(|(id, _)| id.as_str() == owner)
            .map(|(_, name)| name);
        let depends: &[String] = patient.care.as_ref().map_or(&[], |care| &care.depends_on);
        let successor = self.patients.values().find(|other| match (name, depends) {
            (Some(name), _) => other.info.name == *name,
            // The removal was not seen: what it depends on, where that is one thing only.
            (None, [one]) => policy::is_called(&other.info, one),
            _ => false,
        });
        NetworkOwner::Gone(
            successor
                .filter(|other| other.is_running())
                .map(|other| other.info.id.clone()),
        )
    }

    /// An orphan: what is to be done for it. `None`: nothing yet, or nothing at all.
    pub(super) fn find_orphan(
        &self,
        now: Instant,
        patient: &mut Patient,
        care: &Care,
        out: &mut Out,
    ) -> Option<Ticket> {
        let NetworkOwner::Gone(successor) = self.network_owner(patient) else {
            patient.orphan_since = None;
            return None;
        };
        let since = *patient.orphan_since.get_or_insert(now);
        let at = since + ORPHAN_GRACE;
        if now < at {
            patient.wake_at(at);
            return None;
        }
        let name = patient.info.name.clone();
        if !care.recreate {
            if self.mandate.leads {
                let text = format!(
                    "{name} shares the network of a container that is gone; only making it anew helps: docker compose up -d --force-recreate {name}, or the label planaria.recreate=true"
                );
                patient.alert_once(Severity::High, "needs_recreate", text, out);
            }
            return None;
        }
        let successor = successor?;
        let evidence = "it shares the network of a container that was made anew".to_owned();
        let incarnation = patient.info.started_at.clone();
        let plan = if patient.is_running() {
            Plan::Force { gentle: true }
        } else {
            Plan::Recreate {
                network_of: Some(successor.clone()),
            }
        };
        let reason = RestartReason::NetworkOwnerRestarted;
        let mut ticket = Ticket::new(reason, evidence, plan, incarnation, since, now);
        ticket.then_recreate = Some(successor);
        ticket.not_before = now + patient.intensity.backoff(&self.config);
        Some(ticket)
    }

    /// Makes it anew in place of a start.
    pub(super) fn recreate(
        &mut self,
        now: Instant,
        patient: &mut Patient,
        network_of: Option<ContainerId>,
        out: &mut Out,
    ) {
        let Some(until) = self.mandate.force_until else {
            patient.ticket = None;
            return;
        };
        let states = [
            ContainerState::Exited,
            ContainerState::Dead,
            ContainerState::Created,
        ];
        let call = EngineCall::Recreate {
            container: patient.info.id.clone(),
            name: patient.info.name.clone(),
            network_of,
            expect: Expectation {
                finished_at: patient.info.finished_at.clone(),
                ..super::act::expectation(patient, &states)
            },
        };
        self.call(now, patient, call, Some(until), out);
    }

    /// A container is no more; `true`: its ticket goes on without it.
    pub(super) fn note_gone(&mut self, now: Instant, patient: &Patient) -> bool {
        let id = patient.info.id.clone();
        self.gone.push_back((id.clone(), patient.info.name.clone()));
        if self.gone.len() > GONE_MAX {
            self.gone.pop_front();
        }
        // Those that share its network are to be looked at.
        let mode = format!("container:{id}");
        let children: Vec<ContainerId> = self
            .patients
            .values()
            .filter(|p| p.info.network_mode == mode)
            .map(|p| p.info.id.clone())
            .collect();
        self.dirty.extend(children);
        let making = patient.ticket.as_ref().is_some_and(Ticket::is_recreating);
        if making {
            self.recreating.insert(id, patient.clone());
            return true;
        }
        let died = matches!(patient.exit, Some(Exit::Witnessed { .. }));
        let wanted = died
            && patient.stopped.is_none()
            && patient.intensity.quarantined.is_none()
            && may_recreate(patient)
            && !self.holds.covers(patient.name().as_ref());
        if wanted && self.removed.len() < GONE_MAX {
            let due = now + NAME_FREE;
            let patient = patient.clone();
            self.removed
                .insert(patient.info.name.clone(), Removed { patient, due });
        }
        false
    }

    /// A container of that name is there: whoever made it knows better.
    pub(super) fn name_taken(&mut self, name: &str, id: &ContainerId) {
        if self
            .removed
            .get(name)
            .is_some_and(|removed| removed.patient.info.id != *id)
        {
            self.removed.remove(name);
        }
    }

    pub(super) fn recreate_deadline(&self) -> Option<Instant> {
        self.mandate.force_until.filter(|_| !self.config.dry_run)?;
        self.removed.values().map(|removed| removed.due).min()
    }

    /// Makes anew what was removed and did not come back.
    pub(super) fn recreate_due(&mut self, now: Instant, out: &mut Out) {
        if !self.mandate.leads || self.mandate.force_until.is_none() || self.config.dry_run {
            return;
        }
        let due: Vec<String> = self
            .removed
            .iter()
            .filter(|(_, removed)| now >= removed.due)
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            let Some(Removed { mut patient, .. }) = self.removed.remove(&name) else {
                continue;
            };
            let Some(care) = patient.care.clone() else {
                continue;
            };
            if self.is_held(&patient, &care)
                || patient
                    .intensity
                    .exceeded(now, care.limit, self.config.restart_window)
            {
                continue;
            }
            let owner = patient
                .info
                .network_mode
                .starts_with("container:")
                .then(|| self.network_owner(&patient));
            let network_of = match owner {
                Some(NetworkOwner::Gone(Some(id))) => Some(id),
                Some(NetworkOwner::Gone(None)) => continue,
                _ => None,
            };
            let evidence = format!(
                "removed, and no container of its name for {} s",
                NAME_FREE.as_secs()
            );
            let plan = Plan::Recreate {
                network_of: network_of.clone(),
            };
            let incarnation = patient.info.started_at.clone();
            patient.ticket = Some(Ticket::new(
                RestartReason::Removed,
                evidence,
                plan,
                incarnation,
                now,
                now,
            ));
            self.recreate(now, &mut patient, network_of, out);
            self.recreating.insert(patient.info.id.clone(), patient);
        }
    }

    /// The answer to an order to make a container anew.
    pub(super) fn recreated(
        &mut self,
        now: Instant,
        id: &ContainerId,
        call: CallId,
        result: Result<EngineReply, EngineError>,
        out: &mut Out,
    ) {
        let gone = self.recreating.remove(id);
        let old = match gone {
            Some(patient) => Some(patient),
            None => self.patients.get(id).cloned(),
        };
        let Some(mut old) = old.filter(|p| p.ticket.as_ref().is_some_and(|t| t.is_call(call)))
        else {
            return;
        };
        self.unsaved = true;
        self.announce = true;
        let engine = self.engine_time(now);
        match result {
            Ok(EngineReply::Recreated(new)) => {
                let mut ticket = old.ticket.take();
                if let Some(ticket) = &mut ticket {
                    ticket.phase = Phase::Settling {
                        until: now + SETTLE_MAX,
                    };
                }
                let name = old.info.name.clone();
                let patient = self
                    .patients
                    .entry(new.clone())
                    .or_insert_with(|| Patient::unknown(new.clone(), name));
                patient.ticket = ticket;
                patient.intensity = old.intensity.clone();
                patient.intensity.count(now, engine);
                patient.fresh = false;
                patient.look_at = None;
                self.dirty.insert(new);
                if let Some(patient) = self.patients.get_mut(id) {
                    patient.ticket = None;
                }
            }
            other => {
                let why = match other {
                    Err(error) => error.to_string(),
                    Ok(_) => "an answer that makes no sense".to_owned(),
                };
                old.intensity.count(now, engine);
                let text = format!("{} could not be made anew: {why}", old.info.name);
                let name = old.name();
                out.alert(Severity::High, "recreate_failed", name.as_ref(), text);
                let note = Some(("failed", why));
                self.close(now, &mut old, IncidentOutcome::Failed, note, out);
                if let Some(patient) = self.patients.get_mut(id) {
                    patient.ticket = None;
                    patient.intensity = old.intensity;
                    patient.fresh = false;
                    self.dirty.insert(id.clone());
                } else if !self.name_is_there(&old.info.name) {
                    let due = now + NAME_FREE;
                    let name = old.info.name.clone();
                    self.removed.insert(name, Removed { patient: old, due });
                }
            }
        }
    }

    fn name_is_there(&self, name: &str) -> bool {
        self.patients.values().any(|p| p.info.name == name)
    }
}
