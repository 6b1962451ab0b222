//! A validator's pod: restricted Pod Security, everything read-only but its volume, no way to the
//! Kubernetes API. Built without knowing that a StatefulSet will hold it.

use k8s_openapi::api::core::v1::Toleration;
use serde_json::{Value, json};

use super::{config::cairn_toml, overrides, unless_empty};
use crate::{
    check::{Checked, image::resolve},
    crd::{AntiAffinity, ApiTlsSpec, ImageSpec, PullPolicy, ValidatorSpec},
    manifest::short_hash,
    names::{
        ANNOTATION_CONFIG, CONFIG_KEY, CONTAINER, PORT_ADMIN, PORT_API, PORT_EVENTS, PORT_MESH,
    },
};

/// Where a validator finds its files.
pub(super) mod mounts {
    /// Its volume: keys, journal, blocks, log.
    pub(in crate::objects) const DATA: &str = "/var/lib/cairn";
    pub(in crate::objects) const CONFIG: &str = "/etc/cairn";
    pub(in crate::objects) const GENESIS: &str = "/etc/cairn-genesis";
    pub(in crate::objects) const MEMBER_KEY: &str = "/etc/cairn-member";
    pub(in crate::objects) const MEMBER_KEY_FILE: &str = "member.key";
    pub(in crate::objects) const API_TLS: &str = "/etc/cairn-api-tls";
    pub(in crate::objects) const API_KEYS: &str = "/etc/cairn-api-keys";
    pub(in crate::objects) const API_KEYS_FILE: &str = "keys.toml";
    pub(in crate::objects) const TIKV_TLS: &str = "/etc/cairn-tikv-tls";
    pub(in crate::objects) const TEMPORARY: &str = "/tmp";
}

/// User and group `nonroot` of images without a distribution.
const USER: u32 = 65532;
/// A leader steps down and files are closed within a second or two; a slow disk may take longer.
const GRACE_SECONDS: u32 = 60;
/// A process that is not alive does not end by itself when told to: it is not waited for long.
const HUNG_GRACE_SECONDS: u32 = 5;
/// Secrets can be read by the validator's group, and nobody else: rw for nobody, r for owner and group.
const SECRET_MODE: u32 = 0o440;

/// The pod's template, overrides merged, without its own hash.
pub(super) fn template(checked: &Checked, validator: &ValidatorSpec) -> Value {
    let spec = &checked.spec;
    let files = files(checked, validator);
    let mut base = json!({
        "metadata": {
            "labels": checked.name.labels(Some(&validator.name)),
            "annotations": {
                // The file itself would be read only at the next start: a changed one makes a new pod.
                ANNOTATION_CONFIG: short_hash(cairn_toml(checked, validator).as_bytes()),
                "kubectl.kubernetes.io/default-container": CONTAINER,
            },
        },
        "spec": {
            "serviceAccountName": checked.name.validator(&validator.name),
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                // A volume of a terabyte is not walked at each start.
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "priorityClassName": spec.priority_class_name,
            "imagePullSecrets": pull_secrets(checked, validator),
            "nodeSelector": unless_empty(
                if validator.node_selector.is_empty() { &spec.node_selector } else { &validator.node_selector },
            ),
            "tolerations": tolerations(
                if validator.tolerations.is_empty() { &spec.tolerations } else { &validator.tolerations },
            ),
            "affinity": affinity(checked),
            "topologySpreadConstraints": spread(checked),
        },
    });
    // By hand: `json!` copies what it is given, and these are most of the template.
    base["spec"]["containers"] = vec![container(checked, validator, &files)].into();
    base["spec"]["volumes"] = files.into_iter().map(|file| file.volume).collect();
    let mut template = overrides::apply(checked, validator, base);
    super::pruned(&mut template);
    template
}

/// Those of the spec, and that a node is not heard of: its volume is there and nowhere else, so nothing is
/// won by giving its pod up, and where only the control plane is cut off, a validator that votes on would be
/// stopped when the cut heals.
fn tolerations(named: &[Toleration]) -> Vec<Toleration> {
    let ours = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
    let not_named = |key: &&str| !named.iter().any(|it| it.key.as_deref() == Some(key));
    let ours = ours.into_iter().filter(not_named).map(|key| Toleration {
        key: Some(key.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        ..Toleration::default()
    });
    named.iter().cloned().chain(ours).collect()
}

fn container(checked: &Checked, validator: &ValidatorSpec, files: &[File]) -> Value {
    let own = validator.image.as_ref();
    let pull_policy = own.and_then(|i| i.pull_policy).or(checked.spec.image.pull_policy);
    let port =
        |name: &str, port: u16| json!({ "name": name, "containerPort": port, "protocol": "TCP" });
    let ask = |path: &str| json!({ "path": path, "port": "admin" });
    json!({
        "name": CONTAINER,
        "image": own.map_or_else(|| checked.image.clone(), |own| resolve(own, &checked.image)),
        "imagePullPolicy": pull_policy.unwrap_or(PullPolicy::IfNotPresent),
        "command": ["cairn", "node", "--config", format!("{}/{CONFIG_KEY}", mounts::CONFIG)],
        "ports": [
            port("api", PORT_API),
            port("events", PORT_EVENTS),
            port("admin", PORT_ADMIN),
            port("mesh", PORT_MESH),
        ],
        "resources": validator.resources.as_ref().or(checked.spec.resources.as_ref()),
        // An hour, for whoever has to read a long journal and make its indexes anew. It is asked every second:
        // who hangs before the first answer is not noticed any sooner than that hour.
        "startupProbe": { "httpGet": ask("/livez"), "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 3600 },
        "livenessProbe": {
            "httpGet": ask("/livez"),
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
            "terminationGracePeriodSeconds": HUNG_GRACE_SECONDS,
        },
        "readinessProbe": { "httpGet": ask("/readyz"), "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 2 },
        // A validator's last line says in one sentence why it ended.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "capabilities": { "drop": ["ALL"] },
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "volumeMounts": files.iter().map(File::mount).collect::<Vec<_>>(),
    })
}

/// A volume and where it is mounted.
struct File {
    volume: Value,
    path: &'static str,
    writable: bool,
}

impl File {
    fn mount(&self) -> Value {
        json!({
            "name": self.volume["name"],
            "mountPath": self.path,
            "readOnly": (!self.writable).then_some(true),
        })
    }
}

fn files(checked: &Checked, validator: &ValidatorSpec) -> Vec<File> {
    let spec = &checked.spec;
    let name = &checked.name;
    let read = |path, volume| File { volume, path, writable: false };
    let write = |path, volume| File { volume, path, writable: true };
    let secret = |volume: &str, secret: &str, item: Option<(&str, &str)>| {
        let items = item.map(|(key, path)| json!([{ "key": key, "path": path }]));
        json!({
            "name": volume,
            "secret": { "secretName": secret, "defaultMode": SECRET_MODE, "items": items },
        })
    };
    let mut files = vec![
        write(
            mounts::DATA,
            json!({
                "name": "data",
                "persistentVolumeClaim": { "claimName": name.claim(&validator.name) },
            }),
        ),
        write(mounts::TEMPORARY, json!({ "name": "tmp", "emptyDir": { "sizeLimit": "64Mi" } })),
        read(
            mounts::CONFIG,
            json!({ "name": "config", "configMap": { "name": name.validator(&validator.name) } }),
        ),
        // Not there until every validator has shown its keys: a founding one waits for it.
        read(
            mounts::GENESIS,
            json!({ "name": "genesis", "configMap": { "name": name.genesis(), "optional": true } }),
        ),
    ];
    if let Some(key) = &validator.member_key_secret {
        let item = Some((key.key.as_str(), mounts::MEMBER_KEY_FILE));
        files.push(read(mounts::MEMBER_KEY, secret("member-key", &key.name, item)));
    }
    if let Some(ApiTlsSpec { secret_name, issuer_ref: _ }) = &spec.api.tls {
        let made = name.api_certificate();
        let certificate = secret_name.as_ref().unwrap_or(&made);
        files.push(read(mounts::API_TLS, secret("api-tls", certificate, None)));
    }
    if let Some(keys) = &spec.api.keys_secret {
        let item = Some((keys.key.as_str(), mounts::API_KEYS_FILE));
        files.push(read(mounts::API_KEYS, secret("api-keys", &keys.name, item)));
    }
    if let Some(tls) = spec.tikv.as_ref().and_then(|tikv| tikv.tls.as_ref()) {
        files.push(read(mounts::TIKV_TLS, secret("tikv-tls", &tls.secret_name, None)));
    }
    files
}

fn pull_secrets(checked: &Checked, validator: &ValidatorSpec) -> Value {
    let of = |image: &ImageSpec| -> Vec<Value> {
        image.pull_secrets.iter().map(|name| json!({ "name": name })).collect()
    };
    let own = validator.image.as_ref().map(of).unwrap_or_default();
    unless_empty(if own.is_empty() { of(&checked.spec.image) } else { own })
}

/// Validators keep apart from each other, not from anybody else.
fn affinity(checked: &Checked) -> Value {
    let term = json!({
        "labelSelector": { "matchLabels": checked.name.selector() },
        "topologyKey": checked.spec.availability.topology_key,
    });
    match checked.spec.availability.anti_affinity {
        AntiAffinity::None => Value::Null,
        AntiAffinity::Required => json!({
            "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term] }
        }),
        AntiAffinity::Preferred => json!({
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution":
                    [{ "weight": 100, "podAffinityTerm": term }]
            }
        }),
    }
}

/// The constraints as written; one that selects nothing is about this cluster's validators.
fn spread(checked: &Checked) -> Value {
    let constraints = &checked.spec.availability.topology_spread_constraints;
    let with_selector = |constraint| {
        let mut constraint = json!(constraint);
        if constraint["labelSelector"].is_null() {
            constraint["labelSelector"] = json!({ "matchLabels": checked.name.selector() });
        }
        constraint
    };
    unless_empty(constraints.iter().map(with_selector).collect::<Vec<_>>())
}
