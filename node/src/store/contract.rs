//! What every [`super::Store`] must do; each implementation calls it from its tests.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use cairn_ledger::{
    block::{Block, Place, Tip},
    genesis::Genesis,
    ids::{Height, OutputReference, PublicKey, TransactionId},
    rules::{OutputState, Reads},
    signature,
    state::{Changes, StateHash},
};

use super::{Located, Spent, Store, Stretch};
use crate::testing::{Federation, Signed, create, key, transfer};

/// Opens again what was just stopped and let go.
pub(super) type Reopen = Box<dyn Fn(Arc<dyn Store>) -> Arc<dyn Store>>;

/// Makes an empty store of a chain.
pub(super) type Make<'a> = &'a dyn Fn(&Arc<Genesis>) -> (Arc<dyn Store>, Reopen);

/// All promises, on fresh stores.
pub(super) fn suite(make: Make<'_>) {
    an_empty_store_is_at_genesis(make);
    a_story_reads_the_same_before_and_after_reopening(make);
    the_latest_refusal_counts_until_it_is_committed(make);
    elections_are_kept_like_any_asset(make);
    readers_see_whole_blocks(make);
    a_block_that_does_not_follow_is_a_bug(make);
}

fn place(height: u64, index: u32) -> Place {
    Place { height: Height(height), index }
}

fn an_empty_store_is_at_genesis(make: Make<'_>) {
    let federation = Federation::new(4);
    let (store, reopen) = make(&federation.genesis);
    let check = |store: &dyn Store| {
        let (tip, state) = store.tip();
        assert_eq!(tip, Tip::genesis(federation.genesis.chain()));
        assert_eq!(state, StateHash::default());
        let nothing = TransactionId([1; 32]);
        assert_eq!(store.block(Height(0)).unwrap(), None);
        assert_eq!(store.block(Height(1)).unwrap(), None);
        assert_eq!(store.block(Height(u64::MAX)).unwrap(), None);
        assert_eq!(store.locate(&nothing).unwrap(), None);
        assert_eq!(store.last_transaction_of(&nothing).unwrap(), None);
        assert_eq!(store.transactions_of(&nothing, 9).unwrap(), []);
        assert_eq!(store.outputs_of(&key(1).public(), Spent::Either, 9).unwrap(), []);
    };
    check(&*store);
    store.stop();
    check(&*reopen(store));
}

/// Two assets, one of them divided, moved, moved again within the block that made the
/// first move, and once spent twice.
pub(super) struct Story {
    pub(super) federation: Federation,
    pub(super) blocks: Vec<Arc<Block>>,
    first: Signed,
    second: Signed,
    split: Signed,
    moved: Signed,
    moved_on: Signed,
    double_spend: Signed,
}

impl Story {
    pub(super) fn tell(federation: Federation, store: &dyn Store) -> Self {
        let (alice, bob, carol) = (key(1), key(2), key(3));
        let [a, b, c] = [&alice, &bob, &carol].map(|key| key.public());
        let first = create(&alice, "first", &[(&[a], 10), (&[a, b], 5)]);
        let second = create(&bob, "second", &[(&[b], 1)]);
        let split = transfer(first.id, &[(&alice, first.output(0))], &[(&[b], 4), (&[a], 6)]);
        let moved = transfer(first.id, &[(&bob, split.output(0))], &[(&[c], 4)]);
        let moved_on = transfer(first.id, &[(&carol, moved.output(0))], &[(&[a], 4)]);
        let double_spend = transfer(first.id, &[(&alice, first.output(0))], &[(&[c], 10)]);
        let slices: [&[&Signed]; 4] =
            [&[&first, &second], &[], &[&split, &double_spend], &[&moved, &moved_on]];
        let blocks = slices.map(|slice| {
            let bytes: Vec<_> = slice.iter().map(|signed| Arc::clone(&signed.bytes)).collect();
            federation.commit(store, &bytes)
        });
        let blocks = blocks.to_vec();
        Self { federation, blocks, first, second, split, moved, moved_on, double_spend }
    }

    /// Every kind of read gives what the story says.
    pub(super) fn check(&self, store: &dyn Store) {
        let (tip, state) = store.tip();
        let last = self.blocks.last().unwrap();
        assert_eq!(tip, Tip::after(&last.header, state.root()));
        assert_eq!(state.rows(), 4);
        assert_eq!(*store.tips().borrow(), tip.height);
        // Single transactions first: reading blocks keeps them in memory.
        for (height, block) in (1..).zip(&self.blocks) {
            for (index, bytes) in (0..).zip(&block.body) {
                let read = store.transaction(place(height, index)).unwrap();
                assert_eq!(read.as_ref(), Some(bytes), "transaction {index} of block {height}");
            }
            let beyond = place(height, block.header.transactions);
            assert_eq!(store.transaction(beyond).unwrap(), None);
        }
        for nowhere in [place(0, 0), place(tip.height.0 + 1, 0), place(u64::MAX, u32::MAX)] {
            assert_eq!(store.transaction(nowhere).unwrap(), None);
        }
        for (height, block) in (1..).zip(&self.blocks) {
            // The header first: reading the block would leave it where blocks read last are kept.
            assert_eq!(store.header(Height(height)).unwrap().as_ref(), Some(&block.header));
            assert_eq!(store.block(Height(height)).unwrap().as_ref(), Some(block));
        }
        assert_eq!(store.block(tip.height.next()).unwrap(), None);
        assert_eq!(store.header(tip.height.next()).unwrap(), None);
        assert_eq!(store.header(Height(0)).unwrap(), None);
        self.check_view(store);
        self.check_places(store);
        self.check_outputs(store);
    }

    fn check_view(&self, store: &dyn Store) {
        let unknown = OutputReference { transaction: TransactionId([9; 32]), index: 0 };
        let reads = Reads {
            transactions: vec![self.first.id, self.double_spend.id, TransactionId([9; 32])],
            outputs: vec![
                self.first.output(0),
                self.first.output(1),
                self.first.output(2),
                self.moved.output(0),
                self.double_spend.output(0),
                unknown,
            ],
        };
        let view = store.view(&reads).unwrap();
        assert_eq!(view.transactions.len(), 3);
        assert!(view.transactions[&self.first.id]);
        assert!(!view.transactions[&self.double_spend.id]);
        assert!(!view.transactions[&TransactionId([9; 32])]);
        assert_eq!(view.outputs.len(), 6);
        assert_eq!(view.outputs[&self.first.output(0)], OutputState::Spent(self.split.id));
        assert_eq!(view.outputs[&self.first.output(2)], OutputState::Unknown);
        assert_eq!(view.outputs[&self.moved.output(0)], OutputState::Spent(self.moved_on.id));
        assert_eq!(view.outputs[&self.double_spend.output(0)], OutputState::Unknown);
        assert_eq!(view.outputs[&unknown], OutputState::Unknown);
        let OutputState::Unspent(row) = &view.outputs[&self.first.output(1)] else {
            panic!("nobody spent the shared output");
        };
        assert_eq!((row.asset, row.amount), (self.first.id, 5));
        assert_eq!(*row.owners, [key(1).public(), key(2).public()]);
        assert!(row.condition.threshold);
    }

    fn check_places(&self, store: &dyn Store) {
        let committed = |height, index| Some(Located::Committed(place(height, index)));
        assert_eq!(store.locate(&self.first.id).unwrap(), committed(1, 0));
        assert_eq!(store.locate(&self.second.id).unwrap(), committed(1, 1));
        assert_eq!(store.locate(&self.moved_on.id).unwrap(), committed(4, 1));
        let refused = Some(Located::Refused(place(3, 1)));
        assert_eq!(store.locate(&self.double_spend.id).unwrap(), refused);

        let places = [place(1, 0), place(3, 0), place(4, 0), place(4, 1)];
        assert_eq!(store.transactions_of(&self.first.id, 9).unwrap(), places);
        assert_eq!(store.transactions_of(&self.first.id, 2).unwrap(), places[..2]);
        assert_eq!(store.transactions_of(&self.first.id, 0).unwrap(), []);
        assert_eq!(store.transactions_of(&self.second.id, 9).unwrap(), [place(1, 1)]);
        self.check_stretches(store, &places);
        // A transfer is not an asset, and neither is what was refused.
        assert_eq!(store.transactions_of(&self.split.id, 9).unwrap(), []);
        assert_eq!(store.last_transaction_of(&self.first.id).unwrap(), Some(place(4, 1)));
        assert_eq!(store.last_transaction_of(&self.second.id).unwrap(), Some(place(1, 1)));
        assert_eq!(store.last_transaction_of(&self.split.id).unwrap(), None);
    }

    /// Every stretch of the first asset's transactions is what filtering all of them gives.
    fn check_stretches(&self, store: &dyn Store, places: &[Place]) {
        let order = |place: &Place| (place.height, place.index);
        let afters = places.iter().copied().map(Some).chain([None, Some(place(2, 7))]);
        for after in afters {
            for (to, most, newest_first) in (0..=5)
                .flat_map(|to| [0, 1, 2, 9].map(move |most| (to, most)))
                .flat_map(|(to, most)| [(to, most, false), (to, most, true)])
            {
                let mut expected: Vec<_> =
                    places.iter().filter(|place| place.height <= Height(to)).copied().collect();
                if newest_first {
                    expected.reverse();
                    expected.retain(|it| after.is_none_or(|after| order(it) < order(&after)));
                } else {
                    expected.retain(|it| after.is_none_or(|after| order(it) > order(&after)));
                }
                expected.truncate(most);
                let stretch = Stretch { to: Height(to), newest_first, after, most };
                let found = store.transactions_along(&self.first.id, &stretch).unwrap();
                assert_eq!(found, expected, "{stretch:?}");
            }
        }
    }

    fn check_outputs(&self, store: &dyn Store) {
        let (first, second, split) = (&self.first, &self.second, &self.split);
        let alice = [first.output(0), first.output(1), split.output(1), self.moved_on.output(0)];
        let bob = [first.output(1), second.output(0), split.output(0)];
        let cases: [(u32, Spent, usize, &[OutputReference]); 9] = [
            (1, Spent::Either, 9, &alice),
            (1, Spent::Either, 2, &alice[..2]),
            (1, Spent::Yes, 9, &alice[..1]),
            (1, Spent::No, 9, &alice[1..]),
            (1, Spent::No, 1, &alice[1..2]),
            (2, Spent::Either, 9, &bob),
            (2, Spent::No, 9, &bob[..2]),
            (3, Spent::Yes, 9, &[self.moved.output(0)]),
            (3, Spent::No, 9, &[]),
        ];
        for (owner, spent, most, expected) in cases {
            let found = store.outputs_of(&key(owner).public(), spent, most).unwrap();
            assert_eq!(found, expected, "owner {owner}, {spent:?}, at most {most}");
        }
    }
}

fn a_story_reads_the_same_before_and_after_reopening(make: Make<'_>) {
    let federation = Federation::new(4);
    let (store, reopen) = make(&federation.genesis);
    let mut story = Story::tell(federation, &*store);
    story.check(&*store);
    store.stop();
    let store = reopen(store);
    story.check(&*store);
    // It goes on where it was.
    story.blocks.push(story.federation.commit(&*store, &[]));
    story.check(&*store);
}

fn the_latest_refusal_counts_until_it_is_committed(make: Make<'_>) {
    let federation = Federation::new(1);
    let (store, reopen) = make(&federation.genesis);
    let alice = key(1);
    let made = create(&alice, "made", &[(&[alice.public()], 1)]);
    let moved = transfer(made.id, &[(&alice, made.output(0))], &[(&[alice.public()], 1)]);
    let located = |store: &dyn Store| store.locate(&moved.id).unwrap();
    // Too early twice: its input is not there yet.
    for height in 1..=2 {
        federation.commit(&*store, &[Arc::clone(&moved.bytes)]);
        assert_eq!(located(&*store), Some(Located::Refused(place(height, 0))));
    }
    let both = [&made, &moved].map(|signed| Arc::clone(&signed.bytes));
    federation.commit(&*store, &both);
    assert_eq!(located(&*store), Some(Located::Committed(place(3, 1))));
    // Again: refused as a duplicate, which changes nothing about where it stands.
    federation.commit(&*store, &both);
    assert_eq!(located(&*store), Some(Located::Committed(place(3, 1))));
    store.stop();
    assert_eq!(located(&*reopen(store)), Some(Located::Committed(place(3, 1))));
}

/// Votes are outputs like any, also when the election's id, which they are given to, is no
/// point of the curve.
fn elections_are_kept_like_any_asset(make: Make<'_>) {
    let federation = Federation::new(4);
    let called = |point| {
        let elections = (0..).map(|number| federation.election(1, &format!("{number}")));
        let is_point = |one: &Signed| signature::is_point(&PublicKey(one.id.0));
        elections.into_iter().find(|one| is_point(one) == point).unwrap()
    };
    let (store, reopen) = make(&federation.genesis);
    let both = [called(true), called(false)];
    let votes = both.each_ref().map(|one| federation.vote(one, 0, None));
    federation.commit(&*store, &both.each_ref().map(|one| Arc::clone(&one.bytes)));
    federation.commit(&*store, &votes.each_ref().map(|one| Arc::clone(&one.bytes)));
    let check = |store: &dyn Store| {
        for ((index, election), vote) in (0..).zip(&both).zip(&votes) {
            let places = [place(1, index), place(2, index)];
            assert_eq!(store.transactions_of(&election.id, 9).unwrap(), places);
            assert_eq!(store.last_transaction_of(&election.id).unwrap(), Some(places[1]));
            let box_key = PublicKey(election.id.0);
            assert_eq!(store.outputs_of(&box_key, Spent::No, 9).unwrap(), [vote.output(0)]);
            let reads = Reads {
                transactions: vec![vote.id],
                outputs: vec![election.output(0), election.output(1)],
            };
            let view = store.view(&reads).unwrap();
            assert!(view.transactions[&vote.id]);
            assert_eq!(view.outputs[&election.output(0)], OutputState::Spent(vote.id));
            let OutputState::Unspent(row) = &view.outputs[&election.output(1)] else { panic!() };
            assert_eq!((row.asset, row.amount), (election.id, 1));
        }
    };
    check(&*store);
    store.stop();
    check(&*reopen(store));
}

fn readers_see_whole_blocks(make: Make<'_>) {
    let federation = Federation::new(1);
    let (store, _reopen) = make(&federation.genesis);
    let alice = key(1);
    let owner = alice.public();
    // In every block one output is spent and made, so that whoever sees a whole block
    // counts one unspent output.
    let mut last = create(&alice, "hot", &[(&[owner], 1)]);
    let asset = last.id;
    federation.commit(&*store, &[Arc::clone(&last.bytes)]);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let unspent = store.outputs_of(&owner, Spent::No, 9).unwrap();
                    assert_eq!(unspent.len(), 1);
                    let (tip, state) = store.tip();
                    assert_eq!(state.rows(), 1);
                    let place = store.last_transaction_of(&asset).unwrap().unwrap();
                    assert!(place.height >= tip.height);
                    assert!(store.block(tip.height).unwrap().is_some());
                }
            });
        }
        for _ in 0..20 {
            last = transfer(asset, &[(&alice, last.output(0))], &[(&[owner], 1)]);
            federation.commit(&*store, &[Arc::clone(&last.bytes)]);
        }
        done.store(true, Ordering::Relaxed);
    });
    store.stop();
}

fn a_block_that_does_not_follow_is_a_bug(make: Make<'_>) {
    let federation = Federation::new(1);
    let (store, _reopen) = make(&federation.genesis);
    let (first, changes) = federation.decide(&*store, &[]);
    store.commit(&first, &changes).unwrap();
    let refused = |block: &Arc<Block>, changes: &Changes| {
        let committed = AssertUnwindSafe(|| store.commit(block, changes));
        assert!(catch_unwind(committed).is_err());
        assert_eq!(store.tip().0.height, Height(1), "a bug of the caller changes nothing");
    };
    refused(&first, &changes);
    let (next, changes) = federation.decide(&*store, &[]);
    let mut later = Block::clone(&next);
    later.header.height = Height(3);
    refused(&Arc::new(later), &changes);
    store.commit(&next, &changes).unwrap();
    store.stop();
}
