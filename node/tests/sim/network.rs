//! The clock, the queue of what happens next, and the network between validators.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use cairn_ledger::{
    block::{Block, Body, Header},
    ids::{BlockId, Height},
};
use cairn_node::{
    chain::{machine::Timer, message::Message},
    mesh::Peer,
};

use crate::dice::Dice;

/// What may go wrong in one run.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    pub(crate) validators: u8,
    /// Of a thousand messages.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) delay_ms: u64,
    /// Mean time between partitions and between crashes; 0 for none.
    pub(crate) partition_ms: u64,
    pub(crate) crash_ms: u64,
    /// Of a thousand effects, how many are a validator's last.
    pub(crate) crash_inside: u64,
    /// Of a thousand batches, how many each validator sees otherwise.
    pub(crate) lies: u64,
    pub(crate) byzantine: Option<Peer>,
    /// Of a thousand commits, how many a process does not survive, and how many meet a backend
    /// whose calls fail.
    pub(crate) dies_in_commit: u64,
    pub(crate) store_trouble: u64,
    /// Whose store is put back to its beginning, once.
    pub(crate) put_back: Option<Peer>,
}

impl Faults {
    /// A swarm: each seed has its own mix, some with little of anything.
    pub(crate) fn of(dice: &mut Dice) -> Self {
        let validators = dice.pick(&[4, 4, 4, 7]);
        let who = |dice: &mut Dice| u16::try_from(dice.below(validators.into())).unwrap();
        let faults = Self {
            validators,
            lost: dice.pick(&[0, 0, 20, 50, 200]),
            doubled: dice.pick(&[0, 0, 50, 200]),
            delay_ms: dice.pick(&[2, 20, 100, 400]),
            partition_ms: dice.pick(&[0, 3000, 8000]),
            crash_ms: dice.pick(&[0, 2000, 6000]),
            crash_inside: dice.pick(&[0, 0, 2, 10]),
            lies: dice.pick(&[0, 0, 200, 500]),
            byzantine: dice.permille(500).then(|| who(dice)),
            dies_in_commit: dice.pick(&[0, 100, 300]),
            store_trouble: dice.pick(&[0, 200, 600]),
            put_back: dice.permille(300).then(|| who(dice)),
        };
        // Of four one may forget or lie: two would be more than the rules can take.
        let put_back = faults.put_back.filter(|_| validators > 4 || faults.byzantine.is_none());
        Self { put_back, ..faults }
    }
}

/// What happens at some time.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Message {
        to: Peer,
        from: Peer,
        message: Message,
    },
    Timer {
        node: Peer,
        life: u64,
        timer: Timer,
        set: u64,
    },
    /// The log reaches a validator up to there.
    Log {
        node: Peer,
        end: u64,
    },
    /// Clients submit the transactions with these indexes.
    Submit(Vec<usize>),
    BodyWanted {
        of: Peer,
        by: Peer,
        life: u64,
        header: Header,
    },
    Body {
        node: Peer,
        life: u64,
        header: Header,
        body: Option<Body>,
    },
    BlockWanted {
        of: Peer,
        by: Peer,
        life: u64,
        height: Height,
    },
    Block {
        node: Peer,
        life: u64,
        from: Peer,
        block: Option<Arc<Block>>,
    },
    Crash,
    Restart(Peer),
    Partition,
    Join,
    /// Somebody puts a validator's store back to its beginning.
    PutBack(Peer),
}

pub(crate) struct Network {
    pub(crate) now_ms: u64,
    pub(crate) dice: Dice,
    pub(crate) faults: Faults,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    /// The side on which each validator is.
    pub(crate) sides: Vec<u8>,
    /// What was proposed last, anywhere: a liar votes for it too.
    pub(crate) last_proposed: Option<(Height, BlockId)>,
    trace: DefaultHasher,
}

impl Network {
    pub(crate) fn new(mut dice: Dice) -> Self {
        let faults = Faults::of(&mut dice);
        let sides = vec![0; faults.validators.into()];
        Self {
            now_ms: 1_000_000,
            dice,
            faults,
            queue: BTreeMap::new(),
            sequence: 0,
            sides,
            last_proposed: None,
            trace: DefaultHasher::new(),
        }
    }

    pub(crate) fn at(&mut self, after_ms: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now_ms + after_ms, self.sequence), event);
    }

    /// The next thing that happens; time moves on to it.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let ((at, _), event) = self.queue.pop_first()?;
        self.now_ms = at;
        self.note(&event);
        Some(event)
    }

    /// Takes something into the transcript.
    pub(crate) fn note(&mut self, what: &impl std::fmt::Debug) {
        self.now_ms.hash(&mut self.trace);
        format!("{what:?}").hash(&mut self.trace);
    }

    pub(crate) fn transcript(&self) -> u64 {
        self.trace.finish()
    }

    fn delay(&mut self) -> u64 {
        let most = self.faults.delay_ms;
        // Most are quick, some take long: that is what reorders.
        if self.dice.permille(100) {
            1 + self.dice.below(5 * most)
        } else {
            1 + self.dice.below(most)
        }
    }

    /// Something from one validator to another: late, lost, or twice.
    pub(crate) fn send(&mut self, from: Peer, to: Peer, event: Event) {
        if self.sides[usize::from(from)] != self.sides[usize::from(to)]
            || self.dice.permille(self.faults.lost)
        {
            return;
        }
        if self.dice.permille(self.faults.doubled) {
            let delay = self.delay();
            self.at(delay, event.clone());
        }
        let delay = self.delay();
        self.at(delay, event);
    }

    pub(crate) fn log_delay(&mut self) -> u64 {
        self.delay()
    }
}
