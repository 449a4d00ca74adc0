//! Log lines: one sentence for people with a stable `event` name, or JSON.

use planaria_core::settings::{LogFormat, LogLevel, Settings};
use std::io::IsTerminal;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging to standard error: text, or JSON with `LOG_FORMAT = json`. `RUST_LOG`
/// (`info,planaria_monitor=debug`) overrides `LOG_LEVEL`. A second call changes nothing.
pub fn init(settings: &Settings) {
    let level = match settings.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // The client libraries report every lost connection as an error; we say it in our own words.
    let default = Targets::new()
        .with_default(level)
        .with_target("lapin", LevelFilter::OFF)
        .with_target("openraft", LevelFilter::OFF)
        .with_target("s3s", LevelFilter::OFF)
        .with_target("hyper", LevelFilter::WARN);
    let filter = std::env::var("RUST_LOG")
        .ok()
        .and_then(|text| text.parse::<Targets>().ok())
        .unwrap_or(default);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // An error means that the host program has its own subscriber; that one is to be used then.
    let _ = match settings.log_format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        LogFormat::Text => {
            let ansi = std::env::var_os("NO_COLOR").is_none() && std::io::stderr().is_terminal();
            registry
                .with(layer.with_ansi(ansi).with_target(false))
                .try_init()
        }
    };
}
