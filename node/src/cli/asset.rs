//! `cairn asset`: create, transfer and show assets through a validator's HTTP API.

use std::{path::PathBuf, time::Duration};

use cairn_ledger::{
    ids::{OutputReference, PublicKey, TransactionId},
    limits::{AMOUNT_MAX, INPUTS_MAX},
    transaction::build::{self, Share, Spend},
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::print::{Printed, table};
use crate::{exit::Failure, keys};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create an asset and wait until the federation has decided it
    #[command(after_help = "Example:\n  \
        cairn asset create --key alice.key --data '{\"bicycle\": {\"serial\": \"A-17\"}}'")]
    Create(Create),
    /// Give an asset, or a part of it, to another key
    #[command(after_help = "Example:\n  \
        cairn asset transfer --key alice.key --asset ID --to PUBLICKEY --amount 3\n\n\
        What is left over goes back to the key that signs.")]
    Transfer(Transfer),
    /// Show an asset: its data, its transfers, and who holds it
    Show {
        /// The asset's id: that of the transaction that created it
        id: TransactionId,
        #[command(flatten)]
        server: Server,
    },
    /// Fetch the receipt of a transaction: proof, for anyone, that the federation decided it
    #[command(after_help = "Example:\n  \
        cairn asset receipt ID > receipt.json\n  \
        cairn verify receipt receipt.json --genesis genesis.json")]
    Receipt {
        /// The transaction's id
        id: TransactionId,
        #[command(flatten)]
        server: Server,
    },
}

/// Show how far a validator is.
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    server: Server,
}

/// The height that a validator answers from, and who may vote.
pub(super) fn status(arguments: &Status) -> Result<Printed, Failure> {
    let api = Api::of(&arguments.server)?;
    let (height, validators) = api.get_at("/api/v1/validators")?;
    let count = validators.as_array().map_or(0, Vec::len);
    let fields = [
        ("url", api.url.clone()),
        ("height", height.to_string()),
        ("validators", count.to_string()),
    ];
    Ok(Printed::fields(&fields, json!({ "url": api.url, "height": height, "validators": count })))
}

#[derive(Debug, Args)]
pub(super) struct Server {
    /// A validator's API
    #[arg(long, env = "CAIRN_URL", default_value = "http://127.0.0.1:9984")]
    url: String,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    server: Server,
    /// Private key of the issuer
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// What the asset is: a JSON object
    #[arg(long, value_name = "JSON")]
    data: String,
    /// What this transaction is about: a JSON object
    #[arg(long, value_name = "JSON", default_value = "null")]
    metadata: String,
    /// How many shares each owner gets
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=AMOUNT_MAX))]
    amount: u64,
    /// Who owns it; several keys get an output each [default: the issuer]
    #[arg(long, value_name = "PUBLICKEY")]
    to: Vec<PublicKey>,
}

#[derive(Debug, Args)]
pub(super) struct Transfer {
    #[command(flatten)]
    server: Server,
    /// Private key of the present owner
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The asset's id
    #[arg(long, value_name = "ID")]
    asset: TransactionId,
    /// Spend exactly this output [default: as many unspent ones as needed]
    #[arg(long, value_name = "TX:INDEX", value_parser = output_reference)]
    spend: Option<OutputReference>,
    /// Who gets it
    #[arg(long, value_name = "PUBLICKEY")]
    to: PublicKey,
    /// How many shares [default: all]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=AMOUNT_MAX))]
    amount: Option<u64>,
    /// What this transaction is about: a JSON object
    #[arg(long, value_name = "JSON", default_value = "null")]
    metadata: String,
}

fn output_reference(text: &str) -> Result<OutputReference, String> {
    let fine = "TX:INDEX, like 4957…b317:0, is fine";
    let (transaction, index) = text.split_once(':').ok_or(fine)?;
    Ok(OutputReference {
        transaction: transaction.parse().map_err(|error| format!("{error}; {fine}"))?,
        index: index.parse().map_err(|_| fine)?,
    })
}

pub(super) fn run(command: Command) -> Result<Printed, Failure> {
    match command {
        Command::Create(arguments) => create(&arguments),
        Command::Transfer(arguments) => transfer(&arguments),
        Command::Show { id, server } => show(&Api::of(&server)?, &id),
        Command::Receipt { id, server } => receipt(&Api::of(&server)?, &id),
    }
}

/// The receipt as the validator gave it, in either form of output: it is a file's content.
fn receipt(api: &Api, id: &TransactionId) -> Result<Printed, Failure> {
    let receipt = api.get(&format!("/api/v2/transactions/{id}/receipt"))?;
    Ok(Printed { table: format!("{receipt:#}\n"), json: Some(receipt) })
}

fn create(arguments: &Create) -> Result<Printed, Failure> {
    let api = Api::of(&arguments.server)?;
    let issuer = keys::read(&arguments.key)?;
    let own = [issuer.public()];
    let owners = if arguments.to.is_empty() { &own[..] } else { &arguments.to };
    let shares: Vec<Share> =
        owners.iter().map(|owner| Share::to(*owner, arguments.amount)).collect();
    let transaction = build::create(&arguments.data, &arguments.metadata, &shares, &issuer)
        .map_err(Failure::general)?;
    commit(&api, &transaction)
}

fn transfer(arguments: &Transfer) -> Result<Printed, Failure> {
    let api = Api::of(&arguments.server)?;
    let owner = keys::read(&arguments.key)?;
    let me = owner.public();
    let candidates = match arguments.spend {
        Some(output) => vec![output],
        None => api.unspent(&me)?,
    };
    let picked = pick(&candidates, arguments.amount, |output| {
        let transaction = api.transaction(&output.transaction)?;
        Ok(holding(&transaction, output, &arguments.asset, &me))
    })?;
    if picked.is_empty() {
        return Err(Failure::general(format!(
            "{me} holds nothing of asset {} that it can spend alone",
            arguments.asset
        )));
    }
    let held = picked.iter().map(|(_, amount)| amount).sum::<u64>();
    let amount = arguments.amount.unwrap_or(held);
    let Some(change) = held.checked_sub(amount) else {
        return Err(Failure::general(format!(
            "{me} can spend {held} of asset {}; {amount} were asked for",
            arguments.asset
        )));
    };
    let spends: Vec<Spend> = picked.iter().map(|(output, _)| Spend::of(me, *output)).collect();
    let mut shares = vec![Share::to(arguments.to, amount)];
    shares.extend((change > 0).then(|| Share::to(me, change)));
    let transaction =
        build::transfer(arguments.asset, &arguments.metadata, &spends, &shares, &[&owner])
            .map_err(Failure::general)?;
    commit(&api, &transaction)
}

/// Takes outputs in the order given until `amount` is reached, or all that one transaction can spend.
fn pick(
    candidates: &[OutputReference],
    amount: Option<u64>,
    mut held: impl FnMut(&OutputReference) -> Result<Option<u64>, Failure>,
) -> Result<Vec<(OutputReference, u64)>, Failure> {
    let (mut picked, mut sum) = (Vec::new(), 0_u64);
    for output in candidates {
        if picked.len() == INPUTS_MAX || amount.is_some_and(|amount| sum >= amount) {
            break;
        }
        if let Some(share) = held(output)? {
            // An asset's shares together are at most AMOUNT_MAX.
            sum = sum.saturating_add(share);
            picked.push((*output, share));
        }
    }
    Ok(picked)
}

/// How much of the asset that output holds, if `me` alone can spend it.
fn holding(
    transaction: &Value,
    output: &OutputReference,
    asset: &TransactionId,
    me: &PublicKey,
) -> Option<u64> {
    if asset_of(transaction)? != asset.to_string() {
        return None;
    }
    let output = transaction["outputs"].get(usize::try_from(output.index).ok()?)?;
    let details = &output["condition"]["details"];
    let mine = details["type"] == "ed25519-sha-256" && details["public_key"] == me.to_string();
    if mine { output["amount"].as_str()?.parse().ok() } else { None }
}

fn asset_of(transaction: &Value) -> Option<&str> {
    match transaction["operation"].as_str()? {
        "CREATE" => transaction["id"].as_str(),
        _ => transaction["asset"]["id"].as_str(),
    }
}

fn commit(api: &Api, transaction: &[u8]) -> Result<Printed, Failure> {
    let answer = api.post("/api/v1/transactions?mode=commit", transaction)?;
    let id = answer["id"].as_str().unwrap_or_default().to_owned();
    let asset = asset_of(&answer).unwrap_or_default().to_owned();
    let fields = [("committed", id.clone()), ("asset", asset.clone())];
    let json = json!({ "outcome": "committed", "transaction_id": id, "asset_id": asset });
    Ok(Printed::fields(&fields, json))
}

fn show(api: &Api, id: &TransactionId) -> Result<Printed, Failure> {
    let history = api.get(&format!("/api/v1/transactions?asset_id={id}"))?;
    let all = history.as_array().map_or(&[][..], Vec::as_slice);
    let Some(created) = all.first() else {
        return Err(Failure::general(format!("there is no asset {id}")));
    };
    let mut rows = vec![["operation", "transaction", "amount", "to"].map(str::to_owned).to_vec()];
    for transaction in all {
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        for output in transaction["outputs"].as_array().into_iter().flatten() {
            let owners = output["public_keys"].as_array().into_iter().flatten();
            let owners: Vec<String> = owners.map(text).collect();
            let row = [&transaction["operation"], &transaction["id"], &output["amount"]];
            let mut row: Vec<String> = row.into_iter().map(text).collect();
            row.push(owners.join(" and "));
            rows.push(row);
        }
    }
    let head = table(&[
        vec!["asset".to_owned(), id.to_string()],
        vec!["data".to_owned(), created["asset"]["data"].to_string()],
    ]);
    let json = json!({ "asset_id": id, "data": created["asset"]["data"], "transactions": all });
    Ok(Printed { table: format!("{head}\n{}", table(&rows)), json: Some(json) })
}

/// Longer than a validator waits for a decision.
const PATIENCE: Duration = Duration::from_secs(150);

/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A validator's HTTP API.
struct Api {
    agent: ureq::Agent,
    url: String,
}

impl Api {
    fn of(server: &Server) -> Result<Self, Failure> {
        let url = server.url.trim_end_matches('/').to_owned();
        if !url.starts_with("http://") {
            return Err(Failure::general(format!(
                "--url {url} is not supported; one like http://127.0.0.1:9984 is fine"
            )));
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(PATIENCE))
            .build();
        Ok(Self { agent: config.into(), url })
    }

    fn get(&self, path: &str) -> Result<Value, Failure> {
        let answer = self.agent.get(format!("{}{path}", self.url)).call();
        self.read(answer)
    }

    /// The same, with the height that the answer is true at.
    fn get_at(&self, path: &str) -> Result<(u64, Value), Failure> {
        let answer = self.agent.get(format!("{}{path}", self.url)).call();
        let height = answer.as_ref().ok().and_then(|answer| answer.headers().get("cairn-height"));
        let height = height.and_then(|text| text.to_str().ok()?.parse().ok());
        let value = self.read(answer)?;
        let missing = || Failure::general(format!("{} does not say its height", self.url));
        Ok((height.ok_or_else(missing)?, value))
    }

    fn post(&self, path: &str, body: &[u8]) -> Result<Value, Failure> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let answer = request.header("content-type", "application/json").send(body);
        self.read(answer)
    }

    fn read(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, Failure> {
        let unreachable =
            |error: ureq::Error| Failure::general(format!("no answer from {}: {error}", self.url));
        let mut answer = answer.map_err(unreachable)?;
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let body = body.map_err(unreachable)?;
        let value = serde_json::from_str(&body);
        if answer.status().is_success() {
            return value.map_err(|error| {
                Failure::general(format!("{} answered what is not JSON: {error}", self.url))
            });
        }
        let said = sentence(answer.status().as_u16(), &value.unwrap_or(Value::Null));
        Err(Failure::general(format!("{} answered {said}", self.url)))
    }

    fn unspent(&self, owner: &PublicKey) -> Result<Vec<OutputReference>, Failure> {
        let listed = self.get(&format!("/api/v1/outputs?public_key={owner}&spent=false"))?;
        let listed = listed.as_array().map_or(&[][..], Vec::as_slice);
        Ok(listed.iter().filter_map(listed_output).collect())
    }

    fn transaction(&self, id: &TransactionId) -> Result<Value, Failure> {
        self.get(&format!("/api/v1/transactions/{id}"))
    }
}

fn listed_output(listed: &Value) -> Option<OutputReference> {
    Some(OutputReference {
        transaction: listed["transaction_id"].as_str()?.parse().ok()?,
        index: u32::try_from(listed["output_index"].as_u64()?).ok()?,
    })
}

/// The server's error as one sentence: v1 says `message`, v2 `detail`.
fn sentence(status: u16, body: &Value) -> String {
    let said = match (&body["message"], &body["detail"]) {
        (Value::String(text), _) | (_, Value::String(text)) => text.clone(),
        (Value::Object(fields), _) => {
            let said = |(field, text): (&String, &Value)| {
                format!("{field}: {}", text.as_str().unwrap_or_default())
            };
            fields.iter().map(said).collect::<Vec<_>>().join("; ")
        }
        _ => "without saying why".to_owned(),
    };
    format!("{status}: {said}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(index: u32) -> OutputReference {
        OutputReference { transaction: TransactionId([1; 32]), index }
    }

    #[test]
    fn outputs_are_taken_until_there_is_enough() {
        let all: Vec<OutputReference> = (0..4).map(output).collect();
        // Output 1 is not ours; the others hold 5 each.
        let held = |output: &OutputReference| Ok((output.index != 1).then_some(5));
        #[rustfmt::skip]
        let table: [(Option<u64>, &[u32], &str); 4] = [
            (Some(5),  &[0],       "one is enough"),
            (Some(6),  &[0, 2],    "the second is change"),
            (Some(99), &[0, 2, 3], "all are not enough; the caller says so"),
            (None,     &[0, 2, 3], "everything"),
        ];
        for (amount, indexes, why) in table {
            let picked = pick(&all, amount, held).unwrap();
            let picked: Vec<u32> = picked.iter().map(|(output, _)| output.index).collect();
            assert_eq!(picked, indexes, "{why}");
        }
    }

    #[test]
    fn only_what_the_key_can_spend_alone_is_held() {
        let me: PublicKey = "4K9sWUMFwTgaDGPfdynrbxWqWS6sWmKbZoTjxLtVUibD".parse().unwrap();
        let id = TransactionId([1; 32]);
        let mine = json!({ "type": "ed25519-sha-256", "public_key": me.to_string() });
        let ours = json!({ "type": "threshold-sha-256", "threshold": 1, "subconditions": [mine] });
        let transaction = json!({
            "id": id, "operation": "CREATE", "asset": { "data": null }, "outputs": [
                { "amount": "7", "condition": { "details": mine } },
                { "amount": "7", "condition": { "details": ours } },
            ],
        });
        assert_eq!(holding(&transaction, &output(0), &id, &me), Some(7));
        assert_eq!(holding(&transaction, &output(1), &id, &me), None, "a threshold");
        assert_eq!(holding(&transaction, &output(2), &id, &me), None, "no such output");
        let other = TransactionId([2; 32]);
        assert_eq!(holding(&transaction, &output(0), &other, &me), None, "another asset");
    }

    #[test]
    fn an_output_is_named_by_transaction_and_index() {
        let id = "01".repeat(32);
        assert_eq!(output_reference(&format!("{id}:3")), Ok(output(3)));
        for text in ["", "x:0", &id, &format!("{id}:"), &format!("{id}:-1")] {
            assert!(output_reference(text).unwrap_err().contains("TX:INDEX"), "{text}");
        }
    }

    #[test]
    fn an_error_of_the_server_is_one_sentence() {
        #[rustfmt::skip]
        let table = [
            (json!({ "message": "Not found", "status": 404 }),       "404: Not found"),
            (json!({ "message": { "asset_id": "Invalid hash" } }),   "404: asset_id: Invalid hash"),
            (json!({ "detail": "no quorum", "code": "NO_QUORUM" }),  "404: no quorum"),
            (Value::Null,                                            "404: without saying why"),
        ];
        for (body, expected) in table {
            assert_eq!(sentence(404, &body), expected);
        }
    }
}
