//! What followers are told: everything wanted, once, in order, from wherever they begin.

use cairn_ledger::ids::TransactionId;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    store::{Store, memory::MemoryStore},
    testing::{Federation, Signed, create, key, transfer},
};

struct Chain {
    federation: Federation,
    store: Arc<MemoryStore>,
    streams: Arc<Streams>,
}

impl Chain {
    /// One that says at once when there is nothing to tell.
    fn new() -> Self {
        Self::with(StreamLimits { quiet: Duration::ZERO, ..StreamLimits::default() })
    }

    fn with(limits: StreamLimits) -> Self {
        let federation = Federation::new(4);
        let genesis = Arc::clone(&federation.genesis);
        let store = Arc::new(MemoryStore::new(&genesis));
        let query = Arc::new(Query::new(Arc::clone(&store) as Arc<dyn Store>, genesis));
        let streams = Streams::new(query, Arc::new(Metrics::new()), limits);
        Self { federation, store, streams }
    }

    fn commit(&self, transactions: &[&Signed]) {
        let bytes: Vec<_> = transactions.iter().map(|signed| Arc::clone(&signed.bytes)).collect();
        self.federation.commit(&*self.store, &bytes);
    }

    fn follow(&self, next: Next, filter: &Filter) -> Follower {
        self.streams.follow(Kind::Sse, Some(next), filter.clone()).expect("there is a place")
    }

    /// All that is told up to the tip.
    async fn told(&self, next: Next, filter: &Filter) -> Vec<Value> {
        rest(&mut self.follow(next, filter)).await
    }
}

async fn rest(follower: &mut Follower) -> Vec<Value> {
    let mut told = Vec::new();
    while let News::Events(portion) = follower.news().await.unwrap() {
        let events = portion.json().map(|json| serde_json::from_slice(&json).unwrap());
        told.extend(events);
    }
    told
}

fn ids(told: &[Value]) -> Vec<&str> {
    told.iter().map(|event| event["event_id"].as_str().unwrap()).collect()
}

/// One token of an asset, from key 1 to key 1.
fn asset(note: &str) -> Signed {
    create(&key(1), note, &[(&[key(1).public()], 1)])
}

fn given(asset: &Signed, to: u32) -> Signed {
    transfer(asset.id, &[(&key(1), asset.output(0))], &[(&[key(to).public()], 1)])
}

/// Three blocks: two assets; one given away, twice, of which one is refused, and something that is
/// no transaction; one more asset.
fn story(chain: &Chain) -> [Signed; 5] {
    let (a, b, c) = (asset("a"), asset("b"), asset("c"));
    let (moved, again) = (given(&a, 2), given(&a, 3));
    let nonsense = Signed { id: TransactionId::default(), bytes: Arc::from(&b"{\"id\": 7"[..]) };
    chain.commit(&[&a, &b]);
    chain.commit(&[&moved, &again, &nonsense]);
    chain.commit(&[&c]);
    [a, b, moved, again, c]
}

#[tokio::test]
async fn a_follower_is_told_every_transaction_and_then_its_block() {
    let chain = Chain::new();
    let [a, _, moved, again, _] = story(&chain);
    let told = chain.told(Next::of(Height(0)), &Filter::default()).await;
    assert_eq!(ids(&told), ["1:0", "1:1", "1", "2:0", "2", "3:0", "3"]);
    let block = chain.store.block(Height(2)).unwrap().unwrap();
    let expected = serde_json::json!([
        {"event": "transaction", "event_id": "1:0", "height": 1, "index": 0, "id": a.id,
            "asset_id": a.id, "operation": "CREATE", "status": "committed"},
        {"event": "transaction", "event_id": "2:0", "height": 2, "index": 0, "id": moved.id,
            "asset_id": a.id, "operation": "TRANSFER", "status": "committed"},
        {"event": "block", "event_id": "2", "height": 2, "id": block.header.id(),
            "time_ms": block.header.time_ms, "transactions": 3, "committed": 1},
    ]);
    assert_eq!(Value::from([&told[0], &told[3], &told[4]].map(Value::clone).to_vec()), expected);

    let all = Filter { refused: true, ..Filter::default() };
    let told = chain.told(Next::of(Height(2)), &all).await;
    assert_eq!(ids(&told), ["2:0", "2:1", "2:2", "2", "3:0", "3"]);
    assert_eq!(told[1]["id"], again.id.to_string());
    assert_eq!(
        (&told[1]["status"], &told[1]["reason"]["code"]),
        (&"refused".into(), &"DOUBLE_SPEND".into())
    );
    assert_eq!(
        (&told[2]["id"], &told[2]["operation"]),
        (&Value::Null, &Value::Null),
        "{}",
        told[2]
    );
}

#[tokio::test]
async fn filters_leave_out_what_is_not_wanted() {
    let chain = Chain::new();
    let [a, b, ..] = story(&chain);
    let operation = |name| Operation::named(name).unwrap();
    let none = || Filter { blocks: false, ..Filter::default() };
    #[rustfmt::skip]
    let table = [
        (none(), "1:0 1:1 2:0 3:0", "no blocks"),
        (Filter { transactions: false, ..Filter::default() }, "1 2 3", "blocks only"),
        (Filter { refused: true, ..none() }, "1:0 1:1 2:0 2:1 2:2 3:0", "refused ones too"),
        (Filter { assets: vec![a.id], ..none() }, "1:0 2:0", "an asset: its CREATE and its TRANSFERs"),
        (Filter { assets: vec![a.id, b.id], ..none() }, "1:0 1:1 2:0", "one of two assets"),
        (Filter { assets: vec![a.id], ..Filter::default() }, "1:0 1 2:0 2 3", "blocks come all the same"),
        (Filter { operations: vec![operation("TRANSFER")], ..none() }, "2:0", "an operation"),
        (Filter { operations: vec![operation("VOTE")], ..none() }, "", "that nobody did"),
        (Filter { owners: vec![key(2).public()], ..none() }, "2:0", "who was given it"),
        (Filter { owners: vec![key(3).public()], ..none() }, "", "who was given it in vain"),
        (Filter { owners: vec![key(3).public()], refused: true, ..none() }, "2:1", "and is told so"),
        (Filter { owners: vec![key(1).public()], ..none() }, "1:0 1:1 2:0 3:0", "who gave it, or made it"),
        (Filter { assets: vec![a.id], operations: vec![operation("CREATE")], ..none() }, "1:0", "both must hold"),
    ];
    for (filter, wanted, why) in table {
        let told = chain.told(Next::of(Height(0)), &filter).await;
        assert_eq!(ids(&told).join(" "), wanted, "{why}");
    }
}

#[tokio::test]
async fn a_place_above_the_tip_is_waited_for() {
    let chain = Chain::new();
    story(&chain);
    for next in [Next::of(Height(5)), Next::behind("4".parse().unwrap())] {
        assert!(chain.told(next, &Filter::default()).await.is_empty());
    }
    let mut waiting = chain.follow(Next::behind("4:0".parse().unwrap()), &Filter::default());
    for note in ["d", "e"] {
        chain.commit(&[&asset(note)]);
    }
    assert_eq!(
        ids(&rest(&mut waiting).await),
        ["4", "5:0", "5"],
        "what is behind that event, once it is there"
    );
    let now = chain.streams.follow(Kind::Sse, None, Filter::default());
    let mut now = now.expect("there is a place");
    chain.commit(&[&asset("f")]);
    assert_eq!(ids(&rest(&mut now).await), ["6:0", "6"], "from now on");
}

#[tokio::test]
async fn who_wants_nothing_hears_how_far_it_got() {
    let chain = Chain::with(StreamLimits::default());
    for number in 0..PROGRESS_BLOCKS + 3 {
        chain.commit(&[&asset(&number.to_string())]);
    }
    let nothing = Filter {
        operations: Operation::named("VOTE").into_iter().collect(),
        ..Filter::committed()
    };
    let mut follower = chain.follow(Next::of(Height(1)), &nothing);
    let News::Quiet(at) = follower.news().await.unwrap() else { panic!("nothing is wanted") };
    assert_eq!(
        at,
        EventId::block(Height(PROGRESS_BLOCKS as u64)),
        "long before it is quiet for long"
    );
}

#[tokio::test]
async fn a_portion_is_small_and_nothing_is_between_portions() {
    let chain = Chain::new();
    let many: Vec<_> = (0..400).map(|number| asset(&number.to_string())).collect();
    chain.commit(&many.iter().collect::<Vec<_>>());
    let mut follower = chain.follow(Next::of(Height(0)), &Filter::default());
    let (mut lines, mut portions) = (Vec::new(), 0);
    while let News::Events(portion) = follower.news().await.unwrap() {
        assert!(portion.lines().len() <= PORTION_BYTES + 1024, "{}", portion.lines().len());
        lines.extend_from_slice(&portion.lines());
        portions += 1;
    }
    assert!(portions > 2, "{portions}");
    let whole = chain.streams.events_at(Height(1)).await.unwrap();
    let told = (0..400).map(|index| format!("1:{index}")).chain(["1".to_owned()]);
    let said = String::from_utf8(lines).unwrap();
    assert_eq!(said.matches("\n\n").count(), whole.count());
    for (event, id) in said.split_terminator("\n\n").zip(told) {
        assert!(event.starts_with(&format!("id: {id}\nevent: ")), "{event}");
        assert_eq!(event.lines().count(), 3, "{event}");
    }
}

#[tokio::test]
async fn a_block_is_read_once_for_all_who_follow() {
    let chain = Chain::new();
    story(&chain);
    let (one, two) =
        tokio::join!(chain.streams.events_at(Height(2)), chain.streams.events_at(Height(2)));
    assert!(Arc::ptr_eq(&one.unwrap(), &two.unwrap()));
    for _ in 0..2 * BLOCKS_KEPT {
        chain.commit(&[]);
    }
    for height in 1..=2 * BLOCKS_KEPT as u64 {
        chain.streams.events_at(Height(height)).await.unwrap();
    }
    assert_eq!(chain.streams.recent.lock().len(), BLOCKS_KEPT);
}

#[tokio::test]
async fn there_are_so_many_places_and_who_leaves_gives_its_place_back() {
    let chain = Chain::with(StreamLimits { streams: 2, ..StreamLimits::default() });
    let follow = || chain.streams.follow(Kind::V1, None, Filter::committed());
    let (first, second) = (follow().unwrap(), follow().unwrap());
    assert!(follow().is_none());
    let open = chain.streams.metrics.streams.with_label_values(&["v1"]);
    assert_eq!(open.get(), 2);
    drop(first);
    assert_eq!(open.get(), 1);
    let third = follow();
    assert!(third.is_some() && follow().is_none());
    drop((second, third));
    assert_eq!(open.get(), 0);
}

#[tokio::test]
async fn who_leaves_what_it_was_handed_was_slow_and_who_leaves_while_it_waits_was_not() {
    let chain = Chain::with(StreamLimits {
        patience: Duration::ZERO,
        quiet: Duration::ZERO,
        ..StreamLimits::default()
    });
    story(&chain);
    let slow = chain.streams.metrics.stream_readers_dropped.with_label_values(&["slow"]);
    let mut waits = chain.follow(Next::of(Height(9)), &Filter::default());
    waits.quiet_until += Duration::from_secs(3600);
    tokio::select! {
        biased;
        _ = waits.news() => panic!("there is no news"),
        () = tokio::task::yield_now() => {}
    }
    drop(waits);
    assert_eq!(slow.get(), 0);
    let mut handed = chain.follow(Next::of(Height(1)), &Filter::default());
    handed.news().await.unwrap();
    drop(handed);
    assert_eq!(slow.get(), 1);
}

/// Any blocks, any place to begin, any filter.
fn filters() -> impl Strategy<Value = Filter> {
    let owners = prop::collection::vec((1_u32..4).prop_map(|seed| key(seed).public()), 0..3);
    let operations = prop::sample::subsequence(vec!["CREATE", "TRANSFER"], 0..=2);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (flags, owners, operations).prop_map(|((transactions, blocks, refused), owners, operations)| {
        let operations = operations.into_iter().filter_map(Operation::named).collect();
        Filter { transactions, blocks, refused, owners, operations, assets: Vec::new() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn from_every_event_on_a_follower_is_told_exactly_the_rest(
        blocks in prop::collection::vec(prop::collection::vec(0_u32..4, 0..5), 1..5),
        filter in filters(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let chain = Chain::new();
        let mut assets = Vec::new();
        for (height, block) in blocks.iter().enumerate() {
            // 0 makes an asset; another number gives the first one to that key, which works once.
            let transactions = block.iter().enumerate().map(|(index, what)| match (what, assets.first()) {
                (1.., Some(first)) => given(first, *what),
                _ => {
                    let made = asset(&format!("{height}:{index}"));
                    assets.push(made.clone());
                    made
                }
            });
            let transactions: Vec<_> = transactions.collect();
            chain.commit(&transactions.iter().collect::<Vec<_>>());
        }
        runtime.block_on(async {
            let everything = Filter { refused: true, ..Filter::default() };
            let all = chain.told(Next::of(Height(0)), &everything).await;
            let wanted = chain.told(Next::of(Height(0)), &filter).await;
            let place = |event: &Value| all.iter().position(|other| other["event_id"] == event["event_id"]);
            prop_assert!(wanted.iter().all(|event| place(event).is_some()));
            for (at, event) in all.iter().enumerate() {
                let id: EventId = event["event_id"].as_str().unwrap().parse().unwrap();
                let behind: Vec<_> = wanted.iter().filter(|event| place(event) > Some(at)).cloned().collect();
                prop_assert_eq!(&chain.told(Next::behind(id), &filter).await, &behind, "behind {}", id);
                if id.index == Some(0) || chain.store.block(id.height).unwrap().unwrap().body.is_empty() {
                    let from: Vec<_> = wanted.iter().filter(|event| place(event) >= Some(at)).cloned().collect();
                    prop_assert_eq!(&chain.told(Next::of(id.height), &filter).await, &from, "from {}", id);
                }
            }
            Ok(())
        })?;
    }
}
