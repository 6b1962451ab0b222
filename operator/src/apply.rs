//! The only place that writes to the API server: each step of a plan, in order, until one fails. The same
//! step twice is as good as once, so that dying after any of them loses nothing.

use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions},
    core::Status,
};
use serde_json::{Value, json};
use tracing::info;

use crate::{
    crd::BlockchainCluster,
    manifest::{Kind, Manifest},
    names::{ANNOTATION_GENESIS, ClusterName, FIELD_MANAGER, GENESIS_KEY, LABEL_CLUSTER},
    observe::{
        Observed,
        cache::{Mark, Watched, Written},
        watch::api_resource,
    },
    plan::{Plan, Step},
};

/// What became of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// Steps that were carried out.
    pub done: Vec<Step>,
    /// The step that was not, and why. Those after it were not tried.
    pub failed: Option<(Step, ApplyError)>,
}

/// Why a step was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// An object of that name is somebody else's.
    #[error("{0} exists already and belongs to somebody else: rename one of the two, or delete it")]
    NameConflict(String),
    /// The API server says no: the spec has to change.
    #[error("the API server refuses {object}: {message}")]
    Refused {
        /// Kind and name.
        object: String,
        /// The API server's words.
        message: String,
    },
    /// It may work later: no answer, a conflict, too many requests.
    #[error("{object}: {message}; it is tried again")]
    Trouble {
        /// Kind and name.
        object: String,
        /// What happened.
        message: String,
    },
}

/// Carries out a plan. What was written is for the next pass to wait for.
pub(crate) async fn apply(
    client: &Client,
    name: &ClusterName,
    observed: &Observed,
    plan: &Plan,
) -> (Applied, Vec<Written>) {
    let mut applied = Applied::default();
    let mut written = vec![];
    for step in &plan.steps {
        let writer = Writer { client, name, observed };
        match writer.carry_out(step).await {
            Ok(mark) => {
                info!(step = %described(step), "wrote");
                written.extend(mark);
                applied.done.push(step.clone());
            }
            Err(error) => {
                applied.failed = Some((step.clone(), error));
                break;
            }
        }
    }
    (applied, written)
}

struct Writer<'a> {
    client: &'a Client,
    name: &'a ClusterName,
    observed: &'a Observed,
}

impl Writer<'_> {
    async fn carry_out(&self, step: &Step) -> Result<Option<Written>, ApplyError> {
        match step {
            Step::Apply(manifest) => self.write(manifest).await.map(Some),
            Step::Publish(manifest) => self.publish(manifest).await.map(Some),
            Step::Sweep { kind: Kind::PersistentVolumeClaim, name, .. } => {
                Err(ApplyError::Refused {
                    object: format!("PersistentVolumeClaim {name}"),
                    message: "volumes are never swept".into(),
                })
            }
            Step::Sweep { kind, name, uid } => self.delete(Watched::Owned(*kind), name, uid).await,
            Step::RestartPod { pod, uid, .. } => self.delete(Watched::Pod, pod, uid).await,
            Step::Nudge { pod, chain_id } => self.nudge(pod, chain_id).await,
        }
    }

    fn api(&self, watched: Watched) -> Api<DynamicObject> {
        let resource = api_resource(watched);
        Api::namespaced_with(self.client.clone(), &self.name.namespace, &resource)
    }

    async fn write(&self, manifest: &Manifest) -> Result<Written, ApplyError> {
        let (watched, what) = (Watched::Owned(manifest.kind), title(manifest));
        let api = self.api(watched);
        // The watch shows only what carries our label: of another object of that name it says nothing.
        if !self.observed.objects.contains_key(&(manifest.kind, manifest.name.clone())) {
            let there = api.get_opt(&manifest.name).await.map_err(|e| trouble(&what, e))?;
            if let Some(there) = there {
                self.may_write(manifest, &there)?;
            }
        }
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(manifest.annotated());
        let answer = api.patch(&manifest.name, &parameters, &patch).await;
        answer.map(|object| seen(watched, &object)).map_err(|e| trouble(&what, e))
    }

    /// Whether an object that the watch does not show may be written: ours, and nobody else's.
    fn may_write(&self, manifest: &Manifest, there: &DynamicObject) -> Result<(), ApplyError> {
        let what = title(manifest);
        let labels = there.metadata.labels.as_ref();
        let label = |key: &str| labels.and_then(|labels| labels.get(key)).map(String::as_str);
        let ours = label("app.kubernetes.io/managed-by") == Some(FIELD_MANAGER)
            && label(LABEL_CLUSTER) == Some(&self.name.name);
        if !ours {
            return Err(ApplyError::NameConflict(what));
        }
        let wanted = controller(&manifest.value["metadata"]["ownerReferences"]);
        let owners = serde_json::to_value(&there.metadata.owner_references).unwrap_or_default();
        match controller(&owners) {
            None => Ok(()),
            owner if owner == wanted => Ok(()),
            // Of a cluster of the same name that was deleted: it goes soon, and then ours can come.
            Some((kind, name, _)) if kind == "BlockchainCluster" && name == self.name.name => {
                let message = "belongs to the cluster of this name that was deleted, and is \
                               about to go";
                Err(ApplyError::Trouble { object: what, message: message.into() })
            }
            Some(_) => Err(ApplyError::NameConflict(what)),
        }
    }

    /// Made once. Where it is there already, it has to be the same.
    async fn publish(&self, manifest: &Manifest) -> Result<Written, ApplyError> {
        let (watched, what) = (Watched::Owned(manifest.kind), title(manifest));
        let api = self.api(watched);
        let object = serde_json::from_value(manifest.annotated()).map_err(|error| {
            ApplyError::Refused { object: what.clone(), message: error.to_string() }
        })?;
        let parameters =
            PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        match api.create(&parameters, &object).await {
            Ok(object) => Ok(seen(watched, &object)),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let there = api.get(&manifest.name).await.map_err(|e| trouble(&what, e))?;
                let document = |value: &Value| value["data"][GENESIS_KEY].clone();
                if document(&there.data) == document(&manifest.value) {
                    self.may_write(manifest, &there)?;
                    Ok(seen(watched, &there))
                } else {
                    Err(ApplyError::NameConflict(what))
                }
            }
            Err(error) => Err(trouble(&what, error)),
        }
    }

    async fn delete(
        &self,
        watched: Watched,
        name: &str,
        uid: &str,
    ) -> Result<Option<Written>, ApplyError> {
        let preconditions = Preconditions { uid: Some(uid.into()), resource_version: None };
        let parameters =
            DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        let deleted = self.api(watched).delete(name, &parameters).await;
        match deleted {
            // It ends in its own time: what has to be seen is that it is ending.
            Ok(either) => Ok(either.left().map(|object| seen(watched, &object)).or_else(|| {
                Some(Written { watched, name: name.into(), mark: Mark::Gone(uid.into()) })
            })),
            // Gone, or another of that name is there: either way this one is no more.
            Err(kube::Error::Api(status)) if status.is_not_found() || is_another(&status) => {
                Ok(None)
            }
            Err(error) => Err(trouble(&format!("{} {name}", watched.names().1), error)),
        }
    }

    async fn nudge(&self, pod: &str, chain_id: &str) -> Result<Option<Written>, ApplyError> {
        // A merge patch, because server-side apply would make a pod that has just gone.
        let patch = json!({"metadata": {"annotations": {ANNOTATION_GENESIS: chain_id}}});
        let parameters =
            PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        match self.api(Watched::Pod).patch(pod, &parameters, &Patch::Merge(patch)).await {
            Ok(object) => Ok(Some(seen(Watched::Pod, &object))),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(error) => Err(trouble(&format!("Pod {pod}"), error)),
        }
    }
}

/// The field manager of the status.
const STATUS_MANAGER: &str = "cairn-operator-status";

/// Publishes a status, of this object and none that comes after it under the same name.
pub(crate) async fn write_status(
    client: &Client,
    name: &ClusterName,
    cluster: &BlockchainCluster,
    status: &crate::crd::BlockchainClusterStatus,
) -> Result<Written, kube::Error> {
    let (api_version, kind, _) = Watched::Cluster.names();
    let patch = json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name.name, "uid": cluster.metadata.uid},
        "status": status,
    });
    let api: Api<BlockchainCluster> = Api::namespaced(client.clone(), &name.namespace);
    let parameters = PatchParams::apply(STATUS_MANAGER).force();
    let answer = api.patch_status(&name.name, &parameters, &Patch::Apply(patch)).await?;
    let version = answer.metadata.resource_version.as_deref().unwrap_or_default();
    Ok(Written {
        watched: Watched::Cluster,
        name: name.name.clone(),
        mark: Mark::Version(version.parse().unwrap_or_default()),
    })
}

fn described(step: &Step) -> String {
    match step {
        Step::Apply(manifest) => format!("apply {} {}", manifest.kind.names().1, manifest.name),
        Step::Publish(manifest) => format!("publish {}", manifest.name),
        Step::Sweep { kind, name, .. } => format!("sweep {} {name}", kind.names().1),
        Step::RestartPod { pod, .. } => format!("restart {pod}"),
        Step::Nudge { pod, .. } => format!("nudge {pod}"),
    }
}

fn title(manifest: &Manifest) -> String {
    format!("{} {}", manifest.kind.names().1, manifest.name)
}

fn seen(watched: Watched, object: &DynamicObject) -> Written {
    let version = object.metadata.resource_version.as_deref().unwrap_or_default();
    Written {
        watched,
        name: object.metadata.name.clone().unwrap_or_default(),
        mark: Mark::Version(version.parse().unwrap_or_default()),
    }
}

/// Kind, name and uid of the owner that controls an object.
fn controller(owners: &Value) -> Option<(&str, &str, &str)> {
    let owners = owners.as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    Some((owner["kind"].as_str()?, owner["name"].as_str()?, owner["uid"].as_str()?))
}

/// Whether a delete was refused because the object has another uid.
fn is_another(status: &Status) -> bool {
    status.is_conflict() && status.message.contains("UID")
}

/// What an error of the API server means: not by waiting (`Refused`), or maybe (`Trouble`).
fn trouble(object: &str, error: kube::Error) -> ApplyError {
    let object = object.to_owned();
    match error {
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 405 | 413 | 415 | 422) => {
            ApplyError::Refused { object, message: status.message }
        }
        kube::Error::Api(status) => ApplyError::Trouble { object, message: status.message },
        error => ApplyError::Trouble { object, message: error.to_string() },
    }
}
