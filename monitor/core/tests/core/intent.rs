//! Rule 6: what a person did is left alone, what died is brought back, and what nobody saw is asked about.

use crate::bench::{Bench, container, millis, name, seconds};
use planaria_core::effect::Effect;
use planaria_core::engine::{ContainerState, EngineReply, EventKind, Health, RestartPolicy};
use planaria_core::id::RequestId;
use planaria_core::input::Input;
use planaria_core::message::{Body, IncidentOutcome, MemberState, TicketView, Verb};
use planaria_core::node::Role;
use planaria_core::status::Saved;

fn plain() -> Vec<planaria_core::engine::Container> {
    vec![container("plain-1"), container("worker-1")]
}

#[test]
fn docker_stop_is_left_alone_and_remembered() {
    let mut bench = Bench::leader(plain());
    bench.stop("plain-1");
    bench.pass(seconds(120));
    assert_eq!(bench.orders(), [""; 0]);
    assert_eq!(bench.state("plain-1"), MemberState::Left);
    let record = &bench.last_beat().records[0];
    assert_eq!(record.stopped, bench.containers["plain-1"].finished_at);
}

#[test]
fn a_slow_docker_stop_with_kill_at_its_end_is_left_alone() {
    let mut bench = Bench::leader(plain());
    bench.event("plain-1", EventKind::Kill { signal: 15 });
    bench.pass(seconds(10));
    bench.event("plain-1", EventKind::Kill { signal: 9 });
    bench.end("plain-1", 137);
    bench.event("plain-1", EventKind::Die { exit_code: 137 });
    bench.pass(millis(40));
    bench.event("plain-1", EventKind::Stop);
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn docker_kill_is_healed_at_once() {
    let mut bench = Bench::leader(plain());
    bench.kill("plain-1");
    assert_eq!(bench.orders(), ["start plain-1"]);
    assert!(bench.said("Node plain-1 is DEAD. Restarting..."));
    assert!(bench.said("Peer plain-1 came back after"));
    assert_eq!(bench.incidents().len(), 1);
}

#[test]
fn docker_kill_with_the_stop_signal_is_healed_a_second_later() {
    let mut bench = Bench::leader(plain());
    bench.event("plain-1", EventKind::Kill { signal: 15 });
    bench.end("plain-1", 0);
    bench.event("plain-1", EventKind::Die { exit_code: 0 });
    bench.pass(millis(900));
    assert_eq!(bench.orders(), [""; 0]);
    bench.pass(millis(200));
    assert_eq!(bench.orders(), ["start plain-1"]);
}

#[test]
fn docker_restart_is_nobodys_business() {
    let mut bench = Bench::leader(plain());
    bench.stop("plain-1");
    bench.pass(millis(400));
    bench.begin("plain-1");
    bench.event("plain-1", EventKind::Start);
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
    assert_eq!(bench.incidents().len(), 0);
}

#[test]
fn a_young_stream_may_have_missed_the_stop_signal() {
    let mut bench = Bench::new(Role::Healer);
    bench.engine(plain());
    bench.office();
    bench.log.clear();
    bench.lose_engine();
    bench.reconnect_engine();
    bench.end("plain-1", 0);
    bench.event("plain-1", EventKind::Die { exit_code: 0 });
    bench.pass(millis(50));
    bench.event("plain-1", EventKind::Stop);
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn a_later_start_voids_the_intent() {
    let mut bench = Bench::leader(plain());
    bench.stop("plain-1");
    bench.pass(seconds(10));
    bench.begin("plain-1");
    bench.event("plain-1", EventKind::Start);
    bench.pass(seconds(10));
    bench.kill("plain-1");
    assert_eq!(bench.orders(), ["start plain-1"]);
}

#[test]
fn an_engine_going_down_says_stop_for_everyone_and_means_nobody() {
    let mut bench = Bench::leader(plain());
    bench.stop("plain-1");
    bench.stop("worker-1");
    bench.lose_engine();
    bench.history.clear();
    bench.pass(seconds(20));
    // The engine is back and brought one of the two back itself.
    bench.begin("worker-1");
    bench.reconnect_engine();
    bench.pass(seconds(5));
    assert_eq!(bench.orders(), [""; 0], "Docker's own policy has its time");
    bench.pass(seconds(10));
    assert_eq!(bench.orders(), ["start plain-1"]);
}

#[test]
fn what_was_stopped_before_the_engine_restarted_stays_stopped() {
    let mut bench = Bench::leader(plain());
    bench.stop("plain-1");
    bench.pass(seconds(10));
    bench.lose_engine();
    bench.history.clear();
    bench.pass(seconds(5));
    bench.reconnect_engine();
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn unwitnessed_is_not_dead() {
    let mut stopped = container("plain-1");
    stopped.state = ContainerState::Exited;
    stopped.finished_at = Some("f1".to_owned());
    stopped.exit_code = 137;
    let mut bench = Bench::new(Role::Healer);
    bench.engine(vec![stopped, container("worker-1")]);
    bench.office();
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
    assert_eq!(bench.alerts("unwitnessed"), 1);
    assert_eq!(bench.state("plain-1"), MemberState::Left);
}

#[test]
fn a_death_in_the_history_is_a_witness() {
    let mut bench = Bench::new(Role::Healer);
    bench
        .containers
        .insert("plain-1".into(), container("plain-1"));
    let _ = bench.make_event("plain-1", EventKind::Kill { signal: 9 });
    bench.end("plain-1", 137);
    let _ = bench.make_event("plain-1", EventKind::Die { exit_code: 137 });
    bench.reconnect_engine();
    bench.office();
    bench.pass(seconds(5));
    assert_eq!(bench.orders(), ["start plain-1"]);
}

#[test]
fn a_stop_in_the_history_is_intent() {
    let mut bench = Bench::new(Role::Healer);
    bench
        .containers
        .insert("plain-1".into(), container("plain-1"));
    bench.end("plain-1", 0);
    let _ = bench.make_event("plain-1", EventKind::Die { exit_code: 0 });
    let _ = bench.make_event("plain-1", EventKind::Stop);
    bench.reconnect_engine();
    bench.office();
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
    assert_eq!(bench.alerts("unwitnessed"), 0);
}

#[test]
fn a_kill_heard_before_the_stream_broke_is_a_witness() {
    let mut bench = Bench::leader(plain());
    bench.event("plain-1", EventKind::Kill { signal: 9 });
    bench.lose_engine();
    bench.end("plain-1", 137);
    bench.history.clear();
    bench.reconnect_engine();
    bench.pass(millis(10));
    assert_eq!(bench.orders(), ["start plain-1"]);
}

#[test]
fn policy_always_needs_no_witness() {
    let mut stopped = container("plain-1");
    stopped.state = ContainerState::Exited;
    stopped.finished_at = Some("f1".to_owned());
    stopped
        .labels
        .insert("planaria.policy".into(), "always".into());
    let mut bench = Bench::new(Role::Healer);
    bench.engine(vec![stopped]);
    bench.office();
    bench.pass(seconds(5));
    assert_eq!(bench.orders(), ["start plain-1"]);
}

#[test]
fn a_start_that_failed_is_tried_again_and_a_plain_created_one_never() {
    let mut failed = container("plain-1");
    failed.state = ContainerState::Created;
    failed.started_at = None;
    failed.error = "port is in use".to_owned();
    let mut created = failed.clone();
    created.name = "worker-1".to_owned();
    created.id = container("worker-1").id;
    created.error.clear();
    let mut bench = Bench::new(Role::Healer);
    bench.engine(vec![failed, created]);
    bench.office();
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), ["start plain-1"]);
    assert_eq!(bench.alerts("unwitnessed"), 0);
}

#[test]
fn the_records_on_the_volume_outlive_a_boot() {
    let mut bench = Bench::leader(plain());
    bench.stop("plain-1");
    bench.pass(seconds(10));
    let saved: Saved = bench
        .log
        .iter()
        .rev()
        .find_map(|(_, effect)| match effect {
            Effect::Save(saved) => Some(saved.clone()),
            _ => None,
        })
        .unwrap();
    let mut next = Bench::with(Role::Healer, Some(saved), |_| {});
    let mut stopped = bench.containers["plain-1"].clone();
    // Even `always` respects what is on record.
    stopped.restart_policy = RestartPolicy::Always;
    next.engine(vec![stopped]);
    next.office();
    next.pass(seconds(60));
    assert_eq!(next.orders(), [""; 0]);
    assert_eq!(next.alerts("unwitnessed"), 0);
}

#[test]
fn removal_and_recreation_heal_nothing() {
    let mut bench = Bench::leader(plain());
    bench.event("plain-1", EventKind::Kill { signal: 9 });
    // `docker rm -f`: the engine has forgotten it when we look.
    let die = bench.make_event("plain-1", EventKind::Die { exit_code: 137 });
    let destroy = bench.make_event("plain-1", EventKind::Destroy);
    bench.containers.remove("plain-1");
    bench.feed(Input::Engine(die));
    bench.feed(Input::Engine(destroy));
    bench.pass(seconds(60));
    // What was heard was a death: one start is ordered, the driver's last look finds nobody, and that is all.
    let starts = bench.log.iter().filter(|(_, effect)| {
        matches!(
            effect,
            Effect::Engine {
                request: planaria_core::engine::EngineCall::Start { .. },
                ..
            }
        )
    });
    assert!(starts.count() <= 1);
    assert!(bench.incidents().is_empty(), "{:?}", bench.incidents());
}

#[test]
fn exit_zero_follows_the_containers_own_policy() {
    for (policy, healed) in [
        (RestartPolicy::No, false),
        (RestartPolicy::OnFailure(0), false),
        (RestartPolicy::UnlessStopped, true),
        (RestartPolicy::Always, true),
    ] {
        let mut patient = container("plain-1");
        patient.restart_policy = policy;
        let mut bench = Bench::leader(vec![patient]);
        bench.end("plain-1", 0);
        bench.event("plain-1", EventKind::Die { exit_code: 0 });
        bench.pass(seconds(10));
        assert_eq!(!bench.orders().is_empty(), healed, "{policy:?}");
    }
}

#[test]
fn nobodys_patients_are_not_touched() {
    let mut oneoff = container("one-off");
    oneoff
        .labels
        .insert("com.docker.compose.oneoff".into(), "True".into());
    let mut other = container("other");
    other.labels.insert("planaria.group".into(), "else".into());
    let mut bare = container("bare");
    bare.labels.clear();
    let mut old = container("old");
    old.name = "0123456789ab_worker-1".to_owned();
    old.id.0.replace_range(..12, "0123456789ab");
    let mut bench = Bench::leader(vec![oneoff, other, bare, old]);
    for title in ["one-off", "other", "bare", "0123456789ab_worker-1"] {
        bench.kill(title);
    }
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn a_held_one_is_left_alone_until_the_hold_ends() {
    let mut bench = Bench::leader(plain());
    bench.feed(Input::Request {
        id: planaria_core::id::RequestId("1".into()),
        verb: planaria_core::message::Verb::Hold {
            names: vec![name("plain-1")],
            for_s: 60,
            reason: "maintenance".into(),
        },
    });
    bench.kill("plain-1");
    bench.pass(seconds(50));
    assert_eq!(bench.orders(), [""; 0]);
    bench.pass(seconds(15));
    assert_eq!(bench.orders(), ["start plain-1"]);
}

#[test]
fn a_stop_whose_confirmation_the_stream_cut_off_is_found_in_the_history() {
    let mut bench = Bench::leader(plain());
    bench.stop("plain-1");
    bench.pass(seconds(1));
    bench.event("worker-1", EventKind::Oom);
    bench.pass(seconds(1));
    bench.lose_engine();
    bench.reconnect_engine();
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn a_stop_signal_that_the_stream_missed_is_found_in_the_history() {
    let mut bench = Bench::leader(plain());
    bench.lose_engine();
    let _ = bench.make_event("plain-1", EventKind::Kill { signal: 15 });
    bench.reconnect_engine();
    bench.edit("plain-1", |c| {
        c.health = Some(planaria_core::engine::Health::Unhealthy);
    });
    bench.event(
        "plain-1",
        EventKind::Health(planaria_core::engine::Health::Unhealthy),
    );
    bench.pass(seconds(9));
    assert_eq!(bench.orders(), [""; 0]);
}

/// A force on something unhealthy, whose own signal is a person's in nothing but its number.
fn forced(heard: bool) -> Bench {
    let mut bench = Bench::leader(plain());
    bench.answers = false;
    bench.edit("plain-1", |c| c.health = Some(Health::Unhealthy));
    bench.event("plain-1", EventKind::Health(Health::Unhealthy));
    bench.answer(EngineReply::Container(Some(Box::new(
        bench.containers["plain-1"].clone(),
    ))));
    bench.pass(millis(100));
    // Announced, looked at once more, done.
    bench.answer(EngineReply::Container(Some(Box::new(
        bench.containers["plain-1"].clone(),
    ))));
    assert_eq!(bench.orders(), ["kill 15 plain-1"]);
    if heard {
        bench.event("plain-1", EventKind::Kill { signal: 15 });
    }
    bench.answer(EngineReply::Done);
    bench
}

#[test]
fn a_signal_long_after_our_own_is_a_persons() {
    // (our own event was heard, the next one comes so much later, it is a person's)
    for (heard, after, persons) in [
        (false, millis(100), false),
        (false, millis(400), true),
        (false, seconds(5), true),
        (true, millis(100), true),
        (true, seconds(5), true),
    ] {
        let mut bench = forced(heard);
        bench.pass(after);
        bench.event("plain-1", EventKind::Kill { signal: 15 });
        let refused = bench
            .incidents()
            .iter()
            .any(|incident| incident.outcome == IncidentOutcome::Refused);
        assert_eq!(refused, persons, "heard {heard}, {after:?} later");
        bench.pass(seconds(8));
        let kills = bench.orders().len();
        assert_eq!(kills, 1, "no SIGKILL within the grace of either");
    }
}

#[test]
fn an_announced_signal_that_was_lost_excuses_no_later_one() {
    // (beats that announce it, then one that says it was sent, a person's after it)
    for (sent, after, persons) in [
        (false, millis(200), false),
        (false, millis(1600), true),
        (true, millis(0), true),
    ] {
        let mut bench = Bench::new(Role::Healer);
        bench.engine(plain());
        bench.feed(Input::BrokerConnected);
        let mut beat = bench.beat_of("healer-3", 3, 5);
        let term = beat.term;
        bench.say("healer-3", 3, Body::Beat(Box::new(beat.clone())));
        bench.pass(seconds(4));
        beat.number += 1;
        beat.tickets.push(TicketView {
            container: bench.containers["plain-1"].id.clone(),
            left_ms: 15_000,
            killing: true,
        });
        bench.say("healer-3", 3, Body::Beat(Box::new(beat.clone())));
        if sent {
            beat.number += 1;
            beat.tickets[0].killing = false;
            bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
        }
        bench.pass(after);
        bench.event("plain-1", EventKind::Kill { signal: 15 });
        // Only a leader shows what it thinks of the signal.
        bench.say("healer-3", 3, Body::Resign { term });
        bench.feed(Input::TokenGranted {
            channel: crate::bench::CHANNEL,
        });
        let status = bench.node.status(bench.now);
        let why = status
            .members
            .iter()
            .find(|member| member.name == name("plain-1"))
            .map(|member| member.why.clone());
        assert_eq!(
            why.as_deref() == Some("being stopped"),
            persons,
            "sent {sent}, {after:?} later: {why:?}"
        );
    }
}

#[test]
fn a_stop_signal_counts_though_the_start_before_it_was_missed() {
    for known in [true, false] {
        let mut bench = Bench::leader(plain());
        let title = if known { "plain-1" } else { "plain-2" };
        if known {
            bench.stop(title);
            bench.pass(seconds(20));
        } else {
            bench.containers.insert(title.into(), container(title));
        }
        // Its start was lost on the way.
        bench.begin(title);
        bench.event(title, EventKind::Kill { signal: 15 });
        bench.pass(millis(80));
        bench.end(title, 0);
        bench.event(title, EventKind::Die { exit_code: 0 });
        bench.pass(millis(40));
        assert_eq!(bench.orders(), [""; 0], "known {known}");
        bench.event(title, EventKind::Stop);
        bench.pass(seconds(60));
        assert_eq!(bench.orders(), [""; 0], "known {known}");
        // The signal is not held against the next life: its clean end is its right.
        bench.edit(title, |c| c.restart_policy = RestartPolicy::No);
        bench.begin(title);
        bench.event(title, EventKind::Start);
        bench.pass(seconds(20));
        bench.end(title, 0);
        bench.event(title, EventKind::Die { exit_code: 0 });
        bench.pass(seconds(20));
        assert_eq!(bench.orders(), [""; 0], "known {known}");
    }
}

#[test]
fn an_engine_that_does_not_tell_its_history_is_asked_again() {
    for (refusals, healed) in [(1, true), (2, true), (3, false)] {
        let mut bench = Bench::new(Role::Healer);
        bench
            .containers
            .insert("plain-1".into(), container("plain-1"));
        let _ = bench.make_event("plain-1", EventKind::Kill { signal: 9 });
        bench.end("plain-1", 137);
        let _ = bench.make_event("plain-1", EventKind::Die { exit_code: 137 });
        bench.history_refusals = refusals;
        bench.reconnect_engine();
        bench.pass(seconds(5));
        bench.office();
        bench.pass(seconds(5));
        assert_eq!(
            !bench.orders().is_empty(),
            healed,
            "refused {refusals} times"
        );
        assert_eq!(bench.alerts("unwitnessed"), usize::from(!healed));
    }
}

#[test]
fn what_the_engine_was_restarting_is_a_death_though_the_stream_missed_it() {
    let mut bench = Bench::leader(plain());
    bench.lose_engine();
    bench.history.clear();
    bench.end("plain-1", 1);
    bench.edit("plain-1", |c| c.state = ContainerState::Restarting);
    bench.reconnect_engine();
    bench.pass(millis(200));
    // A signal cancels Docker's policy, and there is no process to tell of it.
    bench.edit("plain-1", |c| c.state = ContainerState::Exited);
    bench.pass(seconds(10));
    assert_eq!(bench.orders(), ["start plain-1"]);
}

/// What a healer keeps, as its last save has it.
fn kept(bench: &Bench) -> planaria_core::status::Saved {
    bench
        .log
        .iter()
        .rev()
        .find_map(|(_, effect)| match effect {
            planaria_core::effect::Effect::Save(saved) => Some(saved.clone()),
            _ => None,
        })
        .expect("something to keep")
}

/// A death that a follower saw, and nobody answered: the leader was elsewhere.
fn witness() -> Bench {
    let mut bench = Bench::new(Role::Healer);
    bench.engine(vec![container("plain-1")]);
    bench.feed(Input::BrokerConnected);
    let beat = bench.beat_of("healer-3", 3, 5);
    for _ in 0..15 {
        bench.say("healer-3", 3, Body::Beat(Box::new(beat.clone())));
        bench.pass(seconds(1));
    }
    bench.kill("plain-1");
    bench.say("healer-3", 3, Body::Beat(Box::new(beat)));
    bench
}

#[test]
fn a_death_outlives_the_only_one_that_witnessed_it() {
    let witness = witness();
    assert_eq!(witness.orders(), [""; 0]);
    // Replaced, and the engine has forgotten: its volume remembers.
    let mut heir = Bench::with(Role::Healer, Some(kept(&witness)), |_| {});
    heir.clock_of(&witness);
    heir.engine(vec![witness.containers["plain-1"].clone()]);
    heir.office();
    heir.pass(seconds(2));
    assert_eq!(heir.orders(), ["start plain-1"]);
}

#[test]
fn a_new_leader_is_told_of_deaths_that_it_did_not_witness() {
    let mut witness = witness();
    let mut leader = Bench::with(Role::Healer, None, |config| config.name = name("healer-9"));
    leader.engine(vec![witness.containers["plain-1"].clone()]);
    leader.office();
    leader.pass(seconds(5));
    assert_eq!(leader.orders(), [""; 0], "nobody told it how that ended");
    let beat = witness.beat_of("healer-9", 9, 6);
    witness.log.clear();
    witness.say("healer-9", 9, Body::Beat(Box::new(beat)));
    let told = witness.log.iter().find_map(|(_, effect)| match effect {
        planaria_core::effect::Effect::Publish {
            body: Body::Records(records),
            ..
        } => Some(records.clone()),
        _ => None,
    });
    leader.say("healer-7", 7, Body::Records(told.expect("records")));
    leader.pass(seconds(1));
    assert_eq!(leader.orders(), ["start plain-1"]);
}

#[test]
fn a_record_of_another_end_says_nothing_of_this_one() {
    let witness = witness();
    let mut saved = kept(&witness);
    saved.records[0].died = Some("an older end".to_owned());
    let mut heir = Bench::with(Role::Healer, Some(saved), |_| {});
    heir.engine(vec![witness.containers["plain-1"].clone()]);
    heir.office();
    heir.pass(seconds(30));
    assert_eq!(heir.orders(), [""; 0]);
}

#[test]
fn a_change_of_leader_does_not_begin_the_back_off_anew() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    for _ in 0..4 {
        bench.kill("plain-1");
        bench.pass(seconds(9));
    }
    bench.log.clear();
    bench.kill("plain-1");
    bench.pass(seconds(5));
    assert_eq!(bench.orders(), [""; 0], "it waits for 8 s");
    bench.feed(Input::TokenLost {
        channel: crate::bench::CHANNEL,
    });
    bench.office();
    bench.pass(millis(1500));
    assert_eq!(bench.orders(), ["start plain-1"]);
}

#[test]
fn a_stop_under_a_hold_is_remembered_when_the_hold_is_over() {
    let mut bench = Bench::leader(vec![container("plain-1")]);
    bench.feed(Input::Request {
        id: RequestId("1".to_owned()),
        verb: Verb::Hold {
            names: vec![name("plain-1")],
            for_s: 20,
            reason: "maintenance".to_owned(),
        },
    });
    bench.stop("plain-1");
    bench.pass(seconds(10));
    bench.lose_engine();
    bench.history.clear();
    bench.reconnect_engine();
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
}

#[test]
fn a_stop_right_before_a_gap_that_we_live_through_is_a_persons() {
    for within in [true, false] {
        let own = container("healer-2");
        let id = own.id.clone();
        let mut bench = Bench::with(Role::Healer, None, |config| {
            config.container = within.then_some(id);
        });
        bench.engine(vec![own, container("plain-1")]);
        bench.office();
        bench.pass(seconds(15));
        bench.stop("plain-1");
        bench.lose_engine();
        // It forgot: it was started anew, or refuses to tell.
        bench.history.clear();
        bench.reconnect_engine();
        bench.pass(seconds(30));
        let left: &[&str] = if within { &[] } else { &["start plain-1"] };
        assert_eq!(bench.orders(), left);
    }
}
