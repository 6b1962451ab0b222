//! Who is let in, who is turned away, and what each of them reads.

use std::{net::SocketAddr, path::PathBuf};

use super::{followed::Lines, *};
use crate::api::{
    access::{AccessSettings, Origins, Rate, Rates, Rights, generate},
    server::Caller,
};

fn world(settings: AccessSettings) -> World {
    let access = Access::open(settings).unwrap();
    World::of(IntakeLimits::default(), ApiSettings { access, ..ApiSettings::default() })
}

/// A file with a key that may read, and one that may write.
struct KeyFile {
    path: PathBuf,
    reader: String,
    writer: String,
}

impl KeyFile {
    fn new(test: &str) -> Self {
        let [(reader, reads), (writer, writes)] = ["reader", "writer"].map(generate);
        let reads = reads.replace(" }", ", rights = ['read'] }");
        let name = format!("cairn-access-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, format!("{reads}\n{writes}\n")).unwrap();
        Self { path, reader, writer }
    }

    fn settings(&self) -> AccessSettings {
        let keys = Some(self.path.clone());
        AccessSettings { keys, anonymous: Rights::NONE, ..AccessSettings::default() }
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A request as it comes by a socket, from that address.
fn request(from: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let from: SocketAddr = from.parse().unwrap();
    request.extension(Caller(from)).body(Body::empty()).unwrap()
}

const HERE: &str = "192.0.2.1:4711";

#[tokio::test]
async fn each_key_opens_what_it_is_for() {
    let file = KeyFile::new("rights");
    let world = world(file.settings());
    let bearer = |key: &str| ("authorization", format!("Bearer {key}"));
    let (reader, writer) = (bearer(&file.reader), bearer(&file.writer));
    let own = ("cairn-key", file.reader.clone());
    let wrong = bearer("cairn_nobody");
    let basic = ("authorization", "Basic YWxpY2U6c2VjcmV0".to_owned());
    let none = ("accept", "*/*".to_owned());
    let bad = "error=\"invalid_token\"";
    let few = "error=\"insufficient_scope\"";
    let stream = format!("/api/v1/streams/nothing?access_token={}", file.reader);
    let query = format!("/api/v1/blocks/9?access_token={}", file.reader);
    #[rustfmt::skip]
    let table = [
        ("GET",    "/api/v1/",                &none,   200, "",    "says what there is"),
        ("GET",    "/api/v1/blocks/9",        &none,   401, "cairn", "who are you?"),
        ("GET",    "/api/v2/transactions/x",  &none,   401, "cairn", "who are you?"),
        ("GET",    "/nowhere",                &none,   401, "cairn", "nor what is not there"),
        ("GET",    "/api/v1/blocks/9",        &wrong,  401, bad,   "a key of nobody"),
        ("GET",    "/api/v1/blocks/9",        &basic,  401, "cairn", "a scheme that is none of ours"),
        ("GET",    "/api/v1/",                &wrong,  401, bad,   "a wrong key is wrong everywhere"),
        ("GET",    "/api/v1/blocks/9",        &reader, 404, "",    "let in: there is no such block"),
        ("GET",    "/api/v1/blocks/9",        &own,    404, "",    "in its own header"),
        ("POST",   "/api/v2/transactions",    &reader, 403, few,   "may not write"),
        ("POST",   "/api/v1/transactions",    &reader, 403, few,   "may not write"),
        ("POST",   "/api/v1/transactions",    &writer, 400, "",    "let in: the body is empty"),
        ("DELETE", "/api/v1/transactions",    &writer, 405, "",    "let in: not served"),
        ("GET",    query.as_str(),            &none,   401, "cairn", "a query is no place for a key"),
        ("GET",    stream.as_str(),           &none,   404, "",    "but on a stream it is: there is none of that name"),
    ];
    for (method, path, (name, value), status, challenge, why) in table {
        let headers = [(*name, value.as_str())];
        let reply = ask(&world.router, request(HERE, method, path, &headers)).await;
        assert_eq!(reply.status.as_u16(), status, "{method} {path}: {why}: {}", reply.text);
        assert!(reply.header("www-authenticate").contains(challenge), "{path}: {why}");
        assert_eq!(reply.header("www-authenticate").is_empty(), challenge.is_empty(), "{why}");
        let said = reply.json();
        if status == 401 || status == 403 {
            let code = if status == 401 { "UNAUTHORIZED" } else { "FORBIDDEN" };
            let v2 = path.starts_with("/api/v2");
            assert_eq!(said["status"], status, "{said}");
            assert_eq!(said["code"] == code, v2, "each in its own shape: {said}");
            assert_eq!(said["message"].is_string(), !v2, "{said}");
        }
        assert!(!reply.text.contains("cairn_"), "no key is repeated: {}", reply.text);
    }
}

#[tokio::test]
async fn who_says_nothing_may_do_what_was_set() {
    let file = KeyFile::new("anonymous");
    let settings =
        AccessSettings { anonymous: Rights { read: true, write: false }, ..file.settings() };
    let world = world(settings);
    let ask_for = async |method: &str, path: &str| {
        ask(&world.router, request(HERE, method, path, &[])).await.status.as_u16()
    };
    assert_eq!(ask_for("GET", "/api/v1/blocks/9").await, 404);
    assert_eq!(ask_for("POST", "/api/v1/transactions").await, 401);
}

const SLOW: Rates = Rates { requests: Some(Rate { per_second: 1, burst: 2 }), transactions: None };

#[tokio::test]
async fn an_address_that_asks_too_often_is_told_when_to_come_back() {
    let proxies = vec!["10.0.0.0/8".parse().unwrap()];
    let world = world(AccessSettings { address_rates: SLOW, proxies, ..AccessSettings::default() });
    let far = ("x-forwarded-for", "198.51.100.7");
    #[rustfmt::skip]
    let table = [
        ("192.0.2.1:1",       "/api/v1/",                None,      200, "the first of two"),
        ("192.0.2.1:2",       "/api/v1/",                None,      200, "the second, from another port"),
        ("192.0.2.1:3",       "/api/v1/",                None,      429, "the third"),
        ("192.0.2.1:3",       "/api/v2/transactions/x",  Some(far), 429, "no stranger is believed"),
        ("192.0.2.2:3",       "/api/v1/",                None,      200, "another address"),
        ("[2001:db8::1]:1",   "/api/v1/",                None,      200, "IPv6"),
        ("[2001:db8::2]:1",   "/api/v1/",                None,      200, "the same /64"),
        ("[2001:db8::3]:1",   "/api/v1/",                None,      429, "the same /64"),
        ("10.1.1.1:1",        "/api/v1/",                Some(far), 200, "by a proxy"),
        ("10.1.1.2:1",        "/api/v1/",                Some(far), 200, "by another"),
        ("198.51.100.7:1",    "/api/v1/",                None,      429, "and directly: it is the same client"),
    ];
    for (from, path, header, status, why) in table {
        let headers: Vec<_> = header.into_iter().collect();
        let reply = ask(&world.router, request(from, "GET", path, &headers)).await;
        assert_eq!(reply.status.as_u16(), status, "{from} {path}: {why}");
        if status == 429 {
            assert_eq!(reply.header("retry-after"), "1", "{why}");
            let said = reply.json();
            assert_eq!(said["status"], 429);
            assert_eq!(said["code"] == "RATE_LIMITED", path.starts_with("/api/v2"), "{said}");
        }
    }
    let preflight = ask(&world.router, request("192.0.2.1:9", "OPTIONS", "/api/v1/", &[])).await;
    assert_eq!(preflight.status, StatusCode::OK, "asking whether one may ask costs nothing");
}

#[tokio::test]
async fn a_key_pays_wherever_it_is_used_and_a_batch_pays_for_each_transaction() {
    let file = KeyFile::new("rates");
    let transactions = Some(Rate { per_second: 1, burst: 3 });
    let key_rates = Rates { requests: None, transactions };
    let world = world(AccessSettings { key_rates, ..file.settings() });
    let post = async |from: &str, path: &str, body: String| {
        let writer = format!("Bearer {}", file.writer);
        let headers = [("authorization", writer.as_str()), ("content-type", "application/json")];
        let request = request(from, "POST", path, &headers).map(|_| Body::from(body));
        ask(&world.router, request).await
    };
    let one = |n: u32| {
        let owner = key(n);
        let made = create(&owner, "", &[(&[owner.public()], 1)]);
        String::from_utf8(made.bytes.to_vec()).unwrap()
    };
    let many = format!("[{},{},{}]", one(1), one(2), one(3));
    let reply = post("192.0.2.1:1", "/api/v2/transactions", many).await;
    assert_eq!(reply.status, StatusCode::OK, "three are in the bucket: {}", reply.text);
    for path in ["/api/v2/transactions", "/api/v1/transactions"] {
        let reply = post("192.0.2.2:1", path, one(4)).await;
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS, "{path}: {}", reply.text);
        assert_eq!(reply.header("retry-after"), "1");
    }
    let reader = format!("Bearer {}", file.reader);
    let headers = [("authorization", reader.as_str())];
    let reply = ask(&world.router, request(HERE, "GET", "/api/v1/blocks/9", &headers)).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND, "reading goes on");
}

#[tokio::test]
async fn pages_of_listed_origins_may_ask_and_others_may_not() {
    let listed = "https://app.example";
    let origins = Origins::Only(vec![listed.to_owned()]);
    let world = world(AccessSettings { origins, ..AccessSettings::default() });
    #[rustfmt::skip]
    let table = [
        ("GET",     "/api/v1/",               Some(listed),                 listed, "v1"),
        ("GET",     "/api/v2/transactions/x", Some(listed),                 listed, "an error too"),
        ("OPTIONS", "/api/v2/transactions",   Some(listed),                 listed, "asks first"),
        ("OPTIONS", "/api/v2/transactions",   Some("https://evil.example"), "",     "asks in vain"),
        ("GET",     "/api/v1/",               Some("https://evil.example"), "",     "did not ask"),
        ("GET",     "/api/v1/",               None,                         "",     "no page"),
    ];
    for (method, path, origin, allowed, why) in table {
        let headers: Vec<_> = origin.map(|origin| ("origin", origin)).into_iter().collect();
        let reply = ask(&world.router, request(HERE, method, path, &headers)).await;
        assert_eq!(reply.header("access-control-allow-origin"), allowed, "{why}");
        assert_eq!(reply.header("vary"), "origin", "{why}");
    }
}

#[tokio::test]
async fn a_request_has_one_name_in_header_and_problem() {
    let world = World::new();
    for (given, kept) in [
        ("order-4711.a_B", true),
        ("with space", false),
        ("<script>", false),
        (&"a".repeat(65), false),
        ("", false),
    ] {
        let asked = request(HERE, "GET", "/api/v2/transactions/x", &[("x-request-id", given)]);
        let reply = ask(&world.router, asked).await;
        let name = reply.header("x-request-id");
        assert_eq!(reply.json()["request_id"], name, "{given}");
        assert_eq!(name == given, kept, "{given}: {name}");
        assert!(
            !name.is_empty()
                && reply.header("access-control-expose-headers").contains("x-request-id")
        );
    }
    let [one, other] = [world.get("/api/v1/").await, world.get("/api/v1/").await];
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
}

#[tokio::test]
async fn work_that_takes_too_long_is_given_up_and_too_much_at_a_time_is_refused() {
    let settings = AccessSettings {
        request_timeout: Duration::from_millis(300),
        requests: 1,
        ..AccessSettings::default()
    };
    let world = world(settings);
    world.order.stuck.store(true, Ordering::SeqCst);
    let owner = key(1);
    let made = create(&owner, "", &[(&[owner.public()], 1)]);
    let asked = request(HERE, "POST", "/api/v1/transactions?mode=commit", &[]);
    let asked = asked.map(|_| Body::from(made.bytes.to_vec()));
    let router = world.router.clone();
    let slow = tokio::spawn(async move { ask(&router, asked).await });
    while world.api.intake.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let other = world.get("/api/v2/transactions/x").await;
    assert_eq!(other.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        (other.json()["code"].as_str(), other.header("retry-after")),
        (Some("RATE_LIMITED"), "1")
    );
    let slow = slow.await.unwrap();
    assert_eq!(slow.status, StatusCode::SERVICE_UNAVAILABLE, "{}", slow.text);
    assert!(slow.text.contains("may still happen"), "{}", slow.text);
    assert_eq!(world.get("/api/v1/").await.status, StatusCode::OK, "its place is free again");
}

#[tokio::test]
async fn a_body_is_no_larger_than_was_set_whatever_the_route_takes() {
    let world = world(AccessSettings { body_bytes: 1000, ..AccessSettings::default() });
    for path in ["/api/v1/transactions", "/api/v2/transactions"] {
        let reply = world.send("POST", path, "application/json", " ".repeat(1001)).await;
        assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        let reply = world.send("POST", path, "application/json", " ".repeat(1000)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path}: empty");
    }
}

#[tokio::test]
async fn a_logged_line_tells_the_request_and_no_secret() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().json().with_writer(lines.clone()).finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let file = KeyFile::new("log");
    let world = world(AccessSettings { log: true, ..file.settings() });
    let bearer = format!("Bearer {}", file.writer);
    let body = "{\"diary\":\"a secret\"}";
    let path = "/api/v2/transactions?wait=committed";
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("x-request-id", "mine"),
    ];
    let asked = request(HERE, "POST", path, &headers).map(|_| Body::from(body));
    let reply = ask(&world.router, asked).await;
    let stream = format!("/api/v1/streams/nothing?access_token={}", file.reader);
    ask(&world.router, request(HERE, "GET", &stream, &[])).await;

    let text = lines.text();
    let logged: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(logged.len(), 2, "{text}");
    let line = &logged[0];
    assert_eq!((&line["target"], &line["level"]), (&json!("cairn::access"), &json!("INFO")));
    let wanted = json!({
        "message": "request", "method": "POST", "route": "v2/transactions",
        "status": reply.status.as_u16(), "bytes": reply.text.len(), "whole": true,
        "ms": line["fields"]["ms"], "client": "192.0.2.1", "key": "writer", "request_id": "mine",
    });
    assert_eq!(line["fields"], wanted);
    assert_eq!(logged[1]["fields"]["key"], "reader");
    for secret in [file.writer.as_str(), file.reader.as_str(), "diary", "committed"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}
