//! Calls to the engine: each with a deadline, each with a last look right before it.

use super::known::Knowledge;
use super::process_state::ProcessStates;
use super::recreate::Specifications;
use super::{CALL_DEADLINE, DockerError, client, error_chain, translate};
use crate::clock;
use crate::metrics::Metrics;
use crate::solo::{Duty, Evidence, Hooks};
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
const SIGCONT: i32 = 18;
/// Docker's answer to a start of what runs, or a kill of what does not.
const NOT_MODIFIED: u16 = 304;
const NOT_FOUND: u16 = 404;

/// Whether the last look is worth remembering: what follows wipes it out.
#[derive(Clone, Copy)]
enum Note {
    Evidence,
    Nothing,
}

/// The engine as a thing that takes calls.
#[derive(Clone)]
pub(crate) struct Calls {
    docker: Docker,
    metrics: Arc<Metrics>,
    specifications: Arc<Specifications>,
    hooks: Option<Hooks>,
    duty: Option<Duty>,
    known: Knowledge,
    process_states: ProcessStates,
}

impl Calls {
    pub(crate) fn new(settings: &Settings, metrics: Arc<Metrics>) -> Result<Self, DockerError> {
        Ok(Self {
            docker: client(settings)?,
            metrics,
            specifications: Arc::default(),
            hooks: None,
            duty: None,
            known: Knowledge::default(),
            process_states: ProcessStates::default(),
        })
    }

    pub(super) fn specifications(&self) -> &Specifications {
        &self.specifications
    }

    /// Tells others what was found and done.
    pub(crate) fn with_hooks(mut self, hooks: Hooks) -> Self {
        self.hooks = Some(hooks);
        self
    }

    /// Changes nothing while another watcher is on duty.
    pub(crate) fn with_duty(mut self, duty: Duty) -> Self {
        self.duty = Some(duty);
        self
    }

    /// What was inspected of one container, or of all, may have changed.
    pub(super) fn forget(&self, container: Option<&str>) {
        match container {
            Some(id) => self.known.forget(id),
            None => self.known.forget_all(),
        }
    }

    /// Something happened to a watcher of this host.
    pub(super) fn wake_duty(&self) {
        if let Some(duty) = &self.duty {
            duty.woken.notify_one();
        }
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
            EngineCall::Probe {
                container,
                probe,
                timeout,
            } => self.probe(&container, &probe, timeout).await,
            EngineCall::Recreate {
                container,
                name,
                network_of,
                expect,
            } => {
                self.recreate(&container, &name, network_of, &expect, not_after)
                    .await
            }
            EngineCall::Start { container, expect } => {
                self.check(&container, &expect, Note::Evidence).await?;
                self.in_time(not_after)?;
                let asked = self.docker.start_container(container.as_str(), None);
                let result = done(within(asked).await);
                if let Some(hooks) = &self.hooks {
                    hooks.started(&container);
                }
                result
            }
            EngineCall::Kill {
                container,
                signal,
                expect,
            } => {
                let note = if signal == SIGCONT {
                    Note::Nothing
                } else {
                    Note::Evidence
                };
                self.check(&container, &expect, note).await?;
                self.in_time(not_after)?;
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
                self.check(&container, &expect, Note::Nothing).await?;
                self.in_time(not_after)?;
                let result = within(self.docker.unpause_container(container.as_str())).await;
                done(result.or_else(was_done_already))
            }
            EngineCall::Connect {
                container,
                attachment,
                expect,
            } => {
                self.check(&container, &expect, Note::Nothing).await?;
                self.in_time(not_after)?;
                let network = attachment.network.clone();
                let request = connect_request(container, attachment);
                done(within(self.docker.connect_network(&network, request)).await)
            }
        }
    }

    /// The last look: the same incarnation, in a state under which the call makes sense.
    async fn check(
        &self,
        id: &ContainerId,
        expect: &Expectation,
        note: Note,
    ) -> Result<(), EngineError> {
        let look = within(self.docker.inspect_container(id.as_str(), None)).await;
        let found = look.map_err(not_made)?;
        let kept = match (&self.hooks, note) {
            (Some(hooks), Note::Evidence) => Evidence::of(&found).map(|found| (hooks, found)),
            _ => None,
        };
        let Some(found) = translate::container(found) else {
            return Err(EngineError::Stale {
                found: "a container without a state".into(),
            });
        };
        if let Some(found) = mismatch(&found, expect) {
            return Err(EngineError::Stale { found });
        }
        if let Some((hooks, found)) = kept {
            hooks.found(found);
        }
        Ok(())
    }

    /// The very last question: it may still be done, and by this watcher.
    pub(super) fn in_time(&self, not_after: Option<Instant>) -> Result<(), EngineError> {
        if self.duty.as_ref().is_some_and(|duty| !duty.is_on()) {
            return Err(EngineError::Late);
        }
        in_time(not_after)
    }

    async fn list(&self) -> Result<Vec<Container>, EngineError> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let all = within(self.docker.list_containers(Some(options))).await?;
        self.known.keep(&all);
        let mut containers = Vec::new();
        let mut unknown = Vec::new();
        for listed in all {
            match self.known.get(&listed) {
                Some(container) => containers.push(container),
                None => unknown.push(listed),
            }
        }
        let inspections = stream::iter(unknown)
            .map(|listed| async move {
                let id = listed.id.clone().unwrap_or_default();
                let found = within(self.docker.inspect_container(&id, None)).await;
                (listed, found)
            })
            .buffer_unordered(INSPECT_AT_ONCE);
        let mut inspections = std::pin::pin!(inspections);
        while let Some((listed, inspection)) = inspections.next().await {
            match inspection {
                Ok(found) => {
                    self.specifications.remember(&found);
                    if let Some(container) = translate::container(found) {
                        self.known.put(&listed, &container);
                        containers.push(container);
                    }
                }
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
        self.specifications.remember(&found);
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
        let asked = clock::now();
        if let Some(known) = self.process_states.get(asked, id, pid) {
            return known;
        }
        let state = self.ask_process_state(id, pid).await;
        self.process_states.put(asked, id, pid, state);
        state
    }

    async fn ask_process_state(&self, id: &ContainerId, pid: i64) -> Option<char> {
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

/// What happens to containers and their networks and concerns anybody here. Each health check makes three
/// more events (`exec_create`, `exec_start`, `exec_die`), which the engine itself keeps back then.
const EVENTS: [&str; 13] = [
    "create",
    "start",
    "kill",
    "die",
    "stop",
    "pause",
    "unpause",
    "oom",
    "destroy",
    "rename",
    "health_status",
    "connect",
    "disconnect",
];

/// Only what is about containers and their networks.
pub(super) fn event_filters() -> HashMap<String, Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    HashMap::from([
        ("type".into(), words(&["container", "network"])),
        ("event".into(), words(&EVENTS)),
    ])
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
        EngineCall::Probe { .. } => "probe",
        EngineCall::Recreate { .. } => "recreate",
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

fn or_never(time: Option<&str>) -> &str {
    time.unwrap_or("no time yet")
}

pub(super) fn mismatch(found: &Container, expect: &Expectation) -> Option<String> {
    if expect.started_at.is_some() && expect.started_at != found.started_at {
        return Some(format!(
            "started at {}",
            or_never(found.started_at.as_deref())
        ));
    }
    if expect.finished_at.is_some() && expect.finished_at != found.finished_at {
        return Some(format!(
            "finished at {}",
            or_never(found.finished_at.as_deref())
        ));
    }
    if expect.name.as_ref().is_some_and(|name| *name != found.name) {
        return Some(format!("named {}", found.name));
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

pub(super) async fn within<T>(
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

/// A look that got no answer leaves no doubt about the call behind it.
fn not_made(error: EngineError) -> EngineError {
    match error {
        error @ (EngineError::TimedOut | EngineError::Unreachable { .. }) => EngineError::NotMade {
            reason: error.to_string(),
        },
        error => error,
    }
}

/// Somebody else's unpausing was first: the engine has no status of its own for that.
fn was_done_already(error: EngineError) -> Result<(), EngineError> {
    match error {
        EngineError::Refused { message, .. } if message.contains("is not paused") => Ok(()),
        error => Err(error),
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
            name: Some("worker-1".into()),
            states: vec![state],
        }
    }

    #[test]
    fn what_is_unpaused_already_is_as_good_and_other_refusals_stay() {
        let refused = |message: &str| EngineError::Refused {
            status: 500,
            message: message.into(),
        };
        let first = refused("Container 0123 is not paused");
        assert!(was_done_already(first).is_ok());
        assert!(was_done_already(refused("no space left on device")).is_err());
        assert!(was_done_already(EngineError::TimedOut).is_err());
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
            name: None,
            states: vec![running],
        };
        assert!(mismatch(&found(), &other_end).is_some());
        let renamed = Expectation {
            name: Some("0123456789ab_worker-1".into()),
            ..expect("t1", running)
        };
        assert!(mismatch(&found(), &renamed).is_some());
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
