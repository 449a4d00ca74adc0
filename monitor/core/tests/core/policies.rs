//! The table of policies: whose end is healed, by the label and by the container's own policy.

use crate::bench::{Bench, container, millis, seconds};
use planaria_core::engine::{EventKind, RestartPolicy};

#[derive(Clone, Copy, Debug)]
enum End {
    Zero,
    One,
    Killed,
    Oom,
    Stopped,
}

const ENDS: [End; 5] = [End::Zero, End::One, End::Killed, End::Oom, End::Stopped];

fn healed(label: Option<&str>, own: RestartPolicy, end: End) -> bool {
    let mut patient = container("plain-1");
    patient.restart_policy = own;
    if let Some(policy) = label {
        patient
            .labels
            .insert("planaria.policy".to_owned(), policy.to_owned());
    }
    let mut bench = Bench::leader(vec![patient]);
    let die = |bench: &mut Bench, code| {
        bench.end("plain-1", code);
        bench.event("plain-1", EventKind::Die { exit_code: code });
    };
    match end {
        End::Zero => die(&mut bench, 0),
        End::One => die(&mut bench, 1),
        End::Killed => bench.kill("plain-1"),
        End::Oom => {
            bench.event("plain-1", EventKind::Oom);
            bench.edit("plain-1", |c| c.oom_killed = true);
            die(&mut bench, 137);
        }
        End::Stopped => bench.stop("plain-1"),
    }
    bench.pass(seconds(90));
    let started = bench.orders() == ["start plain-1"];
    assert!(started || bench.orders().is_empty(), "{:?}", bench.orders());
    started
}

#[test]
fn each_policy_heals_what_it_says_and_nothing_heals_a_stop() {
    use RestartPolicy::{Always, No, OnFailure, UnlessStopped};
    // exit 0, exit 1, docker kill, out of memory, docker stop
    let table: [(Option<&str>, RestartPolicy, [bool; 5]); 12] = [
        (None, No, [false, true, true, true, false]),
        (None, Always, [true, true, true, true, false]),
        (None, UnlessStopped, [true, true, true, true, false]),
        (None, OnFailure(3), [false, true, true, true, false]),
        (Some("inherit"), No, [false, true, true, true, false]),
        (Some("inherit"), Always, [true, true, true, true, false]),
        (Some("always"), No, [true, true, true, true, false]),
        (Some("unless-stopped"), No, [true, true, true, true, false]),
        (Some("on-failure"), Always, [false, true, true, true, false]),
        (Some("on-failure:2"), No, [false, true, true, true, false]),
        (Some("no"), Always, [false; 5]),
        (Some("no"), No, [false; 5]),
    ];
    for (label, own, expected) in table {
        for (end, expected) in ENDS.into_iter().zip(expected) {
            assert_eq!(
                healed(label, own, end),
                expected,
                "{label:?}, {own:?}, {end:?}"
            );
        }
    }
}

/// The engine goes down with the container, and is back after a while.
fn healed_after_engine_restart(own: RestartPolicy, stopped_before: bool) -> bool {
    let mut patient = container("plain-1");
    patient.restart_policy = own;
    let mut bench = Bench::leader(vec![patient]);
    if stopped_before {
        bench.stop("plain-1");
        bench.pass(seconds(10));
    } else {
        // An engine that goes down says kill, die and stop for everyone.
        bench.event("plain-1", EventKind::Kill { signal: 15 });
        bench.end("plain-1", 0);
        bench.event("plain-1", EventKind::Die { exit_code: 0 });
        bench.event("plain-1", EventKind::Stop);
    }
    bench.pass(millis(200));
    bench.lose_engine();
    bench.pass(seconds(5));
    bench.history.clear();
    bench.log.clear();
    bench.reconnect_engine();
    bench.pass(seconds(60));
    !bench.orders().is_empty()
}

#[test]
fn an_engine_restart_brings_back_what_its_own_policy_would_and_never_what_was_stopped() {
    use RestartPolicy::{Always, No, UnlessStopped};
    for (own, running, stopped) in [
        (No, false, false),
        (Always, true, false),
        (UnlessStopped, true, false),
    ] {
        assert_eq!(
            healed_after_engine_restart(own, false),
            running,
            "{own:?}, ran"
        );
        assert_eq!(
            healed_after_engine_restart(own, true),
            stopped,
            "{own:?}, stopped"
        );
    }
}
