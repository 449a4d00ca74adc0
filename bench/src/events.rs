//! The engine's events, each with the moment at which it came.

use anyhow::{Context, Result, bail};
use bollard::Docker;
use bollard::query_parameters::EventsOptions;
use futures::StreamExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Far more than any healing takes; past it a measurement is a failure, not a figure.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Something that happened to a container.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The container's name.
    pub name: String,
    /// `die`, `start`, …
    pub action: String,
    /// When it was heard here.
    pub heard: Instant,
    /// When it happened by the engine's clock, nanoseconds since 1970.
    pub engine_ns: i64,
    /// The exit code of a `die`.
    pub exit_code: Option<String>,
}

/// Listens from its making on.
pub struct Listener {
    seen: Arc<Mutex<Vec<Seen>>>,
    news: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Listens to containers with this label (`key=value`).
    ///
    /// # Errors
    /// Where the engine does not answer.
    pub async fn start(docker: &Docker, label: &str) -> Result<Self> {
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), vec![label.to_owned()]),
            (
                "event".to_owned(),
                vec!["die".to_owned(), "start".to_owned(), "kill".to_owned()],
            ),
        ]);
        let options = EventsOptions {
            filters: Some(filters),
            ..EventsOptions::default()
        };
        let mut stream = docker.events(Some(options));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let news = Arc::new(Notify::new());
        let (sink, bell) = (Arc::clone(&seen), Arc::clone(&news));
        let task = tokio::spawn(async move {
            while let Some(Ok(event)) = stream.next().await {
                let heard = Instant::now();
                let attributes = event.actor.and_then(|actor| actor.attributes);
                let mut attributes = attributes.unwrap_or_default();
                sink.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(Seen {
                        name: attributes.remove("name").unwrap_or_default(),
                        action: event.action.unwrap_or_default(),
                        heard,
                        engine_ns: event.time_nano.unwrap_or(0),
                        exit_code: attributes.remove("exitCode"),
                    });
                bell.notify_waiters();
            }
        });
        // The stream is lazy and does not say when it stands.
        docker.ping().await.context("the engine does not answer")?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok(Self { seen, news, task })
    }

    /// The first such event heard after `after`.
    ///
    /// # Errors
    /// Where it does not come in time.
    pub async fn wait(&self, name: &str, action: &str, after: Instant) -> Result<Seen> {
        let search = async {
            loop {
                let news = self.news.notified();
                let mut news = std::pin::pin!(news);
                // Registered before the look, so that nothing is missed between look and wait.
                news.as_mut().enable();
                if let Some(found) = self.find(name, action, after) {
                    return found;
                }
                news.await;
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(found) => Ok(found),
            Err(_) => bail!("no {action} of {name} within {} s", PATIENCE.as_secs()),
        }
    }

    fn find(&self, name: &str, action: &str, after: Instant) -> Option<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter()
            .find(|one| one.name == name && one.action == action && one.heard >= after)
            .cloned()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}
