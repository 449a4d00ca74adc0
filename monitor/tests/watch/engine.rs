//! The way to the engine: one that hangs, a proxy that lets through the least, TLS.

use crate::world::{Engine, IMAGE, Watcher, World, free_port, wait};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Passes everything on to the engine until it is told to hang: then nothing comes back, and nothing ends.
struct Hanging {
    hangs: Arc<AtomicBool>,
}

impl Hanging {
    fn start(socket: &Path, engine: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let hangs = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&hangs);
        let engine = engine.to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = UnixStream::connect(&engine).unwrap();
                let pairs = [
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server, client),
                ];
                for (from, to) in pairs {
                    let flag = Arc::clone(&flag);
                    std::thread::spawn(move || pass(from, to, &flag));
                }
            }
        });
        Self { hangs }
    }
}

fn pass(mut from: UnixStream, mut to: UnixStream, hangs: &AtomicBool) {
    let mut piece = [0; 16 * 1024];
    while let Ok(length) = from.read(&mut piece) {
        while hangs.load(Ordering::Relaxed) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        if length == 0 || to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

#[test]
fn an_engine_that_never_answers_is_cut_and_asked_again() {
    let world = World::new("hang");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("sock");
    let hanging = Hanging::start(&socket, &world.engine.dir.join("sock"));
    let victim = world.sleeper("victim", &[]);
    let host = format!("unix://{}", socket.display());
    let env = [("AUTOHEAL_CONTAINER_LABEL", world.label.as_str())];
    let watcher = Watcher::start(&host, &[], &env);
    watcher.wait_for_line("Watching 1 of");
    let docker = |wanted: &str| watcher.status()["docker"] == wanted;
    wait("the engine is there", || docker("connected"));
    hanging.hangs.store(true, Ordering::Relaxed);
    wait("it is seen that the engine hangs", || docker("down"));
    // Meanwhile it dies, and nobody is told.
    let old = world.engine.started(&victim);
    world.engine.docker(&["kill", &victim]);
    hanging.hangs.store(false, Ordering::Relaxed);
    world.engine.wait_for_new_life(&victim, &old);
    assert_eq!(watcher.ended(), None, "its own watchdog had no reason");
}

#[test]
fn through_the_socket_proxy_it_heals_and_nothing_else_is_possible() {
    let world = World::new("proxy");
    let image = format!("{}-image", world.label);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docker/socket-proxy");
    world.engine.docker(&[
        "build",
        "--quiet",
        "--network",
        "host",
        "--tag",
        &image,
        folder,
    ]);
    let socket = format!("{}/sock:/var/run/docker.sock", world.engine.dir.display());
    let proxy = world.name("proxy");
    world.engine.docker(&[
        "run",
        "--detach",
        "--name",
        &proxy,
        "--label",
        "planaria.test=watch",
        "--volume",
        &socket,
        &image,
    ]);
    let address = world.engine.inspect(&proxy)["NetworkSettings"]["IPAddress"]
        .as_str()
        .unwrap()
        .to_owned();
    let host = format!("tcp://{address}:2375");
    let ask = |method: &str, path: &str| -> String {
        let url = format!("http://{address}:2375/v1.41{path}");
        let output = Command::new("curl")
            .args([
                "--silent",
                "--output",
                "/dev/null",
                "--write-out",
                "%{http_code}",
                "--request",
                method,
            ])
            .args(["--path-as-is", &url])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    wait("the proxy answers", || ask("GET", "/_ping") == "200");

    let sick = world.checked("sick", &["--label", "planaria.unpause=true"]);
    let net = world.name("net");
    world.engine.docker(&["network", "create", &net]);
    world.engine.docker(&["network", "connect", &net, &sick]);
    let env = [
        ("AUTOHEAL_CONTAINER_LABEL", world.label.as_str()),
        ("WEBHOOK_URL", "http://127.0.0.1:9/"),
    ];
    let watcher = Watcher::start(&host, &[], &env);
    watcher.wait_for_line("Watching 1 of");
    let old = world.engine.started(&sick);
    world.sicken(&sick);
    world.engine.wait_for_new_life(&sick, &old);
    let old = world.engine.started(&sick);
    world.engine.docker(&["kill", &sick]);
    world.engine.wait_for_new_life(&sick, &old);
    watcher.wait_for_line("(restart 2)");
    world.engine.docker(&["pause", &sick]);
    wait("it is thawed", || world.engine.runs(&sick));
    world.engine.docker(&["network", "disconnect", &net, &sick]);
    wait("it is on its network again", || {
        !world.engine.inspect(&sick)["NetworkSettings"]["Networks"][&net].is_null()
    });
    for (method, path) in [
        ("POST", "/containers/create"),
        ("POST", &*format!("/containers/{sick}/stop")),
        ("POST", &*format!("/containers/{sick}/restart")),
        ("POST", &*format!("/containers/{sick}/exec")),
        ("POST", &*format!("/containers/{sick}/start/../exec")),
        ("GET", &*format!("/containers/{sick}/archive")),
        ("GET", &*format!("/containers/{sick}/export")),
        ("DELETE", &*format!("/containers/{sick}")),
        ("POST", "/build"),
        ("POST", "/images/create"),
        ("POST", "/networks/create"),
        ("GET", "/secrets"),
        ("GET", "/images/json"),
        ("POST", "/containers/json"),
    ] {
        assert_eq!(ask(method, path), "403", "{method} {path}");
    }
    // What the proxy saw is what the page lists, no more.
    let listed = include_str!("../../../docs/operations.md");
    let seen = world.engine.try_docker(&["logs", &proxy]);
    let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
    let calls: std::collections::BTreeSet<String> = seen
        .lines()
        .filter(|line| line.ends_with(" 200") || line.ends_with(" 204"))
        .filter_map(|line| line.split_once(' '))
        .map(|(method, rest)| {
            let path = rest.split([' ', '?']).next().unwrap_or_default();
            let mut parts: Vec<&str> = path
                .split('/')
                .filter(|part| !part.is_empty() && !part.starts_with("v1."))
                .collect();
            if parts.len() == 3 {
                parts[1] = "{id}";
            }
            format!("`{method} /{}`", parts.join("/"))
        })
        .collect();
    assert!(calls.len() > 8, "{calls:?}");
    for call in &calls {
        assert!(
            listed.contains(call),
            "{call} is not in docs/operations.md; seen: {calls:?}"
        );
    }
    world.engine.docker(&["rm", "--force", &sick, &proxy]);
    world.engine.docker(&["network", "rm", &net]);
}

/// An authority, and for each name a certificate signed by it.
fn certificates(folder: &Path) {
    let script = "
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca-key.pem -out ca.pem
for name in server client; do
    openssl req -newkey rsa:2048 -nodes -subj /CN=$name -keyout $name-key.pem -out $name.csr
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\nextendedKeyUsage=serverAuth,clientAuth\\n' > ext
    openssl x509 -req -days 2 -in $name.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -extfile ext -out $name-cert.pem
done";
    let made = Command::new("sh")
        .args(["-e", "-c", script])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

#[test]
fn an_engine_behind_mutual_tls_is_watched_and_a_wrong_certificate_is_said() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let port = free_port();
    let listen = format!(
        "--host tcp://127.0.0.1:{port} --tlsverify --tlscacert {} --tlscert {} --tlskey {}",
        file("ca.pem"),
        file("server-cert.pem"),
        file("server-key.pem")
    );
    let engine = Engine::start(&[&listen]);
    let victim = "watch-tls-victim";
    engine.docker(&[
        "run",
        "--detach",
        "--init",
        "--network",
        "none",
        "--name",
        victim,
        "--label",
        "autoheal=true",
        IMAGE,
        "sleep",
        "infinity",
    ]);
    let host = format!("tcps://localhost:{port}");
    let (ca, cert, key) = (
        file("ca.pem"),
        file("client-cert.pem"),
        file("client-key.pem"),
    );
    let env = [
        ("CA", ca.as_str()),
        ("CLIENT_CERT", cert.as_str()),
        ("CLIENT_KEY", key.as_str()),
    ];
    let watcher = Watcher::start(&host, &[], &env);
    watcher.wait_for_line("Watching 1 of 1");
    let old = engine.started(victim);
    engine.docker(&["kill", victim]);
    engine.wait_for_new_life(victim, &old);
    // Another authority's engine is not believed.
    let other = tempfile::tempdir().unwrap();
    certificates(other.path());
    let wrong = other.path().join("ca.pem").display().to_string();
    let env = [
        ("CA", wrong.as_str()),
        ("CLIENT_CERT", cert.as_str()),
        ("CLIENT_KEY", key.as_str()),
    ];
    let fooled = Watcher::start(&host, &[], &env);
    fooled.wait_for_line("certificate");
    let missing = Watcher::start(
        &host,
        &[],
        &[
            ("CA", "/nonexistent/ca.pem"),
            ("CLIENT_CERT", "/b"),
            ("CLIENT_KEY", "/c"),
        ],
    );
    missing.wait_for_line("/nonexistent/ca.pem");
    wait("it ends", || missing.ended().is_some());
}
