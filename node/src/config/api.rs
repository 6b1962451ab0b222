//! `[api]`: who may come in by the API's ports, and what that may cost.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use serde::Deserialize;

use crate::api::{
    ServerLimits,
    access::{
        ALGORITHMS, AccessSettings, KeySource, Network, OidcSettings, Origins, Rate, Rates, Rights,
        TokenRules, is_origin, is_safe,
    },
    server::TlsFiles,
};

/// How the API is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiConfig {
    /// Where API v1 says that its stream of transactions is, instead of the host that a client
    /// asked for.
    pub advertised_streams_url: Option<String>,
    /// What connections may cost.
    pub limits: ServerLimits,
    /// Who may come in.
    pub access: AccessSettings,
    /// The certificate, when it is served under TLS.
    pub tls: Option<TlsFiles>,
    /// Whether the admin port is under TLS too.
    pub admin_tls: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    access_log: Option<bool>,
    advertised_streams_url: Option<String>,
    anonymous: Option<Vec<String>>,
    trusted_proxies: Option<Vec<String>>,
    #[serde(default)]
    limits: WrittenLimits,
    #[serde(default)]
    cors: WrittenCors,
    keys: Option<WrittenKeys>,
    oidc: Option<WrittenOidc>,
    #[serde(default)]
    rates: WrittenRates,
    tls: Option<WrittenTls>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLimits {
    connections: Option<usize>,
    requests: Option<usize>,
    head_bytes: Option<usize>,
    headers: Option<usize>,
    body_bytes: Option<usize>,
    head_timeout_s: Option<u64>,
    body_timeout_s: Option<u64>,
    request_timeout_s: Option<u64>,
    write_timeout_s: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCors {
    origins: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKeys {
    file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenOidc {
    issuer: String,
    audience: Vec<String>,
    jwks_url: Option<String>,
    jwks_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    algorithms: Option<Vec<String>>,
    leeway_s: Option<u64>,
    refresh_s: Option<u64>,
    scopes_claim: Option<String>,
    read: Option<Vec<String>>,
    write: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRates {
    #[serde(default)]
    address: WrittenRate,
    #[serde(default)]
    key: WrittenRate,
    tracked: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRate {
    requests_per_s: Option<u32>,
    requests_burst: Option<u32>,
    transactions_per_s: Option<u32>,
    transactions_burst: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTls {
    certificates: PathBuf,
    key: PathBuf,
    admin: Option<bool>,
}

impl Written {
    /// Checks it; files are relative to `base`.
    pub(super) fn checked(self, base: &Path) -> Result<ApiConfig, String> {
        let Self {
            access_log,
            advertised_streams_url,
            anonymous,
            trusted_proxies,
            limits,
            cors,
            keys,
            oidc,
            rates,
            tls,
        } = self;
        let usual = AccessSettings::default();
        // Who sets up keys wants them to be shown.
        let unsaid = if keys.is_some() || oidc.is_some() { Rights::NONE } else { Rights::ALL };
        let anonymous = match &anonymous {
            None => unsaid,
            Some(names) => Rights::named(names.iter().map(String::as_str)).map_err(|other| {
                format!("api.anonymous: {other:?} is no right; read and write are")
            })?,
        };
        let most = |field, given, usual| within(field, given, usual, 1, usize::MAX);
        let access = AccessSettings {
            keys: keys.map(|keys| base.join(keys.file)),
            oidc: oidc.map(|oidc| oidc.checked(base)).transpose()?,
            anonymous,
            address_rates: rates.address.checked("address")?,
            key_rates: rates.key.checked("key")?,
            tracked: most("rates.tracked", rates.tracked, usual.tracked)?,
            proxies: proxies(trusted_proxies.unwrap_or_default())?,
            origins: cors.checked()?,
            requests: most("limits.requests", limits.requests, usual.requests)?,
            request_timeout: seconds(
                "limits.request_timeout_s",
                limits.request_timeout_s,
                usual.request_timeout,
            )?,
            body_bytes: most("limits.body_bytes", limits.body_bytes, usual.body_bytes)?,
            log: access_log.unwrap_or(usual.log),
        };
        let admin_tls = tls.as_ref().is_some_and(|tls| tls.admin.unwrap_or(false));
        let tls = tls.map(|WrittenTls { certificates, key, admin: _ }| TlsFiles {
            certificates: base.join(certificates),
            key: base.join(key),
        });
        let advertised_streams_url = advertised_streams_url.map(streams_url).transpose()?;
        Ok(ApiConfig { limits: limits.checked()?, access, tls, admin_tls, advertised_streams_url })
    }
}

fn streams_url(url: String) -> Result<String, String> {
    let rest = url.strip_prefix("ws://").or_else(|| url.strip_prefix("wss://"));
    let whole = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    if whole && url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(url);
    }
    let fine = "\"wss://ledger.example/api/v1/streams/valid_transactions\" is fine";
    Err(format!("api.advertised_streams_url: {url:?} is no WebSocket address; {fine}"))
}

impl WrittenLimits {
    fn checked(self) -> Result<ServerLimits, String> {
        let usual = ServerLimits::default();
        Ok(ServerLimits {
            connections: within(
                "limits.connections",
                self.connections,
                usual.connections,
                1,
                1_000_000,
            )?,
            // What is below hyper knows no better; far above, idle heads cost more than bodies.
            head_bytes: within(
                "limits.head_bytes",
                self.head_bytes,
                usual.head_bytes,
                8192,
                1024 * 1024,
            )?,
            headers: within("limits.headers", self.headers, usual.headers, 10, 10_000)?,
            head_timeout: seconds(
                "limits.head_timeout_s",
                self.head_timeout_s,
                usual.head_timeout,
            )?,
            body_timeout: seconds(
                "limits.body_timeout_s",
                self.body_timeout_s,
                usual.body_timeout,
            )?,
            write_timeout: seconds(
                "limits.write_timeout_s",
                self.write_timeout_s,
                usual.write_timeout,
            )?,
            goodbye: usual.goodbye,
        })
    }
}

impl WrittenCors {
    fn checked(self) -> Result<Origins, String> {
        let Some(origins) = self.origins else { return Ok(Origins::Any) };
        if origins == ["*"] {
            return Ok(Origins::Any);
        }
        match origins.iter().find(|origin| !is_origin(origin)) {
            None => Ok(Origins::Only(origins)),
            Some(wrong) => Err(format!(
                "api.cors.origins: {wrong:?} is no origin; \"https://app.example\", or \"*\" alone, would be fine"
            )),
        }
    }
}

impl WrittenOidc {
    fn checked(self, base: &Path) -> Result<OidcSettings, String> {
        for (field, url) in [("issuer", Some(&self.issuer)), ("jwks_url", self.jwks_url.as_ref())] {
            if url.is_some_and(|url| !is_safe(url)) {
                return Err(format!(
                    "api.oidc.{field}: must begin with https://, or with http:// on this machine"
                ));
            }
        }
        if self.audience.is_empty() {
            return Err("api.oidc.audience: is empty; a list of names would be fine".to_owned());
        }
        let keys = match (self.jwks_url, self.jwks_file) {
            (None, None) => KeySource::Discovery,
            (Some(url), None) => KeySource::Url(url),
            (None, Some(file)) => KeySource::File(base.join(file)),
            (Some(_), Some(_)) => {
                return Err("api.oidc.jwks_url: there is jwks_file too; one is enough".to_owned());
            }
        };
        let leeway_s = self.leeway_s.unwrap_or(30);
        if leeway_s > 600 {
            return Err(format!("api.oidc.leeway_s: {leeway_s}; 0 to 600 seconds are fine"));
        }
        let algorithms = self.algorithms.map_or(Ok(ALGORITHMS.to_vec()), algorithms)?;
        let rules = TokenRules {
            issuer: self.issuer,
            audience: self.audience,
            algorithms,
            leeway_s,
            scopes_claim: self.scopes_claim.unwrap_or_else(|| "scope".to_owned()),
            read: self.read.unwrap_or_default(),
            write: self.write.unwrap_or_default(),
        };
        let refresh = seconds("oidc.refresh_s", self.refresh_s, Duration::from_secs(600))?;
        let authorities = self.ca_file.map(|file| base.join(file));
        Ok(OidcSettings { rules, keys, authorities, refresh })
    }
}

fn algorithms(names: Vec<String>) -> Result<Vec<jsonwebtoken::Algorithm>, String> {
    let known = |name: &String| {
        let found = jsonwebtoken::Algorithm::from_str(name).ok();
        found.filter(|algorithm| ALGORITHMS.contains(algorithm)).ok_or_else(|| {
            format!("api.oidc.algorithms: {name:?} is not taken; RS256 or ES256 would be fine")
        })
    };
    let algorithms: Result<Vec<_>, _> = names.iter().map(known).collect();
    let algorithms = algorithms?;
    if algorithms.is_empty() {
        return Err("api.oidc.algorithms: is empty; without it, all good ones are taken".to_owned());
    }
    Ok(algorithms)
}

impl WrittenRate {
    fn checked(self, of: &str) -> Result<Rates, String> {
        let named = |why: String| format!("api.rates.{of}.{why}");
        let requests =
            Rate::written("requests", self.requests_per_s, self.requests_burst).map_err(named)?;
        let transactions =
            Rate::written("transactions", self.transactions_per_s, self.transactions_burst)
                .map_err(named)?;
        Ok(Rates { requests, transactions })
    }
}

fn proxies(written: Vec<String>) -> Result<Vec<Network>, String> {
    let read =
        |text: &String| text.parse().map_err(|why| format!("api.trusted_proxies: {text:?}: {why}"));
    let unique: BTreeSet<_> = written.into_iter().collect();
    unique.iter().map(read).collect()
}

fn within(
    field: &str,
    given: Option<usize>,
    usual: usize,
    least: usize,
    most: usize,
) -> Result<usize, String> {
    match given {
        None => Ok(usual),
        Some(given) if (least..=most).contains(&given) => Ok(given),
        Some(given) if most == usize::MAX => {
            Err(format!("api.{field}: {given}; {least} or more are fine"))
        }
        Some(given) => Err(format!("api.{field}: {given}; {least} to {most} are fine")),
    }
}

fn seconds(field: &str, given: Option<u64>, usual: Duration) -> Result<Duration, String> {
    match given {
        None => Ok(usual),
        Some(given @ 1..=86_400) => Ok(Duration::from_secs(given)),
        Some(given) => Err(format!("api.{field}: {given}; 1 to 86400 seconds are fine")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ApiConfig, String> {
        let written: Written = toml::from_str(text).map_err(|error| error.to_string())?;
        written.checked(Path::new("/etc/cairn"))
    }

    #[test]
    fn what_is_not_written_is_off_or_generous() {
        let config = parse("").unwrap();
        assert_eq!(config, ApiConfig::default());
        assert_eq!(config.access.anonymous, Rights::ALL);
        assert!(config.limits.connections >= 12_000);
    }

    #[test]
    fn what_is_written_counts() {
        let config = parse(
            "access_log = true\ntrusted_proxies = ['10.0.0.0/8', '::1']\n\
             [cors]\norigins = ['https://app.example']\n\
             [keys]\nfile = 'keys.toml'\n\
             [oidc]\nissuer = 'https://issuer.example'\naudience = ['cairn']\nalgorithms = ['ES256']\n\
             [rates]\ntracked = 7\n[rates.address]\nrequests_per_s = 5\n\
             [rates.key]\ntransactions_per_s = 5\ntransactions_burst = 9\n\
             [limits]\nconnections = 3\nhead_timeout_s = 9\nbody_bytes = 5000\n\
             [tls]\ncertificates = 'tls/crt.pem'\nkey = '/run/key.pem'\nadmin = true\n",
        )
        .unwrap();
        let AccessSettings { keys, oidc, anonymous, address_rates, key_rates, .. } = config.access;
        assert_eq!(keys.as_deref(), Some(Path::new("/etc/cairn/keys.toml")));
        assert_eq!(anonymous, Rights::NONE, "who sets up keys wants them to be shown");
        let oidc = oidc.unwrap();
        assert_eq!((oidc.keys, oidc.rules.algorithms.len()), (KeySource::Discovery, 1));
        assert_eq!(address_rates.requests, Some(Rate { per_second: 5, burst: 5 }));
        assert_eq!(key_rates.transactions, Some(Rate { per_second: 5, burst: 9 }));
        assert_eq!((config.access.tracked, config.access.body_bytes), (7, 5000));
        assert_eq!(config.access.proxies.len(), 2);
        assert_eq!(config.access.origins, Origins::Only(vec!["https://app.example".to_owned()]));
        assert_eq!(config.limits.head_timeout, Duration::from_secs(9));
        let tls = config.tls.unwrap();
        assert_eq!(tls.certificates, Path::new("/etc/cairn/tls/crt.pem"));
        assert_eq!((tls.key.as_path(), config.admin_tls), (Path::new("/run/key.pem"), true));
    }

    #[test]
    fn what_makes_no_sense_is_said_with_its_field() {
        const OIDC: &str = "[oidc]\nissuer = 'https://x.example'\naudience = ['cairn']\n";
        #[rustfmt::skip]
        let table = [
            ("colour = 'red'",                                     "colour",                    "unknown"),
            ("anonymous = ['admin']",                              "api.anonymous",             "no right"),
            ("trusted_proxies = ['proxy']",                        "api.trusted_proxies",       "no network"),
            ("[cors]\norigins = ['app.example']",                  "api.cors.origins",          "no scheme"),
            ("[cors]\norigins = ['*', 'https://app.example']",     "api.cors.origins",          "all and some"),
            ("[oidc]\nissuer = 'http://x.example'\naudience = ['a']", "api.oidc.issuer",        "in the clear"),
            ("[oidc]\nissuer = 'https://x.example'\naudience = []", "api.oidc.audience",        "for nobody"),
            (&format!("{OIDC}algorithms = ['HS256']"),             "HS256",                     "a shared secret"),
            (&format!("{OIDC}algorithms = ['none']"),              "none",                      "no signature"),
            (&format!("{OIDC}algorithms = []"),                    "api.oidc.algorithms",       "none at all"),
            (&format!("{OIDC}jwks_url = 'ftp://x'"),               "api.oidc.jwks_url",         "no scheme of ours"),
            (&format!("{OIDC}jwks_url = 'https://x'\njwks_file = 'y'"), "jwks_file",            "two sources"),
            (&format!("{OIDC}leeway_s = 601"),                     "api.oidc.leeway_s",         "a token that outlives itself"),
            ("[rates.key]\nrequests_per_s = 0",                    "api.rates.key.requests_per_s", "nobody"),
            ("[rates.address]\nrequests_burst = 5",                "api.rates.address.requests_per_s", "no rate"),
            ("[rates.address]\nrequests_per_s = 5\nrequests_burst = 0", "requests_burst",       "nobody"),
            ("[rates]\ntracked = 0",                               "api.rates.tracked",         "nobody"),
            ("[limits]\nconnections = 0",                          "api.limits.connections",    "nobody"),
            ("[limits]\nhead_bytes = 100",                         "api.limits.head_bytes",     "too small for a request"),
            ("[limits]\nheaders = 1",                              "api.limits.headers",        "too few"),
            ("[limits]\nbody_timeout_s = 0",                       "api.limits.body_timeout_s", "no time"),
            ("[tls]\ncertificates = 'x'",                          "key",                       "no key"),
        ];
        for (text, named, why) in table {
            let error = parse(text).unwrap_err();
            assert!(error.contains(named), "{why}: {error}");
        }
    }
}
