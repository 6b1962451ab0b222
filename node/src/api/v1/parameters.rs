//! Queries as upstream reads them: one parameter after the other, the first wrong one is named.

use axum::{extract::Query, http::Uri};
use cairn_ledger::{
    ids::{PublicKey, TransactionId},
    transaction::Operation,
};

use super::super::error::Failure;

const REQUIRED: &str =
    "Missing required parameter in the JSON body or the post body or the query string";

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
        let Some((_, text)) = self.0.iter().find(|(key, _)| key == name) else { return Ok(None) };
        read(text).map(Some).ok_or(Failure::Parameter { name, text: wanted })
    }

    pub(super) fn required<T>(name: &'static str, value: Option<T>) -> Result<T, Failure> {
        value.ok_or(Failure::Parameter { name, text: REQUIRED })
    }

    pub(super) fn boolean(&self, name: &'static str) -> Result<Option<bool>, Failure> {
        self.get(
            name,
            r#"Boolean value must be "true" or "false" (lowercase)"#,
            |text| match text {
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
        let unknown = self.0.iter().map(|(name, _)| name.as_str());
        let mut unknown: Vec<&str> = unknown.filter(|name| !known.contains(name)).collect();
        unknown.dedup();
        if unknown.is_empty() {
            return Ok(());
        }
        // At most 100 bytes of what came in go out again.
        let mut text = unknown.join(", ");
        let most = (0..=100.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(most.unwrap_or(0));
        Err(Failure::UnknownArguments(text))
    }
}
