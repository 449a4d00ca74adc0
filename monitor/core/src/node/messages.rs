//! What other members say, sorted to the parts that it concerns.

use super::Node;
use crate::detector::Heard;
use crate::election::Claim;
use crate::id::{BootId, ContainerId, MemberName};
use crate::message::{Beat, Body, Envelope, Heartbeat};
use crate::time::Instant;
use std::time::Duration;

/// Probes made for others that may be under way.
const RELAYED_MAX: usize = 64;
/// How long such a probe waits.
const RELAY_PATIENCE: Duration = Duration::from_secs(2);
/// A new leader is told that one lives within this, not by everybody in the same moment.
const GREET_WITHIN: Duration = Duration::from_millis(200);

/// Who was in quarantine in one beat of a term and is not in the next.
fn released<'a>(before: &'a Beat, after: &'a Beat) -> impl Iterator<Item = &'a ContainerId> {
    let still = |id: &ContainerId| {
        let record = after.records.iter().find(|record| record.container == *id);
        record.is_some_and(|record| record.quarantined_ms.is_some())
    };
    before
        .records
        .iter()
        .filter(|record| record.quarantined_ms.is_some())
        .map(|record| &record.container)
        .filter(move |id| !still(id))
}

impl Node {
    /// Through the broker.
    pub(super) fn message(&mut self, now: Instant, envelope: Envelope) {
        if envelope.cluster != self.config.cluster {
            return;
        }
        let Envelope {
            from,
            boot,
            seq,
            body,
            ..
        } = envelope;
        match body {
            Body::Heartbeat(beat) => self.hear(now, &from, boot, seq, beat),
            Body::Beat(beat) => self.beat(now, &from, boot, *beat),
            Body::Coordinator { term, token, .. } => {
                let claim = self
                    .election
                    .claim(now, &from, boot, term, token, &mut self.out);
                self.greet(now, claim);
            }
            Body::Resign { term } => self.election.resigned(now, boot, term),
            Body::Challenge => {
                let fit = self
                    .detector
                    .members
                    .get(&from)
                    .is_some_and(|peer| peer.boot == boot && peer.beat.healer && !peer.over());
                self.election.challenged_by(now, &from, fit);
            }
            Body::Election { term } if boot != self.boot => {
                self.election.refused_by(now, term, &mut self.out);
            }
            Body::Leave => self.detector.left(&from, boot, now),
            Body::LastWords(words) => {
                let known = self
                    .detector
                    .members
                    .get(&from)
                    .is_none_or(|peer| peer.boot == boot);
                if let Some(supervisor) = &mut self.supervisor
                    && known
                {
                    let evidence = format!(
                        "last words: {} {} is {} ms late",
                        words.reason, words.pulse, words.late_ms
                    );
                    let late = Duration::from_millis(words.late_ms);
                    supervisor.suspect(now, &from, late, true, evidence);
                }
            }
            Body::Request { id, verb } => self.asked_by_other(now, &id, &verb),
            Body::Result { id, outcome } => self.answered(&id, outcome),
            _ => {}
        }
    }

    fn hear(&mut self, now: Instant, from: &MemberName, boot: BootId, seq: u64, beat: Heartbeat) {
        if !self.election.holds_token() {
            return;
        }
        self.heartbeats += 1;
        let heard = self.detector.heartbeat(now, from, boot, seq, beat);
        if let Heard::New { away } = heard {
            let text = match away {
                Some(away) => format!(
                    "Peer {from} is heard again, after {:.1} s",
                    away.as_secs_f64()
                ),
                None => format!("Peer {from} is heard"),
            };
            self.out.info("member_heard", Some(from), text);
            if let Some(supervisor) = &mut self.supervisor {
                supervisor.heard(from);
            }
        }
    }

    fn beat(&mut self, now: Instant, from: &MemberName, boot: BootId, beat: Beat) {
        let claim = self
            .election
            .claim(now, from, boot, beat.term, beat.token, &mut self.out);
        if claim == Claim::Refused {
            return;
        }
        self.election.ranks.clone_from(&beat.ranks);
        if let Some(supervisor) = &mut self.supervisor {
            if let Some((_, before)) = self.last_beat.as_ref().filter(|(_, b)| b.term == beat.term)
            {
                for id in released(before, &beat) {
                    supervisor.released(id);
                }
            }
            supervisor.adopt(now, &beat.records, Some(&beat.holds));
            supervisor.forces_elsewhere(now, &beat.tickets);
        }
        self.last_beat = Some((now, beat));
        self.greet(now, claim);
    }

    /// A new leader hears everyone at once rather than within an interval.
    fn greet(&mut self, now: Instant, claim: Claim) {
        if claim == Claim::New
            && let Some(due) = self.heartbeat_due
        {
            let soon = now + self.out.fraction(GREET_WITHIN);
            self.heartbeat_due = Some(due.min(soon));
        }
    }

    /// Over the direct path.
    pub(super) fn datagram(&mut self, now: Instant, envelope: Envelope) {
        if envelope.cluster != self.config.cluster || !self.config.direct {
            return;
        }
        let Envelope {
            from, boot, body, ..
        } = envelope;
        match body {
            Body::Probe { nonce } => self.out.direct(&from, Body::Ack { nonce }),
            Body::Ack { nonce } => self.acknowledged(now, &from, boot, nonce),
            Body::ProbeRequest { target, nonce } => self.relay(now, from, &target, nonce),
            Body::ProbeReport { target, nonce, .. } => self.detector.report(&from, &target, nonce),
            Body::Election { term } => self.election.asked(now, &from, term, &mut self.out),
            Body::Answer { term } => self.election.answered(now, term),
            Body::Coordinator { term, token, .. } => {
                self.election
                    .claim(now, &from, boot, term, token, &mut self.out);
            }
            _ => {}
        }
    }

    fn relay(&mut self, now: Instant, asker: MemberName, target: &MemberName, nonce: u64) {
        self.relayed.retain(|_, (_, _, until)| now < *until);
        if self.relayed.len() >= RELAYED_MAX || *target == self.config.name {
            return;
        }
        let own = self.out.nonce();
        self.relayed
            .insert(own, (asker, nonce, now + RELAY_PATIENCE));
        self.out.direct(target, Body::Probe { nonce: own });
    }

    fn acknowledged(&mut self, now: Instant, from: &MemberName, boot: BootId, nonce: u64) {
        self.detector.ack(from, boot, nonce);
        if let Some((asker, asked, until)) = self.relayed.remove(&nonce)
            && now < until
        {
            let report = Body::ProbeReport {
                target: from.clone(),
                boot,
                nonce: asked,
            };
            self.out.direct(&asker, report);
        }
    }
}
