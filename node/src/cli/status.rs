//! `cairn status`: how far validators are, and whether they serve.

use clap::Args;
use serde_json::{Value, json};

use super::{
    Context,
    client::Client,
    print::{Printed, Row, Rows, cell},
    profile::{Connection, Settings},
};
use crate::exit::Failure;

/// Show how far validators are; exit code 1 when one does not serve.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cairn status\n  \
    cairn status --url http://127.0.0.1:9984 --url http://127.0.0.1:9994\n  \
    cairn status --output json | jq .height        one JSON value a line, one for each URL\n\n\
    All URLs of the profile are asked when no flag names any.")]
pub(super) struct Arguments {
    #[command(flatten)]
    connection: Connection,
}

const HEAD: [&str; 9] =
    ["url", "validator", "height", "lag", "peers", "voting", "quorum", "ready", "version"];

pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<Printed, Failure> {
    let settings = context.profile.settings(&arguments.connection)?;
    let mut rows = Rows::new(context.output, &HEAD);
    let mut not_ready = Vec::new();
    for url in settings.urls.clone() {
        let alone = Settings { urls: vec![url.clone()], ..settings.clone() };
        let client = Client::with(alone)?;
        let status = ask(&client).unwrap_or_else(
            |failure| json!({ "url": url, "ready": false, "not_ready_because": failure.message }),
        );
        if status["ready"] != true {
            let why = status["not_ready_because"].as_str().unwrap_or("it does not say why");
            not_ready.push(format!("{url} is not ready: {why}"));
        }
        if !rows.print(vec![Row::line(cells(&status), &status)])? {
            break;
        }
    }
    if not_ready.is_empty() {
        Ok(Printed::nothing())
    } else {
        Err(Failure::general(not_ready.join("\ncairn: ")))
    }
}

fn cells(status: &Value) -> Vec<String> {
    let peers = match &status["peers"] {
        Value::Array(names) => names.len().to_string(),
        other => cell(other),
    };
    let of = |name: &str| cell(&status[name]);
    vec![
        of("url"),
        of("validator"),
        of("height"),
        of("lag"),
        peers,
        of("voting"),
        of("quorum"),
        of("ready"),
        cell(&status["versions"]["cairn"]),
    ]
}

fn ask(client: &Client) -> Result<Value, Failure> {
    let answer = client.get("/api/v2/status")?;
    let mut status = answer.json()?;
    if !status.is_object() {
        return Err(Failure::general(format!("{} answered no status", answer.url)));
    }
    status["url"] = json!(answer.url);
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_row_also_where_somebody_does_not_answer() {
        let status = json!({
            "url": "u", "validator": "v", "height": 7, "lag": 0, "peers": ["a", "b"],
            "voting": true, "quorum": false, "ready": true, "versions": { "cairn": "1" },
        });
        assert_eq!(cells(&status), ["u", "v", "7", "0", "2", "yes", "no", "yes", "1"]);
        let silent = json!({ "url": "u", "ready": false, "not_ready_because": "no answer" });
        assert_eq!(cells(&silent), ["u", "-", "-", "-", "-", "-", "-", "no", "-"]);
    }
}
