//! Whom an attack may hit. Pure: what the engine and the group say goes in, names with reasons come out.

mod demand;
mod selector;
mod sift;

pub use demand::sift_for;
pub use selector::{NoSelector, ROLE_LABEL, Selector, parse_all};
pub use sift::{Exclusion, Sifted, sift, spare_a_healer};

use planaria_core::message::MemberState;
use planaria_core::settings::{ElectionOrder, Settings};
use planaria_core::status::{BrokerState, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// The label that Compose puts on each container of a project.
pub const PROJECT_LABEL: &str = "com.docker.compose.project";
const SERVICE_LABEL: &str = "com.docker.compose.service";
const ONEOFF_LABEL: &str = "com.docker.compose.oneoff";
/// `true` makes any container a target, `false` none.
pub const CHAOS_LABEL: &str = "planaria.chaos";

/// What the engine's list says about a container's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Running; healthy where it has a check.
    Well,
    /// Running, its health check has not passed yet.
    Starting,
    /// Running, but its health check fails.
    Unhealthy,
    /// Frozen.
    Paused,
    /// The engine is bringing it back.
    Restarting,
    /// Not running.
    Down,
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Well => "well",
            Self::Starting => "still starting",
            Self::Unhealthy => "unhealthy",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Down => "not running",
        })
    }
}

/// A container as the engine lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The engine's id.
    pub id: String,
    /// The name without the leading slash.
    pub name: String,
    /// The image's name.
    pub image: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it lives.
    pub life: Life,
    /// For how long it has run; `None` where nobody asked.
    pub age: Option<Duration>,
}

impl Candidate {
    fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }

    /// It belongs to that Compose project.
    #[must_use]
    pub fn is_of(&self, project: &str) -> bool {
        self.label(PROJECT_LABEL) == Some(project)
    }

    /// A command that was run once (`compose run`), or a helper.
    #[must_use]
    pub fn is_one_off(&self) -> bool {
        self.label(ONEOFF_LABEL).is_some_and(is_true)
    }

    /// What it is: its role, else its Compose service.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        self.label(ROLE_LABEL).or_else(|| self.label(SERVICE_LABEL))
    }

    /// The broker: everything hangs on it, so it is hit only by name.
    #[must_use]
    pub fn is_broker(&self) -> bool {
        let image = self.image.rsplit('/').next().unwrap_or_default();
        self.label(SERVICE_LABEL) == Some("rabbitmq") || image.starts_with("rabbitmq")
    }
}

/// A target by its part in the group instead of by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Who holds office.
    Leader,
    /// Who would be next.
    NextLeader,
    /// A candidate that does not lead.
    Follower,
    /// RabbitMQ.
    Broker,
}

impl Part {
    const ALL: [Self; 4] = [Self::Leader, Self::NextLeader, Self::Follower, Self::Broker];

    /// Its name.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::NextLeader => "next-leader",
            Self::Follower => "follower",
            Self::Broker => "broker",
        }
    }

    /// Reads `leader`, `next-leader`, `follower`, `broker`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.text() == text)
    }
}

/// Whom somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Anybody.
    Anyone,
    /// By part.
    Part(Part),
    /// By name.
    Named(String),
    /// By pattern, label or group.
    Matching(Selector),
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => Ok(()),
            Self::Part(part) => f.write_str(part.text()),
            Self::Named(name) => f.write_str(name),
            Self::Matching(selector) => selector.fmt(f),
        }
    }
}

impl Wish {
    /// A part where the text is one, else a name, a pattern, a label or a group.
    ///
    /// # Errors
    /// Where it means no containers.
    pub fn parse(text: &str) -> Result<Self, NoSelector> {
        if let Some(part) = Part::parse(text) {
            return Ok(Self::Part(part));
        }
        Ok(match text.parse()? {
            Selector::Name(name) => Self::Named(name),
            other => Self::Matching(other),
        })
    }
}

/// What may be hit, as the settings say.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Our own Compose project; `None`: only labelled containers are targets.
    pub project: Option<String>,
    /// Our own container's id or the first digits of it; empty outside a container.
    pub own_id: String,
    /// Our own container's name.
    pub own_name: Option<String>,
    /// `CHAOS_TARGETS`.
    pub targets: Vec<Selector>,
    /// `CHAOS_EXCLUDE`.
    pub exclude: Vec<Selector>,
    /// `CHAOS_MIN_AGE`.
    pub min_age: Duration,
    /// `CHAOS_COOLDOWN`.
    pub cooldown: Duration,
    /// `CHAOS_MAX_AT_ONCE`.
    pub max_at_once: usize,
    /// `CHAOS_MAX_PERCENT`.
    pub max_percent: usize,
    /// How names compare in an election.
    pub order: ElectionOrder,
}

impl Policy {
    /// Takes the settings; who we are is found out by asking the engine.
    ///
    /// # Errors
    /// Where `CHAOS_TARGETS` or `CHAOS_EXCLUDE` has a text that means no containers.
    pub fn new(settings: &Settings) -> Result<Self, NoSelector> {
        Ok(Self {
            project: None,
            own_id: String::new(),
            own_name: settings.container_name.clone(),
            targets: parse_all(&settings.chaos_targets)?,
            exclude: parse_all(&settings.chaos_exclude)?,
            min_age: settings.chaos_min_age,
            cooldown: settings.chaos_cooldown,
            max_at_once: usize::try_from(settings.chaos_max_at_once).unwrap_or(usize::MAX),
            max_percent: usize::try_from(settings.chaos_max_percent).unwrap_or(100),
            order: settings.election_order,
        })
    }

    fn is_self(&self, candidate: &Candidate) -> bool {
        let by_id = self.own_id.len() >= 12 && candidate.id.starts_with(&self.own_id);
        by_id || self.own_name.as_deref() == Some(candidate.name.as_str())
    }
}

/// Everything that a choice looks at.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// All containers of the engine.
    pub candidates: Vec<Candidate>,
    /// What our own monitor knows of the group.
    pub group: Option<Status>,
    /// Containers under attack by us: not yet back, or not taken back.
    pub under_attack: Vec<String>,
    /// Whose files rot, whether it is there or not; asked for only where more may rot.
    pub rotten: BTreeSet<String>,
    /// Who rests, and for how much longer.
    pub resting: BTreeMap<String, Duration>,
}

fn is_ours(candidate: &Candidate, policy: &Policy) -> bool {
    let same_project =
        policy.project.is_some() && candidate.label(PROJECT_LABEL) == policy.project.as_deref();
    same_project || candidate.label(CHAOS_LABEL).is_some_and(is_true)
}

fn is_true(text: &str) -> bool {
    ["true", "yes", "on", "1"]
        .iter()
        .any(|yes| text.eq_ignore_ascii_case(yes))
}

/// Who is sick now: under attack by us, in the eyes of the group, or in those of the engine.
///
/// What a person stopped is not sick; what is in quarantine is.
#[must_use]
pub fn sick(scene: &Scene, policy: &Policy) -> BTreeMap<String, String> {
    let mut sick = BTreeMap::new();
    if let Some(group) = &scene.group {
        for member in &group.members {
            let why = match member.state {
                MemberState::Suspect => "suspect",
                MemberState::Dead => "dead",
                MemberState::Restarting => "being brought back",
                MemberState::Isolated => "isolated",
                MemberState::Quarantined => "in quarantine",
                MemberState::Joining
                | MemberState::Alive
                | MemberState::Late
                | MemberState::Left
                | MemberState::Expected
                | MemberState::Patient => continue,
            };
            let name = member.name.as_str();
            // One whose container was removed is nobody's patient any more.
            if scene.candidates.iter().any(|c| c.name == name) {
                sick.insert(name.to_owned(), why.to_owned());
            }
        }
    }
    for candidate in scene
        .candidates
        .iter()
        .filter(|c| is_ours(c, policy) && !policy.is_self(c))
    {
        let why = match candidate.life {
            Life::Unhealthy => "unhealthy",
            Life::Restarting => "restarting",
            Life::Starting => "still starting",
            Life::Paused => "paused",
            Life::Well | Life::Down => continue,
        };
        sick.insert(candidate.name.clone(), why.to_owned());
    }
    for name in &scene.under_attack {
        sick.insert(name.clone(), "under attack".to_owned());
    }
    sick
}

/// Why there is no attack at all now; `None`: there may be one.
#[must_use]
pub fn hold(scene: &Scene, policy: &Policy) -> Option<String> {
    if let Some(group) = &scene.group {
        if group.held.iter().any(|hold| hold.name.is_none()) {
            return Some("a person put everything on hold (monitor hold)".to_owned());
        }
        if group.broker == BrokerState::Connected && group.leader.is_none() {
            return Some("the group has no leader yet".to_owned());
        }
    }
    let sick = sick(scene, policy);
    if sick.len() < policy.max_at_once {
        return None;
    }
    let each: Vec<String> = sick
        .iter()
        .map(|(name, why)| format!("{name} is {why}"))
        .collect();
    Some(format!(
        "{}; at most {} may be sick at once",
        each.join(", "),
        policy.max_at_once
    ))
}

#[cfg(test)]
pub(crate) mod tests;
