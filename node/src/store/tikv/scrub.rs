//! Every block against its certificate, its parent and the state it names; every row against
//! the blocks. What an administrator removed comes back, what nobody here wrote goes.
//!
//! Rows follow from blocks, and blocks are certified: so a row that is gone or wrong is written
//! again. A block that is gone must come from a peer ([`Shared::repair`]).

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use cairn_ledger::{
    block::Block,
    ids::{BlockId, Height, OutputReference, TransactionId},
    rules::OutputRow,
    state::StateHash,
};

use super::{
    Shared,
    families::{self, blocks, transactions},
    writer::Work,
};
use crate::store::{Scrubbed, StoreError, rows::Rows};

/// For each block when nobody waits for it, and for each MiB of it: who reads and writes comes
/// first.
const PACE: Duration = Duration::from_millis(50);
const PACE_MIB: Duration = Duration::from_secs(1);
/// As many damaged blocks are kept in mind; the next ones are found once these are repaired.
const DAMAGED_MAX: usize = 1024;
/// As often a step is tried while TiKV is away, and the time in between.
const TRIES: usize = 40;
const PAUSE: Duration = Duration::from_millis(250);
/// Keys that are looked at together.
const PAGE_ROWS: u32 = 256;
/// As many findings are listed; all are counted.
const NAMED_MAX: usize = 64;

/// What was not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Blocks that were compared.
    pub blocks: u64,
    /// Blocks that cannot be read back: only a peer has them.
    pub damaged: Vec<Height>,
    /// Rows that were gone or wrong, and were written again.
    pub rewritten: u64,
    /// Rows that this validator never wrote, and that were removed.
    pub removed: u64,
    /// The first of all these, by name.
    pub named: Vec<String>,
}

impl Findings {
    /// Whether everything was as it should be.
    pub fn is_clean(&self) -> bool {
        self.damaged.is_empty() && self.rewritten == 0 && self.removed == 0 && self.named.is_empty()
    }

    fn counts(&self) -> Scrubbed {
        let damaged = self.damaged.len() as u64 + self.rewritten + self.removed;
        Scrubbed { blocks: self.blocks, damaged }
    }

    fn name(&mut self, finding: String) {
        tracing::error!(code = "STORE_DAMAGED", finding, "a row is not as its block says");
        if self.named.len() < NAMED_MAX {
            self.named.push(finding);
        }
    }
}

/// What the blocks so far lead to; nothing once one of them is missing.
struct Chained {
    parent: BlockId,
    state: StateHash,
}

impl Shared {
    /// The thread.
    pub(super) fn scrub_now_and_then(&self) {
        while self.wait(self.options.scrub_every) {
            match self.scrub(false) {
                Ok(findings) if findings.is_clean() => {
                    tracing::info!(blocks = findings.blocks, "all rows are as their blocks say");
                }
                Ok(findings) => tracing::error!(
                    code = "STORE_DAMAGED",
                    blocks = findings.blocks,
                    damaged = findings.damaged.len(),
                    rewritten = findings.rewritten,
                    removed = findings.removed,
                    "not all rows are as their blocks say"
                ),
                Err(error) => tracing::warn!(%error, "rows were not compared"),
            }
        }
    }

    /// After so many bytes; whether to go on. Whoever does not rest goes on also while the store
    /// stops.
    fn rest(&self, at_once: bool, bytes: usize) -> bool {
        if at_once {
            let work = self.work.lock();
            return !work.closing && !work.abandoned;
        }
        let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX);
        self.wait(PACE + PACE_MIB * kib / 1024)
    }

    /// Waits; whether to go on then.
    fn wait(&self, time: Duration) -> bool {
        let ends = |work: &Work| work.stopping || work.closing || work.abandoned;
        let mut work = self.work.lock();
        if !ends(&work) {
            self.ending.wait_for(&mut work, time);
        }
        !ends(&work)
    }

    /// Tries a step again while TiKV is away, for a moment.
    pub(super) fn again<T>(
        &self,
        step: impl Fn() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut tries = 1;
        loop {
            match step() {
                Err(StoreError::Unreachable(_)) if tries < TRIES && self.wait(PAUSE) => tries += 1,
                done => return done,
            }
        }
    }

    /// Compares everything: at once, or so slowly that nobody notices.
    pub(super) fn scrub(&self, at_once: bool) -> Result<Findings, StoreError> {
        let (mut findings, mut counted) = (Findings::default(), Scrubbed::default());
        let chain = self.genesis.chain();
        let start = Chained { parent: BlockId(chain.0), state: StateHash::default() };
        let mut chained = Some(start);
        let settled = self.state.read().overlay.settled();
        for height in (1..=settled.0).map(Height) {
            let mut bytes = 0;
            chained = match self.again(|| self.vault.block(height, &self.genesis)) {
                Ok(block) => {
                    bytes = block.body.iter().map(|transaction| transaction.len()).sum();
                    self.compare(&block, chained, &mut findings)?
                }
                Err(error @ StoreError::Corrupt { .. }) => {
                    self.is_damaged(height);
                    findings.damaged.push(height);
                    findings.name(error.to_string());
                    None
                }
                Err(error) => return Err(error),
            };
            findings.blocks += 1;
            self.count(&findings, &mut counted);
            if !self.rest(at_once, bytes) {
                return Ok(findings);
            }
        }
        let swept = self.sweep(at_once, &mut findings);
        self.count(&findings, &mut counted);
        swept.map(|()| findings)
    }

    /// Adds what was found since the last time to what is told about this process.
    fn count(&self, findings: &Findings, counted: &mut Scrubbed) {
        let (before, now) = (*counted, findings.counts());
        let mut all = self.scrubbed.lock();
        all.blocks += now.blocks - before.blocks;
        all.damaged += now.damaged - before.damaged;
        *counted = now;
    }

    /// Compares a block with its parent and its state, and its rows with what they should be.
    fn compare(
        &self,
        block: &Block,
        chained: Option<Chained>,
        findings: &mut Findings,
    ) -> Result<Option<Chained>, StoreError> {
        let height = block.header.height;
        let rows = Rows::replayed(block).map_err(|what| self.strange(height, what))?;
        let mut expected = families::rows_of(&rows);
        expected.extend(families::block_rows(block, self.genesis.validators().len(), &rows));
        let keys: Vec<_> = expected.iter().map(|(key, _)| key.clone()).collect();
        let found = self.again(|| self.vault.get_sound(keys.clone()))?;
        expected.retain(|(key, value)| found.get(key) != Some(value));
        for (key, _) in &expected {
            findings.name(format!("{} was gone or wrong", self.vault.readable(key)));
        }
        findings.rewritten += expected.len() as u64;
        self.again(|| self.vault.put_each(expected.clone()))?;
        self.compare_register(&rows, findings)?;

        let Some(Chained { parent, mut state }) = chained else { return Ok(None) };
        if block.header.parent != parent {
            findings.name(format!("block {height} does not follow from the one before it"));
            return Ok(None);
        }
        if block.header.state_root != state.root() {
            findings.name(format!(
                "STATE_DIVERGED: block {height} names another state than the blocks lead to"
            ));
            return Ok(None);
        }
        self.advance(&mut state, &rows)?;
        Ok(Some(Chained { parent: block.header.id(), state }))
    }

    /// Whether the register has the rows of a block; enters those that it lacks.
    fn compare_register(&self, rows: &Rows, findings: &mut Findings) -> Result<(), StoreError> {
        let mut lacking = Vec::new();
        for (key, _) in families::rows_of(rows) {
            if !self.known.has(&key)? {
                findings.name(format!("{} was not in the register", self.vault.readable(&key)));
                lacking.push(key);
            }
        }
        if lacking.is_empty() {
            return Ok(());
        }
        findings.rewritten += lacking.len() as u64;
        self.known.learn(lacking.iter().map(Vec::as_slice), rows.height)
    }

    /// Takes a block's rows into the state's hash.
    fn advance(&self, state: &mut StateHash, rows: &Rows) -> Result<(), StoreError> {
        let here: HashSet<TransactionId> = rows.committed.iter().map(|made| made.id).collect();
        let (own, earlier): (Vec<_>, Vec<_>) =
            rows.spent.iter().map(|(at, _)| *at).partition(|at| here.contains(&at.transaction));
        let own: HashSet<OutputReference> = own.into_iter().collect();
        for (at, row) in self.made_earlier(&earlier)? {
            state.remove(&at, &row);
        }
        for made in rows.created.iter().filter(|made| !own.contains(&made.at)) {
            state.add(&made.at, &made.row);
        }
        Ok(())
    }

    fn made_earlier(
        &self,
        outputs: &[OutputReference],
    ) -> Result<HashMap<OutputReference, OutputRow>, StoreError> {
        let keys = outputs.iter().map(|at| transactions::key(&at.transaction));
        let keys: HashSet<_> = keys.collect();
        let found = self.again(|| self.vault.get_many(keys.iter().cloned().collect()))?;
        let row = |at: &OutputReference| {
            let key = transactions::key(&at.transaction);
            let gone = || self.vault.damaged(&key, "an output that was spent is not there");
            let value = found.get(&key).ok_or_else(gone)?;
            let entry =
                transactions::Entry::decode(&key, value).map_err(self.vault.malformed(&key))?;
            let row = entry.outputs.get(at.index as usize).ok_or_else(gone)?;
            Ok((*at, row.clone()))
        };
        outputs.iter().map(row).collect()
    }

    /// Removes what nobody here wrote.
    fn sweep(&self, at_once: bool, findings: &mut Findings) -> Result<(), StoreError> {
        for letter in families::LETTERS {
            let mut range = families::all_of(letter);
            loop {
                // Blocks are large rows.
                let most = if letter == blocks::LETTER { 16 } else { PAGE_ROWS };
                let page = self.again(|| self.vault.look(range.clone(), most))?;
                let bytes = page.iter().map(|looked| looked.bytes).sum();
                if !self.rest(at_once, bytes) {
                    return Ok(());
                }
                let strange = page.iter().filter(|looked| !looked.is_ours);
                let strange: Vec<_> = strange.map(|looked| looked.key.clone()).collect();
                for key in &strange {
                    let key = self.vault.readable(key);
                    findings.name(format!("{key} held what this validator did not write"));
                }
                findings.removed += strange.len() as u64;
                if !strange.is_empty() {
                    self.vault.remove_each(strange)?;
                }
                let Some(last) = page.last().filter(|_| page.len() == most as usize) else {
                    break;
                };
                range.start = [&last.key[..], &[0]].concat();
            }
        }
        Ok(())
    }

    /// Keeps in mind that a block must come from a peer.
    pub(super) fn is_damaged(&self, height: Height) {
        let mut damaged = self.damaged.lock();
        if damaged.len() < DAMAGED_MAX {
            damaged.insert(height);
        }
    }

    /// Writes a decided block again.
    pub(super) fn repair(&self, block: &Block) -> Result<(), StoreError> {
        let Block { header, body: _, outcomes: _, certificate } = block;
        let foreign = |why: String| StoreError::Foreign(format!("block {}: {why}", header.height));
        let tip = self.state.read().tip.height;
        if header.chain != self.genesis.chain() || header.height > tip {
            return Err(foreign("is not part of this store".to_owned()));
        }
        if certificate.block != header.id() || certificate.height != header.height {
            return Err(foreign("has the certificate of another block".to_owned()));
        }
        certificate.verify(&self.genesis).map_err(|error| foreign(error.to_string()))?;
        // Its transactions are those of its header, or it does not come back.
        let validators = self.genesis.validators().len();
        Block::decode(&block.encode(validators), validators)
            .map_err(|error| foreign(error.to_string()))?;
        let rows = Rows::replayed(block).map_err(|what| foreign(what.to_owned()))?;
        self.vault.put_each(families::block_rows(block, validators, &rows))?;
        let rows = families::rows_of(&rows);
        self.vault.put_each(rows.clone())?;
        self.known.learn(rows.iter().map(|(key, _)| &key[..]), Height(0))?;
        self.known.found(header.height);
        self.damaged.lock().remove(&header.height);
        tracing::warn!(height = header.height.0, "a damaged block was written again");
        Ok(())
    }
}
