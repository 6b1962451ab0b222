//! The admission policies of the chart: warnings, and what the CRD's own rules cannot refuse.

use super::*;

const NAMESPACE: &str = "admission-policies";

/// Installed for one namespace, so that other tests are not warned. They work a moment after that.
fn policies() -> &'static Servers {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let servers = installed();
        namespace(servers, NAMESPACE);
        let chart = format!("{}/../charts/cairn-operator", env!("CARGO_MANIFEST_DIR"));
        #[rustfmt::skip]
        let rendered = servers
            .helm(&["template", "cairn-operator", &chart, "--kube-version", "1.35.0", "--show-only", "templates/admission-policies.yaml"])
            .unwrap();
        let here = format!(
            "  matchResources: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {NAMESPACE}}}}}}}\n  validationActions:"
        );
        let scoped = rendered.replace("  validationActions:", &here);
        assert_eq!(scoped.matches("matchResources").count(), 2, "{rendered}");
        servers.kubectl_with(&["apply", "--server-side", "-f", "-"], &scoped).unwrap();
        eventually(servers, "{}", "NoByzantineTolerance");
        let unequal = "resources: {requests: {cpu: 2}, limits: {cpu: 1}}";
        eventually(servers, unequal, "at most its limit");
    });
    shared()
}

fn eventually(servers: &Servers, spec: &str, words: &str) {
    for _ in 0..240 {
        if said(servers, &cluster("first", spec)).is_err_and(|said| said.contains(words)) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("no policy says {words:?}");
}

/// What kubectl says to an object that is to be created: warnings count as refusals.
fn said(servers: &Servers, cluster: &Value) -> Result<String, String> {
    let create = ["-n", NAMESPACE, "create", "--dry-run=server", "--warnings-as-errors", "-f", "-"];
    servers.kubectl_with(&create, &cluster.to_string())
}

const FOUR: &str = "validators: [{name: a}, {name: b}, {name: c}, {name: d}]";

#[test]
fn advice_is_given_where_a_federation_tolerates_less_than_it_seems() {
    let servers = policies();
    #[rustfmt::skip]
    let table = [
        ("validators: [{name: a}]", "NoByzantineTolerance f=0: a federation of 1 tolerates"),
        ("validators: [{name: a}, {name: b}, {name: c}]", "NoByzantineTolerance f=0: a federation of 3 tolerates"),
        ("validators: [{name: a, power: 2}, {name: b}, {name: c}, {name: d}]", "one validator holds a third"),
        ("validators: [{name: a}, {name: b}, {name: c}, {name: d}]\nfencedValidators: [a, b]", "NoQuorum: fencedValidators leaves voting power 2 of 4"),
    ];
    for (spec, words) in table {
        let advice = said(servers, &cluster("demo", spec)).expect_err(spec);
        assert!(advice.contains("Warning: ") && advice.contains(words), "{spec}: {advice}");
        // It is advice: without --warnings-as-errors the object is taken.
        let taken = servers.kubectl_with(
            &["-n", NAMESPACE, "create", "--dry-run=server", "-f", "-"],
            &cluster("demo", spec).to_string(),
        );
        assert!(taken.is_ok(), "{spec}: {taken:?}");
    }
    for silent in [
        FOUR.to_owned(),
        format!("{FOUR}\nfencedValidators: [a]"),
        format!("{FOUR}\nfencedValidators: [a, b]\nsuspend: true"),
        "validators: [{name: a, power: 3}, {name: b, power: 3}, {name: c, power: 2}, {name: d, power: 2}]".to_owned(),
    ] {
        let silence = said(servers, &cluster("demo", &silent));
        assert!(silence.is_ok(), "{silent}: {silence:?}");
    }
}

#[test]
fn requests_above_limits_are_refused() {
    let servers = policies();
    for (requests, limits) in [("{cpu: 2}", "{cpu: 1500m}"), ("{memory: 2Gi}", "{memory: 2G}")] {
        let of_all = format!("{FOUR}\nresources: {{requests: {requests}, limits: {limits}}}");
        let of_one = format!(
            "validators: [{{name: a, resources: {{requests: {requests}, limits: {limits}}}}}, {{name: b}}, {{name: c}}, {{name: d}}]"
        );
        for spec in [of_all, of_one] {
            let refusal = said(servers, &cluster("demo", &spec)).expect_err(&spec);
            assert!(refusal.contains("a request is at most its limit"), "{spec}: {refusal}");
        }
    }
    let equal =
        format!("{FOUR}\nresources: {{requests: {{cpu: 1, memory: 1Gi}}, limits: {{cpu: 1000m}}}}");
    let taken = said(servers, &cluster("demo", &equal));
    assert!(taken.is_ok(), "{taken:?}");
}

#[test]
fn an_approval_names_a_generation_that_somebody_can_have_seen() {
    let servers = policies();
    let approve = |value: &str| {
        let value = format!("cairndb.io/approve-update={value}");
        servers.kubectl(&["-n", NAMESPACE, "annotate", "--overwrite", "bcc", "approved", &value])
    };
    let created = cluster("approved", FOUR).to_string();
    servers.kubectl_with(&["-n", NAMESPACE, "create", "-f", "-"], &created).unwrap();
    for bad in ["yes", "-1", "01", "2"] {
        let refusal = approve(bad).expect_err(bad);
        assert!(refusal.contains("at most 1, is fine"), "{bad}: {refusal}");
    }
    approve("1").unwrap();
    servers
        .kubectl(&[
            "-n",
            NAMESPACE,
            "patch",
            "bcc",
            "approved",
            "--type=merge",
            "-p",
            "{\"spec\":{\"suspend\":true}}",
        ])
        .unwrap();
    approve("2").unwrap();
    // A backup brings the approval of a generation that the restored object has not reached.
    let mut restored = cluster("restored", FOUR);
    restored["metadata"]["annotations"] = json!({ "cairndb.io/approve-update": "7" });
    servers.kubectl_with(&["-n", NAMESPACE, "create", "-f", "-"], &restored.to_string()).unwrap();
}
