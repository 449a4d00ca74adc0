use super::*;
use std::sync::Arc;

fn snapshot(known: Known) -> Snapshot {
    Snapshot::new(3, known, Arc::new(fixture::board()))
}

fn all_views(snapshot: &Snapshot) -> Vec<(String, String)> {
    let frame = Frame {
        snapshot,
        session: Some(("operator", "c5rf")),
    };
    let mut views: Vec<(String, String)> = [
        View::Overview,
        View::Incidents,
        View::Alerts,
        View::Storage,
        View::Chaos,
        View::Member("worker-1".to_owned()),
    ]
    .iter()
    .map(|view| (view.name().to_owned(), frame.view(view).into_string()))
    .collect();
    let told = &snapshot.board.incidents[0];
    views.push(("incident".to_owned(), frame.incident(told).into_string()));
    let line = Line {
        at_ms: 5,
        who: "<b>".to_owned(),
        act: "heal".to_owned(),
        target: "x".to_owned(),
        accepted: true,
        text: "done".to_owned(),
    };
    views.push((
        "account".to_owned(),
        frame.account(&[], &[line]).into_string(),
    ));
    views.push(("lost".to_owned(), frame.lost("/<b>").into_string()));
    views
}

#[test]
fn every_view_is_whole_and_has_no_inline_code() {
    let snapshot = snapshot(fixture::known());
    for (name, text) in all_views(&snapshot) {
        for needle in ["<main", "<nav", "<h1", "id=\"freshness\"", "</html>"] {
            assert!(text.contains(needle), "{name}: {needle}");
        }
        // The content security policy forbids these.
        assert!(
            !text.contains(" style=") && !text.contains("<style") && !text.contains("onclick"),
            "{name}"
        );
        assert!(!text.contains("<b>"), "{name}");
        assert!(text.len() < 90_000, "{name} has {} bytes", text.len());
        to_look_at(&name, &text);
    }
}

/// The pages of the fixture under target/, with the assets beside them and the addresses made relative.
fn to_look_at(name: &str, text: &str) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("../target/console-page");
    std::fs::create_dir_all(&folder).unwrap();
    for asset in ["app.css", "app.js", "theme.js", "icon.svg"] {
        std::fs::copy(root.join("assets").join(asset), folder.join(asset)).unwrap();
    }
    std::fs::write(
        folder.join(format!("{name}.html")),
        text.replace("/assets/", ""),
    )
    .unwrap();
}

#[test]
fn storage_has_zones_buckets_and_how_far_the_scrub_is() {
    let snapshot = snapshot(fixture::known());
    let frame = Frame {
        snapshot: &snapshot,
        session: None,
    };
    let storage = frame.view(&View::Storage).into_string();
    for needle in [
        "<bdi>north</bdi>",
        "<bdi>south</bdi>",
        "Buckets</p><p class=\"fact-value\">3<",
        "aria-label=\"storage-node-1: scrub\"></meter> 75 %, 2 rounds done",
    ] {
        assert!(storage.contains(needle), "{needle}: {storage}");
    }
    let overview = frame.view(&View::Overview).into_string();
    for zone in ["zone north", "zone south"] {
        assert!(
            overview.contains(&format!("<title>{zone}</title>")),
            "{zone}"
        );
    }
}

#[test]
fn all_that_a_browser_loads_is_small() {
    let assets = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let loaded: u64 = ["app.css", "app.js", "theme.js", "icon.svg"]
        .iter()
        .map(|name| std::fs::metadata(assets.join(name)).unwrap().len())
        .sum();
    let snapshot = snapshot(fixture::known());
    let page = u64::try_from(all_views(&snapshot)[0].1.len()).unwrap();
    assert!(loaded + page < 150_000, "{loaded} + {page}");
}

#[test]
fn what_comes_from_outside_is_escaped_everywhere() {
    let evil = "<img src=x>\u{202e}gnp.exe\"' onload=";
    let mut known = fixture::known();
    for member in &mut known.status.members {
        member.why = evil.to_owned();
    }
    known.status.cluster = evil.to_owned();
    known.status.leader_why = evil.to_owned();
    let mut board = fixture::board();
    for told in &mut board.incidents {
        told.incident.name = evil.to_owned();
        told.incident.id = evil.to_owned();
        told.incident.evidence = evil.repeat(2000);
        told.incident.notes.insert(evil.to_owned(), evil.to_owned());
    }
    for alert in &mut board.alerts {
        alert.name = Some(evil.to_owned());
        alert.text = evil.to_owned();
        alert.tell(1, evil, "note", evil);
    }
    for attack in &mut board.attacks {
        attack.id = evil.to_owned();
        attack.target = evil.to_owned();
    }
    let snapshot = Snapshot::new(1, known, Arc::new(board));
    for (name, text) in all_views(&snapshot) {
        assert!(!text.contains("<img"), "{name}");
        assert!(!text.contains("\"' onload"), "{name}");
        assert!(text.len() < 600_000, "{name}: {}", text.len());
    }
}

#[test]
fn an_empty_group_is_said_so() {
    let mut known = fixture::known();
    known.status.members.clear();
    known.status.leader = None;
    let snapshot = Snapshot::new(1, known, Arc::new(Board::default()));
    let frame = Frame {
        snapshot: &snapshot,
        session: None,
    };
    let text = frame.view(&View::Overview).into_string();
    for needle in ["Nobody was heard yet", "No incident", "All quiet", "Log in"] {
        assert!(text.contains(needle), "{needle}");
    }
    assert!(
        frame
            .view(&View::Storage)
            .into_string()
            .contains("No storage node")
    );
    assert!(
        frame
            .view(&View::Member("x".to_owned()))
            .into_string()
            .contains("not known")
    );
}

#[test]
fn spans_dates_and_sizes_are_short() {
    assert_eq!(
        [span(254), span(1434), span(130_000), span(9_000_000)],
        ["254 ms", "1.43 s", "2 min", "2 h"]
    );
    assert_eq!(iso(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    assert_eq!(iso(951_782_400_000), "2000-02-29T00:00:00.000Z");
    assert_eq!(
        [bytes(5), bytes(3 << 20), bytes(5 << 29)],
        ["5 B", "3 MiB", "2.5 GiB"]
    );
    assert_eq!(segment("a b/<é"), "a%20b%2F%3C%C3%A9");
}
