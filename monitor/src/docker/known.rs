//! What was inspected already and cannot have changed since: with hundreds of containers the regular list
//! would otherwise be all that a watcher costs.
//!
//! An entry is dropped with each event about its container and with each loss of the event stream, does
//! not outlive [`KEPT`], and counts only while the engine's list shows the same state, names and networks
//! and an uptime that has not become shorter.

use bollard::models::ContainerSummary;
use planaria_core::engine::Container;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Everything is looked at again after this: an event may have been lost without a trace.
const KEPT: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Summary {
    state: String,
    names: Vec<String>,
    networks: Vec<String>,
    /// What the engine says behind the uptime: `(healthy)`, or a whole sentence where it is not up.
    rest: String,
}

#[derive(Clone, Debug)]
struct Known {
    summary: Summary,
    up: Duration,
    looked: Instant,
    container: Container,
}

/// Containers by id.
#[derive(Clone, Debug, Default)]
pub(super) struct Knowledge(Arc<Mutex<BTreeMap<String, Known>>>);

impl Knowledge {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Known>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is known of it, where that still holds.
    pub(super) fn get(&self, listed: &ContainerSummary) -> Option<Container> {
        let (summary, up) = summary(listed)?;
        self.with(|all| {
            let known = all.get_mut(listed.id.as_deref()?)?;
            let holds = known.summary == summary && up >= known.up && known.looked.elapsed() < KEPT;
            holds.then(|| {
                known.up = up;
                known.container.clone()
            })
        })
    }

    pub(super) fn put(&self, listed: &ContainerSummary, container: &Container) {
        let Some((summary, up)) = summary(listed) else {
            return;
        };
        let known = Known {
            summary,
            up,
            looked: Instant::now(),
            container: container.clone(),
        };
        self.with(|all| all.insert(container.id.as_str().to_owned(), known));
    }

    /// Something happened to it.
    pub(super) fn forget(&self, id: &str) {
        self.with(|all| all.remove(id));
    }

    /// Anything may have happened.
    pub(super) fn forget_all(&self) {
        self.with(BTreeMap::clear);
    }

    /// Those that are gone.
    pub(super) fn keep(&self, listed: &[ContainerSummary]) {
        self.with(|all| {
            all.retain(|id, _| listed.iter().any(|one| one.id.as_deref() == Some(id)));
        });
    }
}

/// Only what runs is taken as known: what is down is looked at each time, there are few of them.
fn summary(listed: &ContainerSummary) -> Option<(Summary, Duration)> {
    let (up, rest) = uptime(listed.status.as_deref()?)?;
    let networks = listed.network_settings.as_ref();
    let mut networks: Vec<String> = networks
        .and_then(|settings| settings.networks.as_ref())
        .map(|networks| networks.keys().cloned().collect())
        .unwrap_or_default();
    networks.sort();
    let summary = Summary {
        state: format!("{:?}", listed.state),
        names: listed.names.clone().unwrap_or_default(),
        networks,
        rest: rest.to_owned(),
    };
    Some((summary, up))
}

/// `Up 3 minutes (healthy)` → 3 minutes, `(healthy)`. The engine rounds; `None` for what is not up.
fn uptime(status: &str) -> Option<(Duration, &str)> {
    let text = status.strip_prefix("Up ")?;
    let (text, rest) = match text.find('(') {
        Some(at) => (text[..at].trim_end(), &text[at..]),
        None => (text, ""),
    };
    let text = text.strip_prefix("About ").unwrap_or(text);
    let (number, unit) = text.split_once(' ')?;
    let number: u64 = match number {
        "a" | "an" => 1,
        "Less" => 0,
        number => number.parse().ok()?,
    };
    let seconds = match unit.trim_end_matches('s') {
        "than a second" => 0,
        "second" => number,
        "minute" => number * 60,
        "hour" => number * 3600,
        "day" => number * 86_400,
        "week" => number * 7 * 86_400,
        "month" => number * 30 * 86_400,
        "year" => number * 365 * 86_400,
        _ => return None,
    };
    Some((Duration::from_secs(seconds), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes_are_read_as_the_engine_writes_them() {
        let seconds = |text: &str| uptime(text).map(|(up, rest)| (up.as_secs(), rest.to_owned()));
        let found = |seconds: u64, rest: &str| Some((seconds, rest.to_owned()));
        assert_eq!(seconds("Up Less than a second"), found(0, ""));
        assert_eq!(
            seconds("Up 1 second (health: starting)"),
            found(1, "(health: starting)")
        );
        assert_eq!(seconds("Up 59 seconds"), found(59, ""));
        assert_eq!(
            seconds("Up About a minute (healthy)"),
            found(60, "(healthy)")
        );
        assert_eq!(seconds("Up About an hour"), found(3600, ""));
        assert_eq!(
            seconds("Up 2 weeks (Paused)"),
            found(14 * 86_400, "(Paused)")
        );
        assert_eq!(seconds("Exited (0) 3 minutes ago"), None);
        assert_eq!(seconds("Up for ever"), None);
    }

    #[test]
    fn what_may_have_changed_is_not_known() {
        let listed = |status: &str| ContainerSummary {
            id: Some("c".into()),
            status: Some(status.into()),
            names: Some(vec!["/web".into()]),
            ..ContainerSummary::default()
        };
        let found = || {
            crate::docker::translate::container(
                serde_json::from_value(serde_json::json!({
                    "Id": "c", "Name": "/web", "State": {"Status": "running"}
                }))
                .unwrap(),
            )
            .unwrap()
        };
        let knowledge = Knowledge::default();
        assert!(knowledge.get(&listed("Up 5 minutes (healthy)")).is_none());
        knowledge.put(&listed("Up 5 minutes (healthy)"), &found());
        assert!(knowledge.get(&listed("Up 6 minutes (healthy)")).is_some());
        // It was started anew, it is sick, it is paused, it is called otherwise.
        assert!(knowledge.get(&listed("Up 3 seconds (healthy)")).is_none());
        assert!(knowledge.get(&listed("Up 6 minutes (unhealthy)")).is_none());
        assert!(knowledge.get(&listed("Up 6 minutes (Paused)")).is_none());
        let renamed = ContainerSummary {
            names: Some(vec!["/other".into()]),
            ..listed("Up 6 minutes (healthy)")
        };
        assert!(knowledge.get(&renamed).is_none());
        assert!(knowledge.get(&listed("Up 7 minutes (healthy)")).is_some());
        knowledge.forget("c");
        assert!(knowledge.get(&listed("Up 7 minutes (healthy)")).is_none());
        knowledge.put(&listed("Up 7 minutes (healthy)"), &found());
        knowledge.keep(&[]);
        assert!(knowledge.get(&listed("Up 7 minutes (healthy)")).is_none());
    }
}
