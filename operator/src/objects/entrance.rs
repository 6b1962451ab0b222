//! Ways in from outside, and the certificate that is shown there.

use serde_json::{Value, json};

use super::{owned, unless_empty};
use crate::{
    check::Checked,
    crd::{GatewaySpec, IngressSpec, IssuerRef},
    manifest::{Kind, Manifest},
    names::PORT_API,
};

pub(super) fn all(checked: &Checked) -> Vec<Manifest> {
    let api = &checked.spec.api;
    let issuer = api.tls.as_ref().and_then(|tls| tls.issuer_ref.as_ref());
    [
        api.ingress.as_ref().map(|spec| ingress(checked, spec)),
        api.gateway.as_ref().map(|spec| http_route(checked, spec)),
        issuer.map(|issuer| certificate(checked, issuer)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn ingress(checked: &Checked, spec: &IngressSpec) -> Manifest {
    let IngressSpec { host, class_name, annotations, tls_secret_name } = spec;
    let service = json!({ "name": checked.name.api(), "port": { "name": "http" } });
    let rest = json!({
        "metadata": { "annotations": unless_empty(annotations) },
        "spec": {
            "ingressClassName": class_name,
            "rules": [{
                "host": host,
                "http": {
                    "paths": [{ "path": "/", "pathType": "Prefix", "backend": { "service": service } }],
                },
            }],
            "tls": tls_secret_name.as_ref().map(|secret| json!([{ "hosts": [host], "secretName": secret }])),
        }
    });
    owned(checked, Kind::Ingress, checked.name.api(), None, rest)
}

fn http_route(checked: &Checked, spec: &GatewaySpec) -> Manifest {
    let GatewaySpec { name, namespace, hostnames } = spec;
    let rest = json!({
        "spec": {
            "parentRefs": [{ "name": name, "namespace": namespace }],
            "hostnames": unless_empty(hostnames),
            "rules": [{ "backendRefs": [{ "name": checked.name.api(), "port": PORT_API }] }],
        }
    });
    owned(checked, Kind::HttpRoute, checked.name.api(), None, rest)
}

/// cert-manager makes the Secret and renews it; validators read it again by themselves.
fn certificate(checked: &Checked, issuer: &IssuerRef) -> Manifest {
    let (api, namespace) = (checked.name.api(), &checked.name.namespace);
    let mut names = vec![
        api.clone(),
        format!("{api}.{namespace}"),
        format!("{api}.{namespace}.svc"),
        format!("{api}.{namespace}.svc.cluster.local"),
    ];
    names.extend(checked.spec.api.ingress.iter().map(|ingress| ingress.host.clone()));
    names.extend(checked.spec.api.gateway.iter().flat_map(|gateway| gateway.hostnames.clone()));
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let rest = json!({
        "spec": {
            "secretName": checked.name.api_certificate(),
            "dnsNames": names,
            "issuerRef": issuer_ref(issuer),
            "privateKey": { "algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always" },
            "usages": ["digital signature", "server auth"],
        }
    });
    owned(checked, Kind::Certificate, checked.name.api_certificate(), None, rest)
}

fn issuer_ref(IssuerRef { name, kind }: &IssuerRef) -> Value {
    json!({ "group": "cert-manager.io", "kind": kind, "name": name })
}
