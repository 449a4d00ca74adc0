//! Our own side of `sd_notify(3)`: under systemd (`docs/planaria-watch.service`), the monitor is a service like any other.

use crate::pulse::Pulses;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Weak;
use std::time::Duration;

/// systemd advises half of its deadline.
const PER_DEADLINE: u32 = 2;
/// Where it has no deadline there is only `READY=1` to say.
const STACK: usize = 64 * 1024;

/// Says `READY=1`, and `WATCHDOG=1` as often as is asked for, as long as the pulses are there to be judged: whoever hangs
/// is ended by its own watchdog, and then says nothing more. Without a supervisor it does nothing.
pub(crate) fn start(pulses: Weak<Pulses>) -> io::Result<()> {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let Some(address) = address(name.as_encoded_bytes()) else {
        return Ok(());
    };
    let socket = UnixDatagram::unbound()?;
    // A supervisor that is away is its own trouble.
    let _ = socket.send_to_addr(b"READY=1", &address);
    let Some(every) = interval(
        std::env::var("WATCHDOG_USEC").ok().as_deref(),
        std::env::var("WATCHDOG_PID").ok().as_deref(),
    ) else {
        return Ok(());
    };
    std::thread::Builder::new()
        .name("service".into())
        .stack_size(STACK)
        .spawn(move || {
            while pulses.strong_count() > 0 {
                let _ = socket.send_to_addr(b"WATCHDOG=1", &address);
                std::thread::sleep(every);
            }
        })
        .map(drop)
}

fn address(name: &[u8]) -> Option<SocketAddr> {
    match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name).ok(),
        None => {
            SocketAddr::from_pathname(std::ffi::OsStr::new(std::str::from_utf8(name).ok()?)).ok()
        }
    }
}

/// How often, where it is asked of this very process.
fn interval(microseconds: Option<&str>, pid: Option<&str>) -> Option<Duration> {
    if pid.is_some_and(|pid| pid != std::process::id().to_string()) {
        return None;
    }
    let deadline = Duration::from_micros(microseconds?.parse().ok()?);
    Some(deadline / PER_DEADLINE).filter(|every| !every.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_is_asked_of_us_and_of_nobody_else() {
        let own = std::process::id().to_string();
        let second = Some(Duration::from_millis(500));
        assert_eq!(interval(Some("1000000"), None), second);
        assert_eq!(interval(Some("1000000"), Some(&own)), second);
        assert_eq!(interval(Some("1000000"), Some("1")), None);
        for none in [None, Some(""), Some("0"), Some("-1"), Some("x")] {
            assert_eq!(interval(none, None), None);
        }
        assert!(address(b"@name").is_some() && address(b"/run/x").is_some());
    }
}
