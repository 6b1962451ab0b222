//! The client with nobody to talk to: a PD that is not there, or that takes connections and says
//! nothing. Needs no servers.

#![expect(clippy::unwrap_used, reason = "all of this is a test: what must not happen ends it")]

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use cairn_tikv::{Client, Inserted, Settings, Trouble, Write};
use tokio::{task::JoinSet, time::timeout};

/// What has not happened by then will not happen.
const DEADLINE: Duration = Duration::from_secs(60);

fn settings(pd: String) -> Settings {
    Settings {
        within: Duration::from_millis(800),
        attempt_within: Duration::from_millis(300),
        ..Settings::of(vec![pd])
    }
}

/// A PD that the kernel lets connections in for, and that never reads what they say.
fn hung() -> (TcpListener, Client) {
    let pd = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::open(settings(pd.local_addr().unwrap().to_string())).unwrap();
    (pd, client)
}

/// One with all the time in the world, for what must end without it.
fn patient(pd: &TcpListener) -> Client {
    let settings = settings(pd.local_addr().unwrap().to_string());
    Client::open(Settings { within: DEADLINE * 10, attempt_within: DEADLINE, ..settings }).unwrap()
}

fn unreachable<T: std::fmt::Debug>(outcome: Result<T, Trouble>) {
    assert!(matches!(outcome, Err(Trouble::Unreachable(_))), "{outcome:?}");
}

#[tokio::test]
async fn every_call_comes_back_from_a_pd_that_hangs() {
    let (_pd, client) = hung();
    let key = || b"key".to_vec();
    let calls = async {
        unreachable(client.now_ms().await);
        unreachable(client.get(key()).await);
        unreachable(client.get_many(vec![key(); 3]).await);
        unreachable(client.scan(key()..vec![255], 9, false).await);
        unreachable(client.insert(key(), vec![1]).await);
        unreachable(client.put_each(vec![(key(), vec![1])]).await);
        unreachable(client.write(vec![Write::Delete(key())]).await);
        unreachable(client.update(vec![key()], |_| Ok::<_, ()>((vec![], ()))).await);
    };
    timeout(DEADLINE, calls).await.expect("within its time");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_callers_than_fit_are_told_too() {
    let (_pd, client) = hung();
    let mut callers = JoinSet::new();
    for _ in 0..500 {
        let client = client.clone();
        callers.spawn(async move { client.insert(b"key".to_vec(), vec![1; 1 << 20]).await });
    }
    while let Some(outcome) = timeout(DEADLINE, callers.join_next()).await.expect("in time") {
        unreachable::<Inserted>(outcome.unwrap());
    }
}

#[tokio::test]
async fn who_cannot_be_reached_is_said_to_be_so() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::open(settings(nobody.to_string())).unwrap();
    let mut watch = client.reachable();
    assert!(watch.borrow().is_yes(), "until the contrary is known");
    let why = timeout(DEADLINE, async {
        loop {
            unreachable(client.get(b"key".to_vec()).await);
            if let Some(why) = watch.borrow_and_update().why.clone() {
                return why;
            }
        }
    });
    let why = why.await.expect("soon");
    assert!(why.contains(&nobody.to_string()), "{why}");
}

#[test]
fn closing_lets_go_of_those_who_wait() {
    let pd = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = patient(&pd);
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            thread::spawn(move || client.wait(|client| async move { client.now_ms().await }))
        })
        .collect();
    thread::sleep(Duration::from_millis(50));
    client.close();
    for waiter in waiting {
        unreachable(waiter.join().unwrap());
    }
    unreachable(client.wait(|client| async move { client.get(b"key".to_vec()).await }));
}

#[test]
fn code_of_any_kind_may_wait() {
    let (_pd, client) = hung();
    let ask = |client: &Client| client.wait(|client| async move { client.now_ms().await });
    unreachable(ask(&client));
    for runtime in [
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap(),
        tokio::runtime::Builder::new_current_thread().build().unwrap(),
    ] {
        // Neither has a clock: calls bring their own.
        unreachable(runtime.block_on(async { ask(&client) }));
        unreachable(runtime.block_on(client.now_ms()));
    }
}

#[test]
fn a_client_may_be_dropped_anywhere_in_any_state() {
    let (_pd, client) = hung();
    drop(client);
    let (_pd, client) = hung();
    unreachable(client.wait(|client| async move { client.now_ms().await }));
    drop(client);
    for runtime in [
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
    ] {
        runtime.block_on(async {
            let (_pd, client) = hung();
            unreachable(client.now_ms().await);
            drop(client);
            // In the middle of a call, and with the last of its own tasks.
            let (_pd, client) = hung();
            let _ = timeout(Duration::from_millis(50), client.now_ms()).await;
            let last = client.clone();
            drop(client);
            last.wait(|last| async move { drop(last) });
        });
    }
}

#[test]
fn the_observer_hears_how_each_call_went() {
    let pd = TcpListener::bind("127.0.0.1:0").unwrap();
    let heard = Arc::new(Mutex::new(vec![]));
    let observer = {
        let heard = Arc::clone(&heard);
        Arc::new(move |called: &cairn_tikv::Called| {
            heard.lock().unwrap().push((called.kind, called.outcome));
            assert!((0.0..60.0).contains(&called.seconds));
        })
    };
    let settings = settings(pd.local_addr().unwrap().to_string());
    let client = Client::open_observed(settings, observer).unwrap();
    client.wait(|client| async move {
        unreachable(client.now_ms().await);
        client.insert(vec![], vec![1]).await.unwrap_err();
        client.close();
        unreachable(client.get(vec![1]).await);
    });
    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard, [("now", "unreachable"), ("insert", "refused"), ("get", "unreachable")]);
}

#[test]
fn a_panic_in_a_call_goes_on_in_its_caller_and_the_client_lives() {
    let (_pd, client) = hung();
    let call = || client.wait(|_| async { panic!("on purpose") });
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).is_err());
    unreachable(client.wait(|client| async move { client.now_ms().await }));
}
