//! The console over real HTTP, with a group of our own making.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use planaria_console::{feed::Feed, server, snapshot};
use planaria_core::status::Status;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

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
    Arc::new(snapshot::Snapshot::new(seq, known))
}

struct Console {
    address: SocketAddr,
    moments: watch::Sender<Arc<snapshot::Snapshot>>,
}

async fn console() -> Console {
    let (moments, receive) = watch::channel(moment(1, 4));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = server::router(Feed::new(receive));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Console { address, moments }
}

impl Console {
    /// Sends a request and reads the whole answer: status line, headers, body.
    async fn ask(&self, request: &str, headers: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let text =
            format!("{request} HTTP/1.1\r\nHost: console\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(STUCK, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let code = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        (code, head.to_ascii_lowercase(), body.to_owned())
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
}

#[tokio::test]
async fn whatever_acts_needs_a_login() {
    let console = console().await;
    for action in ["chaos/attack", "heal", "hold", "resume", "release", "elect"] {
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
