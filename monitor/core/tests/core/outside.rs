//! Probes from outside, containers made anew, and hooks.

use crate::bench::{Bench, container, millis, seconds};
use planaria_core::effect::{Effect, HookTime};
use planaria_core::engine::{Container, ContainerState, EngineError, EventKind, RestartPolicy};
use planaria_core::message::{IncidentOutcome, RestartReason};

fn labelled(title: &str, labels: &[(&str, &str)]) -> Container {
    let mut made = container(title);
    for (key, text) in labels {
        made.labels.insert((*key).to_owned(), (*text).to_owned());
    }
    made
}

fn probed(labels: &[(&str, &str)]) -> Bench {
    let mut all = vec![("planaria.probe", "tcp:80")];
    all.extend(labels);
    let mut bench = Bench::leader(vec![
        labelled("plain-1", &all),
        container("plain-2"),
        container("plain-3"),
    ]);
    bench.pass(seconds(20));
    bench.log.clear();
    bench
}

#[test]
fn three_failed_probes_from_outside_are_as_good_as_unhealthy() {
    let mut bench = probed(&[]);
    bench.deaf.push("plain-1".to_owned());
    bench.pass(seconds(9));
    assert_eq!(bench.orders(), [""; 0], "two failures are bad luck");
    bench.pass(seconds(9));
    assert_eq!(bench.orders(), ["kill 15 plain-1", "start plain-1"]);
    bench.deaf.clear();
    bench.pass(seconds(20));
    let healed = bench.incidents().pop().unwrap();
    assert_eq!(healed.reason, RestartReason::Unhealthy);
    assert_eq!(healed.outcome, IncidentOutcome::Healed);
    assert!(healed.evidence.contains("tcp:80"), "{}", healed.evidence);
    assert_eq!(healed.action, "kill and start");
}

#[test]
fn failures_on_the_way_up_do_not_count_but_the_period_ends() {
    let mut bench = probed(&[("planaria.start-period", "60s")]);
    bench.deaf.push("plain-1".to_owned());
    bench.kill("plain-1");
    bench.pass(seconds(50));
    assert_eq!(bench.orders(), ["start plain-1"]);
    bench.pass(seconds(40));
    assert_eq!(
        bench.orders(),
        ["start plain-1", "kill 15 plain-1", "start plain-1"]
    );
}

#[test]
fn where_all_probes_fail_the_one_who_asks_is_at_fault() {
    let names: Vec<String> = (1..=4).map(|n| format!("plain-{n}")).collect();
    let made = names
        .iter()
        .map(|name| labelled(name, &[("planaria.probe", "http://:8080/health")]));
    let mut bench = Bench::leader(made.collect());
    bench.pass(seconds(20));
    bench.log.clear();
    bench.deaf = names;
    bench.pass(seconds(60));
    let orders = bench.orders();
    assert!(
        orders.iter().filter(|o| o.starts_with("kill")).count() <= 2,
        "{orders:?}"
    );
}

#[test]
fn an_image_with_a_health_check_is_not_probed_and_neither_is_a_bad_label() {
    for probe in [
        "tcp:0",
        "tcp:x",
        "http://other:80/",
        "exec:rm",
        "http://:80/ x",
    ] {
        let mut bench = probed(&[("planaria.probe", probe)]);
        bench.deaf.push("plain-1".to_owned());
        bench.pass(seconds(60));
        assert_eq!(bench.orders(), [""; 0], "{probe}");
    }
}

/// `vpn`, and `child` in its network.
fn pair(recreate: bool) -> Bench {
    let vpn = container("vpn");
    let labels: &[(&str, &str)] = if recreate {
        &[("planaria.recreate", "true")]
    } else {
        &[]
    };
    let mut child = labelled("child", labels);
    child.network_mode = format!("container:{}", vpn.id);
    Bench::leader(vec![vpn, child])
}

/// `docker compose up -d --force-recreate vpn`.
fn renew_owner(bench: &mut Bench) {
    bench.stop("vpn");
    bench.pass(seconds(1));
    let old = bench.containers["vpn"].clone();
    let destroy = bench.make_event("vpn", EventKind::Destroy);
    let mut anew = old;
    anew.id = planaria_core::id::ContainerId("e".repeat(64));
    anew.state = ContainerState::Running;
    anew.started_at = Some("anew".to_owned());
    bench.containers.insert("vpn".to_owned(), anew);
    bench.feed(planaria_core::input::Input::Engine(destroy));
    bench.event("vpn", EventKind::Create);
    bench.event("vpn", EventKind::Start);
}

#[test]
fn a_child_of_a_restarted_network_is_restarted_after_it() {
    let mut bench = pair(false);
    bench.kill("vpn");
    bench.pass(seconds(5));
    assert_eq!(
        bench.orders(),
        ["start vpn", "kill 15 child", "start child"]
    );
}

#[test]
fn a_child_of_a_network_made_anew_is_made_anew_where_its_label_allows() {
    let mut bench = pair(true);
    renew_owner(&mut bench);
    bench.pass(seconds(5));
    assert_eq!(
        bench.orders(),
        [""; 0],
        "Compose may be about to do it itself"
    );
    bench.pass(seconds(20));
    assert_eq!(bench.orders(), ["kill 15 child", "recreate child"]);
    assert_eq!(
        bench.containers["child"].network_mode,
        format!("container:{}", "e".repeat(64))
    );
    let story = bench.incidents().pop().unwrap();
    assert_eq!(story.outcome, IncidentOutcome::Healed);
    assert_eq!(story.action, "recreate");
    bench.pass(seconds(60));
    assert_eq!(bench.orders().len(), 2, "once is enough");
}

#[test]
fn a_dead_child_of_a_network_made_anew_is_not_started_in_vain() {
    let mut bench = pair(true);
    bench.kill("child");
    bench.pass(seconds(2));
    assert_eq!(bench.orders(), ["start child"]);
    bench.log.clear();
    renew_owner(&mut bench);
    bench.kill("child");
    bench.pass(seconds(30));
    assert_eq!(bench.orders(), ["recreate child"]);
}

#[test]
fn without_the_label_a_person_is_told_once() {
    let mut bench = pair(false);
    renew_owner(&mut bench);
    bench.pass(seconds(120));
    assert_eq!(bench.orders(), [""; 0]);
    assert_eq!(bench.alerts("needs_recreate"), 1);
}

#[test]
fn what_was_removed_is_made_anew_after_a_minute_where_its_label_allows() {
    for (recreate, expected) in [("true", 1), ("false", 0)] {
        let mut bench = Bench::leader(vec![labelled(
            "plain-1",
            &[("planaria.recreate", recreate)],
        )]);
        // `docker rm -f`
        bench.start_error = Some(EngineError::Refused {
            status: 409,
            message: "removal in progress".to_owned(),
        });
        bench.kill("plain-1");
        let destroy = bench.make_event("plain-1", EventKind::Destroy);
        bench.containers.remove("plain-1");
        bench.feed(planaria_core::input::Input::Engine(destroy));
        bench.log.clear();
        bench.pass(seconds(55));
        assert!(
            !bench.has(is_recreate),
            "the name is left to whoever removed it"
        );
        bench.pass(seconds(10));
        assert_eq!(
            bench.log.iter().filter(|(_, e)| is_recreate(e)).count(),
            expected
        );
    }
}

fn is_recreate(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Engine {
            request: planaria_core::engine::EngineCall::Recreate { .. },
            ..
        }
    )
}

#[test]
fn what_was_stopped_and_removed_stays_removed() {
    let mut bench = Bench::leader(vec![labelled("plain-1", &[("planaria.recreate", "true")])]);
    bench.stop("plain-1");
    let destroy = bench.make_event("plain-1", EventKind::Destroy);
    bench.containers.remove("plain-1");
    bench.feed(planaria_core::input::Input::Engine(destroy));
    bench.pass(seconds(120));
    assert!(!bench.has(is_recreate));
}

#[test]
fn hooks_are_called_before_and_after_with_what_is_known() {
    let mut bench = Bench::leader(vec![labelled(
        "plain-1",
        &[("planaria.webhook", "http://hooks/x")],
    )]);
    bench.edit("plain-1", |c| c.restart_policy = RestartPolicy::No);
    bench.feed(planaria_core::input::Input::Vitals {
        unix_ms: 1_700_000_000_000,
        pulse_age_ms: 5,
    });
    bench.pass(seconds(10));
    bench.event("plain-1", EventKind::Oom);
    bench.end("plain-1", 137);
    bench.edit("plain-1", |c| c.oom_killed = true);
    bench.event("plain-1", EventKind::Die { exit_code: 137 });
    bench.pass(millis(500));
    let hooks: Vec<_> = bench
        .log
        .iter()
        .filter_map(|(_, effect)| match effect {
            Effect::Hook {
                when,
                url,
                incident,
            } => Some((*when, url.clone(), (**incident).clone())),
            _ => None,
        })
        .collect();
    assert_eq!(
        hooks.iter().map(|(when, ..)| *when).collect::<Vec<_>>(),
        [HookTime::Before, HookTime::After]
    );
    for (_, url, story) in &hooks {
        assert_eq!(url.as_deref(), Some("http://hooks/x"));
        assert_eq!(story.reason, RestartReason::OutOfMemory);
        assert_eq!((story.exit_code, story.oom), (Some(137), true));
        assert_eq!(story.action, "start");
        let at = story.at_ms.unwrap();
        assert!((1_700_000_010_000..1_700_000_011_000).contains(&at), "{at}");
    }
    assert_eq!(hooks[0].2.id, hooks[1].2.id, "one story, told twice");
}
