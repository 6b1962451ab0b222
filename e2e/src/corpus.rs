//! Transactions made and signed before any clock starts.

use std::{
    fmt::Write as _,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use cairn_ledger::{
    ids::{OutputReference, TransactionId},
    json::Strictness,
    signature::SigningKey,
    transaction::{
        build::{Share, Spend, create, transfer},
        parse,
    },
};
use sha3::{Digest, Sha3_256};

use crate::progress;

/// One signed transaction.
#[derive(Clone)]
pub(crate) struct Signed {
    /// Its name.
    pub(crate) id: TransactionId,
    /// Its JSON.
    pub(crate) bytes: Vec<u8>,
}

/// Outputs of each CREATE that makes what transfers spend; it must be a multiple of every
/// number of inputs that a workload has.
pub(crate) const OUTPUTS_EACH: usize = 200;

/// Keys that own things. A few are enough: what is checked is the signature, not the key.
const KEYS: usize = 1000;

/// Bytes of a TRANSFER of one output without metadata, about.
const TRANSFER_BYTES: usize = 862;

/// Outputs of one asset that move together, spent by one transaction.
#[derive(Clone)]
pub(crate) struct Holding {
    /// The CREATE that made the asset.
    asset: TransactionId,
    /// Where the outputs are now.
    transaction: TransactionId,
    /// The index of the first of them.
    first: u32,
    /// The number of the key of the first; the others' follow.
    key: usize,
    /// How many.
    count: usize,
}

/// Says of what is made that it was made by this run, and in which part of it: no two
/// transactions of a run are the same.
#[derive(Clone)]
pub(crate) struct Label(String);

impl Label {
    /// One that there was not before.
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(format!("{}-{number}", std::process::id()))
    }
}

/// That many CREATEs of one output each, with a payload of about that many bytes.
pub(crate) fn creates(label: &Label, count: usize, payload: usize) -> Vec<Signed> {
    on_all_cores("signing CREATEs", count, |index| {
        let key = key(index);
        let head = format!("{{\"run\":\"{}-{index}\",\"payload\":\"", label.0);
        let filler = noise(index as u64, payload.saturating_sub(head.len() + 2));
        let data = format!("{head}{filler}\"}}");
        let made = create(&data, "null", &[Share::to(key.public(), 1)], key);
        signed(made.expect("the data is an object"))
    })
}

/// CREATEs that leave at least so many outputs, [`OUTPUTS_EACH`] each.
pub(crate) fn outputs(label: &Label, outputs: usize) -> Vec<Signed> {
    on_all_cores("signing outputs", outputs.div_ceil(OUTPUTS_EACH), |index| {
        let data = format!("{{\"run\":\"{}-outputs-{index}\"}}", label.0);
        let owned = |output| Share::to(key(index * OUTPUTS_EACH + output).public(), 1);
        let shares: Vec<Share> = (0..OUTPUTS_EACH).map(owned).collect();
        signed(create(&data, "null", &shares, key(index)).expect("the data is an object"))
    })
}

/// The holdings, of `count` outputs each, that those CREATEs made; in an order that jumps over
/// all of them, so that one after the other is nowhere near it in the ledger.
pub(crate) fn holdings(made: &[Signed], count: usize) -> Vec<Holding> {
    let each = OUTPUTS_EACH / count;
    let total = made.len() * each;
    let stride = stride(total);
    (0..total)
        .map(|number| (number * stride) % total)
        .map(|at| {
            let (create, first) = (at / each, at % each * count);
            let asset = made[create].id;
            let key = create * OUTPUTS_EACH + first;
            Holding { asset, transaction: asset, first: first as u32, key, count }
        })
        .collect()
}

/// A step that comes by every one of so many places before it comes back: about the golden
/// section of them, without a divisor in common.
fn stride(total: usize) -> usize {
    let common = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let near = (total as f64 * 0.618) as usize;
    (near.max(1)..).find(|step| common(*step, total) == 1).unwrap_or(1)
}

impl Holding {
    /// Moves all of it on, each output to the next key, by a TRANSFER of about so many bytes.
    pub(crate) fn move_on(&mut self, note: &str, bytes: usize) -> Signed {
        let (signed, moved) = self.spent(note, bytes);
        *self = moved;
        signed
    }

    /// The same, without moving: whoever does both spends twice.
    pub(crate) fn spend_only(&self, note: &str, bytes: usize) -> Signed {
        self.spent(note, bytes).0
    }

    fn spent(&self, note: &str, bytes: usize) -> (Signed, Self) {
        let owners: Vec<&SigningKey> = (0..self.count).map(|at| key(self.key + at)).collect();
        let spend = |(at, owner): (usize, &&SigningKey)| {
            let output =
                OutputReference { transaction: self.transaction, index: self.first + at as u32 };
            Spend::of(owner.public(), output)
        };
        let spends: Vec<Spend> = owners.iter().enumerate().map(spend).collect();
        let shares: Vec<Share> =
            (0..self.count).map(|at| Share::to(key(self.key + at + 1).public(), 1)).collect();
        let filler = noise(self.key as u64, bytes.saturating_sub(TRANSFER_BYTES + note.len()));
        let metadata = format!("{{\"note\":\"{note} {filler}\"}}");
        let made = transfer(self.asset, &metadata, &spends, &shares, &owners);
        let signed = signed(made.expect("the keys are the owners'"));
        let moved = Self { transaction: signed.id, first: 0, key: self.key + 1, ..*self };
        (signed, moved)
    }
}

/// The transaction with one bit of its first signature changed, and an id that fits: nothing but
/// arithmetic on the curve finds it out.
pub(crate) fn spoiled(honest: &Signed) -> Signed {
    /// How a signature of one key begins in its text form; and a place within the signature.
    const BEGINS: &str = "pGSA";
    const WITHIN: usize = 100;
    let mut text = String::from_utf8(honest.bytes.clone()).expect("a transaction is text");
    let at = text.find(BEGINS).expect("a transaction is signed") + WITHIN;
    let digit = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
    text.replace_range(at..=at, digit);
    let named = |id: &str| format!("\"id\":{id}");
    let old = named(&format!("\"{}\"", honest.id));
    let unnamed = text.replace(&old, &named("null"));
    let id = TransactionId(Sha3_256::digest(unnamed).into());
    let bytes = text.replace(&old, &named(&format!("\"{id}\""))).into_bytes();
    Signed { id, bytes }
}

/// Makes so many things, on all cores, in order.
pub(crate) fn on_all_cores<T: Send>(
    what: &str,
    count: usize,
    make: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    /// Made by one thread in one go.
    const PIECE: usize = 64;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let bar = progress::bar(what, count);
    let next = AtomicU64::new(0);
    let work = || {
        let mut pieces = Vec::new();
        loop {
            let first = next.fetch_add(PIECE as u64, Ordering::Relaxed) as usize;
            if first >= count {
                return pieces;
            }
            let piece: Vec<T> = (first..count.min(first + PIECE)).map(&make).collect();
            bar.advance(piece.len());
            pieces.push((first, piece));
        }
    };
    let mut pieces: Vec<(usize, Vec<T>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let made = workers.into_iter().map(|worker| worker.join().expect("signing does not panic"));
        made.flatten().collect()
    });
    pieces.sort_by_key(|(first, _)| *first);
    pieces.into_iter().flat_map(|(_, piece)| piece).collect()
}

fn key(index: usize) -> &'static SigningKey {
    static ALL: OnceLock<Vec<SigningKey>> = OnceLock::new();
    let make = |index: usize| {
        let mut seed = [3; 32];
        seed[..8].copy_from_slice(&(index as u64).to_be_bytes());
        SigningKey::from_seed(seed)
    };
    &ALL.get_or_init(|| (0..KEYS).map(make).collect())[index % KEYS]
}

fn signed(bytes: Vec<u8>) -> Signed {
    let parsed = parse(bytes.clone().into(), Strictness::Strict);
    let id = parsed.expect("what was built by the rules parses by the rules").id();
    Signed { id, bytes }
}

/// So many hexadecimal digits without a pattern: what compresses blocks halves them, not more.
fn noise(seed: u64, digits: usize) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut noise = String::with_capacity(digits + 16);
    while noise.len() < digits {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let _ = write!(noise, "{state:016x}");
    }
    noise.truncate(digits);
    noise
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cairn_ledger::transaction::admit;

    use super::*;

    #[test]
    fn things_made_on_all_cores_are_in_order() {
        for count in [0, 1, 63, 64, 65, 1000] {
            assert_eq!(
                on_all_cores("", count, |index| index),
                (0..count).collect::<Vec<_>>(),
                "{count}"
            );
        }
    }

    #[test]
    fn every_output_is_held_once_and_neighbours_are_far_apart() {
        let made = outputs(&Label::next(), 1000);
        for count in [1, 4] {
            let holdings = holdings(&made, count);
            let places: BTreeSet<_> = holdings.iter().map(|h| (h.asset, h.first)).collect();
            assert_eq!(holdings.len(), 1000 / count);
            assert_eq!(places.len(), holdings.len(), "none twice");
            let together = holdings.windows(2).filter(|pair| pair[0].asset == pair[1].asset);
            assert_eq!(together.count(), 0, "one after the other is of another asset");
        }
    }

    #[test]
    fn a_spoiled_transaction_is_well_formed_and_its_signature_does_not_hold() {
        let made = outputs(&Label::next(), 1);
        let honest = holdings(&made, 1)[0].spend_only("", 1100);
        let admitted = |signed: &Signed| {
            let parsed = parse(signed.bytes.clone().into(), Strictness::Strict);
            parsed
                .map(|parsed| admit(vec![parsed])[0].is_ok())
                .map_err(|refusal| refusal.to_string())
        };
        assert_eq!(admitted(&honest), Ok(true));
        assert_eq!(admitted(&spoiled(&honest)), Ok(false));
    }

    #[test]
    fn payloads_and_transfers_have_the_size_that_was_asked_for() {
        let label = Label::next();
        for payload in [250, 765, 4096] {
            let made = &creates(&label, 1, payload)[0];
            let text = String::from_utf8(made.bytes.clone()).expect("text");
            let data =
                text.split("\"data\":").nth(1).and_then(|rest| rest.split("},\"id\"").next());
            assert_eq!(data.map(str::len), Some(payload), "{text}");
        }
        let moved = holdings(&outputs(&label, 1), 1)[0].spend_only("", 1100);
        assert!((1050..1150).contains(&moved.bytes.len()), "{}", moved.bytes.len());
    }
}
