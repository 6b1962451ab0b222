//! The specification's schema, checked in the order in which upstream's library
//! (jsonschema 2.5 over `transaction_v2.0.yaml`) finds faults, and told in its words.

use super::operation::{self, Operation};
use crate::{
    json::{Value, cut, is_float, member, write_canonical},
    limits::CONDITION_DEPTH_MAX,
    refusal::{Refusal, SchemaFault},
};

/// Most bytes of the input that a message echoes.
const ECHO_BYTES_MAX: usize = 100;

pub(super) type Checked = Result<(), Refusal>;

/// Checks the shape of a transaction; says what it does.
pub(super) fn check(transaction: &Value<'_>) -> Result<Operation, Refusal> {
    const FIELDS: [&str; 7] =
        ["id", "inputs", "outputs", "operation", "metadata", "asset", "version"];
    object(transaction, &FIELDS, &FIELDS)?;
    let field = |name| transaction.get(name).expect("required fields are there by now");
    let operation = check_operation(field("operation"))?;
    check_asset(field("asset"))?;
    array(field("inputs"))?.iter().try_for_each(check_input)?;
    array(field("outputs"))?.iter().try_for_each(check_output)?;
    check_metadata(field("metadata"))?;
    check_version(field("version"))?;
    operation::check(operation, transaction)?;
    Ok(operation)
}

pub(super) fn not_an_object(value: &Value<'_>) -> Refusal {
    not_of_type(value, "object")
}

pub(super) fn refuse(fault: SchemaFault, message: String) -> Refusal {
    Refusal::Schema { fault, message }
}

pub(super) fn not_of_type(value: &Value<'_>, wanted: &str) -> Refusal {
    refuse(SchemaFault::Type, format!("{} is not of type '{wanted}'", python_repr(value)))
}

pub(super) fn no_match(fault: SchemaFault, value: &Value<'_>, pattern: &str) -> Refusal {
    refuse(fault, format!("{} does not match '{pattern}'", python_repr(value)))
}

fn none_of_the_schemas(fault: SchemaFault, value: &Value<'_>) -> Refusal {
    let value = python_repr(value);
    refuse(fault, format!("{value} is not valid under any of the given schemas"))
}

/// An object with all of `required` and nothing but `known`.
pub(super) fn object(value: &Value<'_>, known: &[&str], required: &[&str]) -> Checked {
    let Some(members) = value.as_object() else { return Err(not_an_object(value)) };
    no_others(value, known)?;
    match required.iter().find(|name| member(members, name).is_none()) {
        Some(name) => Err(missing(name)),
        None => Ok(()),
    }
}

pub(super) fn missing(name: &str) -> Refusal {
    refuse(SchemaFault::Missing, format!("'{name}' is a required property"))
}

pub(super) fn no_others(value: &Value<'_>, known: &[&str]) -> Checked {
    let members = value.as_object().unwrap_or_default();
    let mut names = String::new();
    let mut count = 0;
    for (key, _) in members.iter().filter(|(key, _)| !known.contains(&key.as_ref())) {
        count += 1;
        if names.len() < ECHO_BYTES_MAX {
            names.push_str(if count > 1 { ", " } else { "" });
            python_quote(key, &mut names);
        }
    }
    if count == 0 {
        return Ok(());
    }
    let verb = if count == 1 { "was" } else { "were" };
    let names = cut(&names, ECHO_BYTES_MAX);
    Err(refuse(
        SchemaFault::Unknown,
        format!("Additional properties are not allowed ({names} {verb} unexpected)"),
    ))
}

pub(super) fn array<'v, 'a>(value: &'v Value<'a>) -> Result<&'v [Value<'a>], Refusal> {
    value.as_array().ok_or_else(|| not_of_type(value, "array"))
}

pub(super) fn string<'v>(value: &'v Value<'_>) -> Result<&'v str, Refusal> {
    value.as_str().ok_or_else(|| not_of_type(value, "string"))
}

fn check_operation(value: &Value<'_>) -> Result<Operation, Refusal> {
    let text = string(value)?;
    Operation::ALL.into_iter().find(|known| known.name() == text).ok_or_else(|| {
        let known = Operation::ALL.map(|known| format!("'{}'", known.name())).join(", ");
        refuse(SchemaFault::Value, format!("{} is not one of [{known}]", python_repr(value)))
    })
}

fn check_asset(asset: &Value<'_>) -> Checked {
    object(asset, &["id", "data"], &[])?;
    if let Some(id) = asset.get("id") {
        check_hash(id)?;
    }
    match asset.get("data") {
        None | Some(Value::Null | Value::Object(_)) => Ok(()),
        Some(data) => Err(none_of_the_schemas(SchemaFault::Type, data)),
    }
}

fn check_hash(value: &Value<'_>) -> Checked {
    let text = string(value)?;
    // Upstream's pattern is not anchored; whatever is not exactly a hash names nothing.
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() == 64 && text.bytes().all(is_digit) {
        return Ok(());
    }
    Err(no_match(SchemaFault::Value, value, "[0-9a-f]{64}"))
}

fn check_metadata(metadata: &Value<'_>) -> Checked {
    match metadata {
        Value::Null => Ok(()),
        Value::Object(members) if !members.is_empty() => Ok(()),
        Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => Err(none_of_the_schemas(SchemaFault::Type, metadata)),
    }
}

fn check_version(version: &Value<'_>) -> Checked {
    if string(version)? == "2.0" {
        return Ok(());
    }
    Err(no_match(SchemaFault::Value, version, r"^2\\.0$"))
}

fn check_input(input: &Value<'_>) -> Checked {
    object(
        input,
        &["owners_before", "fulfillment", "fulfills"],
        &["owners_before", "fulfillment"],
    )?;
    let field = |name| input.get(name).expect("required fields are there by now");
    check_public_keys(field("owners_before"))?;
    let fulfillment = field("fulfillment");
    let fine = match fulfillment.as_str() {
        Some(text) => text.bytes().all(is_base64url),
        None => details_fault(fulfillment, 0).is_none(),
    };
    if !fine {
        return Err(none_of_the_schemas(SchemaFault::Type, fulfillment));
    }
    match input.get("fulfills") {
        None | Some(Value::Null) => Ok(()),
        Some(fulfills) if is_output_reference(fulfills) => Ok(()),
        Some(other) => Err(none_of_the_schemas(SchemaFault::Type, other)),
    }
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn is_output_reference(value: &Value<'_>) -> bool {
    const FIELDS: [&str; 2] = ["output_index", "transaction_id"];
    object(value, &FIELDS, &FIELDS).is_ok()
        && value.get("transaction_id").is_some_and(|id| check_hash(id).is_ok())
        && matches!(value.get("output_index"), Some(Value::Number(index))
            if !is_float(index) && (!index.starts_with('-') || *index == "-0"))
}

fn check_public_keys(value: &Value<'_>) -> Checked {
    let fault = match value {
        Value::Null => None,
        Value::Array(keys) => keys.iter().find_map(key_fault),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Some(SchemaFault::Type)
        }
    };
    fault.map_or(Ok(()), |fault| Err(none_of_the_schemas(fault, value)))
}

/// Upstream's pattern asks for 43 characters in a row out of more than base58; whether it
/// decodes is seen later.
fn key_fault(value: &Value<'_>) -> Option<SchemaFault> {
    let Some(text) = value.as_str() else { return Some(SchemaFault::Type) };
    let fits = |byte: &u8| matches!(byte, b'1'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'^');
    let longest = text.as_bytes().split(|byte| !fits(byte)).map(<[u8]>::len).max();
    (longest < Some(43)).then_some(SchemaFault::Key)
}

fn check_output(output: &Value<'_>) -> Checked {
    const FIELDS: [&str; 3] = ["amount", "condition", "public_keys"];
    const CONDITION_FIELDS: [&str; 2] = ["details", "uri"];
    object(output, &FIELDS, &FIELDS)?;
    let field = |name| output.get(name).expect("required fields are there by now");
    let amount = field("amount");
    let digits = string(amount)?;
    if !(1..=20).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(no_match(SchemaFault::Amount, amount, "^[0-9]{1,20}$"));
    }
    let condition = field("condition");
    object(condition, &CONDITION_FIELDS, &CONDITION_FIELDS)?;
    let field_of_condition = |name| condition.get(name).expect("required fields are there by now");
    let details = field_of_condition("details");
    if let Some(fault) = details_fault(details, 0) {
        return Err(none_of_the_schemas(fault, details));
    }
    let uri = field_of_condition("uri");
    if !is_condition_uri(string(uri)?) {
        return Err(no_match(SchemaFault::Value, uri, URI_PATTERN));
    }
    check_public_keys(field("public_keys"))
}

/// What is wrong with `condition.details`, `depth` thresholds down.
fn details_fault(details: &Value<'_>, depth: usize) -> Option<SchemaFault> {
    const KEY_FIELDS: [&str; 2] = ["public_key", "type"];
    const THRESHOLD_FIELDS: [&str; 3] = ["subconditions", "threshold", "type"];
    let Some(members) = details.as_object() else { return Some(SchemaFault::Type) };
    let has =
        |fields: &[&str]| members.iter().map(|(key, _)| key.as_ref()).eq(fields.iter().copied());
    match details.get("type").and_then(Value::as_str) {
        Some("ed25519-sha-256") if has(&KEY_FIELDS) => key_fault(details.get("public_key")?),
        Some("threshold-sha-256") if has(&THRESHOLD_FIELDS) => {
            match details.get("threshold")? {
                Value::Number(text) if is_float(text) => return Some(SchemaFault::Type),
                Value::Number(text) if !text.parse().is_ok_and(|n: i64| (1..=100).contains(&n)) => {
                    return Some(SchemaFault::ConditionLimit);
                }
                Value::Number(_) => {}
                Value::Null
                | Value::Bool(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_) => return Some(SchemaFault::Type),
            }
            // Deeper ones are refused by the limit on conditions anyway.
            if depth > CONDITION_DEPTH_MAX {
                return Some(SchemaFault::ConditionLimit);
            }
            let Some(subs) = details.get("subconditions")?.as_array() else {
                return Some(SchemaFault::Type);
            };
            subs.iter().find_map(|sub| details_fault(sub, depth + 1))
        }
        _ => Some(SchemaFault::Type),
    }
}

const URI_PATTERN: &str = "^ni:///sha-256;([a-zA-Z0-9_-]{0,86})[?](fpt=(ed25519|threshold)-sha-256(&)?|cost=[0-9]+(&)?|subtypes=ed25519-sha-256(&)?){2,3}$";

/// What [`URI_PATTERN`] says.
fn is_condition_uri(uri: &str) -> bool {
    let Some((hash, mut rest)) =
        uri.strip_prefix("ni:///sha-256;").and_then(|rest| rest.split_once('?'))
    else {
        return false;
    };
    let mut parameters = 0;
    while !rest.is_empty() {
        let words = ["fpt=ed25519-sha-256", "fpt=threshold-sha-256", "subtypes=ed25519-sha-256"];
        let Some(after) =
            words.iter().find_map(|word| rest.strip_prefix(word)).or_else(|| after_cost(rest))
        else {
            return false;
        };
        rest = after.strip_prefix('&').unwrap_or(after);
        parameters += 1;
    }
    hash.len() <= 86 && hash.bytes().all(is_base64url) && (2..=3).contains(&parameters)
}

fn after_cost(text: &str) -> Option<&str> {
    let digits = text.strip_prefix("cost=")?;
    let after = digits.trim_start_matches(|character: char| character.is_ascii_digit());
    (after.len() < digits.len()).then_some(after)
}

/// Python's `str` of a value, cut to what may be echoed.
pub(super) fn python_str(value: &Value<'_>) -> String {
    match value.as_str() {
        Some(text) => cut(text, ECHO_BYTES_MAX).to_owned(),
        None => python_repr(value),
    }
}

/// Python's `repr` of a value, cut to what may be echoed.
pub(super) fn python_repr(value: &Value<'_>) -> String {
    let mut out = String::new();
    write_repr(value, &mut out);
    cut(&out, ECHO_BYTES_MAX).to_owned()
}

fn write_repr(value: &Value<'_>, out: &mut String) {
    // What comes after would be cut off again.
    if out.len() > ECHO_BYTES_MAX {
        return;
    }
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(text) => {
            let mut number = Vec::new();
            write_canonical(&Value::Number(text), &mut number);
            out.push_str(cut(&String::from_utf8_lossy(&number), ECHO_BYTES_MAX));
        }
        Value::String(text) => python_quote(text, out),
        Value::Array(elements) => {
            out.push('[');
            for (at, element) in elements.iter().take(ECHO_BYTES_MAX).enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                write_repr(element, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (key, value)) in members.iter().take(ECHO_BYTES_MAX).enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                python_quote(key, out);
                out.push_str(": ");
                write_repr(value, out);
            }
            out.push('}');
        }
    }
}

fn python_quote(text: &str, out: &mut String) {
    let text = cut(text, ECHO_BYTES_MAX);
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if other == quote => out.extend(['\\', other]),
            other if other.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(other))),
            other => out.push(other),
        }
    }
    out.push(quote);
}
