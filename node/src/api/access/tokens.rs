//! What a token is worth, given the keys of who issued it (RFC 7519, RFC 7517).
//!
//! Only signatures by private keys count: a secret that validators and issuer share would let
//! every validator issue tokens. What a token's header says about where its key is to be found
//! is not read; only the key's name is.

use std::fmt;

use jsonwebtoken::{
    Algorithm, DecodingKey, Header, Validation, decode, decode_header,
    errors::ErrorKind,
    jwk::{Jwk, PublicKeyUse},
};
use serde_json::{Map, Value};

use super::rights::Rights;

/// Most keys of one issuer.
const KEYS_MAX: usize = 100;

/// How tokens may be signed, unless less is asked for.
pub const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
];

/// What tokens must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRules {
    /// Who issued them.
    pub issuer: String,
    /// For whom: one of these.
    pub audience: Vec<String>,
    /// How they may be signed.
    pub algorithms: Vec<Algorithm>,
    /// How far clocks may be apart.
    pub leeway_s: u64,
    /// The claim that lists what the client may do: a name, or names with dots in between.
    pub scopes_claim: String,
    /// Whoever has one of these may read; when there are none, every token may.
    pub read: Vec<String>,
    /// The same for writing.
    pub write: Vec<String>,
}

/// What a good token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    pub(super) subject: String,
    pub(super) rights: Rights,
}

/// Why a token is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worthless {
    /// Newer keys may have it.
    KeyUnknown,
    Because(&'static str),
}

/// An issuer's keys.
pub(super) struct KeySet(Vec<Known>);

struct Known {
    name: Option<String>,
    /// The one algorithm that it is for, when it says so.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl KeySet {
    /// Reads a JWKS. Keys that are not for signing, or of kinds that we do not know, are not
    /// for us.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let set: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or("lacks a list of keys")?;
        if keys.len() > KEYS_MAX {
            return Err(format!("lists {} keys, at most {KEYS_MAX} are read", keys.len()));
        }
        let known: Vec<_> = keys.iter().filter_map(Known::read).collect();
        if known.is_empty() {
            return Err("lists no key that could sign a token".to_owned());
        }
        Ok(Self(known))
    }

    /// The key that the token names. When it names none, there must be no choice: trying them
    /// all would be work that anyone could ask for.
    fn find(&self, header: &Header) -> Result<&DecodingKey, Worthless> {
        let fits = |known: &&Known| {
            known.key.family() == header.alg.family()
                && known.algorithm.is_none_or(|algorithm| algorithm == header.alg)
        };
        let mut fitting = self.0.iter().filter(fits);
        match &header.kid {
            Some(name) => {
                let mut named = fitting.filter(|known| known.name.as_ref() == Some(name));
                named.next().map(|known| &known.key).ok_or(Worthless::KeyUnknown)
            }
            None => match (fitting.next(), fitting.next()) {
                (Some(only), None) => Ok(&only.key),
                (None, _) => Err(Worthless::KeyUnknown),
                (Some(_), Some(_)) => {
                    Err(Worthless::Because("the token does not say which key signed it"))
                }
            },
        }
    }
}

impl Known {
    fn read(written: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(written.clone()).ok()?;
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        let algorithm = match jwk.common.key_algorithm {
            None => None,
            Some(named) => Some(Algorithm::try_from(named).ok()?),
        };
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        let families = ALGORITHMS.map(Algorithm::family);
        families.contains(&key.family()).then_some(Self { name: jwk.common.key_id, algorithm, key })
    }
}

/// Judges a token.
pub(super) fn judge(token: &str, keys: &KeySet, rules: &TokenRules) -> Result<Bearer, Worthless> {
    let unreadable = Worthless::Because("the token cannot be read");
    let header = decode_header(token).map_err(|_| unreadable)?;
    if !rules.algorithms.contains(&header.alg) {
        return Err(Worthless::Because("the token is signed in a way that is not taken"));
    }
    // Extensions that must be understood: we understand none.
    if header.crit.is_some() {
        return Err(unreadable);
    }
    let key = keys.find(&header)?;
    let mut validation = Validation::new(header.alg);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.set_issuer(std::slice::from_ref(&rules.issuer));
    validation.set_audience(&rules.audience);
    validation.validate_nbf = true;
    validation.leeway = rules.leeway_s;
    let read = decode::<Map<String, Value>>(token, key, &validation);
    let claims = read.map_err(|error| Worthless::Because(reason(error.kind())))?.claims;
    Ok(Bearer { subject: subject(&claims), rights: rights(&claims, rules) })
}

fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "the token's signature does not hold",
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidIssuer => "the token is of another issuer",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks exp, iss or aud",
        // Others come with new versions; none of them makes a token good.
        _ => "the token cannot be read",
    }
}

/// Whose token it is: the client, when no person is behind it.
fn subject(claims: &Map<String, Value>) -> String {
    let named = ["sub", "client_id", "azp"].iter().filter_map(|name| claims.get(*name)?.as_str());
    named.map(str::to_owned).next().unwrap_or_else(|| "unnamed".to_owned())
}

fn rights(claims: &Map<String, Value>, rules: &TokenRules) -> Rights {
    let has = |wanted: &[String]| {
        wanted.is_empty() || {
            let listed = listed(claims, &rules.scopes_claim);
            wanted.iter().any(|scope| listed.contains(&scope.as_str()))
        }
    };
    Rights { read: has(&rules.read), write: has(&rules.write) }
}

/// Words of a text, or texts of a list.
fn listed<'a>(claims: &'a Map<String, Value>, path: &str) -> Vec<&'a str> {
    let inside = || {
        let mut names = path.split('.');
        let first = claims.get(names.next()?)?;
        names.try_fold(first, |value, name| value.get(name))
    };
    // Some issuers name claims by URLs, which have dots.
    match claims.get(path).or_else(inside) {
        Some(Value::String(text)) => text.split_whitespace().collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}
