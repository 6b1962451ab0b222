//! Chains made from small seeds, so that every run makes the same bytes.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::sync::Arc;

use cairn_ledger::{
    block::{Block, Header, leaf},
    execution::Outcome,
    genesis::{Genesis, Validator},
    ids::{BlockId, Hash, Height, OutputReference, Position, TransactionId},
    merkle,
    receipt::Receipt,
    refusal::Recorded,
    signature::SigningKey,
    transaction::build::{self, Share, Spend},
    vote::{Certificate, VoteKind, vote_sign_bytes},
};

/// A chain, and the consensus keys of its validators in the order of the genesis.
pub(crate) struct Chain {
    pub(crate) genesis: Genesis,
    pub(crate) keys: Vec<SigningKey>,
}

impl Chain {
    /// Validators of those powers.
    pub(crate) fn new(name: &str, powers: &[u64]) -> Self {
        let seeds = 1..=u8::try_from(powers.len()).unwrap();
        let keys: Vec<_> = seeds.map(|seed| SigningKey::from_seed([seed; 32])).collect();
        // So that names sort as numbers do.
        let width = if powers.len() > 10 { 3 } else { 1 };
        let validators = (0_u8..).zip(&keys).zip(powers).map(|((at, key), power)| {
            let mut seed = [at + 1; 32];
            seed[0] = 0;
            Validator {
                name: format!("member-{at:0width$}"),
                consensus_key: key.public(),
                member_key: SigningKey::from_seed(seed).public(),
                power: *power,
            }
        });
        let genesis = Genesis::new(name.to_owned(), [7; 16], validators.collect()).unwrap();
        Self { genesis, keys }
    }

    /// As an auditor has it.
    pub(crate) fn trusted(&self) -> cairn_verifier::Genesis {
        cairn_verifier::Genesis::read(self.genesis.to_json().as_bytes()).unwrap()
    }

    /// A block of height 12 over these transactions, whatever they are, signed by those validators.
    pub(crate) fn decided(&self, decisions: &[(Arc<[u8]>, Outcome)], signers: &[u16]) -> Block {
        let committed = decisions.iter().filter(|(_, outcome)| *outcome == Outcome::Committed);
        let leaves: Vec<Hash> = (0..)
            .zip(decisions)
            .map(|(index, (bytes, outcome))| leaf(index, bytes, outcome))
            .collect();
        let header = Header {
            chain: self.genesis.chain(),
            height: Height(12),
            parent: BlockId([3; 32]),
            time_ms: 1_700_000_000_123,
            proposer: 1,
            order_from: Position(40),
            order_to: Position(42),
            transactions: decisions.len() as u32,
            committed: committed.count() as u32,
            outcomes_root: merkle::root(&leaves),
            state_root: Hash([5; 32]),
        };
        let certificate = self.certify(&header, signers);
        let (body, outcomes) = decisions.iter().cloned().unzip();
        Block { header, body, outcomes, certificate }
    }

    /// What those validators sign in round 1.
    pub(crate) fn certify(&self, header: &Header, signers: &[u16]) -> Certificate {
        let (height, round, block) = (header.height, 1, header.id());
        let chain = self.genesis.chain();
        let message = vote_sign_bytes(&chain, VoteKind::Precommit, height, round, Some(block));
        let sign = |at: &u16| (*at, self.keys[usize::from(*at)].sign(&message));
        Certificate { height, round, block, signatures: signers.iter().map(sign).collect() }
    }

    /// The receipt file of one transaction.
    pub(crate) fn receipt(&self, block: &Block, index: u32) -> String {
        Receipt::of(block, index, &self.genesis).unwrap().to_json()
    }
}

/// A client.
pub(crate) fn client(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

/// Creates an asset of that data.
pub(crate) fn create(data: &str) -> Arc<[u8]> {
    let alice = client(201);
    let share = Share::to(alice.public(), 1);
    build::create(data, r#"{"note": "first owner"}"#, &[share], &alice).unwrap().into()
}

/// Transfers that asset from its first owner.
pub(crate) fn transfer(asset: &[u8], to: u8) -> Arc<[u8]> {
    let (asset, alice) = (id_of(asset), client(201));
    let spend = Spend::of(alice.public(), OutputReference { transaction: asset, index: 0 });
    let share = Share::to(client(to).public(), 1);
    build::transfer(asset, "null", &[spend], &[share], &[&alice]).unwrap().into()
}

/// The id that a transaction carries.
pub(crate) fn id_of(transaction: &[u8]) -> TransactionId {
    cairn_ledger::transaction::claimed_id(transaction).unwrap()
}

pub(crate) fn refused(number: u16, text: &str) -> Outcome {
    Outcome::Refused(Recorded { number, text: text.to_owned() })
}

/// Four validators, and a block with one transaction of each kind: committed, refused though
/// it is a transaction, no text at all, no transaction, and one with another's id.
pub(crate) fn four() -> (Chain, Block) {
    let chain = Chain::new("bicycles", &[1, 1, 1, 1]);
    let made = create(r#"{"bicycle": {"serial": "A-17 \"Möve\""}}"#);
    let given = transfer(&made, 202);
    let refusal = format!("DoubleSpend: input `{}` was already spent", id_of(&made));
    let stolen = format!(r#"{{"id": "{}"}}"#, id_of(&made));
    let decisions = [
        (made.clone(), Outcome::Committed),
        (given, refused(32, &refusal)),
        (Arc::from(&b"\xff\xfe no text"[..]), refused(3, "ValidationError: not UTF-8")),
        (Arc::from(&b"[1, 2]"[..]), refused(9, "SchemaValidationError: not an object")),
        (Arc::from(stolen.into_bytes()), refused(6, "InvalidHash: not its id")),
    ];
    let block = chain.decided(&decisions, &[0, 2, 3]);
    (chain, block)
}

/// Seven validators of different power, of whom three hold more than two thirds.
pub(crate) fn weighted() -> (Chain, Block) {
    let chain = Chain::new("harbours of the north", &[10, 1, 2, 30, 5, 7, 40]);
    let block = chain.decided(&[(create(r#"{"crane": 4}"#), Outcome::Committed)], &[0, 3, 6]);
    (chain, block)
}
