//! What a person asks of the group: foreseen first (`dry_run`), then handed to the leader as a signed request.

use super::App;
use super::answer::{Problem, parse, problem};
use super::guard::actor;
use crate::snapshot::{Attack, Light, Snapshot, word};
use crate::store::now_ms;
use crate::store::people::{self, Line};
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use planaria_core::id::MemberName;
use planaria_core::message::{MemberState, Outcome, Verb};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A hold is no longer than a week: what nobody remembers is no maintenance.
const HOLD_MAX_S: u64 = 7 * 86_400;
/// Characters of a reason.
const REASON_MAX: usize = 200;
/// Members that one request may name.
const NAMES_MAX: usize = 200;
/// What ends all attacks; the monkey knows it as a fault's name.
pub(super) const REVERT: &str = "revert";
/// What runs an experiment; the same.
pub(super) const EXPERIMENT: &str = "experiment";

/// What the verbs take; each uses what it needs.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    name: Option<String>,
    #[serde(default)]
    names: Vec<String>,
    for_s: Option<u64>,
    reason: Option<String>,
    fault: Option<String>,
    target: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

macro_rules! verbs {
    ($($handler:ident $verb:literal;)+) => {
        $(pub(super) async fn $handler(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Json<Value>, Problem> {
            act(&app, $verb, &headers, &body).await
        })+
    };
}

verbs! {
    heal "heal";
    hold "hold";
    resume "resume";
    release "release";
    fence "fence";
    elect "elect";
    attack "attack";
    experiment "experiment";
    revert "revert";
}

async fn act(
    app: &App,
    name: &'static str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Json<Value>, Problem> {
    let actor = actor(app, headers).await?;
    let wish: Wish = parse(headers, body)?;
    let verb = verb(name, &wish)?;
    if wish.dry_run {
        let foreseen = match &verb {
            // The monkey alone knows whom it would hit, and why not.
            Verb::Attack { dry_run: true, .. } => {
                let said = (app.ask)(verb).await;
                let text = if said.accepted && name == EXPERIMENT {
                    format!("{}.", said.text)
                } else if said.accepted {
                    format!("The monkey would attack: {}.", said.text)
                } else {
                    said.text
                };
                Outcome { text, ..said }
            }
            _ => foresee(&app.feed.newest(), name, &verb),
        };
        return Ok(Json(
            json!({"dry_run": true, "accepted": foreseen.accepted, "text": foreseen.text}),
        ));
    }
    app.door.may_act()?;
    let mut outcome = (app.ask)(verb.clone()).await;
    if name == "attack" && outcome.accepted {
        outcome.text = format!("Begun: {}.", outcome.text);
    }
    let target = target_of(&verb);
    tracing::info!(
        event = "acted",
        who = actor.who,
        act = name,
        target,
        accepted = outcome.accepted,
        "{} asked for {name} {target}: {}",
        actor.who,
        outcome.text
    );
    let line = Line {
        at_ms: now_ms(),
        who: actor.who,
        act: name.to_owned(),
        target,
        accepted: outcome.accepted,
        text: outcome.text.clone(),
    };
    app.store.call(move |db| people::audit(db, &line)).await?;
    Ok(Json(
        json!({"dry_run": false, "accepted": outcome.accepted, "text": outcome.text}),
    ))
}

/// The request, checked as far as it can be here. Verbs are made from their JSON form, so that the page
/// needs no change where the group learns a new one.
fn verb(name: &str, wish: &Wish) -> Result<Verb, Problem> {
    let bad = |text: String| problem(StatusCode::BAD_REQUEST, "bad_request", text);
    let member = |text: &Option<String>| -> Result<String, Problem> {
        let text = text
            .clone()
            .ok_or_else(|| bad("Say whom: {\"name\": \"worker-1\"}.".to_owned()))?;
        MemberName::new(text)
            .map(|name| name.to_string())
            .map_err(|error| bad(error.to_string()))
    };
    let reason = || {
        wish.reason
            .as_deref()
            .unwrap_or("asked for on the console")
            .chars()
            .take(REASON_MAX)
            .collect::<String>()
    };
    let mut fields = Map::new();
    let mut set = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
    match name {
        "heal" | "release" => set("name", member(&wish.name)?.into()),
        "fence" => {
            set("name", member(&wish.name)?.into());
            set("reason", reason().into());
        }
        "hold" | "resume" => {
            let mut names = wish.names.clone();
            names.extend(wish.name.clone());
            if names.len() > NAMES_MAX {
                return Err(bad(format!(
                    "At most {NAMES_MAX} names at once; none means everyone."
                )));
            }
            let names: Result<Vec<String>, Problem> =
                names.into_iter().map(|name| member(&Some(name))).collect();
            set("names", names?.into());
            if name == "hold" {
                let for_s = wish.for_s.unwrap_or(1800);
                if !(1..=HOLD_MAX_S).contains(&for_s) {
                    return Err(bad(format!("for_s is between 1 and {HOLD_MAX_S} seconds.")));
                }
                set("for_s", for_s.into());
                set("reason", reason().into());
            }
        }
        "attack" => {
            if let Some(fault) = &wish.fault {
                let good = fault.len() <= 32
                    && fault
                        .chars()
                        .all(|letter| letter.is_ascii_lowercase() || "-_".contains(letter));
                if !good || fault.is_empty() || [REVERT, EXPERIMENT].contains(&fault.as_str()) {
                    return Err(bad(
                        "fault is a word such as kill or pause; chaos-monkey faults lists them."
                            .to_owned(),
                    ));
                }
                set("fault", fault.clone().into());
            }
            if wish.target.is_some() {
                set("target", member(&wish.target)?.into());
            }
            if wish.dry_run {
                set("dry_run", true.into());
            }
        }
        EXPERIMENT => {
            set("fault", EXPERIMENT.into());
            set("target", member(&wish.name)?.into());
            if wish.dry_run {
                set("dry_run", true.into());
            }
        }
        REVERT => {
            set("fault", REVERT.into());
            if wish.target.is_some() {
                set("target", member(&wish.target)?.into());
            }
        }
        _ => {}
    }
    let of_the_monkey = [REVERT, EXPERIMENT].contains(&name);
    set("verb", if of_the_monkey { "attack" } else { name }.into());
    serde_json::from_value(Value::Object(fields)).map_err(|_| {
        problem(
            StatusCode::NOT_IMPLEMENTED,
            "not_implemented",
            format!("This group does not know {name} yet."),
        )
    })
}

fn target_of(verb: &Verb) -> String {
    let value = serde_json::to_value(verb).unwrap_or_default();
    let one = value["name"].as_str().or_else(|| value["target"].as_str());
    let many = || -> String {
        let names = value["names"].as_array().cloned().unwrap_or_default();
        names
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    };
    one.map_or_else(many, str::to_owned)
}

/// What would come of it, by what the page shows: the leader has the last word.
fn foresee(snapshot: &Snapshot, name: &str, verb: &Verb) -> Outcome {
    let status = &snapshot.known.status;
    let state = |name: &str| {
        status
            .members
            .iter()
            .find(|member| member.name.as_str() == name)
            .map(|member| member.state)
    };
    let outcome = |accepted: bool, text: String| Outcome { accepted, text };
    let target = target_of(verb);
    let said = match state(&target) {
        None if !target.is_empty() && matches!(name, "heal" | "release" | "fence") => {
            return outcome(false, format!("{target} is not known to this group."));
        }
        Some(state) => format!("{target} is {} now", word(state)),
        None => String::new(),
    };
    match name {
        "heal" => outcome(
            true,
            format!(
                "{said}. It would be brought back at once, whatever its back-off: a running one is ended (TERM, then KILL) and started."
            ),
        ),
        "release" if state(&target) != Some(MemberState::Quarantined) => outcome(
            false,
            format!("{said}, not quarantined: there is nothing to release."),
        ),
        "release" => outcome(
            true,
            format!("{said}. It would be started, with a clean count of restarts."),
        ),
        "fence" => outcome(
            true,
            format!(
                "{said}. This life of it would be declared dead and forbidden to act; its container is killed and started."
            ),
        ),
        "hold" => {
            let whom = if target.is_empty() {
                format!("All {} members", status.members.len())
            } else {
                target
            };
            outcome(
                true,
                format!(
                    "{whom} would be watched and reported, and not touched, not even when dead. It ends by itself."
                ),
            )
        }
        "resume" if status.held.is_empty() => outcome(false, "Nothing is on hold.".to_owned()),
        "resume" => outcome(
            true,
            "The hold would end now; what is dead meanwhile is brought back.".to_owned(),
        ),
        "elect" => {
            let others = status
                .members
                .iter()
                .filter(|member| {
                    member.candidate
                        && Light::of(member.state) == Light::Good
                        && Some(&member.name) != status.leader.as_ref()
                })
                .count();
            let leader = status
                .leader
                .as_ref()
                .map_or("nobody", |leader| leader.as_str());
            outcome(
                others > 0,
                format!("{leader} would lay its office down; {others} other candidates are fit."),
            )
        }
        _ => foresee_revert(&snapshot.board.attacks, &target),
    }
}

/// What an undoing would end, by what the monkey told.
fn foresee_revert(attacks: &[Attack], target: &str) -> Outcome {
    let running: Vec<String> = attacks
        .iter()
        .filter(|attack| attack.runs() && (target.is_empty() || attack.target == target))
        .map(|attack| format!("{} on {}", attack.fault, attack.target))
        .collect();
    let text = match (target, running.is_empty()) {
        ("", true) => {
            "No fault runs. The timer would be switched off until the monkey is started anew."
                .to_owned()
        }
        ("", false) => format!(
            "{} would be undone, and the timer switched off until the monkey is started anew.",
            running.join(", ")
        ),
        (target, true) => format!("Nothing of the monkey is under way on {target}."),
        (_, false) => format!("{} would be undone; the timer goes on.", running.join(", ")),
    };
    Outcome {
        accepted: target.is_empty() || !running.is_empty(),
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::fixture;
    use crate::snapshot::Board;
    use std::sync::Arc;

    fn wish(text: &str) -> Wish {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn wishes_become_requests_or_say_what_is_missing() {
        let heal = verb("heal", &wish(r#"{"name": "worker-1"}"#)).unwrap();
        assert!(matches!(heal, Verb::Heal { .. }));
        assert!(verb("heal", &wish("{}")).is_err());
        assert!(verb("heal", &wish(r#"{"name": "../x"}"#)).is_err());
        assert!(matches!(
            verb("hold", &wish(r#"{"names": [], "for_s": 60}"#)).unwrap(),
            Verb::Hold { for_s: 60, .. }
        ));
        assert!(verb("hold", &wish(r#"{"for_s": 0}"#)).is_err());
        assert!(matches!(verb("elect", &wish("{}")).unwrap(), Verb::Elect));
        assert!(verb("attack", &wish(r#"{"fault": "rm -rf"}"#)).is_err());
        let revert = verb("revert", &wish("{}")).unwrap();
        assert!(matches!(revert, Verb::Attack { fault: Some(fault), .. } if fault == REVERT));
        let experiment = verb("experiment", &wish(r#"{"name": "leader-is-replaced"}"#)).unwrap();
        assert!(
            matches!(experiment, Verb::Attack { fault: Some(fault), .. } if fault == EXPERIMENT)
        );
        assert!(verb("attack", &wish(r#"{"fault": "experiment"}"#)).is_err());
        assert!(serde_json::from_str::<Wish>(r#"{"nmae": "x"}"#).is_err());
    }

    #[test]
    fn what_would_be_in_vain_is_foreseen() {
        let board = Board {
            attacks: fixture::board().attacks,
            ..Board::default()
        };
        let snapshot = Snapshot::new(1, fixture::known(), Arc::new(board));
        let see =
            |name: &str, text: &str| foresee(&snapshot, name, &verb(name, &wish(text)).unwrap());
        assert!(see("release", r#"{"name": "plain-2"}"#).accepted);
        assert!(!see("release", r#"{"name": "worker-1"}"#).accepted);
        assert!(!see("heal", r#"{"name": "nobody-9"}"#).accepted);
        assert!(!see("resume", "{}").accepted);
        assert!(see("elect", "{}").text.contains("healer-3"));
        assert!(see("revert", "{}").text.contains("pause on worker-2"));
        assert!(see("revert", r#"{"target": "worker-2"}"#).accepted);
        assert!(!see("revert", r#"{"target": "worker-1"}"#).accepted);
    }
}
