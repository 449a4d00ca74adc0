//! `monitor watch` alone: whom docker-autoheal's labels and variables name, and what is done for them.

use crate::bench::{Bench, container, name, seconds};
use planaria_core::effect::Effect;
use planaria_core::engine::{Container, ContainerState, EventKind, Health, RestartPolicy};
use planaria_core::input::Input;
use planaria_core::message::IncidentOutcome;
use planaria_core::node::{NodeConfig, Role};
use planaria_core::status::Saved;

/// A healthy one with these labels and no policy of its own.
fn labelled(title: &str, labels: &[(&str, &str)]) -> Container {
    let mut patient = container(title);
    patient.labels = labels
        .iter()
        .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
        .collect();
    patient.restart_policy = RestartPolicy::No;
    patient.health = Some(Health::Healthy);
    patient
}

fn watching(change: impl FnOnce(&mut NodeConfig), containers: Vec<Container>) -> Bench {
    let mut bench = Bench::with(Role::Solo, None, change);
    bench.engine(containers);
    bench.pass(seconds(15));
    bench.log.clear();
    bench
}

fn sicken(bench: &mut Bench, title: &str) {
    bench.edit(title, |c| c.health = Some(Health::Unhealthy));
    bench.event(title, EventKind::Health(Health::Unhealthy));
    bench.pass(seconds(3));
}

/// Whether an unhealthy one with these labels is healed.
fn heals(change: impl FnOnce(&mut NodeConfig), labels: &[(&str, &str)]) -> bool {
    let mut bench = watching(change, vec![labelled("web", labels)]);
    sicken(&mut bench, "web");
    let orders = bench.orders();
    assert!(
        orders.is_empty() || orders == ["kill 15 web", "start web"],
        "{orders:?}"
    );
    !orders.is_empty()
}

fn all(config: &mut NodeConfig) {
    config.autoheal_label = "all".to_owned();
}

#[test]
fn the_label_autoheal_watches_in_any_case_of_true() {
    for value in ["true", "True", "TRUE", "1", "yes"] {
        assert!(heals(|_| {}, &[("autoheal", value)]), "{value}");
    }
    for value in ["false", "False", "0", "no", "maybe", ""] {
        assert!(!heals(|_| {}, &[("autoheal", value)]), "{value}");
    }
    assert!(!heals(|_| {}, &[]));
}

#[test]
fn the_label_autoheal_false_is_skipped_under_all_too() {
    assert!(heals(all, &[]));
    for value in ["False", "false", "no", "0"] {
        assert!(!heals(all, &[("autoheal", value)]), "{value}");
    }
}

#[test]
fn all_takes_only_what_has_a_health_check() {
    let mut without = labelled("plain", &[]);
    without.health = None;
    let mut bench = watching(all, vec![without, labelled("web", &[])]);
    bench.kill("plain");
    bench.kill("web");
    bench.pass(seconds(5));
    assert_eq!(bench.orders(), ["start web"]);
}

#[test]
fn another_label_can_be_named_with_or_without_its_value() {
    let named = |text: &str| {
        let text = text.to_owned();
        move |config: &mut NodeConfig| config.autoheal_label = text
    };
    assert!(heals(named("heal-me"), &[("heal-me", "true")]));
    assert!(!heals(named("heal-me"), &[("autoheal", "true")]));
    assert!(heals(named("heal-me=please"), &[("heal-me", "please")]));
    assert!(!heals(named("heal-me=please"), &[("heal-me", "true")]));
}

#[test]
fn the_label_of_the_second_program_watches_and_excludes() {
    assert!(heals(|_| {}, &[("autoheal.monitor.enable", "TRUE")]));
    let monitor_all = |config: &mut NodeConfig| config.autoheal.all = true;
    assert!(heals(monitor_all, &[]));
    assert!(!heals(monitor_all, &[("autoheal.monitor.enable", "false")]));
}

#[test]
fn restart_enable_false_reports_and_does_nothing() {
    let labels = [("autoheal", "true"), ("autoheal.restart.enable", "FALSE")];
    let mut bench = watching(|_| {}, vec![labelled("web", &labels)]);
    sicken(&mut bench, "web");
    assert_eq!(bench.orders(), [""; 0]);
    assert_eq!(bench.alerts("notify"), 1);
}

#[test]
fn excluded_names_are_left_alone() {
    let exclude = |config: &mut NodeConfig| {
        all(config);
        config.autoheal.exclude = vec!["db".to_owned()];
    };
    let mut bench = watching(exclude, vec![labelled("db", &[]), labelled("web", &[])]);
    sicken(&mut bench, "db");
    sicken(&mut bench, "web");
    assert_eq!(bench.orders(), ["kill 15 web", "start web"]);
}

#[test]
fn only_monitor_running_leaves_the_dead_and_the_paused() {
    let running = |config: &mut NodeConfig| config.autoheal.only_running = true;
    let labels = [("autoheal", "true"), ("planaria.unpause", "true")];
    let mut bench = watching(running, vec![labelled("web", &labels), container("db")]);
    bench.edit("web", |c| c.state = ContainerState::Paused);
    bench.event("web", EventKind::Pause);
    bench.pass(seconds(30));
    bench.edit("web", |c| c.state = ContainerState::Running);
    bench.event("web", EventKind::Unpause);
    bench.kill("web");
    bench.pass(seconds(30));
    assert_eq!(bench.orders(), [""; 0]);
    // What our own label names is healed as ever.
    bench.kill("db");
    bench.pass(seconds(3));
    assert_eq!(bench.orders(), ["start db"]);
    assert!(heals(running, &[("autoheal", "true")]));
}

#[test]
fn a_paused_one_is_left_alone_unless_it_asks() {
    for (label, orders) in [("false", vec![]), ("true", vec!["unpause web".to_owned()])] {
        let labels = [("autoheal", "true"), ("planaria.unpause", label)];
        let mut bench = watching(|_| {}, vec![labelled("web", &labels)]);
        bench.edit("web", |c| c.state = ContainerState::Paused);
        bench.event("web", EventKind::Pause);
        // The engine suspends the checks of what is paused and calls it unhealthy.
        bench.event("web", EventKind::Health(Health::Unhealthy));
        bench.pass(seconds(30));
        assert_eq!(bench.orders(), orders, "planaria.unpause={label}");
    }
}

/// When our stop signal is followed by SIGKILL, in seconds.
fn grace(change: impl FnOnce(&mut NodeConfig), labels: &[(&str, &str)]) -> u64 {
    let mut bench = watching(change, vec![labelled("web", labels)]);
    bench.stubborn = true;
    bench.edit("web", |c| c.health = Some(Health::Unhealthy));
    bench.event("web", EventKind::Health(Health::Unhealthy));
    bench.pass(seconds(90));
    let kills: Vec<_> = bench
        .log
        .iter()
        .filter_map(|(at, effect)| match effect {
            Effect::Engine {
                request: planaria_core::engine::EngineCall::Kill { signal, .. },
                ..
            } => Some((*at, *signal)),
            _ => None,
        })
        .collect();
    assert_eq!((kills[0].1, kills[1].1), (15, 9), "{kills:?}");
    kills[1].0.since(kills[0].0).as_secs()
}

#[test]
fn the_grace_of_a_stop_is_the_labels_the_variables_or_the_containers() {
    let variable = |config: &mut NodeConfig| config.autoheal.stop_timeout = Some(seconds(20));
    let label = ("autoheal", "true");
    assert_eq!(grace(|_| {}, &[label]), 10);
    assert_eq!(grace(variable, &[label]), 20);
    assert_eq!(grace(variable, &[label, ("autoheal.stop.timeout", "3")]), 3);
    let both = [
        label,
        ("autoheal.stop.timeout", "3"),
        ("planaria.stop-timeout", "5s"),
    ];
    assert_eq!(grace(variable, &both), 5);
}

#[test]
fn the_label_action_says_what_is_done() {
    for prefix in ["autoheal.action", "planaria.action"] {
        let act = |action: &str| {
            let labels = [("autoheal", "true"), (prefix, action)];
            let mut bench = watching(|_| {}, vec![labelled("web", &labels)]);
            sicken(&mut bench, "web");
            bench.pass(seconds(60));
            bench
        };
        assert_eq!(act("restart").orders(), ["kill 15 web", "start web"]);
        let stopped = act("stop");
        assert_eq!(stopped.orders(), ["kill 15 web"]);
        assert_eq!(stopped.alerts("left_down"), 1);
        assert_eq!(stopped.incidents()[0].outcome, IncidentOutcome::LeftDown);
        let notified = act("notify");
        assert_eq!(notified.orders(), [""; 0]);
        assert_eq!(notified.alerts("notify"), 1);
        let nothing = act("none");
        assert_eq!(nothing.orders(), [""; 0]);
        assert_eq!(nothing.alerts("notify"), 0);
    }
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let patients = vec![labelled("web", &[("autoheal", "true")]), container("db")];
    let mut bench = watching(|config| config.dry_run = true, patients);
    sicken(&mut bench, "web");
    bench.kill("db");
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
    assert!(bench.said("web would be killed and started because: Docker's health check"));
    assert!(bench.said("db would be started because: Docker event die, exit code 137"));
    assert_eq!(bench.alerts("dry_run"), 2);
}

#[test]
fn who_stands_by_watches_and_takes_over_what_happened_meanwhile() {
    let mut bench = watching(|_| {}, vec![container("db")]);
    bench.feed(Input::Duty { on: false });
    bench.kill("db");
    bench.pass(seconds(60));
    assert_eq!(bench.orders(), [""; 0]);
    bench.feed(Input::Duty { on: true });
    bench.pass(seconds(1));
    assert_eq!(bench.orders(), ["start db"]);
}

#[test]
fn incidents_and_alerts_outlive_a_restart_of_the_watcher() {
    let mut bench = watching(|_| {}, vec![container("db")]);
    bench.kill("db");
    bench.pass(seconds(5));
    let saved = |bench: &Bench| -> Saved {
        let saved = bench.log.iter().rev().find_map(|(_, effect)| match effect {
            Effect::Save(saved) => Some(saved.clone()),
            _ => None,
        });
        saved.expect("something to keep")
    };
    let kept = saved(&bench);
    assert_eq!(kept.incidents.len(), 1);
    let next = Bench::with(Role::Solo, Some(kept), |_| {});
    let status = next.node.status(next.now);
    assert_eq!(status.incidents[0].name, name("db").to_string());
}

/// Docker's own policy, the label `planaria.policy`, and what is ordered when the engine came back and
/// left it down: after a person's stop, and where it was running.
type Row = (RestartPolicy, Option<&'static str>, bool, bool);

const ENGINE_RESTARTS: [Row; 9] = [
    (RestartPolicy::No, None, false, false),
    (RestartPolicy::OnFailure(0), None, false, true),
    (RestartPolicy::UnlessStopped, None, false, true),
    (RestartPolicy::Always, None, false, true),
    (RestartPolicy::No, Some("always"), false, true),
    (RestartPolicy::No, Some("unless-stopped"), false, false),
    (
        RestartPolicy::UnlessStopped,
        Some("on-failure"),
        false,
        true,
    ),
    (RestartPolicy::No, Some("on-failure"), false, false),
    (RestartPolicy::Always, Some("no"), false, false),
];

#[test]
fn what_an_engine_restart_leaves_down_is_healed_by_this_table() {
    for (own, label, after_stop, while_running) in ENGINE_RESTARTS {
        let labels = [
            ("autoheal", "true"),
            ("planaria.policy", label.unwrap_or("inherit")),
        ];
        let fresh = || {
            let mut patient = labelled("web", &labels);
            patient.restart_policy = own;
            watching(|_| {}, vec![patient])
        };
        let row = format!("Docker {own:?}, label {label:?}");
        let started = |bench: &mut Bench| {
            // The engine's memory of events is empty after its restart.
            bench.history.clear();
            bench.reconnect_engine();
            bench.pass(seconds(60));
            bench.orders() == ["start web"]
        };

        let mut bench = fresh();
        bench.stop("web");
        bench.pass(seconds(10));
        bench.lose_engine();
        assert_eq!(started(&mut bench), after_stop, "{row}, after a stop");

        let mut bench = fresh();
        bench.event("web", EventKind::Kill { signal: 15 });
        bench.end("web", 143);
        bench.event("web", EventKind::Die { exit_code: 143 });
        bench.event("web", EventKind::Stop);
        bench.lose_engine();
        assert_eq!(started(&mut bench), while_running, "{row}, while running");

        // Docker itself was faster.
        let mut bench = fresh();
        bench.lose_engine();
        bench.begin("web");
        assert!(!started(&mut bench), "{row}, started by Docker");
        assert_eq!(bench.orders(), [""; 0], "{row}, started by Docker");
    }
}
