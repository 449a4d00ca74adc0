//! Is a file right? Everything that is wrong is said, each with its place.

use super::values;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Refs that lead to refs: more are a circle.
const REFS_MAX: usize = 16;

/// All errors; none: it can be run.
#[must_use]
pub fn check(experiment: &Value) -> Vec<String> {
    let mut checker = Checker {
        errors: Vec::new(),
        names: BTreeSet::new(),
        top: experiment,
    };
    checker.top();
    checker.errors
}

struct Checker<'a> {
    errors: Vec<String>,
    names: BTreeSet<String>,
    top: &'a Value,
}

/// Every activity of a file, with its place: hypothesis, method, rollbacks.
#[must_use]
pub fn activities(experiment: &Value) -> Vec<(String, &Value)> {
    let mut all = Vec::new();
    let lists = [
        (
            "steady-state-hypothesis.probes",
            experiment.pointer("/steady-state-hypothesis/probes"),
        ),
        ("method", experiment.get("method")),
        ("rollbacks", experiment.get("rollbacks")),
    ];
    for (place, list) in lists {
        for (index, activity) in list
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .enumerate()
        {
            all.push((format!("{place}[{index}]"), activity));
        }
    }
    all
}

/// The activity that a ref means in the end.
///
/// # Errors
/// Where there is none of that name, or refs go in a circle.
pub fn resolve<'a>(experiment: &'a Value, activity: &'a Value) -> Result<&'a Value, String> {
    let mut activity = activity;
    for _ in 0..REFS_MAX {
        let Some(name) = activity.get("ref").and_then(Value::as_str) else {
            return Ok(activity);
        };
        let all = activities(experiment);
        let named = all
            .iter()
            .find(|(_, it)| it.get("name").and_then(Value::as_str) == Some(name));
        activity = named
            .map(|(_, it)| *it)
            .ok_or_else(|| format!("there is no activity {name:?} to refer to"))?;
    }
    Err("references go in a circle".to_owned())
}

impl Checker<'_> {
    fn wrong(&mut self, place: &str, what: &str) {
        self.errors.push(format!("{place}: {what}"));
    }

    fn top(&mut self) {
        let Some(top) = self.top.as_object() else {
            self.wrong("the file", "must be an object");
            return;
        };
        for key in ["title", "description"] {
            if top
                .get(key)
                .and_then(Value::as_str)
                .is_none_or(str::is_empty)
            {
                self.wrong(key, "must be a text that says something");
            }
        }
        if !top.get("method").is_some_and(Value::is_array) {
            self.wrong("method", "must be a list, which may be empty");
        }
        if top.get("rollbacks").is_some_and(|it| !it.is_array()) {
            self.wrong("rollbacks", "must be a list");
        }
        if let Some(tags) = top.get("tags") {
            let texts = tags.as_array().is_some_and(|all| {
                all.iter()
                    .all(|tag| tag.as_str().is_some_and(|it| !it.is_empty()))
            });
            if !texts {
                self.wrong("tags", "must be a list of texts");
            }
        }
        self.hypothesis(top);
        self.runtime(top);
        self.errors.extend(values::check(self.top));
        for (place, activity) in activities(self.top) {
            self.activity(&place, activity);
        }
    }

    fn hypothesis(&mut self, top: &Map<String, Value>) {
        let Some(hypothesis) = top.get("steady-state-hypothesis") else {
            return;
        };
        if hypothesis
            .get("title")
            .and_then(Value::as_str)
            .is_none_or(str::is_empty)
        {
            self.wrong(
                "steady-state-hypothesis.title",
                "must be a text that says something",
            );
        }
        let probes = hypothesis.get("probes");
        if probes.is_some_and(|it| !it.is_array()) {
            self.wrong("steady-state-hypothesis.probes", "must be a list");
        }
        for (index, probe) in probes
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .enumerate()
        {
            let place = format!("steady-state-hypothesis.probes[{index}]");
            let Ok(probe) = resolve(self.top, probe) else {
                continue;
            };
            match probe.get("tolerance") {
                None => self.wrong(&place, "needs a tolerance"),
                Some(tolerance) => self.tolerance(&place, tolerance),
            }
        }
    }

    fn tolerance(&mut self, place: &str, tolerance: &Value) {
        let place = format!("{place}.tolerance");
        let Some(object) = tolerance.as_object() else {
            if tolerance.is_null()
                || tolerance
                    .as_f64()
                    .is_some_and(|_| !tolerance.is_i64() && !tolerance.is_u64())
            {
                self.wrong(
                    &place,
                    "must be a whole number, a text, true, false, a list or an object",
                );
            }
            return;
        };
        match object.get("type").and_then(Value::as_str) {
            Some("probe") => self.activity(&place, tolerance),
            Some("regex") => match object.get("pattern").and_then(Value::as_str) {
                // What stands for another text is not known yet.
                Some(pattern) if pattern.contains("${") => {}
                Some(pattern) => {
                    if let Err(error) = regex::Regex::new(pattern) {
                        self.wrong(&place, &format!("pattern: {error}"));
                    }
                }
                None => self.wrong(&place, "a regex needs a pattern"),
            },
            Some("jsonpath") => match object.get("path").and_then(Value::as_str) {
                Some(path) if !path.trim().is_empty() => {
                    if let Err(error) = jsonpath_rust::parser::parse_json_path(path) {
                        self.wrong(&place, &format!("path: {error}"));
                    }
                }
                _ => self.wrong(&place, "a jsonpath needs a path"),
            },
            Some("range") => {
                let range = object.get("range").and_then(Value::as_array);
                if !range
                    .is_some_and(|range| range.len() == 2 && range.iter().all(Value::is_number))
                {
                    self.wrong(&place, "a range needs two numbers");
                }
            }
            other => self.wrong(&place, &format!("there is no tolerance of type {other:?}")),
        }
    }

    fn runtime(&mut self, top: &Map<String, Value>) {
        let strategy = |what: &str| {
            top.get("runtime")
                .and_then(|it| it.get(what)?.get("strategy"))
                .cloned()
        };
        let known = [
            ("rollbacks", &["default", "always", "never", "deviated"][..]),
            (
                "hypothesis",
                &[
                    "default",
                    "before-method-only",
                    "after-method-only",
                    "during-method-only",
                    "continuously",
                    "skip",
                ][..],
            ),
        ];
        for (what, words) in known {
            if let Some(given) = strategy(what)
                && !given.as_str().is_some_and(|given| words.contains(&given))
            {
                self.wrong(
                    &format!("runtime.{what}.strategy"),
                    &format!("{given} is none of {}", words.join(", ")),
                );
            }
        }
    }

    fn activity(&mut self, place: &str, activity: &Value) {
        if activity.get("ref").is_some() {
            if let Err(why) = resolve(self.top, activity) {
                self.wrong(place, &why);
            }
            return;
        }
        if !activity.is_object() {
            self.wrong(place, "must be an object");
            return;
        }
        let text = |key: &str| activity.get(key).and_then(Value::as_str);
        match text("type") {
            Some("probe" | "action") => {}
            other => self.wrong(
                place,
                &format!("its type must be probe or action, not {other:?}"),
            ),
        }
        match text("name") {
            None | Some("") => self.wrong(place, "needs a name"),
            Some(name) => {
                self.names.insert(name.to_owned());
            }
        }
        let secrets = activity
            .get("secrets")
            .into_iter()
            .flat_map(|it| it.as_array().into_iter().flatten());
        for name in secrets.filter_map(Value::as_str) {
            if self
                .top
                .get("secrets")
                .and_then(|it| it.get(name))
                .is_none()
            {
                self.wrong(place, &format!("its secret {name:?} is not in secrets"));
            }
        }
        for pause in ["before", "after"] {
            let given = activity.get("pauses").and_then(|it| it.get(pause));
            let fine = given.is_none_or(|it| {
                it.as_f64().is_some_and(|it| (0.0..=86_400.0).contains(&it)) || it.is_string()
            });
            if !fine {
                self.wrong(
                    place,
                    &format!("pauses.{pause} must be seconds, at most a day"),
                );
            }
        }
        match activity.get("provider") {
            Some(provider) => self.provider(place, provider),
            None => self.wrong(place, "needs a provider"),
        }
    }

    fn provider(&mut self, place: &str, provider: &Value) {
        let text = |key: &str| {
            provider
                .get(key)
                .and_then(Value::as_str)
                .filter(|it| !it.is_empty())
        };
        match text("type") {
            Some("http") => {
                if text("url").is_none() {
                    self.wrong(place, "an http provider needs a url");
                } else if text("url").is_some_and(|url| url.starts_with("https:")) {
                    self.wrong(place, "https is not spoken here; a process with curl is");
                }
                if provider.get("headers").is_some_and(|it| !it.is_object()) {
                    self.wrong(place, "headers must be an object");
                }
            }
            Some("process") => match text("path") {
                None => self.wrong(place, "a process provider needs a path"),
                Some(path) if !path.contains("${") && super::provider::which(path).is_none() => {
                    self.wrong(place, &format!("there is no program {path:?}"));
                }
                Some(_) => {}
            },
            Some("python") => {
                self.wrong(place, "python providers are not run here; chaos run does");
            }
            other => self.wrong(place, &format!("there is no provider of type {other:?}")),
        }
        let timeout = provider.get("timeout");
        let fine = timeout.is_none_or(|it| {
            it.is_number()
                || it.is_string()
                || it
                    .as_array()
                    .is_some_and(|all| all.iter().all(Value::is_number))
        });
        if !fine {
            self.wrong(place, "timeout must be seconds, or two of them");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({
            "title": "t", "description": "d", "method": [
                {"type": "action", "name": "a", "provider": {"type": "process", "path": "true"}},
                {"ref": "p"},
            ],
            "steady-state-hypothesis": {"title": "h", "probes": [
                {"type": "probe", "name": "p", "tolerance": 0, "provider": {"type": "process", "path": "true"}},
            ]},
        })
    }

    #[test]
    fn a_good_file_has_no_errors() {
        assert_eq!(check(&good()), Vec::<String>::new());
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let mut bad = good();
        bad["title"] = json!("");
        bad["method"] = json!([
            {"type": "deed", "name": "x", "provider": {"type": "carrier-pigeon"}},
            {"type": "action", "name": "y", "provider": {"type": "process", "path": "no-such-program-here"}},
            {"type": "action", "name": "z", "secrets": ["missing"], "provider": {"type": "python", "module": "m", "func": "f"}},
            {"ref": "nobody"}, 7,
        ]);
        bad["runtime"] = json!({"rollbacks": {"strategy": "sometimes"}});
        let all = check(&bad).join("\n");
        for part in [
            "title",
            "probe or action",
            "carrier-pigeon",
            "no-such-program",
            "missing",
            "python",
            "nobody",
            "must be an object",
            "sometimes",
        ] {
            assert!(all.contains(part), "{part}: {all}");
        }
    }

    #[test]
    fn circles_of_references_are_found() {
        let mut bad = good();
        bad["method"] = json!([{"name": "a", "ref": "b"}, {"name": "b", "ref": "a"}]);
        assert!(check(&bad).join("\n").contains("circle"));
    }

    #[test]
    fn wrong_tolerances_are_found() {
        for wrong in [
            json!(null),
            json!(1.5),
            json!({"type": "regex", "pattern": "("}),
            json!({"type": "jsonpath", "path": ""}),
            json!({"type": "range", "range": [1]}),
            json!({"type": "other"}),
        ] {
            let mut bad = good();
            bad["steady-state-hypothesis"]["probes"][0]["tolerance"] = wrong.clone();
            assert!(!check(&bad).is_empty(), "{wrong}");
        }
    }
}
