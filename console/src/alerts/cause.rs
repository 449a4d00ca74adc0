//! What is wrong right now, as conditions. A pure function of the facts.

use crate::snapshot::Known;
use crate::vitals::Vitals;
use planaria_core::message::{MemberState, MemberView, Severity};
use planaria_core::status::{BrokerState, EngineState};
use std::collections::BTreeSet;
use std::time::Duration;

/// Something that is wrong at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What tells it from others.
    pub root: String,
    /// Its stable name.
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// Whom it is about.
    pub name: Option<String>,
    /// One sentence, with what to do.
    pub text: String,
    /// How long it must hold before anybody is told: what is healed by then is an incident, no alert.
    pub settle: Duration,
    /// Roots that explain it, where one of them is there.
    pub explained_by: Vec<String>,
}

/// The broker is away.
pub const BROKER: &str = "broker";
/// The engine is away.
pub const ENGINE: &str = "engine";
/// The root of everything that a missing leader explains.
pub const LEADER: &str = "leader";
/// Several went at once.
pub const MANY: &str = "many";

/// So many of one kind of trouble at once have one cause.
const MANY_MIN: usize = 3;
/// Latency, in milliseconds: worth a look, and worth waking somebody.
pub const LATENCY_MS: (u64, u64) = (500, 1000);
/// Part of a disk that is full, likewise, in percent.
pub const DISK_PERCENT: (u64, u64) = (80, 95);
/// Health scores, likewise.
pub const HEALTH: (f64, f64) = (0.5, 0.3);

/// A reconnect after a restart of the console itself takes less.
const BROKER_SETTLE: Duration = Duration::from_millis(1500);
/// An election takes a lease at most.
const LEADER_SETTLE: Duration = Duration::from_secs(8);
/// A healing takes less, with its health check.
const MEMBER_SETTLE: Duration = Duration::from_secs(6);
/// A node that comes back catches up meanwhile.
const STORAGE_SETTLE: Duration = Duration::from_secs(60);
/// A slow moment is no news.
const SLOW_SETTLE: Duration = Duration::from_secs(30);

/// Everything that is wrong.
#[must_use]
pub fn conditions(known: &Known, vitals: &Vitals) -> Vec<Condition> {
    let mut all = group(known);
    let members: Vec<Condition> = known.status.members.iter().filter_map(member).collect();
    all.extend(fold_many(members));
    all.extend(vitals_of(vitals));
    all
}

fn condition(
    root: &str,
    kind: &str,
    severity: Severity,
    text: String,
    settle: Duration,
) -> Condition {
    Condition {
        root: root.to_owned(),
        kind: kind.to_owned(),
        severity,
        name: None,
        text,
        settle,
        explained_by: Vec::new(),
    }
}

fn group(known: &Known) -> Vec<Condition> {
    let status = &known.status;
    let mut all = Vec::new();
    if status.broker == BrokerState::Down {
        all.push(condition(
            BROKER,
            "broker_down",
            Severity::Critical,
            "RabbitMQ does not answer. What stops is still started, nothing is forced; its host's healer brings it \
             back. Where it stays away: docker logs rabbitmq."
                .to_owned(),
            BROKER_SETTLE,
        ));
    }
    if status.docker == EngineState::Down {
        all.push(condition(
            ENGINE,
            "engine_down",
            Severity::Critical,
            "The Docker Engine does not answer the leader: nothing can be healed. Look at systemctl status docker."
                .to_owned(),
            MEMBER_SETTLE,
        ));
    }
    if status.leader.is_none() && status.broker != BrokerState::Down {
        let mut one = condition(
            LEADER,
            "no_leader",
            Severity::High,
            "Nobody leads. What stops is still started, nothing is forced; see docker exec healer-1 monitor status."
                .to_owned(),
            LEADER_SETTLE,
        );
        one.explained_by = vec![BROKER.to_owned()];
        all.push(one);
    }
    let healers = status
        .members
        .iter()
        .filter(|member| member.candidate || member.healer);
    let (mut seen, mut well) = (0_u32, 0_u32);
    for healer in healers {
        seen += 1;
        well += u32::from(!out(healer.state));
    }
    if seen > 0 && well == 0 {
        let mut one = condition(
            "healers",
            "no_healer",
            Severity::Critical,
            "No healer is heard: nobody brings anything back. Start one: docker start healer-1."
                .to_owned(),
            MEMBER_SETTLE,
        );
        one.explained_by = vec![BROKER.to_owned(), ENGINE.to_owned()];
        all.push(one);
    }
    all
}

fn out(state: MemberState) -> bool {
    matches!(
        state,
        MemberState::Dead
            | MemberState::Suspect
            | MemberState::Isolated
            | MemberState::Quarantined
            | MemberState::Left
            | MemberState::Expected
    )
}

fn member(member: &MemberView) -> Option<Condition> {
    let name = member.name.as_str();
    let why = if member.why.is_empty() {
        String::new()
    } else {
        format!(" ({})", member.why)
    };
    let (kind, severity, text, settle) = match member.state {
        MemberState::Dead => (
            "member_dead",
            Severity::High,
            format!("{name} is dead and not back yet{why}. Its log says why: docker logs {name}."),
            MEMBER_SETTLE,
        ),
        MemberState::Restarting => (
            "member_slow",
            Severity::Medium,
            format!("{name} is being brought back for longer than usual{why}."),
            SLOW_SETTLE,
        ),
        MemberState::Suspect | MemberState::Isolated => (
            "member_silent",
            Severity::Medium,
            format!(
                "{name} is not heard{why}. It is left alone until a second witness says that it is dead."
            ),
            MEMBER_SETTLE * 2,
        ),
        MemberState::Expected => (
            "member_missing",
            Severity::Medium,
            format!("{name} should be here by its label and was never heard{why}."),
            SLOW_SETTLE,
        ),
        MemberState::Quarantined => (
            "quarantined",
            Severity::Critical,
            format!(
                "{name} was restarted too often and is left down{why}. Read docker logs {name}, then release it."
            ),
            Duration::ZERO,
        ),
        MemberState::Joining
        | MemberState::Alive
        | MemberState::Late
        | MemberState::Left
        | MemberState::Patient => return None,
    };
    Some(Condition {
        root: format!("{kind}:{name}"),
        kind: kind.to_owned(),
        severity,
        name: Some(name.to_owned()),
        text,
        settle,
        // A quarantine has its own history; what is merely silent or dead may be so by the cause of all.
        explained_by: if kind == "quarantined" {
            Vec::new()
        } else {
            vec![BROKER.to_owned(), ENGINE.to_owned(), MANY.to_owned()]
        },
    })
}

/// Several deaths at once get a root of their own, which explains each.
fn fold_many(members: Vec<Condition>) -> Vec<Condition> {
    let hit: BTreeSet<&str> = members
        .iter()
        .filter(|one| matches!(one.kind.as_str(), "member_dead" | "member_silent"))
        .filter_map(|one| one.name.as_deref())
        .collect();
    if hit.len() < MANY_MIN {
        return members;
    }
    let names = hit.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    let more = hit.len().saturating_sub(5);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let mut root = condition(
        MANY,
        "many_out",
        Severity::Critical,
        format!(
            "{} members are out at once: {names}{more}. That has one cause: the host, its network, or its engine.",
            hit.len()
        ),
        MEMBER_SETTLE,
    );
    root.explained_by = vec![BROKER.to_owned(), ENGINE.to_owned()];
    let mut all = vec![root];
    all.extend(members);
    all
}

fn vitals_of(vitals: &Vitals) -> Vec<Condition> {
    let mut all = Vec::new();
    for (name, vital) in &vitals.members {
        if let Some(ms) = vital.latency_ms.filter(|ms| *ms >= LATENCY_MS.0) {
            let severity = if ms >= LATENCY_MS.1 {
                Severity::High
            } else {
                Severity::Medium
            };
            let mut one = condition(
                &format!("latency:{name}"),
                "latency",
                severity,
                format!(
                    "{name} takes {ms} ms to answer (usual is below {}). Is its host busy?",
                    LATENCY_MS.0
                ),
                SLOW_SETTLE,
            );
            one.name = Some(name.clone());
            one.explained_by = vec![MANY.to_owned(), ENGINE.to_owned()];
            all.push(one);
        }
        let Some(storage) = &vital.storage else {
            continue;
        };
        if let Some(percent) = storage
            .full_percent()
            .filter(|percent| *percent >= DISK_PERCENT.0)
        {
            let severity = if percent >= DISK_PERCENT.1 {
                Severity::High
            } else {
                Severity::Medium
            };
            let mut one = condition(
                &format!("disk:{name}"),
                "disk_full",
                severity,
                format!(
                    "The disk of {name} is {percent} % full. Make room or add a node; reads and deletes go on."
                ),
                SLOW_SETTLE,
            );
            one.name = Some(name.clone());
            all.push(one);
        }
    }
    let owed = vitals.owed();
    if owed > 0 {
        let mut one = condition(
            "storage",
            "copies_owed",
            Severity::Medium,
            format!(
                "{owed} chunks lack copies. They are readable, and are being copied; a second loss now would hurt."
            ),
            STORAGE_SETTLE,
        );
        one.explained_by = vec![MANY.to_owned()];
        all.push(one);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::fixture;

    fn kinds(known: &Known) -> Vec<String> {
        conditions(known, &Vitals::default())
            .into_iter()
            .map(|one| one.kind)
            .collect()
    }

    #[test]
    fn each_trouble_has_its_kind() {
        let mut known = fixture::known();
        assert_eq!(kinds(&known), ["member_slow", "member_dead", "quarantined"]);
        known.status.broker = BrokerState::Down;
        known.status.docker = EngineState::Down;
        assert_eq!(kinds(&known)[..2], ["broker_down", "engine_down"]);
        known.status.broker = BrokerState::Connected;
        known.status.leader = None;
        assert!(kinds(&known).contains(&"no_leader".to_owned()));
    }

    #[test]
    fn several_deaths_at_once_have_one_root() {
        let mut known = fixture::known();
        for member in &mut known.status.members {
            member.state = MemberState::Dead;
        }
        let all = conditions(&known, &Vitals::default());
        assert!(kinds(&known).contains(&"no_healer".to_owned()));
        let many = all.iter().find(|one| one.root == MANY).unwrap();
        assert!(many.text.contains("and 7 more"), "{}", many.text);
        assert!(
            all.iter()
                .filter(|one| one.kind == "member_dead")
                .all(|one| one.explained_by.contains(&MANY.to_owned()))
        );
    }
}
