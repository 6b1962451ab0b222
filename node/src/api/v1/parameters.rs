//! Queries as upstream reads them: one parameter after the other, the first wrong one is named.

use axum::{extract::Query, http::Uri};
use cairn_ledger::{
    ids::{PublicKey, TransactionId},
    transaction::Operation,
};

use super::super::error::Failure;

const REQUIRED: &str =
    "Missing required parameter in the JSON body or the post body or the query string";

/// At most so many bytes of a wrong parameter are repeated.
const ECHO_BYTES_MAX: usize = 100;

/// When a POST is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Async,
    Sync,
    Commit,
}

/// A query's parameters.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn of(uri: &Uri) -> Self {
        // What does not decode is no parameter; a required one is then missing.
        Self(Query::try_from_uri(uri).map_or_else(|_| Vec::new(), |Query(pairs)| pairs))
    }

    fn get<T>(
        &self,
        name: &'static str,
        wanted: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let mut first = None;
        for text in self.all(name) {
            let value = read(text).ok_or(Failure::Parameter { name, text: wanted })?;
            first.get_or_insert(value);
        }
        Ok(first)
    }

    /// What is given under that name. The first counts, and all must be right: upstream converts
    /// each before it takes the first.
    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, text)| text.as_str())
    }

    pub(super) fn required<T>(name: &'static str, value: Option<T>) -> Result<T, Failure> {
        value.ok_or(Failure::Parameter { name, text: REQUIRED })
    }

    pub(super) fn boolean(&self, name: &'static str) -> Result<Option<bool>, Failure> {
        self.get(
            name,
            r#"Boolean value must be "true" or "false" (lowercase)"#,
            // Lower case is asked for, and any is taken: the Python driver sends `True`.
            |text| match text.to_lowercase().as_str() {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            },
        )
    }

    pub(super) fn hash(&self, name: &'static str) -> Result<Option<TransactionId>, Failure> {
        self.get(name, "Invalid hash", |text| text.parse().ok())
    }

    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, Failure> {
        self.get(name, REQUIRED, |text| Some(text.to_owned()))
    }

    /// A whole number as Python's `int` reads it; what is too large is the largest there is.
    pub(super) fn integer(&self, name: &'static str) -> Result<Option<i64>, Failure> {
        let mut first = None;
        for text in self.all(name) {
            let value = python_int(text).ok_or_else(|| {
                let shown = python_repr(cut(text, ECHO_BYTES_MAX));
                let wanted = format!("invalid literal for int() with base 10: {shown}");
                Failure::Value { name, wanted }
            })?;
            first.get_or_insert(value);
        }
        Ok(first)
    }

    pub(super) fn operation(&self) -> Result<Option<Operation>, Failure> {
        let wanted = r#"Operation must be "CREATE" or "TRANSFER""#;
        self.get("operation", wanted, |text| match text.to_uppercase().as_str() {
            "CREATE" => Some(Operation::Create),
            "TRANSFER" => Some(Operation::Transfer),
            _ => None,
        })
    }

    /// A key as upstream's expression describes it; nothing inside when it is none in truth:
    /// nobody owns anything under it.
    pub(super) fn key(&self, name: &'static str) -> Result<Option<Option<PublicKey>>, Failure> {
        self.get(name, "Invalid base58 ed25519 key", |text| {
            let is_base58 = |c: char| c.is_ascii_alphanumeric() && !"Il0O".contains(c);
            let looks_right = (43..=44).contains(&text.len()) && text.chars().all(is_base58);
            looks_right.then(|| text.parse().ok())
        })
    }

    pub(super) fn mode(&self) -> Result<Mode, Failure> {
        let wanted = r#"Mode must be "async", "sync" or "commit""#;
        let mode = self.get("mode", wanted, |text| match text {
            "async" => Some(Mode::Async),
            "sync" => Some(Mode::Sync),
            "commit" => Some(Mode::Commit),
            _ => None,
        });
        Ok(mode?.unwrap_or(Mode::Async))
    }

    /// Some routes refuse what they do not know.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Failure> {
        let mut unknown: Vec<&str> = Vec::new();
        let mut bytes = 0;
        for (name, _) in &self.0 {
            let name = name.as_str();
            // Those that do not fit the answer need no place in the list.
            if bytes <= ECHO_BYTES_MAX && !known.contains(&name) && !unknown.contains(&name) {
                bytes += name.len() + ", ".len();
                unknown.push(name);
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        Err(Failure::UnknownArguments(cut(&unknown.join(", "), ECHO_BYTES_MAX).to_owned()))
    }
}

/// An id spelled as the ledger spells it: upstream looks for the text it is given, and has none
/// with capitals.
pub(super) fn exact_id(text: &str) -> Option<TransactionId> {
    text.parse().ok().filter(|_| !text.bytes().any(|byte| byte.is_ascii_uppercase()))
}

/// At most that many bytes of what came in.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// Blanks around it, a sign, digits, and single underscores between them.
fn python_int(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let groups = digits.split('_');
    let sound = |group: &str| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit());
    groups.clone().all(sound).then(|| {
        let digits = groups.flat_map(str::bytes).map(|digit| i64::from(digit - b'0'));
        let size =
            digits.fold(0_i64, |value, digit| value.saturating_mul(10).saturating_add(digit));
        if negative { -size } else { size }
    })
}

/// A text in quotes, as Python shows it in its messages.
fn python_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut shown = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if c == quote => shown.extend(['\\', c]),
            c if c.is_ascii_control() => shown.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown.push(quote);
    shown
}
