//! Every fault on a real container: does it take effect, is it proven, is it undone?

use bollard::Docker;
use planaria_chaos::engine::Engine;
use planaria_chaos::fault::{Fault, Progress, Undone};
use planaria_chaos::target::Life;
use std::process::Command;
use std::time::Duration;

/// Generous: a loaded machine with two cores.
const STUCK: Duration = Duration::from_secs(30);

/// A container that is removed at the end, also when the test fails.
struct Sleeper(String);

impl Sleeper {
    fn start(name: &str) -> Self {
        let name = format!("planaria-test-chaos-{name}-{}", std::process::id());
        let label = "com.docker.compose.project=planaria-test";
        let args = [
            "run",
            "--detach",
            "--init",
            "--name",
            &name,
            "--label",
            label,
            "debian:trixie-slim",
            "sleep",
            "600",
        ];
        let output = Command::new("docker")
            .args(args)
            .output()
            .expect("docker is needed for these tests");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self(name)
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["rm", "--force", &self.0])
            .output();
    }
}

async fn fault_and_undo(fault: Fault) {
    let engine = Docker::connect_with_unix_defaults().unwrap();
    let sleeper = Sleeper::start(fault.name());
    let before = engine.inspect(&sleeper.0).await.unwrap();
    assert!(!fault.took(&engine, &before).await.unwrap(), "not yet");
    fault.inject(&engine, &before.id).await.unwrap();
    let took = async {
        while !fault.took(&engine, &before).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(STUCK, took).await.unwrap();
    assert_eq!(
        fault.progress(&engine, &before).await.unwrap(),
        Progress::Out
    );
    let undo = fault.about().undo;
    assert_eq!(undo.run(&engine, &before.id).await.unwrap(), Undone::Done);
    let back = async {
        while fault.progress(&engine, &before).await.unwrap() != Progress::Back {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(STUCK, back).await.unwrap();
    assert_eq!(
        undo.run(&engine, &before.id).await.unwrap(),
        Undone::Nothing,
        "twice is harmless"
    );
    assert_eq!(engine.inspect(&before.id).await.unwrap().life, Life::Well);
}

#[tokio::test]
async fn kill() {
    fault_and_undo(Fault::Kill).await;
}

#[tokio::test]
async fn term() {
    fault_and_undo(Fault::Term).await;
}

#[tokio::test]
async fn stop() {
    fault_and_undo(Fault::Stop).await;
}

#[tokio::test]
async fn pause() {
    fault_and_undo(Fault::Pause).await;
}

#[tokio::test]
async fn hang() {
    fault_and_undo(Fault::Hang).await;
}
