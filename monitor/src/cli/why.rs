//! What is known of one container, in sentences: what was seen, who decided, what was ordered, how long
//! it took, how it ended, and how it stands now.

use super::events::{leaders, word};
use super::exit;
use super::show::ShowArgs;
use crate::{ask, broker, clock, config};
use clap::Args;
use planaria_core::codec::Codec;
use planaria_core::id::MemberName;
use planaria_core::message::{
    Alert, Hold, Incident, IncidentOutcome, KeyRole, MemberState, MemberView, RestartReason,
};
use planaria_core::settings::{Settings, parse_duration};
use planaria_core::status::Status;
use serde::Serialize;
use std::time::Duration;

/// Incidents told in sentences; `--json` has them all.
const INCIDENTS_TOLD: usize = 5;
/// Alerts told in sentences.
const ALERTS_TOLD: usize = 3;
/// How the core says it; the time of day follows.
const STOPPED: &str = "stopped by a person";

#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    /// The container, by its name.
    name: String,
    /// How far back the journal is read (only where the healer key is, and the broker).
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_duration)]
    since: Duration,
    #[command(flatten)]
    show: ShowArgs,
}

/// All that one status says about one name.
#[derive(Debug, Serialize)]
struct Story<'a> {
    name: &'a str,
    /// Who tells it.
    told_by: &'a str,
    /// The teller is the leader.
    by_leader: bool,
    member: Option<&'a MemberView>,
    holds: Vec<&'a Hold>,
    /// Newest first, as in `/status`.
    incidents: Vec<&'a Incident>,
    alerts: Vec<&'a Alert>,
    sentences: Vec<String>,
}

pub(super) fn why(settings: &Settings, args: &WhyArgs) -> u8 {
    let mut told = match leaders(settings, &args.show) {
        Ok(told) => told,
        Err(code) => return code,
    };
    // Who healed it may lead no more, or live no more: the others are asked, and the journal is read.
    let others = elsewhere(settings, &told.status, args);
    merge(&mut told.status.incidents, others);
    if let Some(reason) = &told.silent_leader {
        eprintln!("monitor: {reason}; this is what {} knows", told.status.node);
    }
    let Some(story) = story(&told.status, &args.name) else {
        eprintln!(
            "monitor: {} knows nothing of {}: no member, patient, hold, incident or alert of that name (monitor members lists who is known)",
            told.status.node, args.name
        );
        return exit::FAILURE;
    };
    if args.show.json {
        println!("{}", serde_json::to_string(&story).unwrap_or_default());
    } else {
        for sentence in &story.sentences {
            println!("{sentence}");
        }
    }
    exit::OK
}

/// What other healers and the journal remember. What cannot be had is said, and done without.
fn elsewhere(settings: &Settings, told: &Status, args: &WhyArgs) -> Vec<Incident> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    runtime.block_on(async {
        let mut incidents = journal(settings, args).await;
        let port = settings.health_addr.port();
        let healers = told.members.iter().filter(|member| member.healer);
        for healer in healers.filter(|healer| healer.name != told.node) {
            let address = format!("{}:{port}", healer.name);
            if let Ok(status) = ask::status(&address).await {
                incidents.extend(status.incidents);
            }
        }
        incidents
    })
}

async fn journal(settings: &Settings, args: &WhyArgs) -> Vec<Incident> {
    let Ok(keys) = config::keys(settings) else {
        return Vec::new();
    };
    if settings.amqp_urls.is_empty() || !keys.holds(KeyRole::Healer) {
        return Vec::new();
    }
    let codec = Codec::new(keys);
    match broker::read_journal(settings, &codec, &args.name, args.since).await {
        Ok(incidents) => incidents,
        Err(error) => {
            eprintln!(
                "monitor: the journal cannot be read ({error}); this is what the monitors themselves remember"
            );
            Vec::new()
        }
    }
}

/// Each once, the newest first; those without a time of day as they stood, at the end.
fn merge(incidents: &mut Vec<Incident>, others: Vec<Incident>) {
    for other in others {
        if !incidents.iter().any(|known| known.id == other.id) {
            incidents.push(other);
        }
    }
    incidents.sort_by_key(|incident| std::cmp::Reverse(incident.at_ms));
}

/// `None` where nothing is known of the name.
fn story<'a>(status: &'a Status, name: &'a str) -> Option<Story<'a>> {
    let is_it = |other: Option<&str>| other == Some(name);
    let named = |hold: &Hold| is_it(hold.name.as_ref().map(MemberName::as_str));
    let member = status.members.iter().find(|m| m.name.as_str() == name);
    let incidents: Vec<_> = status.incidents.iter().filter(|i| i.name == name).collect();
    let alerts: Vec<_> = status
        .alerts
        .iter()
        .filter(|alert| is_it(alert.name.as_ref().map(MemberName::as_str)))
        .collect();
    let known = member.is_some() || !incidents.is_empty() || !alerts.is_empty();
    if !known && !status.held.iter().any(named) {
        return None;
    }
    // A hold of everyone says nothing of whether this one exists, but it holds it too.
    let holds: Vec<_> = status
        .held
        .iter()
        .filter(|hold| hold.name.is_none() || named(hold))
        .collect();
    let mut story = Story {
        name,
        told_by: status.node.as_str(),
        by_leader: status.is_leader,
        member,
        holds,
        incidents,
        alerts,
        sentences: Vec::new(),
    };
    story.sentences = sentences(&story);
    Some(story)
}

fn sentences(story: &Story<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    if story.incidents.is_empty() {
        lines.push(format!(
            "{} remembers no healing of {}.",
            story.told_by, story.name
        ));
    }
    let mut told: Vec<_> = story.incidents.iter().take(INCIDENTS_TOLD).collect();
    told.reverse();
    lines.extend(told.into_iter().map(|incident| history(incident)));
    let mut alerts: Vec<_> = story.alerts.iter().take(ALERTS_TOLD).collect();
    alerts.reverse();
    lines.extend(alerts.into_iter().map(|alert| {
        let severity = word(&alert.severity);
        format!(
            "Alert {} ({severity}): {}",
            alert.kind,
            sentence(&alert.text)
        )
    }));
    lines.push(format!("Now: {}", stands(story.name, story.member)));
    lines.extend(story.holds.iter().map(|hold| {
        let whom = if hold.name.is_some() { "It" } else { "Everyone" };
        let reason = if hold.reason.is_empty() {
            "no reason given"
        } else {
            &hold.reason
        };
        format!(
            "{whom} is on hold for {} s more ({reason}): watched and reported, not touched; monitor resume ends that.",
            hold.left_ms / 1000
        )
    }));
    lines
}

/// One incident: seen, decided, ordered, timed, ended.
fn history(incident: &Incident) -> String {
    let office = match incident.term {
        0 => "without an office".to_owned(),
        term => format!("in term {term}"),
    };
    let decided = match (incident.outcome, incident.order_ms) {
        (IncidentOutcome::HealedByEngine, _) => {
            format!(
                "{} ({office}) left it to Docker's own restart policy.",
                incident.by
            )
        }
        (_, Some(_)) => format!(
            "{} decided {office} to {}.",
            incident.by,
            remedy(incident.reason)
        ),
        (_, None) => format!("{} judged it {office} and ordered nothing.", incident.by),
    };
    let notes: String = incident
        .notes
        .iter()
        .map(|(key, text)| match key.as_str() {
            "attack" => format!(" It was attack {text} of the chaos monkey."),
            _ => format!(" {}: {}", word(key), sentence(text)),
        })
        .collect();
    let at = incident.at_ms;
    let at = at.map_or(String::new(), |at| format!("At {}: ", clock::text(at)));
    format!(
        "{at}{} {} (seen: {}). {decided}{} {}{notes} [incident {}]",
        incident.name,
        what_happened(incident.reason),
        incident.evidence,
        timing(incident),
        ending(incident.outcome),
        incident.id
    )
}

fn what_happened(reason: RestartReason) -> &'static str {
    match reason {
        RestartReason::Killed => "was killed by a signal from outside",
        RestartReason::Failed => "ended by itself with an error",
        RestartReason::Ended => "ended by itself without an error, where it should run",
        RestartReason::OutOfMemory => "was killed for want of memory",
        RestartReason::Apoptosis => "hung and ended itself (apoptosis)",
        RestartReason::StartFailed => "could not be started",
        RestartReason::Unhealthy => "failed its health check",
        RestartReason::Hung => "hung",
        RestartReason::StoppedInItsTracks => "had its first process stopped by a signal",
        RestartReason::Paused => "was paused for longer than the grace",
        RestartReason::Disconnected => "was cut off from a network",
        RestartReason::NetworkOwnerRestarted => {
            "lost its network, because the container it shares that with was started anew"
        }
        RestartReason::Requested => "was to be brought back because a person asked",
        RestartReason::Removed => "was removed, and nothing took its name",
        RestartReason::FoundDead => "was found dead",
    }
}

/// What such a reason leads to.
fn remedy(reason: RestartReason) -> &'static str {
    match reason {
        RestartReason::Killed
        | RestartReason::Failed
        | RestartReason::Ended
        | RestartReason::OutOfMemory
        | RestartReason::StartFailed
        | RestartReason::FoundDead => "start it",
        RestartReason::Removed => "make it anew, as its label allows",
        RestartReason::Apoptosis => "start it, killing what was left of it",
        RestartReason::Unhealthy | RestartReason::Hung => "kill it, then start it",
        RestartReason::StoppedInItsTracks => {
            "continue it, and to kill and start it where that is of no use"
        }
        RestartReason::Paused => "unpause it",
        RestartReason::Disconnected => "connect it again",
        RestartReason::NetworkOwnerRestarted | RestartReason::Requested => {
            "start it, killing it first where it ran"
        }
    }
}

fn timing(incident: &Incident) -> String {
    let phases = [
        ("to see it", incident.detect_ms),
        ("to order it", incident.order_ms),
        ("until it ran", incident.start_ms),
        ("until it was fit", incident.healthy_ms),
    ];
    let known: Vec<String> = phases
        .into_iter()
        .filter_map(|(what, ms)| ms.map(|ms| format!("{ms} ms {what}")))
        .collect();
    if known.is_empty() {
        return String::new();
    }
    let total = phases
        .into_iter()
        .filter_map(|(_, ms)| ms)
        .fold(0_u64, u64::saturating_add);
    format!(" It took {}: {total} ms in all.", known.join(", "))
}

fn ending(outcome: IncidentOutcome) -> &'static str {
    match outcome {
        IncidentOutcome::Healed => "It was healed.",
        IncidentOutcome::HealedByEngine => "Docker brought it back.",
        IncidentOutcome::Refused => {
            "It was given up: a person's will, or another life of it, came first."
        }
        IncidentOutcome::Failed => "It did not come back in time.",
        IncidentOutcome::Quarantined => "It was put in quarantine after too many restarts.",
        IncidentOutcome::LeftDown => "It was ended and left down, as its label says.",
    }
}

/// How it stands now, and why.
fn stands(name: &str, member: Option<&MemberView>) -> String {
    let Some(member) = member else {
        return format!("{name} is in no member table any more.");
    };
    let heard = member
        .last_heartbeat_ms
        .map_or(String::new(), |ms| format!(", heard {ms} ms ago"));
    let mut text = match member.state {
        MemberState::Left if member.why.starts_with(STOPPED) => format!(
            "{name} is down because a person stopped it{}, and is left alone until somebody starts it (monitor heal {name} does).",
            member.why.strip_prefix(STOPPED).unwrap_or_default()
        ),
        MemberState::Left if member.why == "unwitnessed" => format!(
            "{name} is down and nobody saw how it ended (unwitnessed), so it is not started unasked; monitor heal {name} starts it."
        ),
        MemberState::Left => format!("{name} left in order; no verdict follows from its silence."),
        MemberState::Quarantined => format!(
            "{name} is in quarantine: it was restarted too often and is left down; monitor release {name} ends that."
        ),
        MemberState::Patient => {
            format!("{name} runs; it has no monitor of its own and is watched through Docker.")
        }
        MemberState::Joining => format!("{name} has just joined{heard}."),
        MemberState::Alive => format!("{name} is alive{heard}."),
        MemberState::Late => format!("{name} is late: heartbeats are missing{heard}."),
        MemberState::Suspect => format!("{name} is suspect: witnesses are being asked{heard}."),
        MemberState::Dead => format!("{name} is dead{heard}."),
        MemberState::Restarting => format!("{name} is being brought back."),
        MemberState::Isolated => format!(
            "{name} is not heard over the broker but answers probes: it lost its network, not its life."
        ),
        MemberState::Expected => format!("{name} runs, but its monitor was not heard yet."),
    };
    if !member.why.is_empty() && member.state != MemberState::Left {
        text.push_str(&format!(" Seen: {}", sentence(&member.why)));
    }
    if member.restarts > 0 {
        let restarts = member.restarts;
        text.push_str(&format!(" Restarts within the window: {restarts}."));
    }
    text
}

/// With an end.
fn sentence(text: &str) -> String {
    if text.ends_with(['.', '!', '?']) {
        return text.to_owned();
    }
    format!("{text}.")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use planaria_core::id::{BootId, ContainerId, Incarnation};
    use planaria_core::message::HoldVersion;
    use planaria_core::status::{BrokerState, EngineState};
    use std::collections::BTreeMap;

    pub(in super::super) fn incident(
        name: &str,
        reason: RestartReason,
        evidence: &str,
    ) -> Incident {
        Incident {
            id: "b-1".into(),
            name: name.into(),
            container: ContainerId("0123456789ab".into()),
            reason,
            evidence: evidence.into(),
            by: MemberName::new("healer-2").unwrap(),
            term: 7,
            detect_ms: Some(3),
            order_ms: Some(1),
            start_ms: Some(240),
            healthy_ms: Some(600),
            outcome: IncidentOutcome::Healed,
            action: String::new(),
            exit_code: None,
            oom: false,
            restarts: 0,
            at_ms: None,
            notes: BTreeMap::new(),
        }
    }

    fn member(name: &str, state: MemberState, why: &str) -> MemberView {
        MemberView {
            name: MemberName::new(name).unwrap(),
            state,
            incarnation: Incarnation(String::new()),
            boot: None,
            host: None,
            last_heartbeat_ms: Some(800),
            restarts: 0,
            candidate: false,
            healer: false,
            why: why.into(),
            held: false,
            skew_ms: None,
            pulse_age_ms: None,
        }
    }

    pub(in super::super) fn status(members: Vec<MemberView>) -> Status {
        Status {
            cluster: "planaria".into(),
            node: MemberName::new("healer-2").unwrap(),
            boot: BootId(1),
            leader: Some(MemberName::new("healer-2").unwrap()),
            leader_why: String::new(),
            term: 7,
            term_id: None,
            is_leader: true,
            may_force: true,
            members,
            broker: BrokerState::Connected,
            docker: EngineState::Connected,
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
        }
    }

    fn told(status: &Status, name: &str) -> String {
        story(status, name).unwrap().sentences.join("\n")
    }

    #[test]
    fn a_kill_is_told_with_its_times() {
        let mut status = status(vec![member("worker-1", MemberState::Alive, "")]);
        let evidence = "Docker event die, exit code 137";
        status.incidents = vec![incident("worker-1", RestartReason::Killed, evidence)];
        let text = told(&status, "worker-1");
        assert_eq!(
            text,
            "worker-1 was killed by a signal from outside (seen: Docker event die, exit code 137). \
             healer-2 decided in term 7 to start it. It took 3 ms to see it, 1 ms to order it, \
             240 ms until it ran, 600 ms until it was fit: 844 ms in all. It was healed. [incident b-1]\n\
             Now: worker-1 is alive, heard 800 ms ago."
        );
    }

    #[test]
    fn what_others_remember_is_told_once_and_in_order_of_time() {
        let of = |id: &str, at: u64| {
            let mut incident = incident("worker-1", RestartReason::Killed, "exit code 137");
            incident.id = id.into();
            incident.at_ms = Some(at);
            incident
        };
        let (first, second) = (of("a-1", 1_795_266_249_500), of("b-1", 1_795_266_250_000));
        let mut told = vec![first.clone()];
        merge(&mut told, vec![first.clone(), second.clone()]);
        assert_eq!(told, [second, first.clone()]);
        let text = history(&first);
        assert!(
            text.starts_with("At 2026-11-21T13:04:09.500Z: worker-1 was killed"),
            "{text}"
        );
    }

    #[test]
    fn an_apoptosis_is_no_kill() {
        let mut status = status(vec![member("worker-1", MemberState::Alive, "")]);
        let evidence = "last words: pulse main is 10020 ms late";
        status.incidents = vec![incident("worker-1", RestartReason::Apoptosis, evidence)];
        let text = told(&status, "worker-1");
        assert!(text.contains("hung and ended itself (apoptosis)"), "{text}");
        assert!(text.contains("main is 10020 ms late"), "{text}");
        assert!(!text.contains("signal from outside"), "{text}");
    }

    #[test]
    fn an_operators_stop_is_a_will_and_no_death() {
        let why = "stopped by a person at 2026-11-21T13:04:09Z";
        let gone = member("worker-1", MemberState::Left, why);
        let mut status = status(vec![gone]);
        let text = told(&status, "worker-1");
        assert_eq!(
            text,
            "healer-2 remembers no healing of worker-1.\n\
             Now: worker-1 is down because a person stopped it at 2026-11-21T13:04:09Z, and is left alone until somebody \
             starts it (monitor heal worker-1 does)."
        );
        // It came in the middle of a healing.
        let mut refused = incident("worker-1", RestartReason::Killed, "exit code 137");
        refused.outcome = IncidentOutcome::Refused;
        refused.healthy_ms = None;
        let note = ("refused".to_owned(), "somebody stopped it".to_owned());
        refused.notes = BTreeMap::from([note]);
        status.incidents = vec![refused];
        let text = told(&status, "worker-1");
        assert!(text.contains("It was given up"), "{text}");
        assert!(text.contains("refused: somebody stopped it."), "{text}");
    }

    #[test]
    fn every_way_of_being_left_alone_names_its_end() {
        let mut status = status(vec![
            member("a", MemberState::Quarantined, "restarted too often"),
            member("b", MemberState::Left, "unwitnessed"),
            member("c", MemberState::Alive, ""),
        ]);
        status.held = vec![Hold {
            name: Some(MemberName::new("c").unwrap()),
            left_ms: 90_500,
            reason: "migration".into(),
            version: HoldVersion::default(),
        }];
        assert!(told(&status, "a").contains("monitor release a"));
        assert!(told(&status, "b").contains("nobody saw how it ended"));
        let held = told(&status, "c");
        assert!(held.contains("on hold for 90 s more (migration)"), "{held}");
    }

    #[test]
    fn of_a_stranger_nothing_is_told_also_when_everyone_is_held() {
        let mut status = status(Vec::new());
        status.held = vec![Hold {
            name: None,
            left_ms: 1000,
            reason: String::new(),
            version: HoldVersion::default(),
        }];
        assert!(story(&status, "nobody").is_none());
    }
}
