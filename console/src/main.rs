//! Starts the console: a member of the group with a page.

use clap::Parser;
use planaria_console::access::Door;
use planaria_console::alerts::route::Routes;
use planaria_console::bus::{self, Bus};
use planaria_console::desk::{Desk, Parts};
use planaria_console::feed::Feed;
use planaria_console::server::{self, App};
use planaria_console::source::Source;
use planaria_console::store::Store;
use planaria_console::{scrape, top};
use planaria_core::id::MemberName;
use planaria_core::message::Verb;
use planaria_monitor::codec::Codec;
use planaria_monitor::config::ConfigError;
use planaria_monitor::prometheus_client::metrics::counter::Counter;
use planaria_monitor::{Config, Monitor, Settings, ask};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{error, info};

/// How often the runtime says to the watchdog that it turns; well below `PULSE_TIMEOUT`.
const PULSE_EVERY: Duration = Duration::from_secs(1);

const FAILED: u8 = 1;
const PERMISSION: u8 = 77;
const CONFIG: u8 = 78;

/// One live page that shows the ring, its lights, the leader and the last incidents.
#[derive(Debug, Parser)]
#[command(name = "console", version, after_help = AFTER_HELP)]
struct Arguments {
    /// The configuration file; else PLANARIA_CONFIG, ./config.ini, the user's, /etc/planaria/config.ini.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen; else 0.0.0.0 and CONSOLE_PORT.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    #[command(subcommand)]
    command: Option<Commands>,
}

#[derive(Debug, clap::Subcommand)]
enum Commands {
    /// Show the group in this terminal: members, leader, incidents, alerts; keys to act.
    Top(top::TopArgs),
}

const AFTER_HELP: &str = "\
Examples:
  console                            on CONSOLE_PORT of every address
  console --listen 127.0.0.1:9000    only for this machine

Exit codes: 0 ended in order, 1 failed, 2 usage, 77 no permission, 78 configuration.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = match planaria_monitor::config::load(arguments.config.as_deref()) {
        Ok(settings) => settings,
        Err(error) => {
            // Without settings there is no log yet.
            drop(std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("console: {error}\n"),
            ));
            return ExitCode::from(config_code(&error));
        }
    };
    if let Some(Commands::Top(top)) = arguments.command {
        return ExitCode::from(top::run(&settings, &top));
    }
    planaria_monitor::logging::init(&settings);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => ExitCode::from(runtime.block_on(serve(settings, arguments.listen))),
        Err(error) => {
            error!(event = "start_failed", "no runtime: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn config_code(error: &ConfigError) -> u8 {
    match error {
        ConfigError::Unreadable {
            permission: true, ..
        } => PERMISSION,
        _ => CONFIG,
    }
}

async fn serve(settings: Settings, listen: Option<SocketAddr>) -> u8 {
    let address =
        listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, settings.console_port)));
    let config = match Config::from_settings(settings.clone()) {
        Ok(config) => config,
        Err(error) => {
            error!(event = "start_failed", "{error}");
            return CONFIG;
        }
    };
    let routes = match Routes::from_settings(&settings) {
        Ok(routes) => routes,
        Err(error) => {
            error!(event = "start_failed", "{error}");
            return CONFIG;
        }
    };
    let (monitor, listener) = match (Monitor::start(config), TcpListener::bind(address).await) {
        (Ok(monitor), Ok(listener)) => (monitor, listener),
        (Err(error), _) => {
            error!(event = "start_failed", "{error}");
            return FAILED;
        }
        (_, Err(error)) => {
            error!(
                event = "start_failed",
                "cannot listen on {address}: {error}; free the port or change CONSOLE_PORT"
            );
            return FAILED;
        }
    };
    let app = match open(settings, &monitor, routes).await {
        Ok(app) => app,
        Err(error) => {
            error!(event = "start_failed", "{error}");
            return FAILED;
        }
    };
    info!(event = "console_started", "The page is on http://{address}");
    // A router that is served as it is makes its routes anew for each connection: 26 KiB for each open page.
    let app = server::router(app).into_make_service();
    let served = tokio::select! {
        served = async { axum::serve(listener, app).await } => served,
        // Open event streams end with the process; browsers come back by themselves.
        () = asked_to_end() => Ok(()),
        () = pulses(&monitor) => Ok(()),
    };
    monitor.leave();
    match served {
        Ok(()) => 0,
        Err(error) => {
            error!(
                event = "console_failed",
                "the page cannot be served: {error}"
            );
            FAILED
        }
    }
}

/// Opens what is kept and starts the tasks.
async fn open(settings: Settings, monitor: &Monitor, routes: Routes) -> Result<App, String> {
    let port = settings.health_addr.port();
    let store = Store::open(settings.state_dir.as_deref()).map_err(|error| error.to_string())?;
    let door = Door::new(settings.console_login_file.as_deref(), store.clone())?;
    let source = Source::new(monitor.subscribe(), move |leader: MemberName| async move {
        ask::status(&format!("{leader}:{port}")).await.ok()
    });
    let codec =
        Codec::new(planaria_monitor::config::keys(&settings).map_err(|error| error.to_string())?);
    let (bus, heard, monkey) = Bus::new(
        settings.clone(),
        codec,
        &monitor.status().node,
        store.clone(),
    );
    let (scraped_in, scraped) = mpsc::channel(64);
    let (orders_in, orders) = mpsc::channel(64);
    let parts = Parts {
        source,
        store: store.clone(),
        routes: routes.clone(),
        heard,
        scraped,
        orders,
        settings,
    };
    let (desk, snapshots) = Desk::new(parts).await.map_err(|error| error.to_string())?;
    tokio::spawn(bus.run());
    tokio::spawn(scrape::run(snapshots.clone(), port, scraped_in));
    tokio::spawn(routes.run(store.clone()));
    tokio::spawn(desk.run());
    let asked = monitor.clone();
    Ok(App {
        feed: Feed::new(snapshots),
        store,
        door: Arc::new(door),
        orders: orders_in,
        ask: Arc::new(move |verb| {
            let (monitor, monkey) = (asked.clone(), monkey.clone());
            Box::pin(async move {
                if matches!(verb, Verb::Attack { .. }) {
                    bus::ask(&monkey, verb).await
                } else {
                    monitor.request(verb).await
                }
            })
        }),
        requests: Counter::default(),
        refused: Counter::default(),
    })
}

async fn pulses(monitor: &Monitor) {
    let mut every = tokio::time::interval(PULSE_EVERY);
    loop {
        every.tick().await;
        monitor.pulse();
    }
}

async fn asked_to_end() {
    match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) {
        (Ok(mut term), Ok(mut int)) => {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        }
        // Without handlers the default ends the process, as PID 1 docker's SIGKILL does.
        _ => std::future::pending().await,
    }
}
