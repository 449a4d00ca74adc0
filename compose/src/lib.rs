//! From `config.ini` to `docker-compose.yml`, and the secrets that the stack needs.
//!
//! [`generate`] is pure: settings in, text out, the same text for the same settings; golden files hold it to
//! that. The text has no secret in it: those reach containers through `env_file`s and key volumes, which
//! [`secrets`] makes once and `scripts/setup` hands out.
//!
//! [`adopt`] is the same for other people's files: `docker-compose.yml` in, an override out.
//!
//! Map: `stack` says which containers there are, `yaml` writes, [`definitions`] is RabbitMQ's users and
//! topology, [`secrets`] the random part.

pub mod adopt;
pub mod definitions;
pub mod secrets;
mod stack;
mod yaml;

use planaria_core::settings::{Settings, SettingsErrors, Sources, given};

/// What the text depends on besides the settings: where things are on this machine.
#[derive(Debug, Clone)]
pub struct Places {
    /// Path of the Docker socket on the host.
    pub socket: String,
    /// Folder of the secrets, as seen from the folder of the written file.
    pub secrets: String,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            socket: "/var/run/docker.sock".to_owned(),
            secrets: "../.secrets".to_owned(),
        }
    }
}

/// The compose file for these sources.
///
/// # Errors
/// All that is wrong with the settings; nothing is generated then.
pub fn generate(sources: &Sources, places: &Places) -> Result<String, SettingsErrors> {
    let settings = Settings::parse(sources)?;
    let given = given(sources)?;
    Ok(format!(
        "# Made by scripts/generate-compose from config.ini; changes belong there, this file is overwritten.\n{}",
        yaml::write(&stack::stack(&settings, &given, places))
    ))
}
