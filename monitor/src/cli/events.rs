//! The last incidents and alerts, one line each.

use super::show::{ShowArgs, fetch};
use super::{exit, get};
use crate::ask;
use clap::Args;
use planaria_core::id::BootId;
use planaria_core::message::{Alert, Incident};
use planaria_core::settings::Settings;
use planaria_core::status::Status;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

/// Between two looks of `--follow`.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);
/// Lives of monitors whose lists `--follow` remembers; beyond it the oldest boots are forgotten.
const BOOTS_MAX: usize = 64;

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    #[command(flatten)]
    show: ShowArgs,
    /// Go on, and print what is new.
    #[arg(long)]
    follow: bool,
    /// At most so many incidents and so many alerts to begin with.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

/// One line of the output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Incident(Incident),
    Alert(Alert),
}

pub(super) fn events(settings: &Settings, args: &EventsArgs) -> u8 {
    let status = match leaders(settings, &args.show) {
        Ok(told) => told.status,
        Err(code) => return code,
    };
    let mut known = Known::default();
    let mut shown = print(&tail(known.news(&status), args.limit), args.show.json);
    // Whoever reads it may hang up.
    while args.follow && shown.is_ok() {
        std::thread::sleep(FOLLOW_INTERVAL);
        // A monitor that is being restarted is asked again; the first look has shown that there is one.
        if let Ok(told) = leaders_quietly(settings, &args.show) {
            shown = print(&known.news(&told.status), args.show.json);
        }
    }
    exit::OK
}

/// A status, and what stood in the way of the leader's own.
pub(super) struct Told {
    pub(super) status: Status,
    /// The leader was to be asked and did not answer.
    pub(super) silent_leader: Option<String>,
}

/// The leader's status where it can be had (incidents are remembered by who acted), else that of the
/// monitor in this container.
pub(super) fn leaders(settings: &Settings, args: &ShowArgs) -> Result<Told, u8> {
    let (_, status) = fetch(settings, args)?;
    Ok(of_leader(settings, status))
}

fn leaders_quietly(settings: &Settings, args: &ShowArgs) -> Result<Told, String> {
    let body = get(&args.address(settings), "/status")?;
    let status = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    Ok(of_leader(settings, status))
}

fn of_leader(settings: &Settings, own: Status) -> Told {
    let leader = own.leader.clone().filter(|leader| *leader != own.node);
    let Some(leader) = leader else {
        return Told {
            status: own,
            silent_leader: None,
        };
    };
    let address = format!("{leader}:{}", settings.health_addr.port());
    let asked = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(ask::status(&address)));
    match asked {
        Ok(status) => Told {
            status,
            silent_leader: None,
        },
        Err(error) => Told {
            status: own,
            silent_leader: Some(format!(
                "The leader {leader} does not answer at {address} ({error})"
            )),
        },
    }
}

/// What was shown already, by the boot that told it: a list is only comparable with itself.
#[derive(Default)]
struct Known(BTreeMap<BootId, (Vec<Incident>, Vec<Alert>)>);

impl Known {
    /// What is new, oldest first: alerts, then incidents (a status has no times to sort them by).
    fn news(&mut self, status: &Status) -> Vec<Event> {
        let (incidents, alerts) = self.0.remove(&status.boot).unwrap_or_default();
        let new_alerts = fresh(&alerts, &status.alerts);
        let new_incidents = fresh(&incidents, &status.incidents);
        while self.0.len() >= BOOTS_MAX {
            self.0.pop_first();
        }
        let now = (status.incidents.clone(), status.alerts.clone());
        self.0.insert(status.boot, now);
        let alerts = new_alerts.iter().rev().cloned().map(Event::Alert);
        let incidents = new_incidents.iter().rev().cloned().map(Event::Incident);
        alerts.chain(incidents).collect()
    }
}

/// What stands before the old list in the new one; both newest first, the old one's end may be gone.
fn fresh<'a, T: PartialEq>(old: &[T], new: &'a [T]) -> &'a [T] {
    let same = |count: &usize| {
        let rest = &new[*count..];
        old.len() >= rest.len() && old[..rest.len()] == *rest
    };
    let count = (0..=new.len()).find(same).unwrap_or(new.len());
    &new[..count]
}

/// The newest of each kind.
fn tail(events: Vec<Event>, limit: usize) -> Vec<Event> {
    let is_alert = |event: &Event| matches!(event, Event::Alert(_));
    let (alerts, incidents): (Vec<_>, Vec<_>) = events.into_iter().partition(is_alert);
    let last = |list: Vec<Event>| {
        let skip = list.len().saturating_sub(limit);
        list.into_iter().skip(skip)
    };
    last(alerts).chain(last(incidents)).collect()
}

fn print(events: &[Event], json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for event in events {
        if json {
            serde_json::to_writer(&mut out, event)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", line(event))?;
        }
    }
    out.flush()
}

fn line(event: &Event) -> String {
    match event {
        Event::Alert(alert) => {
            let whom = alert.name.as_ref().map_or("-", |name| name.as_str());
            let severity = word(&alert.severity);
            format!("alert {severity} {whom} {}: {}", alert.kind, alert.text)
        }
        Event::Incident(incident) => format!(
            "incident {} {}, {}{} by {} in term {} ({})",
            incident.name,
            word(&incident.reason),
            word(&incident.outcome),
            phases(incident),
            incident.by,
            incident.term,
            incident.evidence
        ),
    }
}

fn phases(incident: &Incident) -> String {
    let known: Vec<String> = [
        ("detect", incident.detect_ms),
        ("order", incident.order_ms),
        ("start", incident.start_ms),
        ("healthy", incident.healthy_ms),
    ]
    .into_iter()
    .filter_map(|(name, ms)| ms.map(|ms| format!("{name} {ms} ms")))
    .collect();
    if known.is_empty() {
        return String::new();
    }
    format!(": {}", known.join(", "))
}

/// The word for it in JSON, for people.
pub(super) fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or("unknown").replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::super::why::tests::{incident, status};
    use super::*;
    use planaria_core::message::{RestartReason, Severity};

    #[test]
    fn only_what_is_before_the_old_list_is_new() {
        assert_eq!(fresh(&[], &[2, 1]), [2, 1]);
        assert_eq!(fresh(&[2, 1], &[2, 1]), [0; 0]);
        assert_eq!(fresh(&[2, 1], &[3, 2, 1]), [3]);
        assert_eq!(fresh(&[2, 1], &[4, 3, 2]), [4, 3], "the oldest fell out");
        assert_eq!(fresh(&[1, 1], &[1, 1, 1]).len(), 1, "the same once more");
        assert_eq!(fresh(&[9], &[2, 1]), [2, 1]);
        assert_eq!(fresh(&[2, 1], &[]), [0; 0]);
    }

    #[test]
    fn a_new_incident_is_told_once_and_the_newest_stands_last() {
        let mut known = Known::default();
        let mut seen = status(Vec::new());
        seen.incidents = vec![incident("worker-1", RestartReason::Killed, "exit code 137")];
        assert_eq!(known.news(&seen).len(), 1);
        assert!(known.news(&seen).is_empty());
        let second = incident("worker-2", RestartReason::Hung, "silent");
        seen.incidents.insert(0, second.clone());
        assert_eq!(known.news(&seen), [Event::Incident(second.clone())]);
        let all = Known::default().news(&seen);
        assert_eq!(tail(all.clone(), 1), [Event::Incident(second)]);
        assert_eq!(
            line(&all[0]),
            "incident worker-1 killed, healed: detect 3 ms, order 1 ms, start 240 ms, healthy 600 ms \
             by healer-2 in term 7 (exit code 137)"
        );
    }

    #[test]
    fn an_alert_is_one_line() {
        let alert = Alert {
            severity: Severity::Critical,
            kind: "quarantined".into(),
            name: None,
            text: "too often".into(),
        };
        let event = Event::Alert(alert);
        assert_eq!(line(&event), "alert CRITICAL - quarantined: too often");
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["alert"]["kind"], "quarantined");
    }
}
