//! Rows that somebody removed: every answer is right or names them, and none says that what was
//! is not there.

use super::{
    dice::{Dice, RandomChain, decided},
    shelf::Shelf,
    *,
};

/// What is asked for.
#[derive(Default)]
struct Subjects {
    ids: Vec<TransactionId>,
    outputs: Vec<OutputReference>,
    owners: Vec<PublicKey>,
}

impl Subjects {
    /// Everything that blocks are about.
    fn of(blocks: &[Arc<Block>]) -> Self {
        let mut subjects = Self::default();
        for block in blocks {
            let rows = Rows::replayed(block).unwrap();
            subjects.ids.extend(rows.committed.iter().map(|made| made.id));
            subjects.ids.extend(rows.refused.iter().map(|(id, _)| *id));
            subjects.outputs.extend(rows.created.iter().map(|made| made.at));
            let owners = rows.created.iter().flat_map(|made| made.row.owners.iter().copied());
            subjects.owners.extend(owners);
        }
        subjects.ids.sort_unstable();
        subjects.ids.dedup();
        subjects.owners.sort_unstable();
        subjects.owners.dedup();
        subjects
    }

    /// Every call about each of them, and what it answers.
    fn ask(&self, store: &dyn Store) -> Vec<(String, Result<String, StoreError>)> {
        let mut answers = Vec::new();
        let mut put = |call: String, answer| answers.push((call, answer));
        for id in &self.ids {
            put(format!("locate {id}"), told(store.locate(id)));
            let reads = Reads { transactions: vec![*id], outputs: vec![] };
            let view = store.view(&reads).map(|view| view.transactions[id]);
            put(format!("is {id} there"), told(view));
            put(format!("last of {id}"), told(store.last_transaction_of(id)));
            for most in [1, 3, 9999] {
                put(format!("{most} of {id}"), told(store.transactions_of(id, most)));
            }
            for after in [None, Some(Place { height: Height(3), index: 0 })] {
                let to = Height(u64::MAX);
                let back = Stretch { to, newest_first: true, after, most: 9999 };
                put(format!("{id}, {back:?}"), told(store.transactions_along(id, &back)));
                let on = Stretch { newest_first: false, ..back };
                put(format!("{id}, {on:?}"), told(store.transactions_along(id, &on)));
            }
        }
        for at in &self.outputs {
            let reads = Reads { transactions: vec![], outputs: vec![*at] };
            put(format!("{at:?}"), told(store.view(&reads).map(|view| view.outputs[at].clone())));
        }
        for owner in &self.owners {
            for (spent, most) in [(Spent::Either, 9999), (Spent::Yes, 3), (Spent::No, 9999)] {
                let outputs = store.outputs_of(owner, spent, most);
                put(format!("{most} of {owner}, {spent:?}"), told(outputs));
            }
        }
        answers
    }
}

fn told<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> Result<String, StoreError> {
    answer.map(|answer| format!("{answer:?}"))
}

/// Compares what a store answers with what is right; the calls that named damage.
fn right_or_named(
    subjects: &Subjects,
    store: &dyn Store,
    memory: &dyn Store,
    removed: &[String],
) -> Vec<String> {
    let mut named = Vec::new();
    for ((call, answer), (_, right)) in subjects.ask(store).into_iter().zip(subjects.ask(memory)) {
        match answer {
            Ok(answer) => assert_eq!(answer, right.unwrap(), "{call}, without {removed:?}"),
            Err(StoreError::Corrupt { path, .. }) => {
                assert!(removed.contains(&path), "{call} blames {path}, not {removed:?}");
                named.push(call);
            }
            Err(error) => panic!("{call}: {error}"),
        }
    }
    named
}

fn is_a_row(key: &[u8]) -> bool {
    b"tsrwa".contains(&key[0])
}

#[test]
fn each_row_that_is_gone_is_named_by_a_call_and_wrong_in_none() {
    let told = Told::new();
    let memory = MemoryStore::new(&told.story.federation.genesis);
    go_on(&memory, &told.plan()).unwrap();
    let subjects = Subjects::of(&told.story.blocks);
    let whole = told.shelf.copy();
    let mut families = BTreeMap::new();
    for key in whole.keys().filter(|key| is_a_row(key)) {
        told.shelf.put_back(whole.clone());
        told.shelf.rows.lock().remove(key);
        let store = told.open().unwrap();
        let removed = [store.shared.vault.readable(key)];
        let named = right_or_named(&subjects, &store, &memory, &removed);
        assert!(!named.is_empty(), "nobody missed {removed:?}");
        *families.entry(key[0]).or_insert(0) += named.len();
        assert!(store.shared.vault.note().exists());
        drop(store);
        // The next start looked at all rows.
        let store = told.open().unwrap();
        assert_eq!(right_or_named(&subjects, &store, &memory, &[]), Vec::<String>::new());
        assert_eq!(told.shelf.copy().len(), whole.len());
    }
    assert_eq!(families.len(), 5, "{families:?}");
}

/// An owner, an asset and a refused transaction with a row in each of many blocks.
fn long_lists(blocks: u32) -> (Federation, Vec<(Arc<Block>, Changes)>, TransactionId, Signed) {
    let (federation, alice) = (Federation::new(1), key(1));
    let owner = alice.public();
    let memory = MemoryStore::new(&federation.genesis);
    let made = create(&alice, "moved often", &[(&[owner], 1)]);
    let again = transfer(made.id, &[(&alice, made.output(0))], &[(&[key(2).public()], 1)]);
    let mut last = made.clone();
    let plan = (0..blocks).map(|at| {
        let slice = match at {
            0 => vec![Arc::clone(&made.bytes)],
            _ => {
                last = transfer(made.id, &[(&alice, last.output(0))], &[(&[owner], 1)]);
                vec![Arc::clone(&last.bytes), Arc::clone(&again.bytes)]
            }
        };
        let (block, changes) = federation.decide(&memory, &slice);
        memory.commit(&block, &changes).unwrap();
        (block, changes)
    });
    let plan = plan.collect();
    (federation, plan, made.id, again)
}

#[test]
fn a_gap_anywhere_in_a_long_list_is_named() {
    const BLOCKS: usize = 140;
    let (federation, plan, asset, again) = long_lists(BLOCKS as u32);
    let memory = MemoryStore::new(&federation.genesis);
    go_on(&memory, &plan).unwrap();
    let (shelf, scratch) = (Shelf::new(), Scratch::new());
    let store = open(&shelf, &scratch.0, &federation.genesis).unwrap();
    go_on(&store, &plan).unwrap();
    store.stop();
    let (owner, whole) = (key(1).public(), shelf.copy());
    let list = |letter: u8| {
        let keys: Vec<_> = whole.keys().filter(|key| key[0] == letter).cloned().collect();
        assert!(keys.len() >= BLOCKS - 1, "{letter}");
        keys
    };
    let subjects = Subjects { ids: vec![asset, again.id], outputs: vec![], owners: vec![owner] };
    // Pages have 64 rows.
    for at in [0, 1, 62, 63, 64, 65, 100, 127, 128, 129, BLOCKS - 3, BLOCKS - 2] {
        for letter in *b"wra" {
            let key = &list(letter)[at];
            shelf.put_back(whole.clone());
            shelf.rows.lock().remove(key);
            let removed = [store.shared.vault.readable(key)];
            let named = right_or_named(&subjects, &store, &memory, &removed);
            let calls = match letter {
                // Of refusals the last one counts, and only that one is asked for.
                b'r' => usize::from(at == BLOCKS - 2),
                b'w' => 2,
                _ => 2,
            };
            assert!(named.len() >= calls, "{removed:?}: {named:?}");
            for after in
                [1, 63, 64, 65, 130].map(|height| Place { height: Height(height), index: 0 })
            {
                for newest_first in [false, true] {
                    let (to, most) = (Height(u64::MAX), 9999);
                    let stretch = Stretch { to, newest_first, after: Some(after), most };
                    match store.transactions_along(&asset, &stretch) {
                        Ok(found) => {
                            let right = memory.transactions_along(&asset, &stretch).unwrap();
                            assert_eq!(found, right, "{stretch:?} without {removed:?}");
                        }
                        Err(StoreError::Corrupt { path, .. }) => assert_eq!(path, removed[0]),
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
    }
}

#[test]
fn of_random_rows_that_are_gone_none_is_taken_for_one_that_never_was() {
    for seed in 0..6 {
        let (shelf, scratch, federation) = (Shelf::new(), Scratch::new(), Federation::new(1));
        let (chain, plan): (RandomChain, _) = decided(seed, &federation);
        let mut dice: Dice = chain.dice;
        let memory = MemoryStore::new(&federation.genesis);
        go_on(&memory, &plan).unwrap();
        let store = open(&shelf, &scratch.0, &federation.genesis).unwrap();
        go_on(&store, &plan).unwrap();
        store.stop();
        drop(store);
        let blocks: Vec<_> = plan.iter().map(|(block, _)| Arc::clone(block)).collect();
        let (subjects, whole) = (Subjects::of(&blocks), shelf.copy());
        let rows: Vec<_> = whole.keys().filter(|key| is_a_row(key)).collect();
        for _ in 0..8 {
            shelf.put_back(whole.clone());
            let gone: Vec<_> =
                (0..=dice.below(3)).map(|_| rows[dice.below(rows.len())].clone()).collect();
            gone.iter().for_each(|key| drop(shelf.rows.lock().remove(key)));
            if dice.below(2) == 0 {
                fs::remove_dir_all(scratch.0.join("rows")).unwrap();
            }
            let store = open(&shelf, &scratch.0, &federation.genesis).unwrap();
            let removed: Vec<_> = gone.iter().map(|key| store.shared.vault.readable(key)).collect();
            right_or_named(&subjects, &store, &memory, &removed);
            let _ = fs::remove_file(scratch.0.join("tikv.damaged"));
        }
    }
}
