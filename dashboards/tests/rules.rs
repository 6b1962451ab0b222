//! The rule files are what the list says, every alert can be acted on, and nothing is asked of Prometheus
//! that it does not have. `promtool` tests what the rules mean: `make test-alerts`.
#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::PathBuf,
};

use cairn_dashboards::rules::{self, Of, Pace, Severity};
use rusty_promql_parser::{Expr, LabelMatchOp, VectorSelector, expr};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// The one cluster that promtool tests the operator's PrometheusRule with.
const DEMO: Of<'_> = Of::One("ledgers", "demo");

#[test]
fn the_files_are_what_the_list_says() {
    let (validators, operator) = (rules::validators(), rules::operator());
    let whole = ["cairn-validators.yaml", "cairn-operator.yaml"];
    let files = [
        ("dashboards/rules/cairn-validators.yaml", rules::file(&validators, Of::All)),
        ("dashboards/rules/cairn-operator.yaml", rules::file(&operator, Of::All)),
        ("charts/cairn-operator/files/rules/cairn-operator.yaml", rules::file(&operator, Of::All)),
        ("dashboards/rules/tests.yaml", rules::tests(&whole, Of::All, Pace::Minutes)),
        ("dashboards/rules/tests-of-days.yaml", rules::tests(&whole, Of::All, Pace::Days)),
        ("dashboards/rules/one-cluster/rules.yaml", rules::file(&validators, DEMO)),
        (
            "dashboards/rules/one-cluster/tests.yaml",
            rules::tests(&["rules.yaml"], DEMO, Pace::Minutes),
        ),
        ("docs/alerts.md", between(&read("docs/alerts.md"), "alerts", &rules::table())),
    ];
    for (file, expected) in files {
        if env::var_os("UPDATE_GOLDENFILES").is_some() {
            let path = root().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &expected).unwrap();
        }
        assert!(
            read(file) == expected,
            "{file} is stale: UPDATE_GOLDENFILES=1, then read the difference"
        );
    }
}

/// A text with what stands between two markers replaced.
fn between(text: &str, marker: &str, new: &str) -> String {
    let (begin, end) = (format!("<!-- {marker} -->\n"), format!("<!-- end of {marker} -->"));
    let (before, rest) = text.split_once(&begin).expect("the text has the marker");
    let (_, after) = rest.split_once(&end).expect("and its end");
    format!("{before}{begin}{new}{end}{after}")
}

/// Names of all series that validators and the operator have, and what Prometheus says of its targets.
fn known() -> BTreeSet<String> {
    let validator = cairn_node::metrics::Metrics::new();
    let operator = cairn_operator::metrics::Metrics::new();
    let described = validator.described().iter().chain(operator.described());
    described.flat_map(cairn_metrics::Described::series_names).chain(["up".to_owned()]).collect()
}

/// A series that is asked for, and what its labels have to be.
type Asked = (String, BTreeMap<String, String>);

/// Every series that an expression asks for.
fn asked(expression: &str) -> Vec<Asked> {
    let (rest, parsed) = expr(expression).unwrap_or_else(|why| panic!("{why}: {expression}"));
    assert!(rest.trim().is_empty(), "what is this? {rest}");
    let mut found = vec![];
    walk(&parsed, &mut found);
    found
}

fn walk(expression: &Expr, found: &mut Vec<Asked>) {
    let mut put = |selector: &VectorSelector| {
        let equal = selector.matchers.iter().filter(|matcher| matcher.op == LabelMatchOp::Equal);
        let matchers = equal.map(|matcher| (matcher.name.clone(), matcher.value.clone()));
        found.push((
            selector.name.clone().expect("a selector names its metric"),
            matchers.collect(),
        ));
    };
    match expression {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::VectorSelector(selector) => put(selector),
        Expr::MatrixSelector(matrix) => put(&matrix.selector),
        Expr::Call(call) => call.args.iter().for_each(|argument| walk(argument, found)),
        Expr::Aggregation(of) => walk(&of.expr, found),
        Expr::Binary(two) => {
            walk(&two.lhs, found);
            walk(&two.rhs, found);
        }
        Expr::Unary(one) => walk(&one.expr, found),
        Expr::Paren(inside) => walk(inside, found),
        Expr::Subquery(of) => walk(&of.expr, found),
    }
}

/// Expressions of all rules, with the names of the rules.
fn expressions(of: Of<'_>) -> Vec<(String, String)> {
    let mut all = vec![];
    let groups = if of == Of::All {
        rules::validators().into_iter().chain(rules::operator()).collect()
    } else {
        rules::validators()
    };
    for group in rules::value(&groups, "x", of)["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let name = rule["alert"].as_str().or(rule["record"].as_str()).unwrap();
            all.push((name.to_owned(), rule["expr"].as_str().unwrap().to_owned()));
        }
    }
    all
}

#[test]
fn every_metric_that_is_asked_for_is_there() {
    let recorded = rules::validators().into_iter().flat_map(|group| group.recordings);
    let mut known = known();
    known.extend(recorded.map(|recording| recording.name));
    for (rule, expression) in expressions(Of::All) {
        let series = asked(&expression);
        assert!(!series.is_empty(), "{rule} asks for nothing");
        for (name, _) in series {
            assert!(known.contains(&name), "{rule} asks for {name}, which there is not");
        }
    }
}

#[test]
fn rules_of_one_cluster_ask_for_nothing_of_another() {
    for (rule, expression) in expressions(DEMO) {
        for (name, matchers) in asked(&expression) {
            let is = |label: &str, value: &str| matchers.get(label).is_some_and(|is| is == value);
            let its_own = is("namespace", "ledgers") && is("cairndb_io_cluster", "demo");
            assert!(its_own, "{rule}: {name} of whoever has it: {expression}");
        }
    }
}

#[test]
fn rules_of_all_clusters_keep_them_apart() {
    for (rule, expression) in expressions(Of::All) {
        let of_the_operator = expression.contains("cairn_operator_");
        assert!(
            !expression.contains("OF") && !expression.contains("CLUSTER"),
            "{rule}: {expression}"
        );
        assert!(
            of_the_operator || expression.contains("namespace, cairndb_io_cluster"),
            "{rule}: {expression}"
        );
        // Every way of collecting metrics has another name for it.
        assert!(
            !expression.contains("pod") && !expression.contains("instance"),
            "{rule}: {expression}"
        );
    }
}

#[test]
fn every_alert_was_thought_through() {
    let names: Vec<_> = rules::alerts().map(|alert| alert.name).collect();
    assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len(), "each name once");
    for alert in rules::alerts() {
        let name = alert.name;
        assert!(name.starts_with("Cairn"), "{name}");
        assert!(
            alert.cases.iter().any(|case| !case.fires.is_empty()),
            "{name} never fires in a test"
        );
        assert!(
            alert.cases.iter().any(|case| case.fires.is_empty()),
            "{name} always fires in its tests"
        );
        assert!(
            alert.summary.len() < 200 && !alert.summary.ends_with('.'),
            "{name}: {}",
            alert.summary
        );
        assert!(alert.description.ends_with('.'), "{name}: {}", alert.description);
        // Whoever reads it in the night has to know whose ledger it is.
        let says_where = ["namespace }}", "operator", "BlockchainCluster"]
            .iter()
            .any(|word| alert.summary.contains(word));
        assert!(says_where, "{name}: {}", alert.summary);
        let patient = alert.lasting.strip_suffix(['m', 'h']).and_then(|n| n.parse::<u32>().ok());
        assert!(patient.is_some(), "{name}: {}", alert.lasting);
    }
    let woken = rules::alerts().filter(|alert| alert.severity == Severity::Critical).count();
    assert!(woken * 2 < names.len(), "most of them can wait for the day");
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let folder = root().join("docs/runbooks");
    let pages: BTreeSet<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    let expected: BTreeSet<_> = rules::alerts().map(|alert| format!("{}.md", alert.name)).collect();
    assert_eq!(pages, expected);
    for alert in rules::alerts() {
        let page = read(&format!("docs/runbooks/{}.md", alert.name));
        let headings: Vec<_> = page.lines().filter(|line| line.starts_with('#')).collect();
        let title = format!("# {}", alert.name);
        let wanted = [&title, "## Meaning", "## Impact", "## Diagnosis", "## Mitigation"];
        assert_eq!(headings, wanted, "{}", alert.name);
        let parts = page.split("\n## ").skip(1);
        for part in parts {
            let (heading, text) = part.split_once('\n').unwrap();
            assert!(text.trim().len() > 40, "{}: {heading} says nothing", alert.name);
        }
    }
}

/// Names of metrics in running text and in examples.
#[test]
fn runbooks_ask_for_metrics_that_there_are() {
    let recorded = rules::validators().into_iter().flat_map(|group| group.recordings);
    let recorded: BTreeSet<_> = recorded.map(|recording| recording.name).collect();
    let known = known();
    for alert in rules::alerts() {
        let page = read(&format!("docs/runbooks/{}.md", alert.name));
        let word = |c: char| c == '_' || c == ':' || c.is_ascii_alphanumeric();
        for name in page.split(|c| !word(c)) {
            let is_metric = name.starts_with("cairn_") && !name.starts_with("cairn_node");
            if is_metric && !name.ends_with('_') {
                let whole = known.contains(name) || known.contains(&format!("{name}_bucket"));
                assert!(whole, "{}: there is no {name}", alert.name);
            }
            if name.strip_prefix("cairn:").is_some_and(|rest| !rest.is_empty()) {
                assert!(recorded.contains(name), "{}: there is no {name}", alert.name);
            }
        }
    }
}

/// What a page tells to ask Prometheus: lines of its blocks, and calls in its text.
fn queries(page: &str) -> Vec<String> {
    let mut found = vec![];
    for (at, block) in page.split("```").enumerate() {
        if at % 2 == 1 {
            let lines = block.strip_prefix("promql\n").into_iter().flat_map(str::lines);
            // Behind them is what they say.
            found.extend(lines.filter_map(|line| line.split("   #").next()).map(str::to_owned));
        } else {
            let spans = block.split('`').skip(1).step_by(2);
            let asks = |span: &&str| {
                span.contains("cairn_") && span.contains('(') && !span.starts_with("curl")
            };
            found.extend(spans.filter(asks).map(str::to_owned));
        }
    }
    found
}

#[test]
fn what_runbooks_tell_to_ask_can_be_asked() {
    let mut seen = 0;
    for alert in rules::alerts() {
        for query in queries(&read(&format!("docs/runbooks/{}.md", alert.name))) {
            seen += 1;
            assert!(!asked(&query).is_empty(), "{}: {query}", alert.name);
        }
    }
    assert!(seen > 40, "only {seen} queries were found");
}
