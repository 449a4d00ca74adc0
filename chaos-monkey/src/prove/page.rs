//! The report as one HTML page: no file beside it, no script, plots as inline SVG.

use super::report::Proof;
use super::stats::Spread;
use crate::clock;
use std::fmt::Write as _;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 46.0;
const HEIGHT: f64 = 170.0;

const STYLE: &str = "
:root{color-scheme:light dark;--fg:#1c2330;--bg:#fbfcfe;--dim:#667085;--line:#d7dce5;--good:#0a7d46;--bad:#c0271d;--ok:#2f6fdb;--attack:#f0b42933}
@media (prefers-color-scheme:dark){:root{--fg:#e6eaf2;--bg:#12161f;--dim:#98a2b3;--line:#2d3546;--good:#3ddc91;--bad:#ff6b61;--ok:#6aa4ff;--attack:#f0b42944}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);max-width:1000px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
.verdict{font-weight:700;padding:.6rem 1rem;border-radius:.5rem;color:#fff}.holds{background:#0a7d46}.broken{background:#c0271d}
table{border-collapse:collapse;width:100%;font-size:.88rem}th,td{text-align:left;padding:.3rem .5rem;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.good{color:var(--good)}.bad{color:var(--bad)}.dim{color:var(--dim)}
svg{width:100%;height:auto}svg text{fill:var(--dim);font-size:11px}.scroll{overflow-x:auto}";

/// The whole page.
#[must_use]
pub fn page(proof: &Proof) -> String {
    let (class, word) = if proof.holds {
        ("holds", "Everything holds")
    } else if proof.broken_off {
        ("broken", "Ended early: nothing is proven")
    } else {
        ("broken", "Something is broken")
    };
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Planaria: proof with seed {seed}</title><style>{STYLE}</style>\
         <h1>The proof, seed {seed}</h1>\
         <p class=\"verdict {class}\">{word}</p>\
         <p>{began}, project {project}: attacks for {time} s, everything well {quiet} after the last one. \
         {bytes} acknowledged. Again: <code>{again}</code> \
         <span class=\"dim\">(that repeats the plan, not the system's reply)</span></p>",
        seed = proof.seed,
        began = clock::text(proof.began_ms),
        project = escape(&proof.project),
        time = proof.attacks_for_s,
        quiet = crate::report::seconds(proof.quiet_ms),
        bytes = mebibytes(proof.bytes),
        again = if proof.replayed {
            "chaos-monkey prove --replay FOLDER, this report's own".to_owned()
        } else {
            let minutes = proof.attacks_for_s.div_ceil(60);
            format!("make prove MINUTES={minutes} SEED={}", proof.seed)
        },
    );
    if !proof.holds {
        let _ = write!(
            out,
            "<p>What the containers said then is beside this page, in <code>{}/</code>.</p>",
            super::evidence::FOLDER
        );
    }
    checks(&mut out, proof);
    load(&mut out, proof);
    latency(&mut out, proof);
    recovery(&mut out, proof);
    attacks(&mut out, proof);
    requests(&mut out, proof);
    out.push_str("</html>\n");
    out
}

fn checks(out: &mut String, proof: &Proof) {
    out.push_str("<h2>What must hold</h2><table>");
    for check in &proof.checks {
        let (class, mark) = if check.holds {
            ("good", "✓")
        } else {
            ("bad", "✗")
        };
        let _ = write!(
            out,
            "<tr><td class=\"{class}\">{mark}</td><td>{}</td><td class=\"dim\">{}</td></tr>",
            escape(check.what),
            escape(&check.seen)
        );
    }
    out.push_str("</table>");
}

/// Seconds that a plot shows.
fn span(proof: &Proof) -> f64 {
    let last = proof.seconds.keys().last().copied().unwrap_or(0);
    let end = proof
        .attacks
        .iter()
        .filter_map(|row| row.end_ms)
        .max()
        .unwrap_or(0)
        / 1000;
    number(last.max(end) + 1)
}

fn x(proof: &Proof, seconds: f64) -> f64 {
    LEFT + seconds / span(proof) * (WIDTH - LEFT - 8.0)
}

/// How a value becomes a height.
#[derive(Clone, Copy)]
struct Scale {
    top: f64,
    /// In powers of ten: answers take a millisecond mostly, and seconds when somebody dies.
    powers: bool,
}

impl Scale {
    fn even(top: u64) -> Self {
        Self {
            top: number(top),
            powers: false,
        }
    }

    /// Up to the next power of ten.
    fn powers(top: u64) -> Self {
        Self {
            top: 10_f64.powf(number(top.max(10)).log10().ceil()),
            powers: true,
        }
    }

    fn y(self, value: f64) -> f64 {
        let share = if self.powers {
            value.max(1.0).log10() / self.top.log10()
        } else {
            value / self.top.max(1.0)
        };
        HEIGHT - 22.0 - share * (HEIGHT - 34.0)
    }

    /// What is written on the axis, from below.
    fn marks(self) -> Vec<f64> {
        if !self.powers {
            return vec![0.0, (self.top / 2.0).round(), self.top];
        }
        let mut marks = vec![1.0];
        while marks.last().is_some_and(|last| last * 9.0 < self.top) {
            marks.push(marks.last().map_or(1.0, |last| last * 10.0));
        }
        marks
    }
}

#[allow(clippy::cast_precision_loss)] // plots have a thousand pixels
fn number(value: u64) -> f64 {
    value as f64
}

/// A frame with the attacks as bars behind, and the axes.
fn frame(out: &mut String, proof: &Proof, scale: Scale, unit: &str) {
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{unit} over time\">"
    );
    for row in proof.attacks.iter().filter(|row| row.injected) {
        let (from, to) = (
            number(row.at_ms) / 1000.0,
            number(row.end_ms.unwrap_or(row.at_ms)) / 1000.0,
        );
        let (left, right) = (x(proof, from), x(proof, to));
        let _ = write!(
            out,
            "<rect x=\"{left:.1}\" y=\"12\" width=\"{:.1}\" height=\"{}\" fill=\"var(--attack)\"><title>{} {} ({})</title></rect>",
            (right - left).max(1.5),
            HEIGHT - 34.0,
            row.fault,
            escape(&row.target),
            row.id
        );
    }
    for mark in scale.marks() {
        let at = scale.y(mark);
        let _ = write!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{WIDTH}\" y2=\"{at:.1}\" stroke=\"var(--line)\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{mark:.0}</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    let _ = write!(out, "<text x=\"{LEFT}\" y=\"9\">{unit}</text>");
    let step = (span(proof) / 8.0 / 5.0).ceil().max(1.0) * 5.0;
    let mut at = 0.0;
    while at < span(proof) {
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{}\">{at:.0} s</text>",
            x(proof, at),
            HEIGHT - 6.0
        );
        at += step;
    }
}

fn line(out: &mut String, proof: &Proof, scale: Scale, colour: &str, points: &[(u64, u64)]) {
    let text: Vec<String> = points
        .iter()
        .map(|(second, value)| {
            format!(
                "{:.1},{:.1}",
                x(proof, number(*second) + 0.5),
                scale.y(number(*value))
            )
        })
        .collect();
    let _ = write!(
        out,
        "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" points=\"{}\"/>",
        text.join(" ")
    );
}

fn load(out: &mut String, proof: &Proof) {
    out.push_str("<h2>Requests a second</h2><p class=\"dim\">Blue: answered. Red: not answered. Yellow: an attack, from its beginning until its victim was well again.</p>");
    let top = proof
        .seconds
        .values()
        .map(|it| it.done.max(it.failed))
        .max()
        .unwrap_or(1);
    let seconds = || 0..proof.seconds.keys().last().map_or(0, |last| last + 1);
    let of = |pick: fn(&super::load::Second) -> u64| -> Vec<(u64, u64)> {
        seconds()
            .map(|at| (at, proof.seconds.get(&at).map_or(0, pick)))
            .collect()
    };
    let scale = Scale::even(top);
    frame(out, proof, scale, "a second");
    line(out, proof, scale, "var(--ok)", &of(|it| it.done));
    line(out, proof, scale, "var(--bad)", &of(|it| it.failed));
    out.push_str("</svg>");
}

fn latency(out: &mut String, proof: &Proof) {
    out.push_str("<h2>Time to an answer</h2><p class=\"dim\">Milliseconds, of the requests that were answered in that second, on a scale of powers of ten. Blue: the median. Grey: 95 of 100 took no longer. Red: the slowest.</p>");
    let spreads: Vec<(u64, Spread)> = proof
        .seconds
        .iter()
        .filter_map(|(second, it)| Some((*second, Spread::of(it.ms.clone())?)))
        .collect();
    let top = spreads.iter().map(|(_, spread)| spread.max).max();
    let scale = Scale::powers(top.unwrap_or(1));
    frame(out, proof, scale, "ms");
    let of = |pick: fn(&Spread) -> u64| -> Vec<(u64, u64)> {
        spreads
            .iter()
            .map(|(second, spread)| (*second, pick(spread)))
            .collect()
    };
    line(out, proof, scale, "var(--bad)", &of(|it| it.max));
    line(out, proof, scale, "var(--dim)", &of(|it| it.p95));
    line(out, proof, scale, "var(--ok)", &of(|it| it.median));
    out.push_str("</svg>");
}

fn recovery(out: &mut String, proof: &Proof) {
    out.push_str("<h2>Detected and well again, per fault</h2><p class=\"dim\">Each dot an attack: from the injection until well again. Times in the table in milliseconds.</p>");
    let rows: Vec<_> = proof.faults.iter().collect();
    let height = number(u64::try_from(rows.len()).unwrap_or(0)) * 24.0 + 30.0;
    let worst = proof
        .attacks
        .iter()
        .filter_map(|row| row.well_ms)
        .max()
        .unwrap_or(1);
    let (left, wide) = (120.0, WIDTH - 140.0);
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"recovery times per fault\">"
    );
    for (index, (fault, _)) in rows.iter().enumerate() {
        let middle = number(u64::try_from(index).unwrap_or(0)) * 24.0 + 14.0;
        let _ = write!(
            out,
            "<text x=\"2\" y=\"{}\">{fault}</text><line x1=\"{left}\" y1=\"{middle}\" x2=\"{WIDTH}\" y2=\"{middle}\" stroke=\"var(--line)\"/>",
            middle + 4.0
        );
        for row in proof.attacks.iter().filter(|row| row.fault == **fault) {
            let Some(well) = row.well_ms else { continue };
            let at = left + number(well) / number(worst) * wide;
            let _ = write!(
                out,
                "<circle cx=\"{at:.1}\" cy=\"{middle}\" r=\"4.5\" fill=\"var(--ok)\" fill-opacity=\".7\"><title>{}: {well} ms ({})</title></circle>",
                escape(&row.target),
                row.id
            );
        }
    }
    for quarter in 0..=4_u64 {
        let at = left + number(quarter) / 4.0 * wide;
        let _ = write!(
            out,
            "<line x1=\"{at:.1}\" y1=\"4\" x2=\"{at:.1}\" y2=\"{:.1}\" stroke=\"var(--line)\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            height - 20.0,
            height - 6.0,
            crate::report::seconds(worst * quarter / 4)
        );
    }
    out.push_str("</svg>");
    out.push_str("<table><tr><th>fault<th class=\"n\">attacks<th class=\"n\">detected: median<th class=\"n\">p95<th class=\"n\">max<th class=\"n\">well again: median<th class=\"n\">p95<th class=\"n\">max</tr>");
    for (fault, sums) in rows {
        let _ = write!(out, "<tr><td>{fault}<td class=\"n\">{}", sums.attacks);
        for spread in [sums.detect, sums.recover] {
            match spread {
                Some(it) => {
                    let _ = write!(
                        out,
                        "<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}",
                        it.median, it.p95, it.max
                    );
                }
                None => out.push_str("<td class=\"n\">–<td class=\"n\">–<td class=\"n\">–"),
            }
        }
        out.push_str("</tr>");
    }
    out.push_str("</table>");
}

fn attacks(out: &mut String, proof: &Proof) {
    out.push_str("<h2>Every attack</h2><p class=\"dim\">Milliseconds: found by the healers, ordered, running, healthy; then the whole time as the monkey saw it.</p><div class=\"scroll\"><table><tr><th>id<th class=\"n\">at<th>fault<th>target<th class=\"n\">detected<th class=\"n\">ordered<th class=\"n\">started<th class=\"n\">healthy<th class=\"n\">well again<th>end</tr>");
    let ms = |value: Option<u64>| value.map_or("–".to_owned(), |value| value.to_string());
    for row in &proof.attacks {
        let _ = write!(
            out,
            "<tr><td><code>{}</code><td class=\"n\">{}<td>{}<td>{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"dim\">{}{}</tr>",
            row.id,
            crate::report::seconds(row.at_ms),
            row.fault,
            escape(&row.target),
            ms(row.detect_ms),
            ms(row.order_ms),
            ms(row.start_ms),
            ms(row.healthy_ms),
            ms(row.well_ms),
            escape(&row.end),
            row.healed_by
                .as_ref()
                .map_or(String::new(), |by| format!("; by {}", escape(by)))
        );
    }
    out.push_str("</table></div>");
}

fn requests(out: &mut String, proof: &Proof) {
    out.push_str("<h2>Requests</h2><table><tr><th>kind<th class=\"n\">answered<th class=\"n\">not answered</tr>");
    for kind in super::verdict::KINDS {
        let count =
            |of: &std::collections::BTreeMap<&'static str, u64>| of.get(kind).copied().unwrap_or(0);
        let _ = write!(
            out,
            "<tr><td>{kind}<td class=\"n\">{}<td class=\"n\">{}</tr>",
            count(&proof.done),
            count(&proof.failed)
        );
    }
    out.push_str("</table><p class=\"dim\">Not answered: refused for want of a quorum, or cut off with a node that died. Whether such a write counts is for the judge: it may, or may not, but not both.</p>");
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", number(bytes) / 1_048_576.0)
}

/// For text in HTML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_begin_below_and_end_at_the_top() {
        let even = Scale::even(163);
        assert_eq!(even.marks(), [0.0, 82.0, 163.0]);
        assert!(even.y(0.0) > even.y(82.0) && even.y(82.0) > even.y(163.0));
        let powers = Scale::powers(3406);
        assert_eq!(powers.marks(), [1.0, 10.0, 100.0, 1000.0, 10_000.0]);
        assert!((powers.y(1.0) - even.y(0.0)).abs() < 0.01);
        assert!((powers.y(10_000.0) - even.y(163.0)).abs() < 0.01);
        // Nothing takes less than nothing.
        assert!((powers.y(0.0) - powers.y(1.0)).abs() < 0.01);
    }

    #[test]
    fn text_from_outside_is_no_markup() {
        assert_eq!(escape("<a&\">"), "&lt;a&amp;&quot;&gt;");
    }
}
