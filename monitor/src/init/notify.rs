//! The other end of `sd_notify(3)`, which many programs speak already: `READY=1`, `WATCHDOG=1`,
//! `EXTEND_TIMEOUT_USEC=…`, `STOPPING=1`.

use crate::monitor::Monitor;
use crate::pulse::Pulse;
use planaria_core::message::LastWords;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One notification; systemd itself takes no more.
const MESSAGE_MAX: usize = 4096;
const STACK: usize = 64 * 1024;
/// No program may excuse itself for longer at a time.
const EXTEND_MAX: Duration = Duration::from_secs(3600);

/// A socket without a file, so that a read-only root does not matter. Its name cannot be guessed,
/// since containers with one network share these names.
pub(super) struct Socket {
    socket: UnixDatagram,
    name: String,
}

impl Socket {
    /// As `NOTIFY_SOCKET` wants it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

pub(super) fn bind() -> io::Result<Socket> {
    let name = format!("planaria-notify-{:016x}", rand::random::<u64>());
    let address = SocketAddr::from_abstract_name(name.as_bytes())?;
    Ok(Socket {
        socket: UnixDatagram::bind_addr(&address)?,
        name: format!("@{name}"),
    })
}

/// What a line of a notification wants.
#[derive(Debug, PartialEq, Eq)]
enum Notice {
    Ready,
    Alive,
    Trigger,
    Extend(Duration),
    Stopping,
}

fn read(line: &str) -> Option<Notice> {
    match line {
        "READY=1" => Some(Notice::Ready),
        "WATCHDOG=1" => Some(Notice::Alive),
        "WATCHDOG=trigger" => Some(Notice::Trigger),
        "STOPPING=1" => Some(Notice::Stopping),
        _ => {
            let microseconds = line.strip_prefix("EXTEND_TIMEOUT_USEC=")?.parse().ok()?;
            Some(Notice::Extend(
                Duration::from_micros(microseconds).min(EXTEND_MAX),
            ))
        }
    }
}

/// Listens on a thread of its own. The child's pulse is judged from its first `WATCHDOG=1` on; it is
/// unready from its first word other than `READY=1` until that one comes.
pub(super) fn listen(socket: Socket, monitor: &Monitor, deadline: Duration) -> io::Result<()> {
    let pulse = monitor.pulses().register("child", "pulse", deadline);
    let spoke = Arc::new(AtomicBool::new(false));
    let ready = Arc::new(AtomicBool::new(false));
    let shown = (Arc::clone(&spoke), Arc::clone(&ready));
    monitor.add_readiness("notify", move || {
        if shown.1.load(Ordering::Relaxed) || !shown.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err("the program speaks sd_notify and has not said READY=1".into())
    });
    let apoptosis = Arc::clone(monitor.apoptosis());
    let work = move || {
        let mut buffer = [0; MESSAGE_MAX];
        while let Ok(length) = socket.socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]);
            for notice in text.lines().filter_map(read) {
                spoke.store(true, Ordering::Relaxed);
                if notice == Notice::Trigger {
                    apoptosis.end(&LastWords {
                        pulse: "child".into(),
                        late_ms: 0,
                        reason: "pulse".into(),
                    });
                }
                take(&notice, &pulse, &ready);
            }
        }
    };
    std::thread::Builder::new()
        .name("notify".into())
        .stack_size(STACK)
        .spawn(work)
        .map(drop)
}

fn take(notice: &Notice, pulse: &Pulse, ready: &AtomicBool) {
    match notice {
        Notice::Ready => ready.store(true, Ordering::Relaxed),
        Notice::Alive => pulse.pulse(),
        Notice::Extend(span) => pulse.extend(*span),
        Notice::Stopping => {
            ready.store(false, Ordering::Relaxed);
            pulse.rest();
        }
        Notice::Trigger => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_strange_ones_ignored() {
        assert_eq!(read("READY=1"), Some(Notice::Ready));
        assert_eq!(read("WATCHDOG=1"), Some(Notice::Alive));
        assert_eq!(
            read("EXTEND_TIMEOUT_USEC=1500000"),
            Some(Notice::Extend(Duration::from_millis(1500)))
        );
        assert_eq!(
            read(&format!("EXTEND_TIMEOUT_USEC={}", u64::MAX)),
            Some(Notice::Extend(EXTEND_MAX))
        );
        for strange in [
            "",
            "READY=2",
            "STATUS=fine",
            "EXTEND_TIMEOUT_USEC=-1",
            "\u{fffd}",
        ] {
            assert_eq!(read(strange), None, "{strange}");
        }
    }

    #[test]
    fn the_socket_can_be_reached_by_its_name() {
        let socket = bind().unwrap();
        let name = socket.name().strip_prefix('@').unwrap().to_owned();
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let client = UnixDatagram::unbound().unwrap();
        client.send_to_addr(b"READY=1", &address).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(socket.socket.recv(&mut buffer).unwrap(), 7);
    }
}
