//! What this kernel permits, tried out in a network namespace of the helper's own.

use super::filter;
use crate::fault::{Fault, Needs};
use serde::{Deserialize, Serialize};
use std::process::Command;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Which packet filter answers.
    pub filter: Option<String>,
    /// Rules that end by the kernel's clock.
    pub time: bool,
    /// Rules that match by chance.
    pub statistic: bool,
    /// Rules that refuse.
    pub reject: bool,
    /// The table before address translation.
    pub raw: bool,
    /// Packets to user space.
    pub nfqueue: bool,
    /// The kernel's own network emulator.
    pub netem: bool,
    /// The kernel's token bucket.
    pub tbf: bool,
    /// Memory groups, and of which version.
    pub memory_group: Option<String>,
    /// Groups that block devices count for, and of which version.
    #[serde(default)]
    pub disk_group: Option<String>,
}

const CHAIN: &str = "planaria-probe";

/// Tries everything out. For a namespace of its own: it changes rules.
#[must_use]
pub fn probe() -> Probe {
    let works = |table: &str, rule: &[&str]| {
        let all = [&["--table", table, "--append", CHAIN], rule].concat();
        filter::iptables(&all).is_ok()
    };
    let chain = |table: &str| filter::iptables(&["--table", table, "--new-chain", CHAIN]).is_ok();
    let filter = chain("filter").then(filter::program).flatten();
    let tc = |kind: &[&str]| {
        let arguments = [&["qdisc", "replace", "dev", "lo", "root"], kind].concat();
        Command::new("tc")
            .args(arguments)
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let cgroups = std::path::Path::new("/sys/fs/cgroup");
    let group = |controller: &str| {
        if cgroups.join("cgroup.controllers").exists() {
            Some("v2".to_owned())
        } else {
            cgroups.join(controller).exists().then(|| "v1".to_owned())
        }
    };
    Probe {
        filter,
        time: works(
            "filter",
            &[
                "--match",
                "time",
                "--datestop",
                "2038-01-01T00:00:00",
                "--jump",
                "DROP",
            ],
        ),
        statistic: works(
            "filter",
            &[
                "--match",
                "statistic",
                "--mode",
                "random",
                "--probability",
                "0.5",
                "--jump",
                "DROP",
            ],
        ),
        reject: works(
            "filter",
            &[
                "--protocol",
                "tcp",
                "--jump",
                "REJECT",
                "--reject-with",
                "tcp-reset",
            ],
        ),
        raw: chain("raw")
            && works(
                "raw",
                &["--protocol", "udp", "--dport", "53", "--jump", "DROP"],
            ),
        nfqueue: works(
            "filter",
            &["--jump", "NFQUEUE", "--queue-num", "1", "--queue-bypass"],
        ) && nfq::Queue::open().is_ok_and(|mut queue| queue.bind(1).is_ok()),
        netem: tc(&["netem", "delay", "1ms"]),
        tbf: tc(&[
            "tbf", "rate", "1mbit", "burst", "32kbit", "latency", "400ms",
        ]),
        memory_group: group("memory"),
        disk_group: group("blkio"),
    }
}

impl Probe {
    /// How a fault is done here; the error says what is missing.
    ///
    /// # Errors
    /// What the kernel lacks.
    pub fn mechanism(&self, fault: Fault) -> Result<&'static str, &'static str> {
        let about = fault.about();
        let has = |has: bool, how: &'static str, lacks: &'static str| {
            if has { Ok(how) } else { Err(lacks) }
        };
        match fault {
            Fault::Latency | Fault::Jitter | Fault::Rate | Fault::Corrupt | Fault::Reorder => has(
                self.nfqueue && self.time,
                "NFQUEUE, held in user space",
                "no NFQUEUE (xt_NFQUEUE, nfnetlink_queue) or xt_time",
            ),
            Fault::Loss => has(
                self.statistic && self.time,
                "packet filter, statistic + DROP",
                "no xt_statistic or xt_time",
            ),
            Fault::Reject => has(
                self.reject && self.time,
                "packet filter, REJECT",
                "no REJECT or xt_time",
            ),
            Fault::Dns => has(
                self.raw && self.time,
                "packet filter, table raw, DROP",
                "no table raw or xt_time",
            ),
            Fault::Partition => has(
                self.filter.is_some() && self.time,
                "packet filter, DROP",
                "no packet filter or xt_time",
            ),
            Fault::Memory | Fault::Oom => has(
                self.memory_group.is_some(),
                "a helper in the memory group",
                "no memory groups",
            ),
            Fault::Io => has(
                self.disk_group.is_some() || self.memory_group.is_some(),
                "a helper in the control group",
                "no control groups of disks or memory",
            ),
            _ => Ok(match about.needs {
                Needs::Engine => "the engine",
                Needs::Management => "RabbitMQ's management API",
                Needs::Network | Needs::Processes => "a helper in the process namespace",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let none = Probe::default();
        assert!(
            none.mechanism(Fault::Latency)
                .unwrap_err()
                .contains("NFQUEUE")
        );
        assert!(none.mechanism(Fault::Oom).is_err());
        assert_eq!(none.mechanism(Fault::Kill), Ok("the engine"));
        let all = Probe {
            nfqueue: true,
            time: true,
            ..none
        };
        assert!(all.mechanism(Fault::Jitter).is_ok());
    }
}
