//! What the simulation does to the calls of a store: some never arrive, some arrive by half or
//! late, some answers never come back. Nothing else opens a store with it.

use std::{collections::HashMap, ops::Range, path::Path, sync::Arc};

use cairn_ledger::genesis::Genesis;
use cairn_tikv::{Pair, Space};

use super::{
    Options, TikvStore,
    families::{TIP, blocks},
    far::{Decide, Far, InTikv},
};
use crate::store::StoreError;

/// Which call it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Anything is read.
    Read,
    /// The pieces of a block are written.
    Block,
    /// The tip moves onto it.
    Tip,
    /// Rows are written behind the commits.
    Rows,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// What was asked for.
    Well,
    /// It never arrives.
    Lost,
    /// Of what it writes, half arrives, and no answer comes.
    Half,
    /// It arrives, and no answer comes.
    Unanswered,
    /// No answer comes, and a write arrives when [`Disturb::keep`] lets it.
    Late,
}

/// Decides it.
pub trait Disturb: Send + Sync + 'static {
    /// What becomes of the next call.
    fn fate(&self, step: Step) -> Fate;

    /// A write that is to arrive later, perhaps in another life of the validator.
    fn keep(&self, late: Box<dyn FnOnce() + Send>);
}

/// Small, so that marks move and rows are forgotten within a few blocks.
const SMALL: Options = Options {
    pending_bytes_max: 64 << 10,
    batch_transactions: 40,
    mark_transactions: 60,
    scrub_every: std::time::Duration::from_secs(3600),
};

impl TikvStore {
    /// [`TikvStore::open`], with calls that fail as somebody else decides.
    ///
    /// # Errors
    /// As there.
    pub fn open_disturbed(
        space: Space,
        directory: &Path,
        genesis: Arc<Genesis>,
        validator: &str,
        by: Arc<dyn Disturb>,
    ) -> Result<Self, StoreError> {
        let disturb =
            |far: InTikv| -> Arc<dyn Far> { Arc::new(Disturbed { far: Arc::new(far), by }) };
        Self::open_over(space, directory, genesis, validator, SMALL, disturb)
    }
}

struct Disturbed {
    far: Arc<InTikv>,
    by: Arc<dyn Disturb>,
}

fn lost<T>() -> Result<T, StoreError> {
    Err(StoreError::Unreachable("the simulation lost a call".to_owned()))
}

impl Disturbed {
    fn read<T>(
        &self,
        call: impl FnOnce(&InTikv) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.by.fate(Step::Read) {
            Fate::Well => call(&self.far),
            Fate::Lost | Fate::Half | Fate::Unanswered | Fate::Late => lost(),
        }
    }

    fn write<W: Send + 'static>(
        &self,
        step: Step,
        what: W,
        halve: impl FnOnce(W) -> Option<W>,
        call: impl FnOnce(&InTikv, W) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        match self.by.fate(step) {
            Fate::Well => return call(&self.far, what),
            Fate::Lost => {}
            Fate::Half => halve(what).map_or(Ok(()), |half| call(&self.far, half))?,
            Fate::Unanswered => call(&self.far, what)?,
            Fate::Late => {
                let far = Arc::clone(&self.far);
                // What comes of it nobody hears.
                self.by.keep(Box::new(move || drop(call(&far, what))));
            }
        }
        lost()
    }
}

fn half<T>(mut all: Vec<T>) -> Option<Vec<T>> {
    all.truncate(all.len() / 2);
    Some(all)
}

impl Far for Disturbed {
    fn name(&self) -> String {
        self.far.name()
    }

    fn get_many(&self, keys: Vec<Vec<u8>>) -> Result<HashMap<Vec<u8>, Vec<u8>>, StoreError> {
        self.read(|far| far.get_many(keys))
    }

    fn scan(
        &self,
        range: Range<Vec<u8>>,
        most: u32,
        backwards: bool,
    ) -> Result<Vec<Pair>, StoreError> {
        self.read(|far| far.scan(range, most, backwards))
    }

    fn put_each(&self, rows: Vec<Pair>) -> Result<(), StoreError> {
        let of_block = rows.first().is_some_and(|(key, _)| key.first() == Some(&blocks::LETTER));
        let step = if of_block { Step::Block } else { Step::Rows };
        self.write(step, rows, half, |far, rows| far.put_each(rows))
    }

    fn remove_each(&self, keys: Vec<Vec<u8>>) -> Result<(), StoreError> {
        self.write(Step::Rows, keys, half, |far, keys| far.remove_each(keys))
    }

    fn update(&self, key: &[u8], decide: Decide) -> Result<(), StoreError> {
        let step = if key == TIP { Step::Tip } else { Step::Rows };
        let key = key.to_vec();
        // One key has no half.
        self.write(step, decide, |_| None, move |far, decide| far.update(&key, decide))
    }

    fn trouble(&self) -> Option<String> {
        self.far.trouble()
    }

    fn close(&self) {
        self.far.close();
    }
}
