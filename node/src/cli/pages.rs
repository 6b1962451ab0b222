//! Long answers of API v2, page by page: each page names the cursor of the next.

use serde_json::Value;

use super::client::{Client, query};
use crate::exit::Failure;

/// One page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: Vec<Value>,
    /// Where the next one begins, if there is one.
    pub(super) next: Option<String>,
    /// How it was found, where that was asked for.
    pub(super) explain: Option<Value>,
}

/// The pages of one question.
pub(super) struct Pages<'a> {
    client: &'a Client,
    path: &'a str,
    pairs: Vec<(&'static str, String)>,
    done: bool,
}

impl<'a> Pages<'a> {
    pub(super) fn new(
        client: &'a Client,
        path: &'a str,
        pairs: Vec<(&'static str, String)>,
    ) -> Self {
        Self { client, path, pairs, done: false }
    }

    /// The next page; nothing after the last.
    pub(super) fn next(&mut self) -> Result<Option<Page>, Failure> {
        if self.done {
            return Ok(None);
        }
        let answer = self.client.get(&format!("{}{}", self.path, query(self.pairs.clone())))?;
        let mut body = answer.json()?;
        let Value::Array(items) = body["items"].take() else {
            return Err(Failure::general(format!("{} answered no page of items", answer.url)));
        };
        let next = body["next_cursor"].as_str().map(str::to_owned);
        let before = self.pairs.iter().find(|(name, _)| *name == "cursor").map(|(_, at)| at);
        if next.is_some() && next.as_ref() == before {
            let url = &answer.url;
            return Err(Failure::general(format!("{url} answered the same page twice")));
        }
        self.pairs.retain(|(name, _)| *name != "cursor");
        match &next {
            Some(cursor) => self.pairs.push(("cursor", cursor.clone())),
            None => self.done = true,
        }
        let explain = body.get_mut("explain").map(Value::take).filter(|explain| !explain.is_null());
        Ok(Some(Page { items, next, explain }))
    }
}
