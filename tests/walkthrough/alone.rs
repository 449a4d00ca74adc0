//! Acceptance 9: `monitor watch` alone, without a broker and without a group.

use anyhow::{Result, ensure};
use planaria_e2e::docker::{docker, ensure_well, log, started_at, state};
use planaria_e2e::patience::{SOON, always, eventually};
use planaria_e2e::stack::PROJECT;
use std::time::Duration;

/// Removes what it started, whatever comes of the test.
struct Started(Vec<String>);

impl Started {
    fn run(&mut self, name: &str, arguments: &[&str]) -> Result<()> {
        self.0.push(name.to_owned());
        let label = format!("com.docker.compose.project={PROJECT}");
        let mut command = vec!["run", "--detach", "--name", name, "--label", &label];
        command.extend(arguments);
        docker(&command).map(drop)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        for name in &self.0 {
            // Removing is all that is left to do; a failure shows in the stack's own clean-up.
            let _ = docker(&["rm", "--force", "--volumes", name]);
        }
    }
}

#[test]
fn watch_alone_heals_the_unhealthy_and_the_killed_and_touches_no_other() -> Result<()> {
    let mut started = Started(Vec::new());
    started.run(
        "alone-watch",
        &[
            "--volume",
            "/var/run/docker.sock:/var/run/docker.sock",
            "--read-only",
            "planaria/monitor",
        ],
    )?;
    let check = [
        "--health-cmd",
        "test ! -e /tmp/sick",
        "--health-interval",
        "1s",
        "--health-retries",
        "1",
    ];
    let mut sick = vec!["--label", "autoheal=true"];
    sick.extend(check);
    // `--tmpfs`: the sickness is gone after a restart, as it is with most that restart for it.
    sick.extend(["--tmpfs", "/tmp", "planaria/plain"]);
    started.run("alone-sick", &sick)?;
    started.run(
        "alone-killed",
        &["--label", "autoheal=true", "planaria/plain"],
    )?;
    started.run("alone-other", &["planaria/plain"])?;
    for name in ["alone-watch", "alone-sick", "alone-killed"] {
        eventually("all are well", SOON, || ensure_well(name))?;
    }
    let before = started_at("alone-sick")?;
    docker(&["exec", "alone-sick", "touch", "/tmp/sick"])?;
    docker(&["kill", "alone-killed", "alone-other"])?;
    eventually("both are healed", SOON, || {
        ensure!(
            started_at("alone-sick")? != before,
            "the unhealthy one was not restarted: {}",
            log("alone-watch")?
        );
        ensure_well("alone-sick")?;
        ensure_well("alone-killed")
    })?;
    always(
        "the one without a label is left alone",
        Duration::from_secs(5),
        || {
            ensure!(
                state("alone-other")? == "exited",
                "alone-other is {}",
                state("alone-other")?
            );
            Ok(())
        },
    )
}
