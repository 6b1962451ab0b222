//! What a write says happened is what happened, whoever else writes.

use std::{
    net::TcpListener,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cairn_tikv::{Client, Inserted, Settings, Trouble, Write};

use super::world::{client, key, shared_pd};

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_inserts_of_one_key_one_is_in_and_all_know_which() {
    let client = client().await;
    let inserting: Vec<_> = (0..50u8)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(
                async move { (number, client.insert(key("race", 0), vec![number + 1]).await) },
            )
        })
        .collect();
    let mut winners = vec![];
    let mut others = vec![];
    for task in inserting {
        let (number, inserted) = task.await.unwrap();
        match inserted.unwrap() {
            Inserted::Yes => winners.push(vec![number + 1]),
            Inserted::Taken(there) => others.push(there),
        }
    }
    assert_eq!(winners.len(), 1);
    assert!(others.iter().all(|there| *there == winners[0]), "{others:?}");
    assert_eq!(client.get(key("race", 0)).await.unwrap().as_ref(), Some(&winners[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_may_be_called_again() {
    let client = client().await;
    for value in [vec![7; 10], vec![7; 100_000]] {
        let key = key("again", value.len());
        for _ in 0..3 {
            assert_eq!(client.insert(key.clone(), value.clone()).await.unwrap(), Inserted::Yes);
        }
        assert_eq!(client.insert(key, vec![8]).await.unwrap(), Inserted::Taken(value));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_update_is_lost() {
    const WRITERS: usize = 6;
    const EACH: usize = 15;
    let client = client().await;
    let counting: Vec<_> = (0..WRITERS)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    client.update(vec![key("counter", 0)], count_one).await.unwrap().unwrap();
                }
            })
        })
        .collect();
    for task in counting {
        task.await.unwrap();
    }
    let count = client.get(key("counter", 0)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8(count).unwrap(), (WRITERS * EACH).to_string());
}

fn count_one(values: &[Option<Vec<u8>>]) -> Result<(Vec<Write>, ()), ()> {
    let count: usize = match &values[0] {
        Some(value) => String::from_utf8_lossy(value).parse().map_err(|_| ())?,
        None => 0,
    };
    Ok((vec![Write::Put(key("counter", 0), (count + 1).to_string().into_bytes())], ()))
}

/// Each writes one key only if nobody has written the other: both at once would break it, though no
/// key is written twice.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_also_meets_writes_of_keys_that_it_only_reads() {
    let (one, other) = (client().await, client().await);
    let both_have_read = Arc::new(Barrier::new(2));
    let update = |client: Client, own: usize| {
        let (first, meet) = (AtomicUsize::new(0), Arc::clone(&both_have_read));
        tokio::spawn(async move {
            let decide = move |values: &[Option<Vec<u8>>]| {
                if first.fetch_add(1, Ordering::SeqCst) == 0 {
                    meet.wait();
                }
                if values[1 - own].is_some() {
                    return Err("the other was first");
                }
                Ok((vec![Write::Put(key("skew", own), vec![1])], ()))
            };
            client.update(vec![key("skew", 0), key("skew", 1)], decide).await.unwrap()
        })
    };
    let (one, other) = (update(one, 0), update(other, 1));
    let written = [one.await.unwrap(), other.await.unwrap()];
    assert_eq!(written.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{written:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_all_in_and_deletes_gone() {
    let client = client().await;
    let writes = |from: usize, to: usize, bytes: usize| -> Vec<Write> {
        (from..to).map(|number| Write::Put(key("write", number), vec![1; bytes])).collect()
    };
    // Larger than one request, and almost as large as may be.
    client.write(writes(0, 400, 10_000)).await.unwrap();
    let keys: Vec<_> = (0..400).map(|number| key("write", number)).collect();
    assert_eq!(client.get_many(keys.clone()).await.unwrap().len(), 400);
    client.write(keys[..100].iter().cloned().map(Write::Delete).collect()).await.unwrap();
    assert_eq!(client.get_many(keys).await.unwrap().len(), 300);
    let refused = client.write(writes(0, 5, 1 << 20)).await.unwrap_err();
    assert!(matches!(refused, Trouble::Refused(_)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_writes_to_one_key_the_last_counts() {
    let client = client().await;
    let put = |number, value| Write::Put(key("twice", number), vec![value]);
    let delete = |number| Write::Delete(key("twice", number));
    client
        .write(vec![put(0, 1), put(1, 1), put(0, 2), delete(1), delete(2), put(2, 3)])
        .await
        .unwrap();
    let found = client.get_many((0..3).map(|number| key("twice", number)).collect()).await.unwrap();
    assert_eq!(found, [(key("twice", 0), vec![2]), (key("twice", 2), vec![3])].into());
}

/// The stores have regions that end at m, n, t and u: groups around those lie in two, which one-phase
/// commit cannot serve.
#[tokio::test(flavor = "multi_thread")]
async fn rows_go_in_whatever_regions_they_lie_in() {
    let client = client().await;
    let rows: Vec<_> = (0..600u32)
        .map(|number| {
            let letter = [b'l', b'm', b'n', b's', b't', b'u'][number as usize % 6];
            ([&[letter][..], b"-row", &number.to_be_bytes()].concat(), vec![letter; 150])
        })
        .collect();
    for _ in 0..2 {
        client.put_each(rows.clone()).await.unwrap();
    }
    let keys = rows.iter().map(|(key, _)| key.clone()).collect();
    let found = client.get_many(keys).await.unwrap();
    assert!(rows.iter().all(|(key, value)| found.get(key) == Some(value)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_store_could_keep_is_refused() {
    let client = client().await;
    let refused = |trouble: Trouble| assert!(matches!(trouble, Trouble::Refused(_)), "{trouble:?}");
    refused(client.insert(key("refused", 0), vec![]).await.unwrap_err());
    refused(client.insert(vec![1; 5000], vec![1]).await.unwrap_err());
    refused(client.insert(key("refused", 0), vec![1; 7 << 20]).await.unwrap_err());
    refused(client.put_each(vec![(key("refused", 0), vec![])]).await.unwrap_err());
    refused(client.get(vec![]).await.unwrap_err());
    let large = |_: &[Option<Vec<u8>>]| {
        Ok::<_, ()>((vec![Write::Put(key("refused", 1), vec![1; 5 << 20])], ()))
    };
    refused(client.update(vec![key("refused", 1)], large).await.unwrap_err());
    // The largest that is taken.
    assert_eq!(client.insert(key("large", 0), vec![1; 6 << 20]).await.unwrap(), Inserted::Yes);
    assert_eq!(client.get(key("large", 0)).await.unwrap().unwrap().len(), 6 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_panics_harms_its_own_call_alone() {
    client().await;
    let brief = Settings { within: Duration::from_secs(2), ..Settings::of(vec![shared_pd()]) };
    let client = Client::open(brief).unwrap();
    let decide = |_: &[Option<Vec<u8>>]| -> Result<(Vec<Write>, ()), ()> { panic!("on purpose") };
    let outcome = client.update(vec![key("panic", 0)], decide).await;
    assert!(matches!(&outcome, Err(Trouble::Unreachable(why)) if why.contains("on purpose")));
    client.write(vec![Write::Put(key("panic", 0), vec![1])]).await.unwrap();
}

/// `tikv-client` asks one endpoint after the other, and has all the time in the world for each.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_hangs_is_passed_over() {
    client().await;
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = shared_pd().replace("127.0.0.1", "localhost");
    let client = Client::open(Settings::of(vec![hung.local_addr().unwrap().to_string(), there]));
    assert_eq!(client.unwrap().get(key("absent", 0)).await.unwrap(), None);
}
