//! Everyone in a list: what the ring shows, in words and numbers.

use super::span;
use crate::snapshot::{Known, Light, word};
use maud::{Markup, html};
use planaria_core::message::{MemberState, MemberView};

/// More rows than this are not shown: the status as JSON has everyone.
const ROWS_MAX: usize = 200;

/// The list.
pub(super) fn members(known: &Known) -> Markup {
    let status = &known.status;
    if status.members.is_empty() {
        return html! { p.empty { "Nobody was heard yet." } };
    }
    let mut members: Vec<&MemberView> = status.members.iter().collect();
    members.sort_by(|a, b| a.name.natural_cmp(&b.name));
    html! {
        div.scroll tabindex="0" role="region" aria-label="Members" {
            table {
                thead { tr {
                    th scope="col" { "Name" }
                    th scope="col" { "State" }
                    th scope="col" { "Part" }
                    th.number scope="col" { "Heard" }
                    th.number scope="col" { "Restarts" }
                    th scope="col" { "Why" }
                } }
                tbody { @for member in members.iter().take(ROWS_MAX) { (row(member, known)) } }
            }
        }
        @if members.len() > ROWS_MAX {
            p.note { (ROWS_MAX) " of " (members.len()) " are listed; the status as JSON has everyone." }
        }
    }
}

fn row(member: &MemberView, known: &Known) -> Markup {
    let leads = known.status.leader.as_ref() == Some(&member.name);
    let held = known
        .status
        .held
        .iter()
        .any(|hold| hold.name.as_ref().is_none_or(|name| *name == member.name));
    html! {
        tr data-key=(member.name.as_str()) {
            th scope="row" { (member.name.as_str()) }
            td { span.chip.(Light::of(member.state).class()) { (word(member.state)) } @if held { " " span.chip.off { "on hold" } } }
            td { @if leads { "leader" } @else if member.candidate { "candidate" } @else if member.healer { "healer" } @else if member.state == MemberState::Patient { "no monitor" } @else { "member" } }
            td.number { @match member.last_heartbeat_ms { Some(ms) => { (span(ms)) " ago" } None => "–" } }
            td.number { (member.restarts) }
            td.why-cell { (member.why) }
        }
    }
}
