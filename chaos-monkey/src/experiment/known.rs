//! Experiments that the running monkey knows by name, made for its own stack: the console asks for them.

use super::{ExperimentError, check, run};
use serde_json::Value;
use std::sync::atomic::AtomicBool;

/// The files, by name.
const FILES: [(&str, &str); 3] = [
    (
        "worker-survives-a-kill",
        include_str!("../../experiments/worker-survives-a-kill.json"),
    ),
    (
        "leader-is-replaced",
        include_str!("../../experiments/leader-is-replaced.json"),
    ),
    (
        "slow-network-is-only-slow",
        include_str!("../../experiments/slow-network-is-only-slow.json"),
    ),
];

/// One of them, made for this stack.
#[derive(Clone, Debug)]
pub struct Known {
    experiment: Value,
}

impl Known {
    /// Finds it by name; `prefix` stands before the names of the stack's containers.
    ///
    /// # Errors
    /// Where there is none of that name; says which there are.
    pub fn find(name: &str, prefix: &str) -> Result<Self, ExperimentError> {
        let invalid = |errors| ExperimentError::Invalid {
            file: name.to_owned(),
            errors,
        };
        let Some((_, text)) = FILES.iter().find(|(known, _)| *known == name) else {
            let names: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
            return Err(invalid(vec![format!(
                "it is not known; there are {}",
                names.join(", ")
            )]));
        };
        let text = text.replace("{prefix}", prefix);
        let experiment = serde_json::from_str(&text)
            .map_err(|error| ExperimentError::Syntax(name.to_owned(), error.to_string()))?;
        let errors = check::check(&experiment);
        if errors.is_empty() {
            Ok(Self { experiment })
        } else {
            Err(invalid(errors))
        }
    }

    /// What it does, in a sentence.
    #[must_use]
    pub fn description(&self) -> &str {
        self.experiment["description"].as_str().unwrap_or_default()
    }

    /// Runs it; whether the steady state was met throughout, and what came of it in a sentence.
    #[must_use]
    pub fn run(&self, stop: &AtomicBool) -> (bool, String) {
        let outcome = run::run(&self.experiment, stop);
        let title = self.experiment["title"].as_str().unwrap_or_default();
        let status = outcome.journal["status"].as_str().unwrap_or("unknown");
        let text = if outcome.held {
            format!("{title}: held")
        } else {
            format!("{title}: did not hold ({status})")
        };
        (outcome.held, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_valid_and_says_what_it_does() {
        for (name, _) in FILES {
            let known = Known::find(name, "pt-").unwrap();
            assert!(!known.description().is_empty(), "{name}");
            assert!(!known.experiment.to_string().contains("{prefix}"), "{name}");
        }
    }

    #[test]
    fn another_name_is_refused_with_those_there_are() {
        let error = Known::find("nonsense", "").unwrap_err().to_string();
        assert!(error.contains("leader-is-replaced"), "{error}");
    }
}
