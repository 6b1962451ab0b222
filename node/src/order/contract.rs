//! What every [`super::Order`] must do; each implementation's tests call it.

use std::{sync::Arc, time::Duration};

use cairn_ledger::{
    ids::Position,
    limits::{BATCH_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX},
};

use super::{AppendError, Batch, Order, Ordered, ReadError};

/// Long enough for a machine that does other things too; nothing waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs every promise, each on logs of its own: `make(n)` gives `n` validators' views of one
/// empty log, and something to keep for as long as they are in use.
pub(crate) async fn suite<T>(make: impl AsyncFn(usize) -> (Vec<Arc<dyn Order>>, T)) {
    for count in [1, 3] {
        let (views, keep) = make(count).await;
        empty_reads_at_the_end(&views).await;
        what_goes_in_comes_out_the_same_everywhere(&views).await;
        too_large_is_refused(&views).await;
        concurrent_appends_are_all_in_once(&views).await;
        the_end_wakes(&views).await;
        most_bytes_holds_but_one_always_comes(&views).await;
        released_is_gone_and_later_stays(&views).await;
        for view in &views {
            assert!(!view.describe().is_empty());
            view.stop().await;
        }
        drop(keep);
    }
}

/// A batch that no other seed gives.
pub(crate) fn batch(seed: u64, transactions: usize, bytes: usize) -> Batch {
    let one = |index: usize| {
        let mut text = format!("{seed}/{index}/").into_bytes();
        text.resize(bytes.max(text.len()), u8::try_from(seed % 251).unwrap());
        Arc::from(text)
    };
    Batch { transactions: (0..transactions).map(one).collect() }
}

/// Appends until it is in: trouble is weather. An unknown outcome is not repeated.
pub(crate) async fn append(view: &Arc<dyn Order>, batch: &Batch) -> Position {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match view.append(batch).await {
            Ok(position) => return position,
            Err(AppendError::Unavailable(reason)) => {
                assert!(tokio::time::Instant::now() < deadline, "never available: {reason}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("append: {error}"),
        }
    }
}

/// Everything after a position up to another, once this view knows it.
pub(crate) async fn read_up_to(
    view: &Arc<dyn Order>,
    after: Position,
    up_to: Position,
    most_bytes: usize,
) -> Vec<Ordered> {
    reach(view, up_to).await;
    let mut all: Vec<Ordered> = Vec::new();
    loop {
        let after = all.last().map_or(after, |last| last.position);
        if after >= up_to {
            return all;
        }
        let more = view.read(after, most_bytes).await.unwrap();
        assert!(!more.is_empty(), "a hole after {after}, before {up_to}");
        all.extend(more);
    }
}

/// Waits until a view's end is there.
pub(crate) async fn reach(view: &Arc<dyn Order>, position: Position) {
    let mut end = view.end();
    tokio::time::timeout(PATIENCE, end.wait_for(|end| *end >= position))
        .await
        .expect("every view reaches the end")
        .unwrap();
}

async fn empty_reads_at_the_end(views: &[Arc<dyn Order>]) {
    for view in views {
        assert_eq!(view.read(Position(0), usize::MAX).await.unwrap(), vec![]);
        let end = *view.end().borrow();
        assert_eq!(view.read(end, 0).await.unwrap(), vec![]);
    }
}

async fn what_goes_in_comes_out_the_same_everywhere(views: &[Arc<dyn Order>]) {
    let batches = [
        batch(0, 1, 1),
        batch(1, 3, 700),
        Batch::default(),
        batch(2, 12, TRANSACTION_BYTES_MAX),
        batch(3, BATCH_TRANSACTIONS_MAX, 8),
    ];
    let mut expected = Vec::new();
    for (index, batch) in batches.iter().enumerate() {
        let position = append(&views[index % views.len()], batch).await;
        expected.push(Ordered { position, batch: batch.clone() });
    }
    assert!(expected.is_sorted_by(|a, b| a.position < b.position), "positions grow");
    assert!(expected[0].position > Position(0), "0 is before the first");
    let last = expected[expected.len() - 1].position;
    for view in views {
        assert_eq!(read_up_to(view, Position(0), last, usize::MAX).await, expected);
        assert_eq!(read_up_to(view, expected[1].position, last, 1).await, expected[2..]);
        assert_eq!(view.read(last, usize::MAX).await.unwrap(), vec![]);
    }
}

async fn too_large_is_refused(views: &[Arc<dyn Order>]) {
    let before = append(&views[0], &batch(10, 1, 1)).await;
    for batch in [batch(11, BATCH_TRANSACTIONS_MAX + 1, 8), batch(12, 17, TRANSACTION_BYTES_MAX)] {
        for view in views {
            let refused = view.append(&batch).await;
            assert!(matches!(refused, Err(AppendError::TooLarge { .. })), "{refused:?}");
        }
    }
    // A single transaction above its own limit would read back as an empty batch.
    let oversized = views[0].append(&batch(13, 1, TRANSACTION_BYTES_MAX + 1)).await;
    assert!(matches!(oversized, Err(AppendError::TooLarge { .. })), "{oversized:?}");
    let after = append(&views[0], &batch(14, 1, 1)).await;
    assert_eq!(read_up_to(&views[0], before, after, usize::MAX).await.len(), 1);
}

async fn concurrent_appends_are_all_in_once(views: &[Arc<dyn Order>]) {
    let start = append(&views[0], &batch(20, 1, 1)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for seed in 1_000..1_024 {
        let view = Arc::clone(&views[usize::try_from(seed).unwrap() % views.len()]);
        tasks.spawn(async move {
            let batch = batch(seed, 2, 300);
            let position = append(&view, &batch).await;
            Ordered { position, batch }
        });
    }
    let mut expected = tasks.join_all().await;
    expected.sort_by_key(|ordered| ordered.position);
    let last = expected[expected.len() - 1].position;
    for view in views {
        assert_eq!(read_up_to(view, start, last, 2_000).await, expected);
    }
}

async fn the_end_wakes(views: &[Arc<dyn Order>]) {
    let mut waiting = tokio::task::JoinSet::new();
    for view in views {
        let mut end = view.end();
        let before = *end.borrow_and_update();
        waiting
            .spawn(async move { end.wait_for(|now| *now > before).await.map(|now| *now).unwrap() });
    }
    append(&views[views.len() - 1], &batch(30, 1, 1)).await;
    let woken = tokio::time::timeout(PATIENCE, waiting.join_all()).await;
    assert_eq!(woken.expect("all are woken").len(), views.len());
}

async fn most_bytes_holds_but_one_always_comes(views: &[Arc<dyn Order>]) {
    let view = &views[0];
    let before = append(view, &batch(40, 1, 1)).await;
    for seed in 41..45 {
        append(view, &batch(seed, 1, 1_000)).await;
    }
    let last = append(view, &batch(45, 1, 1_000)).await;
    reach(view, last).await;
    assert_eq!(view.read(before, 0).await.unwrap().len(), 1);
    assert_eq!(view.read(before, 999).await.unwrap().len(), 1);
    assert_eq!(view.read(before, 3_100).await.unwrap().len(), 3);
    assert_eq!(view.read(before, usize::MAX).await.unwrap().len(), 5);
}

async fn released_is_gone_and_later_stays(views: &[Arc<dyn Order>]) {
    let mut positions = Vec::new();
    for seed in 50..56 {
        positions.push(append(&views[0], &batch(seed, 1, 500)).await);
    }
    let last = positions[positions.len() - 1];
    for view in views {
        reach(view, last).await;
        view.release(positions[2]).await;
        // Forgetting may take its time, reading the rest may not notice it.
        let forgets = async {
            loop {
                let rest = view.read(positions[2], usize::MAX).await.unwrap();
                assert_eq!(rest.len(), 3);
                match view.read(Position(0), 1).await {
                    Err(ReadError::Released(first)) => {
                        assert!(first > Position(0) && first <= positions[2], "{first}");
                        if first == positions[2] {
                            break;
                        }
                    }
                    Ok(some) => assert_eq!(some.len(), 1),
                    Err(error) => panic!("{error}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, forgets).await.expect("what is released is forgotten");
        // Going back is nothing, and so is what is released already.
        view.release(positions[0]).await;
        assert_eq!(read_up_to(view, positions[3], last, usize::MAX).await.len(), 2);
    }
    let more = append(&views[0], &batch(60, 1, 1)).await;
    for view in views {
        assert_eq!(read_up_to(view, last, more, usize::MAX).await.len(), 1);
    }
}
