//! Long answers of API v2, page by page: each page names the cursor of the next.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    client::{Client, query},
    print::Row,
};
use crate::exit::Failure;

/// One page.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) items: Vec<Box<RawValue>>,
    /// Where the next one begins, if there is one.
    #[serde(rename = "next_cursor", default)]
    pub(super) next: Option<String>,
    /// How it was found, where that was asked for.
    #[serde(default)]
    pub(super) explain: Option<Value>,
}

impl Page {
    /// Its items as rows.
    pub(super) fn rows(&self, lines: impl Fn(&Value) -> Vec<Vec<String>>) -> Vec<Row> {
        self.items.iter().map(|item| Row::raw(item, &lines)).collect()
    }
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

    /// Asks for something else from the next page on.
    pub(super) fn set(&mut self, name: &'static str, value: String) {
        self.pairs.retain(|(known, _)| *known != name);
        self.pairs.push((name, value));
    }

    /// The next page; nothing after the last.
    pub(super) fn next(&mut self) -> Result<Option<Page>, Failure> {
        if self.done {
            return Ok(None);
        }
        let answer = self.client.get(&format!("{}{}", self.path, query(self.pairs.clone())))?;
        let page: Page = serde_json::from_slice(&answer.body).map_err(|error| {
            Failure::general(format!("{} answered no page of items: {error}", answer.url))
        })?;
        let next = &page.next;
        let before = self.pairs.iter().find(|(name, _)| *name == "cursor").map(|(_, at)| at);
        if next.is_some() && next.as_ref() == before {
            let url = &answer.url;
            return Err(Failure::general(format!("{url} answered the same page twice")));
        }
        match next.clone() {
            Some(cursor) => self.set("cursor", cursor),
            None => self.done = true,
        }
        Ok(Some(page))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::stub::Stub, *};

    #[test]
    fn pages_follow_their_cursors_to_the_end() {
        let stub = Stub::start(vec![
            (200, r#"{"as_of":3,"items":[1,2],"next_cursor":"a+b"}"#),
            (200, r#"{"as_of":3,"items":[3],"next_cursor":null}"#),
        ]);
        let client = stub.client();
        let mut pages = Pages::new(&client, "/x", vec![("limit", "2".to_owned())]);
        assert_eq!(pages.next().unwrap().unwrap().items.len(), 2);
        assert_eq!(pages.next().unwrap().unwrap().items.len(), 1);
        assert!(pages.next().unwrap().is_none());
        assert_eq!(stub.asked(), ["GET /x?limit=2", "GET /x?limit=2&cursor=a%2Bb"]);
    }

    #[test]
    fn a_server_that_goes_in_circles_is_not_followed() {
        let page = (200, r#"{"items":[1],"next_cursor":"a"}"#);
        let stub = Stub::start(vec![page, page]);
        let client = stub.client();
        let mut pages = Pages::new(&client, "/x", Vec::new());
        pages.next().unwrap();
        assert!(pages.next().unwrap_err().message.contains("same page twice"));
    }
}
