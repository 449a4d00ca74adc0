//! A compose file as docker-autoheal's users have it, with only the image's name changed.

use crate::world::{Engine, IMAGE, Receiver, engine, wait};
use std::process::Command;

const TAG: &str = "planaria/monitor:watch-test";

/// Our image by its own Dockerfile, on a base in which this test's program runs.
fn build_image(engine: &Engine) {
    let folder = tempfile::tempdir().unwrap();
    let dockerfile = include_str!("../../../docker/monitor/Dockerfile");
    let on_debian = dockerfile.replace("FROM scratch", &format!("FROM {IMAGE}"));
    assert_ne!(dockerfile, on_debian);
    std::fs::write(folder.path().join("Dockerfile"), on_debian).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_monitor"), folder.path().join("monitor")).unwrap();
    std::fs::create_dir(folder.path().join("state")).unwrap();
    std::fs::write(folder.path().join("ca-certificates.crt"), "").unwrap();
    let path = folder.path().display().to_string();
    engine.docker(&["build", "--quiet", "--tag", TAG, &path]);
}

#[test]
fn an_autoheal_compose_file_works_with_only_the_image_name_changed() {
    let engine = engine();
    build_image(engine);
    let receiver = Receiver::start();
    let theirs = format!(
        "version: '3'
services:
  autoheal:
    restart: always
    image: willfarrell/autoheal
    command: autoheal
    tty: true
    environment:
      - AUTOHEAL_CONTAINER_LABEL=autoheal-app
      - AUTOHEAL_INTERVAL=5
      - AUTOHEAL_START_PERIOD=0
      - AUTOHEAL_DEFAULT_STOP_TIMEOUT=3
      - CURL_TIMEOUT=30
      - WEBHOOK_URL=http://{}:{}/hook
    volumes:
      - /etc/localtime:/etc/localtime:ro
      - {}/sock:/var/run/docker.sock
    network_mode: bridge
  app:
    image: {IMAGE}
    command: sleep infinity
    network_mode: bridge
    tmpfs: /t
    labels:
      autoheal-app: True
    healthcheck:
      test: test ! -f /t/sick
      interval: 1s
      retries: 1
",
        engine.gateway,
        receiver.port,
        engine.dir.display()
    );
    let ours = theirs.replace("willfarrell/autoheal", TAG);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("docker-compose.yml"), ours).unwrap();
    let compose = |arguments: &[&str]| {
        let output = Command::new("docker-compose")
            .args(["--project-name", "watchdropin"])
            .args(arguments)
            .current_dir(folder.path())
            .env("DOCKER_HOST", engine.host())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    compose(&["up", "--detach"]);
    let app = compose(&["ps", "--quiet", "app"]);
    let healer = compose(&["ps", "--quiet", "autoheal"]);
    let healthy = |id: &str| engine.state(id)["Health"]["Status"] == "healthy";
    wait("both are healthy", || healthy(&app) && healthy(&healer));
    let old = engine.started(&app);
    engine.docker(&["exec", &app, "touch", "/t/sick"]);
    engine.wait_for_new_life(&app, &old);
    // The image's default key is docker-autoheal's image's.
    let told = receiver.wait_for("the webhook", |body| body["content"].is_string());
    let text = told["content"].as_str().unwrap();
    assert!(
        text.contains("found to be unhealthy. Successfully restarted the container!"),
        "{text}"
    );
    let log = compose(&["logs", "--no-color", "autoheal"]);
    for line in [
        "AUTOHEAL_INTERVAL has no effect here",
        "CURL_TIMEOUT has no effect here",
    ] {
        assert!(log.contains(line), "{log}");
    }
    compose(&["down", "--volumes", "--timeout", "2"]);
}
