//! The container engine, by its API.

mod calls;
mod events;
mod known;
mod probe;
mod process_state;
mod recreate;
mod translate;

pub(crate) use calls::Calls;
pub(crate) use events::watch;
pub use recreate::Specification;
pub(crate) use translate::nanoseconds;

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
        "DOCKER_HOST = {address} is not understood: use unix:///path, tcp://host:port or tcps://host:port"
    )]
    Address {
        /// As it was given.
        address: String,
    },
    /// TLS was asked for and cannot be had.
    #[error("DOCKER_HOST = {address}: {reason}")]
    Tls {
        /// As it was given.
        address: String,
        /// Which file, and what is wrong with it.
        reason: String,
    },
    /// There is no socket, or this user may not use it.
    #[error("{address}: {reason}; {mend}")]
    Socket {
        /// What to do.
        mend: &'static str,
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

const NO_SOCKET: &str = "give the container the socket: --volume /var/run/docker.sock:/var/run/docker.sock (a rootless engine has its own at $XDG_RUNTIME_DIR/docker.sock: --volume that path:/var/run/docker.sock)";
const NO_PERMISSION: &str = "this user may not use the socket: run as root, or with its group (--group-add $(stat --format %g /var/run/docker.sock)); with userns-remap --userns=host, or use tcps://";
#[cfg(feature = "cli")]
const NO_ENGINE: &str = "there is a socket, and nobody answers at it: is the engine running? A socket that was mounted before the engine was restarted is a dead one: start this container anew";

/// The engine's address: `DOCKER_HOST`, else the usual socket. A bare path is a socket.
pub(crate) fn address(settings: &Settings) -> String {
    let given = settings.docker_host.clone().filter(|host| !host.is_empty());
    match given {
        Some(path) if path.starts_with('/') => format!("unix://{path}"),
        Some(address) => address,
        None => SOCKET.to_owned(),
    }
}

/// What is wrong with a socket, in words and with a mend, where something is.
#[cfg(feature = "cli")]
fn look_at_socket(address: &str, path: &str) -> Result<(), DockerError> {
    let wrong = |reason: String, mend| DockerError::Socket {
        mend,
        reason,
        address: address.to_owned(),
    };
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            std::io::ErrorKind::PermissionDenied => wrong(error.to_string(), NO_PERMISSION),
            std::io::ErrorKind::ConnectionRefused if std::path::Path::new(path).is_dir() => {
                wrong("it is a folder".to_owned(), NO_SOCKET)
            }
            std::io::ErrorKind::ConnectionRefused => wrong(error.to_string(), NO_ENGINE),
            _ => wrong(error.to_string(), NO_SOCKET),
        }),
    }
}

/// Whether the engine can be used at all, before anything is started: who cannot is told why at once.
///
/// # Errors
/// [`DockerError`], with the mend.
#[cfg(feature = "cli")]
pub(crate) fn look(settings: &Settings) -> Result<(), DockerError> {
    let address = address(settings);
    match address.strip_prefix("unix://") {
        Some(path) => look_at_socket(&address, path),
        None => client(settings).map(|_| ()),
    }
}

/// Makes the client; nothing is sent yet.
pub(crate) fn client(settings: &Settings) -> Result<Docker, DockerError> {
    let address = address(settings);
    let version = bollard::API_DEFAULT_VERSION;
    let made = if let Some(path) = address.strip_prefix("unix://") {
        if let Err(error) = std::fs::metadata(path) {
            return Err(DockerError::Socket {
                mend: NO_SOCKET,
                reason: error.to_string(),
                address,
            });
        }
        Docker::connect_with_unix(path, CLIENT_TIMEOUT_S, version)
    } else if wants_tls(settings, &address) {
        return with_tls(settings, address);
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

/// By its scheme, or because an authority is named for it.
fn wants_tls(settings: &Settings, address: &str) -> bool {
    address.starts_with("tcps://")
        || address.starts_with("https://")
        || address.starts_with("tcp://") && settings.docker_ca_file.is_some()
}

#[cfg(not(feature = "tls"))]
fn with_tls(_: &Settings, address: String) -> Result<Docker, DockerError> {
    let reason = "this build has no TLS".to_owned();
    Err(DockerError::Tls { address, reason })
}

/// The library's own way would trust every public authority besides the named one.
#[cfg(feature = "tls")]
fn with_tls(settings: &Settings, address: String) -> Result<Docker, DockerError> {
    use hyper_util::client::legacy::{Client, connect::HttpConnector};
    let files = crate::tls::Files {
        ca: settings.docker_ca_file.as_deref(),
        certificate: settings.docker_cert_file.as_deref(),
        key: settings.docker_key_file.as_deref(),
    };
    let mut plain = HttpConnector::new();
    plain.enforce_http(false);
    plain.set_connect_timeout(Some(CALL_DEADLINE));
    let connector = match crate::tls::engine(files, plain) {
        Ok(connector) => connector,
        Err(reason) => return Err(DockerError::Tls { address, reason }),
    };
    let client = Client::builder(hyper_util::rt::TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(connector);
    let client = std::sync::Arc::new(client);
    let host = address
        .rsplit_once("://")
        .map_or(&*address, |(_, host)| host);
    let transport = move |request: bollard::BollardRequest| {
        let client = std::sync::Arc::clone(&client);
        let answer: std::pin::Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
            client
                .request(request)
                .await
                .map_err(bollard::errors::Error::from)
        });
        answer
    };
    let version = bollard::API_DEFAULT_VERSION;
    let url = format!("https://{host}");
    Docker::connect_with_custom_transport(transport, Some(url), CLIENT_TIMEOUT_S, version).map_err(
        |error| DockerError::Tls {
            reason: error.to_string(),
            address,
        },
    )
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
            DockerError::Socket {
                mend: NO_PERMISSION,
                address,
                reason,
            }
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
