//! The blocks that were stored or read last: the API asks for few others.

use std::{collections::VecDeque, sync::Arc};

use cairn_ledger::{block::Block, ids::Height};

/// Bytes of transactions kept. A cache must not show in the memory of an idle validator.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Blocks kept, so that looking through them stays cheap.
const BLOCKS_MAX: usize = 64;

/// The newest used last.
#[derive(Debug, Default)]
pub(super) struct Recent {
    blocks: VecDeque<Arc<Block>>,
    bytes: usize,
}

impl Recent {
    pub(super) fn get(&mut self, height: Height) -> Option<Arc<Block>> {
        let at = self.blocks.iter().rposition(|block| block.header.height == height)?;
        let block = self.blocks.remove(at)?;
        self.blocks.push_back(Arc::clone(&block));
        Some(block)
    }

    pub(super) fn put(&mut self, block: Arc<Block>) {
        if self.get(block.header.height).is_some() {
            return;
        }
        self.bytes += size(&block);
        self.blocks.push_back(block);
        while self.blocks.len() > BLOCKS_MAX || (self.bytes > BYTES_MAX && self.blocks.len() > 1) {
            let dropped = self.blocks.pop_front().expect("there is more than one");
            self.bytes -= size(&dropped);
        }
    }
}

fn size(block: &Block) -> usize {
    block.body.iter().map(|bytes| bytes.len() + 64).sum()
}
