//! `cairn asset create`.

use cairn_ledger::{
    limits::AMOUNT_MAX,
    transaction::build::{self, Share},
};
use clap::Args;

use super::{Sending, json_text, recipient::Recipient, send, signers};
use crate::{
    cli::{
        Context,
        client::Client,
        print::Printed,
        profile::{Connection, Signer},
    },
    exit::Failure,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    signer: Signer,
    /// What the asset is: a JSON object, or @FILE
    #[arg(long, value_name = "JSON")]
    data: String,
    /// What this transaction is about: a JSON object, or @FILE
    #[arg(long, value_name = "JSON", default_value = "null")]
    metadata: String,
    /// How many shares each owner gets whose --to does not say
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=AMOUNT_MAX))]
    amount: u64,
    /// Who owns it: a public key, several joined by + who own it together, and perhaps :AMOUNT;
    /// once for each output [default: the issuer]
    #[arg(long, value_name = "KEY[+KEY][:AMOUNT]")]
    to: Vec<Recipient>,
    #[command(flatten)]
    sending: Sending,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<Printed, Failure> {
    let client = Client::new(&arguments.connection, context)?;
    let keys = signers(&arguments.signer, context)?;
    let [issuer] = &keys[..] else {
        return Err(Failure::general("an asset has one issuer: one --key would be fine"));
    };
    let amount = arguments.amount;
    let shares: Vec<Share> = match &arguments.to[..] {
        [] => vec![Share::to(issuer.public(), amount)],
        to => to.iter().map(|to| to.share(to.amount.unwrap_or(amount))).collect(),
    };
    let data = json_text("--data", &arguments.data)?;
    let metadata = json_text("--metadata", &arguments.metadata)?;
    let transaction = build::create(&data, &metadata, &shares, issuer).map_err(Failure::general)?;
    send(&client, &transaction, &arguments.sending)
}
