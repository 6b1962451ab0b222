//! Processes are killed and paused under load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use cairn_tikv::{Client, Inserted, Settings, Trouble, Write};
use tokio::{task::JoinSet, time};

use super::{
    servers::Servers,
    world::{DEADLINE, Scratch, key, until},
};

const WRITERS: usize = 4;
const STORES: [&str; 3] = ["store-1", "store-2", "store-3"];

/// Inserts, rows and counts, one after the other, until it is told to stop.
struct Load {
    client: Client,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    writers: JoinSet<Vec<Vec<u8>>>,
}

impl Load {
    fn start(client: &Client) -> Self {
        Self::of(client, WRITERS)
    }

    fn of(client: &Client, writers: usize) -> Self {
        let mut load = Self {
            client: client.clone(),
            stop: Arc::default(),
            done: Arc::default(),
            writers: JoinSet::new(),
        };
        for writer in 0..writers {
            let (client, stop, done) =
                (client.clone(), Arc::clone(&load.stop), Arc::clone(&load.done));
            load.writers.spawn(async move { write(client, writer, &stop, &done).await });
        }
        load
    }

    async fn progress(&self, more: usize) {
        let enough = self.done.load(Ordering::SeqCst) + more;
        until("writes are acknowledged", async || {
            (self.done.load(Ordering::SeqCst) >= enough).then_some(())
        })
        .await;
    }

    /// What was acknowledged, and is therefore there.
    async fn stop(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let mut keys = vec![];
        while let Some(written) = self.writers.join_next().await {
            keys.extend(written.unwrap());
        }
        let found =
            until("all keys can be read", async || self.client.get_many(keys.clone()).await.ok())
                .await;
        let lost: Vec<_> = keys.iter().filter(|key| !found.contains_key(*key)).collect();
        assert!(lost.is_empty(), "{} of {} lost", lost.len(), keys.len());
    }
}

async fn write(
    client: Client,
    writer: usize,
    stop: &AtomicBool,
    done: &AtomicUsize,
) -> Vec<Vec<u8>> {
    let mut acknowledged = vec![];
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        let key = key(&format!("load-{writer}"), number);
        let written = time::timeout(DEADLINE, write_one(&client, &key, number)).await;
        match written.expect("every call comes back") {
            Ok(()) => {
                acknowledged.push(key);
                number += 1;
                done.fetch_add(1, Ordering::SeqCst);
            }
            Err(Trouble::Unreachable(_)) => {}
            Err(trouble) => panic!("{trouble:?}"),
        }
    }
    acknowledged
}

/// Again as it was after each trouble, so each of the kinds must bear it.
async fn write_one(client: &Client, key: &[u8], number: usize) -> Result<(), Trouble> {
    let value = number.to_string().into_bytes();
    match number % 4 {
        0 => match client.insert(key.to_vec(), value).await? {
            Inserted::Yes => {}
            Inserted::Taken(there) => panic!("nobody else writes {key:?}: {there:?}"),
        },
        1 => client.put_each(vec![(key.to_vec(), value)]).await?,
        2 => client.write(vec![Write::Put(key.to_vec(), value)]).await?,
        _ => {
            let own = key.to_vec();
            let decide = move |_: &[Option<Vec<u8>>]| {
                Ok::<_, ()>((vec![Write::Put(own.clone(), value.clone())], ()))
            };
            client.update(vec![key.to_vec()], decide).await?.unwrap();
        }
    }
    Ok(())
}

fn open(servers: &Servers) -> Client {
    let settings = Settings::of(vec![servers.pd.clone()]);
    Client::open(Settings { within: Duration::from_secs(5), ..settings }).unwrap()
}

async fn few_tasks(client: &Client) {
    until("what was given up is gone", async || (client.tasks() < 40).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_die_or_hang_lose_nothing_and_hold_nobody_up() {
    let scratch = Scratch::new("stores");
    let servers = Servers::start(&scratch.0);
    let client = open(&servers);
    let load = Load::start(&client);
    for store in STORES {
        load.progress(50).await;
        servers.kill(store);
        // Nothing that it learns at first need be so any more.
        let newcomer = open(&servers);
        until("a client that is new gets on too", async || {
            newcomer.put_each(vec![(key(store, 0), vec![1])]).await.ok()
        })
        .await;
        load.progress(50).await;
        servers.revive();
    }
    load.progress(50).await;
    servers.pause(STORES[0]);
    load.progress(50).await;
    servers.resume(STORES[0]);
    load.progress(50).await;
    few_tasks(&client).await;
    load.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pd_that_dies_or_hangs_is_found_again() {
    let scratch = Scratch::new("pd");
    let servers = Servers::start(&scratch.0);
    let client = open(&servers);
    let load = Load::start(&client);
    load.progress(50).await;
    servers.kill("pd");
    wait_for(&client, false).await;
    servers.revive();
    load.progress(50).await;

    servers.pause("pd");
    wait_for(&client, false).await;
    let now = time::timeout(DEADLINE, client.now_ms()).await.expect("it comes back");
    assert!(matches!(now, Err(Trouble::Unreachable(_))), "{now:?}");
    servers.resume("pd");
    load.progress(50).await;
    wait_for(&client, true).await;
    few_tasks(&client).await;
    load.stop().await;
}

/// A commit that is under way when its store dies asks PD for another, which dies as well: `tikv-client` then
/// says that it is in. Many writers, so that some of them are there at the wrong moment.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_when_stores_and_pd_died_is_not_called_written() {
    const TIMES: usize = 3;
    let scratch = Scratch::new("all");
    let servers = Servers::start(&scratch.0);
    let client = open(&servers);
    let load = Load::of(&client, 64);
    for _ in 0..TIMES {
        load.progress(200).await;
        STORES.iter().for_each(|store| servers.kill(store));
        servers.kill("pd");
        servers.revive();
    }
    load.progress(200).await;
    load.stop().await;
}

async fn wait_for(client: &Client, reachable: bool) {
    let mut watch = client.reachable();
    let turned = watch.wait_for(|now| now.is_yes() == reachable);
    time::timeout(DEADLINE, turned).await.expect("reachability turns").unwrap();
}

/// More callers than may be served at once, while nobody is there to serve them: all are told, and
/// the client finds out by itself when the stores are back.
#[tokio::test(flavor = "multi_thread")]
async fn without_stores_all_callers_are_told_and_nothing_piles_up() {
    let scratch = Scratch::new("none");
    let servers = Servers::start(&scratch.0);
    let client = open(&servers);
    client.put_each(vec![(key("kept", 0), vec![1])]).await.unwrap();
    STORES.iter().for_each(|store| servers.kill(store));
    let mut callers = JoinSet::new();
    for number in 0..300 {
        let client = client.clone();
        callers.spawn(async move {
            client.put_each(vec![(key("lost", number), vec![1; 1 << 10])]).await
        });
    }
    let mut told = 0;
    while let Some(outcome) = time::timeout(DEADLINE, callers.join_next()).await.unwrap() {
        let outcome = outcome.unwrap();
        assert!(matches!(outcome, Err(Trouble::Unreachable(_))), "{outcome:?}");
        told += 1;
    }
    assert_eq!(told, 300);
    wait_for(&client, false).await;
    few_tasks(&client).await;
    servers.revive();
    wait_for(&client, true).await;
    assert_eq!(client.get(key("kept", 0)).await.unwrap(), Some(vec![1]));
}
