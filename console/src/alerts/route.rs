//! Where alerts go: webhooks, and a command. Each is sent once, tried again with back-off, and survives a
//! restart of the console, because what is to be sent stands in the database first.

use super::book::News;
use super::{Record, severity_of, severity_word};
use crate::store::alerts::{self as kept, Delivery};
use crate::store::{Store, now_ms};
use planaria_core::message::Severity;
use planaria_core::settings::Settings;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One try may take so long.
const WITHIN: Duration = Duration::from_secs(10);
/// Between tries: doubled each time.
const RETRY_MIN: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(300);
/// About two hours; then it is given up, and said so in the log.
const TRIES_MAX: u32 = 30;
/// How often what is due is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The shape that a receiver wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Generic,
    Slack,
    Apprise,
    Command,
}

/// One receiver.
#[derive(Clone, Debug)]
struct Route {
    name: &'static str,
    shape: Shape,
    to: String,
}

/// All receivers.
#[derive(Clone, Debug)]
pub struct Routes {
    routes: Vec<Route>,
    least: Severity,
    heartbeat: Option<(String, Duration)>,
}

impl Routes {
    /// As the settings say.
    ///
    /// # Errors
    /// What is wrong with them, and how to mend it.
    pub fn from_settings(settings: &Settings) -> Result<Self, String> {
        let least = severity_of(&settings.alert_severity).ok_or_else(|| {
            format!(
                "ALERT_SEVERITY: {} is none of low, medium, high, critical",
                settings.alert_severity
            )
        })?;
        let given = [
            (
                "webhook",
                "ALERT_WEBHOOK",
                Shape::Generic,
                &settings.alert_webhook,
            ),
            ("slack", "ALERT_SLACK", Shape::Slack, &settings.alert_slack),
            (
                "apprise",
                "ALERT_APPRISE",
                Shape::Apprise,
                &settings.alert_apprise,
            ),
            (
                "command",
                "ALERT_COMMAND",
                Shape::Command,
                &settings.alert_command,
            ),
        ];
        let mut routes = Vec::new();
        for (name, key, shape, to) in given {
            let Some(to) = to else { continue };
            if shape != Shape::Command {
                is_url(key, to)?;
            }
            routes.push(Route {
                name,
                shape,
                to: to.clone(),
            });
        }
        if let Some(url) = &settings.alert_heartbeat_url {
            is_url("ALERT_HEARTBEAT_URL", url)?;
        }
        let every = settings.alert_heartbeat_interval.max(LOOK_EVERY);
        Ok(Self {
            routes,
            least,
            heartbeat: settings.alert_heartbeat_url.clone().map(|url| (url, every)),
        })
    }

    /// What is to be sent about a change; nothing while it is silenced or too slight.
    #[must_use]
    pub fn deliveries(&self, record: &Record, news: News, now_ms: u64) -> Vec<Delivery> {
        let silenced = record.silenced_until_ms.is_some_and(|until| until > now_ms);
        if silenced || record.severity < self.least {
            return Vec::new();
        }
        let event = match news {
            News::Opened => "opened",
            News::Ended => "ended",
        };
        self.routes
            .iter()
            .map(|route| Delivery {
                key: format!(
                    "{}:{}:{}:{}:{event}",
                    route.name,
                    record.id,
                    record.count,
                    severity_word(record.severity)
                ),
                route: route.name.to_owned(),
                body: body(route.shape, record, event).to_string(),
                tries: 0,
            })
            .collect()
    }

    /// Sends what is due, for ever; asks the heartbeat's URL in its turn.
    pub async fn run(self, store: Store) {
        let mut beat_due = Instant::now();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some((url, every)) = &self.heartbeat
                && Instant::now() >= beat_due
            {
                beat_due = Instant::now() + *every;
                let url = url.clone();
                if let Err(error) = blocking(move || ask(&url)).await {
                    tracing::warn!(
                        event = "heartbeat_unsent",
                        "The dead man's heartbeat did not arrive: {error}"
                    );
                }
            }
            let due = match store.call(|db| kept::due(db, now_ms())).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::warn!(event = "deliveries_unread", "{error}");
                    continue;
                }
            };
            for delivery in due {
                self.deliver(&store, delivery).await;
            }
        }
    }

    async fn deliver(&self, store: &Store, delivery: Delivery) {
        let Some(route) = self
            .routes
            .iter()
            .find(|route| route.name == delivery.route)
        else {
            // It was configured away meanwhile.
            let _ = store.call(move |db| kept::done(db, &delivery.key)).await;
            return;
        };
        let (route, body) = (route.clone(), delivery.body.clone());
        let name = route.name;
        let sent = blocking(move || send(&route, &body)).await;
        let tries = delivery.tries + 1;
        let key = delivery.key;
        let kept = match sent {
            Ok(()) => store.call(move |db| kept::done(db, &key)).await,
            Err(error) if tries >= TRIES_MAX => {
                tracing::error!(
                    event = "alert_given_up",
                    route = name,
                    "{key} is given up after {tries} tries: {error}"
                );
                store.call(move |db| kept::done(db, &key)).await
            }
            Err(error) => {
                tracing::warn!(
                    event = "alert_unsent",
                    route = name,
                    "{key} did not arrive (try {tries}): {error}"
                );
                let wait = RETRY_MIN.saturating_mul(1 << tries.min(16)).min(RETRY_MAX);
                let next =
                    now_ms().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
                store.call(move |db| kept::later(db, &key, next)).await
            }
        };
        if let Err(error) = kept {
            tracing::warn!(event = "deliveries_unkept", "{error}");
        }
    }
}

fn is_url(key: &str, text: &str) -> Result<(), String> {
    if text.starts_with("http://") || text.starts_with("https://") {
        return Ok(());
    }
    // Not the text itself: such addresses hold secrets.
    Err(format!("{key} is no address; write https://…"))
}

fn body(shape: Shape, record: &Record, event: &str) -> Value {
    let title = match event {
        "ended" => format!("Over: {}", record.kind.replace('_', " ")),
        _ => format!(
            "{}: {}",
            severity_word(record.severity).to_uppercase(),
            record.kind.replace('_', " ")
        ),
    };
    let folded = record.members.len();
    let more = if folded > 0 {
        format!(" ({folded} symptoms folded in)")
    } else {
        String::new()
    };
    let text = format!("{}{more}", record.text);
    match shape {
        Shape::Generic | Shape::Command => json!({
            "version": 1, "event": event, "id": record.id, "root": record.root, "kind": record.kind,
            "severity": record.severity, "name": record.name, "text": record.text, "count": record.count,
            "state": record.state, "active": record.active, "opened_ms": record.opened_ms, "ended_ms": record.ended_ms,
            "members": record.members,
        }),
        Shape::Slack => json!({
            "text": format!("*{}* {}", plain(&title), plain(&text)),
            "attachments": [{
                "color": if event == "ended" { "good" } else if record.severity >= Severity::High { "danger" } else { "warning" },
                "fallback": plain(&title), "fields": [
                    {"title": "Alert", "value": record.id.to_string(), "short": true},
                    {"title": "About", "value": plain(record.name.as_deref().unwrap_or("the group")), "short": true},
                ],
            }],
        }),
        Shape::Apprise => json!({
            "title": title, "body": text, "format": "text",
            "type": match (event, record.severity) {
                ("ended", _) => "success",
                (_, Severity::Low) => "info",
                (_, Severity::Medium) => "warning",
                (_, Severity::High | Severity::Critical) => "failure",
            },
        }),
    }
}

/// Slack reads `<…>` and `&` as its own.
fn plain(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

async fn blocking(
    work: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> Result<(), String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(error.to_string()),
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(WITHIN))
        .max_redirects(3)
        .build()
        .into()
}

fn ask(url: &str) -> Result<(), String> {
    agent()
        .get(url)
        .call()
        .map(drop)
        .map_err(|error| error.to_string())
}

fn send(route: &Route, body: &str) -> Result<(), String> {
    if route.shape == Shape::Command {
        return command(&route.to, body);
    }
    agent()
        .post(&route.to)
        .header("content-type", "application/json")
        .send(body)
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Runs the command without a shell; one that takes too long is ended.
fn command(line: &str, body: &str) -> Result<(), String> {
    let mut words = line.split_whitespace();
    let program = words.next().ok_or("ALERT_COMMAND is empty")?;
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        // A program that does not read is no failure: the body fits into the pipe.
        let _ = input.write_all(body.as_bytes());
    }
    let until = Instant::now() + WITHIN;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("{program} ended with {status}")),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!(
                    "{program} did not end within {} s",
                    WITHIN.as_secs()
                ));
            }
            Err(error) => return Err(format!("{program}: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::fixture;
    use std::io::Read;
    use std::net::TcpListener;

    fn settings(key: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings::default();
        key(&mut settings);
        settings
    }

    #[test]
    fn settings_are_checked_before_the_first_alert() {
        let wrong = settings(|it| it.alert_severity = "loud".to_owned());
        assert!(Routes::from_settings(&wrong).unwrap_err().contains("loud"));
        let wrong = settings(|it| it.alert_slack = Some("hooks.example/secret".to_owned()));
        let error = Routes::from_settings(&wrong).unwrap_err();
        assert!(
            error.contains("ALERT_SLACK") && !error.contains("secret"),
            "{error}"
        );
    }

    #[test]
    fn each_receiver_gets_its_shape_and_slight_or_silenced_ones_nothing() {
        let settings = settings(|it| {
            it.alert_webhook = Some("http://a/".to_owned());
            it.alert_slack = Some("http://b/".to_owned());
            it.alert_apprise = Some("http://c/".to_owned());
        });
        let routes = Routes::from_settings(&settings).unwrap();
        let mut record = fixture::alert(Severity::Critical, "quarantined", "<plain-2>");
        let sent = routes.deliveries(&record, News::Opened, 1);
        assert_eq!(sent.len(), 3);
        let slack: Value = serde_json::from_str(&sent[1].body).unwrap();
        assert!(!slack["text"].as_str().unwrap().contains("<plain-2>"));
        assert_eq!(
            serde_json::from_str::<Value>(&sent[2].body).unwrap()["type"],
            "failure"
        );
        assert_eq!(
            serde_json::from_str::<Value>(&sent[0].body).unwrap()["severity"],
            "CRITICAL"
        );
        record.silenced_until_ms = Some(u64::MAX);
        assert!(routes.deliveries(&record, News::Opened, 1).is_empty());
        record.silenced_until_ms = None;
        record.severity = Severity::Low;
        assert!(routes.deliveries(&record, News::Opened, 1).is_empty());
    }

    /// Answers each connection with the next status, and gives what was posted.
    fn receiver(statuses: &'static [&'static str]) -> (String, std::sync::mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for status in statuses {
                let (mut stream, _) = listener.accept().unwrap();
                let mut text = String::new();
                let mut bytes = [0; 4096];
                while !text.contains("}\n") && !text.ends_with('}') {
                    let count = stream.read(&mut bytes).unwrap();
                    if count == 0 {
                        break;
                    }
                    text.push_str(&String::from_utf8_lossy(&bytes[..count]));
                }
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                .unwrap();
                send.send(text).unwrap();
            }
        });
        (address, receive)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_refused_one_is_tried_again_and_the_same_is_sent_once() {
        let (address, heard) = receiver(&["503 busy", "200 OK"]);
        let settings = settings(|it| it.alert_webhook = Some(address));
        let routes = Routes::from_settings(&settings).unwrap();
        let store = Store::open(None).unwrap();
        let record = fixture::alert(Severity::High, "member_dead", "worker-1");
        for _ in 0..2 {
            for delivery in routes.deliveries(&record, News::Opened, 1) {
                store
                    .call(move |db| kept::enqueue(db, &delivery, 1))
                    .await
                    .unwrap();
            }
        }
        let due = store.call(|db| kept::due(db, now_ms())).await.unwrap();
        assert_eq!(due.len(), 1, "the same twice is one");
        routes.deliver(&store, due[0].clone()).await;
        assert!(heard.recv().unwrap().contains("member_dead"));
        assert!(
            store
                .call(|db| kept::due(db, now_ms()))
                .await
                .unwrap()
                .is_empty(),
            "later"
        );
        let due = store
            .call(|db| kept::due(db, now_ms() + 600_000))
            .await
            .unwrap();
        assert_eq!(due[0].tries, 1);
        routes.deliver(&store, due[0].clone()).await;
        heard.recv().unwrap();
        assert!(
            store
                .call(|db| kept::due(db, now_ms() + 600_000))
                .await
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_command_gets_the_alert_and_its_failure_is_seen() {
        assert!(command("cat", "{}").is_ok());
        assert!(command("false", "{}").unwrap_err().contains("ended"));
        assert!(command("no-such-program-here", "{}").is_err());
    }
}
