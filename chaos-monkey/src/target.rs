//! Whom an attack may hit. Pure: what the engine and the group say goes in, names with reasons come out.

use planaria_core::id::MemberName;
use planaria_core::message::MemberState;
use planaria_core::settings::{ElectionOrder, Settings};
use planaria_core::status::{BrokerState, Status};
use std::collections::BTreeMap;
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
    /// Reads `leader`, `next-leader`, `follower`, `broker`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "leader" => Some(Self::Leader),
            "next-leader" => Some(Self::NextLeader),
            "follower" => Some(Self::Follower),
            "broker" => Some(Self::Broker),
            _ => None,
        }
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
}

impl Wish {
    /// A part where the text is one, else a name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Part::parse(text).map_or_else(|| Self::Named(text.to_owned()), Self::Part)
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
    pub targets: Vec<String>,
    /// `CHAOS_EXCLUDE`.
    pub exclude: Vec<String>,
    /// `CHAOS_MIN_AGE`.
    pub min_age: Duration,
    /// `CHAOS_COOLDOWN`.
    pub cooldown: Duration,
    /// `CHAOS_MAX_AT_ONCE`.
    pub max_at_once: usize,
    /// How names compare in an election.
    pub order: ElectionOrder,
}

impl Policy {
    /// Takes the settings; who we are is found out by asking the engine.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            project: None,
            own_id: String::new(),
            own_name: settings.container_name.clone(),
            targets: settings.chaos_targets.clone(),
            exclude: settings.chaos_exclude.clone(),
            min_age: settings.chaos_min_age,
            cooldown: settings.chaos_cooldown,
            max_at_once: usize::try_from(settings.chaos_max_at_once).unwrap_or(usize::MAX),
            order: settings.election_order,
        }
    }

    fn is_self(&self, candidate: &Candidate) -> bool {
        let by_id = self.own_id.len() >= 12 && candidate.id.starts_with(&self.own_id);
        by_id || self.own_name.as_deref() == Some(candidate.name.as_str())
    }
}

/// Why a container is not hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// It is the monkey.
    Itself,
    /// Its label says no.
    Label,
    /// `CHAOS_EXCLUDE` names it.
    Excluded,
    /// `CHAOS_TARGETS` does not name it.
    NotATarget,
    /// The broker, and nobody named it.
    Infrastructure,
    /// A one-off command: nobody would bring it back.
    OneOff,
    /// It does not run, or not well.
    NotWell(Life),
    /// Too young, by its age.
    Young(Duration),
    /// Hit a short while ago: for so long it rests.
    Resting(Duration),
    /// Of the containers that heal, no other is well.
    LastHealer,
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Itself => f.write_str("the monkey itself"),
            Self::Label => write!(f, "label {CHAOS_LABEL}=false"),
            Self::Excluded => f.write_str("in CHAOS_EXCLUDE"),
            Self::NotATarget => f.write_str("not in CHAOS_TARGETS"),
            Self::Infrastructure => f.write_str("infrastructure, only by name"),
            Self::OneOff => f.write_str("a one-off command"),
            Self::NotWell(Life::Down) => f.write_str("not running"),
            Self::NotWell(Life::Paused) => f.write_str("paused"),
            Self::NotWell(Life::Unhealthy) => f.write_str("unhealthy"),
            Self::NotWell(Life::Starting) => f.write_str("still starting"),
            Self::NotWell(Life::Restarting) => f.write_str("restarting"),
            Self::NotWell(Life::Well) => f.write_str("well"),
            Self::Young(age) => write!(f, "only {} s old", age.as_secs()),
            Self::Resting(left) => write!(f, "rests {:.0} s more", left.as_secs_f64().ceil()),
            Self::LastHealer => f.write_str("the last healer"),
        }
    }
}

/// Everything that a choice looks at.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// All containers of the engine.
    pub candidates: Vec<Candidate>,
    /// What our own monitor knows of the group.
    pub group: Option<Status>,
    /// Containers under attack by us: not yet back.
    pub under_attack: Vec<String>,
    /// Who rests, and for how much longer.
    pub resting: BTreeMap<String, Duration>,
}

/// Who is fit to be hit, and why the others are not.
#[derive(Clone, Debug, Default)]
pub struct Sifted {
    /// In natural order of names, so that a seed means the same whatever order the engine lists.
    pub fit: Vec<Candidate>,
    /// Those of our project that are not, with the reason.
    pub excluded: Vec<(String, Exclusion)>,
}

impl Sifted {
    /// `chaos_monkey: the monkey itself; rabbitmq: infrastructure, only by name`.
    #[must_use]
    pub fn excluded_text(&self) -> String {
        if self.excluded.is_empty() {
            return "none".to_owned();
        }
        let each: Vec<String> = self
            .excluded
            .iter()
            .map(|(name, why)| format!("{name}: {why}"))
            .collect();
        each.join("; ")
    }
}

/// Sorts the fit from the rest.
///
/// `asked`: a person asked for an attack now, which ignores the minimum age and nothing else.
#[must_use]
pub fn sift(scene: &Scene, policy: &Policy, wish: &Wish, asked: bool) -> Sifted {
    let mut sifted = Sifted::default();
    let healers_well = scene
        .candidates
        .iter()
        .filter(|c| is_healer(c, scene) && c.life == Life::Well)
        .count();
    let mut all: Vec<&Candidate> = scene
        .candidates
        .iter()
        .filter(|c| is_ours(c, policy))
        .collect();
    all.sort_by(|a, b| natural(&a.name, &b.name));
    for candidate in all {
        if !wished(candidate, scene, policy, wish) {
            continue;
        }
        let named = match wish {
            Wish::Named(_) | Wish::Part(Part::Broker) => true,
            Wish::Anyone | Wish::Part(_) => policy.targets.contains(&candidate.name),
        };
        let last_healer = is_healer(candidate, scene) && healers_well <= 1;
        match exclusion(candidate, scene, policy, named, asked) {
            Some(why) => sifted.excluded.push((candidate.name.clone(), why)),
            None if last_healer => sifted
                .excluded
                .push((candidate.name.clone(), Exclusion::LastHealer)),
            None => sifted.fit.push(candidate.clone()),
        }
    }
    sifted
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

fn exclusion(
    candidate: &Candidate,
    scene: &Scene,
    policy: &Policy,
    named: bool,
    asked: bool,
) -> Option<Exclusion> {
    if policy.is_self(candidate) {
        return Some(Exclusion::Itself);
    }
    if candidate
        .label(CHAOS_LABEL)
        .is_some_and(|text| !is_true(text))
    {
        return Some(Exclusion::Label);
    }
    if policy.exclude.contains(&candidate.name) {
        return Some(Exclusion::Excluded);
    }
    if !policy.targets.is_empty() && !policy.targets.contains(&candidate.name) {
        return Some(Exclusion::NotATarget);
    }
    if candidate.is_broker() && !named {
        return Some(Exclusion::Infrastructure);
    }
    if candidate.label(ONEOFF_LABEL).is_some_and(is_true) {
        return Some(Exclusion::OneOff);
    }
    if candidate.life != Life::Well {
        return Some(Exclusion::NotWell(candidate.life));
    }
    if let Some(age) = candidate.age.filter(|age| !asked && *age < policy.min_age) {
        return Some(Exclusion::Young(age));
    }
    scene
        .resting
        .get(&candidate.name)
        .copied()
        .map(Exclusion::Resting)
}

fn is_healer(candidate: &Candidate, scene: &Scene) -> bool {
    let Some(group) = &scene.group else {
        return false;
    };
    group
        .members
        .iter()
        .any(|member| member.healer && member.name.as_str() == candidate.name)
}

fn wished(candidate: &Candidate, scene: &Scene, policy: &Policy, wish: &Wish) -> bool {
    match wish {
        Wish::Anyone => true,
        Wish::Named(name) => candidate.name == *name,
        Wish::Part(Part::Broker) => candidate.is_broker(),
        Wish::Part(part) => standing(scene, policy, *part)
            .iter()
            .any(|name| name.as_str() == candidate.name),
    }
}

/// The members that play a part now; empty where the group is not known.
fn standing(scene: &Scene, policy: &Policy, part: Part) -> Vec<MemberName> {
    let Some(group) = &scene.group else {
        return Vec::new();
    };
    let mut others: Vec<MemberName> = group
        .members
        .iter()
        .filter(|member| member.candidate && member.state == MemberState::Alive)
        .map(|member| member.name.clone())
        .filter(|name| Some(name) != group.leader.as_ref())
        .collect();
    match policy.order {
        ElectionOrder::Natural => others.sort_by(MemberName::natural_cmp),
        ElectionOrder::Lexicographic => others.sort(),
    }
    match part {
        Part::Leader => group.leader.iter().cloned().collect(),
        Part::NextLeader => others.pop().into_iter().collect(),
        Part::Follower => others,
        Part::Broker => Vec::new(),
    }
}

fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    match (MemberName::new(a), MemberName::new(b)) {
        (Ok(a), Ok(b)) => a.natural_cmp(&b),
        _ => a.cmp(b),
    }
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
