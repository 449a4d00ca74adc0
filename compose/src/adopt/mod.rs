//! `adopt`: anybody's compose file to an override file that makes the stack heal itself.
//!
//! Their file and their images stay as they are. The override puts the static `monitor` into each service by a volume,
//! wraps what the service runs, and adds a broker and three healers ([`Group`]), or one watcher. Without the override
//! everything is as it was.
//!
//! [`adopt`] is pure; `world` asks Compose and the engine.

mod difference;
mod group;
mod image;
mod words;
mod world;
mod wrap;

pub use difference::difference;
pub use group::Group;
pub use image::Image;
pub use world::{Tool, compose_config, image_of, inspect_image, project_of};

use crate::yaml::{Node, list, map, write};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use wrap::{FOLDER, Plan};

/// The one-shot service that fills the volume before any other starts.
const INSTALLER: &str = "planaria-install";
/// The one that heals.
const WATCHER: &str = "planaria-watch";
/// The volume, as the override calls it.
const VOLUME: &str = "planaria-monitor";
/// One name on the whole host: two adopted stacks have two watchers, of which one stands by.
const STATE_VOLUME: &str = "planaria-watch";
/// Of services that share a network with others: where their health servers listen, counted up.
const SHARED_PORT_BASE: u16 = 19747;
/// Digits of the image's id in the volume's name.
const DIGEST_LENGTH: usize = 12;

/// What the override depends on besides the file and the images.
#[derive(Debug, Clone)]
pub struct Options {
    /// The image that the monitor comes from.
    pub monitor_image: String,
    /// Its id: an upgrade is another one, and so another volume (a named volume is filled only while it is empty).
    pub monitor_id: String,
    /// What the monitor was built for, in the engine's words.
    pub architecture: String,
    /// Path of the Docker socket on the host.
    pub socket: String,
    /// A broker and healers; without them one watcher heals, by the engine's word alone.
    pub group: Option<Group>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            monitor_image: "planaria/monitor".into(),
            monitor_id: String::new(),
            architecture: "amd64".into(),
            socket: "/var/run/docker.sock".into(),
            group: None,
        }
    }
}

/// Why nothing was adopted; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// The file is none that Compose takes, or one without services.
    #[error("{0}")]
    File(String),
    /// An image cannot be read.
    #[error("image {name}: {reason}")]
    Image {
        /// Which.
        name: String,
        /// Why, and what would mend it.
        reason: String,
    },
    /// A tool that is needed does not answer.
    #[error("{0}")]
    Tool(String),
    /// The file is adopted already.
    #[error(
        "the file has a service {0} already: give the file without its override (docker-compose.planaria.yml)"
    )]
    Adopted(String),
}

/// The override, and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// The override file.
    pub text: String,
    /// One line for each service: what is done with it, and what a person should know.
    pub report: Vec<String>,
}

/// Adopts a file, as `docker-compose config` prints it. `images` has an entry for each service, by its name.
///
/// # Errors
/// [`AdoptError`] where the file has no services, has ours already, or an image is missing.
pub fn adopt(
    file: &Value,
    images: &BTreeMap<String, Image>,
    options: &Options,
) -> Result<Adoption, AdoptError> {
    let services = file["services"].as_object().filter(|all| !all.is_empty());
    let services = services.ok_or_else(|| AdoptError::File("the file has no services".into()))?;
    let fixed = [INSTALLER, WATCHER].map(str::to_owned);
    if let Some(ours) = fixed
        .into_iter()
        .chain(group::services())
        .find(|ours| services.contains_key(ours))
    {
        return Err(AdoptError::Adopted(ours));
    }
    let mut nodes = Vec::new();
    let mut report = Vec::new();
    let mut shared = 0;
    let mut networks = BTreeSet::new();
    for (name, service) in services {
        let image = images.get(name).ok_or_else(|| AdoptError::Image {
            name: name.clone(),
            reason: "was not looked at".into(),
        })?;
        let mut pairs = Vec::new();
        match wrap::plan(service, image, options) {
            Plan::Wrap {
                entrypoint,
                command,
                notes,
            } => {
                let joined = options
                    .group
                    .as_ref()
                    .map(|group| group.join(name, service));
                let words = shown(&entrypoint, &command);
                report.push(match &joined {
                    None => format!("{name}: wrapped ({words})"),
                    Some(Ok(member)) => {
                        format!("{name}: wrapped, member {} ({words})", member.name)
                    }
                    Some(Err(reason)) => {
                        format!("{name}: wrapped, without a broker: {reason} ({words})")
                    }
                });
                report.extend(notes.iter().map(|note| format!("{name}: {note}")));
                let member = joined.and_then(Result::ok);
                networks.extend(member.iter().flat_map(|member| member.networks.clone()));
                pairs = wrapped(service, entrypoint, command, &mut shared, member.as_ref());
            }
            Plan::Watch { reason } => report.push(format!("{name}: left to watch: {reason}")),
        }
        pairs.push(("labels", map(labels(service, options))));
        nodes.push((name.clone(), map(pairs)));
    }
    nodes.push((INSTALLER.to_owned(), installer(options)));
    let mut volumes = vec![(VOLUME.to_owned(), map([("name", volume_name(options))]))];
    match &options.group {
        None => {
            nodes.push((WATCHER.to_owned(), watcher(options)));
            volumes.push((STATE_VOLUME.to_owned(), map([("name", STATE_VOLUME)])));
        }
        Some(group) => {
            nodes.extend(group.nodes(options, &networks));
            volumes.extend(group::volumes().map(|name| (name, map::<String, Node>([]))));
        }
    }
    let mut document = Vec::new();
    // docker-compose v1 wants all files of one version.
    if let Some(version) = file["version"].as_str() {
        document.push(("version", Node::from(version)));
    }
    document.push(("services", map(nodes)));
    document.push(("volumes", map(volumes)));
    Ok(Adoption {
        text: format!(
            "# Made by planaria-compose adopt; made anew when the file or an image changes. Way back: leave this file out.\n{}",
            write(&map(document))
        ),
        report,
    })
}

fn shown(entrypoint: &[String], command: &[String]) -> String {
    let words: Vec<&str> = entrypoint
        .iter()
        .chain(command)
        .map(String::as_str)
        .collect();
    let text = words.join(" ").replace(char::is_control, " ");
    if text.chars().count() <= 60 {
        return text;
    }
    let start: String = text.chars().take(57).collect();
    format!("{start}…")
}

/// `planaria-monitor-0.1.0-0123456789ab`.
fn volume_name(options: &Options) -> String {
    let digest = options.monitor_id.trim_start_matches("sha256:");
    let digest = digest.get(..DIGEST_LENGTH).unwrap_or(digest);
    format!("{VOLUME}-{}-{digest}", env!("CARGO_PKG_VERSION"))
}

fn wrapped(
    service: &Value,
    entrypoint: Vec<String>,
    command: Vec<String>,
    shared: &mut u16,
    member: Option<&group::Member>,
) -> Vec<(&'static str, Node)> {
    let mut pairs = Vec::new();
    if service["init"] == Value::Bool(true) {
        // Two first processes are one too many, and ours must see what becomes of the program.
        pairs.push(("init", Node::Flag(false)));
    }
    let monitor = [format!("{FOLDER}/monitor"), "run".into(), "--".into()];
    pairs.push(("entrypoint", list(monitor.into_iter().chain(entrypoint))));
    pairs.push(("command", list(command)));
    let network = service["network_mode"].as_str().unwrap_or_default();
    if network == "host" || network.starts_with("service:") || network.starts_with("container:") {
        let port = SHARED_PORT_BASE.saturating_add(*shared);
        *shared += 1;
        pairs.push((
            "environment",
            map([("PLANARIA_HEALTH_ADDR", format!("127.0.0.1:{port}"))]),
        ));
    }
    let mut volumes = vec![format!("{VOLUME}:{FOLDER}:ro")];
    let mut before = vec![INSTALLER];
    if let Some(member) = member {
        pairs.push(("env_file", list([member.env_file.clone()])));
        pairs.push(("environment", map(member.environment.clone())));
        volumes.push(group::MEMBER_KEYS.into());
        before.push(group::FILLER);
    }
    pairs.push(("volumes", list(volumes)));
    pairs.push(("depends_on", completed(before)));
    pairs
}

/// One-shot services that must have done their work.
fn completed(services: impl IntoIterator<Item = &'static str>) -> Node {
    map(services.into_iter().map(|service| {
        (
            service,
            map([("condition", "service_completed_successfully")]),
        )
    }))
}

/// What the healers go by; a label that is there already is its owner's word.
fn labels(service: &Value, options: &Options) -> Vec<(&'static str, String)> {
    let own = |label: &str| match &service["labels"] {
        Value::Object(labels) => labels.contains_key(label),
        Value::Array(labels) => labels
            .iter()
            .filter_map(Value::as_str)
            .any(|text| text.split('=').next() == Some(label)),
        _ => false,
    };
    let needs: Vec<&str> = match &service["depends_on"] {
        Value::Object(needs) => needs.keys().map(String::as_str).collect(),
        Value::Array(needs) => needs.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let mut labels = Vec::new();
    if !own("planaria.enable") {
        labels.push(("planaria.enable", "true".to_owned()));
    }
    if let Some(group) = options.group.as_ref().filter(|_| !own("planaria.group")) {
        labels.push(("planaria.group", group.project.clone()));
    }
    if !needs.is_empty() && !own("planaria.depends-on") {
        labels.push(("planaria.depends-on", needs.join(",")));
    }
    labels
}

fn installer(options: &Options) -> Node {
    map([
        ("image", Node::from(options.monitor_image.as_str())),
        ("entrypoint", list(["/monitor"])),
        ("command", list(["install", FOLDER])),
        ("restart", "no".into()),
        ("network_mode", "none".into()),
        ("volumes", list([format!("{VOLUME}:{FOLDER}")])),
        ("labels", map([("planaria.enable", "false")])),
    ])
}

fn watcher(options: &Options) -> Node {
    map([
        ("image", Node::from(options.monitor_image.as_str())),
        ("entrypoint", list(["/monitor"])),
        ("command", list(["watch"])),
        ("restart", "unless-stopped".into()),
        ("read_only", Node::Flag(true)),
        ("cap_drop", list(["ALL"])),
        ("security_opt", list(["no-new-privileges:true"])),
        ("environment", map([("PLANARIA_STATE_DIR", "/state")])),
        (
            "volumes",
            list([
                format!("{}:/var/run/docker.sock", options.socket),
                format!("{STATE_VOLUME}:/state"),
            ]),
        ),
        ("labels", map([("planaria.enable", "false")])),
    ])
}
