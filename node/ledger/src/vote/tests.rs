use proptest::prelude::*;

use super::*;
use crate::{
    genesis::tests::{founders, founders_with},
    signature::SigningKey,
};

/// A certificate by those validators.
pub(crate) fn certify(
    genesis: &Genesis,
    keys: &[SigningKey],
    signers: &[u16],
    height: Height,
    block: BlockId,
) -> Certificate {
    let round = 1;
    let message =
        vote_sign_bytes(&genesis.chain(), VoteKind::Precommit, height, round, Some(block));
    let signatures = signers.iter().map(|i| (*i, keys[usize::from(*i)].sign(&message))).collect();
    Certificate { height, round, block, signatures }
}

const BLOCK: BlockId = BlockId([5; 32]);

#[test]
fn a_quorum_is_more_than_two_thirds() {
    let cases = [
        (0, 0, false),
        (0, 1, false),
        (1, 1, true),
        (2, 3, false),
        (3, 3, true),
        (2, 4, false),
        (3, 4, true),
        (3, 5, false),
        (4, 5, true),
        (4, 6, false),
        (5, 7, true),
        (u64::MAX / 3 * 2, u64::MAX, false),
        (u64::MAX / 3 * 2 + 1, u64::MAX, true),
    ];
    for (have, total, expected) in cases {
        assert_eq!(is_quorum(have, total), expected, "{have} of {total}");
    }
}

#[test]
fn a_certificate_of_a_quorum_verifies_and_one_less_does_not() {
    let (genesis, keys) = founders(7);
    let of = |signers: &[u16]| certify(&genesis, &keys, signers, Height(9), BLOCK).verify(&genesis);
    assert_eq!(of(&[0, 1, 2, 3, 4, 5, 6]), Ok(()));
    assert_eq!(of(&[0, 2, 3, 5, 6]), Ok(()));
    assert_eq!(of(&[0, 2, 3, 5]), Err(CertificateError::Quorum { have: 4, total: 7 }));
    assert_eq!(of(&[]), Err(CertificateError::Quorum { have: 0, total: 7 }));
}

#[test]
fn power_counts_and_not_heads() {
    let (genesis, keys) = founders_with(&[7, 1, 1, 1]);
    let of = |signers: &[u16]| certify(&genesis, &keys, signers, Height(1), BLOCK).verify(&genesis);
    assert_eq!(of(&[0]), Ok(()));
    assert_eq!(of(&[1, 2, 3]), Err(CertificateError::Quorum { have: 3, total: 10 }));
    let (genesis, keys) = founders_with(&[6, 1, 1, 1]);
    let six = certify(&genesis, &keys, &[0], Height(1), BLOCK).verify(&genesis);
    assert_eq!(six, Err(CertificateError::Quorum { have: 6, total: 9 }));
}

/// W5 of the threat table: indexes that are not there, twice, or out of order.
#[test]
fn signers_are_validators_each_once_in_order() {
    let (genesis, keys) = founders(4);
    let good = certify(&genesis, &keys, &[0, 1, 2, 3], Height(1), BLOCK);
    let cases: [(&[u16], u16); 6] = [
        (&[0, 1, 2, 4], 4),
        (&[0, 1, 2, u16::MAX], u16::MAX),
        (&[0, 1, 1, 2], 1),
        (&[2, 2, 2, 2], 2),
        (&[0, 2, 1, 3], 1),
        (&[3, 2, 1, 0], 2),
    ];
    for (signers, culprit) in cases {
        let mut bent = good.clone();
        let by = |i: u16| good.signatures[usize::from(i.min(3))].1;
        bent.signatures = signers.iter().map(|i| (*i, by(*i))).collect();
        assert_eq!(bent.verify(&genesis), Err(CertificateError::Signer(culprit)), "{signers:?}");
    }
}

/// No early stop: one bad signature beyond the quorum spoils all.
#[test]
fn every_signature_must_hold() {
    let (genesis, keys) = founders(4);
    for culprit in 0..4 {
        let mut bent = certify(&genesis, &keys, &[0, 1, 2, 3], Height(1), BLOCK);
        bent.signatures[usize::from(culprit)].1[3] ^= 1;
        assert_eq!(bent.verify(&genesis), Err(CertificateError::Signature(culprit)));
    }
}

/// The signature covers everything that says what was voted for.
#[test]
fn a_certificate_is_for_one_block_round_height_kind_and_chain() {
    let (genesis, keys) = founders(4);
    let good = certify(&genesis, &keys, &[0, 1, 2], Height(8), BLOCK);
    assert_eq!(good.verify(&genesis), Ok(()));
    let bent = [
        Certificate { height: Height(9), ..good.clone() },
        Certificate { round: 0, ..good.clone() },
        Certificate { block: BlockId([6; 32]), ..good.clone() },
    ];
    for bent in bent {
        assert_eq!(bent.verify(&genesis), Err(CertificateError::Signature(0)), "{bent:?}");
    }

    let validators = genesis.validators().to_vec();
    let other = Genesis::new("test".to_owned(), [8; 16], validators).unwrap();
    assert_eq!(good.verify(&other), Err(CertificateError::Signature(0)));

    for (kind, block) in [(VoteKind::Prevote, Some(BLOCK)), (VoteKind::Precommit, None)] {
        let message = vote_sign_bytes(&genesis.chain(), kind, Height(8), 1, block);
        let signatures = (0..).zip(&keys).map(|(i, key)| (i, key.sign(&message))).collect();
        let bent = Certificate { signatures, ..good.clone() };
        assert_eq!(bent.verify(&genesis), Err(CertificateError::Signature(0)), "{kind:?}");
    }
}

/// Two things that differ never have the same signed bytes.
#[test]
fn signed_bytes_differ_whenever_their_meaning_does() {
    let mut seen = std::collections::HashSet::new();
    let zero = BlockId([0; 32]);
    for chain in [ChainId([1; 32]), ChainId([2; 32])] {
        for height in [Height(0), Height(1), Height(1 << 32)] {
            for round in [0, 1, u32::MAX] {
                for block in [Some(zero), Some(BLOCK), None] {
                    for kind in [VoteKind::Prevote, VoteKind::Precommit] {
                        let bytes = vote_sign_bytes(&chain, kind, height, round, block);
                        assert_eq!(bytes.len(), 12 + 32 + 1 + 8 + 4 + 1 + 32);
                        assert!(seen.insert(bytes), "{kind:?} {height} {round} {block:?}");
                    }
                }
                for block in [zero, BLOCK] {
                    for valid in [None, Some(0), Some(1)] {
                        let bytes = proposal_sign_bytes(&chain, height, round, valid, block);
                        assert!(seen.insert(bytes), "{height} {round} {valid:?} {block:?}");
                    }
                }
            }
        }
    }
}

prop_compose! {
    fn certificates()(
        validators in 0_usize..=VALIDATORS_MAX,
        chosen in any::<u128>(),
        height in any::<u64>(),
        round in any::<u32>(),
        fill in any::<u8>(),
    ) -> (usize, Certificate) {
        let signers = (0..validators as u16).filter(|i| chosen >> i & 1 == 1);
        let signatures = signers.map(|i| (i, [fill ^ i as u8; 64])).collect();
        let block = BlockId([fill; 32]);
        (validators, Certificate { height: Height(height), round, block, signatures })
    }
}

proptest! {
    #[test]
    fn a_certificate_reads_back((validators, certificate) in certificates()) {
        let bytes = certificate.encode(validators);
        prop_assert_eq!(Certificate::decode(&bytes, validators), Ok(certificate));
        prop_assert!(Certificate::decode(&bytes[..bytes.len() - 1], validators).is_err());
        prop_assert!(Certificate::decode(&[&bytes[..], &[0]].concat(), validators).is_err());
    }

    #[test]
    fn a_set_bit_beyond_the_validators_is_malformed(
        (validators, certificate) in certificates(),
        bit in 0_usize..8,
    ) {
        // Eight bits a byte: the last byte has some to spare unless the count is a multiple.
        prop_assume!(validators % 8 != 0 && bit >= validators % 8);
        let mut bytes = certificate.encode(validators);
        bytes[44 + validators / 8] |= 1 << bit;
        prop_assert!(Certificate::decode(&bytes, validators).is_err());
        // Nor does a signature that goes with the stray bit make it one.
        bytes.extend([0; 64]);
        prop_assert!(Certificate::decode(&bytes, validators).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_malformed(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        validators in 0_usize..=VALIDATORS_MAX,
    ) {
        if let Ok(certificate) = Certificate::decode(&bytes, validators) {
            prop_assert_eq!(certificate.encode(validators), bytes, "one form for each");
        }
    }
}

#[test]
#[should_panic(expected = "signers ascend and are validators")]
fn writing_a_certificate_of_more_signers_than_validators_is_a_bug() {
    let (genesis, keys) = founders(4);
    let _ = certify(&genesis, &keys, &[0, 1, 3], Height(1), BLOCK).encode(3);
}
