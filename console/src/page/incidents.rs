//! The last healings, each with its phases in milliseconds.

use super::{segment, span, time};
use crate::snapshot::{Board, INCIDENTS_SHOWN};
use crate::store::journal::Told;
use maud::{Markup, html};
use planaria_core::message::{Incident, IncidentOutcome, RestartReason};

/// What fits beside the ring; the timeline has the rest.
const SHOWN_MAX: usize = 4;
/// Characters of the evidence: it quotes what a container said.
const EVIDENCE_MAX: usize = 400;
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

/// The newest, beside the ring.
pub(super) fn short(board: &Board) -> Markup {
    if board.incidents.is_empty() {
        return html! { p.empty { "No incident yet. Try " code { "docker kill worker-1" } "." } };
    }
    html! {
        (list(board.incidents.iter().take(SHOWN_MAX)))
        @if board.incidents.len() > SHOWN_MAX { p.note { a href="/incidents" { "All incidents" } } }
    }
}

/// Those of one name.
pub(super) fn of(board: &Board, name: &str, most: usize) -> Markup {
    let mut own = board
        .incidents
        .iter()
        .filter(|told| told.incident.name == name)
        .take(most)
        .peekable();
    if own.peek().is_none() {
        return html! { p.empty { "None is remembered." } };
    }
    list(own)
}

/// All that the page knows; the script filters them.
pub(super) fn timeline(board: &Board) -> Markup {
    if board.incidents.is_empty() {
        return html! { p.empty { "No incident yet. Try " code { "docker kill worker-1" } "." } };
    }
    html! {
        (list(board.incidents.iter()))
        p #nothing-left .empty hidden { "No incident fits the filter." }
        @if board.incidents.len() >= INCIDENTS_SHOWN { p.note { "The newest " (INCIDENTS_SHOWN) "; older ones: " code { "/api/v1/incidents?before_ms=…" } } }
    }
}

/// The field that filters the timeline.
pub(super) fn filter() -> Markup {
    html! {
        p.field { label for="filter" { "Filter" } input #filter type="search" placeholder="a name, a reason, an outcome" autocomplete="off" spellcheck="false"; }
    }
}

fn list<'a>(incidents: impl Iterator<Item = &'a Told>) -> Markup {
    let incidents: Vec<&Told> = incidents.collect();
    let longest = incidents
        .iter()
        .map(|told| total(&told.incident))
        .max()
        .unwrap_or(1)
        .max(1);
    html! {
        p.phases-key aria-hidden="true" {
            @for phase in ["detect", "order", "start", "healthy"] { span.key.(phase) { (phase) } " " }
        }
        ol.incidents { @for told in incidents { (one(told, longest)) } }
    }
}

/// One incident on a page of its own.
pub(super) fn whole(told: &Told) -> Markup {
    html! {
        ol.incidents { (one(told, total(&told.incident).max(1))) }
        dl.facts-list {
            dt { "Told at" } dd { (time(told.at_ms)) }
            dt { "Container" } dd { code { (told.incident.container.0.chars().take(12).collect::<String>()) } }
            dt { "Id" } dd { code { (told.incident.id) } }
        }
        p { a href=(format!("/members/{}", segment(&told.incident.name))) { "Look at " bdi { (told.incident.name) } } }
    }
}

fn one(told: &Told, longest: u64) -> Markup {
    let incident = &told.incident;
    let phases = phases(incident);
    let evidence: String = incident.evidence.chars().take(EVIDENCE_MAX).collect();
    html! {
        li.incident.(class(incident.outcome)) data-key=(incident.id) {
            p.incident-head {
                a.plain href=(format!("/incidents/{}", segment(&incident.id))) { strong dir="auto" { (incident.name) } } " " (reason(incident.reason)) " "
                span.chip { (outcome(incident.outcome)) } " "
                span.when { (time(told.at_ms)) }
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
                bdi { (evidence) }
                " · by " (incident.by.as_str())
                @if incident.term > 0 { ", term " (incident.term) }
                @for (key, value) in &incident.notes { " · " bdi { (key) } ": " bdi { (value) } }
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
        IncidentOutcome::Quarantined | IncidentOutcome::LeftDown => "bad",
    }
}

pub(crate) fn outcome(outcome: IncidentOutcome) -> &'static str {
    match outcome {
        IncidentOutcome::Healed => "healed",
        IncidentOutcome::HealedByEngine => "healed by Docker",
        IncidentOutcome::Refused => "left alone",
        IncidentOutcome::Failed => "not healed",
        IncidentOutcome::Quarantined => "quarantined",
        IncidentOutcome::LeftDown => "left down, as its label says",
    }
}

pub(crate) fn reason(reason: RestartReason) -> &'static str {
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
        RestartReason::Removed => "was removed",
        RestartReason::FoundDead => "was found dead",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::fixture;

    #[test]
    fn phases_are_shown_in_milliseconds() {
        let text = short(&fixture::board()).into_string();
        assert!(
            text.contains("detect 31 ms") && text.contains("start 168 ms"),
            "{text}"
        );
    }

    #[test]
    fn absurd_numbers_break_nothing() {
        let mut board = fixture::board();
        board.incidents[0].incident.detect_ms = Some(u64::MAX);
        board.incidents[0].incident.start_ms = Some(u64::MAX);
        assert!(timeline(&board).into_string().contains(" h"));
    }
}
