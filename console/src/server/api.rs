//! The facts as JSON, and what people do with alerts, sessions and tokens.

use super::App;
use super::answer::{Problem, parse, problem};
use super::guard::{COOKIE_NAME, actor, cookie, is_from_here, reader};
use crate::access::SESSION_FOR;
use crate::alerts::book::Act;
use crate::alerts::{Record, State as AlertState, cut};
use crate::desk::Order;
use crate::store::people::{self, Line};
use crate::store::{journal, metrics as history, now_ms};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// Entries in one answer.
const LIMIT_MAX: u64 = 1000;
/// A silence lasts no longer.
const SILENCE_MAX_S: u64 = 30 * 86_400;

type Answer = Result<Json<Value>, Problem>;

fn bad(text: impl Into<String>) -> Problem {
    problem(StatusCode::BAD_REQUEST, "bad_request", text)
}

fn missing(text: impl Into<String>) -> Problem {
    problem(StatusCode::NOT_FOUND, "not_found", text)
}

pub(super) async fn status(State(app): State<App>) -> impl IntoResponse {
    Json(app.feed.newest().known.clone())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    limit: Option<u64>,
    before_ms: Option<u64>,
    name: Option<String>,
}

pub(super) async fn incidents(
    State(app): State<App>,
    query: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(page) = query.map_err(|error| bad(error.body_text()))?;
    let limit = page.limit.unwrap_or(100);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(bad(format!("limit is between 1 and {LIMIT_MAX}.")));
    }
    let before = page.before_ms.unwrap_or(i64::MAX.unsigned_abs());
    let (entries, total) = app
        .store
        .call(move |db| {
            Ok((
                journal::newest(db, "incident", page.name.as_deref(), before, limit)?,
                journal::count(db, "incident")?,
            ))
        })
        .await?;
    let newest = app.feed.newest();
    let incidents: Vec<journal::Told> = entries.iter().filter_map(journal::incident).collect();
    Ok(Json(json!({
        "source": newest.known.source,
        "stale": newest.known.stale,
        "total": total,
        "incidents": incidents,
    })))
}

pub(super) async fn incident(State(app): State<App>, Path(id): Path<String>) -> Answer {
    let told = find(&app, &id).await?;
    let told = told.ok_or_else(|| missing("There is no incident of that id."))?;
    Ok(Json(serde_json::to_value(told).unwrap_or_default()))
}

/// An incident by its id, from the store.
pub(super) async fn find(app: &App, id: &str) -> Result<Option<journal::Told>, Problem> {
    let key = id.to_owned();
    let entry = app.store.call(move |db| journal::one(db, &key)).await?;
    Ok(entry
        .filter(|entry| entry.kind == "incident")
        .as_ref()
        .and_then(journal::incident))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    state: Option<AlertState>,
}

pub(super) async fn alerts(
    State(app): State<App>,
    query: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(which) = query.map_err(|error| bad(error.body_text()))?;
    let newest = app.feed.newest();
    let alerts: Vec<&Record> = newest
        .board
        .alerts
        .iter()
        .filter(|alert| which.state.is_none_or(|state| state == alert.state))
        .collect();
    let total = app.store.call(|db| journal::count(db, "alert")).await?;
    Ok(Json(json!({"alerts": alerts, "told_by_healers": total})))
}

pub(super) async fn alert(State(app): State<App>, Path(id): Path<String>) -> Answer {
    let id = id
        .parse::<u64>()
        .map_err(|_| missing("There is no alert of that number."))?;
    let newest = app.feed.newest();
    let alert = newest.board.alerts.iter().find(|alert| alert.id == id);
    let alert = alert.ok_or_else(|| missing("There is no alert of that number."))?;
    Ok(Json(serde_json::to_value(alert).unwrap_or_default()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    text: Option<String>,
    for_s: Option<u64>,
}

pub(super) async fn alert_act(
    State(app): State<App>,
    Path((id, what)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let actor = actor(&app, &headers).await?;
    let id: u64 = id
        .parse()
        .map_err(|_| missing("There is no alert of that number."))?;
    let said: Said = parse(&headers, &body)?;
    let act = match what.as_str() {
        "acknowledge" => Act::Acknowledge,
        "resolve" => Act::Resolve,
        "note" => match said.text.as_deref().map(str::trim) {
            Some(text) if !text.is_empty() => Act::Note(cut(text)),
            _ => return Err(bad("Say what is to be noted: {\"text\": \"…\"}.")),
        },
        "silence" => {
            let for_s = said.for_s.unwrap_or(3600);
            if for_s > SILENCE_MAX_S {
                return Err(bad(format!(
                    "for_s is at most {SILENCE_MAX_S} seconds; 0 ends a silence."
                )));
            }
            Act::Silence(if for_s == 0 {
                0
            } else {
                now_ms().saturating_add(for_s * 1000)
            })
        }
        _ => {
            return Err(missing(
                "An alert can be acknowledged, resolved, noted on (note) and silenced (silence).",
            ));
        }
    };
    app.door.may_act()?;
    let (reply, answer) = oneshot::channel();
    let order = Order {
        id,
        who: actor.who.clone(),
        act,
        reply,
    };
    let busy = || {
        problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "The console is busy; try again.",
        )
    };
    app.orders.send(order).await.map_err(|_| busy())?;
    let record = answer.await.map_err(|_| busy())?;
    let record = record.ok_or_else(|| missing("There is no alert of that number."))?;
    note(
        &app,
        &actor.who,
        &format!("alert.{what}"),
        &id.to_string(),
        true,
        &record.text,
    )
    .await?;
    Ok(Json(serde_json::to_value(record).unwrap_or_default()))
}

async fn note(
    app: &App,
    who: &str,
    act: &str,
    target: &str,
    accepted: bool,
    text: &str,
) -> Result<(), Problem> {
    tracing::info!(
        event = "acted",
        who,
        act,
        target,
        accepted,
        "{who}: {act} {target}"
    );
    let line = Line {
        at_ms: now_ms(),
        who: who.to_owned(),
        act: act.to_owned(),
        target: cut(target),
        accepted,
        text: cut(text),
    };
    Ok(app.store.call(move |db| people::audit(db, &line)).await?)
}

pub(super) async fn vitals(State(app): State<App>) -> impl IntoResponse {
    Json(app.feed.newest().board.vitals.clone())
}

pub(super) async fn attacks(State(app): State<App>) -> impl IntoResponse {
    Json(json!({"attacks": app.feed.newest().board.attacks}))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Series {
    name: String,
    since_s: Option<u64>,
}

pub(super) async fn history(
    State(app): State<App>,
    query: Result<Query<Series>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(series) = query.map_err(|error| bad(error.body_text()))?;
    let now = now_ms() / 1000;
    let since = series.since_s.unwrap_or(now.saturating_sub(3600));
    let span = history::span_for(now.saturating_sub(since));
    let name = series.name.clone();
    let points = app
        .store
        .call(move |db| history::read(db, &name, span, since))
        .await?;
    Ok(Json(
        json!({"name": series.name, "span_s": span, "points": points}),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    password: String,
}

pub(super) async fn log_in(
    State(app): State<App>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let login: Login = parse(&headers, &body)?;
    if !is_from_here(&headers) {
        return Err(problem(
            StatusCode::FORBIDDEN,
            "forbidden",
            "Log in on the console's own page.",
        ));
    }
    let begun = match app.door.log_in(login.password).await {
        Ok(begun) => begun,
        Err(error) => {
            note(&app, "somebody", "login", "", false, &error.to_string()).await?;
            return Err(error.into());
        }
    };
    note(&app, &begun.session.who, "login", "", true, "").await?;
    let set = format!(
        "{COOKIE_NAME}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict",
        begun.cookie,
        SESSION_FOR.as_secs()
    );
    let body = Json(json!({"who": begun.session.who, "csrf": begun.session.csrf}));
    Ok(([(SET_COOKIE, set)], body).into_response())
}

pub(super) async fn log_out(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let actor = actor(&app, &headers).await?;
    if let Some(cookie) = cookie(&headers) {
        app.door.log_out(cookie).await?;
    }
    note(&app, &actor.who, "logout", "", true, "").await?;
    let set = format!("{COOKIE_NAME}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    Ok((
        [(SET_COOKIE, set)],
        Json(json!({"who": null, "csrf": null})),
    )
        .into_response())
}

pub(super) async fn session(State(app): State<App>, headers: HeaderMap) -> Answer {
    let session = match cookie(&headers) {
        Some(cookie) => app.door.session(cookie).await?,
        None => None,
    };
    Ok(Json(match session {
        Some(session) => json!({"who": session.who, "csrf": session.csrf}),
        None => json!({"who": null, "csrf": null}),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

fn person_only(actor: &super::guard::Actor) -> Result<(), Problem> {
    if actor.person {
        return Ok(());
    }
    Err(problem(
        StatusCode::FORBIDDEN,
        "forbidden",
        "A token makes no tokens: log in.",
    ))
}

pub(super) async fn make_token(
    State(app): State<App>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let actor = actor(&app, &headers).await?;
    person_only(&actor)?;
    let Named { name } = parse(&headers, &body)?;
    let good = (1..=40).contains(&name.len())
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
    if !good {
        return Err(bad(
            "A token's name has 1 to 40 letters, digits, dots and dashes.",
        ));
    }
    let token = app.door.make_token(name.clone()).await?;
    note(&app, &actor.who, "token.make", &name, token.is_some(), "").await?;
    match token {
        Some(token) => Ok((
            StatusCode::CREATED,
            Json(json!({"name": name, "token": token})),
        )
            .into_response()),
        None => Err(problem(
            StatusCode::CONFLICT,
            "conflict",
            "That name is taken, or too many tokens are out; remove one first.",
        )),
    }
}

pub(super) async fn tokens(State(app): State<App>, headers: HeaderMap) -> Answer {
    reader(&app, &headers).await?;
    let tokens = app.store.call(|db| people::tokens(db)).await?;
    Ok(Json(json!({"tokens": tokens})))
}

pub(super) async fn remove_token(
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let actor = actor(&app, &headers).await?;
    person_only(&actor)?;
    let removed = name.clone();
    let there = app
        .store
        .call(move |db| people::remove_token(db, &removed))
        .await?;
    if !there {
        return Err(missing("There is no token of that name."));
    }
    note(&app, &actor.who, "token.remove", &name, true, "").await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    limit: Option<u64>,
}

pub(super) async fn audit(
    State(app): State<App>,
    headers: HeaderMap,
    query: Result<Query<Limit>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    reader(&app, &headers).await?;
    let Query(limit) = query.map_err(|error| bad(error.body_text()))?;
    let limit = limit.limit.unwrap_or(100);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(bad(format!("limit is between 1 and {LIMIT_MAX}.")));
    }
    let lines = app.store.call(move |db| people::audited(db, limit)).await?;
    Ok(Json(json!({"audit": lines})))
}
