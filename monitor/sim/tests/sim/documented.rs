//! The tables of docs/simulator.md name what exists.

use planaria_sim::{Sabotage, find};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Where tests are written.
const FOLDERS: [&str; 8] = [
    "monitor",
    "model",
    "storage-node",
    "chaos-monkey",
    "console",
    "compose",
    "tests",
    "bench",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The names of all functions of the workspace that stand behind a `#[…test…]`.
fn tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        sources(&Path::new(ROOT).join(folder), &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source is text");
        let mut marked = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[") {
                marked |= line.contains("test");
                continue;
            }
            let line = line.strip_prefix("async ").unwrap_or(line);
            if let (true, Some(rest)) = (marked, line.strip_prefix("fn ")) {
                names.extend(rest.split('(').next().map(str::to_owned));
            }
            marked = marked && line.starts_with("//");
        }
    }
    names
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn documentation() -> String {
    std::fs::read_to_string(Path::new(ROOT).join("docs/simulator.md")).expect("docs/simulator.md")
}

#[test]
fn every_schedule_and_trap_names_what_shows_it() {
    let text = documentation();
    let (_, table) = text
        .split_once("| schedule | shown by |")
        .expect("the table");
    let (table, _) = table.split_once("\n\n").expect("its end");
    let tests = tests();
    let mut rows = Vec::new();
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let (number, shown) = (cells.next().unwrap_or(""), cells.next().unwrap_or(""));
        rows.push(number.to_owned());
        let names: Vec<_> = quoted(shown).collect();
        assert!(!names.is_empty() || shown.starts_with("open: "), "{line}");
        for name in names {
            let exists = find(name).is_some() || tests.contains(name);
            assert!(exists, "schedule {number}: nothing is called {name}");
        }
    }
    let mut all: Vec<String> = (1..=35).map(|number| number.to_string()).collect();
    all.insert(15, "15a".into());
    all.insert(35, "34a".into());
    assert_eq!(rows, all);
}

#[test]
fn every_sabotage_stands_in_the_table_of_invariants() {
    let text = documentation();
    for (sabotage, rule) in Sabotage::ALL {
        let row = text.lines().find(|line| {
            line.contains(&format!("`Rule::{rule:?}`")) && line.contains(&format!("`{sabotage:?}`"))
        });
        assert!(row.is_some(), "no row has {rule:?} and {sabotage:?}");
    }
}
