//! The clients that people have, unmodified. `scripts/clients all` installs them; `CLIENT_FILES`
//! says how many files the trees have.

use crate::client::{ACCESS, SECRET, bytes};
use crate::nodes::Nodes;
use std::path::{Path, PathBuf};
use std::process::Command;

fn files() -> usize {
    std::env::var("CLIENT_FILES").map_or(200, |count| count.parse().unwrap())
}

fn installed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/clients/bin")
        .join(name)
}

/// Runs a client with the keys in its environment, and gives what it printed.
fn run(program: impl AsRef<std::ffi::OsStr>, work: &Path, node: &str, words: &[&str]) -> String {
    let endpoint = format!("http://{node}");
    let output = Command::new(program.as_ref())
        .args(words)
        .current_dir(work)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LANG", "C.UTF-8")
        .env("HOME", work)
        .env("WORK", work)
        .env("AWS_ACCESS_KEY_ID", ACCESS)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_ENDPOINT_URL", &endpoint)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("RCLONE_CONFIG_STORE_TYPE", "s3")
        .env("RCLONE_CONFIG_STORE_PROVIDER", "Other")
        .env("RCLONE_CONFIG_STORE_ENV_AUTH", "true")
        .env("RCLONE_CONFIG_STORE_ENDPOINT", &endpoint)
        .env("RESTIC_REPOSITORY", format!("s3:{endpoint}/restic"))
        .env("RESTIC_PASSWORD", "for a test")
        .output()
        .unwrap_or_else(|error| {
            let name = program.as_ref().to_string_lossy().into_owned();
            panic!("{name}: {error}; scripts/clients all installs it")
        });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{words:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// A tree of small files with a few larger ones and names that are hard to write.
fn tree(work: &Path) -> PathBuf {
    let root = work.join("tree");
    for n in 0..files() {
        let folder = root
            .join(format!("folder {}", n % 13))
            .join(format!("{}", n % 5));
        std::fs::create_dir_all(&folder).unwrap();
        let size = if n.is_multiple_of(97) {
            300_000
        } else {
            n % 4000
        };
        let name = format!("file {n} + & ü %.bin");
        std::fs::write(folder.join(name), bytes(size, n as u64)).unwrap();
    }
    root
}

fn same(one: &Path, other: &Path) {
    let words = ["--recursive".as_ref(), one.as_os_str(), other.as_os_str()];
    let diff = Command::new("diff").args(words).output().unwrap();
    assert!(
        diff.status.success(),
        "{}",
        String::from_utf8_lossy(&diff.stdout)
    );
}

#[test]
fn boto3_does_what_it_does_elsewhere() {
    let nodes = Nodes::start();
    let work = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/clients.py");
    let endpoint = format!("http://{}", nodes.all[1].s3);
    let words = [script.to_str().unwrap(), &endpoint, &files().to_string()];
    run(installed("python"), work.path(), &nodes.all[1].s3, &words);
}

#[test]
fn the_aws_command_line_syncs_a_tree_both_ways() {
    let nodes = Nodes::start();
    let work = tempfile::tempdir().unwrap();
    let root = tree(work.path());
    let aws = |words: &[&str]| run(installed("aws"), work.path(), &nodes.all[0].s3, words);
    aws(&["s3", "mb", "s3://cli"]);
    aws(&["s3", "sync", "--only-show-errors", "tree", "s3://cli/tree"]);
    assert_eq!(
        aws(&["s3", "sync", "tree", "s3://cli/tree"]),
        "",
        "nothing is new"
    );
    let listed = aws(&["s3", "ls", "--recursive", "s3://cli/"]);
    assert_eq!(listed.lines().count(), files());
    aws(&["s3", "sync", "--only-show-errors", "s3://cli/tree", "down"]);
    same(&root, &work.path().join("down"));
    std::fs::write(work.path().join("big"), bytes(18 << 20, 4)).unwrap();
    aws(&["s3", "cp", "--only-show-errors", "big", "s3://cli/big"]);
    aws(&[
        "s3",
        "mv",
        "--only-show-errors",
        "s3://cli/big",
        "s3://cli/moved",
    ]);
    aws(&["s3", "cp", "--only-show-errors", "s3://cli/moved", "back"]);
    same(&work.path().join("big"), &work.path().join("back"));
    aws(&["s3api", "get-bucket-location", "--bucket", "cli"]);
    aws(&["s3", "rb", "--force", "s3://cli"]);
}

#[test]
fn rclone_copies_and_checks_a_tree() {
    let nodes = Nodes::start();
    let work = tempfile::tempdir().unwrap();
    let root = tree(work.path());
    let rclone = |words: &[&str]| run("rclone", work.path(), &nodes.all[2].s3, words);
    rclone(&["mkdir", "store:rclone"]);
    rclone(&["copy", "--transfers=8", "tree", "store:rclone/tree"]);
    rclone(&["check", "tree", "store:rclone/tree"]);
    rclone(&["check", "--download", "tree", "store:rclone/tree"]);
    rclone(&["copy", "store:rclone/tree", "down"]);
    same(&root, &work.path().join("down"));
    rclone(&["sync", "tree/folder 1", "store:rclone/tree"]);
    rclone(&["check", "tree/folder 1", "store:rclone/tree"]);
    rclone(&["purge", "store:rclone"]);
}

#[test]
fn s3cmd_puts_lists_tells_and_deletes() {
    let nodes = Nodes::start();
    let work = tempfile::tempdir().unwrap();
    let root = tree(work.path());
    let node = &nodes.all[0].s3;
    std::fs::write(
        work.path().join(".s3cfg"),
        format!(
            "[default]\naccess_key = {ACCESS}\nsecret_key = {SECRET}\nhost_base = {node}\n\
             host_bucket = {node}\nbucket_location = us-east-1\nuse_https = False\n\
             progress_meter = False\n"
        ),
    )
    .unwrap();
    let s3cmd = |words: &[&str]| run("s3cmd", work.path(), node, words);
    s3cmd(&["mb", "s3://s3cmd"]);
    s3cmd(&["sync", "--quiet", "tree/", "s3://s3cmd/tree/"]);
    std::fs::write(work.path().join("big"), bytes(17 << 20, 4)).unwrap();
    s3cmd(&["put", "--quiet", "big", "s3://s3cmd/big"]);
    assert!(s3cmd(&["info", "s3://s3cmd/big"]).contains("big"));
    assert!(s3cmd(&["info", "s3://s3cmd"]).contains("s3cmd"));
    s3cmd(&["get", "--quiet", "s3://s3cmd/big", "back"]);
    same(&work.path().join("big"), &work.path().join("back"));
    std::fs::create_dir(work.path().join("down")).unwrap();
    s3cmd(&["sync", "--quiet", "s3://s3cmd/tree/", "down/"]);
    same(&root, &work.path().join("down"));
    s3cmd(&["cp", "s3://s3cmd/big", "s3://s3cmd/copy"]);
    s3cmd(&["del", "--quiet", "--recursive", "--force", "s3://s3cmd/"]);
    s3cmd(&["rb", "s3://s3cmd"]);
}

#[test]
fn restic_backs_up_checks_and_restores() {
    let nodes = Nodes::start();
    let work = tempfile::tempdir().unwrap();
    let root = tree(work.path());
    let restic = |words: &[&str]| run("restic", work.path(), &nodes.all[1].s3, words);
    restic(&["init"]);
    restic(&["backup", "--quiet", "tree"]);
    std::fs::write(root.join("one more"), b"new").unwrap();
    restic(&["backup", "--quiet", "tree"]);
    restic(&["check", "--read-data"]);
    restic(&["restore", "latest", "--target", "restored"]);
    same(&root, &work.path().join("restored/tree"));
    restic(&["forget", "--keep-last", "1", "--prune"]);
    restic(&["check"]);
}
