//! The largest that the API takes goes through TiKV, in pieces where it must; what is larger is
//! refused at the door, by the API's stable code.

use cairn_ledger::{limits::TRANSACTION_BYTES_MAX, signature::SigningKey};
use cairn_node::clock;
use serde_json::Value;

use super::{
    client::{Client, asset, id_of},
    federation::until,
    hand::World,
};

/// As many of the largest transactions as one block takes, nearly.
const LISTS: usize = 4;
const IN_A_LIST: usize = 15;

/// An asset of so many bytes in all.
fn sized(number: usize, bytes: usize) -> Vec<u8> {
    let owner = SigningKey::from_seed(clock::random());
    let smallest = asset(number, &owner, 0).len();
    let made = asset(number, &owner, bytes - smallest);
    assert_eq!(made.len(), bytes);
    made
}

/// Posts one to API v2.
fn post(port: u16, transaction: &[u8]) -> (u16, Value) {
    let url = format!("http://127.0.0.1:{port}/api/v2/transactions");
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let request = ureq::Agent::from(config).post(&url).header("content-type", "application/json");
    let mut answer = request.send(transaction).unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), serde_json::from_str(&text).unwrap())
}

#[test]
fn the_largest_goes_through_and_what_is_larger_is_refused_by_name() {
    let mut world = World::start("tikv-limits");
    let federation = &mut world.federation;
    let first = federation.nodes[0].commits();

    let too_large = sized(0, TRANSACTION_BYTES_MAX + 1);
    let (status, answer) = post(federation.nodes[0].api, &too_large);
    assert_eq!((status, &answer["code"]), (413, &"TX_TOO_LARGE".into()), "{answer}");

    // At once, at all validators, so that they share blocks.
    let mut acknowledged = vec![first];
    let posts: Vec<_> = (0..LISTS)
        .map(|list| {
            let made = (0..IN_A_LIST).map(|at| sized(at, TRANSACTION_BYTES_MAX));
            let (made, port) = (made.collect::<Vec<_>>(), federation.nodes[list].api);
            std::thread::spawn(move || {
                let _ = Client::new().commit_many(port, &made);
                made
            })
        })
        .collect();
    for post in posts {
        acknowledged.extend(post.join().unwrap().iter().map(|one| id_of(one)));
    }
    // Whatever was answered within the client's patience, each of them is decided.
    for id in &acknowledged {
        until("the largest are decided", || federation.nodes[0].has(id).then_some(()));
    }
    let end = federation.nodes[0].height().unwrap();
    let largest =
        (1..=end).filter_map(|height| federation.nodes[0].block(height)).map(|it| it.len());
    let largest = largest.max().unwrap();
    eprintln!("the largest block has {largest} bytes");
    assert!(largest > 4 * 128 * 1024, "all blocks were a piece or two: {largest} bytes");

    // What is in memory would hide what cannot be read back.
    for node in &mut federation.nodes {
        assert!(node.stop().success(), "{}", node.logged());
    }
    federation.start_all();
    federation.agrees_on(&acknowledged);
    federation.nothing_alarming();
    world.hand.log_is_whole();
}
