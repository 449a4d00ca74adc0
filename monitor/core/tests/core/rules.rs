//! Rules that hold whoever acts: what bounds force, what is no evidence, and who is believed.

use crate::bench::{Bench, container, name, seconds};
use planaria_core::engine::{Container, ContainerState, EventKind, Health, RestartPolicy};
use planaria_core::id::BootId;
use planaria_core::message::{Body, Heartbeat, MemberState};

fn member(title: &str) -> Container {
    let mut made = container(title);
    made.member = Some(name(title));
    made
}

#[test]
fn a_child_killed_for_memory_is_no_death() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.event("plain-1", EventKind::Oom);
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn no_more_than_three_are_forced_at_once() {
    let names: Vec<String> = (1..=5).map(|n| format!("plain-{n}")).collect();
    let mut bench = Bench::leader(names.iter().map(|name| container(name)).collect());
    bench.stubborn = true;
    for name in &names {
        bench.edit(name, |c| c.health = Some(Health::Unhealthy));
        bench.event(name, EventKind::Health(Health::Unhealthy));
    }
    bench.pass(seconds(8));
    assert_eq!(bench.orders().len(), 3, "{:?}", bench.orders());
    bench.pass(seconds(60));
    for name in &names {
        assert!(bench.orders().contains(&format!("start {name}")), "{name}");
    }
}

#[test]
fn starts_of_the_dead_are_bounded_only_each_for_itself() {
    let names: Vec<String> = (1..=8).map(|n| format!("plain-{n}")).collect();
    let mut bench = Bench::leader(names.iter().map(|name| container(name)).collect());
    for name in &names {
        bench.kill(name);
    }
    bench.pass(seconds(1));
    assert_eq!(bench.orders().len(), 8);
}

#[test]
fn many_silent_at_once_are_a_finding_about_the_observer() {
    let names: Vec<String> = (1..=6).map(|n| format!("worker-{n}")).collect();
    let mut bench = Bench::leader(names.iter().map(|name| member(name)).collect());
    for (n, title) in names.iter().enumerate() {
        bench.voices.insert(name(title), BootId(100 + n as u64));
        bench.answering.push(name(title));
    }
    bench.voices.insert(name("healer-1"), BootId(21));
    bench.answering.push(name("healer-1"));
    bench.pass(seconds(20));
    bench.voices.retain(|name, _| name.as_str() == "healer-1");
    bench.answering.retain(|name| name.as_str() == "healer-1");
    bench.log.clear();
    bench.pass(seconds(25));
    assert!(bench.said("members silent at once"), "{:?}", bench.lines());
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn one_that_poses_as_another_makes_nobody_force_the_real_one() {
    let mut bench = Bench::leader(vec![member("worker-1"), member("worker-2")]);
    for (n, title) in ["worker-1", "worker-2", "healer-1"].iter().enumerate() {
        bench.voices.insert(name(title), BootId(11 + n as u64));
        bench.answering.push(name(title));
    }
    bench.pass(seconds(20));
    bench.log.clear();
    bench.say("worker-1", 99, Body::Heartbeat(Heartbeat::default()));
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
    assert_ne!(bench.state("worker-1"), MemberState::Dead);
    assert_eq!(bench.alerts("two_of_a_name"), 1);
}

#[test]
fn one_that_docker_restarts_again_and_again_gets_one_kill_and_one_alert() {
    let mut patient = container("plain-1");
    patient.restart_policy = RestartPolicy::Always;
    let mut bench = Bench::leader(vec![patient]);
    for _ in 0..6 {
        bench.end("plain-1", 1);
        bench.edit("plain-1", |c| c.state = ContainerState::Restarting);
        bench.event("plain-1", EventKind::Die { exit_code: 1 });
        bench.pass(seconds(1));
        if bench.containers["plain-1"].state != ContainerState::Restarting {
            break;
        }
        bench.begin("plain-1");
        bench.event("plain-1", EventKind::Start);
        bench.pass(seconds(1));
    }
    bench.pass(seconds(120));
    assert_eq!(bench.orders(), ["kill 9 plain-1"]);
    assert_eq!(bench.alerts("quarantined"), 1);
    assert_eq!(bench.state("plain-1"), MemberState::Quarantined);
}
