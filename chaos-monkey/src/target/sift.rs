//! Who is fit to be hit, and why the others are not.

use super::{CHAOS_LABEL, Candidate, Life, Part, Policy, Scene, Wish, is_ours, is_true};
use planaria_core::id::MemberName;
use planaria_core::message::MemberState;
use planaria_core::settings::ElectionOrder;
use std::fmt;
use std::time::Duration;

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
    /// So many of its group are sick already.
    Group(usize),
    /// Of the containers that heal, no other is well.
    LastHealer,
    /// No healer would make it anew.
    NotMadeAnew,
    /// It is no storage node, and nobody said which of its files are meant.
    NoChunks,
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
            Self::NotWell(life) => write!(f, "{life}"),
            Self::Young(age) => write!(f, "only {} s old", age.as_secs()),
            Self::Resting(left) => write!(f, "rests {:.0} s more", left.as_secs_f64().ceil()),
            Self::Group(sick) => write!(f, "{sick} of its group sick already"),
            Self::LastHealer => f.write_str("the last healer"),
            Self::NotMadeAnew => f.write_str(
                "its labels do not let healers make it anew (planaria.recreate=true, and no hold, policy or action against it)",
            ),
            Self::NoChunks => f.write_str("keeps no chunks, and no --path says what may rot in it"),
        }
    }
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
            Wish::Anyone | Wish::Part(_) | Wish::Matching(_) => {
                policy.targets.iter().any(|it| it.names(candidate))
            }
        };
        let last_healer = is_healer(candidate, scene) && healers_well <= 1;
        match exclusion(candidate, scene, policy, named, asked) {
            Some(why) => sifted.excluded.push((candidate.name.clone(), why)),
            None if group_sick(candidate, scene, policy).is_some() => {
                let count = group_sick(candidate, scene, policy).unwrap_or(0);
                sifted
                    .excluded
                    .push((candidate.name.clone(), Exclusion::Group(count)));
            }
            None if last_healer => sifted
                .excluded
                .push((candidate.name.clone(), Exclusion::LastHealer)),
            None => sifted.fit.push(candidate.clone()),
        }
    }
    sifted
}

/// How many of its group are sick, where one more would be too many.
fn group_sick(candidate: &Candidate, scene: &Scene, policy: &Policy) -> Option<usize> {
    let group = candidate.group()?;
    let all = scene
        .candidates
        .iter()
        .filter(|it| is_ours(it, policy) && it.group() == Some(group));
    let (mut count, mut sick) = (0, 0);
    for one in all {
        count += 1;
        sick += usize::from(one.life != Life::Well || scene.under_attack.contains(&one.name));
    }
    let allowed = (count * policy.max_percent / 100).max(1);
    (sick + 1 > allowed).then_some(sick)
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
    if policy.exclude.iter().any(|it| it.means(candidate)) {
        return Some(Exclusion::Excluded);
    }
    if !policy.targets.is_empty() && !policy.targets.iter().any(|it| it.means(candidate)) {
        return Some(Exclusion::NotATarget);
    }
    if candidate.is_broker() && !named {
        return Some(Exclusion::Infrastructure);
    }
    if candidate.is_one_off() {
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

/// Takes the last of the chosen healers out where otherwise none would be left.
pub fn spare_a_healer<T>(scene: &Scene, chosen: &mut Vec<T>, of: impl Fn(&T) -> &Candidate) {
    let well = scene
        .candidates
        .iter()
        .filter(|it| is_healer(it, scene) && it.life == Life::Well);
    let hit = |one: &Candidate| chosen.iter().any(|it| of(it).id == one.id);
    if well.clone().next().is_some()
        && well.clone().all(hit)
        && let Some(last) = chosen.iter().rposition(|it| is_healer(of(it), scene))
    {
        chosen.remove(last);
    }
}

fn wished(candidate: &Candidate, scene: &Scene, policy: &Policy, wish: &Wish) -> bool {
    match wish {
        Wish::Anyone => true,
        Wish::Named(name) => candidate.name == *name,
        Wish::Matching(selector) => selector.means(candidate),
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
