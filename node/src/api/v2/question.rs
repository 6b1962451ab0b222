//! What a request asks: its parameters, read strictly.
//!
//! A name that is not known, a name twice, a value that makes no sense: each is said with what
//! would have been fine, so that a typing error is never a silently different question.

use std::sync::Arc;

use axum::http::Uri;
use cairn_ledger::ids::{Height, PublicKey, TransactionId};

use super::super::{Api, error::Failure};

/// Most rows of a page.
pub(super) const LIMIT_MAX: usize = 1000;

/// Rows of a page, where nothing else is asked for.
pub(super) const LIMIT_USUAL: usize = 100;

/// Largest height that is read: what other languages' integers hold, too.
const HEIGHT_MAX: u64 = i64::MAX.cast_unsigned();

/// Most bytes of what came in that go out again.
const ECHO_BYTES_MAX: usize = 100;

/// Every question may ask for a height that must be stored first.
const MIN_HEIGHT: &str = "min_height";

/// These do not change what is asked, only how much of it is told at a time.
const PAGING: &[&str] = &["limit", "cursor", "explain", "as_of", MIN_HEIGHT];

/// The parameters of a request: known ones, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question(Vec<(String, String)>);

impl Question {
    /// Reads the parameters; `known` and `min_height` are.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Failure> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let query = uri.query().unwrap_or_default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if name != MIN_HEIGHT && !known.contains(&name.as_str()) {
                return Err(unknown(name, known));
            }
            if pairs.iter().any(|(before, _)| *before == name) {
                let wanted = format!("{name} is there twice, once would be fine");
                return Err(Failure::Value { name: "query", wanted });
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// Reads the parameters, then waits shortly for the height that they ask for.
    pub(super) async fn ask(api: &Arc<Api>, uri: &Uri, known: &[&str]) -> Result<Self, Failure> {
        let question = Self::of(uri, known)?;
        if let Some(wanted) = question.min_height()? {
            stored(api, wanted).await?;
        }
        Ok(question)
    }

    pub(super) fn min_height(&self) -> Result<Option<Height>, Failure> {
        self.height(MIN_HEIGHT)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    fn read<T>(
        &self,
        name: &'static str,
        wanted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let wrong = || Failure::Value { name, wanted: format!("{wanted} would be fine") };
        read(text).map(Some).ok_or_else(wrong)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &self,
        name: &'static str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Failure> {
        let wanted: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let find = |text: &str| words.iter().find(|(word, _)| *word == text).map(|(_, it)| *it);
        self.read(name, &wanted.join(" or "), find)
    }

    pub(super) fn boolean(&self, name: &'static str) -> Result<Option<bool>, Failure> {
        self.word(name, &[("true", true), ("false", false)])
    }

    pub(super) fn limit(&self) -> Result<usize, Failure> {
        let wanted = format!("a whole number from 1 to {LIMIT_MAX}");
        let fits = |text: &str| number(text).and_then(|n| usize::try_from(n).ok());
        let limit = self.read("limit", &wanted, |text| {
            fits(text).filter(|limit| (1..=LIMIT_MAX).contains(limit))
        });
        Ok(limit?.unwrap_or(LIMIT_USUAL))
    }

    pub(super) fn height(&self, name: &'static str) -> Result<Option<Height>, Failure> {
        self.read(name, "a height (a whole number)", height)
    }

    pub(super) fn transaction(&self, name: &'static str) -> Result<Option<TransactionId>, Failure> {
        self.read(name, "an id (64 hexadecimal digits)", |text| text.parse().ok())
    }

    pub(super) fn key(&self, name: &'static str) -> Result<Option<PublicKey>, Failure> {
        self.read(name, "a public key (32 bytes in base58)", |text| text.parse().ok())
    }

    /// What is asked, apart from how much of it at a time: the same for every page.
    pub(super) fn identity(&self) -> Vec<(&str, &str)> {
        let pairs = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut pairs: Vec<_> = pairs.filter(|(name, _)| !PAGING.contains(name)).collect();
        pairs.sort_unstable();
        pairs
    }
}

/// Waits shortly until a height is stored here.
pub(super) async fn stored(api: &Arc<Api>, wanted: Height) -> Result<(), Failure> {
    if api.query.reaches(wanted, api.settings.height_patience).await {
        return Ok(());
    }
    Err(Failure::HeightNotReached { wanted, stands: api.query.height() })
}

/// Waits shortly until searching is complete up to a height.
pub(super) async fn searchable(api: &Arc<Api>, wanted: Height) -> Result<(), Failure> {
    if api.search.reaches(wanted, api.settings.height_patience).await {
        return Ok(());
    }
    Err(Failure::HeightNotReached { wanted, stands: api.search.height() })
}

pub(super) fn unknown(name: String, known: &[&str]) -> Failure {
    let known: Vec<_> = known.iter().chain(&[MIN_HEIGHT]).map(|name| format!("`{name}`")).collect();
    let end = name.floor_char_boundary(ECHO_BYTES_MAX);
    Failure::UnknownParameter { name: name[..end].to_owned(), known: known.join(", ") }
}

/// A height that a chain may reach.
pub(super) fn height(text: &str) -> Option<Height> {
    number(text).filter(|height| *height <= HEIGHT_MAX).map(Height)
}

/// Digits and nothing else.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// Undoes what HTML forms do to text (WHATWG URL §5.1), and takes nothing else: where others
/// guess, two readers of one address may see two questions.
fn decode(text: &str) -> Result<String, Failure> {
    let wrong = || {
        let wanted = "UTF-8 without NUL, percent-encoded, would be fine".to_owned();
        Failure::Value { name: "query", wanted }
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                let pair = digit().zip(digit()).map(|(high, low)| high << 4 | low);
                pair.and_then(|byte| u8::try_from(byte).ok()).ok_or_else(wrong)?
            }
            other => other,
        });
    }
    if bytes.contains(&0) {
        return Err(wrong());
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<Question, Failure> {
        let uri: Uri = format!("/?{query}").parse().unwrap();
        Question::of(&uri, &["limit", "filter", "spent"])
    }

    #[test]
    fn only_what_means_one_thing_is_taken() {
        #[rustfmt::skip]
        let table = [
            ("",                          Ok(()),               "nothing"),
            ("&&",                        Ok(()),               "nothing, thrice"),
            ("limit=1000&spent=false",    Ok(()),               "known ones"),
            ("min_height=7",              Ok(()),               "known everywhere"),
            ("filter=a%20b+c",            Ok(()),               "spaces in both spellings"),
            ("filter=%F0%9F%9A%B2",       Ok(()),               "a bicycle"),
            ("colour=red",                Err("PARAM_UNKNOWN"), "a name that is not known"),
            ("limit=1&limit=1",           Err("PARAM_INVALID"), "twice, even if the same"),
            ("limit=1&l%69mit=1",         Err("PARAM_INVALID"), "twice in two spellings"),
            ("filter=%",                  Err("PARAM_INVALID"), "cut short"),
            ("filter=%f",                 Err("PARAM_INVALID"), "cut shorter"),
            ("filter=%zz",                Err("PARAM_INVALID"), "no digits"),
            ("filter=%+1",                Err("PARAM_INVALID"), "a sign is no digit"),
            ("filter=%ff",                Err("PARAM_INVALID"), "no UTF-8"),
            ("filter=a%00b",              Err("PARAM_INVALID"), "NUL"),
        ];
        for (query, wanted, why) in table {
            let read = of(query).map(|_| ()).map_err(|failure| failure.code());
            assert_eq!(read, wanted, "{why}: {query}");
        }
        assert_eq!(of("filter=a%20b+c%2b").unwrap().text("filter"), Some("a b c+"));
    }

    #[test]
    fn values_say_what_would_have_been_fine() {
        for limit in ["", "0", "-1", "+1", "1001", "1e9", "1.0", "99999999999999999999", " 1", "١"]
        {
            let failure = of(&format!("limit={limit}").replace(' ', "%20").replace('+', "%2B"));
            let failure = failure.and_then(|question| question.limit()).unwrap_err();
            assert_eq!(failure.to_string(), "limit: a whole number from 1 to 1000 would be fine");
        }
        let wrong = of("spent=True").unwrap().boolean("spent").unwrap_err();
        assert_eq!(wrong.to_string(), "spent: `true` or `false` would be fine");
        let unknown = of(&"ü".repeat(90)).unwrap_err().to_string();
        assert!(
            unknown.ends_with("known are `limit`, `filter`, `spent`, `min_height`"),
            "{unknown}"
        );
        assert!(unknown.len() < 200, "{unknown}");
    }
}
