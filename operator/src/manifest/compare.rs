//! Does what is there say what a manifest says? The API server fills in defaults, spells quantities its
//! own way and leaves out what is empty, and other managers add fields of their own: none of that is a
//! difference. Were one of them taken for one, an idle cluster would be written to for ever.

use serde_json::{Map, Value};

use crate::quantity::billionths;

/// Whether everything that `desired` says is in `live`.
pub(super) fn is_within(desired: &Value, live: &Value) -> bool {
    value_within("", desired, live, false)
}

/// The value of a field; `quantities` is whether texts in it are Kubernetes quantities.
fn value_within(field: &str, desired: &Value, live: &Value, quantities: bool) -> bool {
    let quantities = quantities || matches!(field, "requests" | "limits" | "sizeLimit" | "divisor");
    match (desired, live) {
        (desired, Value::Null) => is_empty(desired),
        (Value::Null, live) => is_empty(live),
        (Value::Object(desired), Value::Object(live)) => object_within(desired, live, quantities),
        (Value::Array(desired), Value::Array(live)) => list_within(field, desired, live),
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::String(a), Value::String(b)) => {
            a == b || (quantities && billionths(a).is_some() && billionths(a) == billionths(b))
        }
        // A quantity may be written as a number, and an IntOrString as either.
        (Value::String(text), Value::Number(number))
        | (Value::Number(number), Value::String(text)) => {
            let number = number.to_string();
            *text == number || (quantities && billionths(text) == billionths(&number))
        }
        (a, b) => a == b,
    }
}

fn object_within(
    desired: &Map<String, Value>,
    live: &Map<String, Value>,
    quantities: bool,
) -> bool {
    desired.iter().all(|(key, value)| {
        let live = live.get(key).unwrap_or(&Value::Null);
        value_within(key, value, live, quantities)
    })
}

/// Lists are equal element by element, but those whose elements have names may hold further ones.
fn list_within(field: &str, desired: &[Value], live: &[Value]) -> bool {
    let is_within = |(a, b): (&Value, &Value)| value_within("", a, b, false);
    let Some(name) = name_of_elements(field) else {
        return desired.len() == live.len() && desired.iter().zip(live).all(is_within);
    };
    desired.iter().all(|element| {
        let of_that_name = |other: &&Value| other.get(name) == element.get(name);
        live.iter().filter(of_that_name).any(|other| is_within((element, other)))
    })
}

/// The field that tells the elements of a list apart, for lists that several managers may write to.
pub(crate) fn name_of_elements(field: &str) -> Option<&'static str> {
    match field {
        "containers" | "initContainers" | "volumes" | "env" | "imagePullSecrets" | "ports" => {
            Some("name")
        }
        "volumeMounts" => Some("mountPath"),
        "ownerReferences" => Some("uid"),
        _ => None,
    }
}

/// What the API server leaves out when it stores an object.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_api_server_makes_of_a_manifest_is_no_difference_and_what_people_make_is() {
        #[rustfmt::skip]
        let table = [
            (json!({"a": 1}),                 json!({"a": 1, "b": 2}),            true,  "a default is filled in"),
            (json!({"a": 1, "b": 2}),         json!({"a": 1}),                    false, "a field is gone"),
            (json!({"a": {"b": 1}}),          json!({"a": {"b": 2}}),             false, "a field within is another"),
            (json!({"a": {"b": 1}}),          json!({"a": 1}),                    false, "a field is of another kind"),
            (json!({"a": {}, "b": [], "c": null, "d": false, "e": 0, "f": ""}), json!({}), true, "what is empty is not stored"),
            (json!({"a": true}),              json!({}),                          false, "true is not empty"),
            (json!({"a": null}),              json!({"a": {}}),                   true,  "nothing is nothing"),
            (json!({"a": null}),              json!({"a": 1}),                    false, "null takes away"),
            (json!({"a": 1.0}),               json!({"a": 1}),                    true,  "numbers are equal by value"),
            (json!({"port": "http"}),         json!({"port": 80}),                false, "a name is no number"),
            (json!({"port": "80"}),           json!({"port": 80}),                true,  "an IntOrString may be either"),
            (json!({"requests": {"memory": "1024Mi"}}), json!({"requests": {"memory": "1Gi"}}),  true,  "quantities are equal by value"),
            (json!({"limits": {"cpu": "1000m"}}),       json!({"limits": {"cpu": "1"}}),         true,  "and so is a CPU"),
            (json!({"limits": {"cpu": 2}}),             json!({"limits": {"cpu": "2"}}),         true,  "even one that was written as a number"),
            (json!({"limits": {"cpu": "0.5"}}),         json!({"limits": {"cpu": "500m"}}),      true,  "or as a fraction"),
            (json!({"requests": {"memory": "1G"}}),     json!({"requests": {"memory": "1Gi"}}),  false, "decimal is not binary"),
            (json!({"requests": {"memory": "1e3"}}),    json!({"requests": {"memory": "1k"}}),   true,  "an exponent"),
            (json!({"requests": {"memory": "?"}}),      json!({"requests": {"memory": "!"}}),    false, "what is no quantity is compared as text"),
            (json!({"labels": {"size": "1000m"}}),      json!({"labels": {"size": "1"}}),        false, "a label is no quantity"),
            (json!({"command": ["a", "b"]}),  json!({"command": ["a", "b"]}),     true,  "a list"),
            (json!({"command": ["a", "b"]}),  json!({"command": ["a", "b", "c"]}), false, "a list is whole"),
            (json!({"command": ["a", "b"]}),  json!({"command": ["b", "a"]}),     false, "and in order"),
            (json!({"rules": [{"a": 1}]}),    json!({"rules": [{"a": 1, "b": 2}]}), true, "elements have defaults too"),
            (json!({"env": [{"name": "A", "value": "1"}]}), json!({"env": [{"name": "B"}, {"name": "A", "value": "1"}]}), true, "others add what has another name"),
            (json!({"env": [{"name": "A", "value": "1"}]}), json!({"env": [{"name": "A", "value": "2"}]}), false, "ours says what we say"),
            (json!({"env": [{"name": "A"}]}), json!({"env": []}),                 false, "ours is gone"),
            (json!({"env": [{"name": "A", "value": ""}]}), json!({"env": [{"name": "A"}]}), true, "an empty value is not stored"),
        ];
        for (desired, live, expected, why) in table {
            assert_eq!(is_within(&desired, &live), expected, "{why}: {desired} in {live}");
        }
    }
}
