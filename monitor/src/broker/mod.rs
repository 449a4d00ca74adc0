//! The broker, by AMQP 0-9-1.
//!
//! lapin can recover connections by itself; that is not used here. A silent recovery would take the
//! token again without the core's knowledge, so every loss is said, and every connection is new.

#[cfg(feature = "cli")]
mod journal;
mod mandatory;
mod operations;
mod orders;
mod publisher;
mod session;
mod token;

#[cfg(feature = "cli")]
pub(crate) use journal::read as read_journal;
pub(crate) use mandatory::Letter;
pub use publisher::{PublishError, Publisher};
pub(crate) use session::{Command, Driver};

use lapin::types::ShortString;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{AsyncTcpStream, Connection, ConnectionProperties, ErrorKind};
use planaria_core::settings::Settings;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;

/// The exchange that everything goes through.
pub const EXCHANGE: &str = "control_exchange";
/// The queue that holds the token of leadership.
pub const TOKEN_QUEUE: &str = "planaria.token";
/// The stream that holds the journal of incidents, alerts and attacks.
pub const JOURNAL_QUEUE: &str = "planaria.journal";

/// Connecting to a stopped broker would hang for ever: its kernel still answers.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// lapin keeps buffers of about sixty frames: the usual 128 KiB would cost 8 MiB.
const FRAME_MAX: u32 = 8192;
/// Between attempts, doubled each time, drawn between half and whole.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Why there is no connection. Nothing was changed by the attempt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The address is no AMQP address.
    #[error("AMQP_URLS: {reason}; write amqp://USER:PASSWORD@HOST:5672/%2f")]
    Address {
        /// What is wrong with it; never the address itself, which holds a password.
        reason: String,
    },
    /// The address asks for TLS.
    #[error(
        "AMQP_URLS: amqps:// is not built into this monitor; use amqp:// inside a private network, or a TLS tunnel"
    )]
    Tls,
    /// No TCP connection.
    #[error("the broker at {host}:{port} cannot be reached: {reason}")]
    Unreachable {
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
        /// What the system says.
        reason: String,
    },
    /// A TCP connection stands, but the handshake does not come to an end: the broker hangs or boots.
    #[error("the broker at {host}:{port} takes connections but does not speak: {reason}")]
    Handshake {
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
        /// What happened instead.
        reason: String,
    },
    /// The broker answered, and refused: user, password or vhost.
    #[error("the broker at {host}:{port} refuses user {user}: {reason}; see AMQP_URLS")]
    Refused {
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
        /// Who asked.
        user: String,
        /// The broker's words.
        reason: String,
    },
    /// It was connected, and something it was asked for failed.
    #[error("{what}: {reason}")]
    Failed {
        /// What was being done.
        what: &'static str,
        /// The client library's words.
        reason: String,
    },
}

impl BrokerError {
    pub(crate) fn failed(what: &'static str) -> impl FnOnce(lapin::Error) -> Self {
        move |error| Self::Failed {
            what,
            reason: error.to_string(),
        }
    }
}

fn parse(url: &str, settings: &Settings) -> Result<AMQPUri, BrokerError> {
    let mut uri: AMQPUri = url
        .parse()
        .map_err(|reason| BrokerError::Address { reason })?;
    if uri.scheme == AMQPScheme::AMQPS {
        return Err(BrokerError::Tls);
    }
    let heartbeat = u16::try_from(settings.amqp_heartbeat.as_secs()).unwrap_or(u16::MAX);
    uri.query.heartbeat = Some(heartbeat.max(1));
    uri.query.frame_max = Some(FRAME_MAX);
    Ok(uri)
}

/// Connects once, within five seconds; `label` is shown in the broker's management page.
///
/// # Errors
/// [`BrokerError`]; a refusal is told apart from a broker that hangs.
pub async fn connect(
    url: &str,
    settings: &Settings,
    label: &str,
) -> Result<Connection, BrokerError> {
    dial(url, settings, label)
        .await
        .map(|(connection, _)| connection)
}

/// A second handle on a connection's socket, by which it can be ended whatever the library still waits for.
struct Line(OwnedFd);

impl Line {
    /// The broker sees the end at once and gives what was held here, the token above all, to others. Letting
    /// go of the library's handles is not enough: a call that was cut off in the middle keeps them.
    fn cut(&self) {
        // Not connected any more is as good.
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }
}

/// [`connect`], and what ends the connection for certain.
async fn dial(
    url: &str,
    settings: &Settings,
    label: &str,
) -> Result<(Connection, Line), BrokerError> {
    let uri = parse(url, settings)?;
    let (host, port) = (uri.authority.host.clone(), uri.authority.port);
    let unreachable = |reason: String| BrokerError::Unreachable {
        host: host.clone(),
        port,
        reason,
    };
    let tcp = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host.as_str(), port)));
    let stream = match tcp.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_) => return Err(unreachable("no answer".into())),
    };
    let _ = stream.set_nodelay(true);
    // A second handle on the socket: when the handshake hangs, closing it ends lapin's own thread.
    let line = Line(rustix::io::dup(&stream).map_err(|error| unreachable(error.to_string()))?);
    let ready = Mutex::new(Some(stream));
    let take = async move |_: AMQPUri, _: async_rs::Runtime<async_rs::Tokio>| {
        let stream = ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        let stream = stream.ok_or_else(|| std::io::Error::other("one connection, one attempt"))?;
        Ok::<_, lapin::Error>(AsyncTcpStream::Plain(async_compat::Compat::new(stream)))
    };
    let user = uri.authority.userinfo.username.clone();
    let properties = ConnectionProperties::default().with_connection_name(label.into());
    let runtime = async_rs::Runtime::tokio_current();
    let handshake = Connection::connector(uri, runtime, take, properties);
    match tokio::time::timeout(CONNECT_TIMEOUT, handshake).await {
        Ok(Ok(connection)) => Ok((connection, line)),
        Ok(Err(error)) => match error.kind() {
            ErrorKind::ProtocolError(_) | ErrorKind::AuthProviderError(_) => {
                Err(BrokerError::Refused {
                    host,
                    port,
                    user,
                    reason: error.to_string(),
                })
            }
            _ => Err(BrokerError::Handshake {
                host,
                port,
                reason: error.to_string(),
            }),
        },
        Err(_) => {
            line.cut();
            Err(BrokerError::Handshake {
                host,
                port,
                reason: format!("no answer for {} s", CONNECT_TIMEOUT.as_secs()),
            })
        }
    }
}

/// Waits between attempts: doubled each time up to a cap, jittered, without an end.
struct Backoff(Duration);

impl Backoff {
    fn new() -> Self {
        Self(RETRY_MIN)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.0.mul_f64(rand::random_range(0.5..1.0))).await;
        self.0 = (self.0 * 2).min(RETRY_MAX);
    }
}

/// A routing key as AMQP wants it.
fn short(text: &str) -> ShortString {
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_before_anything_is_sent() {
        let settings = Settings::default();
        assert!(matches!(
            parse("amqps://user:secret@host", &settings),
            Err(BrokerError::Tls)
        ));
        let Err(error) = parse("http://user:secret@host", &settings) else {
            panic!("no AMQP address");
        };
        assert!(!error.to_string().contains("secret"), "{error}");
        let uri = parse("amqp://user:secret@host/%2f", &settings).unwrap();
        assert_eq!(uri.query.frame_max, Some(FRAME_MAX));
        assert_eq!(uri.query.heartbeat, Some(2));
        assert_eq!(uri.vhost, "/");
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn a_closed_port_is_unreachable_and_a_mute_one_hangs() {
        let settings = Settings::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("amqp://user:secret@127.0.0.1:{port}/%2f");
        // It takes the connection and hangs up: no handshake.
        let peer = std::thread::spawn(move || drop(listener.accept()));
        let Err(error) = block_on(connect(&url, &settings, "test")) else {
            panic!("nobody speaks AMQP there");
        };
        assert!(matches!(error, BrokerError::Handshake { .. }), "{error}");
        peer.join().unwrap();
        let Err(error) = block_on(connect(&url, &settings, "test")) else {
            panic!("nobody listens there");
        };
        assert!(matches!(error, BrokerError::Unreachable { .. }), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
