//! Finds `config.ini` and the environment, and reads the secrets.

use planaria_core::codec::{Key, KeyTooShort, Keys};
use planaria_core::message::KeyRole;
use planaria_core::settings::{Settings, SettingsErrors, Sources};
use std::path::{Path, PathBuf};

/// No configuration is larger than this; a larger file is the wrong one.
const FILE_MAX: u64 = 1024 * 1024;

/// Why there are no settings or no keys. Nothing was changed by the attempt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file that was named cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why, and what would mend it.
        reason: String,
        /// It is there, but this user may not read it.
        permission: bool,
    },
    /// Keys or values are wrong: one line each.
    #[error("{0}")]
    Settings(#[from] SettingsErrors),
    /// A secret is too short.
    #[error("{}: {source}", path.display())]
    Secret {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: KeyTooShort,
    },
    /// This process has no usable name.
    #[error("no usable name: {0}; set CONTAINER_NAME")]
    Name(String),
}

/// Reads the settings: `config` where it is given, else `PLANARIA_CONFIG`, `./config.ini`,
/// `$XDG_CONFIG_HOME/planaria/config.ini`, `/etc/planaria/config.ini`, and the environment over it.
///
/// # Errors
/// [`ConfigError`], with everything that is wrong at once.
pub fn load(config: Option<&Path>) -> Result<Settings, ConfigError> {
    let env: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let ini = match find(config) {
        Some(path) => {
            let text = read(&path)?;
            Some((path.display().to_string(), text))
        }
        None => None,
    };
    Ok(Settings::parse(&Sources { ini, env })?)
}

fn find(config: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = config {
        return Some(path.to_owned());
    }
    if let Some(path) = std::env::var_os("PLANARIA_CONFIG").filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    let user = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".config")))
        .map(|folder| folder.join("planaria/config.ini"));
    [
        Some(PathBuf::from("config.ini")),
        user,
        Some(PathBuf::from("/etc/planaria/config.ini")),
    ]
    .into_iter()
    .flatten()
    .find(|path| path.is_file())
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
    let permission = error.kind() == std::io::ErrorKind::PermissionDenied;
    let mend = if permission {
        "; it must belong to the user that this runs as"
    } else {
        ""
    };
    ConfigError::Unreadable {
        path: path.to_owned(),
        reason: format!("{error}{mend}"),
        permission,
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let length = std::fs::metadata(path)
        .map_err(|error| unreadable(path, &error))?
        .len();
    if length > FILE_MAX {
        return Err(ConfigError::Unreadable {
            path: path.to_owned(),
            reason: format!("{length} bytes are no configuration"),
            permission: false,
        });
    }
    std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

/// Reads the secrets that the settings name.
///
/// # Errors
/// A file that cannot be read or is too short to be a secret.
pub fn keys(settings: &Settings) -> Result<Keys, ConfigError> {
    let mut keys = Keys::new();
    let current = [
        (KeyRole::Member, &settings.member_secret_file),
        (KeyRole::Healer, &settings.healer_secret_file),
        (KeyRole::Operator, &settings.operator_secret_file),
    ];
    for (role, path) in current {
        if let Some(key) = key(path.as_deref())? {
            keys = keys.with(role, key);
        }
    }
    let previous = [
        (KeyRole::Member, &settings.member_secret_previous_file),
        (KeyRole::Healer, &settings.healer_secret_previous_file),
        (KeyRole::Operator, &settings.operator_secret_previous_file),
    ];
    for (role, path) in previous {
        if let Some(key) = key(path.as_deref())? {
            keys = keys.with_previous(role, key);
        }
    }
    Ok(keys)
}

fn key(path: Option<&Path>) -> Result<Option<Key>, ConfigError> {
    let Some(path) = path else {
        return Ok(None);
    };
    let secret = read(path)?;
    Key::new(secret.as_bytes())
        .map(Some)
        .map_err(|source| ConfigError::Secret {
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        let Err(error) = load(Some(Path::new("/nonexistent/config.ini"))) else {
            panic!("a missing file must be an error");
        };
        assert!(error.to_string().contains("/nonexistent/config.ini"));
    }

    #[test]
    fn secrets_are_read_and_short_ones_refused() {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("good");
        let short = folder.path().join("short");
        std::fs::write(&good, "0123456789abcdef0123456789abcdef\n").unwrap();
        std::fs::write(&short, "abc").unwrap();
        let mut settings = Settings {
            member_secret_file: Some(good),
            ..Settings::default()
        };
        assert!(keys(&settings).unwrap().holds(KeyRole::Member));
        assert!(!keys(&settings).unwrap().holds(KeyRole::Healer));
        settings.healer_secret_file = Some(short);
        assert!(matches!(keys(&settings), Err(ConfigError::Secret { .. })));
    }
}
