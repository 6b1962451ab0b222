//! Random chains, and both stores asked for everything.

use super::{shelf::Shelf, *};

/// Small dice, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % most as u64) as usize
    }
}

/// A chain by dice: assets made, moved, divided, spent twice, asked for before they are there.
struct RandomChain {
    dice: Dice,
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
