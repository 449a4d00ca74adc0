//! Settings: one table of keys, read from `config.ini` and the environment, checked as a whole.
//!
//! Pure: the caller finds and reads the file (`planaria_monitor::config::load`) and hands the text in.
//! Every fault is reported at once, each with file and line (or the variable), the key and the mend.
//!
//! ```
//! use planaria_core::settings::{Settings, Sources};
//! use std::time::Duration;
//!
//! let sources = Sources {
//!     ini: Some(("config.ini".into(), "[timing]\nHEARTBEAT_INTERVAL = 500ms\n".into())),
//!     env: vec![("PLANARIA_DEAD_THRESHOLD".into(), "4".into())],
//! };
//! let settings = Settings::parse(&sources)?;
//! assert_eq!(settings.heartbeat_timeout, Duration::from_secs(2));
//! # Ok::<(), planaria_core::settings::SettingsErrors>(())
//! ```
//!
//! Map: [`keys`](KEYS) the table, `value` the kinds, `ini` the file format, `check` the relations between
//! keys, `error` what a person reads when something is wrong, `reference` the text of `config.ini`.

mod check;
mod error;
mod ini;
mod keys;
mod reference;
mod value;

#[cfg(test)]
mod tests;

pub use error::{Problem, SettingsErrors};
pub use keys::{KEYS, Key, Settings};
pub use reference::reference;
pub use value::{
    Bytes, ElectionCandidates, ElectionOrder, Fsync, LogFormat, LogLevel, Value, format_duration,
    parse_duration,
};

use error::{Place, nearest};
use std::collections::BTreeMap;

/// Prefix of the environment variables that are settings.
pub const ENV_PREFIX: &str = "PLANARIA_";

/// Variables with our prefix that are no settings: where the file is, and "this is one of our images".
const ENV_OTHER: &[&str] = &["PLANARIA_CONFIG", "PLANARIA_OWN_IMAGE"];

/// Keys that count without the prefix everywhere.
const ENV_BARE: &[&str] = &["CONTAINER_NAME", "HOST_ID", "DOCKER_HOST"];

/// What settings are made of. Later sources win: defaults, the file, bare variables, prefixed variables.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Path (for messages) and text of `config.ini`, if one was found.
    pub ini: Option<(String, String)>,
    /// The environment, any order; variables that are not ours are ignored.
    pub env: Vec<(String, String)>,
}

/// One value as somebody wrote it, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The text, trimmed and unquoted.
    pub text: String,
    place: Place,
}

impl Settings {
    /// Reads, completes (the third of three related keys) and checks.
    ///
    /// # Errors
    /// All that is wrong: in the order of the file's lines, then the environment.
    pub fn parse(sources: &Sources) -> Result<Self, SettingsErrors> {
        let mut problems = Vec::new();
        let given = collect(sources, &mut problems);
        let mut settings = Self::default();
        let mut wrong = Vec::new();
        for key in KEYS {
            let Some(value) = given.get(key.name) else {
                continue;
            };
            if let Err(bad) = (key.set)(&mut settings, &value.text) {
                wrong.push(key.name);
                problems.push(Problem::new(&value.place, key.name, bad));
            }
        }
        check::complete(&mut settings, &given, &wrong, &mut problems);
        check::relations(&settings, &given, &wrong, &mut problems);
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsErrors::new(problems))
        }
    }
}

/// The values that the sources give, by key, without checking their kinds: what a generator hands on.
///
/// # Errors
/// Lines that are no key-value pairs, unknown keys, keys given twice.
pub fn given(sources: &Sources) -> Result<BTreeMap<&'static str, String>, SettingsErrors> {
    let mut problems = Vec::new();
    let found = collect(sources, &mut problems);
    if problems.is_empty() {
        Ok(found
            .into_iter()
            .map(|(name, value)| (name, value.text))
            .collect())
    } else {
        Err(SettingsErrors::new(problems))
    }
}

fn collect(sources: &Sources, problems: &mut Vec<Problem>) -> BTreeMap<&'static str, Given> {
    let mut found = BTreeMap::new();
    if let Some((path, text)) = &sources.ini {
        from_file(path, text, &mut found, problems);
    }
    from_environment(&sources.env, &mut found, problems);
    found
}

fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name.eq_ignore_ascii_case(name))
}

fn from_file(
    path: &str,
    text: &str,
    found: &mut BTreeMap<&'static str, Given>,
    problems: &mut Vec<Problem>,
) {
    let (entries, faults) = ini::parse(text);
    let at = |line| Place::File {
        path: path.to_owned(),
        line,
    };
    for fault in faults {
        problems.push(Problem::new(&at(fault.line), "", fault.text));
    }
    for entry in entries {
        let place = at(entry.line);
        let Some(key) = find(&entry.key) else {
            problems.push(Problem::new(&place, &entry.key, unknown(&entry.key)));
            continue;
        };
        if let Some(Given {
            place: Place::File { line, .. },
            ..
        }) = found.get(key.name)
        {
            problems.push(Problem::new(
                &place,
                key.name,
                format!("is given a second time (first in line {line}); keep one of the two"),
            ));
            continue;
        }
        found.insert(
            key.name,
            Given {
                text: entry.value,
                place,
            },
        );
    }
}

fn from_environment(
    env: &[(String, String)],
    found: &mut BTreeMap<&'static str, Given>,
    problems: &mut Vec<Problem>,
) {
    let own_image = env
        .iter()
        .any(|(name, text)| name == "PLANARIA_OWN_IMAGE" && bool::parse(text) == Ok(true));
    let bare = |name: &str| {
        ENV_BARE.contains(&name)
            || own_image
                && (name.starts_with("HEARTBEAT_")
                    || name.starts_with("CHAOS_")
                    || name == "ELECTION_TIMEOUT")
    };
    let variable = |name: &str, text: &str| Given {
        text: text.trim().to_owned(),
        place: Place::Variable {
            name: name.to_owned(),
        },
    };
    // Two passes, so that the prefixed name wins whatever the order.
    for (name, text) in env.iter().filter(|(name, _)| bare(name)) {
        if let Some(key) = find(name).filter(|key| key.name == name) {
            found.insert(key.name, variable(name, text));
        }
    }
    for (name, text) in env {
        let Some(short) = name.strip_prefix(ENV_PREFIX) else {
            continue;
        };
        if ENV_OTHER.contains(&name.as_str()) {
            continue;
        }
        match find(short).filter(|key| key.name == short) {
            Some(key) => {
                found.insert(key.name, variable(name, text));
            }
            None => problems.push(Problem::new(
                &variable(name, "").place,
                "",
                unknown_variable(short),
            )),
        }
    }
}

fn unknown(name: &str) -> String {
    match nearest(name, KEYS.iter().map(|key| key.name)) {
        Some(near) => format!("is no key; did you mean {near}?"),
        None => "is no key; remove the line, or see config.ini for the keys there are".to_owned(),
    }
}

fn unknown_variable(short: &str) -> String {
    match nearest(short, KEYS.iter().map(|key| key.name)) {
        Some(near) => format!("is no setting; did you mean {ENV_PREFIX}{near}?"),
        None => "is no setting; unset it, or see config.ini for the keys there are".to_owned(),
    }
}
