//! The S3 port.

use super::framing::{is_framed, short};
use super::{Front, Gate};
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use planaria_monitor::prometheus_client::metrics::family::Family;
use planaria_monitor::prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use s3s::dto::StreamingBlob;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How many connections are served at once.
const MAX_CONNECTIONS: u32 = 512;
/// How long a client may take for a request's head: slow ones must not hold places for ever.
const HEADER_PATIENCE: Duration = Duration::from_secs(20);
/// Rest after a failed accept: file descriptors may be exhausted.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// How long requests took until their answer began, by method and kind of answer.
pub type Durations = Family<Vec<(String, String)>, Histogram, fn() -> Histogram>;

/// Serves S3 until `stop`; then requests under way may still end.
pub async fn serve(
    listener: TcpListener,
    front: Front,
    gate: Gate,
    durations: Durations,
    stop: CancellationToken,
) {
    let mut builder = S3ServiceBuilder::new(front);
    builder.set_auth(gate.clone());
    builder.set_host(gate.clone());
    builder.set_access(gate);
    let service = builder.build();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_REST).await;
            continue;
        };
        // Header and body leave in two writes: without this each answer may wait 40 ms for the
        // client's delayed acknowledgement.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let service = Timed {
            service: service.clone(),
            durations: durations.clone(),
        };
        let stop = stop.clone();
        tokio::spawn(async move {
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new())
                .header_read_timeout(HEADER_PATIENCE);
            let mut connection =
                std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
            tokio::select! {
                _ = connection.as_mut() => {}
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
            drop(place);
        });
    }
    // Every connection gives its place back when it has ended.
    let _ = places.acquire_many(MAX_CONNECTIONS).await;
}

/// Takes the time of each request.
struct Timed {
    service: S3Service,
    durations: Durations,
}

impl Service<Request<Incoming>> for Timed {
    type Response = Response<s3s::Body>;
    type Error = s3s::HttpError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let begun = Instant::now();
        // Any word may stand there: only the known ones become a label.
        let method = match *request.method() {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::PUT => "PUT",
            Method::POST => "POST",
            Method::DELETE => "DELETE",
            _ => "other",
        };
        let durations = self.durations.clone();
        let service = self.service.clone();
        let request = request.map(s3s::Body::from);
        let request = if is_framed(request.headers()) {
            request.map(|body| s3s::Body::from(StreamingBlob::wrap(short(body))))
        } else {
            request
        };
        Box::pin(async move {
            let answered = service.call(request).await;
            let status = match &answered {
                Ok(response) => format!("{}xx", response.status().as_u16() / 100),
                Err(_) => "broken".to_owned(),
            };
            let labels = vec![
                ("method".to_owned(), method.to_owned()),
                ("status".to_owned(), status),
            ];
            durations
                .get_or_create(&labels)
                .observe(begun.elapsed().as_secs_f64());
            answered
        })
    }
}

/// From a cached HEAD to a large upload, in seconds.
#[must_use]
pub fn durations() -> Durations {
    Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 15)))
}
