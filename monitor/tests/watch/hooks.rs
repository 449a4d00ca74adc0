//! Whom it tells, and what.

use crate::world::{Receiver, World, wait};
use std::os::unix::fs::PermissionsExt;

#[test]
fn the_webhook_says_why_with_the_last_lines_and_the_checks_output() {
    let world = World::new("why");
    let receiver = Receiver::start();
    let full = Receiver::start();
    let own = Receiver::start();
    let own_url = format!("planaria.webhook={}", own.url());
    let sick = world.checked("sick", &["--label", &own_url]);
    let dying = world.run(
        "dying",
        &[],
        &["sh", "-c", "echo my last words; sleep 2; exit 3"],
    );
    let url = receiver.url();
    let full_url = full.url();
    let _watcher = world.watcher(&[
        ("WEBHOOK_URL", url.as_str()),
        ("WEBHOOK_JSON_KEY", "content"),
        ("APPRISE_URL", url.as_str()),
        ("PLANARIA_WEBHOOK_URL", full_url.as_str()),
    ]);
    world.sicken(&sick);
    let says = |body: &serde_json::Value, key: &str, word: &str| {
        body[key].as_str().is_some_and(|text| text.contains(word))
    };
    let sentence = "found to be unhealthy. Successfully restarted the container!";
    let body = receiver.wait_for("docker-autoheal's", |body| says(body, "content", sentence));
    assert_eq!(
        body.as_object().unwrap().len(),
        1,
        "one key and no other: {body}"
    );
    for word in [
        sick.as_str(),
        "Why: ",
        "feeling sick",
        "exit code 1",
        "It took ",
    ] {
        assert!(says(&body, "content", word), "{word} is missing: {body}");
    }
    let apprise = receiver.wait_for("Apprise's", |body| says(body, "body", sentence));
    assert_eq!(apprise["title"], "Autoheal");
    // The label's own receiver hears of its container and of no other.
    let told = own.wait_for("the label's", |body| body["kind"] == "incident");
    assert_eq!(told["container"]["name"], sick.as_str());
    assert_eq!(told["incident"]["outcome"], "healed");

    let dead = full.wait_for("the death with its last words", |body| {
        body["container"]["name"] == dying.as_str() && body["kind"] == "incident"
    });
    assert_eq!(dead["container"]["exit_code"], 3, "{dead}");
    assert_eq!(dead["container"]["oom_killed"], false);
    assert_eq!(dead["container"]["last_lines"][0], "my last words");
    assert!(dead["took_ms"].as_u64().is_some());
}

#[test]
fn scripts_get_the_arguments_that_their_users_know() {
    let world = World::new("script");
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("after");
    let told = folder.path().join("told");
    let text = format!("#!/bin/sh\necho \"$# $*\" >> {}\n", told.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let sick = world.checked("sick", &["--label", "autoheal.stop.timeout=7"]);
    let path = script.display().to_string();
    let _watcher = world.watcher(&[
        ("POST_RESTART_SCRIPT", path.as_str()),
        ("AUTOHEAL_POST_ACTION", path.as_str()),
    ]);
    let id = world.engine.inspect(&sick)["Id"]
        .as_str()
        .unwrap()
        .to_owned();
    world.sicken(&sick);
    let lines = || std::fs::read_to_string(&told).unwrap_or_default();
    let after = format!("4 /{sick} {} running 7\n", &id[..12]);
    let action = format!("3 {sick} {id} 7\n");
    wait("both scripts ran", || {
        lines().contains(&after) && lines().contains(&action)
    });
}

#[test]
fn a_receiver_that_is_away_hinders_nothing_and_is_named_without_its_secret() {
    let world = World::new("deaf");
    let victim = world.sleeper("victim", &[]);
    let watcher = world.watcher(&[("WEBHOOK_URL", "http://127.0.0.1:9/hooks/secret")]);
    let old = world.engine.started(&victim);
    world.engine.docker(&["kill", &victim]);
    world.engine.wait_for_new_life(&victim, &old);
    watcher.wait_for_line("The webhook to http://127.0.0.1:9 did not arrive");
    assert!(!watcher.said("secret"), "{}", watcher.log());
}
