//! The leader's beat: what it says to everybody, and what a successor must know.

use super::Node;
use crate::effect::Effect;
use crate::id::MemberName;
use crate::message::{Beat, Body, MemberState, MemberView};
use crate::time::Instant;

/// A beat carries the table whole up to so many members; beyond, those that are not well come first.
const TABLE_MAX: usize = 200;

impl Node {
    pub(super) fn send_beat(&mut self, now: Instant) {
        let early = self
            .supervisor
            .as_mut()
            .is_some_and(|s| std::mem::take(&mut s.announce));
        let Some(number) = self.election.beat_due(now, early) else {
            return;
        };
        let Some(office) = &self.election.office else {
            return;
        };
        let (term, channel) = (office.term, office.channel);
        let Some(channel) = channel else {
            let body = Body::Coordinator {
                term,
                token: false,
                why: self.election.why.clone(),
            };
            for name in self.election.peers() {
                self.out.direct(&name, body.clone());
            }
            return;
        };
        let members = self.views(now);
        self.count_members(&members);
        let ranks = self.ranks(&members);
        let incidents = self.out.incidents_for_beat(number);
        self.election.ranks.clone_from(&ranks);
        let base = self.config.heartbeat_interval;
        self.interval = self.detector.pace(now).max(base);
        let longer = Some(self.interval).filter(|interval| *interval > base);
        let interval_ms = longer.map_or(0, |span| u64::try_from(span.as_millis()).unwrap_or(0));
        let supervisor = self.supervisor.as_ref();
        let beat = Beat {
            term,
            number,
            token: true,
            ranks,
            members: shortened(members),
            records: supervisor.map(|s| s.records(now)).unwrap_or_default(),
            holds: supervisor.map(|s| s.holds.list(now)).unwrap_or_default(),
            resumed: supervisor.map(|s| s.holds.resumed(now)).unwrap_or_default(),
            tickets: supervisor.map(|s| s.tickets(now)).unwrap_or_default(),
            fences: self.fences.clone(),
            incidents,
            interval_ms,
            unix_ms: self.out.unix_ms(now).unwrap_or(0),
        };
        self.out.push(Effect::PublishBeat {
            channel,
            body: Body::Beat(Box::new(beat)),
        });
    }

    /// Candidates, highest first; the dead among them keep their place, so that ranks stay as they are.
    fn ranks(&self, members: &[MemberView]) -> Vec<MemberName> {
        let mut ranks: Vec<MemberName> = members
            .iter()
            .filter(|member| member.candidate)
            .map(|member| member.name.clone())
            .chain(std::iter::once(self.config.name.clone()))
            .collect();
        ranks.sort_by(|a, b| self.config.compare(b, a));
        ranks.dedup();
        ranks
    }

    fn count_members(&mut self, members: &[MemberView]) {
        let alive = members
            .iter()
            .filter(|member| matches!(member.state, MemberState::Alive | MemberState::Late))
            .count();
        if alive != self.alive {
            let text = format!("Members {alive} (was {})", self.alive);
            self.out.info("members_changed", None, text);
            self.alive = alive;
        }
    }
}

fn shortened(mut members: Vec<MemberView>) -> Vec<MemberView> {
    if members.len() > TABLE_MAX {
        members.sort_by_key(|member| (member.state == MemberState::Alive, !member.candidate));
        members.truncate(TABLE_MAX);
    }
    members
}
