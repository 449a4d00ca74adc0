//! The S3 port.

use super::Front;
use crate::config::Secrets;
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How many connections are served at once.
const MAX_CONNECTIONS: usize = 512;
/// How long a client may take for a request's head: slow ones must not hold places for ever.
const HEADER_PATIENCE: Duration = Duration::from_secs(20);
/// Rest after a failed accept: file descriptors may be exhausted.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Serves S3 until `stop`; then requests under way may still end.
pub async fn serve(
    listener: TcpListener,
    front: Front,
    secrets: &Secrets,
    stop: CancellationToken,
) {
    let mut builder = S3ServiceBuilder::new(front);
    builder.set_auth(SimpleAuth::from_single(
        &*secrets.access_key,
        &*secrets.secret_key,
    ));
    let service = builder.build();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
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
        let (service, stop) = (service.clone(), stop.clone());
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
}
