//! Tokens: good ones, and all the ways in which they are not; an issuer that changes its keys,
//! and one that is away.

use std::sync::{
    LazyLock,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Json, Router, routing::get};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use parking_lot::Mutex;
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    issuer::{Issuer, KeySource, NotTaken},
    tokens::{KeySet, Worthless, judge},
    *,
};
use crate::{clock, testing::openssl};

/// One key of each family, as an issuer has them.
struct Signers {
    rsa: EncodingKey,
    ec: EncodingKey,
    ed: EncodingKey,
    other: EncodingKey,
}

static SIGNERS: LazyLock<Signers> = LazyLock::new(|| {
    let pkcs8 = |arguments: &[&str]| {
        let pem = openssl(&[&["genpkey"], arguments].concat());
        PrivatePkcs8KeyDer::from_pem_slice(&pem).unwrap().secret_pkcs8_der().to_vec()
    };
    let p256 = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    Signers {
        rsa: EncodingKey::from_rsa_der(&openssl(&[
            "genpkey",
            "-algorithm",
            "RSA",
            "-outform",
            "DER",
        ])),
        ec: EncodingKey::from_ec_der(&pkcs8(&p256)),
        ed: EncodingKey::from_ed_der(&pkcs8(&["-algorithm", "ED25519"])),
        other: EncodingKey::from_ec_der(&pkcs8(&p256)),
    }
});

fn jwk(key: &EncodingKey, algorithm: Algorithm, name: &str) -> Value {
    let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
    jwk.common.key_id = Some(name.to_owned());
    serde_json::to_value(jwk).unwrap()
}

fn published() -> Value {
    let mut for_encryption = jwk(&SIGNERS.ec, Algorithm::ES256, "encryption");
    for_encryption["use"] = json!("enc");
    json!({"keys": [
        jwk(&SIGNERS.rsa, Algorithm::RS256, "rsa"),
        jwk(&SIGNERS.ec, Algorithm::ES256, "ec"),
        jwk(&SIGNERS.ed, Algorithm::EdDSA, "ed"),
        for_encryption,
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "secret"},
        {"kty": "something new", "kid": "new"},
    ]})
}

const ISSUER: &str = "https://issuer.example";

fn rules() -> TokenRules {
    TokenRules {
        issuer: ISSUER.to_owned(),
        audience: vec!["cairn".to_owned()],
        algorithms: ALGORITHMS.to_vec(),
        leeway_s: 30,
        scopes_claim: "scope".to_owned(),
        read: vec!["ledger:read".to_owned(), "ledger:admin".to_owned()],
        write: vec!["ledger:write".to_owned()],
    }
}

fn now_s() -> u64 {
    clock::unix_ms() / 1000
}

/// What a good token says, and then something else.
fn claims(change: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "cairn", "sub": "alice", "exp": now_s() + 300,
        "scope": "openid ledger:read",
    });
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn token(key: &EncodingKey, algorithm: Algorithm, name: Option<&str>, change: Value) -> String {
    let header = Header { kid: name.map(str::to_owned), ..Header::new(algorithm) };
    encode(&header, &claims(change), key).unwrap()
}

/// A token whose header no library would write.
fn forged(header: &Value, signature: &str) -> String {
    let parts = [header.to_string(), claims(json!({})).to_string(), signature.to_owned()];
    parts.map(|part| base64url(part.as_bytes())).join(".")
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    let digit = |at: usize| (0..6).fold(0, |word, n| word << 1 | usize::from(bit(at * 6 + n)));
    let digits = 0..(bytes.len() * 8).div_ceil(6);
    digits.map(|at| char::from(ALPHABET[digit(at)])).collect()
}

#[test]
fn a_good_token_gives_the_rights_that_its_scopes_name() {
    let keys = KeySet::parse(&published().to_string()).unwrap();
    let Signers { rsa, ec, ed, .. } = &*SIGNERS;
    let read = Rights { read: true, write: false };
    let late = json!({"exp": now_s() - 10, "nbf": now_s() + 10});
    #[rustfmt::skip]
    let table = [
        (token(rsa, Algorithm::RS256, Some("rsa"), json!({})),                        read, "RSA"),
        (token(ec, Algorithm::ES256, Some("ec"), json!({})),                          read, "P-256"),
        (token(ed, Algorithm::EdDSA, Some("ed"), json!({})),                          read, "ed25519"),
        (token(ed, Algorithm::EdDSA, None, json!({})),                                read, "no name, and one key that fits"),
        (token(ec, Algorithm::ES256, Some("ec"), json!({"aud": ["web", "cairn"]})),   read, "one audience of many"),
        (token(ec, Algorithm::ES256, Some("ec"), late),                               read, "clocks may be apart"),
        (token(ec, Algorithm::ES256, Some("ec"), json!({"scope": "ledger:write ledger:admin"})), Rights::ALL, "both"),
        (token(ec, Algorithm::ES256, Some("ec"), json!({"scope": ["ledger:write"]})), Rights { read: false, write: true }, "a list"),
        (token(ec, Algorithm::ES256, Some("ec"), json!({"scope": "ledger:reader"})),  Rights::NONE, "none of ours"),
        (token(ec, Algorithm::ES256, Some("ec"), json!({"scope": 5})),                Rights::NONE, "nonsense"),
    ];
    for (token, rights, why) in table {
        let bearer = judge(&token, &keys, &rules()).unwrap_or_else(|no| panic!("{why}: {no:?}"));
        assert_eq!((bearer.subject.as_str(), bearer.rights), ("alice", rights), "{why}");
    }
    let nested =
        json!({"realm_access": {"roles": ["ledger:write"]}, "https://x.example/r": "ledger:read"});
    let token = token(ec, Algorithm::ES256, Some("ec"), nested);
    for (claim, rights) in [
        ("realm_access.roles", Rights { read: false, write: true }),
        ("https://x.example/r", read),
        ("realm_access.nothing", Rights::NONE),
    ] {
        let rules = TokenRules { scopes_claim: claim.to_owned(), ..rules() };
        assert_eq!(judge(&token, &keys, &rules).unwrap().rights, rights, "{claim}");
    }
    let everyone = TokenRules { read: vec![], write: vec![], ..rules() };
    assert_eq!(judge(&token, &keys, &everyone).unwrap().rights, Rights::ALL);
}

#[test]
fn a_bad_token_is_worth_nothing_and_the_reason_is_said() {
    let keys = KeySet::parse(&published().to_string()).unwrap();
    let Signers { rsa, ec, other, .. } = &*SIGNERS;
    let by = |change: Value| token(ec, Algorithm::ES256, Some("ec"), change);
    let good = by(json!({}));
    let (head, signature) = (good.split_once('.').unwrap().0, good.rsplit_once('.').unwrap().1);
    let more = base64url(claims(json!({"scope": "ledger:write"})).to_string().as_bytes());
    let modulus = published()["keys"][0]["n"].as_str().unwrap().to_owned();
    let secret = EncodingKey::from_secret(modulus.as_bytes());
    let without = |name: &str| {
        let mut claims = claims(json!({}));
        claims.as_object_mut().unwrap().remove(name);
        let header = Header { kid: Some("ec".to_owned()), ..Header::new(Algorithm::ES256) };
        encode(&header, &claims, ec).unwrap()
    };
    let because = Worthless::Because;
    let (unreadable, way) = (
        because("the token cannot be read"),
        because("the token is signed in a way that is not taken"),
    );
    let forgery = because("the token's signature does not hold");
    #[rustfmt::skip]
    let table = [
        (String::new(),                                                    unreadable,  "nothing"),
        ("a.b.c".to_owned(),                                               unreadable,  "three parts of nonsense"),
        (good.rsplit_once('.').unwrap().0.to_owned(),                      unreadable,  "no signature"),
        (by(json!({"exp": now_s() - 31})),                                 because("the token has expired"), "by a second more than clocks may be apart"),
        (by(json!({"nbf": now_s() + 40})),                                 because("the token is not valid yet"), "from the future"),
        (by(json!({"iss": "https://evil.example"})),                       because("the token is of another issuer"), ""),
        (by(json!({"aud": "web"})),                                        because("the token is for another audience"), ""),
        (without("exp"),                                                   because("the token lacks exp, iss or aud"), "valid for ever"),
        (without("iss"),                                                   because("the token lacks exp, iss or aud"), "by whom?"),
        (without("aud"),                                                   because("the token lacks exp, iss or aud"), "for whom?"),
        (forged(&json!({"alg": "none", "kid": "ec"}), ""),                 unreadable,  "not signed, and says so"),
        (forged(&json!({"alg": "ES256", "kid": "ec"}), "no signature"),    forgery,     "not signed, and does not say so"),
        (forged(&json!({"alg": "ES256", "kid": "ec", "crit": ["x"], "x": 1}), ""), unreadable, "demands what we do not know"),
        (token(&secret, Algorithm::HS256, Some("rsa"), json!({})),         way,         "the public key as a secret"),
        (token(&secret, Algorithm::HS256, Some("secret"), json!({})),      way,         "a secret"),
        (token(other, Algorithm::ES256, Some("ec"), json!({})),            forgery,     "another key under a known name"),
        (format!("{head}.{more}.{signature}"),                             forgery,     "more rights than were signed"),
        (token(other, Algorithm::ES256, Some("new"), json!({})),           Worthless::KeyUnknown, "a name that is not known"),
        (token(ec, Algorithm::ES256, Some("encryption"), json!({})),       Worthless::KeyUnknown, "a key for encryption"),
        (token(ec, Algorithm::ES256, Some("rsa"), json!({})),              Worthless::KeyUnknown, "the name of a key of another kind"),
        (token(rsa, Algorithm::RS512, Some("rsa"), json!({})),             Worthless::KeyUnknown, "a key that is for RS256"),
    ];
    for (token, wanted, why) in table {
        assert_eq!(judge(&token, &keys, &rules()), Err(wanted), "{why}: {token}");
    }
    let only_rsa = TokenRules { algorithms: vec![Algorithm::RS256], ..rules() };
    assert_eq!(judge(&good, &keys, &only_rsa), Err(way), "ES256 was not asked for");
    let [one, two] = ["one", "two"].map(|name| jwk(ec, Algorithm::ES256, name));
    let two = KeySet::parse(&json!({"keys": [one, two]}).to_string()).unwrap();
    let nameless = token(ec, Algorithm::ES256, None, json!({}));
    let choice = because("the token does not say which key signed it");
    assert_eq!(judge(&nameless, &two, &rules()), Err(choice));
}

#[test]
fn a_set_of_keys_is_bounded_and_holds_one_that_signs() {
    let ec = jwk(&SIGNERS.ec, Algorithm::ES256, "ec");
    #[rustfmt::skip]
    let table = [
        ("nonsense".to_owned(),                                    "expected",  "no JSON"),
        ("{}".to_owned(),                                          "list",      "no list"),
        (json!({"keys": []}).to_string(),                          "no key",    "an empty list"),
        (json!({"keys": [{"kty": "oct", "k": "eA"}]}).to_string(), "no key",    "a secret"),
        (json!({"keys": vec![ec; 101]}).to_string(),               "at most",   "too many"),
    ];
    for (text, word, why) in table {
        let error = KeySet::parse(&text).unwrap_err();
        assert!(error.contains(word), "{why}: {error}");
    }
}

/// An issuer on this machine.
struct Local {
    url: String,
    keys: Arc<Mutex<Option<Value>>>,
    asked: Arc<AtomicUsize>,
}

impl Local {
    async fn start(says_issuer: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (keys, asked) = (Arc::new(Mutex::new(None::<Value>)), Arc::new(AtomicUsize::new(0)));
        let issuer = says_issuer.unwrap_or(&url);
        let document = json!({"issuer": issuer, "jwks_uri": format!("{url}/keys")});
        let (shown, count) = (Arc::clone(&keys), Arc::clone(&asked));
        let answer = async move || {
            count.fetch_add(1, Ordering::SeqCst);
            shown.lock().clone().map(Json).ok_or(axum::http::StatusCode::SERVICE_UNAVAILABLE)
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(async || Json(document)))
            .route("/keys", get(answer));
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { url, keys, asked }
    }

    fn shows(&self, name: &str, key: &EncodingKey) {
        *self.keys.lock() = Some(json!({"keys": [jwk(key, Algorithm::ES256, name)]}));
    }

    fn settings(&self) -> OidcSettings {
        OidcSettings {
            rules: TokenRules { issuer: self.url.clone(), read: vec![], ..rules() },
            keys: KeySource::Discovery,
            authorities: None,
            refresh: Duration::from_secs(3600),
        }
    }

    fn token(&self, key: &EncodingKey, name: &str) -> String {
        token(key, Algorithm::ES256, Some(name), json!({"iss": self.url}))
    }
}

const UNKNOWN: NotTaken =
    NotTaken::Worthless("the token is signed with a key that its issuer does not show");

#[tokio::test]
async fn keys_are_found_kept_and_fetched_again_but_not_for_everyone_who_asks() {
    let local = Local::start(None).await;
    let (ec, other) = (&SIGNERS.ec, &SIGNERS.other);
    local.shows("first", ec);
    let issuer = Issuer::open(local.settings()).unwrap();
    // The first question waits for the first fetch.
    let bearer = issuer.judge(&local.token(ec, "first")).await.unwrap();
    assert_eq!((bearer.subject.as_str(), bearer.rights.read), ("alice", true));

    // The keys were fetched just now: a name that is not among them is not worth a question.
    local.shows("second", other);
    let before = local.asked.load(Ordering::SeqCst);
    for _ in 0..100 {
        assert_eq!(issuer.judge(&local.token(other, "second")).await, Err(UNKNOWN));
    }
    assert_eq!(local.asked.load(Ordering::SeqCst), before);

    // Later it is: the issuer has new keys, and the old ones go with them.
    issuer.as_if_fetched_long_ago();
    assert!(issuer.judge(&local.token(other, "second")).await.is_ok());
    assert_eq!(issuer.judge(&local.token(ec, "first")).await, Err(UNKNOWN));
    assert_eq!(local.asked.load(Ordering::SeqCst), before + 1);

    // While it does not answer, the keys that are known go on being good.
    *local.keys.lock() = None;
    issuer.as_if_fetched_long_ago();
    assert_eq!(issuer.judge(&local.token(ec, "first")).await, Err(UNKNOWN));
    assert!(issuer.judge(&local.token(other, "second")).await.is_ok());
}

#[tokio::test]
async fn while_the_issuer_is_away_nobody_can_tell() {
    let local = Local::start(None).await;
    let issuer = Issuer::open(local.settings()).unwrap();
    let token = local.token(&SIGNERS.ec, "first");
    assert_eq!(issuer.judge(&token).await, Err(NotTaken::CannotTell));
    local.shows("first", &SIGNERS.ec);
    issuer.as_if_fetched_long_ago();
    assert!(issuer.judge(&token).await.is_ok(), "it came back");

    // Whoever answers must be who was asked.
    let stranger = Local::start(Some("https://evil.example")).await;
    stranger.shows("first", &SIGNERS.ec);
    let issuer = Issuer::open(stranger.settings()).unwrap();
    let token = stranger.token(&SIGNERS.ec, "first");
    assert_eq!(issuer.judge(&token).await, Err(NotTaken::CannotTell));
}

#[test]
fn an_issuer_is_asked_over_tls_or_on_this_machine() {
    for (url, safe) in [
        ("https://issuer.example/realms/x", true),
        ("http://localhost:8080", true),
        ("http://127.0.0.1:8080/x", true),
        ("http://[::1]:8080/x", true),
        ("http://issuer.example", false),
        ("http://127.0.0.1.evil.example", false),
        ("file:///etc/passwd", false),
        ("issuer.example", false),
        ("", false),
    ] {
        assert_eq!(is_safe(url), safe, "{url}");
    }
}
