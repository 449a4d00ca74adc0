//! What labels say: whose patient a container is, and what may be done for it.

use crate::engine::{Container, Health, RestartPolicy};
use crate::id::MemberName;
use crate::message::RestartReason;
use crate::node::{NodeConfig, Role};
use std::collections::BTreeMap;
use std::time::Duration;

/// Compose writes the project's name here.
pub(super) const PROJECT: &str = "com.docker.compose.project";
const ONEOFF: &str = "com.docker.compose.oneoff";
const COMPOSE_DEPENDS: &str = "com.docker.compose.depends_on";
const SERVICE: &str = "com.docker.compose.service";
/// A longer grace than this is a slip of the pen; the engine's own limit is no lower.
const STOP_TIMEOUT_MAX: Duration = Duration::from_secs(600);

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
    pub(crate) stop_timeout: Duration,
    pub(crate) limit: u32,
    pub(crate) depends_on: Vec<String>,
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
pub(super) fn is_healer(container: &Container) -> bool {
    flag(&container.labels, "planaria.healer").unwrap_or(false)
        || label(&container.labels, "planaria.role") == Some("healer")
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
        (enabled && !grouped) || autoheal(container, &config.autoheal_label)
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

fn autoheal(container: &Container, name: &str) -> bool {
    let own = flag(&container.labels, name);
    if name.eq_ignore_ascii_case("all") {
        return container.health.is_some() && flag(&container.labels, "autoheal") != Some(false);
    }
    own == Some(true) || flag(&container.labels, "autoheal.monitor.enable") == Some(true)
}

fn read(container: &Container, config: &NodeConfig) -> Care {
    let labels = &container.labels;
    let action = label(labels, "planaria.action").or_else(|| label(labels, "autoheal.action"));
    let mut action = match action {
        Some("notify" | "stop") => Action::Notify,
        Some("none") => Action::Watch,
        _ => Action::Restart,
    };
    if flag(labels, "autoheal.restart.enable") == Some(false) {
        action = Action::Notify;
    }
    let stop_timeout = ["planaria.stop-timeout", "autoheal.stop.timeout"]
        .iter()
        .find_map(|name| label(labels, name).and_then(seconds))
        .unwrap_or(container.stop_timeout);
    Care {
        heal: heal(label(labels, "planaria.policy"), container.restart_policy),
        action,
        broker: label(labels, "planaria.role") == Some("broker"),
        healer: is_healer(container),
        unpause: config.role != Role::Solo || flag(labels, "planaria.unpause") == Some(true),
        held: flag(labels, "planaria.hold") == Some(true),
        stop_timeout,
        limit: label(labels, "planaria.restart-limit")
            .and_then(|text| text.parse().ok())
            .unwrap_or(config.restart_limit),
        depends_on: depends_on(labels),
    }
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
