//! Force across hosts: what is wanted here and not allowed, what was ordered elsewhere, what is granted here.

use super::patient::Suspicion;
use super::ticket::{Plan, Ticket};
use super::{FORCES_MAX, Patient, Supervisor};
use crate::id::ContainerId;
use crate::message::{Order, OrderVerb, TicketView, Wanted};
use crate::time::Instant;
use std::time::Duration;

/// A grant lasts so long after the order, or after the leader's newest beat that still carries it: a
/// leader that lost its lease sends none.
const GRANT: Duration = Duration::from_secs(2);
/// An order whose end nobody told is forgotten.
const REMOTE_MAX: Duration = Duration::from_secs(30);

impl Supervisor {
    /// Until when this container may be forced here, by office or by order.
    pub(super) fn force_until(&self, now: Instant, patient: &Patient) -> Option<Instant> {
        let granted = patient.granted.filter(|until| now < *until);
        self.mandate.force_until.max(granted)
    }

    /// A force is due that is not ours to use: the leader, on another host, is to hear of it.
    pub(super) fn want(&mut self, patient: &Patient, ticket: &Ticket) {
        let verb = match ticket.plan {
            Plan::Force { .. } => OrderVerb::Force,
            Plan::Connect(_) => OrderVerb::Reconnect,
            Plan::Continue => OrderVerb::Continue,
            _ => return,
        };
        let wanted = Wanted {
            container: patient.info.id.clone(),
            started_at: patient.info.started_at.clone(),
            verb,
            reason: ticket.reason,
            evidence: ticket.evidence.clone(),
        };
        let before = self.wants.insert(wanted.container.clone(), wanted);
        self.wants_changed |= before.is_none();
    }

    /// Notes an order to another host, if there is room for one more force and none on that container.
    pub(crate) fn begin_remote(&mut self, now: Instant, container: &ContainerId, id: &str) -> bool {
        self.remote
            .retain(|_, (since, _)| now.since(*since) < REMOTE_MAX);
        let busy = self.remote.contains_key(container);
        if busy || self.forces() + self.remote.len() >= FORCES_MAX {
            return false;
        }
        self.remote.insert(container.clone(), (now, id.to_owned()));
        self.announce = true;
        true
    }

    /// Forgets the order of which that holds (container, order's id). Whether there was one.
    pub(crate) fn end_remote(&mut self, which: impl Fn((&ContainerId, &str)) -> bool) -> bool {
        let before = self.remote.len();
        self.remote.retain(|of, (_, id)| !which((of, id)));
        self.remote.len() != before
    }

    /// Orders to other hosts, as beats carry them: they announce the signal, and they are the grant.
    pub(super) fn remote_tickets(&self, now: Instant) -> impl Iterator<Item = TicketView> {
        self.remote.iter().map(move |(container, (since, _))| {
            let left = REMOTE_MAX.saturating_sub(now.since(*since));
            TicketView {
                container: container.clone(),
                left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
                killing: true,
            }
        })
    }

    /// The leader's beat still carries the order.
    pub(super) fn renew_grant(now: Instant, patient: &mut Patient) -> bool {
        let granted = patient.granted.is_some_and(|until| now < until);
        if granted {
            patient.granted = Some(now + GRANT);
        }
        granted
    }

    /// Takes an order on, after everything about its container was checked here.
    pub(crate) fn grant(&mut self, now: Instant, order: &Order) -> Result<(), String> {
        let id = &order.container;
        let Some(mut patient) = self.patients.remove(id) else {
            return Err("no such container here".to_owned());
        };
        let result = self.grant_to(now, &mut patient, order);
        self.patients.insert(id.clone(), patient);
        self.dirty.insert(id.clone());
        result
    }

    fn grant_to(&self, now: Instant, patient: &mut Patient, order: &Order) -> Result<(), String> {
        let name = &patient.info.name;
        let Some(care) = patient.care.clone() else {
            return Err(format!("{name} is nobody's patient"));
        };
        if order.started_at.is_none() || order.started_at != patient.info.started_at {
            return Err(format!("{name} is another incarnation by now"));
        }
        if self.is_held(patient, &care) {
            return Err(format!("{name} is on hold"));
        }
        if patient.is_stopping(now) || !patient.is_running() {
            return Err(format!("{name} does not run, or is being stopped"));
        }
        if patient.intensity.quarantined.is_some() {
            return Err(format!("{name} is in quarantine"));
        }
        patient.granted = Some(now + GRANT);
        patient.blocked = None;
        patient.fresh = false;
        if order.verb == OrderVerb::Force && patient.suspicion.is_none() && !patient.is_unhealthy()
        {
            patient.suspicion = Some(Suspicion {
                reason: order.reason,
                evidence: order.evidence.chars().take(300).collect(),
                first_sign: now,
                ripe: now,
            });
        }
        Ok(())
    }
}
