//! The ring against an oracle, across threads, with panics and leftovers.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::{Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

use super::{Receiver, SLOT_BYTES, Sender, channel};

/// Counts how often it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(u64),
    Publish,
    Drain(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![4 => any::<u64>().prop_map(Step::Push), 2 => proptest::strategy::Just(Step::Publish), 2 => (0usize..12).prop_map(Step::Drain)]
}

proptest! {
    #[test]
    fn ring_behaves_like_two_queues(capacity in 1usize..20, steps in prop::collection::vec(step(), 1..400)) {
        let (mut tx, mut rx) = channel::<Box<u64>>(capacity);
        let (mut hidden, mut visible) = (VecDeque::new(), VecDeque::new());
        prop_assert_eq!(tx.capacity(), capacity.max(2).next_power_of_two());
        for step in steps {
            match step {
                Step::Push(value) => {
                    let full = hidden.len() + visible.len() == tx.capacity();
                    match tx.push(Box::new(value)) {
                        Ok(()) => { prop_assert_eq!(full, false); hidden.push_back(value); }
                        Err(back) => { prop_assert_eq!(full, true); prop_assert_eq!(*back, value); }
                    }
                }
                Step::Publish => {
                    prop_assert_eq!(tx.publish(), hidden.len());
                    visible.append(&mut hidden);
                }
                Step::Drain(max) => {
                    let mut got = Vec::new();
                    let count = rx.drain(max, |item| got.push(*item));
                    prop_assert_eq!(count, got.len());
                    let expected: Vec<u64> = visible.drain(..max.min(visible.len())).collect();
                    prop_assert_eq!(got, expected);
                }
            }
            prop_assert_eq!(tx.unpublished(), hidden.len());
            prop_assert_eq!(rx.len(), visible.len());
            prop_assert_eq!(rx.is_empty(), visible.is_empty());
            prop_assert_eq!(tx.len(), visible.len() + hidden.len());
        }
    }
}

#[test]
fn a_slot_is_one_cache_line_and_cursors_do_not_share() {
    assert_eq!(size_of::<super::Slot<[u64; 8]>>(), SLOT_BYTES);
    assert_eq!(size_of::<super::Slot<u8>>(), SLOT_BYTES);
    assert_eq!(align_of::<super::Line<u8>>(), 128);
}

#[test]
fn two_threads_keep_order_and_lose_nothing() {
    const ITEMS: u64 = 200_000;
    let (mut tx, mut rx) = channel::<u64>(64);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for value in 0..ITEMS {
                let mut item = value;
                while let Err(back) = tx.push(item) {
                    item = back;
                    tx.publish();
                    std::thread::yield_now();
                }
                if value % 7 == 0 {
                    tx.publish();
                }
            }
        });
        let mut next = 0;
        while !rx.is_closed() {
            if rx.drain(100, |item| {
                assert_eq!(item, next);
                next += 1;
            }) == 0
            {
                std::thread::yield_now();
            }
        }
        assert_eq!(next, ITEMS);
    });
}

#[test]
fn a_panic_in_the_drain_drops_each_item_once() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (mut tx, mut rx) = channel(8);
    for _ in 0..6 {
        assert!(tx.push(Counted(Arc::clone(&drops))).is_ok());
    }
    tx.publish();
    let mut seen = 0;
    let caught = catch_unwind(AssertUnwindSafe(|| {
        rx.drain(6, |_item| {
            seen += 1;
            assert!(seen < 3, "the third item is one too many");
        })
    }));
    assert!(caught.is_err());
    assert_eq!(drops.load(Ordering::Relaxed), 3);
    assert_eq!((rx.len(), tx.len()), (3, 3), "those behind it wait, and the slots were given back");
    assert_eq!(rx.drain(usize::MAX, drop), 3);
    assert_eq!(drops.load(Ordering::Relaxed), 6);
}

#[test]
fn leftovers_are_dropped_once_whichever_half_goes_first() {
    for sender_first in [true, false] {
        let drops = Arc::new(AtomicUsize::new(0));
        let (mut tx, mut rx) = channel(4);
        for turn in 0..3 {
            assert!(tx.push(Counted(Arc::clone(&drops))).is_ok());
            tx.publish();
            assert_eq!((rx.drain(1, drop), drops.load(Ordering::Relaxed)), (1, turn + 1));
        }
        for _ in 0..3 {
            assert!(tx.push(Counted(Arc::clone(&drops))).is_ok());
        }
        if sender_first {
            drop(tx);
            assert!(!rx.is_closed(), "dropping the sender publishes");
            assert_eq!(rx.len(), 3);
            drop(rx);
        } else {
            drop(rx);
            assert!(tx.is_closed());
            drop(tx);
        }
        assert_eq!(drops.load(Ordering::Relaxed), 6);
    }
}

#[test]
fn cursors_wrap_with_the_machine_word() {
    let (mut tx, mut rx) = channel::<u32>(4);
    let start = usize::MAX - 5;
    (tx.tail, tx.published, tx.head_seen) = (start, start, start);
    (rx.head, rx.tail_seen) = (start, start);
    tx.shared.tail.0.store(start, Ordering::Relaxed);
    tx.shared.head.0.store(start, Ordering::Relaxed);
    for round in 0..8 {
        for value in 0..4 {
            assert_eq!(tx.push(round * 4 + value), Ok(()));
        }
        assert_eq!(tx.push(99), Err(99));
        assert_eq!((tx.publish(), rx.len()), (4, 4));
        let mut got = Vec::new();
        rx.drain(4, |item| got.push(item));
        assert_eq!(got, (round * 4..round * 4 + 4).collect::<Vec<_>>());
    }
}

/// `true` for types that are `Sync` or `Clone`: an inherent constant wins over the one of the blanket trait.
struct Probe<T>(std::marker::PhantomData<T>);
trait Absent {
    const SYNC: bool = false;
    const CLONE: bool = false;
}
impl<T> Absent for Probe<T> {}
impl<T: Sync> Probe<T> {
    const SYNC: bool = true;
}
impl<T: Clone> Probe<T> {
    const CLONE: bool = true;
}

#[test]
fn handles_are_send_and_neither_clone_nor_sync() {
    fn send<T: Send>() {}
    send::<Sender<u64>>();
    send::<Receiver<u64>>();
    const { assert!(Probe::<u64>::SYNC && Probe::<u64>::CLONE) };
    const { assert!(!Probe::<Sender<u64>>::SYNC && !Probe::<Receiver<u64>>::SYNC) };
    const { assert!(!Probe::<Sender<u64>>::CLONE && !Probe::<Receiver<u64>>::CLONE) };
}
