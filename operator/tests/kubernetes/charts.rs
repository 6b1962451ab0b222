//! The charts: linted, rendered as the golden files say, refused when values make no sense, and taken
//! whole by a real API server that validates every field.

use std::{env, fs, path::PathBuf};

use serde_json::Value;

use crate::servers::{Servers, shared};

const CHARTS: &[&str] = &["cairn-cluster", "cairn-crds", "cairn-operator", "cairn-tikv"];

/// Golden file, chart, values: each shows something that the others do not.
#[rustfmt::skip]
const RENDERED: &[(&str, &str, &[&str])] = &[
    ("operator-default",   "cairn-operator", &[]),
    ("operator-namespaces", "cairn-operator", &["--set", "watchNamespaces={team-a,team-b}", "--set", "replicas=1"]),
    ("operator-monitored", "cairn-operator", &[
        "--set", "serviceMonitor.enabled=true", "--set", "serviceMonitor.labels.release=prometheus",
        "--api-versions", "monitoring.coreos.com/v1/ServiceMonitor",
        "--set", "prometheusRule.enabled=true", "--set", "prometheusRule.labels.release=prometheus",
        "--api-versions", "monitoring.coreos.com/v1/PrometheusRule",
        "--set", "image.digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "--set", "admissionPolicies.enabled=false", "--set", "priorityClassName=system-cluster-critical",
    ]),
    ("cluster-dev",        "cairn-cluster", &[]),
    ("cluster-production", "cairn-cluster", &["--set", "preset=production", "--set", "spec.storage.data.size=500Gi"]),
    ("cluster-tikv",       "cairn-cluster", &[
        "--set", "preset=tikv", "--set", "spec.tikv.pdEndpoints={pd.tikv.svc:2379}",
        "--set", "spec.tikv.keyPrefix=demo", "--set", "spec.tikv.tls.secretName=tikv-client",
    ]),
    ("cluster-own",        "cairn-cluster", &["--set", "preset=none", "--set", "spec.validators[0].name=alice", "--set", "name=mine"]),
    ("tikv-default",       "cairn-tikv", &[]),
];

#[test]
fn charts_pass_helm_lint() {
    for chart in CHARTS {
        let linted =
            shared().helm(&["lint", "--strict", "--kube-version", "1.35.0", &folder(chart)]);
        assert!(linted.is_ok(), "{chart}: {linted:?}");
    }
}

#[test]
fn charts_render_as_the_golden_files_say() {
    let mut stale = Vec::new();
    for (golden, chart, values) in RENDERED {
        let rendered = render(shared(), chart, values).unwrap();
        let path = root().join(format!("operator/tests/charts/{golden}.yaml"));
        if env::var_os("UPDATE_GOLDENFILES").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &rendered).unwrap();
        }
        if fs::read_to_string(&path).unwrap_or_default() != rendered {
            stale.push(*golden);
        }
    }
    assert!(
        stale.is_empty(),
        "{stale:?} render differently: UPDATE_GOLDENFILES=1, then read the difference"
    );
}

/// Too long for a golden file, and already one of cairn-dashboards.
const WITH_DASHBOARDS: &[&str] = &[
    "--set",
    "dashboards.enabled=true",
    "--set",
    "dashboards.namespace=team-a",
    "--set",
    "dashboards.labels.team=ledger",
    "--set",
    "dashboards.annotations.grafana_folder=Cairn",
];

#[test]
fn dashboards_come_whole_and_where_grafana_looks() {
    let mut values = vec!["--show-only", "templates/dashboards.yaml"];
    values.extend(WITH_DASHBOARDS);
    let rendered = render(shared(), "cairn-operator", &values).unwrap();
    let mut came = vec![];
    for document in rendered.split("\n---\n").filter(|text| text.contains("kind: ConfigMap")) {
        let map: Value = serde_saphyr::from_str(document).unwrap();
        let metadata = &map["metadata"];
        assert_eq!(metadata["namespace"], "team-a");
        assert_eq!(metadata["annotations"]["grafana_folder"], "Cairn");
        // What the sidecar looks for stays when labels are added.
        assert_eq!(metadata["labels"]["grafana_dashboard"], "1");
        assert_eq!(metadata["labels"]["team"], "ledger");
        for (name, dashboard) in map["data"].as_object().unwrap() {
            let file = fs::read_to_string(root().join("dashboards").join(name)).unwrap();
            assert_eq!(*dashboard, *file, "{name} is not the one that is committed");
            came.push(name.clone());
        }
    }
    came.sort();
    assert_eq!(came, ["cairn-cluster.json", "cairn-fleet.json", "cairn-operator.json"]);
    let without = render(shared(), "cairn-operator", &[]).unwrap();
    assert!(!without.contains("grafana"), "nobody asked for dashboards");
}

#[test]
fn values_that_make_no_sense_are_refused_with_what_would_be_fine() {
    #[rustfmt::skip]
    let table: &[(&str, &[&str], &str)] = &[
        ("cairn-operator", &["--set", "replica=3"], "replica"),
        ("cairn-operator", &["--set", "replicas=0"], "greater than or equal to 1"),
        ("cairn-operator", &["--set", "image.digest=sha256:12"], "sha256:[0-9a-f]{64}"),
        ("cairn-operator", &["--set", "watchNamespaces={Team}"], "watchNamespaces"),
        ("cairn-operator", &["--set", "logFormat=xml"], "\"json\", \"text\""),
        ("cairn-operator", &["--set", "serviceMonitor.enabled=true"], "install the Prometheus operator first"),
        ("cairn-operator", &["--set", "dashboards.enable=true"], "enable"),
        ("cairn-operator", &["--set", "dashboards.labels.grafana_dashboard=1"], "Expected: string"),
        ("cairn-operator", &["--set", "dashboards.namespace=Grafana"], "dashboards.namespace"),
        ("cairn-operator", &["--set", "prometheusRule.enabled=true"], "the CRD PrometheusRule"),
        ("cairn-operator", &["--set", "prometheusRule.label=x"], "label"),
        ("cairn-cluster",  &["--set", "preset=large"], "\"dev\", \"production\", \"tikv\", \"none\""),
        ("cairn-cluster",  &["--set", "preset=none"], "name at least one"),
        ("cairn-cluster",  &["--set", "preset=tikv"], "set spec.tikv.pdEndpoints"),
        ("cairn-cluster",  &["--set", "name=Demo"], "name"),
        ("cairn-tikv",     &["--set", "tikv.replicas=1"], "greater than or equal to 3"),
        ("cairn-tikv",     &["--set", "pd.storage=1GB"], "pd.storage"),
    ];
    for (chart, values, expected) in table {
        let refused =
            render(shared(), chart, values).expect_err(&format!("{chart} {values:?} is taken"));
        assert!(refused.contains(expected), "{chart} {values:?}: {refused}");
    }
}

#[test]
fn the_api_server_takes_every_manifest_of_the_charts() {
    let servers = shared();
    for namespace in ["charts", "team-a", "team-b"] {
        let manifest = format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {namespace}, labels: {{pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}}}}}}"
        );
        servers.kubectl_with(&["apply", "-f", "-"], &manifest).unwrap();
    }
    let crds = render(servers, "cairn-crds", &[]).unwrap();
    servers
        .kubectl_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &crds)
        .unwrap();
    servers
        .kubectl(&[
            "wait",
            "--for=condition=Established",
            "crd/blockchainclusters.cairndb.io",
            "--timeout=60s",
        ])
        .unwrap();
    let dashboards = ("dashboards", "cairn-operator", WITH_DASHBOARDS);
    for (golden, chart, values) in RENDERED.iter().chain([&dashboards]) {
        // Its kind is the Prometheus operator's, which is not here.
        if *golden == "operator-monitored" {
            continue;
        }
        let rendered = render(servers, chart, values).unwrap();
        // Strict: an unknown field is an error; so is a warning, of Pod Security for one.
        let taken = servers.kubectl_with(
            &["apply", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "-f", "-"],
            &rendered,
        );
        assert!(taken.is_ok(), "{golden}: {taken:?}");
    }
}

/// What helm makes of a chart in the namespace `charts`.
fn render(servers: &Servers, chart: &str, values: &[&str]) -> Result<String, String> {
    let folder = folder(chart);
    let mut arguments =
        vec!["template", "demo", &folder, "--namespace", "charts", "--kube-version", "1.35.0"];
    arguments.extend(values);
    servers.helm(&arguments)
}

fn folder(chart: &str) -> String {
    root().join("charts").join(chart).display().to_string()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
