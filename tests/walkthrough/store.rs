//! Acceptance 8: a file survives the loss of a node in the middle of its life.

use anyhow::{Context, Result, ensure};
use planaria_e2e::clients::{Aws, random_file};
use planaria_e2e::docker::docker;
use planaria_e2e::stack::Stack;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

const BUCKET: &str = "walkthrough";

#[test]
fn fifty_megabytes_survive_the_loss_of_a_node() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let folder = tempfile::tempdir()?;
    let (up, down) = (folder.path().join("up.bin"), folder.path().join("down.bin"));
    let text = |path: &std::path::Path| {
        path.to_str()
            .map(str::to_owned)
            .context("the path is no text")
    };
    random_file(&up, 50)?;
    let first = Aws::new(&stack, 1)?;
    // A run before this one may have made it.
    if first
        .run(&["s3api", "head-bucket", "--bucket", BUCKET])
        .is_err()
    {
        first.run(&["s3", "mb", &format!("s3://{BUCKET}")])?;
    }
    let object = format!("s3://{BUCKET}/fifty.bin");
    std::thread::scope(|scope| {
        let upload = scope.spawn(|| first.copy(&text(&up)?, &object));
        docker(&["kill", &stack.name("storage-node-2")])?;
        upload
            .join()
            .map_err(|_| anyhow::anyhow!("the upload panicked"))?
    })?;
    Aws::new(&stack, 3)?.copy(&object, &text(&down)?)?;
    ensure!(
        std::fs::read(&up)? == std::fs::read(&down)?,
        "what came down is not what went up"
    );
    stack.settled()?;
    Aws::new(&stack, 2)?.copy(&object, &text(&down)?)?;
    ensure!(
        std::fs::read(&up)? == std::fs::read(&down)?,
        "the node that was lost gives other bytes"
    );
    first.run(&["s3", "rm", &object]).map(drop)
}

#[test]
fn a_person_with_a_plain_socket_gets_a_pong() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    for node in 1..=3 {
        let mut socket = TcpStream::connect(("127.0.0.1", stack.settings().line_port_base + node))?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        socket.write_all(b"NODE PING\n")?;
        let mut answer = String::new();
        BufReader::new(&socket).read_line(&mut answer)?;
        ensure!(answer.trim() == "PONG", "node {node} answered {answer:?}");
    }
    Ok(())
}
