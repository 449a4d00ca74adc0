//! The ring: everyone on a circle, with a light whose colour, shape and word all say the state.

use crate::snapshot::{Board, Known, Light, word};
use maud::{Markup, html};
use planaria_core::id::MemberName;
use planaria_core::message::{MemberState, MemberView};
use std::f64::consts::TAU;

/// The drawing's size in its own units; the style scales it.
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 640.0;
const RADIUS: f64 = 232.0;
/// More lights than this do not fit with their names: the members' list has everyone.
const LIGHTS_MAX: usize = 40;
/// Characters of a name that fit beside the ring on a phone; the style makes longer ones smaller.
const NAME_FITS: usize = 14;
/// Characters of a zone's name that fit into the ring.
const ZONE_NAME_MAX: usize = 12;

/// Draws it.
pub(super) fn ring(known: &Known, board: &Board) -> Markup {
    let status = &known.status;
    if status.members.is_empty() {
        return html! { p.empty { "Nobody was heard yet. The ring appears with the first beat of a leader." } };
    }
    let leader = status.leader.as_ref().map(MemberName::as_str);
    let mut members: Vec<&MemberView> = status.members.iter().collect();
    let many_hosts = {
        let mut hosts = members.iter().filter_map(|member| member.host.as_ref());
        let first = hosts.next();
        hosts.any(|host| Some(host) != first)
    };
    let zone = |member: &MemberView| zone(member, board, many_hosts);
    // Those of one zone stand side by side.
    members.sort_by(|a, b| {
        zone(a)
            .cmp(&zone(b))
            .then_with(|| b.candidate.cmp(&a.candidate))
            .then_with(|| a.name.natural_cmp(&b.name))
    });
    let shown = &members[..members.len().min(LIGHTS_MAX)];
    let places: Vec<Place> = (0..shown.len())
        .map(|index| Place::new(index, shown.len()))
        .collect();
    let longest = shown.iter().map(|member| member.name.as_str().len()).max();
    let longest = longest.unwrap_or(0);
    let zones = arcs(&shown.iter().map(|member| zone(member)).collect::<Vec<_>>());
    let throne = shown
        .iter()
        .position(|member| Some(member.name.as_str()) == leader)
        .map(|index| places[index]);
    html! {
        svg.ring.long[longest > NAME_FITS].stale[known.stale] viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="group" aria-label="The members on a ring" {
            (glows())
            circle.orbit-glow cx=(num(WIDTH / 2.0)) cy=(num(HEIGHT / 2.0)) r=(num(RADIUS)) {}
            circle.orbit cx=(num(WIDTH / 2.0)) cy=(num(HEIGHT / 2.0)) r=(num(RADIUS)) {}
            @for arc in &zones { (place(arc, shown.len())) }
            @if let Some(throne) = throne {
                @for (member, place) in shown.iter().zip(&places) {
                    @if Some(member.name.as_str()) != leader {
                        line.spoke.(Light::of(member.state).class()) x1=(num(throne.x)) y1=(num(throne.y)) x2=(num(place.x)) y2=(num(place.y)) {}
                    }
                }
            }
            (centre(known))
            @for (member, place) in shown.iter().zip(&places) {
                (light(member, *place, Some(member.name.as_str()) == leader))
            }
        }
        @if members.len() > shown.len() {
            p.note { (shown.len()) " of " (members.len()) " are drawn; the list below has everyone." }
        }
        p.why { @match leader {
            Some(leader) => { strong { (leader) } " leads term " (status.term) @if !status.leader_why.is_empty() { ": " (status.leader_why) } }
            None => { strong { "Nobody leads. " } "Starting what stopped needs no leader; force does." }
        } }
        (legend())
    }
}

/// Where a member stands: its zone where one is told, else its host where there are several.
fn zone(member: &MemberView, board: &Board, many_hosts: bool) -> Option<String> {
    let vital = board.vitals.members.get(member.name.as_str());
    let told = vital.and_then(|vital| vital.storage.as_ref()?.zone.clone());
    let host = || member.host.as_ref().filter(|_| many_hosts);
    told.or_else(|| host().map(|host| host.0.clone()))
        .map(|text| text.chars().take(ZONE_NAME_MAX).collect())
}

/// Neighbours of one zone: the first, the last, and its name.
#[derive(Debug, PartialEq, Eq)]
struct Arc {
    first: usize,
    last: usize,
    name: String,
}

fn arcs(zones: &[Option<String>]) -> Vec<Arc> {
    let mut arcs: Vec<Arc> = Vec::new();
    for (index, zone) in zones.iter().enumerate() {
        let Some(name) = zone else { continue };
        match arcs.last_mut() {
            Some(arc) if arc.name == *name && arc.last + 1 == index => arc.last = index,
            _ => arcs.push(Arc {
                first: index,
                last: index,
                name: name.clone(),
            }),
        }
    }
    arcs
}

/// The part of the turn at which a light stands; counts here are below [`LIGHTS_MAX`], so the conversion is exact.
fn angle(index: f64, count: usize) -> f64 {
    let count = u32::try_from(count.max(1)).map_or(1.0, f64::from);
    TAU * (index / count - 0.25)
}

fn index(index: usize) -> f64 {
    u32::try_from(index).map_or(0.0, f64::from)
}

/// A zone as a band along the ring, with its name.
fn place(arc: &Arc, count: usize) -> Markup {
    let (from, to) = (index(arc.first) - 0.36, index(arc.last) + 0.36);
    let point = |at: f64, radius: f64| {
        let (sin, cos) = angle(at, count).sin_cos();
        (
            num(WIDTH / 2.0 + radius * cos),
            num(HEIGHT / 2.0 + radius * sin),
        )
    };
    let radius = RADIUS - 34.0;
    let ((x1, y1), (x2, y2)) = (point(from, radius), point(to, radius));
    let long = u8::from((to - from) / index(count.max(1)) > 0.5);
    let middle = f64::midpoint(from, to);
    let (x, y) = point(middle, radius - 14.0);
    // Towards the centre, so that the band stays free.
    let side = angle(middle, count).cos();
    let anchor = if side > 0.4 {
        "end"
    } else if side < -0.4 {
        "start"
    } else {
        "middle"
    };
    html! {
        path.zone d=(format!("M{x1} {y1}A{radius} {radius} 0 {long} 1 {x2} {y2}")) { title { "zone " (arc.name) } }
        text.zone-name x=(x) y=(y) text-anchor=(anchor) dominant-baseline="middle" { (arc.name) }
    }
}

#[derive(Clone, Copy)]
struct Place {
    x: f64,
    y: f64,
    /// Where the name stands: away from the centre.
    label_x: f64,
    label_y: f64,
    anchor: &'static str,
}

impl Place {
    fn new(index: usize, count: usize) -> Self {
        let angle = angle(self::index(index), count);
        let (sin, cos) = angle.sin_cos();
        let anchor = if cos > 0.2 {
            "start"
        } else if cos < -0.2 {
            "end"
        } else {
            "middle"
        };
        let reach = RADIUS + 36.0;
        Self {
            x: WIDTH / 2.0 + RADIUS * cos,
            y: HEIGHT / 2.0 + RADIUS * sin,
            label_x: WIDTH / 2.0 + reach * cos,
            // Above the topmost light there is a crown, perhaps.
            label_y: HEIGHT / 2.0 + (reach + 14.0 * sin.abs()) * sin
                - if sin < -0.95 { 22.0 } else { 0.0 },
            anchor,
        }
    }
}

fn num(value: f64) -> String {
    format!("{value:.1}")
}

/// What lights and centre shine with: a gradient for each colour. A blurred shadow for each light would be most of what
/// a browser does until its first picture.
fn glows() -> Markup {
    const GLOWS: [&str; 6] = ["good", "busy", "warn", "bad", "off", "core"];
    html! {
        defs { @for name in GLOWS { radialGradient.{ "glow-" (name) } id=(format!("glow-{name}")) { stop offset="0.35" {} stop offset="1" stop-opacity="0" {} } } }
    }
}

fn centre(known: &Known) -> Markup {
    let status = &known.status;
    let (x, y) = (num(WIDTH / 2.0), HEIGHT / 2.0);
    html! {
        g.centre text-anchor="middle" {
            circle.core-halo cx=(x) cy=(num(y)) r="150" {}
            circle.core cx=(x) cy=(num(y)) r="104" {}
            text.centre-small x=(x) y=(num(y - 40.0)) { @if status.leader.is_some() { "leader" } @else { "election" } }
            text.centre-name x=(x) y=(num(y - 4.0)) { (status.leader.as_ref().map_or("nobody", |leader| leader.as_str())) }
            text.centre-term x=(x) y=(num(y + 34.0)) { "term " (status.term) }
            @if status.blind { text.centre-small.warn x=(x) y=(num(y + 64.0)) { "blind: judges nobody" } }
        }
    }
}

fn light(member: &MemberView, place: Place, leads: bool) -> Markup {
    let light = Light::of(member.state);
    html! {
        a.node.(light.class()).leads[leads] data-key=(member.name.as_str()) href=(format!("/members/{}", super::segment(member.name.as_str())))
            aria-label=(format!("{}, {}{}", member.name, word(member.state), if leads { ", leader" } else { "" })) {
            g transform=(format!("translate({} {})", num(place.x), num(place.y))) {
                circle.halo r="32" {}
                (shape(member.state))
                @if leads { path.crown d="M-13 -24 -9 -38 -3 -30 0 -42 3 -30 9 -38 13 -24Z" {} }
            }
            text.name x=(num(place.label_x)) y=(num(place.label_y)) text-anchor=(place.anchor) { (member.name.as_str()) }
            text.state x=(num(place.label_x)) y=(num(place.label_y + 19.0)) text-anchor=(place.anchor) { (word(member.state)) }
        }
    }
}

/// A shape per state, so that nobody needs to tell colours apart.
fn shape(state: MemberState) -> Markup {
    html! { @match state {
        MemberState::Alive => circle.body r="13" {},
        MemberState::Patient => path.body d="M0 -14 12 -7 12 7 0 14 -12 7 -12 -7Z" {},
        MemberState::Joining => { circle.body.hollow r="13" {} circle.body r="5" {} }
        MemberState::Restarting => { circle.body.hollow.spin r="14" {} circle.body r="6" {} }
        MemberState::Late => { circle.body.hollow r="13" {} path.mark d="M0 -8V0L6 4" {} }
        MemberState::Suspect => { path.body d="M0 -16 15 11 -15 11Z" {} path.cut d="M0 -6V3M0 7V8" {} }
        MemberState::Isolated => path.body d="M0 -16 16 0 0 16 -16 0Z" {},
        MemberState::Dead => path.mark d="M-11 -11 11 11M11 -11 -11 11" {},
        MemberState::Quarantined => { rect.body x="-13" y="-13" width="26" height="26" rx="3" {} path.cut d="M-7 0H7" {} }
        MemberState::Left => circle.body.hollow r="13" {},
        MemberState::Expected => circle.body.hollow.dotted r="13" {},
    } }
}

fn legend() -> Markup {
    const SHOWN: [MemberState; 10] = [
        MemberState::Alive,
        MemberState::Patient,
        MemberState::Joining,
        MemberState::Restarting,
        MemberState::Late,
        MemberState::Suspect,
        MemberState::Isolated,
        MemberState::Dead,
        MemberState::Quarantined,
        MemberState::Left,
    ];
    html! {
        details.legend {
            summary { "What the shapes mean" }
            ul {
                @for state in SHOWN {
                    li { svg viewBox="-20 -20 40 40" aria-hidden="true" { g.node.(Light::of(state).class()) { (shape(state)) } } (word(state)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::fixture;

    #[test]
    fn everyone_has_a_place_a_word_and_a_shape() {
        let known = fixture::known();
        let text = ring(&known, &Board::default()).into_string();
        for member in &known.status.members {
            assert!(
                text.contains(&format!("data-key=\"{}\"", member.name)),
                "{}",
                member.name
            );
        }
        assert_eq!(text.matches("class=\"crown\"").count(), 1);
    }

    #[test]
    fn zones_are_bands_with_their_neighbours_together() {
        let text = ring(&fixture::known(), &fixture::board()).into_string();
        assert_eq!(text.matches("class=\"zone\"").count(), 2, "{text}");
        assert!(text.contains(">north<") && text.contains(">south<"));
        let zone = |name: &str| Some(name.to_owned());
        let arcs = arcs(&[None, zone("a"), zone("a"), zone("b"), None, zone("b")]);
        let spans: Vec<(usize, usize)> = arcs.iter().map(|arc| (arc.first, arc.last)).collect();
        assert_eq!(spans, [(1, 2), (3, 3), (5, 5)]);
    }

    #[test]
    fn a_crowd_is_cut_and_said_so() {
        let mut known = fixture::known();
        let one = known.status.members[0].clone();
        known.status.members = (0..200)
            .map(|i| {
                let mut member = one.clone();
                member.name = planaria_core::id::MemberName::new(format!("m-{i}")).unwrap();
                member
            })
            .collect();
        assert!(
            ring(&known, &Board::default())
                .into_string()
                .contains("40 of 200 are drawn")
        );
    }
}
