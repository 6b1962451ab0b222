use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::{
    execution::{
        Candidate, Outcome,
        tests::{Ledger, candidate, key},
    },
    genesis::tests::founders_with,
    json::Strictness,
    rules,
    signature::{SigningKey, is_point},
    transaction::{
        admit,
        build::{self, Share, Spend},
        parse,
    },
};

const PROPOSAL: &str = r#"{"node_id":"af1c9d45","power":0,"public_key":{"type":"ed25519-base64","value":"WlKxCl5KJSZxwHVIXxJBn0r4uTgwz2dbOuT1XQzGrCw="},"seed":"5ba2dcd6-9ef8-4a9e-b59a-1a5d2d2f5d2c"}"#;

fn electorate(powers: &[u64]) -> Electorate {
    Electorate::of(&founders_with(powers).0)
}

/// Who proposes and votes for validator `at`.
fn member(at: u8) -> SigningKey {
    SigningKey::from_seed([at + 129; 32])
}

/// A sound election of the validator 0.
fn election(powers: &[u64]) -> (TransactionId, Candidate) {
    numbered(powers, 0)
}

/// The same under other names.
fn numbered(powers: &[u64], number: usize) -> (TransactionId, Candidate) {
    let data = PROPOSAL.replace("af1c9d45", &number.to_string());
    let operation = Operation::ValidatorElection;
    let bytes = build::election(operation, &data, &electorate(powers), &member(0)).unwrap();
    candidate(bytes.into())
}

fn at(transaction: TransactionId, index: u8) -> OutputReference {
    OutputReference { transaction, index: index.into() }
}

/// A VOTE of one output that one key owns.
fn vote(
    election: TransactionId,
    from: &SigningKey,
    spent: OutputReference,
    outputs: &[Share],
) -> (TransactionId, Candidate) {
    let spend = Spend::of(from.public(), spent);
    candidate(build::vote(election, &[spend], outputs, &[from]).unwrap().into())
}

/// A validator says yes with all its power.
fn yes(election: TransactionId, who: u8, power: u64) -> Candidate {
    let outputs = [Share::vote_for(election, power)];
    vote(election, &member(who), at(election, who), &outputs).1
}

/// What the last of these is told when each is a block of its own: nothing, or why not.
fn told(powers: &[u64], transactions: &[Candidate]) -> String {
    let mut ledger = Ledger::of(electorate(powers));
    let mut last = String::new();
    for one in transactions {
        last = match ledger.block(std::slice::from_ref(one)).outcomes.remove(0) {
            Outcome::Committed => String::new(),
            Outcome::Refused(why) => format!("{} {}", why.code(), why.text),
        };
    }
    last
}

const UNEQUAL: &str = "ELECTION_OUTPUTS UnequalValidatorSet: Validator set much be exactly same to the outputs of election";
const STRANGER: &str =
    "ELECTION_PROPOSER InvalidProposer: Public key is not a part of the validator set";
const TOO_MUCH: &str =
    "ELECTION_POWER InvalidPowerChange: `power` change must be less than 1/3 of total power";

#[test]
fn elections_are_let_in_and_refused_in_upstreams_words() {
    let powers = [1, 2, 3, 4];
    let shares = |change: fn(&mut Vec<Share>)| {
        let voters = electorate(&powers).voters;
        let mut shares = voters.iter().map(|v| Share::to(v.key, v.power)).collect();
        change(&mut shares);
        shares
    };
    let of = |operation, data: &str, outputs: Vec<Share>, signers: &[&SigningKey]| {
        let bytes = build::make(operation, data, "null", &outputs, signers).unwrap();
        told(&powers, &[candidate(bytes.into()).1])
    };
    let (member0, member3, stranger) = (member(0), member(3), key(50));
    let consensus = SigningKey::from_seed([1; 32]);
    let validators = Operation::ValidatorElection;
    let migration = Operation::ChainMigrationElection;
    let power = |power: &str| PROPOSAL.replace(r#""power":0"#, &format!(r#""power":{power}"#));
    #[rustfmt::skip]
    let table = [
        (validators, PROPOSAL.to_owned(), shares(|_| {}), vec![&member0], "",  "as upstream makes it"),
        (validators, PROPOSAL.to_owned(), shares(|s| s.reverse()), vec![&member3], "", "any member, any order"),
        (migration,  r#"{"seed":"x"}"#.to_owned(), shares(|_| {}), vec![&member0], "", "a migration"),
        (migration,  "null".to_owned(),   shares(|_| {}), vec![&member0], "",  "upstream's schema lets it"),
        (validators, PROPOSAL.to_owned(), shares(|_| {}), vec![&stranger], STRANGER, "not a member"),
        (migration,  "{}".to_owned(),     shares(|_| {}), vec![&stranger], STRANGER, "migrations too"),
        (validators, PROPOSAL.to_owned(), shares(|_| {}), vec![&consensus], STRANGER, "the consensus key signs votes on blocks only"),
        (validators, PROPOSAL.to_owned(), shares(|_| {}), vec![&member0, &member3],
            "ELECTION_PROPOSER MultipleInputsError: `tx_signers` must be a list instance of length one", "two propose"),
        (validators, PROPOSAL.to_owned(), shares(|s| { s.pop(); }), vec![&member0], UNEQUAL, "one left out"),
        (validators, PROPOSAL.to_owned(), shares(|s| s.push(Share::to(key(50).public(), 1))), vec![&member0], UNEQUAL, "one too many"),
        (validators, PROPOSAL.to_owned(), shares(|s| s[3] = s[2].clone()), vec![&member0], UNEQUAL, "one twice"),
        (validators, PROPOSAL.to_owned(), shares(|s| s[1].amount += 1), vec![&member0], UNEQUAL, "more than its power"),
        (validators, PROPOSAL.to_owned(), shares(|s| s[0] = Share::to(SigningKey::from_seed([1; 32]).public(), 1)), vec![&member0], UNEQUAL, "to a consensus key"),
        (migration,  "{}".to_owned(),     shares(|s| { s.pop(); }), vec![&member0], UNEQUAL, "migrations too"),
        (validators, power("1"),          shares(|_| {}), vec![&member0], "",  "another power"),
        (validators, power("-0"),         shares(|_| {}), vec![&member0], "",  "an integer like any"),
        (validators, power("3"),          shares(|_| {}), vec![&member0], "",  "3 of 10 are less than a third"),
        (validators, power("4"),          shares(|_| {}), vec![&member0], TOO_MUCH, "4 of 10 are not"),
        (validators, power("1000000000000000000000"), shares(|_| {}), vec![&member0], TOO_MUCH, "more than 64 bits hold"),
        (validators, power("4"),          shares(|s| { s.pop(); }), vec![&member0], UNEQUAL, "outputs before power"),
        (validators, power("4"),          shares(|s| { s.pop(); }), vec![&stranger], STRANGER, "who before what"),
    ];
    for (operation, data, outputs, signers, wanted, why) in table {
        assert_eq!(of(operation, &data, outputs, &signers), wanted, "{why}");
    }
    let nine = [3, 3, 3];
    let data = power("3");
    let bytes = build::election(validators, &data, &electorate(&nine), &member0).unwrap();
    assert_eq!(told(&nine, &[candidate(bytes.into()).1]), TOO_MUCH, "a third exactly");
}

#[test]
fn a_bad_signature_is_named_before_the_proposer() {
    let voters = electorate(&[1]);
    let made = build::election(Operation::ValidatorElection, PROPOSAL, &voters, &key(50)).unwrap();
    let mut value: Json = serde_json::from_slice(&made).unwrap();
    value["metadata"] = serde_json::json!({"not": "signed"});
    value["id"] = Json::Null;
    let id = hex::encode(<sha3::Sha3_256 as sha3::Digest>::digest(value.to_string()));
    value["id"] = id.into();
    let parsed = parse(value.to_string().into_bytes().into(), Strictness::Strict).unwrap();
    let unsigned = admit(vec![parsed]).remove(0).unwrap_err();
    let mut view = View::default();
    view.transactions.insert(unsigned.id(), false);
    assert_eq!(rules::check(&view, &unsigned, &voters), Err(Refusal::SignatureInvalid));
}

#[test]
fn votes_are_stored_until_one_could_conclude() {
    let unit = [1, 1, 1, 1];
    let (id, made) = election(&unit);
    let conclusion = |id: TransactionId, given, total| {
        format!(
            "ELECTION_CONCLUSION_UNSUPPORTED ValidationError: this vote could conclude the election `{id}`, and this version cannot change validators or chains yet: with it {given} of the power of {total} would be given, less than two thirds would be fine"
        )
    };
    let yes_of = |who| yes(id, who, 1);
    let started = |rest: &[Candidate]| told(&unit, &[std::slice::from_ref(&made), rest].concat());
    assert_eq!(started(&[yes_of(3)]), "");
    assert_eq!(started(&[yes_of(3), yes_of(0)]), "", "half is less than two thirds");
    assert_eq!(started(&[yes_of(3), yes_of(0), yes_of(1)]), conclusion(id, 3, 4));
    assert_eq!(
        started(&[yes_of(3), yes_of(0), yes_of(1), yes_of(2)]),
        conclusion(id, 3, 4),
        "what was refused does not count"
    );
    let again = yes_of(3);
    assert_eq!(
        started(&[yes_of(3), again.clone()]),
        format!("TX_DUPLICATE DuplicateTransaction: transaction `{}` already exists", {
            let Candidate::Admitted(again) = &again else { unreachable!() };
            again.id()
        })
    );

    let powers = [1, 2, 3, 4];
    let (id, made) = election(&powers);
    let yes_of = |who: u8| yes(id, who, powers[usize::from(who)]);
    let started = |rest: &[Candidate]| told(&powers, &[std::slice::from_ref(&made), rest].concat());
    assert_eq!(started(&[yes_of(3), yes_of(1)]), "", "6 of 10");
    assert_eq!(started(&[yes_of(3), yes_of(2)]), conclusion(id, 7, 10));
    let (id, made) = election(&[3, 3, 3]);
    let told_third = told(&[3, 3, 3], &[made, yes(id, 0, 3), yes(id, 1, 3)]);
    assert_eq!(told_third, conclusion(id, 6, 9), "two thirds exactly conclude");
    let (id, made) = election(&[5]);
    assert_eq!(told(&[5], &[made, yes(id, 0, 5)]), conclusion(id, 5, 5), "one alone decides");
}

#[test]
fn a_vote_is_checked_as_a_transfer_is() {
    let powers = [1, 2, 3, 4];
    let (id, made) = election(&powers);
    let (other, made_too) = numbered(&powers, 1);
    let yes_to = |election, amount| [Share::vote_for(election, amount)];
    let twice = vote(id, &member(1), at(id, 1), &[yes_to(id, 1), yes_to(id, 1)].concat()).1;
    let split = vote(
        id,
        &member(1),
        at(id, 1),
        &[&yes_to(id, 1)[..], &[Share::to(key(50).public(), 1)]].concat(),
    );
    let rest = vote(id, &key(50), at(split.0, 1), &yes_to(id, 1)).1;
    let (yes_id, said_yes) = vote(id, &member(1), at(id, 1), &yes_to(id, 2));
    let (made, made_too) = (&made, &made_too);
    #[rustfmt::skip]
    let table: [(&[&Candidate], String, &str); 9] = [
        (&[made, &split.1, &rest], String::new(), "part of it now, part of it by a delegate"),
        (&[made, &said_yes, &twice], format!("DOUBLE_SPEND DoubleSpend: input `{id}` was already spent"), "voted twice"),
        (&[&said_yes], format!("INPUT_NOT_FOUND InputDoesNotExist: input `{id}` doesn't exist"), "no such election"),
        (&[made, &vote(id, &member(1), at(id, 1), &yes_to(id, 3)).1],
            "AMOUNT_MISMATCH AmountError: The amount used in the inputs `2` needs to be same as the amount used in the outputs `3`".to_owned(), "more than it has"),
        (&[made, made_too, &vote(other, &member(1), at(id, 1), &yes_to(other, 2)).1],
            "ASSET_MISMATCH AssetIdMismatch: The asset id of the input does not match the asset id of the transaction".to_owned(), "for another election"),
        (&[made, &vote(id, &key(50), at(id, 1), &yes_to(id, 2)).1], "SIG_INVALID InvalidSignature: Transaction signature is invalid.".to_owned(), "another's votes"),
        (&[made, &vote(id, &member(1), at(id, 7), &yes_to(id, 2)).1], format!("INPUT_NOT_FOUND InputDoesNotExist: input `{id}` doesn't exist: it has no output 7"), "no such output"),
        (&[made, &said_yes, &vote(id, &member(1), at(yes_id, 0), &yes_to(id, 2)).1], "SIG_INVALID InvalidSignature: Transaction signature is invalid.".to_owned(), "a vote that is given is nobody's"),
        (&[made, &vote(id, &member(1), at(id, 1), &[Share::to(member(2).public(), 2)]).1], String::new(), "to a delegate"),
    ];
    for (transactions, wanted, why) in table {
        let transactions: Vec<Candidate> = transactions.iter().copied().cloned().collect();
        assert_eq!(told(&powers, &transactions), wanted, "{why}");
    }
}

#[test]
fn delegated_votes_count_before_and_after_they_are_given() {
    let powers = [1, 1, 1, 1];
    let (id, made) = election(&powers);
    let delegate = key(50);
    let to_delegate = [Share::to(delegate.public(), 1)];
    let vote_to = |who: u8| vote(id, &member(who), at(id, who), &to_delegate);
    let ((first, one), (_, two), (_, three)) = (vote_to(0), vote_to(1), vote_to(2));
    let spent = vote(id, &delegate, at(first, 0), &[Share::vote_for(id, 1)]).1;
    let all = [made.clone(), one.clone(), two.clone(), spent.clone()];
    assert_eq!(told(&powers, &all), "", "what the delegate gives was counted already");
    assert!(told(&powers, &[&all[..], &[three]].concat()).contains("3 of the power of 4"));

    // A TRANSFER is no vote and costs no look at the election; the vote after it pays.
    let transfer = |who: u8| {
        let (from, spent) = (member(who), at(id, who));
        let spend = Spend::of(from.public(), spent);
        let bytes = build::transfer(id, "null", &[spend], &to_delegate, &[&from]).unwrap();
        candidate(bytes.into()).1
    };
    let moved = [made, one, transfer(1), transfer(2)];
    assert_eq!(told(&powers, &moved), "");
    assert!(told(&powers, &[&moved[..], &[spent]].concat()).contains("3 of the power of 4"));
}

#[test]
fn a_vote_on_what_is_no_election_is_a_transfer() {
    let powers = [1, 1, 1];
    let alice = key(50);
    for amounts in [&[1][..], &[5, 1, 1], &[1, 1, 1, 1]] {
        let shares: Vec<Share> = amounts.iter().map(|a| Share::to(alice.public(), *a)).collect();
        let (id, made) = candidate(build::create("null", "null", &shares, &alice).unwrap().into());
        let mut all = vec![made];
        for (index, share) in (0..).zip(&shares) {
            all.push(vote(id, &alice, at(id, index), &[Share::vote_for(id, share.amount)]).1);
        }
        for count in 1..=all.len().min(3) {
            assert_eq!(told(&powers, &all[..count]), "", "{amounts:?}, {count}");
        }
    }
}

#[test]
fn an_election_whose_id_is_no_key_can_be_voted_for_and_nothing_else_can_be_paid_to_it() {
    let powers = [1, 1, 1, 1];
    let is_key = |id: TransactionId| is_point(&PublicKey(id.0));
    for wanted in [true, false] {
        let found =
            (0..).map(|number| numbered(&powers, number)).find(|(id, _)| is_key(*id) == wanted);
        let (id, made) = found.unwrap();
        assert_eq!(told(&powers, &[made, yes(id, 0, 1)]), "", "a point: {wanted}");
    }
    let (id, _) = (0..).map(|n| numbered(&powers, n)).find(|(id, _)| !is_key(*id)).unwrap();
    let (other, _) = (0..).map(|n| numbered(&powers, n)).find(|(id, _)| is_key(*id)).unwrap();
    let refused = |bytes: Vec<u8>| {
        let refusal = parse(bytes.into(), Strictness::Strict).map(|_| ()).unwrap_err();
        format!("{} {refusal}", refusal.code())
    };
    let no_key = format!(
        "KEY_FORMAT `{}` is not a public key: the base58 of 32 bytes that encode a point of edwards25519 would be",
        PublicKey(id.0)
    );
    let (voter, share) = (member(0), [Share::vote_for(id, 1)]);
    let spend = [Spend::of(voter.public(), at(id, 0))];
    let transfer = build::transfer(id, "null", &spend, &share, &[&voter]).unwrap();
    assert_eq!(refused(transfer), no_key, "a transfer");
    assert_eq!(refused(build::create("null", "null", &share, &voter).unwrap()), no_key, "a CREATE");
    let elsewhere = build::vote(other, &spend, &share, &[&voter]).unwrap();
    assert_eq!(refused(elsewhere), no_key, "a vote on something else");
}

#[test]
fn only_votes_look_at_elections() {
    let voters = electorate(&[1, 1, 1]);
    let (id, made) = election(&[1, 1, 1]);
    let looked = |one: &Candidate| {
        let Candidate::Admitted(one) = one else { unreachable!() };
        let mut reads = rules::Reads::default();
        rules::reads(one, &voters, &mut reads);
        reads.outputs
    };
    assert_eq!(looked(&made), []);
    let all = [at(id, 2), at(id, 0), at(id, 1), at(id, 2)];
    assert_eq!(looked(&yes(id, 2, 1)), all, "what it spends, then the election's outputs");
    let spend = Spend::of(member(1).public(), at(id, 1));
    let share = [Share::to(key(50).public(), 1)];
    let moved = build::transfer(id, "null", &[spend], &share, &[&member(1)]).unwrap();
    assert_eq!(looked(&candidate(moved.into()).1), [at(id, 1)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever is voted, delegated and moved in whatever order: what says yes stays below two
    /// thirds, and where blocks are cut changes nothing.
    #[test]
    fn nothing_concludes_an_election(
        powers in prop::collection::vec(1_u64..6, 1..6),
        steps in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..4, any::<bool>()), 1..16),
        cut in 1_usize..6,
    ) {
        let (id, made) = election(&powers);
        let mut all = vec![made];
        // Outputs that somebody has: where, whose, how much.
        let mut held: Vec<(OutputReference, SigningKey, u64)> = (0_u8..)
            .zip(&powers)
            .map(|(who, power)| (at(id, who), member(who), *power))
            .collect();
        for (which, what, is_vote) in steps {
            let (spent, from, amount) = &held[which.index(held.len())];
            let to = key(60 + what);
            let share = if what == 0 { Share::vote_for(id, *amount) } else { Share::to(to.public(), *amount) };
            let spend = Spend::of(from.public(), *spent);
            let bytes = if is_vote || what == 0 {
                build::vote(id, &[spend], &[share], &[from])
            } else {
                build::transfer(id, "null", &[spend], &[share], &[from])
            };
            let (moved, candidate) = candidate(bytes.unwrap().into());
            let amount = *amount;
            if what > 0 {
                held.push((at(moved, 0), to, amount));
            }
            all.push(candidate);
        }
        let run = |size: usize| {
            let mut ledger = Ledger::of(electorate(&powers));
            let blocks = all.chunks(size);
            blocks.flat_map(|block| ledger.block(block).outcomes).collect::<Vec<_>>()
        };
        let outcomes = run(1);
        prop_assert_eq!(&outcomes[0], &Outcome::Committed);
        prop_assert_eq!(&run(cut), &outcomes);
        let votes = all.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Committed);
        let said_yes: u64 = votes
            .filter_map(|(one, _)| match one {
                Candidate::Admitted(one) if one.operation() == Operation::Vote => Some(Arc::clone(one)),
                Candidate::Admitted(_) | Candidate::Refused { .. } => None,
            })
            .flat_map(|one| one.outputs().to_vec())
            .filter(|output| output.public_keys == [PublicKey(id.0)])
            .map(|output| output.amount)
            .sum();
        let total: u64 = powers.iter().sum();
        prop_assert!(said_yes * 3 < total * 2, "{} of {}", said_yes, total);
    }
}
