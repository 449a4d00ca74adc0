//! What is thrown at the world: each kind of fault, and what must not be taken away by it.

use crate::clock::S;
use crate::container::{Kind, freeze};
use crate::world::{Act, World};
use planaria_core::message::Verb;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use std::time::Duration;

/// The broker of every random world.
pub(super) const BROKER: &str = "rabbitmq";

/// The kinds of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Kill,
    Term,
    Crash,
    Stop,
    Restart,
    Recreate,
    RemoveAndUp,
    Pause,
    Commit,
    Freeze,
    SigStop,
    Hang,
    OomChild,
    Oom,
    Sicken,
    Usr1,
    CrashLoop,
    FailStarts,
    KillBroker,
    FreezeBroker,
    WedgeBroker,
    SlowBroker,
    CloseConnection,
    CloseChannel,
    LoseToken,
    Cut,
    CutDirect,
    LoseDatagrams,
    SlowEngine,
    Refuse,
    LoseEvents,
    Window,
    BreakStream,
    RestartEngine,
    SetClock,
    Hold,
}

pub(super) const FAULTS: &[Fault] = &[
    Fault::Kill,
    Fault::Term,
    Fault::Crash,
    Fault::Stop,
    Fault::Restart,
    Fault::Recreate,
    Fault::RemoveAndUp,
    Fault::Pause,
    Fault::Commit,
    Fault::Freeze,
    Fault::SigStop,
    Fault::Hang,
    Fault::OomChild,
    Fault::Oom,
    Fault::Sicken,
    Fault::Usr1,
    Fault::CrashLoop,
    Fault::FailStarts,
    Fault::KillBroker,
    Fault::FreezeBroker,
    Fault::WedgeBroker,
    Fault::SlowBroker,
    Fault::CloseConnection,
    Fault::CloseChannel,
    Fault::LoseToken,
    Fault::Cut,
    Fault::CutDirect,
    Fault::LoseDatagrams,
    Fault::SlowEngine,
    Fault::Refuse,
    Fault::LoseEvents,
    Fault::Window,
    Fault::BreakStream,
    Fault::RestartEngine,
    Fault::SetClock,
    Fault::Hold,
];

fn pick(world: &World, dice: &mut SmallRng, kinds: &[Kind]) -> Option<String> {
    let names: Vec<_> = world
        .conts
        .iter()
        .filter(|cont| !cont.removed && kinds.contains(&cont.kind))
        .map(|cont| cont.facts.name.clone())
        .filter(|name| world.stage.containers.iter().any(|spec| spec.name == *name))
        .collect();
    names.choose(dice).cloned()
}

/// At least one healer must live (DESIGN §4): nobody takes the last one away.
fn may_fall(world: &World, name: &str) -> bool {
    let others = world
        .conts
        .iter()
        .enumerate()
        .filter(|(index, cont)| {
            let stuck = cont.freeze & !freeze::DESCHEDULED != 0;
            // One that is being ended, and sleeps over it, lives no longer than one that does not.
            let ending = cont.stop.is_some() || !cont.pending_signals.is_empty();
            let stays = cont.lives() && !stuck && !ending && !world.ends_soon(*index);
            cont.kind == Kind::Healer && stays && cont.facts.name != name
        })
        .count();
    let Some(index) = world.find(name) else {
        return false;
    };
    let cont = &world.conts[index];
    // Who heals must not end in quarantine: then nobody is left to say so.
    let often = cont.restarts_within(world.now, 60 * S) >= 3;
    match cont.kind {
        Kind::Healer => others > 0 && !often,
        Kind::Broker => !often,
        Kind::Member | Kind::Plain => true,
    }
}

/// A signal cancels Docker's policy: one healer at least must be brought back by Docker.
fn one_comes_back(world: &World) -> bool {
    world
        .conts
        .iter()
        .any(|cont| cont.kind == Kind::Healer && cont.lives() && !cont.manual)
}

/// Whether a planned act leaves the group what it is owed, whatever happened (or did not) before it.
pub(super) fn permitted(world: &World, act: &Act) -> bool {
    match act {
        Act::Deschedule(name) if name == BROKER => true,
        Act::Kill(name, _)
        | Act::Crash(name, _)
        | Act::Stop(name)
        | Act::Restart(name)
        | Act::Recreate(name)
        | Act::Remove(name)
        | Act::Pause(name)
        | Act::Commit(name)
        | Act::Deschedule(name)
        | Act::Hang(name)
        | Act::OomChild(name)
        | Act::Oom(name)
        | Act::Sicken(name)
        | Act::CrashLoop(name, _)
        | Act::FailStarts(name, _) => may_fall(world, name),
        Act::RestartEngine(..) => one_comes_back(world),
        _ => true,
    }
}

fn span(dice: &mut SmallRng) -> Duration {
    // Many short ones, some long: the interesting spans lie on a logarithmic scale.
    Duration::from_millis(100 << dice.random_range(0..8))
}

pub(super) fn throw(world: &mut World, dice: &mut SmallRng, fault: Fault) {
    match fault {
        Fault::KillBroker
        | Fault::FreezeBroker
        | Fault::WedgeBroker
        | Fault::SlowBroker
        | Fault::CloseConnection
        | Fault::CloseChannel
        | Fault::LoseToken
        | Fault::Cut
        | Fault::CutDirect
        | Fault::LoseDatagrams => throw_at_wires(world, dice, fault),
        Fault::SlowEngine
        | Fault::Refuse
        | Fault::LoseEvents
        | Fault::Window
        | Fault::BreakStream
        | Fault::RestartEngine
        | Fault::SetClock
        | Fault::Hold => throw_at_engine(world, dice, fault),
        _ => throw_at_container(world, dice, fault),
    }
}

fn throw_at_container(world: &mut World, dice: &mut SmallRng, fault: Fault) {
    let kinds = match fault {
        Fault::Freeze => &[Kind::Healer, Kind::Member][..],
        Fault::CrashLoop | Fault::FailStarts | Fault::Sicken | Fault::Hang => {
            &[Kind::Member, Kind::Plain]
        }
        _ => &[Kind::Healer, Kind::Member, Kind::Plain],
    };
    let Some(name) = pick(world, dice, kinds) else {
        return;
    };
    if !may_fall(world, &name) {
        return;
    }
    let wait = span(dice);
    let again = dice.random_bool(0.6);
    match fault {
        Fault::Kill => world.happens(Act::Kill(name, 9)),
        Fault::Term => world.happens(Act::Kill(name, 15)),
        Fault::Usr1 => world.happens(Act::Kill(name, 10)),
        Fault::Crash => {
            let code = *[0, 1, 70, 139].choose(dice).unwrap_or(&1);
            world.happens(Act::Crash(name, code));
        }
        Fault::Stop => {
            world.happens(Act::Stop(name.clone()));
            if again {
                world.later(wait, Act::Start(name));
            }
        }
        Fault::Restart => world.happens(Act::Restart(name)),
        Fault::Recreate => world.happens(Act::Recreate(name)),
        Fault::RemoveAndUp => {
            world.happens(Act::Remove(name.clone()));
            world.later(wait, Act::Create(name.clone()));
            world.later(wait + Duration::from_millis(80), Act::Start(name));
        }
        Fault::Pause => {
            world.happens(Act::Pause(name.clone()));
            if again {
                world.later(wait, Act::Unpause(name));
            }
        }
        Fault::Commit => world.happens(Act::Commit(name)),
        Fault::Freeze => {
            world.happens(Act::Deschedule(name.clone()));
            world.later(wait, Act::Reschedule(name));
        }
        Fault::SigStop => {
            world.happens(Act::Kill(name.clone(), 19));
            if again {
                world.later(wait, Act::Kill(name, 18));
            }
        }
        Fault::Hang => world.happens(Act::Hang(name)),
        Fault::OomChild => world.happens(Act::OomChild(name)),
        Fault::Oom => world.happens(Act::Oom(name)),
        Fault::Sicken => {
            world.happens(Act::Sicken(name.clone()));
            world.later(wait, Act::Mend(name));
        }
        Fault::CrashLoop => world.happens(Act::CrashLoop(name, dice.random_range(50..3000))),
        Fault::FailStarts => {
            world.happens(Act::FailStarts(name.clone(), dice.random_range(1..3)));
            world.happens(Act::Kill(name, 9));
        }
        _ => {}
    }
}

fn throw_at_wires(world: &mut World, dice: &mut SmallRng, fault: Fault) {
    let wait = span(dice);
    let broker = BROKER.to_owned();
    let Some(one) = pick(world, dice, &[Kind::Healer, Kind::Member]) else {
        return;
    };
    let Some(other) = pick(world, dice, &[Kind::Healer, Kind::Member]) else {
        return;
    };
    match fault {
        Fault::KillBroker if may_fall(world, &broker) => world.happens(Act::Kill(broker, 9)),
        Fault::FreezeBroker => {
            world.happens(Act::Deschedule(broker.clone()));
            world.later(wait, Act::Reschedule(broker));
        }
        Fault::WedgeBroker => world.happens(Act::WedgeBroker),
        Fault::SlowBroker => {
            world.happens(Act::SlowBroker(dice.random_range(10..2000)));
            world.later(wait, Act::SlowBroker(0));
        }
        Fault::CloseConnection => world.happens(Act::CloseConnection(one)),
        Fault::CloseChannel => {
            let name = world.leader().unwrap_or(one);
            world.happens(Act::CloseChannel(name));
        }
        Fault::LoseToken => world.happens(Act::LoseToken),
        Fault::Cut => {
            world.happens(Act::Cut(one.clone()));
            world.later(wait, Act::Join(one));
        }
        Fault::CutDirect => {
            world.happens(Act::CutDirect(one.clone(), other.clone()));
            world.later(wait, Act::JoinDirect(one, other));
        }
        Fault::LoseDatagrams => {
            world.happens(Act::LoseDatagrams(dice.random_range(10..500)));
            world.later(wait, Act::LoseDatagrams(0));
        }
        _ => {}
    }
}

fn throw_at_engine(world: &mut World, dice: &mut SmallRng, fault: Fault) {
    let wait = span(dice);
    match fault {
        Fault::SlowEngine => {
            world.happens(Act::SlowEngine(dice.random_range(50..8000)));
            world.later(wait, Act::SlowEngine(0));
        }
        Fault::Refuse => {
            world.happens(Act::Refuse(dice.random_range(50..1000)));
            world.later(wait, Act::Refuse(0));
        }
        Fault::LoseEvents => {
            world.happens(Act::LoseEvents(dice.random_range(50..500)));
            world.later(wait, Act::LoseEvents(0));
        }
        Fault::Window => {
            world.happens(Act::Window(dice.random_range(5..1500)));
            world.later(wait, Act::Window(0));
        }
        Fault::BreakStream => {
            if let Some(name) = pick(world, dice, &[Kind::Healer]) {
                world.happens(Act::BreakStream(name));
            }
        }
        Fault::RestartEngine => {
            let live_restore = dice.random_bool(0.5);
            if one_comes_back(world) {
                world.happens(Act::RestartEngine(live_restore, dice.random_range(1..10)));
            }
        }
        Fault::SetClock => world.happens(Act::SetClock(dice.random_range(-3600..3600))),
        Fault::Hold => {
            let at = pick(world, dice, &[Kind::Healer]);
            let name = pick(world, dice, &[Kind::Member, Kind::Plain]);
            if let (Some(at), Some(name)) = (at, name) {
                let names = vec![crate::world::member(&name)];
                world.asks(
                    &at,
                    Verb::Hold {
                        names,
                        for_s: dice.random_range(5..30),
                        reason: "an experiment".into(),
                    },
                );
            }
        }
        _ => {}
    }
}
