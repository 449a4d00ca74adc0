//! What people see.

use super::text;
use planaria_storage::peer::NodeStatus;
use serde_json::Value;

/// Prints a line; a reader that has gone is no error of ours.
macro_rules! say {
    ($($piece:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($piece)*);
    }};
}
pub(super) use say;

pub(super) fn print_layout(value: &Value) {
    say!("layout {}, {} chunks owed", value["version"], value["owed"]);
    for node in value["nodes"].as_array().into_iter().flatten() {
        let mut words = Vec::new();
        for word in ["draining", "away"] {
            if node[word] == true {
                words.push(word);
            }
        }
        if node["voter"] == false {
            words.push("learns");
        }
        say!(
            "  {} {} zone {:?}, {} chunks, {} MiB {}",
            text(node, "name"),
            text(node, "disk"),
            text(node, "zone"),
            node["chunks"],
            node["bytes"].as_u64().unwrap_or(0) >> 20,
            words.join(", ")
        );
    }
}

pub(super) fn print_status(status: &NodeStatus) {
    let sync = if status.in_sync {
        "in sync"
    } else {
        "not in sync"
    };
    say!(
        "{}: {}, {sync}, disk {} (start {})",
        status.name,
        status.role,
        status.disk,
        status.boot
    );
    say!(
        "leader {} (term {}), applied {}, layout {}",
        status.leader.as_deref().unwrap_or("none"),
        status.term,
        status.applied,
        status.layout
    );
    say!(
        "chunks of the cluster: {} healthy, {} degraded, {} lost; {} being repaired here",
        status.healthy,
        status.degraded,
        status.lost,
        status.repairing
    );
    say!(
        "{} chunks here, {} MiB in segments of {} MiB, {} MiB free{}{}",
        status.chunks,
        status.chunk_bytes >> 20,
        status.segment_bytes >> 20,
        status.disk_free >> 20,
        if status.disk_full { ", FULL" } else { "" },
        if status.disk_slow { ", SLOW" } else { "" }
    );
    for node in &status.nodes {
        let votes = if node.voter { "votes" } else { "learns" };
        let there = if node.reachable {
            "reachable"
        } else {
            "not reachable"
        };
        let away = if node.away { ", placed around" } else { "" };
        let draining = if node.draining { ", being emptied" } else { "" };
        say!(
            "  {} {} {votes}, {there}{away}{draining}, disk {}",
            node.name,
            node.addr,
            node.disk
        );
    }
    for worker in &status.workers {
        let error = worker.last_error.as_deref().unwrap_or_default();
        say!(
            "  worker {}: {} {} {error}",
            worker.name,
            worker.state,
            worker.progress
        );
    }
}
