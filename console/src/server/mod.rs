//! Routes and headers.

mod act;
mod answer;
mod api;
mod guard;

use crate::access::Door;
use crate::alerts::State as AlertState;
use crate::assets::{ASSETS, version};
use crate::desk::Order;
use crate::feed::{Feed, TICK};
use crate::page::{Frame, View};
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::store::people::{self, Session};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use planaria_core::message::{Outcome, Verb};
use planaria_monitor::prometheus_client::encoding::text::encode;
use planaria_monitor::prometheus_client::metrics::counter::Counter;
use planaria_monitor::prometheus_client::metrics::gauge::ConstGauge;
use planaria_monitor::prometheus_client::registry::Registry;
use serde::Deserialize;
use serde_json::json;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Nothing but our own style and script; no frame around us; forms and plug-ins nowhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Bodies are small: a password, a name, a note.
const BODY_MAX: usize = 16 * 1024;

/// Asks the group; given by the monitor, or by a test.
pub type Asker = Arc<dyn Fn(Verb) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>;

/// What the routes share.
#[derive(Clone)]
pub struct App {
    /// The browsers.
    pub feed: Feed,
    /// What is kept.
    pub store: Store,
    /// Who may act.
    pub door: Arc<Door>,
    /// What people do with alerts.
    pub orders: mpsc::Sender<Order>,
    /// What people ask of the group.
    pub ask: Asker,
    /// Requests answered.
    pub requests: Counter,
    /// Browsers told to come back later.
    pub refused: Counter,
}

/// All of it.
pub fn router(app: App) -> Router {
    let read = Router::new()
        .route(
            "/",
            get(|state: State<App>, headers: HeaderMap| view(state, headers, View::Overview)),
        )
        .route(
            "/incidents",
            get(|state: State<App>, headers: HeaderMap| view(state, headers, View::Incidents)),
        )
        .route(
            "/alerts",
            get(|state: State<App>, headers: HeaderMap| view(state, headers, View::Alerts)),
        )
        .route(
            "/storage",
            get(|state: State<App>, headers: HeaderMap| view(state, headers, View::Storage)),
        )
        .route(
            "/chaos",
            get(|state: State<App>, headers: HeaderMap| view(state, headers, View::Chaos)),
        )
        .route(
            "/members/{name}",
            get(
                |state: State<App>, headers: HeaderMap, Path(name): Path<String>| {
                    view(state, headers, View::Member(name))
                },
            ),
        )
        .route("/incidents/{id}", get(incident))
        .route("/account", get(account))
        .route("/events", get(events))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/api/v1/openapi.json",
            get(|| {
                asset(
                    "application/json",
                    include_str!("../../assets/openapi.json"),
                )
            }),
        )
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/incidents", get(api::incidents))
        .route("/api/v1/incidents/{id}", get(api::incident))
        .route("/api/v1/alerts", get(api::alerts))
        .route("/api/v1/alerts/{id}", get(api::alert))
        .route("/api/v1/vitals", get(api::vitals))
        .route("/api/v1/chaos", get(api::attacks))
        .route("/api/v1/history", get(api::history))
        .route("/api/v1/session", get(api::session))
        .route("/api/v1/audit", get(api::audit));
    let act = Router::new()
        .route("/api/v1/login", post(api::log_in))
        .route("/api/v1/logout", post(api::log_out))
        .route("/api/v1/tokens", get(api::tokens).post(api::make_token))
        .route("/api/v1/tokens/{name}", delete(api::remove_token))
        .route("/api/v1/alerts/{id}/{what}", post(api::alert_act))
        .route("/api/v1/heal", post(act::heal))
        .route("/api/v1/hold", post(act::hold))
        .route("/api/v1/resume", post(act::resume))
        .route("/api/v1/release", post(act::release))
        .route("/api/v1/fence", post(act::fence))
        .route("/api/v1/elect", post(act::elect))
        .route("/api/v1/chaos/attack", post(act::attack))
        .route("/api/v1/chaos/experiment", post(act::experiment))
        .route("/api/v1/chaos/revert", post(act::revert));
    let mut assets = Router::new();
    for (name, kind, text) in ASSETS {
        let at = format!("/assets/{name}");
        assets = assets.route(
            &at,
            get(move |Query(query): Query<Versioned>| {
                kept_asset(kind, text, query.v.as_deref() == Some(version()))
            }),
        );
    }
    read.merge(act)
        .merge(assets)
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(app.clone(), harden))
        .with_state(app)
}

const HTML: &str = "text/html; charset=utf-8";
const FOR_GOOD: &str = "public, max-age=31536000, immutable";
const EVENTS: &str = "text/event-stream";

async fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, kind)], text)
}

#[derive(Debug, Deserialize)]
struct Versioned {
    v: Option<String>,
}

/// Under an address of this version it never changes; under another one nothing is known of it.
async fn kept_asset(kind: &'static str, text: &'static str, this_version: bool) -> Response {
    let mut response = asset(kind, text).await.into_response();
    if this_version {
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(FOR_GOOD));
    }
    response
}

/// The session of a browser, where it has one. A database that fails shows pages as to a stranger.
async fn session(app: &App, headers: &HeaderMap) -> Option<Session> {
    let cookie = guard::cookie(headers)?;
    app.door.session(cookie).await.ok().flatten()
}

fn frame<'a>(snapshot: &'a Snapshot, session: Option<&'a Session>) -> Frame<'a> {
    Frame {
        snapshot,
        session: session.map(|session| (session.who.as_str(), session.csrf.as_str())),
    }
}

async fn view(State(app): State<App>, headers: HeaderMap, view: View) -> impl IntoResponse {
    let (session, newest) = (session(&app, &headers).await, app.feed.newest());
    let text = frame(&newest, session.as_ref()).view(&view).into_string();
    ([(CONTENT_TYPE, HTML)], text)
}

async fn incident(
    State(app): State<App>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let (session, newest) = (session(&app, &headers).await, app.feed.newest());
    match api::find(&app, &id).await {
        Ok(Some(told)) => {
            let text = frame(&newest, session.as_ref())
                .incident(&told)
                .into_string();
            ([(CONTENT_TYPE, HTML)], text).into_response()
        }
        Ok(None) => nothing_here(State(app), uri, headers).await,
        Err(problem) => problem.into_response(),
    }
}

async fn account(State(app): State<App>, headers: HeaderMap) -> Response {
    let (session, newest) = (session(&app, &headers).await, app.feed.newest());
    let mut lists = (Vec::new(), Vec::new());
    if session.is_some() {
        match app
            .store
            .call(|db| Ok((people::tokens(db)?, people::audited(db, 100)?)))
            .await
        {
            Ok(read) => lists = read,
            Err(error) => return answer::Problem::from(error).into_response(),
        }
    }
    let text = frame(&newest, session.as_ref())
        .account(&lists.0, &lists.1)
        .into_string();
    ([(CONTENT_TYPE, HTML)], text).into_response()
}

#[derive(Debug, Deserialize)]
struct Looking {
    #[serde(default)]
    view: String,
    member: Option<String>,
    /// What the browser has from the page itself.
    seq: Option<u64>,
}

async fn events(
    State(app): State<App>,
    Query(looking): Query<Looking>,
    headers: HeaderMap,
) -> Response {
    let seen = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .and_then(|id| id.parse().ok())
        .or(looking.seq);
    match app
        .feed
        .join(seen, View::parse(&looking.view, looking.member))
    {
        Some(stream) => ([(CONTENT_TYPE, EVENTS)], Body::from_stream(stream)).into_response(),
        None => {
            app.refused.inc();
            let wait = (TICK.as_secs() * 5).to_string();
            let body = json!({"error": "too_many_clients", "text": "All places are taken; the page itself still loads."});
            (
                StatusCode::SERVICE_UNAVAILABLE,
                [(RETRY_AFTER, wait)],
                axum::Json(body),
            )
                .into_response()
        }
    }
}

async fn metrics(State(console): State<App>) -> Response {
    let mut registry = Registry::with_prefix("planaria_console");
    let clients = i64::try_from(console.feed.clients()).unwrap_or(i64::MAX);
    registry.register(
        "clients",
        "Browsers that watch now",
        ConstGauge::new(clients),
    );
    registry.register("requests", "Requests answered", console.requests.clone());
    registry.register(
        "clients_refused",
        "Browsers told to come back later",
        console.refused.clone(),
    );
    let stale = i64::from(console.feed.newest().known.stale);
    registry.register(
        "stale",
        "1 while no leader is heard",
        ConstGauge::new(stale),
    );
    let newest = console.feed.newest();
    let standing = |open: bool| {
        let alerts = newest.board.alerts.iter();
        let count = alerts
            .filter(|alert| {
                alert.state != AlertState::Resolved && (!open || alert.state == AlertState::Open)
            })
            .count();
        ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX))
    };
    registry.register(
        "alerts_standing",
        "Alerts that are not resolved",
        standing(false),
    );
    registry.register(
        "alerts_open",
        "Alerts that nobody has looked at",
        standing(true),
    );
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => {
            const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, KIND)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn nothing_here(State(app): State<App>, uri: Uri, headers: HeaderMap) -> Response {
    let wants_html = headers
        .get(ACCEPT)
        .and_then(|kinds| kinds.to_str().ok())
        .is_some_and(|kinds| kinds.contains("text/html"));
    if wants_html && !uri.path().starts_with("/api/") {
        let session = session(&app, &headers).await;
        let newest = app.feed.newest();
        let text = frame(&newest, session.as_ref())
            .lost(uri.path())
            .into_string();
        return (StatusCode::NOT_FOUND, [(CONTENT_TYPE, HTML)], text).into_response();
    }
    answer::problem(
        StatusCode::NOT_FOUND,
        "not_found",
        format!("There is nothing at {}.", uri.path()),
    )
    .into_response()
}

async fn wrong_method() -> Response {
    let body = json!({"error": "method_not_allowed", "text": "Not this way; /api/v1/openapi.json says how."});
    (StatusCode::METHOD_NOT_ALLOWED, axum::Json(body)).into_response()
}

/// The headers that every answer has.
async fn harden(State(app): State<App>, request: Request, next: Next) -> Response {
    app.requests.inc();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let set: [(HeaderName, &'static str); 4] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in set {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Facts are of the moment; assets say otherwise themselves.
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
