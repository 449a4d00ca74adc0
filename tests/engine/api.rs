//! The API itself: what outlives its caller, and what is bound to one life.

use crate::{POLITE, STUBBORN, Subject};
use anyhow::{Context, Result, ensure};
use planaria_e2e::docker::docker;
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Sends a request; the answer is the caller's to wait for, or not.
fn send(path: &str, body: &str) -> Result<UnixStream> {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let socket = host
        .strip_prefix("unix://")
        .unwrap_or("/var/run/docker.sock");
    let mut stream = UnixStream::connect(socket).with_context(|| socket.to_owned())?;
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    Ok(stream)
}

fn answer(mut stream: UnixStream) -> Result<(u16, String)> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status = text.split(' ').nth(1).context("no status")?.parse()?;
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

#[test]
fn a_call_outlives_its_caller() -> Result<()> {
    let it = Subject::running("engine-caller", &[], STUBBORN)?;
    let call = send(&format!("/containers/{}/restart?t=3", it.name), "")?;
    it.tells(&["kill 15"])?;
    // The caller is gone in the middle of the grace.
    drop(call);
    it.tells(&["kill 15", "kill 9", "die 137", "stop", "start", "restart"])
}

#[test]
fn an_exec_belongs_to_one_life() -> Result<()> {
    let it = Subject::running("engine-exec", &[], POLITE)?;
    let made = send(
        &format!("/containers/{}/exec", it.name),
        r#"{"Cmd": ["true"]}"#,
    )?;
    let (status, body) = answer(made)?;
    ensure!(status == 201, "{status}: {body}");
    let start = body.find('{').unwrap_or_default();
    let end = body.rfind('}').map_or(body.len(), |at| at + 1);
    let made: Value = serde_json::from_str(&body[start..end])?;
    let id = made["Id"].as_str().context("no id")?;
    docker(&["restart", "--time", "1", it.name])?;
    let (status, body) = answer(send(&format!("/exec/{id}/start"), r#"{"Detach": true}"#)?)?;
    ensure!(status == 404, "{status}: {body}");
    Ok(())
}
