//! Rules of the packet filter, in two chains of the attack's own, which end by the kernel's clock too.

use super::{Deed, Task, ping};
use crate::clock;
use crate::fault::{Fault, Way};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::Duration;

/// Rules end by the kernel's clock so much later than by our own.
const SPARE_MS: u64 = 3000;
/// Echoes that measure a loss.
const ECHOES: u16 = 60;
const PATIENCE: Duration = Duration::from_millis(300);
/// The queue that packets are held in; one fault per target at a time.
pub const QUEUE: u16 = 9747;

/// Rules that are there.
pub struct Filter {
    task: Task,
    before: Option<ping::Seen>,
}

/// Which packets of a way, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    way: Way,
    matches: Vec<String>,
    verdict: Vec<&'static str>,
}

impl Filter {
    /// Makes the rules of a task.
    ///
    /// # Errors
    /// What the packet filter said.
    pub fn begin(task: &Task) -> Result<Self, String> {
        let before = (task.fault != Fault::Dns)
            .then(|| ping::partner(&task.dose.peers).map(|to| ping::ping(to, 5, PATIENCE)))
            .flatten()
            .transpose()?;
        let filter = Self {
            task: task.clone(),
            before,
        };
        make(task, &rules(task))?;
        Ok(filter)
    }
}

/// Sets up the chains with these rules.
fn make(task: &Task, rules: &[Rule]) -> Result<(), String> {
    clear(&task.attack)?;
    let stop = clock::text(clock::now_ms() + task.ttl_s * 1000 + SPARE_MS).replace('Z', "");
    for (way, hook, lo) in [
        (Way::In, "INPUT", "--in-interface"),
        (Way::Out, "OUTPUT", "--out-interface"),
    ] {
        let table = table(task.fault);
        let chain = chain(&task.attack, way);
        let wanted: Vec<&Rule> = rules.iter().filter(|rule| rule.way == way).collect();
        if wanted.is_empty() {
            continue;
        }
        iptables(&["--table", table, "--new-chain", &chain])?;
        for rule in wanted {
            let mut arguments = vec!["--table", table, "--append", &chain];
            arguments.extend(["--match", "time", "--datestop", &stop]);
            arguments.extend(rule.matches.iter().map(String::as_str));
            arguments.push("--jump");
            arguments.extend(rule.verdict.iter().copied());
            iptables(&arguments)?;
        }
        let mut jump = vec!["--table", table, "--insert", hook, "1"];
        // Names are asked at Docker's own resolver, which is reached by the loopback.
        if task.fault != Fault::Dns {
            jump.extend(["!", lo, "lo"]);
        }
        jump.extend(["--jump", chain.as_str()]);
        iptables(&jump)?;
    }
    Ok(())
}

/// Sends all packets of a way to [`QUEUE`], which lets them pass where nobody listens.
///
/// # Errors
/// What the packet filter said.
pub fn queue(task: &Task, way: Way) -> Result<(), String> {
    let number = "9747";
    let mut rules = Vec::new();
    for way in ways(way) {
        for matches in peers(task, way) {
            let verdict = vec!["NFQUEUE", "--queue-num", number, "--queue-bypass"];
            rules.push(Rule {
                way,
                matches,
                verdict,
            });
        }
    }
    make(task, &rules)
}

fn ways(way: Way) -> Vec<Way> {
    match way {
        Way::Both => vec![Way::In, Way::Out],
        one => vec![one],
    }
}

/// One match per peer; one that matches all where there are none.
fn peers(task: &Task, way: Way) -> Vec<Vec<String>> {
    let option = if way == Way::In {
        "--source"
    } else {
        "--destination"
    };
    let v4 = task.dose.peers.iter().filter(|peer| peer.is_ipv4());
    let each: Vec<Vec<String>> = v4
        .map(|peer: &IpAddr| vec![option.to_owned(), peer.to_string()])
        .collect();
    if each.is_empty() {
        vec![Vec::new()]
    } else {
        each
    }
}

fn rules(task: &Task) -> Vec<Rule> {
    let mut rules = Vec::new();
    let dose = &task.dose;
    match task.fault {
        Fault::Dns => {
            for protocol in ["udp", "tcp"] {
                let matches = ["--protocol", protocol, "--dport", "53"]
                    .map(str::to_owned)
                    .to_vec();
                rules.push(Rule {
                    way: Way::Out,
                    matches,
                    verdict: vec!["DROP"],
                });
            }
        }
        Fault::Loss => {
            let share = f64::from(dose.percent.unwrap_or(crate::fault::LOSS_PERCENT)) / 100.0;
            for way in ways(dose.way.unwrap_or(Way::Out)) {
                for mut matches in peers(task, way) {
                    let chance = format!("{share:.2}");
                    matches.extend(
                        [
                            "--match",
                            "statistic",
                            "--mode",
                            "random",
                            "--probability",
                            &chance,
                        ]
                        .map(str::to_owned),
                    );
                    rules.push(Rule {
                        way,
                        matches,
                        verdict: vec!["DROP"],
                    });
                }
            }
        }
        Fault::Reject => {
            for way in ways(dose.way.unwrap_or_default()) {
                for matches in peers(task, way) {
                    let mut tcp = matches.clone();
                    tcp.extend(["--protocol", "tcp"].map(str::to_owned));
                    rules.push(Rule {
                        way,
                        matches: tcp,
                        verdict: vec!["REJECT", "--reject-with", "tcp-reset"],
                    });
                    rules.push(Rule {
                        way,
                        matches,
                        verdict: vec!["REJECT"],
                    });
                }
            }
        }
        _ => {
            for way in ways(dose.way.unwrap_or_default()) {
                for matches in peers(task, way) {
                    rules.push(Rule {
                        way,
                        matches,
                        verdict: vec!["DROP"],
                    });
                }
            }
        }
    }
    rules
}

/// Where the rules go. Docker's resolver is behind an address translation: names must be caught before it.
fn table(fault: Fault) -> &'static str {
    if fault == Fault::Dns { "raw" } else { "filter" }
}

/// The name of an attack's chain; the packet filter allows 28 letters.
fn chain(attack: &str, way: Way) -> String {
    let way = if way == Way::In { "in" } else { "out" };
    format!("planaria-{attack}-{way}")
}

/// Removes an attack's chains, whatever of them is there.
///
/// # Errors
/// What is left, and what the packet filter said.
pub fn clear(attack: &str) -> Result<(), String> {
    for table in ["filter", "raw"] {
        let all = iptables(&["--table", table, "--list-rules"]).unwrap_or_default();
        for way in [Way::In, Way::Out] {
            let chain = chain(attack, way);
            for line in all.lines() {
                let ours = line.split_whitespace().last() == Some(&chain);
                if let Some(rule) = line.strip_prefix("-A ").filter(|_| ours) {
                    let mut arguments = vec!["--table", table, "--delete"];
                    arguments.extend(rule.split_whitespace());
                    iptables(&arguments)?;
                }
            }
            if all
                .lines()
                .any(|line| line.strip_prefix("-N ") == Some(&chain))
            {
                iptables(&["--table", table, "--flush", &chain])?;
                iptables(&["--table", table, "--delete-chain", &chain])?;
            }
        }
    }
    Ok(())
}

/// The packet filter, of today's kind or of yesterday's, whichever this kernel has.
pub(super) fn iptables(arguments: &[&str]) -> Result<String, String> {
    let mut said = String::new();
    for program in ["iptables", "iptables-legacy"] {
        let output = Command::new(program).arg("--wait").args(arguments).output();
        match output {
            Ok(output) if output.status.success() => {
                return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
            }
            Ok(output) => {
                said = format!(
                    "{program} {}: {}",
                    arguments.join(" "),
                    String::from_utf8_lossy(&output.stderr).trim()
                );
                // Only where this kind is not known to the kernel is the other one tried.
                if !said.contains("ot supported") && !said.contains("initialize") {
                    return Err(said);
                }
            }
            Err(error) => said = format!("{program} cannot be run: {error}"),
        }
    }
    Err(said)
}

/// Which packet filter works here.
pub(super) fn program() -> Option<String> {
    ["iptables", "iptables-legacy"]
        .iter()
        .find(|program| {
            let output = Command::new(program)
                .args(["--wait", "--list-rules"])
                .output();
            output.is_ok_and(|output| output.status.success())
        })
        .map(|program| (*program).to_owned())
}

impl Deed for Filter {
    fn prove(&mut self) -> Result<String, String> {
        let dose = &self.task.dose;
        if self.task.fault == Fault::Dns {
            return silent_resolver();
        }
        let Some(to) = ping::partner(&dose.peers)
            .filter(|_| self.before.as_ref().is_some_and(|seen| seen.lost() < 100))
        else {
            return self.listed();
        };
        let seen = ping::ping(to, ECHOES, PATIENCE)?;
        let percent = usize::from(dose.percent.unwrap_or(crate::fault::LOSS_PERCENT));
        let lost = seen.lost();
        let right = match self.task.fault {
            // Of few echoes a small share may lose none; then that the rules are there must do.
            Fault::Loss if percent < 15 => return self.listed(),
            Fault::Loss => lost * 3 >= percent && (percent > 90 || lost < 100),
            _ => lost == 100,
        };
        let proof = format!("{lost} % of {ECHOES} echoes to {to} lost");
        if right { Ok(proof) } else { Err(proof) }
    }

    fn revert(&mut self) -> Result<(), String> {
        clear(&self.task.attack)
    }
}

impl Filter {
    /// Where nothing answers echoes: the rules stand.
    fn listed(&self) -> Result<String, String> {
        let all = iptables(&["--table", table(self.task.fault), "--list-rules"])?;
        if all.contains(&format!("planaria-{}-", self.task.attack)) {
            Ok("the rules are there (there was nobody to measure with)".to_owned())
        } else {
            Err("the rules are not there".to_owned())
        }
    }
}

/// Asks the resolver for a name; that it is silent is the proof.
fn silent_resolver() -> Result<String, String> {
    let failed = |error: std::io::Error| format!("the resolver cannot be asked: {error}");
    let file = std::fs::read_to_string("/etc/resolv.conf").map_err(failed)?;
    let server: Ipv4Addr = file
        .lines()
        .find_map(|line| line.strip_prefix("nameserver ")?.trim().parse().ok())
        .ok_or("the target has no resolver")?;
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(failed)?;
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .map_err(failed)?;
    // Question 1, recursion wanted: the address of "localhost.".
    let question = [
        &[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 9][..],
        b"localhost",
        &[0, 0, 1, 0, 1],
    ]
    .concat();
    // A refused send is as good as no answer.
    let sent = socket.send_to(&question, (server, 53));
    let mut buffer = [0; 512];
    if sent.is_ok() && socket.recv(&mut buffer).is_ok() {
        return Err(format!("{server} answers"));
    }
    Ok(format!("{server} does not answer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Dose;

    fn task(fault: Fault, dose: Dose) -> Task {
        Task {
            attack: "a1b2c3".to_owned(),
            fault,
            dose,
            ttl_s: 9,
            look: false,
            revert: false,
            saved: None,
        }
    }

    #[test]
    fn a_partition_from_two_peers_has_a_rule_each_way() {
        let peers = vec!["10.0.0.2".parse().unwrap(), "10.0.0.3".parse().unwrap()];
        let dose = Dose {
            peers,
            ..Dose::default()
        };
        let made = rules(&task(Fault::Partition, dose.clone()));
        assert_eq!(made.len(), 4);
        assert_eq!(made[0].matches, ["--source", "10.0.0.2"]);
        assert_eq!(made[3].matches, ["--destination", "10.0.0.3"]);
        let one_way = Dose {
            way: Some(Way::In),
            ..dose
        };
        assert!(
            rules(&task(Fault::Partition, one_way))
                .iter()
                .all(|rule| rule.way == Way::In)
        );
    }

    #[test]
    fn a_loss_says_its_share() {
        let dose = Dose {
            percent: Some(7),
            ..Dose::default()
        };
        let made = rules(&task(Fault::Loss, dose));
        assert_eq!(made[0].matches.last().unwrap(), "0.07");
    }

    #[test]
    fn the_name_of_a_chain_is_short_enough() {
        assert!(chain("a1b2c3", Way::Out).len() <= 28);
    }
}
