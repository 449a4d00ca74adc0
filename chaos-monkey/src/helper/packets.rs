//! Packets held, changed and let go from user space (NFQUEUE): what netem does, where the kernel has none.
//!
//! Should this process die, the kernel lets the packets pass (`--queue-bypass`).

use super::{Deed, Task, filter, lock, ping};
use crate::dice::Dice;
use crate::fault::{self, Fault, Way};
use nfq::{Message, Queue, Verdict};
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Packets held at most; more are let pass by the kernel (fail-open).
const HELD_MAX: u32 = 8192;
/// A packet that would have to wait longer for its turn under a rate is dropped, as by a full buffer.
const RATE_WAIT_MAX: Duration = Duration::from_millis(400);
const ECHOES: u16 = 20;
/// Changed and overtaken packets are few: more echoes.
const ECHOES_MANY: u16 = 80;

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    delay: Duration,
    jitter: Duration,
    /// Percent that are held (reorder) or changed (corrupt).
    percent: u64,
    kbit: u64,
    changes: bool,
}

impl Plan {
    fn of(task: &Task) -> Self {
        let dose = &task.dose;
        let ms = |value: u32| Duration::from_millis(value.into());
        let percent = |default: u8| u64::from(dose.percent.unwrap_or(default));
        let none = Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            percent: 100,
            kbit: 0,
            changes: false,
        };
        match task.fault {
            Fault::Rate => Self {
                kbit: u64::from(dose.kbit.unwrap_or(fault::RATE_KBIT)).max(8),
                ..none
            },
            Fault::Corrupt => Self {
                percent: percent(fault::CORRUPT_PERCENT),
                changes: true,
                ..none
            },
            Fault::Reorder => Self {
                delay: ms(dose.delay_ms.unwrap_or(fault::REORDER_MS)),
                percent: percent(fault::REORDER_PERCENT),
                ..none
            },
            Fault::Jitter => Self {
                delay: ms(dose.delay_ms.unwrap_or(fault::JITTER_MS)),
                jitter: ms(dose.jitter_ms.unwrap_or(fault::JITTER_MS)),
                ..none
            },
            _ => Self {
                delay: ms(dose.delay_ms.unwrap_or(fault::LATENCY_MS)),
                jitter: ms(dose.jitter_ms.unwrap_or(0)),
                ..none
            },
        }
    }

    /// When a packet may go, and whether it is changed. `None`: it is dropped.
    fn judge(
        &self,
        now: Instant,
        length: usize,
        free_at: &mut Instant,
        dice: &mut Dice,
    ) -> Option<(Instant, bool)> {
        let bits = u64::try_from(length)
            .unwrap_or(u64::MAX)
            .saturating_mul(8_000_000);
        if let Some(nanos) = bits.checked_div(self.kbit) {
            let begin = now.max(*free_at);
            if begin - now > RATE_WAIT_MAX {
                return None;
            }
            *free_at = begin + Duration::from_nanos(nanos);
            return Some((*free_at, false));
        }
        if dice.below(100) >= self.percent {
            return Some((now, false));
        }
        let jitter = u64::try_from(self.jitter.as_micros()).unwrap_or(u64::MAX);
        let shift = Duration::from_micros(dice.below(jitter.saturating_mul(2) + 1));
        Some((
            now + (self.delay + shift).saturating_sub(self.jitter),
            self.changes,
        ))
    }
}

/// A packet that waits, the earliest first.
struct Waiting {
    due: Instant,
    number: u64,
    packet: Message,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

/// Packets are being held.
pub struct Held {
    task: Task,
    plan: Plan,
    before: Option<ping::Seen>,
    stop: Arc<AtomicBool>,
    broke: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Held {
    /// Opens the queue and sends packets into it.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn begin(task: &Task) -> Result<Self, String> {
        let before = ping::partner(&task.dose.peers)
            .map(|to| ping::ping(to, 5, Duration::from_millis(300)))
            .transpose()?;
        let failed = |error: std::io::Error| format!("packets cannot be held (NFQUEUE): {error}");
        let mut queue = Queue::open().map_err(failed)?;
        queue.bind(filter::QUEUE).map_err(failed)?;
        queue.set_fail_open(filter::QUEUE, true).map_err(failed)?;
        queue
            .set_queue_max_len(filter::QUEUE, HELD_MAX)
            .map_err(failed)?;
        queue.set_nonblocking(true);
        let plan = Plan::of(task);
        let (stop, broke) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
        let (stopped, told) = (Arc::clone(&stop), Arc::clone(&broke));
        let seed = crate::plan::attack_seed(&task.attack);
        let thread = std::thread::spawn(move || {
            if let Err(error) = serve(&mut queue, plan, seed, &stopped) {
                *lock(&told) = Some(error.to_string());
            }
        });
        let held = Self {
            task: task.clone(),
            plan,
            before,
            stop,
            broke,
            thread: Some(thread),
        };
        filter::queue(task, task.dose.way.unwrap_or(Way::Out))?;
        Ok(held)
    }
}

fn serve(queue: &mut Queue, plan: Plan, seed: u64, stop: &AtomicBool) -> std::io::Result<()> {
    let mut dice = Dice::of(seed, 0);
    let mut waiting: BinaryHeap<Waiting> = BinaryHeap::new();
    let mut free_at = Instant::now();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        loop {
            let mut packet = match queue.recv() {
                Ok(packet) => packet,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                // Packets came faster than they were read: those were let pass.
                Err(error)
                    if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) =>
                {
                    break;
                }
                Err(error) => return Err(error),
            };
            let now = Instant::now();
            let Some((due, changes)) =
                plan.judge(now, packet.get_payload().len(), &mut free_at, &mut dice)
            else {
                packet.set_verdict(Verdict::Drop);
                queue.verdict(packet)?;
                continue;
            };
            if changes {
                let mut bytes = packet.get_payload().to_vec();
                change(&mut bytes, &mut dice);
                packet.set_payload(bytes);
            }
            number += 1;
            waiting.push(Waiting {
                due,
                number,
                packet,
            });
        }
        while waiting
            .peek()
            .is_some_and(|first| first.due <= Instant::now())
        {
            if let Some(mut first) = waiting.pop() {
                first.packet.set_verdict(Verdict::Accept);
                queue.verdict(first.packet)?;
            }
        }
        wait(waiting.peek().map(|first| first.due));
    }
    for mut rest in waiting.into_sorted_vec().into_iter().rev() {
        rest.packet.set_verdict(Verdict::Accept);
        queue.verdict(rest.packet)?;
    }
    Ok(())
}

/// A packet is seen so late at most: the queue has no descriptor that safe code may wait for.
const LOOK_EVERY: Duration = Duration::from_micros(400);

/// Until the next one is due, or it is time to look.
fn wait(due: Option<Instant>) {
    let left = due.map_or(LOOK_EVERY, |due| {
        due.saturating_duration_since(Instant::now())
    });
    std::thread::sleep(left.min(LOOK_EVERY));
}

/// Flips one bit of what TCP, UDP or ICMP carry, and mends the checksum: the receiver gets wrong bytes.
fn change(packet: &mut [u8], dice: &mut Dice) {
    let header = usize::from(packet.first().copied().unwrap_or(0) & 0x0f) * 4;
    if packet.first().is_none_or(|byte| byte >> 4 != 4) || header < 20 || packet.len() < header + 8
    {
        return;
    }
    let protocol = packet.get(9).copied().unwrap_or(0);
    let (carried, at_sum) = match protocol {
        1 => (header + 8, header + 2),
        6 => {
            let words = packet.get(header + 12).copied().unwrap_or(0) >> 4;
            (header + usize::from(words) * 4, header + 16)
        }
        17 => (header + 8, header + 6),
        _ => return,
    };
    let free = packet.len().saturating_sub(carried);
    if free == 0 || packet.len() < at_sum + 2 {
        return;
    }
    let at = carried + usize::try_from(dice.below(u64::try_from(free).unwrap_or(1))).unwrap_or(0);
    let bit = 1_u8 << dice.below(8);
    if let Some(byte) = packet.get_mut(at) {
        *byte ^= bit;
    }
    packet[at_sum..at_sum + 2].fill(0);
    let length = u32::try_from(packet.len() - header).unwrap_or(0);
    // The pseudo header of TCP and UDP: both addresses, the protocol, the length.
    let pseudo = if protocol == 1 {
        0
    } else {
        let two = |at: usize| u32::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
        (12..20).step_by(2).map(two).sum::<u32>() + u32::from(protocol) + length
    };
    let sum = ping::checksum(&packet[header..], pseudo);
    packet[at_sum..at_sum + 2].copy_from_slice(&sum.to_be_bytes());
}

impl Deed for Held {
    fn prove(&mut self) -> Result<String, String> {
        if let Some(error) = lock(&self.broke).clone() {
            return Err(format!("packets are held no more: {error}"));
        }
        let quiet = self.before.as_ref().and_then(ping::Seen::median_ms);
        let Some((to, before)) = ping::partner(&self.task.dose.peers).zip(quiet) else {
            return Ok(
                "packets go through the queue (there was nobody to measure with)".to_owned(),
            );
        };
        let patience = self.plan.delay * 2 + self.plan.jitter * 2 + Duration::from_millis(300);
        let many = matches!(self.task.fault, Fault::Corrupt | Fault::Reorder);
        let seen = ping::ping(to, if many { ECHOES_MANY } else { ECHOES }, patience)?;
        let after = seen.median_ms().unwrap_or(0);
        let delay = u64::try_from(self.plan.delay.as_millis()).unwrap_or(u64::MAX);
        let jitter = u64::try_from(self.plan.jitter.as_millis()).unwrap_or(u64::MAX);
        let (right, proof) = match self.task.fault {
            Fault::Corrupt => (
                seen.changed > 0,
                format!("{} of {} echoes came back changed", seen.changed, seen.sent),
            ),
            Fault::Reorder => (
                seen.overtaken > 0,
                format!("{} of {} echoes were overtaken", seen.overtaken, seen.sent),
            ),
            Fault::Jitter => (
                seen.spread_ms() * 2 >= jitter,
                format!(
                    "echoes to {to} take {after} ms instead of {before} ms, {} ms between fastest and slowest",
                    seen.spread_ms()
                ),
            ),
            // 64-byte echoes are too few to fill a rate; the count of what went through must do.
            Fault::Rate => (
                !seen.round_trips_us.is_empty(),
                "packets go through the token bucket".to_owned(),
            ),
            _ => (
                after >= before + delay * 7 / 10,
                format!("echoes to {to} take {after} ms instead of {before} ms"),
            ),
        };
        if right { Ok(proof) } else { Err(proof) }
    }

    fn revert(&mut self) -> Result<(), String> {
        // First the rules, so that no packet comes that nobody would let go.
        let cleared = filter::clear(&self.task.attack);
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        cleared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Dose;

    fn plan(fault: Fault, dose: Dose) -> Plan {
        Plan::of(&Task {
            attack: "a1b2c3".to_owned(),
            fault,
            dose,
            ttl_s: 9,
            look: false,
            revert: false,
            saved: None,
        })
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        let plan = plan(
            Fault::Jitter,
            Dose {
                delay_ms: Some(50),
                jitter_ms: Some(20),
                ..Dose::default()
            },
        );
        let (now, mut dice) = (Instant::now(), Dice::of(1, 1));
        for _ in 0..1000 {
            let (due, _) = plan.judge(now, 100, &mut now.clone(), &mut dice).unwrap();
            assert!((30..=70).contains(&(due - now).as_millis()));
        }
    }

    #[test]
    fn a_rate_lets_pass_what_it_says_and_drops_the_rest() {
        let plan = plan(
            Fault::Rate,
            Dose {
                kbit: Some(800),
                ..Dose::default()
            },
        );
        let now = Instant::now();
        let (mut free_at, mut dice) = (now, Dice::of(1, 1));
        let passed = (0..1000)
            .filter(|_| plan.judge(now, 1000, &mut free_at, &mut dice).is_some())
            .count();
        // 1000 bytes at 800 kbit/s take 10 ms: 400 ms of waiting are 41 packets.
        assert_eq!(passed, 41);
    }

    #[test]
    fn a_changed_packet_has_one_other_bit_and_a_right_checksum() {
        // IPv4, UDP, 8 bytes.
        let mut packet = vec![
            0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        packet.extend([0, 1, 0, 2, 0, 16, 0, 0]);
        packet.extend(*b"planaria");
        let before = packet.clone();
        change(&mut packet, &mut Dice::of(3, 1));
        let flipped: u32 = packet[28..]
            .iter()
            .zip(&before[28..])
            .map(|(a, b)| (a ^ b).count_ones())
            .sum();
        assert_eq!(flipped, 1);
        let pseudo = 0x0a00 + 1 + 0x0a00 + 2 + 17 + 16;
        assert_eq!(ping::checksum(&packet[20..], pseudo), 0);
        let mut short = vec![0x45, 0];
        change(&mut short, &mut Dice::of(3, 1));
        assert_eq!(short, [0x45, 0]);
    }
}
