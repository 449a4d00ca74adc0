//! Everyone in a list: what the ring shows, in words and numbers.

use super::{segment, span};
use crate::snapshot::{Board, Known, Light, word};
use crate::vitals::{Score, Vital};
use maud::{Markup, html};
use planaria_core::message::{MemberState, MemberView};

/// More rows than this are not shown: the status as JSON has everyone.
const ROWS_MAX: usize = 200;
/// An age below this is "in time": shown exactly it would change every second, for every browser.
const IN_TIME_MS: u64 = 3000;

/// The list.
pub(super) fn members(known: &Known, board: &Board) -> Markup {
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
                    th.number scope="col" { "Health" }
                    th scope="col" { "Why" }
                } }
                tbody { @for member in members.iter().take(ROWS_MAX) { (row(member, known, board)) } }
            }
        }
        @if members.len() > ROWS_MAX {
            p.note { (ROWS_MAX) " of " (members.len()) " are listed; the status as JSON has everyone." }
        }
    }
}

/// Whether a hold is on it.
pub(super) fn is_held(member: &MemberView, known: &Known) -> bool {
    let holds = &known.status.held;
    holds
        .iter()
        .any(|hold| hold.name.as_ref().is_none_or(|name| *name == member.name))
}

/// What it is in the group.
pub(super) fn part(member: &MemberView, known: &Known) -> &'static str {
    if known.status.leader.as_ref() == Some(&member.name) {
        "leader"
    } else if member.candidate {
        "candidate"
    } else if member.healer {
        "healer"
    } else if member.state == MemberState::Patient {
        "no monitor"
    } else {
        "member"
    }
}

/// Its score; nothing for those that the console cannot measure.
pub(super) fn score(member: &MemberView, board: &Board) -> Option<Score> {
    let vital: &Vital = board.vitals.members.get(member.name.as_str())?;
    let well = Light::of(member.state) == Light::Good;
    Some(Score::of(
        vital,
        board.interval,
        member.restarts,
        board.restart_limit,
        well,
    ))
}

fn row(member: &MemberView, known: &Known, board: &Board) -> Markup {
    let name = member.name.as_str();
    html! {
        tr data-key=(name) {
            th scope="row" { a href=(format!("/members/{}", segment(name))) { (name) } }
            td { span.chip.(Light::of(member.state).class()) { (word(member.state)) } @if is_held(member, known) { " " span.chip.off { "on hold" } } }
            td { (part(member, known)) }
            td.number { @match member.last_heartbeat_ms {
                Some(ms) if ms < IN_TIME_MS => "in time",
                Some(ms) => { (span(ms / 1000 * 1000)) " ago" },
                None => "–",
            } }
            td.number { (member.restarts) }
            td.number { @match score(member, board) { Some(score) => (format!("{:.0} %", score.whole * 100.0)), None => "–" } }
            td.why-cell dir="auto" { (member.why) }
        }
    }
}
