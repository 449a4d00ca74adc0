//! What a member tells of itself and of the group.

use super::{Node, Role};
use crate::id::Incarnation;
use crate::message::{MemberState, MemberView};
use crate::status::{EngineState, Status};
use crate::supervisor::{Patient, Supervisor, incarnation};
use crate::time::Instant;
use std::collections::BTreeMap;

impl Node {
    /// Everyone known here, by name: who is heard, and who is seen on the engine.
    pub(super) fn views(&self, now: Instant) -> Vec<MemberView> {
        let mut table = BTreeMap::new();
        if let Some(supervisor) = &self.supervisor {
            for patient in supervisor.patients.values() {
                let Some(view) = supervisor.view(patient, now) else {
                    continue;
                };
                // Two containers of one name: the one that runs is meant.
                let newer = table
                    .get(&view.name)
                    .is_none_or(|old: &MemberView| old.state == MemberState::Left);
                if newer {
                    table.insert(view.name.clone(), view);
                }
            }
        }
        for (name, peer) in &self.detector.members {
            let seen = table.remove(name);
            let patient = self.supervisor.as_ref().and_then(|s| s.of_member(name));
            let place = self.detector.place(name).0;
            let (state, why) = match &seen {
                // What the engine shows is certain; silence and sound decide for the rest.
                Some(seen) if seen.state != MemberState::Expected => (seen.state, seen.why.clone()),
                Some(seen) => (peer.state, seen.why.clone()),
                None => (peer.state, String::new()),
            };
            let view = MemberView {
                name: name.clone(),
                state,
                incarnation: patient
                    .map_or_else(|| Incarnation(peer.boot.to_string()), Patient::incarnation),
                boot: Some(peer.boot),
                host: place.or_else(|| seen.as_ref().and_then(|seen| seen.host.clone())),
                last_heartbeat_ms: peer
                    .heard
                    .map(|at| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX)),
                restarts: seen.as_ref().map_or(0, |seen| seen.restarts),
                candidate: peer.beat.candidate,
                healer: peer.beat.healer,
                why,
                held: seen.as_ref().is_some_and(|seen| seen.held),
                skew_ms: peer.skew_ms,
                pulse_age_ms: peer.heard.map(|_| peer.beat.pulse_age_ms),
            };
            table.insert(name.clone(), view);
        }
        for view in self.hosts.views(now, self.config.heartbeat_interval) {
            match table.get_mut(&view.name) {
                None => {
                    table.insert(view.name.clone(), view.clone());
                }
                // Its engine's word, where ours has none of it.
                Some(known) if known.host == view.host => {
                    known.incarnation.clone_from(&view.incarnation);
                    known.restarts = view.restarts;
                    known.held = view.held;
                }
                Some(_) => {}
            }
        }
        table.into_values().collect()
    }

    /// Whether force is allowed at this moment: what `/status` says as `may_force`, without its table.
    #[must_use]
    pub fn may_force(&self, now: Instant) -> bool {
        self.config.role == Role::Solo || self.election.force_until(now).is_some()
    }

    /// `/status`.
    #[must_use]
    pub fn status(&self, now: Instant) -> Status {
        let solo = self.config.role == Role::Solo;
        let leads = solo || self.election.office.is_some();
        let leader = self.election.valid_leader(now);
        let members = match &self.last_beat {
            Some((_, beat)) if !leads => beat.members.clone(),
            _ => self.views(now),
        };
        let held = match (&self.supervisor, &self.last_beat) {
            (Some(supervisor), _) => supervisor.holds.list(now),
            (None, Some((_, beat))) => beat.holds.clone(),
            (None, None) => Vec::new(),
        };
        Status {
            cluster: self.config.cluster.clone(),
            node: self.config.name.clone(),
            boot: self.boot,
            leader: if solo {
                Some(self.config.name.clone())
            } else {
                leader.map(|leader| leader.name.clone())
            },
            leader_why: self.leader_why(&members),
            term: leader.map_or(self.election.seen, |leader| leader.term.number),
            term_id: leader.map(|leader| leader.boot),
            is_leader: leads,
            may_force: self.may_force(now),
            members,
            broker: self.broker,
            docker: match &self.supervisor {
                None => EngineState::None,
                Some(supervisor) if supervisor.connected => EngineState::Connected,
                Some(_) => EngineState::Down,
            },
            held,
            fences: self.fences.clone(),
            incidents: self.out.incidents.iter().cloned().collect(),
            alerts: self.out.alerts.iter().cloned().collect(),
            tickets: self.supervisor.as_ref().map_or(0, Supervisor::tickets_open),
            elections: self.election.count,
            restarts_ordered: self.supervisor.as_ref().map_or(0, |s| s.restarts_ordered),
            heartbeats: self.heartbeats,
            local_health: self.detector.health(),
            blind: self.election.holds_token() && self.detector.is_blind(),
        }
    }

    /// Why the leader leads although a higher name is there.
    fn leader_why(&self, members: &[MemberView]) -> String {
        let Some(leader) = &self.election.leader else {
            return String::new();
        };
        let higher = members.iter().find(|member| {
            !member.candidate && self.config.compare(&member.name, &leader.name).is_gt()
        });
        match higher {
            Some(member) => format!(
                "{} is the highest healer ({} ranks higher but is no healer)",
                leader.name, member.name
            ),
            None if !self.election.why.is_empty() => self.election.why.clone(),
            None => format!("{} holds term {}", leader.name, leader.term),
        }
    }
}

impl Patient {
    fn incarnation(&self) -> Incarnation {
        incarnation(self)
    }
}
