//! `charts/cairn-crds` installs what `cairn-operator crds` prints, with what people want to add to it.

use super::*;

fn rendered(values: &[&str]) -> Value {
    let chart = format!("{}/../charts/cairn-crds", env!("CARGO_MANIFEST_DIR"));
    let mut arguments = vec!["template", "crds", &chart, "--kube-version", "1.35.0"];
    arguments.extend(values);
    yaml(&shared().helm(&arguments).unwrap())
}

#[test]
fn the_chart_renders_the_crd_and_keeps_it_when_it_goes() {
    let (chart, ours) = (rendered(&[]), crd::crd());
    let hash = &chart["metadata"]["annotations"][crd::ANNOTATION_SCHEMA];
    assert_eq!(chart["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    assert_eq!(*hash, crd::schema_hash());
    // Numbers have become floats on their way through helm, and mean the same.
    assert_eq!(chart["metadata"]["name"], ours["metadata"]["name"]);
    same("", &chart["spec"], &ours["spec"]);

    let values =
        ["--set", "keep=false", "--set", "annotations.team=ledger", "--set", "labels.team=ledger"];
    let chart = rendered(&values);
    let metadata = &chart["metadata"];
    assert!(metadata["annotations"]["helm.sh/resource-policy"].is_null());
    assert_eq!(metadata["annotations"]["team"], "ledger");
    assert_eq!(metadata["annotations"][crd::ANNOTATION_SCHEMA], crd::schema_hash());
    assert_eq!(metadata["labels"]["team"], "ledger");
    assert_eq!(metadata["labels"]["app.kubernetes.io/managed-by"], "Helm");
}

fn same(path: &str, one: &Value, other: &Value) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>(), "{path}");
            one.iter().for_each(|(key, value)| same(&format!("{path}.{key}"), value, &other[key]));
        }
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len(), "{path}");
            one.iter().zip(other).for_each(|(one, other)| same(path, one, other));
        }
        (Value::Number(one), Value::Number(other)) => {
            assert_eq!(one.as_f64(), other.as_f64(), "{path}");
        }
        _ => assert_eq!(one, other, "{path}"),
    }
}

#[test]
fn the_api_server_takes_the_chart_over_what_it_has() {
    let servers = installed();
    let chart = rendered(&[]).to_string();
    let apply = [
        "apply",
        "--server-side",
        "--dry-run=server",
        "--force-conflicts",
        "--validate=strict",
        "-f",
        "-",
    ];
    let taken = servers.kubectl_with(&apply, &chart);
    assert!(taken.is_ok(), "{taken:?}");
}
