//! What is seen from outside while the proof runs: the engine's events, and what each healer says of
//! itself, twice a second.

use crate::target::PROJECT_LABEL;
use bollard::Docker;
use bollard::query_parameters::{EventsOptionsBuilder, ListContainersOptionsBuilder};
use futures::StreamExt;
use planaria_core::message::Incident;
use planaria_core::status::Status;
use planaria_monitor::ask;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks at the healers.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The label by which the generated stack tells what a container is.
const ROLE_LABEL: &str = "planaria.role";
/// The port of every monitor inside its container (see `HEALTH_ADDR`).
const HEALTH_PORT: u16 = 9747;
/// Claims, incidents and events that are kept: an hour of them.
const KEPT_MAX: usize = 100_000;

/// Something that happened to a container, by the engine's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Happened {
    /// Milliseconds since 1970, the engine's clock.
    pub at_ms: u64,
    /// The container.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its project; empty: none.
    pub project: String,
    /// `start`, `die`, `kill`, `pause`, …
    pub action: String,
}

/// Somebody said that it may use force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// Asked, in milliseconds from the start.
    pub asked_ms: u64,
    /// Answered.
    pub answered_ms: u64,
    /// Who.
    pub node: String,
    /// In which term.
    pub term: (u64, u64),
}

/// What was written down.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Events of all containers on the engine, health checks' own left out.
    pub events: Vec<Happened>,
    /// Claims of force.
    pub claims: Vec<Claim>,
    /// Incidents by their id, with the time they were first seen (milliseconds since 1970).
    pub incidents: BTreeMap<String, (u64, Incident)>,
    /// Leaders, as they changed: milliseconds from the start, name, term.
    pub leaders: Vec<(u64, String, u64)>,
}

/// The witness; it ends when it is dropped.
pub struct Witness {
    notes: Arc<Mutex<Notes>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Witness {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Witness {
    /// Begins to watch.
    #[must_use]
    pub fn start(engine: &Docker, project: &str, start: Instant) -> Self {
        let notes = Arc::new(Mutex::new(Notes::default()));
        let events = tokio::spawn(listen(engine.clone(), Arc::clone(&notes)));
        let looks = tokio::spawn(look(
            engine.clone(),
            project.to_owned(),
            start,
            Arc::clone(&notes),
        ));
        Self {
            notes,
            tasks: vec![events, looks],
        }
    }

    /// What was written so far.
    #[must_use]
    pub fn notes(&self) -> Notes {
        self.notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

async fn listen(engine: Docker, notes: Arc<Mutex<Notes>>) {
    let mut since = crate::clock::now_ms() / 1000;
    loop {
        let filters: std::collections::HashMap<&str, Vec<&str>> =
            [("type", vec!["container"])].into();
        let options = EventsOptionsBuilder::new()
            .since(&since.to_string())
            .filters(&filters)
            .build();
        let mut stream = std::pin::pin!(engine.events(Some(options)));
        while let Some(Ok(event)) = stream.next().await {
            let at_ms = u64::try_from(event.time_nano.unwrap_or(0) / 1_000_000).unwrap_or(0);
            since = at_ms / 1000;
            let (action, actor) = (
                event.action.unwrap_or_default(),
                event.actor.unwrap_or_default(),
            );
            if action.starts_with("exec_") || action.starts_with("health_status") || action == "top"
            {
                continue;
            }
            let mut attributes = actor.attributes.unwrap_or_default();
            let happened = Happened {
                at_ms,
                id: actor.id.unwrap_or_default(),
                name: attributes.remove("name").unwrap_or_default(),
                project: attributes.remove(PROJECT_LABEL).unwrap_or_default(),
                action,
            };
            let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
            // A stream that broke is taken up a second earlier: what was seen is not noted twice.
            if notes.events.len() < KEPT_MAX && !notes.events.contains(&happened) {
                notes.events.push(happened);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(engine: Docker, project: String, start: Instant, notes: Arc<Mutex<Notes>>) {
    loop {
        for (_, address) in healers(&engine, &project).await {
            let asked_ms = ms(start);
            let Ok(status) = ask::status(&address).await else {
                continue;
            };
            let answered_ms = ms(start);
            let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
            notes.heard(status, asked_ms, answered_ms);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl Notes {
    fn heard(&mut self, status: Status, asked_ms: u64, answered_ms: u64) {
        let node = status.node.as_str().to_owned();
        if status.is_leader
            && self
                .leaders
                .last()
                .is_none_or(|(_, name, term)| *name != node || *term != status.term)
        {
            self.leaders.push((answered_ms, node.clone(), status.term));
        }
        if status.may_force && self.claims.len() < KEPT_MAX {
            let term = (status.term, status.term_id.map_or(0, |boot| boot.0));
            self.claims.push(Claim {
                asked_ms,
                answered_ms,
                node,
                term,
            });
        }
        let now = crate::clock::now_ms();
        for incident in status.incidents {
            if self.incidents.len() < KEPT_MAX {
                self.incidents
                    .entry(incident.id.clone())
                    .or_insert((now, incident));
            }
        }
    }
}

/// Healers that run, and where their monitors answer.
pub async fn healers(engine: &Docker, project: &str) -> Vec<(String, String)> {
    members(engine, project, Some("healer")).await
}

/// Containers of the project that run (with that role), and where their monitors would answer.
pub async fn members(engine: &Docker, project: &str, role: Option<&str>) -> Vec<(String, String)> {
    let mut labels = vec![format!("{PROJECT_LABEL}={project}")];
    labels.extend(role.map(|role| format!("{ROLE_LABEL}={role}")));
    let filters: std::collections::HashMap<&str, Vec<String>> = [("label", labels)].into();
    let options = ListContainersOptionsBuilder::new()
        .filters(&filters)
        .build();
    let Ok(Ok(listed)) = tokio::time::timeout(
        Duration::from_secs(5),
        engine.list_containers(Some(options)),
    )
    .await
    else {
        return Vec::new();
    };
    let mut found: Vec<(String, String)> = listed
        .into_iter()
        .filter_map(|container| {
            let name = container.names?.first()?.trim_start_matches('/').to_owned();
            let networks = container.network_settings?.networks?;
            let address = networks
                .into_values()
                .filter_map(|network| network.ip_address)
                .find(|address| !address.is_empty())?;
            Some((name, format!("{address}:{HEALTH_PORT}")))
        })
        .collect();
    found.sort();
    found
}

fn ms(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Two that may use force at the same time: one said so before and after the other did, in one and the
/// same term (terms do not come back).
#[must_use]
pub fn two_at_once(claims: &[Claim]) -> Option<(Claim, Claim)> {
    // The last claim of each term: so far does that office reach at least.
    let mut last: BTreeMap<(u64, u64), &Claim> = BTreeMap::new();
    let mut first: BTreeMap<(u64, u64), &Claim> = BTreeMap::new();
    for claim in claims {
        first.entry(claim.term).or_insert(claim);
        last.insert(claim.term, claim);
        if let Some(other) = first
            .get(&claim.term)
            .filter(|other| other.node != claim.node)
        {
            return Some(((*other).clone(), claim.clone()));
        }
    }
    for claim in claims {
        let clash = last.iter().find(|(term, end)| {
            let begin = first.get(term).map_or(u64::MAX, |begin| begin.answered_ms);
            **term != claim.term && begin < claim.asked_ms && end.asked_ms > claim.answered_ms
        });
        if let Some((_, other)) = clash {
            return Some((claim.clone(), (*other).clone()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(node: &str, term: u64, asked_ms: u64) -> Claim {
        Claim {
            asked_ms,
            answered_ms: asked_ms + 5,
            node: node.to_owned(),
            term: (term, 1),
        }
    }

    #[test]
    fn offices_that_follow_each_other_are_fine() {
        let claims = [
            claim("a", 1, 0),
            claim("a", 1, 500),
            claim("b", 2, 1000),
            claim("a", 3, 1500),
        ];
        assert_eq!(two_at_once(&claims), None);
        assert_eq!(two_at_once(&[]), None);
    }

    #[test]
    fn one_inside_the_others_office_is_two_at_once() {
        // What a monitor without the fence does: the old leader goes on while the new one acts.
        let claims = [claim("a", 1, 0), claim("b", 2, 500), claim("a", 1, 1000)];
        assert!(two_at_once(&claims).is_some());
        let one_term = [claim("a", 1, 0), claim("b", 1, 500)];
        assert!(two_at_once(&one_term).is_some());
    }
}
