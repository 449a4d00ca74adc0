//! What one fault wants of its target, beyond what every fault wants.

use super::{
    Candidate, Exclusion, Life, Policy, ROLE_LABEL, Scene, Sifted, is_ours, is_true, sick,
};
use crate::fault::{Dose, Fault, STORE};

/// Takes those out that are not fit for this fault.
pub fn sift_for(sifted: &mut Sifted, fault: Fault, dose: &Dose, scene: &Scene, policy: &Policy) {
    let fit = std::mem::take(&mut sifted.fit);
    for candidate in fit {
        match exclusion(&candidate, fault, dose, scene, policy) {
            Some(why) => sifted.excluded.push((candidate.name, why)),
            None => sifted.fit.push(candidate),
        }
    }
}

fn exclusion(
    candidate: &Candidate,
    fault: Fault,
    dose: &Dose,
    scene: &Scene,
    policy: &Policy,
) -> Option<Exclusion> {
    match fault {
        Fault::BitRot if dose.path.is_none() && candidate.label(ROLE_LABEL) != Some(STORE) => {
            Some(Exclusion::NoChunks)
        }
        // Whatever CHAOS_MAX_AT_ONCE and CHAOS_MAX_PERCENT allow: a copy that rots here and one that is out
        // there may be all that there are.
        Fault::BitRot => match group_sick(candidate, scene, policy) {
            0 => None,
            count => Some(Exclusion::Group(count)),
        },
        Fault::Rm => (!is_made_anew(candidate)).then_some(Exclusion::NotMadeAnew),
        _ => None,
    }
}

/// Whether its labels let a healer make it anew after it was removed.
fn is_made_anew(candidate: &Candidate) -> bool {
    let says = |key: &str| candidate.label(key).map(str::trim);
    says("planaria.recreate").is_some_and(is_true)
        && says("planaria.enable").is_none_or(is_true)
        && !says("planaria.hold").is_some_and(is_true)
        && says("planaria.policy") != Some("no")
        && says("planaria.action").is_none_or(|action| action == "restart")
}

/// How many of its group are sick, or do not run for whatever reason; itself too: what rots already must not be
/// flipped once more, for two of them would undo each other, and then not. What rots in the volume of one that is not
/// there may be of any group, so it counts for each.
fn group_sick(candidate: &Candidate, scene: &Scene, policy: &Policy) -> usize {
    let sick = sick(scene, policy);
    let group = scene.candidates.iter().filter(|it| {
        let same = it.group().is_some() && it.group() == candidate.group();
        it.id == candidate.id || same && is_ours(it, policy)
    });
    let count = group
        .filter(|it| {
            let name = &it.name;
            it.life != Life::Well || sick.contains_key(name) || scene.rotten.contains(name)
        })
        .count();
    let is_there = |name: &&String| scene.candidates.iter().any(|it| it.name == **name);
    count + scene.rotten.iter().filter(|name| !is_there(name)).count()
}
