//! What people ask, and who does it.

use crate::bench::{Bench, container, name, seconds};
use planaria_core::effect::Effect;
use planaria_core::id::{BootId, RequestId};
use planaria_core::input::Input;
use planaria_core::message::{Beat, Body, HoldVersion, Holds, Outcome, Verb};
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

fn hold_of_all(for_s: u64) -> Verb {
    Verb::Hold {
        names: Vec::new(),
        for_s,
        reason: "works".into(),
    }
}

/// A healer that heard this beat of healer-3, the leader of then.
fn follower(beat: &Beat) -> Bench {
    let mut bench = Bench::new(Role::Healer);
    bench.engine(vec![container("plain-1")]);
    bench.feed(Input::BrokerConnected);
    let mut heard = bench.beat_of("healer-3", 3, 5);
    (heard.holds, heard.resumed) = (beat.holds.clone(), beat.resumed.clone());
    bench.say("healer-3", 3, Body::Beat(Box::new(heard)));
    bench
}

/// What it tells a leader of another term, whose beat knows of no hold.
fn told_to_one_that_was_away(bench: &mut Bench) -> Option<Holds> {
    bench.pass(seconds(6));
    let mut beat = bench.beat_of("healer-9", 9, 1);
    beat.term.number += 5;
    bench.say("healer-9", 9, Body::Beat(Box::new(beat)));
    bench.log.iter().find_map(|(_, effect)| match effect {
        Effect::Publish {
            body: Body::Holds(told),
            ..
        } => Some(told.clone()),
        _ => None,
    })
}

#[test]
fn a_leader_that_was_away_learns_of_a_hold_and_makes_nobody_forget_it() {
    let mut first = Bench::leader(vec![container("plain-1")]);
    assert!(ask(&mut first, "1", hold_of_all(600)).unwrap().accepted);
    first.pass(seconds(2));
    let mut follower = follower(&first.last_beat());
    let told = told_to_one_that_was_away(&mut follower).expect("the hold");
    assert_eq!(follower.node.status(follower.now).held.len(), 1);
    let mut next = Bench::leader(vec![container("plain-1")]);
    next.say("healer-8", 8, Body::Holds(told));
    next.kill("plain-1");
    next.pass(seconds(20));
    assert_eq!(next.orders(), [""; 0]);
    assert_eq!(next.last_beat().holds.len(), 1);
}

#[test]
fn a_hold_that_was_ended_early_is_not_brought_back_by_one_that_was_away() {
    let mut leader = Bench::leader(vec![container("plain-1")]);
    assert!(ask(&mut leader, "1", hold_of_all(600)).unwrap().accepted);
    leader.pass(seconds(2));
    let mut away = follower(&leader.last_beat());
    let resume = Verb::Resume { names: Vec::new() };
    assert!(ask(&mut leader, "2", resume).unwrap().accepted);
    leader.pass(seconds(2));
    let told = told_to_one_that_was_away(&mut away).expect("the hold");
    leader.say("healer-8", 8, Body::Holds(told));
    leader.pass(seconds(2));
    assert!(leader.last_beat().holds.is_empty());
    // Those that heard of both keep the end, also against a leader that heard only of the hold.
    let mut heard_both = follower(&leader.last_beat());
    let told = told_to_one_that_was_away(&mut heard_both).expect("the end");
    assert!(told.held.is_empty() && told.resumed.len() == 1);
    leader.pass(seconds(600));
    assert!(
        leader.last_beat().resumed.is_empty(),
        "it is over by itself"
    );
}

#[test]
fn two_holds_under_two_leaders_are_both_kept() {
    let mut first = Bench::leader(vec![container("plain-1")]);
    assert!(ask(&mut first, "1", hold_of_all(600)).unwrap().accepted);
    first.pass(seconds(2));
    let mut told = told_to_one_that_was_away(&mut follower(&first.last_beat())).expect("the hold");
    // The bench's leaders are all of one boot.
    told.held[0].version.boot = BootId(77);
    let mut second = Bench::leader(vec![container("plain-1")]);
    assert!(ask(&mut second, "2", hold_of_all(30)).unwrap().accepted);
    second.say("healer-8", 8, Body::Holds(told));
    second.pass(seconds(60));
    assert_eq!(second.last_beat().holds.len(), 1);
    // Who knew it as short hears that it is longer now.
    assert!(second.last_beat().holds[0].version > first.last_beat().holds[0].version);
}

#[test]
fn a_shorter_hold_after_a_resume_is_the_shorter_one_also_for_one_that_was_away() {
    let mut leader = Bench::leader(vec![container("plain-1")]);
    assert!(ask(&mut leader, "1", hold_of_all(7200)).unwrap().accepted);
    leader.pass(seconds(2));
    let mut away = follower(&leader.last_beat());
    let told = told_to_one_that_was_away(&mut away).expect("the long one");
    let resume = Verb::Resume { names: Vec::new() };
    assert!(ask(&mut leader, "2", resume).unwrap().accepted);
    assert!(ask(&mut leader, "3", hold_of_all(60)).unwrap().accepted);
    leader.say("healer-8", 8, Body::Holds(told));
    leader.pass(seconds(70));
    assert!(leader.last_beat().holds.is_empty());
}

#[test]
fn a_hold_of_a_leader_without_versions_ends_with_its_word() {
    let mut leader = Bench::leader(vec![container("plain-1")]);
    assert!(ask(&mut leader, "1", hold_of_all(7200)).unwrap().accepted);
    leader.pass(seconds(2));
    let mut beat = leader.last_beat();
    beat.holds[0].version = HoldVersion::default();
    let mut follower = follower(&beat);
    assert_eq!(follower.node.status(follower.now).held.len(), 1);
    assert_eq!(told_to_one_that_was_away(&mut follower), None);
    assert!(follower.node.status(follower.now).held.is_empty());
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
