//! The object store, as its nodes' own numbers say.

use super::{bytes, segment};
use crate::snapshot::{Board, Known, Light, word};
use crate::vitals::Storage;
use maud::{Markup, html};
use planaria_core::message::MemberState;

/// All of it.
pub(super) fn storage(known: &Known, board: &Board) -> Markup {
    let nodes: Vec<(&str, &Storage)> = board
        .vitals
        .members
        .iter()
        .filter_map(|(name, vital)| Some((name.as_str(), vital.storage.as_ref()?)))
        .collect();
    if nodes.is_empty() {
        return html! { section.panel { p.empty { "No storage node was heard. They are asked every 10 s." } } };
    }
    let owed = board.vitals.owed();
    let (stored, free) = nodes
        .iter()
        .fold((0_u64, 0_u64), |(stored, free), (_, node)| {
            (
                stored.saturating_add(node.bytes),
                free.saturating_add(node.free),
            )
        });
    let synced = nodes.iter().filter(|(_, node)| node.in_sync).count();
    html! {
        section.facts aria-label="Facts" {
            (fact("Nodes in sync", &format!("{synced} / {}", nodes.len()), if synced == nodes.len() { Light::Good } else { Light::Warn }))
            (fact("Chunks whole", &board.vitals.chunks_in("healthy").to_string(), Light::Good))
            (fact("Lack a copy", &board.vitals.chunks_in("degraded").to_string(), if board.vitals.chunks_in("degraded") == 0 { Light::Good } else { Light::Warn }))
            (fact("Lost", &board.vitals.chunks_in("lost").to_string(), if board.vitals.chunks_in("lost") == 0 { Light::Good } else { Light::Bad }))
            (fact("Copies owed", &owed.to_string(), if owed == 0 { Light::Good } else { Light::Warn }))
            @if let Some(buckets) = board.vitals.buckets() { (fact("Buckets", &buckets.to_string(), Light::Good)) }
            (fact("Stored, all copies", &bytes(stored), Light::Good))
            (fact("Free", &bytes(free), Light::Good))
        }
        section.panel aria-labelledby="nodes-title" {
            h2 #nodes-title { "Nodes" }
            div.scroll tabindex="0" role="region" aria-label="Storage nodes" { table {
                thead { tr {
                    th scope="col" { "Node" } th scope="col" { "Zone" } th scope="col" { "State" } th scope="col" { "In sync" }
                    th.number scope="col" { "Chunks" } th.number scope="col" { "Stored" } th.number scope="col" { "Free" } th scope="col" { "Disk" } th scope="col" { "Scrub" }
                } }
                tbody { @for (name, node) in &nodes { (row(name, node, known)) } }
            } }
        }
        (more(&nodes))
    }
}

fn fact(label: &str, value: &str, light: Light) -> Markup {
    html! { div.fact.(light.class()) { p.fact-label { (label) } p.fact-value { (value) } } }
}

fn row(name: &str, node: &Storage, known: &Known) -> Markup {
    let state = known
        .status
        .members
        .iter()
        .find(|member| member.name.as_str() == name)
        .map_or(MemberState::Left, |member| member.state);
    let percent = node.full_percent().unwrap_or(0);
    html! {
        tr data-key=(name) {
            th scope="row" { a href=(format!("/members/{}", segment(name))) { (name) } }
            td { @match &node.zone { Some(zone) => bdi { (zone) }, None => "–" } }
            td { span.chip.(Light::of(state).class()) { (word(state)) } }
            td { @if node.in_sync { span.chip.good { "in sync" } } @else { span.chip.busy { "catching up" } } }
            td.number { (node.chunks) }
            td.number { (bytes(node.bytes)) }
            td.number { (bytes(node.free)) }
            td { meter min="0" max="100" low="80" high="95" optimum="0" value=(percent) aria-label=(format!("{name}: disk used")) {} " " (percent) " %" }
            td { (scrub(name, node)) }
        }
    }
}

/// How far the reading back of its chunks is, and how often it was through.
fn scrub(name: &str, node: &Storage) -> Markup {
    let Some(scrub) = node.scrub else {
        return html! { "–" };
    };
    let rounds = match scrub.rounds {
        0 => "first round".to_owned(),
        1 => "1 round done".to_owned(),
        rounds => format!("{rounds} rounds done"),
    };
    html! {
        @if let Some(percent) = node.scrub_percent() { meter min="0" max="100" value=(percent) aria-label=(format!("{name}: scrub")) {} " " (percent) " %, " }
        (rounds)
    }
}

/// Other numbers that the nodes tell: repair, scrub, buckets, as far as this version of them has any.
fn more(nodes: &[(&str, &Storage)]) -> Markup {
    let mut names: Vec<&str> = nodes
        .iter()
        .flat_map(|(_, node)| node.more.keys().map(String::as_str))
        .collect();
    names.sort_unstable();
    names.dedup();
    html! { @if !names.is_empty() {
        section.panel aria-labelledby="work-title" {
            h2 #work-title { "Work in the background" }
            div.scroll tabindex="0" role="region" aria-label="Background work" { table {
                thead { tr { th scope="col" { "Number" } @for (name, _) in nodes { th.number scope="col" { (name) } } } }
                tbody { @for name in names { tr data-key=(name) {
                    th scope="row" { (name.trim_start_matches("planaria_").replace('_', " ")) }
                    @for (_, node) in nodes { td.number { @match node.more.get(name) { Some(value) => (value), None => "–" } } }
                } } }
            } }
        }
    } }
}
