//! Is a probe's result within its tolerance? As Chaos Toolkit decides it (`chaoslib/hypothesis.py`).

use super::provider;
use super::values::Values;
use jsonpath_rust::JsonPath;
use serde_json::Value;

/// Whether it is.
#[must_use]
pub fn within(tolerance: &Value, value: &Value, values: &Values) -> bool {
    match tolerance {
        Value::Object(object) => {
            let target = object.get("target").and_then(Value::as_str);
            let aimed = target.and_then(|target| value.get(target)).unwrap_or(value);
            match object.get("type").and_then(Value::as_str) {
                Some("regex") => matches(&values.put_in(tolerance), aimed),
                Some("jsonpath") => found(&values.put_in(tolerance), aimed),
                Some("range") => ranged(object.get("range"), aimed),
                Some("probe") => probed(tolerance, value, values),
                _ => false,
            }
        }
        Value::Array(all) => {
            if let Some(status) = value.get("status") {
                return all.contains(status);
            }
            match (all.as_slice(), number(value)) {
                ([low, high], Some(value)) => {
                    number(low).is_some_and(|low| low <= value)
                        && number(high).is_some_and(|high| value <= high)
                }
                ([low, high], None) => text(low) <= text(value) && text(value) <= text(high),
                _ => all.iter().any(|it| same(it, value)),
            }
        }
        Value::Number(_) => value
            .get("status")
            .map_or_else(|| same(tolerance, value), |status| same(tolerance, status)),
        Value::String(_) => same(&values.put_in(tolerance), value),
        other => same(other, value),
    }
}

fn same(one: &Value, other: &Value) -> bool {
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one.total_cmp(&other).is_eq(),
        _ => one == other,
    }
}

/// Python counts true and false as 1 and 0.
fn number(value: &Value) -> Option<f64> {
    value
        .as_f64()
        .or_else(|| value.as_bool().map(|it| if it { 1.0 } else { 0.0 }))
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn matches(tolerance: &Value, value: &Value) -> bool {
    let pattern = tolerance
        .get("pattern")
        .and_then(Value::as_str)
        .unwrap_or_default();
    regex::Regex::new(pattern)
        .is_ok_and(|pattern| value.as_str().is_some_and(|value| pattern.is_match(value)))
}

fn found(tolerance: &Value, value: &Value) -> bool {
    let parsed = value
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok());
    let value = parsed.as_ref().unwrap_or(value);
    let path = tolerance
        .get("path")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let Ok(hits) = value.query(path.trim()) else {
        return false;
    };
    let count = tolerance.get("count").and_then(Value::as_u64);
    match (tolerance.get("expect"), count) {
        (Some(Value::Array(all)), _) => {
            hits.len() == all.len() && hits.iter().zip(all).all(|(hit, it)| same(hit, it))
        }
        (Some(one), _) => hits.len() == 1 && hits.iter().all(|hit| same(hit, one)),
        (None, Some(count)) => u64::try_from(hits.len()) == Ok(count),
        (None, None) => !hits.is_empty(),
    }
}

fn ranged(range: Option<&Value>, value: &Value) -> bool {
    let value = number(value).or_else(|| value.as_str()?.trim().parse().ok());
    let bound = |index: usize| range.and_then(|range| range.get(index)).and_then(number);
    match (bound(0), value, bound(1)) {
        (Some(low), Some(value), Some(high)) => low <= value && value <= high,
        _ => false,
    }
}

fn probed(tolerance: &Value, value: &Value, values: &Values) -> bool {
    let mut probe = tolerance.clone();
    if let Some(arguments) = probe
        .pointer_mut("/provider/arguments")
        .and_then(Value::as_object_mut)
    {
        arguments.insert("value".to_owned(), value.clone());
    }
    // Any result but an empty one is a yes.
    provider::run(&probe, values).is_ok_and(|result| !result.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tolerances_are_those_of_the_original() {
        let process = json!({"status": 0, "stdout": "ready 7\n", "stderr": ""});
        let body = json!({"status": 200, "body": {"members": [{"name": "a"}, {"name": "b"}]}});
        for (tolerance, value, expected) in [
            (json!(true), json!(true), true),
            (json!("up"), json!("up"), true),
            (json!(200), body.clone(), true),
            (json!(0), process.clone(), true),
            (json!(1), process.clone(), false),
            (json!([0, 2]), process.clone(), true),
            // With a status a list means one of these, also when there are two.
            (json!([-1, 1]), process.clone(), false),
            (json!([1, 3]), json!(2), true),
            (json!([1, 3]), json!(4), false),
            (json!([1, 2, 3]), json!(2), true),
            (
                json!({"type": "regex", "pattern": "ready [0-9]", "target": "stdout"}),
                process.clone(),
                true,
            ),
            (
                json!({"type": "regex", "pattern": "^$", "target": "stdout"}),
                process.clone(),
                false,
            ),
            (
                json!({"type": "range", "range": [1, 9.5]}),
                json!(9.5),
                true,
            ),
            (
                json!({"type": "range", "range": [0, 0], "target": "status"}),
                process,
                true,
            ),
            (
                json!({"type": "jsonpath", "path": "$.members[*].name", "target": "body", "expect": ["a", "b"]}),
                body.clone(),
                true,
            ),
            (
                json!({"type": "jsonpath", "path": "$.members[*].name", "target": "body", "count": 3}),
                body.clone(),
                false,
            ),
            (
                json!({"type": "jsonpath", "path": "$.nothing", "target": "body"}),
                body.clone(),
                false,
            ),
            (
                json!({"type": "jsonpath", "path": "$.a", "expect": 1}),
                json!("{\"a\": 1}"),
                true,
            ),
            (
                json!({"type": "probe", "name": "p", "provider": {"type": "process", "path": "true", "arguments": {}}}),
                body,
                true,
            ),
        ] {
            assert_eq!(
                within(&tolerance, &value, &Values::default()),
                expected,
                "{tolerance} of {value}"
            );
        }
    }
}
