//! The last healings, each with its phases in milliseconds.

use super::span;
use crate::snapshot::Known;
use maud::{Markup, html};
use planaria_core::message::{Incident, IncidentOutcome, RestartReason};

/// What fits beside the ring; the rest is in the JSON.
const SHOWN_MAX: usize = 12;
/// The bar's length in its own units.
const BAR: u64 = 1000;
/// A phase is at least this long in the bar, so that a few milliseconds can be seen.
const PHASE_MIN: u64 = 8;

/// From the death or the first missed sign until it was well again, in milliseconds.
#[must_use]
pub fn total(incident: &Incident) -> u64 {
    phases(incident)
        .iter()
        .fold(0, |sum, (_, ms)| sum.saturating_add(*ms))
}

/// From the death or the first missed sign until it ran again, in milliseconds.
#[must_use]
pub fn running(incident: &Incident) -> u64 {
    let until = total(incident);
    until.saturating_sub(incident.healthy_ms.unwrap_or(0))
}

/// It is back, whoever brought it back.
#[must_use]
pub fn is_healed(incident: &Incident) -> bool {
    matches!(
        incident.outcome,
        IncidentOutcome::Healed | IncidentOutcome::HealedByEngine
    )
}

/// The phases that are known, in their order.
fn phases(incident: &Incident) -> Vec<(&'static str, u64)> {
    let all = [
        ("detect", incident.detect_ms),
        ("order", incident.order_ms),
        ("start", incident.start_ms),
        ("healthy", incident.healthy_ms),
    ];
    all.into_iter()
        .filter_map(|(name, ms)| ms.map(|ms| (name, ms)))
        .collect()
}

/// The list, newest first.
pub(super) fn incidents(known: &Known) -> Markup {
    let incidents = &known.status.incidents;
    if incidents.is_empty() {
        return html! { p.empty { "No incident yet. Try " code { "docker kill worker-1" } "." } };
    }
    let longest = incidents
        .iter()
        .take(SHOWN_MAX)
        .map(total)
        .max()
        .unwrap_or(1)
        .max(1);
    html! {
        p.phases-key aria-hidden="true" {
            @for phase in ["detect", "order", "start", "healthy"] { span.key.(phase) { (phase) } " " }
        }
        ol.incidents { @for incident in incidents.iter().take(SHOWN_MAX) { (one(incident, longest)) } }
        @if incidents.len() > SHOWN_MAX { p.note { "and " (incidents.len() - SHOWN_MAX) " older ones" } }
    }
}

fn one(incident: &Incident, longest: u64) -> Markup {
    let phases = phases(incident);
    html! {
        li.incident.(class(incident.outcome)) data-key=(incident.id) {
            p.incident-head {
                strong { (incident.name) } " " (reason(incident.reason)) " "
                span.chip { (outcome(incident.outcome)) }
                @if is_healed(incident) && !phases.is_empty() { span.total { (span(running(incident))) @if incident.healthy_ms.is_some() { small { " healthy " (span(total(incident))) } } } }
            }
            @if !phases.is_empty() {
                (bar(&phases, longest))
                p.numbers { @for (index, (name, ms)) in phases.iter().enumerate() {
                    @if index > 0 { " · " }
                    span.(*name) { (name) " " (span(*ms)) }
                } }
            }
            p.evidence {
                (incident.evidence)
                " · by " (incident.by.as_str())
                @if incident.term > 0 { ", term " (incident.term) }
                @for (key, value) in &incident.notes { " · " (key) ": " (value) }
            }
        }
    }
}

/// The phases as a bar; all bars have one scale.
fn bar(phases: &[(&'static str, u64)], longest: u64) -> Markup {
    let mut at = 0;
    let pieces: Vec<(&str, u64, u64)> = phases
        .iter()
        .map(|(name, ms)| {
            let length = (u128::from(*ms) * u128::from(BAR) / u128::from(longest))
                .max(u128::from(PHASE_MIN));
            let length = u64::try_from(length).unwrap_or(BAR);
            let piece = (*name, at, length);
            at += length;
            piece
        })
        .collect();
    html! {
        // A little longer than the scale: the smallest phases are drawn longer than they are.
        svg.bar viewBox=(format!("0 0 {} 14", BAR + 4 * PHASE_MIN)) preserveAspectRatio="none" aria-hidden="true" {
            @for (name, at, length) in pieces { rect.(name) x=(at) y="0" width=(length) height="14" {} }
        }
    }
}

fn class(outcome: IncidentOutcome) -> &'static str {
    match outcome {
        IncidentOutcome::Healed | IncidentOutcome::HealedByEngine => "good",
        IncidentOutcome::Refused => "off",
        IncidentOutcome::Failed => "warn",
        IncidentOutcome::Quarantined => "bad",
    }
}

fn outcome(outcome: IncidentOutcome) -> &'static str {
    match outcome {
        IncidentOutcome::Healed => "healed",
        IncidentOutcome::HealedByEngine => "healed by Docker",
        IncidentOutcome::Refused => "left alone",
        IncidentOutcome::Failed => "not healed",
        IncidentOutcome::Quarantined => "quarantined",
    }
}

fn reason(reason: RestartReason) -> &'static str {
    match reason {
        RestartReason::Killed => "was killed",
        RestartReason::Failed => "failed",
        RestartReason::Ended => "ended",
        RestartReason::OutOfMemory => "ran out of memory",
        RestartReason::Apoptosis => "ended itself (it hung)",
        RestartReason::StartFailed => "did not start",
        RestartReason::Unhealthy => "was unhealthy",
        RestartReason::Hung => "hung",
        RestartReason::StoppedInItsTracks => "was stopped in its tracks",
        RestartReason::Paused => "was paused",
        RestartReason::Disconnected => "was cut off",
        RestartReason::NetworkOwnerRestarted => "lost the network it shares",
        RestartReason::Requested => "was restarted on request",
        RestartReason::FoundDead => "was found dead",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::fixture;

    #[test]
    fn phases_are_shown_in_milliseconds() {
        let text = incidents(&fixture::known()).into_string();
        assert!(
            text.contains("detect 31 ms") && text.contains("start 168 ms"),
            "{text}"
        );
    }

    #[test]
    fn absurd_numbers_break_nothing() {
        let mut known = fixture::known();
        known.status.incidents[0].detect_ms = Some(u64::MAX);
        known.status.incidents[0].start_ms = Some(u64::MAX);
        assert!(incidents(&known).into_string().contains("min"));
    }
}
