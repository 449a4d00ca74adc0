//! `planaria-compose`: see `--help`.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use planaria_compose::{Places, generate, secrets::Secrets};
use planaria_core::settings::Sources;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit code for a configuration that cannot be used.
const EXIT_CONFIG: u8 = 78;

/// Makes docker-compose.yml from config.ini, and the secrets that the stack needs.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done, 1 failure, 2 usage, 78 a setting is wrong (all are listed)."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the compose file for a configuration.
    Generate {
        /// The configuration; its keys can be overridden by PLANARIA_<KEY> in the environment.
        #[arg(long, env = "PLANARIA_CONFIG", default_value = "config.ini")]
        config: PathBuf,
        /// Where to write; standard output without it. A file that says the same already is not touched.
        #[arg(long)]
        output: Option<PathBuf>,
        /// Path of the Docker socket on the host.
        #[arg(long, default_value_t = Places::default().socket)]
        socket: String,
        /// Folder of the secrets, as seen from the folder of the compose file.
        #[arg(long, default_value_t = Places::default().secrets)]
        secrets: String,
    },
    /// Make the secrets that are missing and all that follows from them; doing it twice changes nothing.
    Secrets {
        /// Folder of the secrets.
        #[arg(long, default_value = ".secrets")]
        folder: PathBuf,
        /// Print the S3 keys as AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=… lines.
        #[arg(long)]
        show_s3: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("planaria-compose: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Generate {
            config,
            output,
            socket,
            secrets,
        } => {
            let text = fs::read_to_string(&config)
                .with_context(|| format!("cannot read {}", config.display()))?;
            let sources = Sources {
                ini: Some((config.display().to_string(), text)),
                env: std::env::vars().collect(),
            };
            match generate(&sources, &Places { socket, secrets }) {
                Ok(text) => write(output.as_deref(), &text)?,
                Err(errors) => {
                    eprintln!("{errors}");
                    return Ok(ExitCode::from(EXIT_CONFIG));
                }
            }
        }
        Command::Secrets { folder, show_s3 } => {
            let secrets = Secrets::ensure(&folder)?;
            if show_s3 {
                println!("AWS_ACCESS_KEY_ID={}", secrets.get("storage_access_key"));
                println!(
                    "AWS_SECRET_ACCESS_KEY={}",
                    secrets.get("storage_secret_key")
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write(output: Option<&Path>, text: &str) -> anyhow::Result<()> {
    let Some(path) = output else {
        print!("{text}");
        return Ok(());
    };
    if fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
