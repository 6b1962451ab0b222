//! What a person does first, as docs/operator.md tells it: install the charts, make a ledger, look at it,
//! get a manifest wrong. The operator runs as its own process, with the rights that the chart gives it and
//! no others; what it asked the API server for is compared with what it may.

use std::{
    collections::BTreeSet,
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::{Value, json};

use crate::{
    kubelet::{CLASS, Kubelet},
    servers::{Beside, Servers},
    world::until,
};

const ACCOUNT: &str = "system:serviceaccount:cairn-system:cairn-operator";

/// What stands in docs/operator.md between `<!-- transcript: NAME -->` and `<!-- end -->`: commands, and
/// what they print. A fenced block each.
#[rustfmt::skip]
const TRANSCRIPTS: &[(&str, &[&str])] = &[
    ("install", &[
        "helm install cairn-crds charts/cairn-crds | head -n 1",
        "helm install cairn-operator charts/cairn-operator --namespace cairn-system --create-namespace | tail -n +7",
        "kubectl apply -f examples/minimal.yaml",
        "kubectl wait bcc/demo --for=condition=Ready --timeout=5m",
        "kubectl get bcc",
        "kubectl get bcc demo -o wide",
        "kubectl get pods",
    ]),
    ("conditions", &["kubectl get bcc demo -o go-template='{{range .status.conditions}}{{printf \"%-24s %-6s %-18s %s\\n\" .type .status .reason .message}}{{end}}'"]),
    ("refused", &["kubectl apply -f examples/broken/several-mistakes.yaml"]),
    ("explain", &["kubectl explain bcc.spec.update", "kubectl explain bcc.spec.storage.data"]),
];

/// Granted, and not asked for in this test, and why it is granted all the same.
#[rustfmt::skip]
const GRANTED_FOR_LATER: &[(&str, &str)] = &[
    ("update cairndb.io/blockchainclusters/finalizers", "asked for by the admission plugin OwnerReferencesPermissionEnforcement, which is off here"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_installs_it_makes_a_ledger_and_reads_what_it_says() {
    let servers: &'static Servers = Box::leak(Box::new(
        tokio::task::spawn_blocking(|| Servers::start("install")).await.unwrap(),
    ));
    let client = servers.client().await;
    // What a cluster has and this one has not: a default class of volumes, and somebody who runs pods.
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "test.cairndb.io/none", "allowVolumeExpansion": true,
    });
    servers.kubectl_with(&["apply", "-f", "-"], &class.to_string()).unwrap();
    install_optional_kinds(servers);
    let _kubelet = Kubelet::start(client.clone(), "default");
    let mut stale = Vec::new();
    let mut operator = None;
    for (name, commands) in TRANSCRIPTS {
        let mut text = String::new();
        for command in *commands {
            let said = shell(servers, command).await;
            text.push_str(&format!("```console\n$ {command}\n{said}```\n\n"));
            if command.contains("charts/cairn-operator") {
                operator = Some(run_operator(servers, &client).await);
            }
        }
        stale.extend(differs(name, &text).then_some(*name));
    }
    assert!(
        stale.is_empty(),
        "docs/operator.md is stale: {stale:?}; UPDATE_GOLDENFILES=1, then read the difference"
    );
    exercise(servers).await;
    drop(operator);
    compare_rights(servers);
}

/// Runs the operator as the chart's Deployment would: its arguments, its account.
async fn run_operator(servers: &'static Servers, client: &kube::Client) -> Beside {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "cairn-system");
    let deployment = deployments.get("cairn-operator").await.unwrap();
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    let mut arguments = pod.containers[0].args.clone().unwrap();
    let listen = arguments.iter_mut().find(|argument| argument.starts_with("--listen=")).unwrap();
    *listen = "--listen=127.0.0.1:0".into();
    for argument in &mut arguments {
        *argument = argument.replace("$(POD_NAMESPACE)", "cairn-system");
    }
    let kubeconfig =
        servers.kubeconfig_of_account("cairn-system", &pod.service_account_name.unwrap());
    servers.beside(env!("CARGO_BIN_EXE_cairn-operator"), &arguments, &kubeconfig)
}

/// Everything that it ever asks for: a cluster with every optional object, changed, taken apart again; one
/// whose validators change before there is a genesis.
async fn exercise(servers: &'static Servers) {
    let bare = json!({"validators": [{"name": "alice"}, {"name": "bob"}, {"name": "carol"}, {"name": "dave"}]});
    let mut full = bare.clone();
    full["image"] = json!({"repository": "registry.test/cairn", "tag": "2"});
    full["storage"] = json!({"data": {"size": "30Gi"}});
    full["api"] = json!({
        "ingress": {"host": "ledger.test"}, "gateway": {"name": "public"},
        "tls": {"issuerRef": {"name": "company"}},
    });
    full["monitoring"] = json!({"podMonitor": true, "rules": true});
    write(servers, "demo", &full).await;
    settled(servers, "demo").await;
    let mut less = bare;
    less["image"] = full["image"].clone();
    less["storage"] = full["storage"].clone();
    less["networkPolicy"] = json!({"enabled": false});
    less["availability"] = json!({"podDisruptionBudget": "Disabled"});
    write(servers, "demo", &less).await;
    settled(servers, "demo").await;
    // Two, and then one, that wait for a genesis which nobody publishes.
    let founding = |names: &[&str]| {
        let validators: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
        json!({"validators": validators, "bootstrap": {"genesisRef": {"name": "not-there"}}})
    };
    write(servers, "slow", &founding(&["erin", "frank"])).await;
    present(servers, "statefulset/slow-frank", true).await;
    write(servers, "slow", &founding(&["erin"])).await;
    present(servers, "statefulset/slow-frank", false).await;
    present(servers, "serviceaccount/slow-frank", false).await;
}

async fn write(servers: &'static Servers, name: &str, spec: &Value) {
    let object = json!({
        "apiVersion": "cairndb.io/v1alpha1", "kind": "BlockchainCluster",
        "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    });
    let object = object.to_string();
    let apply = move || servers.kubectl_with(&["apply", "-f", "-"], &object);
    tokio::task::spawn_blocking(apply).await.unwrap().unwrap();
}

async fn settled(servers: &'static Servers, name: &'static str) {
    until("the cluster is settled", async || {
        let get = move || servers.kubectl(&["get", "bcc", name, "-o", "json"]).unwrap();
        let text = tokio::task::spawn_blocking(get).await.unwrap();
        let cluster: Value = serde_json::from_str(&text).unwrap();
        let is =
            cluster["status"]["conditions"].as_array().into_iter().flatten().any(|condition| {
                condition["type"] == "Progressing"
                    && condition["reason"] == "Settled"
                    && condition["observedGeneration"] == cluster["metadata"]["generation"]
            });
        if is { Ok(()) } else { Err(cluster["status"].to_string()) }
    })
    .await;
}

async fn present(servers: &'static Servers, object: &'static str, wanted: bool) {
    until("an object comes or goes", async || {
        let get = move || servers.kubectl(&["get", object]).is_ok();
        let is = tokio::task::spawn_blocking(get).await.unwrap();
        if is == wanted { Ok(()) } else { Err(format!("{object}: {is}")) }
    })
    .await;
}

fn install_optional_kinds(servers: &Servers) {
    let file = root().join("operator/tests/kubernetes/optional-kinds.yaml");
    servers.kubectl(&["apply", "-f", &file.display().to_string()]).unwrap();
    servers
        .kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"])
        .unwrap();
}

/// Runs a command line as the documentation shows it.
async fn shell(servers: &'static Servers, command: &str) -> String {
    let command = command.to_owned();
    tokio::task::spawn_blocking(move || {
        let path = format!("{}:{}", servers.programs.display(), env::var("PATH").unwrap());
        let output = Command::new("bash")
            .args(["-c", &format!("{command} 2>&1")])
            .current_dir(root())
            .env("PATH", path)
            .env("KUBECONFIG", &servers.kubeconfig)
            .env("HOME", &servers.directory)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    })
    .await
    .unwrap()
}

/// Whether the documentation shows something else; mends it when asked to.
fn differs(name: &str, now: &str) -> bool {
    let path = root().join("docs/operator.md");
    let text = fs::read_to_string(&path).unwrap();
    let begin = format!("<!-- transcript: {name} -->\n");
    let from = text.find(&begin).unwrap_or_else(|| panic!("docs/operator.md has no {begin}"))
        + begin.len();
    let to = from + text[from..].find("<!-- end -->").unwrap();
    if env::var_os("UPDATE_GOLDENFILES").is_some() {
        fs::write(&path, format!("{}{}{}", &text[..from], now, &text[to..])).unwrap();
        return false;
    }
    let same = timeless(&text[from..to]) == timeless(now);
    if !same {
        eprintln!("{name} is now:\n{now}");
    }
    !same
}

/// Without what differs each time: ages, chain ids, and how wide a column is because of them.
fn timeless(text: &str) -> String {
    let is_age = |word: &str| {
        word.ends_with(['s', 'm', 'h']) && word.starts_with(|c: char| c.is_ascii_digit())
    };
    let is_hash = |word: &str| word.len() >= 40 && word.chars().all(|c| c.is_ascii_hexdigit());
    // Who leads is whoever was first.
    let is_leader = |word: &str| ["alice", "bob", "carol", "dave"].contains(&word);
    let line = |line: &str| {
        let wide = line.contains("ghcr.io/");
        let words =
            line.split_whitespace().map(|word| if wide && is_leader(word) { "…" } else { word });
        let words = words.map(|word| if is_age(word) || is_hash(word) { "…" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    // The API server lists mistakes in any order.
    let (mut mistakes, rest): (Vec<_>, Vec<_>) =
        text.lines().map(line).partition(|line| line.starts_with("* "));
    mistakes.sort();
    [rest, mistakes].concat().join("\n")
}

/// What the API server was asked for in the account's name, from its audit log, against what it may.
fn compare_rights(servers: &'static Servers) {
    let mut used = BTreeSet::new();
    let mut forbidden = BTreeSet::new();
    for event in servers.audited() {
        if event["user"]["username"] != ACCOUNT {
            continue;
        }
        let Value::Object(object) = &event["objectRef"] else { continue };
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
        let verb = event["verb"].as_str().unwrap();
        let mut right = format!("{verb} {}/{}", text("apiGroup"), text("resource"));
        if !text("subresource").is_empty() {
            right = format!("{right}/{}", text("subresource"));
        }
        if event["responseStatus"]["code"] == 403 {
            forbidden.insert(right.clone());
        }
        // Server-side apply of what is not there asks for `create` as well, and is logged as `patch`.
        if verb == "patch" && event["responseStatus"]["code"] == 201 {
            used.insert(right.replacen("patch", "create", 1));
        }
        used.insert(right);
    }
    assert!(
        forbidden.is_empty(),
        "the operator needs what the chart does not grant: {forbidden:#?}"
    );
    let granted = granted(servers);
    let idle: Vec<_> = granted
        .iter()
        .filter(|right| !used.contains(*right))
        .filter(|right| !GRANTED_FOR_LATER.iter().any(|(later, _)| later == right))
        .collect();
    assert!(idle.is_empty(), "the chart grants what the operator never asks for: {idle:#?}");
    assert!(used.len() > 20, "the audit log is empty: {used:?}");
}

fn granted(servers: &'static Servers) -> BTreeSet<String> {
    let mut granted = BTreeSet::new();
    for kind in ["clusterroles", "roles"] {
        let list = servers.kubectl(&[
            "get",
            kind,
            "-A",
            "-l",
            "app.kubernetes.io/name=cairn-operator",
            "-o",
            "json",
        ]);
        let list: Value = serde_json::from_str(&list.unwrap()).unwrap();
        for role in list["items"].as_array().unwrap() {
            // Those are for people.
            let labels = role["metadata"]["labels"].as_object().unwrap();
            if labels
                .keys()
                .any(|label| label.starts_with("rbac.authorization.k8s.io/aggregate-to"))
            {
                continue;
            }
            for rule in role["rules"].as_array().unwrap() {
                let texts = |key: &str| {
                    rule[key].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned())
                };
                for group in texts("apiGroups") {
                    for resource in texts("resources") {
                        granted.extend(
                            texts("verbs").map(|verb| format!("{verb} {group}/{resource}")),
                        );
                    }
                }
            }
        }
    }
    granted
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
