//! What the monkey asks of the container engine, and how bollard answers it.

mod anew;
mod helpers;
mod places;

pub use helpers::{ATTACK_LABEL, probe};

use crate::clock;
use crate::fault::{Needs, Saved};
use crate::helper::Line;
use crate::management::ManagementError;
use crate::target::{Candidate, Life};
use bollard::Docker;
use bollard::errors::Error as BollardError;
use bollard::models::{
    ContainerStateStatusEnum, ContainerSummary, ContainerSummaryStateEnum, HealthStatusEnum,
};
use bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, RestartContainerOptionsBuilder, StopContainerOptionsBuilder,
    TopOptionsBuilder,
};
use planaria_monitor::docker::Specification;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

/// No call to the engine takes longer; one that does has failed. Below a second, so that a declined
/// attack is logged within a second.
pub const CALL_TIMEOUT: Duration = Duration::from_millis(900);
/// `stop` waits for the program to end, so it gets its grace on top.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Making namespaces and mounts takes its time on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(6);

/// A helper container that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelperWish {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// The container whose namespace it joins.
    pub target: String,
    /// Its name.
    pub target_name: String,
    /// The attack's id.
    pub attack: String,
    /// Which namespace.
    pub needs: Needs,
    /// What it is told, as JSON.
    pub task: String,
}

/// What a helper said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HelperLook {
    /// Its exit code, where it has ended.
    pub exit: Option<i64>,
    /// Its words.
    pub lines: Vec<Line>,
}

/// What an inspection says about one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The engine's id.
    pub id: String,
    /// The name without the leading slash.
    pub name: String,
    /// Its Compose project.
    pub project: Option<String>,
    /// Whether it lives.
    pub life: Life,
    /// When its present life began, in the engine's words. Compared for equality only.
    pub started_at: String,
    /// Its addresses in its networks.
    pub addresses: Vec<IpAddr>,
}

/// Why the engine did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// There is no such container (any more); nothing was changed.
    #[error("there is no container {0}")]
    Gone(String),
    /// It is not in a state that allows it; nothing was changed.
    #[error("the engine refused: {0}")]
    Refused(String),
    /// It, or RabbitMQ in its place, did not answer; whether it acted is not known.
    #[error("there was no answer within {} ms; look with docker ps", CALL_TIMEOUT.as_millis())]
    Slow,
    /// What was asked is RabbitMQ's business, and it did not do it; that changed nothing.
    #[error(transparent)]
    Management(ManagementError),
    /// It cannot be reached.
    #[error("the engine cannot be reached: {0}")]
    Away(String),
}

impl From<ManagementError> for EngineError {
    fn from(error: ManagementError) -> Self {
        match error {
            ManagementError::Slow { .. } => Self::Slow,
            other => Self::Management(other),
        }
    }
}

/// The engine, as far as the monkey needs it. Every call is bounded in time.
pub trait Engine: Clone + Send + Sync + 'static {
    /// All containers, running or not.
    fn list(&self) -> impl Future<Output = Result<Vec<Candidate>, EngineError>> + Send;
    /// One of them, by id or name.
    fn inspect(&self, id: &str) -> impl Future<Output = Result<Found, EngineError>> + Send;
    /// Sends a signal to its first process.
    fn kill(&self, id: &str, signal: &str) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Stops it in order.
    fn stop(&self, id: &str) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Starts it; fine where it runs already.
    fn start(&self, id: &str) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Stops it in order and starts it.
    fn restart(&self, id: &str) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Its networks, as they would have to be given back ([`Saved::Network`]).
    fn networks(&self, id: &str) -> impl Future<Output = Result<Vec<Saved>, EngineError>> + Send;
    /// Takes it off a network.
    fn disconnect(
        &self,
        id: &str,
        network: &str,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Puts it back ([`Saved::Network`]).
    fn connect(
        &self,
        id: &str,
        saved: &Saved,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Its share of the processor ([`Saved::Limits`]).
    fn limits(&self, id: &str) -> impl Future<Output = Result<Saved, EngineError>> + Send;
    /// Sets it.
    fn set_limits(
        &self,
        id: &str,
        limits: &Saved,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Makes and starts a helper.
    fn start_helper(
        &self,
        wish: &HelperWish,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// What a helper says.
    fn look_at_helper(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<HelperLook, EngineError>> + Send;
    /// Removes a helper; fine where there is none.
    fn remove_helper(&self, name: &str) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Removes it by force. Its volumes stay.
    fn remove(&self, id: &str) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// How it was made, so that another one can be made so.
    fn how_made(&self, id: &str) -> impl Future<Output = Result<String, EngineError>> + Send;
    /// Whether it is in the networks that belong to that, and in no other.
    fn has_networks(
        &self,
        id: &str,
        how: &str,
    ) -> impl Future<Output = Result<bool, EngineError>> + Send;
    /// Makes and starts another one; until it is whole it is called `aside`.
    fn make(
        &self,
        name: &str,
        aside: &str,
        how: &str,
    ) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Freezes all of its processes.
    fn pause(&self, id: &str) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// Thaws them.
    fn unpause(&self, id: &str) -> impl Future<Output = Result<(), EngineError>> + Send;
    /// The states of its processes (`S`, `R`, `T` …), the first process first.
    fn process_states(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Vec<String>, EngineError>> + Send;
}

impl Engine for Docker {
    async fn list(&self) -> Result<Vec<Candidate>, EngineError> {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let listed = bounded("", CALL_TIMEOUT, self.list_containers(Some(options))).await?;
        Ok(listed.into_iter().filter_map(candidate).collect())
    }

    async fn inspect(&self, id: &str) -> Result<Found, EngineError> {
        let answer = bounded(
            id,
            CALL_TIMEOUT,
            self.inspect_container(id, None::<InspectContainerOptions>),
        )
        .await?;
        let state = answer.state.unwrap_or_default();
        let health = state.health.as_ref().and_then(|health| health.status);
        let life = match state.status {
            Some(ContainerStateStatusEnum::RUNNING) => match health {
                Some(HealthStatusEnum::STARTING) => Life::Starting,
                Some(HealthStatusEnum::UNHEALTHY) => Life::Unhealthy,
                Some(
                    HealthStatusEnum::HEALTHY | HealthStatusEnum::NONE | HealthStatusEnum::EMPTY,
                )
                | None => Life::Well,
            },
            Some(ContainerStateStatusEnum::PAUSED) => Life::Paused,
            Some(ContainerStateStatusEnum::RESTARTING) => Life::Restarting,
            _ => Life::Down,
        };
        Ok(Found {
            id: answer.id.unwrap_or_default(),
            name: answer
                .name
                .unwrap_or_default()
                .trim_start_matches('/')
                .to_owned(),
            project: answer
                .config
                .and_then(|config| config.labels)
                .and_then(|mut labels| labels.remove(crate::target::PROJECT_LABEL)),
            life,
            started_at: state.started_at.unwrap_or_default(),
            addresses: answer
                .network_settings
                .and_then(|it| it.networks)
                .unwrap_or_default()
                .into_values()
                .filter_map(|it| it.ip_address?.parse().ok())
                .collect(),
        })
    }

    async fn kill(&self, id: &str, signal: &str) -> Result<(), EngineError> {
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        bounded(id, CALL_TIMEOUT, self.kill_container(id, Some(options))).await
    }

    async fn stop(&self, id: &str) -> Result<(), EngineError> {
        let seconds = i32::try_from(STOP_GRACE.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        bounded(
            id,
            STOP_GRACE + CALL_TIMEOUT,
            self.stop_container(id, Some(options)),
        )
        .await
    }

    async fn start(&self, id: &str) -> Result<(), EngineError> {
        bounded(
            id,
            START_LIMIT,
            self.start_container(id, None::<bollard::query_parameters::StartContainerOptions>),
        )
        .await
    }

    async fn restart(&self, id: &str) -> Result<(), EngineError> {
        let seconds = i32::try_from(STOP_GRACE.as_secs()).unwrap_or(i32::MAX);
        let options = RestartContainerOptionsBuilder::new().t(seconds).build();
        let call = self.restart_container(id, Some(options));
        bounded(id, STOP_GRACE + START_LIMIT, call).await
    }

    async fn networks(&self, id: &str) -> Result<Vec<Saved>, EngineError> {
        places::networks(self, id).await
    }

    async fn disconnect(&self, id: &str, network: &str) -> Result<(), EngineError> {
        places::disconnect(self, id, network).await
    }

    async fn connect(&self, id: &str, saved: &Saved) -> Result<(), EngineError> {
        places::connect(self, id, saved).await
    }

    async fn limits(&self, id: &str) -> Result<Saved, EngineError> {
        places::limits(self, id).await
    }

    async fn set_limits(&self, id: &str, limits: &Saved) -> Result<(), EngineError> {
        places::set_limits(self, id, limits).await
    }

    async fn start_helper(&self, wish: &HelperWish) -> Result<(), EngineError> {
        helpers::start(self, wish).await
    }

    async fn look_at_helper(&self, name: &str) -> Result<HelperLook, EngineError> {
        helpers::look(self, name).await
    }

    async fn remove_helper(&self, name: &str) -> Result<(), EngineError> {
        helpers::remove(self, name).await
    }

    async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        let call = self.remove_container(id, Some(options));
        bounded(id, START_LIMIT, call).await
    }

    async fn how_made(&self, id: &str) -> Result<String, EngineError> {
        let found = self.inspect_container(id, None::<InspectContainerOptions>);
        let found = bounded(id, CALL_TIMEOUT, found).await?;
        let refused = |why: String| EngineError::Refused(why);
        let how = Specification::of(found)
            .ok_or_else(|| refused("it does not say how this container was made".to_owned()))?;
        serde_json::to_string(&how).map_err(|error| refused(error.to_string()))
    }

    async fn has_networks(&self, id: &str, how: &str) -> Result<bool, EngineError> {
        anew::has_networks(self, id, how).await
    }

    async fn make(&self, name: &str, aside: &str, how: &str) -> Result<(), EngineError> {
        anew::make(self, name, aside, how).await
    }

    async fn pause(&self, id: &str) -> Result<(), EngineError> {
        bounded(id, CALL_TIMEOUT, self.pause_container(id)).await
    }

    async fn unpause(&self, id: &str) -> Result<(), EngineError> {
        bounded(id, CALL_TIMEOUT, self.unpause_container(id)).await
    }

    async fn process_states(&self, id: &str) -> Result<Vec<String>, EngineError> {
        let options = TopOptionsBuilder::new().ps_args("-eo pid,stat").build();
        let top = bounded(id, CALL_TIMEOUT, self.top_processes(id, Some(options))).await?;
        let mut rows = top.processes.unwrap_or_default();
        // The first process of a container is the oldest and so has the lowest host pid, but for a
        // wrap-around of pids, where the check finds nothing and the fault counts as not taken.
        rows.sort_by_key(|row| {
            row.first()
                .and_then(|pid| pid.trim().parse::<u64>().ok())
                .unwrap_or(u64::MAX)
        });
        Ok(rows.into_iter().filter_map(|mut row| row.pop()).collect())
    }
}

async fn bounded<T>(
    id: &str,
    limit: Duration,
    call: impl Future<Output = Result<T, BollardError>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(limit, call).await {
        Err(_) => Err(EngineError::Slow),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(BollardError::DockerResponseServerError {
            status_code,
            message,
        })) => Err(match status_code {
            404 => EngineError::Gone(id.to_owned()),
            _ => EngineError::Refused(message),
        }),
        Ok(Err(BollardError::RequestTimeoutError)) => Err(EngineError::Slow),
        Ok(Err(other)) => Err(EngineError::Away(other.to_string())),
    }
}

fn candidate(summary: ContainerSummary) -> Option<Candidate> {
    // `Up 3 minutes (unhealthy)`: the list has health in its text only.
    let text = summary.status.unwrap_or_default();
    let life = match summary.state? {
        ContainerSummaryStateEnum::RUNNING if text.contains("(unhealthy)") => Life::Unhealthy,
        ContainerSummaryStateEnum::RUNNING if text.contains("(health: starting)") => Life::Starting,
        ContainerSummaryStateEnum::RUNNING => Life::Well,
        ContainerSummaryStateEnum::PAUSED => Life::Paused,
        ContainerSummaryStateEnum::RESTARTING => Life::Restarting,
        _ => Life::Down,
    };
    Some(Candidate {
        id: summary.id?,
        name: summary.names?.first()?.trim_start_matches('/').to_owned(),
        image: summary.image.unwrap_or_default(),
        labels: summary.labels.unwrap_or_default().into_iter().collect(),
        life,
        age: None,
    })
}

/// For how long a container has run; `None` where the engine's time says nothing.
#[must_use]
pub fn age(found: &Found) -> Option<Duration> {
    let started = clock::parse(&found.started_at)?;
    Some(Duration::from_millis(
        clock::now_ms().saturating_sub(started),
    ))
}
