//! The head: logo, freshness, and the row of facts.

use super::span;
use crate::snapshot::{Board, Known, Light, recovery};
use maud::{Markup, html};
use planaria_core::status::{BrokerState, EngineState};

/// A flatworm that is cut in two and whole again.
pub(super) fn logo() -> Markup {
    html! {
        svg.logo viewBox="0 0 48 48" aria-hidden="true" focusable="false" {
            path.logo-body d="M24 3c6 0 9 4 9 8 0 2 2 3 2 6 0 4-3 6-3 12 0 8-3 16-8 16s-8-8-8-16c0-6-3-8-3-12 0-3 2-4 2-6 0-4 3-8 9-8z" {}
            path.logo-cut d="M8 29 40 23" {}
            circle.logo-eye cx="20" cy="12" r="1.8" {}
            circle.logo-eye cx="28" cy="12" r="1.8" {}
        }
    }
}

/// Live, or stale since when. The script adds what only the browser knows: that the console is away.
pub(super) fn freshness(known: &Known) -> Markup {
    html! {
        @match known.stale_since_ms.filter(|_| known.stale) {
            Some(since) => { span.dot.warn {} "stale since " (super::time(since)) }
            None => { span.dot.good {} "live" }
        }
    }
}

/// The row of facts.
pub(super) fn facts(known: &Known, board: &Board) -> Markup {
    let status = &known.status;
    let well = status
        .members
        .iter()
        .filter(|member| Light::of(member.state) == Light::Good)
        .count();
    let all = status.members.len();
    let members = if all == 0 || known.stale {
        Light::Off
    } else if well == all {
        Light::Good
    } else {
        Light::Warn
    };
    let (broker, broker_light) = match status.broker {
        BrokerState::Connected => ("connected", Light::Good),
        BrokerState::Down => ("down", Light::Bad),
        BrokerState::None => ("none", Light::Off),
    };
    let (docker, docker_light) = match status.docker {
        EngineState::Connected => ("connected", Light::Good),
        EngineState::Down => ("down", Light::Bad),
        EngineState::None => ("unknown", Light::Off),
    };
    html! {
        (fact("Members well", &format!("{well} / {all}"), members, known.stale.then_some("as they were heard last")))
        (fact(
            "Leader",
            status.leader.as_ref().map_or("nobody", |leader| leader.as_str()),
            if status.leader.is_some() { Light::Good } else { Light::Warn },
            Some(&format!("term {}", status.term)),
        ))
        (fact("Broker", broker, broker_light, Some("RabbitMQ")))
        (fact("Engine", docker, docker_light, Some("Docker, as the leader sees it")))
        (fact("Healing now", &status.tickets.to_string(), if status.tickets == 0 { Light::Good } else { Light::Busy }, Some("tickets open")))
        @match recovery(board) {
            Some(times) => (fact(
                "Back after",
                &span(times.running),
                Light::Good,
                Some(&format!("median; healthy after {}, worst {}", span(times.healthy), span(times.worst))),
            )),
            None => (fact("Back after", "–", Light::Off, Some("nothing had to be healed"))),
        }
    }
}

fn fact(label: &str, value: &str, light: Light, note: Option<&str>) -> Markup {
    html! {
        div.fact.(light.class()) {
            p.fact-label { (label) }
            p.fact-value { (value) }
            @if let Some(note) = note { p.fact-note { (note) } }
        }
    }
}
