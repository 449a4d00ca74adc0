//! A plan tells the same story as the seed that made it, and a failing one is made small.

use planaria_sim::{Plan, Rule, Sabotage, run_seed, shrink};

/// A plan takes the world through the very events that its seed took it through.
#[test]
fn a_plan_replays_its_seed() {
    for seed in 1..=8 {
        let report = run_seed(seed, false, None);
        let again = report.plan.run(false, None);
        assert_eq!(report.hash, again.hash, "seed {seed}");
    }
}

#[test]
fn a_plan_survives_its_json() {
    for seed in 1..=8 {
        let plan = run_seed(seed, false, None).plan;
        let text = serde_json::to_string(&plan).expect("a plan is JSON");
        assert!(
            !text.contains('\''),
            "it goes between single quotes: {text}"
        );
        let read: Plan = serde_json::from_str(&text).expect("and JSON is a plan");
        assert_eq!(plan, read, "seed {seed}");
    }
}

/// A world in which a person's stop is undone: of all that a seed throws, one stop is left, with the one
/// container that was stopped and a healer to start it.
#[test]
fn a_failing_plan_is_made_small() {
    let sabotage = Some(Sabotage::StartTheStopped);
    let report = (1..200)
        .map(|seed| run_seed(seed, false, sabotage))
        .find(|report| {
            report.plan.acts.len() > 10 && report.violations.iter().any(|v| v.rule == Rule::Intent)
        })
        .expect("some seed stops plain-1");
    let broken = report.violations.iter().find(|v| v.rule == Rule::Intent);
    let broken = broken.expect("one of that rule");
    let small = shrink(&report.plan, broken, sabotage).expect("it fails again");
    assert!(
        small.plan.acts.len() <= 2 && small.plan.stage.len() <= 4,
        "of {} acts: {:?} on {:?}",
        report.plan.acts.len(),
        small.plan.acts,
        small.plan.stage
    );
    assert!(small.plan.mended_at < report.plan.mended_at);
    let again = small.plan.run(false, sabotage);
    assert!(again.violations.iter().any(|v| v.rule == Rule::Intent));
    assert!(
        shrink(&small.plan, broken, None).is_none(),
        "without the sabotage nothing is broken"
    );
}
