//! Breaking things on purpose, with a look before and a way back.

use super::{act, segment, time};
use crate::snapshot::{Attack, Board, Known, Light};
use maud::{Markup, html};
use planaria_core::message::AttackStage;
use serde_json::json;

/// What the form offers, by who ends it; the monkey says what this kernel and engine do not permit.
const FAULTS: [(&str, &[&str]); 2] = [
    (
        "the group heals",
        &[
            "kill",
            "term",
            "pause",
            "hang",
            "restart",
            "disconnect",
            "leader-kill",
            "broker-kill",
            "broker-pause",
            "amqp-close",
        ],
    ),
    (
        "the monkey takes back",
        &[
            "stop",
            "freeze",
            "latency",
            "jitter",
            "loss",
            "rate",
            "reorder",
            "partition",
            "reject",
            "dns",
            "cpu",
            "memory",
            "descriptors",
            "io",
            "bit-rot",
        ],
    ),
];
/// The experiments that the monkey knows, and what each shows.
const EXPERIMENTS: [(&str, &str); 3] = [
    (
        "worker-survives-a-kill",
        "worker-1 is killed; its page is served before and afterwards.",
    ),
    (
        "leader-is-replaced",
        "Whoever leads is killed; somebody leads before and afterwards.",
    ),
    (
        "slow-network-is-only-slow",
        "Packets of worker-2 are held for 200 ms; nobody is declared dead.",
    ),
];
const EXPERIMENT: &str = "experiment";

/// An incident is told at most so long after the monkey saw its victim well.
const TOLD_WITHIN_MS: u64 = 10_000;

/// The form; the script sends it, dry run first.
pub(super) fn form(known: &Known) -> Markup {
    let mut names: Vec<&str> = known
        .status
        .members
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    names.sort_unstable();
    html! {
        section.panel aria-labelledby="attack-title" {
            h2 #attack-title { "Attack now" }
            form #attack .row data-url="/api/v1/chaos/attack" {
                p.field { label for="fault" { "Fault" } select #fault name="fault" {
                    option value="" { "as the monkey draws" }
                    @for (who, faults) in FAULTS { optgroup label=(who) { @for fault in faults { option value=(fault) { (fault) } } } }
                } }
                p.field { label for="target" { "Target" } select #target name="target" {
                    option value="" { "as the monkey draws" }
                    option value="leader" { "the leader" }
                    @for name in names { option value=(name) { (name) } }
                } }
                button.primary type="submit" { "See what would happen" }
            }
            p.note.below { "The monkey attacks only containers of this project, one at a time, nobody twice in a row, and never what is on hold." }
        }
        section.panel aria-labelledby="experiments-title" {
            h2 #experiments-title { "Experiments" }
            ul.experiments { @for (name, what) in EXPERIMENTS { li {
                div { p { strong { (name) } } p.note { (what) } }
                (act("Run", name, "/api/v1/chaos/experiment", &json!({"name": name})))
            } } }
            p.note.below { "The steady state is looked at first; where it does not hold, nothing is done. Files of your own: " code { "chaos-monkey experiment FILE" } }
        }
    }
}

/// What runs, and what was done, newest first.
pub(super) fn chaos(board: &Board) -> Markup {
    let running: Vec<&Attack> = board
        .attacks
        .iter()
        .filter(|attack| attack.runs())
        .collect();
    html! {
        section.panel aria-labelledby="running-title" {
            h2 #running-title { "Running now" }
            @if running.is_empty() { p.empty { "No fault runs." } } @else {
                ul.faults { @for attack in &running { (one_that_runs(attack)) } }
            }
            div.row { (act("Undo all and stop the timer", "", "/api/v1/chaos/revert", &json!({}))) }
        }
        section.panel aria-labelledby="attacks-title" {
            h2 #attacks-title { "History" }
            @if board.attacks.is_empty() { p.empty { "No attack was told since the journal begins." } } @else {
                div.scroll tabindex="0" role="region" aria-label="History of attacks" { table.history {
                    thead { tr { th scope="col" { "When" } th scope="col" { "Fault" } th scope="col" { "Target" } th scope="col" { "Outcome" } th scope="col" { "What the monkey says" } } }
                    tbody { @for (index, attack) in board.attacks.iter().enumerate() { (row(index, attack, board)) } }
                } }
            }
        }
    }
}

fn target(attack: &Attack) -> Markup {
    html! { @if attack.target.is_empty() { "–" } @else if attack.fault == EXPERIMENT { bdi { (attack.target) } } @else { a href=(format!("/members/{}", segment(&attack.target))) { bdi { (attack.target) } } } }
}

fn one_that_runs(attack: &Attack) -> Markup {
    html! {
        li.fault-item data-key=(attack.id) {
            div {
                p.alert-head { span.chip.bad { (stage(attack).0) } " " strong { (attack.fault) } @if attack.fault == EXPERIMENT { " " } @else { " on " } (target(attack)) span.note { " since " (time(attack.at_ms)) } }
                p.note { bdi { (attack.text) } @if let Some(until) = attack.until_ms { ". Over by " (time(until)) " at the latest." } }
            }
            (act("Undo", &format!("{} on {}", attack.fault, attack.target), "/api/v1/chaos/revert", &json!({"target": attack.target})))
        }
    }
}

/// Its stage in a word, and the light of that.
fn stage(attack: &Attack) -> (&'static str, Light) {
    if attack.overdue {
        return ("end unknown", Light::Warn);
    }
    match attack.stage {
        AttackStage::Foreseen => ("foreseen", Light::Off),
        AttackStage::Declined => ("declined", Light::Off),
        AttackStage::Begun => ("begun", Light::Busy),
        AttackStage::Injected => ("in effect", Light::Bad),
        AttackStage::Healed if attack.fault == EXPERIMENT => ("held", Light::Good),
        AttackStage::Failed if attack.fault == EXPERIMENT => ("did not hold", Light::Warn),
        AttackStage::Healed => ("healed", Light::Good),
        AttackStage::Reverted => ("undone", Light::Busy),
        AttackStage::Failed => ("no effect", Light::Warn),
        AttackStage::Gone => ("target removed", Light::Off),
    }
}

fn row(index: usize, attack: &Attack, board: &Board) -> Markup {
    let (word, light) = stage(attack);
    let healed = board.incidents.iter().rev().find(|told| {
        told.incident.name == attack.target
            && told.at_ms.saturating_add(1000) >= attack.at_ms
            && told.at_ms <= attack.told_ms.saturating_add(TOLD_WITHIN_MS)
    });
    // Those that were declined have no id of their own.
    let key = if attack.id.is_empty() {
        format!("{}-{index}", attack.at_ms)
    } else {
        attack.id.clone()
    };
    html! {
        tr data-key=(key) {
            td { (time(attack.at_ms)) }
            td { strong { @if attack.fault.is_empty() { "–" } @else { (attack.fault) } } }
            td { (target(attack)) }
            td { span.chip.(light.class()) { (word) } }
            td.why-cell {
                bdi { (attack.text) }
                @if let Some(told) = healed { " " a href=(format!("/incidents/{}", segment(&told.incident.id))) { "Its incident" } }
            }
        }
    }
}
