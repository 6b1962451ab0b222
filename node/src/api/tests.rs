//! Whole requests and whole answers, over a store in memory and a log that decides at once.

use std::sync::{
    OnceLock, Weak,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use cairn_ledger::{
    ids::{Position, TransactionId},
    json::Strictness,
    transaction,
};
use parking_lot::Mutex;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::Service as _;

use super::*;
use crate::{
    intake::{IntakeLimits, Lookup},
    mesh::Peer,
    order::{AppendError, Batch, Lead, Order, Ordered, ReadError},
    store::{Store, memory::MemoryStore},
    testing::{Federation, Signed, create, key, transfer},
    traces::Seen,
};

mod access;
mod bad_input;
mod elections;
mod followed;
mod reads;
mod receipts;
mod streams;
mod v1_table;

/// A log whose every batch is a block before the append returns; or none, while it is stuck.
struct Instant {
    federation: Federation,
    store: Arc<MemoryStore>,
    intake: OnceLock<Weak<Intake>>,
    stuck: AtomicBool,
}

#[async_trait]
impl Order for Instant {
    async fn append(&self, batch: &Batch) -> Result<Position, AppendError> {
        if self.stuck.load(Ordering::SeqCst) {
            return Err(AppendError::Unavailable("there is no leader".to_owned()));
        }
        let block = self.federation.commit(&*self.store, &batch.transactions);
        let id = |bytes: &Arc<[u8]>| {
            transaction::parse(Arc::clone(bytes), Strictness::Strict).ok().map(|t| t.id())
        };
        let ids: Vec<Option<TransactionId>> = batch.transactions.iter().map(id).collect();
        self.intake.get().unwrap().upgrade().unwrap().decided(&block, &ids, &Seen::default());
        Ok(block.header.order_to)
    }
    async fn read(&self, _: Position, _: usize) -> Result<Vec<Ordered>, ReadError> {
        Ok(Vec::new())
    }
    fn end(&self) -> watch::Receiver<Position> {
        watch::Sender::new(Position(0)).subscribe()
    }
    async fn release(&self, _: Position) {}
    fn is_durable_here(&self) -> bool {
        true
    }
    fn lead(&self, _: &[Peer]) -> Lead {
        Lead::Here
    }
    fn describe(&self) -> String {
        "decides at once".to_owned()
    }
    async fn stop(&self) {}
}

struct World {
    order: Arc<Instant>,
    store: Arc<MemoryStore>,
    status: watch::Sender<NodeStatus>,
    others: Arc<Others>,
    api: Arc<Api>,
    router: Router,
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn ask(router: &Router, request: Request<Body>) -> Reply {
    let response = router.clone().call(request).await.unwrap();
    let (head, body) = response.into_parts();
    let text = to_bytes(body, usize::MAX).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    Reply { status: head.status, headers: head.headers, text }
}

/// What a quorum of others says, if one answers.
#[derive(Debug)]
struct Others(Mutex<Option<Height>>);

#[async_trait::async_trait]
impl Frontier for Others {
    async fn find(&self) -> Option<Height> {
        *self.0.lock()
    }
}

impl World {
    fn new() -> Self {
        Self::with(IntakeLimits::default(), Duration::from_secs(30))
    }

    fn with(limits: IntakeLimits, commit_timeout: Duration) -> Self {
        Self::of(limits, ApiSettings { commit_timeout, ..ApiSettings::default() })
    }

    fn streaming(streams: StreamLimits) -> Self {
        Self::of(IntakeLimits::default(), ApiSettings { streams, ..ApiSettings::default() })
    }

    fn of(limits: IntakeLimits, settings: ApiSettings) -> Self {
        Self::traced(limits, settings, Traces::off())
    }

    /// Where the days of some transactions are followed.
    fn traced(limits: IntakeLimits, settings: ApiSettings, traces: Arc<Traces>) -> Self {
        let federation = Federation::new(4);
        let genesis = Arc::clone(&federation.genesis);
        let store = Arc::new(MemoryStore::new(&genesis));
        let order = Arc::new(Instant {
            federation,
            store: Arc::clone(&store),
            intake: OnceLock::new(),
            stuck: AtomicBool::new(false),
        });
        let metrics = Arc::new(Metrics::new());
        let lookup: Lookup = Box::new(|_| None);
        let log = Arc::clone(&order) as Arc<dyn Order>;
        let intake = Intake::start_with(log, limits, Arc::clone(&metrics), lookup);
        order.intake.set(Arc::downgrade(&intake)).unwrap();
        let query = Arc::new(Query::new(Arc::clone(&store) as Arc<dyn Store>, genesis));
        let status = watch::Sender::new(NodeStatus::default());
        let search = Arc::new(Search::over(Arc::clone(&store) as Arc<dyn Store>));
        let status_read = status.subscribe();
        let others = Arc::new(Others(Mutex::new(Some(Height(0)))));
        let api = Api::open(ApiParts {
            query,
            search,
            intake,
            metrics,
            traces,
            status: status_read,
            frontier: Arc::clone(&others) as Arc<dyn Frontier>,
            stood: Height(0),
            settings,
        });
        let router = api.router();
        Self { order, store, status, others, api, router }
    }

    /// How long answers wait for a height, from now on.
    fn set_patience(&mut self, patience: Duration) {
        self.reopen(patience, Height(0));
    }

    fn reopen(&mut self, patience: Duration, stood: Height) {
        let Api { query, search, intake, metrics, traces, status, settings, .. } = &*self.api;
        let settings =
            ApiSettings { height_patience: patience, input_patience: patience, ..settings.clone() };
        self.api = Api::open(ApiParts {
            query: Arc::clone(query),
            search: Arc::clone(search),
            intake: Arc::clone(intake),
            metrics: Arc::clone(metrics),
            traces: Arc::clone(traces),
            status: status.clone(),
            frontier: Arc::clone(&self.others) as Arc<dyn Frontier>,
            stood,
            settings,
        });
        self.router = self.api.router();
    }

    async fn send(&self, method: &str, path: &str, kind: &str, body: impl Into<Body>) -> Reply {
        let request = Request::builder().method(method).uri(path);
        let request = if kind.is_empty() { request } else { request.header("content-type", kind) };
        ask(&self.router, request.body(body.into()).unwrap()).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "", Body::empty()).await
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> Reply {
        self.send("POST", path, "application/json", body).await
    }

    /// The genesis, as an auditor has it.
    fn trusted(&self) -> cairn_verifier::Genesis {
        let file = self.order.federation.genesis.to_json();
        cairn_verifier::Genesis::read(file.as_bytes()).unwrap()
    }

    /// The admin port, of a chain or before there is one.
    fn door(&self, founded: bool) -> Router {
        let genesis = Arc::clone(&self.order.federation.genesis);
        let first = &genesis.validators()[0];
        Admin {
            identity: Identity {
                validator: first.name.clone(),
                consensus_key: first.consensus_key,
                member_key: first.member_key,
            },
            genesis: founded.then_some(genesis),
            status: self.status.subscribe(),
            metrics: Arc::clone(&self.api.metrics),
            intake: founded.then(|| Arc::clone(&self.api.intake)),
        }
        .router()
    }

    async fn admin(&self, path: &str) -> Reply {
        let request = Request::get(path).body(Body::empty()).unwrap();
        ask(&self.door(true), request).await
    }

    /// Commits through v1.
    async fn commit(&self, signed: &Signed) {
        let reply = self.post("/api/v1/transactions?mode=commit", signed.bytes.to_vec()).await;
        assert_eq!((reply.status, reply.text), (StatusCode::ACCEPTED, text(signed)));
    }
}

fn text(signed: &Signed) -> String {
    String::from_utf8(signed.bytes.to_vec()).unwrap()
}

/// One token of an asset, to key 1.
fn asset(note: &str) -> Signed {
    create(&key(1), note, &[(&[key(1).public()], 1)])
}

/// That token, from key 1 to another.
fn given(asset: &Signed, to: u32) -> Signed {
    transfer(asset.id, &[(&key(1), asset.output(0))], &[(&[key(to).public()], 1)])
}

/// With a signature of the right form that holds for nothing.
fn spoiled(signed: &Signed) -> String {
    use sha3::{Digest, Sha3_256};
    let text = text(signed);
    let at = text.find("pGSA").unwrap() + 100;
    let digit = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
    let mut text = format!("{}{digit}{}", &text[..at], &text[at + 1..]);
    let unnamed = text.replace(&format!(r#""id":"{}""#, signed.id), r#""id":null"#);
    let id = TransactionId(Sha3_256::digest(unnamed).into());
    text = text.replace(&format!(r#""id":"{}""#, signed.id), &format!(r#""id":"{id}""#));
    text
}

const NO_SUCH: &str = r#"{"message":"Not found","status":404}"#;

#[tokio::test]
async fn an_asset_is_made_given_away_and_read_back() {
    let world = World::new();
    let made = asset("a");
    let moved = given(&made, 2);
    world.commit(&made).await;
    world.commit(&moved).await;
    let (a, b) = (text(&made), text(&moved));
    let (one, two) = (key(1).public(), key(2).public());
    let output = |of: &Signed| format!(r#"[{{"output_index":0,"transaction_id":"{}"}}]"#, of.id);
    let by = |rest: &str| format!("/api/v1/transactions?asset_id={}{rest}", made.id);
    #[rustfmt::skip]
    let table = [
        (format!("/api/v1/transactions/{}", made.id),       a.clone(),             "as it came"),
        (format!("/api/v1/transactions/{}/", made.id),      a.clone(),             "a slash at the end is free"),
        (by(""),                                            format!("[{a},{b}]"),  "CREATE, then TRANSFER"),
        (by("&operation=create"),                           format!("[{a}]"),      "in any case"),
        (by("&operation=TRANSFER"),                         format!("[{b}]"),      "the others"),
        (by("&last_tx=true"),                               format!("[{b}]"),      "the newest"),
        (by("&last_tx=true&operation=CREATE"),              format!("[{a}]"),      "the newest CREATE"),
        (by(&"&last_tx=false".to_uppercase().to_lowercase()), format!("[{a},{b}]"), "not only the newest"),
        (format!("/api/v1/transactions?asset_id={}", made.id.to_string().to_uppercase()), format!("[{a},{b}]"), "hashes in any case"),
        (format!("/api/v1/transactions?asset_id={}", moved.id), format!("[{b}]"),   "a TRANSFER names itself"),
        (format!("/api/v1/outputs?public_key={one}"),       output(&made),         "spent ones too"),
        (format!("/api/v1/outputs?public_key={one}&spent=true"),  output(&made),   "only spent ones"),
        (format!("/api/v1/outputs?public_key={one}&spent=false"), "[]".to_owned(), "nothing is left"),
        (format!("/api/v1/outputs?public_key={two}&spent=false"), output(&moved),  "it is there now"),
        (format!("/api/v1/outputs?public_key={}", "z".repeat(44)), "[]".to_owned(), "looks like a key and is none"),
        ("/api/v1/blocks/1".to_owned(),                     format!(r#"{{"height":1,"transactions":[{a}]}}"#), "a block"),
        (format!("/api/v1/blocks?transaction_id={}", moved.id), "[2]".to_owned(),  "where it is"),
        ("/api/v1/blocks/?transaction_id=nonsense".to_owned(), "[]".to_owned(),    "nowhere"),
    ];
    for (path, body, why) in table {
        let reply = world.get(&path).await;
        assert_eq!(
            (reply.status, reply.text.as_str()),
            (StatusCode::OK, body.as_str()),
            "{why}: {path}"
        );
        assert_eq!(reply.header("cairn-height"), "2", "{path}");
        assert_eq!(reply.header("access-control-allow-origin"), "*", "{path}");
        assert_eq!(reply.header("content-type"), "application/json", "{path}");
    }
}

/// Behind one Service the next request may reach a validator that is a block behind the one which
/// said "committed".
#[tokio::test]
async fn a_transaction_waits_until_this_validator_is_level_with_the_others() {
    let mut world = World::new();
    world.set_patience(Duration::from_secs(60));
    let alone = async |move_of: &Signed| {
        let path = "/api/v1/transactions?mode=commit";
        world.post(path, text(move_of)).await.status == StatusCode::ACCEPTED
    };
    let with_others = async |move_of: &Signed| {
        let path = "/api/v2/transactions?wait=committed";
        let batch = format!("[{},{}]", text(move_of), text(&asset("beside")));
        let reply = world.post(path, batch).await;
        reply.json().as_array().unwrap().iter().all(|item| item["status"] == "committed")
    };
    let (first, second) = (asset("first"), asset("second"));
    let (first_moves, second_moves) = (given(&first, 2), given(&second, 2));
    let soon = async |made: &Signed| {
        *world.others.0.lock() = Some(world.api.query.height().next());
        // The move has been asked for and is not refused yet by then.
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.commit(made).await;
    };
    let ((), went) = tokio::join!(soon(&first), alone(&first_moves));
    assert!(went, "a single one");
    let ((), went) = tokio::join!(soon(&second), with_others(&second_moves));
    assert!(went, "one of a batch");
}

/// A transaction is refused for what it spends only by who knows that it is nowhere.
#[tokio::test]
async fn who_cannot_be_level_with_the_others_refuses_nothing_for_what_it_spends() {
    let mut world = World::new();
    world.set_patience(Duration::from_millis(20));
    world.commit(&asset("here")).await;
    let lost = given(&asset("elsewhere"), 2);
    let stands = world.api.query.height();
    let (sure, unsure) = ((400, "INPUT_NOT_FOUND"), (503, "NOT_CURRENT"));
    let table = [
        (None, unsure, "no quorum answers"),
        (Some(Height(99)), unsure, "others decide what is not here"),
        (Some(stands), sure, "nobody has it"),
    ];
    let refused = &world.api.metrics.refused.with_label_values(&["INPUT_NOT_FOUND"]);
    for (others, want, why) in table {
        *world.others.0.lock() = others;
        let counted = refused.get();
        let v1 = world.post("/api/v1/transactions", text(&lost)).await;
        assert_eq!(v1.status, want.0, "{why}: {}", v1.text);
        let v2 = world.post("/api/v2/transactions", text(&lost)).await;
        assert_eq!((v2.status.as_u16(), &v2.json()["code"]), (want.0, &json!(want.1)), "{why}");
        let fresh = asset(&format!("beside {others:?}"));
        let batch = format!("[{},{}]", text(&lost), text(&fresh));
        let batch = world.post("/api/v2/transactions?wait=committed", batch).await.json();
        assert_eq!(batch[0]["reason"]["code"], json!(want.1), "{why}: {batch}");
        assert_eq!(batch[1]["status"], "committed", "{why}: {batch}");
        let (times, retry) = if want == sure { (3, "") } else { (0, "1") };
        assert_eq!((refused.get() - counted, v2.header("retry-after")), (times, retry), "{why}");
    }
}

/// A store that was put back to an earlier moment answers as if the rest had never been.
#[tokio::test]
async fn a_ledger_that_is_shorter_than_it_was_tells_nothing_until_it_is_as_long_again() {
    let mut world = World::new();
    let made = asset("made");
    world.commit(&made).await;
    let stands = world.api.query.height();
    world.reopen(Duration::from_secs(1), stands.next());
    let id = made.id;
    let told = [
        format!("/api/v1/transactions/{id}"),
        "/api/v1/blocks/1".to_owned(),
        format!("/api/v2/transactions/{id}"),
        "/api/v2/blocks/1".to_owned(),
    ];
    for path in &told {
        let reply = world.get(path).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {}", reply.text);
        assert_eq!(reply.header("retry-after"), "1", "{path}");
    }
    let posted = world.post("/api/v2/transactions", text(&asset("posted"))).await;
    assert_eq!(posted.json()["code"], "NOT_CURRENT");
    for path in ["/", "/api/v1", "/api/v1/validators", "/api/v2/status", "/api/v2/openapi.json"] {
        assert_eq!(world.get(path).await.status, StatusCode::OK, "{path}");
    }
    world.order.federation.commit(&*world.store, &[asset("another").bytes]);
    for path in &told {
        assert_eq!(world.get(path).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn what_upstream_turns_away_hears_upstreams_words() {
    let world = World::new();
    let made = asset("a");
    world.commit(&made).await;
    world.commit(&given(&made, 2)).await;
    let elsewhere = asset("never sent");
    let unknown = given(&elsewhere, 2);
    let id = made.id;
    let wrong_id = text(&asset("b")).replace(&asset("b").id.to_string(), &id.to_string());
    let message = |text: String| json!({"message": text, "status": 400});
    let invalid = |why: String| message(format!("Invalid transaction {why}"));
    #[rustfmt::skip]
    let table = [
        (text(&made),            invalid(format!("(DuplicateTransaction): transaction `{id}` already exists")), "again"),
        (text(&given(&made, 3)), invalid(format!("(DoubleSpend): input `{id}` was already spent")), "spent twice"),
        (text(&unknown),         invalid(format!("(InputDoesNotExist): input `{}` doesn't exist", elsewhere.id)), "out of nothing"),
        (spoiled(&unknown),      invalid(format!("(InputDoesNotExist): input `{}` doesn't exist", elsewhere.id)), "before its signature is named"),
        (spoiled(&asset("c")),   invalid("(InvalidSignature): Transaction signature is invalid.".to_owned()), "not signed"),
        (wrong_id,               invalid(format!("(InvalidHash): The transaction's id '{id}' isn't equal to the hash of its body, i.e. it's not valid.")), "another's name"),
    ];
    for (body, answer, why) in table {
        for mode in ["async", "sync", "commit"] {
            let reply =
                world.post(&format!("/api/v1/transactions?mode={mode}"), body.clone()).await;
            assert_eq!(
                (reply.status, reply.json()),
                (StatusCode::BAD_REQUEST, answer.clone()),
                "{why}"
            );
        }
    }
    let reply = world.post("/api/v1/transactions", r#"{"id":"x"}"#).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    for body in ["", "{", "[1]", "nothing", "\u{0}", "{}{}"] {
        let reply = world.post("/api/v1/transactions", body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(reply.text.starts_with(r#"{"message":""#), "{body}: {}", reply.text);
        assert!(reply.text.ends_with(r#"","status":400}"#), "{body}: {}", reply.text);
    }
}

#[tokio::test]
async fn parameters_are_named_as_upstream_names_them() {
    let world = World::new();
    let missing =
        "Missing required parameter in the JSON body or the post body or the query string";
    let boolean = r#"Boolean value must be "true" or "false" (lowercase)"#;
    let hash = "a".repeat(64);
    let key = key(1).public();
    let one = |name: &str, text: &str| json!({"message": {name: text}});
    #[rustfmt::skip]
    let table = [
        ("GET", "transactions".to_owned(),                            one("asset_id", missing)),
        ("GET", "transactions?asset_id=abc".to_owned(),               one("asset_id", "Invalid hash")),
        ("GET", format!("transactions?asset_id={hash}&operation=x"),  one("operation", r#"Operation must be "CREATE" or "TRANSFER""#)),
        ("GET", format!("transactions?asset_id={hash}&last_tx=yes"),  one("last_tx", boolean)),
        ("POST", "transactions?mode=quick".to_owned(),                one("mode", r#"Mode must be "async", "sync" or "commit""#)),
        ("GET", "outputs".to_owned(),                                 one("public_key", missing)),
        ("GET", "outputs?public_key=O0Il".to_owned(),                 one("public_key", "Invalid base58 ed25519 key")),
        ("GET", format!("outputs?public_key={key}&spent=1"),          one("spent", boolean)),
        ("GET", format!("outputs?public_key={key}&foo=1"),            json!({"message": "Unknown arguments: foo"})),
        ("GET", "blocks".to_owned(),                                  one("transaction_id", missing)),
        ("GET", format!("blocks?transaction_id={hash}&x=1&y=2"),      json!({"message": "Unknown arguments: x, y"})),
    ];
    for (method, path, answer) in table {
        let reply = world.send(method, &format!("/api/v1/{path}"), "", Body::empty()).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::BAD_REQUEST, answer), "{path}");
    }
}

#[tokio::test]
async fn paths_that_lead_nowhere_and_methods_that_are_not_served() {
    let world = World::new();
    for path in [
        "/nowhere",
        "/api/v1/nowhere",
        "/api/v1/transactions/x",
        "/api/v1/blocks/one",
        "/api/v1/blocks/-1",
        "/api/v1/blocks/+1",
        "/api/v1/blocks/1",
        "/api/v1/blocks/99999999999999999999",
        "/api//v1",
        "/api/v1/../etc/passwd",
        "/api/v1/transactions/%00",
    ] {
        let reply = world.get(path).await;
        assert_eq!((reply.status, reply.text.as_str()), (StatusCode::NOT_FOUND, NO_SUCH), "{path}");
    }
    let missing = format!("/api/v1/transactions/{}", "a".repeat(64));
    assert_eq!(world.get(&missing).await.text, NO_SUCH);
    for (method, path, allow) in [
        ("DELETE", "/api/v1/transactions", "GET,HEAD,POST"),
        ("POST", "/api/v1/blocks", "GET,HEAD"),
        ("GET", "/api/v2/transactions", "POST"),
    ] {
        let reply = world.send(method, path, "", Body::empty()).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(reply.header("allow"), allow, "{path}");
    }
    let reply = world.send("OPTIONS", "/api/v1/transactions", "", Body::empty()).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("access-control-allow-methods"), "GET, HEAD, OPTIONS, POST");
}

#[tokio::test]
async fn the_index_and_the_validators_are_upstreams() {
    let world = World::new();
    let root = world.get("/").await.json();
    assert_eq!(root["software"], "BigchainDB");
    assert_eq!(root["version"], "2.2.2");
    assert_eq!(root["api"]["v1"]["transactions"], "/api/v1/transactions/");
    assert_eq!(root["api"]["v1"]["validators"], "/api/v1/validators");
    for path in ["/api/v1", "/api/v1/"] {
        let index = world.get(path).await.json();
        assert_eq!(index["transactions"], "/transactions/");
        assert_eq!(index["streams"], "ws://localhost:9985/api/v1/streams/valid_transactions");
    }
    let validators = world.get("/api/v1/validators").await.json();
    assert_eq!(validators.as_array().unwrap().len(), 4);
    assert_eq!(validators[0]["public_key"]["type"], "ed25519-base64");
    assert_eq!(validators[0]["public_key"]["value"].as_str().unwrap().len(), 44);
    assert_eq!(validators[0]["voting_power"], 1);
}

#[tokio::test]
async fn bodies_are_bounded_by_what_they_say_and_by_what_they_are() {
    let world = World::new();
    let v1 = "/api/v1/transactions";
    let reply = world.post(v1, "x".repeat(1024 * 1024 + 1)).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(reply.header("connection"), "close");
    let request = Request::post(v1).header("content-length", "9999999");
    let reply = ask(&world.router, request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    let reply = world.post("/api/v2/transactions", " ".repeat(4 * 1024 * 1024 + 1)).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(reply.json()["code"], "BODY_TOO_LARGE");
    let large = format!(r#"{{"x":"{}"}}"#, "x".repeat(65 * 1024));
    let reply = world.post("/api/v2/transactions", large).await;
    assert_eq!(
        (reply.status, reply.json()["code"].clone()),
        (StatusCode::PAYLOAD_TOO_LARGE, json!("TX_TOO_LARGE"))
    );
}

#[tokio::test]
async fn a_transaction_is_pending_then_committed_and_has_a_receipt() {
    let world = World::with(IntakeLimits::default(), Duration::from_millis(50));
    let made = asset("a");
    let path = format!("/api/v2/transactions/{}", made.id);
    let reply = world.get(&path).await;
    assert_eq!(
        (reply.status, reply.json()["code"].clone()),
        (StatusCode::NOT_FOUND, json!("NOT_FOUND"))
    );
    assert_eq!(reply.header("content-type"), "application/problem+json");

    world.order.stuck.store(true, Ordering::SeqCst);
    let reply = world.post("/api/v1/transactions?mode=commit", made.bytes.to_vec()).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    let reply = world.post("/api/v2/transactions?wait=committed", made.bytes.to_vec()).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        (&reply.json()["code"], &reply.json()["outcome"]),
        (&json!("NO_QUORUM"), &json!("unknown"))
    );
    let reply = world.get(&path).await;
    let answer = json!({"id": made.id, "status": "pending", "as_of": 0});
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, answer));
    let reply = world.get(&format!("{path}/receipt")).await;
    assert_eq!(
        (reply.status, reply.json()["code"].clone()),
        (StatusCode::NOT_FOUND, json!("TX_NOT_DECIDED"))
    );

    world.order.stuck.store(false, Ordering::SeqCst);
    let decided = async {
        while world.api.intake.is_pending(&made.id) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), decided).await.expect("it is decided");
    let committed =
        json!({"id": made.id, "status": "committed", "height": 1, "index": 0, "as_of": 1});
    let mut report = world.get(&path).await.json();
    let transaction = report.as_object_mut().unwrap().remove("transaction");
    assert_eq!(transaction, serde_json::from_slice(&made.bytes).ok());
    assert_eq!(report, committed);
    let reply = world.get(&format!("{path}/receipt")).await;
    let proven = cairn_verifier::verify(reply.text.as_bytes(), &world.trusted()).unwrap();
    assert_eq!(proven.transaction_id, Some(made.id.0));
    let reply = world.post("/api/v2/transactions", made.bytes.to_vec()).await;
    assert_eq!(
        (reply.status, reply.json()),
        (StatusCode::OK, committed),
        "the same again is answered"
    );
}

#[tokio::test]
async fn a_refusal_that_a_block_records_is_told_with_its_reason() {
    let world = World::new();
    let made = asset("a");
    world.commit(&made).await;
    let (first, second) = (given(&made, 2), given(&made, 3));
    // Both hold at the door: neither is decided when the other is checked.
    let body = format!("[{},{}]", text(&first), text(&second));
    let reply = world.post("/api/v2/transactions?wait=committed", body).await;
    let reports = reply.json();
    assert_eq!(reports[0]["status"], "committed");
    assert_eq!(
        (&reports[1]["status"], &reports[1]["reason"]["code"]),
        (&json!("refused"), &json!("DOUBLE_SPEND"))
    );
    let report = world.get(&format!("/api/v2/transactions/{}", second.id)).await.json();
    assert_eq!(
        (&report["status"], &report["height"], &report["index"]),
        (&json!("refused"), &json!(2), &json!(1))
    );
    let text = format!("DoubleSpend: input `{}` was already spent", made.id);
    assert_eq!(report["reason"], json!({"code": "DOUBLE_SPEND", "message": text}));
    let receipt = world.get(&format!("/api/v2/transactions/{}/receipt", second.id)).await;
    let proven = cairn_verifier::verify(receipt.text.as_bytes(), &world.trusted()).unwrap();
    assert_eq!(proven.transaction_id, Some(second.id.0));
    let reply = world.get(&format!("/api/v1/transactions/{}", second.id)).await;
    assert_eq!(reply.text, NO_SUCH, "v1 knows committed ones only");
    assert_eq!(world.store.tip().0.height, Height(2));
}

#[tokio::test]
async fn a_batch_is_answered_one_by_one_whatever_its_form() {
    let world = World::new();
    let (a, b) = (asset("a"), asset("b"));
    let lines = format!("{}\n{{}}\n\n{}\n", text(&a), spoiled(&asset("c")));
    let reply = world
        .send("POST", "/api/v2/transactions/?wait=committed", "application/x-ndjson", lines)
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    let reports = reply.json();
    let told: Vec<_> = reports.as_array().unwrap().iter().map(|r| r["status"].clone()).collect();
    assert_eq!(told, ["committed", "refused", "refused"]);
    assert_eq!(reports[2]["reason"]["code"], "SIG_INVALID");
    let body = format!(" [ {} , {} ] ", text(&a), text(&b));
    let reply = world
        .send(
            "POST",
            "/api/v2/transactions?wait=committed",
            "Application/JSON; charset=utf-8",
            body,
        )
        .await;
    let reports = reply.json();
    assert_eq!((&reports[0]["status"], &reports[0]["height"]), (&json!("committed"), &json!(1)));
    assert_eq!((&reports[1]["status"], &reports[1]["height"]), (&json!("committed"), &json!(2)));
    assert_eq!(world.post("/api/v2/transactions", "[]").await.text, "[]");
    let reply = world.post("/api/v2/transactions", text(&asset("d"))).await;
    assert_eq!(
        (reply.status, reply.json()["status"].clone()),
        (StatusCode::ACCEPTED, json!("pending"))
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_request_has_a_stable_code() {
    let world = World::new();
    let json = "application/json";
    let many = format!("[{}]", vec!["{}"; 1001].join(","));
    #[rustfmt::skip]
    let table = [
        ("", json, "", 400, "JSON_EMPTY"),
        ("", json, " \n", 400, "JSON_EMPTY"),
        ("", "", "{}", 415, "MEDIA_TYPE"),
        ("", "text/plain", "{}", 415, "MEDIA_TYPE"),
        ("", json, "[{},", 400, "JSON_SYNTAX"),
        ("", json, "{", 400, "JSON_SYNTAX"),
        ("", json, "[1]", 400, "JSON_SYNTAX"),
        ("", json, r#"{"id":"a","id":"b"}"#, 400, "JSON_DUPLICATE_KEY"),
        ("", json, &many, 400, "BATCH_LIMIT"),
        ("?wait=never", json, "{}", 400, "PARAM_INVALID"),
        ("?weight=1", json, "{}", 400, "PARAM_UNKNOWN"),
    ];
    for (query, kind, body, status, code) in table {
        let path = format!("/api/v2/transactions{query}");
        let reply = world.send("POST", &path, kind, body.to_owned()).await;
        assert_eq!(
            (reply.status.as_u16(), reply.json()["code"].as_str()),
            (status, Some(code)),
            "{query} {body:.20}"
        );
        assert_eq!(reply.json()["status"], status);
        assert_eq!(reply.header("content-type"), "application/problem+json");
        assert_eq!(reply.json()["request_id"].as_str().unwrap().len(), 16);
    }
}

#[tokio::test]
async fn a_full_waiting_room_says_when_to_come_back() {
    let limits = IntakeLimits { transactions: 1, ..IntakeLimits::default() };
    let world = World::with(limits, Duration::from_secs(30));
    world.order.stuck.store(true, Ordering::SeqCst);
    assert_eq!(
        world.post("/api/v1/transactions", text(&asset("a"))).await.status,
        StatusCode::ACCEPTED
    );
    let table = [("/api/v1/transactions", 429), ("/api/v2/transactions", 503)];
    for (path, status) in table {
        let reply = world.post(path, text(&asset("b"))).await;
        let answer = (reply.status.as_u16(), reply.header("retry-after"));
        assert_eq!(answer, (status, "1"), "{path}");
        assert_eq!(reply.json()["code"] == "POOL_FULL", status == 503, "{path}");
    }
    let page = world.admin("/metrics").await.text;
    assert!(page.contains("cairn_pending_transactions 1\n"), "{page}");
    assert!(
        page.contains(r#"cairn_http_requests_total{route="v2/transactions",status="503"} 1"#),
        "{page}"
    );
}

#[tokio::test]
async fn a_decision_against_what_the_door_let_in_is_upstreams_500() {
    let world = World::new();
    let made = asset("a");
    world.commit(&made).await;
    world.order.stuck.store(true, Ordering::SeqCst);
    let body = text(&given(&made, 3));
    let second = world.post("/api/v1/transactions?mode=commit", body);
    let another_validator = async {
        while world.api.intake.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        // Its client was faster: that transfer is in a block before ours is in the log.
        world.order.federation.commit(&*world.store, &[given(&made, 2).bytes]);
        world.order.stuck.store(false, Ordering::SeqCst);
    };
    let (second, ()) = tokio::join!(second, another_validator);
    let body = r#"{"message":"Transaction validation failed","status":500}"#;
    let answer = (second.status, second.text.as_str());
    assert_eq!(answer, (StatusCode::INTERNAL_SERVER_ERROR, body));
}

#[tokio::test]
async fn the_admin_port_says_how_it_is() {
    let world = World::new();
    assert_eq!(world.admin("/livez").await.text, "ok\n");
    let reply = world.admin("/readyz").await;
    assert_eq!(
        (reply.status, reply.text.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "still starting\n")
    );
    let behind = Some("12 blocks behind its peers".to_owned());
    world.status.send_modify(|status| status.not_ready_because = behind);
    assert_eq!(world.admin("/readyz").await.text, "12 blocks behind its peers\n");
    world.status.send_modify(|status| (status.ready, status.height) = (true, 7));
    assert_eq!(world.admin("/readyz").await.status, StatusCode::OK);
    let status = world.admin("/status").await.json();
    assert_eq!((&status["height"], &status["phase"]), (&json!(7), &json!("founding")));
}

#[tokio::test]
async fn the_admin_port_says_who_it_is_and_of_which_chain() {
    let world = World::new();
    let genesis = &world.order.federation.genesis;
    let first = &genesis.validators()[0];
    let mut wanted = json!({
        "validator": first.name, "consensus_key": first.consensus_key,
        "member_key": first.member_key, "chain_id": null, "version": env!("CARGO_PKG_VERSION"),
    });
    let before = async |path| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        ask(&world.door(false), request).await
    };
    assert_eq!(before("/identity").await.json(), wanted);
    let none = before("/genesis").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND, "{}", none.text);
    assert_eq!(before("/metrics").await.status, StatusCode::OK);
    wanted["chain_id"] = json!(genesis.chain());
    assert_eq!(world.admin("/identity").await.json(), wanted);
    let reply = world.admin("/genesis").await;
    assert_eq!(
        (reply.text.as_str(), reply.header("content-type")),
        (genesis.to_json().as_str(), "application/json")
    );
}

#[tokio::test]
async fn wrong_paths_and_methods_are_answered_in_the_shape_of_their_version() {
    let world = World::new();
    let id = "a".repeat(64);
    #[rustfmt::skip]
    let table = [
        ("GET",    "/api/v2/nowhere".to_owned(),                      404, "NOT_FOUND", ""),
        ("GET",    "/api/v2//transactions".to_owned(),                404, "NOT_FOUND", ""),
        ("GET",    "/api/v2/transactions/%00".to_owned(),             404, "NOT_FOUND", ""),
        ("GET",    "/api/v2/transactions/%ff".to_owned(),             404, "NOT_FOUND", ""),
        ("GET",    "/api/v2/transactions/../../etc/passwd".to_owned(), 404, "NOT_FOUND", ""),
        ("GET",    "/api/v2/transactions/..%2f..%2fetc".to_owned(),   404, "NOT_FOUND", ""),
        ("GET",    format!("/api/v2/transactions/{id}"),              404, "NOT_FOUND", ""),
        ("GET",    format!("/api/v2/transactions/{id}/receipt"),      404, "NOT_FOUND", ""),
        ("GET",    "/api/v2/transactions".to_owned(),                 405, "METHOD",    "POST"),
        ("DELETE", format!("/api/v2/transactions/{id}"),              405, "METHOD",    "GET,HEAD"),
        ("PUT",    format!("/api/v2/transactions/{id}/receipt"),      405, "METHOD",    "GET,HEAD"),
    ];
    for (method, path, status, code, allow) in table {
        let reply = world.send(method, &path, "", Body::empty()).await;
        assert_eq!(reply.status.as_u16(), status, "{path}");
        assert_eq!(reply.header("content-type"), "application/problem+json", "{path}");
        assert_eq!(reply.json()["code"], code, "{path}");
        assert_eq!(reply.header("allow"), allow, "{path}");
    }
    for path in ["/api/v1/transactions/%ff", "/api/v1/blocks/%ff", "/api/v1/blocks/%00"] {
        let reply = world.get(path).await;
        assert_eq!((reply.status, reply.text.as_str()), (StatusCode::NOT_FOUND, NO_SUCH), "{path}");
    }
}

#[tokio::test]
async fn what_v2_adds_to_a_refusal_helps_its_submitter() {
    let world = World::new();
    let (made, other) = (asset("a"), asset("b"));
    world.commit(&made).await;
    world.commit(&other).await;
    let moved = given(&made, 2);
    world.commit(&moved).await;
    world.order.stuck.store(true, Ordering::SeqCst);
    let waits = given(&other, 2);
    assert_eq!(world.post("/api/v2/transactions", text(&waits)).await.status, 202);
    assert_eq!(world.post("/api/v2/transactions", text(&waits)).await.status, 202, "the same");
    let later = given(&other, 3);
    #[rustfmt::skip]
    let table = [
        (text(&given(&made, 3)), 409, "DOUBLE_SPEND",  moved.id.to_string()),
        (text(&later),           409, "INPUT_PENDING", waits.id.to_string()),
        (spoiled(&asset("c")),   400, "SIG_INVALID",   "input 0".to_owned()),
    ];
    for (body, status, code, piece) in table {
        let reply = world.post("/api/v2/transactions", body.clone()).await;
        let problem = reply.json();
        assert_eq!((reply.status.as_u16(), problem["code"].as_str()), (status, Some(code)));
        assert!(problem["detail"].as_str().unwrap().contains(&piece), "{}", reply.text);
        let many = world.post("/api/v2/transactions", format!("[{body}]")).await.json();
        assert_eq!(many[0]["reason"]["code"], code, "{many}");
        assert!(many[0]["reason"]["message"].as_str().unwrap().contains(&piece), "{many}");
    }
    let reply = world.post("/api/v2/transactions", text(&made)).await;
    assert_eq!(reply.status, StatusCode::OK, "the same again has its answer");
    assert_eq!(
        (&reply.json()["status"], &reply.json()["height"]),
        (&json!("committed"), &json!(1))
    );
    let v1 = world.post("/api/v1/transactions", text(&later)).await;
    assert_eq!(v1.status, StatusCode::ACCEPTED, "v1 lets the ledger decide, as upstream does");
    world.order.stuck.store(false, Ordering::SeqCst);
    while world.api.intake.waiting() > 0 {
        tokio::task::yield_now().await;
    }
    let reply = world.post("/api/v2/transactions", text(&given(&other, 4))).await;
    assert_eq!(reply.json()["code"], "DOUBLE_SPEND", "who waited is decided");
    let parsed = transaction::parse(given(&other, 4).bytes, Strictness::Strict).unwrap();
    let another = transaction::admit(vec![parsed]).pop().unwrap().unwrap();
    assert_eq!(world.api.intake.spender(&another), None, "and forgotten");
}

#[tokio::test]
async fn a_full_disk_and_a_store_that_is_away_are_no_unknown_trouble() {
    let failure = Failure::from(StoreError::Full { path: "blocks".to_owned() });
    let codes = (failure.code(), failure.v1().status().as_u16(), failure.v2().status().as_u16());
    assert_eq!(codes, ("STORAGE_FULL", 507, 507));
    let failure = Failure::from(StoreError::Unreachable("away".to_owned()));
    let codes = (failure.code(), failure.v1().status().as_u16(), failure.v2().status().as_u16());
    assert_eq!(codes, ("STORE_UNAVAILABLE", 503, 503));
}

/// A CREATE that is signed by key 1 and says this.
fn saying(data: &str) -> String {
    let signed = asset("x");
    text(&signed).replace(r#"{"note":"x"}"#, data)
}

#[tokio::test]
async fn v2_asks_for_strings_where_numbers_are_not_exact() {
    let world = World::new();
    #[rustfmt::skip]
    let table = [
        (r#"{"n":1.5}"#,                        Some("asset.data.n")),
        (r#"{"n":1.0}"#,                        Some("asset.data.n")),
        (r#"{"n":[1,{"m":1e3}]}"#,              Some("asset.data.n[1].m")),
        (r#"{"n":-0}"#,                         Some("asset.data.n")),
        (r#"{"n":9007199254740992}"#,           Some("asset.data.n")),
        (r#"{"n":-9007199254740992}"#,          Some("asset.data.n")),
        (r#"{"n":18446744073709551616}"#,       Some("asset.data.n")),
        (r#"{"n":9007199254740991}"#,           None),
        (r#"{"n":-9007199254740991,"m":0}"#,    None),
        (r#"{"n":"1.5 \" 1e3"}"#,               None),
    ];
    for (data, path) in table {
        let body = saying(data);
        let reply = world.post("/api/v2/transactions", body.clone()).await;
        let many = world.post("/api/v2/transactions", format!("[{body},{{}}]")).await.json();
        let one = reply.json();
        // What passes is not signed for these bytes, and hears that.
        let code = if path.is_some() { "JSON_NUMBER" } else { "TX_ID_MISMATCH" };
        assert_eq!((one["code"].as_str(), reply.status.as_u16()), (Some(code), 400), "{data}");
        assert_eq!(many[0]["reason"]["code"], code, "{data}");
        assert_ne!(many[1]["reason"]["code"], "JSON_NUMBER", "answers are in order: {many}");
        let detail = one["detail"].as_str().unwrap();
        assert!(path.is_none_or(|path| detail.contains(&format!("{path} "))), "{detail}");
        let v1 = world.post("/api/v1/transactions", body).await;
        assert!(v1.text.contains("(InvalidHash)"), "v1 reads every number: {}", v1.text);
    }
}

#[test]
fn any_bytes_as_a_body_are_answered() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = runtime.block_on(async { World::new() });
    let nearly = proptest::collection::vec(any::<(u16, u8)>(), 0..4).prop_map(|changes| {
        let mut bytes = asset("a").bytes.to_vec();
        for (at, byte) in changes {
            let length = bytes.len();
            bytes[usize::from(at) % length] = byte;
        }
        bytes
    });
    let body = prop_oneof![any::<Vec<u8>>(), nearly];
    proptest!(ProptestConfig::with_cases(2048), |(body in body, path in 1..=2)| {
        let path = format!("/api/v{path}/transactions");
        let reply = runtime.block_on(world.post(&path, body.clone()));
        let as_it_was = body == *asset("a").bytes;
        prop_assert!(reply.status.is_client_error() || as_it_was || reply.status.is_success(), "{}", reply.text);
        prop_assert!(reply.status.as_u16() < 500, "{}", reply.text);
        let _ = reply.json();
    });
}
