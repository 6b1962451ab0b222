use sha3::{Digest, Sha3_256};

use super::*;
use crate::{
    condition::Condition, genesis::tests::founders, ids::PublicKey, json::Strictness,
    signature::SigningKey, transaction,
};

/// A key for each number.
pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_seed([number; 32])
}

/// A signed CREATE by one key to itself, an output for each amount. `nonce` tells assets apart.
pub(crate) fn create(owner: &SigningKey, amounts: &[u64], nonce: u64) -> Arc<[u8]> {
    let outputs: Vec<_> = amounts.iter().map(|amount| (owner.public(), *amount)).collect();
    let asset = serde_json::json!({"data": {"nonce": nonce}});
    sign(owner, "CREATE", asset, &[], &outputs)
}

/// A signed TRANSFER of outputs that one key owns.
pub(crate) fn transfer(
    owner: &SigningKey,
    asset: TransactionId,
    spends: &[OutputReference],
    outputs: &[(PublicKey, u64)],
) -> Arc<[u8]> {
    sign(owner, "TRANSFER", serde_json::json!({"id": asset.to_string()}), spends, outputs)
}

fn sign(
    owner: &SigningKey,
    operation: &str,
    asset: serde_json::Value,
    spends: &[OutputReference],
    outputs: &[(PublicKey, u64)],
) -> Arc<[u8]> {
    use serde_json::{Value, json};
    let outputs: Vec<Value> = outputs
        .iter()
        .map(|(to, amount)| {
            json!({
                "amount": amount.to_string(),
                "condition": {
                    "details": {"public_key": to.to_string(), "type": "ed25519-sha-256"},
                    "uri": Condition::Ed25519(*to).fingerprint().uri(),
                },
                "public_keys": [to.to_string()],
            })
        })
        .collect();
    let fulfills = |at: &OutputReference| json!({"output_index": at.index, "transaction_id": at.transaction.to_string()});
    let spent: Vec<Option<&OutputReference>> =
        if spends.is_empty() { vec![None] } else { spends.iter().map(Some).collect() };
    let inputs: Vec<Value> = spent
        .iter()
        .map(|at| {
            json!({
                "fulfillment": null,
                "fulfills": at.map(fulfills),
                "owners_before": [owner.public().to_string()],
            })
        })
        .collect();
    let mut body = json!({
        "asset": asset, "id": null, "inputs": inputs, "metadata": null,
        "operation": operation, "outputs": outputs, "version": "2.0",
    });
    // What is signed: the transaction without id and fulfillments, and the output it spends.
    let unsigned = body.to_string();
    for (i, at) in spent.iter().enumerate() {
        let spends = at.map(|at| format!("{}{}", at.transaction, at.index)).unwrap_or_default();
        let message = Sha3_256::digest(format!("{unsigned}{spends}"));
        let condition = Condition::Ed25519(owner.public());
        let fulfillment =
            crate::condition::Fulfillment::sign(&condition, &message, &[owner]).unwrap();
        body["inputs"][i]["fulfillment"] = json!(fulfillment.to_text());
    }
    body["id"] = json!(hex::encode(Sha3_256::digest(body.to_string())));
    Arc::from(body.to_string().into_bytes())
}

/// Takes it in as a validator does.
pub(crate) fn admitted(bytes: Arc<[u8]>) -> Arc<Admitted> {
    let parsed = transaction::parse(bytes, Strictness::Strict).unwrap();
    Arc::new(transaction::admit(vec![parsed]).remove(0).unwrap())
}

fn electorate() -> Electorate {
    Electorate::of(&founders(4).0)
}

pub(crate) fn candidate(bytes: Arc<[u8]>) -> (TransactionId, Candidate) {
    let transaction = admitted(bytes);
    (transaction.id(), Candidate::Admitted(transaction))
}

fn output(transaction: TransactionId, index: u32) -> OutputReference {
    OutputReference { transaction, index }
}

/// A store in a few lines: what a block of these tests reads and writes.
pub(crate) struct Ledger {
    electorate: Electorate,
    rows: View,
    state: StateHash,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::of(electorate())
    }
}

impl Ledger {
    pub(crate) fn of(electorate: Electorate) -> Self {
        Self { electorate, rows: View::default(), state: StateHash::default() }
    }

    fn view(&self, reads: &Reads) -> View {
        let known = |id| self.rows.transactions.get(id).copied().unwrap_or(false);
        let stand = |at| self.rows.outputs.get(at).cloned().unwrap_or(OutputState::Unknown);
        View {
            transactions: reads.transactions.iter().map(|id| (*id, known(id))).collect(),
            outputs: reads.outputs.iter().map(|at| (*at, stand(at))).collect(),
        }
    }

    /// Executes and stores; says what became of each, and what changed.
    pub(crate) fn block(&mut self, candidates: &[Candidate]) -> Execution {
        let view = self.view(&reads_of(candidates, &self.electorate));
        let execution = execute(view, &self.state, &self.electorate, candidates);
        let Changes { committed, spent, created, state } = execution.changes.clone();
        self.rows.transactions.extend(committed.iter().map(|(id, _)| (*id, true)));
        for (at, row) in created {
            self.rows.outputs.insert(at, OutputState::Unspent(row));
        }
        for (at, by) in spent {
            let was = self.rows.outputs.insert(at, OutputState::Spent(by));
            assert!(matches!(was, Some(OutputState::Unspent(_))), "{at:?} was {was:?}");
        }
        self.state = state;
        // The hash that grew block by block is the hash over the rows that are left.
        let mut afresh = StateHash::default();
        for (at, stand) in &self.rows.outputs {
            if let OutputState::Unspent(row) = stand {
                afresh.add(at, row);
            }
        }
        assert_eq!(self.state, afresh);
        execution
    }
}

fn codes(execution: &Execution) -> Vec<&'static str> {
    let code = |outcome: &Outcome| match outcome {
        Outcome::Committed => "ok",
        Outcome::Refused(recorded) => recorded.code(),
    };
    execution.outcomes.iter().map(code).collect()
}

#[test]
fn a_later_transaction_sees_what_an_earlier_one_of_the_block_did() {
    let (alice, bob) = (key(1), key(2));
    let (asset, made) = candidate(create(&alice, &[5, 7], 0));
    let (first, moved) = candidate(transfer(
        &alice,
        asset,
        &[output(asset, 0)],
        &[(bob.public(), 3), (alice.public(), 2)],
    ));
    let (second, again) =
        candidate(transfer(&bob, asset, &[output(first, 0)], &[(alice.public(), 3)]));
    let mut ledger = Ledger::default();
    let execution = ledger.block(&[made, moved, again]);

    assert_eq!(codes(&execution), ["ok", "ok", "ok"]);
    let changes = &execution.changes;
    assert_eq!(changes.committed, [(asset, 0), (first, 1), (second, 2)]);
    assert_eq!(changes.spent, [(output(asset, 0), first), (output(first, 0), second)]);
    let created: Vec<_> = changes.created.iter().map(|(at, row)| (*at, row.amount)).collect();
    let expected = [
        (output(asset, 0), 5),
        (output(asset, 1), 7),
        (output(first, 0), 3),
        (output(first, 1), 2),
        (output(second, 0), 3),
    ];
    assert_eq!(created, expected);
    assert!(changes.created.iter().all(|(_, row)| row.asset == asset));
    let (_, to_bob) = &changes.created[2];
    assert_eq!(*to_bob.owners, [bob.public()]);
    assert_eq!(to_bob.condition, Condition::Ed25519(bob.public()).fingerprint());
    assert_eq!(changes.state.rows(), 3);
}

#[test]
fn the_same_block_cut_in_two_gives_the_same_state() {
    let (alice, bob) = (key(1), key(2));
    let (asset, made) = candidate(create(&alice, &[5], 0));
    let (_, moved) = candidate(transfer(&alice, asset, &[output(asset, 0)], &[(bob.public(), 5)]));
    let (mut whole, mut cut) = (Ledger::default(), Ledger::default());
    whole.block(&[made.clone(), moved.clone()]);
    cut.block(&[made]);
    cut.block(&[moved]);
    assert_eq!(whole.state, cut.state);
    assert_eq!(whole.state.rows(), 1);
}

#[test]
fn what_an_earlier_one_took_is_gone_in_the_block_and_after_it() {
    let (alice, bob, carol) = (key(1), key(2), key(3));
    let (asset, made) = candidate(create(&alice, &[5], 0));
    let to = |who: &SigningKey| {
        candidate(transfer(&alice, asset, &[output(asset, 0)], &[(who.public(), 5)]))
    };
    let ((first, to_bob), (_, to_carol)) = (to(&bob), to(&carol));
    let mut ledger = Ledger::default();
    let execution = ledger.block(&[
        made.clone(),
        made.clone(),
        to_bob.clone(),
        to_carol.clone(),
        to_bob.clone(),
    ]);
    assert_eq!(codes(&execution)[..3], ["ok", "TX_DUPLICATE", "ok"]);
    assert_eq!(codes(&execution)[3], "DOUBLE_SPEND");
    assert_eq!(codes(&execution)[4], "TX_DUPLICATE");
    assert_eq!(execution.changes.committed, [(asset, 0), (first, 2)]);
    assert_eq!(execution.changes.created.len(), 2);

    let before = ledger.state.clone();
    let execution = ledger.block(&[made, to_bob, to_carol]);
    assert_eq!(codes(&execution), ["TX_DUPLICATE", "TX_DUPLICATE", "DOUBLE_SPEND"]);
    assert_eq!(execution.changes, Changes::none(before));
}

#[test]
fn a_transaction_before_the_one_it_builds_upon_is_refused() {
    let alice = key(1);
    let (asset, made) = candidate(create(&alice, &[5], 0));
    let (_, moved) =
        candidate(transfer(&alice, asset, &[output(asset, 0)], &[(alice.public(), 5)]));
    let execution = Ledger::default().block(&[moved, made]);
    assert_ne!(execution.outcomes[0], Outcome::Committed);
    assert_eq!(execution.outcomes[1], Outcome::Committed);
    assert_eq!(execution.changes.committed, [(asset, 1)]);
}

#[test]
fn what_was_refused_before_is_recorded_and_changes_nothing() {
    let refusal = Refusal::Duplicate(TransactionId([4; 32]));
    let (bytes, claimed_id) = (Arc::from(&b"{"[..]), None);
    let turned_away = Candidate::Refused { bytes, claimed_id, refusal: refusal.clone() };
    let (id, made) = candidate(create(&key(1), &[1], 0));
    assert_eq!(reads_of(std::slice::from_ref(&turned_away), &electorate()), Reads::default());

    let execution = Ledger::default().block(&[turned_away, made]);
    assert_eq!(execution.outcomes, [Outcome::Refused(refusal.record()), Outcome::Committed]);
    assert_eq!(execution.changes.committed, [(id, 1)], "the index counts refused ones too");
}

#[test]
fn each_row_is_asked_for_once() {
    let alice = key(1);
    let (asset, made) = candidate(create(&alice, &[5], 0));
    let spends = [output(asset, 0)];
    let (_, one) = candidate(transfer(&alice, asset, &spends, &[(key(2).public(), 5)]));
    let (_, other) = candidate(transfer(&alice, asset, &spends, &[(key(3).public(), 5)]));
    let reads = reads_of(&[made.clone(), one.clone(), made, other, one], &electorate());
    assert_eq!(reads.outputs, spends);
    let distinct: HashSet<_> = reads.transactions.iter().collect();
    assert_eq!(distinct.len(), reads.transactions.len());
    assert!(distinct.len() >= 3, "every transaction's own id is asked for: {reads:?}");
}

/// Splits, joins, double spends and repeats at random: whatever the block borders, the
/// outcomes and the state are those of one transaction at a time.
#[test]
fn where_blocks_are_cut_changes_nothing() {
    let owner = key(1);
    let (asset, made) = candidate(create(&owner, &[1, 1, 1, 1], 0));
    let mut candidates = vec![made];
    let mut outputs: Vec<_> = (0..4).map(|i| output(asset, i)).collect();
    let mut dice = 88_172_645_463_325_252_u64;
    let mut roll = |sides: usize| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice as usize % sides
    };
    for _ in 0..40 {
        if roll(6) == 0 {
            candidates.push(candidates[roll(candidates.len())].clone());
        } else {
            // Mostly a recent output, which may be unspent; sometimes any.
            let within = if roll(4) == 0 { outputs.len() } else { 3 };
            let at = outputs[outputs.len() - 1 - roll(within)];
            let to = key(1 + u8::from(roll(6) == 0)).public();
            let (id, moved) = candidate(transfer(&owner, asset, &[at], &[(to, 1)]));
            outputs.push(output(id, 0));
            candidates.push(moved);
        }
    }
    let run = |sizes: &[usize]| {
        let (mut ledger, mut outcomes, mut rest) = (Ledger::default(), vec![], &candidates[..]);
        for size in sizes.iter().cycle() {
            let (block, after) = rest.split_at((*size).min(rest.len()));
            outcomes.extend(ledger.block(block).outcomes);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        (outcomes, ledger.state)
    };
    let one_by_one = run(&[1]);
    let committed = one_by_one.0.iter().filter(|o| **o == Outcome::Committed).count();
    assert!((8..36).contains(&committed), "{committed} of 41: the dice make a dull story");
    for sizes in [&[41][..], &[2], &[3, 1, 7], &[20]] {
        assert_eq!(run(sizes), one_by_one, "{sizes:?}");
    }
}
