//! Configuration, secrets and `${name}`.

use serde_json::{Map, Value};

/// What names stand for: configuration first, then each secret.
#[derive(Clone, Default)]
pub struct Values(Map<String, Value>);

/// What is wrong with configuration and secrets.
#[must_use]
pub fn check(experiment: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    if let Err(error) = Values::load(experiment) {
        errors.extend(error);
    }
    errors
}

impl Values {
    /// Reads configuration and secrets; environment variables are looked up now.
    ///
    /// # Errors
    /// A sentence for each that has no value.
    pub fn load(experiment: &Value) -> Result<Self, Vec<String>> {
        let mut values = Map::new();
        let mut errors = Vec::new();
        let mut take = |place: String,
                        key: &str,
                        given: &Value,
                        values: &mut Map<String, Value>| match one(given) {
            Ok(value) => {
                // Configuration came first and wins.
                values.entry(key.to_owned()).or_insert(value);
            }
            Err(why) => errors.push(format!("{place}.{key}: {why}")),
        };
        let object = |key: &str| {
            experiment
                .get(key)
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default()
        };
        for (key, given) in &object("configuration") {
            take("configuration".to_owned(), key, given, &mut values);
        }
        for (target, keys) in &object("secrets") {
            for (key, given) in keys.as_object().into_iter().flatten() {
                take(format!("secrets.{target}"), key, given, &mut values);
            }
        }
        if errors.is_empty() {
            Ok(Self(values))
        } else {
            Err(errors)
        }
    }

    /// The same with every `${name}` replaced that is known. A text that is nothing else gets the value's
    /// own type.
    #[must_use]
    pub fn put_in(&self, data: &Value) -> Value {
        match data {
            Value::String(text) => self.text(text),
            Value::Array(all) => Value::Array(all.iter().map(|it| self.put_in(it)).collect()),
            Value::Object(all) => Value::Object(
                all.iter()
                    .map(|(key, it)| (key.clone(), self.put_in(it)))
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    fn text(&self, text: &str) -> Value {
        let whole = text
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'));
        if let Some(value) = whole.and_then(|name| self.0.get(name)) {
            return value.clone();
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let known = after
                .split_once('}')
                .and_then(|(name, behind)| Some((self.0.get(name)?, behind)));
            let Some((value, behind)) = known else {
                out.push_str("${");
                rest = after;
                continue;
            };
            match value {
                Value::String(value) => out.push_str(value),
                other => out.push_str(&other.to_string()),
            }
            rest = behind;
        }
        out.push_str(rest);
        Value::String(out)
    }
}

/// A literal, or what the environment says.
fn one(given: &Value) -> Result<Value, String> {
    let text = |key: &str| given.get(key).and_then(Value::as_str);
    match text("type") {
        Some("env") => {
            let key = text("key").ok_or("an env value needs a key")?;
            match (std::env::var(key), given.get("default")) {
                (Ok(value), _) => Ok(typed(&value, text("env_var_type"))),
                (Err(_), Some(default)) => Ok(default.clone()),
                (Err(_), None) => Err(format!(
                    "the environment has no {key}, and there is no default"
                )),
            }
        }
        Some("vault") => Err("vault is not spoken here; use an environment variable".to_owned()),
        _ => Ok(given.clone()),
    }
}

fn typed(value: &str, kind: Option<&str>) -> Value {
    let number = |it: Option<serde_json::Number>| it.map(Value::Number);
    let typed = match kind {
        Some("int") => number(value.parse::<i64>().ok().map(Into::into)),
        Some("float") => number(value.parse().ok().and_then(serde_json::Number::from_f64)),
        Some("bool") => Some(Value::Bool(
            ["true", "1", "yes", "on"].contains(&value.to_lowercase().as_str()),
        )),
        _ => None,
    };
    typed.unwrap_or_else(|| Value::String(value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_put_in_with_their_types() {
        let experiment = json!({
            "configuration": {"port": 8080, "host": "h", "from_env": {"type": "env", "key": "NO_SUCH_VARIABLE_HERE", "default": 5}},
            "secrets": {"store": {"key": "s3cret", "host": "loses"}},
        });
        let values = Values::load(&experiment).unwrap();
        assert_eq!(
            values.put_in(&json!({"a": ["${port}", "http://${host}:${port}/${unknown}"], "b": "${key}", "c": "${from_env}"})),
            json!({"a": [8080, "http://h:8080/${unknown}"], "b": "s3cret", "c": 5})
        );
    }

    #[test]
    fn a_missing_secret_is_named() {
        let experiment =
            json!({"secrets": {"store": {"key": {"type": "env", "key": "NO_SUCH_VARIABLE_HERE"}}}});
        let errors = check(&experiment);
        assert!(
            errors[0].contains("secrets.store.key") && errors[0].contains("NO_SUCH_VARIABLE_HERE"),
            "{errors:?}"
        );
    }
}
