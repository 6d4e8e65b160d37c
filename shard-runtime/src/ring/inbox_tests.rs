//! The inbox: its bound, its closing, and many senders with a shard that really parks.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use proptest::prelude::{prop, prop_assert_eq, proptest};

use super::{Inbox, InboxRefusal};

proptest! {
    #[test]
    fn inbox_behaves_like_a_bounded_queue(limit in 0usize..12, steps in prop::collection::vec((0u8..3, 0usize..7), 1..200)) {
        let inbox = Inbox::<Box<u32>>::new(limit);
        let mut oracle = VecDeque::new();
        let (mut next, mut refused) = (0, 0);
        for (kind, count) in steps {
            if kind < 2 {
                for _ in 0..count {
                    match inbox.push(Box::new(next), || ()) {
                        Ok(()) => oracle.push_back(next),
                        Err(error) => {
                            prop_assert_eq!(error.reason, InboxRefusal::Full { limit });
                            prop_assert_eq!((*error.into_inner(), oracle.len()), (next, limit));
                            refused += 1;
                        }
                    }
                    next += 1;
                }
            } else {
                let mut got = Vec::new();
                inbox.drain(count, |message| got.push(*message));
                let expected: Vec<u32> = oracle.drain(..count.min(oracle.len())).collect();
                prop_assert_eq!(got, expected);
            }
            prop_assert_eq!((inbox.len(), inbox.is_empty()), (oracle.len(), oracle.is_empty()));
            prop_assert_eq!(inbox.refused_total(), refused);
        }
    }
}

#[test]
fn a_closed_inbox_refuses_and_still_hands_out_what_it_had() {
    let inbox = Inbox::new(4);
    inbox.push(1, || ()).unwrap();
    inbox.close();
    assert_eq!(inbox.push(2, || ()).unwrap_err().reason, InboxRefusal::Closed);
    assert!(!inbox.is_finished());
    assert_eq!((inbox.drain(9, |message| assert_eq!(message, 1)), inbox.is_finished()), (1, true));
}

#[test]
fn a_panic_in_the_drain_keeps_the_count_right() {
    let inbox = Inbox::new(4);
    for value in 0..4 {
        inbox.push(value, || ()).unwrap();
    }
    let caught =
        catch_unwind(AssertUnwindSafe(|| inbox.drain(4, |value| assert_ne!(value, 1, "this one breaks"))));
    assert!(caught.is_err());
    assert_eq!(inbox.len(), 2);
    assert_eq!(inbox.drain(4, |_| ()), 2);
}

#[test]
fn senders_wake_a_shard_that_parks_whenever_it_can() {
    const SENDERS: usize = 3;
    const EACH: usize = 5_000;
    let inbox = Inbox::<usize>::new(64);
    let shard = thread::current();
    let mut parks = 0;
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (inbox, shard) = (&inbox, shard.clone());
            scope.spawn(move || {
                for turn in 0..EACH {
                    let mut message = turn * SENDERS + sender;
                    while let Err(error) = inbox.push(message, || shard.unpark()) {
                        message = error.into_inner();
                        thread::yield_now();
                    }
                }
            });
        }
        let mut next = [0; SENDERS];
        let mut taken = 0;
        while taken < SENDERS * EACH {
            let fresh = inbox.drain(32, |message| {
                let (sender, turn) = (message % SENDERS, message / SENDERS);
                assert_eq!(turn, next[sender], "one sender's messages keep their order");
                next[sender] += 1;
            });
            taken += fresh;
            if fresh == 0 && inbox.sleep().prepare_park(|| !inbox.is_empty()) {
                parks += 1;
                // Without a wake-up this would end the test only by the runner's time limit.
                thread::park();
                inbox.sleep().cancel_park();
            }
        }
    });
    assert!(inbox.is_empty() && parks > 0);
}
