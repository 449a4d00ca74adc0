//! The four answers for three in the morning: what is broken, what is being done, is data safe, what is mine.

use crate::alerts::{Record, State};
use crate::snapshot::{Board, Known, Light, word};
use maud::{Markup, html};
use planaria_core::message::{MemberState, Severity};
use planaria_core::status::BrokerState;

/// Names that one answer holds; the ring has everyone.
const NAMES_MAX: usize = 4;

/// The four answers.
pub(super) fn verdict(known: &Known, board: &Board) -> Markup {
    let status = &known.status;
    let out: Vec<String> = status
        .members
        .iter()
        .filter(|member| matches!(Light::of(member.state), Light::Bad | Light::Warn))
        .map(|member| format!("{} is {}", member.name, word(member.state)))
        .collect();
    let busy: Vec<String> = status
        .members
        .iter()
        .filter(|member| Light::of(member.state) == Light::Busy)
        .map(|member| member.name.to_string())
        .collect();
    let yours: Vec<&Record> = board
        .alerts
        .iter()
        .filter(|alert| alert.state == State::Open && alert.severity >= Severity::Medium)
        .collect();
    let broker_down = status.broker == BrokerState::Down;
    let (light, head) = if status.members.is_empty() {
        (Light::Off, "Nobody was heard yet".to_owned())
    } else if broker_down {
        (Light::Bad, "RabbitMQ is away".to_owned())
    } else if status.leader.is_none() && out.is_empty() {
        (Light::Warn, "Nobody leads".to_owned())
    } else if !out.is_empty() {
        let grave = status
            .members
            .iter()
            .any(|member| Light::of(member.state) == Light::Bad);
        (if grave { Light::Bad } else { Light::Warn }, names(&out))
    } else if !busy.is_empty() {
        (Light::Busy, format!("{} coming back", names(&busy)))
    } else if !yours.is_empty() {
        (Light::Warn, "Everyone is well again".to_owned())
    } else {
        (Light::Good, "All is well".to_owned())
    };
    html! {
        div.answer.lead.(light.class()) {
            h2 { "What is broken" }
            p.big { span.lamp aria-hidden="true" { (glyph(light)) } (head) }
        }
        div.answer { h2 { "What is being done" } p { (doing(known, &busy, broker_down)) } }
        (data(board))
        div.answer.(if yours.is_empty() { Light::Good } else { Light::Warn }.class()) {
            h2 { "What is yours to do" }
            @match yours.first() {
                Some(alert) => p { @if alert.active { (alert.text) } @else { "Have a look at what is over (" (alert.kind.replace('_', " ")) "), and say that you saw it." } " " a href=(format!("/alerts#alert-{}", alert.id)) { @if yours.len() > 1 { "All " (yours.len()) " alerts" } @else { "Open the alert" } } },
                None => p { "Nothing." },
            }
        }
    }
}

/// A shape beside the colour.
fn glyph(light: Light) -> &'static str {
    match light {
        Light::Good => "●",
        Light::Busy => "◐",
        Light::Warn => "▲",
        Light::Bad => "✕",
        Light::Off => "○",
    }
}

fn names(all: &[String]) -> String {
    let shown = all
        .iter()
        .take(NAMES_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match all.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn doing(known: &Known, busy: &[String], broker_down: bool) -> Markup {
    let status = &known.status;
    let quarantined = status
        .members
        .iter()
        .filter(|member| member.state == MemberState::Quarantined)
        .count();
    html! {
        @if broker_down { "Its host's healer brings RabbitMQ back. Until then what stops is started, nothing is forced." }
        @else if !busy.is_empty() { "Bringing back " (names(busy)) "." }
        @else if status.tickets > 0 { (status.tickets) " healings are under way." }
        @else if let Some(leader) = &status.leader { (leader.as_str()) " watches " (status.members.len()) " members" @if quarantined > 0 { "; " (quarantined) " left down in quarantine" } "." }
        @else { "The healers elect a leader." }
    }
}

fn data(board: &Board) -> Markup {
    let nodes = board
        .vitals
        .members
        .values()
        .filter_map(|vital| vital.storage.as_ref());
    let (count, synced) = nodes.fold((0, 0), |(count, synced), node| {
        (count + 1, synced + u32::from(node.in_sync))
    });
    let owed = board.vitals.owed();
    let (light, text) = match (count, owed) {
        (0, _) => (Light::Off, "No storage node was heard.".to_owned()),
        (_, 0) if synced == count => (
            Light::Good,
            format!("Yes: every chunk has its copies on {count} nodes."),
        ),
        (_, 0) => (
            Light::Busy,
            format!("Yes: {} of {count} nodes catch up.", count - synced),
        ),
        (_, owed) => (
            Light::Warn,
            format!("Readable, and {owed} chunks still lack a copy; they are being copied."),
        ),
    };
    html! { div.answer.(light.class()) { h2 { "Is data safe" } p { (text) } } }
}
