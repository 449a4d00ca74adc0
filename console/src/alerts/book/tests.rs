use super::*;
use crate::alerts::cause::{BROKER, conditions};
use crate::page::fixture;
use crate::vitals::Vitals;
use planaria_core::message::MemberState;
use planaria_core::status::BrokerState;

const START_MS: u64 = 1_700_000_000_000;

fn at(seconds: u64) -> Now {
    Now {
        mono: Duration::from_secs(seconds),
        wall_ms: START_MS + seconds * 1000,
    }
}

fn one(root: &str, severity: Severity, settle: u64, explained_by: &[&str]) -> Condition {
    Condition {
        root: root.to_owned(),
        kind: if root == BROKER {
            "broker_down"
        } else {
            "member_dead"
        }
        .to_owned(),
        severity,
        name: None,
        text: format!("{root} is in trouble"),
        settle: Duration::from_secs(settle),
        explained_by: explained_by.iter().map(|root| (*root).to_owned()).collect(),
    }
}

fn news(changes: &[Change]) -> Vec<(&str, Option<News>)> {
    changes
        .iter()
        .map(|change| (change.record.root.as_str(), change.news))
        .collect()
}

#[test]
fn the_broker_killed_with_eight_members_is_one_critical_alert() {
    let mut book = Book::default();
    let mut known = fixture::known();
    for member in &mut known.status.members {
        member.state = MemberState::Alive;
    }
    known.status.members.truncate(8);
    let mut opened = Vec::new();
    for second in 0..60 {
        let mut now = known.clone();
        if (5..20).contains(&second) {
            now.status.broker = BrokerState::Down;
            now.status.leader = None;
        }
        // Silence shows while it is away, and lasts a little longer.
        if (9..26).contains(&second) {
            for member in &mut now.status.members {
                member.state = if second % 2 == 0 {
                    MemberState::Suspect
                } else {
                    MemberState::Dead
                };
            }
        }
        let conditions = conditions(&now, &Vitals::default());
        opened.extend(
            book.observe(at(second), &conditions)
                .into_iter()
                .filter(|change| change.news == Some(News::Opened)),
        );
    }
    assert_eq!(opened.len(), 1, "{opened:#?}");
    let all = book.records();
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(
        (all[0].kind.as_str(), all[0].severity),
        ("broker_down", Severity::Critical)
    );
    assert!(all[0].members.len() >= 8, "{:?}", all[0].members);
    assert!(!all[0].active);
}

#[test]
fn what_is_healed_before_it_settles_is_no_alert() {
    let mut book = Book::default();
    let dead = [one("member_dead:a", Severity::High, 6, &[])];
    for second in 0..5 {
        assert!(book.observe(at(second), &dead).is_empty());
    }
    assert!(book.observe(at(5), &[]).is_empty() && book.records().is_empty());
    // It begins to count anew.
    assert!(book.observe(at(6), &dead).is_empty());
    assert_eq!(book.observe(at(12), &dead).len(), 1);
}

#[test]
fn a_symptom_that_was_first_goes_into_its_cause() {
    let mut book = Book::default();
    let dead = one("member_dead:a", Severity::High, 0, &[BROKER]);
    let broker = one(BROKER, Severity::Critical, 1, &[]);
    assert_eq!(book.observe(at(0), std::slice::from_ref(&dead)).len(), 1);
    book.observe(at(4), &[dead.clone(), broker.clone()]);
    book.observe(at(6), &[dead.clone(), broker]);
    let all = book.records();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].root.as_str(), all[0].members.len()), (BROKER, 1));
}

#[test]
fn what_flickers_is_one_alert_and_is_counted() {
    let mut book = Book::default();
    let dead = [one("member_dead:a", Severity::Medium, 0, &[])];
    for round in 0..4 {
        book.observe(at(round * 20), &dead);
        book.observe(at(round * 20 + 5), &[]);
        book.observe(at(round * 20 + 9), &[]);
    }
    let all = book.records();
    assert_eq!(
        (all.len(), all[0].count, all[0].state),
        (1, 4, State::Resolved)
    );
}

#[test]
fn a_grave_one_waits_to_be_looked_at() {
    let mut book = Book::default();
    let grave = [one("x", Severity::Critical, 0, &[])];
    book.observe(at(0), &grave);
    book.observe(at(1), &[]);
    assert_eq!(news(&book.observe(at(5), &[])), [("x", Some(News::Ended))]);
    assert_eq!(book.records()[0].state, State::Open);
    let id = book.records()[0].id;
    assert_eq!(
        book.act(at(6), id, "ada", &Act::Acknowledge)
            .unwrap()
            .record
            .state,
        State::Resolved
    );
    let mut book = Book::default();
    book.observe(at(0), &grave);
    book.observe(at(1), &[]);
    book.observe(at(5), &[]);
    book.observe(at(3700), &[]);
    assert_eq!(book.records()[0].state, State::Resolved);
}

#[test]
fn people_acknowledge_note_silence_and_resolve() {
    let mut book = Book::default();
    let cause = [one("x", Severity::High, 0, &[])];
    book.observe(at(0), &cause);
    let id = book.records()[0].id;
    book.act(at(1), id, "ada", &Act::Acknowledge).unwrap();
    book.act(at(2), id, "ada", &Act::Note("it is the switch".to_owned()))
        .unwrap();
    let until = at(60).wall_ms;
    let silenced = book.act(at(3), id, "ada", &Act::Silence(until)).unwrap();
    assert_eq!(silenced.record.silenced_until_ms, Some(until));
    assert_eq!(
        book.act(at(4), id, "ada", &Act::Resolve).unwrap().news,
        Some(News::Ended)
    );
    let acts: Vec<String> = book.records()[0]
        .history
        .iter()
        .map(|line| line.act.clone())
        .collect();
    assert_eq!(
        acts,
        ["opened", "acknowledged", "note", "silenced", "resolved"]
    );
    assert!(book.act(at(5), 99, "ada", &Act::Resolve).is_none());
}

#[test]
fn a_clock_that_jumps_changes_no_decision() {
    let mut book = Book::default();
    let cause = [one("x", Severity::High, 6, &[])];
    for (second, wall) in [(0, 5_000_000_u64), (2, 0), (4, u64::MAX), (5, 17)] {
        let now = Now {
            mono: Duration::from_secs(second),
            wall_ms: wall,
        };
        assert!(book.observe(now, &cause).is_empty());
    }
    assert_eq!(book.observe(at(6), &cause).len(), 1);
}

#[test]
fn a_flood_is_bounded() {
    let mut book = Book::default();
    for round in 0..20 {
        let many: Vec<Condition> = (0..500)
            .map(|i| one(&format!("r{round}-{i}"), Severity::Low, 0, &[]))
            .collect();
        book.observe(at(round * 10), &many);
    }
    assert!(book.records().len() <= KEPT_MAX);
    let long = one(&"x".repeat(9), Severity::Low, 0, &[]);
    let long = Condition {
        text: "ü".repeat(100_000),
        ..long
    };
    book.observe(at(300), &[]);
    let record = book.observe(at(310), &[long]).remove(0).record;
    assert!(record.text.chars().count() <= crate::alerts::TEXT_MAX + 1);
}

#[test]
fn what_was_open_before_a_restart_is_still_one() {
    let mut book = Book::default();
    let cause = [one("x", Severity::High, 0, &[])];
    book.observe(at(0), &cause);
    let mut again = Book::new(book.records(), 1, BTreeMap::new());
    assert!(again.observe(at(1), &cause).is_empty());
    assert_eq!(again.records().len(), 1);
    again.observe(at(2), &[]);
    assert_eq!(news(&again.observe(at(9), &[])), [("x", Some(News::Ended))]);
}

#[test]
fn what_a_person_resolved_stays_so_until_it_comes_anew() {
    let mut book = Book::default();
    let cause = [one("x", Severity::High, 0, &[])];
    book.observe(at(0), &cause);
    book.act(at(1), 1, "ada", &Act::Resolve).unwrap();
    assert!(book.observe(at(2), &cause).is_empty());
    assert_eq!(book.records()[0].state, State::Resolved);
    book.observe(at(3), &[]);
    book.observe(at(7), &[]);
    assert_eq!(
        news(&book.observe(at(8), &cause)),
        [("x", Some(News::Opened))]
    );
}
