//! Single moments that a random schedule seldom hits: a writer dies between an insert and its
//! answer, a slot arrives where another stood and went, the log is put back under a new writer,
//! two write at a time.

use super::*;

/// What a client was told, held against what is in the log, from its beginning up to a position.
async fn assert_told(nodes: &Nodes, last: Position, told: &[(u64, Result<Position, AppendError>)]) {
    let mut first = None;
    for view in nodes.views() {
        let all = read_up_to(&view, Position(0), last, usize::MAX).await;
        for (seed, outcome) in told {
            let found = all.iter().filter(|it| it.batch == batch(*seed, 1, 100));
            let found: Vec<_> = found.map(|it| it.position).collect();
            match outcome {
                Ok(position) => assert_eq!(found, [*position], "{seed} is there once"),
                Err(AppendError::Unknown(_)) => assert!(found.len() <= 1, "{seed} is in twice"),
                Err(_) => assert_eq!(found, [], "{seed} was not to be in"),
            }
        }
        assert_eq!(*first.get_or_insert_with(|| all.clone()), all, "all read the same");
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_dies_around_its_insert_leaves_the_batch_in_or_out() {
    #[rustfmt::skip]
    let table = [ // the insert had its effect, the append came from the writer's own node
        (false, true,  0, "never sent, and only the writer knew"),
        (false, false, 0, "never sent, and another waits for the answer"),
        (true,  true,  1, "in, and only the writer knew"),
        (true,  false, 1, "in, and another waits for the answer"),
    ];
    for (effect, own, expected, why) in table {
        let fake = Fake::new(20);
        let mut nodes = over(&fake, 3);
        append(&nodes.view(0), &batch(1, 1, 100)).await;
        let writer = nodes.writer().unwrap();
        if effect {
            fake.hold_answers(writer, true);
        } else {
            fake.hold_inserts(writer, true);
        }
        let from = if own { writer } else { (writer + 1) % 3 };
        let appends = |seed: u64| {
            let view = nodes.view(from);
            tokio::spawn(async move { view.append(&batch(seed, 1, 100)).await })
        };
        let dying = appends(2);
        until("it is under way", || fake.held(writer) > 0).await;
        // This one waits for the next slot.
        let waiting = appends(3);
        tokio::time::sleep(Duration::from_millis(20)).await;
        nodes.kill(writer);
        let told = [(2, dying.await.unwrap()), (3, waiting.await.unwrap())];
        assert!(matches!(told[0].1, Err(AppendError::Unknown(_))), "{why}: {:?}", told[0].1);
        let last = append(&nodes.view((writer + 2) % 3), &batch(4, 1, 100)).await;
        assert_told(&nodes, last, &told).await;
        let all = read_up_to(&nodes.view((writer + 1) % 3), Position(0), last, usize::MAX).await;
        assert_eq!(all.iter().filter(|it| it.batch == batch(2, 1, 100)).count(), expected, "{why}");
        assert_eq!(fake.overwritten(), 0, "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_dies_while_it_begins_is_replaced() {
    for effect in [false, true] {
        let fake = Fake::new(21);
        for me in 0..3 {
            fake.hold_inserts(me, !effect);
            fake.hold_answers(me, effect);
        }
        let mut nodes = over(&fake, 3);
        until("one begins", || (0..3).any(|me| fake.held(me) > 0)).await;
        let writer = (0..3).find(|me| fake.held(*me) > 0).unwrap();
        nodes.kill(writer);
        for me in 0..3 {
            fake.hold_inserts(me, false);
            fake.hold_answers(me, false);
        }
        let last = append(&nodes.view((writer + 1) % 3), &batch(1, 1, 100)).await;
        assert_told(&nodes, last, &[(1, Ok(last))]).await;
        assert_eq!(fake.slots().len(), 2 + usize::from(effect), "beginnings, and the batch");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_arrives_where_another_stood_and_went_is_taken_back() {
    let fake = Fake::new(22);
    let mut nodes = Nodes::new(4, Tuning { retained_positions: 1, ..FAST });
    for me in 0..4 {
        nodes.start(me, fake.line(me), 0);
    }
    let first = append(&nodes.view(0), &batch(1, 1, 100)).await;
    let sleeper = nodes.writer().unwrap();
    let others: Vec<Peer> = (0..4).filter(|me| *me != sleeper).collect();
    fake.hold_inserts(sleeper, true);
    let view = nodes.view(sleeper);
    let slept = tokio::spawn(async move { view.append(&batch(2, 1, 100)).await });
    until("the insert is held", || fake.held(sleeper) > 0).await;
    nodes.router.cut.lock().insert(sleeper);
    fake.cut(sleeper, true);
    let mut last = first;
    for seed in 3..8 {
        last = append(&nodes.view(others[0]), &batch(seed, 1, 100)).await;
    }
    for me in &others {
        reach(&nodes.view(*me), last).await;
        nodes.view(*me).release(last).await;
    }
    let key = first.0 + 1;
    until("what stood there is deleted", || fake.slots()[0] > key).await;
    fake.cut(sleeper, false);
    fake.hold_inserts(sleeper, false);
    nodes.router.cut.lock().remove(&sleeper);
    let outcome = slept.await.unwrap();
    assert!(matches!(outcome, Err(AppendError::Unknown(_))), "{outcome:?}");
    assert_eq!(fake.overwritten(), 1, "it did arrive");
    assert!(!fake.slots().contains(&key), "nobody may take it for part of the log");
    let next = append(&nodes.view(sleeper), &batch(9, 1, 100)).await;
    for view in nodes.views() {
        let rest = read_up_to(&view, last, next, usize::MAX).await;
        assert_eq!(rest, [Ordered { position: next, batch: batch(9, 1, 100) }]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_put_back_under_a_new_writer_is_read_anew() {
    let fake = Fake::new(23);
    let mut nodes = over(&fake, 3);
    let mut positions = Vec::new();
    for seed in 0..6 {
        positions.push(append(&nodes.view(0), &batch(seed, 1, 100)).await);
    }
    for view in nodes.views() {
        reach(&view, positions[5]).await;
    }
    let writer = nodes.writer().unwrap();
    let (reader, next) = ((writer + 1) % 3, (writer + 2) % 3);
    fake.cut(reader, true);
    nodes.router.cut.lock().insert(reader);
    nodes.kill(writer);
    nodes.kill(next);
    for position in &positions[3..] {
        fake.meddle(slot::key(position.0), None);
    }
    // It never saw what is gone.
    nodes.start(next, fake.line(next), 0);
    let mut last = append(&nodes.view(next), &batch(50, 1, 100)).await;
    assert!(last <= positions[5], "it writes where something was");
    while last <= positions[5] {
        last = append(&nodes.view(next), &batch(50 + last.0, 1, 100)).await;
    }
    fake.cut(reader, false);
    nodes.router.cut.lock().remove(&reader);
    let expected = read_up_to(&nodes.view(next), Position(0), last, usize::MAX).await;
    let found = read_up_to(&nodes.view(reader), Position(0), last, usize::MAX).await;
    assert_eq!(found, expected, "what was there before is forgotten");
}

#[tokio::test(start_paused = true)]
async fn two_that_fight_for_the_log_never_write_the_same_key() {
    let fake = Fake::new(24);
    let nodes = over(&fake, 2);
    append(&nodes.view(0), &batch(0, 1, 100)).await;
    let mut appending = tokio::task::JoinSet::new();
    for me in 0..2 {
        let view = nodes.view(me);
        appending.spawn(async move {
            let mut told = Vec::new();
            for seed in (1..40).map(|at| u64::from(me) * 100 + at) {
                told.push((seed, view.append(&batch(seed, 1, 100)).await));
                tokio::time::sleep(Duration::from_millis(seed % 13)).await;
            }
            told
        });
    }
    // Whoever looks finds the lease free, and whoever wrote goes on until it notices.
    while !appending.is_empty() {
        fake.meddle(lease::KEY.to_vec(), None);
        let ended = tokio::time::timeout(Duration::from_millis(15), appending.join_next()).await;
        let Ok(Some(told)) = ended else { continue };
        let told = told.unwrap();
        let last = append(&nodes.view(0), &batch(1_000 + told[0].0, 1, 100)).await;
        assert_told(&nodes, last, &told).await;
        assert!(told.iter().any(|(_, outcome)| outcome.is_ok()), "{told:?}");
    }
    let slots = fake.history().into_iter();
    let slots = slots.map(|(first, value)| slot::Slot::decode(&CHAIN, first, value).unwrap());
    let turns: Vec<_> = slots.map(|slot| (slot.epoch, slot.writer)).collect();
    let changes = turns.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
    assert!(changes > 4, "they did fight: {turns:?}");
    assert_eq!(fake.overwritten(), 0);
}

#[test]
fn what_exceeds_is_counted_from_the_end_in_bytes_and_in_positions() {
    let view = View::after(0);
    let slot = |first: u64| slot::Slot {
        epoch: 1,
        entry: [0; 16],
        first,
        writer: 0,
        batches: vec![Bytes::from_static(&[0; 100])],
    };
    let one = slot(1).bytes();
    for first in 1..=5 {
        assert!(view.take(slot(first)));
    }
    #[rustfmt::skip]
    let table = [ // bytes, positions, the end of what exceeds them
        (usize::MAX,  100, 0, "nothing does"),
        (5 * one,     100, 0, "all fit exactly"),
        (5 * one - 1, 100, 1, "one byte too many: the first goes"),
        (2 * one,     100, 3, "two stay"),
        (0,           100, 5, "none stays"),
        (usize::MAX,    2, 3, "two positions stay"),
        (2 * one,       1, 4, "whichever asks for more"),
    ];
    for (bytes, positions, expected, why) in table {
        assert_eq!(view.exceeding(bytes, positions), expected, "{why}");
    }
}
