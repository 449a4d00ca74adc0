//! From a finding to a container that runs again, and no further than the limits.

use crate::bench::{Bench, container, millis, name, seconds};
use planaria_core::effect::Effect;
use planaria_core::engine::{
    Attachment, ContainerState, EngineCall, EngineError, EventKind, Health, RestartPolicy,
};
use planaria_core::id::BootId;
use planaria_core::input::Input;
use planaria_core::message::{Body, IncidentOutcome, LastWords, MemberState, RestartReason};
use planaria_core::node::Role;
use planaria_core::time::Instant;

#[test]
fn an_unhealthy_one_is_killed_then_started_and_that_is_no_persons_stop() {
    let mut patient = container("plain-1");
    patient.health = Some(Health::Healthy);
    let mut bench = Bench::leader(vec![patient]);
    bench.edit("plain-1", |c| c.health = Some(Health::Unhealthy));
    bench.event("plain-1", EventKind::Health(Health::Unhealthy));
    bench.pass(seconds(2));
    assert_eq!(bench.orders(), ["kill 15 plain-1", "start plain-1"]);
    let incidents = bench.incidents();
    assert_eq!(incidents.len(), 1);
    assert_eq!(incidents[0].reason, RestartReason::Unhealthy);
    assert_eq!(incidents[0].outcome, IncidentOutcome::Healed);
}

#[test]
fn an_operators_stop_in_the_middle_ends_the_force() {
    let mut patient = container("plain-1");
    patient.health = Some(Health::Healthy);
    let mut bench = Bench::leader(vec![patient]);
    bench.event("plain-1", EventKind::Kill { signal: 15 });
    bench.edit("plain-1", |c| c.health = Some(Health::Unhealthy));
    bench.event("plain-1", EventKind::Health(Health::Unhealthy));
    bench.pass(seconds(5));
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn a_crash_loop_ends_in_quarantine_with_one_alert_and_is_released_by_itself() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.crash_loop = true;
    bench.kill("plain-1");
    bench.pass(seconds(120));
    assert_eq!(bench.orders().len(), 5, "{:?}", bench.orders());
    assert_eq!(bench.alerts("quarantined"), 1);
    assert_eq!(bench.state("plain-1"), MemberState::Quarantined);
    assert!(bench.last_beat().records[0].quarantined_ms.is_some());
    bench.crash_loop = false;
    bench.pass(seconds(15 * 60));
    assert_eq!(bench.orders().len(), 6);
}

#[test]
fn a_start_that_the_engine_refuses_is_bounded_too() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.start_error = Some(EngineError::Refused {
        status: 500,
        message: "port is in use".into(),
    });
    bench.kill("plain-1");
    bench.pass(seconds(120));
    assert_eq!(bench.orders().len(), 5, "{:?}", bench.orders());
    assert_eq!(bench.alerts("quarantined"), 1);
    assert_eq!(bench.alerts("engine_refused"), 1);
}

#[test]
fn a_pause_is_healed_after_its_grace_and_docker_commit_is_left_in_peace() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.edit("plain-1", |c| c.state = ContainerState::Paused);
    bench.event("plain-1", EventKind::Pause);
    bench.pass(millis(135));
    bench.edit("plain-1", |c| c.state = ContainerState::Running);
    bench.event("plain-1", EventKind::Unpause);
    bench.pass(seconds(20));
    assert_eq!(bench.orders(), [""; 0]);
    bench.edit("plain-1", |c| c.state = ContainerState::Paused);
    bench.event("plain-1", EventKind::Pause);
    bench.pass(seconds(4));
    assert_eq!(bench.orders(), [""; 0]);
    bench.pass(seconds(2));
    assert_eq!(bench.orders(), ["unpause plain-1"]);
}

#[test]
fn a_disconnected_one_is_reconnected_with_its_aliases() {
    let mut patient = container("plain-1");
    let home = Attachment {
        network: "net".into(),
        aliases: vec!["plain".into()],
        address: None,
    };
    patient.networks = vec![home.clone()];
    let mut bench = Bench::leader(vec![patient]);
    bench.edit("plain-1", |c| c.networks.clear());
    bench.event(
        "plain-1",
        EventKind::Disconnect {
            network: "net".into(),
        },
    );
    bench.pass(seconds(8));
    assert_eq!(bench.orders(), ["connect plain-1"]);
    assert_eq!(bench.containers["plain-1"].networks, [home]);
}

#[test]
fn one_that_was_stopped_in_its_tracks_is_continued_and_if_that_fails_killed() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.edit("plain-1", |c| c.process_state = Some('T'));
    bench.event("plain-1", EventKind::Kill { signal: 19 });
    bench.pass(seconds(4));
    assert_eq!(bench.orders(), ["kill 18 plain-1"]);
    assert_eq!(bench.incidents().len(), 1);
}

#[test]
fn one_continued_is_not_killed_for_what_its_check_said_before() {
    let mut patient = container("plain-1");
    patient.health = Some(Health::Healthy);
    let mut bench = Bench::leader(vec![patient]);
    for recovers in [true, false] {
        bench.log.clear();
        bench.event("plain-1", EventKind::Kill { signal: 19 });
        bench.edit("plain-1", |c| {
            c.process_state = Some('T');
            c.health = Some(Health::Unhealthy);
        });
        bench.event("plain-1", EventKind::Health(Health::Unhealthy));
        bench.pass(seconds(30));
        assert_eq!(bench.orders(), ["kill 18 plain-1"]);
        if recovers {
            bench.edit("plain-1", |c| c.health = Some(Health::Healthy));
            bench.event("plain-1", EventKind::Health(Health::Healthy));
            assert_eq!(bench.incidents()[0].outcome, IncidentOutcome::Healed);
        }
        bench.pass(seconds(20));
        assert_eq!(bench.orders().len() > 1, !recovers, "{:?}", bench.orders());
    }
}

#[test]
fn docker_itself_is_left_to_restart_what_it_restarts() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.end("plain-1", 1);
    bench.edit("plain-1", |c| c.state = ContainerState::Restarting);
    bench.event("plain-1", EventKind::Die { exit_code: 1 });
    bench.pass(millis(150));
    bench.begin("plain-1");
    bench.event("plain-1", EventKind::Start);
    bench.pass(seconds(5));
    assert_eq!(bench.orders(), [""; 0]);
    let incidents = bench.incidents();
    assert_eq!(incidents.len(), 1);
    assert_eq!(incidents[0].outcome, IncidentOutcome::HealedByEngine);
}

#[test]
fn starts_that_are_due_together_follow_their_dependencies() {
    let mut first = container("db-1");
    first.restart_policy = RestartPolicy::Always;
    let mut second = container("app-1");
    second
        .labels
        .insert("planaria.depends-on".into(), "db-1".into());
    let mut bench = Bench::leader(vec![first, second]);
    bench.lose_engine();
    for title in ["app-1", "db-1"] {
        let _ = bench.make_event(title, EventKind::Kill { signal: 9 });
        bench.end(title, 137);
        let _ = bench.make_event(title, EventKind::Die { exit_code: 137 });
    }
    bench.reconnect_engine();
    bench.pass(seconds(3));
    assert_eq!(bench.orders(), ["start db-1", "start app-1"]);
}

#[test]
fn a_cycle_of_dependencies_waits_thirty_seconds_and_no_longer() {
    let mut first = container("a-1");
    first
        .labels
        .insert("planaria.depends-on".into(), "b-1".into());
    let mut second = container("b-1");
    second
        .labels
        .insert("planaria.depends-on".into(), "a-1".into());
    let mut bench = Bench::leader(vec![first, second]);
    bench.lose_engine();
    for title in ["a-1", "b-1"] {
        bench.end(title, 137);
        let _ = bench.make_event(title, EventKind::Die { exit_code: 137 });
    }
    bench.reconnect_engine();
    bench.pass(seconds(29));
    assert_eq!(bench.orders(), [""; 0]);
    bench.pass(seconds(3));
    assert_eq!(bench.orders().len(), 2);
}

#[test]
fn a_child_of_anothers_network_follows_its_restart() {
    let owner = container("vpn-1");
    let mut child = container("app-1");
    child.network_mode = format!("container:{}", owner.id);
    let mut bench = Bench::leader(vec![owner, child]);
    bench.kill("vpn-1");
    bench.pass(seconds(5));
    assert_eq!(
        bench.orders(),
        ["start vpn-1", "kill 15 app-1", "start app-1"]
    );
}

#[test]
fn an_order_without_an_answer_is_asked_about_not_repeated_blindly() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.start_error = Some(EngineError::TimedOut);
    bench.kill("plain-1");
    bench.pass(seconds(1));
    assert_eq!(bench.orders(), ["start plain-1"]);
    // It took effect after all.
    bench.start_error = None;
    bench.begin("plain-1");
    bench.event("plain-1", EventKind::Start);
    bench.pass(seconds(30));
    assert_eq!(bench.orders(), ["start plain-1"]);
    assert_eq!(bench.incidents()[0].outcome, IncidentOutcome::Healed);
}

/// A busy engine does not even answer the look before the start: no doubt is to be waited out then, and no
/// failure to be counted.
#[test]
fn an_order_that_was_not_made_is_made_soon() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.start_error = Some(EngineError::NotMade {
        reason: "no answer".into(),
    });
    bench.kill("plain-1");
    bench.pass(seconds(1));
    assert!(
        (2..=6).contains(&bench.orders().len()),
        "{:?}",
        bench.orders()
    );
    bench.start_error = None;
    bench.pass(seconds(1));
    let incidents = bench.incidents();
    assert_eq!(incidents.len(), 1);
    assert_eq!(incidents[0].outcome, IncidentOutcome::Healed);
}

#[test]
fn one_that_comes_back_as_another_incarnation_is_spared() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.start_error = Some(EngineError::Stale {
        found: "running".into(),
    });
    bench.kill("plain-1");
    bench.begin("plain-1");
    bench.event("plain-1", EventKind::Start);
    bench.pass(seconds(30));
    assert_eq!(bench.orders().len(), 1);
}

/// What is asked of the engine between the event of a death and the order to start.
#[test]
fn a_death_that_was_heard_at_once_leads_to_its_start_without_a_look() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.lose_engine();
    bench.reconnect_engine();
    let began = bench.now;
    bench.pass(seconds(15));
    // The engine's clock goes on as ours does.
    bench.clock += i64::try_from(bench.now.since(began).as_nanos()).unwrap();
    bench.log.clear();
    bench.kill("plain-1");
    let asked: Vec<&EngineCall> = bench
        .log
        .iter()
        .filter_map(|(_, effect)| match effect {
            Effect::Engine { request, .. } => Some(request),
            _ => None,
        })
        .collect();
    let EngineCall::Start { expect, .. } = asked[0] else {
        panic!("{asked:?}");
    };
    // A life ends once: its beginning names its end.
    assert!(expect.started_at.is_some() && expect.finished_at.is_none());
    assert_eq!(expect.name.as_deref(), Some("plain-1"));
    assert!(!expect.states.contains(&ContainerState::Running));
}

#[test]
fn without_the_token_nothing_that_runs_is_forced() {
    let mut patient = container("plain-1");
    patient.health = Some(Health::Unhealthy);
    let mut bench = Bench::new(Role::Healer);
    bench.engine(vec![patient]);
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn without_any_leader_the_highest_healer_starts_what_is_dead() {
    let mut other = container("healer-3");
    other.member = Some(name("healer-3"));
    other.labels.insert("planaria.role".into(), "healer".into());
    let mut broker = container("rabbitmq");
    broker
        .labels
        .insert("planaria.role".into(), "broker".into());
    let mut bench = Bench::new(Role::Healer);
    bench.engine(vec![container("plain-1"), other, broker]);
    bench.pass(seconds(20));
    bench.log.clear();
    bench.say("healer-3", 3, {
        let beat = bench_beat(3, 1);
        planaria_core::message::Body::Beat(Box::new(beat))
    });
    bench.kill("rabbitmq");
    bench.pass(millis(1900));
    assert_eq!(bench.orders(), [""; 0], "a leader's beat is fresh");
    bench.pass(seconds(3));
    assert_eq!(bench.orders(), ["start rabbitmq"]);
}

fn bench_beat(boot: u64, number: u64) -> planaria_core::message::Beat {
    Bench::new(Role::Member).beat_of("healer-3", boot, number)
}

#[test]
fn a_leader_that_was_frozen_acts_on_nothing_when_it_wakes() {
    let mut bench = Bench::leader(vec![container("plain-1"), container("worker-1")]);
    let kill = bench.make_event("plain-1", EventKind::Kill { signal: 9 });
    let die = bench.make_event("plain-1", EventKind::Die { exit_code: 137 });
    let start = bench.make_event("plain-1", EventKind::Start);
    bench.begin("plain-1");
    // The events of that time come all at once; by now somebody healed it.
    bench.now = bench.now + seconds(20);
    bench.loops = false;
    for event in [kill, die, start] {
        bench.feed(Input::Engine(event));
    }
    bench.pass(seconds(5));
    assert_eq!(bench.orders(), [""; 0]);
    assert!(bench.has(|e| matches!(e, Effect::ReleaseToken { .. })));
    assert!(!bench.node.status(bench.now).is_leader);
}

#[test]
fn a_hung_broker_is_forced_by_an_office_on_the_direct_path() {
    let mut broker = container("rabbitmq");
    broker
        .labels
        .insert("planaria.role".into(), "broker".into());
    let mut bench = Bench::new(Role::Healer);
    bench.engine(vec![broker, container("plain-1")]);
    bench.feed(Input::BrokerHandshakeFailed);
    for _ in 0..28 {
        bench.pass(seconds(1));
        bench.feed(Input::BrokerHandshakeFailed);
    }
    assert_eq!(bench.orders(), [""; 0]);
    bench.pass(seconds(5));
    assert_eq!(bench.orders(), ["kill 9 rabbitmq", "start rabbitmq"]);
}

#[test]
fn solo_heals_by_label_and_leaves_the_rest() {
    let mut labelled = container("web");
    labelled.labels = [("autoheal".to_owned(), "true".to_owned())].into();
    labelled.health = Some(Health::Healthy);
    let mut unlabelled = container("other");
    unlabelled.labels.clear();
    let mut grouped = container("grouped");
    grouped.member = Some(name("grouped"));
    let mut bench = Bench::solo(vec![labelled, unlabelled, grouped]);
    for title in ["web", "other", "grouped"] {
        bench.kill(title);
    }
    bench.pass(seconds(5));
    assert_eq!(bench.orders(), ["start web"]);
    bench.log.clear();
    bench.edit("web", |c| c.health = Some(Health::Unhealthy));
    bench.event("web", EventKind::Health(Health::Unhealthy));
    bench.pass(seconds(5));
    assert_eq!(bench.orders(), ["kill 15 web", "start web"]);
}

#[test]
fn restarts_that_only_the_history_shows_count_too() {
    let mut bench = Bench::new(Role::Healer);
    bench
        .containers
        .insert("plain-1".into(), container("plain-1"));
    for _ in 0..5 {
        bench.end("plain-1", 1);
        let _ = bench.make_event("plain-1", EventKind::Die { exit_code: 1 });
        bench.begin("plain-1");
        let _ = bench.make_event("plain-1", EventKind::Start);
    }
    bench.reconnect_engine();
    bench.office();
    bench.pass(seconds(12));
    bench.kill("plain-1");
    bench.pass(seconds(5));
    assert_eq!(bench.orders(), [""; 0]);
    assert_eq!(bench.alerts("quarantined"), 1);
}

#[test]
fn a_start_in_quarantine_is_a_chance_and_no_pardon() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.crash_loop = true;
    bench.kill("plain-1");
    bench.pass(seconds(40));
    assert_eq!(bench.state("plain-1"), MemberState::Quarantined);
    // Another healer that knows of none, or a person.
    bench.crash_loop = false;
    bench.log.clear();
    bench.begin("plain-1");
    bench.event("plain-1", EventKind::Start);
    bench.pass(seconds(2));
    assert_ne!(bench.state("plain-1"), MemberState::Quarantined);
    bench.kill("plain-1");
    bench.pass(seconds(10));
    assert_eq!(bench.orders(), [""; 0], "the back-off goes on");
    assert!(bench.last_beat().records[0].restarts_ms_ago.len() >= 5);
}

#[test]
fn in_quarantine_is_also_what_runs_and_is_unwell() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    for wait in [1, 2, 3, 5, 9] {
        bench.kill("plain-1");
        bench.pass(seconds(wait));
    }
    assert_eq!(bench.orders().len(), 5);
    assert_ne!(bench.state("plain-1"), MemberState::Quarantined);
    bench.edit("plain-1", |c| c.health = Some(Health::Unhealthy));
    bench.event("plain-1", EventKind::Health(Health::Unhealthy));
    bench.pass(seconds(20));
    assert_eq!(bench.orders().len(), 5);
    assert_eq!(bench.alerts("quarantined"), 1);
    assert_eq!(bench.state("plain-1"), MemberState::Quarantined);
}

#[test]
fn a_history_that_is_told_twice_counts_once() {
    let mut bench = Bench::new(Role::Healer);
    bench
        .containers
        .insert("plain-1".into(), container("plain-1"));
    for _ in 0..2 {
        bench.end("plain-1", 1);
        let _ = bench.make_event("plain-1", EventKind::Die { exit_code: 1 });
        bench.begin("plain-1");
        let _ = bench.make_event("plain-1", EventKind::Start);
    }
    bench.answers = false;
    bench.reconnect_engine();
    let history = bench.history.clone();
    bench.answer(planaria_core::engine::EngineReply::History(history));
    bench.lose_engine();
    bench.answers = true;
    bench.reconnect_engine();
    bench.office();
    bench.pass(seconds(2));
    assert_eq!(bench.last_beat().records[0].restarts_ms_ago.len(), 2);
}

#[test]
fn counts_are_kept_on_the_volume_and_grow_older_while_nobody_looks() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    for _ in 0..3 {
        bench.kill("plain-1");
        bench.pass(seconds(5));
    }
    let saved = bench
        .log
        .iter()
        .rev()
        .find_map(|(_, effect)| match effect {
            Effect::Save(saved) => Some(saved.clone()),
            _ => None,
        })
        .unwrap();
    assert_eq!(saved.records[0].restarts_ms_ago.len(), 3);
    // (away for so long by the engine's clock, and by the host's of one boot; restarts that still count)
    for (away, by_host, counted) in [
        (1, None, true),
        (120, None, false),
        // The engine's clock was set meanwhile.
        (120, Some(1), true),
        (1, Some(120), false),
    ] {
        let mut saved = saved.clone();
        saved.engine_time -= away * 1_000_000_000;
        saved.host_boot = by_host.map(|_| "this".to_owned());
        // The bench begins there.
        saved.at = Instant(0) + seconds(1000 - by_host.unwrap_or(0));
        let mut next = Bench::with(Role::Healer, Some(saved), |config| {
            config.host_boot = Some("this".to_owned());
        });
        next.clock_of(&bench);
        next.engine(vec![bench.containers["plain-1"].clone()]);
        next.office();
        next.pass(seconds(2));
        assert_eq!(
            !next.last_beat().records.is_empty(),
            counted,
            "{away} s, {by_host:?} s"
        );
    }
}

#[test]
fn a_leader_alone_does_not_kill_itself_and_says_so() {
    let mut own = container("healer-2");
    own.health = Some(Health::Healthy);
    own.member = Some(name("healer-2"));
    let mut bench = Bench::leader(vec![own]);
    bench.edit("healer-2", |c| c.health = Some(Health::Unhealthy));
    bench.event("healer-2", EventKind::Health(Health::Unhealthy));
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
    assert_eq!(bench.alerts("last_healer"), 1);
}

#[test]
fn last_words_are_no_evidence_against_a_life_that_began_while_the_stream_was_away() {
    let mut worker = container("worker-1");
    worker.member = Some(name("worker-1"));
    let mut bench = Bench::leader(vec![worker]);
    bench.voices.insert(name("worker-1"), BootId(5));
    // A look shows the next life before its `start` is heard.
    bench.end("worker-1", 1);
    bench.begin("worker-1");
    bench.pass(seconds(60));
    bench.event("worker-1", EventKind::Start);
    bench.pass(seconds(60));
    bench.log.clear();
    let words = LastWords {
        pulse: "main".into(),
        late_ms: 5000,
        reason: "pulse".into(),
    };
    bench.say("worker-1", 5, Body::LastWords(words));
    bench.lose_engine();
    bench.end("worker-1", 70);
    bench.begin("worker-1");
    bench.voices.insert(name("worker-1"), BootId(6));
    bench.pass(seconds(5));
    bench.reconnect_engine();
    bench.pass(seconds(20));
    assert_eq!(bench.orders(), [""; 0]);
}
