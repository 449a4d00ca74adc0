//! One HTTP POST, with TLS where the address says so.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;

/// A receiver that takes longer is as good as away.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Of an answer that says why not.
const REASON_MAX: usize = 200;

#[cfg(feature = "tls")]
type Connector = crate::tls::Connector;
#[cfg(not(feature = "tls"))]
type Connector = HttpConnector;

/// A client without kept connections: news are rare.
pub(super) struct Poster {
    client: Client<Connector, Full<Bytes>>,
}

impl Poster {
    pub(super) fn new() -> Self {
        let mut plain = HttpConnector::new();
        plain.enforce_http(false);
        plain.set_connect_timeout(Some(TIMEOUT));
        #[cfg(feature = "tls")]
        let connector = crate::tls::connector(plain);
        #[cfg(not(feature = "tls"))]
        let connector = plain;
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Self { client }
    }

    /// Sends it; an error says why it did not arrive, without the address, which may hold a secret.
    pub(super) async fn post(&self, url: &str, body: String) -> Result<(), String> {
        if cfg!(not(feature = "tls")) && !url.starts_with("http://") {
            return Err("this build has no TLS: only http:// is possible".to_owned());
        }
        let request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "planaria")
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| "it is no http:// or https:// address".to_owned())?;
        let exchange = async {
            let answer = self
                .client
                .request(request)
                .await
                .map_err(|error| crate::docker::error_chain(&error))?;
            let status = answer.status();
            if status.is_success() {
                return Ok(());
            }
            let reason = match answer.into_body().frame().await {
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                _ => Bytes::new(),
            };
            let reason = String::from_utf8_lossy(&reason);
            let reason: String = reason
                .chars()
                .filter(|letter| !letter.is_control())
                .take(REASON_MAX)
                .collect();
            Err(format!("it answered {status} {reason}").trim().to_owned())
        };
        tokio::time::timeout(TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())))
    }
}
