//! Asks Compose what a file means, and the engine what an image is.

use super::{AdoptError, Image};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

/// Which Compose there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `docker compose`.
    Plugin,
    /// `docker-compose`.
    Standalone,
}

impl Tool {
    /// The plugin of today or the tool of yesterday, whichever is there.
    ///
    /// # Errors
    /// Where there is neither.
    pub fn find() -> Result<Self, AdoptError> {
        let answers = |mut command: Command| {
            let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
            quiet
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        for tool in [Self::Plugin, Self::Standalone] {
            let mut command = tool.command();
            command.arg("version");
            if answers(command) {
                return Ok(tool);
            }
        }
        Err(AdoptError::Tool(
            "Docker Compose is not installed; install it (Debian: apt-get install docker-compose), then try again".into(),
        ))
    }

    /// What it writes between the parts of a name.
    #[must_use]
    pub fn separator(self) -> char {
        match self {
            Self::Plugin => '-',
            Self::Standalone => '_',
        }
    }

    fn command(self) -> Command {
        match self {
            Self::Plugin => {
                let mut command = Command::new("docker");
                command.arg("compose");
                command
            }
            Self::Standalone => Command::new("docker-compose"),
        }
    }
}

/// The file as Compose reads it: variables, anchors, `extends` and `.env` are its own business.
///
/// # Errors
/// In Compose's words.
pub fn compose_config(tool: Tool, file: &Path) -> Result<Value, AdoptError> {
    let mut command = tool.command();
    command.arg("--file").arg(file).arg("config");
    let text = answer(&mut command).map_err(|reason| {
        AdoptError::File(format!("{} is no compose file: {reason}", file.display()))
    })?;
    serde_saphyr::from_str(&text).map_err(|error| {
        AdoptError::File(format!(
            "what Compose makes of {} cannot be read: {error}",
            file.display()
        ))
    })
}

/// The project's name as Compose makes it: the file's own `name`, `COMPOSE_PROJECT_NAME`, else of its folder.
#[must_use]
pub fn project_of(file: &Path, content: &Value) -> String {
    if let Some(name) = content["name"].as_str() {
        return name.to_owned();
    }
    if let Some(name) = std::env::var("COMPOSE_PROJECT_NAME")
        .ok()
        .filter(|name| !name.is_empty())
    {
        return name;
    }
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let folder = path.parent().and_then(Path::file_name);
    let folder = folder.unwrap_or_default().to_string_lossy().to_lowercase();
    folder
        .chars()
        .filter(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '-' | '_'))
        .collect()
}

/// The image of a service; one that is built gets the name that Compose gives it.
#[must_use]
pub fn image_of(project: &str, tool: Tool, name: &str, service: &Value) -> String {
    let between = tool.separator();
    match service["image"].as_str() {
        Some(image) => image.to_owned(),
        None => format!("{project}{between}{name}"),
    }
}

/// What the engine knows of an image.
///
/// # Errors
/// Where it is not there, with how to get it.
pub fn inspect_image(name: &str, how: &str) -> Result<Image, AdoptError> {
    let mut command = Command::new("docker");
    command.args(["image", "inspect", "--", name]);
    let fail = |reason: String| AdoptError::Image {
        name: name.to_owned(),
        reason,
    };
    let text = answer(&mut command).map_err(|reason| {
        if reason.contains("No such image") {
            fail(format!("is not on this machine; {how}, then try again"))
        } else {
            fail(reason)
        }
    })?;
    let all: Value = serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
    Image::from_inspect(name, &all[0])
}

/// What a command prints; where it fails, what it says.
fn answer(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr)
        .trim()
        .replace('\n', " "))
}
