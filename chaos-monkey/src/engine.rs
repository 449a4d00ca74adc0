//! What the monkey asks of the container engine, and how bollard answers it.

use crate::clock;
use crate::target::{Candidate, Life};
use bollard::Docker;
use bollard::errors::Error as BollardError;
use bollard::models::{
    ContainerStateStatusEnum, ContainerSummary, ContainerSummaryStateEnum, HealthStatusEnum,
};
use bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    StopContainerOptionsBuilder, TopOptionsBuilder,
};
use std::future::Future;
use std::time::Duration;

/// No call to the engine takes longer; one that does has failed. Below a second, so that a declined
/// attack is logged within a second.
pub const CALL_TIMEOUT: Duration = Duration::from_millis(900);
/// `stop` waits for the program to end, so it gets its grace on top.
const STOP_GRACE: Duration = Duration::from_secs(5);

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
    /// It did not answer; whether it acted is not known.
    #[error("the engine did not answer within {} ms; look with docker ps", CALL_TIMEOUT.as_millis())]
    Slow,
    /// It cannot be reached.
    #[error("the engine cannot be reached: {0}")]
    Away(String),
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
        // Making namespaces and mounts takes its time on a busy machine.
        let limit = STOP_GRACE + CALL_TIMEOUT;
        bounded(
            id,
            limit,
            self.start_container(id, None::<bollard::query_parameters::StartContainerOptions>),
        )
        .await
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
