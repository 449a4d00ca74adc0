//! The monitor inside the node: its pulse, what makes it ready, and its numbers.

use crate::node::Node;
use anyhow::Context;
use planaria_monitor::prometheus_client::metrics::counter::Counter;
use planaria_monitor::prometheus_client::metrics::family::Family;
use planaria_monitor::prometheus_client::metrics::gauge::Gauge;
use planaria_monitor::{Config, Monitor, Settings};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::sleep;

/// How often the pulse beats and the numbers are taken: several times within any deadline that
/// the settings allow.
const BEAT: Duration = Duration::from_millis(500);

type ByState = Family<Vec<(String, String)>, Gauge>;

#[derive(Clone, Default)]
struct Numbers {
    chunks: ByState,
    queue: Gauge,
    free: Gauge,
    bytes: Gauge,
    in_sync: Gauge,
    zone: ByState,
    buckets: Gauge,
    scrub_at: Gauge,
    scrubs: Counter,
    scrubbed: Counter,
}

/// Starts the monitor for this node, on its own thread; and its pulse, on this runtime.
///
/// # Errors
/// When the settings name no usable member, or no thread can be had.
pub fn start(settings: Settings, node: &Arc<Node>) -> anyhow::Result<Monitor> {
    let config = Config::from_settings(settings).context("the monitor cannot be configured")?;
    let monitor = Monitor::start(config).context("the monitor cannot be started")?;
    let weak = Arc::downgrade(node);
    monitor.add_readiness("storage", move || match weak.upgrade() {
        Some(node) => node.ready(),
        None => Err("the node has stopped".to_owned()),
    });
    let numbers = Numbers::default();
    let shown = numbers.clone();
    let durations = node.durations();
    monitor.add_metrics(move |registry| {
        registry.register(
            "chunks",
            "Chunks on this disk (stored), and those of the cluster by their state",
            shown.chunks,
        );
        registry.register(
            "s3_request_duration_seconds",
            "Time until the answer to an S3 request began",
            durations,
        );
        registry.register(
            "repair_queue_chunks",
            "Chunks that lack copies",
            shown.queue,
        );
        registry.register(
            "disk_free_bytes",
            "Free bytes for user data and reserve",
            shown.free,
        );
        registry.register(
            "disk_chunk_bytes",
            "Bytes of chunks on this disk",
            shown.bytes,
        );
        registry.register(
            "storage_in_sync",
            "Whether this node lacks nothing",
            shown.in_sync,
        );
        registry.register(
            "storage_zone",
            "1 for the zone that this node shares its fate with, where it has one",
            shown.zone,
        );
        registry.register(
            "buckets",
            "Buckets of the cluster, as far as this node knows",
            shown.buckets,
        );
        registry.register(
            "scrub_at_chunks",
            "Chunks of this disk that the scrub under way has read; of planaria_chunks{state=\"stored\"}",
            shown.scrub_at,
        );
        registry.register(
            "scrubs",
            "Scrubs of this whole disk that have ended since the start",
            shown.scrubs,
        );
        registry.register(
            "scrubbed_chunks",
            "Chunks that scrubs have read back since the start",
            shown.scrubbed,
        );
    });
    tokio::spawn(beat(monitor.clone(), Arc::downgrade(node), numbers));
    Ok(monitor)
}

async fn beat(monitor: Monitor, node: Weak<Node>, numbers: Numbers) {
    let state = |name: &str| vec![("state".to_owned(), name.to_owned())];
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    while let Some(node) = node.upgrade() {
        monitor.pulse();
        let status = node.status();
        numbers.scrub_at.set(signed(node.scrub_at()));
        if let Some(buckets) = node.buckets() {
            numbers
                .buckets
                .set(i64::try_from(buckets).unwrap_or(i64::MAX));
        }
        drop(node);
        raise(&numbers.scrubs, status.scrubs);
        raise(&numbers.scrubbed, status.scrubbed);
        let own = status.nodes.iter().find(|line| line.name == status.name);
        // A node that moved is in one zone only.
        numbers.zone.clear();
        if let Some(line) = own.filter(|line| !line.zone.is_empty()) {
            let zone = vec![("zone".to_owned(), line.zone.clone())];
            numbers.zone.get_or_create(&zone).set(1);
        }
        for (name, count) in [
            ("stored", status.chunks),
            ("owed", status.owed),
            ("healthy", status.healthy),
            ("degraded", status.degraded),
            ("lost", status.lost),
            ("repairing", status.repairing),
        ] {
            numbers
                .chunks
                .get_or_create(&state(name))
                .set(signed(count));
        }
        numbers.queue.set(signed(status.owed));
        numbers.free.set(signed(status.disk_free));
        numbers.bytes.set(signed(status.chunk_bytes));
        numbers.in_sync.set(i64::from(status.in_sync));
        sleep(BEAT).await;
    }
}

/// What is counted elsewhere only grows.
fn raise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}
