//! A container beside the stack, named like one of its own, that nobody may touch.

use super::{Options, ProveError};
use bollard::Docker;
use bollard::models::{ContainerCreateBody, HealthConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, RemoveContainerOptionsBuilder,
};

/// It stands there.
pub struct Bystander {
    /// Its container id.
    pub id: String,
    started_at: String,
}

impl Bystander {
    /// Puts it there: the same image as the monkey's, a project of its own, and a name like `worker-1`'s.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn start(engine: &Docker, options: &Options) -> Result<Self, ProveError> {
        let failed =
            |error: bollard::errors::Error| ProveError::Engine(format!("the bystander: {error}"));
        let name = format!("worker-1-beside-{:06x}", rand::random::<u32>() & 0xff_ffff);
        let labels = [
            (
                "com.docker.compose.project",
                format!("{}-beside", options.project),
            ),
            ("com.docker.compose.service", "worker-1".to_owned()),
            ("planaria.test", "bystander".to_owned()),
        ];
        let body = ContainerCreateBody {
            image: Some(options.image.clone()),
            entrypoint: Some(["/usr/bin/sleep", "infinity"].map(str::to_owned).to_vec()),
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".to_owned()]),
                ..HealthConfig::default()
            }),
            network_disabled: Some(true),
            labels: Some(
                labels
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect(),
            ),
            ..ContainerCreateBody::default()
        };
        let create = CreateContainerOptionsBuilder::new().name(&name).build();
        let id = engine
            .create_container(Some(create), body)
            .await
            .map_err(failed)?
            .id;
        let bystander = Self {
            id,
            started_at: String::new(),
        };
        let started = bystander.begin(engine).await;
        match started {
            Ok(started_at) => Ok(Self {
                started_at,
                ..bystander
            }),
            Err(error) => {
                bystander.remove(engine).await;
                Err(failed(error))
            }
        }
    }

    async fn begin(&self, engine: &Docker) -> Result<String, bollard::errors::Error> {
        engine
            .start_container(
                &self.id,
                None::<bollard::query_parameters::StartContainerOptions>,
            )
            .await?;
        Ok(self.state(engine).await?.1)
    }

    async fn state(&self, engine: &Docker) -> Result<(bool, String), bollard::errors::Error> {
        let found = engine
            .inspect_container(&self.id, None::<InspectContainerOptions>)
            .await?;
        let state = found.state.unwrap_or_default();
        Ok((
            state.running.unwrap_or(false),
            state.started_at.unwrap_or_default(),
        ))
    }

    /// Whether it runs on in the same life.
    pub async fn is_the_same(&self, engine: &Docker) -> bool {
        let state = self.state(engine).await;
        state.is_ok_and(|(running, started_at)| running && started_at == self.started_at)
    }

    /// Takes it away.
    pub async fn remove(&self, engine: &Docker) {
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        if let Err(error) = engine.remove_container(&self.id, Some(options)).await {
            tracing::warn!(
                event = "bystander_left",
                "the bystander {} is still there: {error}",
                self.id
            );
        }
    }
}
