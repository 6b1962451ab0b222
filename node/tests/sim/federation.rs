//! Who takes part, and what clients submit: made once, because signing is what costs.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use cairn_ledger::{
    election::Electorate,
    genesis::{Genesis, Validator},
    ids::{OutputReference, TransactionId},
    json::Strictness,
    signature::SigningKey,
    transaction::{
        Admitted, Operation, admit,
        build::{self, Share, Spend},
        parse,
    },
};

pub(crate) struct Federation {
    pub(crate) genesis: Arc<Genesis>,
    /// In the order of the genesis.
    pub(crate) keys: Vec<SigningKey>,
}

impl Federation {
    pub(crate) fn new(validators: u8) -> Self {
        let keys: Vec<_> = (0..validators).map(|at| SigningKey::from_seed([at + 1; 32])).collect();
        let records = (0..validators).zip(&keys).map(|(at, consensus)| Validator {
            name: format!("validator-{at}"),
            consensus_key: consensus.public(),
            member_key: SigningKey::from_seed([at + 129; 32]).public(),
            power: 1,
        });
        let genesis = Genesis::new("simulation".to_owned(), [7; 16], records.collect()).unwrap();
        Self { genesis: Arc::new(genesis), keys }
    }
}

/// What clients submit: assets, each with two transfers that spend the same output, an
/// election with more votes than it may have, and a transaction that is none.
pub(crate) struct Corpus {
    /// In an order in which they can be committed.
    pub(crate) transactions: Vec<Arc<[u8]>>,
    pub(crate) admitted: HashMap<Arc<[u8]>, Arc<Admitted>>,
    /// Those that must be committed in the end.
    pub(crate) certain: Vec<TransactionId>,
    /// Of each of these pairs exactly one must be.
    pub(crate) either: Vec<(TransactionId, TransactionId)>,
    /// The votes of an election of four; the federation of seven refuses it. Two of them are half
    /// of the power, and three would conclude it.
    pub(crate) votes: Vec<TransactionId>,
}

pub(crate) fn corpus() -> &'static Corpus {
    static CORPUS: OnceLock<Corpus> = OnceLock::new();
    CORPUS.get_or_init(Corpus::new)
}

impl Corpus {
    fn new() -> Self {
        let mut corpus = Self {
            transactions: vec![b"not a transaction".as_slice().into()],
            admitted: HashMap::new(),
            certain: Vec::new(),
            either: Vec::new(),
            votes: Vec::new(),
        };
        let owners: Vec<_> = (0..4).map(|at| SigningKey::from_seed([200 + at; 32])).collect();
        let to = |at: usize, amount| Share::to(owners[at].public(), amount);
        for asset in 0..4 {
            let data = format!(r#"{{"asset":{asset}}}"#);
            let made = build::create(&data, "null", &[to(0, 10)], &owners[0]).unwrap();
            let made = corpus.add(made);
            let output = OutputReference { transaction: made, index: 0 };
            let spend = [Spend::of(owners[0].public(), output)];
            let mut transfer = |outputs: &[Share]| {
                corpus.add(build::transfer(made, "null", &spend, outputs, &[&owners[0]]).unwrap())
            };
            let one = transfer(&[to(1, 4), to(2, 6)]);
            let other = transfer(&[to(3, 10)]);
            corpus.certain.push(made);
            corpus.either.push((one, other));
        }
        corpus.call_election();
        corpus
    }

    /// An election of the federation of four, which all of them say yes to.
    fn call_election(&mut self) {
        let electorate = Electorate::of(&Federation::new(4).genesis);
        let operation = Operation::ChainMigrationElection;
        let members: Vec<_> = (0..4).map(|at| SigningKey::from_seed([at + 129; 32])).collect();
        let called = build::election(operation, "null", &electorate, &members[0]).unwrap();
        let election = self.add(called);
        for (index, member) in (0..).zip(&members) {
            let output = OutputReference { transaction: election, index };
            let spend = [Spend::of(member.public(), output)];
            let yes = [Share::vote_for(election, 1)];
            let vote = build::vote(election, &spend, &yes, &[member]).unwrap();
            let vote = self.add(vote);
            self.votes.push(vote);
        }
    }

    fn add(&mut self, bytes: Vec<u8>) -> TransactionId {
        let bytes: Arc<[u8]> = bytes.into();
        let parsed = parse(Arc::clone(&bytes), Strictness::Strict).unwrap();
        let admitted = admit(vec![parsed]).pop().unwrap().unwrap();
        let id = admitted.id();
        self.transactions.push(Arc::clone(&bytes));
        self.admitted.insert(bytes, Arc::new(admitted));
        id
    }
}
