//! Every rule of the CRD: `operator/src/crd/rules.rs`, and the bounds of the schema.

use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::*;

const KEY: &str = "4zvwRjXUKGfvwnParsHAS3HuSVzV5cA4McphgmoCtajS";
const OTHER: &str = "6ASf5EcmmEHTgDJ4X4ZT5vT6iHVJBXPg5AN5YoTCpGWt";
const THIRD: &str = "8pM1DN3RiT8vbom5u1sNryaNT1nyL8CTTW3b5PwWXRBH";
const FOURTH: &str = "Gjbb1G1z5Wz9vGq5vEHZS5M8AzrR3A8UhXFQ2mVFzCcH";

/// Why (beginning with a number when a row of the C table of the reliability design says so), what is fine,
/// what is refused, and words of the refusal. Texts are fields of `spec`, over those of
/// the smallest cluster.
type Row<'a> = (&'a str, &'a str, &'a str, &'a str);

#[rustfmt::skip]
const VALIDATORS: &[Row<'static>] = &[
    ("C1: a cluster has validators",            "{}", "validators: []", "should have at least 1 items"),
    ("the list is there",                   "{}", "validators: null", "spec.validators: "),
    ("C2: names are unique",                    "validators: [{name: a}, {name: b}]", "validators: [{name: a}, {name: a}]", "uplicate"),
    ("C8: names are labels: no capitals",       "validators: [{name: a-1}]", "validators: [{name: Alice}]", "neither beginning nor ending with -"),
    ("names are labels: no dots",           "validators: [{name: 1a}]", "validators: [{name: a.b}]", "\"alice\" is fine"),
    ("names are labels: no dash at an end", "validators: [{name: a-b}]", "validators: [{name: a-}]", "a DNS label"),
    ("C8: names are ASCII",                     "validators: [{name: zoe}]", "validators: [{name: zoë}]", "a DNS label"),
    ("names are not empty",                 "validators: [{name: a}]", "validators: [{name: ''}]", "a DNS label"),
    ("C8: names are short: pods have them",     "validators: [{name: abcdefghijklmnopqrst}]", "validators: [{name: abcdefghijklmnopqrstu}]", "Too long: may not be more than 20"),
    ("a name is not the client Service's",  "validators: [{name: apis}]", "validators: [{name: api}]", "taken by the cluster's own"),
    ("a name is not the genesis's",         "validators: [{name: genesis-1}]", "validators: [{name: genesis}]", "taken by the cluster's own"),
    ("power is at least 1",                 "validators: [{name: a, power: 1}]", "validators: [{name: a, power: 0}]", "greater than or equal to 1"),
    ("power is a number",                   "validators: [{name: a, power: 4000000000}]", "validators: [{name: a, power: -1}]", "greater than or equal to 1"),
    ("power is whole",                      "validators: [{name: a, power: 2}]", "validators: [{name: a, power: 1.5}]", "integer"),
    ("power fits",                          "validators: [{name: a, power: 4294967295}]", "validators: [{name: a, power: 4294967296}]", "less than or equal to 4294967295"),
    ("each has its own member key",
        "validators: [{name: a, memberKeySecret: {name: keys, key: a}}, {name: b, memberKeySecret: {name: keys, key: b}}, {name: c}]",
        "validators: [{name: a, memberKeySecret: {name: keys, key: a}}, {name: b, memberKeySecret: {name: keys, key: a}}]", "duplicate memberKeySecret"),
    ("a Secret has a name",                 "validators: [{name: a, memberKeySecret: {name: k.1, key: key_1.k}}]", "validators: [{name: a, memberKeySecret: {name: K, key: k}}]", "beginning and ending with a letter or digit"),
    ("a Secret's key is one",               "validators: [{name: a, memberKeySecret: {name: k, key: k}}]", "validators: [{name: a, memberKeySecret: {name: k, key: a/b}}]", "\"genesis.json\" is fine"),
    ("what nobody reads is not written",    "{}", "validators: [{name: a, weight: 3}]", "unknown field"),
    ("fenced validators exist",             "fencedValidators: [bob]", "fencedValidators: [bobby]", "must be the name of one of spec.validators"),
    ("fencing twice is a slip",             "fencedValidators: [alice, bob]", "fencedValidators: [bob, bob]", "uplicate"),
];

#[rustfmt::skip]
const BACKENDS: &[Row<'static>] = &[
    ("TiKV for the log says where",    "order: {type: TiKV}\ntikv: {pdEndpoints: ['pd:2379'], keyPrefix: demo, plaintext: true}", "order: {type: TiKV}", "tikv is missing"),
    ("TiKV for the state says where",  "store: {type: TiKV}\ntikv: {pdEndpoints: ['pd:2379'], keyPrefix: demo, tls: {secretName: t}}", "store: {type: TiKV}", "tikv is missing"),
    ("TiKV for nothing is a slip",     "{}", "tikv: {pdEndpoints: ['pd:2379'], keyPrefix: demo, plaintext: true}", "used by nothing"),
    ("there are two logs",             "order: {type: Raft}", "order: {type: Kafka}", "supported values: \"Raft\", \"TiKV\""),
    ("there are two stores",           "store: {type: Embedded}", "store: {type: tikv}", "supported values: \"Embedded\", \"TiKV\""),
    ("C14: an endpoint at least",           "order: {type: TiKV}\ntikv: {pdEndpoints: ['pd-0.pd:2379', '10.0.0.1:2379'], keyPrefix: demo, plaintext: true}", "order: {type: TiKV}\ntikv: {pdEndpoints: [], keyPrefix: demo, plaintext: true}", "should have at least 1 items"),
    ("endpoints have ports",           "order: {type: TiKV}\ntikv: {pdEndpoints: ['[::1]:2379'], keyPrefix: demo, plaintext: true}", "order: {type: TiKV}\ntikv: {pdEndpoints: ['pd'], keyPrefix: demo, plaintext: true}", "\"pd-0.pd:2379\" is fine"),
    ("endpoints are no URLs",          "order: {type: TiKV}\ntikv: {pdEndpoints: ['pd:1'], keyPrefix: demo, plaintext: true}", "order: {type: TiKV}\ntikv: {pdEndpoints: ['https://pd:2379'], keyPrefix: demo, plaintext: true}", "host:port"),
    ("ports end at 65535",             "order: {type: TiKV}\ntikv: {pdEndpoints: ['pd:65535'], keyPrefix: demo, plaintext: true}", "order: {type: TiKV}\ntikv: {pdEndpoints: ['pd:65536'], keyPrefix: demo, plaintext: true}", "host:port"),
    ("C14: plain text is said aloud",       "order: {type: TiKV}\ntikv: {pdEndpoints: ['pd:2379'], keyPrefix: demo, tls: {secretName: t}}", "order: {type: TiKV}\ntikv: {pdEndpoints: ['pd:2379'], keyPrefix: demo}", "plaintext: true for a network that you trust"),
    ("one of the two",                     "order: {type: TiKV}\ntikv: {pdEndpoints: ['pd:2379'], keyPrefix: demo, plaintext: true}", "order: {type: TiKV}\ntikv: {pdEndpoints: ['pd:2379'], keyPrefix: demo, plaintext: true, tls: {secretName: t}}", "one of the two"),
    ("a prefix is a label",            "order: {type: TiKV}\ntikv: {pdEndpoints: ['pd:2379'], keyPrefix: a-1, plaintext: true}", "order: {type: TiKV}\ntikv: {pdEndpoints: ['pd:2379'], keyPrefix: a/b, plaintext: true}", "\"demo\" is fine"),
    ("a prefix is not empty",          "order: {type: TiKV}\ntikv: {pdEndpoints: ['pd:2379'], keyPrefix: a, plaintext: true}", "order: {type: TiKV}\ntikv: {pdEndpoints: ['pd:2379'], keyPrefix: '', plaintext: true}", "\"demo\" is fine"),
];

#[rustfmt::skip]
const VOLUMES: &[Row<'static>] = &[
    ("C9: sizes are positive",        "storage: {data: {size: 1Gi}}", "storage: {data: {size: -1Gi}}", "\"20Gi\" is fine"),
    ("C9: sizes are quantities",      "storage: {data: {size: 1.5Ti}}", "storage: {data: {size: 1GiB}}", "\"20Gi\" is fine"),
    ("C9: sizes are not nothing",     "storage: {data: {size: '1000000000'}}", "storage: {data: {size: '0'}}", "\"20Gi\" is fine"),
    ("sizes are text",            "storage: {data: {size: 20Gi}}", "storage: {data: {size: 20}}", "must be of type string"),
    ("sizes of one validator",    "validators: [{name: a, storage: {size: 2Gi}}]", "validators: [{name: a, storage: {size: 2GB}}]", "\"20Gi\" is fine"),
    ("classes are names",         "storage: {data: {storageClassName: fast.ssd}}", "storage: {data: {storageClassName: Fast}}", "a class is"),
    ("two access modes",          "storage: {data: {accessMode: ReadWriteOncePod}}", "storage: {data: {accessMode: ReadWriteMany}}", "supported values: \"ReadWriteOnce\", \"ReadWriteOncePod\""),
    ("two retentions",            "storage: {retention: {whenDeleted: Delete}}", "storage: {retention: {whenDeleted: Recycle}}", "supported values: \"Retain\", \"Delete\""),
    ("cpu is a quantity",         "resources: {requests: {cpu: 2, memory: 2Gi}}", "resources: {requests: {cpu: lots}}", "resources.requests.cpu"),
    ("C9: memory is not negative",    "resources: {limits: {memory: 1Gi}}", "resources: {limits: {memory: -1Gi}}", "resources.limits.memory"),
    ("C9: memory is no GiB",          "validators: [{name: a, resources: {limits: {memory: 1G}}}]", "validators: [{name: a, resources: {limits: {memory: 1GiB}}}]", "resources.limits.memory"),
];

#[rustfmt::skip]
const REST: &[Row<'static>] = &[
    ("chain ids are hashes",        "chain: {chainId: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}", "chain: {chainId: abcd}", "64 of 0-9 and a-f"),
    ("chain ids are in lower case", "chain: {name: Demo}", "chain: {chainId: 0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef}", "64 of 0-9 and a-f"),
    ("chains have names",           "chain: {name: The ledger of Zoë}", "chain: {name: ''}", "at least 1 chars long"),
    ("a genesis is a key",          "bootstrap: {genesisRef: {name: agreed}}", "bootstrap: {genesisRef: {name: agreed, key: ''}}", "chars long"),
    ("digests are whole",           "image: {digest: 'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}", "image: {digest: 'sha256:0123'}", "a digest is"),
    ("tags are tags",               "image: {repository: 'localhost:5000/cairn', tag: 0.1.0}", "image: {tag: 'a b'}", "\"0.1.0\" is fine"),
    ("a repository has no tag",     "image: {repository: registry.example/a/cairn}", "image: {repository: 'registry.example/cairn:1'}", "without tag or digest"),
    ("pull policies",               "image: {pullPolicy: Always, pullSecrets: [a, b]}", "image: {pullPolicy: Sometimes}", "supported values"),
    ("a certificate is from one place", "api: {tls: {secretName: web}}", "api: {tls: {secretName: web, issuerRef: {name: ca}}}", "exactly one of secretName and issuerRef"),
    ("or it is none",               "api: {tls: {issuerRef: {name: ca, kind: ClusterIssuer}}}", "api: {tls: {}}", "exactly one of secretName and issuerRef"),
    ("hosts are names",             "api: {ingress: {host: '*.ledger.example'}}", "api: {ingress: {host: 'https://ledger.example'}}", "\"ledger.example\" is fine"),
    ("so are those of a gateway",   "api: {gateway: {name: web, hostnames: [ledger.example]}}", "api: {gateway: {name: web, hostnames: ['a b']}}", "\"ledger.example\" is fine"),
    ("services have types",         "api: {service: {type: LoadBalancer, annotations: {example.com/a: b}}}", "api: {service: {type: ExternalName}}", "supported values"),
    ("our annotations are ours",    "api: {ingress: {host: a.b, annotations: {nginx.ingress.kubernetes.io/x: z}}}", "api: {service: {annotations: {cairndb.io/applied: x}}}", "are the operator's"),
    ("our labels are ours",         "monitoring: {podMonitor: true, labels: {release: prometheus}}", "monitoring: {labels: {app.kubernetes.io/name: x}}", "are the operator's"),
    ("updates take a while",        "update: {timeoutSeconds: 30}", "update: {timeoutSeconds: 29}", "greater than or equal to 30"),
    ("and end on a day",            "update: {timeoutSeconds: 86400}", "update: {timeoutSeconds: 86401}", "less than or equal to 86400"),
    ("somebody always lags",        "update: {maxLagBlocks: 1}", "update: {maxLagBlocks: 0}", "greater than or equal to 1"),
    ("three strategies",            "update: {strategy: Supervised}", "update: {strategy: Recreate}", "supported values: \"RollingUpdate\", \"Supervised\", \"OnDelete\""),
    ("C15: the budget is computed",      "availability: {podDisruptionBudget: Disabled}", "availability: {maxUnavailable: 2}", "unknown field"),
    ("nodes are told apart by labels", "availability: {topologyKey: topology.kubernetes.io/zone}", "availability: {topologyKey: 'a b'}", "a label of nodes"),
    ("a slip would let everyone in", "networkPolicy: {apiFrom: [{namespaceSelector: {matchLabels: {a: b}}}]}", "networkPolicy: {apiFrom: [{namespaceSelector: {matchLabel: {a: b}}}]}", "unknown field"),
    ("pods keep our labels",        "podOverrides: {metadata: {labels: {team: x}}, spec: {dnsPolicy: Default, containers: [{name: cairn, env: [{name: A, value: b}]}]}}", "podOverrides: {metadata: {labels: {cairndb.io/validator: x}}}", "podOverrides.metadata.labels"),
    ("pods keep our annotations",   "podOverrides: {metadata: {annotations: {a: b}}}", "podOverrides: {metadata: {annotations: {app.kubernetes.io/name: x}}}", "podOverrides.metadata.annotations"),
    ("pods start again",            "podOverrides: {spec: {hostAliases: []}}", "podOverrides: {spec: {restartPolicy: Never}}", "podOverrides.spec.restartPolicy is the operator's"),
    ("pods have our account",       "podOverrides: {}", "podOverrides: {spec: {serviceAccountName: admin}}", "podOverrides.spec.serviceAccountName is the operator's"),
    ("pods have no token",          "podOverrides: {spec: {}}", "podOverrides: {spec: {automountServiceAccountToken: true}}", "podOverrides.spec.automountServiceAccountToken is the operator's"),
    ("pods have their own network", "podOverrides: {spec: {dnsConfig: {}}}", "podOverrides: {spec: {hostNetwork: true}}", "podOverrides.spec.hostNetwork is the operator's"),
    ("a validator is who it is",    "config: {log: debug, intake: {transactions: 20000}, api: {access_log: true}}", "config: {name: mallory}", "spec.validators says it instead"),
    ("its chain is what it is",     "config: {streams: {most: 5}}", "config: {genesis: /tmp/g}", "spec.bootstrap says it instead"),
    ("its keys are where they are", "config: {}", "config: {member_key: /tmp/k}", "memberKeySecret says it instead"),
    ("lost keys are not remade",    "config: {}", "config: {create_keys: false}", "config.create_keys is written by the operator"),
    ("its peers are who they are",  "config: {}", "config: {peers: {bob: 'x:1'}}", "spec.federation.members says it instead"),
    ("its ports are where they are", "config: {}", "config: {listen: {api: '0.0.0.0:80'}}", "config.listen is written by the operator"),
    ("its log is where it is",      "config: {}", "config: {order: memory}", "spec.order says it instead"),
    ("its certificate has a field", "config: {api: {rates: {key: {requests_per_s: 5}}}}", "config: {api: {tls: {certificates: a, key: b}}}", "spec.api.tls says it instead"),
    ("its API keys have a field",   "config: {api: {anonymous: [read]}}", "config: {api: {keys: {file: a}}}", "spec.api.keysSecret says it instead"),
    ("its TiKV has a field",        "config: {tikv: {collect_garbage: false}}", "config: {tikv: {prefix: a}}", "spec.tikv says them instead"),
];

/// Of `spec.federation`: members in short form, `name consensusKey memberKey endpoint`.
fn members(short: &[[&str; 4]]) -> String {
    let members: Vec<_> = short
        .iter()
        .map(|[name, consensus, member, endpoint]| {
            json!({
                "name": name, "consensusKey": consensus, "memberKey": member, "endpoint": endpoint,
                "adminDomain": "example.org",
            })
        })
        .collect();
    json!({ "federation": { "members": members } }).to_string()
}

/// What is wrong with a row.
async fn judged(api: &Api<DynamicObject>, row: Row<'_>) -> Option<String> {
    let (why, good, bad, words) = row;
    if let Err(refusal) = may_create(api, cluster("row", good)).await {
        return Some(format!("{why}: {good} is refused: {refusal}"));
    }
    match may_create(api, cluster("row", bad)).await {
        Ok(()) => Some(format!("{why}: {bad} is taken")),
        Err(refusal) if !refusal.contains(words) => Some(format!("{why}: {bad}: {refusal}")),
        Err(refusal) => {
            println!("{why}: {bad}\n  {refusal}");
            None
        }
    }
}

async fn hold(api: &Api<DynamicObject>, rows: &[Row<'_>]) {
    let mut wrong = Vec::new();
    for row in rows {
        wrong.extend(judged(api, *row).await);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn each_rule_lets_one_object_pass_and_refuses_another() {
    let servers = installed();
    namespace(servers, "admission");
    let api = clusters(servers.client().await, "admission");
    let rows = [VALIDATORS, BACKENDS, VOLUMES, REST].concat();
    hold(&api, &rows).await;
    println!("{} rules, each with a good and a bad object", rows.len());
}

#[tokio::test]
async fn members_elsewhere_are_others_with_keys_and_places_of_their_own() {
    let servers = installed();
    namespace(servers, "admission-members");
    let api = clusters(servers.client().await, "admission-members");
    let carol = ["carol", KEY, OTHER, "carol.example:9987"];
    #[rustfmt::skip]
    let table = [
        ("a member is no validator",    [["bob", THIRD, FOURTH, "b.example:1"], carol], "duplicate name"),
        ("C2: a member is there once",      [["carol", THIRD, FOURTH, "b.example:1"], carol], "uplicate"),
        ("a name is a label",           [["Dave", THIRD, FOURTH, "b.example:1"], carol], "\"bob\" is fine"),
        ("C2: a consensus key is one's own", [["dave", KEY, FOURTH, "b.example:1"], carol], "duplicate consensusKey"),
        ("a member key is one's own",   [["dave", THIRD, OTHER, "b.example:1"], carol], "duplicate memberKey"),
        ("a key has one role",          [["dave", THIRD, KEY, "b.example:1"], carol], "duplicate key"),
        ("even with oneself",           [["dave", THIRD, THIRD, "b.example:1"], carol], "duplicate key"),
        ("C2: a place is one's own",        [["dave", THIRD, FOURTH, "carol.example:9987"], carol], "duplicate endpoint"),
        ("a place has a port",          [["dave", THIRD, FOURTH, "b.example"], carol], "\"bob.example:9987\""),
        ("no l in base58",              [["dave", "lzvwRjXUKGfvwnParsHAS3HuSVzV5cA4McphgmoCtajS", FOURTH, "b.example:1"], carol], "of base58"),
        ("a key is whole",              [["dave", "4zvw", FOURTH, "b.example:1"], carol], "of base58"),
        ("a key is no longer",          [["dave", THIRD, "4zvwRjXUKGfvwnParsHAS3HuSVzV5cA4McphgmoCtajSS", "b.example:1"], carol], "Too long"),
    ];
    let good = members(&[["dave", THIRD, FOURTH, "[2001:db8::1]:9987"], carol]);
    for (why, bad, words) in table {
        hold(&api, &[(why, &good, &members(&bad), words)]).await;
    }
}

#[tokio::test]
async fn names_of_clusters_fit_into_those_of_services_and_pods() {
    let servers = installed();
    namespace(servers, "admission-names");
    let api = clusters(servers.client().await, "admission-names");
    for good in ["a", "demo", "abcdefghijklmnopqrstuvwxyz-123"] {
        assert_eq!(may_create(&api, cluster(good, "{}")).await, Ok(()), "{good}");
    }
    let endless = "a".repeat(253);
    for bad in ["abcdefghijklmnopqrstuvwxyz-1234", "1a", "a.b", &endless] {
        let refusal = may_create(&api, cluster(bad, "{}")).await.expect_err(bad);
        assert!(refusal.contains("metadata.name: 1 to 30"), "{bad}: {refusal}");
    }
}

#[tokio::test]
async fn counts_are_bounded() {
    let servers = installed();
    namespace(servers, "admission-counts");
    let api = clusters(servers.client().await, "admission-counts");
    let validators = |count: usize| {
        let all: Vec<_> = (0..count).map(|at| json!({ "name": format!("v{at}") })).collect();
        json!({ "validators": all }).to_string()
    };
    hold(
        &api,
        &[("one object runs 31", &validators(31), &validators(32), "must have at most 31 items")],
    )
    .await;

    // Keys that differ and look like keys; whether they are points of the curve is the operator's to say.
    let letters = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let key = |at: usize, role: char| {
        let letter = |at: usize| letters.chars().nth(at).unwrap();
        format!("{}{}{role}{}", letter(at / 50), letter(at % 50), "1".repeat(40))
    };
    let federation = |count: usize| {
        let members: Vec<_> = (0..count)
            .map(|at| {
                json!({
                    "name": format!("m{at}"), "consensusKey": key(at, 'c'), "memberKey": key(at, 'm'),
                    "endpoint": format!("m{at}.example:9987"), "adminDomain": "example.org",
                })
            })
            .collect();
        json!({ "federation": { "members": members } }).to_string()
    };
    let (most, more) = (federation(126), federation(127));
    hold(&api, &[("a chain has 128", &most, &more, "at most 128 together")]).await;
}

/// Why, the object that is there, what it may become, what it may not, and words of the refusal.
type Change = (&'static str, &'static str, &'static str, &'static str, &'static str);

const TIKV: &str =
    "order: {type: TiKV}\ntikv: {pdEndpoints: ['pd:2379'], keyPrefix: a, plaintext: true}";

#[rustfmt::skip]
const CHANGES: &[Change] = &[
    ("C5: volumes only grow",           "storage: {data: {size: 10Gi}}", "storage: {data: {size: 11Gi}}", "storage: {data: {size: 9Gi}}", "can grow, never shrink"),
    ("by value, not by letters",    "storage: {data: {size: 9Gi}}", "storage: {data: {size: 10Gi}}", "storage: {data: {size: 999Mi}}", "can grow, never shrink"),
    ("the same in other words",     "storage: {data: {size: 1Gi}}", "storage: {data: {size: 1024Mi}}", "storage: {data: {size: 1000Mi}}", "can grow, never shrink"),
    ("the default is a size too",   "{}", "storage: {data: {size: 21Gi}}", "storage: {data: {size: 19Gi}}", "can grow, never shrink"),
    ("a volume of one's own",       "validators: [{name: alice, storage: {size: 30Gi}}]", "validators: [{name: alice, storage: {size: 31Gi}}]", "validators: [{name: alice}]", "can grow, never shrink"),
    ("getting one is growing",      "validators: [{name: alice}, {name: bob}]", "validators: [{name: alice, storage: {size: 30Gi}}, {name: bob}]", "validators: [{name: alice, storage: {size: 10Gi}}, {name: bob}]", "can grow, never shrink"),
    ("newcomers may be small",      "validators: [{name: alice}]", "validators: [{name: alice}, {name: bob, storage: {size: 5Gi}}]", "validators: [{name: alice, storage: {size: 5Gi}}, {name: bob}]", "can grow, never shrink"),
    ("C5: a class stays",               "storage: {data: {storageClassName: a}}", "storage: {data: {storageClassName: a, size: 30Gi}}", "storage: {data: {storageClassName: b}}", "storageClassName is immutable"),
    ("the default class stays",     "{}", "paused: true", "storage: {data: {storageClassName: b}}", "storageClassName is immutable"),
    ("a class does not go",         "storage: {data: {storageClassName: a}}", "validators: [{name: bob, storage: {storageClassName: a}}]\nstorage: {data: {storageClassName: a}}", "{}", "storageClassName is immutable"),
    ("newcomers have their class",  "validators: [{name: alice}]", "validators: [{name: alice}, {name: bob, storage: {storageClassName: b}}]", "validators: [{name: alice, storage: {storageClassName: b}}]", "storageClassName is immutable"),
    ("an access mode stays",        "{}", "suspend: true", "storage: {data: {accessMode: ReadWriteOncePod}}", "accessMode is immutable"),
    ("a log stays",                 "{}", "order: {type: Raft}", TIKV, "order.type is immutable"),
    ("a store stays",               "{}", "store: {type: Embedded}", "store: {type: TiKV}\ntikv: {pdEndpoints: ['pd:2379'], keyPrefix: a, plaintext: true}", "store.type is immutable"),
    ("TiKV may move, keys may not", TIKV, "order: {type: TiKV}\ntikv: {pdEndpoints: ['other:2379'], keyPrefix: a, tls: {secretName: t}}", "order: {type: TiKV}\ntikv: {pdEndpoints: ['pd:2379'], keyPrefix: b, plaintext: true}", "keyPrefix is immutable"),
    ("TiKV does not go",            TIKV, TIKV, "{}", "order.type is immutable"),
    ("a chain's name stays",        "chain: {name: a}", "chain: {name: a}", "chain: {name: b}", "name is immutable"),
    ("and does not come",           "{}", "chain: {}", "chain: {name: b}", "name is immutable"),
    ("a beginning stays",           "bootstrap: {genesisRef: {name: a}}", "bootstrap: {genesisRef: {name: a}}", "bootstrap: {genesisRef: {name: b}}", "bootstrap is immutable"),
    ("and does not go",             "bootstrap: {genesisRef: {name: a}}", "bootstrap: {genesisRef: {name: a, key: genesis.json}}", "{}", "bootstrap is immutable"),
    ("C3: a pin stays", "chain: {chainId: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}", "chain: {chainId: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}", "chain: {chainId: ffff456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}", "chainId is immutable"),
    ("and does not go", "chain: {chainId: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}", "chain: {chainId: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef}", "{}", "chainId is immutable"),
    ("a validator leaves by name",  "{}", "validators: [{name: bob}]", "validators: []", "at least 1 items"),
    ("power may be asked for",      "{}", "validators: [{name: alice, power: 2}, {name: bob}]", "validators: [{name: alice, power: 0}, {name: bob}]", "greater than or equal to 1"),
];

#[tokio::test]
async fn what_a_chain_was_made_with_stays() {
    let servers = installed();
    namespace(servers, "admission-changes");
    let api = clusters(servers.client().await, "admission-changes");
    for (at, (why, before, good, bad, words)) in CHANGES.iter().enumerate() {
        let name = format!("c{at}");
        api.create(&PostParams::default(), &object(cluster(&name, before))).await.expect(why);
        assert_eq!(may_become(&api, cluster(&name, good)).await, Ok(()), "{why}: {good}");
        let refusal =
            may_become(&api, cluster(&name, bad)).await.expect_err(&format!("{why}: {bad}"));
        assert!(refusal.contains(words), "{why}: {bad}: {refusal}");
    }
}

#[tokio::test]
async fn a_chain_id_may_be_pinned_later_to_the_chain_that_is_there() {
    let servers = installed();
    namespace(servers, "admission-pin");
    let api = clusters(servers.client().await, "admission-pin");
    let (ours, other) = ("ab".repeat(32), "cd".repeat(32));
    let pin = |id: &str| cluster("demo", &format!("chain: {{chainId: {id}}}"));
    api.create(&PostParams::default(), &object(cluster("demo", "{}"))).await.unwrap();
    assert_eq!(may_become(&api, pin(&other)).await, Ok(()), "before the genesis any id is as good");

    let status = json!({ "status": { "chainId": ours } });
    api.patch_status("demo", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    assert_eq!(may_become(&api, pin(&ours)).await, Ok(()), "the pin of what is");
    assert_eq!(may_become(&api, cluster("demo", "paused: true")).await, Ok(()), "no pin at all");
    let refusal = may_become(&api, pin(&other)).await.expect_err("a pin of another chain");
    assert!(refusal.contains("chainId is immutable"), "{refusal}");
}

#[tokio::test]
async fn an_explicit_null_is_as_good_as_nothing() {
    let servers = installed();
    namespace(servers, "admission-nulls");
    let api = clusters(servers.client().await, "admission-nulls");
    let nulls = "validators: [{name: alice, image: null, power: null, tolerations: null, nodeSelector: null}]\n\
                 storage: null\nresources: null\nfencedValidators: null\nfederation: null\nsuspend: null";
    api.create(&PostParams::default(), &object(cluster("demo", nulls))).await.unwrap();
    let stored = serde_json::to_value(api.get("demo").await.unwrap()).unwrap();
    assert!(!stored["spec"].to_string().contains("null"), "{stored}");
    let read: crd::BlockchainCluster = serde_json::from_value(stored).unwrap();
    assert_eq!(read.spec.validators[0].power, 1);
    assert_eq!(read.spec.storage.data.size.0, "20Gi");
}

#[test]
fn kubectl_refuses_with_the_field_and_what_would_be_fine() {
    let servers = installed();
    namespace(servers, "admission-kubectl");
    let broken =
        cluster("demo", "validators: [{name: Alice}]\nstorage: {data: {size: 1GiB}}\nreplicas: 4");
    let refusal = servers
        .kubectl_with(&["-n", "admission-kubectl", "create", "-f", "-"], &broken.to_string())
        .unwrap_err();
    assert!(refusal.contains("unknown field \"spec.replicas\""), "{refusal}");

    let broken = cluster("demo", "validators: [{name: Alice}]\nstorage: {data: {size: 1GiB}}");
    let refusal = servers
        .kubectl_with(&["-n", "admission-kubectl", "create", "-f", "-"], &broken.to_string())
        .unwrap_err();
    for words in [
        "spec.validators[0].name",
        "\"alice\" is fine",
        "spec.storage.data.size",
        "\"20Gi\" is fine",
    ] {
        assert!(refusal.contains(words), "{words}: {refusal}");
    }
}

#[test]
fn every_field_is_explained() {
    let servers = installed();
    for (path, words) in [
        ("bcc", "one Kubernetes cluster runs of it"),
        ("bcc.spec.validators", "a DNS label of at most 20 characters"),
        ("bcc.spec.storage.data", "20Gi by default"),
        ("bcc.status.members", "How far behind the best a validator is"),
    ] {
        // Discovery and OpenAPI follow a CRD that was established after a moment.
        let mut tries = 0;
        let text = loop {
            match servers.kubectl(&["explain", path]) {
                Ok(text) => break text,
                Err(error) => assert!(tries < 600, "{path}: {error}"),
            }
            tries += 1;
            std::thread::sleep(std::time::Duration::from_millis(100));
        };
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(words), "{path}: {text}");
    }
}
