//! Random chains, and both stores asked for everything.

use super::{shelf::Shelf, *};

/// Small dice, the same for the same seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % most as u64) as usize
    }
}

/// A chain by dice: assets made, moved, divided, spent twice, asked for before they are there.
pub(super) struct RandomChain {
    pub(super) dice: Dice,
    made: Vec<(Signed, TransactionId, u32, usize)>,
    number: u32,
}

impl RandomChain {
    fn next(&mut self) -> Signed {
        let owners = [1, 2, 3].map(key);
        let (to, count) = (self.dice.below(3), 1 + self.dice.below(3));
        let public = owners[to].public();
        let outputs: Vec<(&[PublicKey], u64)> = vec![(std::slice::from_ref(&public), 1); count];
        self.number += 1;
        let made = if self.made.is_empty() || self.dice.below(4) == 0 {
            let made = create(&owners[0], &format!("{}", self.number), &outputs);
            let asset = made.id;
            (made, asset)
        } else {
            let at = self.dice.below(self.made.len());
            let (spent, asset, outputs_of_it, owner) = &self.made[at];
            let (asset, owner) = (*asset, *owner);
            let output = spent.output(self.dice.below(*outputs_of_it as usize) as u32);
            (transfer(asset, &[(&owners[owner], output)], &outputs[..1]), asset)
        };
        let outputs = if made.0.id == made.1 { count } else { 1 };
        self.made.push((made.0.clone(), made.1, outputs as u32, to));
        made.0
    }

    /// Both answer the same to everything.
    fn compare(&self, one: &dyn Store, other: &dyn Store) {
        assert_eq!(one.tip(), other.tip());
        let mut reads = Reads::default();
        for (made, asset, outputs, _) in &self.made {
            assert_eq!(one.locate(&made.id).unwrap(), other.locate(&made.id).unwrap());
            for most in [1, 3, 99] {
                let [found, expected] =
                    [one, other].map(|store| store.transactions_of(asset, most).unwrap());
                assert_eq!(found, expected);
            }
            let last = [one, other].map(|store| store.last_transaction_of(asset).unwrap());
            assert_eq!(last[0], last[1]);
            reads.transactions.push(made.id);
            reads.outputs.extend((0..outputs + 1).map(|index| made.output(index)));
        }
        let [found, expected] = [one, other].map(|store| store.view(&reads).unwrap());
        assert_eq!(found.transactions, expected.transactions);
        assert_eq!(found.outputs, expected.outputs);
        for owner in [1, 2, 3].map(|seed| key(seed).public()) {
            for (spent, most) in [(Spent::Either, 99), (Spent::Yes, 7), (Spent::No, 9999)] {
                let of = |store: &dyn Store| store.outputs_of(&owner, spent, most).unwrap();
                assert_eq!(of(one), of(other));
            }
        }
    }
}

#[test]
fn random_chains_read_as_they_do_in_memory() {
    for seed in 0..12 {
        let (shelf, scratch, federation) = (Shelf::new(), Scratch::new(), Federation::new(1));
        let memory = MemoryStore::new(&federation.genesis);
        let mut chain = RandomChain { dice: Dice(seed), made: Vec::new(), number: 0 };
        let mut store = open(&shelf, &scratch.0, &federation.genesis).unwrap();
        for _ in 0..14 {
            let count = chain.dice.below(6);
            let mut slice: Vec<_> = (0..count).map(|_| chain.next().bytes).collect();
            if chain.dice.below(3) == 0 {
                // What a block asks for comes behind it.
                slice.reverse();
            }
            if let Some((again, ..)) = chain.made.first().filter(|_| count == 2) {
                slice.push(Arc::clone(&again.bytes));
            }
            let (block, changes) = federation.decide(&memory, &slice);
            let (same, same_changes) = federation.decide(&store, &slice);
            assert_eq!((&same, &same_changes), (&block, &changes), "seed {seed}");
            memory.commit(&block, &changes).unwrap();
            store.commit(&block, &changes).unwrap();
            chain.compare(&store, &memory);
            if chain.dice.below(4) == 0 {
                if chain.dice.below(2) == 0 {
                    store.stop();
                }
                drop(store);
                store = open(&shelf, &scratch.0, &federation.genesis).unwrap();
                chain.compare(&store, &memory);
            }
        }
        store.stop();
        chain.compare(&store, &memory);
        let findings = store.scrub().unwrap();
        assert!(findings.is_clean(), "seed {seed}: {findings:?}");
    }
}

/// An administrator put the tip back and left the rows of later blocks.
#[test]
fn rows_above_the_tip_are_not_there() {
    let (shelf, scratch, federation) = (Shelf::new(), Scratch::new(), Federation::new(1));
    let mut chain = RandomChain { dice: Dice(7), made: Vec::new(), number: 0 };
    let (mut plan, mut tips) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        let store = open(&shelf, &scratch.0, &federation.genesis).unwrap();
        tips.push(shelf.rows.lock()[families::TIP].clone());
        let slice: Vec<_> = (0..5).map(|_| chain.next().bytes).collect();
        let (block, changes) = federation.decide(&store, &slice);
        store.commit(&block, &changes).unwrap();
        plan.push((block, changes));
        store.stop();
    }
    let whole = shelf.copy();
    for (height, tip) in tips.iter().enumerate() {
        let mut rows = whole.clone();
        rows.insert(families::TIP.to_vec(), tip.clone());
        // Blocks above it are gone, so that the pinned tip has none.
        rows.retain(|key, _| key[0] != b'b' || usize::from(key[8]) <= height);
        shelf.put_back(rows);
        let copy = Scratch::copy_of(&scratch.0);
        let store = open(&shelf, &copy.0, &federation.genesis).unwrap();
        let memory = MemoryStore::new(&federation.genesis);
        go_on(&memory, &plan[..height]).unwrap();
        chain.compare(&store, &memory);
        go_on(&store, &plan).unwrap();
        go_on(&memory, &plan).unwrap();
        chain.compare(&store, &memory);
    }
}

/// Blocks of a random chain, decided over memory.
pub(super) fn decided(
    seed: u64,
    federation: &Federation,
) -> (RandomChain, Vec<(Arc<Block>, Changes)>) {
    let memory = MemoryStore::new(&federation.genesis);
    let mut chain = RandomChain { dice: Dice(seed), made: Vec::new(), number: 0 };
    let blocks = (0..10).map(|_| {
        let slice: Vec<_> = (0..chain.dice.below(5)).map(|_| chain.next().bytes).collect();
        let (block, changes) = federation.decide(&memory, &slice);
        memory.commit(&block, &changes).unwrap();
        (block, changes)
    });
    let blocks = blocks.collect();
    (chain, blocks)
}

#[test]
fn after_crashes_and_strange_hands_everything_is_as_it_was() {
    for seed in 0..20 {
        let (shelf, scratch, federation) = (Shelf::new(), Scratch::new(), Federation::new(1));
        let (mut chain, plan) = decided(seed, &federation);
        for _ in 0..12 {
            shelf.light(chain.dice.below(60) as i64, chain.dice.below(2) == 0);
            // Whatever comes of it: the process ends here.
            let _ = open(&shelf, &scratch.0, &federation.genesis).map(|store| {
                let next = store.tip().0.height.0 as usize;
                go_on(&store, &plan[..(next + chain.dice.below(4)).min(plan.len())])
            });
            shelf.mend();
            let mut rows = shelf.rows.lock();
            for _ in 0..chain.dice.below(3) {
                let at = chain.dice.below(rows.len().max(1));
                let Some(key) = rows.keys().nth(at).cloned() else { continue };
                match chain.dice.below(2) {
                    0 => rows.remove(&key),
                    _ => rows.insert(key, b"forged by somebody else".to_vec()),
                };
            }
        }
        let store = open(&shelf, &scratch.0, &federation.genesis).unwrap();
        go_on(&store, &plan).unwrap();
        store.stop();
        for height in store.scrub().unwrap().damaged {
            store.repair(&plan[height.0 as usize - 1].0).unwrap();
        }
        let findings = store.scrub().unwrap();
        assert!(findings.is_clean(), "seed {seed}: {findings:?}");
        let memory = MemoryStore::new(&federation.genesis);
        go_on(&memory, &plan).unwrap();
        chain.compare(&store, &memory);
        drop(store);
        chain.compare(&open(&shelf, &scratch.0, &federation.genesis).unwrap(), &memory);
    }
}
