//! Services and ServiceAccounts.

use serde_json::json;

use super::{belonging, owned, unless_empty};
use crate::{
    check::Checked,
    crd::ServiceSpec,
    manifest::{Kind, Manifest},
    names::{PORT_ADMIN, PORT_API, PORT_EVENTS, PORT_MESH},
};

pub(super) fn all(checked: &Checked) -> Vec<Manifest> {
    let mut manifests = vec![client_service(checked)];
    for validator in belonging(checked) {
        manifests.push(account(checked, &validator.name));
        manifests.push(peer_service(checked, &validator.name));
    }
    manifests
}

/// Whom a pod runs as. It has no rights, and its token is not even mounted.
fn account(checked: &Checked, validator: &str) -> Manifest {
    let rest = json!({ "automountServiceAccountToken": false });
    owned(checked, Kind::ServiceAccount, checked.name.validator(validator), Some(validator), rest)
}

/// Where a validator is found by name. Also while it is not ready: validators have to find each other in
/// order to become ready.
fn peer_service(checked: &Checked, validator: &str) -> Manifest {
    let rest = json!({
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "selector": checked.name.validator_selector(validator),
            "ports": [
                { "name": "mesh", "port": PORT_MESH, "targetPort": "mesh", "protocol": "TCP" },
                { "name": "admin", "port": PORT_ADMIN, "targetPort": "admin", "protocol": "TCP" },
            ],
        }
    });
    owned(checked, Kind::Service, checked.name.validator(validator), Some(validator), rest)
}

/// The client API, of whoever is ready.
fn client_service(checked: &Checked) -> Manifest {
    let ServiceSpec { kind, annotations } = &checked.spec.api.service;
    let protocol = if checked.spec.api.tls.is_some() { "https" } else { "http" };
    let rest = json!({
        "metadata": { "annotations": unless_empty(annotations) },
        "spec": {
            "type": kind,
            "selector": checked.name.selector(),
            "ports": [
                { "name": "http", "port": PORT_API, "targetPort": "api", "protocol": "TCP", "appProtocol": protocol },
                { "name": "events", "port": PORT_EVENTS, "targetPort": "events", "protocol": "TCP", "appProtocol": protocol },
            ],
        }
    });
    owned(checked, Kind::Service, checked.name.api(), None, rest)
}
