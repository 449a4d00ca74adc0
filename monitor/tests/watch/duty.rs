//! Two watchers on one engine, in containers as people run them.

use crate::world::{World, wait};

const MONITOR: &str = env!("CARGO_BIN_EXE_monitor");

/// A watcher in a container, as our image would be, but with the program from outside.
fn watcher(world: &World, short: &str, env: &[&str]) -> String {
    watcher_with(world, short, &[], env)
}

fn watcher_with(world: &World, short: &str, more: &[&str], env: &[&str]) -> String {
    let socket = format!("{}/sock:/var/run/docker.sock", world.engine.dir.display());
    let program = format!("{MONITOR}:/monitor:ro");
    let label = format!("AUTOHEAL_CONTAINER_LABEL={}", world.label);
    let mut options = vec![
        "--label",
        "planaria.watcher=true",
        "--network",
        "none",
        "--volume",
        &socket,
        "--volume",
        &program,
        "--env",
        &label,
    ];
    options.extend(more);
    for pair in env {
        options.extend(["--env", pair]);
    }
    world.run_unmarked(short, &options, &["/monitor", "watch"])
}

fn says(world: &World, watcher: &str, wanted: &str) -> bool {
    times_said(world, watcher, wanted) > 0
}

fn times_said(world: &World, watcher: &str, wanted: &str) -> usize {
    let output = world.engine.try_docker(&["logs", watcher]);
    let both = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&both).matches(wanted).count()
}

fn kill_and_await(world: &World, victim: &str) {
    let old = world.engine.started(victim);
    world.engine.docker(&["kill", victim]);
    world.engine.wait_for_new_life(victim, &old);
}

#[test]
fn two_watchers_never_act_twice_and_the_second_takes_over() {
    let world = World::new("two");
    let victim = world.counted("victim", "exec sleep infinity");
    let first = watcher(&world, "first", &[]);
    wait("the first watches", || {
        says(&world, &first, "Watching 1 of")
    });
    let second = watcher(&world, "second", &[]);
    wait("the second stands by", || {
        says(
            &world,
            &second,
            &format!("Standing by: {first} watches already"),
        )
    });
    let before = world.starts("victim");
    for round in 1..=3 {
        kill_and_await(&world, &victim);
        wait("the first tells", || {
            says(&world, &first, &format!("(restart {round})"))
        });
    }
    assert_eq!(world.starts("victim"), before + 3);
    assert!(!says(&world, &second, "Restarting..."));
    // Frozen, it may wake at any moment, and must find that it is not on duty any more.
    world.engine.docker(&["pause", &first]);
    wait("the second is on duty", || {
        says(&world, &second, "On duty now")
    });
    kill_and_await(&world, &victim);
    world.engine.docker(&["unpause", &first]);
    wait("the second stands by again", || {
        times_said(&world, &second, "Standing by") == 2
    });
    // Gone for good.
    world.engine.docker(&["rm", "--force", &first]);
    kill_and_await(&world, &victim);
    wait("the second tells", || {
        says(&world, &second, &format!("Peer {victim} came back"))
    });
    assert_eq!(world.starts("victim"), before + 5);
}

#[test]
fn a_death_while_the_first_is_being_killed_is_healed_once() {
    let world = World::new("gap");
    let victim = world.counted("victim", "exec sleep infinity");
    let first = watcher(&world, "first", &[]);
    wait("the first watches", || {
        says(&world, &first, "Watching 1 of")
    });
    let second = watcher(&world, "second", &[]);
    wait("the second stands by", || {
        says(&world, &second, "Standing by")
    });
    let (old, before) = (world.engine.started(&victim), world.starts("victim"));
    world.engine.docker(&["kill", &first, &victim]);
    world.engine.wait_for_new_life(&victim, &old);
    wait("the second is on duty", || {
        says(&world, &second, "On duty now")
    });
    kill_and_await(&world, &victim);
    assert_eq!(world.starts("victim"), before + 2);
}

/// It dies between two steps, Docker brings it back, and it finishes what it finds: one start for one death.
fn crash_after(point: &str) {
    let world = World::new(point);
    let victim = world.counted("victim", "exec sleep infinity");
    let state = world.state_volume();
    let after = format!("CRASH_AFTER={point}");
    let more = ["--restart=unless-stopped", "--volume", &state];
    let env = ["STATE_DIR=/state", "CRASH_MARK=/state/crashed", &after];
    let watcher = watcher_with(&world, "watcher", &more, &env);
    wait("it watches", || says(&world, &watcher, "Watching 1 of"));
    let (life, before) = (world.engine.started(&watcher), world.starts("victim"));
    let old = world.engine.started(&victim);
    world.engine.docker(&["kill", &victim]);
    world.engine.wait_for_new_life(&victim, &old);
    world.engine.wait_for_new_life(&watcher, &life);
    wait("it watches again", || {
        times_said(&world, &watcher, "Watching 1 of") == 2
    });
    kill_and_await(&world, &victim);
    wait("it tells of the next one", || {
        says(&world, &watcher, &format!("Peer {victim} came back"))
    });
    assert_eq!(world.starts("victim"), before + 2, "after {point}");
}

#[test]
fn a_watcher_that_crashes_before_its_order_starts_once() {
    crash_after("order_sent");
}

#[test]
fn a_watcher_that_crashes_after_its_call_starts_once() {
    crash_after("call_made");
}

#[test]
fn a_watcher_that_crashes_over_its_volume_starts_once() {
    crash_after("saved");
}

#[test]
fn watchers_of_different_labels_do_not_stand_in_for_each_other() {
    let (world, other) = (World::new("one"), World::new("other"));
    let victim = world.sleeper("victim", &[]);
    let stranger = other.sleeper("stranger", &[]);
    let first = watcher(&world, "first", &[]);
    wait("the first watches", || {
        says(&world, &first, "Watching 1 of")
    });
    let second = watcher(&other, "second", &[]);
    wait("the second watches", || {
        says(&other, &second, "Watching 1 of")
    });
    kill_and_await(&other, &stranger);
    kill_and_await(&world, &victim);
    assert!(!says(&other, &second, "Standing by"));
}
