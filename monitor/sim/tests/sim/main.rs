//! Every story, a hundred disasters, determinism, and a checker that bites.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "what fails in a helper fails its test"
)]

use planaria_sim::{SCENARIOS, run_seed};

/// Each story is told in this many worlds.
const WORLDS: u64 = 2;

fn tell(name: &str) {
    let scenario = planaria_sim::find(name).expect("the list and the macro are one");
    for seed in 1..=WORLDS {
        let (report, told) = scenario.run(seed, false);
        let replay =
            format!("replay: cargo run -p planaria-sim -- --scenario {name} --from {seed} --trace");
        assert!(
            report.violations.is_empty(),
            "{}: {:#?}\n{replay}",
            scenario.claim,
            report.violations
        );
        if let Err(error) = told {
            panic!("{} does not hold: {error:#}\n{replay}", scenario.claim);
        }
    }
}

macro_rules! tests {
    ($($name:ident)+) => {
        mod scenario {
            $(#[test]
            fn $name() {
                super::tell(stringify!($name));
            })+
        }
    };
}

planaria_sim::for_each_scenario!(tests);

#[test]
fn disasters_at_random_break_no_rule() {
    for seed in 1..=100 {
        let report = run_seed(seed, false, None);
        assert!(
            report.violations.is_empty(),
            "seed {seed}: {:#?}\nreplay: cargo run -p planaria-sim -- --seed {seed} --trace",
            report.violations
        );
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in [1, 7, 42] {
        let (one, other) = (run_seed(seed, false, None), run_seed(seed, true, None));
        assert_eq!(one.hash, other.hash, "seed {seed}");
        assert_eq!(one.events, other.events, "seed {seed}");
    }
    let (one, other) = (run_seed(1, false, None), run_seed(2, false, None));
    assert_ne!(one.hash, other.hash);
}

#[test]
fn every_story_has_a_name_and_a_claim() {
    for (name, scenario) in SCENARIOS {
        assert!(scenario.claim.ends_with('.'), "{name}: {}", scenario.claim);
    }
}

mod bites;
