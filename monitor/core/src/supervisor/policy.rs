//! What labels say: whose patient a container is, and what may be done for it.

use crate::engine::{Container, Health, OutsideProbe, RestartPolicy};
use crate::id::MemberName;
use crate::message::RestartReason;
use crate::node::{NodeConfig, Role};
use crate::settings::ElectionCandidates;
use std::collections::BTreeMap;
use std::time::Duration;

/// Compose writes the project's name here.
pub(super) const PROJECT: &str = "com.docker.compose.project";
const ONEOFF: &str = "com.docker.compose.oneoff";
const COMPOSE_DEPENDS: &str = "com.docker.compose.depends_on";
const SERVICE: &str = "com.docker.compose.service";
/// A longer grace than this is a slip of the pen; the engine's own limit is no lower.
const STOP_TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// Failures while a program is on its way up are none; it has its first success long before, or is slow.
const START_PERIOD: Duration = Duration::from_secs(30);
/// Longer than any address that a person writes.
const WEBHOOK_MAX: usize = 2048;
const PROBE_PATH_MAX: usize = 1024;

/// When a death is healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heal {
    /// Every end that is not a person's will, also unwitnessed ones.
    Always,
    /// Every witnessed death.
    Deaths,
    /// Deaths with a code other than zero.
    Failures,
    /// Kill, memory, and codes other than zero, never a zero.
    FailuresAndKills,
    /// Nothing: report only.
    Nothing,
}

impl Heal {
    pub(crate) fn covers(self, reason: RestartReason) -> bool {
        match self {
            Self::Always | Self::Deaths => true,
            Self::Failures | Self::FailuresAndKills => reason != RestartReason::Ended,
            Self::Nothing => false,
        }
    }
}

/// What is done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Heal it.
    Restart,
    /// What runs and is sick is ended and left down; what is down stays down.
    Stop,
    /// An alert, no more.
    Notify,
    /// Nothing at all.
    Watch,
}

/// What a container's labels ask for; only for those that are patients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Care {
    pub(crate) heal: Heal,
    pub(crate) action: Action,
    /// It is the group's broker: the one exception of rule 2.
    pub(crate) broker: bool,
    pub(crate) healer: bool,
    pub(crate) unpause: bool,
    pub(crate) held: bool,
    /// Only what runs is healed: the dead and the paused are left to others.
    pub(crate) only_running: bool,
    pub(crate) stop_timeout: Duration,
    pub(crate) limit: u32,
    pub(crate) depends_on: Vec<String>,
    /// Where its healings are told besides.
    pub(crate) webhook: Option<String>,
    pub(crate) recreate: bool,
    pub(crate) probe: Option<OutsideProbe>,
    /// Failed probes before the first good one do not count for so long after a start.
    pub(crate) start_period: Duration,
}

pub(super) fn label<'a>(labels: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    labels
        .get(name)
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn flag(labels: &BTreeMap<String, String>, name: &str) -> Option<bool> {
    label(labels, name).and_then(truth)
}

fn seconds(text: &str) -> Option<Duration> {
    let text = text.strip_suffix('s').unwrap_or(text);
    let span = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
    (span <= STOP_TIMEOUT_MAX).then_some(span)
}

/// A healer, by its labels.
fn is_healer(container: &Container, config: &NodeConfig) -> bool {
    let all = config.candidates == ElectionCandidates::All && container.member.is_some();
    flag(&container.labels, "planaria.healer")
        .unwrap_or(all || label(&container.labels, "planaria.role") == Some("healer"))
}

/// `docker compose up --force-recreate` renames the old one to `<id>_NAME` meanwhile.
fn being_recreated(container: &Container) -> bool {
    container.name.split_once('_').is_some_and(|(prefix, _)| {
        prefix.len() >= 12 && container.id.as_str().starts_with(prefix)
            || prefix.len() == 12 && prefix.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// What is to be cared for in this container; `None`: it is nobody's patient here.
pub(crate) fn care(
    container: &Container,
    config: &NodeConfig,
    project: Option<&str>,
) -> Option<Care> {
    let labels = &container.labels;
    if flag(labels, ONEOFF) == Some(true)
        || being_recreated(container)
        || flag(labels, "planaria.enable") == Some(false)
    {
        return None;
    }
    let enabled = flag(labels, "planaria.enable") == Some(true);
    let wanted = if config.role == Role::Solo {
        // A group's own containers are the group's to heal.
        let grouped = label(labels, "planaria.group").is_some() || container.member.is_some();
        (enabled && !grouped) || autoheal(container, config)
    } else {
        let ours = label(labels, "planaria.group").is_none_or(|group| group == config.cluster);
        let neighbour = match (project, label(labels, PROJECT)) {
            (Some(own), Some(its)) => own != its,
            _ => false,
        };
        enabled && ours && !neighbour
    };
    wanted.then(|| read(container, config))
}

/// Whether docker-autoheal's labels and variables name it.
fn autoheal(container: &Container, config: &NodeConfig) -> bool {
    let labels = &container.labels;
    if config.autoheal.exclude.contains(&container.name) {
        return false;
    }
    let monitored = flag(labels, "autoheal.monitor.enable");
    if flag(labels, "autoheal") == Some(false) || monitored == Some(false) {
        return false;
    }
    let name = config.autoheal_label.as_str();
    let all = config.autoheal.all || name.eq_ignore_ascii_case("all");
    let named = match name.split_once('=') {
        Some((name, value)) => label(labels, name) == Some(value),
        None => flag(labels, name) == Some(true),
    };
    named || monitored == Some(true) || all && container.health.is_some()
}

fn read(container: &Container, config: &NodeConfig) -> Care {
    let labels = &container.labels;
    let action = label(labels, "planaria.action").or_else(|| label(labels, "autoheal.action"));
    let mut action = match action {
        Some("notify") => Action::Notify,
        Some("stop") => Action::Stop,
        Some("none") => Action::Watch,
        _ => Action::Restart,
    };
    if flag(labels, "autoheal.restart.enable") == Some(false) {
        action = Action::Notify;
    }
    let stop_timeout = ["planaria.stop-timeout", "autoheal.stop.timeout"]
        .iter()
        .find_map(|name| label(labels, name).and_then(seconds))
        .or(config.autoheal.stop_timeout)
        .unwrap_or(container.stop_timeout);
    let enabled = flag(labels, "planaria.enable") == Some(true);
    Care {
        heal: heal(label(labels, "planaria.policy"), container.restart_policy),
        action,
        broker: label(labels, "planaria.role") == Some("broker"),
        healer: is_healer(container, config),
        unpause: config.role != Role::Solo || flag(labels, "planaria.unpause") == Some(true),
        held: flag(labels, "planaria.hold") == Some(true),
        only_running: config.autoheal.only_running && !enabled,
        stop_timeout,
        limit: label(labels, "planaria.restart-limit")
            .and_then(|text| text.parse().ok())
            .unwrap_or(config.restart_limit),
        depends_on: depends_on(labels),
        webhook: label(labels, "planaria.webhook")
            .filter(|url| url.len() <= WEBHOOK_MAX)
            .map(str::to_owned),
        recreate: flag(labels, "planaria.recreate") == Some(true),
        // The image's own health check knows better.
        probe: label(labels, "planaria.probe")
            .filter(|_| container.health.is_none())
            .and_then(outside_probe),
        start_period: label(labels, "planaria.start-period")
            .and_then(seconds)
            .unwrap_or(START_PERIOD),
    }
}

/// `tcp:6379`, `http://:8080/health`. The container is asked at its own address, so that a host in the
/// label would only mislead: there must be none.
fn outside_probe(text: &str) -> Option<OutsideProbe> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    if let Some(rest) = text.strip_prefix("tcp:") {
        let rest = rest.strip_prefix("//:").unwrap_or(rest);
        return Some(OutsideProbe::Tcp { port: port(rest)? });
    }
    let rest = text.strip_prefix("http://:")?;
    let (number, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let plain = path.len() <= PROBE_PATH_MAX && path.bytes().all(|b| b.is_ascii_graphic());
    plain.then_some(OutsideProbe::Http {
        port: port(number)?,
        path: path.to_owned(),
    })
}

fn heal(policy: Option<&str>, own: RestartPolicy) -> Heal {
    match policy {
        Some("always") => Heal::Always,
        Some("unless-stopped") => Heal::Deaths,
        Some("no") => Heal::Nothing,
        Some(text) if text.starts_with("on-failure") => Heal::Failures,
        _ => match own {
            RestartPolicy::Always => Heal::Always,
            RestartPolicy::UnlessStopped => Heal::Deaths,
            RestartPolicy::OnFailure(_) => Heal::Failures,
            RestartPolicy::No => Heal::FailuresAndKills,
        },
    }
}

fn depends_on(labels: &BTreeMap<String, String>) -> Vec<String> {
    let (text, own) = match label(labels, "planaria.depends-on") {
        Some(text) => (text, true),
        None => (label(labels, COMPOSE_DEPENDS).unwrap_or_default(), false),
    };
    text.split(',')
        .map(|entry| {
            let entry = entry.trim();
            // Compose writes `service:condition:restart`.
            if own {
                entry
            } else {
                entry.split(':').next().unwrap_or(entry)
            }
        })
        .filter(|entry| !entry.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Whether `name` (of a label) means this container: by its name, its member name or its service.
pub(super) fn is_called(container: &Container, name: &str) -> bool {
    container.name == name
        || container
            .member
            .as_ref()
            .is_some_and(|member| member.as_str() == name)
        || label(&container.labels, SERVICE) == Some(name)
}

/// The name under which people know it.
pub(super) fn title(container: &Container) -> Option<MemberName> {
    container
        .member
        .clone()
        .or_else(|| MemberName::new(container.name.clone()).ok())
}

/// Docker's own policy would bring it back when the engine starts.
pub(super) fn engine_brings_back(container: &Container) -> bool {
    match container.restart_policy {
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::OnFailure(_) => container.exit_code != 0,
        RestartPolicy::No => false,
    }
}

/// Neither unhealthy nor on its way to a verdict.
pub(super) fn is_well(container: &Container) -> bool {
    matches!(container.health, None | Some(Health::Healthy))
}
