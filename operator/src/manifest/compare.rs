//! Does what is there say what a manifest says? The API server fills in defaults, spells quantities its
//! own way and leaves out what is empty, and other managers add fields of their own: none of that is a
//! difference. Were one of them taken for one, an idle cluster would be written to for ever.

use serde_json::{Map, Value};

/// Whether everything that `desired` says is in `live`.
pub(super) fn is_within(desired: &Value, live: &Value) -> bool {
    value_within("", desired, live, false)
}

/// The value of a field; `quantities` is whether texts in it are Kubernetes quantities.
fn value_within(field: &str, desired: &Value, live: &Value, quantities: bool) -> bool {
    let quantities = quantities || matches!(field, "requests" | "limits" | "sizeLimit");
    match (desired, live) {
        (desired, Value::Null) => is_empty(desired),
        (Value::Null, live) => is_empty(live),
        (Value::Object(desired), Value::Object(live)) => object_within(desired, live, quantities),
        (Value::Array(desired), Value::Array(live)) => list_within(field, desired, live),
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::String(a), Value::String(b)) => {
            a == b || (quantities && quantity(a).is_some() && quantity(a) == quantity(b))
        }
        // A quantity may be written as a number, and an IntOrString as either.
        (Value::String(text), Value::Number(number))
        | (Value::Number(number), Value::String(text)) => {
            let number = number.to_string();
            *text == number || (quantities && quantity(text) == quantity(&number))
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
    let pair_within = |(a, b): (&Value, &Value)| value_within("", a, b, false);
    match name_of_elements(field) {
        Some(name) if desired.iter().all(|element| element.get(name).is_some()) => {
            desired.iter().all(|element| {
                let same = |other: &&Value| other.get(name) == element.get(name);
                live.iter().filter(same).any(|other| pair_within((element, other)))
            })
        }
        _ => desired.len() == live.len() && desired.iter().zip(live).all(pair_within),
    }
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

/// A quantity in thousandths of a thousandth of a millionth: exact for whatever a pod may ask for.
fn quantity(text: &str) -> Option<i128> {
    const NANO: i128 = 1_000_000_000;
    let digits = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-'));
    let (number, suffix) = text.split_at(digits.unwrap_or(text.len()));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let sign = if whole.starts_with('-') { -1 } else { 1 };
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
    let nano = whole.checked_mul(NANO)?.checked_add(sign * fraction)?;
    let power = |base: i128, exponent| base.checked_pow(exponent);
    let (factor, divisor) = match suffix {
        "" => (1, 1),
        "n" => (1, NANO),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (power(1000, 2)?, 1),
        "G" => (power(1000, 3)?, 1),
        "T" => (power(1000, 4)?, 1),
        "P" => (power(1000, 5)?, 1),
        "E" => (power(1000, 6)?, 1),
        "Ki" => (1024, 1),
        "Mi" => (power(1024, 2)?, 1),
        "Gi" => (power(1024, 3)?, 1),
        "Ti" => (power(1024, 4)?, 1),
        "Pi" => (power(1024, 5)?, 1),
        "Ei" => (power(1024, 6)?, 1),
        exponent => {
            let exponent: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = power(10, exponent.unsigned_abs())?;
            if exponent < 0 { (1, power) } else { (power, 1) }
        }
    };
    Some(nano.checked_mul(factor)? / divisor)
}
