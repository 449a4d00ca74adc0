//! Each hangs in its own way, is ended with evidence, and is back.

use crate::support::{Container, repository};
use anyhow::{Result, ensure};
use planaria_e2e::docker::{inspect, log};
use planaria_e2e::patience::{SOON, eventually};

/// Docker's own policy brings the container back after apoptosis.
fn restarted(container: &Container) -> Result<()> {
    let facts = inspect(container.name())?;
    let count = facts["RestartCount"].as_u64().unwrap_or(0);
    ensure!(count >= 1, "{} was not restarted", container.name());
    Ok(())
}

fn said(container: &Container, what: &str) -> Result<()> {
    let log = log(container.name())?;
    ensure!(log.contains(what), "no {what:?} in: {log}");
    Ok(())
}

const READY: &str = "/monitor ping --http http://127.0.0.1:9747/readyz";

#[test]
fn redis_that_is_stopped_in_its_tracks_is_back_by_dockers_policy() -> Result<()> {
    let words = [
        "--pulse-timeout",
        "2s",
        "--",
        "redis-server",
        "--supervised",
        "systemd",
        "--save",
        "",
    ];
    let redis = Container::run(
        "run-redis",
        &["--restart", "unless-stopped"],
        "planaria-test/redis",
        &words,
    )?;
    eventually("it said READY=1 and answers", SOON, || {
        said(&redis, "Ready to accept connections")?;
        redis.shell(READY)?;
        redis.shell("redis-cli ping")
    })?;
    redis.shell("kill -STOP $(pidof redis-server)")?;
    eventually("it hung, was ended and is back", SOON, || {
        restarted(&redis)?;
        redis.shell("redis-cli ping")
    })?;
    said(&redis, "Apoptosis: the child is stopped")?;
    said(&redis, "Post-mortem")
}

#[test]
fn redis_whose_event_loop_is_blocked_is_started_again_in_place() -> Result<()> {
    let words = [
        "--respawn",
        "--last-lines",
        "20",
        "--liveness",
        "periodSeconds=500ms,timeoutSeconds=2,failureThreshold=2,exec:redis-cli ping",
        "--",
        "redis-server",
        "--save",
        "",
        "--enable-debug-command",
        "yes",
    ];
    let redis = Container::run("run-redis-blocked", &[], "planaria-test/redis", &words)?;
    let first = eventually("it answers", SOON, || {
        redis.shell("redis-cli ping")?;
        redis.shell("pidof redis-server")
    })?;
    redis.shell("redis-cli debug sleep 600 >/dev/null 2>&1 &")?;
    eventually("another one answers", SOON, || {
        redis.shell("redis-cli ping")?;
        ensure!(redis.shell("pidof redis-server")? != first, "the same one");
        Ok(())
    })?;
    said(&redis, "its last lines")?;
    let facts = inspect(redis.name())?;
    ensure!(
        facts["RestartCount"] == 0,
        "in place: the container went on"
    );
    Ok(())
}

#[test]
fn nginx_whose_workers_hang_is_back() -> Result<()> {
    let liveness =
        "periodSeconds=500ms,timeoutSeconds=2,failureThreshold=2,initialDelaySeconds=1,http://:80/";
    let words = ["--liveness", liveness, "--", "nginx", "-g", "daemon off;"];
    let nginx = Container::run(
        "run-nginx",
        &["--restart", "always"],
        "planaria-test/web",
        &words,
    )?;
    eventually("it answers", SOON, || nginx.shell("http-check 80"))?;
    // The first process lives and the port accepts: nothing but a question shows that nobody answers.
    nginx.shell("kill -STOP $(pgrep -P $(pgrep -o nginx) || ps -C nginx -o pid= | tail -n +2)")?;
    eventually("it is back", SOON, || {
        restarted(&nginx)?;
        nginx.shell("http-check 80")
    })?;
    said(&nginx, "Apoptosis: the probe http://127.0.0.1:80/ failed")
}

#[test]
fn a_python_worker_in_a_deadlock_is_missed_by_its_pulse() -> Result<()> {
    let example = repository("docs/examples/worker.py").canonicalize()?;
    let mount = format!("{}:/worker.py:ro", example.display());
    let options = ["--restart", "on-failure", "--volume", &mount];
    let words = ["--pulse-timeout", "2s", "--", "python3", "-u", "/worker.py"];
    let worker = Container::run("run-python", &options, "planaria-test/worker", &words)?;
    eventually("it works and is ready", SOON, || {
        said(&worker, "job 2")?;
        worker.shell(READY)
    })?;
    worker.shell("kill -USR1 $(pidof python3)")?;
    eventually("its pulse was missed and it is back", SOON, || {
        restarted(&worker)?;
        worker.shell(READY)
    })?;
    said(&worker, "Apoptosis: the pulse \"child\"")
}

const ASYNCIO: &str = r#"
import asyncio, time

async def answer(reader, writer):
    line = await reader.readline()
    if b"/block" in line:
        time.sleep(600)  # what nobody should do in an event loop
    writer.write(b"HTTP/1.0 200 OK\r\n\r\nwell\n")
    writer.close()

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 8000)
    print("serving", flush=True)
    await server.serve_forever()

asyncio.run(main())
"#;

#[test]
fn an_asyncio_program_with_a_blocked_loop_is_found_by_its_probe() -> Result<()> {
    let liveness = "periodSeconds=500ms,timeoutSeconds=2,failureThreshold=2,http://:8000/health";
    let startup = "periodSeconds=500ms,failureThreshold=100,tcp:8000";
    let words = [
        "--respawn=transient",
        "--startup",
        startup,
        "--liveness",
        liveness,
        "--",
        "python3",
        "-c",
        ASYNCIO,
    ];
    let server = Container::run("run-asyncio", &[], "planaria-test/worker", &words)?;
    eventually("it answers", SOON, || server.shell("http-check 8000"))?;
    let first = server.shell("pidof python3")?;
    server.shell("(exec 3<>/dev/tcp/127.0.0.1/8000) 2>/dev/null; printf 'GET /block HTTP/1.0\\r\\n\\r\\n' | timeout 1 python3 -c 'import socket,sys; s=socket.create_connection((\"127.0.0.1\",8000)); s.sendall(sys.stdin.buffer.read())'")?;
    eventually("another one answers", SOON, || {
        server.shell("http-check 8000")?;
        ensure!(server.shell("pidof python3")? != first, "the same one");
        Ok(())
    })?;
    said(
        &server,
        "Apoptosis: the probe http://127.0.0.1:8000/health failed",
    )
}
