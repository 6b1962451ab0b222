use std::sync::Arc;

use cairn_ledger::{
    genesis::Validator,
    ids::{BlockId, Height},
    vote::VoteKind,
};

use super::*;

fn key(index: u16) -> SigningKey {
    SigningKey::from_seed([u8::try_from(index).unwrap() + 1; 32])
}

fn core() -> Core {
    let validator = |index: u16| Validator {
        name: format!("v{index}"),
        consensus_key: key(index).public(),
        member_key: key(index + 100).public(),
        power: 1,
    };
    let validators = (0..4).map(validator).collect();
    let genesis = Genesis::new("core".to_owned(), [4; 16], validators).unwrap();
    Core::new(Arc::new(genesis), Some(0), Some(key(0)), Height(1))
}

fn prevote(height: u64, round: u32, validator: u16) -> In {
    let (kind, height) = (VoteKind::Prevote, Height(height));
    let block = Some(BlockId([6; 32]));
    In::Vote(SignedVote { kind, height, round, block, validator, signature: [0; 64] })
}

#[test]
fn whose_turn_it_is_has_an_answer_for_every_height_and_round() {
    for validators in [0, 1, 4, 128] {
        for height in [0, 1, u64::MAX] {
            for round in [0, 1, u32::MAX] {
                let turn = proposer(height, round, validators);
                assert!(usize::from(turn) < validators.max(1));
            }
        }
    }
    let turns: Vec<_> = (0..5).map(|round| proposer(7, round, 4)).collect();
    assert_eq!(turns, [3, 0, 1, 2, 3], "each has a turn");
}

#[test]
#[should_panic(expected = "heights only grow")]
fn heights_only_grow() {
    let mut core = core();
    core.step(In::StartHeight(Height(2))).unwrap();
    let _ = core.step(In::StartHeight(Height(1)));
}

#[test]
fn rounds_far_ahead_are_not_counted_not_even_after_a_replay() {
    let mut core = core();
    core.step(In::StartHeight(Height(1))).unwrap();
    let expired = Record::TimeoutElapsed { height: Height(1), round: 0, step: Step::Propose };
    let outs = core.replay(vec![expired]).unwrap();
    assert!(outs.iter().any(|out| matches!(out, Out::Send(Message::Vote(_)))), "{outs:?}");
    assert_eq!(core.step(prevote(1, ROUNDS_AHEAD_MAX + 1, 2)).unwrap(), []);
    assert_ne!(core.step(prevote(1, ROUNDS_AHEAD_MAX, 2)).unwrap(), []);
}

/// The library panics when its own certificate is refused. That is as it should be: the
/// process ends, and nothing that a foreign hand signed is stored as decided.
#[test]
#[should_panic(expected = "certificate is not valid")]
fn precommits_that_passed_no_edge_decide_nothing() {
    let mut core = core();
    core.step(In::StartHeight(Height(1))).unwrap();
    let header = Header {
        chain: core.genesis.chain(),
        height: Height(1),
        parent: BlockId([0; 32]),
        time_ms: 1,
        proposer: 1,
        order_from: ids::Position(0),
        order_to: ids::Position(1),
        transactions: 0,
        committed: 0,
        outcomes_root: ids::Hash([0; 32]),
        state_root: ids::Hash([0; 32]),
    };
    let block = Some(header.id());
    for validator in 1..4 {
        let kind = VoteKind::Precommit;
        let (height, round, signature) = (Height(1), 0, [0; 64]);
        let vote = SignedVote { kind, height, round, block, validator, signature };
        let _ = core.step(In::Vote(vote)).unwrap();
    }
    let examined = In::Examined { round: 0, header: header.clone(), proposer: 1, valid: true };
    let _ = core.step(examined).unwrap();
    let (round, valid_round, signature) = (0, None, [0; 64]);
    let proposal = SignedProposal { header, round, valid_round, validator: 1, signature };
    let outs = core.step(In::Proposal(proposal)).unwrap();
    assert!(!outs.iter().any(|out| matches!(out, Out::Decide(_))));
}
