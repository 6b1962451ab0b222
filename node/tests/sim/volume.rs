//! Where a simulated validator stores: what outlives its process.

use std::sync::Arc;

use cairn_ledger::genesis::Genesis;
use cairn_node::{
    mesh::Peer,
    store::{Store, memory::MemoryStore},
};

/// At which point of a commit a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// Nothing of the block is written.
    Before,
    /// Half of it is.
    Within,
    /// All of it is, and the tip is not on it.
    Unsealed,
    /// The call that moves the tip is under way, and comes too late for this life.
    Sealing,
    /// The block is committed, and the process never heard of it.
    Sealed,
}

impl Death {
    pub(crate) const ALL: [Self; 5] =
        [Self::Before, Self::Within, Self::Unsealed, Self::Sealing, Self::Sealed];

    /// Whether the next life finds the block.
    pub(crate) fn is_stored(self) -> bool {
        self == Self::Sealed
    }
}

/// One validator's.
pub(crate) trait Volume {
    /// The store, as a process opens it on what is there.
    fn open(&mut self) -> Arc<dyn Store>;

    /// Luck for the calls to come, if they can fail here: the process tries them again.
    fn trouble(&mut self, luck: u64);

    /// Lets a process die in a commit.
    fn die(&mut self, death: Death, commit: &mut dyn FnMut());

    /// Somebody puts it back to its beginning, while no process runs.
    fn put_back(&mut self);

    /// Looks at the whole of it, at the end of a run: no process runs.
    fn examine(&mut self);
}

/// Gives each validator of a run its volume.
pub(crate) type Volumes<'a> = dyn FnMut(&Arc<Genesis>, Peer) -> Box<dyn Volume> + 'a;

/// The store outlives the process: it is the disk.
pub(crate) struct InMemory {
    genesis: Arc<Genesis>,
    store: Arc<MemoryStore>,
}

impl InMemory {
    pub(crate) fn volume(genesis: &Arc<Genesis>, _: Peer) -> Box<dyn Volume> {
        let store = Arc::new(MemoryStore::new(genesis));
        Box::new(Self { genesis: Arc::clone(genesis), store })
    }
}

impl Volume for InMemory {
    fn open(&mut self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    fn trouble(&mut self, _: u64) {}

    fn die(&mut self, death: Death, commit: &mut dyn FnMut()) {
        // One step: it is done or it is not.
        if death.is_stored() {
            commit();
        }
    }

    fn put_back(&mut self) {
        self.store = Arc::new(MemoryStore::new(&self.genesis));
    }

    fn examine(&mut self) {}
}
