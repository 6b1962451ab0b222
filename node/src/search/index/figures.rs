//! Figures of the index, for `BENCHMARKS.md`: how fast it is made, what it takes, how soon a
//! page is there. Ignored by default, for it takes minutes:
//!
//! ```text
//! CAIRN_SEARCH_ASSETS=1000000 cargo test --release -p cairn-node --lib -- \
//!     --ignored --nocapture search::index::figures
//! ```

use std::time::Duration;

use cairn_ledger::transaction::build::{self, Share};

use super::{super::Search, tests::Scratch, *};
use crate::{
    clock::Stopwatch,
    search::{Filter, Path, Selection},
    store::embedded::Embedded,
    testing::{Federation, key},
};

const BLOCK: u64 = 1000;
const ROUNDS: u64 = 300;

/// Numbers that look random and are the same each time.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn asset(number: u64) -> Vec<u8> {
    let dice = mix(number);
    let [kind, model, km, year] =
        [dice % 50, (dice >> 8) % 2000, (dice >> 20) % 1_000_000, (dice >> 44) % 40];
    let data = format!(
        r#"{{"kind":"kind-{kind}","model":"M{model:04}","km":{km},"year":{},"number":"{number:09}"}}"#,
        1985 + year
    );
    let metadata = format!(
        r#"{{"note":"seen in city {} by inspector {}","price":{}.5}}"#,
        dice % 97,
        dice % 1009,
        km / 7
    );
    let share = Share::to(key(u32::try_from(number % 100).unwrap()).public(), 1);
    build::create(&data, &metadata, &[share], &key(1)).unwrap()
}

fn folder_bytes(path: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| entry.metadata().map_or(0, |data| data.len())).sum()
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let lines =
        status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("RssAnon"));
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join(", ")
}

/// What this thread has had of a processor: what a page costs, however busy the machine is.
fn on_processor() -> Duration {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(spent.split(' ').next().unwrap().parse().unwrap())
}

/// Times by the clock, and on a processor.
#[derive(Default)]
struct Times {
    clock: Vec<Duration>,
    processor: Vec<Duration>,
}

impl Times {
    fn take<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (clock, processor) = (Stopwatch::start(), on_processor());
        let done = work();
        self.clock.push(clock.elapsed());
        self.processor.push(on_processor() - processor);
        done
    }

    fn print(&mut self, what: &str) {
        let (clock, processor) = (percentiles(&mut self.clock), percentiles(&mut self.processor));
        println!("{what}: {clock}; on a processor: {processor}");
    }
}

/// One question, made anew each round.
type Question = (&'static str, fn(u64) -> Selection);

fn by(filter: &str, sort: Option<&str>, descending: bool) -> Selection {
    Selection {
        filter: (!filter.is_empty()).then(|| Filter::parse(filter).unwrap()),
        sort: sort.map_or(SortBy::Chain, |path| SortBy::Field(Path::parse(path).unwrap())),
        descending,
        most: 100,
        ..super::tests::everything()
    }
}

const QUESTIONS: [Question; 8] = [
    ("= in chain order", |dice| by(&format!("asset.kind = \"kind-{}\"", dice % 50), None, false)),
    ("= one row", |dice| by(&format!("asset.number = \"{:09}\"", dice % 10_000), None, false)),
    ("= and range, by the range", |dice| {
        let (kind, km) = (dice % 50, dice % 900_000);
        by(&format!("asset.kind = \"kind-{kind}\" and asset.km >= {km}"), Some("asset.km"), false)
    }),
    ("= and range, by another field, descending", |dice| {
        let (model, year) = (dice % 2000, 1985 + dice % 40);
        by(
            &format!("asset.model = \"M{model:04}\" and asset.year < {year}"),
            Some("asset.km"),
            true,
        )
    }),
    ("range of a hundredth, by the range", |dice| {
        let km = dice % 900_000;
        by(&format!("asset.km >= {km} and asset.km < {}", km + 10_000), Some("asset.km"), false)
    }),
    ("range of a half, by another field", |dice| {
        by(&format!("asset.km < {}", 400_000 + dice % 200_000), Some("metadata.price"), true)
    }),
    ("prefix, by a string", |dice| {
        by(&format!("asset.model ^= \"M{:03}\"", dice % 200), Some("asset.number"), true)
    }),
    ("everything, the newest first", |_| by("", None, true)),
];

#[test]
#[ignore = "takes minutes, and is read rather than checked"]
fn figures() {
    let assets = std::env::var("CAIRN_SEARCH_ASSETS").map_or(100_000, |text| text.parse().unwrap());
    let (federation, scratch) = (Federation::new(1), Scratch::new());
    let store = Embedded::open(&scratch.0.join("data"), Arc::clone(&federation.genesis)).unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let clock = Stopwatch::start();
    for block in 0..assets / BLOCK {
        let bytes: Vec<Arc<[u8]>> =
            (0..BLOCK).map(|number| asset(block * BLOCK + number).into()).collect();
        federation.commit(&*store, &bytes);
    }
    println!("{assets} assets were made in {:.0} s; {}", clock.seconds(), resident());
    let clock = Stopwatch::start();
    let directory = scratch.0.join("search");
    let search = Search::open(&directory, Arc::clone(&store), Arc::default()).unwrap();
    super::tests::wait_for(&search, store.tip().0.height, Duration::from_secs(3600));
    let seconds = clock.seconds();
    #[expect(clippy::cast_precision_loss, reason = "figures are for people")]
    let (rate, each) = (assets as f64 / seconds, folder_bytes(&directory) as f64 / assets as f64);
    println!(
        "index made in {seconds:.1} s: {rate:.0} a second, {each:.0} bytes each; {}",
        resident()
    );
    let mut all = Times::default();
    for (what, question) in QUESTIONS {
        let mut times = Times::default();
        for round in 0..ROUNDS {
            let selection = question(mix(round));
            times.take(|| {
                let page = search.select(&selection).unwrap().found;
                for row in &page.rows {
                    let read = || store.transaction(row.place).unwrap();
                    assert!(row.body.clone().or_else(read).is_some());
                }
            });
        }
        times.print(what);
        all.clock.extend(times.clock);
        all.processor.extend(times.processor);
    }
    all.print("all");
    let mut times = Times::default();
    for round in 0..ROUNDS {
        let text = format!("inspector {}", mix(round) % 1009);
        times.take(|| search.text(Collection::Metadata, &text, 100).unwrap());
    }
    times.print("two words, one of which is in every row");
    println!("{}", resident());
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |hundredth: usize| times[(times.len() - 1) * hundredth / 100];
    format!("p50 {:?}, p99 {:?}, longest {:?}", at(50), at(99), at(100))
}
