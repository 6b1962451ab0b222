//! What a scenario needs: a namespace with a kubelet in it, operators that can be killed, and questions
//! that are asked until they are answered.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use cairn_operator::{
    crd::{BlockchainCluster, BlockchainClusterStatus},
    metrics::Metrics,
    run::{Operator, Settings},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, sync::oneshot};

use crate::{
    faults::{Faults, faulty},
    kubelet::Kubelet,
    servers::{Servers, shared},
};

/// How often a question is asked, and for how long at most.
const ASK: Duration = Duration::from_millis(40);
const ASK_MAX: Duration = Duration::from_secs(180);

pub(crate) const IMAGE: &str = "registry.test/cairn:1";

/// A namespace and everything in it.
pub(crate) struct World {
    pub(crate) servers: &'static Servers,
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) kubelet: Kubelet,
}

impl World {
    pub(crate) async fn new(name: &str) -> Self {
        // `RUST_LOG=cairn_operator=debug` shows what the operators do.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let servers = tokio::task::spawn_blocking(shared).await.unwrap();
        Self::on(servers, name).await
    }

    pub(crate) async fn on(servers: &'static Servers, name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        tokio::task::spawn_blocking(move || install(servers)).await.unwrap();
        let client = servers.client().await;
        let space =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let spaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
        let space = serde_json::from_value(space).unwrap();
        spaces.create(&PostParams::default(), &space).await.unwrap();
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
            Api::namespaced(client.clone(), &namespace);
        until("the namespace has its ServiceAccount", async || {
            accounts.get_opt("default").await.unwrap().ok_or_else(String::new)
        })
        .await;
        let kubelet = Kubelet::start(client.clone(), &namespace);
        Self { servers, client, namespace, kubelet }
    }

    pub(crate) fn clusters(&self) -> Api<BlockchainCluster> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Writes a cluster as a person does: by server-side apply.
    pub(crate) async fn writes(&self, name: &str, spec: Value) -> BlockchainCluster {
        let object = json!({
            "apiVersion": "cairndb.io/v1alpha1", "kind": "BlockchainCluster",
            "metadata": {"name": name}, "spec": spec,
        });
        let parameters = PatchParams::apply("a-person").force();
        self.clusters().patch(name, &parameters, &Patch::Apply(object)).await.unwrap()
    }

    /// Waits for a condition of the status that is about the present generation.
    pub(crate) async fn sees(&self, name: &str, what: &str, holds: impl Fn(&Status) -> bool) {
        until(what, async || {
            let cluster = self.clusters().get(name).await.unwrap();
            let status = cluster.status.clone().unwrap_or_default();
            let current = status.observed_generation == cluster.metadata.generation;
            let status = Status(status);
            if current && holds(&status) { Ok(()) } else { Err(format!("{status:?}")) }
        })
        .await;
    }

    /// Waits until a cluster is ready and nothing is under way.
    pub(crate) async fn settles(&self, name: &str) {
        self.sees(name, "the cluster is ready", |status| {
            status.is("Ready", "True") && status.0.operation.is_none()
        })
        .await;
    }

    /// Everything of a kind with our label, by name.
    pub(crate) async fn objects(&self, api_version: &str, kind: &str) -> Vec<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=cairn-operator");
        let mut items = api.list(&ours).await.unwrap().items;
        items.sort_by_key(ResourceExt::name_any);
        items
    }

    /// Starts an operator that has not to wait for the Lease of one that was killed.
    pub(crate) fn operator(&self) -> Running {
        self.operator_with(Arc::default())
    }

    /// Starts an operator whose requests `faults` has in its hands.
    pub(crate) fn operator_with(&self, faults: Arc<Faults>) -> Running {
        self.operator_that_looks(Duration::from_secs(30), faults)
    }

    /// Starts an operator that looks so often when nothing happens.
    pub(crate) fn operator_that_looks(&self, look: Duration, faults: Arc<Faults>) -> Running {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let lease = format!("operator-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Running::start(self.servers, &self.namespace, &lease, look, faults)
    }
}

/// A status, and a few questions to it.
#[derive(Debug)]
pub(crate) struct Status(pub(crate) BlockchainClusterStatus);

impl Status {
    pub(crate) fn is(&self, condition: &str, status: &str) -> bool {
        self.0.conditions.iter().any(|c| c.type_ == condition && c.status == status)
    }

    pub(crate) fn because(&self, condition: &str, reason: &str) -> bool {
        self.0.conditions.iter().any(|c| c.type_ == condition && c.reason == reason)
    }
}

/// An operator that runs, in a runtime of its own: dropping that is its death.
pub(crate) struct Running {
    pub(crate) faults: Arc<Faults>,
    pub(crate) metrics: Arc<Metrics>,
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<oneshot::Receiver<()>>,
}

impl Running {
    pub(crate) fn start(
        servers: &'static Servers,
        namespace: &str,
        lease: &str,
        look: Duration,
        faults: Arc<Faults>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let settings = Settings {
            namespaces: vec![namespace.into()],
            default_image: IMAGE.into(),
            concurrency: 2,
            probe_wait: Duration::from_secs(2),
            look,
            lease: (namespace.into(), lease.into()),
            listen: None,
            identity: Settings::identity("test"),
        };
        let (metrics_to, metrics) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (ends, ended) = oneshot::channel();
        let hands = faults.clone();
        runtime.spawn(async move {
            let mut config = servers.config(None).await;
            config.default_retry = false;
            let client = faulty(Client::try_from(config).unwrap(), hands);
            let operator = Operator::new(&client, settings);
            metrics_to.send(operator.metrics.clone()).unwrap();
            let stop = async {
                let _ = stopped.await;
            };
            operator.run(stop).await.unwrap();
            let _ = ends.send(());
        });
        let metrics = metrics.recv().unwrap();
        Self { faults, metrics, runtime: Some(runtime), stop: Some(stop), ended: Some(ended) }
    }

    /// Ends it as SIGTERM does, and waits for it.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.ended.take().unwrap().await.unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // What it was about to send does not arrive; then the rest of it goes.
        self.faults.dies();
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// Asks until there is an answer.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let begun = tokio::time::Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(last) if begun.elapsed() > ASK_MAX => panic!("it is not so that {what}: {last}"),
            Err(_) => tokio::time::sleep(ASK).await,
        }
    }
}

/// The smallest useful cluster.
pub(crate) fn four() -> Value {
    json!({
        "validators": [{"name": "alice"}, {"name": "bob"}, {"name": "carol"}, {"name": "dave"}],
        "storage": {"data": {"size": "1Gi", "storageClassName": crate::kubelet::CLASS}},
    })
}

/// `four`, with something else in it.
pub(crate) fn four_with(field: &str, value: Value) -> Value {
    let mut spec = four();
    spec[field] = value;
    spec
}

/// The CRD and the StorageClass, once.
fn install(servers: &Servers) {
    static DONE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    if done.insert(servers.directory.clone()) {
        let crd = cairn_operator::crd::crd().to_string();
        servers.kubectl_with(&["apply", "--server-side", "-f", "-"], &crd).unwrap();
        // Before it has conditions, kubectl does not wait for one.
        let wait = ["wait", "--for=condition=Established", "crd/blockchainclusters.cairndb.io"];
        let established = (0..100).any(|_| {
            let is = servers.kubectl(&wait).is_ok();
            if !is {
                std::thread::sleep(ASK);
            }
            is
        });
        assert!(established, "the CRD is not established");
        let class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": crate::kubelet::CLASS},
            "provisioner": "test.cairndb.io/none", "allowVolumeExpansion": true,
        });
        servers.kubectl_with(&["apply", "-f", "-"], &class.to_string()).unwrap();
    }
}
