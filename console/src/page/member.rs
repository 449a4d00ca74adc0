//! One member: how it stands, how it does, what happened to it, what can be asked for it.

use super::members::{is_held, part, score};
use super::{act, incidents, span, time};
use crate::snapshot::{Board, Known, Light, word};
use crate::vitals::{BARS, Vital};
use maud::{Markup, html};
use planaria_core::message::{MemberState, MemberView};
use serde_json::json;

/// Incidents of one member that are shown.
const INCIDENTS_MAX: usize = 10;

/// All of it.
#[must_use]
pub fn panel(known: &Known, board: &Board, name: &str) -> Markup {
    let Some(member) = known
        .status
        .members
        .iter()
        .find(|member| member.name.as_str() == name)
    else {
        return html! { section.panel { p.empty { bdi { (name) } " is not known to this group (any more)." } } };
    };
    let vital = board.vitals.members.get(name);
    html! {
        div.columns {
            div.side {
                section.panel aria-labelledby="state-title" { h2 #state-title { "State" } (state(member, known, vital)) (actions(member, known)) }
                section.panel aria-labelledby="score-title" { h2 #score-title { "Health" } (health(member, board)) }
            }
            div.side {
                section.panel aria-labelledby="beats-title" { h2 #beats-title { "Heartbeats" } (rhythm(vital, board)) }
                section.panel aria-labelledby="last-title" { h2 #last-title { "Last exit and last words" } (last(name, vital, board)) }
            }
        }
        section.panel aria-labelledby="own-title" { h2 #own-title { "Its incidents" } (incidents::of(board, name, INCIDENTS_MAX)) }
    }
}

fn state(member: &MemberView, known: &Known, vital: Option<&Vital>) -> Markup {
    let light = Light::of(member.state);
    html! {
        p.big.(light.class()) { span.chip.(light.class()) { (word(member.state)) } @if is_held(member, known) { " " span.chip.off { "on hold" } } }
        dl.facts-list {
            dt { "Part" } dd { (part(member, known)) }
            dt { "Host" } dd { @match &member.host { Some(host) => bdi { (host.0.chars().take(24).collect::<String>()) }, None => "–" } }
            dt { "Suspicion" } dd { (suspicion(member.state)) }
            dt { "Restarts in the window" } dd { (member.restarts) }
            dt { "Up for" } dd { @match vital.and_then(|vital| vital.up_s) { Some(up) if up < 60 => "under a minute", Some(up) => (span(up.saturating_mul(1000) / 60_000 * 60_000)), None => "–" } }
            dt { "Oldest pulse" } dd { @match vital.and_then(|vital| vital.pulse_age_ms) { Some(ms) if ms < 1000 => "under 1 s", Some(ms) => (span(ms)), None => "–" } }
            dt { "Answers within" } dd { @match vital.and_then(|vital| vital.latency_ms) { Some(ms) => (span(ms)), None => "–" } }
            @if !member.why.is_empty() { dt { "Why" } dd dir="auto" { (member.why) } }
        }
    }
}

fn suspicion(state: MemberState) -> &'static str {
    match state {
        MemberState::Late => "1 of 3: heartbeats are missing",
        MemberState::Suspect => "2 of 3: witnesses are asked",
        MemberState::Dead => "3 of 3: declared dead",
        MemberState::Isolated => "lost its network, not its life",
        MemberState::Patient => "by the engine's word only",
        MemberState::Joining
        | MemberState::Alive
        | MemberState::Restarting
        | MemberState::Quarantined
        | MemberState::Left
        | MemberState::Expected => "none",
    }
}

fn actions(member: &MemberView, known: &Known) -> Markup {
    let name = member.name.as_str();
    let body = json!({"name": name});
    html! {
        div.row {
            (act("Heal", name, "/api/v1/heal", &body))
            @if member.state == MemberState::Quarantined { (act("Release", name, "/api/v1/release", &body)) }
            @if is_held(member, known) { (act("Resume", name, "/api/v1/resume", &json!({"names": [name]}))) }
            @else { (act("Hold 30 min", name, "/api/v1/hold", &json!({"names": [name], "for_s": 1800}))) }
            (act("Fence", name, "/api/v1/fence", &body))
            @if known.status.leader.as_ref() == Some(&member.name) { (act("Elect another", name, "/api/v1/elect", &json!({}))) }
            @else { (act("Attack", name, "/api/v1/chaos/attack", &json!({"target": name}))) }
        }
    }
}

fn health(member: &MemberView, board: &Board) -> Markup {
    let Some(score) = score(member, board) else {
        return html! { p.empty { "It has no monitor; only the engine speaks of it." } };
    };
    let parts = [
        ("network", "40 %", score.network),
        ("uptime", "30 %", score.uptime),
        ("resources", "20 %", score.resources),
        ("trust", "10 %", score.trust),
    ];
    html! {
        p.big { (format!("{:.0} %", score.whole * 100.0)) }
        dl.facts-list { @for (name, weight, value) in parts {
            dt { (name) " " span.note { "(" (weight) ")" } }
            dd { meter min="0" max="1" low="0.3" high="0.5" optimum="1" value=(format!("{value:.2}")) aria-label=(name) {} " " (format!("{:.0} %", value * 100.0)) }
        } }
        p.note { "For ranking only; no verdict follows from it." }
    }
}

fn rhythm(vital: Option<&Vital>, board: &Board) -> Markup {
    let Some(vital) = vital.filter(|vital| !vital.intervals.is_empty()) else {
        return html! { p.empty { "None was heard by the console yet." } };
    };
    let bars = vital.histogram(board.interval);
    let most = f64::from(bars.iter().copied().max().unwrap_or(1).max(1));
    let on_time = vital.on_time(board.interval).unwrap_or(1.0);
    html! {
        svg.histogram viewBox="0 -8 360 136" role="img" aria-label=(format!("Times between heartbeats: {:.0} % in time", on_time * 100.0)) {
            @for (index, count) in (0_u8..).zip(bars) {
                @let height = f64::from(count) / most * 90.0;
                @let x = f64::from(index) * 40.0;
                g.(if index >= 6 { "warn" } else { "good" }) {
                    rect.pillar x=(format!("{:.0}", x + 4.0)) y=(format!("{:.1}", 104.0 - height)) width="32" height=(format!("{:.1}", height.max(1.0))) rx="3" {}
                    text.tick x=(format!("{:.0}", x + 20.0)) y="122" text-anchor="middle" { (bar_name(usize::from(index))) }
                    @if count > 0 { text.tick x=(format!("{:.0}", x + 20.0)) y=(format!("{:.0}", 98.0 - height)) text-anchor="middle" { (count) } }
                }
            }
        }
        p.note { "The last " (vital.intervals.len()) " times between heartbeats, in parts of " (span(u64::try_from(board.interval.as_millis()).unwrap_or(0))) "; " (format!("{:.0} %", on_time * 100.0)) " in time." }
    }
}

fn bar_name(index: usize) -> String {
    match BARS.get(index) {
        Some(end) => end.to_string(),
        None => "more".to_owned(),
    }
}

fn last(name: &str, vital: Option<&Vital>, board: &Board) -> Markup {
    let exit = board
        .incidents
        .iter()
        .find(|told| told.incident.name == name);
    let words = vital.and_then(|vital| vital.last_words.as_ref());
    html! {
        @match exit {
            Some(told) => p { (time(told.at_ms)) ": it " (incidents::reason(told.incident.reason)) " (" bdi { (told.incident.evidence) } ")." },
            None => p.empty { "No exit is remembered." },
        }
        @if let Some((at, words)) = words { p { (time(*at)) ": its watchdog said: " bdi { (words) } } }
        p.note { "Its own log: " code { "docker logs --tail 50 " (name) } }
    }
}
