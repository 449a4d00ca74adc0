//! The sentences of a webhook.

use super::Evidence;
use planaria_core::message::{Incident, IncidentOutcome, RestartReason};

/// Chat services take 2000 characters and refuse what is longer.
const TEXT_MAX: usize = 1900;

/// What is said about a healing: docker-autoheal's sentence first, then why.
pub(super) fn incident(incident: &Incident, evidence: Option<&Evidence>) -> String {
    let id = incident.container.as_str();
    let short = id.get(..12).unwrap_or(id);
    let name = evidence.map_or(incident.name.as_str(), |found| found.name.as_str());
    let mut text = format!(
        "Container {name} ({short}) found to be {}. {}",
        found(incident.reason),
        done(incident)
    );
    line(&mut text, &format!("Why: {}", incident.evidence));
    for note in incident.notes.values() {
        line(&mut text, &format!("Note: {note}"));
    }
    if let Some(found) = evidence {
        facts(&mut text, found);
    }
    if incident.restarts > 1 {
        line(
            &mut text,
            &format!("Restart {} within RESTART_WINDOW", incident.restarts),
        );
    }
    if let Some(took) = took(incident) {
        line(&mut text, &took);
    }
    if let Some(found) = evidence {
        last_lines(&mut text, &found.last_lines);
    }
    text
}

fn line(text: &mut String, more: &str) {
    text.push('\n');
    text.push_str(more);
}

fn facts(text: &mut String, found: &Evidence) {
    if let Some(code) = found.exit_code {
        let memory = if found.oom_killed {
            ", out of memory"
        } else {
            ""
        };
        line(text, &format!("Exit code {code}{memory}"));
    }
    if !found.error.is_empty() {
        line(text, &format!("Its start failed: {}", found.error));
    }
    if found.health_failures > 0 {
        let code = found.health_exit_code.unwrap_or(-1);
        line(
            text,
            &format!(
                "Health check: {} failures in a row, the last with exit code {code}: {}",
                found.health_failures, found.health_output
            ),
        );
    }
}

/// As many of the newest lines as there is room for.
fn last_lines(text: &mut String, lines: &[String]) {
    let head = "\nLast lines:";
    let mut room = TEXT_MAX.saturating_sub(text.chars().count() + head.len());
    let mut kept = 0;
    for line in lines.iter().rev() {
        let length = line.chars().count() + 1;
        if length > room {
            break;
        }
        room -= length;
        kept += 1;
    }
    if kept > 0 {
        text.push_str(head);
        for one in &lines[lines.len() - kept..] {
            line(text, one);
        }
    }
}

fn found(reason: RestartReason) -> &'static str {
    match reason {
        RestartReason::Killed => "killed",
        RestartReason::Failed => "failed",
        RestartReason::Ended => "ended",
        RestartReason::OutOfMemory => "out of memory",
        RestartReason::Apoptosis => "ended by its own watchdog",
        RestartReason::StartFailed => "unable to start",
        RestartReason::Unhealthy => "unhealthy",
        RestartReason::Hung => "hung",
        RestartReason::StoppedInItsTracks => "stopped in its tracks",
        RestartReason::Paused => "paused",
        RestartReason::Disconnected => "cut off from a network",
        RestartReason::NetworkOwnerRestarted => "without the network that it shares",
        RestartReason::Requested => "asked for",
        RestartReason::Removed => "removed",
        RestartReason::FoundDead => "dead",
    }
}

fn done(incident: &Incident) -> &'static str {
    match (incident.outcome, incident.reason) {
        (IncidentOutcome::Healed, RestartReason::Paused) => "Successfully unpaused the container!",
        (IncidentOutcome::Healed, RestartReason::Disconnected) => {
            "Successfully reconnected the container!"
        }
        (IncidentOutcome::Healed, RestartReason::Removed) => "Successfully made it anew!",
        (IncidentOutcome::Healed, _) => "Successfully restarted the container!",
        (IncidentOutcome::HealedByEngine, _) => "Docker itself restarted the container.",
        (IncidentOutcome::Failed, _) => "Failed to restart the container!",
        (IncidentOutcome::Refused, _) => "Left alone.",
        (IncidentOutcome::Quarantined, _) => "Restarted too often: left down until it is released.",
        (IncidentOutcome::LeftDown, _) => "Ended and left down, as its label says.",
    }
}

/// How long it took, as far as it is known.
pub(super) fn total_ms(incident: &Incident) -> u64 {
    [
        incident.detect_ms,
        incident.order_ms,
        incident.start_ms,
        incident.healthy_ms,
    ]
    .into_iter()
    .flatten()
    .fold(0, u64::saturating_add)
}

fn took(incident: &Incident) -> Option<String> {
    incident.start_ms?;
    let phase = |name: &str, ms: Option<u64>| ms.map(|ms| format!("{name} {ms} ms"));
    let phases: Vec<String> = [
        phase("detected", incident.detect_ms),
        phase("ordered", incident.order_ms),
        phase("running", incident.start_ms),
        phase("healthy", incident.healthy_ms),
    ]
    .into_iter()
    .flatten()
    .collect();
    Some(format!(
        "It took {} ms ({})",
        total_ms(incident),
        phases.join(", ")
    ))
}
