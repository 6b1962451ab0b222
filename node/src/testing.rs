//! What tests need of a chain: a federation whose keys are known, transactions, decided blocks.
//!
//! Everything is made from small seeds, so that two runs make the same bytes.

use std::sync::Arc;

use cairn_ledger::{
    block::{self, Block, Header},
    condition::{Condition, Fulfillment},
    election::Electorate,
    execution::{self, Candidate},
    genesis::{Genesis, Validator},
    ids::{OutputReference, Position, PublicKey, TransactionId},
    json::Strictness,
    signature::SigningKey,
    state::Changes,
    transaction::{
        self, Operation,
        build::{self, Share, Spend},
    },
    vote::{Certificate, VoteKind, vote_sign_bytes},
};
use sha3::{Digest, Sha3_256};

use crate::store::Store;

#[cfg(feature = "tikv")]
#[path = "../tests/tikv/servers.rs"]
pub(crate) mod servers;

#[path = "../tests/collector/mod.rs"]
pub(crate) mod collector;

/// A client's key; the same seed gives the same key.
pub(crate) fn key(seed: u32) -> SigningKey {
    let mut bytes = *b"a client's seed, for tests: ....";
    bytes[28..].copy_from_slice(&seed.to_be_bytes());
    SigningKey::from_seed(bytes)
}

/// The validators of a chain, with their keys.
#[derive(Debug)]
pub(crate) struct Federation {
    pub(crate) genesis: Arc<Genesis>,
    /// The validators' consensus keys, in the order of the genesis.
    pub(crate) keys: Vec<SigningKey>,
}

impl Federation {
    /// That many validators of equal power.
    pub(crate) fn new(validators: u8) -> Self {
        Self::named("testing", validators)
    }

    /// A chain of another name is another chain.
    pub(crate) fn named(name: &str, validators: u8) -> Self {
        let keys: Vec<_> = (0..validators).map(|at| SigningKey::from_seed([at + 1; 32])).collect();
        let records = (0..validators).zip(&keys).map(|(at, consensus)| Validator {
            name: format!("validator-{at:03}"),
            consensus_key: consensus.public(),
            member_key: SigningKey::from_seed([at + 129; 32]).public(),
            power: 1,
        });
        let genesis = Genesis::new(name.to_owned(), [7; 16], records.collect()).unwrap();
        Self { genesis: Arc::new(genesis), keys }
    }

    /// Those who vote in elections.
    pub(crate) fn electorate(&self) -> Electorate {
        Electorate::of(&self.genesis)
    }

    /// The key by which a validator proposes and votes in elections.
    pub(crate) fn member(&self, at: u8) -> SigningKey {
        SigningKey::from_seed([at + 129; 32])
    }

    /// An election that validator `proposer` calls. Notes tell elections apart.
    pub(crate) fn election(&self, proposer: u8, note: &str) -> Signed {
        let (what, data) = (Operation::ChainMigrationElection, format!(r#"{{"seed":"{note}"}}"#));
        let electorate = self.electorate();
        Signed::of(build::election(what, &data, &electorate, &self.member(proposer)).unwrap())
    }

    /// Validator `voter` gives its votes away: to the election, which says yes, or to another key.
    pub(crate) fn vote(&self, election: &Signed, voter: u8, to: Option<PublicKey>) -> Signed {
        let (member, power) = (self.member(voter), self.genesis.validators()[voter as usize].power);
        let spend = Spend::of(member.public(), election.output(voter.into()));
        let yes = Share::vote_for(election.id, power);
        let share = to.map_or(yes, |delegate| Share::to(delegate, power));
        Signed::of(build::vote(election.id, &[spend], &[share], &[&member]).unwrap())
    }

    /// The certificate that all validators sign.
    pub(crate) fn certify(&self, header: &Header) -> Certificate {
        let (height, round, block) = (header.height, 0, header.id());
        let message =
            vote_sign_bytes(&header.chain, VoteKind::Precommit, height, round, Some(block));
        let signatures = (0..).zip(&self.keys).map(|(at, key)| (at, key.sign(&message)));
        Certificate { height, round, block, signatures: signatures.collect() }
    }

    /// Executes transactions on top of the store's tip and decides them; stores nothing.
    pub(crate) fn decide(
        &self,
        store: &dyn Store,
        transactions: &[Arc<[u8]>],
    ) -> (Arc<Block>, Changes) {
        let (tip, state) = store.tip();
        let candidates: Vec<_> = transactions.iter().map(candidate).collect();
        let electorate = self.electorate();
        let view = store.view(&execution::reads_of(&candidates, &electorate)).unwrap();
        let execution = execution::execute(view, &state, &electorate, &candidates);
        let order_to = Position(tip.order.0 + 3);
        let time_ms = tip.time_ms + 1000;
        let header = block::seal(&tip, order_to, &candidates, &execution, 0, time_ms);
        let certificate = self.certify(&header);
        let outcomes = execution.outcomes;
        let block = Block { header, body: transactions.to_vec(), outcomes, certificate };
        (Arc::new(block), execution.changes)
    }

    /// Decides transactions and stores the block.
    pub(crate) fn commit(&self, store: &dyn Store, transactions: &[Arc<[u8]>]) -> Arc<Block> {
        let (block, changes) = self.decide(store, transactions);
        store.commit(&block, &changes).unwrap();
        block
    }
}

/// As intake would: what it shows by itself is checked.
fn candidate(bytes: &Arc<[u8]>) -> Candidate {
    let refused =
        |refusal| Candidate::Refused { bytes: Arc::clone(bytes), claimed_id: None, refusal };
    match transaction::parse(Arc::clone(bytes), Strictness::Strict) {
        Err(refusal) => refused(refusal),
        Ok(parsed) => match transaction::admit(vec![parsed]).pop().unwrap() {
            Ok(admitted) => Candidate::Admitted(Arc::new(admitted)),
            Err(_) => panic!("the signatures of test transactions hold"),
        },
    }
}

/// A signed transaction under its name.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) id: TransactionId,
    pub(crate) bytes: Arc<[u8]>,
}

impl Signed {
    fn of(bytes: Vec<u8>) -> Self {
        let id = transaction::claimed_id(&bytes).unwrap();
        Self { id, bytes: bytes.into() }
    }

    /// One of its outputs.
    pub(crate) fn output(&self, index: u32) -> OutputReference {
        OutputReference { transaction: self.id, index }
    }
}

/// Makes an asset; each output is a list of owners, who must all sign to spend it, and an amount.
pub(crate) fn create(issuer: &SigningKey, note: &str, outputs: &[(&[PublicKey], u64)]) -> Signed {
    let asset = format!(r#"{{"data":{{"note":"{note}"}}}}"#);
    sign("CREATE", &asset, &[(issuer, None)], outputs)
}

/// Moves an asset; each input is spent by one owner alone.
pub(crate) fn transfer(
    asset: TransactionId,
    inputs: &[(&SigningKey, OutputReference)],
    outputs: &[(&[PublicKey], u64)],
) -> Signed {
    let asset = format!(r#"{{"id":"{asset}"}}"#);
    let inputs: Vec<_> = inputs.iter().map(|(key, at)| (*key, Some(*at))).collect();
    sign("TRANSFER", &asset, &inputs, outputs)
}

type Input<'a> = (&'a SigningKey, Option<OutputReference>);

fn sign(
    operation: &str,
    asset: &str,
    inputs: &[Input<'_>],
    outputs: &[(&[PublicKey], u64)],
) -> Signed {
    let unsigned: Vec<_> = inputs.iter().map(|_| "null".to_owned()).collect();
    let text = |id: &str, fulfillments: &[String]| {
        let inputs: Vec<_> =
            inputs.iter().zip(fulfillments).map(|(input, with)| input_text(input, with)).collect();
        let outputs: Vec<_> =
            outputs.iter().map(|(owners, amount)| output_text(owners, *amount)).collect();
        format!(
            r#"{{"asset":{asset},"id":{id},"inputs":[{}],"metadata":null,"operation":"{operation}","outputs":[{}],"version":"2.0"}}"#,
            inputs.join(","),
            outputs.join(",")
        )
    };
    let unsigned_text = text("null", &unsigned);
    let fulfillments: Vec<_> = inputs
        .iter()
        .map(|(key, spends)| {
            let mut hasher = Sha3_256::new_with_prefix(&unsigned_text);
            if let Some(OutputReference { transaction, index }) = spends {
                hasher.update(format!("{transaction}{index}"));
            }
            let condition = Condition::Ed25519(key.public());
            let signed = Fulfillment::sign(&condition, &hasher.finalize(), &[*key]).unwrap();
            format!(r#""{}""#, signed.to_text())
        })
        .collect();
    let id = TransactionId(Sha3_256::digest(text("null", &fulfillments)).into());
    let bytes = text(&format!(r#""{id}""#), &fulfillments).into_bytes().into();
    Signed { id, bytes }
}

fn input_text((key, spends): &Input<'_>, fulfillment: &str) -> String {
    let fulfills = spends.map_or("null".to_owned(), |OutputReference { transaction, index }| {
        format!(r#"{{"output_index":{index},"transaction_id":"{transaction}"}}"#)
    });
    let owner = key.public();
    format!(r#"{{"fulfillment":{fulfillment},"fulfills":{fulfills},"owners_before":["{owner}"]}}"#)
}

fn output_text(owners: &[PublicKey], amount: u64) -> String {
    let uri = Condition::all_of(owners).fingerprint().uri();
    let one = |owner: &PublicKey| format!(r#"{{"public_key":"{owner}","type":"ed25519-sha-256"}}"#);
    let details = match owners {
        [owner] => one(owner),
        owners => format!(
            r#"{{"subconditions":[{}],"threshold":{},"type":"threshold-sha-256"}}"#,
            owners.iter().map(one).collect::<Vec<_>>().join(","),
            owners.len()
        ),
    };
    let keys: Vec<_> = owners.iter().map(|owner| format!(r#""{owner}""#)).collect();
    format!(
        r#"{{"amount":"{amount}","condition":{{"details":{details},"uri":"{uri}"}},"public_keys":[{}]}}"#,
        keys.join(",")
    )
}

/// What `openssl` makes: certificates and the keys that others sign tokens with.
pub(crate) fn openssl(arguments: &[&str]) -> Vec<u8> {
    let ran = std::process::Command::new("openssl").args(arguments).output();
    let output = ran.expect("these tests need openssl: a package of that name has it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
