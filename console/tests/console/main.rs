//! The console over real HTTP, with a group of our own making.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use argon2::password_hash::SaltString;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use planaria_console::access::Door;
use planaria_console::alerts::book::{Act, Book, Now};
use planaria_console::alerts::cause::Condition;
use planaria_console::desk::Order;
use planaria_console::feed::Feed;
use planaria_console::server::{self, App};
use planaria_console::store::Store;
use planaria_console::{snapshot, store};
use planaria_core::message::{Outcome, Severity, Verb};
use planaria_core::status::Status;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// Generous: a loaded machine with two cores.
const STUCK: Duration = Duration::from_secs(20);

fn moment(seq: u64, term: u64) -> Arc<snapshot::Snapshot> {
    let status: Status = serde_json::from_value(serde_json::json!({
        "cluster": "planaria", "node": "console", "boot": "01", "leader": "healer-3", "term": term, "term_id": "02",
        "is_leader": false, "may_force": false,
        "members": [{"name": "healer-3", "state": "alive", "incarnation": "x", "candidate": true, "healer": true}],
        "broker": "connected", "docker": "none", "held": [], "incidents": [], "alerts": [], "tickets": 0,
        "elections": 1, "restarts_ordered": 0, "heartbeats": 1, "local_health": 0, "blind": false,
    }))
    .unwrap();
    let source = status.node.clone();
    let known = snapshot::Known {
        status,
        source,
        stale: false,
        stale_since_ms: None,
    };
    Arc::new(snapshot::Snapshot::new(seq, known, Arc::default()))
}

struct Console {
    address: SocketAddr,
    moments: watch::Sender<Arc<snapshot::Snapshot>>,
    asked: Arc<Mutex<Vec<Verb>>>,
    _folder: tempfile::TempDir,
}

const PASSWORD: &str = "open sesame";

/// The file that the console checks a password against; as cheap as argon2 gets.
fn login(folder: &Path) -> PathBuf {
    let cheap = Params::new(64, 1, 1, None).unwrap();
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, cheap);
    let salt = SaltString::encode_b64(b"0123456789abcdef").unwrap();
    let hash = hasher.hash_password(PASSWORD.as_bytes(), &salt).unwrap();
    let path = folder.join("login");
    std::fs::write(&path, hash.to_string()).unwrap();
    path
}

/// Answers for the desk, with one alert in its book.
fn obey(mut orders: mpsc::Receiver<Order>) {
    let mut book = Book::default();
    let now = Now {
        mono: Duration::ZERO,
        wall_ms: 1_700_000_000_000,
    };
    let one = Condition {
        root: "x".to_owned(),
        kind: "member_dead".to_owned(),
        severity: Severity::High,
        name: None,
        text: "x is dead".to_owned(),
        settle: Duration::ZERO,
        explained_by: Vec::new(),
    };
    book.observe(now, &[one]);
    tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            let change = book.act(now, order.id, &order.who, &order.act);
            let _ = order.reply.send(change.map(|change| change.record));
        }
    });
    // What a person can do with an alert has more than one name.
    let _: fn(u64) -> Act = Act::Silence;
}

async fn console() -> Console {
    let (moments, receive) = watch::channel(moment(1, 4));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Some(folder.path())).unwrap();
    let (orders_in, orders) = mpsc::channel(8);
    obey(orders);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&asked);
    let app = server::router(App {
        feed: Feed::new(receive),
        door: Arc::new(Door::new(Some(&login(folder.path())), store.clone()).unwrap()),
        store,
        orders: orders_in,
        ask: Arc::new(move |verb| {
            heard.lock().unwrap().push(verb);
            Box::pin(async {
                Outcome {
                    accepted: true,
                    text: "done".to_owned(),
                }
            })
        }),
        requests: Default::default(),
        refused: Default::default(),
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    Console {
        address,
        moments,
        asked,
        _folder: folder,
    }
}

impl Console {
    /// Posts JSON, and reads JSON.
    async fn post(&self, path: &str, headers: &str, body: &str) -> (u16, String, Value) {
        let length = body.len();
        let headers =
            format!("Content-Type: application/json\r\nContent-Length: {length}\r\n{headers}");
        let (code, head, body) = self.send(&format!("POST {path}"), &headers, body).await;
        (code, head, serde_json::from_str(&body).unwrap_or_default())
    }

    /// Logs in; the headers that a page then sends with each act.
    async fn log_in(&self) -> String {
        let (code, head, body) = self
            .post(
                "/api/v1/login",
                "",
                &format!(r#"{{"password":"{PASSWORD}"}}"#),
            )
            .await;
        assert_eq!(code, 200, "{head}");
        let cookie = head
            .lines()
            .find_map(|line| line.strip_prefix("set-cookie: "))
            .unwrap();
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
            "{cookie}"
        );
        let cookie = cookie.split(';').next().unwrap();
        format!(
            "Cookie: {cookie}\r\nX-Planaria-CSRF: {}\r\n",
            body["csrf"].as_str().unwrap()
        )
    }

    /// Asks without a body.
    async fn ask(&self, request: &str, headers: &str) -> (u16, String, String) {
        self.send(request, headers, "").await
    }

    /// Sends a request and reads the whole answer: status, head, body.
    async fn send(&self, request: &str, headers: &str, body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let text = format!(
            "{request} HTTP/1.1\r\nHost: console\r\nConnection: close\r\n{headers}\r\n{body}"
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(STUCK, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let code = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        (code, head.to_owned(), body.to_owned())
    }
}

/// Reads from an open event stream until the text is there.
async fn read_until(stream: &mut TcpStream, needle: &str) -> String {
    let mut text = String::new();
    let read = async {
        let mut bytes = [0; 4096];
        while !text.contains(needle) {
            let count = stream.read(&mut bytes).await.unwrap();
            assert!(count > 0, "the stream ended: {text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    };
    tokio::time::timeout(STUCK, read).await.unwrap();
    text
}

#[tokio::test]
async fn the_page_has_the_facts_and_a_strict_policy() {
    let console = console().await;
    let (code, head, body) = console.ask("GET /", "Accept: text/html\r\n").await;
    assert_eq!(code, 200);
    assert!(body.contains("healer-3") && body.contains("term 4"));
    for header in [
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
    for asset in ["/assets/app.css", "/assets/app.js", "/assets/icon.svg"] {
        assert_eq!(
            console.ask(&format!("GET {asset}"), "").await.0,
            200,
            "{asset}"
        );
    }
    let style = body
        .split('"')
        .find(|word| word.starts_with("/assets/app.css?v="))
        .unwrap();
    let (code, head, _) = console.ask(&format!("GET {style}"), "").await;
    assert!(code == 200 && head.contains("immutable"), "{head}");
    let (_, head, _) = console.ask("GET /assets/app.css?v=other", "").await;
    assert!(head.contains("cache-control: no-store"), "{head}");
}

#[tokio::test]
async fn whatever_acts_needs_a_login() {
    let console = console().await;
    for action in [
        "chaos/attack",
        "chaos/revert",
        "heal",
        "hold",
        "resume",
        "release",
        "fence",
        "elect",
        "alerts/1/resolve",
        "tokens",
        "logout",
    ] {
        let (code, head, body) = console
            .ask(&format!("POST /api/v1/{action}"), "Content-Length: 0\r\n")
            .await;
        assert_eq!(code, 401, "{action}");
        assert!(head.contains("www-authenticate"), "{head}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["error"], "unauthorized");
    }
    let (code, _, body) = console
        .ask("POST /api/v1/status", "Content-Length: 0\r\n")
        .await;
    assert_eq!(code, 405);
    assert!(serde_json::from_str::<Value>(&body).is_ok(), "{body}");
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_askers_language() {
    let console = console().await;
    let (code, _, body) = console.ask("GET /nowhere", "").await;
    assert_eq!(
        (
            code,
            serde_json::from_str::<Value>(&body).unwrap()["error"].clone()
        ),
        (404, "not_found".into())
    );
    let (code, _, body) = console.ask("GET /nowhere", "Accept: text/html\r\n").await;
    assert!(code == 404 && body.contains("Nothing grows here"));
    let (code, _, body) = console
        .ask("GET /api/v1/nowhere", "Accept: text/html\r\n")
        .await;
    assert!(code == 404 && serde_json::from_str::<Value>(&body).is_ok());
}

#[tokio::test]
async fn facts_are_there_for_programs() {
    let console = console().await;
    let status: Value =
        serde_json::from_str(&console.ask("GET /api/v1/status", "").await.2).unwrap();
    assert_eq!(
        (&status["leader"], &status["stale"]),
        (&"healer-3".into(), &false.into())
    );
    let incidents: Value =
        serde_json::from_str(&console.ask("GET /api/v1/incidents", "").await.2).unwrap();
    assert_eq!(incidents["incidents"], Value::Array(Vec::new()));
    let (code, _, metrics) = console.ask("GET /metrics", "").await;
    assert!(
        code == 200 && metrics.contains("planaria_console_clients 0"),
        "{metrics}"
    );
    assert_eq!(console.ask("GET /healthz", "").await.2, "ok\n");
}

#[tokio::test]
async fn changes_arrive_live_and_a_return_is_not_told_twice() {
    let console = console().await;
    let open = |seen: &'static str| async move {
        let mut stream = TcpStream::connect(console.address).await.unwrap();
        let text = format!("GET /events HTTP/1.1\r\nHost: console\r\n{seen}\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    };
    let mut stream = open("").await;
    let first = read_until(&mut stream, "id: 1").await;
    assert!(
        first.contains("event: regions") && first.contains("text/event-stream"),
        "{first}"
    );
    console.moments.send_replace(moment(2, 5));
    let second = read_until(&mut stream, "id: 2").await;
    assert!(second.contains("term 5"), "{second}");
    let again = read_until(&mut open("Last-Event-ID: 2\r\n").await, "data: ").await;
    assert!(again.contains("event: tick\ndata: -"), "{again}");
}

#[tokio::test]
async fn who_is_logged_in_acts_and_each_act_is_in_the_audit() {
    let console = console().await;
    let (code, _, body) = console
        .post("/api/v1/login", "", r#"{"password":"wrong"}"#)
        .await;
    assert_eq!(
        (code, body["error"].as_str()),
        (401, Some("wrong_password"))
    );
    let session = console.log_in().await;
    let heal = r#"{"name":"healer-3","dry_run":true}"#;
    let (code, _, body) = console.post("/api/v1/heal", &session, heal).await;
    assert_eq!((code, &body["dry_run"]), (200, &Value::Bool(true)));
    assert!(
        console.asked.lock().unwrap().is_empty(),
        "a dry run asks nobody"
    );
    let (code, _, body) = console
        .post("/api/v1/heal", &session, r#"{"name":"healer-3"}"#)
        .await;
    assert_eq!((code, &body["accepted"]), (200, &Value::Bool(true)));
    assert!(matches!(
        console.asked.lock().unwrap()[..],
        [Verb::Heal { .. }]
    ));
    let (code, _, text) = console.ask("GET /api/v1/audit", &session).await;
    let audit: Value = serde_json::from_str(&text).unwrap();
    let acts: Vec<&str> = audit["audit"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["act"].as_str().unwrap())
        .collect();
    assert_eq!((code, acts), (200, vec!["heal", "login", "login"]));
    assert_eq!(console.ask("GET /api/v1/audit", "").await.0, 401);
    assert_eq!(console.post("/api/v1/logout", &session, "{}").await.0, 200);
    assert_eq!(console.post("/api/v1/heal", &session, heal).await.0, 401);
}

#[tokio::test]
async fn a_cookie_without_the_pages_own_token_acts_not() {
    let console = console().await;
    let session = console.log_in().await;
    let cookie = session.lines().next().unwrap().to_owned() + "\r\n";
    let (code, _, body) = console.post("/api/v1/elect", &cookie, "{}").await;
    assert_eq!((code, body["error"].as_str()), (403, Some("forbidden")));
    let elsewhere = format!("{session}Origin: http://evil.example\r\n");
    assert_eq!(console.post("/api/v1/elect", &elsewhere, "{}").await.0, 403);
    assert_eq!(console.post("/api/v1/elect", &session, "{}").await.0, 200);
    assert_eq!(console.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_acts_for_a_program_until_it_is_withdrawn() {
    let console = console().await;
    let session = console.log_in().await;
    let (code, _, body) = console
        .post("/api/v1/tokens", &session, r#"{"name":"ci"}"#)
        .await;
    assert_eq!(code, 201);
    let bearer = format!(
        "Authorization: Bearer {}\r\n",
        body["token"].as_str().unwrap()
    );
    assert_eq!(
        console.post("/api/v1/chaos/attack", &bearer, "{}").await.0,
        200
    );
    assert!(matches!(
        console.asked.lock().unwrap()[..],
        [Verb::Attack { dry_run: false, .. }]
    ));
    let look = r#"{"fault":"pause","dry_run":true}"#;
    let (code, _, body) = console.post("/api/v1/chaos/attack", &bearer, look).await;
    assert_eq!(
        (code, body["text"].as_str()),
        (200, Some("The monkey would attack: done."))
    );
    assert!(
        matches!(
            console.asked.lock().unwrap()[..],
            [_, Verb::Attack { dry_run: true, .. }]
        ),
        "only the monkey knows whom it would hit"
    );
    assert_eq!(
        console
            .post("/api/v1/tokens", &bearer, r#"{"name":"more"}"#)
            .await
            .0,
        403,
        "a token makes no tokens"
    );
    assert_eq!(
        console.ask("DELETE /api/v1/tokens/ci", &session).await.0,
        204
    );
    assert_eq!(
        console.post("/api/v1/chaos/attack", &bearer, "{}").await.0,
        401
    );
}

#[tokio::test]
async fn alerts_are_acknowledged_noted_silenced_and_resolved() {
    let console = console().await;
    let session = console.log_in().await;
    for (what, body, state) in [
        ("acknowledge", "{}", "acknowledged"),
        ("note", r#"{"text":"it is the switch"}"#, "acknowledged"),
        ("silence", r#"{"for_s":60}"#, "acknowledged"),
        ("resolve", "{}", "resolved"),
    ] {
        let (code, _, alert) = console
            .post(&format!("/api/v1/alerts/1/{what}"), &session, body)
            .await;
        assert_eq!(
            (code, alert["state"].as_str()),
            (200, Some(state)),
            "{what}"
        );
    }
    assert_eq!(
        console
            .post("/api/v1/alerts/1/note", &session, "{}")
            .await
            .0,
        400
    );
    assert_eq!(
        console
            .post("/api/v1/alerts/99/resolve", &session, "{}")
            .await
            .0,
        404
    );
    assert_eq!(
        console
            .post("/api/v1/alerts/1/sing", &session, "{}")
            .await
            .0,
        404
    );
}

#[tokio::test]
async fn incidents_of_the_store_are_found_by_id_and_name() {
    let console = console().await;
    assert_eq!(console.ask("GET /api/v1/incidents/none", "").await.0, 404);
    assert_eq!(
        console.ask("GET /api/v1/incidents?limit=0", "").await.0,
        400
    );
    assert_eq!(
        console.ask("GET /api/v1/incidents?nonsense=1", "").await.0,
        400
    );
    let (code, _, body) = console
        .ask("GET /incidents/none", "Accept: text/html\r\n")
        .await;
    assert!(code == 404 && body.contains("Nothing grows here"));
    for path in [
        "/incidents",
        "/alerts",
        "/storage",
        "/chaos",
        "/account",
        "/members/healer-3",
        "/members/%3Cb%3E",
    ] {
        let (code, _, body) = console
            .ask(&format!("GET {path}"), "Accept: text/html\r\n")
            .await;
        assert!(
            code == 200 && body.contains("</html>") && !body.contains("<b>"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_or_too_long_are_refused() {
    let console = console().await;
    let session = console.log_in().await;
    assert_eq!(console.post("/api/v1/heal", &session, "{").await.0, 400);
    assert_eq!(
        console
            .post("/api/v1/heal", &session, r#"{"name":"a","evil":1}"#)
            .await
            .0,
        400
    );
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(20_000));
    assert_eq!(console.post("/api/v1/hold", &session, &long).await.0, 413);
    assert!(store::now_ms() > 0);
}
