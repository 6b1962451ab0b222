//! Whose keys are whose.

use cairn_tikv::{ClaimError, Space};

use super::world::client;

#[tokio::test(flavor = "multi_thread")]
async fn a_name_belongs_to_one_chain() {
    let client = client().await;
    let claim = |chain| Space::claim(client.clone(), "claimed", [chain; 32]);
    claim(1).await.unwrap();
    claim(1).await.unwrap();
    assert!(matches!(claim(2).await, Err(ClaimError::Foreign(name)) if name == "claimed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_newer_or_an_older_program_are_left_alone() {
    let client = client().await;
    let newer = [&[200][..], &[1; 32]].concat();
    client.insert(b"newer/chain".to_vec(), newer).await.unwrap();
    let claimed = Space::claim(client.clone(), "newer", [1; 32]).await;
    assert!(matches!(claimed, Err(ClaimError::TooNew { found: 200, .. })), "{claimed:?}");
    let older = [&[1][..], &[1; 32]].concat();
    client.insert(b"older/chain".to_vec(), older).await.unwrap();
    let claimed = Space::claim(client, "older", [1; 32]).await;
    assert!(matches!(claimed, Err(ClaimError::TooOld { found: 1, .. })), "{claimed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_begin_alike_share_no_key() {
    let client = client().await;
    let mut spaces = vec![];
    for name in ["a", "a-", "a0", "aa", "a-log"] {
        spaces.push(Space::claim(client.clone(), name, [1; 32]).await.unwrap());
    }
    spaces.push(spaces[0].below("log"));
    for space in &spaces {
        for rest in [&b""[..], b"/", b"log", b"log/x", &[0], &[255; 4]] {
            client.insert(space.key(rest), vec![1]).await.unwrap();
        }
    }
    for (place, space) in spaces.iter().enumerate() {
        let pairs = client.scan(space.all(), u32::MAX, false).await.unwrap();
        assert!(pairs.iter().all(|(key, _)| space.rest(key).is_some()));
        for (other_place, other) in spaces.iter().enumerate() {
            let nested = (place, other_place) == (0, 5) || (place, other_place) == (5, 0);
            let shared = pairs.iter().filter(|(key, _)| other.rest(key).is_some()).count();
            assert!(place == other_place || nested || shared == 0, "{place} {other_place}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_short_and_plain() {
    let client = client().await;
    for name in ["", "A", "a/b", "a_b", "ä", &"a".repeat(64)] {
        let claimed = Space::claim(client.clone(), name, [1; 32]).await;
        assert!(matches!(claimed, Err(ClaimError::Name(_))), "{name:?}");
    }
}
