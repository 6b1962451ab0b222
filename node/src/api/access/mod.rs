//! Who may come in, and how often.
//!
//! Read in this order: `rights` what a request needs; `keys` API keys; `tokens` what a token of
//! an issuer is worth, `issuer` where the issuer's keys come from; `address` whom a request
//! comes from; `rates` how often; `origins` which web pages may ask; `log` one line a request.
//! [`Access::admit`] asks them in the order in which an answer costs more.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, Uri, header},
};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{error::Failure, server::Caller};
use crate::clock::Stopwatch;

mod address;
mod issuer;
mod keys;
pub(super) mod log;
pub(super) mod origins;
mod rates;
mod rights;
mod tokens;

#[cfg(test)]
mod tests;

pub use address::{Network, NotANetwork};
pub use issuer::{KeySource, OidcSettings, authorities_of, is_safe};
pub use keys::{generate, is_name};
pub use origins::{Origins, is_origin};
pub use rates::Rate;
pub use rights::Rights;
pub use tokens::{ALGORITHMS, TokenRules};

use issuer::{Issuer, NotTaken};
use keys::{Keys, Owner};
use rates::{Buckets, network_of};
use rights::needed;

/// Where a key may stand by itself.
const KEY_HEADER: HeaderName = HeaderName::from_static("cairn-key");

/// Rates of one kind of client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// How many requests.
    pub requests: Option<Rate>,
    /// How many transactions.
    pub transactions: Option<Rate>,
}

/// What people chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessSettings {
    /// The file of API keys.
    pub keys: Option<PathBuf>,
    /// Whose tokens are taken.
    pub oidc: Option<OidcSettings>,
    /// What those may do who do not say who they are.
    pub anonymous: Rights,
    /// For each address.
    pub address_rates: Rates,
    /// For each key, and each subject of tokens.
    pub key_rates: Rates,
    /// How many addresses, and how many keys, are told apart at a time.
    pub tracked: usize,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub proxies: Vec<Network>,
    /// Web pages that may ask.
    pub origins: Origins,
    /// Most requests that are worked on at a time.
    pub requests: usize,
    /// How long work on a request may take.
    pub request_timeout: Duration,
    /// Largest body; routes may take less.
    pub body_bytes: usize,
    /// Whether each request is logged.
    pub log: bool,
}

impl Default for AccessSettings {
    fn default() -> Self {
        Self {
            keys: None,
            oidc: None,
            anonymous: Rights::ALL,
            address_rates: Rates::default(),
            key_rates: Rates::default(),
            tracked: 65_536,
            proxies: Vec::new(),
            origins: Origins::Any,
            requests: 8192,
            request_timeout: Duration::from_secs(60),
            body_bytes: 4 * 1024 * 1024,
            log: false,
        }
    }
}

/// The door-keeper.
#[derive(Debug)]
pub struct Access {
    settings: AccessSettings,
    keys: Option<Arc<Keys>>,
    issuer: Option<Arc<Issuer>>,
    buckets: AllBuckets,
    places: Arc<Semaphore>,
    since: Stopwatch,
}

#[derive(Debug)]
struct AllBuckets {
    requests_by_address: Buckets<u128>,
    requests_by_key: Buckets<[u8; 32]>,
    transactions_by_address: Buckets<u128>,
    transactions_by_key: Buckets<[u8; 32]>,
}

/// Who asks.
#[derive(Clone, Debug)]
enum Who {
    Anyone,
    Key(Arc<Owner>),
    Token { subject: String, rights: Rights },
}

impl Who {
    fn rights(&self, anonymous: Rights) -> Rights {
        match self {
            Self::Anyone => anonymous,
            Self::Key(owner) => owner.rights,
            Self::Token { rights, .. } => *rights,
        }
    }

    /// Whose bucket it is, when it is not only an address's.
    fn bucket(&self) -> Option<[u8; 32]> {
        let (kind, name) = match self {
            Self::Anyone => return None,
            Self::Key(owner) => ("key", &owner.name),
            Self::Token { subject, .. } => ("token", subject),
        };
        Some(Sha256::new().chain_update(kind).chain_update(name).finalize().into())
    }
}

/// What a request carries once it was let in: who pays for its transactions.
#[derive(Clone, Debug)]
struct Admitted {
    access: Arc<Access>,
    address: IpAddr,
    who: Who,
}

/// Takes from the sender's buckets what so many transactions cost. A request that nobody let
/// in, as in tests of single routes, pays nothing.
pub(super) fn charge(head: &axum::http::Extensions, transactions: usize) -> Result<(), Failure> {
    match head.get::<Admitted>() {
        Some(admitted) => admitted.charge(transactions),
        None => Ok(()),
    }
}

impl Access {
    /// Opens files and begins to fetch the issuer's keys. Must be called within a tokio runtime
    /// when there are any.
    ///
    /// # Errors
    /// A sentence about a file that makes no sense.
    pub fn open(settings: AccessSettings) -> Result<Arc<Self>, String> {
        let keys = settings.keys.as_deref().map(Keys::open).transpose()?;
        let issuer = settings.oidc.clone().map(Issuer::open).transpose()?;
        let buckets = AllBuckets {
            requests_by_address: Buckets::new(settings.tracked),
            requests_by_key: Buckets::new(settings.tracked),
            transactions_by_address: Buckets::new(settings.tracked),
            transactions_by_key: Buckets::new(settings.tracked),
        };
        let places = Arc::new(Semaphore::new(settings.requests.min(Semaphore::MAX_PERMITS)));
        Ok(Arc::new(Self { settings, keys, issuer, buckets, places, since: Stopwatch::start() }))
    }

    /// Lets everyone in.
    pub fn for_everyone() -> Arc<Self> {
        Self::open(AccessSettings::default()).expect("there are no files to read")
    }

    /// What people chose.
    pub(super) fn settings(&self) -> &AccessSettings {
        &self.settings
    }

    /// Whom a request comes from, when it came by a socket.
    fn address_of(&self, request: &Request) -> Option<IpAddr> {
        let Caller(peer) = request.extensions().get()?;
        Some(address::client(peer.ip(), request.headers(), &self.settings.proxies))
    }

    /// Lets a request in; it is one of those worked on until what this returns is dropped. The
    /// visit learns who asks.
    ///
    /// # Errors
    /// What to answer instead.
    pub(super) async fn admit(
        self: &Arc<Self>,
        request: &mut Request,
        visit: &mut log::Visit,
    ) -> Result<OwnedSemaphorePermit, Failure> {
        let address = self.address_of(request);
        visit.from(address);
        if let (Some(rate), Some(address)) = (self.settings.address_rates.requests, address) {
            let now = self.since.elapsed();
            let taken = self.buckets.requests_by_address.take(network_of(address), 1, rate, now);
            taken.map_err(too_early)?;
        }
        // Taken out whether or not it is looked at: no route knows it, no log shows it.
        let in_query = token_in_query(request);
        let who = self.who(request.headers(), in_query).await?;
        visit.is(&who);
        self.charge_request(&who)?;
        let needed = needed(request.method(), request.uri().path());
        if !who.rights(self.settings.anonymous).allow(needed) {
            return Err(match who {
                Who::Anyone => Failure::Unauthorized(
                    "an API key or a token is needed, as Authorization: Bearer …",
                ),
                Who::Key(_) | Who::Token { .. } => {
                    Failure::Forbidden("your key or token does not give the right to do that")
                }
            });
        }
        if let Some(address) = address {
            let access = Arc::clone(self);
            request.extensions_mut().insert(Admitted { access, address, who });
        }
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| Failure::Overloaded)
    }

    async fn who(&self, headers: &HeaderMap, in_query: Option<String>) -> Result<Who, Failure> {
        if self.keys.is_none() && self.issuer.is_none() {
            // Upstream's clients send keys that nobody asked for.
            return Ok(Who::Anyone);
        }
        let Some(shown) = credential(headers, in_query)? else { return Ok(Who::Anyone) };
        match (&self.keys, &self.issuer) {
            (Some(keys), _) if keys::is_key(&shown) => {
                let owner = keys.owner(&shown);
                owner.map(Who::Key).ok_or(Failure::BadToken("nobody has that API key"))
            }
            (_, Some(issuer)) => match issuer.judge(&shown).await {
                Ok(bearer) => Ok(Who::Token { subject: bearer.subject, rights: bearer.rights }),
                Err(NotTaken::Worthless(why)) => Err(Failure::BadToken(why)),
                Err(NotTaken::CannotTell) => Err(Failure::IssuerAway),
            },
            _ => Err(Failure::BadToken("that is no API key")),
        }
    }

    fn charge_request(&self, who: &Who) -> Result<(), Failure> {
        let own = if let Who::Key(owner) = who { owner.requests } else { None };
        let rate = own.or(self.settings.key_rates.requests);
        let (Some(rate), Some(key)) = (rate, who.bucket()) else { return Ok(()) };
        let now = self.since.elapsed();
        self.buckets.requests_by_key.take(key, 1, rate, now).map_err(too_early)
    }
}

impl Admitted {
    fn charge(&self, transactions: usize) -> Result<(), Failure> {
        let Self { access, address, who } = self;
        let count = u32::try_from(transactions).unwrap_or(u32::MAX);
        let now = access.since.elapsed();
        let (settings, buckets) = (&access.settings, &access.buckets);
        if let Some(rate) = settings.address_rates.transactions {
            let taken =
                buckets.transactions_by_address.take(network_of(*address), count, rate, now);
            taken.map_err(too_early)?;
        }
        let own = if let Who::Key(owner) = who { owner.transactions } else { None };
        let rate = own.or(settings.key_rates.transactions);
        let (Some(rate), Some(key)) = (rate, who.bucket()) else { return Ok(()) };
        buckets.transactions_by_key.take(key, count, rate, now).map_err(too_early)
    }
}

/// Whole seconds: who waits so long is let in.
fn too_early(wait: Duration) -> Failure {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Failure::RateLimited { retry_after_s: seconds.max(1) }
}

/// What the client shows to say who it is.
fn credential(headers: &HeaderMap, in_query: Option<String>) -> Result<Option<String>, Failure> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let (scheme, shown) = text.split_once(' ').unwrap_or((text, ""));
        return if scheme.eq_ignore_ascii_case("bearer") {
            Ok(Some(shown.trim().to_owned()))
        } else {
            Err(Failure::Unauthorized("Authorization: Bearer … is what is understood"))
        };
    }
    let key = headers.get(KEY_HEADER).map(|key| key.to_str().unwrap_or_default().to_owned());
    Ok(key.or(in_query))
}

/// Takes `access_token` out of a stream's query, where browsers have nowhere else to put it.
fn token_in_query(request: &mut Request) -> Option<String> {
    let uri = request.uri();
    let query = uri.query().filter(|query| query.contains("access_token="))?;
    if !rights::is_stream(uri.path()) {
        return None;
    }
    let (mut token, mut rest) = (None, Vec::new());
    for pair in query.split('&') {
        match pair.strip_prefix("access_token=") {
            Some(value) => token = Some(value.to_owned()),
            None => rest.push(pair),
        }
    }
    let path = uri.path();
    let target =
        if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) };
    // What was a target before is one with less in it; else the token is as good as none.
    *request.uri_mut() = target.parse::<Uri>().ok()?;
    token
}

impl Rate {
    /// As it is written in files, by the names of its two fields.
    ///
    /// # Errors
    /// The field, and what would be fine.
    pub fn written(
        name: &str,
        per_second: Option<u32>,
        burst: Option<u32>,
    ) -> Result<Option<Self>, String> {
        match (per_second, burst) {
            (None, None) => Ok(None),
            (Some(0), _) | (None, Some(_)) => {
                Err(format!("{name}_per_s: is missing or 0; 1 or more would be fine"))
            }
            (_, Some(0)) => Err(format!("{name}_burst: 0 lets nobody in; 1 or more are fine")),
            (Some(per_second), burst) => {
                Ok(Some(Self { per_second, burst: burst.unwrap_or(per_second) }))
            }
        }
    }
}

/// What is wrong with a file, and in which line.
pub(crate) fn line_of(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
    format!("line {line}: {}", error.message().trim())
}
