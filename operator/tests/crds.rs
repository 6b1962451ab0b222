//! The CRD files are what the types say, and what an API server and a reader need of them.

use std::{env, fs, path::PathBuf};

use cairn_operator::crd::{self, definition};
use serde_json::Value;

/// For people, and for the chart: one content.
const FILES: [&str; 2] = [
    "crds/cairndb.io_blockchainclusters.yaml",
    "charts/cairn-crds/files/cairndb.io_blockchainclusters.yaml",
];

#[test]
fn the_files_are_what_the_types_say() {
    for file in FILES {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        if env::var_os("UPDATE_GOLDENFILES").is_some() {
            fs::write(&path, definition::yaml()).unwrap();
        }
        assert!(
            fs::read_to_string(&path).unwrap_or_default() == definition::yaml(),
            "{file} is stale: run this test with UPDATE_GOLDENFILES=1, or write what `cairn-operator crds` prints into it"
        );
    }
}

#[test]
fn the_printed_crd_is_the_applied_one() {
    let printed: Value = serde_saphyr::from_str(&definition::yaml()).unwrap();
    assert_eq!(printed, crd::crd());
    assert_eq!(printed["metadata"]["annotations"][crd::ANNOTATION_SCHEMA], crd::schema_hash());
}

/// Each schema below `schema`, with its path.
fn each(path: &str, schema: &Value, seen: &mut impl FnMut(&str, &Value)) {
    seen(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        each(&format!("{path}.{name}"), property, seen);
    }
    for below in ["items", "additionalProperties"] {
        if schema[below].is_object() {
            each(&format!("{path}[]"), &schema[below], seen);
        }
    }
}

fn root() -> Value {
    crd::crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

#[test]
fn every_field_is_documented() {
    let mut silent = Vec::new();
    each("", &root(), &mut |path, schema| {
        // What is inside of an open object is there to be refused.
        let refused = path.starts_with(".spec.podOverrides.") || path.starts_with(".spec.config.");
        let named = !path.is_empty() && !path.ends_with("[]") && !refused;
        if named && schema["description"].as_str().unwrap_or_default().is_empty() {
            silent.push(path.to_owned());
        }
    });
    // The API server documents these itself.
    silent.retain(|path| !path.starts_with(".metadata"));
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn everything_that_people_write_has_a_bound() {
    let mut endless = Vec::new();
    each(".spec", &root()["properties"]["spec"], &mut |path, schema| {
        let bounded = match schema["type"].as_str() {
            Some("string") => schema["maxLength"].is_u64() || schema["enum"].is_array(),
            Some("array") => schema["maxItems"].is_u64(),
            Some("object") => {
                schema["additionalProperties"].is_null() || schema["maxProperties"].is_u64()
            }
            _ => true,
        };
        if !bounded {
            endless.push(path.to_owned());
        }
    });
    assert!(endless.is_empty(), "{endless:?}");
}

#[test]
fn lists_say_how_they_merge_and_nothing_is_nullable() {
    let mut odd = Vec::new();
    each("", &root(), &mut |path, schema| {
        let unsaid = schema["type"] == "array" && schema["x-kubernetes-list-type"].is_null();
        let of_rust = schema["format"].as_str().is_some_and(|format| format.starts_with("uint"));
        if unsaid || of_rust || !schema["nullable"].is_null() {
            odd.push(path.to_owned());
        }
    });
    assert!(odd.is_empty(), "{odd:?}");
    assert!(!definition::yaml().contains("imum: 1.0"), "bounds are whole numbers");
}

#[test]
fn each_rule_has_a_message() {
    let mut silent = Vec::new();
    each("", &root(), &mut |path, schema| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            if rule["message"].as_str().is_none_or(|message| message.contains('\n')) {
                silent.push(format!("{path}: {}", rule["rule"]));
            }
        }
    });
    assert!(silent.is_empty(), "{silent:#?}");
}
