//! The table of docs/operations.md, "Which deaths are healed": policies by ways to end, on real containers.
//! Its columns for restarts of the engine are in planaria-core's `policies` tests.

use crate::world::{World, wait};
use std::collections::BTreeMap;

/// A row: its name, the options of `docker run`, and whether a column is healed.
type Row = (&'static str, &'static [&'static str], [bool; 5]);

const COLUMNS: [&str; 5] = ["exit 0", "exit not 0", "kill", "OOM", "stop"];

const ROWS: [Row; 8] = [
    ("inherit, Docker no", &[], [false, true, true, true, false]),
    (
        "inherit, Docker on-failure",
        &["--restart", "on-failure"],
        [false, true, true, true, false],
    ),
    (
        "inherit, Docker unless-stopped",
        &["--restart", "unless-stopped"],
        [true, true, true, true, false],
    ),
    (
        "inherit, Docker always",
        &["--restart", "always"],
        [true, true, true, true, false],
    ),
    (
        "always",
        &["--label", "planaria.policy=always"],
        [true, true, true, true, false],
    ),
    (
        "unless-stopped",
        &["--label", "planaria.policy=unless-stopped"],
        [true, true, true, true, false],
    ),
    (
        "on-failure",
        &["--label", "planaria.policy=on-failure"],
        [false, true, true, true, false],
    ),
    (
        "no",
        &["--label", "planaria.policy=no"],
        [false, false, false, false, false],
    ),
];

/// Ends in its own way in its first life, and stays in the second.
const PROGRAM: &str = "
test -e /ran && exec sleep infinity
touch /ran
while ! test -e /t/$1; do sleep 0.2; done
case $1 in 0) exit 0 ;; 1) exit 3 ;; oom) exec tail /dev/zero ;; esac
sleep infinity";

#[test]
fn which_deaths_are_healed() {
    let world = World::new("table");
    let folder = tempfile::tempdir().unwrap();
    let triggers = format!("{}:/t:ro", folder.path().display());
    let mut cells = BTreeMap::new();
    for (row, (title, options, heals)) in ROWS.iter().enumerate() {
        for (column, healed) in heals.iter().enumerate() {
            let word = ["0", "1", "kill", "oom", "stop"][column];
            let common = [
                "--init",
                "--network",
                "none",
                "--memory",
                "32m",
                "--memory-swap",
                "32m",
                "--volume",
                &triggers,
            ];
            let all = [&common[..], options].concat();
            let name = world.run(
                &format!("{row}-{word}"),
                &all,
                &["sh", "-c", PROGRAM, "sh", word],
            );
            let started = world.engine.started(&name);
            cells.insert(
                name,
                (format!("{title} x {}", COLUMNS[column]), *healed, started),
            );
        }
    }
    let canary = world.sleeper("canary", &["--network", "none"]);
    let watcher = world.watcher(&[]);
    watcher.wait_for_line("Watching 41 of");
    // From its start the event stream is older than any stop-timeout then: a death is judged at once.
    for word in ["0", "1", "oom"] {
        std::fs::write(folder.path().join(word), "").unwrap();
    }
    let of = |word: &str| -> Vec<&str> {
        let end = format!("-{word}");
        cells
            .keys()
            .filter(|name| name.ends_with(&end))
            .map(String::as_str)
            .collect()
    };
    world.engine.docker(&[&["kill"][..], &of("kill")].concat());
    world
        .engine
        .docker(&[&["stop", "--time", "5"][..], &of("stop")].concat());
    for (name, (cell, healed, started)) in &cells {
        if *healed {
            wait(&format!("{cell}: healed"), || {
                world.engine.runs(name) && world.engine.started(name) != *started
            });
        }
    }
    // What is not healed by now, while a later death is healed, stays.
    let old = world.engine.started(&canary);
    world.engine.docker(&["kill", &canary]);
    world.engine.wait_for_new_life(&canary, &old);
    watcher.wait_for_line(&format!("Peer {canary} came back"));
    for (name, (cell, healed, started)) in &cells {
        if !healed {
            wait(&format!("{cell}: ended"), || !world.engine.runs(name));
            assert_eq!(world.engine.started(name), *started, "{cell}");
        }
    }
}
