//! The page as a pure function of what is known. Its regions are replaced live, one by one.

pub mod alerts;
pub mod head;
pub mod incidents;
pub mod members;
pub mod ring;

#[cfg(test)]
pub(crate) mod fixture;

use crate::snapshot::{Known, Regions, Snapshot, sentence};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Renders every region.
#[must_use]
pub fn regions(known: &Known) -> Regions {
    Regions::from([
        ("facts", head::facts(known).into_string()),
        ("ring", ring::ring(known).into_string()),
        ("alerts", alerts::alerts(known).into_string()),
        ("incidents", incidents::incidents(known).into_string()),
        ("members", members::members(known).into_string()),
        ("announce", html! { (sentence(known)) }.into_string()),
        ("freshness", head::freshness(known).into_string()),
    ])
}

/// The whole page, complete without a script too.
#[must_use]
pub fn page(snapshot: &Snapshot) -> Markup {
    let region = |name: &str| PreEscaped(snapshot.regions.get(name).cloned().unwrap_or_default());
    html! {
        (DOCTYPE)
        html lang="en" data-seq=(snapshot.seq) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="dark light";
                title { "Planaria · " (snapshot.known.status.cluster) }
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/assets/app.css";
                script src="/assets/app.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the ring" }
                header {
                    (head::logo())
                    div.title {
                        h1 { "Planaria" }
                        p { "cluster " strong { (snapshot.known.status.cluster) } }
                    }
                    div.tools {
                        p #freshness .freshness { (region("freshness")) }
                        button #theme type="button" { "Light theme" }
                    }
                }
                p #announce .visually-hidden role="status" aria-live="polite" { (region("announce")) }
                main #main tabindex="-1" {
                    section #facts .facts aria-label="Facts" { (region("facts")) }
                    section.panel.ring-panel aria-labelledby="ring-title" {
                        h2 #ring-title { "Ring" }
                        div #ring { (region("ring")) }
                    }
                    div.side {
                        section.panel aria-labelledby="alerts-title" {
                            h2 #alerts-title { "Alerts" }
                            div #alerts { (region("alerts")) }
                        }
                        section.panel aria-labelledby="incidents-title" {
                            h2 #incidents-title { "Incidents" }
                            div #incidents { (region("incidents")) }
                        }
                    }
                    section.panel.members-panel aria-labelledby="members-title" {
                        h2 #members-title { "Members" }
                        div #members { (region("members")) }
                    }
                }
                footer {
                    p {
                        "This page only shows. Who wants to act: " code { "docker exec healer-1 monitor --help" }
                        " · " a href="/api/v1/status" { "status as JSON" }
                        " · " a href="/api/v1/incidents" { "incidents as JSON" }
                        " · " a href="/metrics" { "metrics" }
                    }
                }
            }
        }
    }
}

/// What a browser gets for a path that is not there.
#[must_use]
pub fn not_found(path: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Not here · Planaria" }
                link rel="stylesheet" href="/assets/app.css";
            }
            body {
                main.lost {
                    h1 { "Nothing grows here" }
                    p { "There is no page at " code { (path) } "." }
                    p { a href="/" { "Back to the ring" } }
                }
            }
        }
    }
}

/// `254 ms`, `1.43 s`, `2 min`.
#[must_use]
pub fn span(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{:02} s", ms / 1000, ms % 1000 / 10),
        _ => format!("{} min", ms / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_has_no_inline_code() {
        let snapshot = Snapshot::new(3, fixture::known());
        let text = page(&snapshot).into_string();
        for needle in [
            "id=\"ring\"",
            "healer-3",
            "term",
            "quarantined",
            "data-seq=\"3\"",
            "role=\"img\"",
        ] {
            assert!(text.contains(needle), "{needle}");
        }
        // The content security policy forbids both.
        assert!(!text.contains(" style=") && !text.contains("<style") && !text.contains("onclick"));
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/console-page");
        std::fs::create_dir_all(&dir).unwrap();
        // To look at it: with the assets beside it and the addresses made relative.
        for asset in ["app.css", "app.js", "icon.svg"] {
            let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("assets")
                .join(asset);
            std::fs::copy(from, dir.join(asset)).unwrap();
        }
        std::fs::write(dir.join("index.html"), text.replace("/assets/", "")).unwrap();
    }

    #[test]
    fn what_comes_from_outside_is_escaped() {
        let mut known = fixture::known();
        known.status.alerts[0].text = "<script>alert(1)</script>".to_owned();
        known.status.incidents[0].evidence = "<img src=x>".to_owned();
        let text = page(&Snapshot::new(1, known)).into_string();
        assert!(!text.contains("<script>alert") && !text.contains("<img"));
        assert!(!not_found("/<b>").into_string().contains("<b>"));
    }

    #[test]
    fn an_empty_group_is_said_so() {
        let mut known = fixture::known();
        known.status.members.clear();
        known.status.incidents.clear();
        known.status.alerts.clear();
        known.status.leader = None;
        let text = page(&Snapshot::new(1, known)).into_string();
        for needle in ["Nobody was heard yet", "No incident", "All quiet"] {
            assert!(text.contains(needle), "{needle}");
        }
    }

    #[test]
    fn spans_are_short() {
        assert_eq!(
            [span(254), span(1434), span(130_000)],
            ["254 ms", "1.43 s", "2 min"]
        );
    }
}
