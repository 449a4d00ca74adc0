//! Help, usage, exit codes.

use crate::support::{free_port, monitor, start, wait_for};
use std::process::Command;

fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    output(monitor(free_port()).args(arguments))
}

#[test]
fn help_names_verbs_and_exit_codes() {
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    for word in [
        "run",
        "watch",
        "status",
        "events",
        "why",
        "replay",
        "heal",
        "hold",
        "release",
        "70 apoptosis",
        "78",
    ] {
        assert!(help.contains(word), "{word} is missing:\n{help}");
    }
    assert_eq!(run(&["--version"]).0, Some(0));
    assert_eq!(run(&["run", "--help"]).0, Some(0));
    assert!(run(&["completions", "bash"]).1.contains("monitor"));
}

#[test]
fn usage_is_2() {
    for wrong in [
        &[][..],
        &["nonsense"],
        &["run"],
        &["heal"],
        &["hold"],
        &["why"],
    ] {
        assert_eq!(run(wrong).0, Some(2), "{wrong:?}");
    }
}

#[test]
fn bad_configuration_is_78_and_said_at_once() {
    let mut command = monitor(free_port());
    command.env("PLANARIA_HEARTBEET_INTERVAL", "1s");
    command.env("PLANARIA_LEASE", "soon");
    let (code, _, errors) = output(command.arg("status"));
    assert_eq!(code, Some(78), "{errors}");
    assert!(
        errors.contains("HEARTBEAT_INTERVAL") && errors.contains("LEASE"),
        "{errors}"
    );
    let (code, _, errors) = run(&["watch", "--group"]);
    assert_eq!(code, Some(78));
    assert!(errors.contains("AMQP_URLS"), "{errors}");
    let (code, _, errors) = run(&["--config", "/nonexistent.ini", "status"]);
    assert_eq!(code, Some(78));
    assert!(errors.contains("/nonexistent.ini"), "{errors}");
}

#[test]
fn nobody_there_is_69_and_ping_is_1() {
    assert_eq!(run(&["status"]).0, Some(69));
    assert_eq!(run(&["events"]).0, Some(69));
    assert_eq!(run(&["why", "worker-1"]).0, Some(69));
    assert_eq!(run(&["ping"]).0, Some(1));
    let closed = free_port().to_string();
    assert_eq!(run(&["ping", "--tcp", &closed]).0, Some(1));
    let mut command = monitor(free_port());
    command.env("DOCKER_HOST", "unix:///nonexistent.sock");
    let (code, _, errors) = output(command.arg("watch"));
    assert_eq!(code, Some(69), "{errors}");
    assert!(errors.contains("nonexistent.sock"), "{errors}");
}

#[test]
fn without_the_operator_key_77_names_the_way() {
    let (code, _, errors) = run(&["heal", "worker-1"]);
    assert_eq!(code, Some(77));
    assert!(
        errors.contains("docker exec healer-1 monitor heal"),
        "{errors}"
    );
}

#[test]
fn a_monitor_answers_its_own_command_line() {
    let port = free_port();
    let mut running =
        start(monitor(port).args(["run", "--", "sh", "-c", "echo up; exec sleep 300"]));
    assert_eq!(running.line(), "up");
    wait_for("the health server", || {
        monitor(port).arg("ping").status().unwrap().success()
    });
    let (code, text, _) = output(monitor(port).arg("status"));
    assert_eq!(code, Some(0));
    assert!(text.contains("Cluster planaria, seen by test-1"), "{text}");
    let (code, json, _) = output(monitor(port).args(["status", "--json"]));
    assert_eq!(code, Some(0));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["node"], "test-1");
    assert_eq!(json["broker"], "none");
    let (code, text, _) = output(monitor(port).args(["events", "--limit", "3", "--json"]));
    assert_eq!((code, text.as_str()), (Some(0), ""), "nothing happened yet");
    let (code, text, errors) = output(monitor(port).args(["why", "stranger"]));
    assert_eq!((code, text.as_str()), (Some(1), ""));
    assert!(
        errors.contains("test-1 knows nothing of stranger"),
        "{errors}"
    );
    let (code, text, _) = output(monitor(port).args(["members", "--state", "dead,quarantined"]));
    assert_eq!(code, Some(1), "nobody is:\n{text}");
    let (code, _, errors) = output(monitor(port).args(["members", "--state", "deed"]));
    assert_eq!(code, Some(2));
    assert!(errors.contains("expected one of `joining`"), "{errors}");
    let (code, text, _) = output(monitor(port).args(["heal", "--all"]));
    assert_eq!((code, text.as_str()), (Some(0), "Nobody is down.\n"));
    running.signal(15);
    assert_eq!(running.end().code(), Some(143));
}

#[test]
fn each_line_of_the_json_log_is_an_object_with_the_same_fields() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut running = start(
        monitor(free_port())
            .env("PLANARIA_LOG_FORMAT", "json")
            .env("PLANARIA_LOG_LEVEL", "debug")
            .stderr(std::fs::File::create(&log).unwrap())
            .args(["run", "--", "sh", "-c", "echo up; exec sleep 300"]),
    );
    assert_eq!(running.line(), "up");
    let lines = || std::fs::read_to_string(&log).unwrap();
    wait_for("the start in the log", || lines().contains("child_started"));
    running.signal(15);
    assert_eq!(running.end().code(), Some(143));
    for line in lines().lines() {
        let line: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level", "event", "message"] {
            assert!(
                line.get(field).is_some_and(serde_json::Value::is_string),
                "{field} in {line:?}"
            );
        }
    }
}

#[test]
fn what_a_monitor_recorded_replays_until_a_line_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("member.key");
    std::fs::write(&secret, "5".repeat(64)).unwrap();
    // Nobody listens there: the core is told so, again and again.
    let broker = format!("amqp://u:p@127.0.0.1:{}/%2f", free_port());
    let mut running = start(
        monitor(free_port())
            .env("PLANARIA_STATE_DIR", folder.path())
            .env("PLANARIA_AMQP_URLS", broker)
            .env("PLANARIA_MEMBER_SECRET_FILE", secret)
            .args(["run", "--", "sleep", "300"]),
    );
    let file = folder.path().join("recording.jsonl");
    let recorded = || std::fs::read_to_string(&file).unwrap_or_default();
    wait_for("a recorded input", || {
        recorded().contains("broker_disconnected")
    });
    running.signal(15);
    assert_eq!(running.end().code(), Some(143));
    let path = file.to_str().unwrap();
    let (code, text, errors) = run(&["replay", path]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(text.contains("replayed to the same effects"), "{text}");
    assert!(!recorded().contains(&"5".repeat(64)), "it holds no key");
    let changed = recorded().replacen("\"effects\":\"", "\"effects\":\"0", 1);
    std::fs::write(&file, changed).unwrap();
    let (code, text, errors) = run(&["replay", path, "--json"]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.contains("line 2: the effects are others"),
        "{errors}"
    );
    assert!(text.contains("\"same\":false"), "{text}");
    assert_eq!(run(&["replay", "/nonexistent"]).0, Some(1));
}

#[test]
fn it_installs_itself() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("bin");
    let (code, text, errors) = run(&["install", target.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(text.trim(), target.join("monitor").to_str().unwrap());
    let status = Command::new(target.join("monitor"))
        .arg("--version")
        .output()
        .unwrap();
    assert!(status.status.success());
}
