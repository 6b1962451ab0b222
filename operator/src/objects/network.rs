//! NetworkPolicies: nothing goes in or out of a validator's pod but what is named here, one policy for
//! each purpose. Policies add up, so that a further one, of whoever needs it, can allow more.

use serde_json::{Value, json};

use super::owned;
use crate::{
    check::Checked,
    manifest::{Kind, Manifest},
    names::{FIELD_MANAGER, PORT_ADMIN, PORT_API, PORT_EVENTS, PORT_MESH},
};

/// Where TiKV's stores listen unless told otherwise. PD tells validators their addresses, and nobody tells
/// us: stores with other ports need a policy of their own.
const PORT_TIKV: u16 = 20160;

pub(super) fn all(checked: &Checked) -> Vec<Manifest> {
    if !checked.spec.network_policy.enabled {
        return vec![];
    }
    let policies = [
        ("deny", json!({ "policyTypes": ["Ingress", "Egress"] })),
        ("mesh", mesh(checked)),
        ("api", api(checked)),
        ("admin", admin(checked)),
        ("outside", outside(checked)),
    ];
    policies
        .into_iter()
        .map(|(purpose, mut policy)| {
            policy["podSelector"] = json!({ "matchLabels": checked.name.selector() });
            let name = format!("{}-{purpose}", checked.name.name);
            owned(checked, Kind::NetworkPolicy, name, None, json!({ "spec": policy }))
        })
        .collect()
}

/// Validators among themselves. With members elsewhere, whose addresses we cannot know, the mesh's port is
/// open to all: it lets nobody in whose key is not in the genesis.
fn mesh(checked: &Checked) -> Value {
    let ours = json!({ "podSelector": { "matchLabels": checked.name.selector() } });
    let members = checked.spec.federation.as_ref().map_or(&[][..], |f| &f.members);
    let from = if members.is_empty() { json!([ours]) } else { Value::Null };
    let mut egress = vec![json!({ "to": [ours], "ports": tcp([PORT_MESH]) })];
    let elsewhere = tcp(members.iter().filter_map(|member| port_of(&member.endpoint)));
    if !elsewhere.is_empty() {
        egress.push(json!({ "ports": elsewhere }));
    }
    json!({
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{ "from": from, "ports": tcp([PORT_MESH]) }],
        "egress": egress,
    })
}

fn api(checked: &Checked) -> Value {
    json!({
        "policyTypes": ["Ingress"],
        "ingress": [{
            "from": super::unless_empty(&checked.spec.network_policy.api_from),
            "ports": tcp([PORT_API, PORT_EVENTS]),
        }],
    })
}

/// The operator, in whichever namespace it runs, and who reads metrics.
fn admin(checked: &Checked) -> Value {
    let mut from = vec![json!({
        "namespaceSelector": {},
        "podSelector": { "matchLabels": { "app.kubernetes.io/name": FIELD_MANAGER } },
    })];
    from.extend(checked.spec.network_policy.metrics_from.iter().map(|peer| json!(peer)));
    json!({
        "policyTypes": ["Ingress"],
        "ingress": [{ "from": from, "ports": tcp([PORT_ADMIN]) }],
    })
}

/// What validators ask others for: names, and what the spec names.
fn outside(checked: &Checked) -> Value {
    let dns = json!([{ "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 53 }]);
    let mut egress = vec![json!({ "ports": dns })];
    if let Some(tikv) = &checked.spec.tikv {
        let pd = tikv.pd_endpoints.iter().filter_map(|endpoint| port_of(endpoint));
        egress.push(json!({ "ports": tcp(pd.chain([PORT_TIKV])) }));
    }
    let issuer = tcp(issuer_ports(checked));
    if !issuer.is_empty() {
        egress.push(json!({ "ports": issuer }));
    }
    json!({ "policyTypes": ["Egress"], "egress": egress })
}

/// Where the keys of `api.oidc` are fetched, when it is set up.
fn issuer_ports(checked: &Checked) -> impl Iterator<Item = u16> {
    let oidc = checked.spec.config.as_ref().map(|config| &config["api"]["oidc"]);
    let url = |field: &str| oidc.and_then(|oidc| oidc[field].as_str()).and_then(port_of_url);
    [url("issuer"), url("jwks_url")].into_iter().flatten()
}

/// Ports once each, in order.
fn tcp(ports: impl IntoIterator<Item = u16>) -> Vec<Value> {
    let ports: std::collections::BTreeSet<u16> = ports.into_iter().collect();
    ports.into_iter().map(|port| json!({ "protocol": "TCP", "port": port })).collect()
}

/// The port of `host:port`.
fn port_of(endpoint: &str) -> Option<u16> {
    endpoint.rsplit_once(':')?.1.parse().ok()
}

/// The port of a URL, or its scheme's.
fn port_of_url(url: &str) -> Option<u16> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let usual = if scheme == "http" { 80 } else { 443 };
    // What follows the last colon of `[::1]` is no port.
    Some(if authority.ends_with(']') { usual } else { port_of(authority).unwrap_or(usual) })
}
