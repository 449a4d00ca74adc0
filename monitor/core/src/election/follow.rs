//! What a member makes of what leaders and candidates say.

use super::direct::Direct;
use super::{Election, Leader, REFUSE_EVERY, TERM_LEAP_MAX};
use crate::id::{BootId, MemberName, Term};
use crate::message::Body;
use crate::out::Out;
use crate::sabotage::Sabotage;
use crate::time::Instant;

/// What a claim to leadership was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The leader that is known.
    Known,
    /// A new one.
    New,
    /// Not believed.
    Refused,
}

impl Election {
    /// A beat or an announcement of another member.
    pub(crate) fn claim(
        &mut self,
        now: Instant,
        from: &MemberName,
        boot: BootId,
        term: Term,
        token: bool,
        out: &mut Out,
    ) -> Claim {
        if boot == self.boot || term.boot != boot {
            return Claim::Refused;
        }
        if term.number > self.seen.saturating_add(TERM_LEAP_MAX) {
            return Claim::Refused;
        }
        let attended = self.valid_leader(now).is_some_and(|leader| leader.token);
        if !token && attended && self.connected.is_some() && self.office.is_none() {
            // An office without the token means nothing where the one with it is heard.
            return Claim::Refused;
        }
        if let Some(leader) = &mut self.leader
            && leader.term == term
            && leader.boot == boot
        {
            leader.heard = now;
            return Claim::Known;
        }
        if self.office.is_some() && self.config.broken(Sabotage::NoFence) {
            return Claim::Refused;
        }
        if let Some(office) = &self.office {
            let mine = office.term;
            let token_here = office.channel.is_some();
            if token_here && (!token || term < mine) {
                // The token decides: without it nobody leads where one has it. Retake above.
                if term > mine {
                    self.retake(now, term.number, out);
                }
                return Claim::Refused;
            }
            let yields = match (token_here, token) {
                (false, true) => true,
                (false, false) => self.config.compare(from, &self.config.name).is_gt(),
                (true, _) => term > mine,
            };
            if !yields {
                self.seen = self.seen.max(term.number);
                return Claim::Refused;
            }
            self.step_down(now, "a higher term was heard", out);
        } else if self.is_stale(now, term, token) {
            self.refuse(now, token, out);
            return Claim::Refused;
        }
        self.follow(now, from, boot, term, token, out);
        Claim::New
    }

    /// Two offices may reach one number on two paths: once the one that was followed is silent, the holder
    /// of the token counts. Who stands in no election cannot refuse either, and follows what is there.
    fn is_stale(&self, now: Instant, term: Term, token: bool) -> bool {
        let known = self.leader.as_ref().map(|leader| leader.term);
        let older = term.number < self.seen || known.is_some_and(|known| term < known);
        let orphaned = token && self.valid_leader(now).is_none();
        older && !(orphaned && (!self.candidate || term.number == self.seen))
    }

    fn follow(
        &mut self,
        now: Instant,
        from: &MemberName,
        boot: BootId,
        term: Term,
        token: bool,
        out: &mut Out,
    ) {
        self.seen = self.seen.max(term.number);
        self.count += 1;
        self.direct = Direct::Idle;
        self.vacant = None;
        self.challenged = None;
        self.why.clear();
        self.leader = Some(Leader {
            name: from.clone(),
            boot,
            term,
            token,
            heard: now,
            since: now,
        });
        out.info(
            "leader_known",
            Some(from),
            format!("Leader is {from} (term {term})"),
        );
    }

    /// Tells a stale leader of the highest term, so that one that holds the token can retake office.
    fn refuse(&mut self, now: Instant, token: bool, out: &mut Out) {
        let due = self.refused.is_none_or(|at| now.since(at) >= REFUSE_EVERY);
        if token && self.candidate && due {
            self.refused = Some(now);
            out.publish("control.refusal", Body::Election { term: self.seen });
        }
    }

    fn retake(&mut self, now: Instant, above: u64, out: &mut Out) {
        let Some(office) = self.office.take() else {
            return;
        };
        self.seen = self.seen.max(above);
        let force_from = office.force_from.max(now);
        self.take_office(now, office.channel, force_from, out);
    }

    /// Somebody knows a higher term than ours.
    pub(crate) fn refused_by(&mut self, now: Instant, term: u64, out: &mut Out) {
        let Some(office) = &self.office else {
            return;
        };
        let mine = office.term.number;
        if office.channel.is_some() && term > mine && term - mine <= TERM_LEAP_MAX {
            self.retake(now, term, out);
        }
    }

    pub(crate) fn resigned(&mut self, now: Instant, boot: BootId, term: Term) {
        let known = self
            .leader
            .as_ref()
            .is_some_and(|leader| leader.boot == boot && leader.term == term);
        if known {
            let dated = self
                .woke
                .is_none_or(|woke| now.since(woke) > self.config.lease);
            self.resigned = dated.then_some((term, now));
            self.vacant = Some(now);
        }
    }

    /// The leader's container ended: what the election's log line counts from.
    pub(crate) fn member_ended(&mut self, now: Instant, name: &MemberName) {
        if self.leader.as_ref().is_some_and(|l| l.name == *name) && self.office.is_none() {
            self.vacant.get_or_insert(now);
        }
    }

    /// A higher candidate asks for the office; granted once in a term.
    pub(crate) fn challenged_by(&mut self, now: Instant, from: &MemberName, fit: bool) {
        let settled = self
            .office
            .as_ref()
            .is_some_and(|o| now.since(o.since) >= self.config.stable_before_challenge);
        if fit && settled && self.config.compare(from, &self.config.name).is_gt() {
            self.resign_soon("a higher candidate is fit");
        }
    }

    pub(super) fn tick_direct(&mut self, now: Instant, out: &mut Out) {
        if !self.config.direct || self.engine_lost.is_some() {
            return;
        }
        match self.direct {
            Direct::Idle if now >= self.direct_from() => self.ask(now, out),
            Direct::Asking { until } if now >= until => self.take_office(now, None, now, out),
            Direct::Waiting { until } if now >= until => self.ask(now, out),
            Direct::Idle | Direct::Asking { .. } | Direct::Waiting { .. } => {}
        }
    }

    /// Asks everyone: the higher ones answer, and any that still reaches the broker does.
    fn ask(&mut self, now: Instant, out: &mut Out) {
        self.direct = Direct::Asking {
            until: now + Direct::patience(self.config.election_timeout),
        };
        for name in self.peers() {
            out.direct(&name, Body::Election { term: self.seen });
        }
    }

    /// Direct path: is anybody higher there?
    pub(crate) fn asked(&mut self, now: Instant, from: &MemberName, term: u64, out: &mut Out) {
        if !self.candidate || term > self.seen.saturating_add(TERM_LEAP_MAX) {
            return;
        }
        let lower = self.config.compare(from, &self.config.name).is_lt();
        if lower || self.connected.is_some() {
            out.direct(from, Body::Answer { term: self.seen });
        }
        self.seen = self.seen.max(term);
        if !lower || self.connected.is_some() || self.engine_lost.is_some() {
            return;
        }
        if let Some(office) = &self.office {
            let body = Body::Coordinator {
                term: office.term,
                token: false,
                why: self.why.clone(),
            };
            out.direct(from, body);
        } else if self.direct == Direct::Idle {
            self.ask(now, out);
        }
    }

    /// Direct path: yes, somebody is.
    pub(crate) fn answered(&mut self, now: Instant, term: u64) {
        if term <= self.seen.saturating_add(TERM_LEAP_MAX) {
            self.seen = self.seen.max(term);
        }
        if let Direct::Asking { .. } = self.direct {
            self.direct = Direct::Waiting {
                until: now + self.config.election_timeout,
            };
        }
    }
}
