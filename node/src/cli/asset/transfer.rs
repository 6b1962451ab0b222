//! `cairn asset transfer`: picks unspent outputs, gives the shares on, keeps what is left.

use std::collections::HashSet;

use cairn_ledger::{
    condition::Condition,
    ids::{OutputReference, PublicKey, TransactionId},
    limits::{AMOUNT_MAX, INPUTS_MAX},
    signature::SigningKey,
    transaction::{
        Parsed,
        build::{self, Share, Spend},
    },
};
use clap::Args;
use serde_json::Value;

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
    /// The asset's id
    #[arg(long, value_name = "ID")]
    asset: TransactionId,
    /// Who gets it: a public key, several joined by + who own it together, and perhaps :AMOUNT;
    /// once for each output
    #[arg(long, value_name = "KEY[+KEY][:AMOUNT]", required = true)]
    to: Vec<Recipient>,
    /// How many shares the one gets whose --to does not say [default: all]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=AMOUNT_MAX))]
    amount: Option<u64>,
    /// Spend exactly this output [default: as many unspent ones as needed]
    #[arg(long, value_name = "TX:INDEX", value_parser = output_reference)]
    spend: Option<OutputReference>,
    /// What this transaction is about: a JSON object, or @FILE
    #[arg(long, value_name = "JSON", default_value = "null")]
    metadata: String,
    #[command(flatten)]
    sending: Sending,
    #[command(flatten)]
    connection: Connection,
}

fn output_reference(text: &str) -> Result<OutputReference, String> {
    let fine = "TX:INDEX, like 4957…b317:0, is fine";
    let (transaction, index) = text.split_once(':').ok_or(fine)?;
    Ok(OutputReference {
        transaction: transaction.parse().map_err(|error| format!("{error}; {fine}"))?,
        index: index.parse().map_err(|_| fine)?,
    })
}

pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<Printed, Failure> {
    let client = Client::new(&arguments.connection, context)?;
    let keys = signers(&arguments.signer, context)?;
    let wanted = wanted(&arguments.to, arguments.amount)?;
    let mine: Vec<PublicKey> = keys.iter().map(SigningKey::public).collect();
    let candidates = match arguments.spend {
        Some(output) => vec![output],
        None => unspent(&client, &mine)?,
    };
    let picked = pick(&candidates, wanted, |output| {
        let transaction = client.transaction(&output.transaction)?;
        Ok(holding(&transaction, output, &arguments.asset, &mine))
    })?;
    let who = mine.iter().map(PublicKey::to_string).collect::<Vec<_>>().join(" and ");
    let Some(last) = picked.last() else {
        let asset = arguments.asset;
        return Err(Failure::general(format!("{who} holds nothing of asset {asset} to spend")));
    };
    let held = picked.iter().map(|held| held.amount).sum::<u64>();
    let given = wanted.unwrap_or(held);
    let Some(change) = held.checked_sub(given) else {
        return Err(Failure::general(format!(
            "{who} can spend {held} of asset {} in one transaction; {given} were asked for",
            arguments.asset
        )));
    };
    let mut shares = shares(&arguments.to, arguments.amount, given);
    let left = Share { amount: change, condition: last.spend.condition.clone() };
    shares.extend((change > 0).then_some(left));
    let spends: Vec<Spend> = picked.into_iter().map(|held| held.spend).collect();
    let metadata = json_text("--metadata", &arguments.metadata)?;
    let signers: Vec<&SigningKey> = keys.iter().collect();
    let transaction = build::transfer(arguments.asset, &metadata, &spends, &shares, &signers)
        .map_err(Failure::general)?;
    send(&client, &transaction, &arguments.sending)
}

/// How much is given away in all; nothing when that is whatever there is.
fn wanted(to: &[Recipient], amount: Option<u64>) -> Result<Option<u64>, Failure> {
    let silent = to.iter().filter(|to| to.amount.is_none()).count();
    if silent > 1 || (silent == 1 && to.len() > 1 && amount.is_none()) {
        return Err(Failure::general(
            "several get something: --to KEY:AMOUNT says how much each of them gets",
        ));
    }
    if silent == 0 && amount.is_some() {
        return Err(Failure::general("every --to says how much already: leave --amount out"));
    }
    if silent == 1 && amount.is_none() {
        return Ok(None);
    }
    let amounts = to.iter().filter_map(|to| to.amount).chain(amount);
    let sum = amounts.into_iter().try_fold(0_u64, u64::checked_add);
    let sum = sum.filter(|sum| *sum <= AMOUNT_MAX).ok_or_else(|| {
        Failure::general(format!("there are never more than {AMOUNT_MAX} shares of an asset"))
    })?;
    Ok(Some(sum))
}

fn shares(to: &[Recipient], amount: Option<u64>, given: u64) -> Vec<Share> {
    let rest = amount.unwrap_or(given);
    to.iter().map(|to| to.share(to.amount.unwrap_or(rest))).collect()
}

/// What one output holds, and how it is spent.
struct Held {
    amount: u64,
    spend: Spend,
}

/// Takes outputs in the order given until `amount` is reached, or all that one transaction can spend.
fn pick(
    candidates: &[OutputReference],
    amount: Option<u64>,
    mut held: impl FnMut(&OutputReference) -> Result<Option<Held>, Failure>,
) -> Result<Vec<Held>, Failure> {
    let (mut picked, mut sum) = (Vec::new(), 0_u64);
    for output in candidates {
        if picked.len() == INPUTS_MAX || amount.is_some_and(|amount| sum >= amount) {
            break;
        }
        if let Some(share) = held(output)? {
            // An asset's shares together are at most AMOUNT_MAX.
            sum = sum.saturating_add(share.amount);
            picked.push(share);
        }
    }
    Ok(picked)
}

/// How much of the asset that output holds, if these keys together can spend it.
fn holding(
    transaction: &Parsed,
    output: &OutputReference,
    asset: &TransactionId,
    mine: &[PublicKey],
) -> Option<Held> {
    if transaction.asset() != *asset {
        return None;
    }
    let found = transaction.outputs().get(usize::try_from(output.index).ok()?)?;
    if !opens(&found.condition, mine) {
        return None;
    }
    let (condition, owners) = (found.condition.clone(), found.public_keys.clone());
    Some(Held { amount: found.amount, spend: Spend { output: *output, condition, owners } })
}

/// Whether signatures by these keys fulfil a condition.
fn opens(condition: &Condition, mine: &[PublicKey]) -> bool {
    match condition {
        Condition::Ed25519(key) => mine.contains(key),
        Condition::Threshold { threshold, subconditions } => {
            let open = subconditions.iter().filter(|sub| opens(sub, mine)).count();
            open >= *threshold as usize
        }
    }
}

/// The unspent outputs that list one of these keys.
fn unspent(client: &Client, mine: &[PublicKey]) -> Result<Vec<OutputReference>, Failure> {
    let (mut outputs, mut seen) = (Vec::new(), HashSet::new());
    for owner in mine {
        let answer = client.get(&format!("/api/v1/outputs?public_key={owner}&spent=false"))?;
        let listed = answer.json()?;
        let listed = listed.as_array().map_or(&[][..], Vec::as_slice);
        let fresh = listed.iter().filter_map(listed_output).filter(|output| seen.insert(*output));
        outputs.extend(fresh);
    }
    Ok(outputs)
}

fn listed_output(listed: &Value) -> Option<OutputReference> {
    Some(OutputReference {
        transaction: listed["transaction_id"].as_str()?.parse().ok()?,
        index: u32::try_from(listed["output_index"].as_u64()?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cairn_ledger::{json::Strictness, transaction};

    use super::*;

    fn output(index: u32) -> OutputReference {
        OutputReference { transaction: TransactionId([1; 32]), index }
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed([seed; 32])
    }

    #[test]
    fn outputs_are_taken_until_there_is_enough() {
        let all: Vec<OutputReference> = (0..4).map(output).collect();
        // Output 1 is not ours; the others hold 5 each.
        let held = |output: &OutputReference| {
            let spend = Spend::of(key(1).public(), *output);
            Ok((output.index != 1).then_some(Held { amount: 5, spend }))
        };
        #[rustfmt::skip]
        let table: [(Option<u64>, &[u32], &str); 4] = [
            (Some(5),  &[0],       "one is enough"),
            (Some(6),  &[0, 2],    "the second is change"),
            (Some(99), &[0, 2, 3], "all are not enough; the caller says so"),
            (None,     &[0, 2, 3], "everything"),
        ];
        for (amount, indexes, why) in table {
            let picked = pick(&all, amount, held).unwrap();
            let picked: Vec<u32> = picked.iter().map(|held| held.spend.output.index).collect();
            assert_eq!(picked, indexes, "{why}");
        }
    }

    #[test]
    fn only_what_the_keys_can_spend_is_held() {
        let (alice, bob) = (key(1), key(2));
        let both = Condition::all_of(&[alice.public(), bob.public()]);
        let shares = [Share::to(alice.public(), 7), Share { amount: 8, condition: both }];
        let bytes = build::create("{}", "null", &shares, &alice).unwrap();
        let made = transaction::parse(Arc::from(bytes), Strictness::Strict).unwrap();
        let asset = made.id();
        let at = |index| OutputReference { transaction: asset, index };
        let held = |index, mine: &[&SigningKey], asset| {
            let mine: Vec<PublicKey> = mine.iter().map(|key| key.public()).collect();
            holding(&made, &at(index), asset, &mine).map(|held| held.amount)
        };
        assert_eq!(held(0, &[&alice], &asset), Some(7));
        assert_eq!(held(0, &[&bob], &asset), None, "not his");
        assert_eq!(held(1, &[&alice], &asset), None, "not hers alone");
        assert_eq!(held(1, &[&bob, &alice], &asset), Some(8), "together it is theirs");
        assert_eq!(held(2, &[&alice], &asset), None, "no such output");
        assert_eq!(held(0, &[&alice], &TransactionId([2; 32])), None, "another asset");
    }

    #[test]
    fn what_is_given_adds_up_or_is_whatever_there_is() {
        let to = |amount| {
            let text = key(3).public().to_string();
            let mut to: Recipient = text.parse().unwrap();
            to.amount = amount;
            to
        };
        #[rustfmt::skip]
        let table: [(&[Option<u64>], Option<u64>, Result<Option<u64>, ()>, &str); 8] = [
            (&[None],                None,    Ok(None),    "all of it"),
            (&[None],                Some(4), Ok(Some(4)), "the flag says how much"),
            (&[Some(3)],             None,    Ok(Some(3)), "the recipient says how much"),
            (&[Some(3), Some(2)],    None,    Ok(Some(5)), "each says how much"),
            (&[Some(3), None],       Some(2), Ok(Some(5)), "the flag is for the one who does not say"),
            (&[Some(3), None],       None,    Err(()),     "who gets what?"),
            (&[Some(3)],             Some(3), Err(()),     "said twice"),
            (&[Some(AMOUNT_MAX), Some(1)], None, Err(()),  "more than there can be"),
        ];
        for (amounts, flag, expected, why) in table {
            let recipients: Vec<Recipient> = amounts.iter().map(|amount| to(*amount)).collect();
            assert_eq!(wanted(&recipients, flag).map_err(|_| ()), expected, "{why}");
        }
    }

    #[test]
    fn an_output_is_named_by_transaction_and_index() {
        let id = "01".repeat(32);
        assert_eq!(output_reference(&format!("{id}:3")), Ok(output(3)));
        for text in ["", "x:0", &id, &format!("{id}:"), &format!("{id}:-1")] {
            assert!(output_reference(text).unwrap_err().contains("TX:INDEX"), "{text}");
        }
    }
}
