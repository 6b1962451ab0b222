//! Every route of API v1, whole answers: what BigchainDB 2.2.2 says, so do we.
//!
//! The chain that is asked: block 1 makes an asset of key 1, block 2 gives it to key 2, block 3 makes an
//! asset whose data and metadata hold what is lost easily.

use cairn_ledger::transaction::build::{self, Share};

use super::*;

/// Spelled as no canonical form spells it: exact integers of any size, floats, text of all kinds.
const DATA: &str = r#"{"big":123456789012345678901234567890,"float":1.50,"exponent":1e3,"minus":-0,"text":"Grüße 🚲 \u00fcber \"all\" \/ \u0001"}"#;
const METADATA: &str = r#"{"huge":100000000000000000000000000000000000000000.0,"日本":["caf\u00e9 \ud83d\udeb2",null,true]}"#;

const MISSING: &str =
    "Missing required parameter in the JSON body or the post body or the query string";
const BOOLEAN: &str = r#"Boolean value must be \"true\" or \"false\" (lowercase)"#;

/// The routes, and what they are asked by; every other method is refused.
const ROUTES: &[(&str, &str)] = &[
    ("/", "GET,HEAD"),
    ("/api/v1", "GET,HEAD"),
    ("/api/v1/transactions", "GET,HEAD,POST"),
    ("/api/v1/transactions/{made}", "GET,HEAD"),
    ("/api/v1/outputs", "GET,HEAD"),
    ("/api/v1/assets", "GET,HEAD"),
    ("/api/v1/metadata", "GET,HEAD"),
    ("/api/v1/blocks", "GET,HEAD"),
    ("/api/v1/blocks/1", "GET,HEAD"),
    ("/api/v1/validators", "GET,HEAD"),
];

/// The consensus keys of the testing federation, made from the seeds 1, 2, 3 and 4.
const VALIDATOR_KEYS: [&str; 4] = [
    "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=",
    "gTl3Dqh9F19Wo1Rmw0x+zMuNipG07jeiXfYPW4/Js5Q=",
    "7UkoxijRwsbq6QM4kFmVYSlZJzpcY/k2NsFGFKyHN9E=",
    "ypOsFwUYcHHWe4PH/w7+gQjo7EUwV113JoeTM9vavnw=",
];

struct Chain {
    world: World,
    made: Signed,
    moved: Signed,
    odd: Signed,
}

/// Signed over the canonical form, sent in another spelling.
fn odd() -> Signed {
    let key = key(1);
    let made = build::create(DATA, METADATA, &[Share::to(key.public(), 1)], &key).unwrap();
    let id = transaction::claimed_id(&made).unwrap();
    let bytes = String::from_utf8(made).unwrap();
    let canonical = |name: &str| {
        let start = bytes.find(&format!("\"{name}\":{{")).unwrap() + name.len() + 3;
        let end = bytes[start..].find('}').unwrap() + start + 1;
        bytes[start..end].to_owned()
    };
    let (data, metadata) = (canonical("data"), canonical("metadata"));
    let respelled = bytes.replace(&data, DATA).replace(&metadata, METADATA);
    assert_ne!(respelled, bytes, "or the spelling proves nothing");
    Signed { id, bytes: respelled.into_bytes().into() }
}

impl Chain {
    async fn new() -> Self {
        let world = World::new();
        let made = asset("a");
        let moved = given(&made, 2);
        let odd = odd();
        for signed in [&made, &moved, &odd] {
            world.commit(signed).await;
        }
        Self { world, made, moved, odd }
    }

    /// Puts in what a table can only name.
    fn fill(&self, text: &str) -> String {
        let output = |of: &Signed| format!(r#"{{"output_index":0,"transaction_id":"{}"}}"#, of.id);
        let replaced = [
            ("{made}", self.made.id.to_string()),
            ("{MADE}", self.made.id.to_string().to_uppercase()),
            ("{moved}", self.moved.id.to_string()),
            ("{odd}", self.odd.id.to_string()),
            ("{unknown}", "0".repeat(64)),
            ("{made text}", super::text(&self.made)),
            ("{moved text}", super::text(&self.moved)),
            ("{odd text}", super::text(&self.odd)),
            ("{made output}", output(&self.made)),
            ("{moved output}", output(&self.moved)),
            ("{odd output}", output(&self.odd)),
            ("{one}", key(1).public().to_string()),
            ("{two}", key(2).public().to_string()),
            ("{nobody}", key(9).public().to_string()),
            ("{data}", DATA.to_owned()),
            ("{metadata}", METADATA.to_owned()),
            ("{missing}", MISSING.to_owned()),
            ("{boolean}", BOOLEAN.to_owned()),
            ("{not found}", NO_SUCH.to_owned()),
        ];
        let fill = |text: String, (name, value): &(&str, String)| text.replace(name, value);
        replaced.iter().fold(text.to_owned(), fill)
    }

    /// Asks for each path, and compares whole answers.
    async fn answers(&self, table: &[(&str, u16, &str, &str)]) {
        for (path, status, body, why) in table {
            let (path, body) = (self.fill(path), self.fill(body));
            let reply = self.world.get(&path).await;
            let told = (reply.status.as_u16(), reply.text.as_str());
            assert_eq!(told, (*status, body.as_str()), "{why}: {path}");
            assert_eq!(reply.header("content-type"), "application/json", "{path}");
            assert_eq!(reply.header("access-control-allow-origin"), "*", "{path}");
            assert_eq!(reply.header("cairn-height"), "3", "{path}");
            let head = self.world.send("HEAD", &path, "", Body::empty()).await;
            let told = (head.status.as_u16(), head.text.as_str());
            assert_eq!(told, (*status, ""), "HEAD is the same without the body: {path}");
            let (route, query) = path.split_once('?').unwrap_or((&path, ""));
            if route.ends_with('/') {
                continue;
            }
            let slashed = self.world.get(&format!("{route}/?{query}")).await;
            let told = (slashed.status.as_u16(), slashed.text.as_str());
            assert_eq!(told, (*status, body.as_str()), "a slash at the end is free: {path}");
        }
    }
}

#[tokio::test]
async fn root_documents_are_upstreams() {
    let docs = "https://docs.bigchaindb.com/projects/server/en/v2.2.2";
    let links = |prefix: &str| {
        let stream = "ws://localhost:9985/api/v1/streams/valid_transactions";
        format!(
            r#"{{"assets":"{prefix}assets/","blocks":"{prefix}blocks/","docs":"{docs}/http-client-server-api.html","metadata":"{prefix}metadata/","outputs":"{prefix}outputs/","streams":"{stream}","transactions":"{prefix}transactions/","validators":"{prefix}validators"}}"#
        )
    };
    let inner = links("/api/v1/");
    let root = format!(
        r#"{{"api":{{"v1":{inner}}},"docs":"{docs}/","software":"BigchainDB","version":"2.2.2"}}"#
    );
    let index = links("/");
    let table: &[(&str, u16, &str, &str)] = &[
        ("/", 200, &root, "the root"),
        ("/?anything=1", 200, &root, "parameters that nobody asks for"),
        ("/api/v1", 200, &index, "the index"),
    ];
    Chain::new().await.answers(table).await;
}

#[tokio::test]
async fn transactions_are_read_as_upstream_reads_them() {
    #[rustfmt::skip]
    let table: &[(&str, u16, &str, &str)] = &[
        ("/api/v1/transactions/{made}",  200, "{made text}",  "by id"),
        ("/api/v1/transactions/{odd}",   200, "{odd text}",   "numbers and text as they were spelled"),
        ("/api/v1/transactions/{MADE}",  404, "{not found}",  "no id of the ledger has capitals"),
        ("/api/v1/transactions/{unknown}", 404, "{not found}", "never seen"),
        ("/api/v1/transactions/x",       404, "{not found}",  "no id"),
        ("/api/v1/transactions/%F0%9F%9A%B2", 404, "{not found}", "no id in any alphabet"),
        ("/api/v1/transactions/%ff",     404, "{not found}",  "no text"),

        ("/api/v1/transactions?asset_id={made}", 200, "[{made text},{moved text}]", "the CREATE and what followed, in order"),
        ("/api/v1/transactions?asset_id={MADE}", 200, "[{made text},{moved text}]", "here hashes are lower-cased"),
        ("/api/v1/transactions?asset_id={odd}",  200, "[{odd text}]", "numbers and text as they were spelled, in lists too"),
        ("/api/v1/transactions?asset_id={unknown}", 200, "[]",        "an asset that is not there has no transactions"),
        ("/api/v1/transactions?asset_id={moved}", 200, "[{moved text}]", "without an operation, any transaction has the asset that it names"),
        ("/api/v1/transactions?asset_id={moved}&operation=CREATE",   200, "[]", "a TRANSFER makes none"),
        ("/api/v1/transactions?asset_id={moved}&operation=TRANSFER", 200, "[]", "and none is moved under its name"),
        ("/api/v1/transactions?asset_id={moved}&last_tx=true",       200, "[{moved text}]", "the newest of one"),
        ("/api/v1/transactions?asset_id={made}&operation=CREATE",    200, "[{made text}]", "one operation"),
        ("/api/v1/transactions?asset_id={made}&operation=cReAtE",    200, "[{made text}]", "in any case"),
        ("/api/v1/transactions?asset_id={made}&operation=transfer",  200, "[{moved text}]", "the other"),
        ("/api/v1/transactions?asset_id={odd}&operation=TRANSFER",   200, "[]",            "never moved"),
        ("/api/v1/transactions?asset_id={odd}&operation=TRANSFER&last_tx=true", 200, "[]", "so there is no last move"),
        ("/api/v1/transactions?asset_id={made}&last_tx=true",        200, "[{moved text}]", "the newest"),
        ("/api/v1/transactions?asset_id={made}&last_tx=tRUE",        200, "[{moved text}]", "upstream reads any case"),
        ("/api/v1/transactions?asset_id={made}&last_tx=False",       200, "[{made text},{moved text}]", "and so does Python's driver write it"),
        ("/api/v1/transactions?asset_id={made}&operation=CREATE&last_tx=true", 200, "[{made text}]", "the newest CREATE"),
        ("/api/v1/transactions?asset_id={made}&operation=TRANSFER&last_tx=true", 200, "[{moved text}]", "the newest TRANSFER"),
        ("/api/v1/transactions?asset_id={made}&colour=red",          200, "[{made text},{moved text}]", "this route lets pass what it does not know"),
        ("/api/v1/transactions?asset_id={odd}&asset_id={made}",      200, "[{odd text}]",  "the first of two counts"),

        ("/api/v1/transactions",                         400, r#"{"message":{"asset_id":"{missing}"}}"#, "nothing asked"),
        ("/api/v1/transactions?Asset_Id={made}",         400, r#"{"message":{"asset_id":"{missing}"}}"#, "names have a case"),
        ("/api/v1/transactions?asset_id=",               400, r#"{"message":{"asset_id":"Invalid hash"}}"#, "an empty hash"),
        ("/api/v1/transactions?asset_id={made}0",        400, r#"{"message":{"asset_id":"Invalid hash"}}"#, "65 digits"),
        ("/api/v1/transactions?asset_id={made}%20",      400, r#"{"message":{"asset_id":"Invalid hash"}}"#, "a blank"),
        ("/api/v1/transactions?asset_id=%C3%A9",         400, r#"{"message":{"asset_id":"Invalid hash"}}"#, "letters that are no digits"),
        ("/api/v1/transactions?asset_id={made}&asset_id=x", 400, r#"{"message":{"asset_id":"Invalid hash"}}"#, "the second of two must be right too"),
        ("/api/v1/transactions?operation=x",             400, r#"{"message":{"operation":"Operation must be \"CREATE\" or \"TRANSFER\""}}"#, "the operation is read before the id is missed"),
        ("/api/v1/transactions?asset_id={made}&operation=", 400, r#"{"message":{"operation":"Operation must be \"CREATE\" or \"TRANSFER\""}}"#, "an empty operation"),
        ("/api/v1/transactions?asset_id={made}&operation=VOTE", 400, r#"{"message":{"operation":"Operation must be \"CREATE\" or \"TRANSFER\""}}"#, "others exist, and cannot be asked for"),
        ("/api/v1/transactions?asset_id=x&last_tx=x",    400, r#"{"message":{"asset_id":"Invalid hash"}}"#, "one error at a time, in upstream's order"),
        ("/api/v1/transactions?asset_id={made}&last_tx=1", 400, r#"{"message":{"last_tx":"{boolean}"}}"#, "1 is no truth"),
    ];
    Chain::new().await.answers(table).await;
}

#[tokio::test]
async fn outputs_blocks_and_validators_are_read_as_upstream_reads_them() {
    let chain = Chain::new().await;
    let validators = VALIDATOR_KEYS.map(|key| {
        format!(r#"{{"public_key":{{"type":"ed25519-base64","value":"{key}"}},"voting_power":1}}"#)
    });
    let validators = format!("[{}]", validators.join(","));
    #[rustfmt::skip]
    let table: &[(&str, u16, &str, &str)] = &[
        ("/api/v1/outputs?public_key={one}",             200, "[{made output},{odd output}]", "spent or not"),
        ("/api/v1/outputs?public_key={one}&spent=true",  200, "[{made output}]",  "spent"),
        ("/api/v1/outputs?public_key={one}&spent=false", 200, "[{odd output}]",   "not spent"),
        ("/api/v1/outputs?public_key={one}&spent=False", 200, "[{odd output}]",   "as Python's driver writes it"),
        ("/api/v1/outputs?public_key={two}&spent=true",  200, "[]",               "nothing spent yet"),
        ("/api/v1/outputs?public_key={nobody}",          200, "[]",               "owns nothing"),
        ("/api/v1/outputs?public_key=zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", 200, "[]", "looks like a key, and is more than 32 bytes"),
        ("/api/v1/outputs",                              400, r#"{"message":{"public_key":"{missing}"}}"#, "nothing asked"),
        ("/api/v1/outputs?public_key=",                  400, r#"{"message":{"public_key":"Invalid base58 ed25519 key"}}"#, "an empty key"),
        ("/api/v1/outputs?public_key={one}1",            400, r#"{"message":{"public_key":"Invalid base58 ed25519 key"}}"#, "45 characters"),
        ("/api/v1/outputs?public_key=lllllllllllllllllllllllllllllllllllllllllll", 400, r#"{"message":{"public_key":"Invalid base58 ed25519 key"}}"#, "a letter that base58 leaves out"),
        ("/api/v1/outputs?public_key=%F0%9F%9A%B2",      400, r#"{"message":{"public_key":"Invalid base58 ed25519 key"}}"#, "no letter at all"),
        ("/api/v1/outputs?public_key={one}&spent=1",     400, r#"{"message":{"spent":"{boolean}"}}"#, "1 is no truth"),
        ("/api/v1/outputs?public_key={one}&spent=",      400, r#"{"message":{"spent":"{boolean}"}}"#, "nor is nothing"),
        ("/api/v1/outputs?public_key={one}&spent=true&spent=no", 400, r#"{"message":{"spent":"{boolean}"}}"#, "the second must be right too"),
        ("/api/v1/outputs?public_key={one}&unspent=true", 400, r#"{"message":"Unknown arguments: unspent"}"#, "this route is strict"),
        ("/api/v1/outputs?b=1&public_key={one}&a=1&b=2", 400, r#"{"message":"Unknown arguments: b, a"}"#, "each once, in their order"),
        ("/api/v1/outputs?a=1",                          400, r#"{"message":{"public_key":"{missing}"}}"#, "what is missing goes first"),

        ("/api/v1/blocks/0",                    200, r#"{"height":0,"transactions":[]}"#, "before the first block there is nothing"),
        ("/api/v1/blocks/1",                    200, r#"{"height":1,"transactions":[{made text}]}"#, "a block"),
        ("/api/v1/blocks/01",                   200, r#"{"height":1,"transactions":[{made text}]}"#, "zeros in front are nothing"),
        ("/api/v1/blocks/3",                    200, r#"{"height":3,"transactions":[{odd text}]}"#, "the last, as it was spelled"),
        ("/api/v1/blocks/4",                    404, "{not found}", "not yet"),
        ("/api/v1/blocks/18446744073709551616", 404, "{not found}", "never"),
        ("/api/v1/blocks/-1",                   404, "{not found}", "no height"),
        ("/api/v1/blocks/+1",                   404, "{not found}", "no height"),
        ("/api/v1/blocks/1.0",                  404, "{not found}", "no height"),
        ("/api/v1/blocks/one",                  404, "{not found}", "no height"),
        ("/api/v1/blocks/%EF%BC%91",            404, "{not found}", "a digit of another width"),
        ("/api/v1/blocks?transaction_id={moved}",   200, "[2]", "where it is"),
        ("/api/v1/blocks?transaction_id={MADE}",    200, "[]",  "ids have a case here"),
        ("/api/v1/blocks?transaction_id={unknown}", 200, "[]",  "nowhere"),
        ("/api/v1/blocks?transaction_id=",          200, "[]",  "no hash, and not checked"),
        ("/api/v1/blocks?transaction_id=%F0%9F%9A%B2", 200, "[]", "nor in other alphabets"),
        ("/api/v1/blocks",                          400, r#"{"message":{"transaction_id":"{missing}"}}"#, "nothing asked"),
        ("/api/v1/blocks?transaction_id={made}&status=VALID", 400, r#"{"message":"Unknown arguments: status"}"#, "this route is strict"),

        ("/api/v1/validators",                  200, &validators, "in the order of the genesis"),
        ("/api/v1/validators?height=1",         200, &validators, "what it does not know passes"),
    ];
    chain.answers(table).await;
}

#[tokio::test]
async fn what_is_asked_for_words_is_checked_as_upstream_checks_it() {
    let chain = Chain::new().await;
    #[rustfmt::skip]
    let table: &[(&str, u16, &str, &str)] = &[
        ("?search=nowhere",         200, "[]", "no such word"),
        ("?search=%20",             200, "[]", "no word at all"),
        ("?search=%F0%9F%9A%B3",    200, "[]", "a sign that is no word"),
        ("?search=a&limit=0&x=1",   200, "[]", "a word that English leaves out; what the route does not know passes"),
        ("",                        400, r#"{"message":{"search":"{missing}"}}"#, "nothing asked"),
        ("?text_search=bicycle",    400, r#"{"message":{"search":"{missing}"}}"#, "its name before 2.0"),
        ("?search=",                400, r#"{"message":"text_search cannot be empty","status":400}"#, "upstream kept that name here"),
        ("?search=&limit=2",        400, r#"{"message":"text_search cannot be empty","status":400}"#, "with a limit too"),
        ("?search=&search=x",       400, r#"{"message":"text_search cannot be empty","status":400}"#, "the first counts"),
        ("?limit=x",                400, r#"{"message":{"search":"{missing}"}}"#, "what is missing goes first"),
        ("?search=&limit=x",        400, r#"{"message":{"limit":"invalid literal for int() with base 10: 'x'"}}"#, "a limit goes before an empty search"),
        ("?search=a&limit=",        400, r#"{"message":{"limit":"invalid literal for int() with base 10: ''"}}"#, "Python's words"),
        ("?search=a&limit=1.0",     400, r#"{"message":{"limit":"invalid literal for int() with base 10: '1.0'"}}"#, "no float"),
        ("?search=a&limit=1e3",     400, r#"{"message":{"limit":"invalid literal for int() with base 10: '1e3'"}}"#, "no exponent"),
        ("?search=a&limit=--1",     400, r#"{"message":{"limit":"invalid literal for int() with base 10: '--1'"}}"#, "one sign"),
        ("?search=a&limit=1__0",    400, r#"{"message":{"limit":"invalid literal for int() with base 10: '1__0'"}}"#, "one underscore"),
        ("?search=a&limit=%27",     400, r#"{"message":{"limit":"invalid literal for int() with base 10: \"'\""}}"#, "Python's choice of quotes"),
        ("?search=a&limit=%C3%A9%0A", 400, r#"{"message":{"limit":"invalid literal for int() with base 10: 'é\\n'"}}"#, "and its escapes"),
        ("?search=a&limit=1&limit=x", 400, r#"{"message":{"limit":"invalid literal for int() with base 10: 'x'"}}"#, "the second must be right too"),
    ];
    for route in ["assets", "metadata"] {
        let paths: Vec<String> =
            table.iter().map(|row| format!("/api/v1/{route}{}", row.0)).collect();
        let rows: Vec<_> = paths
            .iter()
            .zip(table)
            .map(|(path, row)| (path.as_str(), row.1, row.2, row.3))
            .collect();
        chain.answers(&rows).await;
    }
}

#[tokio::test]
async fn words_find_assets_and_metadata_as_they_were_spelled() {
    let asset = r#"[{"data":{data},"id":"{odd}"}]"#;
    let metadata = r#"[{"metadata":{metadata},"id":"{odd}"}]"#;
    #[rustfmt::skip]
    let table: &[(&str, u16, &str, &str)] = &[
        ("/api/v1/assets?search=%C3%BCber",     200, asset,    "a word in an escape, numbers untouched"),
        ("/api/v1/assets?search=UBER+nowhere",  200, asset,    "without case and diacritics; one of the words is enough"),
        ("/api/v1/assets?search=uber+-Gr%C3%BC%C3%9Fe", 200, "[]", "a word that must not be there"),
        ("/api/v1/assets?search=cafe",          200, "[]",     "metadata is no asset"),
        ("/api/v1/metadata?search=cafe",        200, metadata, "inside a list"),
        ("/api/v1/metadata?search=uber",        200, "[]",     "an asset is no metadata"),
        ("/api/v1/metadata?search=cafe&search=x", 200, metadata, "the first of two counts"),
    ];
    Chain::new().await.answers(table).await;
}

#[tokio::test]
async fn the_best_match_comes_first_and_a_limit_cuts_the_rest() {
    let world = World::new();
    let saying = ["fox den hill", "hound", "fox", "fox den"].map(asset);
    for signed in &saying {
        world.commit(signed).await;
    }
    let row = |at: usize, note: &str| {
        format!(r#"{{"data":{{"note":"{note}"}},"id":"{}"}}"#, saying[at].id)
    };
    let rows = [row(2, "fox"), row(3, "fox den"), row(0, "fox den hill")];
    #[rustfmt::skip]
    let table = [
        ("",                       3, "without a limit"),
        ("&limit=0",               3, "0 is none, and what Python's driver sends"),
        ("&limit=-0",              3, "in any spelling"),
        ("&limit=1",               1, "the best"),
        ("&limit=2",               2, "the two best"),
        ("&limit=%202_0%20",       3, "more than there are, as Python reads it"),
        ("&limit=%2B1",            1, "with a sign"),
        ("&limit=-2",              2, "MongoDB takes the size of it"),
        ("&limit=99999999999999999999999999", 3, "more than a machine word holds"),
        ("&limit=-9223372036854775808", 3, "less than one negates"),
        ("&limit=1&limit=3",       1, "the first of two counts"),
    ];
    for (limit, count, why) in table {
        let reply = world.get(&format!("/api/v1/assets?search=fox{limit}")).await;
        let wanted = format!("[{}]", rows[..count].join(","));
        assert_eq!((reply.status.as_u16(), reply.text), (200, wanted), "{why}: {limit}");
    }
}

#[tokio::test]
async fn every_other_method_is_refused_on_every_route() {
    let chain = Chain::new().await;
    let body = r#"{"message":"The method is not allowed for the requested URL."}"#;
    for (route, allowed) in ROUTES {
        for slash in ["", "/"] {
            let path = chain.fill(&format!("{}{slash}", route.trim_end_matches('/')));
            let path = if path.is_empty() { "/".to_owned() } else { path };
            for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
                if allowed.split(',').any(|one| one == method) {
                    continue;
                }
                let reply = chain.world.send(method, &path, "", Body::empty()).await;
                let told = (reply.status.as_u16(), reply.text.as_str(), reply.header("allow"));
                assert_eq!(told, (405, body, *allowed), "{method} {path}");
                assert_eq!(reply.header("access-control-allow-origin"), "*", "{path}");
            }
            let reply = chain.world.send("OPTIONS", &path, "", Body::empty()).await;
            assert_eq!((reply.status.as_u16(), reply.text.as_str()), (200, ""), "{path}");
            assert_eq!(reply.header("access-control-allow-origin"), "*", "{path}");
        }
    }
}

#[tokio::test]
async fn what_is_posted_is_read_as_upstream_reads_it() {
    let chain = Chain::new().await;
    let again = |signed: &Signed| {
        let id = signed.id;
        format!(
            r#"{{"message":"Invalid transaction (DuplicateTransaction): transaction `{id}` already exists","status":400}}"#
        )
    };
    let mode = r#"{"message":{"mode":"Mode must be \"async\", \"sync\" or \"commit\""}}"#;
    let schema =
        |text: &str| format!(r#"{{"message":"Invalid transaction schema: {text}","status":400}}"#);
    let plain = |text: &str| format!(r#"{{"message":"{text}","status":400}}"#);
    let odd_again = again(&chain.odd);
    #[rustfmt::skip]
    let table: &[(&str, &str, String, &str)] = &[
        ("",              "{odd text}",  odd_again.clone(),   "floats, big integers and any text are read; it is there already"),
        ("?mode=async",   "{odd text}",  odd_again.clone(),   "the receiving validator checks in every mode"),
        ("?mode=sync",    "{odd text}",  odd_again.clone(),   "the receiving validator checks in every mode"),
        ("?mode=commit",  "{odd text}",  odd_again.clone(),   "the receiving validator checks in every mode"),
        ("",              " \t\r\n{odd text}\n", odd_again.clone(), "white space around it is nothing"),
        ("",              "\u{feff}{odd text}", odd_again.clone(), "nor is a byte order mark"),
        ("?colour=red",   "{odd text}",  odd_again.clone(),   "this route lets pass what it does not know"),
        ("?mode=",        "{odd text}",  mode.to_owned(),     "no mode"),
        ("?mode=COMMIT",  "{odd text}",  mode.to_owned(),     "modes have a case"),
        ("?mode=async&mode=x", "{odd text}", mode.to_owned(), "the second must be right too"),
        ("?mode=quick",   "{",           mode.to_owned(),     "the mode is read before the body"),
        ("",              "",            plain("empty text: one JSON value was expected"), "nothing"),
        ("",              " \n",         plain("empty text: one JSON value was expected"), "nothing but space"),
        ("",              "{",           plain("line 1, column 2: a key in double quotes was expected"), "half an object"),
        ("",              "{}{}",        plain("line 1, column 3: nothing may follow the value"), "two"),
        ("",              "nothing",     plain("line 1, column 1: a JSON value was expected"), "no JSON"),
        ("",              "\u{0}",       plain("line 1, column 1: a JSON value was expected"), "NUL"),
        ("",              r#"{"a":NaN}"#, plain("line 1, column 6: a JSON value was expected"), "no number"),
        ("",              r#"{"a":1e400}"#, plain("line 1, column 6: a number must fit a double"), "no number that fits"),
        ("",              r#"{"a":"\ud800"}"#, plain("line 1, column 8: surrogates must come in pairs"), "half a character"),
        ("",              r#"{"id":1,"id":2}"#, plain("the key id is there twice: each key may be given once"), "means two things"),
        ("",              "\u{feff}\u{feff}{}", plain("line 1, column 1: a JSON value was expected"), "one mark is enough"),
        ("",              "[]",          schema("[] is not of type 'object'"), "a list"),
        ("",              "null",        schema("None is not of type 'object'"), "null"),
        ("",              r#""{}""#,     schema("'{}' is not of type 'object'"), "text"),
        ("",              "1",           schema("1 is not of type 'object'"), "a number"),
        ("",              "{}",          plain("Invalid transaction (InvalidHash): No transaction id found!"), "no id"),
        ("",              r#"{"id":"🚲"}"#, plain("Invalid transaction (InvalidHash): The transaction's id '🚲' isn't equal to the hash of its body, i.e. it's not valid."), "an id that is none"),
    ];
    let mut wrong = Vec::new();
    for (query, body, answer, why) in table {
        for kind in ["application/json", "", "text/plain", "application/x-www-form-urlencoded"] {
            let path = format!("/api/v1/transactions{query}");
            let body = chain.fill(body);
            let reply = chain.world.send("POST", &path, kind, body).await;
            if (reply.status.as_u16(), reply.text.as_str()) != (400, answer.as_str()) {
                wrong.push(format!("{why} ({kind}): {} {}", reply.status, reply.text));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn all_modes_answer_202_and_echo_the_bytes() {
    for mode in ["", "?mode=async", "?mode=sync", "?mode=commit"] {
        for slash in ["", "/"] {
            let world = World::new();
            let sent = odd();
            let path = format!("/api/v1/transactions{slash}{mode}");
            let reply = world.post(&path, sent.bytes.to_vec()).await;
            assert_eq!(reply.header("content-type"), "application/json");
            assert_eq!((reply.status.as_u16(), reply.text), (202, text(&sent)), "{path}");
        }
    }
}
