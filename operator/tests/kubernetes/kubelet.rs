//! A kubelet, a scheduler and a volume provisioner for one namespace, and validators that are a small HTTP
//! server each: what they say on their admin ports is what a validator would. It also keeps the book on
//! what must never happen.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, extract::State as Shared, http::StatusCode, response::IntoResponse};
use cairn_ledger::{genesis::Genesis, signature::SigningKey};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

mod pods;
mod volumes;

pub(crate) use volumes::CLASS;

/// How often it looks.
const LOOK: Duration = Duration::from_millis(60);
const PORT: u16 = 9986;

/// What is wrong with a validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It answers, and does not serve.
    NotReady,
    /// Its process ends with this code again and again.
    Exits(i32),
    /// Its admin port answers nothing; its pod stays ready.
    Silent,
}

/// What was seen, and must not have been.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    /// The most validators that were down at the same time, once all had been up.
    pub(crate) down_most: usize,
    /// Whether those that were up ever had no quorum, once all had been up.
    pub(crate) lost_quorum: bool,
    /// The genesis documents.
    pub(crate) documents: BTreeSet<String>,
    /// Claims that were there and went.
    pub(crate) claims_gone: BTreeSet<String>,
    /// Pods that were stopped, in this order, by validator.
    pub(crate) stopped: Vec<String>,
}

struct Node {
    validator: String,
    cluster: String,
    address: Ipv4Addr,
    claim: String,
    image: String,
    told: bool,
    founded: bool,
    looks: u32,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<String, Node>,
    faults: BTreeMap<String, Fault>,
    /// By cluster.
    genesis: BTreeMap<String, Genesis>,
    leader: BTreeMap<String, String>,
    /// The chain that a volume has seen, by the claim's uid.
    volumes: BTreeMap<String, String>,
    claims: BTreeSet<String>,
    was_up: BTreeSet<String>,
    height: u64,
    watches_down: bool,
    look: Duration,
    book: Book,
}

pub(crate) struct Kubelet {
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

struct Inner {
    client: Client,
    namespace: String,
    state: Mutex<State>,
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.task.abort();
        for (_, node) in std::mem::take(&mut self.inner.lock().nodes) {
            node.server.abort();
        }
    }
}

impl Kubelet {
    pub(crate) fn start(client: Client, namespace: &str) -> Self {
        let state = Mutex::new(State { watches_down: true, look: LOOK, ..State::default() });
        let inner = Arc::new(Inner { client, namespace: namespace.into(), state });
        let looks = inner.clone();
        let task = tokio::spawn(async move {
            loop {
                // The API server may be away: a kubelet goes on by itself.
                let _ = looks.look().await;
                let look = looks.lock().look;
                tokio::time::sleep(look).await;
            }
        });
        Self { inner, task }
    }

    pub(crate) fn breaks(&self, validator: &str, fault: Fault) {
        self.inner.lock().faults.insert(validator.into(), fault);
    }

    pub(crate) fn heals(&self, validator: &str) {
        self.inner.lock().faults.remove(validator);
    }

    /// Who leads, as long as it runs.
    pub(crate) fn leads(&self, cluster: &str, validator: &str) {
        self.inner.lock().leader.insert(cluster.into(), validator.into());
    }

    /// From now on it is no fault when validators are down: somebody asked for it.
    pub(crate) fn looks_away(&self) {
        self.inner.lock().watches_down = false;
    }

    /// For thousands of pods, of which none is waited for.
    pub(crate) fn looks_seldom(&mut self) {
        self.inner.lock().look = Duration::from_secs(1);
    }

    pub(crate) fn book(&self) -> Book {
        self.inner.lock().book.clone()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn look(self: &Arc<Self>) -> Result<(), kube::Error> {
        let claims = volumes::bind(&self.client, &self.namespace).await?;
        self.lock().note_claims(&claims);
        self.read_genesis().await?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let all = pods.list(&ListParams::default()).await?.items;
        self.forget_gone(&all);
        for pod in &all {
            self.tend(&pods, pod, &claims).await?;
        }
        self.lock().note_down();
        Ok(())
    }

    async fn read_genesis(&self) -> Result<(), kube::Error> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let maps = maps.list(&ListParams::default().labels("cairndb.io/cluster")).await?.items;
        let mut state = self.lock();
        for map in maps {
            let document = map.data.as_ref().and_then(|data| data.get("genesis.json"));
            let Some(document) = document else { continue };
            let cluster = map.name_any().trim_end_matches("-genesis").to_owned();
            state.genesis.insert(cluster, Genesis::from_json(document).unwrap());
            state.book.documents.insert(document.clone());
        }
        Ok(())
    }

    fn forget_gone(&self, pods: &[Pod]) {
        let there: BTreeSet<String> = pods.iter().filter_map(ResourceExt::uid).collect();
        let mut state = self.lock();
        let gone: Vec<_> =
            state.nodes.keys().filter(|uid| !there.contains(*uid)).cloned().collect();
        for uid in gone {
            state.stop(&uid);
        }
    }
}

impl State {
    fn stop(&mut self, uid: &str) {
        if let Some(node) = self.nodes.remove(uid) {
            node.server.abort();
            self.book.stopped.push(node.validator);
        }
    }

    fn note_claims(&mut self, claims: &BTreeMap<String, PersistentVolumeClaim>) {
        let uids: BTreeSet<String> = claims.values().filter_map(ResourceExt::uid).collect();
        let gone = self.claims.difference(&uids).cloned().collect::<Vec<_>>();
        self.book.claims_gone.extend(gone);
        self.claims.extend(uids);
    }

    fn note_down(&mut self) {
        self.height += 1;
        let clusters: Vec<_> = self
            .genesis
            .iter()
            .map(|(cluster, genesis)| (cluster.clone(), genesis.clone()))
            .collect();
        for (cluster, genesis) in clusters {
            let up = genesis.validators().iter().filter(|v| self.is_up(&cluster, &v.name)).count();
            if up == genesis.validators().len() {
                self.was_up.insert(cluster.clone());
            }
            if self.watches_down && self.was_up.contains(&cluster) {
                self.book.down_most = self.book.down_most.max(genesis.validators().len() - up);
                self.book.lost_quorum |= !self.has_quorum(&cluster);
            }
            self.elect(&cluster);
        }
        for node in self.nodes.values_mut() {
            node.looks += 1;
        }
    }

    fn is_up(&self, cluster: &str, validator: &str) -> bool {
        self.nodes
            .values()
            .any(|node| node.cluster == cluster && node.validator == validator && self.votes(node))
    }

    fn votes(&self, node: &Node) -> bool {
        let fault = self.faults.get(&node.validator);
        node.founded
            && node.looks > 1
            && !node.image.contains("bad")
            && !matches!(fault, Some(Fault::Exits(_) | Fault::NotReady))
    }

    fn has_quorum(&self, cluster: &str) -> bool {
        let Some(genesis) = self.genesis.get(cluster) else { return false };
        let voting = genesis.validators().iter().filter(|v| self.is_up(cluster, &v.name));
        voting.map(|v| v.power).sum::<u64>() * 3 > genesis.total_power() * 2
    }

    fn elect(&mut self, cluster: &str) {
        let leads = self.leader.get(cluster).is_some_and(|leader| self.is_up(cluster, leader));
        let first = self.nodes.values().find(|n| n.cluster == cluster && self.votes(n));
        let first = first.map(|node| node.validator.clone());
        if !leads && let Some(first) = first {
            self.leader.insert(cluster.into(), first);
        }
    }

    fn is_ready(&self, node: &Node) -> bool {
        self.votes(node) && self.has_quorum(&node.cluster)
    }

    fn status(&self, node: &Node) -> Value {
        let chain = self.genesis.get(&node.cluster).filter(|_| node.founded);
        let chain = chain.map(|genesis| genesis.chain().to_string()).unwrap_or_default();
        let quorum = self.has_quorum(&node.cluster);
        json!({
            "phase": if node.founded { "running" } else { "founding" },
            "validator": node.validator,
            "chain_id": chain,
            "height": self.height,
            "best_peer": self.height,
            "ready": self.is_ready(node),
            "not_ready_because": (!self.is_ready(node)).then_some("the test says so"),
            "voting": self.votes(node),
            "not_voting_because": null,
            "leads": self.leader.get(&node.cluster) == Some(&node.validator) && self.votes(node),
            "quorum": quorum,
            "no_quorum_because": null,
            "certificate_expiry": 0,
            "version": env!("CARGO_PKG_VERSION"),
        })
    }
}

/// The keys on a volume: made of the claim's uid, so that another volume has others.
fn keys(claim: &str) -> (String, String) {
    let key = |purpose: &str| {
        let seed = Sha256::digest(format!("{purpose} {claim}"));
        SigningKey::from_seed(seed.into()).public().to_string()
    };
    (key("consensus"), key("member"))
}

type Asked = (Arc<Inner>, String);

/// The admin port of a validator.
async fn admin(
    Shared((kubelet, uid)): Shared<Asked>,
    uri: axum::http::Uri,
) -> Result<Json<Value>, impl IntoResponse> {
    let silent = {
        let state = kubelet.lock();
        let node = state.nodes.get(&uid);
        node.is_some_and(|node| state.faults.get(&node.validator) == Some(&Fault::Silent))
    };
    if silent {
        std::future::pending::<()>().await;
    }
    let state = kubelet.lock();
    let node = state.nodes.get(&uid).ok_or(StatusCode::NOT_FOUND)?;
    let exits = matches!(state.faults.get(&node.validator), Some(Fault::Exits(_)));
    if exits || node.image.contains("bad") {
        return Err(StatusCode::BAD_GATEWAY);
    }
    match uri.path() {
        "/status" => Ok(Json(state.status(node))),
        "/identity" => {
            let (consensus_key, member_key) = keys(&node.claim);
            Ok(Json(json!({
                "validator": node.validator, "consensus_key": consensus_key,
                "member_key": member_key, "chain_id": null, "version": env!("CARGO_PKG_VERSION"),
            })))
        }
        _ => Err(StatusCode::NOT_FOUND),
    }
}

/// An address of this machine that nobody uses, and its admin port.
async fn listen() -> (Ipv4Addr, tokio::net::TcpListener) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        #[expect(clippy::cast_possible_truncation, reason = "each is below 256")]
        let address = Ipv4Addr::new(
            127,
            64 + (std::process::id() % 128) as u8,
            (n / 250 % 250) as u8,
            (n % 250 + 1) as u8,
        );
        if let Ok(listener) = tokio::net::TcpListener::bind((address, PORT)).await {
            return (address, listener);
        }
    }
}

fn serve(kubelet: Arc<Inner>, uid: String, listener: tokio::net::TcpListener) -> JoinHandle<()> {
    let router = Router::new().fallback(admin).with_state((kubelet, uid));
    tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    })
}

async fn merge<K>(api: &Api<K>, name: &str, status: &Value) -> Result<(), kube::Error>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let patch = Patch::Merge(json!({ "status": status }));
    match api.patch_status(name, &PatchParams::default(), &patch).await {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        answer => answer.map(|_| ()),
    }
}
