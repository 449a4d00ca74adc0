//! The broker closes a container's connections, as an administrator does, or a broker that is drained.

use super::{About, Needs, Progress, Saved, Undo};
use crate::engine::{Engine, EngineError, Found};
use crate::ledger::Attack;
use crate::management::{Connection, Known, Management, ManagementError};
use crate::target::Life;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

pub(super) const ABOUT: About = About {
    name: "amqp-close",
    what: "RabbitMQ closes all AMQP connections of the target, asked through its management API",
    proof: "RabbitMQ lists those connections no more",
    undo: Undo::Nothing,
    needs: Needs::Management,
    healed_by: "the target itself, which connects again",
    heals: true,
    patience: Duration::from_secs(30),
};

/// The names of so many stand in the ledger; all are closed.
const WRITTEN_MAX: usize = 32;
/// A broker that answers nothing is not asked for longer: each question waits two seconds.
const CLOSED_WITHIN: Duration = Duration::from_secs(6);

/// Asked in a thread of its own: the client waits where it stands.
async fn ask<T: Send + 'static>(
    management: &Known,
    question: impl FnOnce(&Management) -> Result<T, ManagementError> + Send + 'static,
) -> Result<T, EngineError> {
    let management = management.clone()?;
    let asked = tokio::task::spawn_blocking(move || question(&management)).await;
    match asked {
        Ok(answer) => Ok(answer?),
        Err(error) => Err(EngineError::Refused(error.to_string())),
    }
}

async fn connections(management: &Known) -> Result<Vec<Connection>, EngineError> {
    ask(management, Management::connections).await
}

/// Monitors call theirs by their name and a word for what it is; other programs are known by where they are.
fn is_of(connection: &Connection, target: &Found) -> bool {
    let called = connection.user_provided_name.split(' ').next();
    let peer = connection.peer_host.parse();
    called == Some(target.name.as_str()) || peer.is_ok_and(|peer| target.addresses.contains(&peer))
}

pub(super) async fn prepare(
    management: &Known,
    before: &Found,
) -> Result<Option<Saved>, EngineError> {
    let mut names: Vec<String> = connections(management)
        .await?
        .into_iter()
        .filter(|it| is_of(it, before))
        .map(|it| it.name)
        .collect();
    if names.is_empty() {
        return Err(EngineError::Refused(format!(
            "{} has no connection to RabbitMQ",
            before.name
        )));
    }
    names.sort();
    let more = names.split_off(names.len().min(WRITTEN_MAX));
    Ok(Some(Saved::Connections { names, more }))
}

/// Those that there were before.
fn known(attack: &Attack) -> BTreeSet<&str> {
    let (names, more): (&[String], &[String]) = match &attack.saved {
        Some(Saved::Connections { names, more }) => (names, more),
        _ => (&[], &[]),
    };
    names.iter().chain(more).map(String::as_str).collect()
}

/// Each is tried, whatever became of the others: what was done cannot be taken back. The first error is told.
pub(super) async fn inject(management: &Known, attack: &Attack) -> Result<(), EngineError> {
    let names: Vec<String> = known(attack).into_iter().map(str::to_owned).collect();
    ask(management, move |management| {
        let until = Instant::now() + CLOSED_WITHIN;
        let mut told = Ok(());
        for name in &names {
            let closed = management.close(name);
            told = told.and(closed);
            if told.is_err() && Instant::now() > until {
                break;
            }
        }
        told
    })
    .await
}

pub(super) async fn took(management: &Known, attack: &Attack) -> Result<bool, EngineError> {
    let now = connections(management).await?;
    let known = known(attack);
    Ok(!now.iter().any(|it| known.contains(it.name.as_str())))
}

fn is_back(all: &[Connection], target: &Found, attack: &Attack) -> bool {
    let known = known(attack);
    all.iter()
        .any(|it| is_of(it, target) && !known.contains(it.name.as_str()))
}

/// Back when it has a connection that was not there before.
pub(super) async fn progress<E: Engine>(
    engine: &E,
    management: &Known,
    attack: &Attack,
    before: &Found,
) -> Result<Progress, EngineError> {
    let now = engine.inspect(&before.id).await?;
    let all = connections(management).await?;
    Ok(match (is_back(&all, &now, attack), now.life) {
        (true, Life::Well) => Progress::Back,
        (true, _) => Progress::Running,
        (false, _) => Progress::Out,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::attack;
    use crate::management::tests::broker;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn connection(name: &str, called: &str, peer: &str) -> Connection {
        Connection {
            name: name.to_owned(),
            user_provided_name: called.to_owned(),
            peer_host: peer.to_owned(),
        }
    }

    fn worker() -> Found {
        Found {
            id: "c0ffee".to_owned(),
            name: "worker-1".to_owned(),
            project: None,
            life: Life::Well,
            started_at: String::new(),
            addresses: vec!["10.0.0.5".parse().unwrap()],
        }
    }

    #[test]
    fn connections_are_known_by_name_or_place() {
        let of = |called: &str, peer: &str| is_of(&connection("x", called, peer), &worker());
        assert!(of("worker-1 0a1b", "10.9.9.9"));
        assert!(of("pika", "10.0.0.5"));
        assert!(!of("worker-10 0a1b", "10.0.0.6"));
        assert!(!of("", ""));
    }

    #[tokio::test]
    async fn one_that_cannot_be_closed_does_not_spare_the_others() {
        let (management, heads) = broker(|line| {
            let status = if line.contains("/bad ") { 500 } else { 204 };
            (status, String::new())
        });
        let mut attack = attack("a");
        let names = ["first", "bad", "last"].map(str::to_owned).to_vec();
        attack.saved = Some(Saved::Connections {
            names,
            more: Vec::new(),
        });
        let told = inject(&Ok(management), &attack).await.unwrap_err();
        assert!(told.to_string().contains("500"), "{told}");
        assert_eq!(heads.lock().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn of_many_connections_all_are_closed_and_none_of_them_counts_as_a_new_one() {
        let row = |number: usize| {
            format!(r#"{{"name":"{number:03} -> b","user_provided_name":"worker-1 {number}"}}"#)
        };
        let list = (0..100).map(row).collect::<Vec<_>>().join(",");
        let (management, heads) = broker(move |line| {
            if line.starts_with("DELETE") {
                (204, String::new())
            } else {
                (200, format!("[{list}]"))
            }
        });
        let management = &Ok(management);
        let mut attack = attack("a");
        attack.saved = prepare(management, &worker()).await.unwrap();
        let line = serde_json::to_string(&attack).unwrap();
        assert!(line.len() < 2000 && line.contains("031"), "{line}");
        inject(management, &attack).await.unwrap();
        let is_closing = |head: &&String| head.starts_with("DELETE");
        assert_eq!(heads.lock().unwrap().iter().filter(is_closing).count(), 100);
        // They are listed still, and none of them is a new one.
        assert_eq!(took(management, &attack).await, Ok(false));
        let all = connections(management).await.unwrap();
        assert!(!is_back(&all, &worker(), &attack));
        let new = connection("new -> b", "worker-1 100", "");
        assert!(is_back(&[new], &worker(), &attack));
    }

    #[tokio::test]
    async fn what_was_listed_is_closed_and_only_that() {
        let gone = AtomicBool::new(false);
        let (management, heads) = broker(move |line| {
            if line.starts_with("DELETE") {
                gone.store(true, Ordering::Relaxed);
                return (204, String::new());
            }
            let own =
                r#"{"name":"a -> b","user_provided_name":"worker-1 0a","peer_host":"10.0.0.5"},"#;
            let other =
                r#"{"name":"c -> b","user_provided_name":"healer-1 0a","peer_host":"10.0.0.6"}"#;
            let own = if gone.load(Ordering::Relaxed) {
                ""
            } else {
                own
            };
            (200, format!("[{own}{other}]"))
        });
        let management = &Ok(management);
        let mut attack = attack("a");
        attack.saved = prepare(management, &worker()).await.unwrap();
        assert_eq!(known(&attack), BTreeSet::from(["a -> b"]));
        assert_eq!(took(management, &attack).await, Ok(false));
        inject(management, &attack).await.unwrap();
        assert_eq!(took(management, &attack).await, Ok(true));
        let closed: Vec<String> = heads
            .lock()
            .unwrap()
            .iter()
            .filter(|head| head.starts_with("DELETE"))
            .cloned()
            .collect();
        assert_eq!(closed.len(), 1, "{closed:?}");
        let why = prepare(management, &worker()).await.unwrap_err();
        assert!(why.to_string().contains("has no connection"), "{why}");
        let why = prepare(&Err(ManagementError::Unknown), &worker())
            .await
            .unwrap_err();
        assert!(why.to_string().contains("management.url"), "{why}");
    }
}
