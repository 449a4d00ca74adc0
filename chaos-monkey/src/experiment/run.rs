//! The order of things: steady state, method, steady state, rollbacks, steady state; and the journal.

use super::values::Values;
use super::{check, provider, tolerance};
use crate::clock;
use serde_json::{Map, Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What the journal calls its writer, where readers look for a version of the original.
const VERSION: &str = "1.44.0";
/// After the rollbacks the steady state is given so long to come back.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);
const SETTLE_EVERY: Duration = Duration::from_secs(1);
/// Between two looks of the continuous hypothesis.
const CONTINUOUS_EVERY: Duration = Duration::from_secs(1);
const NAP: Duration = Duration::from_millis(50);

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The journal, as `chaos report` reads it.
    pub journal: Value,
    /// The steady state was met before, after, and once more after the rollbacks.
    pub held: bool,
}

struct Runner<'a> {
    experiment: &'a Value,
    values: Values,
    stop: &'a AtomicBool,
}

/// Runs a checked experiment. `stop`: somebody wants it to end; rollbacks are played all the same.
#[must_use]
pub fn run(experiment: &Value, stop: &AtomicBool) -> Outcome {
    let begun = Instant::now();
    let start = now();
    let values = Values::load(experiment).unwrap_or_default();
    let runner = Runner {
        experiment,
        values,
        stop,
    };
    let mut journal = json!({
        "chaoslib-version": VERSION,
        "platform": format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
        "node": crate::identity::hostname().unwrap_or_default(),
        "experiment": experiment,
        "start": start,
        "status": Value::Null,
        "deviated": false,
        "steady_states": { "before": null, "after": null, "during": [] },
        "run": [],
        "rollbacks": [],
    });
    let held = runner.all(&mut journal);
    if runner.stopped() {
        journal["status"] = json!("interrupted");
    } else if journal["status"].is_null() {
        journal["status"] = json!("completed");
    }
    journal["end"] = json!(now());
    journal["duration"] = json!(begun.elapsed().as_secs_f64());
    let held = held && journal["status"] == "completed" && journal["deviated"] == false;
    Outcome { journal, held }
}

impl Runner<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn strategy(&self, what: &str, default: &'static str) -> String {
        let given = self
            .experiment
            .get("runtime")
            .and_then(|it| it.get(what)?.get("strategy")?.as_str());
        given.unwrap_or(default).to_owned()
    }

    /// True: nothing deviated.
    fn all(&self, journal: &mut Value) -> bool {
        let hypothesis = self.strategy("hypothesis", "default");
        let before = matches!(
            hypothesis.as_str(),
            "default" | "before-method-only" | "continuously"
        );
        let during = matches!(hypothesis.as_str(), "during-method-only" | "continuously");
        let after = matches!(
            hypothesis.as_str(),
            "default" | "after-method-only" | "continuously"
        );
        let mut gate = true;
        if before && let Some(state) = self.hypothesis() {
            gate = met(&state);
            if !gate {
                // The original says "completed" where the probe answered, "failed" where it did not.
                journal["status"] = json!(if erred(&state) { "failed" } else { "completed" });
            }
            journal["steady_states"]["before"] = state;
        }
        let mut held = gate;
        if gate {
            let states = self.method(journal, during);
            if states.iter().any(|state| !met(state)) {
                journal["deviated"] = json!(true);
                held = false;
            }
            journal["steady_states"]["during"] = json!(states);
            if after
                && !self.stopped()
                && let Some(state) = self.hypothesis()
            {
                if !met(&state) {
                    held = false;
                    journal["deviated"] = json!(true);
                    journal["status"] = json!(if erred(&state) { "failed" } else { "completed" });
                }
                journal["steady_states"]["after"] = state;
            }
        }
        if self.rolls_back(journal) {
            journal["rollbacks"] = self.activities("rollbacks");
            // Ours: what rollbacks are worth is whether the steady state comes back.
            if hypothesis != "skip"
                && gate
                && !self.stopped()
                && let Some(state) = self.settle()
            {
                held &= met(&state);
                journal["steady_states"]["final"] = state;
            }
        }
        held
    }

    fn rolls_back(&self, journal: &Value) -> bool {
        match self.strategy("rollbacks", "always").as_str() {
            "never" => false,
            "deviated" => journal["deviated"] == true,
            "default" => {
                !matches!(journal["status"].as_str(), Some("failed" | "interrupted"))
                    && !self.stopped()
            }
            _ => true,
        }
    }

    /// The probes up to the first that is not met.
    fn hypothesis(&self) -> Option<Value> {
        let probes = self
            .experiment
            .pointer("/steady-state-hypothesis/probes")?
            .as_array()?;
        if probes.is_empty() {
            return None;
        }
        let mut done = Vec::new();
        let mut all_met = true;
        for probe in probes {
            let probe = check::resolve(self.experiment, probe).unwrap_or(probe);
            let mut run = self.activity(probe);
            let bound = probe.get("tolerance").unwrap_or(&Value::Null);
            let fits = run["status"] == "succeeded"
                && tolerance::within(bound, &run["output"], &self.values);
            run["tolerance_met"] = json!(fits);
            done.push(run);
            if !fits {
                all_met = false;
                break;
            }
        }
        Some(json!({ "steady_state_met": all_met, "probes": done }))
    }

    /// Looks until the steady state is met or there is no more time.
    fn settle(&self) -> Option<Value> {
        let until = Instant::now() + SETTLE_WITHIN;
        loop {
            let state = self.hypothesis()?;
            if met(&state) || Instant::now() > until || self.stopped() {
                return Some(state);
            }
            std::thread::sleep(SETTLE_EVERY);
        }
    }

    /// The method; what the hypothesis showed meanwhile, where that was wanted.
    fn method(&self, journal: &mut Value, during: bool) -> Vec<Value> {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let looking = during.then(|| {
                scope.spawn(|| {
                    let mut states = Vec::new();
                    while !over.load(Ordering::Relaxed) && !self.stopped() {
                        states.extend(self.hypothesis());
                        let until = Instant::now() + CONTINUOUS_EVERY;
                        while Instant::now() < until && !over.load(Ordering::Relaxed) {
                            std::thread::sleep(NAP);
                        }
                    }
                    states
                })
            });
            journal["run"] = self.activities("method");
            over.store(true, Ordering::Relaxed);
            looking.and_then(|it| it.join().ok()).unwrap_or_default()
        })
    }

    /// The activities of a list in order; those in the background end before the list does.
    fn activities(&self, list: &str) -> Value {
        let all = self
            .experiment
            .get(list)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let rolls_back = list == "rollbacks";
        let done: Vec<Value> = std::thread::scope(|scope| {
            let mut handles = Vec::new();
            for activity in &all {
                if self.stopped() && !rolls_back {
                    break;
                }
                let activity = check::resolve(self.experiment, activity)
                    .unwrap_or(activity)
                    .clone();
                let background = activity.get("background") == Some(&Value::Bool(true));
                let handle = scope.spawn(move || self.activity(&activity));
                if background {
                    handles.push(handle);
                } else {
                    // In order: nothing else is begun before it has ended.
                    while !handle.is_finished() {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    handles.push(handle);
                }
            }
            handles
                .into_iter()
                .filter_map(|it| it.join().ok())
                .collect()
        });
        Value::Array(done)
    }

    fn activity(&self, activity: &Value) -> Value {
        let pauses = self
            .values
            .put_in(activity.get("pauses").unwrap_or(&Value::Null));
        self.pause(pauses.get("before"));
        let begun = Instant::now();
        let mut run = Map::new();
        run.insert("activity".to_owned(), activity.clone());
        run.insert("start".to_owned(), json!(now()));
        tracing::info!(
            event = "activity",
            "{}: {}",
            activity["type"].as_str().unwrap_or("activity"),
            activity["name"].as_str().unwrap_or_default()
        );
        match provider::run(activity, &self.values) {
            Ok(output) => {
                run.insert("output".to_owned(), output);
                run.insert("status".to_owned(), json!("succeeded"));
            }
            Err(why) => {
                tracing::warn!(event = "activity_failed", "{why}");
                run.insert("output".to_owned(), Value::Null);
                run.insert("status".to_owned(), json!("failed"));
                run.insert(
                    "exception".to_owned(),
                    json!([format!("chaoslib.exceptions.ActivityFailed: {why}\n")]),
                );
            }
        }
        run.insert("end".to_owned(), json!(now()));
        run.insert("duration".to_owned(), json!(begun.elapsed().as_secs_f64()));
        self.pause(pauses.get("after"));
        Value::Object(run)
    }

    fn pause(&self, given: Option<&Value>) {
        let seconds = given
            .and_then(Value::as_f64)
            .and_then(|it| Duration::try_from_secs_f64(it).ok());
        let until = Instant::now() + seconds.unwrap_or_default();
        while Instant::now() < until && !self.stopped() {
            std::thread::sleep(NAP.min(until.saturating_duration_since(Instant::now())));
        }
    }
}

fn met(state: &Value) -> bool {
    state["steady_state_met"] == true
}

/// A probe did not even answer.
fn erred(state: &Value) -> bool {
    state["probes"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|probe| probe["status"] != "succeeded")
}

/// RFC 3339 with the offset in digits and microseconds, as the original writes it.
fn now() -> String {
    let ms = clock::now_ms();
    format!(
        "{}.{:03}000+00:00",
        clock::text(ms).trim_end_matches('Z'),
        ms % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(before: i32, method: &str) -> Value {
        json!({
            "title": "t", "description": "d",
            "steady-state-hypothesis": {"title": "h", "probes": [
                {"type": "probe", "name": "p", "tolerance": before, "provider": {"type": "process", "path": "sh", "arguments": ["-c", "test ! -e ${mark}"]}},
            ]},
            "configuration": {"mark": "/nonexistent/mark"},
            "method": [{"type": "action", "name": "a", "provider": {"type": "process", "path": "sh", "arguments": ["-c", method]}}],
            "rollbacks": [{"type": "action", "name": "r", "provider": {"type": "process", "path": "sh", "arguments": ["-c", "rm --force ${mark}"]}}],
        })
    }

    fn marked(method: &str) -> (Outcome, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let mut it = experiment(0, method);
        it["configuration"]["mark"] = json!(dir.path().join("mark"));
        (run(&it, &AtomicBool::new(false)), dir)
    }

    #[test]
    fn a_steady_state_that_holds_is_told() {
        let (outcome, _dir) = marked("true");
        assert!(outcome.held, "{}", outcome.journal);
        let journal = outcome.journal;
        assert_eq!(
            (&journal["status"], &journal["deviated"]),
            (&json!("completed"), &json!(false))
        );
        assert_eq!(journal["run"][0]["output"]["status"], 0);
        assert_eq!(journal["rollbacks"].as_array().unwrap().len(), 1);
        assert_eq!(journal["steady_states"]["final"]["steady_state_met"], true);
    }

    #[test]
    fn a_deviation_is_told_and_rolled_back() {
        let (outcome, dir) = marked("touch ${mark}");
        assert!(!outcome.held);
        assert_eq!(
            (&outcome.journal["status"], &outcome.journal["deviated"]),
            (&json!("completed"), &json!(true))
        );
        assert!(!dir.path().join("mark").exists());
        assert_eq!(
            outcome.journal["steady_states"]["final"]["steady_state_met"],
            true
        );
    }

    #[test]
    fn a_gate_that_is_shut_lets_no_method_through() {
        let outcome = run(&experiment(1, "exit 1"), &AtomicBool::new(false));
        assert!(!outcome.held);
        assert_eq!(
            (&outcome.journal["status"], &outcome.journal["deviated"]),
            (&json!("completed"), &json!(false))
        );
        assert_eq!(outcome.journal["run"], json!([]));
    }

    #[test]
    fn an_interruption_still_rolls_back() {
        let outcome = run(&experiment(0, "true"), &AtomicBool::new(true));
        assert_eq!(outcome.journal["status"], "interrupted");
        assert_eq!(outcome.journal["run"], json!([]));
        assert_eq!(outcome.journal["rollbacks"].as_array().unwrap().len(), 1);
    }
}
