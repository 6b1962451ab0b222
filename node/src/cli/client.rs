//! A validator's HTTP API, from outside: one question at a time, the next validator when one
//! does not answer, and the server's errors in one sentence.

use std::{cell::Cell, fs, io::Read, path::Path, sync::Arc, thread, time::Duration};

use cairn_ledger::{
    ids::TransactionId,
    json::Strictness,
    transaction::{self, Parsed},
};
use serde_json::Value;
use ureq::{
    Agent, Body,
    http::{Response, header},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

use super::{
    Context,
    print::{clip, harmless},
    profile::{Connection, Settings},
};
use crate::exit::{ExitCode, Failure};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a question may take.
const QUESTION: Duration = Duration::from_secs(30);

/// Longer than a validator waits for a decision.
const DECISION: Duration = Duration::from_secs(150);

/// A stream that is silent for longer is broken: servers say something more often.
const SILENCE: Duration = Duration::from_secs(45);

/// How often a server may ask to come back later, and how late that may be.
const RETURNS_MAX: u32 = 5;
const RETURN_WITHIN: Duration = Duration::from_secs(10);

/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Larger than any file of certificates that somebody means.
const CA_FILE_BYTES_MAX: u64 = 4 << 20;

/// What a request carries.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Json,
    Lines,
}

/// Asks validators.
pub(super) struct Client {
    agent: Agent,
    urls: Vec<String>,
    /// Which of them is asked.
    at: Cell<usize>,
    authorization: Option<String>,
}

/// What a validator said.
pub(super) struct Answer {
    /// Who said it.
    pub(super) url: String,
    pub(super) status: u16,
    retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

impl Client {
    pub(super) fn new(connection: &Connection, context: &Context) -> Result<Self, Failure> {
        Self::with(context.profile.settings(connection)?)
    }

    pub(super) fn with(settings: Settings) -> Result<Self, Failure> {
        let Settings { urls, ca, api_key } = settings;
        let tls = tls(ca.as_deref())?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("cairn/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .tls_config(tls)
            .build();
        let authorization = api_key.map(|key| format!("Bearer {}", key.0));
        if authorization.as_ref().is_some_and(|text| !text.bytes().all(|b| (32..127).contains(&b)))
        {
            return Err(Failure::new(
                ExitCode::Config,
                "the API key has characters that no key has",
            ));
        }
        Ok(Self { agent: config.into(), urls, at: Cell::new(0), authorization })
    }

    /// Everyone who may be asked.
    pub(super) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Who is asked next.
    pub(super) fn url(&self) -> &str {
        &self.urls[self.at.get()]
    }

    /// Asks another one from now on, if there is one.
    pub(super) fn turn(&self) {
        self.at.set((self.at.get() + 1) % self.urls.len());
    }

    /// An answer that must be there.
    pub(super) fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.ask(|url| self.send_get(url, path))?.well()
    }

    /// An answer, or that there is no such thing.
    pub(super) fn find(&self, path: &str) -> Result<Option<Answer>, Failure> {
        let answer = self.ask(|url| self.send_get(url, path))?;
        if answer.status == 404 { Ok(None) } else { answer.well().map(Some) }
    }

    /// Sends what may be sent twice without harm, as transactions may; any answer is one.
    pub(super) fn post(&self, path: &str, kind: Kind, body: &[u8]) -> Result<Answer, Failure> {
        self.ask(|url| self.send_post(url, path, kind, body))
    }

    fn send_get(&self, url: &str, path: &str) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.agent.get(format!("{url}{path}"));
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        request.config().timeout_global(Some(QUESTION)).build().call()
    }

    fn send_post(
        &self,
        url: &str,
        path: &str,
        kind: Kind,
        body: &[u8],
    ) -> Result<Response<Body>, ureq::Error> {
        let kind = match kind {
            Kind::Json => "application/json",
            Kind::Lines => "application/x-ndjson",
        };
        let mut request = self.agent.post(format!("{url}{path}"));
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.header(header::CONTENT_TYPE, kind);
        request.config().timeout_global(Some(DECISION)).build().send(body)
    }

    /// Asks one after the other until one answers, and later again where one asks for that.
    fn ask(
        &self,
        send: impl Fn(&str) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Answer, Failure> {
        let (mut silent, mut returns) = (Vec::new(), 0);
        loop {
            let url = self.url().to_owned();
            match send(&url).and_then(|response| read(&url, response)) {
                Err(error) => {
                    silent.push(format!("{url}: {error}"));
                    if silent.len() == self.urls.len() {
                        return Err(Failure::general(format!(
                            "no answer from {}",
                            silent.join("; ")
                        )));
                    }
                    self.turn();
                }
                Ok(answer) => match answer.retry_after {
                    Some(later) if returns < RETURNS_MAX => {
                        returns += 1;
                        silent.clear();
                        self.turn();
                        thread::sleep(later.min(RETURN_WITHIN));
                    }
                    _ => return Ok(answer),
                },
            }
        }
    }

    /// Opens a stream of server-sent events at the one who is asked, from behind that event on.
    pub(super) fn stream(
        &self,
        path: &str,
        last_event: Option<&str>,
    ) -> Result<impl Read + use<>, Stopped> {
        let mut request = self.agent.get(format!("{}{path}", self.url()));
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(id) = last_event {
            request = request.header("last-event-id", id);
        }
        let request = request.header(header::ACCEPT, "text/event-stream");
        let sent = request.config().timeout_per_read(Some(SILENCE)).build().call();
        let trouble = |error: ureq::Error| Stopped::Trouble(format!("{}: {error}", self.url()));
        let response = sent.map_err(trouble)?;
        if response.status().is_success() {
            return Ok(response.into_body().into_reader());
        }
        let answer = read(self.url(), response).map_err(trouble)?;
        let failure = answer.said();
        // What another time or another server may answer better is worth another try.
        if matches!(answer.status, 408 | 429) || answer.status >= 500 {
            Err(Stopped::Trouble(failure.message))
        } else {
            Err(Stopped::Refused(failure))
        }
    }

    /// A committed transaction, its id checked.
    pub(super) fn transaction(&self, id: &TransactionId) -> Result<Parsed, Failure> {
        let answer = self.find(&format!("/api/v1/transactions/{id}"))?;
        let answer = answer
            .ok_or_else(|| Failure::general(format!("there is no committed transaction {id}")))?;
        let wrong = |why: String| {
            Failure::general(format!("{} answered another transaction for {id}: {why}", answer.url))
        };
        let parsed = transaction::parse(Arc::from(&*answer.body), Strictness::Lenient)
            .map_err(|refusal| wrong(refusal.to_string()))?;
        if parsed.id() == *id { Ok(parsed) } else { Err(wrong(parsed.id().to_string())) }
    }
}

/// Why a stream did not open.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Trying again may help.
    Trouble(String),
    /// It will not.
    Refused(Failure),
}

/// Whom to trust: the authorities of a file, or the public ones.
pub(super) fn tls(ca: Option<&Path>) -> Result<TlsConfig, Failure> {
    let tls = TlsConfig::builder();
    Ok(match ca {
        Some(path) => tls.root_certs(authorities(path)?).build(),
        None => tls.build(),
    })
}

/// The certificates of a file.
fn authorities(path: &Path) -> Result<RootCerts, Failure> {
    let fail = |why: String| Failure::new(ExitCode::Config, format!("{}: {why}", path.display()));
    let unreadable = |error: std::io::Error| fail(format!("cannot be read: {error}"));
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > CA_FILE_BYTES_MAX {
        return Err(fail(format!("{size} bytes are no certificates")));
    }
    let text = fs::read(path).map_err(unreadable)?;
    let mut found: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| fail(error.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        let fine = "holds no certificate; PEM that begins with -----BEGIN CERTIFICATE----- is fine";
        return Err(fail(fine.to_owned()));
    }
    Ok(RootCerts::new_with_certs(&found))
}

fn read(url: &str, mut response: Response<Body>) -> Result<Answer, ureq::Error> {
    let number = |name: &str| response.headers().get(name)?.to_str().ok()?.parse().ok();
    let later = number("retry-after");
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    Ok(Answer {
        url: url.to_owned(),
        status: response.status().as_u16(),
        retry_after: later.map(Duration::from_secs),
        body,
    })
}

impl Answer {
    /// Itself, when it is what was asked for.
    pub(super) fn well(self) -> Result<Self, Failure> {
        if (200..300).contains(&self.status) { Ok(self) } else { Err(self.said()) }
    }

    pub(super) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failure::general(format!("{} answered what is not JSON: {error}", self.url))
        })
    }

    /// The server's error as a failure.
    pub(super) fn said(&self) -> Failure {
        let body = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        let said = sentence(self.status, &body);
        let hint = match self.status {
            401 => "; --api-key, CAIRN_API_KEY or `api_key` in the profile says who is asking",
            301 | 302 | 307 | 308 => "; redirects are not followed: use the URL that it names",
            _ => "",
        };
        Failure::general(format!("{} answered {said}{hint}", self.url))
    }
}

/// The server's error as one sentence: v1 says `message`, v2 `detail`.
fn sentence(status: u16, body: &Value) -> String {
    let said = match (&body["message"], &body["detail"]) {
        (Value::String(text), _) | (_, Value::String(text)) => text.clone(),
        (Value::Object(fields), _) => {
            let said = |(field, text): (&String, &Value)| {
                format!("{field}: {}", text.as_str().unwrap_or_default())
            };
            fields.iter().map(said).collect::<Vec<_>>().join("; ")
        }
        _ => "without saying why".to_owned(),
    };
    let said: String = said.chars().take(1000).collect();
    format!("{status}: {}", harmless(&said))
}

/// A value as it stands in a query.
pub(super) fn percent(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Names and values as a query, with its question mark.
pub(super) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let pairs: Vec<String> =
        pairs.into_iter().map(|(name, value)| format!("{name}={}", percent(&value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// A text of the answer, or a dash where it has none.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| "-".to_owned(), clip_id)
}

/// Ids are shown whole, anything longer is not an id.
fn clip_id(text: &str) -> String {
    if text.len() <= 64 { text.to_owned() } else { clip(text) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_of_the_server_is_one_sentence() {
        #[rustfmt::skip]
        let table = [
            (json!({ "message": "Not found", "status": 404 }),       "404: Not found"),
            (json!({ "message": { "asset_id": "Invalid hash" } }),   "404: asset_id: Invalid hash"),
            (json!({ "detail": "no quorum", "code": "NO_QUORUM" }),  "404: no quorum"),
            (json!({ "detail": "a\u{1b}[1mb" }),                     "404: a\u{fffd}[1mb"),
            (Value::Null,                                            "404: without saying why"),
        ];
        for (body, expected) in table {
            assert_eq!(sentence(404, &body), expected);
        }
    }

    #[test]
    fn values_survive_a_query() {
        assert_eq!(query([]), "");
        let pairs = [("filter", "a.b = \"ü\" & 1+1".to_owned()), ("limit", "5".to_owned())];
        assert_eq!(query(pairs), "?filter=a.b%20%3D%20%22%C3%BC%22%20%26%201%2B1&limit=5");
    }
}
