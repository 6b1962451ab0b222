//! Opening: the state from a snapshot and the blocks after it, the index from what it lacks.
//!
//! Signatures of transactions are not checked again: the outcomes are recorded and certified.
//! What is checked: each block's Merkle root, that each names the one before it, that the
//! state it was built upon is the one that replaying gives, and the certificate of the last,
//! which with the chain of hashes covers all of them.

use std::{collections::HashSet, num::NonZero, path::Path, thread};

use cairn_ledger::{
    block::{Block, Header, Tip},
    genesis::Genesis,
    ids::{BlockId, Height, OutputReference, TransactionId},
    state::StateHash,
};

use super::{
    index::{Index, Mark},
    outputs::{Outputs, SHARDS, shard_of},
    segments::Log,
    snapshot::Snapshot,
};
use crate::store::{StoreError, files::corrupt, rows::Rows};

/// Blocks that are read and parsed together; bounds the memory that opening takes.
const CHUNK_BLOCKS: u64 = 32;

/// The state at the tip.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) tip: Tip,
    pub(super) state: StateHash,
    pub(super) outputs: Outputs,
}

/// What replaying works on.
pub(super) struct Replay<'a> {
    pub(super) genesis: &'a Genesis,
    pub(super) directory: &'a Path,
    pub(super) log: &'a Log,
    pub(super) index: &'a Index,
    pub(super) mark: Option<Mark>,
    pub(super) seed: [u64; 2],
}

impl Replay<'_> {
    /// Brings state and index to the last block.
    pub(super) fn run(&self, snapshot: Option<Snapshot>) -> Result<Replayed, StoreError> {
        let mut state = match snapshot {
            Some(snapshot) => Building {
                outputs: snapshot.outputs,
                shards: snapshot.shards,
                state: snapshot.end.state,
                end: snapshot.end.height,
            },
            None => Building {
                outputs: Outputs::new(self.seed),
                shards: vec![Height(0); SHARDS],
                state: StateHash::default(),
                end: Height(0),
            },
        };
        let indexed = self.mark.map_or(Height(0), |mark| mark.height);
        let start = state.shards.iter().copied().min().unwrap_or_default().min(indexed);
        let mut last = self.header(start)?;
        let mut next = start.0 + 1;
        while next <= self.log.height().0 {
            let end = (next + CHUNK_BLOCKS).min(self.log.height().0 + 1);
            for (header, rows) in self.read(next, end)? {
                self.check_parent(last.as_ref(), &header)?;
                if header.height > state.end && header.state_root != state.state.root() {
                    let what = "is built upon another state than its blocks lead to";
                    return Err(self.diverged(header.height, what));
                }
                state.apply(&rows).map_err(|what| self.diverged(header.height, what))?;
                if header.height > indexed {
                    self.index.write(&self.genesis.chain(), header.id(), &rows)?;
                }
                last = Some(header);
            }
            next = end;
        }
        if state.outputs.len() != state.state.rows() {
            return Err(self.diverged(self.log.height(), "has other outputs than its hash counts"));
        }
        let Building { outputs, state, .. } = state;
        let tip = match last {
            None => Tip::genesis(self.genesis.chain()),
            Some(header) => {
                self.check_tip(&header)?;
                Tip::after(&header, state.root())
            }
        };
        Ok(Replayed { tip, state, outputs })
    }

    fn header(&self, height: Height) -> Result<Option<Header>, StoreError> {
        Ok(read_block(self.log, self.genesis, self.directory, height)?.map(|block| block.header))
    }

    /// Reads and parses blocks on all cores; the order is that of the chain.
    fn read(&self, from: u64, to: u64) -> Result<Vec<(Header, Rows)>, StoreError> {
        let heights: Vec<_> = (from..to).map(Height).collect();
        let workers = thread::available_parallelism().map_or(1, NonZero::get).min(8);
        let share = heights.len().div_ceil(workers);
        let one = |height: Height| {
            let block = read_block(self.log, self.genesis, self.directory, height)?
                .ok_or_else(|| self.diverged(height, "is not there"))?;
            let rows = Rows::replayed(&block).map_err(|what| self.diverged(height, what))?;
            Ok((block.header, rows))
        };
        thread::scope(|scope| {
            let running: Vec<_> = heights
                .chunks(share)
                .map(|heights| {
                    scope.spawn(|| heights.iter().map(|height| one(*height)).collect::<Vec<_>>())
                })
                .collect();
            let done = running.into_iter().flat_map(|worker| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            done.collect()
        })
    }

    fn check_parent(&self, last: Option<&Header>, header: &Header) -> Result<(), StoreError> {
        let chain = self.genesis.chain();
        let parent = last.map_or(BlockId(chain.0), Header::id);
        if header.parent != parent || header.chain != chain {
            return Err(self.diverged(header.height, "does not follow from the block before it"));
        }
        Ok(())
    }

    fn check_tip(&self, header: &Header) -> Result<(), StoreError> {
        let block = read_block(self.log, self.genesis, self.directory, header.height)?;
        let Some(block) = block else {
            return Err(self.diverged(header.height, "is not there"));
        };
        let certificate = &block.certificate;
        if certificate.block != header.id() || certificate.height != header.height {
            return Err(self.diverged(header.height, "has the certificate of another block"));
        }
        let verified = certificate.verify(self.genesis);
        verified.map_err(|error| {
            self.diverged(header.height, &format!("has a certificate that proves nothing: {error}"))
        })
    }

    fn diverged(&self, height: Height, what: &str) -> StoreError {
        corrupt(self.directory, 0, format!("STATE_DIVERGED: block {height} {what}"))
    }
}

/// Reads a block back whole.
pub(super) fn read_block(
    log: &Log,
    genesis: &Genesis,
    directory: &Path,
    height: Height,
) -> Result<Option<Block>, StoreError> {
    let Some(bytes) = log.read(height)? else { return Ok(None) };
    let block = Block::decode(&bytes, genesis.validators().len())
        .map_err(|error| corrupt(directory, 0, format!("block {height}: {error}")))?;
    if block.header.height != height {
        let what = format!("block {} lies where block {height} should", block.header.height);
        return Err(corrupt(directory, 0, what));
    }
    Ok(Some(block))
}

/// The state on its way to the tip.
struct Building {
    outputs: Outputs,
    /// As of which height each shard is; blocks up to there change nothing in it.
    shards: Vec<Height>,
    state: StateHash,
    /// As of which height `state` is.
    end: Height,
}

impl Building {
    fn apply(&mut self, rows: &Rows) -> Result<(), &'static str> {
        let here: HashSet<TransactionId> = rows.committed.iter().map(|made| made.id).collect();
        let spent_here: HashSet<OutputReference> = rows
            .spent
            .iter()
            .filter(|(at, _)| here.contains(&at.transaction))
            .map(|(at, _)| *at)
            .collect();
        let is_new = |at: &OutputReference| rows.height > self.shards[shard_of(at)];
        for (at, _) in &rows.spent {
            if here.contains(&at.transaction) || !is_new(at) {
                continue;
            }
            let row = self.outputs.remove(at).ok_or("spends what is not there")?;
            if rows.height > self.end {
                self.state.remove(at, &row);
            }
        }
        for created in &rows.created {
            if spent_here.contains(&created.at) || !is_new(&created.at) {
                continue;
            }
            if self.outputs.contains(&created.at) {
                return Err("makes an output that is there already");
            }
            if rows.height > self.end {
                self.state.add(&created.at, &created.row);
            }
            self.outputs.insert(created.at, created.row.clone());
        }
        Ok(())
    }
}
