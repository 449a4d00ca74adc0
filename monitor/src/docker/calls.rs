//! Calls to the engine: each with a deadline, each with a last look right before it.

use super::{CALL_DEADLINE, DockerError, client, error_chain, translate};
use crate::clock;
use crate::metrics::Metrics;
use bollard::Docker;
use bollard::models::{EndpointIpamConfig, EndpointSettings, NetworkConnectRequest};
use bollard::query_parameters::{
    EventsOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    TopOptionsBuilder,
};
use futures::{StreamExt, stream};
use planaria_core::engine::{
    Attachment, Container, ContainerState, EngineCall, EngineError, EngineEvent, EngineReply,
    Expectation,
};
use planaria_core::id::ContainerId;
use planaria_core::settings::Settings;
use planaria_core::time::Instant;
use std::collections::HashMap;
use std::sync::Arc;

/// Inspections at a time within one list: enough to hide their latency, too few to load the engine.
const INSPECT_AT_ONCE: usize = 4;
/// The engine itself remembers 256 events.
const HISTORY_MAX: usize = 1024;
/// Docker's answer to a start of what runs, or a kill of what does not.
const NOT_MODIFIED: u16 = 304;
const NOT_FOUND: u16 = 404;

/// The engine as a thing that takes calls.
#[derive(Clone)]
pub(crate) struct Calls {
    docker: Docker,
    metrics: Arc<Metrics>,
}

impl Calls {
    pub(crate) fn new(settings: &Settings, metrics: Arc<Metrics>) -> Result<Self, DockerError> {
        Ok(Self {
            docker: client(settings)?,
            metrics,
        })
    }

    pub(crate) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Makes one call. `not_after` is looked at right before what changes anything.
    pub(crate) async fn make(
        &self,
        call: EngineCall,
        not_after: Option<Instant>,
    ) -> Result<EngineReply, EngineError> {
        let name = operation(&call);
        let began = clock::now();
        let result = self.dispatch(call, not_after).await;
        self.metrics.engine_call(name, clock::now().since(began));
        result
    }

    async fn dispatch(
        &self,
        call: EngineCall,
        not_after: Option<Instant>,
    ) -> Result<EngineReply, EngineError> {
        match call {
            EngineCall::Ping => {
                within(self.docker.ping()).await?;
                Ok(EngineReply::Done)
            }
            EngineCall::List => self.list().await.map(EngineReply::Containers),
            EngineCall::Inspect(id) => self.inspect(&id).await,
            EngineCall::History { since } => self.history(since).await.map(EngineReply::History),
            EngineCall::Start { container, expect } => {
                self.check(&container, &expect).await?;
                in_time(not_after)?;
                done(within(self.docker.start_container(container.as_str(), None)).await)
            }
            EngineCall::Kill {
                container,
                signal,
                expect,
            } => {
                self.check(&container, &expect).await?;
                in_time(not_after)?;
                let signal = signal.to_string();
                let options = KillContainerOptionsBuilder::new().signal(&signal).build();
                done(
                    within(
                        self.docker
                            .kill_container(container.as_str(), Some(options)),
                    )
                    .await,
                )
            }
            EngineCall::Unpause { container, expect } => {
                self.check(&container, &expect).await?;
                in_time(not_after)?;
                done(within(self.docker.unpause_container(container.as_str())).await)
            }
            EngineCall::Connect {
                container,
                attachment,
                expect,
            } => {
                self.check(&container, &expect).await?;
                in_time(not_after)?;
                let network = attachment.network.clone();
                let request = connect_request(container, attachment);
                done(within(self.docker.connect_network(&network, request)).await)
            }
        }
    }

    /// The last look: the same incarnation, in a state under which the call makes sense.
    async fn check(&self, id: &ContainerId, expect: &Expectation) -> Result<(), EngineError> {
        let found = within(self.docker.inspect_container(id.as_str(), None)).await?;
        let Some(found) = translate::container(found) else {
            return Err(EngineError::Stale {
                found: "a container without a state".into(),
            });
        };
        match mismatch(&found, expect) {
            None => Ok(()),
            Some(found) => Err(EngineError::Stale { found }),
        }
    }

    async fn list(&self) -> Result<Vec<Container>, EngineError> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let all = within(self.docker.list_containers(Some(options))).await?;
        let inspections = stream::iter(all.into_iter().filter_map(|one| one.id))
            .map(|id| async move { within(self.docker.inspect_container(&id, None)).await })
            .buffer_unordered(INSPECT_AT_ONCE);
        let mut inspections = std::pin::pin!(inspections);
        let mut containers = Vec::new();
        while let Some(inspection) = inspections.next().await {
            match inspection {
                Ok(found) => containers.extend(translate::container(found)),
                // Gone between list and inspection.
                Err(EngineError::Gone) => {}
                Err(error) => return Err(error),
            }
        }
        containers.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(containers)
    }

    async fn inspect(&self, id: &ContainerId) -> Result<EngineReply, EngineError> {
        let found = match within(self.docker.inspect_container(id.as_str(), None)).await {
            Ok(found) => found,
            Err(EngineError::Gone) => return Ok(EngineReply::Container(None)),
            Err(error) => return Err(error),
        };
        let pid = found.state.as_ref().and_then(|state| state.pid);
        let mut container = translate::container(found);
        if let (Some(container), Some(pid)) = (&mut container, pid)
            && container.state == ContainerState::Running
        {
            container.process_state = self.process_state(id, pid).await;
        }
        Ok(EngineReply::Container(container.map(Box::new)))
    }

    /// The first process's state letter; `None` where the engine cannot tell (a proxy that forbids it).
    async fn process_state(&self, id: &ContainerId, pid: i64) -> Option<char> {
        let options = TopOptionsBuilder::new().ps_args("-eo pid,stat").build();
        let top = within(self.docker.top_processes(id.as_str(), Some(options)))
            .await
            .ok()?;
        let pid = pid.to_string();
        top.processes?
            .into_iter()
            .find(|row| row.first() == Some(&pid))?
            .get(1)?
            .chars()
            .next()
    }

    async fn history(&self, since: i64) -> Result<Vec<EngineEvent>, EngineError> {
        let until = self.engine_time().await?;
        let filters = event_filters();
        let options = EventsOptionsBuilder::new()
            .since(&timestamp(since))
            .until(&timestamp(until))
            .filters(&filters)
            .build();
        let collect = async {
            let mut stream = std::pin::pin!(self.docker.events(Some(options)));
            let mut events = Vec::new();
            while let Some(message) = stream.next().await {
                events.extend(translate::event(message.map_err(|error| refused(&error))?));
                if events.len() >= HISTORY_MAX {
                    break;
                }
            }
            Ok(events)
        };
        tokio::time::timeout(CALL_DEADLINE, collect)
            .await
            .map_err(|_| EngineError::TimedOut)?
    }

    /// The engine's own clock, nanoseconds since 1970.
    pub(crate) async fn engine_time(&self) -> Result<i64, EngineError> {
        let info = within(self.docker.info()).await?;
        info.system_time
            .as_deref()
            .and_then(translate::nanoseconds)
            .ok_or_else(|| EngineError::Refused {
                status: 200,
                message: "the engine does not tell its time".into(),
            })
    }
}

/// Only what is about containers and their networks.
pub(super) fn event_filters() -> HashMap<String, Vec<String>> {
    HashMap::from([("type".into(), vec!["container".into(), "network".into()])])
}

/// As the engine's `since` and `until` want it.
pub(super) fn timestamp(nanos: i64) -> String {
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

fn operation(call: &EngineCall) -> &'static str {
    match call {
        EngineCall::Ping => "ping",
        EngineCall::List => "list",
        EngineCall::Inspect(_) => "inspect",
        EngineCall::History { .. } => "history",
        EngineCall::Start { .. } => "start",
        EngineCall::Kill { .. } => "kill",
        EngineCall::Unpause { .. } => "unpause",
        EngineCall::Connect { .. } => "connect",
    }
}

fn in_time(not_after: Option<Instant>) -> Result<(), EngineError> {
    match not_after {
        Some(limit) if clock::now() > limit => Err(EngineError::Late),
        _ => Ok(()),
    }
}

fn mismatch(found: &Container, expect: &Expectation) -> Option<String> {
    if expect.started_at.is_some() && expect.started_at != found.started_at {
        return Some(format!("started at {:?}", found.started_at));
    }
    if expect.finished_at.is_some() && expect.finished_at != found.finished_at {
        return Some(format!("finished at {:?}", found.finished_at));
    }
    if !expect.states.contains(&found.state) {
        return Some(format!("{:?}", found.state).to_lowercase());
    }
    None
}

fn connect_request(container: ContainerId, attachment: Attachment) -> NetworkConnectRequest {
    let fixed = attachment.address.map(|address| EndpointIpamConfig {
        ipv4_address: Some(address),
        ..EndpointIpamConfig::default()
    });
    NetworkConnectRequest {
        container: container.0,
        endpoint_config: Some(EndpointSettings {
            aliases: Some(attachment.aliases),
            ipam_config: fixed,
            ..EndpointSettings::default()
        }),
    }
}

async fn within<T>(
    call: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(CALL_DEADLINE, call).await {
        Ok(result) => result.map_err(|error| refused(&error)),
        Err(_) => Err(EngineError::TimedOut),
    }
}

fn done(result: Result<(), EngineError>) -> Result<EngineReply, EngineError> {
    match result {
        Ok(())
        | Err(EngineError::Refused {
            status: NOT_MODIFIED,
            ..
        }) => Ok(EngineReply::Done),
        Err(error) => Err(error),
    }
}

pub(super) fn refused(error: &bollard::errors::Error) -> EngineError {
    use bollard::errors::Error;
    match error {
        Error::DockerResponseServerError {
            status_code: NOT_FOUND,
            ..
        } => EngineError::Gone,
        Error::DockerResponseServerError {
            status_code,
            message,
        } => EngineError::Refused {
            status: *status_code,
            message: message.clone(),
        },
        Error::RequestTimeoutError => EngineError::TimedOut,
        Error::JsonDataError { message, .. } => EngineError::Refused {
            status: 200,
            message: format!("an answer that is not understood: {message}"),
        },
        other => EngineError::Unreachable {
            reason: error_chain(other),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use planaria_core::engine::RestartPolicy;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn found() -> Container {
        Container {
            id: "c".into(),
            name: "worker-1".into(),
            member: None,
            labels: BTreeMap::new(),
            state: ContainerState::Running,
            started_at: Some("t1".into()),
            finished_at: Some("t0".into()),
            exit_code: 0,
            oom_killed: false,
            error: String::new(),
            restart_policy: RestartPolicy::No,
            health: None,
            stop_signal: 15,
            stop_timeout: Duration::from_secs(10),
            network_mode: "bridge".into(),
            networks: Vec::new(),
            process_state: None,
        }
    }

    fn expect(started_at: &str, state: ContainerState) -> Expectation {
        Expectation {
            started_at: Some(started_at.into()),
            finished_at: None,
            states: vec![state],
        }
    }

    #[test]
    fn only_the_judged_incarnation_is_touched() {
        let running = ContainerState::Running;
        assert_eq!(mismatch(&found(), &expect("t1", running)), None);
        assert!(mismatch(&found(), &expect("t2", running)).is_some());
        assert!(mismatch(&found(), &expect("t1", ContainerState::Exited)).is_some());
        let other_end = Expectation {
            started_at: None,
            finished_at: Some("t9".into()),
            states: vec![running],
        };
        assert!(mismatch(&found(), &other_end).is_some());
    }

    #[test]
    fn a_call_after_the_lease_is_not_made() {
        assert!(in_time(None).is_ok());
        assert!(in_time(Some(Instant(u64::MAX))).is_ok());
        assert_eq!(in_time(Some(Instant(0))), Err(EngineError::Late));
    }

    #[test]
    fn time_stamps_keep_their_nanoseconds() {
        assert_eq!(timestamp(1_500_000_000_000_000_007), "1500000000.000000007");
    }
}
