//! Which of several watchers of one host acts.
//!
//! The engine knows it: among the containers that run a watcher of the same scope, the one that was
//! started first is on duty, as long as it runs, is not paused and is not unhealthy. Everyone computes
//! that from the same list, so nothing is written and no volume is needed. Its end is an event, and the
//! next one is on duty as soon as it has heard of it. A watcher that is no container is seen by nobody,
//! so it stands by for all that are; among themselves such watchers share a lock in `STATE_DIR`.

use super::Variables;
use crate::docker::{CALL_DEADLINE, nanoseconds};
use bollard::Docker;
use bollard::models::{ContainerInspectResponse, HealthStatusEnum};
use bollard::query_parameters::ListContainersOptionsBuilder;
use planaria_core::id::ContainerId;
use planaria_core::input::Input;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// The label of our image by which watchers find each other.
pub(crate) const WATCHER_LABEL: &str = "planaria.watcher";
/// Events wake it at once; this is for those that were missed.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// The lock among watchers that are no containers.
const LOCK: &str = "watch.lock";

/// Whether this watcher acts, as its last look told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Duty {
    on: Arc<AtomicBool>,
    /// Something happened to a watcher.
    pub(crate) woken: Arc<Notify>,
}

impl Duty {
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }
}

/// What is known of oneself.
pub(crate) struct Own {
    pub(crate) container: Option<ContainerId>,
    pub(crate) scope: String,
    pub(crate) state_dir: Option<std::path::PathBuf>,
}

/// A watcher, as the engine shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Watcher {
    id: String,
    name: String,
    started: i64,
    scope: String,
    able: bool,
}

/// What a look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    OnDuty,
    StandBy { on_duty: String },
}

/// Keeps looking for ever, and tells the core of each change.
pub(crate) async fn stand(duty: Duty, own: Own, docker: Docker, inputs: mpsc::Sender<Input>) {
    let mut lock = None;
    let mut said: Option<Verdict> = None;
    loop {
        // An engine that does not answer changes nothing: nobody can act then.
        if let Some(watchers) = watchers(&docker).await {
            let mut verdict = judge(&watchers, &own);
            if own.container.is_none() && verdict == Verdict::OnDuty {
                verdict = with_lock(&mut lock, own.state_dir.as_deref());
            }
            let on = verdict == Verdict::OnDuty;
            duty.on.store(on, Ordering::Release);
            if said.as_ref() != Some(&verdict) {
                tell(&verdict, said.is_none());
                if inputs.send(Input::Duty { on }).await.is_err() {
                    return;
                }
                said = Some(verdict);
            }
        }
        let _ = tokio::time::timeout(LOOK_EVERY, duty.woken.notified()).await;
    }
}

fn tell(verdict: &Verdict, first: bool) {
    match verdict {
        Verdict::OnDuty if first => {}
        Verdict::OnDuty => {
            tracing::info!(event = "on_duty", "On duty now: the other watcher is gone");
        }
        Verdict::StandBy { on_duty } => {
            tracing::info!(
                event = "standing_by",
                "Standing by: {on_duty} watches already; this one takes over when it ends"
            );
        }
    }
}

/// Without a folder for a lock there is nobody to share it with.
fn with_lock(held: &mut Option<File>, folder: Option<&Path>) -> Verdict {
    let Some(folder) = folder else {
        return Verdict::OnDuty;
    };
    if held.is_some() {
        return Verdict::OnDuty;
    }
    let path = folder.join(LOCK);
    let file = match File::create(&path) {
        Ok(file) => file,
        Err(error) => {
            tracing::warn!(event = "lock_unusable", "{}: {error}", path.display());
            return Verdict::OnDuty;
        }
    };
    let operation = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    match rustix::fs::flock(&file, operation) {
        Ok(()) => {
            *held = Some(file);
            Verdict::OnDuty
        }
        Err(_) => Verdict::StandBy {
            on_duty: format!("whoever holds {}", path.display()),
        },
    }
}

async fn watchers(docker: &Docker) -> Option<Vec<Watcher>> {
    let label = format!("{WATCHER_LABEL}=true");
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListContainersOptionsBuilder::new()
        .filters(&filters)
        .build();
    let listed = tokio::time::timeout(CALL_DEADLINE, docker.list_containers(Some(options))).await;
    let mut watchers = Vec::new();
    for listed in listed.ok()?.ok()? {
        let id = listed.id?;
        let asked = docker.inspect_container(&id, None);
        match tokio::time::timeout(CALL_DEADLINE, asked).await.ok()? {
            Ok(found) => watchers.extend(watcher(&found)),
            Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 404, ..
            }) => {}
            Err(_) => return None,
        }
    }
    Some(watchers)
}

/// Nothing, where the container does something else with this image.
fn watcher(found: &ContainerInspectResponse) -> Option<Watcher> {
    let words = found.args.as_deref().unwrap_or_default();
    let is = |wanted: &str| words.iter().any(|word| word == wanted);
    let program = found.path.as_deref().unwrap_or_default();
    let alone = (is("watch") || is("autoheal")) && !is("--group");
    if !alone || !program.ends_with("monitor") && !is("monitor") && !is("/monitor") {
        return None;
    }
    let state = found.state.as_ref()?;
    let config = found.config.as_ref()?;
    let env = config.env.as_deref().unwrap_or_default();
    let health = state.health.as_ref().and_then(|health| health.status);
    Some(Watcher {
        id: found.id.clone()?,
        name: found
            .name
            .as_deref()
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned(),
        started: nanoseconds(state.started_at.as_deref()?)?,
        scope: scope(env, is("--dry-run")),
        able: state.running == Some(true)
            && state.paused != Some(true)
            && health != Some(HealthStatusEnum::UNHEALTHY),
    })
}

/// Watchers of different scopes do not stand in for each other: they heal different containers.
fn scope(env: &[String], dry_run: bool) -> String {
    let get = |name: &str| {
        env.iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(str::to_owned)
    };
    own_scope(&get, dry_run)
}

/// The same of any environment.
pub(crate) fn own_scope(get: &impl Fn(&str) -> Option<String>, dry_run: bool) -> String {
    let dry = dry_run
        || get("PLANARIA_DRY_RUN").is_some_and(|text| {
            matches!(
                text.to_ascii_lowercase().as_str(),
                "true" | "yes" | "on" | "1"
            )
        });
    let scope = Variables::read(get).scope();
    if dry { format!("{scope}/dry") } else { scope }
}

fn judge(watchers: &[Watcher], own: &Own) -> Verdict {
    let is_own = |watcher: &&Watcher| {
        own.container
            .as_ref()
            .is_some_and(|id| watcher.id.starts_with(id.as_str()))
    };
    let scope = watchers
        .iter()
        .find(is_own)
        .map_or(own.scope.as_str(), |watcher| watcher.scope.as_str());
    let first = watchers
        .iter()
        .filter(|watcher| watcher.able && watcher.scope == scope)
        .min_by_key(|watcher| (watcher.started, &watcher.id));
    match first {
        Some(first) if !is_own(&first) => Verdict::StandBy {
            on_duty: first.name.clone(),
        },
        _ => Verdict::OnDuty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watcher(id: &str, started: i64) -> Watcher {
        Watcher {
            id: id.to_owned(),
            name: format!("watch-{id}"),
            started,
            scope: "autoheal//".to_owned(),
            able: true,
        }
    }

    fn own(id: Option<&str>) -> Own {
        Own {
            container: id.map(Into::into),
            scope: "autoheal//".to_owned(),
            state_dir: None,
        }
    }

    #[test]
    fn the_eldest_of_a_scope_is_on_duty_and_only_it() {
        let mut all = vec![watcher("b", 2), watcher("a", 1), watcher("c", 2)];
        let on_duty = |all: &[Watcher]| -> Vec<String> {
            let mine = |id: &str| judge(all, &own(Some(id))) == Verdict::OnDuty;
            all.iter()
                .filter(|watcher| mine(&watcher.id))
                .map(|watcher| watcher.id.clone())
                .collect()
        };
        assert_eq!(on_duty(&all), ["a"]);
        // Paused, unhealthy or ended.
        all[1].able = false;
        assert_eq!(on_duty(&all), ["b"]);
        all.retain(|watcher| watcher.id == "c");
        assert_eq!(on_duty(&all), ["c"]);
        // Another label to look for is another duty.
        all[0].scope = "other//".to_owned();
        all.push(watcher("d", 9));
        assert_eq!(on_duty(&all), ["c", "d"]);
    }

    #[test]
    fn one_that_nobody_sees_stands_by_for_all_that_are_seen() {
        let all = [watcher("a", 5)];
        assert!(matches!(judge(&all, &own(None)), Verdict::StandBy { .. }));
        assert!(matches!(
            judge(&all, &own(Some("z"))),
            Verdict::StandBy { .. }
        ));
        assert_eq!(judge(&[], &own(None)), Verdict::OnDuty);
    }

    #[test]
    fn a_lock_is_held_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut other) = (None, None);
        assert_eq!(with_lock(&mut one, Some(folder.path())), Verdict::OnDuty);
        assert_ne!(with_lock(&mut other, Some(folder.path())), Verdict::OnDuty);
        drop(one.take());
        assert_eq!(with_lock(&mut other, Some(folder.path())), Verdict::OnDuty);
    }

    #[test]
    fn the_scope_is_read_from_the_environment_of_a_container() {
        let env = |lines: &[&str]| -> Vec<String> {
            lines.iter().map(|line| (*line).to_owned()).collect()
        };
        let plain = scope(&env(&["PATH=/"]), false);
        assert_eq!(
            plain,
            scope(&env(&["AUTOHEAL_CONTAINER_LABEL=autoheal"]), false)
        );
        assert_ne!(plain, scope(&env(&["AUTOHEAL_CONTAINER_LABEL=all"]), false));
        assert_ne!(plain, scope(&env(&[]), true));
        assert_ne!(plain, scope(&env(&["PLANARIA_DRY_RUN=True"]), false));
    }
}
