//! The group, for people.

use super::{exit, get, local};
use crate::metrics::state_name;
use clap::Args;
use planaria_core::message::{MemberState, MemberView};
use planaria_core::settings::Settings;
use planaria_core::status::{BrokerState, EngineState, Status};
use std::fmt::Write as _;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Ask this monitor (host:port) instead of the one in this container.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
}

impl ShowArgs {
    /// Whom to ask.
    pub(super) fn address(&self, settings: &Settings) -> String {
        self.address.clone().unwrap_or_else(|| local(settings))
    }
}

#[derive(Debug, Args)]
pub(super) struct MembersArgs {
    /// Only those in one of these states: joining, alive, late, suspect, dead, restarting, isolated, quarantined,
    /// left, expected, patient. Exit code 1 where nobody is.
    #[arg(long, value_name = "STATE,...", value_delimiter = ',', value_parser = parse_state)]
    state: Vec<MemberState>,
    #[command(flatten)]
    show: ShowArgs,
}

fn parse_state(text: &str) -> Result<MemberState, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

/// Incidents shown below the table.
const INCIDENTS_SHOWN: usize = 5;

pub(super) fn fetch(settings: &Settings, args: &ShowArgs) -> Result<(Vec<u8>, Status), u8> {
    ask_for_status(&args.address(settings))
}

/// What the monitor there knows, as it said it and understood.
pub(super) fn ask_for_status(address: &str) -> Result<(Vec<u8>, Status), u8> {
    let body = get(address, "/status").map_err(|error| {
        eprintln!("monitor: {error}");
        exit::UNAVAILABLE
    })?;
    let status = serde_json::from_slice(&body).map_err(|error| {
        eprintln!("monitor: {address} answers something else than a monitor: {error}");
        exit::FAILURE
    })?;
    Ok((body, status))
}

pub(super) fn status(settings: &Settings, args: &ShowArgs) -> u8 {
    match fetch(settings, args) {
        Ok((body, _)) if args.json => {
            println!("{}", String::from_utf8_lossy(&body));
            exit::OK
        }
        Ok((_, status)) => {
            print!("{}", render(&status));
            exit::OK
        }
        Err(code) => code,
    }
}

pub(super) fn members(settings: &Settings, args: &MembersArgs) -> u8 {
    match fetch(settings, &args.show) {
        Ok((_, mut status)) => {
            keep(&mut status.members, &args.state);
            if args.show.json {
                let text = serde_json::to_string(&status.members).unwrap_or_default();
                println!("{text}");
            } else {
                print!("{}", table(&status));
            }
            if status.members.is_empty() && !args.state.is_empty() {
                exit::FAILURE
            } else {
                exit::OK
            }
        }
        Err(code) => code,
    }
}

/// All of them where no state is named.
fn keep(members: &mut Vec<MemberView>, states: &[MemberState]) {
    members.retain(|member| states.is_empty() || states.contains(&member.state));
}

fn render(status: &Status) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(text, "Cluster {}, seen by {}", status.cluster, status.node);
    match &status.leader {
        Some(leader) => {
            let _ = write!(text, "Leader  {leader} (term {})", status.term);
            let why = if status.leader_why.is_empty() {
                "\n".to_owned()
            } else {
                format!(": {}\n", status.leader_why)
            };
            text.push_str(&why);
        }
        None => {
            let _ = writeln!(
                text,
                "Leader  none known (highest term seen: {})",
                status.term
            );
        }
    }
    let broker = match status.broker {
        BrokerState::Connected => "connected",
        BrokerState::Down => "down",
        BrokerState::None => "none",
    };
    let docker = match status.docker {
        EngineState::Connected => "connected",
        EngineState::Down => "down",
        EngineState::None => "none",
    };
    let blind = if status.blind {
        "; blind: judges nobody by silence"
    } else {
        ""
    };
    let _ = writeln!(text, "Broker  {broker}, Docker {docker}{blind}\n");
    text.push_str(&table(status));
    for hold in &status.held {
        let whom = hold.name.as_ref().map_or("everyone", |name| name.as_str());
        let left = Duration::from_millis(hold.left_ms).as_secs();
        let _ = writeln!(text, "On hold: {whom}, {left} s more. {}", hold.reason);
    }
    if !status.incidents.is_empty() {
        text.push_str("\nLast incidents\n");
    }
    for incident in status.incidents.iter().take(INCIDENTS_SHOWN) {
        let took: u64 = [
            incident.detect_ms,
            incident.order_ms,
            incident.start_ms,
            incident.healthy_ms,
        ]
        .into_iter()
        .flatten()
        .sum();
        let outcome = serde_json::to_value(incident.outcome).unwrap_or_default();
        let _ = writeln!(
            text,
            "  {}: {} in {took} ms by {} ({})",
            incident.name,
            outcome.as_str().unwrap_or("unknown").replace('_', " "),
            incident.by,
            incident.evidence
        );
    }
    text
}

/// One line per member, in natural order, the leader with a star.
fn table(status: &Status) -> String {
    let mut members: Vec<&MemberView> = status.members.iter().collect();
    members.sort_by(|one, other| one.name.natural_cmp(&other.name));
    let width = members
        .iter()
        .map(|member| member.name.as_str().len())
        .chain([4])
        .max()
        .unwrap_or(4);
    let mut text = format!(
        "  {:width$}  {:11}  {:>9}  {:>8}\n",
        "NAME", "STATE", "HEARD", "RESTARTS"
    );
    for member in members {
        let star = if Some(&member.name) == status.leader.as_ref() {
            '*'
        } else {
            ' '
        };
        let heard = member.last_heartbeat_ms.map_or("-".to_owned(), |ms| {
            format!("{}.{} s", ms / 1000, ms % 1000 / 100)
        });
        let role = if member.state == MemberState::Patient {
            "no monitor"
        } else if member.candidate {
            "candidate"
        } else {
            ""
        };
        let notes = [role, member.why.as_str()]
            .into_iter()
            .filter(|note| !note.is_empty())
            .collect::<Vec<_>>()
            .join("; ");
        let line = format!(
            "{star} {:width$}  {:11}  {heard:>9}  {:>8}  {notes}",
            member.name.as_str(),
            state_name(member.state),
            member.restarts
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use planaria_core::id::{BootId, Incarnation, MemberName};

    fn member(name: &str, state: MemberState) -> MemberView {
        MemberView {
            name: MemberName::new(name).unwrap(),
            state,
            incarnation: Incarnation(String::new()),
            boot: None,
            host: None,
            last_heartbeat_ms: Some(1234),
            restarts: 2,
            candidate: false,
            healer: false,
            why: String::new(),
            held: false,
            skew_ms: None,
            pulse_age_ms: None,
        }
    }

    #[test]
    fn people_see_who_leads_and_how_everyone_is() {
        let status = Status {
            cluster: "planaria".into(),
            node: MemberName::new("healer-1").unwrap(),
            boot: BootId(1),
            leader: Some(MemberName::new("healer-2").unwrap()),
            leader_why: "the highest fit candidate".into(),
            term: 7,
            term_id: None,
            is_leader: false,
            may_force: false,
            members: vec![
                member("worker-10", MemberState::Alive),
                member("worker-9", MemberState::Dead),
                member("healer-2", MemberState::Alive),
            ],
            broker: BrokerState::Connected,
            docker: EngineState::None,
            held: Vec::new(),
            fences: Vec::new(),
            incidents: Vec::new(),
            alerts: Vec::new(),
            tickets: 0,
            elections: 0,
            restarts_ordered: 0,
            heartbeats: 0,
            local_health: 0,
            blind: false,
        };
        let text = render(&status);
        assert!(
            text.contains("Leader  healer-2 (term 7): the highest fit candidate"),
            "{text}"
        );
        assert!(
            text.contains("* healer-2   alive            1.2 s         2"),
            "{text}"
        );
        let (nine, ten) = (text.find("worker-9"), text.find("worker-10"));
        assert!(nine < ten, "natural order:\n{text}");
    }

    #[test]
    fn members_are_kept_by_state() {
        let all = vec![
            member("worker-1", MemberState::Dead),
            member("worker-2", MemberState::Alive),
            member("worker-3", MemberState::Expected),
        ];
        let kept = |states: &[MemberState]| {
            let mut members = all.clone();
            keep(&mut members, states);
            members
                .iter()
                .map(|member| member.name.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(kept(&[]).len(), 3);
        let down = [MemberState::Dead, MemberState::Expected];
        assert_eq!(kept(&down), ["worker-1", "worker-3"]);
        assert!(kept(&[MemberState::Late]).is_empty());
        assert_eq!(parse_state("dead"), Ok(MemberState::Dead));
        assert!(parse_state("deed").unwrap_err().contains("quarantined"));
    }
}
