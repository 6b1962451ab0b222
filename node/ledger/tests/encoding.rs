//! The hash of every layout that is signed, hashed or stored, over fixed values.
//!
//! A test that fails here means that the format changed: chains that exist would no longer
//! verify. If that is meant, raise the version in the layout's domain tag, say in CHANGELOG.md
//! what becomes of old chains, and only then write the new hash down here.

use std::sync::Arc;

use cairn_ledger::{
    block::{Block, Header, leaf},
    condition::Fingerprint,
    execution::Outcome,
    genesis::{Genesis, Validator},
    ids::{BlockId, ChainId, Hash, Height, OutputReference, Position, PublicKey, TransactionId},
    merkle,
    refusal::Recorded,
    rules::OutputRow,
    signature::SigningKey,
    state::{StateHash, encode_row},
    vote::{Certificate, VoteKind, proposal_sign_bytes, vote_sign_bytes},
};
use sha2::{Digest, Sha256};

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn genesis() -> Genesis {
    let validator = |i: u8| Validator {
        name: format!("validator-{i}"),
        consensus_key: SigningKey::from_seed([i; 32]).public(),
        member_key: SigningKey::from_seed([i + 100; 32]).public(),
        power: u64::from(i),
    };
    Genesis::new("golden".to_owned(), [9; 16], (1..=4).map(validator).collect())
        .expect("four sound validators make a genesis")
}

fn outcomes() -> Vec<Outcome> {
    let text = "DoubleSpend: input `…` was already spent".to_owned();
    vec![Outcome::Committed, Outcome::Refused(Recorded { number: 258, text })]
}

fn header() -> Header {
    let leaves = [leaf(0, b"first", &outcomes()[0]), leaf(1, b"second", &outcomes()[1])];
    Header {
        chain: genesis().chain(),
        height: Height(0x0102_0304_0506_0708),
        parent: BlockId([2; 32]),
        time_ms: 1_700_000_000_123,
        proposer: 3,
        order_from: Position(40),
        order_to: Position(50),
        transactions: 2,
        committed: 1,
        outcomes_root: merkle::root(&leaves),
        state_root: Hash([6; 32]),
    }
}

fn certificate() -> Certificate {
    let block = header().id();
    let signatures = vec![(0, [1; 64]), (2, [2; 64]), (3, [3; 64])];
    Certificate { height: header().height, round: 5, block, signatures }
}

fn block() -> Block {
    let body = vec![Arc::from(&b"first"[..]), Arc::from(&b"second"[..])];
    Block { header: header(), body, outcomes: outcomes(), certificate: certificate() }
}

fn row() -> (OutputReference, OutputRow) {
    let at = OutputReference { transaction: TransactionId([1; 32]), index: 2 };
    let condition = Fingerprint { threshold: true, sha256: [4; 32], cost: 133_120 };
    let owners = Box::new([PublicKey([5; 32]), PublicKey([6; 32])]);
    (at, OutputRow { asset: TransactionId([3; 32]), amount: 77, condition, owners })
}

fn state() -> StateHash {
    let (at, row) = row();
    let mut state = StateHash::default();
    state.add(&at, &row);
    state.add(&OutputReference { index: 3, ..at }, &row);
    state
}

#[test]
fn the_layouts_are_those_of_every_chain_that_exists() {
    let chain = ChainId([7; 32]);
    let block_id = BlockId([8; 32]);
    let vote = |kind, block| sha256(&vote_sign_bytes(&chain, kind, Height(9), 10, block));
    let proposal = |valid| sha256(&proposal_sign_bytes(&chain, Height(9), 10, valid, block_id));
    let (at, row) = row();
    let actual = [
        ("genesis record", sha256(&genesis().encode())),
        ("genesis file", sha256(genesis().to_json().as_bytes())),
        ("chain id", genesis().chain().to_string()),
        ("prevote", vote(VoteKind::Prevote, Some(block_id))),
        ("precommit", vote(VoteKind::Precommit, Some(block_id))),
        ("nil precommit", vote(VoteKind::Precommit, None)),
        ("proposal", proposal(None)),
        ("proposal again", proposal(Some(4))),
        ("leaf of a committed one", leaf(1, b"bytes", &outcomes()[0]).to_string()),
        ("leaf of a refused one", leaf(1, b"bytes", &outcomes()[1]).to_string()),
        ("root of none", merkle::root(&[]).to_string()),
        ("header", sha256(&header().encode())),
        ("block id", header().id().to_string()),
        ("certificate", sha256(&certificate().encode(4))),
        ("block", sha256(&block().encode(4))),
        ("state row", sha256(&encode_row(&at, &row))),
        ("state bytes", sha256(&state().to_bytes())),
        ("state root", state().root().to_string()),
        ("empty state root", StateHash::default().root().to_string()),
    ];
    let expected = [
        ("genesis record", "e8959afd93e804539c8cdbf6c427bc6e4c38f0372ea7c2816b861dfa33602016"),
        ("genesis file", "1dbafa490ac8b98b0b94a9e0ca77e13693b031b1995f3df72517edfcda049956"),
        ("chain id", "e8959afd93e804539c8cdbf6c427bc6e4c38f0372ea7c2816b861dfa33602016"),
        ("prevote", "5b74a632b823938bd8af9346d090a1dadaf4053c62be47ddccbd4886f3da85c2"),
        ("precommit", "00366a84fee68a46ebd1eaa7e4627d6dfb6aff36ff1a5b24134b35665e2036ad"),
        ("nil precommit", "df9139dd07a79f9db8af20ec5fafbe7d08d5b4062fbdecb7c53baff821494e8f"),
        ("proposal", "2f20a1043f436a3cfaef0da73448835108495e0182c1ef6e66ea6d0f5d6c5721"),
        ("proposal again", "c0d0cb6c2b864ac5e2949ef1c9d80c06993e5fd40070b413162b077b853599bb"),
        (
            "leaf of a committed one",
            "ce3ea15313a9abd5b089beac7a2b9e364267e79e9413e0b2ded1199de8fe47d1",
        ),
        (
            "leaf of a refused one",
            "5779199f8b51f3c945e3f31249ff489288194d9ec8c7371ed3f1c68d657ee50f",
        ),
        ("root of none", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("header", "7d29461e43da4d85a0f2dcf03d11a737c561da9a0234e80fa758f10ac2f2bd90"),
        ("block id", "7d29461e43da4d85a0f2dcf03d11a737c561da9a0234e80fa758f10ac2f2bd90"),
        ("certificate", "1419ad1fb0b24566f698ac15cfa42d4d8c2574bcb71c4a50cde7321bd0ee25b7"),
        ("block", "173bf66682c7511533738f6f53d65e91076442847806dfeab561521b688f5ba0"),
        ("state row", "4be72949fe9b8e87c3d1f7771115a69177195c1bcafc9738b2193fec91ec5ee6"),
        ("state bytes", "c3cfee01bc6002528107e15ae58628c92499e29d1f208dffa2317f481d3a70bc"),
        ("state root", "0bb6962d3d6f65347065ba646e11bb1dd486109eb3f0c67d9eb3acbf458161cf"),
        ("empty state root", "318748f15654312b46fcf66dcddc30bfcd2fe7c8ff1fbedce3e9a788d95e63e0"),
    ];
    let actual: Vec<(&str, &str)> = actual.iter().map(|(what, hash)| (*what, &**hash)).collect();
    assert_eq!(actual, expected);
}

#[test]
fn what_is_read_is_what_was_written() {
    assert_eq!(Header::decode(&header().encode()), Ok(header()));
    assert_eq!(Certificate::decode(&certificate().encode(4), 4), Ok(certificate()));
    assert_eq!(Block::decode(&block().encode(4), 4), Ok(block()));
    assert_eq!(StateHash::from_bytes(&state().to_bytes()), Some(state()));
    assert_eq!(Genesis::from_json(&genesis().to_json()), Ok(genesis()));
}

/// The signed layouts, byte by byte: what another implementation would be written from.
#[test]
fn a_vote_is_laid_out_as_documented() {
    let bytes = vote_sign_bytes(
        &ChainId([0xaa; 32]),
        VoteKind::Precommit,
        Height(0x0102),
        3,
        Some(BlockId([0xbb; 32])),
    );
    let by_hand = [
        &b"cairn/vote/1"[..],
        &[0xaa; 32],
        &[2],
        &[0, 0, 0, 0, 0, 0, 1, 2],
        &[0, 0, 0, 3],
        &[1],
        &[0xbb; 32],
    ];
    assert_eq!(bytes, by_hand.concat());
}

/// The founders' file is carried around by hand: a change of any byte of it is noticed, or
/// changes nothing.
#[test]
fn a_changed_genesis_file_is_no_other_genesis() {
    let text = genesis().to_json();
    for at in 0..text.len() {
        for flip in [1, 2, 0x20, 0x40] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= flip;
            if let Ok(read) = Genesis::from_json(&String::from_utf8_lossy(&bytes)) {
                assert_eq!(read, genesis(), "bits {flip:#x} of byte {at}");
            }
        }
        let cut = Genesis::from_json(&text[..at]);
        assert!(cut.is_err() || at + 1 == text.len(), "cut at {at}: only the last newline may go");
    }
}
