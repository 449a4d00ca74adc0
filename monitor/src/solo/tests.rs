//! One test per variable that people bring from docker-autoheal, and the bodies of its messages.

use super::variables::{Form, Script, Target};
use super::{Evidence, Variables, text};
use planaria_core::message::{Incident, IncidentOutcome, RestartReason};
use planaria_core::settings::Settings;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

fn read(pairs: &[(&str, &str)]) -> Variables {
    Variables::read(&|name: &str| {
        pairs
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

/// It is understood, changes nothing, and that is said in one line that names it.
fn only_noted(name: &str, value: &str) {
    let variables = read(&[(name, value)]);
    assert_eq!(variables.notes.len(), 1, "{:?}", variables.notes);
    assert!(
        variables.notes[0].starts_with(name),
        "{:?}",
        variables.notes
    );
    let silent = Variables {
        notes: Vec::new(),
        ..variables
    };
    assert_eq!(silent, read(&[]));
}

#[test]
fn autoheal_container_label() {
    assert_eq!(read(&[]).label, None);
    let named = read(&[("AUTOHEAL_CONTAINER_LABEL", "all")]);
    assert_eq!(named.label.as_deref(), Some("all"));
    assert_eq!(read(&[("AUTOHEAL_CONTAINER_LABEL", "")]).label, None);
}

#[test]
fn autoheal_interval() {
    only_noted("AUTOHEAL_INTERVAL", "5");
}

#[test]
fn autoheal_start_period_and_start_delay() {
    assert_eq!(read(&[]).start_period, Duration::ZERO);
    for name in ["AUTOHEAL_START_PERIOD", "AUTOHEAL_START_DELAY"] {
        assert_eq!(read(&[(name, "30")]).start_period, Duration::from_secs(30));
    }
    let wrong = read(&[("AUTOHEAL_START_PERIOD", "soon")]);
    assert_eq!(wrong.start_period, Duration::ZERO);
    assert!(wrong.notes[0].contains("AUTOHEAL_START_PERIOD"));
}

#[test]
fn autoheal_default_stop_timeout_and_stop_timeout() {
    assert_eq!(read(&[]).autoheal.stop_timeout, None);
    for name in ["AUTOHEAL_DEFAULT_STOP_TIMEOUT", "AUTOHEAL_STOP_TIMEOUT"] {
        let timeout = read(&[(name, "20")]).autoheal.stop_timeout;
        assert_eq!(timeout, Some(Duration::from_secs(20)));
    }
}

#[test]
fn autoheal_only_monitor_running() {
    assert!(!read(&[]).autoheal.only_running);
    for value in ["true", "True", "1"] {
        let variables = read(&[("AUTOHEAL_ONLY_MONITOR_RUNNING", value)]);
        assert!(variables.autoheal.only_running, "{value}");
    }
    assert!(
        !read(&[("AUTOHEAL_ONLY_MONITOR_RUNNING", "False")])
            .autoheal
            .only_running
    );
}

#[test]
fn autoheal_exclude_containers() {
    let variables = read(&[("AUTOHEAL_EXCLUDE_CONTAINERS", "db, /cache,,")]);
    assert_eq!(variables.autoheal.exclude, ["db", "cache"]);
}

#[test]
fn autoheal_monitor_all() {
    assert!(read(&[("AUTOHEAL_MONITOR_ALL", "TRUE")]).autoheal.all);
    assert!(!read(&[("AUTOHEAL_MONITOR_ALL", "FALSE")]).autoheal.all);
}

#[test]
fn autoheal_log_all_and_log_persist() {
    only_noted("AUTOHEAL_LOG_ALL", "TRUE");
    only_noted("AUTOHEAL_LOG_PERSIST", "TRUE");
}

#[test]
fn curl_timeout_and_its_relatives() {
    only_noted("CURL_TIMEOUT", "30");
    only_noted("timeout", "30");
    only_noted("AUTOHEAL_TCP_TIMEOUT", "10");
}

#[test]
fn autoheal_connection_type_with_host_port_and_pem_path() {
    let docker = |pairs: &[(&str, &str)]| read(pairs).docker;
    let kind = "AUTOHEAL_CONNECTION_TYPE";
    assert_eq!(docker(&[(kind, "local")]), None);
    assert_eq!(docker(&[(kind, "socket")]), None);
    assert_eq!(
        docker(&[(kind, "http")]).as_deref(),
        Some("tcp://localhost:2375")
    );
    assert_eq!(
        docker(&[
            (kind, "http"),
            ("AUTOHEAL_TCP_HOST", "proxy"),
            ("AUTOHEAL_TCP_PORT", "2300")
        ])
        .as_deref(),
        Some("tcp://proxy:2300")
    );
    let tls = read(&[(kind, "ssl"), ("AUTOHEAL_TCP_HOST", "engine")]);
    assert_eq!(tls.docker.as_deref(), Some("tcps://engine:2376"));
    let files = ["ca.pem", "cert.pem", "key.pem"];
    let folder = |folder: &str| files.map(|name| PathBuf::from(folder).join(name));
    assert_eq!(tls.certificates, Some(folder("/opt/docker-autoheal/tls")));
    let moved = read(&[(kind, "ssl"), ("AUTOHEAL_PEM_PATH", "/tls")]);
    assert_eq!(moved.certificates, Some(folder("/tls")));
    assert!(read(&[(kind, "pigeon")]).notes[0].contains("pigeon"));
}

#[test]
fn docker_sock() {
    let docker = |value: &str| read(&[("DOCKER_SOCK", value)]).docker;
    assert_eq!(docker("/run/d.sock").as_deref(), Some("unix:///run/d.sock"));
    assert_eq!(
        docker("tcp://proxy:2375").as_deref(),
        Some("tcp://proxy:2375")
    );
    let tls = read(&[("DOCKER_SOCK", "tcps://engine:2376")]);
    assert_eq!(tls.docker.as_deref(), Some("tcps://engine:2376"));
    let files = ["ca.pem", "client-cert.pem", "client-key.pem"];
    assert_eq!(
        tls.certificates,
        Some(files.map(|name| PathBuf::from("/certs").join(name)))
    );
}

#[test]
fn docker_host_wins_and_brings_the_docker_clis_certificates() {
    let mut settings = Settings {
        docker_host: Some("tcp://engine:2376".into()),
        ..Settings::default()
    };
    let variables = read(&[
        ("DOCKER_SOCK", "/elsewhere.sock"),
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", "/me/.docker"),
    ]);
    variables.complete(&mut settings);
    assert_eq!(settings.docker_host.as_deref(), Some("tcp://engine:2376"));
    let cli = read(&[
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", "/me/.docker"),
    ]);
    cli.complete(&mut settings);
    assert_eq!(
        settings.docker_key_file,
        Some(PathBuf::from("/me/.docker/key.pem"))
    );
}

#[test]
fn ca_client_key_and_client_cert() {
    let all = [("CA", "/a"), ("CLIENT_CERT", "/b"), ("CLIENT_KEY", "/c")];
    assert_eq!(
        read(&all).certificates,
        Some(["/a", "/b", "/c"].map(PathBuf::from))
    );
    let half = read(&all[..1]);
    assert_eq!(half.certificates, None);
    assert!(half.notes[0].contains("CLIENT_KEY"));
}

fn target(url: &str, form: Form) -> Target {
    Target {
        url: url.to_owned(),
        form,
    }
}

#[test]
fn webhook_url_and_webhook_json_key() {
    let url = ("WEBHOOK_URL", "https://chat/x");
    assert_eq!(
        read(&[url]).targets,
        [target(url.1, Form::Key("text".into()))]
    );
    assert_eq!(
        read(&[url, ("WEBHOOK_JSON_KEY", "content")]).targets,
        [target(url.1, Form::Key("content".into()))]
    );
}

#[test]
fn autoheal_webhook_url_and_key() {
    let variables = read(&[
        ("AUTOHEAL_WEBHOOK_URL", "http://chat"),
        ("AUTOHEAL_WEBHOOK_KEY", "msg"),
    ]);
    assert_eq!(
        variables.targets,
        [target("http://chat", Form::Key("msg".into()))]
    );
}

#[test]
fn apprise_url_and_autoheal_apprise_url() {
    for name in ["APPRISE_URL", "AUTOHEAL_APPRISE_URL"] {
        assert_eq!(
            read(&[(name, "http://apprise/notify")]).targets,
            [target("http://apprise/notify", Form::Apprise)]
        );
    }
}

fn sick() -> Evidence {
    Evidence {
        id: "0123456789abcdef".into(),
        name: "web".into(),
        state: "running".into(),
        health_failures: 3,
        health_output: "connection refused".into(),
        health_exit_code: Some(1),
        last_lines: vec!["GET /".into(), "stuck".into()],
        stop_timeout: 20,
        ..Evidence::default()
    }
}

#[test]
fn post_restart_script_and_autoheal_post_action() {
    let variables = read(&[
        ("POST_RESTART_SCRIPT", "/scripts/after --loud"),
        ("AUTOHEAL_POST_ACTION", "/scripts/action"),
    ]);
    let commands: Vec<Vec<String>> = variables
        .scripts
        .iter()
        .map(|script| script.command(&sick()))
        .collect();
    assert_eq!(
        commands,
        [
            vec![
                "/scripts/after",
                "--loud",
                "/web",
                "0123456789ab",
                "running",
                "20"
            ],
            vec!["/scripts/action", "web", "0123456789abcdef", "20"],
        ]
    );
    assert_eq!(
        variables.scripts[1],
        Script::PostAction("/scripts/action".into())
    );
}

fn incident(reason: RestartReason, outcome: IncidentOutcome) -> Incident {
    let text = json_incident(reason, outcome);
    serde_json::from_value(text).unwrap()
}

fn json_incident(reason: RestartReason, outcome: IncidentOutcome) -> serde_json::Value {
    serde_json::json!({
        "id": "1-1", "name": "web", "container": "0123456789abcdef", "reason": reason,
        "evidence": "Docker's health check says unhealthy", "by": "watch", "term": 0,
        "detect_ms": 0, "order_ms": 60, "start_ms": 240, "healthy_ms": 700,
        "outcome": outcome, "notes": BTreeMap::<String, String>::new(),
    })
}

#[test]
fn the_webhook_says_docker_autoheals_sentence_and_then_why() {
    let healed = incident(RestartReason::Unhealthy, IncidentOutcome::Healed);
    let said = text::incident(&healed, Some(&sick()));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "Container web (0123456789ab) found to be unhealthy. Successfully restarted the container!",
            "Why: Docker's health check says unhealthy",
            "Health check: 3 failures in a row, the last with exit code 1: connection refused",
            "It took 1000 ms (detected 0 ms, ordered 60 ms, running 240 ms, healthy 700 ms)",
            "Last lines:",
            "GET /",
            "stuck",
        ]
    );
    let failed = incident(RestartReason::Unhealthy, IncidentOutcome::Failed);
    let said = text::incident(&failed, None);
    assert!(said.starts_with(
        "Container web (0123456789ab) found to be unhealthy. Failed to restart the container!\n"
    ));
}

#[test]
fn the_webhook_says_exit_code_and_memory_and_stays_short() {
    let mut dead = sick();
    dead.exit_code = Some(137);
    dead.oom_killed = true;
    dead.last_lines = vec!["x".repeat(300); 20];
    let said = text::incident(
        &incident(RestartReason::OutOfMemory, IncidentOutcome::Healed),
        Some(&dead),
    );
    assert!(said.contains("found to be out of memory."));
    assert!(said.contains("Exit code 137, out of memory"));
    assert!(said.chars().count() < 2000, "{}", said.chars().count());
    assert!(said.ends_with("xxx"));
}
