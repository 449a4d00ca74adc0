//! Helper containers, by the engine's API.

use super::{CALL_TIMEOUT, EngineError, HelperLook, HelperWish, START_LIMIT, bounded};
use crate::fault::Needs;
use crate::helper::pressure::CGROUPS;
use crate::helper::probe::Probe;
use bollard::Docker;
use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, StartContainerOptions,
};
use futures::StreamExt;
use std::time::Duration;

/// Lines of a helper that are read; it writes three.
const LINES_MAX: usize = 50;
/// What marks a helper; its value is the attack's id.
pub const ATTACK_LABEL: &str = "planaria.chaos.attack";
/// Whose helper it is, by name.
const TARGET_LABEL: &str = "planaria.chaos.target";

/// What a helper may do, by what it needs. `all`: with the right to raise limits, which some hosts lack.
fn host_config(wish: &HelperWish, all: bool) -> HostConfig {
    let of_target = Some(if wish.target.is_empty() {
        "none".to_owned()
    } else {
        format!("container:{}", wish.target)
    });
    match wish.needs {
        Needs::Network | Needs::Engine | Needs::Management => HostConfig {
            network_mode: of_target,
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: Some(["NET_ADMIN", "NET_RAW"].map(str::to_owned).to_vec()),
            ..HostConfig::default()
        },
        // Another user's files under /proc, its processes, and its control group.
        Needs::Processes => HostConfig {
            network_mode: Some("none".to_owned()),
            pid_mode: of_target,
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: Some(
                ["SYS_PTRACE", "KILL", "DAC_OVERRIDE", "SYS_RESOURCE"]
                    .into_iter()
                    .filter(|cap| all || *cap != "SYS_RESOURCE")
                    .map(str::to_owned)
                    .collect(),
            ),
            cgroupns_mode: Some(HostConfigCgroupnsModeEnum::HOST),
            binds: Some(vec![format!("/sys/fs/cgroup:{CGROUPS}")]),
            ..HostConfig::default()
        },
    }
}

pub(super) async fn start(docker: &Docker, wish: &HelperWish) -> Result<(), EngineError> {
    match begin(docker, wish, true).await {
        // The host itself lacks that right (a guest of another's, say): root's own targets can do without.
        Err(EngineError::Refused(why))
            if why.contains("apply caps") && wish.needs == Needs::Processes =>
        {
            remove(docker, &wish.name).await?;
            begin(docker, wish, false).await
        }
        other => other,
    }
}

async fn begin(docker: &Docker, wish: &HelperWish, all: bool) -> Result<(), EngineError> {
    // One-off: no patient of anybody, and no target.
    let labels = [
        ("com.docker.compose.oneoff", "True"),
        ("planaria.chaos", "false"),
        (ATTACK_LABEL, wish.attack.as_str()),
        (TARGET_LABEL, wish.target_name.as_str()),
    ];
    let body = ContainerCreateBody {
        image: Some(wish.image.clone()),
        entrypoint: Some(["/chaos-monkey", "helper"].map(str::to_owned).to_vec()),
        cmd: Some(vec![wish.task.clone()]),
        user: Some("0:0".to_owned()),
        labels: Some(
            labels
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        ),
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }),
        host_config: Some(host_config(wish, all)),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::new()
        .name(&wish.name)
        .build();
    let created = bounded(
        &wish.name,
        START_LIMIT,
        docker.create_container(Some(options), body),
    )
    .await;
    match created {
        Ok(_) => {}
        // The engine's "not found" is the image here.
        Err(EngineError::Gone(_)) => {
            return Err(EngineError::Refused(format!(
                "there is no image {} for the helper; make docker-image builds it",
                wish.image
            )));
        }
        Err(other) => return Err(other),
    }
    let started = docker.start_container(&wish.name, None::<StartContainerOptions>);
    bounded(&wish.name, START_LIMIT, started).await
}

/// What this kernel permits, tried out by a helper without a target.
///
/// # Errors
/// Where the helper cannot be run, or says nothing.
pub async fn probe(docker: &Docker, image: &str) -> Result<Probe, EngineError> {
    let name = format!(
        "planaria-chaos-probe-{:06x}",
        rand::random::<u32>() & 0xff_ffff
    );
    let wish = HelperWish {
        name: name.clone(),
        image: image.to_owned(),
        target: String::new(),
        target_name: String::new(),
        attack: "probe".to_owned(),
        needs: Needs::Network,
        task: "probe".to_owned(),
    };
    let found = async {
        start(docker, &wish).await?;
        let until = tokio::time::Instant::now() + START_LIMIT * 3;
        while look(docker, &name).await?.exit.is_none() && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let text = said(docker, &name).await?;
        serde_json::from_str(&text)
            .map_err(|_| EngineError::Refused(format!("the helper said {text:?}")))
    };
    let found = found.await;
    remove(docker, &name).await?;
    found
}

pub(super) async fn look(docker: &Docker, name: &str) -> Result<HelperLook, EngineError> {
    let found = docker.inspect_container(name, None::<InspectContainerOptions>);
    let state = bounded(name, CALL_TIMEOUT, found)
        .await?
        .state
        .unwrap_or_default();
    let exit = (!state.running.unwrap_or(false)).then(|| state.exit_code.unwrap_or(-1));
    let text = said(docker, name).await?;
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    Ok(HelperLook { exit, lines })
}

async fn said(docker: &Docker, name: &str) -> Result<String, EngineError> {
    let options = LogsOptionsBuilder::new().stdout(true).build();
    let mut stream = std::pin::pin!(docker.logs(name, Some(options)).take(LINES_MAX));
    let read = async {
        let mut text = String::new();
        while let Some(Ok(part)) = stream.next().await {
            text += &String::from_utf8_lossy(&part.into_bytes());
        }
        text
    };
    tokio::time::timeout(CALL_TIMEOUT, read)
        .await
        .map_err(|_| EngineError::Slow)
}

pub(super) async fn remove(docker: &Docker, name: &str) -> Result<(), EngineError> {
    let options = RemoveContainerOptionsBuilder::new().force(true).build();
    let limit = START_LIMIT + Duration::from_secs(4);
    match bounded(name, limit, docker.remove_container(name, Some(options))).await {
        Ok(()) | Err(EngineError::Gone(_)) => Ok(()),
        Err(other) => Err(other),
    }
}
