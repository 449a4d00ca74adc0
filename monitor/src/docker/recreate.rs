//! Makes a removed container anew, from what this healer saw of it while it was there.

use super::Calls;
use super::calls::{mismatch, within};
use super::translate;
use bollard::Docker;
use bollard::models::{
    ContainerConfig, ContainerCreateBody, ContainerInspectResponse, EndpointSettings, HostConfig,
    MountPoint, NetworkConnectRequest, NetworkingConfig,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder,
};
use planaria_core::engine::{EngineError, EngineReply, Expectation};
use planaria_core::id::ContainerId;
use planaria_core::time::Instant;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

/// More containers that may be made anew than one host has; the oldest are forgotten first.
const REMEMBERED_MAX: usize = 256;
/// So much of an id is what people and Compose call it by.
const SHORT_ID: usize = 12;
/// The label that allows it.
const LABEL: &str = "planaria.recreate";
/// The engine's answer where the name is taken.
const CONFLICT: u16 = 409;

/// How a container was made. Its environment is in it, and with that its secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Specification {
    /// As the engine is asked for it, with the first of its networks.
    pub body: ContainerCreateBody,
    /// The engine takes one network with the creation; these are connected before the start.
    pub further: Vec<(String, EndpointSettings)>,
}

/// What this healer remembers; it never comes from elsewhere.
#[derive(Debug, Default)]
pub(super) struct Specifications(Mutex<VecDeque<(ContainerId, Specification)>>);

impl Specifications {
    /// Remembers one that may be made anew one day: by its label, or because it shares a network.
    pub(super) fn remember(&self, found: &ContainerInspectResponse) {
        let Some(id) = found.id.clone().map(ContainerId) else {
            return;
        };
        if !is_wanted(found) {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // While it is on its way out, the engine shows no networks any more.
        let running = found.state.as_ref().and_then(|state| state.running) == Some(true);
        let known = all.iter().position(|(known, _)| *known == id);
        match known {
            Some(_) if !running => return,
            Some(at) => drop(all.remove(at)),
            None => {}
        }
        if let Some(specification) = Specification::of(found.clone()) {
            all.push_back((id, specification));
        }
        if all.len() > REMEMBERED_MAX {
            all.pop_front();
        }
    }

    fn of(&self, id: &ContainerId) -> Option<Specification> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .find(|(known, _)| known == id)
            .map(|(_, specification)| specification.clone())
    }
}

fn is_wanted(found: &ContainerInspectResponse) -> bool {
    let labels = found
        .config
        .as_ref()
        .and_then(|config| config.labels.as_ref());
    let text = labels.and_then(|labels| labels.get(LABEL));
    let allowed = text.is_some_and(|text| {
        matches!(
            text.trim().to_ascii_lowercase().as_str(),
            "true" | "yes" | "on" | "1"
        )
    });
    allowed || shares_network(found.host_config.as_ref())
}

fn shares_network(host: Option<&HostConfig>) -> bool {
    host.and_then(|host| host.network_mode.as_deref())
        .is_some_and(|mode| mode.starts_with("container:"))
}

impl Specification {
    /// From the engine's account of a container, while it runs, to an order for one like it.
    #[must_use]
    pub fn of(found: ContainerInspectResponse) -> Option<Self> {
        let id = found.id?;
        let short = id.get(..SHORT_ID).unwrap_or(&id);
        let config = found.config?;
        let mut host = found.host_config?;
        keep_volumes(&mut host, found.mounts.unwrap_or_default());
        let shares = shares_network(Some(&host));
        let mut networks: Vec<(String, EndpointSettings)> = found
            .network_settings
            .and_then(|settings| settings.networks)
            .unwrap_or_default()
            .into_iter()
            .filter(|_| !shares)
            .map(|(name, endpoint)| (name, as_asked(endpoint, short)))
            .collect();
        // The one that the mode names comes first; the others in a stable order.
        let mode = host.network_mode.clone().unwrap_or_default();
        networks.sort_by(|one, other| (one.0 != mode, &one.0).cmp(&(other.0 != mode, &other.0)));
        let further = networks.split_off(networks.len().min(1));
        let networking = NetworkingConfig {
            endpoints_config: Some(networks.into_iter().collect::<HashMap<_, _>>()),
        };
        let mut body = body(config, host);
        // Names that the engine gave are given anew; what shares a network has that one's name and ports.
        if shares || body.hostname.as_deref() == Some(short) {
            body.hostname = None;
        }
        if shares {
            body.domainname = None;
            body.exposed_ports = None;
        } else {
            body.networking_config = Some(networking);
        }
        Some(Specification { body, further })
    }

    /// Creates, connects, starts; what does not start is removed again.
    ///
    /// # Errors
    /// What the engine said; [`EngineError::Stale`] where the name is taken.
    async fn make(self, docker: &Docker, name: &str) -> Result<ContainerId, EngineError> {
        let Self { body, further } = self;
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let made = within(docker.create_container(Some(options), body)).await;
        let new = made.map_err(|error| match error {
            // Somebody brought it back already: that is a person's will.
            EngineError::Refused {
                status: CONFLICT, ..
            } => EngineError::Stale {
                found: format!("a new {name}"),
            },
            other => other,
        })?;
        let new = ContainerId(new.id);
        let started = async {
            for (network, endpoint) in further {
                let request = NetworkConnectRequest {
                    container: new.as_str().to_owned(),
                    endpoint_config: Some(endpoint),
                };
                within(docker.connect_network(&network, request)).await?;
            }
            within(docker.start_container(new.as_str(), None)).await
        };
        if let Err(error) = started.await {
            let remove = RemoveContainerOptionsBuilder::new().force(true).build();
            let removing = docker.remove_container(new.as_str(), Some(remove));
            let _ = within(removing).await;
            return Err(error);
        }
        Ok(new)
    }
}

/// What was asked for when it was attached, without what the engine gave.
fn as_asked(endpoint: EndpointSettings, short: &str) -> EndpointSettings {
    let mut aliases = endpoint.aliases.unwrap_or_default();
    aliases.retain(|alias| alias != short);
    EndpointSettings {
        ipam_config: endpoint.ipam_config,
        links: endpoint.links,
        aliases: Some(aliases),
        driver_opts: endpoint.driver_opts,
        ..EndpointSettings::default()
    }
}

/// Volumes without a name of the user's own hold data all the same.
fn keep_volumes(host: &mut HostConfig, mounts: Vec<MountPoint>) {
    let mut binds = host.binds.take().unwrap_or_default();
    let mounted = host.mounts.clone().unwrap_or_default();
    for mount in mounts {
        let (Some(name), Some(place)) = (mount.name, mount.destination) else {
            continue;
        };
        let bound = binds
            .iter()
            .any(|bind| bind.split(':').nth(1) == Some(place.as_str()));
        let named = mounted
            .iter()
            .any(|known| known.target.as_deref() == Some(place.as_str()) && known.source.is_some());
        if !bound && !named {
            let access = if mount.rw == Some(false) { ":ro" } else { "" };
            binds.push(format!("{name}:{place}{access}"));
        }
    }
    host.binds = Some(binds);
}

fn body(config: ContainerConfig, host: HostConfig) -> ContainerCreateBody {
    ContainerCreateBody {
        hostname: config.hostname,
        domainname: config.domainname,
        user: config.user,
        attach_stdin: config.attach_stdin,
        attach_stdout: config.attach_stdout,
        attach_stderr: config.attach_stderr,
        exposed_ports: config.exposed_ports,
        tty: config.tty,
        open_stdin: config.open_stdin,
        stdin_once: config.stdin_once,
        env: config.env,
        cmd: config.cmd,
        healthcheck: config.healthcheck,
        args_escaped: config.args_escaped,
        image: config.image,
        volumes: config.volumes,
        working_dir: config.working_dir,
        entrypoint: config.entrypoint,
        network_disabled: config.network_disabled,
        on_build: config.on_build,
        labels: config.labels,
        stop_signal: config.stop_signal,
        stop_timeout: config.stop_timeout,
        shell: config.shell,
        host_config: Some(host),
        networking_config: None,
    }
}

impl Calls {
    /// The old one, where it is still there, keeps its place under another name until the new one runs.
    pub(super) async fn recreate(
        &self,
        id: &ContainerId,
        name: &str,
        network_of: Option<ContainerId>,
        expect: &Expectation,
        not_after: Option<Instant>,
    ) -> Result<EngineReply, EngineError> {
        let Some(mut specification) = self.specifications().of(id) else {
            return Err(EngineError::Refused {
                status: 501,
                message: format!("this healer never saw how {name} was made"),
            });
        };
        if let (Some(owner), Some(host)) = (network_of, &mut specification.body.host_config) {
            host.network_mode = Some(format!("container:{owner}"));
        }
        let old = self.old(id, expect).await?;
        self.in_time(not_after)?;
        let aside = format!(
            "{}_{name}",
            id.as_str().get(..SHORT_ID).unwrap_or(id.as_str())
        );
        if old {
            self.rename(id, &aside).await?;
        }
        let made = specification.make(self.docker(), name).await;
        match made {
            Ok(new) => {
                if old {
                    let remove = RemoveContainerOptionsBuilder::new().force(false).build();
                    let removing = self.docker().remove_container(id.as_str(), Some(remove));
                    // It is dead and out of the way; a person may remove it as well as we.
                    let _ = within(removing).await;
                }
                Ok(EngineReply::Recreated(new))
            }
            Err(error) => {
                if old {
                    self.rename(id, name).await?;
                }
                Err(error)
            }
        }
    }

    /// Whether the old one is still there; an error where it is not as it was judged.
    async fn old(&self, id: &ContainerId, expect: &Expectation) -> Result<bool, EngineError> {
        match within(self.docker().inspect_container(id.as_str(), None)).await {
            Ok(found) => {
                let found = translate::container(found).and_then(|found| mismatch(&found, expect));
                found.map_or(Ok(true), |found| Err(EngineError::Stale { found }))
            }
            Err(EngineError::Gone) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn rename(&self, id: &ContainerId, name: &str) -> Result<(), EngineError> {
        let options = RenameContainerOptionsBuilder::new().name(name).build();
        within(self.docker().rename_container(id.as_str(), options)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn inspected(mode: &str, hostname: &str) -> ContainerInspectResponse {
        serde_json::from_value(json!({
            "Id": ID,
            "Name": "/shop",
            "State": {"Status": "running", "Running": true},
            "Config": {
                "Hostname": hostname, "Image": "shop:7", "Env": ["A=1"],
                "ExposedPorts": {"80/tcp": {}},
                "Labels": {"planaria.recreate": "True", "com.docker.compose.service": "shop"},
            },
            "HostConfig": {
                "NetworkMode": mode, "Binds": ["books:/books:ro"],
                "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]},
            },
            "Mounts": [
                {"Type": "volume", "Name": "books", "Destination": "/books", "RW": false},
                {"Type": "volume", "Name": "4f3c", "Destination": "/data", "RW": true},
                {"Type": "tmpfs", "Destination": "/tmp", "RW": true},
            ],
            "NetworkSettings": {"Networks": {
                "back": {"Aliases": ["store", "0123456789ab"], "IPAddress": "10.1.0.5"},
                "front": {
                    "Aliases": ["shop"], "IPAddress": "10.2.0.5",
                    "IPAMConfig": {"IPv4Address": "10.2.0.5"},
                },
            }},
        }))
        .unwrap()
    }

    #[test]
    fn the_new_one_is_as_the_old_one_was_asked_for() {
        let made = Specification::of(inspected("front", "0123456789ab")).unwrap();
        let body = made.body;
        assert_eq!(body.hostname, None, "the engine gave it");
        assert_eq!(body.image.as_deref(), Some("shop:7"));
        let host = body.host_config.unwrap();
        assert_eq!(
            host.binds.unwrap(),
            ["books:/books:ro", "4f3c:/data"],
            "also the volume without a name"
        );
        assert!(host.port_bindings.is_some());
        let first = body.networking_config.unwrap().endpoints_config.unwrap();
        let address = first["front"].ipam_config.clone().unwrap().ipv4_address;
        assert_eq!(address.as_deref(), Some("10.2.0.5"));
        assert_eq!(made.further.len(), 1);
        let (name, back) = &made.further[0];
        assert_eq!(name, "back");
        assert_eq!(back.aliases.clone().unwrap(), ["store"]);
        assert_eq!(back.ip_address, None, "only asked for, never given");
    }

    #[test]
    fn a_specification_survives_being_written_down() {
        let made = Specification::of(inspected("front", "shop")).unwrap();
        let text = serde_json::to_string(&made).unwrap();
        assert_eq!(serde_json::from_str::<Specification>(&text).unwrap(), made);
    }

    #[test]
    fn what_shares_a_network_has_neither_name_nor_port_of_its_own() {
        let made = Specification::of(inspected("container:abc", "vpn")).unwrap();
        assert_eq!(made.body.hostname, None);
        assert_eq!(made.body.exposed_ports, None);
        assert!(made.body.networking_config.is_none());
        assert!(made.further.is_empty());
    }

    #[test]
    fn only_what_may_be_made_anew_is_remembered_and_as_it_was_while_it_ran() {
        let all = Specifications::default();
        let mut dying = inspected("front", "shop");
        all.remember(&dying);
        dying.state.as_mut().unwrap().running = Some(false);
        dying.network_settings = None;
        all.remember(&dying);
        let kept = all.of(&ContainerId(ID.into())).unwrap();
        assert_eq!(kept.further.len(), 1, "the networks that it had");
        let mut other = inspected("front", "shop");
        other.id = Some("f".repeat(64));
        other.config.as_mut().unwrap().labels = None;
        all.remember(&other);
        assert!(all.of(&ContainerId("f".repeat(64))).is_none());
    }
}
