//! A container made anew, by the engine's API: it has its networks before it has its name, so what an earlier try left
//! behind is known by the other name, and is never started.

use super::{CALL_TIMEOUT, EngineError, START_LIMIT, bounded, helpers};
use bollard::Docker;
use bollard::models::NetworkConnectRequest;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, RenameContainerOptionsBuilder,
    StartContainerOptions,
};
use planaria_monitor::docker::Specification;
use std::collections::BTreeSet;

fn read(how: &str) -> Result<Specification, EngineError> {
    serde_json::from_str(how).map_err(|error| EngineError::Refused(error.to_string()))
}

fn networks(how: &Specification) -> BTreeSet<&str> {
    let first = how.body.networking_config.as_ref();
    let first = first.and_then(|it| it.endpoints_config.as_ref());
    let first = first.into_iter().flat_map(|it| it.keys());
    let further = how.further.iter().map(|(name, _)| name);
    first.chain(further).map(String::as_str).collect()
}

/// Whether a container is in the networks of that specification, and in no other.
pub(super) async fn has_networks(
    docker: &Docker,
    id: &str,
    how: &str,
) -> Result<bool, EngineError> {
    let how = read(how)?;
    let found = docker.inspect_container(id, None::<InspectContainerOptions>);
    let found = bounded(id, CALL_TIMEOUT, found).await?;
    let there = found.network_settings.and_then(|it| it.networks);
    let there = there.unwrap_or_default();
    Ok(networks(&how) == there.keys().map(String::as_str).collect())
}

/// Creates it under the name `aside`, connects it, names it, starts it.
pub(super) async fn make(
    docker: &Docker,
    name: &str,
    aside: &str,
    how: &str,
) -> Result<(), EngineError> {
    let Specification { body, further } = read(how)?;
    helpers::remove(docker, aside).await?;
    let options = CreateContainerOptionsBuilder::new().name(aside).build();
    let created = docker.create_container(Some(options), body);
    let id = match bounded(aside, START_LIMIT, created).await {
        Ok(created) => created.id,
        // The engine's "not found" is the image here.
        Err(EngineError::Gone(_)) => {
            return Err(EngineError::Refused(format!("the image of {name} is gone")));
        }
        Err(other) => return Err(other),
    };
    let made = async {
        for (network, endpoint) in further {
            let wish = NetworkConnectRequest {
                container: id.clone(),
                endpoint_config: Some(endpoint),
            };
            bounded(&id, START_LIMIT, docker.connect_network(&network, wish)).await?;
        }
        let options = RenameContainerOptionsBuilder::new().name(name).build();
        bounded(&id, CALL_TIMEOUT, docker.rename_container(&id, options)).await?;
        let started = docker.start_container(&id, None::<StartContainerOptions>);
        bounded(&id, START_LIMIT, started).await
    };
    let made = made.await;
    // Where it is not known what was done the next try looks.
    if let Err(error) = &made
        && *error != EngineError::Slow
    {
        helpers::remove(docker, &id).await?;
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_networks_of_what_the_monitor_writes_are_known() {
        let found = serde_json::json!({
            "Id": "c0ffee", "Config": {"Image": "shop"}, "HostConfig": {"NetworkMode": "front"},
            "NetworkSettings": {"Networks": {"back": {}, "front": {}, "side": {}}},
        });
        let found = serde_json::from_value(found).unwrap();
        let written = Specification::of(found).unwrap();
        let how = serde_json::to_string(&written).unwrap();
        let read = read(&how).unwrap();
        assert_eq!(networks(&read), BTreeSet::from(["back", "front", "side"]));
        assert_eq!(read.further.len(), 2);
    }
}
