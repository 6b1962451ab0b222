//! What a receipt proves, and what proves nothing.

#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

mod common;

use cairn_ledger::{block::Block, execution::Outcome, limits::VALIDATORS_MAX, merkle};
use cairn_verifier::{FILE_BYTES_MAX, Genesis, Invalid, Proven, verdict, verify};
use common::{Chain, create, four, id_of, refused, weighted};

#[test]
fn a_receipt_proves_what_the_block_says() {
    let (chain, block) = four();
    // The id of what was refused before its id was looked at is nobody's.
    let ids = [Some(0), Some(1), None, None, None];
    for (index, id) in (0..).zip(ids) {
        let outcome = match &block.outcomes[index as usize] {
            Outcome::Committed => cairn_verifier::Outcome::Committed,
            Outcome::Refused(why) => {
                cairn_verifier::Outcome::Refused { number: why.number, text: why.text.clone() }
            }
        };
        let proven = Proven {
            chain: "bicycles".to_owned(),
            chain_id: chain.genesis.chain().0,
            transaction_id: id.map(|at: usize| id_of(&block.body[at]).0),
            outcome,
            height: 12,
            index,
            block_id: block.header.id().0,
            time_ms: 1_700_000_000_123,
            signers: ["member-0", "member-2", "member-3"].map(str::to_owned).to_vec(),
            signed_power: 3,
            total_power: 4,
        };
        let receipt = chain.receipt(&block, index);
        assert_eq!(verify(receipt.as_bytes(), &chain.trusted()), Ok(proven));
    }
}

#[test]
fn power_decides_and_not_heads() {
    let (chain, block) = weighted();
    let total = chain.genesis.total_power();
    assert_eq!(total, 95);
    #[rustfmt::skip]
    let table: [(&[u16], bool, &str); 6] = [
        (&[0, 3, 6],          true,  "80 of 95"),
        (&[3, 6],             true,  "70 of 95"),
        (&[0, 1, 2, 3, 4, 5], false, "55 of 95, though six of seven"),
        (&[2, 4, 5, 6],       false, "54 of 95"),
        (&[],                 false, "nobody"),
        (&[0, 1, 2, 3, 4, 5, 6], true, "all"),
    ];
    for (signers, fine, why) in table {
        let mut block = block.clone();
        block.certificate = chain.certify(&block.header, signers);
        assert_eq!(block.certificate.verify(&chain.genesis).is_ok(), fine, "{why}");
        let verified = verify(chain.receipt(&block, 0).as_bytes(), &chain.trusted());
        assert_eq!(verified.is_ok(), fine, "{why}: {verified:?}");
    }
    // Exactly two thirds are not more than two thirds.
    let chain = Chain::new("thirds", &[1, 1, 1]);
    let decisions = [(create("{}"), Outcome::Committed)];
    let receipt = |signers| chain.receipt(&chain.decided(&decisions, signers), 0);
    let error = verify(receipt(&[0, 1]).as_bytes(), &chain.trusted()).unwrap_err().to_string();
    assert!(error.contains("signers hold 2 of 3 voting power"), "{error}");
    assert!(verify(receipt(&[0, 1, 2]).as_bytes(), &chain.trusted()).is_ok());
}

/// What it proves is proven to whoever trusts this genesis, and to nobody else.
#[test]
fn another_genesis_proves_nothing() {
    let (chain, block) = four();
    let receipt = chain.receipt(&block, 0);
    let founders = [
        Chain::new("bicycles", &[1, 1, 1]),
        Chain::new("bicycles", &[1, 1, 1, 2]),
        Chain::new("bicycle", &[1, 1, 1, 1]),
    ];
    for other in founders {
        let error = verify(receipt.as_bytes(), &other.trusted()).unwrap_err().to_string();
        assert!(error.starts_with("receipt.chain_id: of chain "), "{error}");
        assert!(error.contains("take the genesis of that chain"), "{error}");
    }
}

#[test]
fn a_file_that_is_not_as_it_should_be_is_refused_with_a_reason() {
    let (chain, block) = four();
    let good = chain.receipt(&block, 1);
    #[rustfmt::skip]
    let table = [
        ("\"format\": 1",            "\"format\": 2",                  "receipt.format: format 1"),
        ("\"format\": 1",            "\"format\": 1, \"note\": 0",     "receipt: unknown field \"note\": format, chain_id"),
        ("\"index\": 1,",            "",                               "receipt.index: missing: a whole number of 32 bits"),
        ("\"index\": 1,",            "\"index\": 1, \"index\": 1,",    "receipt: the field \"index\" is there twice"),
        ("\"index\": 1,",            "\"index\": 1, \"ind\\u0065x\": 1,", "the field \"index\" is there twice"),
        ("\"index\": 1",             "\"index\": 2",                   "receipt.path: the transaction with this outcome is not in the block"),
        ("\"index\": 1",             "\"index\": 4294967295",          "not in the block at that index"),
        ("\"index\": 1",             "\"index\": 4294967296",          "receipt.index: a whole number of 32 bits"),
        ("\"index\": 1",             "\"index\": 1.0",                 "receipt.index: a whole number"),
        ("\"index\": 1",             "\"index\": 1e0",                 "receipt.index: a whole number"),
        ("\"index\": 1",             "\"index\": -1",                  "receipt.index: a whole number"),
        ("\"index\": 1",             "\"index\": \"1\"",               "receipt.index: a whole number"),
        ("\"index\": 1",             "\"index\": null",                "receipt.index: a whole number"),
        ("\"index\": 1",             "\"index\": 01",                  "receipt: not JSON: invalid number at line"),
        ("\"text\": \"DoubleSpend",  "\"text\": \"Doublespend",        "not in the block"),
        ("\"number\": 32",           "\"number\": 33",                 "not in the block"),
        ("\"number\": 32",           "\"number\": 65536",              "receipt.outcome.refused.number: a whole number of 16 bits"),
        ("\"number\": 32,",          "\"number\": 32, \"code\": 1,",   "receipt.outcome.refused: unknown field \"code\""),
        ("\"refused\": {",           "\"committed\": {",               "receipt.outcome: unknown field \"committed\""),
        ("\"encoding\": \"text\"",   "\"encoding\": \"hex\"",          "receipt.transaction: hexadecimal digits"),
        ("\"encoding\": \"text\"",   "\"encoding\": \"Text\"",         "receipt.encoding: `text` or `hex`"),
        ("\"header\": \"",           "\"header\": \"00",               "receipt.header: 184 bytes"),
        ("\"header\": \"63",         "\"header\": \"6",                "receipt.header: hexadecimal digits"),
        ("\"signature\": \"",        "\"signature\": \"00",            "signatures[0].signature: 128 hexadecimal digits"),
        ("\"validator\": \"member-0\"", "\"validator\": \"member-9\"", "signatures[0].validator: \"member-9\" is no validator"),
        ("\"validator\": \"member-0\"", "\"validator\": \"member-2\"", "signatures[1].validator: signers must be in the order"),
        ("\"validator\": \"member-0\"", "\"validator\": \"member-1\"", "the signature of member-1 does not hold"),
        ("\"round\": 1",             "\"round\": 2",                   "the signature of member-0 does not hold"),
    ];
    for (from, to, expected) in table {
        assert!(good.contains(from), "{from}");
        let bent = good.replacen(from, to, 1);
        let error = verify(bent.as_bytes(), &chain.trusted()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}\nshould say: {expected}");
    }
    for (text, expected) in [
        ("", "receipt: not JSON: EOF"),
        ("null", "receipt: an object with format, chain_id"),
        ("[1]", "receipt: an object with"),
        ("\"\u{0}\"", "receipt: not JSON: control character"),
    ] {
        let error = verify(text.as_bytes(), &chain.trusted()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    assert!(verify(b"\"\xff\"", &chain.trusted()).is_err());
}

/// A quorum that is one signature short proves nothing, and neither does one signer twice,
/// or one signature too many that does not hold.
#[test]
fn too_few_signers_prove_nothing() {
    let (chain, mut block) = four();
    let signatures = block.certificate.signatures.clone();
    let error = |block: &Block| {
        verify(chain.receipt(block, 0).as_bytes(), &chain.trusted()).unwrap_err().to_string()
    };
    block.certificate.signatures = signatures[..2].to_vec();
    assert!(error(&block).contains("signers hold 2 of 4 voting power"));
    block.certificate.signatures.push(signatures[1]);
    assert!(error(&block).contains("in the order of the genesis, each once"));
    block.certificate.signatures = [&signatures[..1], &[(1, [0; 64])], &signatures[1..]].concat();
    assert!(error(&block).contains("the signature of member-1 does not hold"));
    block.certificate.signatures = vec![signatures[1], signatures[0], signatures[2]];
    assert!(error(&block).contains("in the order of the genesis"));
}

/// Votes of the first phase, for nothing, of another height, chain or block are no certificate.
#[test]
fn what_was_signed_for_something_else_proves_nothing() {
    use cairn_ledger::vote::{VoteKind::*, vote_sign_bytes};
    let (chain, mut block) = four();
    let (id, id_of_chain) = (block.header.id(), chain.genesis.chain());
    let height = block.header.height;
    let other = Chain::new("other", &[1, 1, 1, 1]).genesis.chain();
    #[rustfmt::skip]
    let table = [
        (vote_sign_bytes(&id_of_chain, Precommit, height, 1, Some(id)),        true,  "as it should be"),
        (vote_sign_bytes(&id_of_chain, Prevote, height, 1, Some(id)),          false, "first phase"),
        (vote_sign_bytes(&id_of_chain, Precommit, height, 1, None),            false, "for nothing"),
        (vote_sign_bytes(&id_of_chain, Precommit, height.next(), 1, Some(id)), false, "height"),
        (vote_sign_bytes(&id_of_chain, Precommit, height, 2, Some(id)),        false, "round"),
        (vote_sign_bytes(&other, Precommit, height, 1, Some(id)),              false, "chain"),
        (id.0.to_vec(),                                                        false, "bare"),
    ];
    for (message, fine, why) in table {
        let signatures = block.certificate.signatures.iter_mut();
        signatures.for_each(|(at, bytes)| *bytes = chain.keys[usize::from(*at)].sign(&message));
        let verified = verify(chain.receipt(&block, 0).as_bytes(), &chain.trusted());
        assert_eq!(verified.is_ok(), fine, "{why}");
    }
}

/// A federation that commits what carries no id is not believed about it.
#[test]
fn committed_bytes_that_are_no_transaction_are_not_proven() {
    let chain = Chain::new("careless", &[1]);
    for bytes in
        ["{}", "", "[\"id\"]", "{\"id\": 1}", "{\"id\": \"AB\"}", "{\"id\":\"a\",\"id\":\"a\"}"]
    {
        let decisions = [(bytes.as_bytes().into(), Outcome::Committed)];
        let receipt = chain.receipt(&chain.decided(&decisions, &[0]), 0);
        let error = verify(receipt.as_bytes(), &chain.trusted()).unwrap_err().to_string();
        assert!(error.starts_with("receipt.transaction: committed, and yet"), "{bytes}: {error}");
    }
}

#[test]
fn bytes_and_text_that_no_block_takes_are_refused_when_read() {
    let chain = Chain::new("large", &[1]);
    let of = |bytes: Vec<u8>, outcome| {
        let receipt = chain.receipt(&chain.decided(&[(bytes.into(), outcome)], &[0]), 0);
        verify(receipt.as_bytes(), &chain.trusted()).map_err(|error| error.to_string())
    };
    let most = 64 * 1024;
    assert!(of(vec![1; most], refused(3, &"\u{1}".repeat(512))).is_ok(), "all of it escaped");
    let error = of(vec![b' '; most + 1], refused(3, "")).unwrap_err();
    assert_eq!(error, "receipt.transaction: 65536 bytes are the most that a block takes");
    let error = of(vec![], refused(3, &"x".repeat(513))).unwrap_err();
    assert_eq!(error, "receipt.outcome.refused.text: at most 512 bytes of text would be fine");
    let digits = of(vec![0xff; most], refused(3, "")).unwrap();
    assert_eq!(digits.transaction_id, None);

    let error = Genesis::read(&vec![b' '; FILE_BYTES_MAX + 1]).unwrap_err();
    assert_eq!(error.to_string(), "genesis: larger than 1048576 bytes, the most that are read");
}

/// The largest receipt that a node makes is read: the largest transaction with every byte
/// escaped, the longest path, the most signers.
#[test]
fn the_largest_receipt_is_read() {
    let chain = Chain::new("large", &[1; VALIDATORS_MAX]);
    let mut decisions = vec![(create("{}"), Outcome::Committed); 4095];
    decisions.push((vec![1; 64 * 1024].into(), refused(3, &"\u{1}".repeat(512))));
    let signers: Vec<u16> = (0..128).collect();
    let receipt = chain.receipt(&chain.decided(&decisions, &signers), 4095);
    assert!(receipt.len() < FILE_BYTES_MAX * 2 / 3, "{}", receipt.len());
    let proven = verify(receipt.as_bytes(), &chain.trusted()).unwrap();
    assert_eq!((proven.index, proven.signers.len()), (4095, 128));
}

/// Digits are for what is no text: one transaction has one spelling.
#[test]
fn text_is_not_written_in_digits() {
    let (chain, block) = four();
    let text = String::from_utf8(block.body[3].to_vec()).unwrap();
    let good = chain.receipt(&block, 3);
    let bent = good
        .replacen(&format!("\"{text}\""), &format!("\"{}\"", hex::encode(&text)), 1)
        .replacen("\"text\"", "\"hex\"", 1);
    assert_ne!(good, bent);
    let error = verify(bent.as_bytes(), &chain.trusted()).unwrap_err().to_string();
    assert_eq!(error, "receipt.encoding: the transaction is UTF-8: `text` would be fine");
}

/// A receipt that went through somebody's JSON tool still is what it was.
#[test]
fn white_space_order_and_escapes_are_no_part_of_a_receipt() {
    let (chain, block) = four();
    let receipt = chain.receipt(&block, 0);
    let proven = verify(receipt.as_bytes(), &chain.trusted());
    let value: serde_json::Value = serde_json::from_str(&receipt).unwrap();
    // serde_json sorts the fields.
    let again = [value.to_string(), format!("\r\n\t{value:#} "), receipt.replace('ö', "\\u00f6")];
    for text in again {
        assert_ne!(text, receipt);
        assert_eq!(verify(text.as_bytes(), &chain.trusted()), proven);
    }
    assert!(proven.is_ok());
}

#[test]
fn a_verdict_is_json_and_says_all() {
    let (chain, block) = four();
    let genesis = chain.genesis.to_json();
    let told = |receipt: &str, genesis: &str| -> serde_json::Value {
        serde_json::from_str(&verdict(receipt.as_bytes(), genesis.as_bytes())).unwrap()
    };
    let receipt = chain.receipt(&block, 1);
    let Outcome::Refused(why) = &block.outcomes[1] else { panic!("it is refused") };
    let expected = serde_json::json!({
        "valid": true,
        "chain": "bicycles",
        "chain_id": chain.genesis.chain(),
        "transaction_id": id_of(&block.body[1]),
        "outcome": "refused",
        "refusal": {"number": 32, "text": why.text},
        "height": 12,
        "index": 1,
        "block_id": block.header.id(),
        "time_ms": 1_700_000_000_123_u64,
        "signers": ["member-0", "member-2", "member-3"],
        "signed_power": 3,
        "total_power": 4,
    });
    assert_eq!(told(&receipt, &genesis), expected);
    assert_eq!(told(&chain.receipt(&block, 0), &genesis)["refusal"], serde_json::Value::Null);
    let bent = receipt.replacen("\"round\": 1", "\"round\": 2", 1);
    let expected = serde_json::json!({
        "valid": false,
        "field": "receipt.certificate.signatures[0].signature",
        "reason": "the signature of member-0 does not hold for this header",
    });
    assert_eq!(told(&bent, &genesis), expected);
    assert_eq!(told(&receipt, "")["field"], "genesis");
    let expected = Invalid::Syntax { file: "receipt", why: String::new() };
    assert_eq!(expected.to_json()["field"], "receipt");
}

/// The tree that the ledger makes, and the way up that the verifier takes.
#[test]
fn every_transaction_of_every_small_block_is_proven_where_it_is_and_nowhere_else() {
    let chain = Chain::new("small", &[1]);
    let trusted = chain.trusted();
    for count in 1..=20_u32 {
        let decision = |at: u32| (at.to_be_bytes().to_vec().into(), refused(3, "no"));
        let decisions: Vec<_> = (0..count).map(decision).collect();
        let block = chain.decided(&decisions, &[0]);
        assert_eq!(merkle::root(&block.leaves()), block.header.outcomes_root);
        for index in 0..count {
            let receipt = chain.receipt(&block, index);
            assert_eq!(verify(receipt.as_bytes(), &trusted).unwrap().index, index);
            let (from, to) = (format!("\"index\": {index},"), format!("\"index\": {},", index ^ 1));
            let elsewhere = receipt.replacen(&from, &to, 1);
            assert!(verify(elsewhere.as_bytes(), &trusted).is_err(), "{index} of {count}");
        }
    }
}
