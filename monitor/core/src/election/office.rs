//! Holding office: the term, its beats, and until when they allow force.

use crate::id::{ChannelId, Term};
use crate::time::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// Beats whose return is still awaited; more than a lease can hold at any sane setting.
const BEATS_AWAITED: usize = 64;
/// The token is renewed this often, well within RabbitMQ's `consumer_timeout` of 30 min.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(300);

/// An office under way.
#[derive(Debug)]
pub(crate) struct Office {
    pub(crate) term: Term,
    /// The channel that holds the token; `None`: elected on the direct path, without force.
    pub(crate) channel: Option<ChannelId>,
    pub(crate) since: Instant,
    /// No force before: a predecessor's lease may still run.
    pub(super) force_from: Instant,
    pub(super) beat_due: Instant,
    pub(super) renew_at: Instant,
    /// It is to end in order, for this reason.
    pub(super) resigning: Option<&'static str>,
    number: u64,
    sent: VecDeque<(u64, Instant)>,
    /// When the newest beat that came back was sent.
    returned: Option<Instant>,
}

impl Office {
    pub(super) fn new(
        term: Term,
        channel: Option<ChannelId>,
        now: Instant,
        force_from: Instant,
    ) -> Self {
        Self {
            term,
            channel,
            since: now,
            force_from,
            beat_due: now,
            renew_at: now + RENEW_EVERY,
            resigning: None,
            number: 0,
            sent: VecDeque::new(),
            returned: None,
        }
    }

    /// Counts a beat that is sent now.
    pub(super) fn send(&mut self, now: Instant, interval: Duration) -> u64 {
        self.number += 1;
        self.beat_due = now + interval;
        self.sent.push_back((self.number, now));
        if self.sent.len() > BEATS_AWAITED {
            self.sent.pop_front();
        }
        self.number
    }

    /// A beat came back; gives the time of its sending.
    pub(super) fn returned(&mut self, number: u64) -> Option<Instant> {
        let at = self.sent.iter().position(|(sent, _)| *sent == number)?;
        let (_, sent) = self.sent[at];
        self.sent.drain(..=at);
        self.returned = self.returned.max(Some(sent));
        Some(sent)
    }

    /// The end of the lease; without any returned beat it is counted from taking office.
    pub(super) fn lease_end(&self, lease: Duration) -> Instant {
        self.returned.unwrap_or(self.since) + lease
    }

    /// Until when force may be used; `None`: not at all.
    pub(super) fn force_until(&self, now: Instant, lease: Duration) -> Option<Instant> {
        let end = self.lease_end(lease);
        let allowed = self.channel.is_some()
            && self.returned.is_some()
            && self.resigning.is_none()
            && now >= self.force_from
            && now < end;
        allowed.then_some(end)
    }
}
