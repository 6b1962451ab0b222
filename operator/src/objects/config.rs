//! A validator's `cairn.toml`: what people wrote in `spec.config`, and over it what must be as the pod and
//! the cluster are. docs/configuration.md of the node explains every field.

use serde_json::{Value, json};

use super::{overrides::merge, parties, pod::mounts};
use crate::{
    check::Checked,
    crd::{OrderKind, StoreKind, TikvSpec, ValidatorSpec},
    names::{GENESIS_KEY, PORT_ADMIN, PORT_API, PORT_EVENTS, PORT_MESH},
};

/// The text of the file.
pub(super) fn cairn_toml(checked: &Checked, validator: &ValidatorSpec) -> String {
    let mut config = checked.spec.config.clone().unwrap_or_default();
    merge(&mut config, &dictated(checked, validator));
    super::pruned(&mut config);
    match toml_of(&config) {
        Some(toml::Value::Table(table)) => table.to_string(),
        _ => unreachable!("a JSON object is a TOML table"),
    }
}

/// What the operator decides, because everything around the validator rests on it.
fn dictated(checked: &Checked, validator: &ValidatorSpec) -> Value {
    let spec = &checked.spec;
    // Of all addresses, of both families: on Linux `[::]` takes IPv4 too.
    let any = |port: u16| format!("[::]:{port}");
    let member_key = match &validator.member_key_secret {
        Some(_) => format!("{}/{}", mounts::MEMBER_KEY, mounts::MEMBER_KEY_FILE),
        None => format!("{}/{}", mounts::DATA, mounts::MEMBER_KEY_FILE),
    };
    let mut config = json!({
        "name": validator.name,
        "data": mounts::DATA,
        "genesis": format!("{}/{GENESIS_KEY}", mounts::GENESIS),
        "member_key": member_key,
        "create_keys": true,
        "log_format": "json",
        "order": match spec.order.kind { OrderKind::Raft => "raft", OrderKind::TiKV => "tikv" },
        "store": match spec.store.kind { StoreKind::Embedded => "embedded", StoreKind::TiKV => "tikv" },
        "listen": {
            "api": any(PORT_API),
            "api_events": any(PORT_EVENTS),
            "admin": any(PORT_ADMIN),
            "mesh": any(PORT_MESH),
        },
        "peers": peers(checked, validator),
        "tikv": spec.tikv.as_ref().map(tikv),
    });
    if spec.api.tls.is_some() {
        config["api"]["tls"] = json!({
            "certificates": format!("{}/tls.crt", mounts::API_TLS),
            "key": format!("{}/tls.key", mounts::API_TLS),
            // The kubelet's and the operator's questions come without a name to check.
            "admin": false,
        });
    }
    if spec.api.keys_secret.is_some() {
        config["api"]["keys"] =
            json!({ "file": format!("{}/{}", mounts::API_KEYS, mounts::API_KEYS_FILE) });
    }
    config
}

fn peers(checked: &Checked, validator: &ValidatorSpec) -> Value {
    let others = parties(checked).into_iter().filter(|party| party.name != validator.name);
    others
        .map(|party| {
            let address = party
                .endpoint
                .map_or_else(|| checked.name.mesh(party.name), std::borrow::ToOwned::to_owned);
            (party.name.to_owned(), address.into())
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn tikv(tikv: &TikvSpec) -> Value {
    let TikvSpec { pd_endpoints, key_prefix, tls, plaintext: _ } = tikv;
    let file = |name: &str| format!("{}/{name}", mounts::TIKV_TLS);
    json!({
        "pd": pd_endpoints,
        "prefix": key_prefix,
        "tls": tls.as_ref().map(|_| json!({
            "ca_file": file("ca.crt"),
            "certificate_file": file("tls.crt"),
            "key_file": file("tls.key"),
        })),
    })
}

/// TOML has no null, and no whole numbers beyond 64 bits with a sign: those become floats, which the
/// validator refuses with the field's name.
fn toml_of(value: &Value) -> Option<toml::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(yes) => toml::Value::Boolean(*yes),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => toml::Value::Integer(whole),
            (None, Some(float)) => toml::Value::Float(float),
            (None, None) => return None,
        },
        Value::String(text) => toml::Value::String(text.clone()),
        Value::Array(items) => toml::Value::Array(items.iter().filter_map(toml_of).collect()),
        Value::Object(fields) => toml::Value::Table(
            fields.iter().filter_map(|(key, value)| Some((key.clone(), toml_of(value)?))).collect(),
        ),
    })
}
