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

/// One of four validators, started on an empty chain.
fn started(me: u16, journal: Vec<Record>) -> (Arc<Genesis>, Machine, Vec<Effect>) {
    let genesis = genesis(4);
    let tip = Tip::genesis(genesis.chain());
    let timeouts = Timeouts::default();
    let mut machine = Machine::new(Arc::clone(&genesis), Some(me), Some(key(me)), tip, timeouts);
    let effects = machine.step(Input::Start { journal });
    (genesis, machine, effects)
}

fn received(from: u16, message: Message) -> Input {
    Input::Received { from, message }
}

fn own_votes(effects: &[Effect], me: u16) -> Vec<(VoteKind, Option<BlockId>)> {
    let mut votes = Vec::new();
    for effect in effects {
        if let Effect::Broadcast(Message::Vote(vote)) = effect {
            assert_eq!(vote.validator, me);
            votes.push((vote.kind, vote.block));
        }
    }
    votes
}

#[test]
fn an_idle_chain_says_nothing_but_its_status_and_one_voice_does_not_wake_it() {
    let (genesis, mut machine, effects) = started(0, Vec::new());
    let schedule =
        Effect::Schedule { timer: Timer::Status, after: Timeouts::default().status_idle };
    assert_eq!(effects, std::slice::from_ref(&schedule));
    assert_eq!(machine.step(Input::Ordered { end: Position(3), has_work: false }), []);
    let first = vote(&genesis, 1, VoteKind::Prevote, 1, 0, None);
    assert_eq!(machine.step(received(1, Message::Vote(first))), []);
    let status = |block| Status { height: Height(0), block, round: None, seen: vec![] };
    let effects = machine.step(Input::TimerFired(Timer::Status));
    assert!(
        matches!(&effects[..], [Effect::Broadcast(Message::Status(_)), last] if *last == schedule)
    );
    assert_eq!(machine.step(received(2, Message::Status(status(machine.tip().block)))), []);
    let second = vote(&genesis, 2, VoteKind::Prevote, 1, 0, None);
    assert!(!machine.step(received(2, Message::Vote(second))).is_empty(), "f + 1 wake it");
}

#[test]
fn a_vote_waits_for_the_body_and_a_restart_signs_nothing_again() {
    // Height 1, round 0: the proposer is validator 1.
    let (genesis, mut machine, _) = started(0, Vec::new());
    let header = header_on(machine.tip(), 1, 0);
    let block = header.id();
    let mut journal = Vec::new();
    let mut step = |machine: &mut Machine, input: Input| {
        let effects = machine.step(input);
        for effect in &effects {
            if let Effect::Journal(record) = effect {
                journal.push(record.clone());
            }
        }
        effects
    };
    step(&mut machine, Input::Ordered { end: Position(1), has_work: true });
    let proposed = proposal(&genesis, 1, &header, 0, None);
    let effects = step(&mut machine, received(1, Message::Proposal(Box::new(proposed))));
    assert_eq!(own_votes(&effects, 0), [], "the body was not examined");
    assert!(effects.contains(&Effect::Examine { header: header.clone() }));
    let effects = step(&mut machine, Input::Examined { block, verdict: Verdict::Valid });
    assert_eq!(own_votes(&effects, 0), [(VoteKind::Prevote, Some(block))]);
    for peer in [1, 2] {
        let vote = vote(&genesis, peer, VoteKind::Prevote, 1, 0, Some(block));
        let effects = step(&mut machine, received(peer, Message::Vote(vote)));
        let expected = [(VoteKind::Precommit, Some(block))];
        assert_eq!(own_votes(&effects, 0), if peer == 2 { &expected[..] } else { &[] });
    }

    let (genesis, mut machine, effects) = started(0, journal);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Journal(_))), "{effects:?}");
    let expected = [(VoteKind::Prevote, Some(block)), (VoteKind::Precommit, Some(block))];
    assert_eq!(own_votes(&effects, 0), expected, "said again, not signed again");
    let precommit = |peer| vote(&genesis, peer, VoteKind::Precommit, 1, 0, Some(block));
    assert_eq!(
        machine.step(received(1, Message::Vote(precommit(1)))),
        [Effect::Journal(Record::Vote(precommit(1)))]
    );
    let effects = machine.step(received(2, Message::Vote(precommit(2))));
    assert!(matches!(effects.last(), Some(Effect::Commit { .. })), "{effects:?}");
}

#[test]
fn who_votes_twice_is_accused_once() {
    let (genesis, mut machine, _) = started(0, Vec::new());
    let _ = machine.step(Input::Ordered { end: Position(1), has_work: true });
    let nil = vote(&genesis, 3, VoteKind::Prevote, 1, 0, None);
    let other = vote(&genesis, 3, VoteKind::Prevote, 1, 0, Some(BlockId([9; 32])));
    let _ = machine.step(received(3, Message::Vote(nil.clone())));
    let evidence = Effect::Evidence(Evidence::Votes(Box::new((nil, other.clone()))));
    let effects = machine.step(received(3, Message::Vote(other.clone())));
    assert_eq!(effects.iter().filter(|effect| **effect == evidence).count(), 1);
    assert_eq!(machine.step(received(1, Message::Vote(other))), [], "and not logged again");
}

#[test]
fn a_timer_of_another_height_does_not_move_this_one() {
    let (_, mut machine, _) = started(0, Vec::new());
    let _ = machine.step(Input::Ordered { end: Position(1), has_work: true });
    let timer = |height| Timer::Round { height: Height(height), round: 0, step: Step::Propose };
    assert_eq!(machine.step(Input::TimerFired(timer(0))), []);
    let effects = machine.step(Input::TimerFired(timer(1)));
    assert_eq!(own_votes(&effects, 0), [(VoteKind::Prevote, None)]);
    assert_eq!(machine.step(Input::TimerFired(timer(1))), [], "it fires once");
}
