//! Acceptance 8: a file survives the loss of a node in the middle of its life. And the four tests
//! that the users of the store named, on real containers.

use anyhow::{Context, Result, ensure};
use planaria_e2e::clients::{Aws, random_file};
use planaria_e2e::docker::{docker, log, state};
use planaria_e2e::patience::{SOON, eventually};
use planaria_e2e::stack::Stack;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

const BUCKET: &str = "walkthrough";

fn text(path: &Path) -> Result<String> {
    let text = path.to_str().map(str::to_owned);
    text.context("the path is no text")
}

/// The AWS command line against a node, with the bucket there.
fn aws(stack: &Stack, node: u16) -> Result<Aws> {
    let aws = Aws::new(stack, node)?;
    // A run before this one may have made it.
    if aws
        .run(&["s3api", "head-bucket", "--bucket", BUCKET])
        .is_err()
    {
        aws.run(&["s3", "mb", &format!("s3://{BUCKET}")])?;
    }
    Ok(aws)
}

/// What a node of the store says of itself.
fn status(stack: &Stack, node: u16) -> Result<Value> {
    let name = stack.name(&format!("storage-node-{node}"));
    let text = docker(&["exec", &name, "/storage-node", "status", "--json"])?;
    serde_json::from_str(&text).with_context(|| format!("{name} answered {text:?}"))
}

/// Waits until all three nodes lack nothing and hold the very same chunks.
fn in_sync(stack: &Stack) -> Result<()> {
    eventually("all nodes in sync, with the same chunks", SOON, || {
        let mut digests = Vec::new();
        for node in 1..=3 {
            let status = status(stack, node)?;
            ensure!(status["in_sync"] == true, "node {node}: {status}");
            digests.push(status["digest"].clone());
        }
        digests.dedup();
        ensure!(digests.len() == 1, "digests {digests:?}");
        Ok(())
    })
}

/// Whether a node is seen as reachable by another.
fn reachable(stack: &Stack, by: u16, node: u16) -> Result<bool> {
    let status = status(stack, by)?;
    let name = stack.name(&format!("storage-node-{node}"));
    let lines = status["nodes"].as_array().context("no nodes")?;
    let line = lines.iter().find(|line| line["name"] == *name);
    Ok(line.with_context(|| format!("{name} is not in {status}"))?["reachable"] == true)
}

/// A node that was killed, and that the healers leave dead until this goes.
struct Dead<'s> {
    stack: &'s Stack,
    name: String,
}

impl<'s> Dead<'s> {
    fn kill(stack: &'s Stack, node: u16) -> Result<Self> {
        let dead = Self {
            stack,
            name: stack.name(&format!("storage-node-{node}")),
        };
        let reason = ["--for", "10m", "--reason", "the test needs it dead"];
        let mut hold = vec!["hold", dead.name.as_str()];
        hold.extend(reason);
        dead.ask(&hold)?;
        docker(&["kill", &dead.name])?;
        ensure!(state(&dead.name)? == "exited", "{} lives", dead.name);
        Ok(dead)
    }

    fn ask(&self, words: &[&str]) -> Result<String> {
        let healer = self.stack.name("healer-1");
        let mut command = vec!["exec", &healer, "/monitor"];
        command.extend(words);
        docker(&command)
    }

    /// Lets the healers bring it back, and waits until it has everything.
    fn heal(self) -> Result<()> {
        let stack = self.stack;
        drop(self);
        stack.settled()?;
        in_sync(stack)
    }
}

impl Drop for Dead<'_> {
    fn drop(&mut self) {
        let _ = self.ask(&["resume", &self.name]);
    }
}

/// A folder with files, up to 90 kB each: small ones live in Raft's log, larger ones in chunks.
fn folder(inside: &Path, name: &str, files: usize) -> Result<PathBuf> {
    let folder = inside.join(name);
    std::fs::create_dir(&folder)?;
    for n in 0..files {
        let mut body = vec![
            0;
            if n % 3 == 0 {
                500
            } else {
                30_000 * (n % 3 + 1)
            }
        ];
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut body)?;
        std::fs::write(folder.join(format!("file-{n}")), body)?;
    }
    Ok(folder)
}

/// Downloads what is under the prefix through a node, and compares it with the folder.
fn compare(stack: &Stack, node: u16, prefix: &str, folder: &Path) -> Result<()> {
    let down = tempfile::tempdir()?;
    let from = format!("s3://{BUCKET}/{prefix}");
    Aws::new(stack, node)?.sync(&from, &text(down.path())?)?;
    let names = |dir: &Path| -> Result<Vec<_>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            names.push(entry?.file_name());
        }
        names.sort();
        Ok(names)
    };
    ensure!(
        names(folder)? == names(down.path())?,
        "node {node} has other files"
    );
    for name in names(folder)? {
        ensure!(
            std::fs::read(folder.join(&name))? == std::fs::read(down.path().join(&name))?,
            "{} is another through node {node}",
            name.display()
        );
    }
    Ok(())
}

#[test]
fn basic_replication() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let work = tempfile::tempdir()?;
    let up = folder(work.path(), "basic", 12)?;
    let to = format!("s3://{BUCKET}/basic");
    aws(&stack, 1)?.sync(&text(&up)?, &to)?;
    in_sync(&stack)?;
    for node in 1..=3 {
        compare(&stack, node, "basic", &up)?;
        let status = status(&stack, node)?;
        ensure!(
            status["chunks"].as_u64() >= Some(8),
            "node {node}: {status}"
        );
    }
    aws(&stack, 2)?.run(&["s3", "rm", "--recursive", "--only-show-errors", &to])?;
    Ok(())
}

#[test]
fn failure_detection() -> Result<()> {
    let stack = Stack::new()?;
    let settled = stack.settled()?;
    in_sync(&stack)?;
    ensure!(reachable(&stack, 1, 2)?, "it is reachable while it lives");
    let dead = Dead::kill(&stack, 2)?;
    eventually("the other nodes of the store see it", SOON, || {
        ensure!(!reachable(&stack, 1, 2)? && !reachable(&stack, 3, 2)?);
        ensure!(
            log(&stack.name("storage-node-1"))?
                .contains(&format!("Peer {} does not answer", dead.name))
        );
        Ok(())
    })?;
    eventually("the group's leader sees it", SOON, || {
        let status = stack.status_of(&settled.leader)?;
        let members = status["members"].as_array().cloned().unwrap_or_default();
        let member = members.iter().find(|member| member["name"] == *dead.name);
        let state = member.and_then(|member| member["state"].as_str());
        ensure!(state.is_some_and(|state| state != "alive"), "{state:?}");
        Ok(())
    })?;
    dead.heal()?;
    ensure!(reachable(&stack, 1, 2)? && reachable(&stack, 3, 2)?);
    Ok(())
}

#[test]
fn read_during_failure() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let work = tempfile::tempdir()?;
    let (before, during) = (
        folder(work.path(), "before", 6)?,
        folder(work.path(), "during", 6)?,
    );
    let to = |name: &str| format!("s3://{BUCKET}/{name}");
    aws(&stack, 1)?.sync(&text(&before)?, &to("before"))?;
    in_sync(&stack)?;
    let dead = Dead::kill(&stack, 3)?;
    for node in 1..=2 {
        compare(&stack, node, "before", &before)?;
    }
    // Writes go on too, and are read through the other one.
    Aws::new(&stack, 2)?.sync(&text(&during)?, &to("during"))?;
    compare(&stack, 1, "during", &during)?;
    dead.heal()?;
    compare(&stack, 3, "during", &during)?;
    for name in ["before", "during"] {
        let words = ["s3", "rm", "--recursive", "--only-show-errors"];
        aws(&stack, 1)?.run(&[&words[..], &[&to(name)]].concat())?;
    }
    Ok(())
}

#[test]
fn recovery_with_resync() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let work = tempfile::tempdir()?;
    let missed = folder(work.path(), "missed", 60)?;
    let to = format!("s3://{BUCKET}/missed");
    let first = aws(&stack, 1)?;
    in_sync(&stack)?;
    let dead = Dead::kill(&stack, 3)?;
    first.sync(&text(&missed)?, &to)?;
    let owed = status(&stack, 1)?["owed"].as_u64();
    ensure!(owed >= Some(40), "{owed:?} chunks are owed");
    // Overwritten and deleted ones are among what it missed.
    std::fs::write(missed.join("file-4"), b"overwritten")?;
    std::fs::remove_file(missed.join("file-5"))?;
    first.copy(&text(&missed.join("file-4"))?, &format!("{to}/file-4"))?;
    first.run(&["s3", "rm", "--only-show-errors", &format!("{to}/file-5")])?;
    dead.heal()?;
    // All of it is its own: it is read with another one dead.
    let other = Dead::kill(&stack, 1)?;
    compare(&stack, 3, "missed", &missed)?;
    other.heal()?;
    first.run(&["s3", "rm", "--recursive", "--only-show-errors", &to])?;
    Ok(())
}

#[test]
fn fifty_megabytes_survive_the_loss_of_a_node() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let folder = tempfile::tempdir()?;
    let (up, down) = (folder.path().join("up.bin"), folder.path().join("down.bin"));
    random_file(&up, 50)?;
    let first = aws(&stack, 1)?;
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
