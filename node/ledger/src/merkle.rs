//! RFC 6962 style Merkle trees over length-prefixed leaves.

use crate::ids::Hash;

/// The root over the leaves' hashes; a fixed value for none.
pub fn root(leaves: &[Hash]) -> Hash {
    let _ = leaves;
    todo!()
}

/// The audit path for one leaf, from the leaf's sibling up.
pub fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    let _ = (leaves, index);
    todo!()
}

/// The root that a leaf and its path lead to in a tree of `count` leaves (RFC 6962 §2.1.1);
/// nothing when index, count and path do not fit together.
pub fn root_from_path(leaf: Hash, index: u32, count: u32, path: &[Hash]) -> Option<Hash> {
    let _ = (leaf, index, count, path);
    todo!()
}
