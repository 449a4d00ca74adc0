//! Measuring from inside a network namespace: ICMP echoes to the gateway, or to the peer that is cut off.

use rustix::net::{
    AddressFamily, RawProtocol, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

/// Between two echoes.
const GAP: Duration = Duration::from_millis(8);
const LOOK_EVERY: Duration = Duration::from_micros(300);
const LENGTH: usize = 64;

/// What a series of echoes showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Sent.
    pub sent: usize,
    /// Round trips of those that came back, in microseconds, sorted.
    pub round_trips_us: Vec<u64>,
    /// Came back with other bytes.
    pub changed: usize,
    /// Came back after a later one.
    pub overtaken: usize,
}

impl Seen {
    /// Percent that did not come back.
    #[must_use]
    pub fn lost(&self) -> usize {
        (self.sent - self.round_trips_us.len().min(self.sent)) * 100 / self.sent.max(1)
    }

    /// Half took no longer, in milliseconds.
    #[must_use]
    pub fn median_ms(&self) -> Option<u64> {
        self.round_trips_us
            .get(self.round_trips_us.len() / 2)
            .map(|us| us / 1000)
    }

    /// From the fastest to the slowest, in milliseconds.
    #[must_use]
    pub fn spread_ms(&self) -> u64 {
        let (first, last) = (self.round_trips_us.first(), self.round_trips_us.last());
        first
            .zip(last)
            .map_or(0, |(first, last)| (last - first) / 1000)
    }
}

/// Sends `count` echoes and waits `patience` after the last one.
///
/// # Errors
/// Where the namespace has no raw socket for us.
pub fn ping(to: Ipv4Addr, count: u16, patience: Duration) -> Result<Seen, String> {
    let failed = |error: rustix::io::Errno| format!("echoes cannot be sent: {error}");
    let protocol = RawProtocol::new(1).map(rustix::net::Protocol::from_raw);
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::RAW,
        SocketFlags::NONBLOCK,
        protocol.or(Some(ipproto::ICMP)),
    )
    .map_err(failed)?;
    let address = SocketAddrV4::new(to, 0);
    let number = u16::try_from(std::process::id() & 0xffff).unwrap_or(1);
    let mut sent: BTreeMap<u16, Instant> = BTreeMap::new();
    let mut seen = Seen {
        sent: usize::from(count),
        ..Seen::default()
    };
    let mut highest = 0;
    let begin = Instant::now();
    let mut end = begin + GAP * u32::from(count) + patience;
    let mut buffer = [0_u8; 2048];
    while Instant::now() < end {
        let due = sent.len() < usize::from(count)
            && begin.elapsed() >= GAP * u32::try_from(sent.len()).unwrap_or(u32::MAX);
        if due {
            let sequence = u16::try_from(sent.len()).unwrap_or(u16::MAX);
            let packet = echo(number, sequence);
            sent.insert(sequence, Instant::now());
            // Refused sends (EPERM under a REJECT) count as lost.
            rustix::net::sendto(&socket, &packet, SendFlags::empty(), &address).ok();
        }
        match rustix::net::recv(&socket, &mut buffer, RecvFlags::empty()) {
            Ok((length, _)) => {
                let Some(sequence) =
                    answer(buffer.get(..length).unwrap_or_default(), number, &mut seen)
                else {
                    continue;
                };
                if let Some(at) = sent.get(&sequence) {
                    let us = u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX);
                    seen.round_trips_us.push(us);
                    seen.overtaken += usize::from(sequence < highest);
                    highest = highest.max(sequence);
                }
                if seen.round_trips_us.len() == usize::from(count) {
                    end = Instant::now();
                }
            }
            Err(_) => std::thread::sleep(LOOK_EVERY),
        }
    }
    seen.round_trips_us.sort_unstable();
    Ok(seen)
}

fn echo(number: u16, sequence: u16) -> Vec<u8> {
    let mut packet = vec![8, 0, 0, 0];
    packet.extend(number.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend((0..LENGTH - 8).map(pattern));
    let sum = checksum(&packet, 0);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn pattern(index: usize) -> u8 {
    u8::try_from(index % 251).unwrap_or(0)
}

/// The number of our echo that this packet answers.
fn answer(packet: &[u8], number: u16, seen: &mut Seen) -> Option<u16> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let icmp = packet.get(header..)?;
    let two = |at: usize| Some(u16::from_be_bytes([*icmp.get(at)?, *icmp.get(at + 1)?]));
    if *icmp.first()? != 0 || two(4)? != number {
        return None;
    }
    let payload = icmp.get(8..)?;
    seen.changed += usize::from(
        payload
            .iter()
            .enumerate()
            .any(|(at, byte)| *byte != pattern(at)),
    );
    two(6)
}

/// The Internet checksum (RFC 1071) over `bytes`, after `sum` (of a pseudo header).
#[must_use]
pub fn checksum(bytes: &[u8], sum: u32) -> u16 {
    let mut sum = sum;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([
            pair.first().copied().unwrap_or(0),
            low,
        ]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

/// Whom to ask for echoes: the peer that is hit, else the gateway.
#[must_use]
pub fn partner(peers: &[IpAddr]) -> Option<Ipv4Addr> {
    let peer = peers.iter().find_map(|peer| match peer {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    });
    peer.or_else(gateway)
}

fn gateway() -> Option<Ipv4Addr> {
    let routes = std::fs::read_to_string("/proc/net/route").ok()?;
    routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (to, by) = (fields.next()?, fields.next()?);
        let raw = u32::from_str_radix(by, 16).ok()?;
        (to == "00000000" && raw != 0).then(|| Ipv4Addr::from(raw.to_le_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_has_a_right_checksum_and_its_answer_is_known() {
        let mut packet = echo(7, 3);
        assert_eq!(checksum(&packet, 0), 0);
        packet[0] = 0;
        let mut ip = vec![0x45; 1];
        ip.extend([0; 19]);
        ip.extend(&packet);
        let mut seen = Seen::default();
        assert_eq!(answer(&ip, 7, &mut seen), Some(3));
        assert_eq!(seen.changed, 0);
        assert_eq!(answer(&ip, 8, &mut seen), None);
        *ip.last_mut().unwrap() ^= 1;
        assert_eq!(answer(&ip, 7, &mut seen), Some(3));
        assert_eq!(seen.changed, 1);
    }

    #[test]
    fn loss_and_median_are_counted() {
        let seen = Seen {
            sent: 4,
            round_trips_us: vec![1000, 9000],
            changed: 0,
            overtaken: 0,
        };
        assert_eq!(
            (seen.lost(), seen.median_ms(), seen.spread_ms()),
            (50, Some(9), 8)
        );
        assert_eq!(Seen::default().lost(), 0);
    }
}
