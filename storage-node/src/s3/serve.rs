//! The S3 port.

use super::Front;
use crate::config::Secrets;
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s::{S3Result, s3_error};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How many connections are served at once.
const MAX_CONNECTIONS: u32 = 512;
/// How long a client may take for a request's head: slow ones must not hold places for ever.
const HEADER_PATIENCE: Duration = Duration::from_secs(20);
/// Rest after a failed accept: file descriptors may be exhausted.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Who is let in.
pub struct Gate {
    auth: SimpleAuth,
    region: Option<String>,
}

impl Gate {
    /// Whoever signs with the cluster's keys, for the region if one is set.
    #[must_use]
    pub fn new(secrets: &Secrets, region: Option<String>) -> Self {
        let auth = SimpleAuth::from_single(&*secrets.access_key, &*secrets.secret_key);
        Self { auth, region }
    }
}

struct SignedFor(Option<String>);

#[async_trait::async_trait]
impl S3Access for SignedFor {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "requests must be signed"));
        }
        let Some(ours) = &self.0 else { return Ok(()) };
        let header = context
            .headers()
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let query = context.uri().query();
        match header
            .and_then(signed_region)
            .or_else(|| query.and_then(signed_region))
        {
            Some(theirs) if theirs != *ours => Err(s3_error!(
                AuthorizationHeaderMalformed,
                "the request is signed for another region; expecting {ours}"
            )),
            _ => Ok(()),
        }
    }
}

/// The region in a credential: `Credential=KEY/DATE/REGION/…`, in a query with `%2F`.
fn signed_region(text: &str) -> Option<String> {
    let text = text.replace("%2F", "/").replace("%2f", "/");
    let (_, credential) = text.split_once("Credential=")?;
    credential.split('/').nth(2).map(str::to_owned)
}

/// Serves S3 until `stop`; then requests under way may still end.
pub async fn serve(listener: TcpListener, front: Front, gate: Gate, stop: CancellationToken) {
    let mut builder = S3ServiceBuilder::new(front);
    builder.set_auth(gate.auth);
    builder.set_access(SignedFor(gate.region));
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
    // Every connection gives its place back when it has ended.
    let _ = places.acquire_many(MAX_CONNECTIONS).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_found_in_header_and_query() {
        let header = "AWS4-HMAC-SHA256 Credential=AK/20260101/eu-x/s3/aws4_request, Signed=1";
        assert_eq!(signed_region(header).as_deref(), Some("eu-x"));
        let query = "X-Amz-Credential=AK%2F20260101%2Feu-x%2Fs3%2Faws4_request&X-Amz-Date=1";
        assert_eq!(signed_region(query).as_deref(), Some("eu-x"));
        assert_eq!(signed_region("nothing"), None);
    }
}
