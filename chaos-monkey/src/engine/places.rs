//! A container's place in its networks and its share of the processor, by the engine's API.

use super::{CALL_TIMEOUT, EngineError, START_LIMIT, bounded};
use crate::fault::Saved;
use bollard::Docker;
use bollard::models::{
    ContainerUpdateBody, EndpointIpamConfig, EndpointSettings, NetworkConnectRequest,
    NetworkDisconnectRequest,
};
use bollard::query_parameters::InspectContainerOptions;

pub(super) async fn networks(docker: &Docker, id: &str) -> Result<Vec<Saved>, EngineError> {
    let found = docker.inspect_container(id, None::<InspectContainerOptions>);
    let found = bounded(id, CALL_TIMEOUT, found).await?;
    let networks = found
        .network_settings
        .and_then(|it| it.networks)
        .unwrap_or_default();
    let mut saved: Vec<Saved> = networks
        .into_iter()
        .filter(|(name, _)| name != "host" && name != "none")
        .map(|(name, endpoint)| Saved::Network {
            network: endpoint
                .network_id
                .filter(|id| !id.is_empty())
                .unwrap_or(name),
            // The engine adds the short id by itself.
            aliases: endpoint
                .aliases
                .unwrap_or_default()
                .into_iter()
                .filter(|alias| !id.starts_with(alias.as_str()))
                .collect(),
            address: endpoint
                .ipam_config
                .and_then(|ipam| ipam.ipv4_address)
                .filter(|it| !it.is_empty()),
        })
        .collect();
    saved.sort_by_key(|it| match it {
        Saved::Network { network, .. } => network.clone(),
        _ => String::new(),
    });
    Ok(saved)
}

pub(super) async fn disconnect(
    docker: &Docker,
    id: &str,
    network: &str,
) -> Result<(), EngineError> {
    let wish = NetworkDisconnectRequest {
        container: id.to_owned(),
        force: Some(false),
    };
    bounded(id, START_LIMIT, docker.disconnect_network(network, wish)).await
}

pub(super) async fn connect(docker: &Docker, id: &str, saved: &Saved) -> Result<(), EngineError> {
    let Saved::Network {
        network,
        aliases,
        address,
    } = saved
    else {
        return Ok(());
    };
    let ipam = address.clone().map(|address| EndpointIpamConfig {
        ipv4_address: Some(address),
        ..EndpointIpamConfig::default()
    });
    let wish = NetworkConnectRequest {
        container: id.to_owned(),
        endpoint_config: Some(EndpointSettings {
            aliases: Some(aliases.clone()),
            ipam_config: ipam,
            ..EndpointSettings::default()
        }),
    };
    bounded(id, START_LIMIT, docker.connect_network(network, wish)).await
}

/// The share of the processor, whichever of its two spellings was used.
pub(super) async fn limits(docker: &Docker, id: &str) -> Result<Saved, EngineError> {
    let found = docker.inspect_container(id, None::<InspectContainerOptions>);
    let host = bounded(id, CALL_TIMEOUT, found)
        .await?
        .host_config
        .unwrap_or_default();
    let quota = host.cpu_quota.unwrap_or(0);
    let period = host
        .cpu_period
        .filter(|period| *period > 0)
        .unwrap_or(PERIOD);
    let nano_cpus = match host.nano_cpus.unwrap_or(0) {
        0 if quota > 0 => quota * 1_000_000_000 / period,
        nano_cpus => nano_cpus,
    };
    Ok(Saved::Limits { nano_cpus })
}

/// The kernel's own period, in microseconds.
const PERIOD: i64 = 100_000;

pub(super) async fn set_limits(
    docker: &Docker,
    id: &str,
    limits: &Saved,
) -> Result<(), EngineError> {
    let Saved::Limits { nano_cpus } = limits else {
        return Ok(());
    };
    let found = docker.inspect_container(id, None::<InspectContainerOptions>);
    let host = bounded(id, CALL_TIMEOUT, found)
        .await?
        .host_config
        .unwrap_or_default();
    // The engine refuses one spelling where the other was used, and knows "no limit" only as a quota of -1.
    let body = if host.nano_cpus.unwrap_or(0) > 0 {
        ContainerUpdateBody {
            nano_cpus: Some(*nano_cpus),
            ..ContainerUpdateBody::default()
        }
    } else {
        let quota = if *nano_cpus == 0 {
            -1
        } else {
            nano_cpus * PERIOD / 1_000_000_000
        };
        ContainerUpdateBody {
            cpu_period: Some(PERIOD),
            cpu_quota: Some(quota),
            ..ContainerUpdateBody::default()
        }
    };
    bounded(id, START_LIMIT, docker.update_container(id, body))
        .await
        .map(drop)
}
