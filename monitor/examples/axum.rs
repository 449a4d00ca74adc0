//! A web server: the runtime is judged, and what the server needs is shown on the monitor's own `/readyz`
//! (`HEALTH_ADDR`, port 9747). With `AMQP_URLS` set it is a member of the group.
//!
//! `cargo run --package planaria-monitor --example axum`, then `curl localhost:3000`.
use axum::Router;
use axum::routing::get;
use planaria_monitor::{Config, Monitor, config, logging};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = config::load(None)?;
    logging::init(&settings);
    // Inside the runtime: a handler that blocks every worker thread is a hang, and ends as one.
    let monitor = Monitor::start(Config::from_settings(settings)?)?;
    let listening = Arc::new(AtomicBool::new(false));
    let shown = Arc::clone(&listening);
    monitor.add_readiness("http", move || match shown.load(Ordering::Relaxed) {
        true => Ok(()),
        false => Err("not listening yet".into()),
    });
    let server = Router::new().route("/", get(|| async { "well\n" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    listening.store(true, Ordering::Relaxed);
    axum::serve(listener, server)
        .with_graceful_shutdown(async {
            // Whoever cannot hear Ctrl-C is ended by a signal anyway.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    monitor.leave();
    Ok(())
}
