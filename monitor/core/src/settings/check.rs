//! Relations between keys: the third of three is computed, and what cannot hold together is said.

use super::error::{Place, Problem};
use super::value::format_duration;
use super::{Bytes, Given, Settings};
use std::collections::BTreeMap;
use std::time::Duration;

/// A heartbeat may be missed twice by bad luck; three in a row is a silence.
const THRESHOLD_MIN: u32 = 3;
/// AMQP carries its heartbeat as a 16-bit number of seconds; more than this notices nothing in time.
const AMQP_HEARTBEAT_MAX: Duration = Duration::from_secs(60);
/// Chunks below this drown in metadata, above it in memory.
const CHUNK_SIZES: (Bytes, Bytes) = (Bytes(64 << 10), Bytes(16 << 20));
/// The most containers of one kind that one engine is asked for.
const COUNT_MAX: u32 = 200;

type GivenKeys = BTreeMap<&'static str, Given>;

/// Computes what follows from what was given. `wrong` keys are left alone: they were reported.
pub(super) fn complete(
    settings: &mut Settings,
    given: &GivenKeys,
    wrong: &[&'static str],
    problems: &mut Vec<Problem>,
) {
    let has = |key: &str| given.contains_key(key);
    let bad = |keys: &[&str]| keys.iter().any(|key| wrong.contains(key));
    if !bad(&["HEARTBEAT_INTERVAL", "DEAD_THRESHOLD", "HEARTBEAT_TIMEOUT"]) {
        heartbeat(settings, given, problems);
    }
    if has("AMQP_HEARTBEAT") && !has("LEASE") && !bad(&["AMQP_HEARTBEAT", "LEASE"]) {
        settings.lease = settings.amqp_heartbeat.mul_f64(1.5);
    }
    let restarts = ["RESTART_WINDOW", "RESTART_LIMIT", "CHAOS_COOLDOWN"];
    if !has("CHAOS_COOLDOWN") && settings.restart_limit > 0 && !bad(&restarts) {
        settings.chaos_cooldown = cooldown_min(settings);
    }
}

fn cooldown_min(settings: &Settings) -> Duration {
    // Whole milliseconds upwards, so that the default never trips over its own check.
    let millis = settings
        .restart_window
        .as_millis()
        .div_ceil(u128::from(settings.restart_limit.max(1)));
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

fn heartbeat(settings: &mut Settings, given: &GivenKeys, problems: &mut Vec<Problem>) {
    let has = |key: &str| given.contains_key(key);
    let (interval, timeout) = (settings.heartbeat_interval, settings.heartbeat_timeout);
    match (
        has("HEARTBEAT_INTERVAL"),
        has("DEAD_THRESHOLD"),
        has("HEARTBEAT_TIMEOUT"),
    ) {
        (false, false, false) => {}
        (_, _, false) => {
            settings.heartbeat_timeout = interval.saturating_mul(settings.dead_threshold);
        }
        (false, _, true) => match timeout.checked_div(settings.dead_threshold) {
            // Below a millisecond the quotient is zero, which the zero check reports.
            Some(quotient) => settings.heartbeat_interval = Duration::from_micros(micros(quotient)),
            None => settings.heartbeat_interval = timeout,
        },
        (true, false, true) => {
            let (whole, rest) = match micros(interval) {
                0 => return,
                divisor => (micros(timeout) / divisor, micros(timeout) % divisor),
            };
            match u32::try_from(whole) {
                Ok(threshold) if rest == 0 => settings.dead_threshold = threshold,
                _ => problems.push(at(
                    given,
                    "HEARTBEAT_TIMEOUT",
                    format!(
                        "{} is no whole multiple of HEARTBEAT_INTERVAL {}; the multiple would be DEAD_THRESHOLD",
                        format_duration(timeout),
                        format_duration(interval)
                    ),
                )),
            }
        }
        (true, true, true) => {
            let product = interval.saturating_mul(settings.dead_threshold);
            if product != timeout {
                problems.push(at(
                    given,
                    "HEARTBEAT_TIMEOUT",
                    format!(
                        "{} is not HEARTBEAT_INTERVAL {} x DEAD_THRESHOLD {} = {}; give any two of the three",
                        format_duration(timeout),
                        format_duration(interval),
                        settings.dead_threshold,
                        format_duration(product)
                    ),
                ));
            }
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A problem at the place where `key` was given, or at its default.
fn at(given: &GivenKeys, key: &str, text: String) -> Problem {
    let place = given.get(key).map_or(&Place::Default, |value| &value.place);
    Problem::new(place, key, text)
}

/// Reports every relation that does not hold, at the first of `keys` that somebody gave.
struct Checker<'a> {
    given: &'a GivenKeys,
    wrong: &'a [&'static str],
    problems: &'a mut Vec<Problem>,
}

impl Checker<'_> {
    fn require(&mut self, holds: bool, keys: &[&'static str], text: impl FnOnce() -> String) {
        if holds || keys.iter().any(|key| self.wrong.contains(key)) {
            return;
        }
        let Some(first) = keys.first() else { return };
        let key = keys
            .iter()
            .find(|key| self.given.contains_key(*key))
            .unwrap_or(first);
        let text = text();
        // The sentence is about the first key; where another one was given, it names both.
        let text = if key == first {
            text
        } else {
            format!("makes {first} wrong, which {text}")
        };
        self.problems.push(at(self.given, key, text));
    }
}

/// Checks single ranges and relations of the completed settings.
pub(super) fn relations(
    settings: &Settings,
    given: &GivenKeys,
    wrong: &[&'static str],
    problems: &mut Vec<Problem>,
) {
    let mut checker = Checker {
        given,
        wrong,
        problems,
    };
    durations(settings, &mut checker);
    counts(settings, &mut checker);
    storage(settings, &mut checker);
    addresses(settings, &mut checker);
    ports(settings, &mut checker);
}

fn durations(settings: &Settings, checker: &mut Checker<'_>) {
    let positive = [
        ("HEARTBEAT_INTERVAL", settings.heartbeat_interval),
        ("LEADER_BEAT_INTERVAL", settings.leader_beat_interval),
        ("LEASE", settings.lease),
        ("ELECTION_TIMEOUT", settings.election_timeout),
        ("PROBE_INTERVAL", settings.probe_interval),
        ("PULSE_TIMEOUT", settings.pulse_timeout),
        ("RESTART_WINDOW", settings.restart_window),
        ("RELEASE_AFTER", settings.release_after),
        ("BACKOFF_MIN", settings.backoff_min),
        ("CHAOS_INTERVAL", settings.chaos_interval),
    ];
    for (key, value) in positive {
        checker.require(!value.is_zero(), &[key], || {
            "is 0; write a duration above 0".to_owned()
        });
    }
    let show = format_duration;
    let amqp = settings.amqp_heartbeat;
    checker.require(
        amqp.subsec_nanos() == 0 && !amqp.is_zero() && amqp <= AMQP_HEARTBEAT_MAX,
        &["AMQP_HEARTBEAT"],
        || {
            format!(
                "is {}; AMQP takes whole seconds, write 1s to {}",
                show(amqp),
                show(AMQP_HEARTBEAT_MAX)
            )
        },
    );
    checker.require(settings.lease < amqp.saturating_mul(2), &["LEASE", "AMQP_HEARTBEAT"], || {
        format!(
            "is {}, but the broker keeps a frozen leader's token only for 2 x AMQP_HEARTBEAT = {}; write less than that",
            show(settings.lease),
            show(amqp.saturating_mul(2))
        )
    });
    checker.require(
        settings.leader_beat_interval.saturating_mul(2) <= settings.lease,
        &["LEADER_BEAT_INTERVAL", "LEASE", "AMQP_HEARTBEAT"],
        || {
            format!(
                "is {}, more than half of LEASE {}; one lost beat would end the office, write half of it or less",
                show(settings.leader_beat_interval),
                show(settings.lease)
            )
        },
    );
    checker.require(
        settings.backoff_min <= settings.backoff_max,
        &["BACKOFF_MIN", "BACKOFF_MAX"],
        || {
            format!(
                "is {}, more than BACKOFF_MAX {}; write less",
                show(settings.backoff_min),
                show(settings.backoff_max)
            )
        },
    );
    checker.require(
        settings.chaos_cooldown >= cooldown_min(settings),
        &["CHAOS_COOLDOWN", "RESTART_WINDOW", "RESTART_LIMIT"],
        || {
            format!(
                "is {}; attacks that often would end in quarantine, write RESTART_WINDOW / RESTART_LIMIT = {} or more",
                show(settings.chaos_cooldown),
                show(cooldown_min(settings))
            )
        },
    );
}

fn counts(settings: &Settings, checker: &mut Checker<'_>) {
    checker.require(
        settings.dead_threshold >= THRESHOLD_MIN,
        &["DEAD_THRESHOLD", "HEARTBEAT_TIMEOUT", "HEARTBEAT_INTERVAL"],
        || {
            format!(
                "is {}: HEARTBEAT_TIMEOUT must be {THRESHOLD_MIN} x HEARTBEAT_INTERVAL or more; write {THRESHOLD_MIN} or more",
                settings.dead_threshold
            )
        },
    );
    let at_least_one = [
        ("RESTART_LIMIT", settings.restart_limit),
        ("CHAOS_MAX_AT_ONCE", settings.chaos_max_at_once),
        ("WRITE_QUORUM", settings.write_quorum),
        ("REPLICATION_FACTOR", settings.replication_factor),
    ];
    for (key, value) in at_least_one {
        checker.require(value > 0, &[key], || "is 0; write 1 or more".to_owned());
    }
    let of_containers = [
        ("HEALERS", settings.healers),
        ("STORAGE_NODES", settings.storage_nodes),
        ("WORKERS", settings.workers),
    ];
    for (key, value) in of_containers {
        let least = u32::from(key == "HEALERS");
        checker.require((least..=COUNT_MAX).contains(&value), &[key], || {
            format!("is {value}; write {least} to {COUNT_MAX}")
        });
    }
}

fn storage(settings: &Settings, checker: &mut Checker<'_>) {
    checker.require(
        settings.write_quorum <= settings.replication_factor,
        &["WRITE_QUORUM", "REPLICATION_FACTOR"],
        || {
            format!(
                "is {}, more than REPLICATION_FACTOR {}; write {} or less",
                settings.write_quorum, settings.replication_factor, settings.replication_factor
            )
        },
    );
    checker.require(
        settings.storage_nodes == 0 || settings.replication_factor <= settings.storage_nodes,
        &["REPLICATION_FACTOR", "STORAGE_NODES"],
        || {
            format!(
                "is {}, more than STORAGE_NODES {}; write {} or less, or add nodes",
                settings.replication_factor, settings.storage_nodes, settings.storage_nodes
            )
        },
    );
    let (least, most) = CHUNK_SIZES;
    checker.require(
        (least..=most).contains(&settings.chunk_size),
        &["CHUNK_SIZE"],
        || format!("is {} bytes; write 64KiB to 16MiB", settings.chunk_size.0),
    );
    checker.require(
        settings.max_object_size >= settings.chunk_size,
        &["MAX_OBJECT_SIZE", "CHUNK_SIZE"],
        || "is smaller than CHUNK_SIZE; write more".to_owned(),
    );
}

fn addresses(settings: &Settings, checker: &mut Checker<'_>) {
    for url in &settings.amqp_urls {
        // The URL itself is not shown: it holds a password.
        checker.require(!url.starts_with("amqps://"), &["AMQP_URLS"], || {
            "asks for TLS, which this build does not speak; write amqp:// and keep the broker on a private network"
                .to_owned()
        });
        checker.require(
            url.starts_with("amqp://") || url.starts_with("amqps://"),
            &["AMQP_URLS"],
            || {
                "holds something that is no amqp:// URL; write amqp://USER:PASSWORD@HOST:5672/%2f"
                    .to_owned()
            },
        );
    }
    let name_ok = |name: &str| {
        name.chars()
            .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.'))
            && name.len() <= 64
    };
    checker.require(
        name_ok(&settings.cluster_name) && !settings.cluster_name.is_empty(),
        &["CLUSTER_NAME"],
        || "must be 1 to 64 letters, digits, '_', '-' and '.'".to_owned(),
    );
    checker.require(
        name_ok(&settings.container_prefix),
        &["CONTAINER_PREFIX"],
        || "may hold letters, digits, '_', '-' and '.', up to 64".to_owned(),
    );
    let name = settings.container_name.as_deref().unwrap_or("x");
    checker.require(
        name.len() <= 128 && name.chars().all(|letter| letter.is_ascii_graphic()),
        &["CONTAINER_NAME"],
        || "must be up to 128 visible characters without blanks".to_owned(),
    );
}

fn ports(settings: &Settings, checker: &mut Checker<'_>) {
    let mut taken: BTreeMap<u32, (&'static str, String)> = BTreeMap::new();
    let ranges = [
        ("CONSOLE_PORT", "console", settings.console_port, None),
        (
            "S3_PORT_BASE",
            "storage-node",
            settings.s3_port_base,
            Some(settings.storage_nodes),
        ),
        (
            "LINE_PORT_BASE",
            "storage-node",
            settings.line_port_base,
            Some(settings.storage_nodes),
        ),
        (
            "WORKER_PORT_BASE",
            "worker",
            settings.worker_port_base,
            Some(settings.workers),
        ),
        (
            "PLAIN_PORT_BASE",
            "plain",
            settings.plain_port_base,
            Some(1),
        ),
        ("AMQP_PORT", "rabbitmq", settings.amqp_port, None),
        (
            "MANAGEMENT_PORT",
            "rabbitmq's management page",
            settings.management_port,
            None,
        ),
    ];
    for (key, who, base, count) in ranges {
        let base = u32::from(base);
        let (first, last) = count.map_or((base, base), |count| {
            (base + 1, base + count.min(COUNT_MAX))
        });
        checker.require(first > 0 && last <= u32::from(u16::MAX), &[key], || {
            format!("leads to port {last}; ports go from 1 to {}", u16::MAX)
        });
        for port in first..=last {
            let name = if count.is_some() {
                format!("{who}-{}", port - base)
            } else {
                who.to_owned()
            };
            if let Some((other_key, other)) = taken.get(&port) {
                checker.require(false, &[key, other_key], || {
                    format!("gives {name} the port {port}, which {other_key} gave to {other}; move one of the two")
                });
                break;
            }
            taken.insert(port, (key, name));
        }
    }
}
