//! The Merkle tree of RFC 6962 over SHA-256, whose leaves are hashed already
//! ([`crate::block::leaf`] puts the leaf prefix in front, so that a leaf is never taken for
//! an inner node). What happens to a tree of `n` leaves is decided by `n` alone: it splits
//! at the largest power of two below `n`, and nothing is duplicated or padded.

use sha2::{Digest, Sha256};

use crate::ids::Hash;

/// In front of a leaf's bytes (RFC 6962 §2.1).
pub(crate) const LEAF_PREFIX: u8 = 0;
/// In front of the two children of an inner node (RFC 6962 §2.1).
const NODE_PREFIX: u8 = 1;

/// The root over the leaves' hashes; for none the hash of nothing, as in RFC 6962.
pub fn root(leaves: &[Hash]) -> Hash {
    if leaves.is_empty() {
        return Hash(Sha256::digest(b"").into());
    }
    // Level by level, an odd one out carried up as it is, gives the same tree as splitting
    // at powers of two, with no recursion.
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = above(&level);
    }
    level[0]
}

/// The audit path for one leaf, from the leaf's sibling up. Empty for a tree of one leaf.
/// What reads it back is in the crate `cairn-verifier`, whose tests hold both together.
///
/// # Panics
/// When there is no leaf of that index: ask only for leaves that are there.
pub fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    assert!(index < leaves.len(), "leaf {index} of {} was asked for", leaves.len());
    let mut path = Vec::new();
    let (mut level, mut at) = (leaves.to_vec(), index);
    while level.len() > 1 {
        // The odd one out has no sibling on this level: it moves up and adds nothing.
        path.extend(level.get(at ^ 1));
        level = above(&level);
        at /= 2;
    }
    path
}

fn above(level: &[Hash]) -> Vec<Hash> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => node(left, right),
            [odd] => *odd,
            _ => unreachable!("chunks of two have one or two"),
        })
        .collect()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [NODE_PREFIX; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    Hash(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u32) -> Vec<Hash> {
        (0..count).map(|i| Hash(Sha256::digest(i.to_be_bytes()).into())).collect()
    }

    fn of_bytes(bytes: &[u8]) -> Hash {
        Hash(Sha256::new().chain_update([LEAF_PREFIX]).chain_update(bytes).finalize().into())
    }

    /// The leaves and roots of certificate-transparency's own tests (merkle_tree_test.cc).
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let inputs: [&str; 8] = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let leaves: Vec<Hash> = inputs.iter().map(|i| of_bytes(&hex::decode(i).unwrap())).collect();
        for (i, expected) in roots.iter().enumerate() {
            assert_eq!(root(&leaves[..=i]).to_string(), *expected, "{} leaves", i + 1);
        }
        assert_eq!(
            root(&[]).to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    /// The definition in RFC 6962 §2.1, word by word, against the level-by-level code.
    fn by_definition(leaves: &[Hash]) -> Hash {
        if let [leaf] = leaves {
            return *leaf;
        }
        let split = leaves.len().next_power_of_two() / 2;
        node(&by_definition(&leaves[..split]), &by_definition(&leaves[split..]))
    }

    #[test]
    fn levels_make_the_tree_of_the_definition() {
        for count in 1..=70 {
            let leaves = leaves(count);
            assert_eq!(root(&leaves), by_definition(&leaves), "{count} leaves");
        }
    }

    #[test]
    fn a_path_has_a_sibling_for_each_level_but_where_there_is_none() {
        let leaves = leaves(5);
        let left = node(&node(&leaves[0], &leaves[1]), &node(&leaves[2], &leaves[3]));
        assert_eq!(path(&leaves, 4), [left], "the odd one out");
        let right = node(&leaves[2], &leaves[3]);
        assert_eq!(path(&leaves, 1), [leaves[0], right, leaves[4]]);
        assert_eq!(path(&leaves[..1], 0), []);
    }
}
