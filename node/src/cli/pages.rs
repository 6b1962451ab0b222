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
        match &next {
            Some(cursor) => self.set("cursor", cursor.clone()),
            None => self.done = true,
        }
        let explain = body.get_mut("explain").map(Value::take).filter(|explain| !explain.is_null());
        Ok(Some(Page { items, next, explain }))
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
