//! Under systemd (`docs/planaria-watch.service`): the other end of our own `sd_notify`, with a real socket.

use crate::support::{PATIENCE, free_port, monitor, start};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};

const SIGTERM: i32 = 15;

fn message(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// The watcher, told of `notify` as systemd would with `WatchdogSec=0.2`. Its engine takes calls and never answers: a
/// service manager must not restart a watcher for that.
fn watcher_speaks(notify: &str, socket: &UnixDatagram) {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let engine = folder.path().join("docker.sock");
    let _listening = UnixListener::bind(&engine).unwrap();
    let mut command = monitor(free_port());
    command
        .arg("watch")
        .env("DOCKER_HOST", format!("unix://{}", engine.display()))
        .env("NOTIFY_SOCKET", notify)
        .env("WATCHDOG_USEC", "200000");
    let mut running = start(&mut command);
    assert_eq!(message(socket), "READY=1");
    for _ in 0..5 {
        assert_eq!(message(socket), "WATCHDOG=1");
    }
    running.signal(SIGTERM);
    assert!(running.end().success(), "{}", running.errors());
}

#[test]
fn a_watcher_says_that_it_is_ready_and_lives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    watcher_speaks(path.to_str().unwrap(), &socket);
}

#[test]
fn an_abstract_socket_is_one_too() {
    let name = format!("planaria-service-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    watcher_speaks(&format!("@{name}"), &socket);
}
