//! The text of `config.ini`, made from the table, so that the two cannot drift apart.

use super::keys::KEYS;
use std::fmt::Write as _;

/// What most people come to change: these lines stand there live, all others as comments.
const LIVE: &[&str] = &[
    "CLUSTER_NAME",
    "HEARTBEAT_INTERVAL",
    "DEAD_THRESHOLD",
    "RESTART_LIMIT",
    "RESTART_WINDOW",
    "STORAGE_NODES",
    "REPLICATION_FACTOR",
    "WRITE_QUORUM",
    "CHAOS_ENABLED",
    "CHAOS_INTERVAL",
    "CHAOS_FAULTS",
    "LOG_LEVEL",
    "HEALERS",
    "WORKERS",
];

const HEAD: &str = "\
# Planaria's settings: every key with its meaning and default.
#
# Write KEY = value or KEY: value. Durations: 30, 30s, 500ms, 5m (a plain number is seconds). Sizes: 64KiB,
# 1MiB. Yes and no: true, yes, on, 1 and false, no, off, 0. The environment overrides this file with
# PLANARIA_<KEY>. A line that begins with '# KEY' shows a default; remove the '#' to change it.
# `make docker-compose-up` carries changes into the running stack.
";

/// `config.ini` with every key, its documentation and its default.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "\n[{section}]");
            if let Some(note) = note(section) {
                let _ = writeln!(text, "# {note}");
            }
        }
        for line in key.doc.lines() {
            let _ = writeln!(text, "# {}", line.trim());
        }
        let mark = if LIVE.contains(&key.name) { "" } else { "# " };
        let line = format!("{mark}{} = {}", key.name, key.default);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn note(section: &str) -> Option<&'static str> {
    match section {
        "stack" => Some("What scripts/generate-compose makes of it."),
        "process" => {
            Some("The generated stack sets these itself; here they are for programs run by hand.")
        }
        _ => None,
    }
}
