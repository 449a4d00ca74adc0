//! What it does where it is told to do something else than heal, and how it says so.

use crate::world::{World, wait};
use std::process::Command;

#[test]
fn stop_ends_it_and_leaves_it_down_and_notify_and_none_touch_nothing() {
    let world = World::new("action");
    let stop = world.checked("stop", &["--label", "planaria.action=stop"]);
    let notify = world.checked("notify", &["--label", "autoheal.restart.enable=false"]);
    let none = world.checked("none", &["--label", "planaria.action=none"]);
    let restart = world.checked("restart", &["--label", "planaria.action=restart"]);
    let watcher = world.watcher(&[]);
    let before = [&notify, &none].map(|name| world.engine.started(name));
    for name in [&stop, &notify, &none] {
        world.sicken(name);
    }
    wait("the one to be stopped is down", || {
        !world.engine.runs(&stop)
    });
    watcher.wait_for_line("left down, as its label says");
    watcher.wait_for_line(&format!("{notify} needs healing"));
    // A healing that began after all of that is over: nothing else is to come.
    let old = world.engine.started(&restart);
    world.sicken(&restart);
    world.engine.wait_for_new_life(&restart, &old);
    assert!(!world.engine.runs(&stop));
    assert_eq!(
        [&notify, &none].map(|name| world.engine.started(name)),
        before
    );
    assert!(!watcher.said(&format!("{none} needs")), "{}", watcher.log());
}

#[test]
fn a_dry_run_says_what_it_would_do_and_why() {
    let world = World::new("dry");
    let sick = world.checked("sick", &[]);
    let killed = world.sleeper("killed", &[]);
    let watcher = world.watcher_with(&["--dry-run"], &[]);
    let old = world.engine.started(&sick);
    world.sicken(&sick);
    world.engine.docker(&["kill", &killed]);
    watcher.wait_for_line(&format!(
        "{sick} would be killed and started because: Docker's health check"
    ));
    watcher.wait_for_line(&format!(
        "{killed} would be started because: Docker event die, exit code 137"
    ));
    assert_eq!(world.engine.started(&sick), old);
    assert!(!world.engine.runs(&killed));
}

#[test]
fn without_labels_it_touches_nothing_and_says_how_to_begin() {
    let world = World::new("bare");
    let bare = world.run_unmarked("bare", &["--init"], &["sleep", "infinity"]);
    let marked = World::new("marked");
    let canary = marked.sleeper("canary", &[]);
    let watcher = world.watcher(&[]);
    watcher.wait_for_line("Watching 0 of ");
    watcher.wait_for_line(
        "label them autoheal=true (or planaria.enable=true), or set AUTOHEAL_CONTAINER_LABEL=all",
    );
    let _other = marked.watcher(&[]);
    world.engine.docker(&["kill", &bare]);
    let old = world.engine.started(&canary);
    world.engine.docker(&["kill", &canary]);
    world.engine.wait_for_new_life(&canary, &old);
    assert!(!world.engine.runs(&bare));
}

#[test]
fn the_history_outlives_a_restart_of_the_watcher() {
    let world = World::new("history");
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().display().to_string();
    let victim = world.sleeper("victim", &[]);
    let env = [("PLANARIA_STATE_DIR", state.as_str())];
    let watcher = world.watcher(&env);
    world.engine.docker(&["kill", &victim]);
    let told = |status: serde_json::Value| {
        let incidents = status["incidents"].as_array().unwrap().clone();
        incidents
            .iter()
            .any(|one| one["name"] == victim.as_str() && one["outcome"] == "healed")
    };
    wait("the healing is told", || told(watcher.status()));
    let metrics = watcher.get("/metrics");
    let counted = format!("planaria_restarts_total{{container=\"{victim}\",reason=\"killed\"}} 1");
    assert!(metrics.contains(&counted), "{metrics}");
    drop(watcher);
    let next = world.watcher(&env);
    assert!(told(next.status()));
}

#[test]
fn a_socket_that_is_missing_or_dead_or_forbidden_is_said_with_its_mend() {
    let folder = tempfile::tempdir().unwrap();
    let dead = folder.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let closed = folder.path().join("closed.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&closed).unwrap();
    let run = |socket: &std::path::Path, user: &[&str]| {
        let [program, arguments @ ..] = user else {
            panic!("no program")
        };
        let output = Command::new(program)
            .args(arguments)
            .arg("watch")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("PLANARIA_CONFIG", "/dev/null")
            .env("DOCKER_SOCK", socket)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let monitor = env!("CARGO_BIN_EXE_monitor");
    let (code, said) = run(&folder.path().join("none.sock"), &[monitor]);
    assert_eq!(code, Some(69), "{said}");
    assert!(
        said.contains("--volume /var/run/docker.sock:/var/run/docker.sock"),
        "{said}"
    );
    assert!(said.contains("rootless"), "{said}");
    let (code, said) = run(&dead, &[monitor]);
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("is the engine running?"), "{said}");
    std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    // The program itself may lie where nobody else may look.
    let copy = folder.path().join("monitor");
    std::fs::copy(monitor, &copy).unwrap();
    let copy = copy.display().to_string();
    let (code, said) = run(
        &closed,
        &[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            &copy,
        ],
    );
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("--group-add"), "{said}");
}
