//! One request, one answer.

use super::Server;
use crate::runtime::{Control, is_ours};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode, header};
use planaria_core::message::{Body, Outcome};
use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::oneshot;

/// A signed request of a person has a few hundred bytes.
const BODY_MAX: usize = 16 * 1024;
/// The leader answers within a beat or two.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Answer = Response<Full<Bytes>>;

fn response(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

pub(super) async fn answer(
    server: &Server,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    Ok(match request.uri().path() {
        "/livez" if reading => response(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" if reading => ready(server),
        "/metrics" if reading => {
            let status = server.status.borrow().clone();
            let page = server.metrics.render(&status, server.pulses.oldest());
            response(StatusCode::OK, METRICS, page)
        }
        "/status" if reading => status(server),
        "/request" if *request.method() == Method::POST => ask(server, peer, request).await,
        "/livez" | "/readyz" | "/metrics" | "/status" | "/request" => {
            response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "not this way\n")
        }
        _ => response(
            StatusCode::NOT_FOUND,
            TEXT,
            "here are /livez /readyz /metrics /status\n",
        ),
    })
}

fn ready(server: &Server) -> Answer {
    let failures = server.readiness.failures();
    if failures.is_empty() {
        return response(StatusCode::OK, TEXT, "ready\n");
    }
    let text = failures.join("\n") + "\n";
    response(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
}

fn status(server: &Server) -> Answer {
    let status = server.status.borrow().clone();
    match serde_json::to_vec(&*status) {
        Ok(text) => response(StatusCode::OK, JSON, text),
        Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, error.to_string()),
    }
}

/// A person's request from the command line in this container. The signature counts, and the
/// loopback: a recorded one must not be played again from the network.
async fn ask(server: &Server, peer: IpAddr, request: Request<Incoming>) -> Answer {
    let refuse = |status, text: String| {
        let outcome = Outcome {
            accepted: false,
            text,
        };
        response(
            status,
            JSON,
            serde_json::to_vec(&outcome).unwrap_or_default(),
        )
    };
    if !peer.is_loopback() {
        return refuse(StatusCode::FORBIDDEN, "only from this container".into());
    }
    let body = match Limited::new(request.into_body(), BODY_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let envelope = match server.codec.decode(&body) {
        Ok(envelope) if is_ours(&envelope, &server.cluster) => envelope,
        Ok(envelope) => {
            let text = format!(
                "this is cluster {}, the request is for {}",
                server.cluster, envelope.cluster
            );
            return refuse(StatusCode::FORBIDDEN, text);
        }
        Err(error) => return refuse(StatusCode::FORBIDDEN, error.to_string()),
    };
    let Body::Request { id, verb } = envelope.body else {
        return refuse(StatusCode::BAD_REQUEST, "this is no request".into());
    };
    let (answer, outcome) = oneshot::channel();
    let control = Control::Request { id, verb, answer };
    if server.control.try_send(control).is_err() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "busy; try again".into());
    }
    match tokio::time::timeout(ANSWER_TIMEOUT, outcome).await {
        Ok(Ok(outcome)) => {
            let text = serde_json::to_vec(&outcome).unwrap_or_default();
            response(StatusCode::OK, JSON, text)
        }
        Ok(Err(_)) | Err(_) => refuse(
            StatusCode::GATEWAY_TIMEOUT,
            "no leader answered in time; see `monitor status`".into(),
        ),
    }
}
