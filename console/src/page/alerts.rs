//! What needs a person's eye.

use super::{act, segment, time};
use crate::alerts::{Record, State, severity_word};
use crate::snapshot::Board;
use maud::{Markup, html};
use planaria_core::message::Severity;
use serde_json::json;

/// What fits beside the ring.
const SHOWN_MAX: usize = 5;
/// Resolved ones below the book.
const RESOLVED_MAX: usize = 30;
/// Symptoms and lines of history in one alert; the JSON has all.
const LINES_MAX: usize = 12;

fn standing(board: &Board) -> impl Iterator<Item = &Record> {
    board
        .alerts
        .iter()
        .filter(|alert| alert.state != State::Resolved)
}

/// How many wait for somebody.
pub(super) fn badge(board: &Board) -> Markup {
    let open = board
        .alerts
        .iter()
        .filter(|alert| alert.state == State::Open);
    let (count, grave) = open.fold((0, false), |(count, grave), alert| {
        (count + 1, grave || alert.severity >= Severity::High)
    });
    html! { @if count > 0 { span.badge.(if grave { "bad" } else { "warn" }) { (count) span.visually-hidden { " open" } } } }
}

/// The gravest, beside the ring.
pub(super) fn short(board: &Board) -> Markup {
    let count = standing(board).count();
    html! {
        @if count == 0 { p.empty { "All quiet." } } @else {
            ul.alerts { @for alert in standing(board).take(SHOWN_MAX) {
                li.alert.(class(alert.severity)) data-key=(alert.id) {
                    p.alert-head { (chips(alert)) }
                    p { a.plain href=(format!("/alerts#alert-{}", alert.id)) { (alert.text) } }
                }
            } }
            @if count > SHOWN_MAX { p.note { a href="/alerts" { "and " (count - SHOWN_MAX) " more" } } }
        }
    }
}

/// All of them, with what can be done.
pub(super) fn book(board: &Board) -> Markup {
    let resolved: Vec<&Record> = board
        .alerts
        .iter()
        .filter(|alert| alert.state == State::Resolved)
        .collect();
    html! {
        section.panel aria-labelledby="standing-title" {
            h2 #standing-title { "Standing" }
            @if standing(board).next().is_none() { p.empty { "All quiet. What is healed in time is an incident, and no alert." } }
            @else { ul.alerts.book { @for alert in standing(board) { (whole(alert)) } } }
        }
        section.panel aria-labelledby="history-title" {
            h2 #history-title { "Resolved" }
            @if resolved.is_empty() { p.empty { "None yet." } }
            @else { ul.alerts.book { @for alert in resolved.iter().take(RESOLVED_MAX) { (whole(alert)) } } }
        }
    }
}

fn chips(alert: &Record) -> Markup {
    html! {
        span.chip.severity { (severity_word(alert.severity)) } " "
        @if let Some(name) = &alert.name { strong dir="auto" { (name) } " " }
        @else { strong { (alert.kind.replace('_', " ")) } " " }
        @if alert.state == State::Acknowledged { span.chip.off { "in hand" } " " }
        @if !alert.active && alert.state != State::Resolved { span.chip.good { "over" } " " }
        @if alert.silenced_until_ms.is_some() { span.chip.off { "silenced" } " " }
        @if alert.count > 1 { span.note { (alert.count) " times " } }
        @if !alert.members.is_empty() { span.note { (alert.members.len()) (if alert.members.len() == 1 { " symptom " } else { " symptoms " }) } }
    }
}

fn whole(alert: &Record) -> Markup {
    let url = |what: &str| format!("/api/v1/alerts/{}/{what}", alert.id);
    let about = format!("alert {}", alert.id);
    html! {
        li.alert.(class(alert.severity)).done[alert.state == State::Resolved] id=(format!("alert-{}", alert.id)) data-key=(alert.id) {
            p.alert-head { (chips(alert)) span.when { (time(alert.opened_ms)) @if let Some(ended) = alert.ended_ms { " until " (time(ended)) } } }
            p dir="auto" { (alert.text) }
            @if let Some(name) = &alert.name { p.note { a href=(format!("/members/{}", segment(name))) { "Look at " bdi { (name) } } } }
            @if !alert.members.is_empty() {
                details { summary { "What it explains" } ul.lines {
                    @for one in alert.members.iter().take(LINES_MAX) { li { (time(one.at_ms)) " " bdi { (one.text) } } }
                    @if alert.members.len() > LINES_MAX { li.note { "and " (alert.members.len() - LINES_MAX) " more" } }
                } }
            }
            details { summary { "History" } ol.lines { @for line in alert.history.iter().rev().take(LINES_MAX) {
                li { (time(line.at_ms)) " " strong { (line.act) } " by " bdi { (line.who) } @if !line.text.is_empty() { ": " bdi { (line.text) } } }
            } } }
            @if alert.state != State::Resolved {
                div.row {
                    @if alert.state == State::Open { (act("Acknowledge", &about, &url("acknowledge"), &json!({}))) }
                    (act("Resolve", &about, &url("resolve"), &json!({})))
                    (act("Note", &about, &url("note"), &json!({"text": ""})))
                    @if alert.silenced_until_ms.is_some() { (act("End silence", &about, &url("silence"), &json!({"for_s": 0}))) }
                    @else { (act("Silence 1 h", &about, &url("silence"), &json!({"for_s": 3600}))) }
                }
            }
        }
    }
}

fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "off",
        Severity::Medium => "busy",
        Severity::High => "warn",
        Severity::Critical => "bad",
    }
}
