//! The checks of the proof: each a sentence, whether it holds, and what was seen.

use super::history;
use super::judge::Findings;
use super::load::Tally;
use super::witness::{Happened, Notes, two_at_once};
use crate::fault::Fault;
use crate::ledger::{Event, Story};
use serde::Serialize;

/// Everything that is to be done at least once for a proof to mean something.
pub const KINDS: [&str; 7] = [
    "put",
    "conditional put",
    "get",
    "range",
    "delete",
    "list",
    "multipart",
];

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is to hold.
    pub what: &'static str,
    /// Whether it does.
    pub holds: bool,
    /// What was seen.
    pub seen: String,
}

fn check(what: &'static str, wrong: &[String], seen: String) -> Check {
    let seen = if wrong.is_empty() {
        seen
    } else {
        format!("{}; {seen}", wrong.join("; "))
    };
    Check {
        what,
        holds: wrong.is_empty(),
        seen,
    }
}

/// Every object that was acknowledged and never touched again, and what the nodes gave for it at the end.
pub fn everything_is_there(kept: usize, bytes: u64, looks: usize, missing: &[String]) -> Check {
    check(
        "Every acknowledged object is there, byte for byte, from every node",
        missing,
        format!("{kept} objects of {bytes} bytes acknowledged, {looks} looks at the end"),
    )
}

/// The judge's findings.
pub fn linearizable(findings: &Findings) -> Check {
    let wrong: Vec<String> = findings
        .broken
        .iter()
        .map(|key| format!("{key} is not linearizable"))
        .collect();
    check(
        "The history of every key is linearizable",
        &wrong,
        format!(
            "{} keys, {} requests, {} of them without an answer",
            findings.keys, findings.requests, findings.unknown
        ),
    )
}

/// No answer was a lie, and no kind of request was never answered.
pub fn honest(tally: &Tally) -> Check {
    let mut wrong = tally.wrong.clone();
    for kind in KINDS {
        if tally.done.get(kind).copied().unwrap_or(0) == 0 {
            wrong.push(format!("no {kind} was ever answered"));
        }
    }
    let done: u64 = tally.done.values().sum();
    let failed: u64 = tally.failed.values().sum();
    check(
        "The store answered every kind of request, and never with wrong bytes",
        &wrong,
        format!("{done} requests answered, {failed} not"),
    )
}

/// There were attacks, and each ended as it should.
pub fn healed(stories: &[Story]) -> Check {
    let mut wrong = Vec::new();
    let injected = stories.iter().filter(|story| story.injected).count();
    if injected == 0 {
        wrong.push("no attack took effect, so nothing was proven".to_owned());
    }
    for story in stories {
        let attack = &story.attack;
        let said = format!("{} on {} ({})", attack.fault, attack.target, attack.id);
        match &story.end {
            // A stop is a person's will; that nobody heals it is right.
            Some(Event::Reverted { why }) if attack.fault.about().heals && why != super::ENDS => {
                wrong.push(format!("{said} was not healed: {why}"));
            }
            Some(Event::Gone) => wrong.push(format!("{said}: its container is gone")),
            None if story.injected => wrong.push(format!("{said} is still open")),
            _ => {}
        }
    }
    check(
        "Every attack was healed, or undone where nobody may heal it",
        &wrong,
        format!("{injected} attacks took effect"),
    )
}

/// What was stopped on purpose stayed so until the monkey undid it.
pub fn will_is_respected(stories: &[Story]) -> Check {
    let stops = stories
        .iter()
        .filter(|story| story.injected && story.attack.fault == Fault::Stop);
    let mut count = 0;
    let mut wrong = Vec::new();
    for story in stops {
        count += 1;
        if matches!(story.end, Some(Event::Healed { .. })) {
            wrong.push(format!(
                "{} was stopped and somebody started it",
                story.attack.target
            ));
        }
    }
    check(
        "Nothing that was stopped on purpose was started",
        &wrong,
        format!("{count} stops, as a person would"),
    )
}

/// Who led.
pub fn one_leader(notes: &Notes, at_the_end: Result<String, String>) -> Check {
    let mut wrong = Vec::new();
    if let Some((one, other)) = two_at_once(&notes.claims) {
        wrong.push(format!(
            "{} (term {}) and {} (term {}) could both use force",
            one.node, one.term.0, other.node, other.term.0
        ));
    }
    let seen = match at_the_end {
        Ok(leader) => leader,
        Err(why) => {
            wrong.push(why);
            "at the end there was none".to_owned()
        }
    };
    check(
        "There was never more than one with force, and there is one leader at the end",
        &wrong,
        format!(
            "{seen}; {} changes of leader, {} looks",
            notes.leaders.len(),
            notes.claims.len()
        ),
    )
}

/// The stack at the end.
pub fn everything_runs(unwell: &[String], count: usize) -> Check {
    check(
        "Everything that should run runs, and is healthy where it has a check",
        unwell,
        format!("{count} containers"),
    )
}

/// Others' containers.
///
/// `bystander`: the id of the container that the proof put there, named like one of the project's.
pub fn others_are_untouched(
    project: &str,
    bystander: &str,
    still_the_same: bool,
    stories: &[Story],
    events: &[Happened],
    members: &[String],
) -> Check {
    let mut wrong = Vec::new();
    for story in stories {
        if !members.contains(&story.attack.container) {
            wrong.push(format!(
                "{} of another project was attacked",
                story.attack.target
            ));
        }
    }
    let touched = events.iter().filter(|it| {
        it.id == bystander && !matches!(it.action.as_str(), "create" | "start" | "attach")
    });
    for event in touched {
        wrong.push(format!("the bystander saw {}", event.action));
    }
    if !still_the_same {
        wrong.push("the bystander is not what it was".to_owned());
    }
    let foreign = events.iter().filter(|it| it.project != project).count();
    check(
        "No container outside the project was touched",
        &wrong,
        format!(
            "{} attacks; {foreign} events of others' containers, none of our making",
            stories.len()
        ),
    )
}

/// A number of bytes of all values.
#[must_use]
pub fn bytes(values: impl Iterator<Item = history::Value>) -> u64 {
    values
        .map(|value| u64::try_from(history::length(value)).unwrap_or(0))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::story;

    fn back() -> Option<Event> {
        Some(Event::Healed {
            running_ms: 1,
            after_ms: 2,
        })
    }

    fn undone() -> Option<Event> {
        Some(Event::Reverted {
            why: "patience".to_owned(),
        })
    }

    #[test]
    fn a_proof_without_attacks_proves_nothing() {
        assert!(!healed(&[]).holds);
        assert!(healed(&[story(Fault::Kill, back())]).holds);
        assert!(!healed(&[story(Fault::Kill, undone())]).holds);
        assert!(!healed(&[story(Fault::Kill, None)]).holds);
        assert!(healed(&[story(Fault::Stop, undone())]).holds);
    }

    #[test]
    fn a_healed_stop_is_no_healing() {
        assert!(will_is_respected(&[story(Fault::Stop, undone())]).holds);
        assert!(!will_is_respected(&[story(Fault::Stop, back())]).holds);
    }

    #[test]
    fn silence_of_one_kind_and_wrong_bytes_are_seen() {
        let mut tally = Tally::default();
        assert!(!honest(&tally).holds);
        tally.done = KINDS.iter().map(|kind| (*kind, 1)).collect();
        assert!(honest(&tally).holds);
        tally.wrong.push("k: other bytes".to_owned());
        assert!(!honest(&tally).holds);
    }

    #[test]
    fn a_touched_bystander_and_a_foreign_target_are_seen() {
        let event = |action: &str| Happened {
            at_ms: 1,
            id: "b1".to_owned(),
            name: "worker-1-beside".to_owned(),
            project: String::new(),
            action: action.to_owned(),
        };
        let judge = |events: &[Happened], members: &[String]| {
            others_are_untouched(
                "planaria",
                "b1",
                true,
                &[story(Fault::Kill, back())],
                events,
                members,
            )
            .holds
        };
        let ours = ["c0ffee".to_owned()];
        assert!(judge(&[event("create"), event("start")], &ours));
        assert!(!judge(&[event("kill")], &ours));
        assert!(!judge(&[], &[]));
    }

    #[test]
    fn an_end_without_a_leader_is_seen() {
        let notes = Notes::default();
        assert!(one_leader(&notes, Ok("healer-3".to_owned())).holds);
        assert!(!one_leader(&notes, Err("healer-1 knows none".to_owned())).holds);
    }
}
