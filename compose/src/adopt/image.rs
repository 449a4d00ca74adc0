//! What an image says of itself, as `docker image inspect` prints it.

use super::AdoptError;
use serde_json::Value;

/// The part of an image that wrapping depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// `linux`, or another that the monitor does not run on.
    pub os: String,
    /// `amd64`, `arm64`, … in the engine's words.
    pub architecture: String,
    /// Exec form; a shell form is `/bin/sh -c …` here already.
    pub entrypoint: Vec<String>,
    /// Exec form.
    pub command: Vec<String>,
    /// The image's id: what its content is called.
    pub id: String,
}

impl Image {
    /// Reads one object of `docker image inspect`.
    ///
    /// # Errors
    /// Where it is none.
    pub fn from_inspect(name: &str, inspected: &Value) -> Result<Self, AdoptError> {
        let text = |key: &str| inspected[key].as_str().unwrap_or_default().to_owned();
        let words = |key: &str| {
            let list = inspected["Config"][key].as_array();
            let words = list.into_iter().flatten().filter_map(Value::as_str);
            words.map(str::to_owned).collect::<Vec<_>>()
        };
        let image = Self {
            os: text("Os"),
            architecture: text("Architecture"),
            entrypoint: words("Entrypoint"),
            command: words("Cmd"),
            id: text("Id"),
        };
        if image.os.is_empty() || !inspected["Config"].is_object() {
            return Err(AdoptError::Image {
                name: name.to_owned(),
                reason: "the engine's answer is none that we understand".into(),
            });
        }
        Ok(image)
    }
}
