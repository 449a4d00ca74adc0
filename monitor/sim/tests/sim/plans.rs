//! Plans that once broke a rule, each as small as it could be made (`--shrink`): `tests/plans/*.json`.

use planaria_sim::Plan;
use serde_json::Value;
use std::path::Path;

#[test]
fn plans_that_once_broke_a_rule_break_none() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let mut told = 0;
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a file");
        let kept: Value = serde_json::from_str(&text).expect("JSON");
        let plan: Plan = serde_json::from_value(kept["plan"].clone()).expect("a plan");
        let report = plan.run(false, None);
        assert!(
            report.violations.is_empty(),
            "{} (seed {}, {}): {:#?}\nreplay: cargo run -p planaria-sim -- --trace --plan '{}'",
            path.display(),
            kept["seed"],
            kept["was"],
            report.violations,
            kept["plan"]
        );
        told += 1;
    }
    assert!(told > 10, "{told} plans");
}
