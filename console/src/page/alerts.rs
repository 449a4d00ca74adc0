//! What needs a person's eye.

use crate::snapshot::Known;
use maud::{Markup, html};
use planaria_core::message::{Alert, Severity};

/// What fits beside the ring; the status as JSON has the rest.
const SHOWN_MAX: usize = 6;

/// The newest alerts, gravest first.
pub(super) fn alerts(known: &Known) -> Markup {
    let mut alerts: Vec<&Alert> = known.status.alerts.iter().collect();
    alerts.sort_by_key(|alert| std::cmp::Reverse(alert.severity));
    html! {
        @if alerts.is_empty() {
            p.empty { "All quiet." }
        } @else {
            ul.alerts { @for alert in alerts.iter().take(SHOWN_MAX) {
                li.alert.(class(alert.severity)) {
                    span.chip { (severity(alert.severity)) }
                    @if let Some(name) = &alert.name { " " strong { (name.as_str()) } }
                    p { (alert.text) }
                }
            } }
            @if alerts.len() > SHOWN_MAX { p.note { "and " (alerts.len() - SHOWN_MAX) " more" } }
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

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}
