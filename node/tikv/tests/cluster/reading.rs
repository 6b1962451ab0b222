//! Many keys and long ranges, of any size.

use cairn_tikv::{Client, Pair};

use super::world::{client, key};

async fn fill(client: &Client, test: &str, count: usize, bytes: usize) -> Vec<Pair> {
    let rows: Vec<_> = (0..count).map(|number| (key(test, number), vec![7; bytes])).collect();
    client.put_each(rows.clone()).await.unwrap();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_keys_those_come_that_are_there() {
    let client = client().await;
    let rows = fill(&client, "many", 3000, 100).await;
    let keys: Vec<_> = (0..6000).map(|number| key("many", number)).collect();
    let found = client.get_many(keys).await.unwrap();
    assert_eq!(found.len(), 3000);
    assert!(rows.iter().all(|(key, value)| found.get(key) == Some(value)));
    assert!(client.get_many(vec![]).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_comes_in_order_from_either_end() {
    let client = client().await;
    let rows = fill(&client, "range", 1000, 100).await;
    let range = || key("range", 0)..key("range", 1000);
    assert_eq!(client.scan(range(), u32::MAX, false).await.unwrap(), rows);
    assert_eq!(client.scan(range(), 700, false).await.unwrap(), rows[..700]);
    let mut backwards = rows.clone();
    backwards.reverse();
    assert_eq!(client.scan(range(), u32::MAX, true).await.unwrap(), backwards);
    assert_eq!(client.scan(range(), 1, true).await.unwrap(), backwards[..1]);
    assert_eq!(client.scan(key("range", 5)..key("range", 7), 9, false).await.unwrap(), rows[5..7]);
    assert!(client.scan(key("range", 5)..key("range", 5), 9, false).await.unwrap().is_empty());
    assert!(client.scan(range(), 0, false).await.unwrap().is_empty());
}

/// Together more than one message may hold.
#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_large_together_come_all_the_same() {
    const COUNT: usize = 80;
    let client = client().await;
    let rows = fill(&client, "large", COUNT, 1 << 20).await;
    let keys = rows.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(client.get_many(keys).await.unwrap().len(), COUNT);
    let scanned = client.scan(key("large", 0)..key("large", COUNT), u32::MAX, false).await.unwrap();
    assert!(scanned == rows, "{} came", scanned.len());
}
