//! What a single object can get wrong, in CEL, as the API server evaluates it: one function for each rule,
//! named after what holds. A message says what would have been fine. Rules stand here, beside each other, so
//! that the fields in `spec` stay a list of fields.

use kube::core::Rule;

fn rule(rule: &str, message: &str) -> Rule {
    Rule::new(rule).message(message)
}

/// The object's name begins the name of each of its Services and pods, with a validator's behind it.
pub(super) fn cluster_name() -> Rule {
    rule(
        "self.metadata.name.size() <= 30 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name: 1 to 30 of a-z, 0-9 and -, beginning with a letter and not ending with -, are fine: names of Services are made from it",
    )
}

/// A pin may come later, and then it never changes: before the genesis any, after it that of the genesis.
pub(super) fn chain_id_stays() -> Rule {
    rule(
        "has(oldSelf.spec.chain.chainId) \
         ? has(self.spec.chain.chainId) && self.spec.chain.chainId == oldSelf.spec.chain.chainId \
         : !has(self.spec.chain.chainId) || !has(self.status) || !has(self.status.chainId) || self.status.chainId == self.spec.chain.chainId",
        "spec.chain.chainId is immutable: once there is a genesis, only status.chainId can be written here; another chain is another object",
    )
}

/// A validator's name.
pub(super) fn validator_name() -> Rule {
    rule(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "a validator's name is 1 to 20 of a-z, 0-9 and -, neither beginning nor ending with - (a DNS label): \"alice\" is fine",
    )
}

/// `<cluster>-api` and `<cluster>-genesis` are names of the cluster's own objects.
pub(super) fn validator_name_is_free() -> Rule {
    rule(
        "!(self in ['api', 'genesis'])",
        "api and genesis are taken by the cluster's own Service and ConfigMap: any other name is fine",
    )
}

/// The name of another organisation's validator, which may be longer.
pub(super) fn member_name() -> Rule {
    rule(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "a member's name is 1 to 63 of a-z, 0-9 and -, neither beginning nor ending with - (a DNS label): \"bob\" is fine",
    )
}

/// A name is one validator, wherever it runs.
pub(super) fn members_are_not_validators() -> Rule {
    rule(
        "!has(self.federation) || self.federation.members.all(m, !self.validators.exists(v, v.name == m.name))",
        "duplicate name: spec.federation.members holds only validators that run elsewhere, none of spec.validators",
    )
    .field_path(".federation.members")
}

/// The ledger's `VALIDATORS_MAX`.
pub(super) fn federation_size() -> Rule {
    rule(
        "!has(self.federation) || self.validators.size() + self.federation.members.size() <= 128",
        "spec.validators and spec.federation.members: at most 128 together are fine",
    )
    .field_path(".federation.members")
}

/// One key in two places is one party in two places: a quorum would be fewer than it seems.
pub(super) fn consensus_keys_differ() -> Rule {
    rule(
        "self.all(m, self.exists_one(n, n.consensusKey == m.consensusKey))",
        "duplicate consensusKey: each member has its own",
    )
}

/// As for consensus keys.
pub(super) fn member_keys_differ() -> Rule {
    rule(
        "self.all(m, self.exists_one(n, n.memberKey == m.memberKey))",
        "duplicate memberKey: each member has its own",
    )
}

/// The genesis refuses one key in two roles.
pub(super) fn roles_have_keys_of_their_own() -> Rule {
    rule(
        "self.all(m, !self.exists(n, n.consensusKey == m.memberKey))",
        "duplicate key: no memberKey may be somebody's consensusKey as well",
    )
}

/// Two names for one place would be one validator that is waited for twice.
pub(super) fn endpoints_differ() -> Rule {
    rule(
        "self.all(m, self.exists_one(n, n.endpoint == m.endpoint))",
        "duplicate endpoint: each member listens at its own",
    )
}

/// Two validators with one member key never become a genesis.
pub(super) fn member_secrets_differ() -> Rule {
    rule(
        "self.all(v, !has(v.memberKeySecret) || self.exists_one(w, has(w.memberKeySecret) && w.memberKeySecret == v.memberKeySecret))",
        "duplicate memberKeySecret: each validator has its own member key",
    )
}

/// An ed25519 public key.
pub(super) fn public_key() -> Rule {
    rule(
        "self.matches('^[1-9A-HJ-NP-Za-km-z]{43,44}$')",
        "a public key is 43 or 44 characters of base58, as genesis.json has it",
    )
}

const HOST_PORT: &str = r"^([A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]+\\]):([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$";

/// Somewhere to connect to.
pub(super) fn host_port() -> Rule {
    rule(
        &format!("self.matches('{HOST_PORT}')"),
        "an endpoint is host:port: \"bob.example:9987\" and \"[2001:db8::1]:9987\" are fine",
    )
}

/// Several.
pub(super) fn hosts_and_ports() -> Rule {
    rule(
        &format!("self.all(e, e.matches('{HOST_PORT}'))"),
        "an endpoint of PD is host:port: \"pd-0.pd:2379\" is fine",
    )
}

/// Where TiKV is must be said when something is in it.
pub(super) fn tikv_is_there() -> Rule {
    rule(
        "has(self.tikv) || (self.order.type != 'TiKV' && self.store.type != 'TiKV')",
        "order.type or store.type is TiKV, and tikv is missing: pdEndpoints and keyPrefix say where it is",
    )
    .field_path(".tikv")
}

/// And is a mistake when nothing is.
pub(super) fn tikv_is_used() -> Rule {
    rule(
        "!has(self.tikv) || self.order.type == 'TiKV' || self.store.type == 'TiKV'",
        "tikv is used by nothing: set order.type or store.type to TiKV, or leave tikv out",
    )
    .field_path(".tikv")
}

/// Plain text is never what one gets for saying nothing.
pub(super) fn tls_or_plaintext() -> Rule {
    rule(
        "has(self.tls) != self.plaintext",
        "TLS towards TiKV: set tls, or plaintext: true for a network that you trust; one of the two",
    )
}

/// The node's `tikv.prefix`.
pub(super) fn key_prefix() -> Rule {
    rule(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "a key prefix is 1 to 63 of a-z, 0-9 and -, neither beginning nor ending with -: \"demo\" is fine",
    )
}

/// What a chain was made with stays.
pub(super) fn immutable(field: &str, instead: &str) -> Rule {
    rule("self == oldSelf", &format!("{field} is immutable: {instead}"))
}

/// A field that may be absent, and then stays absent.
pub(super) fn chain_name_stays() -> Rule {
    rule(
        "has(self.name) == has(oldSelf.name) && (!has(self.name) || self.name == oldSelf.name)",
        "name is immutable: it is in the genesis; another chain is another object",
    )
}

/// The hash of a genesis.
pub(super) fn chain_id() -> Rule {
    rule(
        "self.matches('^[0-9a-f]{64}$')",
        "a chain id is 64 of 0-9 and a-f, as status.chainId and genesis.json have it",
    )
}

/// More than nothing, in Kubernetes's notation.
pub(super) fn volume_size() -> Rule {
    rule(
        "isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",
        "a size is more than 0, with Ki, Mi, Gi or Ti behind it: \"20Gi\" is fine",
    )
}

/// `field` of what rules for validator `who` of `spec`: of its own volume, or of all.
fn of_volume(who: &str, spec: &str, field: impl Fn(&str) -> String) -> String {
    let (own, all) = (field(&format!("{who}.storage")), field(&format!("{spec}.storage.data")));
    format!("(has({who}.storage) ? {own} : {all})")
}

/// Over each validator that was there before and still is: rules on volumes compare what rules for it, as
/// its own `storage` may come and go while its volume stays.
fn of_each_volume(field: impl Fn(&str) -> String, holds: impl Fn(&str, &str) -> String) -> String {
    let (new, old) = (of_volume("v", "self", &field), of_volume("o", "oldSelf", &field));
    let holds = holds(&new, &old);
    format!("oldSelf.validators.all(o, self.validators.all(v, v.name != o.name || {holds}))")
}

/// No file system shrinks while it is in use.
pub(super) fn volumes_only_grow() -> Rule {
    let size = |volume: &str| format!("{volume}.size");
    let grows = |new: &str, old: &str| {
        format!("!isQuantity({new}) || quantity({new}).compareTo(quantity({old})) >= 0")
    };
    rule(
        &of_each_volume(size, grows),
        "size is immutable downwards: a volume can grow, never shrink; the present size or more is fine",
    )
    .field_path(".storage")
}

/// A volume stays where it was made.
pub(super) fn volumes_keep_their_class() -> Rule {
    let class = |volume: &str| {
        format!("(has({volume}.storageClassName) ? {volume}.storageClassName : '(default)')")
    };
    rule(
        &of_each_volume(class, |new, old| format!("{new} == {old}")),
        "storageClassName is immutable for validators that exist: their volumes stay in their class; new ones may have another",
    )
    .field_path(".storage")
}

/// A claim's access mode cannot be changed.
pub(super) fn volumes_keep_their_access_mode() -> Rule {
    let mode = |volume: &str| format!("{volume}.accessMode");
    rule(
        &of_each_volume(mode, |new, old| format!("{new} == {old}")),
        "accessMode is immutable for validators that exist: their claims keep it; new ones may have another",
    )
    .field_path(".storage")
}

/// Whose certificate: one answer.
pub(super) fn secret_or_issuer() -> Rule {
    rule(
        "has(self.secretName) != has(self.issuerRef)",
        "api.tls: exactly one of secretName and issuerRef is fine",
    )
}

/// What was tested is what runs.
pub(super) fn digest() -> Rule {
    rule("self.matches('^sha256:[0-9a-f]{64}$')", "a digest is sha256: and 64 of 0-9 and a-f")
}

/// As the distribution specification has it.
pub(super) fn tag() -> Rule {
    rule(
        "self.matches('^[A-Za-z0-9_][-A-Za-z0-9_.]*$')",
        "a tag is 1 to 128 letters, digits, _, . and -, beginning with a letter, digit or _: \"0.1.0\" is fine",
    )
}

/// Without tag and digest, which have fields of their own.
pub(super) fn repository() -> Rule {
    rule(
        "self.matches('^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?/)?[a-z0-9]([-a-z0-9._/]*[a-z0-9])?$')",
        "a repository is registry and name without tag or digest: \"registry.example/cairn\" is fine",
    )
}

/// A name that nobody has would fence nobody, in an emergency.
pub(super) fn fenced_exist() -> Rule {
    rule(
        "!has(self.fencedValidators) || self.fencedValidators.all(f, self.validators.exists(v, v.name == f))",
        "each must be the name of one of spec.validators",
    )
    .field_path(".fencedValidators")
}

/// Names of objects in this namespace.
pub(super) fn object_name() -> Rule {
    rule(
        "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
        "a name is a-z, 0-9, - and ., beginning and ending with a letter or digit",
    )
}

/// The same, several.
pub(super) fn object_names() -> Rule {
    rule(
        "self.all(n, n.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$'))",
        "a name is a-z, 0-9, - and ., beginning and ending with a letter or digit",
    )
}

/// The empty class means: no provisioner, a volume that is there already.
pub(super) fn class_name() -> Rule {
    rule(
        "self == '' || self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
        "a class is a-z, 0-9, - and ., beginning and ending with a letter or digit",
    )
}

/// Keys of Secrets and ConfigMaps.
pub(super) fn data_key() -> Rule {
    rule(
        "self.matches('^[-._a-zA-Z0-9]+$')",
        "a key is letters, digits, -, _ and .: \"genesis.json\" is fine",
    )
}

const HOST: &str = r"^([*][.])?[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// A host name of the web.
pub(super) fn host() -> Rule {
    rule(
        &format!("self.matches('{HOST}')"),
        "a host name is in lower case: \"ledger.example\" is fine",
    )
}

/// Several.
pub(super) fn hosts() -> Rule {
    rule(
        &format!("self.all(h, h.matches('{HOST}'))"),
        "a host name is in lower case: \"ledger.example\" is fine",
    )
}

/// A label's key.
pub(super) fn label_key() -> Rule {
    rule(
        "self.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",
        "a label of nodes, such as \"kubernetes.io/hostname\" or \"topology.kubernetes.io/zone\", is fine",
    )
}

/// What the operator tells its objects apart by is not for others to write.
pub(super) fn no_managed_keys() -> Rule {
    rule(
        "self.all(k, !k.startsWith('cairndb.io/') && !k.startsWith('app.kubernetes.io/'))",
        "keys that begin with cairndb.io/ or app.kubernetes.io/ are the operator's: any other is fine",
    )
}

/// Fields of `podOverrides.spec` that would take a validator apart: its identity, its only pod, its ports.
pub(super) const POD_FIELDS: [(&str, &str); 11] = [
    ("restartPolicy", "string"),
    ("serviceAccountName", "string"),
    ("serviceAccount", "string"),
    ("automountServiceAccountToken", "boolean"),
    ("hostNetwork", "boolean"),
    ("hostPID", "boolean"),
    ("hostIPC", "boolean"),
    ("hostname", "string"),
    ("subdomain", "string"),
    ("nodeName", "string"),
    ("activeDeadlineSeconds", "integer"),
];

/// One rule for each of [`POD_FIELDS`], so that the message names it.
pub(super) fn pod_fields_are_ours() -> Vec<Rule> {
    let one = |(field, _): (&str, &str)| {
        rule(
            &format!("!has(self.spec) || !has(self.spec.{field})"),
            &format!("podOverrides.spec.{field} is the operator's: leave it out"),
        )
    };
    POD_FIELDS.into_iter().map(one).collect()
}

/// Labels and annotations that the operator finds its pods by.
pub(super) fn pod_metadata_is_ours() -> Vec<Rule> {
    let one = |field: &str| {
        rule(
            &format!(
                "!has(self.metadata) || !has(self.metadata.{field}) || self.metadata.{field}.all(k, !k.startsWith('cairndb.io/') && !k.startsWith('app.kubernetes.io/'))"
            ),
            &format!(
                "podOverrides.metadata.{field}: keys that begin with cairndb.io/ or app.kubernetes.io/ are the operator's: any other is fine"
            ),
        )
    };
    ["labels", "annotations"].into_iter().map(one).collect()
}

/// Fields of `config` that the operator writes, their types, and what to do instead.
pub(super) const CONFIG_FIELDS: [(&str, &str, &str); 12] = [
    ("name", "string", "spec.validators says it instead"),
    ("data", "string", "spec.storage says it instead"),
    ("genesis", "string", "spec.bootstrap says it instead"),
    ("member_key", "string", "spec.validators[].memberKeySecret says it instead"),
    ("create_keys", "boolean", "spec.validators[].memberKeySecret says it instead"),
    ("listen", "object", "spec.api says it instead"),
    ("peers", "object", "spec.federation.members says it instead"),
    ("order", "string", "spec.order says it instead"),
    ("store", "string", "spec.store says it instead"),
    ("log_format", "string", "it is json here"),
    ("api.tls", "object", "spec.api.tls says it instead"),
    ("api.keys", "object", "spec.api.keysSecret says it instead"),
];

/// One rule for each of [`CONFIG_FIELDS`], and for what `spec.tikv` says.
pub(super) fn config_fields_are_ours() -> Vec<Rule> {
    let one = |(field, _, instead): (&str, &str, &str)| {
        let there = match field.split_once('.') {
            None => format!("!has(self.{field})"),
            Some((table, _)) => format!("!has(self.{table}) || !has(self.{field})"),
        };
        rule(&there, &format!("config.{field} is written by the operator: {instead}"))
    };
    let tikv = rule(
        "!has(self.tikv) || (!has(self.tikv.pd) && !has(self.tikv.prefix) && !has(self.tikv.tls))",
        "config.tikv: pd, prefix and tls are written by the operator: spec.tikv says them instead; collect_garbage is fine",
    );
    CONFIG_FIELDS.into_iter().map(one).chain([tikv]).collect()
}
