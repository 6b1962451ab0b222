//! The OpenAPI document: it says what is served, and no more.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::api::openapi;

/// The documented operations: path and method, with its description.
fn operations(document: &Value) -> BTreeMap<(String, String), Value> {
    let mut all = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.insert((path.clone(), method.to_uppercase()), operation.clone());
        }
    }
    all
}

/// Every `$ref` in a document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|it| references(it, found)),
        Value::Object(members) => members.iter().for_each(|(key, it)| match it.as_str() {
            Some(target) if key == "$ref" => {
                found.insert(target.to_owned());
            }
            _ => references(it, found),
        }),
        _ => {}
    }
}

#[test]
fn the_document_names_each_operation_once_and_nothing_that_is_not_there() {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
    let operations = operations(&document);
    let names: BTreeSet<_> = operations.values().map(|it| it["operationId"].to_string()).collect();
    assert_eq!(names.len(), operations.len(), "{names:?}");
    for ((path, method), operation) in operations {
        for text in ["summary", "description"] {
            assert!(operation[text].is_string(), "{method} {path} has no {text}");
        }
        let parameters = operation["parameters"].as_array().unwrap();
        assert!(parameters.iter().all(|it| it["description"].is_string()), "{method} {path}");
    }
}

/// A path of the document with something in its braces.
fn filled(path: &str, story: &Story) -> String {
    path.replace("{id}", &story.made.id.to_string()).replace("{height}", "1")
}

#[tokio::test]
async fn the_document_has_the_routes_that_are_served() {
    let story = Story::tell().await;
    let document = story.json("/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let operations = operations(&document);
    let described: BTreeSet<String> =
        crate::api::v2::described().into_iter().map(|(path, _)| path.to_owned()).collect();
    let documented: BTreeSet<String> = operations.keys().map(|(path, _)| path.clone()).collect();
    assert_eq!(documented, described);
    for path in documented {
        let methods: BTreeSet<String> =
            operations.keys().filter(|(of, _)| *of == path).map(|(_, it)| it.clone()).collect();
        let reply = story.world.send("DELETE", &filled(&path, &story), "", Body::empty()).await;
        let served = reply.header("allow").split(',').filter(|method| *method != "HEAD");
        let served: BTreeSet<String> = served.map(str::to_owned).collect();
        assert_eq!(served, methods, "{path}");
    }
}

#[tokio::test]
async fn each_route_knows_the_parameters_that_the_document_names() {
    let story = Story::tell().await;
    for ((path, method), operation) in operations(&story.json("/openapi.json").await) {
        let parameters = operation["parameters"].as_array().unwrap().iter();
        let named: BTreeSet<_> = parameters
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect();
        let path = format!("{}?colour=red", filled(&path, &story));
        let reply = story.world.send(&method, &path, "application/json", "{}").await;
        let problem = reply.json();
        assert_eq!(
            (reply.status.as_u16(), &problem["code"]),
            (400, &json!("PARAM_UNKNOWN")),
            "{path}"
        );
        let detail = problem["detail"].as_str().unwrap();
        let known: BTreeSet<_> = detail.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        let unnamed = if method == "GET" { None } else { Some("min_height".to_owned()) };
        assert_eq!(known, named.into_iter().chain(unnamed).collect(), "{path}");
    }
}

#[tokio::test]
async fn values_that_make_no_sense_are_named_wherever_they_are_taken() {
    let story = Story::tell().await;
    #[rustfmt::skip]
    let wrong: &[(&str, &[&str])] = &[
        ("min_height", &["", "-1", "+1", "1.0", "0x1", "99999999999999999999", "9223372036854775808", "%30%00"]),
        ("as_of",      &["", "-1", "latest", "18446744073709551616"]),
        ("height",     &["-1", "x"]),
        ("before",     &["-1", "x"]),
        ("after",      &["-1", "x"]),
        ("limit",      &["", "0", "-1", "1001", "1e9", "9999999999", "99999999999999999999", "1%00"]),
        ("order",      &["", "ASC", "up"]),
        ("spent",      &["", "True", "1"]),
        ("explain",    &["yes"]),
        ("public_key", &["", "x", "O0Il", "%F0%9F%9A%B2"]),
        ("asset_id",   &["", "x", "zz"]),
        ("wait",       &["", "never"]),
    ];
    let mut asked = BTreeSet::new();
    for ((path, method), operation) in operations(&story.json("/openapi.json").await) {
        for parameter in operation["parameters"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            if parameter["in"] != "query" {
                continue;
            }
            let Some((_, values)) = wrong.iter().find(|(of, _)| *of == name) else { continue };
            asked.insert(name.to_owned());
            for value in *values {
                let path = format!("{}?{name}={value}", filled(&path, &story));
                let reply = story.world.send(&method, &path, "application/json", "{}").await;
                let answer = (reply.status.as_u16(), reply.json()["code"].clone());
                assert_eq!(answer, (400, json!("PARAM_INVALID")), "{path}");
                assert!(reply.text.contains("would be fine"), "{}", reply.text);
            }
            let twice = format!("{}?{name}=1&{name}=1", filled(&path, &story));
            let reply = story.world.send(&method, &twice, "application/json", "{}").await;
            assert_eq!(reply.json()["code"], "PARAM_INVALID", "{twice}");
        }
    }
    assert_eq!(asked.len(), wrong.len(), "each of them is a parameter of something");
}

#[test]
fn the_document_that_is_kept_is_the_one_that_is_served() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let made = openapi();
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "docs/openapi.json is stale: `cargo run --bin cairn -- openapi > docs/openapi.json` makes it anew"
    );
}

#[tokio::test]
async fn the_page_to_try_it_at_loads_nothing_from_elsewhere() {
    let world = World::new();
    let reply = world.get("/api/v2/docs").await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (308, "docs/"));
    let page = world.get("/api/v2/docs/").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html"));
    assert!(page.header("content-security-policy").starts_with("default-src 'self';"));
    let links: Vec<&str> =
        page.text.split(['"']).filter(|it| it.ends_with(".js") || it.ends_with(".css")).collect();
    assert!(links.len() > 3, "{}", page.text);
    for link in links {
        let file = world.get(&format!("/api/v2/docs/{}", link.trim_start_matches("./"))).await;
        assert_eq!(file.status, StatusCode::OK, "{link}");
        assert!(!link.contains("//"), "{link}");
    }
    let start = world.get("/api/v2/docs/swagger-initializer.js").await.text;
    assert!(start.contains("../openapi.json") && !start.contains("http"), "{start}");
    for path in [
        "/api/v2/docs/nothing",
        "/api/v2/docs/..%2f..%2fetc%2fpasswd",
        "/api/v2/docs/%ff",
        "/api/v2/docs/%00",
    ] {
        let reply = world.get(path).await;
        let answer = (reply.status.as_u16(), reply.header("content-type"));
        assert_eq!(answer, (404, "application/problem+json"), "{path}");
    }
}

#[test]
fn the_page_about_the_api_names_the_routes_that_are_there_and_no_others() {
    let page = include_str!("../../../../../docs/api.md");
    let served: Vec<_> = v2::described().into_iter().map(|(path, _)| path).collect();
    for path in &served {
        let named = ["GET", "POST"].map(|method| page.contains(&format!("`{method} {path}`")));
        assert!(named.contains(&true), "docs/api.md does not name {path}");
    }
    let asked = |text: &'static str| text.strip_prefix("GET ").or(text.strip_prefix("POST "));
    let spoken = page.split('`').filter_map(asked);
    for path in spoken.filter(|path| path.starts_with("/api/v2")) {
        assert!(served.contains(&path), "docs/api.md names {path}, which is not served");
    }
}
