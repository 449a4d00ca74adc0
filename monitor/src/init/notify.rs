//! The other end of `sd_notify(3)`, which many programs speak already.

use super::child::Life;
use super::notice::{Notice, read};
use super::tail::plain;
use crate::apoptosis::Words;
use crate::monitor::Monitor;
use crate::pulse::Pulse;
use crate::sys;
use rustix::net::sockopt;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One notification; systemd itself takes no more.
const MESSAGE_MAX: usize = 4096;
const STACK: usize = 64 * 1024;
/// What is kept and shown of a `STATUS=`.
const STATUS_MAX: usize = 200;
/// A program that says more than this in a second is slowed down: its sends wait while we do.
const MESSAGES_PER_SECOND: u32 = 1000;
const FLOOD_PAUSE: Duration = Duration::from_millis(50);
/// Complaints that are logged; more of them say nothing new.
const COMPLAINTS_MAX: u32 = 10;
/// Deeper trees of processes are not searched for their root.
const ANCESTORS_MAX: usize = 64;

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
    let socket = UnixDatagram::bind_addr(&address)?;
    sockopt::set_socket_passcred(&socket, true)?;
    Ok(Socket {
        socket,
        name: format!("@{name}"),
    })
}

/// Where the program says it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It has said nothing: it may not know the protocol.
    Silent,
    /// It speaks, and has not said `READY=1`.
    Starting,
    Ready,
    Reloading,
    Stopping,
}

impl Phase {
    fn readiness(self) -> Result<(), String> {
        match self {
            Self::Silent | Self::Ready => Ok(()),
            Self::Starting => Err("the program speaks sd_notify and has not said READY=1".into()),
            Self::Reloading => Err("the program is reloading".into()),
            Self::Stopping => Err("the program is stopping".into()),
        }
    }
}

/// What is heard, as others see it.
pub(super) struct Hearing {
    phase: Mutex<Phase>,
    pulse: Pulse,
    deadline: Duration,
}

impl Hearing {
    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new life has said nothing yet.
    pub(super) fn reset(&self) {
        *self.phase() = Phase::Silent;
        self.pulse.rest();
        self.pulse.set_deadline(self.deadline);
    }
}

/// Listens on a thread of its own. The child's pulse is judged from its first `WATCHDOG=1` on; it is
/// unready from its first word other than `READY=1` until that one comes.
pub(super) fn listen(
    socket: Socket,
    monitor: &Monitor,
    life: &Arc<Life>,
    deadline: Duration,
    user: u32,
) -> io::Result<Arc<Hearing>> {
    let judged = Arc::clone(life);
    let pulse = monitor.pulses().register_handled(
        "child",
        "pulse",
        deadline,
        Box::new(move |words| judged.failed(judged.number(), words)),
    );
    let hearing = Arc::new(Hearing {
        phase: Mutex::new(Phase::Silent),
        pulse,
        deadline,
    });
    let shown = Arc::clone(&hearing);
    monitor.add_readiness("notify", move || shown.phase().readiness());
    let mut listener = Listener {
        socket,
        hearing: Arc::clone(&hearing),
        life: Arc::clone(life),
        user,
        complaints: 0,
        second: Instant::now(),
        messages: 0,
        said_status: None,
    };
    std::thread::Builder::new()
        .name("notify".into())
        .stack_size(STACK)
        .spawn(move || listener.listen())?;
    Ok(hearing)
}

struct Listener {
    socket: Socket,
    hearing: Arc<Hearing>,
    life: Arc<Life>,
    /// Whom the program runs as.
    user: u32,
    complaints: u32,
    second: Instant,
    messages: u32,
    said_status: Option<Instant>,
}

impl Listener {
    fn listen(&mut self) {
        let mut buffer = [0; MESSAGE_MAX];
        loop {
            match sys::receive(&self.socket.socket, &mut buffer) {
                Ok(received) => self.message(&received, &buffer),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.complain(&format!("the notify socket: {error}"));
                    std::thread::sleep(FLOOD_PAUSE);
                }
            }
            self.slow_down();
        }
    }

    fn slow_down(&mut self) {
        self.messages += 1;
        if self.second.elapsed() >= Duration::from_secs(1) {
            self.second = Instant::now();
            self.messages = 0;
        } else if self.messages > MESSAGES_PER_SECOND {
            std::thread::sleep(FLOOD_PAUSE);
        }
    }

    fn complain(&mut self, what: &str) {
        self.complaints += 1;
        if self.complaints <= COMPLAINTS_MAX {
            tracing::warn!(
                event = "notification_ignored",
                "Ignored a notification: {what}"
            );
        }
    }

    fn message(&mut self, received: &sys::Received, buffer: &[u8]) {
        if let Some(reason) = refusal(received.sender, self.user) {
            return self.complain(reason);
        }
        if received.truncated {
            return self.complain("it is longer than 4096 bytes");
        }
        let text = String::from_utf8_lossy(buffer.get(..received.length).unwrap_or_default());
        let mut understood = false;
        for line in text.lines().filter(|line| !line.is_empty()) {
            match read(line) {
                Notice::Malformed => {
                    let shown: String = plain(line.as_bytes()).chars().take(80).collect();
                    self.complain(&format!("{shown:?} is malformed"));
                }
                Notice::Unknown => {}
                notice => {
                    understood = true;
                    self.take(notice);
                }
            }
        }
        let mut phase = self.hearing.phase();
        if understood && *phase == Phase::Silent {
            *phase = Phase::Starting;
        }
    }

    fn take(&mut self, notice: Notice) {
        let pulse = &self.hearing.pulse;
        match notice {
            Notice::Ready => *self.hearing.phase() = Phase::Ready,
            Notice::Reloading => *self.hearing.phase() = Phase::Reloading,
            Notice::Stopping => {
                *self.hearing.phase() = Phase::Stopping;
                self.life.set_stopping();
                pulse.rest();
            }
            Notice::Status(text) => self.status(&text),
            Notice::Alive => {
                if !self.life.is_stopping() {
                    pulse.pulse();
                }
            }
            Notice::Trigger => self.life.failed(
                self.life.number(),
                &Words {
                    pulse: "child".into(),
                    late_ms: 0,
                    reason: "trigger",
                },
            ),
            Notice::Deadline(Some(deadline)) => pulse.set_deadline(deadline),
            Notice::Deadline(None) => {
                pulse.set_deadline(Duration::MAX);
                pulse.rest();
            }
            Notice::Extend(span) => pulse.extend(span),
            Notice::MainPid(pid) => self.main_pid(pid),
            Notice::Store => self.complain(
                "FDSTORE=1: descriptors are not kept, and were closed; the program must open them again after a restart",
            ),
            Notice::Idle | Notice::Unknown | Notice::Malformed => {}
        }
    }

    fn main_pid(&mut self, pid: i32) {
        if descends(pid) == Some(true) {
            self.life.set_main(pid);
            tracing::info!(
                event = "main_process_named",
                pid,
                "The program named process {pid} as its main one"
            );
        } else {
            self.complain(&format!("MAINPID={pid} is no process of this program"));
        }
    }

    fn status(&mut self, text: &str) {
        let text: String = plain(text.as_bytes()).chars().take(STATUS_MAX).collect();
        let now = Instant::now();
        let due = self
            .said_status
            .is_none_or(|said| now.duration_since(said) >= Duration::from_secs(1));
        if due {
            self.said_status = Some(now);
            tracing::info!(event = "child_status", "The program says: {text}");
        }
        self.life.say(text);
    }
}

/// Why a sender is not listened to.
fn refusal(sender: Option<(i32, u32)>, user: u32) -> Option<&'static str> {
    let Some((pid, uid)) = sender else {
        return Some("the kernel names no sender");
    };
    if pid <= 0 {
        return Some("its sender is outside of this container");
    }
    match descends(pid) {
        Some(true) => None,
        Some(false) => Some("its sender is no process of this program"),
        // Gone already, as systemd-notify often is: whoever knew the socket's name and has the program's user.
        None => (uid != 0 && uid != user).then_some("its sender is gone and was another user"),
    }
}

/// Whether a process came from us; none where it is gone.
fn descends(pid: i32) -> Option<bool> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut pid = pid;
    for depth in 0..ANCESTORS_MAX {
        if pid == own {
            return Some(depth > 0);
        }
        // The first process of a container has everybody for a descendant.
        if pid <= 1 {
            return Some(false);
        }
        pid = parent(pid)?;
    }
    Some(false)
}

fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = stat.get(stat.rfind(')')? + 1..)?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sender_is_known_and_descriptors_are_closed() {
        let socket = bind().unwrap();
        let name = socket.name().strip_prefix('@').unwrap().to_owned();
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let client = UnixDatagram::unbound().unwrap();
        client.send_to_addr(b"READY=1", &address).unwrap();
        let mut buffer = [0; 16];
        let received = sys::receive(&socket.socket, &mut buffer).unwrap();
        assert_eq!((received.length, received.descriptors), (7, 0));
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(received.sender.map(|sender| sender.0), Some(own));
    }

    #[test]
    fn strangers_are_refused() {
        assert!(refusal(None, 0).is_some());
        assert!(refusal(Some((0, 0)), 0).is_some(), "another namespace");
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(
            refusal(Some((own, 0)), 0).is_some(),
            "we are not our own child"
        );
        assert!(refusal(Some((i32::MAX, 7)), 5).is_some());
        assert!(
            refusal(Some((i32::MAX, 5)), 5).is_none(),
            "gone already, the same user"
        );
    }
}
