//! A group on two hosts: what is found where the leader has no engine, and the orders that follow.

use crate::bench::{Bench, container, name, seconds};
use planaria_core::effect::Effect;
use planaria_core::engine::{EventKind, Health};
use planaria_core::id::{BootId, HostId, Incarnation};
use planaria_core::message::{
    Beat, Body, Heartbeat, HostReport, MemberState, MemberView, Order, OrderVerb, Outcome,
    RestartReason, Wanted,
};
use planaria_core::node::Role;

/// A healer of "host"; the leader, healer-3, is on another.
fn deputy() -> Bench {
    let mut bench = Bench::new(Role::Healer);
    bench.engine(vec![container("plain-1")]);
    bench.feed(planaria_core::input::Input::BrokerConnected);
    hear_leader(&mut bench, 15);
    bench.log.clear();
    bench
}

fn elsewhere(bench: &mut Bench) -> Beat {
    let mut beat = bench.beat_of("healer-3", 3, 5);
    beat.members.push(MemberView {
        name: name("healer-3"),
        state: MemberState::Alive,
        incarnation: Incarnation("x@y".to_owned()),
        boot: Some(BootId(3)),
        host: Some(HostId("other".to_owned())),
        last_heartbeat_ms: Some(1),
        restarts: 0,
        candidate: true,
        healer: true,
        why: String::new(),
        held: false,
        skew_ms: None,
        pulse_age_ms: None,
    });
    beat
}

fn hear_leader(bench: &mut Bench, count: u64) {
    for _ in 0..count {
        let beat = elsewhere(bench);
        bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
        bench.pass(seconds(1));
    }
    let beat = elsewhere(bench);
    bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
}

fn sicken(bench: &mut Bench) {
    bench.edit("plain-1", |c| c.health = Some(Health::Unhealthy));
    bench.event("plain-1", EventKind::Health(Health::Unhealthy));
}

/// How often this member beat so far.
fn beats(bench: &mut Bench) -> u64 {
    bench.log.clear();
    bench.say("healer-3", 3, Body::Probe { nonce: 1 });
    bench
        .log
        .iter()
        .find_map(|(_, effect)| match effect {
            Effect::Publish {
                body: Body::Heartbeat(beat),
                ..
            } => Some(beat.number),
            _ => None,
        })
        .expect("a heartbeat")
}

fn order(bench: &mut Bench, id: &str) -> Order {
    let number = beats(bench);
    let term = bench.beat_of("healer-3", 3, 5).term;
    Order {
        id: id.to_owned(),
        term,
        beats: vec![(BootId(77), 1), (BootId(2), number)],
        container: bench.containers["plain-1"].id.clone(),
        started_at: bench.containers["plain-1"].started_at.clone(),
        verb: OrderVerb::Force,
        reason: RestartReason::Hung,
        evidence: "silent".to_owned(),
    }
}

fn report(bench: &Bench) -> Outcome {
    bench
        .log
        .iter()
        .rev()
        .find_map(|(_, effect)| match effect {
            Effect::Publish {
                body: Body::OrderReport { outcome, .. },
                ..
            } => Some(outcome.clone()),
            _ => None,
        })
        .expect("a report")
}

#[test]
fn the_first_healer_of_a_host_tells_the_leader_and_forces_nothing_itself() {
    let mut bench = deputy();
    sicken(&mut bench);
    bench.pass(seconds(2));
    assert_eq!(bench.orders(), [""; 0]);
    let wanted = bench.log.iter().find_map(|(_, effect)| match effect {
        Effect::Publish {
            body: Body::HostReport(report),
            ..
        } => report.wanted.first().cloned(),
        _ => None,
    });
    let wanted = wanted.expect("a wish");
    assert_eq!(wanted.verb, OrderVerb::Force);
    assert_eq!(wanted.started_at.as_deref(), Some("s1"));
}

#[test]
fn an_order_is_carried_out_once() {
    let mut bench = deputy();
    let order = order(&mut bench, "o-1");
    bench.say("healer-3", 3, Body::Order(Box::new(order.clone())));
    assert!(report(&bench).accepted, "{}", report(&bench).text);
    bench.pass(seconds(2));
    assert_eq!(bench.orders(), ["kill 15 plain-1", "start plain-1"]);
    hear_leader(&mut bench, 1);
    bench.say("healer-3", 3, Body::Order(Box::new(order)));
    assert!(!report(&bench).accepted, "an old one, sent again");
    bench.pass(seconds(5));
    assert_eq!(bench.orders().len(), 2);
}

#[test]
fn an_order_that_names_anything_wrong_is_refused() {
    type Wrong = (&'static str, fn(&mut Order));
    let wrongs: [Wrong; 6] = [
        ("leads here", |order| order.term.number += 1),
        ("leads here", |order| order.term.boot = BootId(9)),
        ("fresh beat", |order| {
            order.beats.retain(|(boot, _)| *boot != BootId(2));
        }),
        ("fresh beat", |order| {
            for (_, number) in &mut order.beats {
                *number = number.saturating_sub(4);
            }
        }),
        ("another incarnation", |order| {
            order.started_at = Some("s0".to_owned());
        }),
        ("another incarnation", |order| order.started_at = None),
    ];
    for (why, change) in wrongs {
        let mut bench = deputy();
        let mut order = order(&mut bench, "o-1");
        change(&mut order);
        bench.say("healer-3", 3, Body::Order(Box::new(order)));
        let report = report(&bench);
        assert!(
            !report.accepted && report.text.contains(why),
            "{why}: {}",
            report.text
        );
        bench.pass(seconds(5));
        assert_eq!(bench.orders(), [""; 0], "{why}");
    }
}

#[test]
fn an_order_of_a_leader_that_is_silent_by_now_is_refused() {
    let mut bench = deputy();
    let order = order(&mut bench, "o-1");
    bench.pass(seconds(3));
    bench.say("healer-3", 3, Body::Order(Box::new(order)));
    assert!(!report(&bench).accepted);
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn an_order_about_what_a_person_is_stopping_is_refused() {
    let mut bench = deputy();
    let order = order(&mut bench, "o-1");
    bench.event("plain-1", EventKind::Kill { signal: 15 });
    bench.say("healer-3", 3, Body::Order(Box::new(order)));
    assert!(
        report(&bench).text.contains("being stopped"),
        "{}",
        report(&bench).text
    );
}

#[test]
fn the_leader_orders_what_another_host_wants_once_and_announces_it() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    let beat = Heartbeat {
        host: Some(HostId("other".to_owned())),
        healer: true,
        candidate: true,
        number: 41,
        ..Heartbeat::default()
    };
    bench.say("healer-1", 21, Body::Heartbeat(beat));
    let report = || {
        Body::HostReport(Box::new(HostReport {
            host: HostId("other".to_owned()),
            members: Vec::new(),
            wanted: vec![Wanted {
                container: container("far-1").id,
                started_at: Some("s7".to_owned()),
                verb: OrderVerb::Force,
                reason: RestartReason::Unhealthy,
                evidence: "sick".to_owned(),
            }],
        }))
    };
    bench.log.clear();
    bench.say("healer-1", 21, report());
    bench.say("healer-1", 21, report());
    let orders: Vec<Order> = bench
        .log
        .iter()
        .filter_map(|(_, effect)| match effect {
            Effect::Publish {
                key,
                body: Body::Order(order),
            } if key == "heal.other" => Some((**order).clone()),
            _ => None,
        })
        .collect();
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].beats, [(BootId(21), 41)]);
    assert_eq!(orders[0].started_at.as_deref(), Some("s7"));
    let tickets = bench.last_beat().tickets;
    assert!(
        tickets
            .iter()
            .any(|t| t.container == container("far-1").id && t.killing)
    );
}

#[test]
fn a_death_certificate_names_the_life_and_spares_the_next() {
    let mut worker = container("worker-1");
    worker.member = Some(name("worker-1"));
    let mut bench = Bench::leader(vec![worker]);
    bench.voices.insert(name("worker-1"), BootId(11));
    bench.pass(seconds(5));
    bench.log.clear();
    bench.kill("worker-1");
    assert!(bench.has(|e| matches!(
        e,
        Effect::Publish { key, body: Body::Death { boot: Some(BootId(11)), incarnation, .. } }
            if key == "control.death" && incarnation.0.ends_with("@s1")
    )));
    bench.voices.insert(name("worker-1"), BootId(12));
    bench.pass(seconds(5));
    let late = Body::Death {
        name: name("worker-1"),
        incarnation: Incarnation("x@s1".to_owned()),
        boot: Some(BootId(11)),
    };
    bench.say("healer-1", 21, late);
    assert_eq!(bench.state("worker-1"), MemberState::Alive);
}

#[test]
fn at_size_heartbeats_come_further_apart() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    for n in 0..1500 {
        bench.say(
            &format!("m-{n}"),
            1000 + n,
            Body::Heartbeat(Heartbeat::default()),
        );
    }
    bench.pass(seconds(2));
    assert_eq!(bench.last_beat().interval_ms, 4000);
    let mut member = Bench::new(Role::Member);
    member.feed(planaria_core::input::Input::BrokerConnected);
    let mut beat = member.beat_of("healer-3", 3, 5);
    beat.interval_ms = 4000;
    member.say("healer-3", 3, Body::Beat(Box::new(beat)));
    member.pass(seconds(5));
    member.log.clear();
    member.pass(seconds(40));
    let sent = |e: &&(planaria_core::time::Instant, Effect)| {
        matches!(
            e.1,
            Effect::Publish {
                body: Body::Heartbeat(_),
                ..
            }
        )
    };
    let count = member.log.iter().filter(sent).count();
    assert!((9..=11).contains(&count), "{count}");
}
