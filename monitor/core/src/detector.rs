//! Who is heard, who is late, who is suspected: judged by the leader, on a clock that stands still
//! while the leader itself hears nothing.
//!
//! ```text
//!            heartbeat            1 interval            silence ≥ interval × 1.5
//!  (unknown) ────────▶ Joining ─────────────▶ Alive ─────────────────────────▶ Late
//!                                               ▲ heartbeat                      │ silence ≥ timeout
//!                                               ├──────────────┬─────────────────▼
//!                           ack of a probe      │              │              Suspect
//!                        ┌──────────────────────┼──────────────┼─────────────────┤
//!                        ▼                      │              │                 │ two rounds of probes,
//!                     Isolated ─────────────────┘              └── Dead ◀────────┘ direct and through another
//! ```
//!
//! Silence is counted on the *effective clock*: it advances only while the leader's own beats and
//! heartbeats come back, so that a broker that stalls makes nobody a suspect. Too many suspects at once
//! are a finding about the observer (the breaker). A suspect is declared dead only where it answered a
//! probe before in this life and now neither answers us nor a member that we do hear.

mod peer;

use crate::effect::Effect;
use crate::id::{BootId, ContainerId, HostId, MemberName};
use crate::message::{Body, Heartbeat, MemberState, MemberView};
use crate::node::NodeConfig;
use crate::out::Out;
use crate::sabotage::Sabotage;
use crate::time::Instant;
pub(crate) use peer::Peer;
use peer::Suspicion;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// More names than any group has: a flood of invented ones must not fill the memory.
const MEMBERS_MAX: usize = 20_000;
/// The sweep is never rarer: it is what the bound of detection pays for a cheap leader.
const SWEEP_MAX: Duration = Duration::from_millis(500);
/// A sweep later than this is a sign that this observer is slow.
const SWEEP_LATE: Duration = Duration::from_millis(250);
/// So many sweeps in time take one point off the local health score.
const CLEAN_SWEEPS: u32 = 10;
/// The worst local health score, as in Lifeguard.
const HEALTH_WORST: u8 = 7;
/// After blindness or on taking office: members need up to 2 s of back-off to be back on the broker.
const GRACE: Duration = Duration::from_secs(5);
/// At most one grace in so long: a broker that flaps must not starve detection.
const GRACE_EVERY: Duration = Duration::from_secs(60);
/// How long one round of probes waits: far above any round trip inside a host or a site.
const PROBE_ROUND: Duration = Duration::from_secs(1);
/// Rounds that must fail, each through another member where there is one.
const PROBE_ROUNDS: u8 = 2;
/// Suspects within this span are counted by the breaker.
const BREAKER_SPAN: Duration = Duration::from_secs(10);
/// The breaker closes so long after the last burst.
const BREAKER_REST: Duration = Duration::from_secs(30);
/// A message of an ended life may still be on its way for so long.
const IN_FLIGHT: Duration = Duration::from_secs(3);
/// A clock is called skewed after so many heartbeats that say so.
const SKEWED_IN_A_ROW: u8 = 3;
/// At size heartbeats come further apart, so that the leader takes no more than 500 of them a second: a
/// quarter of a core at the broker (measured: 1,000 a second take half of one).
const SHARE: Duration = Duration::from_millis(2);
/// Members that ended and were not heard for so long are forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// What a sweep found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Silent for too long: the engine should be asked about its container.
    Suspected(MemberName),
    /// Silent, and a second witness agrees.
    Hung {
        name: MemberName,
        silence: Duration,
        evidence: String,
    },
}

/// What a heartbeat was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Repeated, late, or of a life that is over.
    Stale,
    /// Of a life that should be over by now: two processes say the same name. Told once a life.
    Double,
    /// As expected.
    Again,
    /// A life that was not known.
    New {
        /// It was believed dead for so long.
        away: Option<Duration>,
        /// It is older than the life before it, and outlived it.
        older: bool,
    },
}

/// The leader's ear.
#[derive(Debug)]
pub(crate) struct Detector {
    name: MemberName,
    /// As configured, and as it is at this size of the group.
    base: (Duration, Duration),
    interval: Duration,
    timeout: Duration,
    /// Members were told of a shorter interval; it is expected of them from then on.
    shorter_from: Option<Instant>,
    threshold: u32,
    beat_interval: Duration,
    probe_interval: Duration,
    direct: bool,
    /// Silence alone is a verdict. Only in sabotaged builds.
    one_witness: bool,
    pub(crate) members: BTreeMap<MemberName, Peer>,
    /// The effective clock.
    clock: Duration,
    swept: Instant,
    /// `None`: this member does not lead, or hears no heartbeats.
    next_sweep: Option<Instant>,
    beat_sent: Option<Instant>,
    own_heard: Option<Instant>,
    blind: bool,
    grace_until: Duration,
    graced: Option<Instant>,
    health: u8,
    clean: u32,
    suspicions: VecDeque<Instant>,
    breaker_until: Option<Instant>,
}

/// How long after its last heartbeat a member that stopped is declared dead at the latest, while the
/// observer is not blind: the timeout, stretched by a quarter for each point of the observer's local
/// health score, one sweep, and the rounds of probes (each may begin a sweep late).
///
/// `HEARTBEAT_TIMEOUT × (1 + health / 4) + (rounds + 1) × (sweep + probe round)`
#[must_use]
pub fn detection_bound(config: &NodeConfig, health: u8) -> Duration {
    let rounds = u32::from(PROBE_ROUNDS) + 1;
    stretched(config.heartbeat_timeout, health)
        + (sweep_interval(config.heartbeat_interval) + PROBE_ROUND) * rounds
}

/// Asks by the broker for a heartbeat; where the queue is gone, the question comes back.
fn ask_queue(name: &MemberName, peer: &Peer, out: &mut Out) {
    let nonce = out.nonce();
    out.push(Effect::Mandatory {
        to: name.clone(),
        boot: peer.boot,
        body: Body::Probe { nonce },
    });
}

fn stretched(timeout: Duration, health: u8) -> Duration {
    timeout + timeout * u32::from(health) / 4
}

fn sweep_interval(heartbeat: Duration) -> Duration {
    (heartbeat / 4).clamp(Duration::from_millis(10), SWEEP_MAX)
}

impl Detector {
    pub(crate) fn new(config: &NodeConfig, now: Instant) -> Self {
        Self {
            name: config.name.clone(),
            base: (config.heartbeat_interval, config.heartbeat_timeout),
            interval: config.heartbeat_interval,
            timeout: config.heartbeat_timeout,
            shorter_from: None,
            threshold: config.dead_threshold,
            beat_interval: config.leader_beat_interval,
            probe_interval: config.probe_interval,
            direct: config.direct,
            one_witness: config.broken(Sabotage::OneWitness),
            members: BTreeMap::new(),
            clock: Duration::ZERO,
            swept: now,
            next_sweep: None,
            beat_sent: None,
            own_heard: None,
            blind: true,
            grace_until: Duration::ZERO,
            graced: None,
            health: 0,
            clean: 0,
            suspicions: VecDeque::new(),
            breaker_until: None,
        }
    }

    /// Heartbeats reach this member from now on.
    pub(crate) fn activate(&mut self, now: Instant) {
        if self.next_sweep.is_none() {
            self.swept = now;
            self.next_sweep = Some(now + sweep_interval(self.interval));
            self.blind = true;
        }
    }

    /// They do so no more.
    pub(crate) fn deactivate(&mut self) {
        self.next_sweep = None;
        self.blind = true;
        self.beat_sent = None;
        self.own_heard = None;
        for peer in self.members.values_mut() {
            peer.suspicion = None;
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next_sweep
    }

    pub(crate) fn is_blind(&self) -> bool {
        self.next_sweep.is_none() || self.blind
    }

    pub(crate) fn health(&self) -> u8 {
        self.health
    }

    /// The leader's own beat came back; it was sent at that time.
    pub(crate) fn beat_returned(&mut self, sent: Instant) {
        self.beat_sent = self.beat_sent.max(Some(sent));
    }

    /// The interval that members are to keep at this size: whole multiples of the configured one. A longer
    /// one is expected at once, a shorter one only when everybody had the time to hear of it.
    pub(crate) fn pace(&mut self, now: Instant) -> Duration {
        let living = self.members.values().filter(|peer| !peer.over()).count();
        let least = SHARE * u32::try_from(living).unwrap_or(u32::MAX);
        let (base, timeout) = self.base;
        let times = least.as_nanos().div_ceil(base.as_nanos().max(1)).max(1);
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        let wanted = base.saturating_mul(times);
        if wanted < self.interval {
            let from = *self.shorter_from.get_or_insert(now + self.timeout);
            if now < from {
                return wanted;
            }
        }
        self.shorter_from = None;
        self.interval = wanted;
        self.timeout = timeout.saturating_mul(times);
        wanted
    }

    /// Takes over the table of a predecessor: whoever is in it counts as heard just now, so that one
    /// that is gone is found, and one that is there is not condemned for what somebody else missed.
    pub(crate) fn adopt(&mut self, members: &[MemberView], now: Instant) {
        let clock = self.clock;
        for peer in self.members.values_mut() {
            peer.heard_clock = clock;
            peer.suspicion = None;
        }
        for view in members {
            let known = self.members.contains_key(&view.name);
            if known || self.members.len() >= MEMBERS_MAX || !peer::was_heard(view) {
                continue;
            }
            let peer = Peer::adopted(view, now, clock);
            self.members.insert(view.name.clone(), peer);
        }
    }

    pub(crate) fn heartbeat(
        &mut self,
        now: Instant,
        from: &MemberName,
        boot: BootId,
        seq: u64,
        beat: Heartbeat,
    ) -> Heard {
        if *from == self.name {
            self.own_heard = Some(now);
        }
        let full = self.members.len() >= MEMBERS_MAX;
        let Some(peer) = self.members.get_mut(from) else {
            if !full {
                let peer = Peer::new(boot, seq, beat, now, self.clock);
                self.members.insert(from.clone(), peer);
            }
            return Heard::New {
                away: None,
                older: false,
            };
        };
        let heard = peer.hear(now, boot, seq, beat, IN_FLIGHT);
        if !matches!(heard, Heard::Stale | Heard::Double) {
            peer.heard_clock = self.clock;
        }
        if *from == self.name {
            // Nobody judges itself by silence, so no sweep would ever call it alive.
            peer.set(MemberState::Alive, now);
        }
        heard
    }

    /// Its container ended: certain, so nobody needs to be asked.
    pub(crate) fn ended(&mut self, name: &MemberName, now: Instant) {
        if let Some(peer) = self.members.get_mut(name) {
            peer.end(MemberState::Dead, now);
        }
    }

    /// The life that is listened to under this name said that it runs in another container.
    pub(crate) fn hears_elsewhere(&self, name: &MemberName, container: &ContainerId) -> bool {
        self.members
            .get(name)
            .and_then(|peer| peer.beat.container.as_ref())
            .is_some_and(|said| !container.is_called(said))
    }

    /// It said that it ends: no verdict by its silence.
    pub(crate) fn left(&mut self, name: &MemberName, boot: BootId, now: Instant) {
        if let Some(peer) = self.members.get_mut(name).filter(|peer| peer.boot == boot) {
            peer.end(MemberState::Left, now);
        }
    }

    /// Whether this member was heard in a life that began after that time.
    pub(crate) fn heard_since(&self, name: &MemberName, since: Instant) -> bool {
        self.members
            .get(name)
            .is_some_and(|peer| peer.heard.is_some_and(|at| at > since) && !peer.over())
    }

    /// Another healer of this host than `own` is heard: were `own` to end, somebody would bring it back.
    pub(crate) fn hears_a_healer_besides(&self, own: &MemberName, host: Option<&HostId>) -> bool {
        let mut others = self.members.iter().filter(|(name, _)| *name != own);
        others.any(|(_, peer)| {
            peer.beat.healer && peer.state == MemberState::Alive && peer.beat.host.as_ref() == host
        })
    }

    /// It was heard at least once, by this leader or the one before.
    pub(crate) fn knows(&self, name: &MemberName) -> bool {
        self.members.contains_key(name)
    }

    /// The broker has no queue of that member: look now, do not wait for the timeout.
    /// A sign, no witness: what follows is the same questions as after a silence.
    pub(crate) fn unroutable(&mut self, name: &MemberName, boot: BootId) {
        let timeout = stretched(self.timeout, self.health);
        let living = |peer: &&mut Peer| !peer.over() && peer.boot == boot;
        if let Some(peer) = self.members.get_mut(name).filter(living) {
            peer.heard_clock = peer.heard_clock.min(self.clock.saturating_sub(timeout));
        }
    }

    /// Notes a clock's skew in milliseconds. Gives it where it is to be warned about: above `warn` three
    /// times in a row (a message may have waited), once until it is well below again.
    pub(crate) fn note_skew(
        &mut self,
        name: &MemberName,
        skew: Option<i64>,
        warn: Duration,
    ) -> Option<i64> {
        let peer = self.members.get_mut(name)?;
        peer.skew_ms = skew;
        let skew = skew?;
        let apart = Duration::from_millis(skew.unsigned_abs());
        if warn.is_zero() || apart <= warn {
            peer.skewed = if apart > warn / 2 { peer.skewed } else { 0 };
            return None;
        }
        peer.skewed = peer.skewed.saturating_add(1);
        (peer.skewed == SKEWED_IN_A_ROW).then_some(skew)
    }

    /// An answer to a probe of ours.
    pub(crate) fn ack(&mut self, from: &MemberName, boot: BootId, nonce: u64) {
        if let Some(peer) = self.members.get_mut(from) {
            // A newer life answers: the silence of the one before is no evidence against it.
            if peer.boot == boot {
                peer.acknowledge(nonce);
            } else if let Some(suspicion) = &mut peer.suspicion
                && suspicion.nonce == nonce
            {
                suspicion.answered = true;
            }
        }
    }

    /// What a witness found.
    pub(crate) fn report(&mut self, from: &MemberName, target: &MemberName, nonce: u64) {
        // Whichever life answered it: the nonce is ours, so it lives now.
        if let Some(peer) = self.members.get_mut(target)
            && let Some(suspicion) = &mut peer.suspicion
            && suspicion.nonce == nonce
            && suspicion.relay.as_ref() == Some(from)
        {
            suspicion.answered = true;
        }
    }

    /// Moves the effective clock, then judges everyone. Called at [`Self::deadline`].
    pub(crate) fn sweep(&mut self, now: Instant, out: &mut Out) -> Vec<Finding> {
        let Some(due) = self.next_sweep.filter(|due| now >= *due) else {
            return Vec::new();
        };
        let step = sweep_interval(self.interval);
        self.next_sweep = Some(now + step);
        self.advance(now, due, step);
        if self.blind || self.clock < self.grace_until {
            return Vec::new();
        }
        let mut findings = Vec::new();
        let limit = stretched(self.timeout, self.health);
        let names: Vec<MemberName> = self.members.keys().cloned().collect();
        for name in names {
            if name != self.name {
                self.judge(now, &name, limit, out, &mut findings);
            }
        }
        self.members.retain(|_, peer| {
            !(peer.over()
                && now.since(peer.changed) > FORGET_AFTER
                && peer
                    .heard
                    .is_none_or(|heard| now.since(heard) > FORGET_AFTER))
        });
        findings
    }

    fn advance(&mut self, now: Instant, due: Instant, step: Duration) {
        let elapsed = now.since(self.swept);
        self.swept = now;
        if now.since(due) > SWEEP_LATE {
            self.health = (self.health + 1).min(HEALTH_WORST);
            self.clean = 0;
        } else {
            self.clean += 1;
            if self.clean >= CLEAN_SWEEPS {
                self.clean = 0;
                self.health = self.health.saturating_sub(1);
            }
        }
        let within = |at: Option<Instant>, span: Duration| {
            at.is_some_and(|at| now.since(at) < span.mul_f64(1.5))
        };
        let fresh =
            within(self.beat_sent, self.beat_interval) && within(self.own_heard, self.interval);
        match (self.blind, fresh) {
            (false, true) => self.clock += elapsed.min(step * 2),
            (false, false) => {
                self.blind = true;
                self.health = (self.health + 1).min(HEALTH_WORST);
                for peer in self.members.values_mut() {
                    peer.suspicion = None;
                }
            }
            (true, true) => {
                self.blind = false;
                if self.graced.is_none_or(|at| now.since(at) > GRACE_EVERY) {
                    self.graced = Some(now);
                    self.grace_until = self.clock + GRACE;
                    let clock = self.clock;
                    for peer in self.members.values_mut() {
                        peer.heard_clock = clock;
                    }
                }
            }
            (true, false) => {}
        }
        if self.breaker_until.is_some_and(|until| now >= until) {
            self.breaker_until = None;
        }
    }

    fn judge(
        &mut self,
        now: Instant,
        name: &MemberName,
        limit: Duration,
        out: &mut Out,
        findings: &mut Vec<Finding>,
    ) {
        let clock = self.clock;
        let Some(peer) = self.members.get_mut(name) else {
            return;
        };
        if peer.over() {
            return;
        }
        let silence = clock.saturating_sub(peer.heard_clock);
        if silence < limit {
            let missed =
                u32::try_from(silence.as_nanos() / self.interval.as_nanos().max(1)).unwrap_or(0);
            peer.note_silence(now, self.interval, silence, missed);
            if peer.state == MemberState::Late && !std::mem::replace(&mut peer.asked_for, true) {
                ask_queue(name, peer, out);
            }
            if missed >= 2 && missed < self.threshold && peer.told < missed {
                peer.told = missed;
                out.info(
                    "heartbeats_missed",
                    Some(name),
                    format!(
                        "Peer {name} missed {missed} heartbeats, {} more until dead",
                        self.threshold - missed
                    ),
                );
            }
            self.introduce(now, name, out);
            return;
        }
        if !matches!(peer.state, MemberState::Suspect | MemberState::Isolated) {
            peer.set(MemberState::Suspect, now);
            ask_queue(name, peer, out);
            out.info(
                "member_suspected",
                Some(name),
                format!(
                    "Peer {name} is silent for {:.1} s; asking witnesses",
                    silence.as_secs_f64()
                ),
            );
            findings.push(Finding::Suspected(name.clone()));
            self.count_suspicion(now, out);
        }
        self.verify(now, name, silence, out, findings);
    }

    fn count_suspicion(&mut self, now: Instant, out: &mut Out) {
        self.suspicions.push_back(now);
        while self
            .suspicions
            .front()
            .is_some_and(|at| now.since(*at) > BREAKER_SPAN)
        {
            self.suspicions.pop_front();
        }
        let limit = (self.members.len() * 15 / 100).max(2);
        if self.suspicions.len() > limit {
            if self.breaker_until.is_none() {
                out.info(
                    "breaker_opened",
                    None,
                    format!(
                        "{} members silent at once: more likely my own hearing than theirs; no verdict by silence for {} s",
                        self.suspicions.len(),
                        BREAKER_REST.as_secs()
                    ),
                );
            }
            self.breaker_until = Some(now + BREAKER_REST);
        }
    }

    /// A life must have answered a probe once for its later silence there to mean anything.
    fn introduce(&mut self, now: Instant, name: &MemberName, out: &mut Out) {
        let every = self.probe_interval;
        if !self.direct {
            return;
        }
        let Some(peer) = self.members.get_mut(name) else {
            return;
        };
        if !peer.acked && peer.probed.is_none_or(|at| now.since(at) >= every) {
            let nonce = out.nonce();
            peer.probed = Some(now);
            peer.nonce = nonce;
            out.direct(name, Body::Probe { nonce });
        }
    }

    fn verify(
        &mut self,
        now: Instant,
        name: &MemberName,
        silence: Duration,
        out: &mut Out,
        findings: &mut Vec<Finding>,
    ) {
        let open = self.breaker_until.is_some();
        if self.one_witness {
            let evidence = "silent".to_owned();
            let name = name.clone();
            return findings.push(Finding::Hung {
                name,
                silence,
                evidence,
            });
        }
        let Some(peer) = self.members.get(name) else {
            return;
        };
        if !self.direct || !peer.acked {
            return;
        }
        let Some(suspicion) = &peer.suspicion else {
            self.probe_round(now, name, 0, out);
            return;
        };
        if suspicion.answered {
            let again = suspicion.until + self.probe_interval;
            self.isolate(now, name, out);
            if now >= again {
                self.probe_round(now, name, 0, out);
            }
            return;
        }
        if now < suspicion.until {
            return;
        }
        // The witness must itself be heard at the end of the round, else its silence proves nothing.
        let witness = suspicion.relay.clone().filter(|relay| self.is_heard(relay));
        let failed = suspicion.failed + u8::from(witness.is_some());
        if failed < PROBE_ROUNDS || open {
            self.probe_round(now, name, failed.min(PROBE_ROUNDS - 1), out);
            return;
        }
        let through = witness.map(|name| name.to_string()).unwrap_or_default();
        if let Some(peer) = self.members.get_mut(name) {
            peer.set(MemberState::Dead, now);
            peer.suspicion = None;
        }
        findings.push(Finding::Hung {
            name: name.clone(),
            silence,
            evidence: format!(
                "silent for {:.1} s, answers no probe, neither mine nor that of {through}",
                silence.as_secs_f64()
            ),
        });
    }

    fn isolate(&mut self, now: Instant, name: &MemberName, out: &mut Out) {
        if let Some(peer) = self.members.get_mut(name)
            && peer.state != MemberState::Isolated
        {
            peer.set(MemberState::Isolated, now);
            out.info(
                "member_isolated",
                Some(name),
                format!("Peer {name} answers probes but is not heard over the broker: isolated, not dead"),
            );
        }
    }

    fn is_heard(&self, name: &MemberName) -> bool {
        self.members.get(name).is_some_and(|peer| {
            matches!(peer.state, MemberState::Alive | MemberState::Joining)
                && self.clock.saturating_sub(peer.heard_clock) < self.interval.mul_f64(1.5)
        })
    }

    /// Asks the suspect, and one other member to ask it; another one in each round.
    fn probe_round(&mut self, now: Instant, name: &MemberName, failed: u8, out: &mut Out) {
        let last = self
            .members
            .get(name)
            .and_then(|peer| peer.suspicion.as_ref())
            .and_then(|suspicion| suspicion.relay.clone());
        let fit: Vec<MemberName> = self
            .members
            .iter()
            .filter(|(other, peer)| {
                **other != *name && **other != self.name && peer.acked && self.is_heard(other)
            })
            .map(|(other, _)| other.clone())
            .collect();
        let fresh: Vec<&MemberName> = fit
            .iter()
            .filter(|other| Some(*other) != last.as_ref())
            .collect();
        let relay = match out.choose(fresh.len()) {
            Some(at) => Some(fresh[at].clone()),
            None => fit.first().cloned(),
        };
        let nonce = out.nonce();
        out.direct(name, Body::Probe { nonce });
        if let Some(relay) = &relay {
            out.direct(
                relay,
                Body::ProbeRequest {
                    target: name.clone(),
                    nonce,
                },
            );
        }
        if let Some(peer) = self.members.get_mut(name) {
            peer.nonce = nonce;
            peer.suspicion = Some(Suspicion {
                until: now + PROBE_ROUND,
                nonce,
                relay,
                failed,
                answered: false,
            });
        }
    }

    /// The host and container that a member reported.
    pub(crate) fn place(&self, name: &MemberName) -> (Option<HostId>, Option<ContainerId>) {
        self.members.get(name).map_or((None, None), |peer| {
            (peer.beat.host.clone(), peer.beat.container.clone())
        })
    }
}
