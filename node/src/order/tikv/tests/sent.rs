//! Slots that the writer gives to the others itself.

use super::{fake::Weather, *};
use crate::order::tikv::slot::Slot;

#[tokio::test]
async fn a_follower_has_what_the_writer_sent_without_asking_tikv() {
    let fake = Fake::new(20);
    let nodes = over(&fake, 2);
    let first = append(&nodes.view(0), &batch(1, 1, 100)).await;
    let writer = nodes.writer().unwrap();
    let follower = nodes.view(1 - writer);
    reach(&follower, first).await;
    fake.cut(1 - writer, true);
    let second = append(&nodes.view(writer), &batch(2, 1, 100)).await;
    let read = read_up_to(&follower, first, second, usize::MAX).await;
    assert_eq!(read.iter().map(|it| &it.batch).collect::<Vec<_>>(), [&batch(2, 1, 100)]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_tikv_is_read_is_no_gap() {
    let fake = Fake::new(22);
    // It reads all the time, and slowly.
    let pace = Pace { silent: Duration::ZERO, ..FAST.pace };
    let mut nodes = Nodes::new(2, Tuning { pace, ..FAST });
    for me in 0..2 {
        nodes.start(me, fake.line(me), 0);
    }
    append(&nodes.view(0), &batch(0, 1, 100)).await;
    fake.weather(Weather { slow_ms: 20, ..Weather::default() });
    for seed in 1..100 {
        let position = append(&nodes.view(0), &batch(seed, 1, 100)).await;
        for view in nodes.views() {
            reach(&view, position).await;
        }
        // What was being read ends within so many milliseconds.
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            for view in nodes.views() {
                assert!(!view.describe().contains("gone"), "{}", view.describe());
            }
        }
    }
}

#[tokio::test]
async fn only_the_writers_next_slot_is_taken_from_a_message() {
    let fake = Fake::new(21);
    let nodes = over(&fake, 3);
    let last = append(&nodes.view(0), &batch(1, 1, 100)).await;
    let writer = nodes.writer().unwrap();
    let (follower, third) = ((writer + 1) % 3, (writer + 2) % 3);
    let view = nodes.view(follower);
    reach(&view, last).await;
    let epoch = nodes.nodes[&writer].inner.known.lock().epoch;
    until("it knows the writer", || {
        let known = *nodes.nodes[&follower].inner.known.lock();
        (known.holder, known.epoch) == (Some(writer), epoch)
    })
    .await;
    let service = nodes.router.services.lock()[&follower].clone();
    let tell = |from: Peer, slot: &Slot| {
        let mut message = Writer::tagged(CHAIN.as_bytes());
        message.u8(SLOT).u64(slot.first).bytes(&slot.encode(&CHAIN));
        service.notify(from, Bytes::from(message.finish()));
        view.end().borrow().0
    };
    let batches = vec![Bytes::from(batch(2, 1, 100).encode())];
    let next = Slot { epoch, entry: [3; 16], first: last.0 + 1, writer, batches };
    for (from, slot, why) in [
        (third, Slot { writer: third, ..next.clone() }, "somebody else's"),
        (third, next.clone(), "the writer's, said by somebody else"),
        (writer, Slot { writer: third, ..next.clone() }, "somebody else's, said by the writer"),
        (writer, Slot { epoch: epoch - 1, ..next.clone() }, "of an epoch that is over"),
        (writer, Slot { epoch: epoch + 1, ..next.clone() }, "of an epoch that nobody saw begin"),
        (writer, Slot { first: last.0 + 2, ..next.clone() }, "not the next"),
        (writer, Slot { first: last.0, ..next.clone() }, "there already"),
    ] {
        assert_eq!(tell(from, &slot), last.0, "{why}");
    }
    assert_eq!(tell(writer, &next), last.0 + 1, "the writer's next");
}
