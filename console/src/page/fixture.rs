//! A group on a bad day, for tests and for looking at the page.

use crate::snapshot::Known;
use planaria_core::id::{BootId, ContainerId, Incarnation, MemberName};
use planaria_core::message::{
    Alert, AttackStage, AttackTold, Incident, IncidentOutcome, MemberState, MemberView,
    RestartReason, Severity,
};
use planaria_core::status::{BrokerState, EngineState, Status};
use std::collections::BTreeMap;

fn name(text: &str) -> MemberName {
    MemberName::new(text).unwrap()
}

fn member(text: &str, state: MemberState, heard: Option<u64>, why: &str) -> MemberView {
    MemberView {
        name: name(text),
        state,
        incarnation: Incarnation::from("x"),
        boot: None,
        host: None,
        last_heartbeat_ms: heard,
        restarts: u32::from(!why.is_empty()),
        candidate: text.starts_with("healer"),
        healer: text.starts_with("healer"),
        why: why.to_owned(),
        held: false,
        skew_ms: None,
        pulse_age_ms: None,
    }
}

fn incident(
    id: &str,
    whom: &str,
    reason: RestartReason,
    phases: [u64; 4],
    outcome: IncidentOutcome,
    evidence: &str,
) -> Incident {
    Incident {
        id: id.to_owned(),
        name: whom.to_owned(),
        container: ContainerId::from("c"),
        reason,
        evidence: evidence.to_owned(),
        by: name("healer-3"),
        term: 8,
        detect_ms: Some(phases[0]),
        order_ms: Some(phases[1]),
        start_ms: Some(phases[2]),
        healthy_ms: Some(phases[3]),
        outcome,
        action: String::new(),
        exit_code: None,
        oom: false,
        restarts: 0,
        at_ms: None,
        notes: BTreeMap::new(),
    }
}

/// The group.
pub(crate) fn known() -> Known {
    use IncidentOutcome::{Healed, HealedByEngine, Quarantined};
    let alive = MemberState::Alive;
    let members = vec![
        member("healer-1", alive, Some(412), ""),
        member("healer-2", alive, Some(1200), ""),
        member("healer-3", alive, Some(90), ""),
        member("storage-node-1", alive, Some(700), ""),
        member(
            "storage-node-2",
            MemberState::Restarting,
            None,
            "killed; started by healer-3",
        ),
        member(
            "storage-node-3",
            MemberState::Late,
            Some(3100),
            "1 heartbeat missed",
        ),
        member("worker-1", MemberState::Dead, Some(7100), "exit code 137"),
        member("worker-2", MemberState::Left, None, "stopped by a person"),
        member("plain-1", MemberState::Patient, None, ""),
        member(
            "plain-2",
            MemberState::Quarantined,
            None,
            "6 restarts in 60 s",
        ),
        member("console", alive, Some(900), ""),
        member("chaos_monkey", alive, Some(1500), ""),
    ];
    let incidents = vec![
        incident(
            "7",
            "worker-1",
            RestartReason::Killed,
            [31, 2, 168, 122],
            Healed,
            "die after signal 9",
        ),
        incident(
            "6",
            "healer-3",
            RestartReason::Killed,
            [29, 8, 171, 640],
            Healed,
            "die after signal 9",
        ),
        incident(
            "5",
            "storage-node-2",
            RestartReason::Hung,
            [812, 40, 260, 322],
            Healed,
            "silent for 6 s, and no answer to 3 probes",
        ),
        incident(
            "4",
            "worker-2",
            RestartReason::Apoptosis,
            [12, 0, 104, 30],
            HealedByEngine,
            "exit code 70: pulse main was 11 s late",
        ),
        incident(
            "3",
            "plain-2",
            RestartReason::Failed,
            [28, 1, 150, 0],
            Quarantined,
            "the sixth death in 60 s",
        ),
    ];
    let alert = |severity, kind: &str, whom: &str, text: &str| Alert {
        severity,
        kind: kind.to_owned(),
        name: Some(name(whom)),
        text: text.to_owned(),
    };
    let alerts = vec![
        alert(
            Severity::Low,
            "unwitnessed",
            "worker-2",
            "worker-2 was found stopped and nobody saw why; monitor heal worker-2 starts it.",
        ),
        alert(
            Severity::Critical,
            "quarantined",
            "plain-2",
            "plain-2 died 6 times in 60 s and is left down; look at docker logs plain-2, then monitor release plain-2.",
        ),
    ];
    let status = Status {
        cluster: "planaria".to_owned(),
        node: name("console"),
        boot: BootId(1),
        leader: Some(name("healer-3")),
        leader_why: "the highest of 3 healers that stand, holds the token".to_owned(),
        term: 8,
        term_id: Some(BootId(3)),
        is_leader: false,
        may_force: false,
        members,
        broker: BrokerState::Connected,
        docker: EngineState::Connected,
        held: Vec::new(),
        fences: Vec::new(),
        incidents,
        alerts,
        tickets: 1,
        elections: 8,
        restarts_ordered: 4,
        heartbeats: 12_345,
        local_health: 0,
        blind: false,
    };
    Known {
        source: name("healer-3"),
        status,
        stale: false,
        stale_since_ms: None,
    }
}

/// An alert as the book has it.
pub(crate) fn alert(severity: Severity, kind: &str, whom: &str) -> crate::alerts::Record {
    crate::alerts::Record {
        id: 7,
        root: format!("{kind}:{whom}"),
        kind: kind.to_owned(),
        severity,
        name: Some(whom.to_owned()),
        text: format!("{whom} is in trouble; look at docker logs {whom}."),
        state: crate::alerts::State::Open,
        active: true,
        opened_ms: 1_700_000_000_000,
        updated_ms: 1_700_000_000_000,
        ended_ms: None,
        count: 1,
        members: Vec::new(),
        history: Vec::new(),
        silenced_until_ms: None,
    }
}

/// What the console adds on that day.
pub(crate) fn board() -> crate::snapshot::Board {
    use crate::vitals::{Storage, Vitals};
    use std::time::Duration;
    const NOW_MS: u64 = 1_700_000_000_000;
    let mut vitals = Vitals::default();
    for (index, member) in known().status.members.iter().enumerate() {
        let Some(vital) = vitals.of(member.name.as_str()) else {
            continue;
        };
        let mut at = 0;
        for beat in 0..120_u64 {
            at += 1_990 + beat * 7 % 23;
            vital.heard(Duration::from_millis(at), 1, 40, at / 1000);
        }
        vital.latency_ms = Some(2 + index as u64);
        if member.name.as_str().starts_with("storage") {
            vital.storage = Some(Storage {
                chunks: 1200,
                owed: 14,
                bytes: 1200 << 20,
                free: 9000 << 20,
                in_sync: index != 4,
                zone: Some(if index == 3 { "north" } else { "south" }.to_owned()),
                states: BTreeMap::from([("healthy".to_owned(), 3586), ("degraded".to_owned(), 14)]),
                buckets: Some(3),
                scrub: Some(crate::vitals::Scrub {
                    at: 900,
                    rounds: 2,
                    read: 3300,
                }),
                more: BTreeMap::new(),
            });
        }
    }
    let incidents = known()
        .status
        .incidents
        .into_iter()
        .enumerate()
        .map(|(index, incident)| crate::store::journal::Told {
            at_ms: NOW_MS - 600_000 * index as u64,
            incident,
        })
        .collect();
    let mut folded = alert(Severity::Critical, "broker_down", "rabbitmq");
    folded.id = 8;
    folded.members.push(crate::alerts::Folded {
        root: "member_silent:worker-1".to_owned(),
        name: Some("worker-1".to_owned()),
        text: "worker-1 is not heard.".to_owned(),
        at_ms: NOW_MS,
    });
    folded.tell(NOW_MS, "console", "opened", "RabbitMQ does not answer.");
    crate::snapshot::Board {
        alerts: vec![folded, alert(Severity::Low, "unwitnessed", "worker-2")],
        incidents,
        attacks: [
            (
                "a1",
                "pause",
                "worker-2",
                AttackStage::Injected,
                "worker-2 is out by pause, 0.08 s after the trigger",
                0,
            ),
            (
                "",
                "kill",
                "",
                AttackStage::Declined,
                "healer-1 is still starting; at most 1 may be sick at once",
                30_000,
            ),
            (
                "a0",
                "kill",
                "worker-1",
                AttackStage::Healed,
                "worker-1 is back after 0.32 s (running after 0.24 s)",
                90_000,
            ),
        ]
        .into_iter()
        .map(|(id, fault, target, stage, text, ago)| {
            crate::snapshot::Attack::of(&AttackTold {
                id: id.to_owned(),
                request: None,
                fault: fault.to_owned(),
                target: target.to_owned(),
                stage,
                text: text.to_owned(),
                at_ms: NOW_MS - ago,
                within_ms: Some(30_000),
            })
        })
        .collect(),
        vitals,
        interval: Duration::from_secs(2),
        restart_limit: 5,
    }
}
