//! What BigchainDB forbids in free-form data because MongoDB could not store it.

use crate::{
    json::{Text, Value, cut},
    refusal::Refusal,
};

use super::schema::python_str;

/// MongoDB's text search languages (`backend/schema.py`, 2.2.2).
const LANGUAGES: [&str; 31] = [
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "hungarian",
    "italian",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "spanish",
    "swedish",
    "turkish",
    "none",
    "da",
    "nl",
    "en",
    "fi",
    "fr",
    "de",
    "hu",
    "it",
    "nb",
    "pt",
    "ro",
    "ru",
    "es",
    "sv",
    "tr",
];

/// Checks key names and languages in `asset.data` and `metadata`, in upstream's order.
pub(super) fn check(transaction: &Value<'_>) -> Result<(), Refusal> {
    let data = transaction.get("asset").and_then(|asset| asset.get("data"));
    let metadata = transaction.get("metadata");
    for (object, value) in [("asset", data), ("metadata", metadata)] {
        value.map_or(Ok(()), |value| visit(value, &|key, _| check_name(key, object)))?;
    }
    for value in [data, metadata].into_iter().flatten() {
        visit(value, &check_language)?;
    }
    Ok(())
}

fn visit(
    value: &Value<'_>,
    check: &impl Fn(&Text<'_>, &Value<'_>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    match value {
        Value::Object(members) => members.iter().try_for_each(|(key, value)| {
            check(key, value)?;
            visit(value, check)
        }),
        Value::Array(elements) => elements.iter().try_for_each(|element| visit(element, check)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn check_name(key: &Text<'_>, object: &'static str) -> Result<(), Refusal> {
    if key.starts_with('$') || key.bytes().any(|byte| matches!(byte, b'.' | 0)) {
        return Err(Refusal::KeyName { key: cut(key, 100).to_owned(), object });
    }
    Ok(())
}

fn check_language(key: &Text<'_>, value: &Value<'_>) -> Result<(), Refusal> {
    if key != "language" || value.as_str().is_some_and(|name| LANGUAGES.contains(&name)) {
        return Ok(());
    }
    Err(Refusal::Language(python_str(value)))
}
