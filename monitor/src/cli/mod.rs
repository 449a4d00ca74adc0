//! The command line `monitor`.

mod ask;
mod events;
mod replay;
mod run;
mod show;
mod top;
mod watch;
mod why;

use crate::config::{self, ConfigError};
use crate::http;
use crate::init::{self, Probe};
use clap::{Args, CommandFactory, Parser, Subcommand};
use planaria_core::settings::{Settings, parse_duration};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Exit codes, after sysexits.h.
pub(crate) mod exit {
    pub(crate) const OK: u8 = 0;
    pub(crate) const FAILURE: u8 = 1;
    pub(crate) const UNAVAILABLE: u8 = 69;
    pub(crate) const TRY_AGAIN: u8 = 75;
    pub(crate) const NO_PERMISSION: u8 = 77;
    pub(crate) const CONFIGURATION: u8 = 78;
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failure, 2 usage, 69 unavailable, 70 apoptosis (see --apoptosis-exit-code),
75 try again, 77 no permission, 78 configuration; of run also 126 cannot run the command,
127 no such command, 128+n ended by signal n, else the command's own. ping: only 0 or 1.";

/// A health check must answer faster than its own time-out, which is often 3 s.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Sees that containers live, agrees on who acts, and brings back what died.
#[derive(Debug, Parser)]
#[command(name = "monitor", version, after_help = EXIT_CODES, arg_required_else_help = true)]
struct Cli {
    /// The configuration file; else PLANARIA_CONFIG, ./config.ini, $XDG_CONFIG_HOME/planaria/config.ini,
    /// /etc/planaria/config.ini, where there is one.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Commands,
}

#[derive(Debug, Subcommand)]
enum Commands {
    /// Be the first process of a container around a program: forward signals, reap, probe, end what hangs.
    Run(Box<run::RunArgs>),
    /// Heal containers by the Docker socket: those labelled planaria.enable=true or autoheal=true.
    #[command(alias = "autoheal")]
    Watch(watch::WatchArgs),
    /// Show the group as the monitor in this container sees it.
    Status(show::ShowArgs),
    /// Show the members only, one a line.
    Members(show::MembersArgs),
    /// Show the last alerts and incidents, one a line, each kind with the newest last.
    Events(events::EventsArgs),
    /// Show the group live in this terminal, with keys to act (in the console's image).
    Top {
        /// As console top --help says.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<std::ffi::OsString>,
    },
    /// Tell in sentences what was seen of a container, what was done, and why it stands as it does.
    Why(why::WhyArgs),
    /// Run a monitor's recording through the core once more; 1 where it decides otherwise.
    Replay(replay::ReplayArgs),
    /// Is it there? Exit code 0 or 1, for health checks.
    Ping(PingArgs),
    /// Bring a container back now, whatever is known of its back-off or of a person's will.
    Heal(ask::HealArgs),
    /// Maintenance: watched and reported, not touched.
    Hold(ask::HoldArgs),
    /// End maintenance early.
    Resume(ask::NamesArgs),
    /// Let a container out of quarantine, with a clean count.
    Release(ask::NameArgs),
    /// Declare this life of a member dead and forbid it to act; its container is killed and started.
    Fence(ask::FenceArgs),
    /// Hold an election now: the leader resigns.
    Elect(ask::PlainArgs),
    /// Copy this program into a directory, for images that have no package of it.
    Install {
        /// Where to; the file is called monitor.
        directory: PathBuf,
    },
    /// Print the completions of a shell.
    Completions {
        /// Whose.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
struct PingArgs {
    /// Does it take a TCP connection?
    #[arg(long, value_name = "[HOST:]PORT", conflicts_with = "http")]
    tcp: Option<String>,
    /// Does it answer 2xx or 3xx?
    #[arg(long, value_name = "URL")]
    http: Option<String>,
    /// How long it may take.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Standard output may be closed; the code says it all the same.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let config = cli.config.as_deref();
    let code = match cli.command {
        Commands::Run(args) => run::run(config, *args),
        Commands::Watch(args) => with_settings(config, |settings| watch::watch(settings, &args)),
        Commands::Status(args) => with_settings(config, |settings| show::status(&settings, &args)),
        Commands::Members(args) => {
            with_settings(config, |settings| show::members(&settings, &args))
        }
        Commands::Events(args) => {
            with_settings(config, |settings| events::events(&settings, &args))
        }
        Commands::Top { args } => top::top(&args),
        Commands::Why(args) => with_settings(config, |settings| why::why(&settings, &args)),
        Commands::Replay(args) => replay::replay(&args),
        Commands::Ping(args) => ping(config, &args),
        Commands::Heal(args) => with_settings(config, |settings| ask::heal(&settings, args)),
        Commands::Hold(args) => with_settings(config, |settings| ask::hold(&settings, args)),
        Commands::Resume(args) => with_settings(config, |settings| ask::resume(&settings, args)),
        Commands::Release(args) => with_settings(config, |settings| ask::release(&settings, args)),
        Commands::Fence(args) => with_settings(config, |settings| ask::fence(&settings, args)),
        Commands::Elect(args) => with_settings(config, |settings| ask::elect(&settings, &args)),
        Commands::Install { directory } => install(&directory),
        Commands::Completions { shell } => {
            let mut command = Cli::command();
            clap_complete::generate(shell, &mut command, "monitor", &mut std::io::stdout());
            exit::OK
        }
    };
    ExitCode::from(code)
}

/// Prints what is wrong with the configuration and names the code for it.
fn config_error(error: &ConfigError) -> u8 {
    eprintln!("monitor: {error}");
    match error {
        ConfigError::Unreadable {
            permission: true, ..
        } => exit::NO_PERMISSION,
        _ => exit::CONFIGURATION,
    }
}

fn with_settings(config: Option<&Path>, work: impl FnOnce(Settings) -> u8) -> u8 {
    match config::load(config) {
        Ok(settings) => work(settings),
        Err(error) => config_error(&error),
    }
}

/// Where the monitor of this container answers.
fn local(settings: &Settings) -> String {
    format!("127.0.0.1:{}", settings.health_addr.port())
}

fn ping(config: Option<&Path>, args: &PingArgs) -> u8 {
    let probe = match (&args.tcp, &args.http) {
        (Some(tcp), _) => format!("tcp:{tcp}").parse(),
        (None, Some(url)) => url.parse(),
        (None, None) => match config::load(config) {
            Ok(settings) => Ok(Probe::Http(local(&settings), "/livez".into())),
            Err(error) => Err(error.to_string()),
        },
    };
    let within = args.timeout.unwrap_or(PING_TIMEOUT);
    match probe.and_then(|probe: Probe| init::ask(&probe, within)) {
        Ok(()) => exit::OK,
        Err(error) => {
            eprintln!("monitor: {error}");
            exit::FAILURE
        }
    }
}

fn install(directory: &Path) -> u8 {
    let target = directory.join("monitor");
    let copy = || -> std::io::Result<()> {
        std::fs::create_dir_all(directory)?;
        // Beside it first: the target may be running, and half a program must never stand there.
        let fresh = directory.join(".monitor.fresh");
        std::fs::copy("/proc/self/exe", &fresh)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&fresh, mode)?;
        std::fs::rename(&fresh, &target)
    };
    match copy() {
        Ok(()) => {
            println!("{}", target.display());
            exit::OK
        }
        Err(error) => {
            eprintln!("monitor: {}: {error}", target.display());
            match error.kind() {
                std::io::ErrorKind::PermissionDenied => exit::NO_PERMISSION,
                _ => exit::FAILURE,
            }
        }
    }
}

/// Asks the monitor of this container.
fn get(address: &str, path: &str) -> Result<Vec<u8>, String> {
    let answer = http::request("GET", address, path, b"", PING_TIMEOUT);
    match answer {
        Ok(answer) if answer.status == 200 => Ok(answer.body),
        Ok(answer) => Err(format!("{address} answers HTTP {}", answer.status)),
        Err(error) => Err(format!(
            "no monitor answers at {address} ({error}); is it running in this container (HEALTH_ADDR)?"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_run_stands_after_the_dashes() {
        let parsed = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parsed("monitor run -- nginx -g off").is_ok());
        assert!(parsed("monitor run nginx").is_err());
        assert!(parsed("monitor run --probe udp:1 -- x").is_err());
        assert!(parsed("monitor run --probe-interval 1 --probe tcp:80 -- x").is_ok());
        assert!(parsed("monitor autoheal").is_ok());
        assert!(parsed("monitor hold --for 30m").is_err(), "whom?");
        assert!(parsed("monitor hold worker-1 --for 30m --reason test").is_ok());
        assert!(parsed("monitor hold --all").is_ok());
        assert!(parsed("monitor hold worker-1 --all").is_err());
    }
}
