//! The variables of docker-autoheal and of the two programs made after it, with their names, meanings
//! and defaults. Where they disagree, the oldest one's meaning wins.

use planaria_core::node::Autoheal;
#[cfg(feature = "cli")]
use planaria_core::settings::Settings;
use planaria_core::settings::parse_duration;
use std::path::PathBuf;
use std::time::Duration;

/// The certificates' place in docker-autoheal's image.
const CERTS: &str = "/certs";
/// The same in the second of the three programs.
const PEM_PATH: &str = "/opt/docker-autoheal/tls";
/// docker-autoheal's script without its image says so; the image says `content`.
const WEBHOOK_KEY: &str = "text";

/// Understood, and without effect: the name, and what is so instead.
const WITHOUT_EFFECT: [(&str, &str); 6] = [
    (
        "AUTOHEAL_INTERVAL",
        "events are heard at once, nothing is polled",
    ),
    (
        "CURL_TIMEOUT",
        "each call to the engine has a deadline of 2 s and is made again",
    ),
    (
        "timeout",
        "each call to the engine has a deadline of 2 s and is made again",
    ),
    (
        "AUTOHEAL_TCP_TIMEOUT",
        "each call to the engine has a deadline of 2 s and is made again",
    ),
    (
        "AUTOHEAL_LOG_ALL",
        "every finding is in the log, in /status and in the webhook",
    ),
    (
        "AUTOHEAL_LOG_PERSIST",
        "set PLANARIA_STATE_DIR to a folder on a volume: the history is kept there",
    ),
];

/// Where a message goes, and in which form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `{"KEY": "sentence"}`, as docker-autoheal's webhook.
    Key(String),
    /// `{"title": "Autoheal", "body": "sentence"}`.
    Apprise,
    /// All facts, one JSON object.
    Full,
}

/// One receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) form: Form,
}

/// A program to be run after a restart, with the arguments that its users know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// `/NAME SHORT-ID STATE TIMEOUT` (`POST_RESTART_SCRIPT`).
    PostRestart(String),
    /// `NAME ID TIMEOUT` (`AUTOHEAL_POST_ACTION`).
    PostAction(String),
}

/// All that the variables ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Variables {
    /// `AUTOHEAL_CONTAINER_LABEL`; empty where it is not set.
    pub(crate) label: Option<String>,
    pub(crate) autoheal: Autoheal,
    pub(crate) start_period: Duration,
    pub(crate) targets: Vec<Target>,
    pub(crate) scripts: Vec<Script>,
    /// The engine's address in the words of `DOCKER_HOST`.
    pub(crate) docker: Option<String>,
    /// CA, certificate, key: for TLS.
    pub(crate) certificates: Option<[PathBuf; 3]>,
    /// One line each, for the log: no effect, or not understood.
    pub(crate) notes: Vec<String>,
}

/// Reads variables and notes what is wrong with them.
struct Reader<'a, F> {
    get: &'a F,
    notes: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Reader<'_, F> {
    fn text(&self, name: &str) -> Option<String> {
        (self.get)(name)
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    }

    fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.text(name))
    }

    fn seconds(&mut self, names: &[&str]) -> Option<Duration> {
        let name = names.iter().find(|name| self.text(name).is_some())?;
        let text = self.text(name)?;
        match parse_duration(&text) {
            Ok(span) => Some(span),
            Err(_) => {
                self.notes.push(format!(
                    "{name} = {text:?} is no time in seconds and is left out"
                ));
                None
            }
        }
    }

    fn flag(&mut self, name: &str) -> bool {
        let Some(text) = self.text(name) else {
            return false;
        };
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => true,
            "false" | "no" | "off" | "0" => false,
            _ => {
                self.notes
                    .push(format!("{name} = {text:?} is neither true nor false"));
                false
            }
        }
    }
}

impl Variables {
    /// From this process's environment.
    #[cfg(feature = "cli")]
    pub(crate) fn from_env() -> Self {
        Self::read(&|name: &str| std::env::var(name).ok())
    }

    /// From wherever `get` finds them.
    pub(crate) fn read(get: &impl Fn(&str) -> Option<String>) -> Self {
        let mut reader = Reader {
            get,
            notes: Vec::new(),
        };
        for (name, instead) in WITHOUT_EFFECT {
            if reader.text(name).is_some() {
                reader
                    .notes
                    .push(format!("{name} has no effect here: {instead}"));
            }
        }
        let (docker, certificates) = engine(&mut reader);
        let autoheal = Autoheal {
            all: reader.flag("AUTOHEAL_MONITOR_ALL"),
            exclude: reader
                .text("AUTOHEAL_EXCLUDE_CONTAINERS")
                .unwrap_or_default()
                .split(',')
                .map(|name| name.trim().trim_start_matches('/').to_owned())
                .filter(|name| !name.is_empty())
                .collect(),
            stop_timeout: reader
                .seconds(&["AUTOHEAL_DEFAULT_STOP_TIMEOUT", "AUTOHEAL_STOP_TIMEOUT"]),
            only_running: reader.flag("AUTOHEAL_ONLY_MONITOR_RUNNING"),
        };
        Self {
            label: reader.text("AUTOHEAL_CONTAINER_LABEL"),
            autoheal,
            start_period: reader
                .seconds(&["AUTOHEAL_START_PERIOD", "AUTOHEAL_START_DELAY"])
                .unwrap_or_default(),
            targets: targets(&reader),
            scripts: scripts(&reader),
            docker,
            certificates,
            notes: reader.notes,
        }
    }

    /// What several watchers of one host must have in common to be each other's standby.
    pub(crate) fn scope(&self) -> String {
        let label = self.label.as_deref().unwrap_or("autoheal");
        let all = if self.autoheal.all { "all" } else { "" };
        format!("{label}/{all}/{}", self.autoheal.exclude.join(","))
    }

    /// The engine's address and certificates, where the settings do not name them already.
    #[cfg(feature = "cli")]
    pub(crate) fn complete(&self, settings: &mut Settings) {
        if settings.docker_host.is_none() {
            settings.docker_host.clone_from(&self.docker);
        }
        if let Some([ca, certificate, key]) = &self.certificates {
            settings.docker_ca_file.get_or_insert_with(|| ca.clone());
            settings
                .docker_cert_file
                .get_or_insert_with(|| certificate.clone());
            settings.docker_key_file.get_or_insert_with(|| key.clone());
        }
    }
}

fn engine<F: Fn(&str) -> Option<String>>(
    reader: &mut Reader<'_, F>,
) -> (Option<String>, Option<[PathBuf; 3]>) {
    let named = ["CA", "CLIENT_CERT", "CLIENT_KEY"].map(|name| reader.text(name));
    let named = match named {
        [Some(ca), Some(certificate), Some(key)] => Some([ca, certificate, key].map(PathBuf::from)),
        [None, None, None] => None,
        _ => {
            reader
                .notes
                .push("CA, CLIENT_CERT and CLIENT_KEY go together: all three or none".to_owned());
            None
        }
    };
    let folder =
        |folder: &str, names: [&str; 3]| names.map(|name| PathBuf::from(folder).join(name));
    if let Some(address) = reader.text("DOCKER_SOCK") {
        let certificates = address
            .starts_with("tcps://")
            .then(|| folder(CERTS, ["ca.pem", "client-cert.pem", "client-key.pem"]));
        let address = if address.contains("://") {
            address
        } else {
            format!("unix://{address}")
        };
        return (Some(address), named.or(certificates));
    }
    let kind = reader.text("AUTOHEAL_CONNECTION_TYPE");
    let host = reader
        .text("AUTOHEAL_TCP_HOST")
        .unwrap_or_else(|| "localhost".to_owned());
    let port = reader.text("AUTOHEAL_TCP_PORT");
    let address = |scheme: &str, default: &str| {
        let port = port.as_deref().unwrap_or(default);
        format!("{scheme}://{host}:{port}")
    };
    match kind.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("http") => (Some(address("tcp", "2375")), named),
        Some("ssl") => {
            let path = reader
                .text("AUTOHEAL_PEM_PATH")
                .unwrap_or_else(|| PEM_PATH.to_owned());
            let files = folder(&path, ["ca.pem", "cert.pem", "key.pem"]);
            (Some(address("tcps", "2376")), named.or(Some(files)))
        }
        None | Some("local" | "socket") => {
            // The Docker CLI's own way.
            let verified = reader.text("DOCKER_TLS_VERIFY").is_some();
            let path = reader.text("DOCKER_CERT_PATH").filter(|_| verified);
            let files = path.map(|path| folder(&path, ["ca.pem", "cert.pem", "key.pem"]));
            (None, named.or(files))
        }
        Some(other) => {
            reader.notes.push(format!(
                "AUTOHEAL_CONNECTION_TYPE = {other:?} is none of local, socket, http, ssl; taken as local"
            ));
            (None, named)
        }
    }
}

fn targets<F: Fn(&str) -> Option<String>>(reader: &Reader<'_, F>) -> Vec<Target> {
    let key = |names: &[&str]| {
        let key = reader.first(names);
        Form::Key(key.unwrap_or_else(|| WEBHOOK_KEY.to_owned()))
    };
    let both = ["WEBHOOK_JSON_KEY", "AUTOHEAL_WEBHOOK_KEY"];
    [
        ("WEBHOOK_URL", key(&both)),
        (
            "AUTOHEAL_WEBHOOK_URL",
            key(&["AUTOHEAL_WEBHOOK_KEY", "WEBHOOK_JSON_KEY"]),
        ),
        ("APPRISE_URL", Form::Apprise),
        ("AUTOHEAL_APPRISE_URL", Form::Apprise),
    ]
    .into_iter()
    .filter_map(|(name, form)| {
        let url = reader.text(name)?;
        Some(Target { url, form })
    })
    .collect()
}

fn scripts<F: Fn(&str) -> Option<String>>(reader: &Reader<'_, F>) -> Vec<Script> {
    let after = reader.text("POST_RESTART_SCRIPT").map(Script::PostRestart);
    let action = reader.text("AUTOHEAL_POST_ACTION").map(Script::PostAction);
    after.into_iter().chain(action).collect()
}
