//! Who leads, in which term, until when, and how it ends.

use crate::bench::{Bench, CHANNEL, container, millis, name, seconds};
use planaria_core::effect::Effect;
use planaria_core::engine::{EventKind, Health};
use planaria_core::id::{BootId, ChannelId, Term};
use planaria_core::input::Input;
use planaria_core::message::{Body, TicketView, Verb};
use planaria_core::node::Role;
use planaria_core::status::Saved;

fn unhealthy() -> Vec<planaria_core::engine::Container> {
    let mut patient = container("plain-1");
    patient.health = Some(Health::Unhealthy);
    vec![patient]
}

#[test]
fn a_new_leader_starts_at_once_and_forces_after_a_lease() {
    let mut bench = Bench::new(Role::Healer);
    bench.engine(unhealthy());
    bench.office();
    assert!(bench.node.status(bench.now).is_leader);
    bench.pass(millis(2900));
    assert_eq!(bench.orders(), [""; 0]);
    bench.pass(millis(300));
    assert_eq!(bench.orders(), ["kill 15 plain-1", "start plain-1"]);
}

#[test]
fn a_predecessors_own_resign_spares_the_lease() {
    let mut bench = Bench::new(Role::Healer);
    bench.engine(unhealthy());
    bench.feed(Input::BrokerConnected);
    let beat = bench.beat_of("healer-3", 3, 5);
    let term = beat.term;
    bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
    bench.pass(seconds(4));
    bench.say("healer-3", 3, Body::Resign { term });
    bench.feed(Input::TokenGranted { channel: CHANNEL });
    bench.pass(millis(200));
    assert_eq!(bench.orders(), ["kill 15 plain-1", "start plain-1"]);
    assert_eq!(bench.node.status(bench.now).term, 6);
}

/// Whoever gets the token late may have missed an office between, whose lease still runs.
#[test]
fn an_old_resign_spares_nothing() {
    let mut bench = Bench::new(Role::Healer);
    bench.engine(unhealthy());
    bench.feed(Input::BrokerConnected);
    let beat = bench.beat_of("healer-3", 3, 5);
    let term = beat.term;
    bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
    bench.pass(seconds(4));
    bench.say("healer-3", 3, Body::Resign { term });
    bench.pass(seconds(1));
    bench.feed(Input::TokenGranted { channel: CHANNEL });
    bench.pass(seconds(2));
    assert_eq!(bench.orders(), [""; 0], "within one lease");
    bench.pass(seconds(4));
    assert_eq!(bench.orders(), ["kill 15 plain-1", "start plain-1"]);
}

#[test]
fn a_predecessors_force_is_waited_out() {
    let mut bench = Bench::new(Role::Healer);
    bench.engine(unhealthy());
    bench.feed(Input::BrokerConnected);
    let mut beat = bench.beat_of("healer-3", 3, 5);
    beat.tickets.push(TicketView {
        container: container("plain-1").id,
        left_ms: 12_000,
        killing: true,
    });
    bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
    bench.pass(seconds(4));
    bench.feed(Input::TokenGranted { channel: CHANNEL });
    bench.pass(seconds(7));
    assert_eq!(bench.orders(), [""; 0]);
    bench.pass(seconds(2));
    assert_eq!(bench.orders().len(), 2);
}

#[test]
fn a_lease_that_is_past_ends_the_office() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.loops = false;
    bench.pass(millis(1500));
    assert!(bench.node.status(bench.now).is_leader);
    bench.pass(millis(2000));
    assert!(!bench.node.status(bench.now).is_leader);
    assert!(bench.has(|e| *e == Effect::ReleaseToken { channel: CHANNEL }));
}

#[test]
fn a_higher_term_ends_the_office_and_a_lower_one_does_not() {
    let mut bench = Bench::leader(vec![]);
    let beat = bench.beat_of("healer-3", 3, 0);
    bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
    assert!(bench.node.status(bench.now).is_leader);
    let beat = bench.beat_of("healer-3", 3, 9);
    bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
    let status = bench.node.status(bench.now);
    assert!(!status.is_leader);
    assert_eq!(status.leader, Some(name("healer-3")));
    assert_eq!(status.term, 9);
}

#[test]
fn an_absurd_term_is_malformed() {
    let mut bench = Bench::leader(vec![]);
    let beat = bench.beat_of("healer-3", 3, u64::MAX - 1);
    bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
    assert!(bench.node.status(bench.now).is_leader);
    let status = bench.node.status(bench.now);
    assert_eq!(status.term, 1);
}

#[test]
fn a_stale_leader_is_told_and_retakes_office_above() {
    let saved = Saved {
        version: 1,
        term: 40,
        ..Saved::default()
    };
    let mut bench = Bench::with(Role::Healer, Some(saved), |_| {});
    bench.feed(Input::BrokerConnected);
    let beat = bench.beat_of("healer-3", 3, 2);
    bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
    assert!(bench.has(|e| matches!(
        e,
        Effect::Publish {
            body: Body::Election { term: 40 },
            ..
        }
    )));
    let mut leader = Bench::leader(vec![]);
    leader.say("healer-1", 1, Body::Election { term: 40 });
    let status = leader.node.status(leader.now);
    assert!(status.is_leader);
    assert_eq!(status.term, 41);
}

#[test]
fn a_token_that_nobody_asked_for_is_given_back() {
    let mut bench = Bench::new(Role::Healer);
    bench.engine(vec![]);
    bench.feed(Input::BrokerConnected);
    bench.feed(Input::TokenGranted { channel: CHANNEL });
    assert!(!bench.node.status(bench.now).is_leader);
    assert!(bench.has(|e| *e == Effect::ReleaseToken { channel: CHANNEL }));
    let mut leader = Bench::leader(vec![]);
    leader.feed(Input::TokenGranted {
        channel: ChannelId(99),
    });
    assert!(leader.node.status(leader.now).is_leader);
    assert!(leader.has(|e| {
        *e == Effect::ReleaseToken {
            channel: ChannelId(99),
        }
    }));
}

#[test]
fn neither_beat_nor_token_for_long_seeds_one() {
    let mut bench = Bench::new(Role::Healer);
    bench.engine(vec![]);
    bench.feed(Input::BrokerConnected);
    bench.pass(seconds(9));
    assert!(!bench.has(|e| *e == Effect::SeedToken));
    bench.pass(seconds(2));
    assert!(bench.has(|e| *e == Effect::SeedToken));
}

#[test]
fn a_higher_candidate_takes_over_in_order() {
    let mut bench = Bench::new(Role::Healer);
    bench.engine(vec![]);
    bench.feed(Input::BrokerConnected);
    for _ in 0..40 {
        let mut beat = bench.beat_of("healer-1", 1, 3);
        beat.ranks.reverse();
        bench.say("healer-1", 1, Body::Beat(Box::new(beat)));
        bench.pass(seconds(1));
    }
    assert!(bench.has(|e| matches!(
        e,
        Effect::Publish {
            body: Body::Challenge,
            ..
        }
    )));
    let mut leader = Bench::leader(vec![]);
    leader.voices.insert(name("healer-3"), BootId(3));
    leader.say("healer-3", 3, Body::Challenge);
    leader.pass(seconds(20));
    assert!(leader.node.status(leader.now).is_leader, "not settled yet");
    leader.say("healer-1", 1, Body::Challenge);
    leader.pass(seconds(1));
    assert!(leader.node.status(leader.now).is_leader, "a lower name");
    leader.say("healer-3", 3, Body::Challenge);
    assert!(!leader.node.status(leader.now).is_leader);
    let resigned = leader.log.iter().position(|(_, e)| {
        matches!(
            e,
            Effect::Publish {
                body: Body::Resign { .. },
                ..
            }
        )
    });
    let released = leader
        .log
        .iter()
        .position(|(_, e)| *e == Effect::ReleaseToken { channel: CHANNEL });
    assert!(resigned.unwrap() < released.unwrap());
}

#[test]
fn sigterm_resigns_then_leaves() {
    let mut bench = Bench::leader(vec![]);
    bench.feed(Input::Shutdown);
    let kinds: Vec<&str> = bench
        .log
        .iter()
        .filter_map(|(_, e)| match e {
            Effect::Publish { body, .. } => Some(body.kind()),
            Effect::ReleaseToken { .. } => Some("release"),
            Effect::Bye => Some("bye"),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, ["resign", "release", "leave", "bye"]);
    assert_eq!(bench.node.next_deadline(), None);
}

#[test]
fn elect_makes_the_leader_resign_where_another_is_fit() {
    let mut bench = Bench::leader(vec![]);
    let ask = |id: &str| Input::Request {
        id: planaria_core::id::RequestId(id.into()),
        verb: Verb::Elect,
    };
    bench.feed(ask("1"));
    assert!(
        bench.node.status(bench.now).is_leader,
        "nobody else is there"
    );
    bench.voices.insert(name("healer-1"), BootId(1));
    bench.pass(seconds(5));
    bench.feed(ask("2"));
    assert!(!bench.node.status(bench.now).is_leader);
}

#[test]
fn the_token_is_renewed_every_five_minutes() {
    let mut bench = Bench::leader(vec![]);
    bench.pass(seconds(301));
    let renewals = bench
        .log
        .iter()
        .filter(|(_, e)| *e == Effect::RenewToken { channel: CHANNEL })
        .count();
    assert_eq!(renewals, 1);
    bench.feed(Input::TokenGranted { channel: CHANNEL });
    assert!(bench.node.status(bench.now).is_leader);
}

#[test]
fn without_the_broker_the_highest_leads_without_force() {
    let mut other = container("healer-3");
    other.member = Some(name("healer-3"));
    other.labels.insert("planaria.role".into(), "healer".into());
    let mut patients = unhealthy();
    patients.push(other);
    let mut bench = Bench::new(Role::Healer);
    bench.engine(patients);
    bench.pass(millis(5500));
    assert!(bench.has(|e| matches!(
        e,
        Effect::Direct { to, body: Body::Election { .. } } if *to == name("healer-3")
    )));
    bench.pass(seconds(1));
    let status = bench.node.status(bench.now);
    assert!(status.is_leader);
    assert!(!status.may_force);
    bench.pass(seconds(30));
    assert_eq!(bench.orders(), [""; 0]);
    // A higher one announces itself: it leads.
    let term = Term {
        number: 2,
        boot: BootId(3),
    };
    bench.send(
        "healer-3",
        3,
        Body::Coordinator {
            term,
            token: false,
            why: String::new(),
        },
    );
    assert_eq!(bench.node.status(bench.now).leader, Some(name("healer-3")));
}

#[test]
fn an_answer_from_a_higher_one_ends_the_hope() {
    let mut bench = Bench::new(Role::Healer);
    bench.engine(vec![]);
    bench.pass(millis(5500));
    bench.send("healer-3", 3, Body::Answer { term: 0 });
    bench.pass(seconds(3));
    assert!(!bench.node.status(bench.now).is_leader);
}

#[test]
fn rank_is_the_priority_and_changes_with_the_beat() {
    let mut bench = Bench::new(Role::Healer);
    bench.engine(vec![]);
    bench.feed(Input::BrokerConnected);
    bench.pass(seconds(4));
    assert!(bench.has(|e| *e == Effect::ConsumeToken { priority: 1 }));
    let beat = bench.beat_of("healer-3", 3, 1);
    bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
    assert!(bench.has(|e| *e == Effect::ConsumeToken { priority: 2 }));
}

#[test]
fn the_election_is_told_in_a_sentence() {
    let mut bench = Bench::new(Role::Healer);
    let mut leader = container("healer-3");
    leader.member = Some(name("healer-3"));
    bench.engine(vec![leader]);
    bench.feed(Input::BrokerConnected);
    let beat = bench.beat_of("healer-3", 3, 7);
    bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
    bench.pass(seconds(11));
    let beat = bench.beat_of("healer-3", 3, 7);
    bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
    bench.kill("healer-3");
    bench.pass(millis(6));
    bench.feed(Input::TokenGranted { channel: CHANNEL });
    assert!(
        bench.said(
            "Election (term 8): healer-3 is gone, healer-2 and healer-1 stand, healer-2 wins after 6 ms"
        ),
        "{:?}",
        bench.lines()
    );
    assert!(bench.said("Leader is healer-2 (term 8)"));
    let _ = EventKind::Start;
}

#[test]
fn of_two_terms_with_one_number_the_one_that_is_heard_counts() {
    let mut bench = Bench::new(Role::Member);
    bench.feed(Input::BrokerConnected);
    let beat = bench.beat_of("healer-1", 9, 22);
    bench.say("healer-1", 9, Body::Beat(Box::new(beat)));
    let beat = bench.beat_of("healer-3", 3, 22);
    bench.say("healer-3", 3, Body::Beat(Box::new(beat.clone())));
    assert_eq!(bench.node.status(bench.now).leader, Some(name("healer-1")));
    bench.pass(seconds(4));
    bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
    assert_eq!(bench.node.status(bench.now).leader, Some(name("healer-3")));
}
