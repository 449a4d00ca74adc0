//! Tells others what was done and why: webhooks, Apprise, scripts. Never in the way of healing.

use super::post::Poster;
use super::variables::{Form, Script, Target};
use super::{Evidence, script, text};
use crate::metrics::Metrics;
use bollard::Docker;
use planaria_core::id::ContainerId;
use planaria_core::message::{Alert, Incident, IncidentOutcome};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

/// News that wait to be sent; what comes on top of them is dropped and counted.
const NEWS_MAX: usize = 64;
/// Containers whose last state is remembered at a time.
const EVIDENCE_MAX: usize = 128;
/// Scripts at a time.
const SCRIPTS_MAX: usize = 8;
/// Between attempts to deliver one message: three in all.
const RETRIES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// Alerts that come as an incident too, with more to say.
const TOLD_AS_INCIDENT: [&str; 2] = ["quarantined", "left_down"];

/// What there is to tell.
enum News {
    Incident(Box<Incident>),
    Alert(Alert),
}

/// The way in; cheap to clone.
#[derive(Clone)]
pub(crate) struct Hooks {
    news: mpsc::Sender<News>,
    scripts: Arc<[Script]>,
    places: Arc<Semaphore>,
    kept: Arc<Mutex<BTreeMap<String, Evidence>>>,
    metrics: Arc<Metrics>,
    docker: Docker,
}

impl Hooks {
    /// Starts the sender. Without any receiver only the labels of containers name some.
    pub(crate) fn start(
        targets: Vec<Target>,
        scripts: Vec<Script>,
        docker: Docker,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (news, receiver) = mpsc::channel(NEWS_MAX);
        let hooks = Self {
            news,
            scripts: scripts.into(),
            places: Arc::new(Semaphore::new(SCRIPTS_MAX)),
            kept: Arc::default(),
            metrics,
            docker,
        };
        crate::runtime::spawn(send(hooks.clone(), targets, receiver));
        hooks
    }

    pub(crate) fn incident(&self, incident: &Incident) {
        if incident.outcome != IncidentOutcome::Refused {
            self.tell(News::Incident(Box::new(incident.clone())));
        }
    }

    pub(crate) fn alert(&self, alert: &Alert) {
        if !TOLD_AS_INCIDENT.contains(&alert.kind.as_str()) {
            self.tell(News::Alert(alert.clone()));
        }
    }

    fn tell(&self, news: News) {
        if self.news.try_send(news).is_err() {
            self.metrics.dropped("webhook");
        }
    }

    /// Remembers how a container stood right before it is ended or started; reads its last words beside.
    pub(crate) fn found(&self, mut evidence: Evidence) {
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = kept.get(&evidence.id)
                && known.started_at == evidence.started_at
            {
                // Ended by us a moment ago: why it was ended is known already.
                return;
            }
            if kept.len() >= EVIDENCE_MAX {
                kept.pop_first();
            }
            kept.insert(evidence.id.clone(), evidence.clone());
        }
        let hooks = self.clone();
        tokio::spawn(async move {
            evidence.read_lines(&hooks.docker).await;
            let mut kept = hooks.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = kept.get_mut(&evidence.id)
                && known.started_at == evidence.started_at
            {
                *known = evidence;
            }
        });
    }

    /// A start was tried: what people want run then is run.
    pub(crate) fn started(&self, container: &ContainerId) {
        if self.scripts.is_empty() {
            return;
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = kept.get(container.as_str()).cloned() else {
            return;
        };
        drop(kept);
        for script in self.scripts.iter().cloned() {
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                self.metrics.dropped("script");
                return;
            };
            let found = found.clone();
            tokio::spawn(async move {
                script::run(script, found).await;
                drop(place);
            });
        }
    }

    /// What is known of a container: kept from before the order, else as it stands now.
    async fn evidence(&self, container: &str) -> Option<Evidence> {
        let kept = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(container);
        let mut evidence = match kept {
            Some(kept) => kept,
            None => {
                let asked = self.docker.inspect_container(container, None);
                let found = tokio::time::timeout(crate::docker::CALL_DEADLINE, asked).await;
                Evidence::of(&found.ok()?.ok()?)?
            }
        };
        if !evidence.read {
            evidence.read_lines(&self.docker).await;
        }
        Some(evidence)
    }
}

async fn send(hooks: Hooks, targets: Vec<Target>, mut news: mpsc::Receiver<News>) {
    let poster = Arc::new(Poster::new());
    while let Some(news) = news.recv().await {
        let container = match &news {
            News::Incident(incident) => Some(incident.container.as_str().to_owned()),
            News::Alert(alert) => alert.name.as_ref().map(ToString::to_string),
        };
        let evidence = match &container {
            Some(container) => hooks.evidence(container).await,
            None => None,
        };
        let own = evidence.as_ref().and_then(|found| found.webhook.clone());
        let own = own.map(|url| Target {
            url,
            form: Form::Full,
        });
        for target in targets.iter().cloned().chain(own) {
            let body = body(&target.form, &news, evidence.as_ref());
            let metrics = Arc::clone(&hooks.metrics);
            let poster = Arc::clone(&poster);
            // One that is slow keeps no other waiting.
            tokio::spawn(deliver(poster, target.url, body, metrics));
        }
    }
}

async fn deliver(poster: Arc<Poster>, url: String, body: String, metrics: Arc<Metrics>) {
    let mut pauses = RETRIES.into_iter();
    loop {
        let Err(reason) = poster.post(&url, body.clone()).await else {
            return;
        };
        let Some(pause) = pauses.next() else {
            metrics.dropped("webhook");
            tracing::warn!(
                event = "webhook_failed",
                "The webhook to {} did not arrive: {reason}",
                host(&url)
            );
            return;
        };
        tokio::time::sleep(pause).await;
    }
}

/// An address as far as it may be shown: its path is often the password.
fn host(url: &str) -> &str {
    let end = url
        .match_indices('/')
        .nth(2)
        .map_or(url.len(), |(at, _)| at);
    url[..end]
        .rsplit_once('@')
        .map_or(&url[..end], |(_, host)| host)
}

fn body(form: &Form, news: &News, evidence: Option<&Evidence>) -> String {
    let said = match news {
        News::Incident(incident) => text::incident(incident, evidence),
        News::Alert(alert) => alert.text.clone(),
    };
    let value = match form {
        Form::Key(key) => json!({ key.as_str(): said }),
        Form::Apprise => json!({ "title": "Autoheal", "body": said }),
        Form::Full => {
            let (kind, facts) = match news {
                News::Incident(incident) => ("incident", json!(incident)),
                News::Alert(alert) => ("alert", json!(alert)),
            };
            let took = match news {
                News::Incident(incident) => Some(text::total_ms(incident)),
                News::Alert(_) => None,
            };
            json!({
                "version": 1,
                "kind": kind,
                kind: facts,
                "container": evidence,
                "took_ms": took,
                "text": said,
            })
        }
    };
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        assert_eq!(
            host("https://hooks.example/T0/secret"),
            "https://hooks.example"
        );
        assert_eq!(host("http://user:pass@host:80/x"), "host:80");
        assert_eq!(host("nonsense"), "nonsense");
    }
}
