//! The names of events are an interface: whoever filters logs by them must hear of a change.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::Path;

const COMPONENTS: [(&str, &str); 4] = [
    ("Monitor", "monitor/src"),
    ("Storage node", "storage-node/src"),
    ("Chaos monkey", "chaos-monkey/src"),
    ("Console", "console/src"),
];

/// What stands between the two marks, each time.
fn between<'a>(text: &'a str, open: &'a str, close: char) -> impl Iterator<Item = String> + 'a {
    text.split(open)
        .skip(1)
        .filter_map(move |rest| Some(rest.split_once(close)?.0.to_owned()))
}

fn in_source(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            in_source(&path, names);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            names.extend(between(&text, "event = \"", '"'));
        }
    }
}

#[test]
fn each_name_stands_in_the_page_and_each_of_the_page_in_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = std::fs::read_to_string(root.join("docs/events.md")).unwrap();
    for (title, folder) in COMPONENTS {
        let mut used = BTreeSet::new();
        in_source(&root.join(folder), &mut used);
        let part = page.split_once(&format!("## {title}\n")).unwrap().1;
        let part = part.split("\n## ").next().unwrap();
        let mut told = BTreeSet::new();
        let mut names = part.split('`').skip(1).step_by(2);
        told.extend(names.by_ref().map(str::to_owned));
        assert!(used.len() > 5, "{folder}: {used:?}");
        assert_eq!(told, used, "docs/events.md, {title}");
    }
}
