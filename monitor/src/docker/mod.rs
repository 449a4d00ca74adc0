//! The container engine, by its API.

mod calls;
mod events;
mod translate;

pub(crate) use calls::Calls;
pub(crate) use events::watch;

use bollard::Docker;
use planaria_core::settings::Settings;
use std::time::Duration;

/// No single call may take longer: a late answer is worth less than a new look.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(2);

/// bollard's own limit per request, in seconds; ours is tighter and around it.
const CLIENT_TIMEOUT_S: u64 = 5;

/// The usual socket.
const SOCKET: &str = "unix:///var/run/docker.sock";

/// Why the engine is not reached. Nothing was changed by the attempt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DockerError {
    /// The address is none that is understood.
    #[error(
        "DOCKER_HOST = {address} is not understood: use unix:///path or tcp://host:port (no TLS here)"
    )]
    Address {
        /// As it was given.
        address: String,
    },
    /// There is no socket, or this user may not use it.
    #[error(
        "{address}: {reason}; give the container the socket (-v /var/run/docker.sock:/var/run/docker.sock) and its group"
    )]
    Socket {
        /// The engine's address.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// It did not answer.
    #[error("the Docker engine at {address} does not answer: {reason}")]
    Unreachable {
        /// The engine's address.
        address: String,
        /// What the client library says.
        reason: String,
    },
}

/// The engine's address: `DOCKER_HOST`, else the usual socket.
pub(crate) fn address(settings: &Settings) -> String {
    let given = settings.docker_host.clone().filter(|host| !host.is_empty());
    given.unwrap_or_else(|| SOCKET.to_owned())
}

/// Makes the client; nothing is sent yet.
pub(crate) fn client(settings: &Settings) -> Result<Docker, DockerError> {
    let address = address(settings);
    let version = bollard::API_DEFAULT_VERSION;
    let made = if let Some(path) = address.strip_prefix("unix://") {
        if let Err(error) = std::fs::metadata(path) {
            return Err(DockerError::Socket {
                reason: error.to_string(),
                address,
            });
        }
        Docker::connect_with_unix(path, CLIENT_TIMEOUT_S, version)
    } else if address.starts_with("tcp://") || address.starts_with("http://") {
        Docker::connect_with_http(&address, CLIENT_TIMEOUT_S, version)
    } else {
        return Err(DockerError::Address { address });
    };
    made.map_err(|error| DockerError::Unreachable {
        address,
        reason: error.to_string(),
    })
}

/// Connects to the engine and agrees on a version of its API.
///
/// # Errors
/// [`DockerError`]: no such address, no permission, no answer within five seconds.
pub async fn connect(settings: &Settings) -> Result<Docker, DockerError> {
    let address = address(settings);
    let client = client(settings)?;
    client.negotiate_version().await.map_err(|error| {
        let reason = error_chain(&error);
        if reason.contains("ermission denied") {
            DockerError::Socket { address, reason }
        } else {
            DockerError::Unreachable { address, reason }
        }
    })
}

/// An error with its causes: client libraries say the interesting half only in the cause.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(host: &str) -> Settings {
        Settings {
            docker_host: Some(host.to_owned()),
            ..Settings::default()
        }
    }

    #[test]
    fn the_usual_socket_is_the_default() {
        assert_eq!(address(&Settings::default()), SOCKET);
        assert_eq!(address(&with("")), SOCKET);
        assert_eq!(address(&with("tcp://proxy:2375")), "tcp://proxy:2375");
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let Err(missing) = client(&with("unix:///nonexistent.sock")) else {
            panic!("no such socket");
        };
        assert!(missing.to_string().contains("docker.sock"), "{missing}");
        let Err(strange) = client(&with("ssh://host")) else {
            panic!("no such scheme");
        };
        assert!(strange.to_string().contains("ssh://host"), "{strange}");
    }
}
