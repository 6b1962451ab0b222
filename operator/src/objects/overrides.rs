//! `spec.podOverrides`: people's own PodTemplateSpec, merged over the operator's. What the operator could
//! not do its work without is put back afterwards.

use serde_json::{Map, Value};

use crate::{check::Checked, crd::ValidatorSpec, manifest::name_of_elements, names::CONTAINER};

/// The template with what people wrote merged over it.
pub(super) fn apply(checked: &Checked, validator: &ValidatorSpec, base: Value) -> Value {
    let Some(written) = &checked.spec.pod_overrides else { return base };
    let mut template = base.clone();
    merge(&mut template, written);
    let labels = checked.name.labels(Some(&validator.name));
    for section in ["metadata", "spec"] {
        if !template[section].is_object() {
            template[section] = base[section].clone();
        }
    }
    if !template["metadata"]["labels"].is_object() {
        template["metadata"]["labels"] = Value::Object(Map::new());
    }
    // Services, budgets and policies find the pod by them.
    for (key, value) in labels {
        template["metadata"]["labels"][key] = value.into();
    }
    if !template["metadata"]["annotations"].is_object() {
        template["metadata"]["annotations"] = base["metadata"]["annotations"].clone();
    }
    put_back(&mut template, &base, "containers", CONTAINER, false);
    put_back(&mut template, &base, "volumes", "data", true);
    template
}

/// Puts the element of that name back when it is gone; `exactly` also when it is another.
fn put_back(template: &mut Value, base: &Value, list: &str, name: &str, exactly: bool) {
    let named = |value: &Value| value["name"] == name;
    let original = base["spec"][list].as_array().and_then(|items| items.iter().find(|i| named(i)));
    let Some(original) = original else { return };
    if !template["spec"][list].is_array() {
        template["spec"][list] = base["spec"][list].clone();
    }
    let Some(items) = template["spec"][list].as_array_mut() else { return };
    match items.iter_mut().find(|item| named(item)) {
        Some(item) if exactly => *item = original.clone(),
        Some(_) => {}
        None => items.insert(0, original.clone()),
    }
}

/// Merges `over` into `base`: objects field by field, lists whose elements have names by name, tolerations
/// as the union of both, anything else is replaced. Null takes a field away.
pub(super) fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge_field(base, key, value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

fn merge_field(base: &mut Map<String, Value>, key: &str, over: &Value) {
    match (base.get_mut(key), over) {
        (_, Value::Null) => {
            base.remove(key);
        }
        (Some(Value::Array(base)), Value::Array(over)) if key == "tolerations" => {
            let further: Vec<_> =
                over.iter().filter(|item| !base.contains(item)).cloned().collect();
            base.extend(further);
        }
        (Some(Value::Array(base)), Value::Array(over)) => match name_of_elements(key) {
            Some(name) if over.iter().all(|item| item.get(name).is_some()) => {
                merge_named(base, over, name);
            }
            _ => base.clone_from(over),
        },
        (Some(base), over) => merge(base, over),
        (None, over) => {
            base.insert(key.to_owned(), over.clone());
        }
    }
}

fn merge_named(base: &mut Vec<Value>, over: &[Value], name: &str) {
    for item in over {
        match base.iter_mut().find(|other| other.get(name) == item.get(name)) {
            Some(other) => merge(other, item),
            None => base.push(item.clone()),
        }
    }
}
