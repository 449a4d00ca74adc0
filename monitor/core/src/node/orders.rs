//! Hosts that the leader's engine does not have: their first healer tells what it finds, the leader orders
//! force there, and whoever takes the order checks all that it names before it acts.
//!
//! ```text
//!  first healer of host B ──HostReport(wanted)──▶ leader ──beat(ticket) + Order──▶ heal.B ──▶ a healer of B
//!                                                   ▲                                            │
//!                                                   └────────── OrderReport, Incident ◀──────────┘
//! ```

use super::{Node, Role};
use crate::effect::Effect;
use crate::id::{BootId, HostId, MemberName};
use crate::message::{
    Body, HostReport, Incident, MemberView, Order, OrderVerb, Outcome, RestartReason, Wanted,
};
use crate::status::BrokerState;
use crate::time::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// More hosts than a group has.
const HOSTS_MAX: usize = 64;
/// Orders whose ids are remembered: far more than a host gets while a beat is fresh.
const TAKEN_MAX: usize = 64;
/// The executor's beat that an order quotes is no older.
const BEATS_OLD_MAX: u64 = 3;
/// A host that says nothing for so many heartbeats is not in the table any more.
const SILENT_BEATS: u32 = 5;

/// What is kept of other hosts and of orders.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    reports: BTreeMap<HostId, (Instant, HostReport)>,
    taken: VecDeque<String>,
    issued: u64,
    /// The queue that is consumed, and with which priority.
    consuming: Option<(HostId, i64)>,
}

impl Hosts {
    pub(super) fn disconnected(&mut self) {
        self.consuming = None;
    }

    /// Members of other hosts, as their first healers see them.
    pub(super) fn views(
        &self,
        now: Instant,
        interval: Duration,
    ) -> impl Iterator<Item = &MemberView> {
        self.reports
            .values()
            .filter(move |(at, _)| now.since(*at) < interval * SILENT_BEATS)
            .flat_map(|(_, report)| &report.members)
    }
}

impl Node {
    /// Listens for orders to this host, and tells the leader of another host what is found here.
    pub(super) fn tend_host(&mut self, now: Instant) {
        if self.config.role != Role::Healer || self.broker != BrokerState::Connected {
            return;
        }
        let Some(host) = self.supervisor.as_ref().and_then(|s| s.host.as_ref()) else {
            return;
        };
        let priority = self.election.rank();
        let consuming = self.hosts.consuming.as_ref();
        if consuming.is_none_or(|(known, rank)| known != host || *rank != priority) {
            let host = host.clone();
            self.hosts.consuming = Some((host.clone(), priority));
            self.out.push(Effect::ConsumeOrders { host, priority });
        }
        let news = self
            .supervisor
            .as_mut()
            .is_some_and(|s| std::mem::take(&mut s.wants_changed));
        if news {
            self.report_host(now);
        }
    }

    /// With each heartbeat, and when something is to be forced here.
    pub(super) fn report_host(&mut self, now: Instant) {
        let Some(supervisor) = &self.supervisor else {
            return;
        };
        let first = self.election.office.is_none()
            && self.leads_elsewhere(supervisor)
            && supervisor.healers_above() == 0;
        if let Some(host) = supervisor.host.clone().filter(|_| first) {
            let report = HostReport {
                host,
                members: supervisor
                    .patients
                    .values()
                    .filter_map(|patient| supervisor.view(patient, now))
                    .collect(),
                wanted: supervisor.wants.values().cloned().collect(),
            };
            self.out
                .publish("report.host", Body::HostReport(Box::new(report)));
        }
    }

    /// The leader hears of a host that it does not see.
    pub(super) fn host_reported(&mut self, now: Instant, report: HostReport) {
        let own = self.supervisor.as_ref().and_then(|s| s.host.as_ref());
        let known = self.hosts.reports.contains_key(&report.host);
        let full = !known && self.hosts.reports.len() >= HOSTS_MAX;
        if !self.election.holds_token() || own == Some(&report.host) || full {
            return;
        }
        for wanted in &report.wanted {
            self.send_order(now, &report.host, wanted.clone());
        }
        self.hosts
            .reports
            .insert(report.host.clone(), (now, report));
    }

    /// One that is declared dead by silence lives on another host. Whether it does.
    pub(super) fn hung_elsewhere(
        &mut self,
        now: Instant,
        name: &MemberName,
        evidence: &str,
    ) -> bool {
        let (Some(host), Some(container)) = self.detector.place(name) else {
            return false;
        };
        if self.supervisor.as_ref().and_then(|s| s.host.as_ref()) == Some(&host) {
            return false;
        }
        let incarnation = self.hosts.reports.get(&host).and_then(|(_, report)| {
            let view = report.members.iter().find(|view| view.name == *name)?;
            view.incarnation
                .0
                .split_once('@')
                .map(|(_, at)| at.to_owned())
        });
        // Without a look at it from there nobody knows which life would be hit.
        if let Some(started_at) = incarnation {
            let wanted = Wanted {
                container,
                started_at: Some(started_at),
                verb: OrderVerb::Force,
                reason: RestartReason::Hung,
                evidence: evidence.to_owned(),
            };
            self.send_order(now, &host, wanted);
        }
        true
    }

    fn send_order(&mut self, now: Instant, host: &HostId, wanted: Wanted) {
        let Some(term) = self.election.office.as_ref().map(|office| office.term) else {
            return;
        };
        if self.election.force_until(now).is_none() {
            return;
        }
        let beats: Vec<(BootId, u64)> = self
            .detector
            .members
            .values()
            .filter(|peer| {
                peer.beat.host.as_ref() == Some(host) && peer.beat.healer && !peer.over()
            })
            .map(|peer| (peer.boot, peer.beat.number))
            .collect();
        let Some(supervisor) = &mut self.supervisor else {
            return;
        };
        let id = format!("{}-order-{}", self.boot, self.hosts.issued + 1);
        if beats.is_empty() || !supervisor.begin_remote(now, &wanted.container, &id) {
            return;
        }
        self.hosts.issued += 1;
        let text = format!(
            "Ordering {:?} on host {host}: {}",
            wanted.verb, wanted.evidence
        );
        self.out.info("order_sent", None, text);
        let order = Order {
            id,
            term,
            beats,
            container: wanted.container,
            started_at: wanted.started_at,
            verb: wanted.verb,
            reason: wanted.reason,
            evidence: wanted.evidence,
        };
        self.out
            .publish(format!("heal.{host}"), Body::Order(Box::new(order)));
    }

    /// What came of an order of ours.
    pub(super) fn order_reported(&mut self, now: Instant, id: &str, outcome: &Outcome, term: u64) {
        if outcome.accepted {
            return;
        }
        if let Some(supervisor) = &mut self.supervisor
            && supervisor.end_remote(|(_, issued)| issued == id)
        {
            let text = format!("An order was refused: {}", outcome.text);
            self.out.info("order_refused", None, text);
            self.election.refused_by(now, term, &mut self.out);
        }
    }

    /// The story of a healing elsewhere ends what was ordered for it.
    pub(super) fn healed_elsewhere(&mut self, incident: &Incident) {
        if let Some(supervisor) = &mut self.supervisor {
            supervisor.force_ended(incident);
            let container = incident.container.clone();
            supervisor.end_remote(|(of, _)| *of == container);
        }
    }

    /// An order to this host.
    pub(super) fn ordered(&mut self, now: Instant, from: &MemberName, boot: BootId, order: &Order) {
        let outcome = match self.take_order(now, from, boot, order) {
            Ok(()) => Outcome {
                accepted: true,
                text: format!("{} takes it on", self.config.name),
            },
            Err(why) => Outcome {
                accepted: false,
                text: format!("{} refuses: {why}", self.config.name),
            },
        };
        self.out.info("order_received", None, outcome.text.clone());
        let body = Body::OrderReport {
            id: order.id.clone(),
            outcome,
            term: self.election.seen,
        };
        self.out.publish("report.order", body);
    }

    fn take_order(
        &mut self,
        now: Instant,
        from: &MemberName,
        boot: BootId,
        order: &Order,
    ) -> Result<(), String> {
        let silence = self.config.leader_beat_interval * 2;
        let leads = self.election.valid_leader(now).is_some_and(|leader| {
            leader.token
                && leader.term == order.term
                && leader.name == *from
                && leader.boot == boot
                && now.since(leader.heard) <= silence
        });
        if !leads {
            return Err(format!(
                "term {} of {from} is not the one that leads here (highest seen: {})",
                order.term, self.election.seen
            ));
        }
        let fresh = order.beats.iter().any(|(life, number)| {
            *life == self.boot
                && self
                    .beats_sent
                    .checked_sub(*number)
                    .is_some_and(|age| age <= BEATS_OLD_MAX)
        });
        if !fresh {
            return Err("it quotes no fresh beat of this life".to_owned());
        }
        if self.hosts.taken.contains(&order.id) {
            return Err("it was taken before".to_owned());
        }
        if self.ending || self.fenced || self.config.role != Role::Healer {
            return Err("it acts on nothing".to_owned());
        }
        let Some(supervisor) = &mut self.supervisor else {
            return Err("it has no engine".to_owned());
        };
        supervisor.grant(now, order)?;
        self.hosts.taken.push_back(order.id.clone());
        if self.hosts.taken.len() > TAKEN_MAX {
            self.hosts.taken.pop_front();
        }
        Ok(())
    }
}
