//! What was recorded from real ones: the engine's events, and what monitors were told.

use planaria_core::engine::RestartPolicy;
use planaria_sim::{Act, Stage, World, replay};
use std::path::Path;
use std::time::Duration;

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings");

/// What the simulated engine says about an act of the recording.
fn simulated(act: &str) -> Vec<String> {
    let name = || "plain-1".to_owned();
    let stage = Stage::of(0, 0, 1).with("plain-1", |spec| {
        spec.policy = RestartPolicy::No;
        spec.stubborn = act == "stop_stubborn";
    });
    let mut world = World::new(1, stage);
    world.run_for(Duration::from_secs(5));
    let id = world.id_of("plain-1");
    if act.ends_with("_of_the_dead") {
        world.happens(Act::Kill(name(), 9));
    }
    if act.ends_with("_of_the_paused") {
        world.happens(Act::Pause(name()));
    }
    world.run_for(Duration::from_secs(2));
    let before = world.told_of(&id).len();
    world.happens(match act {
        "kill" => Act::Kill(name(), 9),
        "kill_term" => Act::Kill(name(), 15),
        "kill_usr1" => Act::Kill(name(), 10),
        "stop" | "stop_stubborn" | "stop_of_the_dead" | "stop_of_the_paused" => Act::Stop(name()),
        "restart" | "restart_of_the_dead" => Act::Restart(name()),
        "start_of_the_dead" => Act::Start(name()),
        "pause" => Act::Pause(name()),
        "unpause_of_the_paused" => Act::Unpause(name()),
        "rm" | "rm_of_the_dead" => Act::Remove(name()),
        other => panic!("no act of people is called {other}"),
    });
    world.run_for(Duration::from_secs(15));
    world.told_of(&id).split_off(before)
}

#[test]
fn the_simulated_engine_says_what_the_real_one_said() {
    let text = std::fs::read_to_string(Path::new(RECORDED).join("engine.txt"))
        .expect("the recording is in the tree");
    let mut compared = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (act, events) = line.split_once(':').expect("an act, a colon, events");
        // `docker restart` says so at its end; no decision is made by that.
        let real: Vec<_> = events
            .split(' ')
            .filter(|e| !e.is_empty() && *e != "restart")
            .collect();
        assert_eq!(simulated(act), real, "{act}");
        compared += 1;
    }
    assert!(compared >= 14, "only {compared} acts are recorded");
}

/// Under disasters, the leader among them: a recording replays to the same effects.
#[test]
fn what_a_simulated_process_was_told_replays_to_the_same_effects() {
    for name in ["healer-3", "healer-1", "worker-1"] {
        let mut stage = Stage::standard();
        stage.record = Some(name.to_owned());
        let mut world = World::new(3, stage);
        world.run_for(Duration::from_secs(30));
        world.happens(Act::Kill("plain-1".into(), 9));
        world.happens(Act::Hang("worker-2".into()));
        world.run_for(Duration::from_secs(20));
        world.happens(Act::Kill("rabbitmq".into(), 9));
        world.happens(Act::LoseEvents(200));
        world.happens(Act::Stop("plain-2".into()));
        world.run_for(Duration::from_secs(30));
        assert!(world.violations().is_empty(), "{:?}", world.violations());
        let replayed = replay(world.recording()).expect("a recording");
        assert!(replayed.inputs > 50, "{name}: {} inputs", replayed.inputs);
        assert_eq!(replayed.differs, None, "{name}");
    }
}

/// Takes the core through every recording of a folder, twice to the same end; says how many there were.
fn replay_all(folder: &Path) -> usize {
    let mut found = 0;
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|ending| ending != "jsonl") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("text");
        let one = replay(&text).unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
        assert_eq!(
            Some(&one),
            replay(&text).ok().as_ref(),
            "{}",
            path.display()
        );
        assert!(one.inputs > 0, "{}", path.display());
        found += 1;
    }
    found
}

/// A recording of a container is made a test by copying it into the folder. That its effects are those of
/// its day is not asked: a mended core decides otherwise, that was the point.
#[test]
fn recordings_in_the_tree_replay() {
    replay_all(Path::new(RECORDED));
    let folder = std::env::temp_dir().join(format!("planaria-recordings-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for one recording");
    let mut stage = Stage::standard();
    stage.record = Some("healer-3".to_owned());
    let mut world = World::new(7, stage);
    world.run_for(Duration::from_secs(20));
    std::fs::write(folder.join("one.jsonl"), world.recording()).expect("room for it");
    let found = replay_all(&folder);
    std::fs::remove_dir_all(&folder).expect("it can be removed again");
    assert_eq!(found, 1);
}
