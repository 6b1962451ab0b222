//! Opening: which tip to go on from, then the blocks whose rows may not be written.
//!
//! TiKV says one tip, the validator's own volume another. They differ when a crash came between
//! the two, by one block; and when somebody put TiKV back to an earlier moment. Then the pinned
//! one counts if its block is still there, or else it goes on from the earlier one, and the
//! chain asks its peers for the blocks between: certificates prove them, and the journal of the
//! chain keeps the validator from signing twice.

use std::{fs, sync::Arc, time::Duration};

use cairn_ledger::{genesis::Genesis, ids::Height};
use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::watch;

use super::{
    Commits, Options, Shared, State,
    families::{MARK, Mark, TIP, rows_of},
    far::{Far, InTikv},
    known::Known,
    overlay::Overlay,
    pinned::Pinned,
    seal::Seal,
    vault::{Secret, Vault},
    writer::Work,
};
use crate::{
    clock::Stopwatch,
    store::{
        StoreError,
        files::{Directory, trouble},
        recent::Recent,
        rows::Rows,
    },
};

/// As often the tip is chosen anew when it moves under our hands.
const CLAIMS: usize = 3;
/// From one word about a long step to the next.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Says of keys below a validator's name that another volume left there: nobody reads them.
pub(super) fn name_what_is_left(all: &InTikv, volume: &str) -> Result<(), StoreError> {
    let ours = format!("{volume}/").into_bytes();
    let behind = format!("{volume}0").into_bytes();
    for range in [vec![0]..ours, behind..vec![0xFF]] {
        for (key, _) in all.scan(range, 1, false)? {
            let name = all.name();
            let volume =
                String::from_utf8_lossy(key.split(|byte| *byte == b'/').next().unwrap_or(&[]));
            tracing::warn!(
                prefix = format!("{name}{volume}/"),
                "keys of a volume that this validator had before: they may be removed"
            );
        }
    }
    Ok(())
}

impl Shared {
    pub(super) fn open(
        far: Arc<dyn Far>,
        directory: Directory,
        secret: Secret,
        genesis: Arc<Genesis>,
        options: Options,
    ) -> Result<Self, StoreError> {
        let note = directory.join("tikv.damaged");
        let vault = Arc::new(Vault::new(far, &secret, &genesis.chain(), note));
        let mut pinned = Pinned::open(directory.join("tip.pinned"))?;
        let mark = sound(&vault, MARK, |value| Mark::decode(value).ok())?.unwrap_or_default();
        let seal = Choice { vault: &vault, genesis: &genesis, mark }.claim(pinned.seal())?;
        if !pinned.seal().is_some_and(|pinned| pinned.is_at(&seal)) {
            pinned.pin(&seal)?;
        }
        let settled = mark.height.min(seal.tip.height);
        if settled < mark.height {
            // Rows above the tip will be written again before they count.
            let lower = Mark { height: settled, block: seal.tip.block };
            vault.update(MARK, move |_| Ok(Some(lower.encode())))?;
        }
        // Beside it lies the note that it is damaged, which is another one than that of rows.
        let known = Known::open(&directory.join("rows"), &vault.stamp(), seal.tip.height)?;
        let state =
            State { tip: seal.tip.clone(), hash: seal.state, overlay: Overlay::new(settled) };
        Ok(Self {
            genesis,
            options,
            vault,
            known,
            me: seal.writer,
            tips: watch::Sender::new(seal.tip.height),
            state: RwLock::new(state),
            commits: Mutex::new(Commits { pinned, over: None }),
            recent: Mutex::<Recent>::default(),
            damaged: Mutex::default(),
            scrubbed: Mutex::default(),
            work: Mutex::<Work>::default(),
            changed: Condvar::new(),
            ending: Condvar::new(),
            _directory: directory,
        })
    }

    /// Enters rows into the register that it lacks, of blocks whose rows are all written: most
    /// often none, after the loss of the register all.
    pub(super) fn learn_rows(&self) -> Result<(), StoreError> {
        let (from, to) = (self.known.reaches().0 + 1, self.state.read().overlay.settled().0);
        let mut said = Stopwatch::start();
        for height in (from..=to).map(Height) {
            match self.again(|| self.vault.block(height, &self.genesis)) {
                Ok(block) => {
                    let rows = Rows::replayed(&block).map_err(|what| self.strange(height, what))?;
                    let rows = rows_of(&rows);
                    self.known.learn(rows.iter().map(|(key, _)| &key[..]), height)?;
                }
                Err(error @ StoreError::Corrupt { .. }) => {
                    tracing::error!(%error, height = height.0, "the rows of a block are not known until a peer has given it");
                    self.is_damaged(height);
                    self.known.miss(height)?;
                }
                Err(error) => return Err(error),
            }
            if said.elapsed() >= PROGRESS_EVERY {
                said = Stopwatch::start();
                tracing::info!(height = height.0, to, "makes the register of rows again");
            }
        }
        if from <= to { self.known.sync() } else { Ok(()) }
    }

    /// Takes the blocks behind the mark in, whose rows may not be written.
    pub(super) fn replay(&self) -> Result<(), StoreError> {
        let (from, to) = {
            let state = self.state.read();
            (state.overlay.settled().0 + 1, state.tip.height.0)
        };
        for height in (from..=to).map(Height) {
            self.wait_for_rows()?;
            let block = self.vault.block(height, &self.genesis)?;
            let rows = Rows::replayed(&block).map_err(|what| self.strange(height, what))?;
            self.state.write().overlay.push(block.header.id(), Arc::new(rows));
            self.tell();
        }
        Ok(())
    }

    /// A block that its certificate proves, and that makes no sense.
    pub(super) fn strange(&self, height: Height, what: &str) -> StoreError {
        let path = self.vault.name().to_owned();
        StoreError::Corrupt { path, at: height.0, what: format!("block {height} {what}") }
    }

    /// After a row was not what was written: looks at all of them before anybody else does.
    pub(super) fn look_at_what_was_damaged(&self) -> Result<(), StoreError> {
        let note = self.vault.note();
        if !note.exists() {
            return Ok(());
        }
        tracing::warn!(
            prefix = self.vault.name(),
            "rows were damaged: compares all with the blocks"
        );
        self.scrub(true)?;
        fs::remove_file(note).map_err(trouble("removing", note))
    }
}

/// A key's value, when it is one that this validator wrote.
fn sound<T>(
    vault: &Vault,
    key: &[u8],
    decode: impl Fn(&[u8]) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    let found = vault.get_sound(vec![key.to_vec()])?;
    Ok(found.get(key).and_then(|value| decode(value)))
}

/// What choosing a tip looks at.
struct Choice<'a> {
    vault: &'a Arc<Vault>,
    genesis: &'a Genesis,
    mark: Mark,
}

impl Choice<'_> {
    /// Chooses the tip to go on from, and writes a name of our own into it: an older process
    /// notices with its next commit.
    fn claim(&self, pinned: Option<&Seal>) -> Result<Seal, StoreError> {
        let mut tries = 1;
        loop {
            let there = sound(self.vault, TIP, |value| Seal::decode(value).ok())?;
            let chosen = self.choose(there.as_ref(), pinned)?;
            let seal = Seal { writer: crate::clock::random(), ..chosen };
            match self.put(there, seal.clone()) {
                Ok(()) => return Ok(seal),
                // The last write of a process that has just ended, perhaps.
                Err(StoreError::Foreign(_)) if tries < CLAIMS => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes a tip, if it still is what was read.
    fn put(&self, there: Option<Seal>, seal: Seal) -> Result<(), StoreError> {
        let name = self.vault.name().to_owned();
        self.vault.update(TIP, move |value| {
            let found = value.and_then(|value| Seal::decode(value).ok());
            if found.as_ref() == Some(&seal) {
                return Ok(None);
            }
            if found != there {
                return Err(StoreError::Foreign(format!(
                    "another process writes the keys below {name} in TiKV; one is to go on alone"
                )));
            }
            Ok(Some(seal.encode()))
        })
    }

    /// The tip to go on from.
    fn choose(&self, there: Option<&Seal>, pinned: Option<&Seal>) -> Result<Seal, StoreError> {
        let prefix = self.vault.name();
        let genesis = Seal::genesis(self.genesis.chain());
        let behind = match (there, pinned) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(there), Some(pinned)) => {
                there.tip.height < pinned.tip.height
                    || (there.tip.height == pinned.tip.height && !there.is_at(pinned))
            }
        };
        if let (true, Some(pinned)) = (behind, pinned) {
            // Other keys may have been put back as well.
            self.vault.suspect();
            let (expected, found) = (pinned.tip.height, there.map(|there| there.tip.height));
            tracing::error!(
                code = "STORE_ROLLED_BACK",
                prefix,
                expected = expected.0,
                found = found.map(|height| height.0),
                "TiKV does not have the tip that this validator pinned"
            );
        }
        let order = if behind { [pinned, there] } else { [there, pinned] };
        for seal in order.into_iter().flatten() {
            if self.holds(seal)? {
                return Ok(seal.clone());
            }
        }
        if order.iter().any(Option::is_some) {
            tracing::error!(
                code = "STORE_ROLLED_BACK",
                prefix,
                "no tip has its blocks in TiKV: starting over from genesis, with the blocks of peers"
            );
        }
        Ok(genesis)
    }

    /// Whether the block of a tip is there, and those whose rows must be made of them.
    fn holds(&self, seal: &Seal) -> Result<bool, StoreError> {
        let tip = seal.tip.height;
        let first = (self.mark.height.0 + 1).min(tip.0).max(1);
        for height in (first..=tip.0).map(Height) {
            match self.vault.block(height, self.genesis) {
                Ok(block) if height < tip || block.header.id() == seal.tip.block => {}
                Ok(_) => return Ok(false),
                Err(error @ StoreError::Corrupt { .. }) => {
                    tracing::error!(%error, height = height.0, "a block below the tip is not there");
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
