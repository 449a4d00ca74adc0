//! The generator against golden files, and the secrets against a folder. `UPDATE_GOLDEN=1` refreshes the files.

#![allow(clippy::unwrap_used, reason = "a failing test says so by a panic")]

mod adopt;

use planaria_compose::secrets::Secrets;
use planaria_compose::{Places, generate};
use planaria_core::settings::{Sources, reference};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

fn sources(text: &str) -> Sources {
    Sources {
        ini: Some(("config.ini".to_owned(), text.to_owned())),
        env: Vec::new(),
    }
}

fn golden(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(
        expected == actual,
        "{} is not what is generated; look at the difference after UPDATE_GOLDEN=1 cargo test -p planaria-compose",
        path.display()
    );
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_root_config_is_the_reference() {
    golden(&here("../config.ini"), &reference());
}

#[test]
fn the_default_stack() {
    let text = generate(&sources(&reference()), &Places::default()).unwrap();
    golden(&here("tests/golden/default.yml"), &text);
}

#[test]
fn where_all_stand_for_election_all_have_the_socket_and_the_keys() {
    let text = "ELECTION_CANDIDATES = all\nHEALERS = 1\nSTORAGE_NODES = 1\nREPLICATION_FACTOR = 1\n\
                WRITE_QUORUM = 1\nWORKERS = 1\n";
    let text = generate(&sources(text), &Places::default()).unwrap();
    golden(&here("tests/golden/all.yml"), &text);
    let service = |name: &str| {
        let (_, rest) = text.split_once(&format!("\n  {name}:\n")).unwrap();
        rest.split("\n  ")
            .take_while(|part| part.starts_with(' '))
            .collect::<String>()
    };
    for name in ["worker-1", "storage-node-1", "console"] {
        let it = service(name);
        assert!(
            it.contains("docker.sock:/var/run/docker.sock"),
            "{name}: {it}"
        );
        assert!(it.contains("PLANARIA_HEALER_SECRET_FILE"), "{name}: {it}");
        assert!(it.contains("keys_all:/run/planaria:ro"), "{name}: {it}");
    }
    let plain = service("plain-1");
    assert!(!plain.contains("docker.sock"), "{plain}");
}

#[test]
fn another_stack_beside_it() {
    let text = "CONTAINER_PREFIX = pt-\nHEALERS = 1\nSTORAGE_NODES = 1\nREPLICATION_FACTOR = 1\nWRITE_QUORUM = 1\n\
                WORKERS = 1\nCONSOLE_PORT = 18080\nHEARTBEAT_TIMEOUT = 3s\nCHAOS_EXCLUDE = a$b, c\n";
    let places = Places {
        socket: "/run/user/1000/docker.sock".to_owned(),
        secrets: "/tmp/secrets".to_owned(),
    };
    let text = generate(&sources(text), &places).unwrap();
    golden(&here("tests/golden/beside.yml"), &text);
    assert!(
        text.contains("a$$b, c"),
        "Compose takes a single $ for a variable"
    );
}

#[test]
fn every_container_is_restrained_and_published_only_locally() {
    let text = generate(&sources(""), &Places::default()).unwrap();
    let containers = text.matches("container_name:").count();
    assert_eq!(containers, 12);
    for line in [
        "read_only: true",
        "- \"ALL\"",
        "restart: \"unless-stopped\"",
        "- \"no-new-privileges:true\"",
    ] {
        assert_eq!(text.matches(line).count(), containers, "{line}");
    }
    let published: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("127.0.0.1:"))
        .collect();
    assert_eq!(published.len(), 2 + 2 * 3 + 2 + 1 + 1);
    assert_eq!(
        text.matches("/var/run/docker.sock:/var/run/docker.sock")
            .count(),
        4
    );
}

#[test]
fn a_wrong_setting_generates_nothing_and_names_its_line() {
    let error = generate(
        &sources("HEALERS = 3\nSTORAGE_NODE = 3\n"),
        &Places::default(),
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "config.ini:2: STORAGE_NODE is no key; did you mean STORAGE_NODES?"
    );
}

#[test]
fn secrets_are_made_once_and_only_for_their_owner() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("secrets");
    let first = Secrets::ensure(&root).unwrap();
    assert_eq!(first.get("member_key").len(), 64);
    assert_eq!(first.get("storage_access_key").len(), 20);
    assert_eq!(Secrets::ensure(&root).unwrap(), first);

    let mut files = Vec::new();
    walk(&root, &mut files);
    for path in &files {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            mode,
            if path.is_dir() { 0o700 } else { 0o600 },
            "{}",
            path.display()
        );
    }
    let names: Vec<String> = files
        .iter()
        .map(|path| path.strip_prefix(&root).unwrap().display().to_string())
        .collect();
    for name in [
        "volumes/keys_healer/healer.key",
        "volumes/keys_storage/storage.json",
        "volumes/keys_chaos/management.url",
        "healer.env",
    ] {
        assert!(
            names.iter().any(|found| found == name),
            "{name} in {names:?}"
        );
    }
    assert!(
        !names
            .iter()
            .any(|name| name.starts_with("volumes/keys_member/healer")),
        "orders are the healers'"
    );
    let closers = names
        .iter()
        .filter(|name| name.ends_with("management.url"))
        .count();
    assert_eq!(closers, 1, "connections are closed by the monkey alone");

    // A secret that a later version needs is added; the others stay.
    let text = fs::read_to_string(root.join("secrets.json")).unwrap();
    let key = first.get("member_key");
    fs::write(
        root.join("secrets.json"),
        format!("{{\"member_key\": \"{key}\"}}"),
    )
    .unwrap();
    let second = Secrets::ensure(&root).unwrap();
    assert_eq!(second.get("member_key"), key);
    assert_ne!(second.get("healer_key"), first.get("healer_key"));
    assert_ne!(fs::read_to_string(root.join("secrets.json")).unwrap(), text);

    fs::write(root.join("secrets.json"), "{").unwrap();
    assert!(format!("{:#}", Secrets::ensure(&root).unwrap_err()).contains("is damaged"));
}

#[test]
fn an_adopted_stacks_secrets_are_fewer_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join(".planaria");
    let first = Secrets::ensure_adopted(&root, "shop-planaria-rabbitmq").unwrap();
    let text = fs::read_to_string(root.join("secrets.json")).unwrap();
    assert_eq!(Secrets::ensure_adopted(&root, "other").unwrap(), first);
    assert_eq!(fs::read_to_string(root.join("secrets.json")).unwrap(), text);
    assert_eq!(first.get("storage_secret_key"), "");
    let users = fs::read_to_string(root.join("member.env")).unwrap();
    assert!(
        users.contains("@other:5672"),
        "the address follows: {users}"
    );
    assert!(!users.contains(first.get("healer_password")), "{users}");
    let mut files = Vec::new();
    walk(&root, &mut files);
    for path in &files {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{}", path.display());
    }
    let members: Vec<_> = fs::read_dir(root.join("volumes/keys_member"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(members, ["member.key"], "orders are the healers'");
    assert_eq!(fs::read_to_string(root.join(".gitignore")).unwrap(), "*\n");
}

fn walk(path: &Path, found: &mut Vec<PathBuf>) {
    found.push(path.to_owned());
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), found);
        }
    }
}
