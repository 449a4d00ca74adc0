//! Who leads. With the broker, the broker runs the bully: every candidate consumes the token queue with
//! its rank as priority, and who gets the token leads. Without it: [`direct`].
//!
//! ```text
//!             token granted                       beat returned, a lease passed
//!  Follower ───────────────▶ office without force ─────────────────────────────▶ office with force
//!     ▲                                                                                  │
//!     └── channel lost · lease past · higher term · resigned (challenge, request, exit) ─┘
//! ```
//!
//! Safety does not rest on the token but on the lease: force is allowed only until the sending time of
//! the newest beat that came back on the token's channel, plus `LEASE`.

mod direct;
mod follow;
mod office;

use crate::effect::Effect;
use crate::id::{BootId, ChannelId, MemberName, Term};
use crate::message::Body;
use crate::node::NodeConfig;
use crate::out::Out;
use crate::sabotage::Sabotage;
use crate::time::Instant;
use direct::Direct;
pub(crate) use follow::Claim;
pub(crate) use office::Office;
use std::time::Duration;

/// Neither beat nor token for so long: the token is lost, seed one.
const SEED_AFTER: Duration = Duration::from_secs(10);
/// A channel that was closed is opened again after a moment, not in a busy loop.
const CONSUME_AGAIN: Duration = Duration::from_millis(200);
/// A term further above the known one than this is malformed: nobody held so many elections.
const TERM_LEAP_MAX: u64 = 1 << 32;
/// A stale leader is told of the highest term at most this often.
const REFUSE_EVERY: Duration = Duration::from_secs(1);
/// A failed handshake is evidence for so long: an attempt's patience and the longest pause before it.
const HANDSHAKE_STALE: Duration = Duration::from_secs(20);
/// Without its engine a leader can heal nobody: it hands over after so long.
const UNFIT_AFTER: Duration = Duration::from_secs(5);
/// A RESIGN spares its successor the wait of a lease for so long only: the broker hands the token on
/// within milliseconds, and whoever gets it later may have missed an office between.
const RESIGN_FRESH: Duration = Duration::from_millis(500);

/// A leader as others see it.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    pub(crate) name: MemberName,
    pub(crate) boot: BootId,
    pub(crate) term: Term,
    pub(crate) token: bool,
    pub(crate) heard: Instant,
    since: Instant,
}

/// One member's view of the election, and its part in it.
#[derive(Debug)]
pub(crate) struct Election {
    config: NodeConfig,
    boot: BootId,
    booted: Instant,
    candidate: bool,
    /// The highest term seen (its boot is unknown where it comes from the volume).
    pub(crate) seen: u64,
    pub(crate) leader: Option<Leader>,
    pub(crate) office: Option<Office>,
    /// Candidates, highest first, as the last beat gave them.
    pub(crate) ranks: Vec<MemberName>,
    /// Candidates that labels on this host name; used until a beat gives ranks.
    pub(crate) local: Vec<MemberName>,
    /// Healers besides this one that reach their engine, as far as is known.
    pub(crate) others_fit: bool,
    connected: Option<Instant>,
    lost: Instant,
    /// Since when handshakes fail, and the newest one that did.
    handshake_failing: Option<(Instant, Instant)>,
    consuming: Option<i64>,
    consume_from: Instant,
    engine_lost: Option<Instant>,
    /// The predecessor's own RESIGN, and when it was heard.
    resigned: Option<(Term, Instant)>,
    /// This member was frozen, and woke then.
    woke: Option<Instant>,
    vacant: Option<Instant>,
    seeded: Instant,
    challenged: Option<Instant>,
    refused: Option<Instant>,
    direct: Direct,
    pub(crate) count: u64,
    pub(crate) why: String,
}

impl Election {
    pub(crate) fn new(config: &NodeConfig, boot: BootId, seen: u64, now: Instant) -> Self {
        Self {
            config: config.clone(),
            boot,
            booted: now,
            candidate: config.role == crate::node::Role::Healer,
            seen,
            leader: None,
            office: None,
            ranks: Vec::new(),
            local: Vec::new(),
            others_fit: false,
            connected: None,
            lost: now,
            handshake_failing: None,
            consuming: None,
            consume_from: now,
            engine_lost: Some(now),
            resigned: None,
            woke: None,
            vacant: None,
            seeded: now,
            challenged: None,
            refused: None,
            direct: Direct::Idle,
            count: 0,
            why: String::new(),
        }
    }

    /// It was frozen: a RESIGN that waited meanwhile is of unknown age.
    pub(crate) fn woken(&mut self, now: Instant) {
        self.woke = Some(now);
        self.resigned = None;
        // The broker may have died and come back meanwhile: that it hung before is no evidence about it now.
        self.handshake_failing = None;
    }

    pub(crate) fn broker_connected(&mut self, now: Instant, out: &mut Out) {
        if self.office.as_ref().is_some_and(|o| o.channel.is_none()) {
            // On the broker's path the token decides: an office without it would only hold others back.
            self.step_down(now, "the broker is back", out);
        }
        self.connected = Some(now);
        self.handshake_failing = None;
        self.consuming = None;
        self.consume_from = now;
        self.seeded = now;
        self.direct = Direct::Idle;
    }

    pub(crate) fn broker_disconnected(&mut self, now: Instant, out: &mut Out) {
        // A broker that refuses is gone, not hung; what hung before it is no evidence about the next one.
        self.handshake_failing = None;
        if self.connected.take().is_some() {
            self.lost = now;
        }
        self.consuming = None;
        if self.holds_token() && !self.config.broken(Sabotage::NoFence) {
            self.step_down(now, "the broker is away", out);
        }
    }

    pub(crate) fn handshake_failed(&mut self, now: Instant) {
        let since = self.handshake_failing.map_or(now, |(since, _)| since);
        self.handshake_failing = Some((since, now));
    }

    /// Since when handshakes have failed without a success between.
    pub(crate) fn handshake_failing_since(&self) -> Option<Instant> {
        self.handshake_failing.map(|(since, _)| since)
    }

    /// The engine is reached, or not: a healer without one is not fit.
    pub(crate) fn engine(&mut self, now: Instant, connected: bool) {
        self.engine_lost = (!connected).then(|| self.engine_lost.unwrap_or(now));
    }

    pub(crate) fn holds_token(&self) -> bool {
        self.office.as_ref().is_some_and(|o| o.channel.is_some())
    }

    /// Until when this member may use force; `None`: not at all.
    pub(crate) fn force_until(&self, now: Instant) -> Option<Instant> {
        if self.is_unfenced() {
            return self.holds_token().then_some(Instant(u64::MAX));
        }
        let lease = self.config.lease;
        self.office.as_ref().and_then(|o| o.force_until(now, lease))
    }

    /// A sabotaged build, in which nothing ends an office.
    fn is_unfenced(&self) -> bool {
        self.config.broken(Sabotage::NoFence) || self.config.broken(Sabotage::KeepOffice)
    }

    /// The leader whose sign of life is recent enough to be believed.
    pub(crate) fn valid_leader(&self, now: Instant) -> Option<&Leader> {
        let within = self.config.lease.max(self.config.leader_beat_interval * 3);
        self.leader
            .as_ref()
            .filter(|leader| now.since(leader.heard) <= within)
    }

    /// From then on no leader's beat was heard for two intervals, so that starts need no office (rule 2).
    pub(crate) fn unattended_from(&self) -> Instant {
        let silence = self.config.leader_beat_interval * 2;
        // Who slept has not listened: there may be a leader of whom it does not know, and what that one was
        // told.
        let listening = self.booted.max(self.woke.unwrap_or_default());
        match &self.leader {
            Some(leader) => leader.heard.max(listening) + silence,
            // One that has just booted knows of no hold and no quarantine: it listens for a lease first.
            None => (self.booted + self.config.lease).max(listening) + silence,
        }
    }

    /// Higher wins. Stable while candidates come back: the dead keep their place in the beat's list.
    pub(crate) fn rank(&self) -> i64 {
        let list = if self.ranks.contains(&self.config.name) {
            &self.ranks
        } else {
            &self.local
        };
        let below = list
            .iter()
            .filter(|name| self.config.compare(name, &self.config.name).is_lt())
            .count();
        i64::try_from(below).unwrap_or(i64::MAX).saturating_add(1)
    }

    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let mut due: Vec<Instant> = Vec::with_capacity(6);
        if let Some(office) = &self.office {
            due.push(office.beat_due);
            if office.channel.is_some() {
                due.push(office.lease_end(self.config.lease));
                due.push(office.renew_at);
                // Once past, it is looked at whenever something else is due.
                due.extend(
                    self.engine_lost
                        .map(|at| at + UNFIT_AFTER)
                        .filter(|at| *at > now),
                );
                if now < office.force_from {
                    due.push(office.force_from);
                }
            }
            return due.into_iter().min().map(|at| at.max(now));
        }
        if !self.candidate {
            return None;
        }
        if self.connected.is_some() {
            if self.consuming.is_none() && self.engine_lost.is_none() {
                due.push(self.consume_at());
            } else if self.consuming.is_some() && self.engine_lost.is_none() {
                due.push(self.seed_at());
            }
            due.extend(self.challenge_at());
        } else if self.config.direct && self.engine_lost.is_none() {
            due.push(self.direct.deadline().unwrap_or(self.direct_from()));
        }
        due.into_iter().min().map(|at| at.max(now))
    }

    /// After a beat, once healthy for a while; without one, after a lease of silence.
    fn consume_at(&self) -> Instant {
        let connected = self.connected.unwrap_or(self.lost);
        let silent = |heard: Instant| connected.max(heard) + self.config.lease;
        let at = match &self.leader {
            Some(leader) if leader.heard >= connected => {
                (self.booted + self.config.backoff_reset).min(silent(leader.heard))
            }
            Some(leader) => silent(leader.heard),
            None => silent(connected),
        };
        at.max(self.consume_from)
    }

    fn seed_at(&self) -> Instant {
        let heard = self.leader.as_ref().map_or(self.seeded, |l| l.heard);
        self.seeded.max(heard) + SEED_AFTER
    }

    fn challenge_at(&self) -> Option<Instant> {
        let leader = self.leader.as_ref()?;
        let stable = self.config.stable_before_challenge;
        let higher = self.config.compare(&self.config.name, &leader.name).is_gt();
        if !higher || !leader.token || self.consuming.is_none() || self.engine_lost.is_some() {
            return None;
        }
        let first = self.booted.max(leader.since).max(self.connected?) + stable;
        Some(self.challenged.map_or(first, |at| first.max(at + stable)))
    }

    fn direct_from(&self) -> Instant {
        let heard = self.leader.as_ref().map_or(self.lost, |l| l.heard);
        self.lost.max(heard) + self.config.election_timeout
    }

    /// Does what is due. `quiet`: nothing of this leader's orders is in flight.
    pub(crate) fn tick(&mut self, now: Instant, quiet: bool, out: &mut Out) {
        self.check_lease(now, out);
        // Who was frozen meanwhile knows nothing of the broker's present state.
        self.handshake_failing = self
            .handshake_failing
            .filter(|(_, last)| now.since(*last) <= HANDSHAKE_STALE);
        if let Some(office) = &mut self.office {
            if office.channel.is_some() && now >= office.renew_at {
                office.renew_at = now + office::RENEW_EVERY;
                if let Some(channel) = office.channel {
                    out.push(Effect::RenewToken { channel });
                }
            }
            let unfit = self
                .engine_lost
                .is_some_and(|at| now.since(at) >= UNFIT_AFTER);
            if unfit && self.others_fit && office.channel.is_some() {
                office.resigning.get_or_insert("its engine is away");
            }
            if let Some(why) = office.resigning.filter(|_| quiet) {
                self.resign(now, why, out);
            }
            return;
        }
        if !self.candidate {
            return;
        }
        if self.connected.is_some() {
            self.tick_follower(now, out);
        } else {
            self.tick_direct(now, out);
        }
    }

    /// The lease stands whatever else is believed: a leader that wakes from a freeze acts on nothing.
    pub(crate) fn check_lease(&mut self, now: Instant, out: &mut Out) {
        if self.is_unfenced() {
            return;
        }
        let lease = self.config.lease;
        let past = self
            .office
            .as_ref()
            .is_some_and(|o| o.channel.is_some() && now >= o.lease_end(lease));
        if past {
            self.step_down(now, "its beats do not come back", out);
        }
    }

    fn tick_follower(&mut self, now: Instant, out: &mut Out) {
        if self.engine_lost.is_some() {
            return;
        }
        let rank = self.rank();
        match self.consuming {
            None if now >= self.consume_at() => self.consume(rank, out),
            Some(old) if old != rank => self.consume(rank, out),
            Some(_) if now >= self.seed_at() => {
                self.seeded = now;
                out.push(Effect::SeedToken);
            }
            _ => {}
        }
        if self.challenge_at().is_some_and(|at| now >= at) {
            self.challenged = Some(now);
            out.publish("control.challenge", Body::Challenge);
        }
    }

    fn consume(&mut self, priority: i64, out: &mut Out) {
        self.consuming = Some(priority);
        out.push(Effect::ConsumeToken { priority });
    }

    pub(crate) fn token_granted(&mut self, now: Instant, channel: ChannelId, out: &mut Out) {
        let held = self.office.as_ref().and_then(|office| office.channel);
        if held == Some(channel) {
            return;
        }
        // Nobody asked for it here, or not any more: it must not stay with one that does not lead.
        if held.is_some() || self.consuming.is_none() || self.engine_lost.is_some() {
            out.push(Effect::ReleaseToken { channel });
            if held.is_none() {
                self.consuming = None;
                self.consume_from = now + CONSUME_AGAIN;
            }
            return;
        }
        let in_order = self.resigned.is_some_and(|(term, at)| {
            term.number >= self.seen && term.boot != self.boot && now.since(at) <= RESIGN_FRESH
        });
        let force_from = if in_order || self.config.broken(Sabotage::NoWait) {
            now
        } else {
            now + self.config.lease
        };
        self.take_office(now, Some(channel), force_from, out);
    }

    pub(crate) fn token_lost(&mut self, now: Instant, channel: ChannelId, out: &mut Out) {
        let held = self.office.as_ref().and_then(|office| office.channel);
        if held == Some(channel) && self.is_unfenced() {
            // It goes on as if nothing had happened.
        } else if held == Some(channel) {
            self.step_down(now, "the channel of its token was closed", out);
        } else if held.is_none() {
            self.consuming = None;
            self.consume_from = now + out.jitter(CONSUME_AGAIN);
        }
    }

    fn take_office(
        &mut self,
        now: Instant,
        channel: Option<ChannelId>,
        force_from: Instant,
        out: &mut Out,
    ) {
        let term = Term {
            number: self.seen + 1,
            boot: self.boot,
        };
        let before = self.leader.as_ref().map(|leader| leader.term);
        let term = before
            .filter(|_| self.config.broken(Sabotage::SameTerm))
            .unwrap_or(term);
        let why = self.explain(now, term);
        self.seen = term.number;
        self.count += 1;
        self.direct = Direct::Idle;
        self.office = Some(Office::new(term, channel, now, force_from));
        self.vacant = None;
        self.resigned = None;
        self.leader = Some(Leader {
            name: self.config.name.clone(),
            boot: self.boot,
            term,
            token: channel.is_some(),
            heard: now,
            since: now,
        });
        if channel.is_some() {
            out.push(Effect::BindHeartbeats);
        }
        out.info("leader_elected", Some(&self.config.name), why.clone());
        self.why.clone_from(&why);
        let body = Body::Coordinator {
            term,
            token: channel.is_some(),
            why,
        };
        if channel.is_some() {
            out.publish("control.coordinator", body);
        } else {
            for name in self.peers() {
                out.direct(&name, body.clone());
            }
        }
        let name = &self.config.name;
        out.info(
            "leader_known",
            Some(name),
            format!("Leader is {name} (term {term})"),
        );
    }

    fn explain(&self, now: Instant, term: Term) -> String {
        let name = &self.config.name;
        let before = self
            .leader
            .as_ref()
            .filter(|leader| leader.name != self.config.name);
        let others: Vec<String> = self
            .peers()
            .into_iter()
            .filter(|peer| before.is_none_or(|leader| leader.name != *peer))
            .map(|peer| peer.to_string())
            .collect();
        let stand = if others.is_empty() {
            format!("{name} stands alone")
        } else {
            format!("{name} and {} stand", others.join(" and "))
        };
        let Some(leader) = before else {
            return format!("Election (term {term}): no leader yet, {stand}, {name} wins");
        };
        let (gone, from) = match (self.resigned, self.vacant) {
            (Some(_), Some(at)) => ("resigned", at),
            (_, Some(at)) => ("is gone", at),
            (_, None) => ("is gone", leader.heard),
        };
        format!(
            "Election (term {term}): {} {gone}, {stand}, {name} wins after {} ms",
            leader.name,
            now.since(from).as_millis()
        )
    }

    /// Ends the office without a word: somebody else holds it, or nobody would hear.
    pub(crate) fn step_down(&mut self, now: Instant, why: &str, out: &mut Out) {
        let Some(office) = self.office.take() else {
            return;
        };
        if let Some(channel) = office.channel {
            out.push(Effect::ReleaseToken { channel });
            out.push(Effect::UnbindHeartbeats);
        }
        self.consuming = None;
        self.consume_from = now + self.config.lease.min(CONSUME_AGAIN * 5);
        if self.leader.as_ref().is_some_and(|l| l.boot == self.boot) {
            self.leader = None;
            self.lost = if self.connected.is_some() {
                self.lost
            } else {
                now
            };
        }
        out.info(
            "office_ended",
            Some(&self.config.name),
            format!("No longer leader (term {}): {why}", office.term),
        );
    }

    fn resign(&mut self, now: Instant, why: &str, out: &mut Out) {
        // Who still waits for its predecessor's lease cannot spare anybody that wait.
        if let Some(office) = &self.office
            && office.channel.is_some()
            && now >= office.force_from
        {
            out.publish("control.resign", Body::Resign { term: office.term });
        }
        self.step_down(now, why, out);
        // The next term is somebody else's: wait for its beat, or for a lease of silence.
        self.consume_from = now + self.config.lease;
    }

    /// Ends the office in order, now (SIGTERM).
    pub(crate) fn resign_now(&mut self, now: Instant, out: &mut Out) {
        self.resign(now, "it is to end", out);
        // A token that comes later is given back.
        self.consuming = None;
        self.candidate = false;
    }

    /// Ends the office in order, once nothing is in flight. Whether there is one.
    pub(crate) fn resign_soon(&mut self, why: &'static str) -> bool {
        match &mut self.office {
            Some(office) if office.channel.is_some() => {
                office.resigning.get_or_insert(why);
                true
            }
            _ => false,
        }
    }

    /// The number of the beat that is to be sent now.
    pub(crate) fn beat_due(&mut self, now: Instant, early: bool) -> Option<u64> {
        let interval = self.config.leader_beat_interval;
        let office = self.office.as_mut()?;
        let due = now >= office.beat_due || early && office.channel.is_some();
        if !due {
            return None;
        }
        if let Some(leader) = &mut self.leader {
            leader.heard = now;
        }
        Some(office.send(now, interval))
    }

    pub(crate) fn beat_returned(&mut self, channel: ChannelId, number: u64) -> Option<Instant> {
        let office = self.office.as_mut()?;
        if office.channel != Some(channel) {
            return None;
        }
        office.returned(number)
    }

    /// Other candidates that are known, highest first.
    pub(crate) fn peers(&self) -> Vec<MemberName> {
        let mut names: Vec<MemberName> = self
            .ranks
            .iter()
            .chain(&self.local)
            .filter(|name| **name != self.config.name)
            .cloned()
            .collect();
        names.sort_by(|a, b| self.config.compare(b, a));
        names.dedup();
        names
    }
}
