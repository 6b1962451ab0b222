use std::sync::Arc;

use cairn_ledger::{
    encoding::Writer,
    genesis::{Genesis, Validator},
    ids::{ChainId, Hash, Position},
    signature::SigningKey,
    vote::{proposal_sign_bytes, vote_sign_bytes},
};
use proptest::{collection::vec, option, prelude::*, sample::subsequence};

use super::*;
use crate::chain::machine::{Record, Step};

/// Validators of the chain that these messages are about; not a multiple of eight.
const COUNT: u16 = 7;
const POWER: u64 = 3;

fn block() -> impl Strategy<Value = BlockId> {
    any::<[u8; 32]>().prop_map(BlockId)
}

fn signature() -> impl Strategy<Value = [u8; 64]> {
    any::<u8>().prop_map(|byte| [byte; 64])
}

fn kind() -> impl Strategy<Value = VoteKind> {
    prop_oneof![Just(VoteKind::Prevote), Just(VoteKind::Precommit)]
}

fn slot() -> impl Strategy<Value = (Height, u32)> {
    (any::<u64>().prop_map(Height), 0..=ROUND_MAX)
}

fn signers() -> impl Strategy<Value = Vec<u16>> {
    subsequence((0..COUNT).collect::<Vec<_>>(), 0..=usize::from(COUNT))
}

fn header() -> impl Strategy<Value = Header> {
    (any::<[u8; 32]>(), any::<u64>(), any::<u16>(), any::<u32>()).prop_map(
        |(hash, number, proposer, count)| Header {
            chain: ChainId(hash),
            height: Height(number),
            parent: BlockId(hash),
            time_ms: number,
            proposer,
            order_from: Position(number),
            order_to: Position(number),
            transactions: count,
            committed: count,
            outcomes_root: Hash(hash),
            state_root: Hash(hash),
        },
    )
}

fn vote() -> impl Strategy<Value = SignedVote> {
    (kind(), slot(), option::of(block()), 0..COUNT, signature()).prop_map(
        |(kind, (height, round), block, validator, signature)| SignedVote {
            kind,
            height,
            round,
            block,
            validator,
            signature,
        },
    )
}

fn proposal() -> impl Strategy<Value = SignedProposal> {
    (header(), 0..=ROUND_MAX, option::of(0..=ROUND_MAX), 0..COUNT, signature()).prop_map(
        |(header, round, valid_round, validator, signature)| SignedProposal {
            header,
            round,
            valid_round,
            validator,
            signature,
        },
    )
}

fn polka() -> impl Strategy<Value = PolkaCertificate> {
    (slot(), block(), signers(), signature()).prop_map(
        |((height, round), block, who, signature)| {
            let signatures = who.into_iter().map(|index| (index, signature)).collect();
            PolkaCertificate { height, round, block, signatures }
        },
    )
}

fn entry() -> impl Strategy<Value = RoundCertificate> {
    (slot(), any::<bool>(), signers(), kind(), option::of(block()), signature()).prop_map(
        |((height, round), ends, who, voted, block, signature)| RoundCertificate {
            height,
            round,
            kind: if ends { RoundCertificateKind::Precommit } else { RoundCertificateKind::Skip },
            signatures: who
                .into_iter()
                .map(|validator| RoundSignature { validator, kind: voted, block, signature })
                .collect(),
        },
    )
}

fn status() -> impl Strategy<Value = Status> {
    let bits = 0..(1_u128 << COUNT);
    let seen = (any::<bool>(), bits.clone(), bits);
    (slot(), block(), any::<bool>(), vec(seen, 0..=STATUS_ROUNDS_MAX)).prop_map(
        |((height, round), block, deciding, seen)| Status {
            height,
            block,
            round: deciding.then_some(round),
            seen: (0..)
                .zip(seen)
                .map(|(round, (proposal, prevotes, precommits))| Seen {
                    round,
                    proposal,
                    prevotes,
                    precommits,
                })
                .collect(),
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        proposal().prop_map(|proposal| Message::Proposal(Box::new(proposal))),
        vote().prop_map(Message::Vote),
        polka().prop_map(Message::PolkaCertificate),
        entry().prop_map(Message::RoundCertificate),
        status().prop_map(Message::Status),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let step = prop_oneof![Just(Step::Propose), Just(Step::Prevote), Just(Step::Precommit)];
    prop_oneof![
        vote().prop_map(Record::Vote),
        proposal().prop_map(|proposal| Record::Proposal(Box::new(proposal))),
        (proposal(), any::<bool>()).prop_map(|(proposal, valid)| Record::ProposedValue {
            round: proposal.round,
            header: Box::new(proposal.header),
            proposer: proposal.validator,
            valid_round: proposal.valid_round,
            valid,
        }),
        (slot(), step).prop_map(|((height, round), step)| Record::TimeoutElapsed {
            height,
            round,
            step
        }),
        polka().prop_map(Record::PolkaCertificate),
    ]
}

proptest! {
    #[test]
    fn messages_survive_the_wire(message in message(), cut in any::<prop::sample::Index>()) {
        let bytes = message.encode();
        prop_assert_eq!(Message::decode(&bytes, COUNT.into()), Ok(message));
        prop_assert!(Message::decode(&bytes[..cut.index(bytes.len())], COUNT.into()).is_err());
        let longer = [&bytes[..], &[0]].concat();
        prop_assert!(Message::decode(&longer, COUNT.into()).is_err());
    }

    #[test]
    fn records_survive_the_disk(record in record(), cut in any::<prop::sample::Index>()) {
        let bytes = record.encode();
        prop_assert_eq!(Record::decode(&bytes, COUNT.into()), Ok(record));
        prop_assert!(Record::decode(&bytes[..cut.index(bytes.len())], COUNT.into()).is_err());
        let longer = [&bytes[..], &[0]].concat();
        prop_assert!(Record::decode(&longer, COUNT.into()).is_err());
    }

    /// What still reads has one form only, and is checked without a panic.
    #[test]
    fn changed_bytes_are_malformed_or_another_message(
        message in message(),
        record in record(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        from in any::<u16>(),
    ) {
        let mut bytes = message.encode();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        if let Ok(read) = Message::decode(&bytes, COUNT.into()) {
            prop_assert_eq!(read.encode(), bytes);
            let _ = verify(&federation(), &read, from);
        }
        let mut bytes = record.encode();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        if let Ok(read) = Record::decode(&bytes, COUNT.into()) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn junk_is_malformed(mut bytes in vec(any::<u8>(), 0..300), kind in 0_u8..7) {
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        let _ = Message::decode(&bytes, COUNT.into());
        let _ = Record::decode(&bytes, COUNT.into());
    }
}

fn key(index: u16) -> SigningKey {
    let mut seed = [3; 32];
    seed[..2].copy_from_slice(&index.to_be_bytes());
    SigningKey::from_seed(seed)
}

fn federation() -> Arc<Genesis> {
    static GENESIS: std::sync::OnceLock<Arc<Genesis>> = std::sync::OnceLock::new();
    let make = || {
        let validator = |index| Validator {
            name: format!("v{index}"),
            consensus_key: key(index).public(),
            member_key: key(index + 1000).public(),
            power: POWER,
        };
        let validators = (0..COUNT).map(validator).collect();
        Arc::new(Genesis::new("edge".to_owned(), [2; 16], validators).unwrap())
    };
    Arc::clone(GENESIS.get_or_init(make))
}

fn cast(kind: VoteKind, who: u16, round: u32, block: Option<BlockId>) -> SignedVote {
    let height = Height(5);
    let bytes = vote_sign_bytes(&federation().chain(), kind, height, round, block);
    SignedVote { kind, height, round, block, validator: who, signature: key(who).sign(&bytes) }
}

fn proposed(who: u16, round: u32, valid_round: Option<u32>) -> SignedProposal {
    let header = Header {
        chain: federation().chain(),
        height: Height(5),
        parent: BlockId([1; 32]),
        time_ms: 9,
        proposer: 0,
        order_from: Position(1),
        order_to: Position(2),
        transactions: 1,
        committed: 1,
        outcomes_root: Hash([2; 32]),
        state_root: Hash([3; 32]),
    };
    sign(SignedProposal { header, round, valid_round, validator: who, signature: [0; 64] })
}

fn sign(mut proposal: SignedProposal) -> SignedProposal {
    let SignedProposal { header, round, valid_round, validator, .. } = &proposal;
    let chain = federation().chain();
    let bytes = proposal_sign_bytes(&chain, header.height, *round, *valid_round, header.id());
    proposal.signature = key(*validator).sign(&bytes);
    proposal
}

fn polka_by(who: &[u16]) -> PolkaCertificate {
    let block = BlockId([8; 32]);
    let sign = |who: &u16| (*who, cast(VoteKind::Prevote, *who, 2, Some(block)).signature);
    let signatures = who.iter().map(sign).collect();
    PolkaCertificate { height: Height(5), round: 2, block, signatures }
}

fn entry_by(kind: RoundCertificateKind, voted: VoteKind, who: &[u16]) -> RoundCertificate {
    let sign = |who: &u16| RoundSignature {
        validator: *who,
        kind: voted,
        block: None,
        signature: cast(voted, *who, 2, None).signature,
    };
    let signatures = who.iter().map(sign).collect();
    RoundCertificate { height: Height(5), round: 2, kind, signatures }
}

/// What the edge says to it; an empty text when it lets it pass.
fn said(message: Message) -> &'static str {
    verify(&federation(), &message, 0).err().unwrap_or_default()
}

#[test]
fn the_edge_lets_votes_pass_that_a_validator_signed_for_this_slot() {
    use VoteKind::{Precommit, Prevote};
    let good = cast(Prevote, 1, 2, Some(BlockId([8; 32])));
    let bad = "the vote's signature does not hold";
    let mut foreign_chain = good.clone();
    let bytes = vote_sign_bytes(&ChainId([9; 32]), Prevote, good.height, 2, good.block);
    foreign_chain.signature = key(1).sign(&bytes);
    let rows: [(&str, SignedVote, &str); 9] = [
        ("as signed", good.clone(), ""),
        ("for another chain", foreign_chain, bad),
        ("another height", SignedVote { height: Height(6), ..good.clone() }, bad),
        ("another round", SignedVote { round: 3, ..good.clone() }, bad),
        ("another kind", SignedVote { kind: Precommit, ..good.clone() }, bad),
        ("another block", SignedVote { block: Some(BlockId([7; 32])), ..good.clone() }, bad),
        ("nil instead", SignedVote { block: None, ..good.clone() }, bad),
        ("under another's name", SignedVote { validator: 2, ..good.clone() }, bad),
        ("by nobody", SignedVote { validator: COUNT, ..good }, "the signer is not a validator"),
    ];
    for (what, vote, expected) in rows {
        assert_eq!(said(Message::Vote(vote)), expected, "{what}");
    }
    let passed_on = Message::Vote(cast(Prevote, 1, 0, None));
    let verdict = verify(&federation(), &passed_on, COUNT);
    assert_eq!(verdict, Err("the sender is not a validator"));
}

#[test]
fn the_edge_lets_proposals_pass_of_the_rounds_proposer() {
    // Height 5, round 2 is validator 0's turn of seven.
    let good = proposed(0, 2, Some(1));
    let with = |change: &dyn Fn(&mut SignedProposal)| {
        let mut proposal = good.clone();
        change(&mut proposal);
        sign(proposal)
    };
    let rows: [(&str, SignedProposal, &str); 8] = [
        ("as signed", good.clone(), ""),
        ("not its turn", proposed(1, 2, None), "the signer is not that round's proposer"),
        ("another round", with(&|p| p.round = 3), "the signer is not that round's proposer"),
        (
            "a proof of its own round",
            proposed(0, 2, Some(2)),
            "the proof-of-lock round is not before the round",
        ),
        ("another chain", with(&|p| p.header.chain.0[0] ^= 1), "the header is of another chain"),
        (
            "first proposed by nobody",
            with(&|p| p.header.proposer = COUNT),
            "the header's proposer is not a validator",
        ),
        (
            "another proof than signed",
            SignedProposal { valid_round: Some(0), ..good.clone() },
            "the proposal's signature does not hold",
        ),
        (
            "by nobody",
            SignedProposal { validator: COUNT, ..good.clone() },
            "the signer is not that round's proposer",
        ),
    ];
    for (what, proposal, expected) in rows {
        assert_eq!(said(Message::Proposal(Box::new(proposal))), expected, "{what}");
    }
}

#[test]
fn the_edge_lets_certificates_pass_that_prove_something() {
    use RoundCertificateKind::{Precommit as Ends, Skip};
    use VoteKind::{Precommit, Prevote};
    let weak = "the signers hold too little power for a certificate";
    let order = "the signers are not distinct and ascending";
    let forged = "a signature in the certificate does not hold";
    let mut last_is_forged = polka_by(&[0, 1, 2, 3, 4]);
    last_is_forged.signatures[4].1[0] ^= 1;
    let mut moved = polka_by(&[0, 1, 2, 3, 4]);
    moved.height = Height(6);
    let mut nobody = polka_by(&[0, 1, 2, 3, 4]);
    nobody.signatures[4].0 = COUNT;
    let polkas = [
        ("five of seven", polka_by(&[0, 2, 3, 5, 6]), ""),
        ("four", polka_by(&[0, 1, 2, 3]), weak),
        ("one twice", polka_by(&[0, 1, 2, 3, 3]), order),
        ("descending", polka_by(&[1, 0, 2, 3, 4]), order),
        ("last forged", last_is_forged, forged),
        ("another height", moved, forged),
        ("by nobody", nobody, "the signer is not a validator"),
        ("empty", polka_by(&[]), weak),
    ];
    for (what, polka, expected) in polkas {
        assert_eq!(said(Message::PolkaCertificate(polka)), expected, "polka: {what}");
    }
    let mut last_is_forged = entry_by(Skip, Prevote, &[0, 1, 2]);
    last_is_forged.signatures[2].block = Some(BlockId([1; 32]));
    let entries = [
        ("ends by five", entry_by(Ends, Precommit, &[0, 1, 2, 3, 4]), ""),
        ("ends by four", entry_by(Ends, Precommit, &[0, 1, 2, 3]), weak),
        (
            "ends by prevotes",
            entry_by(Ends, Prevote, &[0, 1, 2, 3, 4]),
            "prevotes do not end a round",
        ),
        ("skips by three", entry_by(Skip, Prevote, &[0, 1, 2]), ""),
        ("skips by two", entry_by(Skip, Precommit, &[0, 1]), weak),
        ("skips by one thrice", entry_by(Skip, Precommit, &[1, 1, 1]), order),
        ("last for another block", last_is_forged, forged),
    ];
    for (what, entry, expected) in entries {
        assert_eq!(said(Message::RoundCertificate(entry)), expected, "round: {what}");
    }
}

#[test]
fn indexes_counts_bits_and_rounds_are_bounded_before_they_are_used() {
    let count = usize::from(COUNT);
    let reads = |message: &Message| Message::decode(&message.encode(), count).is_ok();
    let vote = cast(VoteKind::Prevote, 1, 0, None);
    assert!(reads(&Message::Vote(vote.clone())));
    assert!(!reads(&Message::Vote(SignedVote { validator: COUNT, ..vote.clone() })), "index");
    assert!(reads(&Message::Vote(SignedVote { round: ROUND_MAX, ..vote.clone() })));
    for round in [ROUND_MAX + 1, i32::MAX as u32, u32::MAX] {
        let with = |round| Message::Vote(SignedVote { round, ..vote.clone() });
        assert!(!reads(&with(round)), "a vote of round {round}");
        let mut polka = polka_by(&[0, 1]);
        polka.round = round;
        assert!(!reads(&Message::PolkaCertificate(polka)), "a polka of round {round}");
        let proposal = |round, valid_round| {
            Message::Proposal(Box::new(SignedProposal {
                round,
                valid_round,
                ..proposed(0, 2, None)
            }))
        };
        assert!(!reads(&proposal(round, None)), "a proposal of round {round}");
        assert!(!reads(&proposal(2, Some(round))), "a proof of round {round}");
    }
    let status = |prevotes, rounds| {
        let seen = |round| Seen { round, proposal: false, prevotes, precommits: 0 };
        let seen = (0..rounds).map(seen).collect();
        Message::Status(Status { height: Height(1), block: BlockId([0; 32]), round: None, seen })
    };
    assert!(reads(&status(1 << (COUNT - 1), 8)));
    assert!(!reads(&status(1 << COUNT, 1)), "a bit beyond the validators");
    assert!(!reads(&status(0, 9)), "more rounds than a status speaks of");
    // A certificate that announces 2^32 - 1 signatures, and has none.
    let mut writer = Writer::default();
    writer.u8(3).u64(5).u32(0).raw(&[0; 32]).u32(u32::MAX);
    assert!(Message::decode(&writer.finish(), count).is_err(), "a count beyond the validators");
}
