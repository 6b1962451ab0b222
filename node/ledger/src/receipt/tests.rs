use super::*;
use crate::{
    block::tests::decided,
    execution::tests::{admitted, create, key},
    genesis::tests::founders,
};

/// A block of three: committed, refused though it is a transaction, and bytes that are not even text.
fn three() -> (Genesis, Block) {
    let (genesis, keys) = founders(4);
    let body = vec![
        create(&key(50), &[1], 0),
        create(&key(50), &[2], 1),
        Arc::from(&b"\xffno transaction"[..]),
    ];
    let refused = |text: &str| Outcome::Refused(Recorded { number: 3, text: text.to_owned() });
    let outcomes =
        vec![Outcome::Committed, refused("DoubleSpend: \"so\""), refused("ValidationError: no")];
    let block = decided(&genesis, &keys, body, outcomes);
    (genesis, block)
}

#[test]
fn a_receipt_proves_what_the_block_says() {
    let (genesis, block) = three();
    for index in 0..3 {
        let receipt = Receipt::of(&block, index, &genesis).unwrap();
        let text = receipt.to_json();
        assert_eq!(Receipt::from_json(&text).as_ref(), Ok(&receipt));
        let id = (index < 2).then(|| admitted(block.body[index as usize].clone()).id());
        let proven = Proven {
            id,
            place: Place { height: block.header.height, index },
            outcome: block.outcomes[index as usize].clone(),
            time_ms: block.header.time_ms,
            signers: ["v0", "v1", "v2"].map(str::to_owned).to_vec(),
        };
        assert_eq!(receipt.verify(&genesis), Ok(proven));
    }
    assert_eq!(Receipt::of(&block, 3, &genesis), None);
    assert_eq!(Receipt::of(&block, u32::MAX, &genesis), None);
    let other = founders(5).0;
    assert_eq!(Receipt::of(&block, 0, &other), None);
    let receipt = Receipt::of(&block, 0, &genesis).unwrap();
    assert!(matches!(receipt.verify(&other), Err(ReceiptError::Chain { .. })));
}

/// Every byte of the file, changed: either it is read as the very same (white space, the
/// case of a hexadecimal digit), or it proves nothing.
#[test]
fn no_changed_byte_proves_anything_else() {
    let (genesis, block) = three();
    for index in 0..3 {
        let text = Receipt::of(&block, index, &genesis).unwrap().to_json();
        let verify = |text: &str| Receipt::from_json(text).and_then(|r| r.verify(&genesis));
        let proven = verify(&text).unwrap();
        let mut failed = 0;
        for at in 0..text.len() {
            // One bit (another digit or letter), the case bit, and a digit in its place.
            for bent in [text.as_bytes()[at] ^ 1, text.as_bytes()[at] ^ 0x20, b'7'] {
                let mut bytes = text.clone().into_bytes();
                bytes[at] = bent;
                let Ok(bent) = String::from_utf8(bytes) else { continue };
                match verify(&bent) {
                    Ok(same) => assert_eq!(same, proven, "byte {at} of:\n{text}"),
                    Err(_) => failed += 1,
                }
            }
        }
        assert!(failed > text.len(), "{failed} of {} changes fail", 3 * text.len());
    }
}

#[test]
fn a_file_that_is_not_as_it_should_be_is_refused_with_a_reason() {
    let (genesis, block) = three();
    let good = Receipt::of(&block, 1, &genesis).unwrap().to_json();
    let cases = [
        ("\"format\": 1", "\"format\": 2", "format: this version reads format 1"),
        ("\"format\": 1", "\"format\": 1, \"note\": 0", "unknown field `note`"),
        ("\"index\": 1,", "", "missing field `index`"),
        ("\"index\": 1,", "\"index\": 1, \"index\": 1,", "duplicate field `index`"),
        ("\"index\": 1", "\"index\": 2", "not in the block at that index"),
        ("\"index\": 1", "\"index\": 4294967295", "not in the block at that index"),
        ("\"text\": \"DoubleSpend", "\"text\": \"Doublespend", "not in the block"),
        ("\"encoding\": \"text\"", "\"encoding\": \"hex\"", "transaction: hexadecimal digits"),
        ("\"header\": \"", "\"header\": \"00", "header: the signed layout"),
        ("\"signature\": \"", "\"signature\": \"00", "signature: 128 hexadecimal digits"),
        ("\"validator\": \"v0\"", "\"validator\": \"v9\"", "signer \"v9\" is no validator"),
        ("\"validator\": \"v0\"", "\"validator\": \"v1\"", "signer 1 is not in the validator set"),
        ("\"round\": 1", "\"round\": 2", "the signature of validator 0 does not hold"),
    ];
    for (from, to, expected) in cases {
        assert!(good.contains(from), "{from}");
        let bent = good.replacen(from, to, 1);
        let error = Receipt::from_json(&bent).and_then(|r| r.verify(&genesis)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}\nshould say: {expected}");
    }
}

/// A quorum that is one signature short proves nothing, and neither does one signer twice.
#[test]
fn too_few_signers_prove_nothing() {
    let (genesis, block) = three();
    let good = Receipt::of(&block, 0, &genesis).unwrap();
    let mut fewer = good.clone();
    fewer.signatures.pop();
    assert!(matches!(fewer.verify(&genesis), Err(ReceiptError::Certificate(_))));
    fewer.signatures.push(fewer.signatures[0].clone());
    assert!(matches!(fewer.verify(&genesis), Err(ReceiptError::Certificate(_))));
}

/// A federation that commits what is no transaction is not believed about it.
#[test]
fn committed_bytes_that_are_no_transaction_are_not_proven() {
    let (genesis, keys) = founders(4);
    let body = vec![Arc::from(&b"{}"[..])];
    let block = decided(&genesis, &keys, body, vec![Outcome::Committed]);
    let receipt = Receipt::of(&block, 0, &genesis).unwrap();
    assert!(matches!(receipt.verify(&genesis), Err(ReceiptError::Unreadable(_))));
}

#[test]
fn bytes_and_text_that_no_block_takes_are_refused_when_read() {
    let (genesis, block) = three();
    let good = Receipt::of(&block, 1, &genesis).unwrap();
    let mut large = good.clone();
    large.transaction = Arc::from(vec![b' '; TRANSACTION_BYTES_MAX + 1]);
    let error = Receipt::from_json(&large.to_json()).unwrap_err();
    assert!(matches!(error, ReceiptError::Field { field: "transaction", .. }), "{error}");
    let mut large = good;
    let text = "x".repeat(REFUSAL_BYTES_MAX + 1);
    large.outcome = Outcome::Refused(Recorded { number: 3, text });
    let error = Receipt::from_json(&large.to_json()).unwrap_err();
    assert!(matches!(error, ReceiptError::Field { field: "outcome", .. }), "{error}");
}
