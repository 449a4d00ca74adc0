//! `planaria-compose`: see `--help`.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use planaria_compose::adopt::{self, AdoptError, Adoption, Group, Options, Tool};
use planaria_compose::{Places, generate, secrets::Secrets};
use planaria_core::settings::Sources;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit code for a configuration that cannot be used.
const EXIT_CONFIG: u8 = 78;

/// Exit code for a tool that does not answer.
const EXIT_UNAVAILABLE: u8 = 69;

/// Makes docker-compose.yml from config.ini, and the secrets that the stack needs.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done, 1 failure, 2 usage, 69 Docker or Compose does not answer, 78 a setting or a file is wrong."
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
    /// Write an override that makes somebody's stack heal itself: the monitor around each service, a broker, healers.
    ///
    /// Neither the file nor an image is changed; the keys are made once, in a folder of their own. Start with both files:
    /// docker-compose -f docker-compose.yml -f docker-compose.planaria.yml up -d
    /// Way back: the same without the second file, and --remove-orphans.
    Adopt {
        /// Their compose file.
        #[arg(default_value = "docker-compose.yml")]
        file: PathBuf,
        /// Where to write; standard output without it.
        #[arg(long)]
        output: Option<PathBuf>,
        /// Show what is added (as a difference to the output's present text, where there is one), and write nothing.
        #[arg(long)]
        dry_run: bool,
        /// One watcher and no broker: smaller, and what hangs is seen by its own monitor and its health check alone.
        #[arg(long)]
        solo: bool,
        /// The project's name, where it is not the file's or the folder's: containers and built images are called by it.
        #[arg(long)]
        project: Option<String>,
        /// Folder of the keys and the broker's users; else .planaria beside the file. Made once, mode 0700.
        #[arg(long, conflicts_with = "solo")]
        secrets: Option<PathBuf>,
        /// The broker's image; it must be on this machine.
        #[arg(long, conflicts_with = "solo", default_value = "planaria/rabbitmq")]
        broker_image: String,
        /// The image that the monitor comes from; it must be on this machine.
        #[arg(long, default_value_t = Options::default().monitor_image)]
        monitor_image: String,
        /// Path of the Docker socket on the host.
        #[arg(long, default_value_t = Options::default().socket)]
        socket: String,
    },
    /// Make the secrets that are missing and all that follows from them; doing it twice changes nothing.
    Secrets {
        /// Folder of the secrets.
        #[arg(long, default_value = ".secrets")]
        folder: PathBuf,
        /// Print the S3 keys as AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=… lines.
        #[arg(long)]
        show_s3: bool,
        /// Print the console's password.
        #[arg(long)]
        show_console: bool,
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
        Command::Adopt {
            file,
            output,
            dry_run,
            solo,
            project,
            secrets,
            broker_image,
            monitor_image,
            socket,
        } => {
            let way = (!solo).then_some((secrets.as_deref(), broker_image));
            let (adoption, group) = match adopted(&file, project, way, monitor_image, socket) {
                Ok(all) => all,
                Err(error) => {
                    eprintln!("planaria-compose: {error}");
                    return Ok(ExitCode::from(match error {
                        AdoptError::Tool(_) => EXIT_UNAVAILABLE,
                        _ => EXIT_CONFIG,
                    }));
                }
            };
            for line in &adoption.report {
                eprintln!("{line}");
            }
            if dry_run {
                let old = output.as_deref().map(fs::read_to_string);
                let old = old.and_then(Result::ok).unwrap_or_default();
                print!("{}", adopt::difference(&old, &adoption.text));
            } else {
                if let Some(group) = group {
                    let folder = beside(&file).join(&group.secrets);
                    Secrets::ensure_adopted(&folder, &group.broker())?;
                    eprintln!(
                        "keys: {} (only you can read it; losing it means new keys)",
                        folder.display()
                    );
                }
                write(output.as_deref(), &adoption.text)?;
            }
        }
        Command::Secrets {
            folder,
            show_s3,
            show_console,
        } => {
            let secrets = Secrets::ensure(&folder)?;
            if show_console {
                println!("{}", secrets.get("console_password"));
            }
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

/// Folder of the keys, where none is named, as the override names it: Compose reads it from the file's folder on.
const SECRETS: &str = "./.planaria";

/// The folder that relative paths in a compose file mean.
fn beside(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// `way` is that of a group: folder of the secrets, image of the broker.
fn adopted(
    file: &Path,
    project: Option<String>,
    way: Option<(Option<&Path>, String)>,
    monitor_image: String,
    socket: String,
) -> Result<(Adoption, Option<Group>), AdoptError> {
    let tool = Tool::find()?;
    let content = adopt::compose_config(tool, file)?;
    let project = project.unwrap_or_else(|| adopt::project_of(file, &content));
    let monitor = adopt::inspect_image(&monitor_image, "make docker-image builds it")?;
    let group = match way {
        None => None,
        Some((secrets, broker_image)) => {
            adopt::inspect_image(&broker_image, "make docker-image builds it")?;
            let secrets = match secrets {
                None => SECRETS.to_owned(),
                Some(folder) => std::path::absolute(folder)
                    .map_err(|error| AdoptError::File(format!("{}: {error}", folder.display())))?
                    .to_string_lossy()
                    .into_owned(),
            };
            Some(Group {
                project: project.clone(),
                separator: tool.separator(),
                secrets,
                broker_image,
            })
        }
    };
    let options = Options {
        monitor_image,
        monitor_id: monitor.id,
        architecture: monitor.architecture,
        socket,
        group: group.clone(),
    };
    let mut images = std::collections::BTreeMap::new();
    for (name, service) in content["services"].as_object().into_iter().flatten() {
        let image = adopt::image_of(&project, tool, name, service);
        let image = adopt::inspect_image(
            &image,
            "pull or build it first (docker-compose pull, docker-compose build)",
        )?;
        images.insert(name.clone(), image);
    }
    Ok((adopt::adopt(&content, &images, &options)?, group))
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
