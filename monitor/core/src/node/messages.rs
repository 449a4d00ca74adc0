//! What other members say, sorted to the parts that it concerns.

use super::Node;
use crate::detector::Heard;
use crate::election::Claim;
use crate::id::{BootId, ContainerId, MemberName};
use crate::message::{Beat, Body, Envelope, Heartbeat, Holds, PatientRecord, Severity};
use crate::time::Instant;
use std::time::Duration;

/// Probes made for others that may be under way.
const RELAYED_MAX: usize = 64;
/// How long such a probe waits.
const RELAY_PATIENCE: Duration = Duration::from_secs(2);
/// A new leader is told that one lives within this, not by everybody in the same moment.
const GREET_WITHIN: Duration = Duration::from_millis(200);

/// Nobody is asked to be silent for longer.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// A leader that does not know of a hold or a death is told again after this, should the message be lost.
const TOLD_EVERY: Duration = Duration::from_secs(2);
/// A beat tells of no more incidents than this.
const BEAT_INCIDENTS_MAX: usize = 32;

/// Who was in quarantine in one beat of a term and is not in the next, and whether its restarts still count.
fn released<'a>(
    before: &'a Beat,
    after: &'a Beat,
) -> impl Iterator<Item = (&'a ContainerId, bool)> {
    let now = |id: &ContainerId| after.records.iter().find(|r| r.container == *id);
    before
        .records
        .iter()
        .filter(|record| record.quarantined_ms.is_some())
        .filter_map(move |record| match now(&record.container) {
            Some(after) if after.quarantined_ms.is_some() => None,
            after => Some((
                &record.container,
                after.is_some_and(|after| !after.restarts_ms_ago.is_empty()),
            )),
        })
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
        if self.is_fenced(&from, boot) {
            if self.election.holds_token() && matches!(body, Body::Heartbeat(_)) {
                self.execute_fence(now, &from);
            }
            return;
        }
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
            // Asked for by a leader that misses us: the answer is a heartbeat.
            Body::Probe { .. } => {
                if let Some(due) = &mut self.heartbeat_due {
                    *due = now;
                }
            }
            Body::Records(records) if boot != self.boot => self.remember(now, records),
            Body::Holds(told) if boot != self.boot && self.election.holds_token() => {
                if let Some(supervisor) = &mut self.supervisor {
                    supervisor.unite_holds(now, &told);
                }
            }
            Body::Order(order) => self.ordered(now, &from, boot, &order),
            Body::OrderReport { id, outcome, term } => {
                self.order_reported(now, &id, &outcome, term);
            }
            Body::HostReport(report) => self.host_reported(now, *report),
            Body::Incident(incident) if boot != self.boot => {
                self.healed_elsewhere(&incident);
                self.out.heard_incident(&incident, true);
            }
            Body::Attack(told) => {
                if let Some(supervisor) = &mut self.supervisor {
                    supervisor.attacked(now, &told);
                }
            }
            Body::Death { name, boot, .. } => self.certified(now, &name, boot),
            _ => {}
        }
    }

    fn hear(&mut self, now: Instant, from: &MemberName, boot: BootId, seq: u64, beat: Heartbeat) {
        if !self.election.holds_token() {
            return;
        }
        self.heartbeats += 1;
        let skew = self.skew(now, &beat);
        let heard = self.detector.heartbeat(now, from, boot, seq, beat);
        match heard {
            Heard::Stale => {}
            Heard::Double => {
                let text = format!(
                    "Two processes say that they are {from}: two containers of one name, or one that lies; the newer is listened to"
                );
                self.out
                    .alert(Severity::High, "two_of_a_name", Some(from), text);
            }
            Heard::Again | Heard::New { .. } => self.note_skew(from, skew),
        }
        if matches!(heard, Heard::New { older: false, .. }) {
            self.unfence(from, boot);
        }
        if let Heard::New { away, .. } = heard {
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

    /// How far the sender's wall clock is ahead of ours, in milliseconds, the way included.
    fn skew(&self, now: Instant, beat: &Heartbeat) -> Option<i64> {
        let own = self.out.unix_ms(now)?;
        (beat.unix_ms > 0).then(|| {
            let (theirs, own) = (i128::from(beat.unix_ms), i128::from(own));
            i64::try_from(theirs - own).unwrap_or(i64::MAX)
        })
    }

    fn note_skew(&mut self, from: &MemberName, skew: Option<i64>) {
        if *from == self.config.name {
            return;
        }
        let warn = self.config.clock_skew_warn;
        if let Some(ahead) = self.detector.note_skew(from, skew, warn) {
            let way = if ahead > 0 { "ahead of" } else { "behind" };
            let text = format!(
                "The clock of {from} is {:.1} s {way} that of {}; times in logs cannot be compared, nothing else depends on it",
                Duration::from_millis(ahead.unsigned_abs()).as_secs_f64(),
                self.config.name
            );
            self.out
                .alert(Severity::Low, "clock_skew", Some(from), text);
        }
    }

    /// What another healer remembers. Of a quarantine the beats tell: a release may be younger than this.
    fn remember(&mut self, now: Instant, mut records: Vec<PatientRecord>) {
        if !self.election.holds_token() {
            return;
        }
        for record in &mut records {
            record.quarantined_ms = None;
        }
        if let Some(supervisor) = &mut self.supervisor {
            supervisor.adopt(now, &records);
        }
    }

    /// A death certificate: it concerns that one life, and silence need not be waited for.
    fn certified(&mut self, now: Instant, name: &MemberName, boot: Option<BootId>) {
        let known = self.detector.members.get(name).map(|peer| peer.boot);
        if boot.is_some() && known == boot && *name != self.config.name {
            self.detector.ended(name, now);
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
        let asked = Duration::from_millis(beat.interval_ms).min(INTERVAL_MAX);
        self.interval = self.config.heartbeat_interval.max(asked);
        self.adopt_fences(&beat.fences);
        for incident in beat.incidents.iter().take(BEAT_INCIDENTS_MAX) {
            let news = self.out.heard_incident(incident, false);
            if let Some(supervisor) = self.supervisor.as_mut().filter(|_| news) {
                supervisor.force_ended(incident);
            }
        }
        if let Some(supervisor) = &mut self.supervisor {
            if let Some((_, before)) = self.last_beat.as_ref().filter(|(_, b)| b.term == beat.term)
            {
                for (id, counted) in released(before, &beat) {
                    supervisor.released(now, id, counted);
                }
            }
            supervisor.adopt(now, &beat.records);
            supervisor.forces_elsewhere(now, &beat.tickets);
            let told = Holds {
                held: beat.holds.clone(),
                resumed: beat.resumed.clone(),
            };
            let holds = supervisor.holds.unknown_to(now, &told);
            supervisor.adopt_holds(now, &told);
            self.tell_what_it_lacks(now, &beat, holds);
        }
        self.last_beat = Some((now, beat));
        self.greet(now, claim);
    }

    /// A leader that was away, or could not see how one ended, is told by those who know.
    fn tell_what_it_lacks(&mut self, now: Instant, beat: &Beat, holds: Option<Holds>) {
        if self.told.is_some_and(|at| now < at + TOLD_EVERY) {
            return;
        }
        let elsewhere = self
            .supervisor
            .as_ref()
            .is_none_or(|supervisor| self.leads_elsewhere(supervisor));
        let deaths = match &mut self.supervisor {
            // Of another host's containers it can make nothing.
            Some(supervisor) if !elsewhere => supervisor.deaths_unknown_to(now, &beat.records),
            _ => Vec::new(),
        };
        if holds.is_none() && deaths.is_empty() {
            return;
        }
        self.told = Some(now);
        if let Some(holds) = holds {
            self.out.publish("report.holds", Body::Holds(holds));
        }
        if !deaths.is_empty() {
            self.out.publish("report.records", Body::Records(deaths));
        }
    }

    /// A new leader hears everyone at once rather than within an interval.
    fn greet(&mut self, now: Instant, claim: Claim) {
        if claim == Claim::New
            && let Some(due) = self.heartbeat_due
        {
            let soon = now + self.out.fraction(GREET_WITHIN);
            self.heartbeat_due = Some(due.min(soon));
            let records = self.supervisor.as_ref().map(|s| s.records(now));
            if let Some(records) = records.filter(|records| !records.is_empty()) {
                self.out.publish("report.records", Body::Records(records));
            }
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
        if self.is_fenced(&from, boot) {
            return;
        }
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
