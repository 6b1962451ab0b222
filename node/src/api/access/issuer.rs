//! The keys of who issues tokens: found, fetched, kept for a while, fetched again.
//!
//! One task fetches, on a thread of its own, within time and size; requests only read what it
//! has. A token with a key that is not known makes it fetch sooner, now and then. While the
//! issuer does not answer, the keys that were fetched last are good for a day.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use serde_json::Value;
use tokio::{
    sync::{Notify, oneshot, watch},
    time::{sleep, timeout},
};

use super::{
    super::files::Watcher,
    tokens::{Bearer, KeySet, TokenRules, Worthless, judge},
};
use crate::clock::Stopwatch;

/// How long one question to the issuer may take.
const FETCH_WITHIN: Duration = Duration::from_secs(5);

/// Largest document of an issuer that is read.
const DOCUMENT_BYTES_MAX: u64 = 512 * 1024;

/// An issuer is not asked again sooner than this because of tokens that nobody knows.
const PAUSE: Duration = Duration::from_secs(10);

/// An issuer that did not answer is asked again after this.
const RETRY: Duration = Duration::from_secs(30);

/// How long keys are good when nobody confirms them.
const GOOD_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// Where the issuer's own document says.
    Discovery,
    /// At a URL.
    Url(String),
    /// In a file, read again when it changes.
    File(PathBuf),
}

/// Tokens that are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSettings {
    /// What they must say.
    pub rules: TokenRules,
    /// Where the keys are.
    pub keys: KeySource,
    /// Who vouches for the issuer's certificate, as PEM, instead of those whom browsers trust.
    pub authorities: Option<PathBuf>,
    /// How often keys are fetched.
    pub refresh: Duration,
}

/// Why a token was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    Worthless(&'static str),
    /// The issuer's keys are not known.
    CannotTell,
}

/// An issuer.
pub(super) struct Issuer {
    rules: TokenRules,
    held: RwLock<Option<Held>>,
    since: Stopwatch,
    /// How long keys are good; a file's are until it is replaced.
    good_for: Option<Duration>,
    asking: Arc<Asking>,
}

struct Held {
    keys: Arc<KeySet>,
    at: Duration,
}

/// How requests and the task that fetches talk.
struct Asking {
    wake: Notify,
    /// How many times was fetched.
    done: watch::Sender<u64>,
    /// When the last fetch ended; nothing while the first is under way.
    last: Mutex<Option<Duration>>,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer {}", self.rules.issuer)
    }
}

impl Issuer {
    /// Begins to fetch; a file of keys must be fine already.
    pub(super) fn open(settings: OidcSettings) -> Result<Arc<Self>, String> {
        let OidcSettings { rules, keys, authorities, refresh } = settings;
        let asking =
            Asking { wake: Notify::new(), done: watch::Sender::new(0), last: Mutex::new(None) };
        let issuer = Arc::new(Self {
            rules,
            held: RwLock::new(None),
            since: Stopwatch::start(),
            good_for: (!matches!(keys, KeySource::File(_))).then_some(GOOD_FOR),
            asking: Arc::new(asking),
        });
        let url = match keys {
            KeySource::File(file) => {
                let watcher = Watcher::of(vec![file.clone()]);
                issuer.hold(read_file(&file)?);
                watcher.follow(&issuer, move |issuer| match read_file(&file) {
                    Ok(keys) => issuer.hold(keys),
                    Err(why) => tracing::warn!(why, "the issuer's keys stay as they were"),
                });
                return Ok(issuer);
            }
            KeySource::Url(url) => Some(url),
            KeySource::Discovery => None,
        };
        let authorities = authorities.map(|file| authorities_of(&file)).transpose()?;
        let source = Source { issuer: issuer.rules.issuer.clone(), url, authorities };
        let asking = Arc::clone(&issuer.asking);
        tokio::spawn(keep_fetching(Arc::downgrade(&issuer), asking, source, refresh));
        Ok(issuer)
    }

    fn hold(&self, keys: KeySet) {
        let held = Held { keys: Arc::new(keys), at: self.since.elapsed() };
        *self.held.write() = Some(held);
    }

    /// Lets time pass.
    #[cfg(test)]
    pub(super) fn as_if_fetched_long_ago(&self) {
        *self.asking.last.lock() = None;
    }

    fn keys(&self) -> Option<Arc<KeySet>> {
        let held = self.held.read();
        let held = held.as_ref()?;
        let age = self.since.elapsed().saturating_sub(held.at);
        let good = self.good_for.is_none_or(|most| age < most);
        good.then(|| Arc::clone(&held.keys))
    }

    /// Judges a token, by newer keys if need be.
    pub(super) async fn judge(&self, token: &str) -> Result<Bearer, NotTaken> {
        let mut may_ask = true;
        loop {
            let keys = self.keys();
            let judged = keys.map(|keys| judge(token, &keys, &self.rules));
            let failure = match judged {
                Some(Ok(bearer)) => return Ok(bearer),
                Some(Err(Worthless::Because(why))) => return Err(NotTaken::Worthless(why)),
                Some(Err(Worthless::KeyUnknown)) => NotTaken::Worthless(
                    "the token is signed with a key that its issuer does not show",
                ),
                None => NotTaken::CannotTell,
            };
            if !may_ask || !self.newer_keys().await {
                return Err(failure);
            }
            may_ask = false;
        }
    }

    /// Waits for keys to be fetched, unless they just were.
    async fn newer_keys(&self) -> bool {
        if self.good_for.is_none() {
            return false;
        }
        let mut done = self.asking.done.subscribe();
        let last = *self.asking.last.lock();
        if last.is_some_and(|last| self.since.elapsed().saturating_sub(last) < PAUSE) {
            return false;
        }
        self.asking.wake.notify_one();
        // Somebody's fetch may be under way already; it is as good. It asks twice at most.
        timeout(2 * FETCH_WITHIN, done.changed()).await.is_ok_and(|changed| changed.is_ok())
    }
}

async fn keep_fetching(
    issuer: Weak<Issuer>,
    asking: Arc<Asking>,
    source: Source,
    refresh: Duration,
) {
    let source = Arc::new(source);
    loop {
        let fetched = source.fetch_elsewhere().await;
        let Some(issuer) = issuer.upgrade() else { return };
        let pause = match fetched {
            Ok(keys) => {
                issuer.hold(keys);
                refresh
            }
            Err(why) => {
                tracing::warn!(
                    issuer = issuer.rules.issuer,
                    why,
                    "the issuer's keys cannot be fetched"
                );
                refresh.min(RETRY)
            }
        };
        *asking.last.lock() = Some(issuer.since.elapsed());
        drop(issuer);
        asking.done.send_modify(|done| *done += 1);
        tokio::select! {
            () = sleep(pause) => {}
            () = asking.wake.notified() => {}
        }
    }
}

/// Whom to ask for keys, and how.
struct Source {
    issuer: String,
    url: Option<String>,
    authorities: Option<Vec<ureq::tls::Certificate<'static>>>,
}

impl Source {
    /// On a thread that nobody waits for: names that do not resolve must not keep a validator
    /// from stopping.
    async fn fetch_elsewhere(self: &Arc<Self>) -> Result<KeySet, String> {
        let (reply, fetched) = oneshot::channel();
        let this = Arc::clone(self);
        let thread = std::thread::Builder::new().name("issuer-keys".to_owned());
        thread.spawn(move || reply.send(this.fetch())).map_err(|error| error.to_string())?;
        fetched.await.map_err(|_| "the thread that asks has ended".to_owned())?
    }

    fn fetch(&self) -> Result<KeySet, String> {
        let agent = self.agent();
        let url = match &self.url {
            Some(url) => url.clone(),
            None => {
                let issuer = self.issuer.trim_end_matches('/');
                let url = format!("{issuer}/.well-known/openid-configuration");
                let text = get(&agent, &url)?;
                where_keys_are(&text, &self.issuer).map_err(|why| format!("{url}: {why}"))?
            }
        };
        KeySet::parse(&get(&agent, &url)?).map_err(|why| format!("{url}: {why}"))
    }

    fn agent(&self) -> ureq::Agent {
        let mut tls = ureq::tls::TlsConfig::builder();
        if let Some(authorities) = &self.authorities {
            tls = tls.root_certs(ureq::tls::RootCerts::new_with_certs(authorities));
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(FETCH_WITHIN))
            .max_redirects(0)
            .tls_config(tls.build())
            .build();
        config.into()
    }
}

fn get(agent: &ureq::Agent, url: &str) -> Result<String, String> {
    let read = || {
        let mut answer = agent.get(url).call()?;
        if answer.status() != 200 {
            return Err(ureq::Error::StatusCode(answer.status().as_u16()));
        }
        answer.body_mut().with_config().limit(DOCUMENT_BYTES_MAX).read_to_string()
    };
    read().map_err(|error: ureq::Error| format!("{url}: {error}"))
}

/// What an issuer's document says, if it is that issuer's at all (OpenID Connect Discovery,
/// 4.3).
fn where_keys_are(text: &str, issuer: &str) -> Result<String, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let field = |name: &str| {
        let value = document.get(name).and_then(Value::as_str);
        value.map(str::to_owned).ok_or_else(|| format!("lacks {name}"))
    };
    if field("issuer")? != issuer {
        return Err(format!("is of another issuer than {issuer}"));
    }
    let url = field("jwks_uri")?;
    if is_safe(&url) { Ok(url) } else { Err("its jwks_uri is not https".to_owned()) }
}

/// Whether what is read there comes from who should say it: over TLS, or from this machine.
pub fn is_safe(url: &str) -> bool {
    let Ok(url) = url.parse::<axum::http::Uri>() else { return false };
    match (url.scheme_str(), url.host()) {
        (Some("https"), Some(_)) => true,
        (Some("http"), Some(host)) => matches!(host, "localhost" | "127.0.0.1" | "[::1]"),
        _ => false,
    }
}

fn read_file(file: &PathBuf) -> Result<KeySet, String> {
    let fail = |why: String| format!("{}: {why}", file.display());
    let size = std::fs::metadata(file).map_err(|error| fail(error.to_string()))?.len();
    if size > DOCUMENT_BYTES_MAX {
        return Err(fail(format!("has {size} bytes, at most {DOCUMENT_BYTES_MAX} are read")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| fail(error.to_string()))?;
    KeySet::parse(&text).map_err(fail)
}

/// The certificates of a file, who vouch for others.
///
/// # Errors
/// A sentence that names the file.
pub fn authorities_of(file: &Path) -> Result<Vec<ureq::tls::Certificate<'static>>, String> {
    let fail = |why: &dyn fmt::Display| format!("{}: {why}", file.display());
    let text = std::fs::read(file).map_err(|error| fail(&error))?;
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(&text) {
        if let ureq::tls::PemItem::Certificate(certificate) = item.map_err(|error| fail(&error))? {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        return Err(fail(&"holds no certificate; PEM would be fine"));
    }
    Ok(found)
}
