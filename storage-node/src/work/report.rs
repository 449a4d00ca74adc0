//! What the background workers say of themselves.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How a worker is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its name.
    pub name: String,
    /// `idle`, `busy`, or `failing`.
    pub state: String,
    /// What it has done of what there is, in its own words.
    pub progress: String,
    /// How long it rests for each stretch of work of the same length; 0: not at all.
    pub tranquility: u32,
    /// What went wrong last, and did not go right since.
    pub last_error: Option<String>,
}

/// The reports of all workers of a node.
#[derive(Clone, Debug, Default)]
pub struct Reports(Arc<Mutex<BTreeMap<&'static str, Worker>>>);

impl Reports {
    /// A report of a worker's own.
    #[must_use]
    pub fn of(&self, name: &'static str, tranquility: u32) -> Report {
        let worker = Worker {
            name: name.to_owned(),
            state: "idle".to_owned(),
            tranquility,
            ..Worker::default()
        };
        self.lock().insert(name, worker);
        Report {
            all: self.clone(),
            name,
            tranquility,
        }
    }

    /// All of them, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Worker> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Worker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One worker's report.
#[derive(Clone, Debug)]
pub struct Report {
    all: Reports,
    name: &'static str,
    tranquility: u32,
}

impl Report {
    fn change(&self, change: impl FnOnce(&mut Worker)) {
        if let Some(worker) = self.all.lock().get_mut(self.name) {
            change(worker);
        }
    }

    /// It works, and this is how far it is.
    pub fn busy(&self, progress: impl Into<String>) {
        let progress = progress.into();
        self.change(|worker| {
            "busy".clone_into(&mut worker.state);
            worker.progress = progress;
        });
    }

    /// It has nothing to do.
    pub fn idle(&self) {
        self.change(|worker| {
            "idle".clone_into(&mut worker.state);
            worker.last_error = None;
        });
    }

    /// It cannot do what there is to do.
    pub fn failing(&self, error: &impl std::fmt::Display) {
        tracing::debug!(event = "worker_waits", worker = self.name, %error, "a worker waits");
        let error = error.to_string();
        self.change(|worker| {
            "failing".clone_into(&mut worker.state);
            worker.last_error = Some(error);
        });
    }

    /// Takes over how a round ended.
    pub fn ended<E: std::fmt::Display>(&self, round: &Result<(), E>) {
        match round {
            Ok(()) => self.idle(),
            Err(error) => self.failing(error),
        }
    }

    /// Does a stretch of work, then rests in proportion: users go first.
    pub async fn calmly<T>(&self, work: impl Future<Output = T>) -> T {
        /// No stretch was so long that it earns more.
        const LONGEST: Duration = Duration::from_secs(2);
        let begun = Instant::now();
        let done = work.await;
        sleep((begun.elapsed() * self.tranquility).min(LONGEST)).await;
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_tells_what_it_does_and_what_went_wrong() {
        let reports = Reports::default();
        let report = reports.of("scrub", 1);
        report.busy("1 of 2");
        assert_eq!(reports.list()[0].progress, "1 of 2");
        report.ended(&Err("no quorum"));
        assert_eq!(reports.list()[0].last_error.as_deref(), Some("no quorum"));
        assert_eq!(report.calmly(async { 7 }).await, 7);
        report.ended::<String>(&Ok(()));
        assert_eq!(reports.list()[0].state, "idle");
        assert_eq!(reports.list()[0].last_error, None);
    }
}
