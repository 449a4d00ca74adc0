//! What people ask, and who does it.

use crate::bench::{Bench, container, name, seconds};
use planaria_core::effect::Effect;
use planaria_core::id::RequestId;
use planaria_core::input::Input;
use planaria_core::message::{Body, Outcome, Verb};
use planaria_core::node::Role;

fn ask(bench: &mut Bench, id: &str, verb: Verb) -> Option<Outcome> {
    bench.feed(Input::Request {
        id: RequestId(id.into()),
        verb,
    });
    answer(bench, id)
}

fn answer(bench: &Bench, id: &str) -> Option<Outcome> {
    bench.log.iter().find_map(|(_, effect)| match effect {
        Effect::Answer { id: got, outcome } if got.0 == id => Some(outcome.clone()),
        _ => None,
    })
}

#[test]
fn heal_starts_what_a_person_stopped() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.stop("plain-1");
    bench.pass(seconds(10));
    let heal = Verb::Heal {
        name: name("plain-1"),
    };
    assert!(ask(&mut bench, "1", heal).unwrap().accepted);
    assert_eq!(bench.orders(), ["start plain-1"]);
}

#[test]
fn heal_of_a_running_one_is_force() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    let heal = Verb::Heal {
        name: name("plain-1"),
    };
    assert!(ask(&mut bench, "1", heal).unwrap().accepted);
    bench.pass(seconds(1));
    assert_eq!(bench.orders(), ["kill 15 plain-1", "start plain-1"]);
}

#[test]
fn an_unknown_name_is_told_the_known_ones() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    let heal = Verb::Heal {
        name: name("plain-9"),
    };
    let outcome = ask(&mut bench, "1", heal).unwrap();
    assert!(!outcome.accepted);
    assert!(outcome.text.contains("plain-1"));
}

#[test]
fn release_gives_a_clean_count() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.crash_loop = true;
    bench.kill("plain-1");
    bench.pass(seconds(60));
    bench.crash_loop = false;
    bench.log.clear();
    let release = Verb::Release {
        name: name("plain-1"),
    };
    assert!(ask(&mut bench, "1", release.clone()).unwrap().accepted);
    assert_eq!(bench.orders(), ["start plain-1"]);
    assert!(!ask(&mut bench, "2", release).unwrap().accepted);
}

#[test]
fn a_member_passes_a_request_on_and_hands_the_answer_back() {
    let mut bench = Bench::new(Role::Member);
    let resume = Verb::Resume { names: Vec::new() };
    assert_eq!(ask(&mut bench, "0", resume.clone()), None);
    bench.pass(seconds(11));
    assert!(!answer(&bench, "0").unwrap().accepted, "no leader is known");
    bench.feed(Input::BrokerConnected);
    let beat = bench.beat_of("healer-3", 3, 1);
    bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
    assert_eq!(ask(&mut bench, "1", resume), None);
    assert!(bench.has(|e| matches!(
        e,
        Effect::Publish { key, .. } if key == "request.resume"
    )));
    let outcome = Outcome {
        accepted: true,
        text: "done".into(),
    };
    bench.say(
        "healer-3",
        3,
        Body::Result {
            id: RequestId("1".into()),
            outcome: outcome.clone(),
        },
    );
    assert_eq!(answer(&bench, "1"), Some(outcome));
}

#[test]
fn a_leader_that_does_not_answer_is_said_so() {
    let mut bench = Bench::new(Role::Member);
    bench.feed(Input::BrokerConnected);
    let beat = bench.beat_of("healer-3", 3, 1);
    bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
    assert_eq!(ask(&mut bench, "1", Verb::Elect), None);
    bench.pass(seconds(11));
    assert!(!answer(&bench, "1").unwrap().accepted);
}

#[test]
fn a_hold_survives_a_change_of_leader() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    let hold = Verb::Hold {
        names: Vec::new(),
        for_s: 600,
        reason: "works".into(),
    };
    assert!(ask(&mut bench, "1", hold).unwrap().accepted);
    bench.pass(seconds(2));
    let holds = bench.last_beat().holds;
    let mut next = Bench::new(Role::Healer);
    next.engine(vec![container("plain-1")]);
    next.feed(Input::BrokerConnected);
    let mut beat = next.beat_of("healer-3", 3, 5);
    beat.holds = holds;
    next.say("healer-3", 3, Body::Beat(Box::new(beat)));
    next.pass(seconds(4));
    next.feed(Input::TokenGranted {
        channel: crate::bench::CHANNEL,
    });
    next.pass(seconds(20));
    next.kill("plain-1");
    next.pass(seconds(20));
    assert_eq!(next.orders(), [""; 0]);
}

#[test]
fn what_is_asked_while_no_leader_is_known_waits_for_one() {
    let mut bench = Bench::new(Role::Healer);
    bench.engine(vec![container("plain-1")]);
    let hold = Verb::Hold {
        names: Vec::new(),
        for_s: 600,
        reason: "works".into(),
    };
    assert_eq!(ask(&mut bench, "1", hold), None);
    bench.pass(seconds(4));
    bench.office();
    assert!(answer(&bench, "1").unwrap().accepted);
    bench.pass(seconds(2));
    assert_eq!(bench.last_beat().holds.len(), 1);
}

#[test]
fn a_release_is_heard_by_those_that_do_not_lead() {
    let mut bench = Bench::new(Role::Healer);
    bench.engine(vec![container("plain-1")]);
    bench.feed(Input::BrokerConnected);
    let mut beat = bench.beat_of("healer-3", 3, 5);
    let id = container("plain-1").id;
    let mut record = planaria_core::message::PatientRecord::of(id, "plain-1".into());
    record.restarts_ms_ago = vec![5000, 4000, 3000, 2000, 1000];
    record.quarantined_ms = Some(500);
    beat.records.push(record);
    bench.say("healer-3", 3, Body::Beat(Box::new(beat.clone())));
    beat.records.clear();
    bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
    bench.pass(seconds(4));
    bench.feed(Input::TokenGranted {
        channel: crate::bench::CHANNEL,
    });
    bench.pass(seconds(12));
    bench.kill("plain-1");
    assert_eq!(bench.orders(), ["start plain-1"]);
}
