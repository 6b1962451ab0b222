use std::collections::VecDeque;

use cairn_ledger::{
    block::Header,
    genesis::Validator,
    ids::{Hash, Position},
    vote::{Certificate, VoteKind, proposal_sign_bytes, vote_sign_bytes},
};

use super::*;
use crate::chain::message::{self, Evidence, Message, SignedProposal, SignedVote, Status};

/// The consensus key of a validator.
fn key(index: u16) -> SigningKey {
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&index.to_be_bytes());
    SigningKey::from_seed(seed)
}

fn genesis(count: u16) -> Arc<Genesis> {
    let member = |index: u16| key(index + 1000).public();
    let validators = (0..count)
        .map(|index| Validator {
            name: format!("v{index:03}"),
            consensus_key: key(index).public(),
            member_key: member(index),
            power: 1,
        })
        .collect();
    Arc::new(Genesis::new("test".to_owned(), [1; 16], validators).unwrap())
}

/// A block with one transaction that nobody looks at.
fn header_on(tip: &Tip, proposer: u16, salt: u8) -> Header {
    Header {
        chain: tip.chain,
        height: tip.height.next(),
        parent: tip.block,
        time_ms: tip.time_ms + 1,
        proposer,
        order_from: tip.order,
        order_to: Position(tip.order.0 + 1),
        transactions: 1,
        committed: 1,
        outcomes_root: Hash([salt; 32]),
        state_root: tip.state_root,
    }
}

fn vote(
    genesis: &Genesis,
    validator: u16,
    kind: VoteKind,
    height: u64,
    round: u32,
    block: Option<BlockId>,
) -> SignedVote {
    let height = Height(height);
    let bytes = vote_sign_bytes(&genesis.chain(), kind, height, round, block);
    SignedVote { kind, height, round, block, validator, signature: key(validator).sign(&bytes) }
}

fn proposal(
    genesis: &Genesis,
    validator: u16,
    header: &Header,
    round: u32,
    valid_round: Option<u32>,
) -> SignedProposal {
    let bytes =
        proposal_sign_bytes(&genesis.chain(), header.height, round, valid_round, header.id());
    let signature = key(validator).sign(&bytes);
    SignedProposal { header: header.clone(), round, valid_round, validator, signature }
}

/// Machines on a network that loses nothing, with a log that always has work until a height.
struct Town {
    genesis: Arc<Genesis>,
    machines: Vec<Machine>,
    inbox: VecDeque<(usize, Input)>,
    chains: Vec<Vec<(Header, Certificate)>>,
    until: u64,
    messages: usize,
    signatures: usize,
}

impl Town {
    fn new(count: u16, until: u64) -> Self {
        let genesis = genesis(count);
        let mut inbox = VecDeque::new();
        let machines = (0..count)
            .map(|index| {
                let tip = Tip::genesis(genesis.chain());
                let genesis = Arc::clone(&genesis);
                Machine::new(genesis, Some(index), Some(key(index)), tip, Timeouts::default())
            })
            .collect();
        for node in 0..usize::from(count) {
            inbox.push_back((node, Input::Start { journal: Vec::new() }));
            for peer in (0..count).filter(|peer| usize::from(*peer) != node) {
                inbox.push_back((node, Input::PeerConnected(peer)));
            }
            inbox.push_back((node, Input::Ordered { end: Position(1), has_work: true }));
        }
        let chains = vec![Vec::new(); usize::from(count)];
        Self { genesis, machines, inbox, chains, until, messages: 0, signatures: 0 }
    }

    /// Runs until nothing is left to do.
    fn run(&mut self) {
        while let Some((node, input)) = self.inbox.pop_front() {
            for effect in self.machines[node].step(input) {
                self.execute(node, effect);
            }
        }
    }

    fn deliver(&mut self, from: usize, to: usize, message: Message) {
        self.messages += 1;
        let from = u16::try_from(from).unwrap();
        let bytes = message.encode();
        let message = Message::decode(&bytes, self.machines.len()).unwrap();
        message::verify(&self.genesis, &message, from).unwrap();
        self.inbox.push_back((to, Input::Received { from, message }));
    }

    fn execute(&mut self, node: usize, effect: Effect) {
        match effect {
            Effect::Broadcast(message) => {
                for to in (0..self.machines.len()).filter(|to| *to != node) {
                    self.deliver(node, to, message.clone());
                }
            }
            Effect::Send { to, message } => self.deliver(node, to.into(), message),
            Effect::Journal(record) => {
                let bytes = record.encode();
                assert_eq!(Record::decode(&bytes, self.machines.len()), Ok(record.clone()));
                let me = u16::try_from(node).unwrap();
                self.signatures += usize::from(record.signed_by(me).is_some());
            }
            Effect::Cut { height, round } => {
                let tip = self.machines[node].tip().clone();
                let header = header_on(&tip, u16::try_from(node).unwrap(), 0);
                self.inbox.push_back((node, Input::Cut { height, round, header: Some(header) }));
            }
            Effect::Examine { header } => {
                let block = header.id();
                let verdict = Verdict::Valid;
                self.inbox.push_back((node, Input::Examined { block, verdict }));
            }
            Effect::Commit { header, certificate } => {
                certificate.verify(&self.genesis).unwrap();
                let tip = Tip::after(&header, Hash([u8::try_from(header.height.0).unwrap(); 32]));
                let more = header.height.0 < self.until;
                self.chains[node].push((header, certificate));
                self.inbox.push_back((node, Input::Committed(tip)));
                let end = Position(99);
                self.inbox.push_back((node, Input::Ordered { end, has_work: more }));
            }
            Effect::Schedule { .. } | Effect::Cancel(_) | Effect::CancelAll => (),
            other => panic!("nothing is lost or wrong here, so no {other:?}"),
        }
    }
}

#[test]
fn validators_that_lose_nothing_decide_the_same_blocks() {
    for (count, until) in [(1, 20), (2, 20), (4, 20), (7, 20)] {
        let mut town = Town::new(count, until);
        town.run();
        let headers = |chain: &[(Header, Certificate)]| -> Vec<_> {
            chain.iter().map(|(header, _)| header.id()).collect()
        };
        let first = headers(&town.chains[0]);
        assert_eq!(first.len(), usize::try_from(until).unwrap(), "{count} validators");
        for chain in &town.chains {
            assert_eq!(headers(chain), first, "{count} validators");
        }
        for machine in &town.machines {
            assert_eq!(machine.round(), None, "nothing is in progress without work");
        }
    }
}
