//! A validator that was away longer than the log on the others' disks reaches back.

use cairn_ledger::signature::SigningKey;
use cairn_node::clock;

use super::{
    client::{Client, asset, id_of},
    federation::{Federation, until},
};

/// So much is decided while one is away that the others have cut the log behind it: blocks
/// are what it catches up by, and then it votes again.
#[test]
fn whoever_was_away_longer_than_the_log_reaches_back_catches_up_by_blocks() {
    let mut federation = Federation::start("long-away", 4);
    federation.nodes[3].commits();
    federation.nodes[3].kill();
    let (client, owner) = (Client::new(), SigningKey::from_seed(clock::random()));
    let first_segment = federation.nodes[0].data().join("raft").join("0000000000000001.log");
    let mut acknowledged = Vec::new();
    until("the log is cut", || {
        let numbers = acknowledged.len()..acknowledged.len() + 64;
        let assets: Vec<_> = numbers.map(|number| asset(number, &owner, 60_000)).collect();
        let answer = client.commit_many(federation.nodes[0].api, &assets)?;
        assert_eq!(answer.matches("\"committed\"").count(), 64, "{answer}");
        acknowledged.extend(assets.iter().map(|asset| id_of(asset)));
        (!first_segment.exists()).then_some(())
    });
    federation.nodes[3].start_and_serve();
    acknowledged.push(federation.nodes[3].commits());
    federation.agrees_on(&acknowledged);
    // The quorum needs it now.
    federation.nodes[0].kill();
    acknowledged.push(federation.nodes[3].commits());
    federation.start_all();
    federation.agrees_on(&acknowledged);
    federation.nothing_alarming();
}
