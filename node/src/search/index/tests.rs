//! The index against a look through the blocks, over random ledgers; and what becomes of an
//! index that is lost, damaged or another's.

use std::{fs, path::PathBuf, time::Duration};

use cairn_ledger::{
    ids::OutputReference,
    json::Strictness,
    transaction::{
        self,
        build::{self, Share, Spend},
    },
};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    search::{Filter, Mark, Path, Search, SearchError},
    store::memory::MemoryStore,
    testing::{Federation, key},
};

/// A directory that is gone when the test is over.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        let name = hex::encode(crate::clock::random::<8>());
        Self(std::env::temp_dir().join(format!("cairn-search-{name}")))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What clients do.
#[derive(Clone, Debug)]
enum Step {
    Create {
        issuer: u32,
        data: String,
        metadata: String,
        shares: Vec<u32>,
    },
    /// Spends one of the unspent outputs.
    Transfer {
        which: usize,
        metadata: String,
        to: u32,
    },
}

struct Ledger {
    federation: Federation,
    store: Arc<dyn Store>,
    /// Asset, output, owner, amount.
    unspent: Vec<(TransactionId, OutputReference, u32, u64)>,
    assets: Vec<TransactionId>,
}

impl Ledger {
    fn new() -> Self {
        let federation = Federation::new(1);
        let store = Arc::new(MemoryStore::new(&federation.genesis));
        Self { federation, store, unspent: Vec::new(), assets: Vec::new() }
    }

    fn commit(&mut self, steps: &[Step]) {
        let bytes: Vec<_> = steps.iter().filter_map(|step| self.take(step)).collect();
        self.federation.commit(&*self.store, &bytes);
    }

    fn take(&mut self, step: &Step) -> Option<Arc<[u8]>> {
        let owner = |seed: &u32| key(*seed).public();
        let (bytes, made) = match step {
            Step::Create { issuer, data, metadata, shares } => {
                let outputs: Vec<_> =
                    shares.iter().map(|to| Share::to(owner(to), u64::from(*to) + 1)).collect();
                let bytes = build::create(data, metadata, &outputs, &key(*issuer)).unwrap();
                let made: Vec<_> = shares.iter().map(|to| (*to, u64::from(*to) + 1)).collect();
                (bytes, made)
            }
            Step::Transfer { which, metadata, to } => {
                if self.unspent.is_empty() {
                    return None;
                }
                let at = which % self.unspent.len();
                let (asset, output, from, amount) = self.unspent.remove(at);
                let spend = Spend::of(owner(&from), output);
                let share = Share::to(owner(to), amount);
                let signer = key(from);
                let bytes = build::transfer(asset, metadata, &[spend], &[share], &[&signer]);
                (bytes.unwrap(), vec![(*to, amount)])
            }
        };
        let bytes: Arc<[u8]> = bytes.into();
        let parsed = transaction::parse(Arc::clone(&bytes), Strictness::Strict).ok()?;
        // The same data twice is the same transaction, which can be made only once.
        if parsed.asset() == parsed.id() {
            if self.assets.contains(&parsed.id()) {
                return None;
            }
            self.assets.push(parsed.id());
        }
        for (index, (to, amount)) in (0..).zip(made) {
            let output = OutputReference { transaction: parsed.id(), index };
            self.unspent.push((parsed.asset(), output, to, amount));
        }
        Some(bytes)
    }

    fn tip(&self) -> Height {
        self.store.tip().0.height
    }

    fn search(&self, scratch: &Scratch) -> Search {
        let store = Arc::clone(&self.store);
        let options = Options {
            batch_documents: 3,
            batch_bytes: 1 << 20,
            pause: Duration::ZERO,
            pause_max: Duration::ZERO,
            finish_merges: true,
            // A busy machine would never come to it.
            nice: 0,
        };
        let index =
            Index::open_with(&scratch.0, Arc::clone(&store), Arc::default(), options).unwrap();
        Search { store, index: Some(index) }
    }
}

fn wait(search: &Search, height: Height) {
    wait_for(search, height, Duration::from_secs(60));
}

pub(super) fn wait_for(search: &Search, height: Height, patience: Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let reached = runtime.block_on(search.reaches(height, patience));
    assert!(reached, "the index is at {}, not {height}", search.height());
}

/// All pages of a selection, with their marks.
fn pages(search: &Search, selection: &Selection) -> Vec<(Vec<crate::search::Row>, Option<Mark>)> {
    let mut found = Vec::new();
    let mut selection = selection.clone();
    loop {
        let page = search.select(&selection).unwrap().found;
        selection.after = page.next.clone();
        let rows = page.rows.into_iter().map(|row| crate::search::Row { body: None, ..row });
        found.push((rows.collect(), page.next));
        if selection.after.is_none() || found.len() > 100 {
            return found;
        }
    }
}

pub(super) fn everything() -> Selection {
    Selection {
        rows: Rows::Assets,
        filter: None,
        owner: None,
        asset: None,
        spent: None,
        sort: SortBy::Chain,
        descending: false,
        after: None,
        as_of: Height(u64::MAX),
        most: 1000,
    }
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (-3..12_i64).prop_map(|number| number.to_string()),
        1 => Just("1.5".to_owned()),
        1 => Just("1e2".to_owned()),
        1 => Just("null".to_owned()),
        1 => any::<bool>().prop_map(|value| value.to_string()),
        4 => "(cars|car|Café|run|the|blue-green|red run|haus|Häuser|z{250,300}y|)"
            .prop_map(|text| serde_json::Value::from(text).to_string()),
    ]
}

fn object() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        6 => scalar(),
        1 => vec(scalar(), 0..3).prop_map(|all| format!("[{}]", all.join(","))),
        1 => scalar().prop_map(|inner| format!("{{\"c\":{inner}}}")),
        1 => (scalar(), scalar()).prop_map(|(a, b)| format!("[{{\"c\":{a}}},[{b}]]")),
    ];
    let members = vec(("[abc]", value), 0..4);
    (members, proptest::option::weighted(0.1, "(de|none|en)")).prop_map(|(members, language)| {
        // Each key may be given once.
        let members: std::collections::BTreeMap<_, _> = members.into_iter().collect();
        let members = members.into_iter().map(|(key, value)| format!("\"{key}\":{value}"));
        let language = language.map(|name| format!("\"language\":\"{name}\""));
        format!("{{{}}}", members.chain(language).collect::<Vec<_>>().join(","))
    })
}

fn step() -> impl Strategy<Value = Step> {
    let metadata = || prop_oneof![3 => object(), 1 => Just("null".to_owned())];
    prop_oneof![
        3 => (0..3_u32, object(), metadata(), vec(0..3_u32, 1..3)).prop_map(
            |(issuer, data, metadata, shares)| Step::Create { issuer, data, metadata, shares }
        ),
        2 => (any::<usize>(), metadata(), 0..3_u32)
            .prop_map(|(which, metadata, to)| Step::Transfer { which, metadata, to }),
    ]
}

fn path() -> impl Strategy<Value = String> {
    "(asset|metadata)\\.[abc](\\.c)?|asset|metadata"
}

fn filter() -> impl Strategy<Value = String> {
    let literal = scalar();
    let leaf =
        (path(), "(=|!=|<|<=|>|>=|\\^=|exists)", literal).prop_map(|(path, operator, value)| {
            if operator == "exists" {
                return format!("exists {path}");
            }
            let text = format!("{path} {operator} {value}");
            if Filter::parse(&text).is_ok() { text } else { format!("{path} = {value}") }
        });
    // Two ends on one path: they are looked up as one where that is the same.
    let both_ends = (path(), -3..12_i64, 0..6_i64)
        .prop_map(|(path, low, width)| format!("({path} >= {low} and {path} < {})", low + width));
    let leaf = prop_oneof![5 => leaf, 1 => both_ends];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            inner.prop_map(|a| format!("not ({a})")),
        ]
    })
}

#[derive(Clone, Debug)]
struct Asked {
    assets: bool,
    filter: Option<String>,
    sort: Option<String>,
    descending: bool,
    owner: Option<u32>,
    asset: Option<usize>,
    spent: Option<bool>,
    as_of: Option<u64>,
    most: usize,
}

fn asked() -> impl Strategy<Value = Asked> {
    use proptest::option::weighted;
    let rows = (any::<bool>(), weighted(0.8, filter()), weighted(0.6, path()), any::<bool>());
    let outputs =
        (weighted(0.2, 0..3_u32), weighted(0.2, any::<usize>()), weighted(0.5, any::<bool>()));
    (rows, outputs, weighted(0.3, 0..8_u64), 1..6_usize).prop_map(
        |((assets, filter, sort, descending), (owner, asset, spent), as_of, most)| Asked {
            assets,
            filter,
            sort,
            descending,
            owner: owner.filter(|_| !assets),
            asset: asset.filter(|_| !assets),
            spent: spent.filter(|_| !assets),
            as_of,
            most,
        },
    )
}

impl Asked {
    fn selection(&self, ledger: &Ledger) -> Selection {
        let asset = self.asset.filter(|_| !ledger.assets.is_empty());
        let sort = self.sort.as_ref().map(|path| SortBy::Field(Path::parse(path).unwrap()));
        Selection {
            rows: if self.assets { Rows::Assets } else { Rows::Outputs },
            filter: self.filter.as_ref().map(|text| Filter::parse(text).unwrap()),
            owner: self.owner.map(|seed| key(seed).public()),
            asset: asset.map(|at| ledger.assets[at % ledger.assets.len()]),
            spent: self.spent,
            sort: sort.unwrap_or_default(),
            descending: self.descending,
            as_of: self.as_of.map_or(ledger.tip(), Height).min(ledger.tip()),
            most: self.most,
            ..everything()
        }
    }
}

/// What is done with the index before a block.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    Reopen,
    Lose,
}

fn block() -> impl Strategy<Value = (Before, Vec<Step>)> {
    let before = prop_oneof![
        6 => Just(Before::Nothing), 1 => Just(Before::Reopen), 1 => Just(Before::Lose)
    ];
    (before, vec(step(), 0..8))
}

const WORDS: &str =
    "(car|cars|cafe|running|the|blue|-red|-\"red run\"|\"red run\"|\"un\"|haus|zzz| |-){1,4}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_index_answers_as_a_look_through_the_blocks_does(
        blocks in vec(block(), 1..10),
        asked in vec(asked(), 30),
        words in vec(WORDS, 10),
    ) {
        let (mut ledger, mut scratch) = (Ledger::new(), Scratch::new());
        let mut search = ledger.search(&scratch);
        for (before, steps) in &blocks {
            match before {
                Before::Nothing => {}
                Before::Reopen => {
                    drop(search);
                    search = ledger.search(&scratch);
                }
                Before::Lose => {
                    drop(search);
                    scratch = Scratch::new();
                    search = ledger.search(&scratch);
                }
            }
            ledger.commit(steps);
        }
        wait(&search, ledger.tip());
        let naive = Search::over(Arc::clone(&ledger.store));
        for asked in &asked {
            let selection = asked.selection(&ledger);
            prop_assert_eq!(pages(&search, &selection), pages(&naive, &selection), "{:?}", asked);
        }
        let id = ledger.assets.first().map(ToString::to_string);
        for words in words.iter().chain(&id) {
            for collection in [Collection::Assets, Collection::Metadata] {
                for most in [1000, 3] {
                    let found = search.text(collection, words, most).unwrap();
                    prop_assert_eq!(found, naive.text(collection, words, most).unwrap(), "{}", words);
                }
            }
        }
    }
}

fn numbered(number: u64) -> Step {
    let data = format!("{{\"n\":{},\"word\":\"number{number}\"}}", number % 7);
    Step::Create { issuer: 1, data, metadata: "null".to_owned(), shares: vec![1] }
}

/// A ledger of so many blocks with two assets each.
fn numbers(blocks: u64) -> Ledger {
    let mut ledger = Ledger::new();
    for block in 0..blocks {
        ledger.commit(&[numbered(2 * block), numbered(2 * block + 1)]);
    }
    ledger
}

#[test]
fn pages_neither_repeat_nor_skip_a_row_while_blocks_arrive() {
    let mut ledger = numbers(20);
    let scratch = Scratch::new();
    let search = ledger.search(&scratch);
    wait(&search, ledger.tip());
    let sort = SortBy::Field(Path::parse("asset.n").unwrap());
    let all = Selection { sort, as_of: ledger.tip(), ..everything() };
    let expected = search.select(&all).unwrap().found.rows;
    assert_eq!(expected.len(), 40);
    let mut selection = Selection { most: 7, ..all };
    let mut rows = Vec::new();
    for number in 100.. {
        let page = search.select(&selection).unwrap().found;
        rows.extend(page.rows);
        let Some(next) = page.next else { break };
        selection.after = Some(next);
        ledger.commit(&[numbered(number)]);
        wait(&search, ledger.tip());
    }
    assert_eq!(rows, expected);
}

#[test]
fn two_values_of_a_document_may_each_be_within_one_of_two_ranges() {
    let mut ledger = Ledger::new();
    let scratch = Scratch::new();
    // Often enough for a column.
    for number in 0..8 {
        let data = format!("{{\"n\":[0,{}],\"one\":{number}}}", 100 + number);
        let shares = vec![1];
        ledger.commit(&[Step::Create { issuer: 1, data, metadata: "null".to_owned(), shares }]);
    }
    let search = ledger.search(&scratch);
    wait(&search, ledger.tip());
    let found = |filter: &str| {
        let filter = Some(Filter::parse(filter).unwrap());
        search.select(&Selection { filter, ..everything() }).unwrap().found.rows.len()
    };
    assert_eq!(found("asset.n >= 40 and asset.n < 60"), 8);
    assert_eq!(found("asset.one >= 2 and asset.one < 5"), 3);
    assert_eq!(found("asset.one > 5 and asset.one < 5"), 0);
}

#[test]
fn a_cursor_of_another_order_is_refused() {
    let ledger = numbers(2);
    let scratch = Scratch::new();
    let search = ledger.search(&scratch);
    wait(&search, ledger.tip());
    let sort = SortBy::Field(Path::parse("asset.n").unwrap());
    let by_field = Selection { sort, most: 1, ..everything() };
    let mark = search.select(&by_field).unwrap().found.next;
    for after in [mark, Some(Mark(Vec::new())), Some(Mark(vec![9; 17]))] {
        let selection = Selection { after, ..everything() };
        assert!(matches!(search.select(&selection), Err(SearchError::Mark)));
    }
}

#[test]
fn an_explained_page_names_its_index() {
    let ledger = numbers(10);
    let scratch = Scratch::new();
    let search = ledger.search(&scratch);
    wait(&search, ledger.tip());
    let explain = |selection: Selection| search.select(&selection).unwrap().found.explained;
    assert_eq!(explain(everything()).index, "chain");
    let filter = Filter::parse("asset.n = 3 and asset.n < 5").unwrap();
    let fields = explain(Selection { filter: Some(filter), ..everything() });
    assert_eq!(fields.index, "fields");
    assert_eq!(fields.steps[0], "asset.n equals: 3 documents, by terms");
    assert_eq!(fields.steps[1], "asset.n within a range: by its column, 3 documents must be read",);
    assert_eq!(fields.examined, 3);
    let owner = Some(key(1).public());
    let outputs = Selection { rows: Rows::Outputs, owner, ..everything() };
    assert_eq!(explain(outputs.clone()).index, "owners");
    let asset = Selection { owner: None, asset: Some(ledger.assets[0]), ..outputs };
    assert_eq!(explain(asset).index, "assets");
}

/// Searching finds all of a ledger of numbers.
fn assert_whole(ledger: &Ledger, search: &Search) {
    wait(search, ledger.tip());
    assert_eq!(search.height(), ledger.tip());
    let found = search.select(&everything()).unwrap().found;
    assert_eq!(found.rows.len(), ledger.assets.len());
    let last = format!("number{}", ledger.assets.len() - 1);
    assert_eq!(search.text(Collection::Assets, &last, 10).unwrap().found.len(), 1);
}

#[test]
fn an_index_that_cannot_be_used_is_made_again() {
    let ledger = numbers(6);
    let largest = |scratch: &Scratch, ending: &str| {
        let files = fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.to_string_lossy().ends_with(ending));
        files.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
    };
    type Harm<'a> = &'a dyn Fn(&Scratch);
    let harms: [(&str, Harm<'_>); 6] = [
        ("it is lost", &|scratch| fs::remove_dir_all(&scratch.0).unwrap()),
        ("its list of files is no JSON", &|scratch| {
            fs::write(scratch.0.join("meta.json"), b"{").unwrap();
        }),
        ("a file is empty", &|scratch| fs::write(largest(scratch, ".fast"), b"").unwrap()),
        ("a file is missing", &|scratch| fs::remove_file(largest(scratch, ".term")).unwrap()),
        ("a byte changed, and it was not closed", &|scratch| {
            let path = largest(scratch, ".term");
            let mut bytes = fs::read(&path).unwrap();
            bytes[3] ^= 0x40;
            fs::write(&path, bytes).unwrap();
            fs::remove_file(scratch.0.join("closed")).unwrap();
        }),
        ("it could not be read", &|scratch| mark::note_damage(&scratch.0)),
    ];
    for (what, harm) in harms {
        let scratch = Scratch::new();
        let search = ledger.search(&scratch);
        assert_whole(&ledger, &search);
        search.stop();
        drop(search);
        harm(&scratch);
        let search = ledger.search(&scratch);
        wait(&search, ledger.tip());
        assert_whole(&ledger, &search);
        println!("{what}: made again");
    }
}

#[test]
fn an_index_of_another_chain_or_history_is_made_again() {
    let long = numbers(6);
    let scratch = Scratch::new();
    let search = long.search(&scratch);
    assert_whole(&long, &search);
    drop(search);
    // The same chain, but fewer blocks.
    let short = numbers(3);
    let search = short.search(&scratch);
    assert_whole(&short, &search);
    drop(search);
    let federation = Federation::named("another", 1);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(&federation.genesis));
    let mut other = Ledger { federation, store, unspent: Vec::new(), assets: Vec::new() };
    (0..3).for_each(|number| other.commit(&[numbered(number), numbered(number + 3)]));
    let search = other.search(&scratch);
    assert_eq!(search.height(), Height(0));
    wait(&search, other.tip());
    assert_eq!(search.select(&everything()).unwrap().found.rows.len(), 6);
}

#[test]
fn commits_do_not_wait_for_the_index() {
    let (mut ledger, scratch) = (Ledger::new(), Scratch::new());
    // One that would show nothing for an hour.
    let options = Options { pause: Duration::from_secs(3600), ..Options::default() };
    let store = Arc::clone(&ledger.store);
    let index = Index::open_with(&scratch.0, Arc::clone(&store), Arc::default(), options).unwrap();
    let search = Search { store, index: Some(index) };
    for number in 0..10 {
        ledger.commit(&[numbered(number)]);
    }
    assert_eq!(ledger.tip(), Height(10));
    assert_eq!(search.height(), Height(0));
    assert!(search.select(&everything()).unwrap().found.rows.is_empty());
    drop(search);
    assert_whole(&ledger, &ledger.search(&scratch));
}

#[test]
fn stopping_ends_at_once_and_keeps_what_was_taken_in() {
    let ledger = numbers(5);
    let scratch = Scratch::new();
    let search = ledger.search(&scratch);
    wait(&search, ledger.tip());
    search.stop();
    search.stop();
    drop(search);
    let search = ledger.search(&scratch);
    assert_eq!(search.height(), ledger.tip());
    assert_whole(&ledger, &search);
}
