//! Crashes at every write boundary, damage at every byte, and the sign-once rule as a table.

use cairn_ledger::ids::{BlockId, ChainId, Height, PublicKey};

use super::{
    disk::{put, sectors},
    *,
};

const CHAIN: ChainId = ChainId([7; 32]);
const KEY: PublicKey = PublicKey([9; 32]);

fn sign(kind: SignKind, height: u64, round: u32, block: u8) -> OwnSignature {
    let value = (block != 0).then_some(BlockId([block; 32]));
    let mut signature = [block; 64];
    signature[0] = kind as u8;
    signature[1..5].copy_from_slice(&round.to_be_bytes());
    OwnSignature { kind, height: Height(height), round, value, signature }
}

fn open(disk: &SimulatedDisk, tip: u64) -> (Journal, Recovered) {
    Journal::open_on(Box::new(disk.clone()), CHAIN, KEY, Height(tip)).unwrap()
}

fn new() -> (SimulatedDisk, Journal) {
    let disk = SimulatedDisk::recording();
    (disk.clone(), Journal::create_on(Box::new(disk), CHAIN, KEY).unwrap())
}

/// A run of three heights, with small and large records, several syncs a height, and one
/// batch that is left unsynced. Says after how many disk operations each signature was sent,
/// and each block was stored.
struct Run {
    disk: SimulatedDisk,
    sent: Vec<(usize, OwnSignature)>,
    stored: Vec<(usize, u64)>,
    appended: Vec<(u64, Vec<u8>)>,
}

fn run() -> Run {
    let (disk, mut journal) = new();
    let (mut sent, mut stored, mut appended) = (Vec::new(), Vec::new(), Vec::new());
    for height in 1..=3 {
        journal.reset(Height(height)).unwrap();
        for (step, kind) in SignKind::ALL.into_iter().enumerate() {
            let signature = sign(kind, height, 0, u8::try_from(height).unwrap());
            let input = vec![step as u8; 40 + 300 * step];
            journal.append(&input, Some(signature)).unwrap();
            appended.push((height, input));
            let other = vec![0xEE; 20];
            journal.append(&other, None).unwrap();
            appended.push((height, other));
            journal.sync().unwrap();
            sent.push((disk.history().len(), signature));
        }
        stored.push((disk.history().len(), height));
    }
    journal.reset(Height(4)).unwrap();
    let body = vec![b"one".as_slice().into(), vec![5; 2000].into()];
    journal.append_body(BlockId([4; 32]), &body);
    journal.append(b"", Some(sign(SignKind::Prevote, 4, 2, 4))).unwrap();
    journal.sync().unwrap();
    sent.push((disk.history().len(), sign(SignKind::Prevote, 4, 2, 4)));
    Run { disk, sent, stored, appended }
}

/// Every image that a crash after `operations` can leave: the last sync's, with every
/// subset of the sectors written since when they are few, and many subsets when not.
fn images(history: &[Operation]) -> Vec<Vec<u8>> {
    let synced = history.iter().rposition(|o| *o == Operation::Sync).map_or(0, |at| at + 1);
    let mut durable = Vec::new();
    let mut at_stake = Vec::new();
    for (index, operation) in history.iter().enumerate() {
        let Operation::Write(at, bytes) = operation else { continue };
        if index < synced {
            put(&mut durable, *at, bytes);
        } else {
            // Finer than any disk tears, so that half of a slot may be new and half old. What
            // does not differ (the padding of a page) is not at stake.
            for (at, sector) in sectors(*at, bytes) {
                let pieces = sector.chunks(96).enumerate();
                at_stake.extend(pieces.map(|(i, piece)| (at + 96 * i as u64, piece)).filter(
                    |(at, piece)| {
                        let at = usize::try_from(*at).unwrap();
                        durable.get(at..at + piece.len()) != Some(*piece)
                    },
                ));
            }
        }
    }
    let count = at_stake.len();
    let masks: Vec<u64> = if count <= 8 {
        (0..1 << count).collect()
    } else {
        let stride = 0x9E37_79B9_7F4A_7C15_u64;
        (0..256_u64).map(|i| i.wrapping_mul(stride) >> 7).chain([0, u64::MAX]).collect()
    };
    let image = |mask: u64| {
        let mut image = durable.clone();
        for (index, (at, sector)) in at_stake.iter().enumerate() {
            if mask >> (index % 64) & 1 == 1 {
                put(&mut image, *at, sector);
            }
        }
        image
    };
    masks.into_iter().map(image).collect()
}

#[test]
fn a_crash_anywhere_forgets_no_signature_that_was_sent() {
    let Run { disk, sent, stored, appended } = run();
    let history = disk.history();
    let created = history.iter().position(|o| *o == Operation::Sync).unwrap() + 1;
    let mut opened = 0;
    for crash in created..=history.len() {
        let tip = stored.iter().rev().find(|(at, _)| *at <= crash).map_or(0, |(_, height)| *height);
        let next = Height(tip).next();
        for image in images(&history[..crash]) {
            opened += 1;
            let (journal, recovered) = open(&SimulatedDisk::holding(image), tip);
            assert_eq!(recovered.may_sign_from, next, "crash after {crash}: {recovered:?}");
            assert_eq!(journal.height(), next, "crash after {crash}");
            for (_, signature) in sent.iter().filter(|(at, _)| *at <= crash) {
                let other = sign(signature.kind, signature.height.0, signature.round, 99);
                assert!(journal.check(&other).is_err(), "crash after {crash}: {signature:?}");
            }
            // The records are a prefix of what was appended, at least as long as what was synced.
            let expected: Vec<_> =
                appended.iter().filter(|(height, _)| *height == next.0).collect();
            let synced = 2 * sent.iter().filter(|(at, s)| *at <= crash && s.height == next).count();
            if next.0 <= 3 {
                assert!(recovered.records.len() >= synced, "crash after {crash}");
                for (record, (_, input)) in recovered.records.iter().zip(expected) {
                    assert_eq!(*record, Record::Input(input.clone()));
                }
            }
        }
    }
    assert!(opened > 2000, "only {opened} images were tried");
}

#[test]
fn a_second_crash_brings_nothing_back_that_the_first_one_dropped() {
    let (disk, mut journal) = new();
    journal.append(b"synced", None).unwrap();
    journal.sync().unwrap();
    let before = disk.history().len();
    for input in ["torn away", "left over"] {
        // Padded so that what is written later can end exactly where the second one begins.
        journal.append(&[input.as_bytes(), &[0; 600]].concat(), None).unwrap();
    }
    journal.sync().unwrap();
    let history = disk.history();
    let mut tried = 0;
    for image in images(&history[..before + 1]) {
        let disk = SimulatedDisk::holding(image);
        let (mut journal, recovered) = open(&disk, 0);
        let mut expected = recovered.records;
        let replacement = [b"taken down".as_slice(), &[0; 599]].concat();
        journal.append(&replacement, None).unwrap();
        journal.sync().unwrap();
        expected.push(Record::Input(replacement));
        drop(journal);
        let (_, recovered) = open(&disk, 0);
        assert_eq!(recovered.records, expected);
        tried += 1;
    }
    assert!(tried >= 8);
}

#[test]
fn damage_to_any_byte_that_was_synced_never_loses_a_signature_silently() {
    let Run { disk, sent, .. } = run();
    let whole = disk.bytes();
    let last: Vec<_> = sent.iter().filter(|(_, s)| s.height == Height(4)).collect();
    assert_eq!(last.len(), 1);
    for at in 0..whole.len() {
        let mut image = whole.clone();
        image[at] ^= 0x10;
        let disk = SimulatedDisk::holding(image);
        match Journal::open_on(Box::new(disk), CHAIN, KEY, Height(3)) {
            Err(error) => assert!(error.to_string().contains("SIGN_STATE_CORRUPT") || at < 4096),
            Ok((journal, recovered)) => {
                let conflict = sign(SignKind::Prevote, 4, 2, 99);
                assert!(journal.check(&conflict).is_err(), "byte {at}: {recovered:?}");
            }
        }
    }
}

#[test]
fn a_damaged_height_stays_unsigned_after_the_damage_is_written_over() {
    let Run { disk, .. } = run();
    let mut image = disk.bytes();
    image[AREA as usize + 40] ^= 1;
    let disk = SimulatedDisk::holding(image);
    for _ in 0..3 {
        let (mut journal, recovered) = open(&disk, 3);
        assert_eq!(recovered.may_sign_from, Height(5));
        assert!(recovered.records.is_empty());
        let refused = journal.append(b"x", Some(sign(SignKind::Prevote, 4, 9, 1)));
        assert!(matches!(refused, Err(SignRefused::Settled { .. })), "{refused:?}");
        journal.append(b"heard", None).unwrap();
        journal.sync().unwrap();
    }
    let (mut journal, _) = open(&disk, 3);
    journal.reset(Height(5)).unwrap();
    journal.append(b"x", Some(sign(SignKind::Prevote, 5, 0, 1))).unwrap();
}

#[test]
fn a_store_that_lost_blocks_does_not_make_the_journal_sign_again() {
    let Run { disk, .. } = run();
    let (journal, recovered) = open(&disk, 1);
    assert_eq!(recovered.may_sign_from, Height(5));
    assert!(recovered.warnings.iter().any(|w| w.starts_with("STORE_ROLLBACK")), "{recovered:?}");
    for height in 1..=4 {
        assert!(journal.check(&sign(SignKind::Prevote, height, 9, 1)).is_err());
    }
}

#[test]
fn both_slots_or_the_header_damaged_means_never() {
    let whole = run().disk.bytes();
    for pages in [&[0_usize] as &[_], &[1, 2]] {
        let mut image = whole.clone();
        for page in pages {
            image[page * 4096 + 3] ^= 1;
        }
        let error =
            Journal::open_on(Box::new(SimulatedDisk::holding(image)), CHAIN, KEY, Height(3))
                .unwrap_err();
        assert!(error.to_string().starts_with("SIGN_STATE_CORRUPT"), "{error}");
        assert!(error.may_observe());
    }
}

#[test]
fn one_slot_damaged_is_a_warning() {
    let whole = run().disk.bytes();
    for page in [1, 2] {
        let mut image = whole.clone();
        image[page * 4096 + 3] ^= 1;
        let (journal, recovered) = open(&SimulatedDisk::holding(image), 3);
        assert_eq!(recovered.warnings.len(), 1);
        assert!(journal.check(&sign(SignKind::Prevote, 4, 2, 99)).is_err());
    }
}

#[test]
fn signs_once() {
    use SignKind::{Precommit, Prevote, Proposal};
    let (_, mut journal) = new();
    journal.reset(Height(5)).unwrap();
    let table = [
        (sign(Prevote, 5, 1, 1), None),
        (sign(Prevote, 5, 1, 1), None),
        (sign(Prevote, 5, 1, 2), Some("would be a second one")),
        (sign(Prevote, 5, 1, 0), Some("would be a second one")),
        (sign(Prevote, 5, 0, 1), Some("would come after")),
        (sign(Prevote, 4, 9, 1), Some("the first that may is 5")),
        (sign(Prevote, 6, 0, 1), Some("the journal is at height 5")),
        (sign(Precommit, 5, 1, 2), None),
        (sign(Proposal, 5, 0, 2), None),
        (sign(Proposal, 5, 0, 3), Some("would be a second one")),
        (sign(Prevote, 5, 2, 0), None),
        (sign(Prevote, 5, 2, 3), Some("would be a second one")),
    ];
    for (signature, refused) in table {
        let answer = journal.append(b"input", Some(signature)).map_err(|e| e.to_string());
        match refused {
            None => assert_eq!(answer, Ok(()), "{signature:?}"),
            Some(text) => assert!(answer.unwrap_err().contains(text), "{signature:?}"),
        }
    }
}

#[test]
fn one_sync_a_batch_and_none_for_nothing() {
    let (disk, mut journal) = new();
    let before = disk.syncs();
    for _ in 0..10 {
        journal.append(b"heard", None).unwrap();
    }
    journal.sync().unwrap();
    journal.sync().unwrap();
    journal.reset(Height(2)).unwrap();
    journal.sync().unwrap();
    assert_eq!(disk.syncs() - before, 1);
}

#[test]
fn a_failed_sync_is_an_error_with_its_word() {
    let (disk, mut journal) = new();
    disk.fail_syncs();
    journal.append(b"heard", None).unwrap();
    let error = journal.sync().unwrap_err();
    assert!(error.to_string().starts_with("FSYNC_FAILED"), "{error}");
    assert!(!error.may_observe());
}

#[test]
fn a_file_is_made_whole_locked_and_known_by_its_owner() {
    let directory = std::env::temp_dir().join(format!("cairn-journal-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("journal");
    let error = Journal::open(&path, CHAIN, KEY, Height(0)).unwrap_err();
    assert!(error.to_string().starts_with("SIGN_STATE_MISSING"), "{error}");
    let mut journal = Journal::create(&path, CHAIN, KEY).unwrap();
    let error = Journal::open(&path, CHAIN, KEY, Height(0)).unwrap_err();
    assert!(error.to_string().starts_with("SIGN_STATE_LOCKED"), "{error}");
    let big = vec![3; 2 << 20];
    journal.append(&big, None).unwrap();
    journal.sync().unwrap();
    drop(journal);
    assert!(Journal::create(&path, CHAIN, KEY).is_err(), "an existing journal is not replaced");
    let (_, recovered) = Journal::open(&path, CHAIN, KEY, Height(0)).unwrap();
    assert_eq!(recovered.records, [Record::Input(big)]);
    let error = Journal::open(&path, ChainId([1; 32]), KEY, Height(0)).unwrap_err();
    assert!(error.to_string().starts_with("SIGN_STATE_FOREIGN_CHAIN"), "{error}");
    let error = Journal::open(&path, CHAIN, PublicKey([1; 32]), Height(0)).unwrap_err();
    assert!(error.to_string().starts_with("SIGN_STATE_FOREIGN_KEY"), "{error}");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[11] = 2;
    std::fs::write(&path, &bytes).unwrap();
    let error = Journal::open(&path, CHAIN, KEY, Height(0)).unwrap_err();
    assert!(
        error.to_string().starts_with("FORMAT_TOO_NEW: the signing state has format 2"),
        "{error}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "a newer format is left untouched");
    std::fs::remove_dir_all(&directory).unwrap();
}
