//! The health server: `/livez`, `/readyz`, `/metrics`, `/status`, and `/request` for the command line
//! in the same container.

mod answer;

use crate::metrics::Metrics;
use crate::pulse::Pulses;
use crate::runtime::Control;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use planaria_core::codec::Codec;
use planaria_core::status::Status;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};

/// Connections at a time; further ones wait in the kernel.
const CONNECTIONS_MAX: usize = 32;
/// A client that is slower than this with its head is none we know.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A whole connection, from its acceptance.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// hyper wants at least this much for a head; more is never needed here.
const BUFFER: usize = 8 * 1024;

type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The program's own conditions for being ready.
#[derive(Default)]
pub(crate) struct Readiness {
    checks: RwLock<Vec<(String, Check)>>,
}

impl Readiness {
    pub(crate) fn add(
        &self,
        name: &str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.checks
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push((name.to_owned(), Box::new(check)));
    }

    /// One line per condition that does not hold.
    pub(crate) fn failures(&self) -> Vec<String> {
        let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner);
        checks
            .iter()
            .filter_map(|(name, check)| Some(format!("{name}: {}", check().err()?)))
            .collect()
    }
}

/// What the server answers from.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) status: watch::Receiver<Arc<Status>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) pulses: Arc<Pulses>,
    pub(crate) codec: Arc<Codec>,
    pub(crate) cluster: String,
    pub(crate) control: mpsc::Sender<Control>,
}

/// Serves until the runtime ends; a port that is taken is warned about and done without.
pub(crate) async fn serve(server: Server) {
    let listener = match TcpListener::bind(server.addr).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(
                event = "health_unavailable",
                "TCP {}: {error}; going on without health server (HEALTH_ADDR)",
                server.addr
            );
            return;
        }
    };
    let server = Arc::new(server);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors: they come back.
                tracing::debug!(event = "accept_failed", "{error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let service = service_fn(|request| answer::answer(&server, peer.ip(), request));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                // A client that has said all may close its half: `printf … | nc` does.
                .half_close(true)
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(BUFFER)
                .serve_connection(TokioIo::new(stream), service);
            // What goes wrong with one client is that client's business.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
            drop(place);
        });
    }
}
