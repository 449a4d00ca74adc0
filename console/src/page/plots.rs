//! MTTD and MTTR: each healing as a dot over time, with the medians.

use super::incidents::{is_healed, running, total};
use super::{clock, span};
use crate::snapshot::Board;
use crate::vitals::to_f64;
use maud::{Markup, html};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 84.0;
const BOTTOM: f64 = 32.0;

struct Dot {
    at_ms: u64,
    detect: u64,
    running: u64,
    healthy: u64,
    label: String,
}

/// Its class in the style sheet, its name, and how it is read off an incident.
type Series = (&'static str, &'static str, fn(&Dot) -> u64);

/// Both plots, and their medians in words.
pub(super) fn plots(board: &Board) -> Markup {
    let mut dots: Vec<Dot> = board
        .incidents
        .iter()
        .filter(|told| is_healed(&told.incident))
        .map(|told| Dot {
            at_ms: told.at_ms,
            detect: told.incident.detect_ms.unwrap_or(0),
            running: running(&told.incident),
            healthy: total(&told.incident),
            label: told.incident.name.chars().take(40).collect(),
        })
        .collect();
    dots.sort_by_key(|dot| dot.at_ms);
    if dots.is_empty() {
        return html! { p.empty { "Nothing had to be healed yet." } };
    }
    let series: [Series; 3] = [
        ("detect", "seen after", |dot| dot.detect),
        ("start", "running after", |dot| dot.running),
        ("healthy", "healthy after", |dot| dot.healthy),
    ];
    html! {
        dl.medians { @for (class, name, value) in series {
            @let median = median(&dots, value);
            div { dt { span.key.(class) { (name) } } dd { (span(median)) span.note { " median, worst " (span(dots.iter().map(value).max().unwrap_or(0))) } } }
        } }
        (chart(&dots, &series))
    }
}

fn median(dots: &[Dot], value: fn(&Dot) -> u64) -> u64 {
    let mut all: Vec<u64> = dots.iter().map(value).collect();
    all.sort_unstable();
    all.get(all.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(0)
}

/// Time goes to the right; up is slower, on a logarithmic scale: 10 ms and 10 s fit on one picture.
fn chart(dots: &[Dot], series: &[Series]) -> Markup {
    let first = dots.first().map_or(0, |dot| dot.at_ms);
    let last = dots.last().map_or(0, |dot| dot.at_ms).max(first + 1);
    let x = |at: u64| {
        LEFT + 14.0
            + (WIDTH - LEFT - 34.0) * to_f64((at - first) / 1000)
                / to_f64((last - first) / 1000).max(1.0)
    };
    let y = |ms: u64| {
        let part = (to_f64(ms.max(10)).log10() - 1.0) / 4.0;
        HEIGHT - BOTTOM - part.min(1.0) * (HEIGHT - BOTTOM - 12.0)
    };
    html! {
        svg.plot viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(format!("{} healings over time", dots.len())) {
            @for ms in [10_u64, 100, 1000, 10_000, 100_000] {
                line.grid x1=(LEFT) x2=(WIDTH) y1=(format!("{:.1}", y(ms))) y2=(format!("{:.1}", y(ms))) {}
                text.tick x=(LEFT - 8.0) y=(format!("{:.1}", y(ms) + 4.0)) text-anchor="end" { (axis(ms)) }
            }
            @for (class, name, value) in series {
                @let median = format!("{:.1}", y(median(dots, *value)));
                line.median.(class) x1=(LEFT) x2=(WIDTH) y1=(median) y2=(median) {}
                @for dot in dots {
                    circle.dot-mark.(class) cx=(format!("{:.1}", x(dot.at_ms))) cy=(format!("{:.1}", y(value(dot)))) r="4" {
                        title { (dot.label) ": " (name) " " (span(value(dot))) ", " (clock(dot.at_ms)) }
                    }
                }
            }
            text.tick x=(LEFT) y=(HEIGHT - 6.0) data-ms=(first) { (clock(first)) }
            text.tick x=(WIDTH) y=(HEIGHT - 6.0) text-anchor="end" data-ms=(last) { (clock(last)) }
        }
    }
}

fn axis(ms: u64) -> String {
    if ms < 1000 {
        format!("{ms} ms")
    } else {
        format!("{} s", ms / 1000)
    }
}
