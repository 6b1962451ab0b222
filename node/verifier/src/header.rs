//! The block's header: what the federation signed, in its fixed layout.

use sha2::{Digest, Sha256};

use crate::Invalid;

/// Domain tag of a header: no other bytes that anyone signs begin like this.
const TAG: &[u8; 14] = b"cairn/header/1";

/// What a receipt needs of a header.
pub(crate) struct Header {
    pub(crate) chain_id: [u8; 32],
    pub(crate) height: u64,
    pub(crate) time_ms: u64,
    /// How many transactions the block has, refused ones included.
    pub(crate) transactions: u32,
    /// Root of the Merkle tree over the transactions with their outcomes.
    pub(crate) outcomes_root: [u8; 32],
    /// The block's id: SHA-256 of the layout, which is what validators vote on.
    pub(crate) id: [u8; 32],
}

impl Header {
    /// Reads the layout; numbers are big-endian, and no byte may be left.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Invalid> {
        Self::parse(bytes).ok_or_else(|| {
            let wanted = "184 bytes that begin with `cairn/header/1`, in hexadecimal digits of lower case, would be fine";
            Invalid::field("receipt.header", wanted)
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes.strip_prefix(TAG)?;
        let chain_id = take::<32>(rest)?;
        let height = u64::from_be_bytes(take(rest)?);
        let _parent = take::<32>(rest)?;
        let time_ms = u64::from_be_bytes(take(rest)?);
        let _proposer = take::<2>(rest)?;
        let _order_from = take::<8>(rest)?;
        let _order_to = take::<8>(rest)?;
        let transactions = u32::from_be_bytes(take(rest)?);
        let _committed = take::<4>(rest)?;
        let outcomes_root = take::<32>(rest)?;
        let _state_root = take::<32>(rest)?;
        let id = Sha256::digest(bytes).into();
        let header = Self { chain_id, height, time_ms, transactions, outcomes_root, id };
        rest.is_empty().then_some(header)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}
