//! Reads: the overlay answers first, under one lock; the rows answer the rest, those that the
//! register knows of.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use cairn_ledger::{
    block::{self, Block, Header, Place},
    genesis::Genesis,
    ids::{Height, OutputReference, PublicKey, TransactionId},
    rules::{OutputState, Reads, View},
};

use super::{
    Shared,
    families::{
        assets,
        blocks::{self, PIECE_BYTES, PIECES_MAX},
        ends::{self, Ends},
        owners, refusals, spenders, transactions,
    },
    overlay::Answered,
    vault::Vault,
};
use crate::store::{Located, Spent, StoreError, Stretch, pending::Fate};

/// Rows of a list that are read at once.
const PAGE_ROWS: usize = 64;
/// The first time: most who ask want the last transfer, or few.
const FIRST_ROWS: usize = 4;

impl Shared {
    /// The rows that the overlay does not know, in one read.
    fn complete(&self, answered: Answered) -> Result<View, StoreError> {
        let Answered { mut view, transactions, outputs, settled } = answered;
        let makers = outputs.iter().map(|at| at.transaction);
        let named: HashSet<_> = transactions.iter().copied().chain(makers).collect();
        let keys = named.iter().map(transactions::key).chain(outputs.iter().map(spenders::key));
        let found = self.written(keys.collect())?;
        let mut entries = HashMap::with_capacity(named.len());
        for id in named {
            entries.insert(id, self.entry_in(&id, &found, settled)?);
        }
        for id in transactions {
            view.transactions.insert(id, entries[&id].is_some());
        }
        for at in outputs {
            let spender = self.spender_in(&at, &found, settled)?;
            let state = match (&entries[&at.transaction], spender) {
                (None, None) => OutputState::Unknown,
                (None, Some(_)) => {
                    let key = transactions::key(&at.transaction);
                    let what = "an output of it is spent, and it is not known";
                    return Err(self.vault.damaged(&key, what));
                }
                (Some(_), Some(spender)) => OutputState::Spent(spender),
                (Some(entry), None) => match entry.outputs.get(at.index as usize) {
                    Some(row) => OutputState::Unspent(row.clone()),
                    None => OutputState::Unknown,
                },
            };
            view.outputs.insert(at, state);
        }
        Ok(view)
    }

    /// Where a transaction was refused last, up to a height.
    fn refusal(&self, id: &TransactionId, settled: Height) -> Result<Option<Place>, StoreError> {
        let last = self.written_within(&refusals::range(id, settled), 1, true)?.pop();
        let place = last
            .map(|(key, value)| refusals::decode(&key, &value).map_err(self.vault.malformed(&key)));
        place.transpose()
    }

    /// Takes the places of an asset's transfers within heights, in either direction, until
    /// `take` says that it has enough; whether it wanted all of them.
    fn transfers(
        &self,
        asset: &TransactionId,
        (from, to): (Height, Height),
        backwards: bool,
        take: &mut impl FnMut(Place) -> bool,
    ) -> Result<bool, StoreError> {
        let mut range = assets::range(asset, from, to);
        let mut most = FIRST_ROWS;
        loop {
            let page = self.written_within(&range, most, backwards)?;
            for (key, value) in &page {
                let mut places = assets::decode(key, value).map_err(self.vault.malformed(key))?;
                if backwards {
                    places.reverse();
                }
                if !places.into_iter().all(&mut *take) {
                    return Ok(false);
                }
            }
            let Some((last, _)) = page.last().filter(|_| page.len() == most) else {
                return Ok(true);
            };
            most = PAGE_ROWS;
            if backwards {
                range.end.clone_from(last);
            } else {
                range.start = after(last);
            }
        }
    }

    /// Which of these outputs were spent in blocks up to a height; `later` says it of those
    /// whose rows may not be written yet.
    fn spent_among(
        &self,
        outputs: &[OutputReference],
        later: &HashMap<OutputReference, bool>,
        tip: Height,
    ) -> Result<HashSet<OutputReference>, StoreError> {
        let asked = outputs.iter().filter(|at| !later.contains_key(at));
        let found = self.written(asked.map(spenders::key).collect())?;
        let mut spent = HashSet::new();
        for at in outputs {
            let is_spent = match later.get(at) {
                Some(is_spent) => *is_spent,
                None => self.spender_in(at, &found, tip)?.is_some(),
            };
            if is_spent {
                spent.insert(*at);
            }
        }
        Ok(spent)
    }
}

/// The first key behind another.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

impl Vault {
    /// A block's binary form.
    fn block_bytes(&self, height: Height) -> Result<Vec<u8>, StoreError> {
        let pieces = self.scan(blocks::range(height), PIECES_MAX + 1, false)?;
        blocks::join(&pieces, height).map_err(|missing| {
            self.damaged(&blocks::key(height, missing.0), "a piece of a block is not there")
        })
    }

    /// Reads a block back and checks it: its certificate, and that it lies where it belongs.
    pub(super) fn block(&self, height: Height, genesis: &Genesis) -> Result<Block, StoreError> {
        let bytes = self.block_bytes(height)?;
        let damaged = |what: String| self.damaged(&blocks::key(height, 0), what);
        let block = Block::decode(&bytes, genesis.validators().len())
            .map_err(|error| damaged(error.to_string()))?;
        if block.header.height != height || block.header.chain != genesis.chain() {
            return Err(damaged("it holds a block of another height or chain".to_owned()));
        }
        let verified = block.certificate.verify(genesis);
        verified.map_err(|error| damaged(format!("its certificate proves nothing: {error}")))?;
        Ok(block)
    }
}

impl Shared {
    pub(super) fn view(&self, reads: &Reads) -> Result<View, StoreError> {
        let answered = self.state.read().overlay.answer(reads);
        self.complete(answered)
    }

    pub(super) fn locate(&self, id: &TransactionId) -> Result<Option<Located>, StoreError> {
        let (later, settled) = {
            let overlay = &self.state.read().overlay;
            (overlay.fate(id), overlay.settled())
        };
        if let Some(fate @ Fate::Committed { .. }) = later {
            return Ok(Some(fate.into()));
        }
        if let Some(entry) = self.entry(id, settled)? {
            return Ok(Some(Located::Committed(entry.place)));
        }
        match later {
            Some(fate) => Ok(Some(fate.into())),
            None => Ok(self.refusal(id, settled)?.map(Located::Refused)),
        }
    }

    /// Where an asset was made, as far as the overlay says; then as far as the rows say.
    fn made(
        &self,
        asset: &TransactionId,
        later: Option<Fate>,
        settled: Height,
    ) -> Result<Option<Place>, StoreError> {
        if let Some(Fate::Committed { place, created }) = later {
            return Ok(created.then_some(place));
        }
        let entry = self.entry(asset, settled)?;
        Ok(entry.filter(|entry| entry.asset == *asset).map(|entry| entry.place))
    }

    pub(super) fn transactions_along(
        &self,
        asset: &TransactionId,
        stretch: &Stretch,
    ) -> Result<Vec<Place>, StoreError> {
        let (later, settled, pending) = {
            let overlay = &self.state.read().overlay;
            let pending: Vec<_> = overlay.transfers(asset).collect();
            (overlay.fate(asset), overlay.settled(), pending)
        };
        let mut places = Vec::new();
        let mut take = |place: Place| {
            if stretch.holds(place) && places.len() < stretch.most {
                places.push(place);
            }
            places.len() < stretch.most
        };
        let to = stretch.to.min(settled);
        if stretch.most == 0 {
            return Ok(places);
        }
        if stretch.newest_first {
            let to = stretch.after.map_or(to, |after| after.height.min(to));
            if pending.into_iter().rev().all(&mut take)
                && self.transfers(asset, (Height(0), to), true, &mut take)?
            {
                let made = self.made(asset, later, settled)?;
                made.into_iter().all(&mut take);
                self.assert_made(asset, made, &places)?;
            }
        } else {
            let made = self.made(asset, later, settled)?;
            let from = stretch.after.map_or(Height(0), |after| after.height);
            if made.into_iter().all(&mut take)
                && self.transfers(asset, (from, to), false, &mut take)?
            {
                pending.into_iter().all(&mut take);
            }
            self.assert_made(asset, made, &places)?;
        }
        Ok(places)
    }

    /// What was moved was made: or else its row is gone.
    fn assert_made(
        &self,
        asset: &TransactionId,
        made: Option<Place>,
        moved: &[Place],
    ) -> Result<(), StoreError> {
        if made.is_some() || moved.is_empty() {
            return Ok(());
        }
        let key = transactions::key(asset);
        Err(self.vault.damaged(&key, "it is gone, and what it made was moved"))
    }

    pub(super) fn last_transaction_of(
        &self,
        asset: &TransactionId,
    ) -> Result<Option<Place>, StoreError> {
        let to = Height(u64::MAX);
        let last = Stretch { to, newest_first: true, after: None, most: 1 };
        Ok(self.transactions_along(asset, &last)?.pop())
    }

    pub(super) fn outputs_of(
        &self,
        owner: &PublicKey,
        spent: Spent,
        most: usize,
    ) -> Result<Vec<OutputReference>, StoreError> {
        let (tip, settled, pending) = {
            let state = self.state.read();
            let pending: Vec<_> = state.overlay.outputs(owner).collect();
            (state.tip.height, state.overlay.settled(), pending)
        };
        let mut outputs = Vec::new();
        let mut range = owners::range(owner, settled);
        while outputs.len() < most {
            let page = self.written_within(&range, PAGE_ROWS, false)?;
            let mut found = Vec::new();
            for (key, value) in &page {
                found.extend(owners::decode(value).map_err(self.vault.malformed(key))?);
            }
            outputs.extend(self.only(spent, found, tip)?);
            let Some((last, _)) = page.last().filter(|_| page.len() == PAGE_ROWS) else {
                outputs.extend(self.only(spent, pending, tip)?);
                break;
            };
            range.start = after(last);
        }
        outputs.truncate(most);
        Ok(outputs)
    }

    /// Those outputs that are wanted, as of a tip that the overlay may have left behind since.
    fn only(
        &self,
        wanted: Spent,
        mut outputs: Vec<OutputReference>,
        tip: Height,
    ) -> Result<Vec<OutputReference>, StoreError> {
        if wanted == Spent::Either {
            return Ok(outputs);
        }
        // Asked before the rows are: a block whose rows are written in between is known to one
        // of the two.
        let later = self.state.read().overlay.spent_by(&outputs, tip);
        let spent = self.spent_among(&outputs, &later, tip)?;
        outputs.retain(|at| spent.contains(at) == (wanted == Spent::Yes));
        Ok(outputs)
    }

    /// Reads something of a block that is part of the store; one that is damaged is kept in
    /// mind.
    pub(super) fn of_block<T>(
        &self,
        height: Height,
        read: impl FnOnce() -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if height == Height(0) || height > self.state.read().tip.height {
            return Ok(None);
        }
        let read = read();
        if matches!(read, Err(StoreError::Corrupt { .. })) {
            self.is_damaged(height);
        }
        read
    }

    pub(super) fn block(&self, height: Height) -> Result<Option<Arc<Block>>, StoreError> {
        if let Some(block) = self.recent.lock().get(height) {
            return Ok(Some(block));
        }
        let block = Arc::new(self.vault.block(height, &self.genesis)?);
        self.recent.lock().put(Arc::clone(&block));
        Ok(Some(block))
    }

    pub(super) fn header(&self, height: Height) -> Result<Option<Header>, StoreError> {
        if let Some(block) = self.recent.lock().get(height) {
            return Ok(Some(block.header.clone()));
        }
        let key = blocks::key(height, 0);
        let Some(value) = self.vault.get(key.clone())? else {
            return Err(self.vault.damaged(&key, "a block is not there"));
        };
        let front = blocks::decode(&value).and_then(|(_, piece)| block::front(piece));
        Ok(Some(front.map_err(self.vault.malformed(&key))?))
    }

    pub(super) fn transaction(&self, place: Place) -> Result<Option<Arc<[u8]>>, StoreError> {
        if let Some(block) = self.recent.lock().get(place.height) {
            return Ok(block.body.get(place.index as usize).cloned());
        }
        let key = ends::key(place.height);
        let Some(value) = self.vault.get(key.clone())? else {
            return Err(self.vault.damaged(&key, "the ends of a block are not there"));
        };
        let ends = Ends::decode(&value).map_err(self.vault.malformed(&key))?;
        let Some(part) = ends.of(place.index) else { return Ok(None) };
        let mut bytes = Vec::with_capacity(part.len());
        let numbers = part.start / PIECE_BYTES..part.end.div_ceil(PIECE_BYTES);
        let number = |number| u16::try_from(number).unwrap_or(u16::MAX);
        let keys = numbers.clone().map(|at| blocks::key(place.height, number(at)));
        let found = self.vault.get_many(keys.collect())?;
        for at in numbers {
            let key = blocks::key(place.height, number(at));
            let piece = found.get(&key).and_then(|value| blocks::decode(value).ok());
            let start = part.start.saturating_sub(at * PIECE_BYTES);
            let end = part.end - at * PIECE_BYTES;
            let within =
                piece.and_then(|(_, piece)| piece.get(start..end.min(piece.len().max(start))));
            let Some(within) = within else {
                return Err(self.vault.damaged(&key, "a piece of a block is not there"));
            };
            bytes.extend_from_slice(within);
        }
        if bytes.len() != part.len() {
            return Err(self
                .vault
                .damaged(&key, "the ends of a block are not those of its pieces"));
        }
        Ok(Some(bytes.into()))
    }
}
