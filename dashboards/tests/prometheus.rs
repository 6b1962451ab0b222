//! Everything that the dashboards ask, asked of a real Prometheus that scraped a real federation and a real
//! operator: nothing is an error, and nothing that should be there is empty.
//!
//! `e2e/monitoring/run.sh` starts all of that and then this: `make test-dashboards`.
#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

use std::{collections::BTreeMap, env, thread, time::Duration};

use cairn_dashboards::boards;
use serde_json::Value;

/// With a scrape a second, as long as Grafana would make it.
const RATE_INTERVAL: &str = "15s";

/// How often an empty answer is asked for again, and how often at most.
const ASK: Duration = Duration::from_secs(1);
const ASK_MAX: u32 = 180;

struct Prometheus {
    url: String,
    agent: ureq::Agent,
}

impl Prometheus {
    fn new() -> Self {
        let url = env::var("CAIRN_PROMETHEUS").expect("its URL, in CAIRN_PROMETHEUS");
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        Self { url, agent: config.into() }
    }

    /// What the API has at a path, or what it complains about.
    fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let request = self.agent.get(format!("{}/api/v1/{path}", self.url));
        let mut answer = request.query_pairs(parameters.iter().copied()).call().unwrap();
        let answer: Value =
            serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        if answer["status"] == "success" {
            Ok(answer["data"].clone())
        } else {
            Err(format!("{}: {}", answer["errorType"], answer["error"]))
        }
    }

    /// How many numbers the answer has.
    fn numbers(&self, expression: &str) -> Result<usize, String> {
        let data = self.get("query", &[("query", expression)])?;
        let series = data["result"].as_array().unwrap().iter();
        let values = series.filter_map(|series| series["value"][1].as_str());
        Ok(values.filter(|value| *value != "NaN").count())
    }

    /// Values of a label, as Grafana asks for those of a variable.
    fn label_values(&self, query: &str) -> Vec<String> {
        let arguments = query.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
        let (selector, label) = arguments.rsplit_once(',').unwrap();
        let path = format!("label/{}/values", label.trim());
        let values = self.get(&path, &[("match[]", selector)]).unwrap();
        values.as_array().unwrap().iter().map(|value| value.as_str().unwrap().into()).collect()
    }
}

/// The variables with what Grafana chooses when a dashboard is opened: all, or the first.
fn chosen(board: &Value, prometheus: &Prometheus) -> BTreeMap<String, String> {
    let mut chosen = BTreeMap::new();
    for variable in board["templating"]["list"].as_array().unwrap() {
        if variable["type"] != "query" {
            continue;
        }
        let query = filled(variable["query"].as_str().unwrap(), &chosen);
        let values =
            wait(&query, || Some(prometheus.label_values(&query)).filter(|v| !v.is_empty()));
        let value = variable["allValue"].as_str().unwrap_or(&values[0]);
        chosen.insert(variable["name"].as_str().unwrap().to_owned(), value.to_owned());
    }
    chosen
}

fn filled(text: &str, chosen: &BTreeMap<String, String>) -> String {
    let mut text = text.replace("$__rate_interval", RATE_INTERVAL);
    for (name, value) in chosen {
        text = text.replace(&format!("${name}"), value);
    }
    assert!(!text.contains('$'), "a variable that there is not: {text}");
    text
}

/// Asks until there is an answer.
fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..ASK_MAX {
        if let Some(answer) = ask() {
            return answer;
        }
        thread::sleep(ASK);
    }
    panic!("nothing answers {what}");
}

#[test]
#[ignore = "needs a Prometheus that scraped a federation and an operator: make test-dashboards"]
fn every_question_is_answered() {
    let prometheus = Prometheus::new();
    let without_operator = env::var_os("CAIRN_WITHOUT_OPERATOR").is_some();
    let (mut empty, mut asked) = (vec![], 0);
    for board in boards::all() {
        if board.uid == "cairn-operator" && without_operator {
            continue;
        }
        let chosen = chosen(&serde_json::from_str(&board.json()).unwrap(), &prometheus);
        for (title, expression, quiet) in board.questions() {
            asked += 1;
            let place = format!("{} / {title}", board.title);
            let expression = filled(expression, &chosen);
            let ask = || {
                let numbers = prometheus.numbers(&expression);
                numbers.unwrap_or_else(|error| panic!("{place}: {error}: {expression}"))
            };
            if quiet.is_none_or(str::is_empty) {
                let answered = (0..ASK_MAX).any(|_| {
                    let answered = ask() > 0;
                    if !answered {
                        thread::sleep(ASK);
                    }
                    answered
                });
                if !answered {
                    empty.push(format!("{place}: {expression}"));
                }
            } else if ask() == 0 {
                println!("{place} shows nothing: {}", quiet.unwrap_or_default());
            }
        }
    }
    assert!(empty.is_empty(), "of {asked}, these show nothing:\n{}", empty.join("\n"));
    println!("{asked} questions are answered");
}

/// So that the test above can fail.
#[test]
#[ignore = "as the other"]
fn what_is_wrong_is_noticed() {
    let prometheus = Prometheus::new();
    assert!(prometheus.numbers("rate(cairn_height)").is_err());
    assert_eq!(prometheus.numbers(r#"cairn_height{cairndb_io_cluster="nobody"}"#), Ok(0));
    assert_eq!(prometheus.numbers("0 * (cairn_height / 0)"), Ok(0), "NaN is no number");
}
