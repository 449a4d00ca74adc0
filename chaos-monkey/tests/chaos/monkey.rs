//! The loop: calls in, attacks out, everything undone at the end. Time is tokio's paused clock.

use crate::engine::Fake;
use planaria_chaos::attack::End;
use planaria_chaos::engine::Engine;
use planaria_chaos::fault::Fault;
use planaria_chaos::ledger::{self, Attack, Event, Ledger, Story};
use planaria_chaos::monkey::{Monkey, NoAttack, Outfit};
use planaria_chaos::plan::Trigger;
use planaria_chaos::run::{CALLS_MAX, Call, Schedule, run};
use planaria_chaos::target::{Life, Policy, Wish};
use planaria_core::settings::Settings;
use std::path::Path;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Whatever takes longer is stuck; the clock is paused, so this costs nothing.
const STUCK: Duration = Duration::from_secs(600);

struct World {
    engine: Fake,
    calls: mpsc::Sender<Call>,
    task: JoinHandle<()>,
    dir: tempfile::TempDir,
}

fn monkey(engine: &Fake, dir: &Path, seed: u64) -> Monkey<Fake> {
    let mut policy = Policy::new(&Settings::default()).unwrap();
    policy.project = Some("planaria".to_owned());
    policy.own_name = Some("chaos_monkey".to_owned());
    by(engine, dir, seed, policy)
}

fn by(engine: &Fake, dir: &Path, seed: u64, policy: Policy) -> Monkey<Fake> {
    Monkey::new(Outfit {
        engine: engine.clone(),
        policy,
        seed,
        boot: 1,
        ledger: Ledger::open(dir).unwrap(),
        helper_image: planaria_chaos::fault::HELPER_IMAGE.to_owned(),
        management: Err(planaria_chaos::management::ManagementError::Unknown),
        group: Box::new(|| None),
        tell: Box::new(|_, _| {}),
    })
}

impl World {
    fn new(engine: Fake, enabled: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let schedule = Schedule {
            enabled,
            interval: Duration::from_secs(30),
            between: None,
            hours: planaria_chaos::hours::Hours::default(),
            limit: 2,
            faults: vec![Fault::Kill],
            seed: 7,
        };
        let (calls, receive) = mpsc::channel(CALLS_MAX);
        let task = tokio::spawn(run(
            monkey(&engine, dir.path(), 7),
            schedule,
            receive,
            || {},
        ));
        Self {
            engine,
            calls,
            task,
            dir,
        }
    }

    async fn attack(&self, fault: Fault, whom: &str) -> Result<Attack, NoAttack> {
        let (reply, answer) = oneshot::channel();
        let wish = Wish::Named(whom.to_owned());
        let (trigger, since) = (Trigger::Signal, Instant::now());
        self.calls
            .send(Call::Attack {
                trigger,
                fault: Some(fault),
                wish,
                since,
                reply: Some(reply),
            })
            .await
            .unwrap();
        answer.await.unwrap()
    }

    fn stories(&self) -> Vec<Story> {
        ledger::read(self.dir.path()).unwrap()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(STUCK, wait)
            .await
            .unwrap_or_else(|_| panic!("{what}: {:?}", self.stories()));
    }

    async fn end(self) -> (Fake, Vec<Story>) {
        self.calls.send(Call::End).await.unwrap();
        self.task.await.unwrap();
        let stories = ledger::read(self.dir.path()).unwrap();
        (self.engine, stories)
    }
}

fn three() -> Fake {
    Fake::with(&["worker-1", "worker-2", "chaos_monkey"])
}

#[tokio::test(start_paused = true)]
async fn a_signal_hits_exactly_one_and_its_healing_is_told() {
    let world = World::new(three(), false);
    let since = Instant::now();
    let call = Call::Attack {
        trigger: Trigger::Signal,
        fault: None,
        wish: Wish::Anyone,
        since,
        reply: None,
    };
    world.calls.send(call).await.unwrap();
    world
        .until("injected", |world| {
            world.stories().iter().any(|story| story.injected)
        })
        .await;
    let victim = world.stories()[0].attack.target.clone();
    assert_ne!(victim, "chaos_monkey");
    world.engine.heal(&victim);
    world
        .until("healed", |world| {
            matches!(world.stories()[0].end, Some(Event::Healed { .. }))
        })
        .await;
    let (engine, stories) = world.end().await;
    assert_eq!(stories.len(), 1);
    assert_eq!(
        engine.calls(),
        [format!("SIGKILL {victim}"), format!("heal {victim}")]
    );
}

#[tokio::test(start_paused = true)]
async fn what_nobody_heals_is_undone_for_every_fault() {
    for (fault, undo) in [
        (Fault::Kill, "start"),
        (Fault::Term, "start"),
        (Fault::Stop, "start"),
        (Fault::Pause, "unpause"),
        (Fault::Hang, "SIGCONT"),
        (Fault::Disconnect, "connect"),
        (Fault::Cpu, "limit 0"),
    ] {
        let world = World::new(three(), false);
        world.attack(fault, "worker-1").await.unwrap();
        world
            .until("undone", |world| {
                matches!(world.stories()[0].end, Some(Event::Reverted { .. }))
            })
            .await;
        let (engine, _) = world.end().await;
        assert_eq!(
            engine.calls().last().unwrap(),
            &format!("{undo} worker-1"),
            "{fault}"
        );
        assert_eq!(engine.life("worker-1"), Life::Well);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_undoes_before_it_ends() {
    let world = World::new(three(), false);
    world.attack(Fault::Pause, "worker-1").await.unwrap();
    world
        .until("injected", |world| world.stories()[0].injected)
        .await;
    let (engine, stories) = world.end().await;
    assert_eq!(engine.calls(), ["pause worker-1", "unpause worker-1"]);
    assert_eq!(
        stories[0].end,
        Some(Event::Reverted {
            why: "the monkey ends".to_owned()
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_attack_waits_for_the_first_and_a_victim_rests() {
    let world = World::new(three(), false);
    world.attack(Fault::Kill, "worker-1").await.unwrap();
    let declined = world
        .attack(Fault::Kill, "worker-2")
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        declined,
        "worker-1 is under attack; at most 1 may be sick at once"
    );
    world
        .until("injected", |world| world.stories()[0].injected)
        .await;
    world.engine.heal("worker-1");
    world
        .until("healed", |world| world.stories()[0].end.is_some())
        .await;
    let declined = world
        .attack(Fault::Kill, "worker-1")
        .await
        .unwrap_err()
        .to_string();
    assert!(declined.contains("rests"), "{declined}");
    world.attack(Fault::Kill, "worker-2").await.unwrap();
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_does_nothing_is_not_called_injected() {
    let world = World::new(three().deaf(), false);
    world.attack(Fault::Hang, "worker-1").await.unwrap();
    world
        .until("failed", |world| {
            matches!(world.stories()[0].end, Some(Event::Failed { .. }))
        })
        .await;
    assert!(!world.stories()[0].injected);
}

#[tokio::test(start_paused = true)]
async fn a_victim_that_is_removed_ends_the_attack() {
    let world = World::new(three(), false);
    world.attack(Fault::Kill, "worker-1").await.unwrap();
    world
        .until("injected", |world| world.stories()[0].injected)
        .await;
    world.engine.forget("worker-1");
    world
        .until("gone", |world| world.stories()[0].end == Some(Event::Gone))
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_timer_attacks_until_its_limit_and_peace_stops_it() {
    let world = World::new(three(), true);
    for count in 1..=2 {
        world
            .until("attacked", |world| {
                world.stories().len() == count && world.stories()[count - 1].injected
            })
            .await;
        let victim = world.stories()[count - 1].attack.target.clone();
        world.engine.heal(&victim);
    }
    // CHAOS_MAX_KILLS is 2 here: an hour later there are no more.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(world.stories().len(), 2);
    let other = World::new(three(), true);
    other.calls.send(Call::Peace).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(other.stories(), []);
    other.attack(Fault::Kill, "worker-1").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_monkey_left_behind_is_undone_at_the_next_start() {
    let (engine, dir) = (three(), tempfile::tempdir().unwrap());
    let mut first = monkey(&engine, dir.path(), 7);
    let wish = Wish::Named("worker-1".to_owned());
    let order = planaria_chaos::plan::Order {
        trigger: Trigger::Command,
        faults: vec![Fault::Pause],
        wish,
        dose: planaria_chaos::fault::Dose::default(),
        everyone: false,
    };
    first.attack(&order, Instant::now()).await.unwrap();
    let wait = async {
        while !ledger::read(dir.path())
            .unwrap()
            .iter()
            .any(|story| story.injected)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(STUCK, wait).await.unwrap();
    // Killed: no undoing, only the ledger stays.
    drop(first);
    assert_eq!(engine.life("worker-1"), Life::Paused);
    let mut second = monkey(&engine, dir.path(), 7);
    assert_eq!(second.recover(dir.path()).await.unwrap(), 0);
    assert_eq!(engine.life("worker-1"), Life::Well);
    let calls = engine.calls().len();
    assert_eq!(second.recover(dir.path()).await.unwrap(), 0);
    assert_eq!(engine.calls().len(), calls, "twice is harmless");
    second.remember(dir.path()).unwrap();
    let declined = second
        .attack(&order, Instant::now())
        .await
        .unwrap_err()
        .to_string();
    assert!(declined.contains("rests"), "{declined}");
}

#[tokio::test(start_paused = true)]
async fn everyone_is_hit_at_one_moment_however_slow_the_engine_is() {
    let names = ["storage-node-1", "storage-node-2", "storage-node-3"];
    let engine = Fake::with(&names).slow(Duration::from_millis(300));
    let dir = tempfile::tempdir().unwrap();
    let mut monkey = monkey(&engine, dir.path(), 7);
    let order = planaria_chaos::plan::Order {
        trigger: Trigger::Command,
        faults: vec![Fault::Kill],
        wish: Wish::Matching("re2:storage-node-.*".parse().unwrap()),
        dose: planaria_chaos::fault::Dose::default(),
        everyone: true,
    };
    let sent = monkey
        .attack_everyone(&order, Instant::now())
        .await
        .unwrap();
    assert_eq!(sent.len(), names.len());
    let wait = async {
        while engine.calls().len() < names.len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(STUCK, wait).await.unwrap();
    let moments = engine.moments();
    assert_eq!(moments[0], moments[names.len() - 1]);
    // In whichever order they are woken.
    let mut calls = engine.calls();
    calls.sort();
    assert_eq!(calls, names.map(|name| format!("SIGKILL {name}")));
}

#[tokio::test(start_paused = true)]
async fn without_a_writable_ledger_nothing_is_attacked() {
    let world = World::new(three(), false);
    // A full disk: every write to the ledger fails from now on.
    let full = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", full.path().join(ledger::FILE)).unwrap();
    let mut monkey = monkey(&world.engine, full.path(), 7);
    let wish = Wish::Named("worker-1".to_owned());
    let order = planaria_chaos::plan::Order {
        trigger: Trigger::Command,
        faults: vec![Fault::Kill],
        wish,
        dose: planaria_chaos::fault::Dose::default(),
        everyone: false,
    };
    monkey.attack(&order, Instant::now()).await.unwrap();
    ended(&mut monkey).await;
    assert_eq!(world.engine.calls(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_helper_is_ended_and_removed_and_a_killed_one_is_followed_by_another() {
    let world = World::new(three(), false);
    let attack = world.attack(Fault::Partition, "worker-1").await.unwrap();
    world
        .until("undone", |world| {
            matches!(world.stories()[0].end, Some(Event::Reverted { .. }))
        })
        .await;
    let helper = format!("planaria-chaos-{}", attack.id);
    let lines = ["helper", "SIGTERM", "remove"].map(|act| format!("{act} {helper}"));
    assert_eq!(world.engine.calls(), lines);

    let attack = world.attack(Fault::Loss, "worker-2").await.unwrap();
    let helper = format!("planaria-chaos-{}", attack.id);
    world
        .until("injected", |world| world.stories()[1].injected)
        .await;
    world.engine.kill(&helper, "SIGKILL").await.unwrap();
    world
        .until("cleared", |world| world.stories()[1].end.is_some())
        .await;
    let calls = world.engine.calls();
    let second = format!("helper {helper}-undo");
    assert!(calls.contains(&second), "{calls:?}");
    assert_eq!(calls.last().unwrap(), &format!("remove {helper}"));
}

#[tokio::test(start_paused = true)]
async fn what_is_needed_to_undo_rot_is_written_down_before_anything_rots() {
    use planaria_chaos::fault::{Dose, Saved};
    let dir = tempfile::tempdir().unwrap();
    let engine = three();
    let mut monkey = monkey(&engine, dir.path(), 7);
    let order = planaria_chaos::plan::Order {
        trigger: Trigger::Command,
        faults: vec![Fault::BitRot],
        wish: Wish::Named("worker-1".to_owned()),
        dose: Dose {
            path: Some("/srv".to_owned()),
            ..Dose::default()
        },
        everyone: false,
    };
    let attack = monkey.attack(&order, Instant::now()).await.unwrap();
    let text = || std::fs::read_to_string(dir.path().join(ledger::FILE)).unwrap();
    let helper = format!("planaria-chaos-{}", attack.id);
    // The errand runs while the test waits; the line is there as soon as the second helper is.
    let begun = format!("helper {helper}");
    while !engine.calls().contains(&begun) {
        assert!(!text().contains("injected"));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(text().contains("what was there"), "{}", text());
    ended(&mut monkey).await;
    let calls = engine.calls();
    let expected = [
        format!("helper {helper}-look"),
        format!("remove {helper}-look"),
        begun,
        format!("SIGTERM {helper}"),
        format!("remove {helper}"),
    ];
    assert_eq!(calls, expected);
    let story = &ledger::read(dir.path()).unwrap()[0];
    assert!(
        matches!(&story.attack.saved, Some(Saved::Helper { found: Some(found), .. }) if found == "what was there")
    );
    assert!(matches!(story.end, Some(Event::Reverted { .. })));
}

#[tokio::test(start_paused = true)]
async fn what_was_removed_and_nobody_made_anew_is_made_anew_by_the_monkey() {
    let world = World::new(three(), false);
    let attack = world.attack(Fault::Rm, "worker-1").await.unwrap();
    world
        .until("removed", |world| world.stories()[0].injected)
        .await;
    let kept = |world: &World| {
        let name = format!("chaos-kept-{}.json", attack.id);
        world.dir.path().join(name).exists()
    };
    assert!(kept(&world), "how it was made is on disk while it is gone");
    world
        .until("undone", |world| world.stories()[0].end.is_some())
        .await;
    assert!(!kept(&world));
    let (engine, stories) = world.end().await;
    assert_eq!(engine.calls(), ["remove worker-1", "make worker-1"]);
    assert!(
        matches!(&stories[0].end, Some(Event::Reverted { why }) if why == "nobody healed it in time")
    );
}

fn order(fault: Fault, whom: &str) -> planaria_chaos::plan::Order {
    planaria_chaos::plan::Order {
        trigger: Trigger::Command,
        faults: vec![fault],
        wish: Wish::Named(whom.to_owned()),
        dose: planaria_chaos::fault::Dose {
            path: Some("/srv".to_owned()),
            ..planaria_chaos::fault::Dose::default()
        },
        everyone: false,
    }
}

async fn injected(dir: &Path) {
    let is_injected = || {
        let stories = ledger::read(dir).unwrap();
        stories.last().is_some_and(|story| story.injected)
    };
    while !is_injected() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ended(monkey: &mut Monkey<Fake>) -> End {
    let end = tokio::time::timeout(STUCK, monkey.ended()).await;
    end.expect("nothing ends")
}

/// Its container ends, and takes the helper in its process namespace along.
async fn stop(engine: &Fake, attack: &Attack) {
    let helper = format!("planaria-chaos-{}", attack.id);
    engine.kill(&helper, "SIGKILL").await.unwrap();
    engine.stop(&attack.target).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn files_in_a_container_that_does_not_run_stay_open_in_the_ledger() {
    for (fault, open) in [
        (Fault::BitRot, true),
        (Fault::Io, true),
        (Fault::DiskFull, true),
        (Fault::Memory, false),
        (Fault::Loss, false),
    ] {
        let (engine, dir) = (three(), tempfile::tempdir().unwrap());
        let mut monkey = monkey(&engine, dir.path(), 7);
        let sent = monkey
            .attack(&order(fault, "worker-1"), Instant::now())
            .await;
        injected(dir.path()).await;
        stop(&engine, &sent.unwrap()).await;
        let end = ended(&mut monkey).await;
        assert_eq!(end == End::Open, open, "{fault}: {end:?}");
        let story = ledger::read(dir.path()).unwrap().remove(0);
        assert_eq!(story.undo().is_some(), open, "{fault}: {story:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rot_in_a_volume_is_mended_in_the_container_that_was_made_anew() {
    for anew in [true, false] {
        let (engine, dir) = (three(), tempfile::tempdir().unwrap());
        let mut monkey = monkey(&engine, dir.path(), 7);
        let sent = monkey
            .attack(&order(Fault::BitRot, "worker-1"), Instant::now())
            .await;
        injected(dir.path()).await;
        stop(&engine, &sent.unwrap()).await;
        if anew {
            engine.anew("worker-1");
        } else {
            engine.forget("worker-1");
        }
        let end = ended(&mut monkey).await;
        let helpers = engine.joined();
        let last = engine.calls().pop().unwrap();
        assert!(last.starts_with("remove planaria-chaos-"), "{last}");
        if anew {
            assert_eq!(end, End::Reverted);
            assert_eq!(helpers, ["worker-1.0", "worker-1.0", "worker-1.1"]);
        } else {
            // Its volume may be there all the same.
            assert_eq!(end, End::Open);
            assert_eq!(helpers, ["worker-1.0", "worker-1.0"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_removed_containers_helper_is_removed_too() {
    for fault in [Fault::Loss, Fault::Io] {
        let (engine, dir) = (three(), tempfile::tempdir().unwrap());
        let mut monkey = monkey(&engine, dir.path(), 7);
        let sent = monkey
            .attack(&order(fault, "worker-1"), Instant::now())
            .await;
        injected(dir.path()).await;
        stop(&engine, &sent.unwrap()).await;
        engine.forget("worker-1");
        assert_eq!(ended(&mut monkey).await, End::Gone, "{fault}");
        let last = engine.calls().pop().unwrap();
        assert!(
            last.starts_with("remove planaria-chaos-"),
            "{fault}: {last}"
        );
    }
}

/// Two stores, and a monkey that may hit both at once.
fn two_stores(dir: &Path) -> (Fake, Monkey<Fake>) {
    let engine = Fake::with(&["storage-node-1", "storage-node-2"]).stores();
    let monkey = generous(&engine, dir);
    (engine, monkey)
}

fn generous(engine: &Fake, dir: &Path) -> Monkey<Fake> {
    let policy = Policy {
        project: Some("planaria".to_owned()),
        max_at_once: 5,
        max_percent: 100,
        cooldown: Duration::ZERO,
        ..Policy::new(&Settings::default()).unwrap()
    };
    by(engine, dir, 7, policy)
}

#[tokio::test(start_paused = true)]
async fn one_store_rots_also_where_it_could_not_be_mended() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, mut monkey) = two_stores(dir.path());
    let (first, second) = ("storage-node-1", "storage-node-2");
    let rot = |whom| order(Fault::BitRot, whom);
    let sent = monkey.attack(&rot(first), Instant::now()).await;
    injected(dir.path()).await;
    // Another monkey's, by the word of the ledger: `chaos-monkey attack` beside the one that runs.
    let mut other = generous(&engine, dir.path());
    other
        .attack(&rot(second), Instant::now())
        .await
        .unwrap_err();
    stop(&engine, &sent.unwrap()).await;
    assert_eq!(ended(&mut monkey).await, End::Open);
    // Started by somebody, it looks well; its files rot all the same.
    engine.start(first).await.unwrap();
    monkey
        .attack(&rot(second), Instant::now())
        .await
        .unwrap_err();
    assert!(!monkey.is_busy());
    assert_eq!(ended(&mut monkey).await, End::Reverted, "it is tried again");
    assert_eq!(engine.joined().pop().unwrap(), "storage-node-1.0");
    monkey.attack(&rot(second), Instant::now()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_stays_open_is_tried_more_and_more_seldom_and_at_once_when_a_person_asks() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, mut monkey) = two_stores(dir.path());
    let rot = order(Fault::BitRot, "storage-node-1");
    let sent = monkey.attack(&rot, Instant::now()).await;
    injected(dir.path()).await;
    stop(&engine, &sent.unwrap()).await;
    assert_eq!(ended(&mut monkey).await, End::Open);
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(ended(&mut monkey).await, End::Open);
    }
    assert!(begun.elapsed() > Duration::from_secs(3600));
    // SIGUSR2 and the end try it once and do not hang on it.
    let begun = Instant::now();
    monkey.undo_all("SIGUSR2").await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    engine.start("storage-node-1").await.unwrap();
    let begun = Instant::now();
    assert_eq!(monkey.undo("storage-node-1"), 1);
    assert_eq!(ended(&mut monkey).await, End::Reverted);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn what_a_start_could_not_undo_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, mut first) = two_stores(dir.path());
    let rot = order(Fault::BitRot, "storage-node-1");
    let sent = first.attack(&rot, Instant::now()).await;
    injected(dir.path()).await;
    drop(first);
    stop(&engine, &sent.unwrap()).await;
    let mut second = generous(&engine, dir.path());
    assert_eq!(second.recover(dir.path()).await.unwrap(), 1);
    engine.start("storage-node-1").await.unwrap();
    assert_eq!(ended(&mut second).await, End::Reverted);
    assert!(ledger::read(dir.path()).unwrap()[0].end.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_was_created_in_its_place_is_started_only_with_its_networks() {
    for whole in [true, false] {
        let (engine, dir) = (three(), tempfile::tempdir().unwrap());
        let mut monkey = monkey(&engine, dir.path(), 7);
        let sent = monkey
            .attack(&order(Fault::Rm, "worker-1"), Instant::now())
            .await;
        sent.unwrap();
        injected(dir.path()).await;
        engine.create("worker-1", whole);
        let end = ended(&mut monkey).await;
        if whole {
            assert_eq!(end, End::Reverted);
            assert_eq!(engine.calls(), ["remove worker-1", "start worker-1"]);
        } else {
            assert_eq!(end, End::Open);
            assert_eq!(engine.calls(), ["remove worker-1"]);
        }
    }
}
