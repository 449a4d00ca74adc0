//! RabbitMQ's management API, as far as the monkey needs it: whose connections there are, and closing one.
//!
//! Its address, with user and password, stands in a file of the monkey's own (`management.url`, beside the
//! operator key): closing what others opened is an administrator's right in RabbitMQ, which nobody else holds.

use crate::percent;
use planaria_core::settings::Settings;
use serde::Deserialize;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// The file's name.
pub const FILE: &str = "management.url";
/// It answers in milliseconds; an attack that cannot be made is declined within seconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// Ten thousand connections, each in a line of a few hundred bytes.
const ANSWER_MAX: u64 = 8 << 20;
/// What is asked of each connection: all of them would be some kilobytes.
const COLUMNS: &str = "name,user_provided_name,peer_host";
/// The tag without which RabbitMQ closes only one's own.
const TAG: &str = "administrator";

/// Where it is, and as whom it is asked.
#[derive(Clone, PartialEq, Eq)]
pub struct Management {
    /// With user and password.
    url: String,
    /// Without them.
    place: String,
}

/// The address stays out of logs.
impl fmt::Debug for Management {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Management({})", self.place)
    }
}

impl fmt::Display for Management {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

/// Why RabbitMQ was not asked, or what it said. Nothing was changed, but for [`ManagementError::Slow`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManagementError {
    /// Nobody said where it is.
    #[error(
        "where RabbitMQ's management API is was not said: {FILE} beside OPERATOR_SECRET_FILE, or --management FILE, holds http://USER:PASSWORD@HOST:15672"
    )]
    Unknown,
    /// The file cannot be used.
    #[error("{file}: {why}; it holds http://USER:PASSWORD@HOST:15672")]
    File {
        /// Which.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// No answer.
    #[error("RabbitMQ's management API at {place} is not reached: {why}")]
    Away {
        /// Where.
        place: String,
        /// Why.
        why: String,
    },
    /// It was asked to do something and did not answer; whether it did it is not known.
    #[error("RabbitMQ's management API at {place} did not say whether it did it: {why}")]
    Slow {
        /// Where.
        place: String,
        /// Why.
        why: String,
    },
    /// It may not.
    #[error(
        "RabbitMQ's management API at {place} refuses ({status}): the user needs the tag {TAG}; after an upgrade the broker knows it from its next start on"
    )]
    Forbidden {
        /// Where.
        place: String,
        /// In HTTP's numbers.
        status: u16,
    },
    /// Something else.
    #[error("RabbitMQ's management API at {place} answers {what}")]
    Unusable {
        /// Where.
        place: String,
        /// What came.
        what: String,
    },
}

/// It, or why it is not known.
pub type Known = Result<Management, ManagementError>;

/// A connection, as RabbitMQ lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Connection {
    /// RabbitMQ's own name for it, from both addresses.
    pub name: String,
    /// What the client calls it.
    #[serde(default)]
    pub user_provided_name: String,
    /// Where it comes from.
    #[serde(default)]
    pub peer_host: String,
}

impl Management {
    /// Reads the file; without one, the file beside the operator key, where there is one.
    ///
    /// # Errors
    /// Where there is none, or it holds no address.
    pub fn find(file: Option<&Path>, settings: &Settings) -> Known {
        let beside = settings
            .operator_secret_file
            .as_deref()
            .and_then(Path::parent)
            .map(|folder| folder.join(FILE))
            .filter(|file| file.exists());
        let file = match (file, &beside) {
            (Some(file), _) => file,
            (None, Some(file)) => file.as_path(),
            (None, None) => return Err(ManagementError::Unknown),
        };
        let wrong = |why: String| ManagementError::File {
            file: file.display().to_string(),
            why,
        };
        let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        Self::parse(&text).ok_or_else(|| wrong("this is no such address".to_owned()))
    }

    fn parse(text: &str) -> Option<Self> {
        let url = text.trim().trim_end_matches('/');
        let (who, place) = url.strip_prefix("http://")?.rsplit_once('@')?;
        let whole = who.contains(':') && !place.is_empty() && !place.contains(['/', ' ', '?']);
        whole.then(|| Self {
            url: url.to_owned(),
            place: place.to_owned(),
        })
    }

    /// Whether it answers, and lets us close what others opened.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self) -> Result<(), ManagementError> {
        #[derive(Deserialize)]
        struct Me {
            #[serde(default)]
            tags: serde_json::Value,
        }
        let me: Me = self.json("/api/whoami")?;
        // A list since RabbitMQ 3.9, a text with commas before.
        let has = match &me.tags {
            serde_json::Value::Array(tags) => tags.iter().any(|tag| tag == TAG),
            serde_json::Value::String(tags) => tags.split(',').any(|tag| tag.trim() == TAG),
            _ => false,
        };
        if has {
            return Ok(());
        }
        Err(ManagementError::Forbidden {
            place: self.place.clone(),
            status: 401,
        })
    }

    /// Every connection that there is. One that has no name yet is left out: it has only just begun.
    ///
    /// # Errors
    /// Where it did not answer, or did not let us look.
    pub fn connections(&self) -> Result<Vec<Connection>, ManagementError> {
        let rows: Vec<serde_json::Value> =
            self.json(&format!("/api/connections?columns={COLUMNS}"))?;
        let rows = rows.into_iter();
        Ok(rows
            .filter_map(|row| serde_json::from_value(row).ok())
            .collect())
    }

    /// Closes one; fine where it is gone already.
    ///
    /// # Errors
    /// Where it did not let us; where it did not answer it may have done it ([`ManagementError::Slow`]).
    pub fn close(&self, name: &str) -> Result<(), ManagementError> {
        let path = format!("/api/connections/{}", percent::encode(name));
        self.ask("DELETE", &path).map(drop)
    }

    fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, ManagementError> {
        let bytes = self.ask("GET", path)?;
        serde_json::from_slice(&bytes).map_err(|error| self.unusable(error.to_string()))
    }

    fn unusable(&self, what: String) -> ManagementError {
        ManagementError::Unusable {
            place: self.place.clone(),
            what,
        }
    }

    fn ask(&self, method: &str, path: &str) -> Result<Vec<u8>, ManagementError> {
        let away = |error: ureq::Error| {
            let (place, why) = (self.place.clone(), error.to_string());
            if method != "GET" && may_have_heard(&error) {
                ManagementError::Slow { place, why }
            } else {
                ManagementError::Away { place, why }
            }
        };
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            // Stands in the broker's log beside the closed connection.
            .header("x-reason", "chaos-monkey")
            .body(())
            .map_err(|error| self.unusable(error.to_string()))?;
        let answer = agent.run(request).map_err(away)?;
        match answer.status().as_u16() {
            200..=299 => {}
            404 if method == "DELETE" => {}
            status @ (401 | 403) => {
                return Err(ManagementError::Forbidden {
                    place: self.place.clone(),
                    status,
                });
            }
            status => return Err(self.unusable(format!("{status}"))),
        }
        let body = answer.into_body().into_with_config().limit(ANSWER_MAX);
        body.read_to_vec().map_err(away)
    }
}

/// Whether the request may have reached it: a time-out, or a connection that broke.
fn may_have_heard(error: &ureq::Error) -> bool {
    use std::io::ErrorKind;
    match error {
        ureq::Error::Timeout(_) => true,
        ureq::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
                | ErrorKind::TimedOut
        ),
        _ => false,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::engine::EngineError;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    /// Answers each request with what `reply` gives for its first line, and remembers the heads.
    pub(crate) fn broker(
        reply: impl Fn(&str) -> (u16, String) + Send + 'static,
    ) -> (Management, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://chaos:secret@{}\n", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let head: Vec<String> = BufReader::new(&stream)
                    .lines()
                    .map(Result::unwrap)
                    .take_while(|line| !line.is_empty())
                    .collect();
                let (status, body) = reply(&head[0]);
                heard.lock().unwrap().push(head.join("\n"));
                let length = body.len();
                let text = format!(
                    "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                );
                (&stream).write_all(text.as_bytes()).unwrap();
            }
        });
        (Management::parse(&url).unwrap(), heads)
    }

    #[test]
    fn connections_are_listed_and_closed_by_their_name() {
        let list = r#"[{"name":"10.0.0.5:1 -> 10.0.0.2:5672","user_provided_name":"worker-1 0a","peer_host":"10.0.0.5"},{"name":"x"},{"user_provided_name":"worker-2 0b"},{"name":null},"?"]"#;
        let (management, heads) = broker(move |line| {
            if line.starts_with("DELETE") {
                (204, String::new())
            } else {
                (200, list.to_owned())
            }
        });
        let all = management.connections().unwrap();
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!(all[0].user_provided_name, "worker-1 0a");
        assert_eq!((all[1].name.as_str(), all[1].peer_host.as_str()), ("x", ""));
        management.close(&all[0].name).unwrap();
        let heads = heads.lock().unwrap();
        assert!(
            heads[1].starts_with("DELETE /api/connections/10.0.0.5%3A1%20-%3E%2010.0.0.2%3A5672 "),
            "{heads:?}"
        );
        // chaos:secret
        assert!(heads[1].contains("Basic Y2hhb3M6c2VjcmV0"), "{heads:?}");
        assert!(!format!("{management:?} {management}").contains("secret"));
    }

    #[test]
    fn what_is_missing_is_said_without_the_password() {
        let (management, _) = broker(|_| (401, "{}".to_owned()));
        let error = management.close("x").unwrap_err().to_string();
        assert!(error.contains("the tag administrator"), "{error}");
        let (management, _) = broker(|_| (200, r#"{"name":"c","tags":["monitoring"]}"#.to_owned()));
        assert!(matches!(
            management.check(),
            Err(ManagementError::Forbidden { .. })
        ));
        let (management, _) = broker(|_| (200, r#"{"tags":["administrator"]}"#.to_owned()));
        assert_eq!(management.check(), Ok(()));
        let nobody = Management::parse("http://chaos:secret@127.0.0.1:1").unwrap();
        let error = nobody.connections().unwrap_err().to_string();
        assert!(error.contains("127.0.0.1:1 is not reached"), "{error}");
        let away = nobody.close("x").unwrap_err();
        assert!(matches!(away, ManagementError::Away { .. }), "{away}");
        assert!(!error.contains("secret"), "{error}");
    }

    /// Nobody answers: the system takes the connection, and no more.
    #[test]
    fn a_question_unanswered_changed_nothing_and_an_order_unanswered_may_have() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://chaos:x@{}", listener.local_addr().unwrap());
        let management = Management::parse(&url).unwrap();
        let asked = management.connections().unwrap_err();
        assert!(matches!(asked, ManagementError::Away { .. }), "{asked}");
        let ordered = management.close("x").unwrap_err();
        assert!(matches!(ordered, ManagementError::Slow { .. }), "{ordered}");
        assert_eq!(EngineError::from(ordered), EngineError::Slow);
    }

    #[test]
    fn the_file_is_beside_the_operators_key_or_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        assert_eq!(
            Management::find(None, &settings),
            Err(ManagementError::Unknown)
        );
        settings.operator_secret_file = Some(folder.path().join("operator.key"));
        assert_eq!(
            Management::find(None, &settings),
            Err(ManagementError::Unknown)
        );
        let file = folder.path().join(FILE);
        std::fs::write(&file, "http://chaos:x@rabbitmq:15672\n").unwrap();
        let found = Management::find(None, &settings).unwrap();
        assert_eq!(found.to_string(), "rabbitmq:15672");
        let named = Management::find(Some(&file), &Settings::default());
        assert_eq!(named, Ok(found));
        for wrong in ["", "https://a:b@c", "http://c:15672", "http://a:b@c/d"] {
            std::fs::write(&file, wrong).unwrap();
            let error = Management::find(None, &settings).unwrap_err();
            assert!(matches!(error, ManagementError::File { .. }), "{wrong}");
        }
    }
}
