//! From a transaction to the root in the header: the Merkle tree of RFC 6962 over SHA-256.

use sha2::{Digest, Sha256};

use crate::Outcome;

/// In front of a leaf's bytes (RFC 6962 §2.1), so that a leaf is never taken for an inner node.
const LEAF_PREFIX: u8 = 0;
/// In front of the two children of an inner node (RFC 6962 §2.1).
const NODE_PREFIX: u8 = 1;
/// Domain tag of a transaction's leaf.
const TAG: &[u8] = b"cairn/leaf/1";

/// The leaf: prefix, tag, index, the transaction with its length (u32) in front, outcome.
pub(crate) fn leaf(index: u32, transaction: &[u8], outcome: &Outcome) -> [u8; 32] {
    let leaf = Sha256::new().chain_update([LEAF_PREFIX]).chain_update(TAG);
    let leaf = leaf.chain_update(index.to_be_bytes());
    let leaf = leaf.chain_update(length(transaction)).chain_update(transaction);
    let leaf = match outcome {
        Outcome::Committed => leaf.chain_update([0]),
        Outcome::Refused { number, text } => leaf
            .chain_update([1])
            .chain_update(number.to_be_bytes())
            .chain_update(length(text.as_bytes()))
            .chain_update(text),
    };
    leaf.finalize().into()
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).expect("files are far below 4 GiB").to_be_bytes()
}

/// The root that a leaf and its path lead to in a tree of `count` leaves (RFC 9162 §2.1.3.2);
/// nothing when index, count and path do not fit together.
pub(crate) fn root_from_path(
    leaf: [u8; 32],
    index: u32,
    count: u32,
    path: &[[u8; 32]],
) -> Option<[u8; 32]> {
    if index >= count {
        return None;
    }
    let (mut at, mut last) = (index, count - 1);
    let mut hash = leaf;
    let mut siblings = path.iter();
    while last > 0 {
        if at % 2 == 1 {
            hash = node(siblings.next()?, &hash);
        } else if at < last {
            hash = node(&hash, siblings.next()?);
        }
        // Otherwise it is the odd one out of its level, which moves up as it is.
        at /= 2;
        last /= 2;
    }
    siblings.next().is_none().then_some(hash)
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update([NODE_PREFIX])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use cairn_ledger::{ids::Hash, merkle};

    use super::*;

    fn leaves(count: u32) -> Vec<Hash> {
        (0..count).map(|i| Hash(Sha256::digest(i.to_be_bytes()).into())).collect()
    }

    #[test]
    fn every_path_of_every_small_tree_leads_to_the_root_and_no_other_does() {
        for count in 1..=70_u32 {
            let leaves = leaves(count);
            let root = merkle::root(&leaves).0;
            for index in 0..count {
                let leaf = leaves[index as usize].0;
                let path: Vec<[u8; 32]> =
                    merkle::path(&leaves, index as usize).iter().map(|hash| hash.0).collect();
                assert_eq!(root_from_path(leaf, index, count, &path), Some(root));

                // (Another count is not always noticed by the path alone, in any RFC 6962
                // tree: which is why the header commits to the count.)
                for other in 0..count + 3 {
                    if other != index {
                        assert_ne!(root_from_path(leaf, other, count, &path), Some(root));
                    }
                }
                for at in 0..path.len() {
                    let mut bent = path.clone();
                    bent[at][(index as usize + at) % 32] ^= 1 << (at % 8);
                    assert_ne!(root_from_path(leaf, index, count, &bent), Some(root));
                }
                let mut bent = leaf;
                bent[index as usize % 32] ^= 0x80;
                assert_ne!(root_from_path(bent, index, count, &path), Some(root));

                let longer = [path.as_slice(), &[root]].concat();
                assert_eq!(root_from_path(leaf, index, count, &longer), None);
                if let Some((_, shorter)) = path.split_last() {
                    assert_eq!(root_from_path(leaf, index, count, shorter), None);
                }
            }
        }
    }

    #[test]
    fn hostile_numbers_give_nothing() {
        let leaf = [7; 32];
        for (index, count) in [(0, 0), (1, 1), (u32::MAX, u32::MAX), (0, u32::MAX), (5, 2)] {
            assert_eq!(root_from_path(leaf, index, count, &[]), None, "{index} of {count}");
        }
        let last = root_from_path(leaf, u32::MAX - 1, u32::MAX, &[leaf; 32]);
        assert_eq!(last, None, "the last leaf of an uneven tree has a shorter path");
    }
}
