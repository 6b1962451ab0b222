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

/// Where names are asked for; the second is that of pods behind OpenShift's DNS Service. Policies see the
/// port that a connection ends at.
const PORTS_DNS: [u16; 2] = [53, 5353];

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
    let dns = PORTS_DNS.iter().flat_map(|port| {
        ["UDP", "TCP"].map(|protocol| json!({ "protocol": protocol, "port": port }))
    });
    let mut egress = vec![json!({ "ports": dns.collect::<Vec<_>>() })];
    if let Some(tikv) = &checked.spec.tikv {
        let pd = tikv.pd_endpoints.iter().filter_map(|endpoint| port_of(endpoint));
        egress.push(json!({ "ports": tcp(pd.chain([PORT_TIKV])) }));
    }
    let urls = tcp(ports_of_urls(checked));
    if !urls.is_empty() {
        egress.push(json!({ "ports": urls }));
    }
    json!({ "policyTypes": ["Egress"], "egress": egress })
}

/// Where the keys of `api.oidc` are fetched, and where traces are sent, when these are set up.
fn ports_of_urls(checked: &Checked) -> impl Iterator<Item = u16> {
    let config = checked.spec.config.as_ref();
    let urls = ["/api/oidc/issuer", "/api/oidc/jwks_url", "/traces/endpoint"];
    let url = move |pointer| config.and_then(|config| config.pointer(pointer)?.as_str());
    urls.into_iter().filter_map(url).filter_map(port_of_url)
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
    Some(port_of(authority).unwrap_or(usual))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_in_addresses_as_people_write_them() {
        #[rustfmt::skip]
        let table = [
            (port_of("bob.example:9987"),                   Some(9987), "a host"),
            (port_of("[2001:db8::1]:9987"),                 Some(9987), "an IPv6 address"),
            (port_of("bob.example"),                        None,       "no port"),
            (port_of("bob.example:mesh"),                   None,       "a name"),
            (port_of("bob.example:99999"),                  None,       "too large"),
            (port_of_url("https://login.example/realm"),    Some(443),  "https"),
            (port_of_url("https://login.example:8443/a:1"), Some(8443), "a port, and a colon later"),
            (port_of_url("http://127.0.0.1?a"),             Some(80),   "http"),
            (port_of_url("https://[::1]"),                  Some(443),  "an IPv6 address"),
            (port_of_url("https://[::1]:81/"),              Some(81),   "an IPv6 address and a port"),
            (port_of_url("login.example"),                  None,       "no URL"),
        ];
        for (found, expected, why) in table {
            assert_eq!(found, expected, "{why}");
        }
    }
}
