//! The root documents: what there is, and where.
//!
//! All links are paths but one: the stream's is a whole address, and a validator cannot know by
//! which name a client reaches it. So it is, in this order:
//! 1. what the configuration advertises (`[api] advertised_streams_url`), as it stands there;
//! 2. behind a proxy, which says so in `Forwarded`, `X-Forwarded-Host` or `X-Forwarded-Proto`:
//!    the host and port that the client asked the proxy for, `wss` if it asked by `https`. The
//!    stream is on the API's port too, and that one is what the proxy is known to pass on;
//! 3. else the host that the request names, and the port for streams, as upstream has it.
//!
//! Headers come from outside: only what reads as a host and a port is repeated.

use std::{fmt, net::Ipv6Addr};

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    super::{ApiSettings, Shared},
    UPSTREAM_VERSION,
};

/// Where the stream is on its host.
const STREAM_PATH: &str = "/api/v1/streams/valid_transactions";

/// What a client that names no host is told; upstream's default.
const NO_HOST: Authority<'_> = Authority { host: "localhost", port: None };

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The longest host name that DNS knows.
const HOST_BYTES_MAX: usize = 253;

/// `GET /`.
pub(super) async fn root(State(api): Shared, request: Request) -> Response {
    document(json!({
        "api": {"v1": links("/api/v1/", &streams(&api.settings, &request))},
        "docs": format!("https://docs.bigchaindb.com/projects/server/en/v{UPSTREAM_VERSION}/"),
        "software": "BigchainDB",
        "version": UPSTREAM_VERSION,
    }))
}

/// `GET /api/v1`.
pub(super) async fn index(State(api): Shared, request: Request) -> Response {
    document(links("/", &streams(&api.settings, &request)))
}

fn links(prefix: &str, streams: &str) -> Value {
    let docs = "https://docs.bigchaindb.com/projects/server/en/v";
    json!({
        "assets": format!("{prefix}assets/"),
        "blocks": format!("{prefix}blocks/"),
        "docs": format!("{docs}{UPSTREAM_VERSION}/http-client-server-api.html"),
        "metadata": format!("{prefix}metadata/"),
        "outputs": format!("{prefix}outputs/"),
        "streams": streams,
        "transactions": format!("{prefix}transactions/"),
        "validators": format!("{prefix}validators"),
    })
}

fn document(body: Value) -> Response {
    let mut response = Json(body).into_response();
    // A cache in between must not show one client the address of another.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The address of the stream, for who sent this request.
fn streams(settings: &ApiSettings, request: &Request) -> String {
    if let Some(advertised) = &settings.advertised_streams_url {
        return advertised.clone();
    }
    let asked = asked_host(request.uri(), request.headers()).unwrap_or(NO_HOST);
    let scheme = |secure| if secure { "wss" } else { "ws" };
    match Proxied::of(request.headers()) {
        Some(Proxied { host, secure }) => {
            format!("{}://{}{STREAM_PATH}", scheme(secure), host.unwrap_or(asked))
        }
        None => {
            let there = Authority { port: Some(settings.streams_port), ..asked };
            format!("{}://{there}{STREAM_PATH}", scheme(settings.tls))
        }
    }
}

/// The host that the request itself names. A whole address in its first line wins (RFC 9112 §3.2.2).
fn asked_host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<Authority<'a>> {
    let named = uri.authority().map(|authority| authority.as_str());
    Authority::parse(named.or_else(|| text(headers, &header::HOST))?)
}

/// What proxies say about the request as the first of them got it.
struct Proxied<'a> {
    host: Option<Authority<'a>>,
    secure: bool,
}

impl<'a> Proxied<'a> {
    /// Nothing, when no proxy says anything that makes sense.
    fn of(headers: &'a HeaderMap) -> Option<Self> {
        let said = |name: &str| text(headers, &header::FORWARDED).and_then(|all| pair(all, name));
        // RFC 7239 first: the others are its folklore. Each header lists the proxies in the
        // order in which they passed the request on, so the first value is what the client asked for.
        let host = said("host").or_else(|| text(headers, &FORWARDED_HOST).map(first));
        let scheme = said("proto").or_else(|| text(headers, &FORWARDED_PROTO).map(first));
        let host = host.and_then(Authority::parse);
        let secure = scheme.and_then(|scheme| match scheme.to_ascii_lowercase().as_str() {
            "https" | "wss" => Some(true),
            "http" | "ws" => Some(false),
            _ => None,
        });
        let anything = host.is_some() || secure.is_some();
        anything.then(|| Self { host, secure: secure.unwrap_or(false) })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn first(list: &str) -> &str {
    list.split(',').next().unwrap_or_default().trim()
}

/// The value of that name in the first element of a `Forwarded` header.
fn pair<'a>(forwarded: &'a str, name: &str) -> Option<&'a str> {
    // Quoted values may hold commas; hosts and schemes that do are none.
    let pairs = first(forwarded).split(';').filter_map(|pair| pair.split_once('='));
    let mut found = pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value.trim().trim_matches('"'))
}

/// A host that reads as one, and a port if there is one.
#[derive(Clone, Copy)]
struct Authority<'a> {
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        // The brackets of an IPv6 address hold colons that begin no port.
        let end = text.rfind(']').map_or(0, |bracket| bracket + 1);
        let (host, port) = match text[end..].find(':') {
            Some(colon) => (&text[..end + colon], Some(text[end + colon + 1..].parse().ok()?)),
            None => (text, None),
        };
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host =
            inner.map_or_else(|| is_name(host), |inner| inner.parse::<Ipv6Addr>().is_ok());
        (is_host && port != Some(0)).then_some(Self { host, port })
    }
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Letters, digits, `-`, `_` and dots: names as DNS and containers have them, and IPv4 addresses.
fn is_name(host: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=HOST_BYTES_MAX).contains(&host.len()) && host.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn told(settings: &ApiSettings, uri: &str, headers: &[(&str, &str)]) -> String {
        let builder = Request::get(uri);
        let add = |builder: axum::http::request::Builder, (name, value): &(&str, &str)| {
            builder.header(*name, *value)
        };
        let request = headers.iter().fold(builder, add).body(Body::empty()).unwrap();
        streams(settings, &request).replace(STREAM_PATH, "/…")
    }

    #[test]
    fn the_stream_is_where_the_client_can_reach_it() {
        let settings = ApiSettings { streams_port: 9985, ..ApiSettings::default() };
        /// Headers, the link, why.
        type Row<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
        let host = |name| ("host", name);
        #[rustfmt::skip]
        let table: &[Row<'_>] = &[
            (&[],                                                  "ws://localhost:9985/…",   "who names no host gets upstream's default"),
            (&[host("ledger.example:9984")],                       "ws://ledger.example:9985/…", "the host that was asked, the port for streams"),
            (&[host("10.1.2.3")],                                  "ws://10.1.2.3:9985/…",    "an address"),
            (&[host("[2001:db8::1]:9984")],                        "ws://[2001:db8::1]:9985/…", "an IPv6 address keeps its brackets"),
            (&[host("cairn_1:9984")],                              "ws://cairn_1:9985/…",     "containers have such names"),
            (&[host("a.example"), ("x-forwarded-proto", "https")], "wss://a.example/…",       "a proxy ends TLS and keeps the host"),
            (&[host("inner:9984"), ("x-forwarded-host", "a.example"), ("x-forwarded-proto", "HTTPS")], "wss://a.example/…", "it passed on another host"),
            (&[host("inner:9984"), ("x-forwarded-host", "a.example:8443, b.example"), ("x-forwarded-proto", "https, http")], "wss://a.example:8443/…", "of two proxies, what the first one was asked"),
            (&[host("inner:9984"), ("x-forwarded-host", "a.example:8080")], "ws://a.example:8080/…", "no TLS that anybody speaks of"),
            (&[host("inner:9984"), ("forwarded", "for=192.0.2.1;Host=\"a.example:444\";proto=https, for=10.0.0.1;host=b")], "wss://a.example:444/…", "RFC 7239, quoted, in any case"),
            (&[("forwarded", "host=a.example"), ("x-forwarded-host", "b.example")], "ws://a.example/…", "the standard wins"),
            (&[host("a.example"), ("x-forwarded-host", "b\"><script>")], "ws://a.example:9985/…", "what is no host is not repeated"),
            (&[host("a.example"), ("x-forwarded-host", "b.example/@c")], "ws://a.example:9985/…", "nor a path, nor a user"),
            (&[host("a.example:99999")],                           "ws://localhost:9985/…",   "nor a port that is none"),
            (&[host("a.example:0")],                               "ws://localhost:9985/…",   "nor port 0"),
            (&[host("[::1")],                                      "ws://localhost:9985/…",   "nor half an address"),
            (&[host("[nonsense]")],                                "ws://localhost:9985/…",   "nor brackets around anything"),
            (&[host(""), ("x-forwarded-proto", "gopher")],         "ws://localhost:9985/…",   "nor a scheme that is none"),
        ];
        for (headers, wanted, why) in table {
            assert_eq!(&told(&settings, "/", headers), wanted, "{why}: {headers:?}");
        }
        let long = "a".repeat(HOST_BYTES_MAX + 1);
        assert_eq!(told(&settings, "/", &[host(&long)]), "ws://localhost:9985/…");
        let whole = told(&settings, "http://a.example:9984/", &[host("b.example")]);
        assert_eq!(whole, "ws://a.example:9985/…", "a whole address in the first line wins");
    }

    #[test]
    fn what_people_chose_goes_first() {
        let advertised = "wss://events.example/v1".to_owned();
        let chosen = ApiSettings {
            advertised_streams_url: Some(advertised.clone()),
            ..ApiSettings::default()
        };
        assert_eq!(told(&chosen, "/", &[("x-forwarded-host", "a.example")]), advertised);
        let secure = ApiSettings { tls: true, ..ApiSettings::default() };
        assert_eq!(told(&secure, "/", &[("host", "a.example:9984")]), "wss://a.example:9985/…");
    }
}
