//! `spec.podOverrides`: people's own PodTemplateSpec, merged over the operator's. What the operator could
//! not do its work without is put back afterwards.

use serde_json::{Map, Value};

use crate::{
    check::Checked,
    crd::ValidatorSpec,
    manifest::name_of_elements,
    names::{ANNOTATION_CONFIG, CONTAINER},
};

/// The template with what people wrote merged over it.
pub(super) fn apply(checked: &Checked, validator: &ValidatorSpec, base: Value) -> Value {
    let Some(written @ Value::Object(_)) = &checked.spec.pod_overrides else { return base };
    let mut template = base.clone();
    merge(&mut template, written);
    let labels = checked.name.labels(Some(&validator.name));
    for section in ["metadata", "spec"] {
        if !template[section].is_object() {
            template[section] = base[section].clone();
        }
    }
    for map in ["labels", "annotations"] {
        if !template["metadata"][map].is_object() {
            template["metadata"][map] = base["metadata"][map].clone();
        }
    }
    // Services, budgets and policies find the pod by them.
    for (key, value) in labels {
        template["metadata"]["labels"][key] = value.into();
    }
    let config = &base["metadata"]["annotations"][ANNOTATION_CONFIG];
    template["metadata"]["annotations"][ANNOTATION_CONFIG] = config.clone();
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
            Some(name) => merge_named(base, over, name),
            None => base.clone_from(over),
        },
        (Some(base), over) => merge(base, over),
        (None, over) => {
            base.insert(key.to_owned(), over.clone());
        }
    }
}

fn merge_named(base: &mut Vec<Value>, over: &[Value], name: &str) {
    for item in over {
        let same =
            |other: &&mut Value| item.get(name).is_some() && other.get(name) == item.get(name);
        match base.iter_mut().find(same) {
            Some(other) => merge(other, item),
            None => base.push(item.clone()),
        }
    }
}
