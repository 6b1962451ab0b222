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

/// The root that a leaf and its path lead to in a tree of `count` leaves (RFC 9162 §2.1.3.2);
/// nothing when index, count and path do not fit together. Every input may be hostile.
pub fn root_from_path(leaf: Hash, index: u32, count: u32, path: &[Hash]) -> Option<Hash> {
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
        // Otherwise it is the odd one out, which moves up as it is.
        at /= 2;
        last /= 2;
    }
    siblings.next().is_none().then_some(hash)
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
    fn every_path_of_every_small_tree_leads_to_the_root_and_no_other_does() {
        for count in 1..=70_u32 {
            let leaves = leaves(count);
            let root = root(&leaves);
            assert_eq!(root, by_definition(&leaves), "{count} leaves");
            for index in 0..count {
                let leaf = leaves[index as usize];
                let path = path(&leaves, index as usize);
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
                    bent[at].0[(index as usize + at) % 32] ^= 1 << (at % 8);
                    assert_ne!(root_from_path(leaf, index, count, &bent), Some(root));
                }
                let mut bent = leaf;
                bent.0[index as usize % 32] ^= 0x80;
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
        let leaf = Hash([7; 32]);
        for (index, count) in [(0, 0), (1, 1), (u32::MAX, u32::MAX), (0, u32::MAX), (5, 2)] {
            assert_eq!(root_from_path(leaf, index, count, &[]), None, "{index} of {count}");
        }
        let last = root_from_path(leaf, u32::MAX - 1, u32::MAX, &[leaf; 32]);
        assert_eq!(last, None, "the last leaf of an uneven tree has a shorter path");
    }
}
