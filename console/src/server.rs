//! Routes, headers, and what is refused.

use crate::feed::{Feed, TICK};
use crate::page;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response, Sse};
use axum::routing::{any, get};
use planaria_monitor::prometheus_client::encoding::text::encode;
use planaria_monitor::prometheus_client::metrics::counter::Counter;
use planaria_monitor::prometheus_client::metrics::gauge::ConstGauge;
use planaria_monitor::prometheus_client::registry::Registry;
use serde_json::json;

/// Nothing but our own style and script; no frame around us; forms and plug-ins nowhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What acts. There is no login yet, so that nobody has one.
const ACTIONS: [&str; 6] = ["chaos/attack", "heal", "hold", "resume", "release", "elect"];

#[derive(Clone, Debug)]
struct Console {
    feed: Feed,
    requests: Counter,
    refused: Counter,
}

/// All of it.
pub fn router(feed: Feed) -> Router {
    let console = Console {
        feed,
        requests: Counter::default(),
        refused: Counter::default(),
    };
    let mut router = Router::new()
        .route("/", get(index))
        .route("/events", get(events))
        .route(
            "/assets/app.css",
            get(|| asset("text/css; charset=utf-8", include_str!("../assets/app.css"))),
        )
        .route(
            "/assets/app.js",
            get(|| {
                asset(
                    "text/javascript; charset=utf-8",
                    include_str!("../assets/app.js"),
                )
            }),
        )
        .route(
            "/assets/icon.svg",
            get(|| asset("image/svg+xml", include_str!("../assets/icon.svg"))),
        )
        .route("/api/v1/status", get(status))
        .route("/api/v1/incidents", get(incidents))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }));
    for action in ACTIONS {
        router = router.route(&format!("/api/v1/{action}"), any(unauthorized));
    }
    router
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(console.clone(), harden))
        .with_state(console)
}

async fn index(State(console): State<Console>) -> impl IntoResponse {
    let text = page::page(&console.feed.newest()).into_string();
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], text)
}

async fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, kind)], text)
}

async fn events(State(console): State<Console>, headers: HeaderMap) -> Response {
    let seen = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .and_then(|id| id.parse().ok());
    match console.feed.join(seen) {
        Some(stream) => Sse::new(stream).into_response(),
        None => {
            console.refused.inc();
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

async fn status(State(console): State<Console>) -> impl IntoResponse {
    axum::Json(console.feed.newest().known.clone())
}

async fn incidents(State(console): State<Console>) -> impl IntoResponse {
    let newest = console.feed.newest();
    axum::Json(json!({
        "source": newest.known.source,
        "stale": newest.known.stale,
        "incidents": newest.known.status.incidents,
    }))
}

async fn metrics(State(console): State<Console>) -> Response {
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
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => {
            const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, KIND)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn unauthorized() -> Response {
    let body = json!({
        "error": "unauthorized",
        "text": "Acting needs a login, and this console has none; use docker exec healer-1 monitor, or \
                 docker kill --signal=SIGUSR1 chaos_monkey.",
    });
    (
        StatusCode::UNAUTHORIZED,
        [(WWW_AUTHENTICATE, "Bearer realm=\"planaria\"")],
        axum::Json(body),
    )
        .into_response()
}

async fn nothing_here(uri: Uri, headers: HeaderMap) -> Response {
    let wants_html = headers
        .get(ACCEPT)
        .and_then(|kinds| kinds.to_str().ok())
        .is_some_and(|kinds| kinds.contains("text/html"));
    if wants_html && !uri.path().starts_with("/api/") {
        let text = page::not_found(uri.path()).into_string();
        return (
            StatusCode::NOT_FOUND,
            [(CONTENT_TYPE, "text/html; charset=utf-8")],
            text,
        )
            .into_response();
    }
    let body =
        json!({"error": "not_found", "text": format!("There is nothing at {}.", uri.path())});
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}

async fn wrong_method() -> Response {
    let body = json!({"error": "method_not_allowed", "text": "This can only be read: use GET."});
    (StatusCode::METHOD_NOT_ALLOWED, axum::Json(body)).into_response()
}

/// The headers that every answer has.
async fn harden(State(console): State<Console>, request: Request, next: Next) -> Response {
    console.requests.inc();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let set: [(HeaderName, &'static str); 5] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        // Facts are of the moment, and assets are small and come from this machine.
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in set {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
