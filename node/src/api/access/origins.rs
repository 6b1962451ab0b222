//! Which web pages may ask: what browsers call CORS.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// How long a browser may remember what it was allowed.
const REMEMBERED_S: u64 = 600;

/// Pages that may ask, by their origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// All of them, as upstream has it. A page cannot make a browser send a key that the page
    /// does not have: there are no cookies here.
    Any,
    /// These, spelled as browsers do: `https://app.example`.
    Only(Vec<String>),
}

/// Whether it is spelled as browsers spell origins: scheme, host, port if it is unusual, and
/// no slash at the end.
pub fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-:[]_".contains(c);
        !rest.is_empty() && rest.chars().all(fine)
    })
}

impl Origins {
    /// Says to a browser whether the page that it asks for may read the answer.
    pub(in super::super) fn say(&self, asks: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let allowed = match self {
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Only(list) => {
                // One answer may not be shown to a page of another origin from a cache.
                headers.append(header::VARY, HeaderValue::from_static("origin"));
                asks.filter(|origin| list.iter().any(|known| known.as_bytes() == origin.as_bytes()))
                    .cloned()
            }
        };
        let Some(allowed) = allowed else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("cairn-height, retry-after, x-request-id"),
        );
    }
}

/// What a browser asks before it lets a page of another origin speak to us.
pub(in super::super) fn preflight(request: &Request) -> Response {
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, HEAD, OPTIONS, POST");
    headers.insert(header::ALLOW, methods.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(REMEMBERED_S));
    if let Some(asked) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_what_was_configured() {
        let only = Origins::Only(vec!["https://app.example".to_owned()]);
        #[rustfmt::skip]
        let table = [
            (&Origins::Any, None,                        Some("*"),                   false, "whoever asks, as upstream"),
            (&Origins::Any, Some("https://evil.example"), Some("*"),                  false, "a page"),
            (&only,         Some("https://app.example"), Some("https://app.example"), true,  "the page on the list"),
            (&only,         Some("https://app.example:8443"), None,                   true,  "another port is another origin"),
            (&only,         Some("null"),                None,                        true,  "a page from nowhere"),
            (&only,         None,                        None,                        true,  "no page at all"),
        ];
        for (origins, asks, allowed, varies, why) in table {
            let mut headers = HeaderMap::new();
            origins.say(asks.map(HeaderValue::from_static).as_ref(), &mut headers);
            let said = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(said.map(|value| value.to_str().unwrap()), allowed, "{why}");
            assert_eq!(headers.contains_key(header::VARY), varies, "{why}");
        }
        for (text, fine) in [
            ("https://app.example", true),
            ("http://localhost:3000", true),
            ("https://app.example/", false),
            ("https://App.example", false),
            ("app.example", false),
            ("*", false),
        ] {
            assert_eq!(is_origin(text), fine, "{text}");
        }
    }
}
